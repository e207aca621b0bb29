#!/usr/bin/env python3
"""Makes a data set in MVTec layout out of real good pictures alone: some to learn from, some to test, and some others
that are damaged here.  Backbones are chosen with it (select_backbone.py), so that test images with real defects are left
for the final figure.

usage: damage_set.py GOOD SET [--seed S] [--train N] [--good N] [--defects N]

GOOD  folder of pictures of good parts
SET   folder to write

The damages are drawn at the picture's own resolution and have nothing in common with the generator's.  Needs numpy and
PIL.
"""
import argparse
import os

import numpy as np
from PIL import Image, ImageFilter


def blurred(image, sigma):
    """image: (height, width) in 0..255"""
    return np.asarray(Image.fromarray(image.astype(np.uint8)).filter(ImageFilter.GaussianBlur(sigma)), dtype=float)


class Site:
    """Where a damage is: its centre, and coordinates along and across its direction, in pixels."""

    def __init__(self, image, rng):
        self.height, self.width = image.shape
        self.side = min(image.shape)
        self.y, self.x = rng.uniform(0.15, 0.85) * self.height, rng.uniform(0.15, 0.85) * self.width
        angle = rng.uniform(0, np.pi)
        rows, columns = np.mgrid[:self.height, :self.width]
        self.along = (columns - self.x) * np.cos(angle) + (rows - self.y) * np.sin(angle)
        self.across = (rows - self.y) * np.cos(angle) - (columns - self.x) * np.sin(angle)
        self.contrast = image.std() + 8  # a damage must show against what is usual in the picture
        self.sign = rng.choice([-1, 1])

    def ellipse(self, rng):
        """1 on its border."""
        radius = rng.uniform(0.03, 0.08) * self.side
        return np.hypot(self.along / radius, self.across / (radius * rng.uniform(0.6, 1.6)))


def scratch(image, site, rng):
    line = np.exp(-(site.across / rng.uniform(0.8, 1.6)) ** 2)
    line *= np.abs(site.along) < rng.uniform(0.08, 0.2) * site.side
    return image + site.sign * rng.uniform(0.8, 1.8) * site.contrast * line


def crack(image, site, rng):
    path = np.zeros(image.shape)
    x, y, angle = site.x, site.y, rng.uniform(0, 2 * np.pi)
    for _ in range(int(rng.uniform(0.2, 0.5) * site.side)):
        angle += rng.normal(0, 0.25)
        x, y = x + np.cos(angle), y + np.sin(angle)
        if 0 <= x < site.width and 0 <= y < site.height:
            path[int(y), int(x)] = 255
    return image - rng.uniform(0.8, 1.8) * site.contrast * np.clip(3 * blurred(path, 0.8) / 255, 0, 1)


def stain(image, site, rng):
    inside = blurred(255 * (site.ellipse(rng) < 1), 1) / 255
    return image + site.sign * rng.uniform(0.6, 1.5) * site.contrast * inside


def patch(image, site, rng):
    """Another part of the picture in this place."""
    other = np.roll(image[::-1, ::-1], (rng.integers(site.height), rng.integers(site.width)), (0, 1))
    inside = blurred(255 * (site.ellipse(rng) < 2), 0.7) / 255
    return image * (1 - inside) + other * inside


def smear(image, site, rng):
    inside = blurred(255 * (site.ellipse(rng) < 3), 2) / 255
    return image * (1 - inside) + blurred(image, rng.uniform(1.5, 3)) * inside


def dent(image, site, rng):
    """Light on one side, shadow on the other."""
    distance = site.ellipse(rng)
    slope = site.along / (np.abs(site.along).max() + 1) * site.side / 10
    return image + site.sign * rng.uniform(0.6, 1.5) * site.contrast * slope * np.exp(-distance ** 2)


KINDS = [scratch, crack, stain, patch, smear, dent]


def write(image, folder, name):
    os.makedirs(folder, exist_ok=True)
    Image.fromarray(np.clip(np.round(image), 0, 255).astype(np.uint8)).save(os.path.join(folder, name + ".png"))


def main():
    parser = argparse.ArgumentParser(description="Makes a data set out of good pictures, some of which it damages.")
    parser.add_argument("good_folder", metavar="GOOD")
    parser.add_argument("set", metavar="SET")
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument("--train", type=int, default=80, help="good pictures to learn from")
    parser.add_argument("--good", type=int, default=100, help="good pictures to test")
    parser.add_argument("--defects", type=int, default=120, help="damaged pictures to test")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    names = sorted(os.listdir(options.good_folder))
    needed = options.train + options.good + options.defects
    if len(names) < needed:
        raise SystemExit(f"{options.good_folder} has {len(names)} pictures, {needed} are needed: give smaller numbers")
    for i, name in enumerate(rng.permutation(names)[:needed]):
        image = np.asarray(Image.open(os.path.join(options.good_folder, name)).convert("L"), dtype=float)
        stem = os.path.splitext(name)[0]
        if i < options.train:
            write(image, os.path.join(options.set, "train", "good"), stem)
        elif i < options.train + options.good:
            write(image, os.path.join(options.set, "test", "good"), stem)
        else:
            damage = KINDS[i % len(KINDS)]
            write(damage(image, Site(image, rng), rng), os.path.join(options.set, "test", damage.__name__), stem)


if __name__ == "__main__":
    main()
