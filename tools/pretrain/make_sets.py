#!/usr/bin/env python3
"""Writes the data sets that backbones are chosen with (select_backbone.py), in MVTec layout.

usage: make_sets.py GENERATOR SETS [--seed S] [--train N] [--good N] [--defects N] [--size PIXELS]

One generated product per family of objects and textures listed below, of a seed that no training uses: good pictures
to learn from, other good ones, and damaged ones.  Needs numpy and PIL.
"""
import argparse
import os

import numpy as np
from PIL import Image

from generator import Generator

FAMILIES = ["screw", "turned part", "gear", "plate", "circuit board", "text", "solar cell", "cable", "weave", "leather",
            "brushed", "mesh"]
# A station's pictures differ little: the part is turned a bit, the light is steady.
POSE, LOOK, DEGRADE = 0.3, 0.15, 0.3


def write(batch, folder, first=0):
    os.makedirs(folder, exist_ok=True)
    for i, image in enumerate(batch.images):
        Image.fromarray(image).save(os.path.join(folder, f"{first + i:03d}.png"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("generator")
    parser.add_argument("sets")
    parser.add_argument("--seed", type=int, default=7001)
    parser.add_argument("--train", type=int, default=30)
    parser.add_argument("--good", type=int, default=20)
    parser.add_argument("--defects", type=int, default=28)
    parser.add_argument("--size", type=int, default=448)
    options = parser.parse_args()
    generator = Generator(options.generator, options.seed)
    missing = set(FAMILIES) - set(generator.families)
    if missing:
        raise SystemExit(f"the generator has no family {', '.join(sorted(missing))}")
    for family, number in zip(FAMILIES, generator.classes_of(FAMILIES, 1)):
        folder = os.path.join(options.sets, family.replace(" ", "_"))

        def draw(first, count, kinds):
            return generator(options.size, np.full(count, number), np.arange(first, first + count), kinds, POSE, LOOK,
                             DEGRADE)
        goods = draw(0, options.train + options.good, np.zeros(options.train + options.good))
        write(goods._replace(images=goods.images[:options.train]), os.path.join(folder, "train", "good"))
        write(goods._replace(images=goods.images[options.train:]), os.path.join(folder, "test", "good"))
        bad = draw(100000, options.defects, np.full(options.defects, -1))
        for i, kind in enumerate(bad.kinds):
            write(bad._replace(images=bad.images[i:i + 1]),
                  os.path.join(folder, "test", generator.kinds[kind].replace(" ", "_")), i)


if __name__ == "__main__":
    main()
