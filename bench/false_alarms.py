#!/usr/bin/env python3
"""How many good images are called anomalous where a rate was promised: the table of docs/accuracy.md.

usage: false_alarms.py BUILD WORK NAME=FOLDER ... [--draws 200] [--images 16,40,100,400] [--ways positions,cross,split]
                       [--test 200] [--minutes M] [--input-size 64] [--set NAME=VALUE ...]
       false_alarms.py --report WORK

BUILD   build folder with the library
WORK    folder for one line of JSON per draw, draws.jsonl; a further run adds those that are missing there
FOLDER  data set in MVTec layout; all its good images, train and test, are one pool, of which near copies (32 x 32
        thumbnails that differ by less than 0.6 % of what two images usually do) are left out but for one: they are no
        new parts, and whether they are told apart is not the question here

A draw takes N images of the pool at random, learns from them with the library, and scores up to --test of the others.
Ways: positions (preset fast: the density at every position, cross-fitted), cross and split (preset compact, both
densities, the flow cross-fitted or a tenth held out).  Pictures are looked at with --input-size pixels and one scale, and
the flow is the one of --set (default: 4 blocks of width 32, 4 epochs, 8 views), so that hundreds of trainings take minutes: what
is asked is how a promise is kept, not how well defects are found.

The table has, for each way, N and rate r: the rate that verdicts of n calibrating images can have at most, k / (n + 1)
with k = floor(r (n + 1)); the observed mean over all draws; and the band in which the mean of so many draws lies in 95 %
of cases if the promise holds exactly: each draw's rate is Beta(k, n + 1 - k), and its tests are binomial.  Draws of one
pool share images, so that the band is too narrow where N is a large part of it.  The last columns: the mean p-value of the
tests ((n + 2) / (2 n + 2) if the promise holds exactly), and in how many draws a monitor that promises one alarm in 1000 images gave one,
beside the most that this promise allows.

Needs numpy.
"""
import argparse
import glob
import json
import os
import sys
import time

import numpy as np

from bench_common import differnet, load_library

RATES = (0.02, 0.05, 0.1)
SIDE = 32  # of a thumbnail
COPY = 0.006
BETWEEN = 1000  # images, at least, between a monitor's alarms
FLOW = {"hidden": 32, "blocks": 4, "epochs": 4, "bank": 8, "views": 8}


# ---- images ----

def read_image(path):
    return differnet.Image.open(path).array()


def thumbnail(pixels):
    """(SIDE x SIDE) means of the gray values, standardised."""
    gray = pixels.mean(2) if pixels.ndim == 3 else pixels.astype(float)
    for axis in (0, 1):
        edges = np.linspace(0, gray.shape[axis], SIDE + 1).astype(int)
        sums = np.add.reduceat(gray, edges[:-1], axis)
        shape = [-1 if a == axis else 1 for a in (0, 1)]
        gray = sums / np.diff(edges).reshape(shape)
    gray = gray.ravel() - gray.mean()
    return gray / max(gray.std(), 1e-6)


def one_of_each(images):
    """The images without near copies of earlier ones."""
    thumbs = np.array([thumbnail(image) for image in images])
    squares = (thumbs ** 2).sum(1)
    distances = squares[:, None] + squares - 2 * thumbs @ thumbs.T
    usual = distances.sum() / (len(images) * (len(images) - 1))
    kept = []
    for i in range(len(images)):
        if not kept or distances[i, kept].min() > COPY * usual:
            kept.append(i)
    return [images[i] for i in kept]


def read_pool(folder):
    paths = sorted(path for part in ("train", "test") for path in glob.glob(os.path.join(folder, part, "good", "*")))
    images = [read_image(path) for path in paths]
    pool = one_of_each(images)
    print(f"{folder}: {len(images)} good images, {len(pool)} without near copies", flush=True)
    return pool


# ---- draws ----

def options_of(way, flow):
    if way == "positions":
        return {"preset": differnet.PRESET_FAST, "folds": flow.get("folds", 0)}
    return {"preset": differnet.PRESET_COMPACT, "heatmap_images": 0, **flow, "calibration":
            differnet.CALIBRATION_CROSS if way == "cross" else differnet.CALIBRATION_SPLIT}


def draw(extractor, pool, way, count, number, arguments):
    order = np.random.RandomState(1000 + number).permutation(len(pool))
    trainer = differnet.Trainer(extractor, seed=number, **options_of(way, arguments.flow))
    for i in order[:count]:
        trainer.add(pool[i])
    model = trainer.run()
    test = [pool[i] for i in order[count:count + arguments.test]]
    p = np.array([score.p_value for score in differnet.Scorer(model).score_batch(test)])
    monitor = differnet.Monitor(good_scores=model.info.holdout_images, images_between_alarms=BETWEEN)
    for value in p:
        monitor.add(value)
    return {"calibrating": model.info.holdout_images, "tests": len(test), "mean": round(float(p.mean()), 4),
            "moved": monitor.state.moved, "alarms": {str(rate): int((p <= rate * (1 + 1e-9)).sum()) for rate in RATES}}


