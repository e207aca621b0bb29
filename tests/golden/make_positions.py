#!/usr/bin/python3
"""Golden numbers for the density at every position, by NumPy and SciPy in float64: positions.safetensors.

All channels are kept (as many dimensions as channels), or few of many: distances do not depend on which basis of the
subspace is chosen, so that they can be compared although the library finds it in another way.
"""
import os

import numpy as np
import scipy.linalg

import safetensors_io

FOLDER = os.path.dirname(os.path.abspath(__file__))


def make_maps(random, images, rows, columns, channels):
    """Maps with a mean that depends on the position, mixed channels of very different size, and one constant channel."""
    place = random.normal(size=(rows, columns, channels))
    mixing = random.normal(size=(channels, channels)) * np.geomspace(1, 0.02, channels)
    maps = (place + 0.3 * random.normal(size=(images, rows, columns, channels))) @ mixing + 0.5
    maps[..., 0] = 0.25
    return maps.astype(np.float32)


def project(rows, dims):
    """Mean and projection (channels, dims) of rows (count, channels)."""
    mean = rows.mean(0)
    deviation = rows.std(0)
    deviation = np.maximum(deviation, max(0.1 * np.sqrt((deviation ** 2).mean()), 1e-3 * np.abs(mean).mean()))
    white = (rows - mean) / deviation
    values, vectors = scipy.linalg.eigh(white.T @ white / len(rows))
    values, vectors = values[::-1][:dims], vectors[:, ::-1][:, :dims]
    return mean, vectors / deviation[:, None] / np.sqrt(np.maximum(values, 1e-4))


def fit(z, prior=20.0, floor=0.002, neighbour=0.3, views=1):
    """Centres and covariances of z (images * views, rows, columns, dims): each view counts as its share of an image."""
    count, rows, columns, dims = z.shape
    images = count / views
    centre = z.mean(0)
    within = (z - centre).reshape(-1, dims)
    shared = within.T @ within / views / (rows * columns * max(1, images - 1))
    covariance = np.zeros((rows, columns, dims, dims))
    for y in range(rows):
        for x in range(columns):
            total, weights = np.zeros((dims, dims)), 0.0
            for v in range(max(0, y - 1), min(rows, y + 2)):
                for u in range(max(0, x - 1), min(columns, x + 2)):
                    weight = 1.0 if (v, u) == (y, x) else neighbour
                    near = z[:, v, u] - centre[y, x]
                    total += weight / views * near.T @ near
                    weights += weight * images
            covariance[y, x] = (total + prior * shared) / (weights + prior) + floor * np.eye(dims)
    return centre, covariance


def distances(z, centre, covariance):
    inverse = np.linalg.inv(covariance)
    difference = z - centre
    return np.einsum("nyxi,yxij,nyxj->nyx", difference, inverse, difference) / z.shape[-1]


def main():
    random = np.random.default_rng(7)
    tensors = {}
    for name, images, rows, columns, channels, dims in (("all", 6, 3, 4, 10, 10), ("few", 9, 4, 3, 40, 5),
                                                        ("one", 1, 2, 2, 6, 3)):
        maps = make_maps(random, images + 3, rows, columns, channels)
        maps[images:] += 0.1 * random.normal(size=maps[images:].shape).astype(np.float32)
        train, test = maps[:images].astype(np.float64), maps[images:].astype(np.float64)
        mean, projection = project(train.reshape(-1, channels), dims)
        centre, covariance = fit((train - mean) @ projection)
        tensors[name + ".train"] = maps[:images]
        tensors[name + ".test"] = maps[images:]
        tensors[name + ".dims"] = np.array([dims], np.int32)
        tensors[name + ".mean"] = mean
        tensors[name + ".distance"] = distances((test - mean) @ projection, centre, covariance)
        half = (train - mean) @ projection  # the projection of all, the Gaussians without every second image
        centre, covariance = fit(half[1::2]) if images > 1 else (centre, covariance)
        tensors[name + ".distance_odd"] = distances((test - mean) @ projection, centre, covariance)
        if images % 3 == 0:  # images of three views each
            centre, covariance = fit((train - mean) @ projection, views=3)
            tensors[name + ".distance_views"] = distances((test - mean) @ projection, centre, covariance)
    safetensors_io.save(os.path.join(FOLDER, "positions.safetensors"), tensors)


if __name__ == "__main__":
    main()
