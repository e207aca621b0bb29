#!/usr/bin/env python3
"""The accuracy table of docs/accuracy.md: image AUROC of several backbones that learn from many and from few images.

usage: accuracy.py BUILD DATA WORK [--backbone NAME=FILE ...] [--images all,100,50,16] [--seeds 3] [--bank 32]
                   [--views 32] [--kinds KIND,...] [--threads N] [--set NAME=VALUE ...] [--quick]

BUILD  build folder (meson setup BUILD -Dbuildtype=release -Dbench=true)
DATA   data set in MVTec layout, or a folder of such data sets
WORK   folder for what is computed: features (feature_store.py), one JSON file per training, and accuracy.json
       with all figures, scores and settings.  A further run computes only what is missing there.

Backbones are the library's default, AlexNet with random weights (seed 0), and those given: safetensors files as
`differnet train --backbone` takes them.  Each learns as `differnet train` does with the library's own defaults, a
tenth of the images kept out, from N of the training images chosen as its --images chooses them.  AUROC is of the
last epoch, never of the best.  The deviation over the seeds is that of a sample (n - 1).

Each backbone looks at each image once, under --bank angles for learning and --views for the test: all trainings draw
from these features.  Seeds therefore differ in the choice of images, the held-out ones, the flow's permutations and
first weights and the order of batches, but not in the angles: `differnet train` draws these by its seed too, 64 of
them, and scores under 64 more.  Held-out images are scored under their --bank angles; keep both numbers equal if the
verdicts matter, since the mean of more views scatters less.

False alarms: share of the good test images that a verdict at a rate of 5 % calls anomalous, and the rate it promises,
which is more than 5 % where fewer than 19 images were kept out.  Good/held-out: median score of the good test images
over that of the held-out ones; 1 if the flow knows good images it has not seen.

--quick is for choosing among backbones: one seed, all images, 16 angles, and one line per data set.  Never choose by
the test images whose figure is to be reported.

Needs numpy.
"""
import argparse
import itertools
import json
import os
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import feature_store
from bench_common import default_options, differnet, load_library, write_json

RATE = 0.05  # of false alarms
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
ROWS_AT_ONCE = 512


# ---- training and scoring ----

def file_crc(path):
    with open(path, "rb") as file:
        return f"{zlib.crc32(file.read()):08x}"


def identify(program, backbone, settings):
    """What a training's result depends on."""
    options = {**default_options(), "bank": backbone.bank.shape[1], "heatmap_images": 0}
    ignored = ("threads", "checkpoint", "checkpoint_epochs", "resume", "views", "angles")
    return {"options": {name: value for name, value in {**options, **settings}.items() if name not in ignored},
            "program_crc32": file_crc(program), "library": differnet.version(), "corename": differnet.blas_corename(),
            "backbone_id": backbone.id,
            "features": [os.path.basename(part) for part in (backbone.bank_path, backbone.test_path)]}


def run_training(program, backbone, settings, threads, model_path):
    """Trains and saves a model.  Returns losses by epoch, held-out images and seconds."""
    command = [program, backbone.bank_path, backbone.source, model_path, f"threads={threads}"]
    command += [f"{name}={value}" for name, value in settings.items()]
    begun, before = time.monotonic(), os.times()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    lines = [line.split() for line in done.stdout.splitlines()]
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"losses": [float(line[1]) for line in lines if line[0] != "holdout"],
            "holdout_images": [int(index) for index in lines[-1][1:]],
            "seconds": round(time.monotonic() - begun, 1), "cpu_seconds": round(cpu, 1)}


def score(model, features, threads):
    """Scores of images (images, views, dimension): mean of z^2 over views and dimensions."""
    images, views, dimension = features.shape
    mean, deviation = (np.array(part, np.float32) for part in (model.feature_mean, model.feature_deviation))
    rows, flow = features.reshape(-1, dimension), model.flow

    def score_rows(first):
        z, _ = flow.forward((rows[first:first + ROWS_AT_ONCE] - mean) / deviation)
        return (z.astype(np.float64) ** 2).mean(1)

    if images == 0:
        return []
    with ThreadPoolExecutor(threads) as pool:  # calls release the interpreter lock
        scores = np.concatenate(list(pool.map(score_rows, range(0, len(rows), ROWS_AT_ONCE))))
    return [float(f"{value:.7g}") for value in scores.reshape(images, views).mean(1)]


