#!/usr/bin/env python3
"""Verdict and map of one image: the preset `fast` of the library against PaDiM (Defard et al., 2020) with ResNet-18 by
other engines.

usage: padim.py BUILD IMAGES [--threads N] [--rounds N] [--size N] [--json FILE]

BUILD   build folder with the library;  IMAGES: folder of at least two pictures, which the library learns from

PaDiM as published: ResNet-18's layers 1 to 3 (random weights: they do not change the time), brought to layer 1's grid,
100 of the 448 channels drawn at random, at every position the Mahalanobis distance with a covariance of its own, the
map brought to the view's size and blurred, the score its maximum.  Channels are drawn before the grids are brought
together, and the peers' time begins with a view that is a normalised array already, the library's with the picture's
pixels: both in favour of the peers.  All take turns; the figures are medians, and medians of the rounds' ratios.
Needs numpy; onnx with onnxruntime and with openvino, and torch, each if it is there.
"""
import argparse
import os
import statistics
import sys
import tempfile
import time

for _name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(_name, None)

import numpy as np  # noqa: E402

from bench_common import differnet, load_library, write_json  # noqa: E402
from bench_report import machine_facts  # noqa: E402

CHANNELS, STAGES = 100, ((64, 1), (128, 2), (256, 2))  # width and stride of ResNet-18's layers 1 to 3
SIGMA = 4  # of the map's blur, in pixels of the view


class Weights:
    """Random numbers of what the network and the density need."""

    def __init__(self, size):
        self.rng = np.random.default_rng(1)
        self.size, self.grid = size, size // 4
        total = sum(width for width, _ in STAGES)
        chosen = np.sort(self.rng.permutation(total)[:CHANNELS])
        self.chosen, first = [], 0
        for width, _ in STAGES:
            self.chosen.append(chosen[(chosen >= first) & (chosen < first + width)] - first)
            first += width
        cells = self.grid ** 2
        self.mean = self.rng.normal(size=(cells, CHANNELS)).astype(np.float32)
        self.inverse = (self.rng.normal(size=(cells, CHANNELS, CHANNELS)).astype(np.float32) * 0.01
                        + np.eye(CHANNELS, dtype=np.float32))
        reach = int(4 * SIGMA + 0.5)
        blur = np.exp(-np.arange(-reach, reach + 1) ** 2 / (2.0 * SIGMA ** 2)).astype(np.float32)
        self.blur = blur / blur.sum()

    def conv(self, outputs, inputs, side):
        scale = (2 / (inputs * side * side)) ** 0.5
        return (scale * self.rng.normal(size=(outputs, inputs, side, side))).astype(np.float32)


def describe(weights):
    """The network as steps, each ("conv", name, input, weight, stride, relu, added or None); batch normalisation is
    folded into the weights.  Names of the outputs of the three stages."""
    steps, x, width, outputs = [("conv", "stem", "view", weights.conv(64, 3, 7), 2, True, None),
                                ("pool", "pooled", "stem")], "pooled", 64, []
    for stage, (channels, stride) in enumerate(STAGES):
        for block in range(2):
            name, step = f"s{stage}b{block}", stride if block == 0 else 1
            short = x
            if step != 1 or channels != width:
                steps.append(("conv", name + "short", x, weights.conv(channels, width, 1), step, False, None))
                short = name + "short"
            steps.append(("conv", name + "a", x, weights.conv(channels, width, 3), step, True, None))
            steps.append(("conv", name + "b", name + "a", weights.conv(channels, channels, 3), 1, True, short))
            x, width = name + "b", channels
        outputs.append(x)
    return steps, outputs


