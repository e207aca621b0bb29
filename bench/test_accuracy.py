#!/usr/bin/env python3
"""Tests of accuracy.py, feature_store.py and train_on_bank.  usage: test_accuracy.py BUILD [unittest arguments]"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

try:
    import numpy as np
except ImportError:
    print("skipped: no numpy")
    sys.exit(77)

BUILD = os.path.abspath(sys.argv.pop(1))
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import accuracy  # noqa: E402
import feature_store  # noqa: E402
from bench_common import differnet, load_library, safetensors_io  # noqa: E402

BACKBONE = os.path.join(HERE, "..", "tests", "golden", "cnn_alexnet.safetensors")
TRAIN_ON_BANK = os.path.join(BUILD, "bench", "train_on_bank")
WORK = tempfile.mkdtemp(prefix="differnet-accuracy-")
SMALL = {"epochs": 3, "hidden": 8}


def path(*parts):
    return os.path.join(WORK, *parts)


def draw(name, seed, spot=0):
    """A noisy picture; spot: side of a white square."""
    pixels = np.random.RandomState(seed).randint(60, 160, (40, 48)).astype(np.uint8)
    pixels[8:8 + spot, 8:8 + spot] = 255
    os.makedirs(os.path.dirname(name), exist_ok=True)
    differnet.write_png(pixels, name)


def make_set(root):
    """12 training images, 5 good test images, 2 + 3 defective ones."""
    for i in range(12):
        draw(os.path.join(root, "train", "good", f"{i}.png"), i)
    for i in range(5):
        draw(os.path.join(root, "test", "good", f"{i}.png"), 100 + i)
    for i in range(5):
        draw(os.path.join(root, "test", "large" if i < 2 else "small", f"{i}.png"), 200 + i, 20 if i < 2 else 2)


def train_on_bank(bank, **settings):
    """(model, output) of train_on_bank."""
    out = path("model.dnm")
    command = [TRAIN_ON_BANK, bank, BACKBONE, out] + [f"{name}={value}" for name, value in settings.items()]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return differnet.Model.open(out), lines


def run(*arguments):
    """accuracy.py on the small set: standard output, standard error."""
    command = [sys.executable, os.path.join(HERE, "accuracy.py"), BUILD, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def setUpModule():
    make_set(path("set"))


def tearDownModule():
    shutil.rmtree(WORK)


class TrainOnBankTest(unittest.TestCase):
    """train_on_bank gives the flow that the library's trainer gives."""

    def library_model(self, holdout, checkpoint=None):
        options = {"seed": 5, "bank": 6, "holdout": holdout, "views": 2, "heatmap_images": 0,
                   "calibration": differnet.CALIBRATION_SPLIT, **SMALL}
        if checkpoint:
            options["checkpoint"] = checkpoint
        trainer = differnet.Trainer(differnet.Extractor.open(BACKBONE), **options)
        for image in feature_store.training_images(path("set")):
            trainer.add(image)
        return trainer.run()

    def test_same_bits_as_the_trainer(self):
        whole = self.library_model(0, path("train.ckpt"))
        bank = path("train.ckpt.bank")
        self.assertEqual(train_on_bank(bank, seed=5, holdout=0, **SMALL)[0].flow.to_bytes(), whole.flow.to_bytes())
        # A view depends on seed and image only: the bank of all images serves a training that keeps some out.
        held = self.library_model(0.25)
        again, lines = train_on_bank(bank, seed=5, holdout=0.25, **SMALL)
        self.assertEqual(again.flow.to_bytes(), held.flow.to_bytes())
        self.assertEqual(list(again.feature_mean), list(held.feature_mean))
        self.assertEqual(len(lines), 3 + 1)
        self.assertEqual(len(lines[-1].split()), 1 + held.info.holdout_images)
        self.assertNotEqual(again.flow.to_bytes(), whole.flow.to_bytes())

    def test_chooses_images_evenly(self):
        """Image i's features are 1 in dimension i and 0 elsewhere: the mean tells which were learned from."""
        features = np.zeros((12, 3, 30), np.float32)
        features[np.arange(12), :, np.arange(12)] = 1
        safetensors_io.save(path("all.bank"), {"features": features})
        seen = set()
        for seed in range(4):
            model, lines = train_on_bank(path("all.bank"), images=5, seed=seed, holdout=0.4, epochs=0)
            held = [int(number) for number in lines[-1].split()[1:]]
            learned = np.flatnonzero(model.feature_mean).tolist()
            self.assertEqual((len(learned), len(held)), (3, 2))
            chosen = sorted(learned + held)
            for i, number in enumerate(chosen):  # one of each fifth
                self.assertTrue(i * 12 // 5 <= number < (i + 1) * 12 // 5, chosen)
            seen.add(tuple(chosen))
        self.assertGreater(len(seen), 1)

    def test_refuses(self):
        safetensors_io.save(path("odd.bank"), {"features": np.zeros((3, 2, 31), np.float32)})
        safetensors_io.save(path("few.bank"), {"features": np.zeros((3, 2, 30), np.float32)})
        for bank, setting, message in (
                ("odd", "seed=1", "features"), ("few", "images=4", "only 3"), ("few", "images=-1", "images=-1"),
                ("few", "depth=2", "depth=2"), ("few", "seed=1.5", "seed=1.5"), ("few", "hidden", "hidden"),
                ("few", "hidden=0", "hidden"), ("none", "seed=1", "none.bank")):
            done = subprocess.run([TRAIN_ON_BANK, path(bank + ".bank"), BACKBONE, path("no.dnm"), setting],
                                  capture_output=True, text=True)
            self.assertEqual(done.returncode, 2, setting)
            self.assertIn(message, done.stderr)
        self.assertFalse(os.path.exists(path("no.dnm")))
        done = subprocess.run([TRAIN_ON_BANK, path("few.bank"), BACKBONE, path("none", "no.dnm")], capture_output=True,
                              text=True)
        self.assertEqual((done.returncode, done.stdout), (2, ""))  # refused before hours of training


class FeatureStoreTest(unittest.TestCase):
    def compute(self, paths, views=3):
        return feature_store.compute(differnet.Extractor.open(BACKBONE), "small", path("set"), feature_store.TRAIN,
                                     paths, views, path(), 2)

    def test_goes_on_where_it_stopped(self):
        paths = feature_store.training_images(path("set"))
        self.assertEqual([os.path.basename(name) for name in paths], [f"{i}.png" for i in range(12)])
        chunk, feature_store.CHUNK_IMAGES = feature_store.CHUNK_IMAGES, 5
        computed, compute_chunk = [], feature_store.compute_chunk

        def stop_after_first(*given):
            if given[3] > 0:
                raise KeyboardInterrupt
            compute_chunk(*given)

        def record(*given):
            computed.append(given[3])
            compute_chunk(*given)

        try:
            with self.assertRaises(KeyboardInterrupt):
                feature_store.compute_chunk = stop_after_first
                self.compute(paths)
            feature_store.compute_chunk = record
            done = self.compute(paths)
        finally:
            feature_store.CHUNK_IMAGES, feature_store.compute_chunk = chunk, compute_chunk
        self.assertEqual(computed, [5, 10])
        features, facts = feature_store.load(done)
        self.assertEqual(features.shape, (12, 3, 30))
        self.assertEqual(json.loads(facts["files"])[11], "train/good/11.png")
        angles = feature_store.angles_of(feature_store.TRAIN, 7, 3)
        expected = differnet.Extractor.open(BACKBONE).features_image(paths[7], angles)
        self.assertTrue((features[7] == expected).all())
        self.assertFalse([name for name in os.listdir(WORK) if name.endswith(".part")])

    def test_other_content_other_file(self):
        paths = feature_store.training_images(path("set"))[:2]
        first = self.compute(paths, 1)
        self.assertEqual(self.compute(paths, 1), first)
        kept = path("kept.png")
        shutil.copy(paths[0], kept)
        draw(paths[0], 999)
        try:
            self.assertNotEqual(self.compute(paths, 1), first)
        finally:
            shutil.move(kept, paths[0])

    def test_angles_fill_the_circle(self):
        for image in range(5):
            angles = feature_store.angles_of(feature_store.TEST, image, 8)
            self.assertEqual(list((angles + 180) // 45), list(range(8)))
            self.assertNotEqual(list(angles), list(feature_store.angles_of(feature_store.TRAIN, image, 8)))


class FiguresTest(unittest.TestCase):
    def test_auroc(self):
        self.assertEqual(accuracy.auroc(np.array([1.0, 2, 3]), np.array([2.0, 4])), (1.5 + 3) / 6)

    def test_false_alarms(self):
        holdout = np.arange(1.0, 40.0)  # 39: p <= 0.05 where at most one of them is as high
        self.assertEqual(accuracy.false_alarms(np.array([38.0, 38.5, 39, 40]), holdout), (0.75, 0.05))
        self.assertEqual(accuracy.false_alarms(np.array([1.0, 3.0]), np.array([1.0])), (0.5, 0.5))
        self.assertIsNone(accuracy.false_alarms(np.array([1.0]), np.array([])))

    def test_image_counts(self):
        self.assertEqual(accuracy.image_counts("all,761,100,16", 100), [("all", 100), ("16", 16)])
        with self.assertRaises(SystemExit):
            accuracy.image_counts("0", 100)


class TableTest(unittest.TestCase):
    """accuracy.py from outside."""

    OPTIONS = ["--built-in", "", "--backbone", f"small={BACKBONE}", "--set", "epochs=3", "hidden=8"]

    def test_table(self):
        arguments = [path("set"), path("work"), *self.OPTIONS, "--images", "all,6", "--seeds", "2", "--bank", "3",
                     "--views", "2"]
        code, out, err = run(*arguments)
        self.assertEqual(code, 0, err)
        rows = [line for line in out.splitlines() if line.startswith("| small")]
        self.assertEqual([row.split(" | ")[1] for row in rows], ["12", "6"])
        with open(path("work", "accuracy.json")) as file:
            results = json.load(file)["results"]
        self.assertEqual([(row["images"], row["seed"]) for row in results], [(12, 0), (12, 1), (6, 0), (6, 1)])
        for row in results:
            scores, figures = row["test_scores"], row["figures"]
            pairs = [(bad > good) + (bad == good) / 2 for bad in scores[5:] for good in scores[:5]]
            self.assertAlmostEqual(figures["auroc"], np.mean(pairs))
            self.assertAlmostEqual((2 * figures["kinds"]["large"] + 3 * figures["kinds"]["small"]) / 5,
                                   figures["auroc"])
            self.assertEqual(len(row["holdout_scores"]), 1)
            self.assertEqual((row["options"]["epochs"], row["options"]["bank"], len(row["losses"])), ("3", 3, 3))
        kept = {name: os.stat(path("work", "runs", name)).st_mtime_ns for name in os.listdir(path("work", "runs"))}
        self.assertEqual(len(kept), 4)
        code, again, _ = run(*arguments, "--kinds", "large")  # nothing is trained twice
        self.assertEqual({name: os.stat(path("work", "runs", name)).st_mtime_ns for name in kept}, kept)
        self.assertEqual(len(os.listdir(path("work", "runs"))), 4)
        self.assertNotIn("| small |", again.split("\n|---")[0])

    def test_quick_over_several_sets(self):
        for name in ("a", "b"):
            shutil.copytree(path("set"), path("sets", name))
        code, out, err = run(path("sets"), path("quick"), *self.OPTIONS, "--quick", "--bank", "2", "--views", "2")
        self.assertEqual(code, 0, err)
        self.assertEqual([line.split()[0] for line in out.splitlines()], ["images", "a", "b", "mean"])

    def test_refuses(self):
        for arguments, message in (
                ([path("none")], "none"), ([path("set", "test")], "MVTec"),
                ([path("set"), "--kinds", "dent"], "dent"), ([path("set"), "--images", "x"], "--images: x"),
                ([path("set"), "--set", "depth=3"], "depth"), ([path("set"), "--set", "seed=3"], "seed"),
                ([path("set"), "--set", "clamp=2"], "not a setting"),
                ([path("set"), "--backbone", "a.st"], "NAME=FILE"),
                ([path("set"), "--backbone", "a=none.safetensors"], "none.safetensors"),
                ([path("set"), "--built-in", "best"], "best")):
            code, _, err = run(arguments[0], path("work"), *self.OPTIONS[:4], "--bank", "1", "--views", "1",
                               *arguments[1:])
            self.assertNotEqual(code, 0, arguments)
            self.assertIn(message, err)
            self.assertNotIn("Traceback", err)


if __name__ == "__main__":
    load_library(BUILD)
    unittest.main()
