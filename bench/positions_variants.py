#!/usr/bin/env python3
"""Variants of the density at every position, one change at a time, on sets made by positions_sets.py.

usage: positions_variants.py SETS CACHE [--sets NAME:IMAGES,...] [--variants FIELD=VALUE,FIELD=VALUE ...]
                             [--copies KIND=AMOUNT,...] [--size PIXELS] [--backbone FILE] [--results FILE]

SETS      folder of data sets in MVTec layout; CACHE: folder for the maps (1.6 MB a picture)
--sets    which, and from how many images is learned (:all for all)
--variants  changes to the settings of positions_density.py, each string one variant; the default settings come first

Copies of the pictures, to learn from beside them: --copies gain=0.93,gain=1.07,blur=0.6,noise=2.5

A variant's line: image AUROC by several rules that make an image's score from its map, then pixel AUROC and AUPRO
(30 %), then the share of good test images above the 5 % and 10 % thresholds of the cross-fitted scores.

Needs numpy, scipy, PIL and torch.
"""
import argparse
import json
import os
import time

import numpy as np
import torch

from accuracy import auroc
from positions_density import Masks, Model, Settings, damped, either, highest, stand_out, standard
from positions_features import Extractor, listing

torch.set_num_threads(1)
HERE = os.path.dirname(os.path.abspath(__file__))


def image_scores(maps, good):
    """Rules by which a map becomes a score: maps (n, g, g) of the test and of cross-fitted good pictures, smoothed.
    Returns {rule: (test scores, good scores)}."""
    rules = {}
    for name, share in (("max", 0), ("top1", 0.01), ("top5", 0.05), ("mean", 1)):
        rules[name] = highest(maps, share), highest(good, share)
    both, good_both = stand_out(maps, good)
    rules["max+mean"] = tuple(sum(damped(standard(rules[r][i], rules[r][1])) for r in ("max", "mean")) for i in (0, 1))
    rules["local"], rules["whole"] = ((t, g) for t, g in zip(both, good_both))
    rules["either"] = either(*both), either(*good_both)
    return rules


def false_alarms(scores, labels, good, rate):
    n = len(good)
    above = (good[None, :] >= scores[~labels][:, None]).sum(1)
    return ((above + 1) / (n + 1) <= rate).mean()


class Bench:
    def __init__(self, options):
        self.options = options
        self.extract = Extractor(options.backbone, options.cache, options.size)
        self.masks = {}

    def pick(self, train, images, seed):
        order = np.random.default_rng(seed).permutation(len(train))
        return np.sort(order[:images]) if images else np.arange(len(train))

    def load(self, name, images, seed, scales):
        train, test = listing(os.path.join(self.options.sets_folder, name))
        if name not in self.masks:
            self.masks[name] = Masks(test)
        paths = [f for f, _, _ in test]
        picked = self.pick(train, images, seed)
        chosen = [train[i] for i in picked]
        maps, owner = [self.extract(chosen, scales=scales)], [picked]
        for copy in filter(None, self.options.copies.split(",")):
            kind, amount = copy.split("=")
            maps.append(self.extract(chosen, ((kind, float(amount)),), scales=scales))
            owner.append(picked)
        labels = np.array([bad for _, bad, _ in test])
        return np.concatenate(maps), np.concatenate(owner), self.extract(paths, scales=scales), labels, self.masks[name]

    def run(self, name, images, settings, seed=0, label=""):
        begun = time.monotonic()
        train, owner, test, labels, masks = self.load(name, images, seed, settings.scales)
        model = Model(train, settings, seed, owner)
        distances = model.distances(test)
        maps, cross = model.smoothed(distances), model.smoothed(model.cross)
        rules = image_scores(maps, cross)
        if self.options.dump:
            np.savez(os.path.join(self.options.dump, f"{name}_{images}_{label or 'default'}.npz"), labels=labels,
                     test=distances.numpy(), cross=model.cross.numpy())
        result = {"set": name, "images": len(model.cross),
                  "rules": {r: auroc(s[~labels], s[labels]) for r, (s, _) in rules.items()},
                  "alarms": [[false_alarms(s, labels, g, rate) for rate in (0.05, 0.1)] for s, g in
                             (rules["max"], rules["either"])],
                  "loss": float(np.mean(model.cross_loss)) if model.cross_loss else None}
        if masks.any:
            result["pixel"], result["aupro"] = masks.figures(model.shown(maps))
        result["seconds"] = time.monotonic() - begun
        return result


def parse(text):
    changes = dict(part.split("=", 1) for part in text.replace(";", "|").split("|") if part)
    types = {f: type(getattr(Settings(), f)) for f in Settings.__dataclass_fields__}
    return {name: (value == "True" if types[name] is bool else types[name](value)) for name, value in changes.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("sets_folder", metavar="SETS")
    parser.add_argument("cache", metavar="CACHE")
    parser.add_argument("--sets", required=True)
    parser.add_argument("--variants", nargs="*", default=[])
    parser.add_argument("--copies", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backbone", default=os.path.join(HERE, "..", "lib", "backbone", "default.safetensors"))
    parser.add_argument("--size", type=int, default=448, help="side of the pictures before the network")
    parser.add_argument("--results")
    parser.add_argument("--dump", help="folder to keep each variant's distances in")
    options = parser.parse_args()
    bench = Bench(options)
    for text in options.variants or [""]:
        for entry in options.sets.split(","):
            name, _, images = entry.partition(":")
            result = bench.run(name, 0 if images in ("", "all") else int(images), Settings(**parse(text)), options.seed,
                               text)
            result["variant"] = text or "default"
            rules = " ".join(f"{r} {v:.3f}" for r, v in result["rules"].items())
            print(f"{text or 'default':20s} {name:20s} {result['images']:4d} {rules}  px {result.get('pixel', 0):.3f} "
                  f"pro {result.get('aupro', 0):.3f} alarms "
                  f"{' '.join(f'{a:.2f}/{b:.2f}' for a, b in result['alarms'])} [{result['seconds']:.0f} s]",
                  flush=True)
            if options.results:
                with open(options.results, "a") as file:
                    file.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
