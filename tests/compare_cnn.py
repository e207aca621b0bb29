#!/usr/bin/env python3
"""Compares features and pixel gradient of real backbones with PyTorch in float64.

usage: compare_cnn.py LIBRARY SOURCE_ROOT

Needs numpy, torch and the weights alexnet_sketch.safetensors and mobilenet_v1_pw11.safetensors in the folder
$DIFFERNET_SHARED/weights (default: SOURCE_ROOT/../shared/weights); skipped (exit 77) where something is missing.
"""
import ctypes
import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden"))
try:
    import numpy as np
    import torch

    import make_cnn
    import safetensors_io
except ImportError as problem:
    print(f"skipped: {problem}")
    sys.exit(77)

SIZE, SCALES = 448, 3
MAX_ERROR, MIN_COSINE = 1e-5, 0.99999


class Options(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("input_size", ctypes.c_int32), ("scales", ctypes.c_int32),
                ("reserved", ctypes.c_int32), ("allocator", ctypes.c_void_p)]


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int32), ("message", ctypes.c_char * 252)]


def check(status, error):
    if status != 0:
        raise SystemExit(f"status {status}: {error.message.decode()}")


def pointer(array):
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_float))


def run_library(library, path, view, functional_of):
    """functional_of(dimension) -> factors.  Returns features, factors, pixel gradient."""
    options, error, extractor = Options(), Error(), ctypes.c_void_p()
    library.dn_extractor_options_init_size(ctypes.byref(options), ctypes.c_size_t(ctypes.sizeof(options)))
    options.input_size, options.scales = SIZE, SCALES
    check(library.dn_extractor_open_path(path.encode(), ctypes.byref(options), ctypes.byref(extractor),
                                         ctypes.byref(error)), error)
    # The info struct begins: struct_size, input_size, scales, taps, feature_dim.
    info = (ctypes.c_int32 * 64)()
    library.dn_extractor_info_init_size(info, ctypes.c_size_t(ctypes.sizeof(info)))
    check(library.dn_extractor_get_info(extractor, info), error)
    features = np.zeros(info[4], np.float32)
    factors = functional_of(info[4])
    gradient = np.zeros_like(view)
    check(library.dn_extractor_features(extractor, pointer(view), 1, pointer(features), ctypes.byref(error)), error)
    check(library.dn_extractor_gradient(extractor, pointer(view), 1, pointer(factors), pointer(gradient),
                                        ctypes.byref(error)), error)
    library.dn_extractor_unref(extractor)
    return features, factors, gradient


def compare(library, name, path, tensors, layers):
    view = make_cnn.make_view(SIZE, 3)
    random = np.random.default_rng(5)
    features, factors, gradient = run_library(library, path, view,
                                              lambda n: random.normal(0, 1, n).astype(np.float32))
    weights = {key: torch.tensor(value.astype(np.float64)) for key, value in tensors.items()}
    x = torch.tensor(view.astype(np.float64), requires_grad=True)
    expected = make_cnn.run(x, weights, layers, SCALES)
    (torch.tensor(factors.astype(np.float64)) * expected).sum().backward()
    expected, expected_gradient = expected.detach().numpy(), x.grad.numpy()
    if features.shape != expected.shape:
        print(f"{name}: {features.size} features, not {expected.size}")
        return False
    error = np.abs(features - expected).max() / np.abs(expected).max()
    a, b = gradient.astype(np.float64).ravel(), expected_gradient.ravel()
    cosine = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
    ratio = np.linalg.norm(a) / np.linalg.norm(b)
    print(f"{name}: {features.size} features, largest error {error:.2e} of the largest feature; gradient's cosine "
          f"1 - {1 - cosine:.2e}, norm x {ratio:.7f}")
    return error < MAX_ERROR and cosine > MIN_COSINE and abs(ratio - 1) < 1e-3


def mobilenet_layers():
    layers = [{"op": "conv", "weight": "conv0.weight", "bias": "conv0.bias", "stride": 2, "pad": [0, 0, 1, 1]},
              {"op": "relu6"}]
    channels = {1: 32, 2: 64, 3: 128, 4: 128, 5: 256, 6: 256}
    for i in range(1, 12):
        halves = i in (2, 4, 6)
        layers += [{"op": "conv", "weight": f"dw{i}.weight", "bias": f"dw{i}.bias", "stride": 2 if halves else 1,
                    "pad": [0, 0, 1, 1] if halves else 1, "groups": channels.get(i, 512)}, {"op": "relu6"},
                   {"op": "conv", "weight": f"pw{i}.weight", "bias": f"pw{i}.bias"}, {"op": "relu6"}]
    return layers


def main():
    library = ctypes.CDLL(sys.argv[1])
    shared = os.environ.get("DIFFERNET_SHARED") or os.path.join(sys.argv[2], "..", "shared")
    alexnet = os.path.join(shared, "weights", "alexnet_sketch.safetensors")
    mobilenet = os.path.join(shared, "weights", "mobilenet_v1_pw11.safetensors")
    for path in (alexnet, mobilenet):
        if not os.path.exists(path):
            print(f"skipped: no {path}")
            sys.exit(77)
    torch.set_num_threads(2)

    tensors, _ = safetensors_io.load(alexnet)
    good = compare(library, "AlexNet", alexnet, tensors, make_cnn.alexnet_layers())

    tensors, metadata = safetensors_io.load(mobilenet)
    metadata["differnet.layers"] = json.dumps(mobilenet_layers())
    metadata["differnet.mean"] = metadata["differnet.std"] = "[0.5, 0.5, 0.5]"
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "mobilenet.safetensors")
        safetensors_io.save(path, tensors, metadata)
        good = compare(library, "MobileNet", path, tensors, mobilenet_layers()) and good
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