class Backbone:
    """A backbone and its features of one data set."""

    def __init__(self, name, source, extractor, data, arguments):
        self.name, self.source, self.info = name, source, extractor.info
        self.id = f"{self.info.id:08x}"
        folder, threads = os.path.join(arguments.work, "features"), arguments.threads
        os.makedirs(folder, exist_ok=True)
        paths, self.kinds = feature_store.test_images(data)
        self.bank_path = feature_store.compute(extractor, name, data, feature_store.TRAIN,
                                               feature_store.training_images(data), arguments.bank, folder, threads)
        self.test_path = feature_store.compute(extractor, name, data, feature_store.TEST, paths, arguments.views,
                                               folder, threads)
        self.bank, self.bank_facts = feature_store.load(self.bank_path)
        self.test, self.test_facts = feature_store.load(self.test_path)

    def seconds_per_view(self):
        views = self.bank[..., 0].size + self.test[..., 0].size
        return (float(self.bank_facts["cpu_seconds"]) + float(self.test_facts["cpu_seconds"])) / views


def result_of(backbone, images, seed, arguments):
    """One training and its scores, from WORK if they are there."""
    program = os.path.join(arguments.build, "bench", "train_on_bank")
    settings = {"images": images, "seed": seed, **arguments.settings}
    identity = identify(program, backbone, settings)
    crc = zlib.crc32(json.dumps(identity, sort_keys=True).encode())
    path = os.path.join(arguments.work, "runs", f"{backbone.id}-{images}-{seed}-{crc:08x}.json")
    if os.path.exists(path):
        with open(path) as file:
            return json.load(file)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    model_path = path + ".dnm"
    result = {**identity, "images": images, "seed": seed,
              **run_training(program, backbone, settings, arguments.threads, model_path)}
    with differnet.Model.open(model_path) as model:
        result["test_scores"] = score(model, backbone.test, arguments.threads)
        result["holdout_scores"] = score(model, backbone.bank[result["holdout_images"]], arguments.threads)
    os.remove(model_path)
    write_json(path, result)
    return result


# ---- figures ----

def auroc(good, bad):
    """Probability that a defective image scores above a good one; equal scores count half."""
    ordered = np.sort(good)
    below = np.searchsorted(ordered, bad, "left") + np.searchsorted(ordered, bad, "right")
    return float(below.mean() / 2 / len(ordered))


def quantiles(scores):
    return {f"{share:g}": float(np.quantile(scores, share)) for share in QUANTILES} if len(scores) else None


def false_alarms(good, holdout):
    """(measured, promised) rate, by p-values as in lib/differnet/calibrate.c; None without held-out scores."""
    if not len(holdout):
        return None
    promised = max(RATE, 1 / (len(holdout) + 1))
    above = len(holdout) - np.searchsorted(np.sort(holdout), good, "left")
    return float(((1 + above) / (len(holdout) + 1) <= promised + 1e-9).mean()), promised


def figures_of(result, kinds, wanted):
    """Figures of one training; wanted: the defects that count."""
    scores, holdout = np.array(result["test_scores"]), np.array(result["holdout_scores"])
    good = scores[kinds == "good"]
    return {"auroc": auroc(good, scores[np.isin(kinds, wanted)]),
            "kinds": {kind: auroc(good, scores[kinds == kind]) for kind in wanted},
            "false_alarms": false_alarms(good, holdout),
            "good_over_holdout": float(np.median(good) / np.median(holdout)) if len(holdout) else None,
            "good_quantiles": quantiles(good), "holdout_quantiles": quantiles(holdout)}


