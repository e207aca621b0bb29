#!/usr/bin/python3
"""Golden numbers for the extractor, by PyTorch in float64.

Writes cnn_alexnet.safetensors and cnn_mobile.safetensors (backbones with small random weights) and
cnn_results.safetensors: for each backbone and view the features, a random linear functional of them and samples of
its gradient with respect to the pixels.  Views come from a formula that tests/test_features.c repeats.
"""
import json
import os

import numpy as np
import torch
import torch.nn.functional as F

import safetensors_io

FOLDER = os.path.dirname(os.path.abspath(__file__))
SAMPLES = 2048


def triangle(k, period):
    """A triangle wave of integers, -1 .. 1."""
    return np.abs(k % (2 * period) - period) / period * 2.0 - 1.0


def make_view(size, seed):
    """(size, size, 3) float32: waves and a little noise, in exact arithmetic."""
    y, x, c = np.meshgrid(np.arange(size, dtype=np.int64), np.arange(size, dtype=np.int64),
                          np.arange(3, dtype=np.int64), indexing="ij")
    noise = ((x * 73856093) ^ (y * 19349663) ^ ((c + 3 * seed + 1) * 83492791)) % 1021
    value = triangle(3 * x + 5 * y + 11 * c + seed * 17, 64) + 0.5 * triangle(7 * x - 4 * y + 29 * c + 4096, 41)
    value = value + 0.25 * triangle(x * y // 16 + seed, 53) + 0.5 * (noise / 1021.0)
    return value.astype(np.float32)


def alexnet_layers():
    layers = []
    for number, stride, pad, pool in ((0, 4, 2, 1), (3, 1, 2, 1), (6, 1, 1, 0), (8, 1, 1, 0), (10, 1, 1, 1)):
        layers.append({"op": "conv", "weight": f"features.{number}.weight", "bias": f"features.{number}.bias",
                       "stride": stride, "pad": pad})
        layers.append({"op": "relu"})
        if pool:
            layers.append({"op": "maxpool", "kernel": 3, "stride": 2})
    return layers


def alexnet(random):
    channels, kernels = [3, 8, 12, 16, 12, 10], [11, 5, 3, 3, 3]
    tensors = {}
    for number, inputs, outputs, kernel in zip((0, 3, 6, 8, 10), channels, channels[1:], kernels):
        deviation = np.sqrt(2.0 / (inputs * kernel * kernel))
        weight = random.normal(0, deviation, (outputs, inputs, kernel, kernel))
        tensors[f"features.{number}.weight"] = weight.astype(np.float16)
        tensors[f"features.{number}.bias"] = random.normal(0, 0.1, outputs).astype(np.float16)
    return tensors, alexnet_layers()


def mobile(random):
    layers = [
        {"op": "conv", "weight": "conv0.weight", "bias": "conv0.bias", "stride": 2, "pad": [0, 0, 1, 1]},
        {"op": "relu6"},
        {"op": "conv", "weight": "dw1.weight", "bias": "dw1.bias", "pad": 1, "groups": 8},
        {"op": "relu6"},
        {"op": "conv", "weight": "pw1.weight", "bias": "pw1.bias"},
        {"op": "relu6", "tap": True},
        {"op": "conv", "weight": "dw2.weight", "stride": 2, "pad": [0, 0, 1, 1], "groups": 12},
        {"op": "relu6"},
        {"op": "conv", "name": "pw2", "weight": "pw2", "bias": "pw2_bias", "tap": True},
        {"op": "relu"},
        {"op": "maxpool", "kernel": 3, "stride": 1, "pad": [1, 0, 0, 1]},
        {"op": "avgpool", "kernel": [2, 3], "stride": 1, "pad": [1, 1, 0, 1]},
        {"op": "conv", "weight": "head.weight", "bias": "head.bias", "pad": [0, 1, 0, 1], "tap": True},
    ]
    shapes = {"conv0.weight": (8, 3, 3, 3), "conv0.bias": (8,), "dw1.weight": (8, 1, 3, 3), "dw1.bias": (8,),
              "pw1.weight": (12, 8, 1, 1), "pw1.bias": (12,), "dw2.weight": (12, 1, 3, 3), "pw2": (16, 12, 1, 1),
              "pw2_bias": (16,), "head.weight": (6, 16, 1, 3), "head.bias": (6,)}
    tensors = {}
    for name, shape in shapes.items():
        # Large enough that some activations reach relu6's upper end.
        deviation = 0.3 if len(shape) == 1 else 2.5 / np.sqrt(np.prod(shape[1:]))
        tensors[name] = random.normal(0, deviation, shape).astype(np.float32)
    return tensors, layers


def four(pad):
    """[top, left, bottom, right] or one number -> F.pad's (left, right, top, bottom)."""
    top, left, bottom, right = pad if isinstance(pad, list) else [pad] * 4
    return left, right, top, bottom


def run_scale(x, tensors, layers):
    """x: (1, 3, side, side) -> the taps' means."""
    features = []
    for i, layer in enumerate(layers):
        if layer["op"] == "conv":
            bias = tensors[layer["bias"]] if "bias" in layer else None
            x = F.conv2d(F.pad(x, four(layer.get("pad", 0))), tensors[layer["weight"]], bias, layer.get("stride", 1),
                         groups=layer.get("groups", 1))
        elif layer["op"] == "relu":
            x = F.relu(x)
        elif layer["op"] == "relu6":
            x = F.relu6(x)
        elif layer["op"] == "maxpool":
            x = F.max_pool2d(F.pad(x, four(layer.get("pad", 0)), value=-np.inf), layer["kernel"], layer["stride"])
        elif layer["op"] == "avgpool":
            x = F.avg_pool2d(F.pad(x, four(layer.get("pad", 0))), layer["kernel"], layer["stride"])
        if layer.get("tap") or (i == len(layers) - 1 and not any(entry.get("tap") for entry in layers)):
            features.append(x.mean((0, 2, 3)))
    return features


def run(view, tensors, layers, scales):
    """view: (size, size, 3) float64 tensor -> feature."""
    x = view.permute(2, 0, 1)[None]
    features = []
    for scale in range(scales):
        features += run_scale(x[:, :, ::2 ** scale, ::2 ** scale], tensors, layers)
    return torch.cat(features)


def make(name, tensors, layers, metadata, size, scales, seeds, random, results):
    safetensors_io.save(os.path.join(FOLDER, f"cnn_{name}.safetensors"), tensors, metadata)
    weights = {key: torch.tensor(value.astype(np.float64)) for key, value in tensors.items()}
    for seed in seeds:
        view = torch.tensor(make_view(size, seed).astype(np.float64), requires_grad=True)
        features = run(view, weights, layers, scales)
        functional = random.normal(0, 1, features.shape[0]).astype(np.float32)
        (torch.tensor(functional.astype(np.float64)) * features).sum().backward()
        gradient = view.grad.numpy().reshape(-1)
        results[f"{name}.{seed}.features"] = features.detach().numpy()
        results[f"{name}.{seed}.functional"] = functional
        # Every so-many-th number of the gradient (odd, so that all channels and columns come up), and its norm.
        step = (gradient.size // SAMPLES) | 1
        results[f"{name}.{seed}.gradient"] = gradient[::step].astype(np.float32)
        results[f"{name}.{seed}.norm"] = np.array([step, np.linalg.norm(gradient), gradient.sum()])


def main():
    random = np.random.default_rng(1)
    results = {}
    tensors, layers = alexnet(random)
    make("alexnet", tensors, layers, {"name": "small random AlexNet"}, 256, 3, (1, 2), random, results)
    tensors, layers = mobile(random)
    metadata = {"name": "small random MobileNet", "differnet.kind": "backbone", "differnet.layers": json.dumps(layers),
                "differnet.mean": "[0.5, 0.5, 0.5]", "differnet.std": "[0.5, 0.5, 0.5]"}
    make("mobile", tensors, layers, metadata, 64, 2, (1, 2), random, results)
    safetensors_io.save(os.path.join(FOLDER, "cnn_results.safetensors"), results)


if __name__ == "__main__":
    main()