def run(arguments):
    load_library(arguments.build)
    os.makedirs(arguments.work, exist_ok=True)
    path = os.path.join(arguments.work, "draws.jsonl")
    done = {key_of(line) for line in read_lines(path)}
    pools = {}
    for given in arguments.sets:
        name, folder = given.split("=", 1)
        pools[name] = read_pool(folder)
    extractor = differnet.Extractor.default(input_size=arguments.input_size, scales=1)
    ends = time.time() + 60 * arguments.minutes
    with open(path, "a") as file:
        for number in range(arguments.draws):  # all settings equally far whenever it ends
            for name, pool in pools.items():
                for way in arguments.ways:
                    for count in arguments.images:
                        line = {"set": name, "way": way, "images": count, "draw": number}
                        if key_of(line) in done or count > 0.9 * len(pool) or (way == "split" and count < 100):
                            continue  # as well where a tenth promises none of the rates
                        if time.time() > ends:
                            return
                        began = time.process_time()
                        line.update(draw(extractor, pool, way, count, number, arguments))
                        line["seconds"] = round(time.process_time() - began, 2)
                        file.write(json.dumps(line) + "\n")
                        file.flush()


# ---- the table ----

def key_of(line):
    return line["set"], line["way"], line["images"], line["draw"]


def read_lines(path):
    if not os.path.exists(path):
        return []
    with open(path) as file:
        return [json.loads(line) for line in file]


def band(k, n, draws, tests):
    """Mean, and half the width of its 95 % band: of `draws` draws with `tests` tests each."""
    mean = k / (n + 1)
    between = k * (n + 1 - k) / ((n + 1) ** 2 * (n + 2))
    within = (mean * (1 - mean) - between) / tests
    return mean, 1.96 * np.sqrt((between + within) / draws)


def cell(lines, rate):
    """(promised mean, low, high, observed), or None where so few images cannot promise the rate."""
    n = lines[0]["calibrating"]
    k = int(np.floor(rate * (n + 1) + 1e-6))
    if k < 1:
        return None
    observed = np.mean([line["alarms"][str(rate)] / line["tests"] for line in lines])
    mean, half = band(k, n, len(lines), np.mean([line["tests"] for line in lines]))
    return mean, max(mean - half, 0), mean + half, observed


def report(work):
    groups = {}
    for line in read_lines(os.path.join(work, "draws.jsonl")):
        groups.setdefault((line["set"], line["way"], line["images"]), []).append(line)
    print("| set | way | images | calibrating | draws | " + " | ".join(f"at {100 * r:g} %" for r in RATES) + " | mean p | monitor |")
    print("|" + "---|" * (7 + len(RATES)))
    for (name, way, images), lines in sorted(groups.items()):
        cells = []
        for rate in RATES:
            numbers = cell(lines, rate)
            if numbers is None:
                cells.append("-")
                continue
            mean, low, high, observed = (100 * number for number in numbers)
            mark = "" if observed <= high else " above"
            cells.append(f"{observed:.1f} ({low:.1f} to {high:.1f}){mark}")
        cells.append(f"{np.mean([line['mean'] for line in lines]):.3f}")
        cells.append(f"{sum(line['moved'] for line in lines)} ({sum(line['tests'] for line in lines) / BETWEEN:.0f})")
        print(f"| {name} | {way} | {images} | {lines[0]['calibrating']} | {len(lines)} | " + " | ".join(cells) + " |")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", metavar="WORK")
    parser.add_argument("places", nargs="*", metavar="BUILD WORK NAME=FOLDER ...")
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--images", default="16,40,100,400")
    parser.add_argument("--ways", default="positions,cross,split")
    parser.add_argument("--test", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--input-size", type=int, default=64)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    arguments = parser.parse_args()
    if arguments.report:
        return arguments
    if len(arguments.places) < 3:
        parser.error("BUILD, WORK and a data set are needed")
    arguments.build, arguments.work, *arguments.sets = arguments.places
    arguments.images = [int(count) for count in arguments.images.split(",")]
    arguments.ways = arguments.ways.split(",")
    arguments.flow = {**FLOW, **{name: int(value) for name, value in (given.split("=") for given in arguments.set)}}
    return arguments


def main():
    arguments = parse_arguments()
    if arguments.report:
        report(arguments.report)
    else:
        run(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
