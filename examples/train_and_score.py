#!/usr/bin/env python3
"""Learns from a folder of good pictures, scores others, and draws where the anomalies are.

    python3 train_and_score.py FOLDER_OF_GOOD_PICTURES PICTURE...

Ctrl-C stops it at any time; the same command goes on from there.
"""
import argparse
import os
import sys

import differnet

PHASES = {differnet.PHASE_FEATURES: "features", differnet.PHASE_TRAIN: "training",
          differnet.PHASE_HOLDOUT: "held-out pictures", differnet.PHASE_HEATMAP: "heat maps",
          differnet.PHASE_MAPS: "feature maps", differnet.PHASE_POSITIONS: "positions",
          differnet.PHASE_FOLDS: "folds", differnet.PHASE_COPIES: "copies"}


def train(folder, backbone, epochs):
    extractor = differnet.Extractor.open(backbone) if backbone else differnet.Extractor.default()
    trainer = differnet.Trainer(extractor, epochs=epochs, threads=2, checkpoint="part.state", resume=1)
    for name in sorted(os.listdir(folder)):
        if name.lower().endswith((".png", ".jpg", ".jpeg")):
            trainer.add(os.path.join(folder, name))

    def report(progress):
        phase = PHASES.get(progress.phase, "further work")
        print(f"\r{phase}: {progress.done} of {progress.total}    ", end="", file=sys.stderr)

    model = trainer.run(report)
    print(file=sys.stderr)
    return model


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("good")
    parser.add_argument("pictures", nargs="+")
    parser.add_argument("--backbone", help="default: the built-in one")
    parser.add_argument("--epochs", type=int, default=64)
    given = parser.parse_args()

    model = train(given.good, given.backbone, given.epochs)
    model.save("part.dnm")
    localizer = differnet.Localizer(model)
    results = differnet.Scorer(model, false_alarm_rate=0.05).score_batch(given.pictures)
    for path, result in zip(given.pictures, results):
        if isinstance(result, differnet.Error):
            print(f"{path}: {result}")
            continue
        print(f"{path}: score {result.score:.3f}, {'anomalous' if result.anomalous else 'normal'}")
        if result.anomalous:
            drawn = os.path.splitext(os.path.basename(path))[0] + "_map.png"
            differnet.write_png(differnet.overlay(path, localizer.map(path)), drawn)


if __name__ == "__main__":
    main()
