#!/usr/bin/env python3
"""Compares a flow of the paper's size (768 dimensions, 8 blocks, hidden 2048) with PyTorch in float64.

usage: compare_flow.py LIBRARY

The library makes and saves the flow; its weights are then enlarged to the size that training gives them, so that the
soft clamp matters, and both sides compute with these.  Needs numpy, torch and about 4 GB of memory; skipped (exit 77)
where a module is missing.
"""
import ctypes
import json
import os
import sys
import tempfile
import zlib

try:
    import numpy as np
    import torch
except ImportError as problem:
    print(f"skipped: {problem}")
    sys.exit(77)

DIMENSION, BLOCKS, HIDDEN, CLAMP, ROWS = 768, 8, 2048, 3.0, 4
HALF = DIMENSION // 2
MAX_ERROR, MIN_COSINE = 1e-4, 0.99999


class Options(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("dimension", ctypes.c_int32), ("blocks", ctypes.c_int32),
                ("hidden", ctypes.c_int32), ("clamp", ctypes.c_double), ("seed", ctypes.c_uint64),
                ("allocator", ctypes.c_void_p)]


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int32), ("message", ctypes.c_char * 252)]


def check(status, error):
    if status != 0:
        raise SystemExit(f"status {status}: {error.message.decode()}")


def pointer(array):
    return array.ctypes.data_as(ctypes.c_void_p)


def save_new_flow(library, path):
    options, error, flow = Options(), Error(), ctypes.c_void_p()
    library.dn_flow_options_init_size(ctypes.byref(options), ctypes.c_size_t(ctypes.sizeof(options)))
    options.dimension, options.blocks, options.hidden, options.clamp = DIMENSION, BLOCKS, HIDDEN, CLAMP
    check(library.dn_flow_create(ctypes.byref(options), ctypes.byref(flow), ctypes.byref(error)), error)
    check(library.dn_flow_save(flow, path.encode(), ctypes.byref(error)), error)
    library.dn_flow_unref(flow)


def enlarge(content):
    """Changes the weights in the file's bytes, and its checksum.  Returns {name: array}, views of `content`."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(bytes(content[8:start]))
    metadata = header.pop("__metadata__")
    old_sum, header_sum = metadata["differnet.crc32"], metadata["differnet.header_crc32"]
    tensors = {}
    for name, entry in header.items():
        kind = {"F32": "<f4", "U32": "<u4"}[entry["dtype"]]
        first, last = entry["data_offsets"]
        tensors[name] = np.frombuffer(content, kind, (last - first) // 4, start + first).reshape(entry["shape"])
        if name.endswith(".3.weight"):
            tensors[name][:HALF] *= np.float32(3)  # s leaves the linear part of the soft clamp
        elif name.endswith("weight"):
            tensors[name] *= np.float32(1.4)
    place = content.index(old_sum.encode())
    content[place:place + 8] = b"%08x" % zlib.crc32(memoryview(content)[start:])
    place = content.index(header_sum.encode())
    content[place:place + 8] = b"0" * 8
    content[place:place + 8] = b"%08x" % zlib.crc32(memoryview(content)[:start])
    return tensors


def run_net(tensors, block, net, x):
    for layer in range(4):
        name = f"blocks.{block}.{net}.{layer}."
        weight, bias = (torch.tensor(tensors[name + part].astype("float64")) for part in ("weight", "bias"))
        x = x @ weight.T + bias
        if layer < 3:
            x = torch.relu(x)
    return CLAMP * 0.636 * torch.atan(x[:, :HALF] / CLAMP), x[:, HALF:]


def forward(tensors, x):
    logdet = 0
    for block in range(BLOCKS):
        x = x[:, tensors[f"blocks.{block}.permutation"].astype("int64")]
        l2, t2 = run_net(tensors, block, "net2", x[:, HALF:])
        y1 = x[:, :HALF] * torch.exp(l2) + t2
        l1, t1 = run_net(tensors, block, "net1", y1)
        x = torch.clamp(torch.cat((y1, x[:, HALF:] * torch.exp(l1) + t1), 1), -1e6, 1e6)
        logdet = logdet + l1.sum(1) + l2.sum(1)
    return x, logdet


def main():
    library = ctypes.CDLL(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "flow.safetensors")
        save_new_flow(library, path)
        with open(path, "rb") as file:
            content = bytearray(os.path.getsize(path))
            file.readinto(content)
    tensors = enlarge(content)
    error, flow = Error(), ctypes.c_void_p()
    check(library.dn_flow_open_memory((ctypes.c_char * len(content)).from_buffer(content),
                                      ctypes.c_size_t(len(content)), None, ctypes.byref(flow), ctypes.byref(error)),
          error)
    random = np.random.RandomState(1)
    x, factors = (random.normal(size=(ROWS, DIMENSION)).astype("float32") for _ in range(2))
    logdet_factors = random.normal(size=ROWS).astype("float32")
    z, gradient, back = (np.zeros((ROWS, DIMENSION), np.float32) for _ in range(3))
    logdet = np.zeros(ROWS, np.float32)
    check(library.dn_flow_forward(flow, pointer(x), ROWS, pointer(z), pointer(logdet), ctypes.byref(error)), error)
    check(library.dn_flow_inverse(flow, pointer(z), ROWS, pointer(back), ctypes.byref(error)), error)
    check(library.dn_flow_gradient(flow, pointer(x), ROWS, pointer(factors), pointer(logdet_factors),
                                   pointer(gradient), ctypes.byref(error)), error)
    library.dn_flow_unref(flow)

    exact_x = torch.tensor(x.astype("float64"), requires_grad=True)
    exact_z, exact_logdet = forward(tensors, exact_x)
    ((exact_z * torch.tensor(factors)).sum() + (exact_logdet * torch.tensor(logdet_factors)).sum()).backward()
    exact_gradient = exact_x.grad.numpy()
    z_error = np.abs(z - exact_z.detach().numpy()).max()
    logdet_error = np.abs(logdet - exact_logdet.detach().numpy()).max()
    inverse_error = np.abs(back - x).max()
    cosine = (gradient * exact_gradient).sum() / np.linalg.norm(gradient) / np.linalg.norm(exact_gradient)
    gradient_error = np.abs(gradient - exact_gradient).max() / np.abs(exact_gradient).max()
    print(f"largest |z| {np.abs(z).max():.2f}, |logdet| {np.abs(logdet).max():.2f}")
    print(f"errors: z {z_error:.2e}, logdet {logdet_error:.2e}, f^-1(f(x)) {inverse_error:.2e}; gradient: cosine "
          f"1 - {1 - cosine:.1e}, largest error {gradient_error:.1e} of the largest entry")
    good = max(z_error, logdet_error, inverse_error) <= MAX_ERROR and cosine > MIN_COSINE
    print("agree" if good else "DIFFER")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
