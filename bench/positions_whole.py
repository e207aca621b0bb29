#!/usr/bin/env python3
"""How the parts of a `compact` model's score could be put together, and what a Gaussian of whole images would add.

usage: positions_whole.py BUILD MODEL DATA

Scores the test images of DATA (MVTec layout) with MODEL and prints image AUROC of the parts and of several rules: for
defects in one place / for those of positions_sets.py whole, where DATA has some.  The Gaussian is one of each image's mean
over all cells of its feature maps (one view, standardised, covariance plus 0.01 I), fitted to DATA's images to learn from;
its median and spread come from five folds.

Needs numpy and PIL.
"""
import json
import os
import struct
import sys

import numpy as np
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "bindings", "python"))
import differnet  # noqa: E402
from positions_sets import WHOLE  # noqa: E402

FLOOR, FOLDS = 0.01, 5


def tensors(path, names):
    """F64 tensors of a safetensors file, flat."""
    with open(path, "rb") as file:
        data = file.read()
    end = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:end])
    return [np.frombuffer(data[end + header[name]["data_offsets"][0]:end + header[name]["data_offsets"][1]], "<f8")
            for name in names]


def auroc(scores, good, bad):
    if not bad.any():
        return np.nan
    difference = scores[bad][:, None] - scores[good][None]
    return (difference > 0).mean() + 0.5 * (difference == 0).mean()


def mean_of_maps(extractor, path):
    """The mean over all cells of an image's feature maps (channels)."""
    info = extractor.info
    size = info.input_size, info.input_height or info.input_size
    pixels = np.asarray(Image.open(path).convert("RGB").resize(size, Image.BILINEAR), np.float32) / 255
    view = (pixels - np.array(info.mean, np.float32)) / np.array(info.std, np.float32)
    return np.asarray(extractor.maps(view[None]))[0].mean((0, 1))


def gaussian_distance(learned, judged):
    mean, deviation = learned.mean(0), learned.std(0) + 1e-6
    learned, judged = (learned - mean) / deviation, (judged - mean) / deviation
    covariance = learned.T @ learned / len(learned) + FLOOR * np.eye(learned.shape[1])
    return np.einsum("ij,ij->i", judged, np.linalg.solve(covariance, judged.T).T)


def gaussian(learned, judged):
    """t of the judged images: the logarithm of their distance, standardised."""
    fold = np.arange(len(learned)) % FOLDS
    unseen = np.concatenate([gaussian_distance(learned[fold != k], learned[fold == k]) for k in range(FOLDS)])
    median, high = np.quantile(np.log(unseen), [0.5, 0.9])
    return (np.log(gaussian_distance(learned, judged)) - median) / max(high - median, 0.02)


def damped(t):
    return np.sign(t) * np.log1p(np.abs(t))


def positive(t):
    return np.maximum(t, 0)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    build, model_path, data = sys.argv[1:]
    differnet.load(os.path.join(build, "lib", "libdifferent.so"))
    model = differnet.Model.open(model_path)
    scorer = differnet.Scorer(model)
    test = os.path.join(data, "test")
    paths = [(kind, os.path.join(test, kind, name)) for kind in sorted(os.listdir(test))
             for name in sorted(os.listdir(os.path.join(test, kind)))]
    scores = [scorer.score(path) for _, path in paths]
    flow, positions, weight = tensors(model_path, ["flow.standard", "positions.standard", "flow.weight"])

    def standard(part, median, spread):
        return (np.log([getattr(score, part) for score in scores]) - median) / spread

    w = float(weight[0])
    F, L, W = standard("flow_score", *flow), standard("local_score", *positions[:2]), standard("whole_score",
                                                                                              *positions[2:])
    train = os.path.join(data, "train", "good")
    learned = np.array([mean_of_maps(model.extractor, os.path.join(train, name)) for name in sorted(os.listdir(train))])
    G = gaussian(learned, np.array([mean_of_maps(model.extractor, path) for _, path in paths]))

    def places(a, b=0, c=0):
        """hypot of the local part, a times the map's level, b times the Gaussian and c times the flow."""
        return (np.sqrt(positive(L) ** 2 + (a * positive(W)) ** 2 + (b * positive(G)) ** 2 + (c * positive(F)) ** 2)
                + 0.05 * (L + W + b * G + c * F))

    rules = {
        "flow": F,
        "local": L,
        "whole": W,
        "Gaussian of the mean": G,
        "r(1): fast": places(1),
        "d(r(1/2)) + w d(flow): compact": damped(places(0.5)) + w * damped(F),
        "r(1/2) + w (flow+ + 0.05 flow)": places(0.5) + w * (positive(F) + 0.05 * F),
        "r(1) + w (flow+ + 0.05 flow)": places(1) + w * (positive(F) + 0.05 * F),
        "r(1 - w) + w (flow+ + 0.05 flow)": places(1 - w) + w * (positive(F) + 0.05 * F),
        "hypot with W / 2, w flow": places(0.5, 0, w),
        "hypot(L, G)": np.hypot(positive(L), positive(G)) + 0.05 * (L + G),
        "hypot(L, W, G)": places(1, 1),
    }
    kinds = np.array([kind for kind, _ in paths])
    good, spoilt = kinds == "good", np.isin(kinds, [kind.__name__ for kind in WHOLE])
    if not os.path.isdir(os.path.join(test, "faded")):
        spoilt[:] = False  # a real set may call a defect by one of these names
    for name, score in rules.items():
        print(f"{name:34}{auroc(score, good, ~good & ~spoilt):.3f} {auroc(score, good, spoilt):.3f}")


if __name__ == "__main__":
    main()
