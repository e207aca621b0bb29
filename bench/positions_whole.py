#!/usr/bin/env python3
"""How the parts of a `compact` model's score could be put together, and what a Gaussian of whole images would add.

usage: positions_whole.py BUILD MODEL DATA

Scores the test images of DATA (MVTec layout) with MODEL and prints image AUROC of the parts and of several rules: for
defects in one place / for those of positions_sets.py whole, where DATA has some.  The Gaussian is one of each image's mean
over all cells of its feature maps (one view, standardised, covariance plus 0.01 I), fitted to DATA's images to learn from;
its median and spread come from five folds.

Needs numpy and PIL.
"""
import os
import sys

import numpy as np
from PIL import Image

from accuracy import auroc
from bench_common import differnet, load_library
from positions_sets import WHOLE

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "golden"))
import safetensors_io  # noqa: E402

FLOOR, FOLDS = 0.01, 5


def mean_of_maps(extractor, path):
    """The mean over all cells of an image's feature maps (channels)."""
    info = extractor.info
    size = info.input_size, info.input_height
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
    load_library(build)
    model = differnet.Model.open(model_path)
    scorer = differnet.Scorer(model)
    test = os.path.join(data, "test")
    paths = [(kind, os.path.join(test, kind, name)) for kind in sorted(os.listdir(test))
             for name in sorted(os.listdir(os.path.join(test, kind)))]
    scores = [scorer.score(path) for _, path in paths]
    tensors, _ = safetensors_io.load(model_path)

    def standard(part, lies):
        median, spread = lies
        return (np.log([getattr(score, part) for score in scores]) - median) / spread

    w = model.info.flow_weight
    F = standard("flow_score", tensors["flow.standard"][0])
    L = standard("local_score", tensors["positions.standard"][0])
    W = standard("whole_score", tensors["positions.standard"][1])
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
        "the same with 1.4 w": places(0.5) + 1.4 * w * (positive(F) + 0.05 * F),
        "r(1) + w (flow+ + 0.05 flow)": places(1) + w * (positive(F) + 0.05 * F),
        "r(1 - w) + w (flow+ + 0.05 flow)": places(1 - w) + w * (positive(F) + 0.05 * F),
        "hypot with W / 2, w flow": places(0.5, 0, w),
        "hypot(L, G)": np.hypot(positive(L), positive(G)) + 0.05 * (L + G),
        "hypot(L, W, G)": places(1, 1),
    }
    kinds = np.array([kind for kind, _ in paths])
    spoilt = np.isin(kinds, [kind.__name__ for kind in WHOLE])
    if "faded" not in kinds:
        spoilt[:] = False  # a real set may call a defect by one of these names
    good = kinds == "good"
    for name, score in rules.items():
        figures = [auroc(score[good], score[bad]) for bad in (~good & ~spoilt, spoilt) if bad.any()]
        print(f"{name:34}" + " ".join(f"{figure:.3f}" for figure in figures))


if __name__ == "__main__":
    main()
