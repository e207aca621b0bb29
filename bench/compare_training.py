#!/usr/bin/env python3
"""Trains the flow on one feature bank in C and in PyTorch, and compares final loss and AUROC.

usage: compare_training.py BUILD BACKBONE DATA BANK WORK [--seeds N] [--epochs N] [--hidden N] [--views N] [--threads N]

BUILD     build folder (meson setup BUILD -Dbench=true)
BACKBONE  the backbone the bank was made with
DATA      folder in MVTec layout; its test images give the AUROC
BANK      CHECKPOINT.bank of a training on DATA (differnet train keeps it until the training is complete;
          dn_train_options.checkpoint)
WORK      folder for the test images' features (computed once) and the trained flows

Both sides train the same flow with the library's default settings and the same number of epochs on the same
standardised bank; each has its own random numbers, so that the comparison is between distributions: mean and deviation
over the seeds.  AUROC is of the last epoch, never of the best.  Needs numpy, torch and Pillow.
"""
import argparse
import concurrent.futures
import json
import math
import os
import subprocess
import time

import numpy as np
import torch

from accuracy import auroc
from bench_common import differnet, load_library, safetensors_io
from torch_flow import Flow

BATCH_IMAGES, BATCH_VIEWS = 24, 4
RATE, NOISE, EPOCH_STEPS = 1e-3, 2.0, 8  # dn_train_options: learning_rate, feature_noise, epoch_steps


def cosine_rate(step, steps):
    """Learning rate of a step: the library's default schedule (DN_SCHEDULE_COSINE)."""
    rise = int(0.05 * steps)
    if step < rise:
        return RATE * (step + 1) / rise
    return RATE * 0.5 * (1 + math.cos(math.pi * (step - rise) / (steps - rise)))


def train_torch(bank, seed, epochs, hidden):
    """Like the library's default settings.  bank: (images, views, dimension), standardised.  Returns the flow and the
    last epoch's mean loss."""
    torch.manual_seed(seed)
    images, views, dimension = bank.shape
    flow = Flow(dimension, hidden)
    adam = torch.optim.Adam(flow.parameters(), lr=RATE, betas=(0.8, 0.8), eps=1e-4, weight_decay=1e-5)
    pass_steps = math.ceil(images / BATCH_IMAGES)
    passes = math.ceil(EPOCH_STEPS / pass_steps)
    step, steps, loss_sum = 0, epochs * passes * pass_steps, 0.0
    for _ in range(epochs):
        loss_sum = 0.0
        for chosen in (part for _ in range(passes) for part in torch.randperm(images).split(BATCH_IMAGES)):
            drawn = torch.stack([torch.randperm(views)[:BATCH_VIEWS] for _ in chosen])
            x = bank[chosen[:, None], drawn].reshape(-1, dimension)
            z, logdet = flow(x + NOISE / math.sqrt(images) * torch.randn(x.shape))
            loss = ((0.5 * z ** 2).sum(1) - logdet).mean() / dimension
            adam.param_groups[0]["lr"] = cosine_rate(step, steps)
            adam.zero_grad()
            loss.backward()
            adam.step()
            step += 1
            loss_sum += loss.item() * len(chosen)
    return flow, loss_sum / (images * passes)


def test_images(data):
    """Paths of DATA/test, and which are defective."""
    paths, labels = [], []
    for kind in sorted(os.listdir(os.path.join(data, "test"))):
        folder = os.path.join(data, "test", kind)
        for name in sorted(os.listdir(folder)):
            paths.append(os.path.join(folder, name))
            labels.append(kind not in ("good", "ok"))
    return paths, np.array(labels)


def test_features(arguments, paths, dimension):
    """Features (images, views, dimension) of the test images at stratified angles; kept in WORK."""
    kept = os.path.join(arguments.work, f"test_features_{arguments.views}.npy")
    if os.path.exists(kept):
        return np.load(kept)
    extractor = differnet.Extractor.open(arguments.backbone)
    n = arguments.views
    angles = -180 + (np.arange(n) + np.random.RandomState(0).uniform(size=n)) * 360 / n

    with concurrent.futures.ThreadPoolExecutor(arguments.threads) as pool:  # calls release the interpreter lock
        features = list(pool.map(lambda path: extractor.features_image(path, angles), paths))
    features = np.stack(features).astype(np.float32).reshape(len(paths), n, dimension)
    np.save(kept, features)
    return features


def main():
    parser = argparse.ArgumentParser()
    for name in ("build", "backbone", "data", "bank", "work"):
        parser.add_argument(name)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=64)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--views", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    os.makedirs(arguments.work, exist_ok=True)
    torch.set_num_threads(arguments.threads)
    load_library(arguments.build)

    tensors, _ = safetensors_io.load(arguments.bank)
    bank = np.array(tensors["features"])
    dimension = bank.shape[-1]
    rows = bank.reshape(-1, dimension).astype(np.float64)
    mean, deviation = rows.mean(0), rows.std(0)
    floor = np.maximum(0.1 * np.sqrt((deviation ** 2).mean()), 1e-6 * np.abs(mean))  # as lib/train/bank.c
    deviation = np.maximum(deviation, floor)
    standard = torch.tensor(((bank - mean) / deviation).astype(np.float32))
    paths, labels = test_images(arguments.data)
    features = test_features(arguments, paths, dimension)
    test = ((features - mean) / deviation).astype(np.float32).reshape(-1, dimension)

    def test_auroc(z):
        scores = (z.astype(np.float64) ** 2).mean(1).reshape(len(labels), -1).mean(1)
        return auroc(scores[~labels], scores[labels])

    results = []
    for seed in range(arguments.seeds):
        out = os.path.join(arguments.work, f"c_{seed}.dnm")
        command = [os.path.join(arguments.build, "bench", "train_on_bank"), arguments.bank, arguments.backbone, out,
                   f"seed={seed}", f"epochs={arguments.epochs}", f"hidden={arguments.hidden}", "holdout=0",
                   f"threads={arguments.threads}"]
        begun = time.time()
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        epochs = [line for line in lines if line[0].isdigit()]
        c_seconds, c_loss = time.time() - begun, float(epochs[-1].split()[1])
        c_auroc = test_auroc(differnet.Model.open(out).flow.forward(test)[0])
        begun = time.time()
        flow, torch_loss = train_torch(standard, seed, arguments.epochs, arguments.hidden)
        torch_seconds = time.time() - begun
        with torch.no_grad():
            torch_auroc = test_auroc(np.concatenate([flow(part)[0].numpy() for part in torch.tensor(test).split(1024)]))
        results.append({"seed": seed, "c_loss": c_loss, "torch_loss": torch_loss, "c_auroc": c_auroc,
                        "torch_auroc": torch_auroc, "c_seconds": c_seconds, "torch_seconds": torch_seconds})
        print(json.dumps(results[-1]), flush=True)
    for key in ("loss", "auroc", "seconds"):
        c, t = ([result[f"{side}_{key}"] for result in results] for side in ("c", "torch"))
        print(f"{key}: C {np.mean(c):.4f} +- {np.std(c):.4f}, PyTorch {np.mean(t):.4f} +- {np.std(t):.4f}, "
              f"ratio {np.mean(c) / np.mean(t):.4f}")


if __name__ == "__main__":
    main()
