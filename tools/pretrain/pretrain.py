#!/usr/bin/env python3
"""Pretrains the backbone on procedural images and exports it as safetensors (float16).

usage: pretrain.py GENERATOR OUT [--work DIR] [--images N] [--seed S] [--device cpu|cuda] [--threads N] [...]

GENERATOR  libdiffernet-generator.so (meson setup BUILD -Dpretrain=true)
OUT        backbone to write, for instance lib/backbone/default.safetensors
DIR        checkpoint and log (default: OUT.work); a run that was interrupted goes on from there

What is learned, all from one forward pass (docs/backbone.md says why and what each was worth):

* class      which of the generator's classes a picture shows, from the mean of the last map: the feature that the
             library uses.  Classes come in families of near twins that differ in small geometry only.
* place      where a synthetic defect is, on the grid of the last map before its pool.
* contrast   what a defect changes in the feature, in units of the feature's deviation between good pictures of a class:
             what the flow will have to see.

A step's batch is drawn from all classes, six in ten pictures damaged; or, with --twins 1, it is a table of groups, three
pictures each of one class: good, another good one, and that one damaged.  The contrast needs those, and is off by default.
"""
import argparse
import json
import os
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import network
from generator import Generator, Prefetch

GROUP = 3    # pictures of a class in a batch: two good ones, the second one's damaged twin
CHUNKS = 4   # parts of a batch that share a crop


# ---- pictures ----

def draw_batch(generator, options, step):
    """Pictures of a step: a function of (seed, step) alone.  A Batch of groups * GROUP pictures."""
    rng = np.random.default_rng((options.seed, 1, step))
    groups = options.batch // GROUP
    instances = rng.integers(0, 1 << 40, (groups, GROUP))
    if options.twins:
        classes = np.repeat(rng.choice(options.classes, groups, replace=False), GROUP)
        instances[:, 2] = instances[:, 1]
        kinds = np.tile([0, 0, -1], groups)
    else:
        classes = rng.integers(0, options.classes, options.batch)
        kinds = -(rng.random(options.batch) < 0.6).astype(int)
    # Now and then twice as large, then every second pixel: the library looks at a view like that.
    factor = 2 if rng.random() < options.decimated else 1
    pose, look, degrade = rng.uniform((0.2, 0.1, 0.1), (1, 0.7, 0.7))
    batch = generator(options.size * factor, classes, instances.ravel(), kinds, pose, look, degrade,
                      zoom=float(np.exp(rng.uniform(-0.35, 0.35))))
    return batch._replace(images=batch.images[:, ::factor, ::factor], masks=batch.masks[:, ::factor, ::factor])


