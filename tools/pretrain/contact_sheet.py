#!/usr/bin/env python3
"""Sheets of generated pictures, to look at.  usage: contact_sheet.py LIBRARY OUT.png [--option value ...]

Each row is one class: its pictures without a defect, or, with --defects, each without and with one (the changed
pixels framed in red at the right).  Needs numpy and PIL."""
import argparse

import numpy as np
from PIL import Image

from generator import Generator


def outline(mask):
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown & ~mask


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library")
    parser.add_argument("out")
    parser.add_argument("--families", help="first:last, default all")
    parser.add_argument("--classes", help="first:last class numbers instead of families")
    parser.add_argument("--each", type=int, default=1, help="classes per family")
    parser.add_argument("--columns", type=int, default=8, help="pictures per class")
    parser.add_argument("--defects", action="store_true", help="pairs without and with each kind of defect")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--siblings", type=int, default=4)
    for name, value in (("pose", 0.3), ("look", 0.5), ("degrade", 0.0), ("zoom", 1.0)):
        parser.add_argument("--" + name, type=float, default=value)
    a = parser.parse_args()
    generator = Generator(a.library, a.seed, a.siblings)
    if a.classes:
        first, last = (int(x) for x in a.classes.split(":"))
        classes = list(range(first, last))
    else:
        first, last = (int(x) for x in a.families.split(":")) if a.families else (0, len(generator.families))
        classes = generator.classes_of(generator.families[first:last], a.each)
    columns = len(generator.kinds) - 1 if a.defects else a.columns
    numbers = np.repeat(classes, columns)
    instances = np.tile(np.arange(columns), len(classes))
    look = dict(pose=a.pose, look=a.look, degrade=a.degrade, zoom=a.zoom)
    images = generator(a.size, numbers, instances, np.zeros(len(numbers)), **look).images
    rows = images.reshape(len(classes), columns, a.size, a.size, 3)
    if a.defects:
        kinds = np.tile(np.arange(1, columns + 1), len(classes))
        damaged, _, _, masks = generator(a.size, numbers, instances, kinds, **look)
        framed = damaged.copy()
        for picture, mask in zip(framed, masks):
            picture[outline(mask > 0)] = (255, 0, 0)
        pair = np.concatenate([damaged, framed], axis=1)
        rows = pair.reshape(len(classes), columns, 2 * a.size, a.size, 3)
    sheet = rows.transpose(0, 2, 1, 3, 4).reshape(len(classes) * rows.shape[2], columns * a.size, 3)
    Image.fromarray(sheet).save(a.out)
    for number in classes:
        print(number, generator.family(number))


if __name__ == "__main__":
    main()
