"""Writes the network and the flow of a bundle (bench_parts.py) as ONNX, for the peers that read it."""
import os

import numpy as np
import onnx
from onnx import TensorProto, helper

from bench_parts import BLOCKS, CLAMP, CONVOLUTIONS, LIMIT, SCALES

OPSET, IR_VERSION = 17, 9


class Graph:
    """Nodes and constants; every method returns the name of what it makes."""

    def __init__(self):
        self.nodes, self.constants = [], {}

    def constant(self, name, array):
        if name not in self.constants:
            array = np.ascontiguousarray(array)
            kind = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}[array.dtype.name]
            self.constants[name] = helper.make_tensor(name, kind, array.shape, array.tobytes(), raw=True)
        return name

    def node(self, kind, *inputs, outputs=1, **attributes):
        names = [f"{kind.lower()}{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def save(self, path, given, shape, result):
        """given, result: names of input and output; shape: of the input."""
        graph = helper.make_graph(self.nodes, "bench", [helper.make_tensor_value_info(given, TensorProto.FLOAT, shape)],
                                  [helper.make_tensor_value_info(result, TensorProto.FLOAT, None)],
                                  list(self.constants.values()))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.save(model, path + ".tmp")
        os.replace(path + ".tmp", path)


def add_network(graph, x, tensors):
    """AlexNet's features of x, averaged: (n, 256)."""
    for number, stride, pad, pool in CONVOLUTIONS:
        name = f"features.{number}"
        weight, bias = (graph.constant(f"{name}.{part}", tensors[f"{name}.{part}"].astype(np.float32))
                        for part in ("weight", "bias"))
        x = graph.node("Conv", x, weight, bias, strides=[stride] * 2, pads=[pad] * 4)
        x = graph.node("Relu", x)
        if pool:
            x = graph.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2])
    return graph.node("Flatten", graph.node("GlobalAveragePool", x))


def features_path(bundle, batch):
    """ONNX file: views (batch, 3, size, size) -> features (batch, dimension)."""
    path = os.path.join(bundle.folder, f"features-{batch}.onnx")
    if not os.path.exists(path):
        graph, parts, axes = Graph(), [], np.array([2, 3], np.int64)
        ends = graph.constant("ends", np.array([2 ** 31 - 1] * 2, np.int64))
        for step in SCALES:
            x = "views" if step == 1 else graph.node(
                "Slice", "views", graph.constant("starts", np.zeros(2, np.int64)), ends, graph.constant("axes", axes),
                graph.constant(f"steps{step}", np.array([step] * 2, np.int64)))
            parts.append(add_network(graph, x, bundle.backbone))
        graph.save(path, "views", [batch, *bundle.views.shape[1:]], graph.node("Concat", *parts, axis=1))
    return path


def add_subnet(graph, x, tensors, prefix):
    for i in range(4):
        weight, bias = (graph.constant(name, tensors[name]) for name in (f"{prefix}.{i}.weight", f"{prefix}.{i}.bias"))
        x = graph.node("Gemm", x, weight, bias, transB=1)
        if i < 3:
            x = graph.node("Relu", x)
    return x


def add_coupling(graph, x, net):
    """x * exp(l(s)) + t, (s, t) = net."""
    clamp = graph.constant("clamp", np.array(CLAMP, np.float32))
    factor = graph.constant("factor", np.array(CLAMP * 0.636, np.float32))
    s, t = graph.node("Split", net, outputs=2, axis=1)
    scale = graph.node("Exp", graph.node("Mul", graph.node("Atan", graph.node("Div", s, clamp)), factor))
    return graph.node("Add", graph.node("Mul", x, scale), t)


def flow_path(bundle, rows):
    """ONNX file: features (rows, dimension), not standardised -> z (rows, dimension)."""
    path = os.path.join(bundle.folder, f"flow-{rows}.onnx")
    if os.path.exists(path):
        return path
    graph, tensors = Graph(), bundle.flow()
    x = graph.node("Sub", "features", graph.constant("mean", bundle.mean))
    x = graph.node("Div", x, graph.constant("deviation", bundle.deviation))
    low, high = (graph.constant(name, np.array(value, np.float32)) for name, value in (("low", -LIMIT), ("high", LIMIT)))
    for k in range(BLOCKS):
        order = graph.constant(f"order{k}", tensors[f"blocks.{k}.permutation"].astype(np.int64))
        x1, x2 = graph.node("Split", graph.node("Gather", x, order, axis=1), outputs=2, axis=1)
        y1 = add_coupling(graph, x1, add_subnet(graph, x2, tensors, f"blocks.{k}.net2"))
        y2 = add_coupling(graph, x2, add_subnet(graph, y1, tensors, f"blocks.{k}.net1"))
        x = graph.node("Clip", graph.node("Concat", y1, y2, axis=1), low, high)
    graph.save(path, "features", [rows, len(bundle.mean)], x)
    return path
