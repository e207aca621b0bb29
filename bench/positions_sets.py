#!/usr/bin/env python3
"""Sets in MVTec layout to choose the settings of the density at every position with (positions_variants.py): no test
image of a real set is touched.

usage: positions_sets.py generated LIBRARY SETS [--train N] [--good N] [--defects N]
       positions_sets.py small LIBRARY SETS [--train N] [--good N] [--defects N]
       positions_sets.py oblong LIBRARY SETS [--train N] [--good N] [--defects N]
       positions_sets.py damaged GOOD SET [--good N] [--defects N] [--group PATTERN]
       positions_sets.py whole SET

generated  objects and textures of the generator that backbones are trained with (-Dpretrain=true; LIBRARY is its
           libdiffernet-generator.so), of a seed no training uses, in a fixed pose (turned and moved a little) and a
           free one, with masks
small      objects of the generator in a fixed pose, 1008 pixels wide, with spots and scratches of 15 pixels: what a
           picture that is shrunk to the network's input hardly shows
oblong     the middle half of such pictures, 1008 x 504 pixels, with defects of the same size
damaged    good pictures of the folder GOOD: some kept out, some kept out and damaged (tools/pretrain/damage_set.py, and
           patches of other pictures), with masks of what was changed; links to all others to learn from.  --group keeps
           out whole groups: names that agree in what PATTERN's first bracket matches
whole      adds to any such set, without masks: each good test picture once more, spoilt as a whole or over a large part

Needs numpy and PIL.
"""
import argparse
import os
import re
import sys

import numpy as np
from PIL import Image, ImageFilter

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools", "pretrain"))
import damage_set  # noqa: E402
from generator import Generator  # noqa: E402

SEED, SIZE = 7301, 448
LOOK, DEGRADE, ZOOM = 0.1, 0.3, 0.75  # a station's light is steady; the whole part is in the picture
FIXED, FREE = 0.04, 0.7
GENERATED = [("screw", FIXED), ("screw", FREE), ("gear", FIXED), ("circuit board", FIXED), ("circuit board", FREE),
             ("connector", FIXED), ("leather", FREE), ("brushed", FREE)]
CHANGED = 4  # gray values by which a pixel must differ to be in the mask


def save(pixels, *path):
    path = os.path.join(*path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=1)


def generate(options):
    generator = Generator(options.library, SEED)
    for family, pose in GENERATED:
        number = generator.classes_of([family], 1)[0]
        folder = os.path.join(options.sets, f"{family.replace(' ', '_')}_{'fixed' if pose == FIXED else 'free'}")

        def draw(first, count, kind):
            return generator(SIZE, np.full(count, number), np.arange(first, first + count), np.full(count, kind), pose,
                             LOOK, DEGRADE, ZOOM)
        for i, image in enumerate(draw(0, options.train + options.good, 0).images):
            save(image, folder, "train" if i < options.train else "test", "good", f"{i:03d}.png")
        bad = draw(100000, options.defects, -1)
        for i, (image, kind, mask) in enumerate(zip(bad.images, bad.kinds, bad.masks)):
            if mask.any():
                save(image, folder, "test", generator.kinds[kind], f"{i:03d}.png")
                save(mask, folder, "ground_truth", generator.kinds[kind], f"{i:03d}_mask.png")


SMALL_SIZE, SMALL_DEFECT = 1008, 15  # pixels
SMALL = ["circuit board", "gear", "connector"]


def small_defect(image, number, rng):
    """A spot or a scratch, lighter or darker than what is there, on the part: a picture and its mask."""
    part = np.abs(image.astype(float) - image[2, 2].astype(float)).max(2) > 24
    y, x = rng.choice(np.argwhere(part))
    v, u = np.mgrid[:image.shape[0], :image.shape[1]].astype(float)
    angle = rng.uniform(0, np.pi)
    along = (u - x) * np.cos(angle) + (v - y) * np.sin(angle)
    across = (v - y) * np.cos(angle) - (u - x) * np.sin(angle)
    width = SMALL_DEFECT / 2 if number % 2 else SMALL_DEFECT / 8
    inside = np.clip(1.5 - np.hypot(along / (SMALL_DEFECT / 2), across / width), 0, 0.5) * 2
    change = inside * rng.choice((-1, 1)) * rng.uniform(45, 70)
    new = np.clip(np.round(image + change[..., None]), 0, 255).astype(np.uint8)
    return new, 255 * (inside > 0.5).astype(np.uint8)


