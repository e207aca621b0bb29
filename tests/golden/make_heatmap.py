#!/usr/bin/python3
"""Golden numbers for score and heat map, end to end: PyTorch in float64, PIL, scipy.

Writes heatmap_model.safetensors (a model file, put together by hand as docs/format.md describes it) and
heatmap.safetensors: angles, features, z, logdet, scores, samples of each view's pixel gradient, the heat map.
The image comes from a formula that tests/heatmap_golden.h repeats.
"""
import json
import os
import zlib

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy import ndimage

import safetensors_io

FOLDER = os.path.dirname(os.path.abspath(__file__))
SIZE, SCALES, VIEWS, BLOCKS, HIDDEN, CLAMP, SIGMA = 128, 2, 4, 2, 8, 3.0, 3.0
CHANNELS = [3, 4, 6, 8, 6, 4]
DIM = SCALES * CHANNELS[-1]
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
GRADIENT_STEP, MAP_STEP = 5, 2
MASK = (1 << 64) - 1


def make_image():
    y, x, c = np.meshgrid(*[np.arange(n, dtype=np.int64) for n in (SIZE, SIZE, 3)], indexing="ij")
    noise = ((x * 73856093) ^ (y * 19349663) ^ ((c + 1) * 83492791)) % 61
    wave = np.abs((3 * x + 5 * y + 40 * c) % 180 - 90) + (np.abs((7 * x - 4 * y) % 120 - 60) + x * y // 512)
    return (wave + noise).clip(0, 255).astype(np.uint8)


def stratified_angles():
    """xoshiro256** seeded by splitmix64, as lib/base/rng.h says: seed 0, stream 8."""
    def splitmix(state):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return state, z ^ (z >> 31)

    def rotate(v, bits):
        return ((v << bits) | (v >> (64 - bits))) & MASK

    state = splitmix(0)[1] ^ 8
    s = []
    for _ in range(4):
        state, value = splitmix(state)
        s.append(value)
    angles = []
    for i in range(VIEWS):
        value = (rotate((s[1] * 5) & MASK, 7) * 9) & MASK
        t = (s[1] << 17) & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotate(s[3], 45)
        angles.append(-180 + (i + (value >> 11) * 2.0**-53) * 360 / VIEWS)
    return angles


def make_weights(random):
    tensors = {}
    for block in range(BLOCKS):
        for net in ("net2", "net1"):
            widths = [DIM // 2, HIDDEN, HIDDEN, HIDDEN, DIM]
            for layer in range(4):
                deviation = 1.2 / np.sqrt(widths[layer])
                weight = random.normal(0, deviation, (widths[layer + 1], widths[layer]))
                tensors[f"flow.blocks.{block}.{net}.{layer}.weight"] = weight.astype(np.float32)
                tensors[f"flow.blocks.{block}.{net}.{layer}.bias"] = (
                    random.normal(0, 0.2, widths[layer + 1]).astype(np.float32))
    for block in range(BLOCKS):
        tensors[f"flow.blocks.{block}.permutation"] = random.permutation(DIM).astype(np.uint32)
    for number, inputs, outputs, kernel in zip((0, 3, 6, 8, 10), CHANNELS, CHANNELS[1:], (11, 5, 3, 3, 3)):
        deviation = np.sqrt(2.0 / (inputs * kernel * kernel))
        weight = random.normal(0, deviation, (outputs, inputs, kernel, kernel))
        tensors[f"backbone.features.{number}.weight"] = weight.astype(np.float32)
        tensors[f"backbone.features.{number}.bias"] = random.normal(0, 0.1, outputs).astype(np.float32)
    return tensors


def features(tensors, view):
    """view: (n, 3, size, size) -> (n, DIM), largest scale first."""
    rows = []
    for scale in range(SCALES):
        x = view[:, :, :: 1 << scale, :: 1 << scale]
        for number, stride, pad, pool in ((0, 4, 2, 1), (3, 1, 2, 1), (6, 1, 1, 0), (8, 1, 1, 0), (10, 1, 1, 1)):
            weight, bias = (torch.from_numpy(tensors[f"backbone.features.{number}.{part}"].astype(np.float64))
                            for part in ("weight", "bias"))
            x = F.relu(F.conv2d(x, weight, bias, stride=stride, padding=pad))
            if pool:
                x = F.max_pool2d(x, 3, 2)
        rows.append(x.mean(dim=(2, 3)))
    return torch.cat(rows, dim=1)


def flow(tensors, x):
    def subnet(name, h):
        for layer in range(4):
            weight, bias = (torch.from_numpy(tensors[f"flow.{name}.{layer}.{part}"].astype(np.float64))
                            for part in ("weight", "bias"))
            h = F.linear(h, weight, bias)
            if layer < 3:
                h = F.relu(h)
        return h[:, :DIM // 2], h[:, DIM // 2:]

    def soft_clamp(s):
        return CLAMP * 0.636 * torch.atan(s / CLAMP)

    logdet = torch.zeros(len(x), dtype=torch.float64)
    for block in range(BLOCKS):
        x = x[:, tensors[f"flow.blocks.{block}.permutation"].astype(np.int64)]
        x1, x2 = x[:, :DIM // 2], x[:, DIM // 2:]
        s, t = subnet(f"blocks.{block}.net2", x2)
        y1 = x1 * torch.exp(soft_clamp(s)) + t
        logdet = logdet + soft_clamp(s).sum(1)
        s, t = subnet(f"blocks.{block}.net1", y1)
        y2 = x2 * torch.exp(soft_clamp(s)) + t
        logdet = logdet + soft_clamp(s).sum(1)
        x = torch.cat([y1, y2], 1)
    return x, logdet


def rotate_back(gradient, angle):
    """(size, size, 3) by -angle counter-clockwise about the centre, bilinear, 0 outside."""
    radians = np.deg2rad(-angle)
    cosine, sine = np.cos(radians), np.sin(radians)
    matrix = np.array([[cosine, sine], [-sine, cosine]])  # output (row, column) to input
    centre = np.full(2, (SIZE - 1) / 2)
    return np.stack([ndimage.affine_transform(gradient[..., c], matrix, centre - matrix @ centre, order=1,
                                              mode="grid-constant") for c in range(3)], axis=-1)


def save_model(tensors):
    data = b"".join(np.asarray(array, order="C").tobytes() for array in tensors.values())
    facts = {"input_size": SIZE, "scales": SCALES, "views": VIEWS, "angles": 0, "standardized": 1, "train_images": 3,
             "epochs": 2, "bank": 0, "seed": "18446744073709551615", "final_loss": None, "heatmap_scale": 0.0025,
             "storage": "float32", "library": "0.1.0"}
    configuration = {"dimension": DIM, "blocks": BLOCKS, "hidden": HIDDEN, "clamp": CLAMP, "seed": "7"}
    safetensors_io.save(os.path.join(FOLDER, "heatmap_model.safetensors"), tensors, {
        "differnet.kind": "model", "differnet.format": "1", "differnet.facts": json.dumps(facts),
        "differnet.flow": json.dumps(configuration), "differnet.crc32": f"{zlib.crc32(data):08x}"})


def main():
    random = np.random.default_rng(11)
    image, angles = make_image(), stratified_angles()
    views = [np.asarray(Image.fromarray(image).rotate(angle, Image.NEAREST)) for angle in angles]
    view = torch.from_numpy(((np.stack(views) / 255.0 - MEAN) / STD).transpose(0, 3, 1, 2).copy()).requires_grad_()
    tensors = {"holdout.scores": np.array([0.25, 0.5, 0.5, 3.0, 7.5])}
    tensors.update(make_weights(random))
    y = features(tensors, view)
    tensors["features.mean"] = (y.detach().numpy().mean(0) * 0.9).astype(np.float32)
    tensors["features.deviation"] = (y.detach().numpy().std(0) * 1.5 + 0.01).astype(np.float32)
    save_model(tensors)

    mean, deviation = (torch.from_numpy(tensors[f"features.{name}"].astype(np.float64))
                       for name in ("mean", "deviation"))
    z, logdet = flow(tensors, (y - mean) / deviation)
    loss = (0.5 * (z**2).sum(1) - logdet) / DIM
    gradient, = torch.autograd.grad(loss.sum(), view)
    gradient = gradient.numpy().transpose(0, 2, 3, 1)
    total = np.zeros((SIZE, SIZE))
    for angle, one in zip(angles, gradient):
        back = rotate_back(one, angle)
        blurred = np.stack([ndimage.gaussian_filter(back[..., c], SIGMA, mode="reflect", truncate=4.0)
                            for c in range(3)], axis=-1)
        total += np.abs(blurred).mean(-1)
    heat = (total / VIEWS)**2
    z, y, logdet = z.detach().numpy(), y.detach().numpy(), logdet.detach().numpy()
    likelihood = -0.5 * (z**2).sum(1) - DIM / 2 * np.log(2 * np.pi) + logdet
    safetensors_io.save(os.path.join(FOLDER, "heatmap.safetensors"), {
        "angles": np.array(angles), "features": y, "z": z, "logdet": logdet, "view_scores": (z**2).mean(1),
        "score": np.array([(z**2).mean()]), "log_likelihood": np.array([likelihood.mean()]),
        "image_sum": np.array([image.astype(np.int64).sum()], dtype=np.int64),
        "gradient": gradient[:, ::GRADIENT_STEP, ::GRADIENT_STEP].astype(np.float32),
        "map": heat[::MAP_STEP, ::MAP_STEP].astype(np.float32)})


main()