def write_onnx(weights, steps, outputs, path):
    import onnx
    from onnx import TensorProto, helper
    nodes, constants = [], []

    def constant(name, array):
        kind = TensorProto.INT64 if array.dtype == np.int64 else TensorProto.FLOAT
        constants.append(helper.make_tensor(name, kind, array.shape, np.ascontiguousarray(array).tobytes(), raw=True))
        return name

    def node(kind, inputs, output, **attributes):
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output
    for step in steps:
        if step[0] == "pool":
            node("MaxPool", [step[2]], step[1], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
            continue
        _, name, x, weight, stride, relu, added = step
        y = node("Conv", [x, constant(name + ".weight", weight)], name if not relu and not added else name + ".conv",
                 strides=[stride] * 2, pads=[weight.shape[2] // 2] * 4)
        if added:
            y = node("Add", [y, added], name + ".sum")
        if relu:
            node("Relu", [y], name)
    parts = []
    for i, (x, chosen) in enumerate(zip(outputs, weights.chosen)):
        y = node("Gather", [x, constant(f"chosen{i}", chosen.astype(np.int64))], f"part{i}", axis=1)
        if i:
            scales = constant(f"scales{i}", np.array([1, 1, 2 ** i, 2 ** i], np.float32))
            y = node("Resize", [y, "", scales], f"large{i}", mode="nearest", coordinate_transformation_mode="asymmetric",
                     nearest_mode="floor")
        parts.append(y)
    cells = weights.grid ** 2
    node("Concat", parts, "joined", axis=1)
    node("Reshape", ["joined", constant("rows", np.array([CHANNELS, cells], np.int64))], "channels")
    node("Transpose", ["channels"], "cells", perm=[1, 0])
    node("Sub", ["cells", constant("mean", weights.mean)], "difference")
    node("Unsqueeze", ["difference", constant("axis1", np.array([1], np.int64))], "row")
    node("MatMul", ["row", constant("inverse", weights.inverse)], "white")
    node("Mul", ["white", "row"], "product")
    node("ReduceSum", ["product", constant("axes", np.array([1, 2], np.int64))], "squares", keepdims=0)
    node("Sqrt", ["squares"], "distances")
    node("Reshape", ["distances", constant("square", np.array([1, 1, weights.grid, weights.grid], np.int64))], "small")
    node("Resize", ["small", "", constant("four", np.array([1, 1, 4, 4], np.float32))], "large", mode="linear",
         coordinate_transformation_mode="half_pixel")
    reach = len(weights.blur) // 2
    node("Conv", ["large", constant("down", weights.blur[None, None, :, None])], "blurred", pads=[reach, 0, reach, 0])
    node("Conv", ["blurred", constant("across", weights.blur[None, None, None, :])], "map", pads=[0, reach, 0, reach])
    node("ReduceMax", ["map"], "score", keepdims=0)
    view = helper.make_tensor_value_info("view", TensorProto.FLOAT, [1, 3, weights.size, weights.size])
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("map", "score")]
    graph = helper.make_graph(nodes, "padim", [view], results, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def onnxruntime_way(path, threads, _):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return onnxruntime.__version__, lambda view: session.run(None, {"view": view})


def openvino_way(path, threads, _):
    import openvino
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(path), "CPU", {
        "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()

    def run(view):
        answer = request.infer([view], share_inputs=True)
        return answer[0], answer[1]
    return openvino.__version__.split("-")[0], run


def torch_way(_, threads, network):
    import torch
    import torch.nn.functional as F
    torch.set_num_threads(threads)
    weights, steps, outputs = network
    mean, inverse = torch.from_numpy(weights.mean), torch.from_numpy(weights.inverse)
    blur, reach = torch.from_numpy(weights.blur), len(weights.blur) // 2
    made = [(step[:3] + (torch.from_numpy(step[3]).contiguous(memory_format=torch.channels_last),) + step[4:])
            if step[0] == "conv" else step for step in steps]
    chosen = [torch.from_numpy(part) for part in weights.chosen]

    def run(view):
        with torch.inference_mode():
            values = {"view": torch.from_numpy(view).contiguous(memory_format=torch.channels_last)}
            for step in made:
                if step[0] == "pool":
                    values[step[1]] = F.max_pool2d(values[step[2]], 3, 2, 1)
                    continue
                _, name, x, weight, stride, relu, added = step
                y = F.conv2d(values[x], weight, stride=stride, padding=weight.shape[2] // 2)
                y = y + values[added] if added else y
                values[name] = y.relu_() if relu else y
            parts = [values[x][:, part] for x, part in zip(outputs, chosen)]
            joined = torch.cat([F.interpolate(part, size=(weights.grid,) * 2) for part in parts], 1)
            row = (joined[0].reshape(CHANNELS, -1).T - mean)[:, None]
            distances = (torch.bmm(row, inverse) * row).sum((1, 2)).sqrt()
            large = F.interpolate(distances.reshape(1, 1, weights.grid, weights.grid), scale_factor=4, mode="bilinear",
                                  align_corners=False)
            large = F.conv2d(F.conv2d(large, blur[None, None, :, None], padding=(reach, 0)), blur[None, None, None, :],
                             padding=(0, reach))
            return large.numpy(), float(large.max())
    return torch.__version__, run


def library_way(folder, size, threads):
    """The library's own: learns from the folder, then verdict and map from a picture's pixels."""
    names = sorted(os.listdir(folder))
    with differnet.Trainer(differnet.Extractor.default(), preset=differnet.PRESET_FAST, threads=threads) as trainer:
        for name in names:
            trainer.add(os.path.join(folder, name))
        model = trainer.run()
    scorer = differnet.Scorer(model, threads=threads)
    picture = np.random.default_rng(2).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return differnet.version(), lambda _: scorer.inspect(picture)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("images")
    parser.add_argument("--threads", type=int, default=min(2, len(os.sched_getaffinity(0))))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--size", type=int, default=448)
    parser.add_argument("--json")
    options = parser.parse_args()
    load_library(options.build)
    weights = Weights(options.size)
    steps, outputs = describe(weights)
    view = np.random.default_rng(3).normal(size=(1, 3, options.size, options.size)).astype(np.float32)
    ways, answers = {"libdifferent": library_way(options.images, options.size, options.threads)}, {}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "padim.onnx")
        for name, way in (("PyTorch", torch_way), ("ONNX Runtime", onnxruntime_way), ("OpenVINO", openvino_way)):
            try:
                if way is not torch_way and not os.path.exists(path):
                    write_onnx(weights, steps, outputs, path)
                ways[name] = way(path, options.threads, (weights, steps, outputs))
            except ImportError as absent:
                print(f"{name}: absent ({absent})", file=sys.stderr)
    for name, (_, run) in ways.items():  # once to make it ready, and the peers must agree
        answer = run(view)
        if name != "libdifferent":
            answers[name] = float(np.ravel(answer[1])[0])
    if answers and max(answers.values()) - min(answers.values()) > 1e-3 * max(answers.values()):
        sys.exit(f"the peers differ: {answers}")
    seconds = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, (_, run) in ways.items():
            begun = time.perf_counter()
            run(view)
            seconds[name].append(time.perf_counter() - begun)
    result = {"machine": machine_facts(), "threads": options.threads, "rounds": options.rounds, "ways": {}}
    print(f"{'':14}{'version':18}{'ms':>8}  times the library's")
    for name, (version, _) in ways.items():
        ratio = statistics.median(a / b for a, b in zip(seconds[name], seconds["libdifferent"]))
        middle = 1000 * statistics.median(seconds[name])
        result["ways"][name] = {"version": version, "milliseconds": middle, "ratio": ratio, "seconds": seconds[name]}
        print(f"{name:14}{version:18}{middle:8.1f}  {ratio:.1f}")
    if options.json:
        write_json(options.json, result)


if __name__ == "__main__":
    main()