def rotated(x, rng, black):
    """x: (n, 4, side, side), groups of GROUP.  Turned by any angle like the library's views, nearest pixel and black
    corners, the damaged twin like the undamaged one; a share `black` of the groups."""
    n = len(x)
    angles = rng.uniform(-np.pi, np.pi, (n // GROUP, GROUP))
    angles[:, 2] = angles[:, 1]
    angles[rng.random(n // GROUP) >= black] = 0
    if not angles.any():
        return x
    angles = torch.tensor(angles.ravel(), dtype=torch.float32, device=x.device)
    cos, sin, zero = torch.cos(angles), torch.sin(angles), torch.zeros_like(angles)
    matrices = torch.stack([torch.stack([cos, sin, zero], 1), torch.stack([-sin, cos, zero], 1)], 1)
    grid = F.affine_grid(matrices, x.shape, align_corners=False)
    return F.grid_sample(x, grid, mode="nearest", align_corners=False)


def augment(batch, options, step, device):
    """Returns x (n, 3, crop, crop) in 0..1 and masks (n, 1, crop, crop) in 0..1.  The generator has drawn pose, light
    and degradation; here come quarter turns, mirrors, crops, another zoom, and black corners."""
    rng = np.random.default_rng((options.seed, 2, step))
    pixels = np.concatenate([batch.images, batch.masks[..., None]], axis=3)
    x = torch.from_numpy(np.ascontiguousarray(pixels)).to(device).permute(0, 3, 1, 2).float() / 255
    parts = []
    for part in x.chunk(CHUNKS):
        part = torch.rot90(part, int(rng.integers(4)), (2, 3))
        part = part.flip(3) if rng.random() < 0.5 else part
        side = options.crop if rng.random() < 0.5 else int(rng.integers(options.crop * 3 // 4, options.size + 1))
        top, left = rng.integers(0, options.size - side + 1, 2)
        part = part[:, :, top:top + side, left:left + side]
        if side != options.crop:
            part = F.interpolate(part, size=(options.crop, options.crop), mode="bilinear", align_corners=False)
        parts.append(part)
    x = rotated(torch.cat(parts), rng, options.black)
    gain, shift = (torch.tensor(rng.uniform(low, high, (len(x), 1, 1, 1)), dtype=torch.float32, device=device)
                   for low, high in ((0.7, 1.3), (-0.15, 0.15)))
    return (x[:, :3] * gain + shift).clamp(0, 1), x[:, 3:]


# ---- losses ----

def contrast_loss(features):
    """features: (n, dim), groups of GROUP.  Minus the mean over groups and dimensions of log(1 + d^2 / v): d what the
    defect changes, v the variance within classes over the batch.  The logarithm keeps few dimensions from doing all of
    it.  Also the mean of d^2 / v."""
    groups = features.float().view(-1, GROUP, features.shape[1])
    variance = (groups[:, 0] - groups[:, 1]).square().mean(0) / 2
    ratio = (groups[:, 2] - groups[:, 1]).square() / (variance + 1e-3 * variance.mean() + 1e-8)
    return -torch.log1p(ratio).mean(), ratio.mean()


class Heads(nn.Module):
    def __init__(self, classes, dim):
        super().__init__()
        self.classes = nn.Linear(dim, classes)
        self.place = nn.Conv2d(network.CONVOLUTIONS[-1][2], 1, 1)


def losses(backbone, heads, x, masks, classes, weights, autocast):
    """weights: of place and contrast; class counts 1.  Returns the loss and a dict of figures."""
    with autocast():
        last, pooled = backbone(x)
        features = pooled.mean((2, 3))
        place = heads.place(last)
    features, place = features.float(), place.float()
    logits = heads.classes(features)
    loss_class = F.cross_entropy(logits, classes, label_smoothing=0.1)
    target = (F.adaptive_max_pool2d(masks, place.shape[-1]) > 0.5).float()
    loss_place = F.binary_cross_entropy_with_logits(place, target, pos_weight=torch.tensor(3.0, device=x.device))
    loss = loss_class + weights[0] * loss_place
    figures = {"class": loss_class, "place": loss_place, "accuracy": (logits.argmax(1) == classes).float().mean()}
    if weights[1] > 0:
        figures["contrast"], figures["ratio"] = contrast_loss(features)
        loss = loss + weights[1] * figures["contrast"]
    return loss, {key: float(value.detach()) for key, value in figures.items()}


# ---- training ----

def cycle_steps(options):
    """Steps of each cycle of the learning rate."""
    return [int(images) // options.batch for images in options.images.split(",")]


def learning_rate(options, step, cycles):
    """Linear warm-up, then a cosine down to zero, in each cycle anew (Loshchilov and Hutter 2017, section 3).
    cycles: steps of each."""
    within = step
    for length in cycles:
        if within < length:
            break
        within -= length
    warm = min(1.0, (within + 1) / options.warmup)
    return float(options.rate * warm * 0.5 * (1 + np.cos(np.pi * within / length)))


def contrast_weight(options, step, steps):
    """Features come first, from telling classes apart; later they are turned towards defects."""
    return options.contrast if step < options.late * steps else options.late_contrast


class Run:
    def __init__(self, options):
        self.options = options
        self.cycles = cycle_steps(options)
        self.steps = sum(self.cycles)
        torch.manual_seed(options.seed)
        torch.set_num_threads(options.threads)
        self.device = torch.device(options.device)
        self.backbone = network.Backbone().to(self.device, memory_format=torch.channels_last)
        self.heads = Heads(options.classes, network.CONVOLUTIONS[-1][2]).to(self.device)
        parameters = [*self.backbone.parameters(), *self.heads.parameters()]
        self.optimiser = torch.optim.AdamW(parameters, lr=options.rate, weight_decay=options.decay)
        self.step, self.seconds = 0, 0.0
        self.checkpoint = os.path.join(options.work, "checkpoint.pt")
        self.recipe = {key: value for key, value in sorted(vars(options).items())
                       if key not in ("generator", "out", "work", "threads", "device", "log_steps", "stop_after")}

    def autocast(self):
        return torch.autocast(self.device.type, torch.bfloat16, enabled=bool(self.options.bf16))

    def save(self):
        torch.save({"backbone": self.backbone.state_dict(), "heads": self.heads.state_dict(),
                    "optimiser": self.optimiser.state_dict(), "step": self.step, "seconds": self.seconds,
                    "recipe": self.recipe}, self.checkpoint + ".part")
        os.replace(self.checkpoint + ".part", self.checkpoint)

    def resume(self):
        if not os.path.exists(self.checkpoint):
            return
        state = torch.load(self.checkpoint, map_location=self.device)
        if state["recipe"] != self.recipe:
            raise SystemExit(f"{self.checkpoint} belongs to other options; remove it or give another --work")
        self.backbone.load_state_dict(state["backbone"])
        self.heads.load_state_dict(state["heads"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]

    def train_step(self, batch):
        x, masks = augment(batch, self.options, self.step, self.device)
        x = x.contiguous(memory_format=torch.channels_last)
        classes = torch.from_numpy(batch.classes.astype(np.int64)).to(self.device)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.options, self.step, self.cycles)
        weights = self.options.place, contrast_weight(self.options, self.step, self.steps)
        loss, figures = losses(self.backbone, self.heads, x, masks, classes, weights, self.autocast)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        if not np.isfinite(float(loss.detach())):
            raise SystemExit(f"step {self.step}: the loss is not finite; use a smaller --rate")
        self.step += 1
        return figures

    def train(self, make_batch, log):
        """make_batch(step) -> Batch.  False if it stopped at --stop-after."""
        ahead = Prefetch(make_batch, self.step)
        try:
            return self.train_from(ahead, log)
        finally:
            ahead.close()

    def train_from(self, ahead, log):
        sums, begun = {}, time.time()
        first, seconds = self.step, self.seconds
        self.backbone.train()
        while self.step < self.steps:
            for key, value in self.train_step(ahead.get()).items():
                sums[key] = sums.get(key, 0.0) + value
            self.seconds = seconds + time.time() - begun
            if self.step % self.options.log_steps == 0 or self.step == self.steps:
                count = (self.step - 1) % self.options.log_steps + 1
                rate = (self.step - first) * self.options.batch / (time.time() - begun)
                left = (self.steps - self.step) * self.options.batch / rate
                log({"step": self.step, "of": self.steps, "images_per_s": round(rate, 1), "left_s": round(left),
                     **{key: round(value / count, 4) for key, value in sums.items()}})
                sums = {}
            stop = self.step == self.options.stop_after
            if self.step % (10 * self.options.log_steps) == 0 or self.step == self.steps or stop:
                self.save()
            if stop:
                return False
        return True


def make_log(path):
    file = open(path, "a", encoding="utf-8")

    def log(line):
        print(json.dumps(line), flush=True)
        print(json.dumps(line), file=file, flush=True)
    return log


def parse():
    parser = argparse.ArgumentParser(description="Pretrains the backbone on procedural images.")
    parser.add_argument("generator", help="libdiffernet-generator.so")
    parser.add_argument("out", help="safetensors file to write")
    parser.add_argument("--work", help="folder for checkpoint and log; default OUT.work")
    parser.add_argument("--images", default="576000,576000,1152000", metavar="N[,N...]",
                        help="pictures to train on; the rate falls from its peak to zero over each N anew")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--siblings", type=int, default=4, help="classes per family of near twins")
    parser.add_argument("--batch", type=int, default=144)
    parser.add_argument("--size", type=int, default=128, help="side of a generated picture")
    parser.add_argument("--crop", type=int, default=112, help="side of what the network sees")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--decay", type=float, default=1e-2)
    parser.add_argument("--warmup", type=int, default=200, help="steps")
    parser.add_argument("--place", type=float, default=2.0, help="weight of finding the place")
    parser.add_argument("--contrast", type=float, default=0.0, help="weight of the contrast; needs --twins 1")
    parser.add_argument("--late", type=float, default=0.5625, help="share of the steps behind which ...")
    parser.add_argument("--late-contrast", type=float, default=0.0, help="... the contrast weighs this much")
    parser.add_argument("--twins", type=int, default=0, help="1: batches of groups, which the contrast needs")
    parser.add_argument("--black", type=float, default=0.5, help="share turned with black corners")
    parser.add_argument("--decimated", type=float, default=0.0, help="share of steps at every second pixel")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--bf16", type=int, default=1, help="1: bfloat16 where it is safe; 0: float32")
    parser.add_argument("--log-steps", type=int, default=50)
    parser.add_argument("--stop-after", type=int, default=0, help="stop behind this step, exit status 3, to go on later")
    options = parser.parse_args()
    options.work = options.work or options.out + ".work"
    if (options.contrast or options.late_contrast) and not options.twins:
        parser.error("--contrast compares twins: give --twins 1")
    if options.batch % (GROUP * CHUNKS) != 0:
        parser.error(f"--batch must be a multiple of {GROUP * CHUNKS}")
    if options.twins and options.classes < options.batch // GROUP:
        parser.error("--classes must be at least --batch / 3: the classes of a batch differ")
    if not all(part.isdecimal() and int(part) >= options.batch for part in options.images.split(",")):
        parser.error("--images must be numbers of at least --batch each, separated by commas")
    return options


def main():
    options = parse()
    os.makedirs(options.work, exist_ok=True)
    generator = Generator(options.generator, options.seed, options.siblings, 1)
    run = Run(options)
    run.resume()
    log = make_log(os.path.join(options.work, "log.jsonl"))
    log({"recipe": run.recipe, "torch": torch.__version__, "device": str(run.device), "from_step": run.step})
    if not run.train(lambda step: draw_batch(generator, options, step), log):
        raise SystemExit(3)
    network.export(run.backbone.eval(), options.out, {
        "name": "AlexNet, procedural", "differnet.kind": "backbone", "differnet.random": "0",
        "licence": "MIT, as libdifferent",
        "provenance": "trained from random weights by libdifferent's tools/pretrain on pictures that it draws; "
                      "no photographs, no data set, no other weights",
        "training.recipe": json.dumps(run.recipe), "training.torch": torch.__version__,
        "training.device": options.device, "training.seconds": str(round(run.seconds)),
        "training.command": "tools/pretrain/pretrain.py GENERATOR OUT " + " ".join(
            f"--{key.replace('_', '-')} {value}" for key, value in run.recipe.items())})
    print(options.out)


if __name__ == "__main__":
    main()