def small(options):
    generator = Generator(options.library, SEED)
    rng = np.random.default_rng(SEED)
    for family in SMALL:
        number = generator.classes_of([family], 1)[0]
        folder = os.path.join(options.sets, family.replace(" ", "_"))
        count = options.train + options.good + options.defects
        for i in range(count):
            image = generator(SMALL_SIZE, np.full(1, number), np.full(1, i), np.zeros(1, int), FIXED, LOOK, DEGRADE,
                              ZOOM).images[0]
            if options.command == "oblong":
                image = image[SMALL_SIZE // 4:SMALL_SIZE * 3 // 4]
            if i >= options.train + options.good:
                kind = "spot" if i % 2 else "scratch"
                image, mask = small_defect(image, i, rng)
                save(mask, folder, "ground_truth", kind, f"{i:03d}_mask.png")
                save(image, folder, "test", kind, f"{i:03d}.png")
            else:
                save(image, folder, "train" if i < options.train else "test", "good", f"{i:03d}.png")


def pasted(image, site, rng, other):
    """A patch of another good picture in the same place or another one."""
    other = np.asarray(Image.fromarray(other).resize(image.shape[::-1]), float)
    shift = rng.integers(0, 2) * rng.integers(0, min(image.shape), 2)
    inside = damage_set.blurred(255 * (site.ellipse(rng) < 2), 0.7) / 255
    return image * (1 - inside) + np.roll(other, shift, (0, 1)) * inside


def damage(path, number, rng, other_path):
    """An image (height, width, 3) with one damage, its kind, and the mask."""
    rgb = np.asarray(Image.open(path).convert("RGB"), float)
    gray, site = np.asarray(Image.open(path).convert("L"), float), None
    kinds = damage_set.KINDS + [pasted]
    kind = kinds[number % len(kinds)]
    for _ in range(20):
        site = damage_set.Site(gray, rng)
        more = (np.asarray(Image.open(other_path).convert("L")),) if kind is pasted else ()
        change = kind(gray, site, rng, *more) - gray
        new = np.clip(np.round(rgb + change[..., None]), 0, 255).astype(np.uint8)
        mask = Image.fromarray(255 * (np.abs(new - rgb).max(2) > CHANGED).astype(np.uint8))
        mask = np.asarray(mask.filter(ImageFilter.MaxFilter(5)).filter(ImageFilter.MinFilter(3)))
        if mask.mean() > 255 * 0.0004:
            return new, kind.__name__, mask
    return new, kind.__name__, mask


def damaged(options):
    rng = np.random.default_rng(SEED)
    names = sorted(os.listdir(options.folder))
    key = (lambda name: re.search(options.group, name).group(1)) if options.group else (lambda name: name)
    groups = sorted(set(map(key, names)))
    order = dict(zip(groups, rng.permutation(len(groups))))
    names = sorted(rng.permutation(names), key=lambda name: order[key(name)])
    held = options.good + options.defects
    boundary = key(names[held - 1])
    learned = [name for name in names[held:] if key(name) != boundary]
    kept = rng.permutation(names[:held])
    for name in learned:
        os.makedirs(os.path.join(options.set, "train", "good"), exist_ok=True)
        os.symlink(os.path.join(os.path.abspath(options.folder), name),
                   os.path.join(options.set, "train", "good", name))
    for i, name in enumerate(kept):
        path, stem = os.path.join(options.folder, name), os.path.splitext(name)[0]
        if i < options.good:
            save(np.asarray(Image.open(path).convert("RGB")), options.set, "test", "good", stem + ".png")
            continue
        image, kind, mask = damage(path, i, rng, os.path.join(options.folder, learned[rng.integers(len(learned))]))
        save(image, options.set, "test", kind, stem + ".png")
        save(mask, options.set, "ground_truth", kind, stem + "_mask.png")


def faded(image, contrast, rng):
    return image.mean() + rng.uniform(0.7, 0.9) * (image - image.mean())


def dark(image, contrast, rng):
    return rng.uniform(0.75, 0.88) * image


def out_of_focus(image, contrast, rng):
    return damage_set.blurred(image, rng.uniform(0.002, 0.004) * min(image.shape))


def field(shape, period, rng):
    """Smooth noise of deviation 1."""
    coarse = rng.normal(size=[max(2, int(np.ceil(side / period))) for side in shape]).astype(np.float32)
    fine = np.asarray(Image.fromarray(coarse).resize(shape[::-1], Image.BICUBIC))
    return (fine - fine.mean()) / fine.std()


def uneven(image, contrast, rng):
    return image + rng.uniform(0.2, 0.5) * contrast * field(image.shape, rng.uniform(0.2, 0.5) * min(image.shape), rng)


def rough(image, contrast, rng):
    return image + rng.uniform(0.05, 0.15) * contrast * field(image.shape, rng.uniform(0.005, 0.02) * min(image.shape), rng)


def soiled(image, contrast, rng):
    """A quarter to a half of it darker or lighter."""
    large = field(image.shape, rng.uniform(0.3, 0.6) * min(image.shape), rng)
    inside = np.clip(8 * (large - np.quantile(large, rng.uniform(0.5, 0.75))), 0, 1)
    return image + rng.choice((-1, 1)) * rng.uniform(0.1, 0.3) * contrast * inside


WHOLE = [faded, dark, out_of_focus, uneven, rough, soiled]


def whole(options):
    rng = np.random.default_rng(SEED)
    good = os.path.join(options.set, "test", "good")
    for i, name in enumerate(sorted(os.listdir(good))):
        kind = WHOLE[i % len(WHOLE)]
        rgb = np.asarray(Image.open(os.path.join(good, name)).convert("RGB"), float)
        gray = rgb.mean(2)
        new = rgb + (kind(gray, gray.std() + 8, rng) - gray)[..., None]
        save(np.clip(np.round(new), 0, 255).astype(np.uint8), options.set, "test", kind.__name__,
             os.path.splitext(name)[0] + ".png")


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("generated")
    command.add_argument("library")
    command.add_argument("sets")
    command.add_argument("--train", type=int, default=100)
    command.set_defaults(run=generate, good=30, defects=40)
    for name in ("small", "oblong"):
        command = commands.add_parser(name)
        command.add_argument("library")
        command.add_argument("sets")
        command.add_argument("--train", type=int, default=40)
        command.set_defaults(run=small, good=30, defects=40)
    command = commands.add_parser("damaged")
    command.add_argument("folder", metavar="GOOD")
    command.add_argument("set")
    command.add_argument("--group")
    command.set_defaults(run=damaged, good=60, defects=70)
    for command in commands.choices.values():  # of those above
        command.add_argument("--good", type=int)
        command.add_argument("--defects", type=int)
    command = commands.add_parser("whole")
    command.add_argument("set")
    command.set_defaults(run=whole)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
