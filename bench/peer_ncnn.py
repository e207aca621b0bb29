"""ncnn as a peer of bench/run.  It has no batches: views go one by one, and the flow's rows as one matrix."""
import os
from concurrent.futures import ThreadPoolExecutor

import ncnn
import numpy as np

from bench_parts import CLAMP, CONVOLUTIONS, LIMIT, SCALES

MAGIC = "7767517"


class Writer:
    """A network in ncnn's text and binary files: a chain of layers."""

    def __init__(self):
        self.lines, self.blocks, self.last = ["Input in 0 1 x0"], [], 0

    def layer(self, kind, **parameters):
        """parameters: numbers by ncnn's keys, spelled _0, _1, ..."""
        text = " ".join(f"{name[1:]}={value}" for name, value in parameters.items())
        self.lines.append(f"{kind} l{self.last} 1 1 x{self.last} x{self.last + 1} {text}")
        self.last += 1

    def weights(self, weight, bias):
        """A word of zeros in front of the weight says that it is float32."""
        self.blocks += [b"\0\0\0\0", weight.astype("<f4").tobytes(), bias.astype("<f4").tobytes()]

    def open(self, path, threads):
        with open(path + ".param", "w") as file:
            file.write(f"{MAGIC}\n{len(self.lines)} {self.last + 1}\n" + "\n".join(self.lines) + "\n")
        with open(path + ".bin", "wb") as file:
            file.writelines(self.blocks)
        net = ncnn.Net()
        net.opt.num_threads, net.opt.use_vulkan_compute = threads, False
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
        net.opt.use_bf16_storage = False
        if net.load_param(path + ".param") != 0 or net.load_model(path + ".bin") != 0:
            raise RuntimeError(f"{path}: ncnn cannot load it")
        return net, f"x{self.last}"


def open_network(bundle, threads):
    writer = Writer()
    for number, stride, pad, pool in CONVOLUTIONS:
        weight, bias = (bundle.backbone[f"features.{number}.{part}"] for part in ("weight", "bias"))
        writer.layer("Convolution", _0=len(bias), _1=weight.shape[2], _3=stride, _4=pad, _5=1, _6=weight.size, _9=1)
        writer.weights(weight, bias)
        if pool:
            writer.layer("Pooling", _0=0, _1=3, _2=2, _5=1)
    writer.layer("Pooling", _0=1, _4=1)  # the mean of each map
    return writer.open(os.path.join(bundle.folder, "ncnn-features"), threads)


def open_subnet(bundle, tensors, prefix, threads):
    writer = Writer()
    for i in range(4):
        weight, bias = (tensors[f"{prefix}.{i}.{part}"] for part in ("weight", "bias"))
        writer.layer("InnerProduct", _0=len(bias), _1=1, _2=weight.size, _9=int(i < 3))
        writer.weights(weight, bias)
    return writer.open(os.path.join(bundle.folder, "ncnn-subnet"), threads)


def run_net(opened, x):
    net, last = opened
    extractor = net.create_extractor()
    extractor.input("x0", ncnn.Mat(x))
    status, result = extractor.extract(last)
    if status != 0:
        raise RuntimeError(f"ncnn: extract gave {status}")
    return np.array(result)


def couple(x, net):
    s, t = np.split(net, 2, axis=1)
    return x * np.exp(np.float32(CLAMP * 0.636) * np.arctan(s / np.float32(CLAMP))) + t


class Engine:
    def __init__(self, bundle, threads, _):
        self.version, self.bundle, self.threads = ncnn.__version__, bundle, threads
        self.pool = ThreadPoolExecutor(threads)

    @staticmethod
    def _view(opened, view):
        return np.concatenate([run_net(opened, np.ascontiguousarray(view[:, ::step, ::step])).ravel()
                               for step in SCALES])

    def feature_ways(self, views, _):
        within, beside = open_network(self.bundle, self.threads), open_network(self.bundle, 1)
        yield "batch 1", lambda: np.stack([self._view(within, view) for view in views])
        if self.threads > 1:
            yield f"batch 1, {self.threads} views at once", lambda: np.stack(
                list(self.pool.map(lambda view: self._view(beside, view), views)))

    def flow_ways(self, rows):
        tensors, blocks = self.bundle.flow(), []
        for k in range(sum(name.endswith("permutation") for name in tensors)):
            nets = [open_subnet(self.bundle, tensors, f"blocks.{k}.{name}", self.threads) for name in ("net2", "net1")]
            blocks.append((tensors[f"blocks.{k}.permutation"].astype(int), nets))

        def run(y):
            x = (y - self.bundle.mean) / self.bundle.deviation
            for order, (net2, net1) in blocks:
                x1, x2 = np.split(x[:, order], 2, axis=1)
                y1 = couple(x1, run_net(net2, np.ascontiguousarray(x2)))
                y2 = couple(x2, run_net(net1, np.ascontiguousarray(y1)))
                x = np.clip(np.concatenate((y1, y2), 1), -LIMIT, LIMIT)
            return x
        yield f"batch {rows}", run
