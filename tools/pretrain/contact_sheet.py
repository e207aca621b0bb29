#!/usr/bin/env python3
"""Sheets of generated pictures, to look at.  usage: contact_sheet.py LIBRARY OUT.png [--option value ...]

Each row is one class: its pictures without a defect, or, with --defects, each without and with one (the changed
pixels framed in red at the right).  Needs numpy and PIL."""
import argparse
import ctypes

import numpy as np
from PIL import Image


class Options(ctypes.Structure):
    """struct generator_options of generator.h"""
    _fields_ = [("struct_size", ctypes.c_uint32), ("size", ctypes.c_int32), ("seed", ctypes.c_uint64),
                ("siblings", ctypes.c_int32), ("threads", ctypes.c_int32), ("pose", ctypes.c_float),
                ("look", ctypes.c_float), ("degrade", ctypes.c_float), ("zoom", ctypes.c_float)]


class Generator:
    def __init__(self, path):
        self.library = ctypes.CDLL(path)
        self.library.generator_family_name.restype = ctypes.c_char_p
        self.library.generator_defect_name.restype = ctypes.c_char_p
        self.library.generator_family_of.argtypes = [ctypes.c_uint64, ctypes.c_int32, ctypes.c_int32]

    def family_of(self, seed, siblings, number):
        return self.library.generator_family_of(seed, siblings, number)

    def family_name(self, family):
        return self.library.generator_family_name(family).decode()

    def draw(self, classes, instances, defects=None, **options):
        """(images (n, size, size, 3), kinds (n), masks (n, size, size))"""
        o = Options(struct_size=ctypes.sizeof(Options), **options)
        classes = np.ascontiguousarray(classes, np.int32)
        instances = np.ascontiguousarray(instances, np.int64)
        defects = np.zeros(len(classes), np.int32) if defects is None else np.ascontiguousarray(defects, np.int32)
        images = np.empty((len(classes), o.size, o.size, 3), np.uint8)
        kinds = np.empty(len(classes), np.int32)
        masks = np.empty((len(classes), o.size, o.size), np.uint8)
        pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in (classes, instances, defects, images, kinds, masks)]
        error = self.library.generator_run(ctypes.byref(o), *pointers[:3], ctypes.c_int64(len(classes)), *pointers[3:])
        if error:
            raise RuntimeError(f"generator_run: error {error}")
        return images, kinds, masks


def classes_of_families(generator, seed, siblings, families, each):
    """The first `each` parents' first classes of every family, by family."""
    found = {family: [] for family in families}
    for number in range(0, 400000, siblings):
        family = generator.family_of(seed, siblings, number)
        if family in found and len(found[family]) < each:
            found[family].append(number)
            if all(len(numbers) == each for numbers in found.values()):
                break
    return [number for family in families for number in found[family]]


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
    generator = Generator(a.library)
    if a.classes:
        first, last = (int(x) for x in a.classes.split(":"))
        classes = list(range(first, last))
    else:
        first, last = (int(x) for x in a.families.split(":")) if a.families else (
            0, generator.library.generator_families())
        classes = classes_of_families(generator, a.seed, a.siblings, list(range(first, last)), a.each)
    columns = generator.library.generator_defect_kinds() if a.defects else a.columns
    options = dict(size=a.size, seed=a.seed, siblings=a.siblings, threads=1, pose=a.pose, look=a.look,
                   degrade=a.degrade, zoom=a.zoom)
    numbers = np.repeat(classes, columns)
    instances = np.tile(np.arange(columns), len(classes))
    images, _, _ = generator.draw(numbers, instances, **options)
    rows = images.reshape(len(classes), columns, a.size, a.size, 3)
    if a.defects:
        damaged, kinds, masks = generator.draw(numbers, instances, np.tile(np.arange(1, columns + 1), len(classes)),
                                               **options)
        framed = damaged.copy()
        for picture, mask in zip(framed, masks):
            picture[outline(mask > 0)] = (255, 0, 0)
        pair = np.concatenate([damaged, framed], axis=1)
        rows = pair.reshape(len(classes), columns, 2 * a.size, a.size, 3)
    sheet = rows.transpose(0, 2, 1, 3, 4).reshape(len(classes) * rows.shape[2], columns * a.size, 3)
    Image.fromarray(sheet).save(a.out)
    for number in classes:
        print(number, generator.family_name(generator.family_of(a.seed, a.siblings, number)))


if __name__ == "__main__":
    main()
