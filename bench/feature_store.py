"""Features of a data set's images under many angles, computed once and kept in a folder.  For accuracy.py.

A set is kept as one safetensors file whose tensor `features`, float32 (images, views, feature_dim), holds what
dn_extractor_features_image gives, not standardised; its __metadata__ tells the files in order, what computed them and
how long that took.  The file's name says what it depends on: backbone (its id: crc32 of layers and weights), input
size and scales, crc32 of the images' names and contents, number of views.  Until a set is complete its chunks lie in
a folder of the same name with .part instead of .safetensors; every file appears complete or not at all, so that a
stopped run goes on.

Each image has angles of its own, one random angle from each views-th of the circle as in the library's feature bank.
"""
import concurrent.futures
import json
import os
import re
import shutil
import sys
import time
import zlib

import numpy as np

from bench_common import differnet, safetensors_io

CHUNK_IMAGES = 32
TRAIN, TEST = 0, 1  # what a set is for; also its stream of random angles
ROLES = ("train", "test")


# ---- images ----

def natural(path):
    """Sort key: numbers inside names count as numbers, as in the command's lists."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path)]


def list_images(folder):
    """All images below a folder, in order."""
    found = [os.path.join(place, name) for place, _, names in os.walk(folder) for name in names
             if name.lower().endswith((".png", ".jpg", ".jpeg")) and not name.startswith(".")]
    return sorted(found, key=natural)


def good_folder(folder):
    for name in ("good", "ok"):
        if os.path.isdir(os.path.join(folder, name)):
            return os.path.join(folder, name)
    raise SystemExit(f"{folder}: no folder good: a data set in MVTec layout is needed")


def training_images(data):
    images = list_images(good_folder(os.path.join(data, "train")))
    if not images:
        raise SystemExit(f"{data}/train/good: no images")
    return images


def test_images(data):
    """Paths and kinds ("good" or the defect's name) of DATA/test, good ones first."""
    test = os.path.join(data, "test")
    good = good_folder(test)
    paths, kinds = list_images(good), []
    kinds += ["good"] * len(paths)
    for kind in sorted(os.listdir(test)):
        folder = os.path.join(test, kind)
        if os.path.isdir(folder) and folder != good:
            found = list_images(folder)
            paths, kinds = paths + found, kinds + [kind] * len(found)
    if not kinds or kinds[0] != "good" or kinds[-1] == "good":
        raise SystemExit(f"{test}: both good and defective images are needed")
    return paths, np.array(kinds)


def images_crc(paths, data):
    """crc32 of the images' names (below DATA) and contents."""
    crc = 0
    for path in paths:
        crc = zlib.crc32(os.path.relpath(path, data).encode() + b"\0", crc)
        with open(path, "rb") as file:
            crc = zlib.crc32(file.read(), crc)
    return crc


def angles_of(role, image, views):
    """Degrees, -180 .. 180: one from each views-th of the circle."""
    random = np.random.RandomState([role, image])  # its numbers are the same with every version of numpy
    return -180 + (np.arange(views) + random.uniform(size=views)) * 360 / views


# ---- files ----

def save(path, tensors, metadata):
    safetensors_io.save(path + ".tmp", tensors, metadata)
    os.replace(path + ".tmp", path)


def load(path):
    """(features, metadata) of a complete set; the features are read only."""
    tensors, metadata = safetensors_io.load(path)
    return tensors["features"], metadata


# ---- computing ----

class Progress:
    """Lines on standard error: views done, rate, time left."""

    def __init__(self, name, views):
        self.name, self.total, self.done, self.begun = name, views, 0, time.monotonic()
        self.told = self.begun

    def add(self, views):
        self.done += views
        now = time.monotonic()
        if now - self.told >= 10 or self.done == self.total:
            self.told = now
            rate = self.done / (now - self.begun)
            print(f"{self.name}: {self.done} of {self.total} views, {1e3 / rate:.1f} ms each, "
                  f"{(self.total - self.done) / rate / 60:.1f} min left", file=sys.stderr, flush=True)


def compute_chunk(extractor, path, images, first, role, views, pool):
    """Computes and saves the features of images first ... ; cpu_seconds in the metadata are of this process."""
    begun = time.process_time()
    jobs = [(image, angles_of(role, first + i, views)) for i, image in enumerate(images)]
    rows = list(pool.map(lambda job: extractor.features_image(*job), jobs))  # calls release the interpreter lock
    features = np.stack(rows).astype(np.float32)
    save(path, {"features": features}, {"cpu_seconds": repr(time.process_time() - begun)})


def merge(path, part, chunks, metadata):
    loaded = [load(os.path.join(part, name)) for name in chunks]
    seconds = sum(float(found["cpu_seconds"]) for _, found in loaded)
    save(path, {"features": np.concatenate([features for features, _ in loaded])},
         {**metadata, "cpu_seconds": repr(seconds)})
    shutil.rmtree(part)


def compute(extractor, name, data, role, paths, views, folder, threads):
    """Path of the file with the set's features; computes what is missing of it.  name: of the backbone, for people."""
    info = extractor.info
    key = os.path.join(folder, f"{info.id:08x}-{info.input_size}x{info.scales}-{ROLES[role]}-"
                               f"{images_crc(paths, data):08x}-{views}")
    path, part = key + ".safetensors", key + ".part"
    if os.path.exists(path):
        return path
    os.makedirs(part, exist_ok=True)
    firsts = range(0, len(paths), CHUNK_IMAGES)
    chunks = [f"{first:06d}.safetensors" for first in firsts]
    missing = [first for first, chunk in zip(firsts, chunks) if not os.path.exists(os.path.join(part, chunk))]
    images_missing = sum(len(paths[first:first + CHUNK_IMAGES]) for first in missing)
    progress = Progress(f"{name}, {ROLES[role]}", views * images_missing)
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for first in missing:
            images = paths[first:first + CHUNK_IMAGES]
            compute_chunk(extractor, os.path.join(part, f"{first:06d}.safetensors"), images, first, role, views, pool)
            progress.add(views * len(images))
    merge(path, part, chunks, {
        "differnet.kind": "features", "backbone": name, "backbone_name": info.name,
        "backbone_id": f"{info.id:08x}",
        "library": differnet.version(), "corename": differnet.blas_corename(), "role": ROLES[role],
        "files": json.dumps([os.path.relpath(file, data) for file in paths])})
    return path
