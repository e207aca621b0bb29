#!/usr/bin/env python3
"""The pretraining script: losses, resuming, and that the exported weights are the trained network's.

usage: test_pretrain.py GENERATOR LIBRARY SOURCE_ROOT

Needs numpy and torch; skipped (exit 77) where one is missing.
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

GENERATOR, LIBRARY, ROOT = sys.argv[1:4]
for folder in ("tools/pretrain", "tests/golden", "bindings/python"):
    sys.path.insert(0, os.path.join(ROOT, folder))
try:
    import numpy as np
    import torch
except ImportError as problem:
    print(f"skipped: {problem}")
    sys.exit(77)
import differnet  # noqa: E402
import network  # noqa: E402
import pretrain  # noqa: E402
import safetensors_io  # noqa: E402
from generator import Generator  # noqa: E402

SMALL = ["--images", "48", "--batch", "12", "--classes", "8", "--size", "64", "--crop", "64", "--warmup", "2", "--bf16",
         "0", "--device", "cpu", "--threads", "1", "--log-steps", "1", "--decimated", "0.5", "--black", "0.5", "--twins",
         "1", "--contrast", "1"]


def run(out, *more):
    command = [sys.executable, os.path.join(ROOT, "tools", "pretrain", "pretrain.py"), GENERATOR, out, *SMALL, *more]
    return subprocess.run(command, capture_output=True, text=True)


class Losses(unittest.TestCase):
    def test_contrast_against_its_formula(self):
        features = np.random.default_rng(1).normal(size=(15, 4))
        loss, ratio = pretrain.contrast_loss(torch.tensor(features))
        groups = features.reshape(5, 3, 4)
        v = ((groups[:, 0] - groups[:, 1]) ** 2).mean(0) / 2
        d2 = (groups[:, 2] - groups[:, 1]) ** 2 / (v + 1e-3 * v.mean() + 1e-8)
        self.assertAlmostEqual(float(loss), -np.log(1 + d2).mean(), places=5)
        self.assertAlmostEqual(float(ratio), d2.mean(), places=4)

    def test_learning_rate(self):
        class Options:
            rate, warmup, batch, images = 0.01, 10, 12, "1200,2400,1211"
        cycles = pretrain.cycle_steps(Options)
        self.assertEqual(cycles, [100, 200, 100])
        rates = [pretrain.learning_rate(Options, step, cycles) for step in range(400)]
        self.assertAlmostEqual(rates[0], 0.001)
        self.assertAlmostEqual(rates[50], 0.005)
        self.assertLess(rates[99], 1e-5)
        self.assertAlmostEqual(rates[200], 0.005)
        self.assertEqual(rates[300:], rates[:100])


class Batches(unittest.TestCase):
    def setUp(self):
        class Options:
            seed, batch, classes, size, crop, decimated, black, twins = 3, 12, 8, 64, 48, 0.0, 0.0, 1
        self.options, self.generator = Options, Generator(GENERATOR, 3)

    def test_damaged_twin_differs_only_at_the_defect(self):
        batch = pretrain.draw_batch(self.generator, self.options, 5)
        images = batch.images.reshape(4, 3, 64, 64, 3).astype(int)
        masks = batch.masks.reshape(4, 3, 64, 64)
        self.assertEqual(masks[:, :2].max(), 0)
        for group, mask in zip(images, masks):
            changed = abs(group[2] - group[1]).max(2)
            self.assertGreater(mask[2].max(), 0)
            self.assertGreater(changed[mask[2] > 0].max(), 0)
        self.assertEqual([list(batch.classes[i:i + 3]) for i in range(0, 12, 3)],
                         [[number] * 3 for number in batch.classes[::3]])
        again = pretrain.draw_batch(self.generator, self.options, 5)
        self.assertTrue((again.images == batch.images).all())

    def test_batch_without_twins(self):
        self.options.twins, self.options.batch = 0, 240
        batch = pretrain.draw_batch(self.generator, self.options, 9)
        self.assertEqual(set(batch.classes), set(range(8)))
        self.assertTrue(110 < (batch.kinds > 0).sum() < 178)  # 6 in 10, within 4.5 deviations
        self.assertTrue(((batch.masks.max((1, 2)) > 0) == (batch.kinds > 0)).all())

    def test_augmentation_keeps_pictures_and_masks_together(self):
        # A mask painted into the picture stays where the mask is.
        batch = pretrain.draw_batch(self.generator, self.options, 1)
        marked = batch._replace(images=np.repeat(batch.masks[..., None], 3, axis=3))
        self.options.black = 0.5
        x, masks = pretrain.augment(marked, self.options, 2, torch.device("cpu"))
        self.assertEqual(tuple(x.shape), (12, 3, 48, 48))
        # The gain and shift of a picture leave the mark brighter than all else.
        bright, inside = x[:, :1] > 0.5, masks > 0.9
        self.assertGreater(float((bright & inside).sum()), 0.8 * float(inside.sum()))
        self.assertEqual(float((bright & (masks < 0.2)).sum()), 0)


class Run(unittest.TestCase):
    def test_interrupted_run_ends_with_the_same_weights(self):
        with tempfile.TemporaryDirectory() as folder:
            whole, parts = os.path.join(folder, "whole.safetensors"), os.path.join(folder, "parts.safetensors")
            self.assertEqual(run(whole).returncode, 0)
            stopped = run(parts, "--stop-after", "2")
            self.assertEqual(stopped.returncode, 3, stopped.stderr)
            self.assertFalse(os.path.exists(parts))
            resumed = run(parts)
            self.assertEqual(resumed.returncode, 0, resumed.stderr)
            self.assertIn('"from_step": 2', resumed.stdout)
            (a, about), (b, _) = safetensors_io.load(whole), safetensors_io.load(parts)
            for name in a:
                self.assertTrue((a[name] == b[name]).all(), name)
            recipe = json.loads(about["training.recipe"])
            self.assertEqual((recipe["images"], recipe["classes"]), ("48", 8))
            other = run(parts, "--rate", "0.5")
            self.assertNotEqual(other.returncode, 0)
            self.assertIn("belongs to other options", other.stderr)

    def test_lengths_of_cycles_are_checked(self):
        for images in ("48,x", "48,", "48,11", "-48"):
            refused = run("unused", "--images=" + images)
            self.assertEqual(refused.returncode, 2, images)
            self.assertIn("--images must be numbers of at least --batch each", refused.stderr)

    def test_exported_weights_are_the_network(self):
        torch.manual_seed(2)
        backbone = network.Backbone()
        with torch.no_grad():  # moments as after a training
            for stage in backbone.stages:
                stage.norm.running_mean.normal_(0, 0.2)
                stage.norm.running_var.uniform_(0.5, 2)
                stage.norm.weight.uniform_(0.5, 1.5)
                stage.norm.bias.normal_(0, 0.2)
        backbone.eval()
        view = np.random.default_rng(4).random((64, 64, 3)).astype(np.float32)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "backbone.safetensors")
            network.export(backbone, path, {"name": "test"})
            extractor = differnet.Extractor.open(path, input_size=64, scales=1)
            normalised = (view - np.array(network.MEAN)) / np.array(network.STD)
            got = np.array(extractor.features(normalised[None].astype(np.float32)))[0]
        with torch.no_grad():
            expected = backbone(torch.tensor(view).permute(2, 0, 1)[None])[1].mean((2, 3))[0].numpy()
        self.assertEqual(got.shape, expected.shape)
        # float16 keeps 11 bits of each weight
        self.assertLess(abs(got - expected).max(), 5e-3 * abs(expected).max())


if __name__ == "__main__":
    differnet.load(LIBRARY)
    differnet.blas_set_threads(1)
    unittest.main(argv=sys.argv[:1], verbosity=2)
