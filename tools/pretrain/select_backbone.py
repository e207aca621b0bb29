#!/usr/bin/env python3
"""Compares backbones on data sets that no figure of the documentation is made with: to choose between variants.

usage: select_backbone.py LIBRARY SETS NAME=BACKBONE [NAME=BACKBONE ...] [--views N] [--threads N] [--only PATTERN]

LIBRARY   libdifferent.so
SETS      folder of data sets in MVTec layout, as make_sets.py writes them: generated products, and real good pictures
          with generated defects
BACKBONE  safetensors file

Instead of a flow, which would take minutes per set, a Gaussian stands in: features of `views` stratified angles are
standardised, their covariance is shrunk towards the identity, and the score of a picture is its mean squared Mahalanobis
distance.  Prints image AUROC per set and backbone.
"""
import argparse
import concurrent.futures
import fnmatch
import os
import sys

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "bench"))
from accuracy import auroc, differnet  # noqa: E402

SHRINKAGE = 0.1


def pictures(folder):
    return sorted(os.path.join(folder, name) for name in os.listdir(folder))


def features(extractor, paths, views, seed, pool):
    """(pictures, views, dim); the angles are drawn anew for each picture, as in training."""
    rng = np.random.default_rng(seed)
    angles = [-180 + (np.arange(views) + rng.random(views)) * 360 / views for _ in paths]
    return np.stack(list(pool.map(extractor.features_image, paths, angles))).astype(np.float64)


def gaussian_scores(train, test):
    """train: (n, views, dim), test: (m, views, dim).  Returns (m)."""
    rows = train.reshape(-1, train.shape[-1])
    mean, deviation = rows.mean(0), rows.std(0)
    deviation = np.maximum(deviation, 1e-2 * np.sqrt((deviation ** 2).mean()))
    rows = (rows - mean) / deviation
    covariance = (1 - SHRINKAGE) * rows.T @ rows / len(rows) + SHRINKAGE * np.eye(rows.shape[1])
    whitened = np.linalg.solve(np.linalg.cholesky(covariance), ((test.reshape(-1, len(mean)) - mean) / deviation).T)
    return (whitened ** 2).sum(0).reshape(test.shape[:2]).mean(1)


def judge(extractor, folder, views, pool):
    train = features(extractor, pictures(os.path.join(folder, "train", "good")), views, 1, pool)
    good = features(extractor, pictures(os.path.join(folder, "test", "good")), views, 2, pool)
    kinds = sorted(set(os.listdir(os.path.join(folder, "test"))) - {"good"})
    bad = features(extractor, sum((pictures(os.path.join(folder, "test", kind)) for kind in kinds), []), views, 3, pool)
    scores = gaussian_scores(train, np.concatenate([good, bad]))
    return auroc(scores[:len(good)], scores[len(good):])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("sets")
    parser.add_argument("backbones", nargs="+")
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="*")
    options = parser.parse_args()
    differnet.load(options.library)
    differnet.blas_set_threads(1)
    sets = [name for name in sorted(os.listdir(options.sets)) if fnmatch.fnmatch(name, options.only)]
    table = {}
    with concurrent.futures.ThreadPoolExecutor(options.threads) as pool:  # calls release the interpreter lock
        for given in options.backbones:
            name, path = given.split("=", 1)
            extractor = differnet.Extractor.open(path)
            table[name] = [judge(extractor, os.path.join(options.sets, each), options.views, pool) for each in sets]
            print(name, " ".join(f"{value:.3f}" for value in table[name]), f"mean {np.mean(table[name]):.4f}",
                  flush=True)
    print("| set | " + " | ".join(table) + " |")
    print("|---|" + "---|" * len(table))
    for i, each in enumerate(sets):
        print(f"| {each} | " + " | ".join(f"{table[name][i]:.3f}" for name in table) + " |")
    print("| mean | " + " | ".join(f"{np.mean(table[name]):.3f}" for name in table) + " |")


if __name__ == "__main__":
    main()
