"""Maps of the built-in AlexNet for positions_variants.py, cached on disk: computed once per image and light."""
import glob
import hashlib
import json
import os

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter

from bench_common import safetensors_io

TAPS = {"pool2": slice(0, 192), "conv3": slice(192, 576), "conv4": slice(576, 832), "conv5": slice(832, 1088)}
CHANNELS = TAPS["conv5"].stop
BATCH = 4


class AlexNet:
    mean, std = np.float32((0.485, 0.456, 0.406)), np.float32((0.229, 0.224, 0.225))

    def __init__(self, path):
        self.weights = {name: torch.from_numpy(array.astype(np.float32))
                        for name, array in safetensors_io.load(path)[0].items()}

    def conv(self, number, x, stride, padding):
        return F.relu(F.conv2d(x, self.weights[f"features.{number}.weight"], self.weights[f"features.{number}.bias"],
                               stride=stride, padding=padding))

    @torch.inference_mode()
    def maps(self, x):
        """x: (n, 3, side, side).  Returns (n, rows, columns, 1088) and, of the finer grid, (n, rows, columns, 256)."""
        pool1 = F.max_pool2d(self.conv(0, x, 4, 2), 3, 2)
        conv2 = self.conv(3, pool1, 1, 2)
        pool2 = F.max_pool2d(conv2, 3, 2)
        conv3 = self.conv(6, pool2, 1, 1)
        conv4 = self.conv(8, conv3, 1, 1)
        conv5 = self.conv(10, conv4, 1, 1)
        return (torch.cat([pool2, conv3, conv4, conv5], 1).permute(0, 2, 3, 1),
                torch.cat([pool1, conv2], 1).permute(0, 2, 3, 1))


def change_light(image, light):
    """light: what is done to the picture, in order, before it is stretched: ("gain", 0.95), ("offset", 8),
    ("blur", 0.7), ("noise", 3), ("mirror", 0 or 1), ("turn", degrees), ("shift", (x, y)).  image: PIL, RGB."""
    for kind, amount in light:
        if kind in ("gain", "offset", "noise"):
            x = np.asarray(image, np.float32)
            x = x * amount if kind == "gain" else x + amount if kind == "offset" else \
                x + np.random.default_rng(0).normal(0, amount, x.shape[:2])[..., None]
            image = Image.fromarray(np.clip(np.round(x), 0, 255).astype(np.uint8))
        elif kind == "blur":
            image = image.filter(ImageFilter.GaussianBlur(amount))
        elif kind == "mirror":
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT if amount == 0 else Image.Transpose.FLIP_TOP_BOTTOM)
        elif kind in ("turn", "shift"):
            edge = np.asarray(image)
            fill = tuple(int(v) for v in np.median(np.concatenate([edge[0], edge[-1], edge[:, 0], edge[:, -1]]), 0))
            if kind == "turn":
                image = image.rotate(amount, Image.BILINEAR, fillcolor=fill)
            else:
                image = image.rotate(0, Image.BILINEAR, translate=amount, fillcolor=fill)
    return image


def normalise(x, mode, goal):
    """x: (side, side, 3) in 0..1.  goal: mean and deviation of the learned pictures' gray values."""
    if mode == "none":
        return x
    gray = x.mean(2)
    if mode == "gain":
        return x * (goal[0] / max(gray.mean(), 1e-3))
    return (x - gray.mean()) * (goal[1] / max(gray.std(), 1e-3)) + goal[0]


class Extractor:
    def __init__(self, backbone, cache, size=448):
        self.net, self.cache, self.size = AlexNet(backbone), cache, size

    def pixels(self, path, light=(), mode="none", goal=None):
        image = change_light(Image.open(path).convert("RGB"), light).resize((self.size, self.size), Image.BILINEAR)
        x = normalise(np.asarray(image, np.float32) / 255, mode, goal)
        return torch.from_numpy((x - self.net.mean) / self.net.std).permute(2, 0, 1)

    def scaled(self, x):
        """Maps of x, and behind them those of every second pixel, brought to the same grid."""
        y = self.net.maps(x)[0]
        half = self.net.maps(x[:, :, ::2, ::2])[0].permute(0, 3, 1, 2)
        return torch.cat([y, F.interpolate(half, y.shape[1:3], mode="bilinear").permute(0, 2, 3, 1)], 3)

    def __call__(self, paths, light=(), mode="none", goal=None, fine=False, lights=None, scales=1):
        """float16 array on disk, (n, rows, columns, channels).  lights: one for each path, instead of light."""
        lights = lights or [light] * len(paths)
        key = hashlib.sha1(json.dumps([paths, lights, mode, goal, fine, self.size, scales]).encode()).hexdigest()[:20]
        name = os.path.join(self.cache, key + ".npy")
        if not os.path.exists(name):
            out = None
            for i in range(0, len(paths), BATCH):
                x = torch.stack([self.pixels(p, l, mode, goal)
                                 for p, l in zip(paths[i:i + BATCH], lights[i:i + BATCH])])
                y = (self.scaled(x) if scales > 1 else self.net.maps(x)[1 if fine else 0]).half().numpy()
                if out is None:
                    out = np.lib.format.open_memmap(name + ".part", "w+", np.float16, (len(paths),) + y.shape[1:])
                out[i:i + len(y)] = y
            os.rename(name + ".part", name)
        return np.load(name, mmap_mode="r")


def listing(folder):
    """Paths to learn from; tests as (path, anomalous, mask path or None)."""
    def files(name):
        return sorted(f for f in glob.glob(name + "/*") if f.lower().endswith((".png", ".jpg", ".jpeg", ".bmp")))
    folder = os.path.abspath(folder)
    train, test = files(folder + "/train/good"), []
    for kind in sorted(os.listdir(folder + "/test")):
        for f in files(f"{folder}/test/{kind}"):
            mask = f"{folder}/ground_truth/{kind}/{os.path.splitext(os.path.basename(f))[0]}_mask.png"
            test.append((f, kind != "good", mask if os.path.exists(mask) else None))
    return train, test