def wanted_kinds(kinds, asked):
    there = [kind for kind in dict.fromkeys(kinds.tolist()) if kind != "good"]
    missing = set(asked or []) - set(there)
    if missing:
        raise SystemExit(f"no such defect: {', '.join(sorted(missing))}; there are {', '.join(there)}")
    return [kind for kind in there if not asked or kind in asked]


# ---- output ----

def mean_and_deviation(values):
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def table_row(name, images, rows, wanted):
    figures = [row["figures"] for row in rows]
    cells = [name, str(images), mean_and_deviation([f["auroc"] for f in figures])]
    cells += [mean_and_deviation([f["kinds"][kind] for f in figures]) for kind in wanted]
    alarms = [f["false_alarms"] for f in figures if f["false_alarms"]]
    ratios = [f["good_over_holdout"] for f in figures if f["good_over_holdout"] is not None]
    cells.append(f"{np.mean([a[0] for a in alarms]):.3f} ({alarms[0][1]:.3f})" if alarms else "-")
    cells.append(f"{np.median(ratios):.3g}" if ratios else "-")
    return "| " + " | ".join(cells) + " |"


def print_table(title, rows, wanted):
    """rows: the data set's trainings, in order."""
    heads = ["backbone", "images", "all defects", *wanted, "false alarms (promised)", "good/held-out"]
    print(f"\n{title}\n\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for (name, images), group in itertools.groupby(rows, lambda row: (row["backbone"], row["images"])):
        print(table_row(name, images, list(group), wanted))


def print_quick(rows):
    """One line per data set and number of images, the backbones side by side, then their mean."""
    names = list(dict.fromkeys(row["backbone"] for row in rows))
    lines = {}
    for row in rows:
        line = lines.setdefault((row["data"], row["images_asked"]), {})
        line.setdefault(row["backbone"], []).append(row["figures"]["auroc"])
    width = max(len("mean"), *(len(data) for data, _ in lines))
    print(f"{'':{width}} {'images':>6} " + " ".join(f"{name:>12}" for name in names))
    for (data, asked), line in lines.items():
        print(f"{data:{width}} {asked:>6} " + " ".join(f"{np.mean(line[name]):12.4f}" for name in names))
    if len({data for data, _ in lines}) > 1:
        means = [np.mean([np.mean(line[name]) for line in lines.values()]) for name in names]
        print(f"{'mean':{width}} {'':>6} " + " ".join(f"{mean:12.4f}" for mean in means))


# ---- the run ----

def data_sets(data):
    """Names and folders of the data sets: DATA itself, or the folders in it that have a train folder."""
    data = os.path.normpath(data)
    if os.path.isdir(os.path.join(data, "train")):
        return [(os.path.basename(data), data)]
    inside = [(name, os.path.join(data, name)) for name in sorted(os.listdir(data) if os.path.isdir(data) else [])]
    found = [(name, folder) for name, folder in inside if os.path.isdir(os.path.join(folder, "train"))]
    if not found:
        raise SystemExit(f"{data}: neither a data set in MVTec layout nor a folder of such data sets")
    return found


def open_backbones(arguments):
    """(name, source for train_on_bank, extractor) of each backbone."""
    built_in = {"default": differnet.Extractor.default, "random": differnet.Extractor.random}
    for name in filter(None, arguments.built_in.split(",")):
        if name not in built_in:
            raise SystemExit(f"--built-in: {name}: there are {', '.join(built_in)}")
        yield name, name, built_in[name]()
    for given in arguments.backbone:
        name, equals, path = given.partition("=")
        if not (name and equals and path):
            raise SystemExit(f"--backbone {given}: NAME=FILE is needed")
        yield name, os.path.abspath(path), differnet.Extractor.open(path)


def image_counts(asked, there):
    """(as asked, number) without repetition; numbers above what is there mean all."""
    counts = {}
    for text in asked.split(","):
        if text != "all" and not (text.isdigit() and int(text) > 0):
            raise SystemExit(f"--images: {text}: numbers above 0, or all, are needed")
        count = there if text == "all" else min(int(text), there)
        counts.setdefault(count, text)
    return [(text, count) for count, text in counts.items()]


def run_set(name, data, extractors, arguments):
    """All trainings on one data set: (rows, wanted kinds, test images by kind)."""
    rows, wanted, kinds = [], None, None
    for title, source, extractor in extractors:
        backbone = Backbone(title, source, extractor, data, arguments)
        kinds, wanted = backbone.kinds, wanted_kinds(backbone.kinds, arguments.kinds)
        if arguments.features_only:
            continue
        for asked, images in image_counts(arguments.images, len(backbone.bank)):
            for seed in range(arguments.seeds):
                result = result_of(backbone, images, seed, arguments)
                row = {"data": name, "backbone": title, "images_asked": asked,
                       "ms_per_view": 1e3 * backbone.seconds_per_view(),
                       "figures": figures_of(result, kinds, wanted), **result}
                rows.append(row)
                print(f"{name}, {title}, {images} images, seed {seed}: AUROC {row['figures']['auroc']:.4f}, "
                      f"trained in {result['seconds']:.0f} s", file=sys.stderr, flush=True)
    return rows, wanted, kinds


def parse_arguments():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].split("\n\n")[0])
    for name in ("build", "data", "work"):
        parser.add_argument(name)
    parser.add_argument("--backbone", nargs="+", action="extend", default=[], metavar="NAME=FILE")
    parser.add_argument("--built-in", default="default,random", help="the library's own to measure; default: both")
    parser.add_argument("--images", help="numbers of training images, by commas; all: as many as there are")
    parser.add_argument("--seeds", type=int, help="trainings of each kind, with seeds 0, 1, ...")
    parser.add_argument("--bank", type=int, help="angles under which training images are seen")
    parser.add_argument("--views", type=int, help="angles under which test images are seen")
    parser.add_argument("--kinds", type=lambda text: text.split(","), help="defects to measure; default: all")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", dest="settings",
                        help="another training setting than the library's default (see train_on_bank.c)")
    parser.add_argument("--quick", action="store_true", help="one seed, all images, 16 angles, one line per data set")
    parser.add_argument("--features-only", action="store_true", help="compute the features, train nothing")
    arguments = parser.parse_args()
    defaults = ("all", 1, 16, 16) if arguments.quick else ("all,100,50,16", 3, 32, 32)
    for name, value in zip(("images", "seeds", "bank", "views"), defaults):
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    if min(arguments.seeds, arguments.bank, arguments.views, arguments.threads) < 1:
        parser.error("--seeds, --bank, --views and --threads are at least 1")
    arguments.settings = dict(text.partition("=")[::2] for text in arguments.settings)
    return arguments


def check_settings(settings):
    """Refuses what is no option of the training, and what this command decides itself."""
    allowed = set(default_options()) - {"seed", "bank", "threads", "views", "heatmap_images"}
    for name, value in settings.items():
        if name not in allowed or not value:
            raise SystemExit(f"--set {name}={value}: NAME=VALUE is needed, NAME one of {', '.join(sorted(allowed))}")


def main():
    arguments = parse_arguments()
    load_library(arguments.build)
    check_settings(arguments.settings)
    extractors, results = list(open_backbones(arguments)), []
    for name, data in data_sets(arguments.data):
        rows, wanted, kinds = run_set(name, data, extractors, arguments)
        results += rows
        if rows and not arguments.quick:
            print_table(f"{name}: {(kinds == 'good').sum()} good, {np.isin(kinds, wanted).sum()} defective test "
                        f"images; {arguments.seeds} seed(s)", rows, wanted)
    if not results:
        return
    if arguments.quick:
        print_quick(results)
    write_json(os.path.join(arguments.work, "accuracy.json"), {"arguments": vars(arguments), "results": results})


if __name__ == "__main__":
    try:
        main()
    except (differnet.Error, OSError) as error:
        sys.exit(str(error))
