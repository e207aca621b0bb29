#!/usr/bin/env python3
"""The library's worker of bench/run (bench_worker.py).  usage: bench_ours.py BUILD MODEL PICTURES THREADS

Requests, each answered by seconds and, behind them, what tells whether the right thing was computed:

score VIEWS THREADS        one image, from pixels to score (views are rendered too): seconds, score
features VIEWS THREADS     features of views that are rendered already: seconds, mean feature
gradient VIEWS             their gradient towards the pixels (the features are computed anew), one thread: seconds
open VERIFY                opens the model's file: seconds
training BANK IMAGES THREADS   a step takes all images: seconds per step, seconds per view that was computed before
                           the first one, steps measured
train IMAGES EPOCHS BANK HIDDEN THREADS   a whole training: seconds
sgemm THREADS              one large product by the OpenBLAS the library uses: seconds, GFLOP
read THREADS               reading memory: seconds, GB
"""
import ctypes
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from bench_common import default_options, differnet, load_library
from bench_parts import grid_angles, picture, write_pictures
from bench_worker import serve

SGEMM_SIDES, SGEMM_LONGEST = (1024, 2048, 4096), 0.1  # seconds: a larger one is no faster then
READ_FLOATS = 64 << 20  # per thread: larger than any cache
ROW_MAJOR, NO_TRANSPOSE = 101, 111  # as in cblas.h


def timed(function, *arguments):
    begun = time.perf_counter()
    value = function(*arguments)
    return time.perf_counter() - begun, value


class Blas:
    """OpenBLAS as the library has loaded it: its functions are found through the library's own handle."""

    def __init__(self):
        self.library = differnet._call.library()
        self.library.openblas_get_config.restype = ctypes.c_char_p
        self.library.cblas_sasum.restype = ctypes.c_float
        self.library.cblas_sgemm.argtypes = [ctypes.c_int] * 6 + [ctypes.c_float, ctypes.c_void_p, ctypes.c_int,
                                                                  ctypes.c_void_p, ctypes.c_int, ctypes.c_float,
                                                                  ctypes.c_void_p, ctypes.c_int]
        self.library.cblas_sasum.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
        self._matrices = self._arrays = None
        self._side = {}

    def config(self):
        return self.library.openblas_get_config().decode()

    def _multiply(self, side):
        a, b, c = (part.ctypes.data for part in self._matrices)
        self.library.cblas_sgemm(ROW_MAJOR, NO_TRANSPOSE, NO_TRANSPOSE, side, side, side, 1, a, side, b, side, 0, c,
                                 side)

    def _best_side(self):
        rates = {}
        for side in SGEMM_SIDES:
            seconds = min(timed(self._multiply, side)[0] for _ in range(3))
            rates[side] = side ** 3 / seconds
            if seconds > SGEMM_LONGEST:
                break
        return max(rates, key=rates.get)

    def sgemm(self, threads):
        """At the side where it is fastest."""
        if self._matrices is None:
            random = np.random.default_rng(0)
            self._matrices = [random.random((SGEMM_SIDES[-1],) * 2, np.float32) for _ in range(3)]
        differnet.blas_set_threads(threads)
        if threads not in self._side:
            self._side[threads] = self._best_side()
        side = self._side[threads]
        seconds = timed(self._multiply, side)[0]
        differnet.blas_set_threads(1)
        return seconds, 2e-9 * side ** 3

    def read(self, threads):
        """Each thread sums up an array of its own."""
        if self._arrays is None or len(self._arrays) < threads:
            self._arrays = [np.ones(READ_FLOATS, np.float32) for _ in range(threads)]
        addresses = [part.ctypes.data for part in self._arrays[:threads]]
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(int, addresses))  # starts the threads
            seconds, _ = timed(lambda: list(pool.map(lambda a: self.library.cblas_sasum(READ_FLOATS, a, 1),
                                                     addresses)))
        return seconds, 4e-9 * READ_FLOATS * threads


class Training:
    """Times of a training's parts, by its progress."""

    def __init__(self):
        self.steps, self.view_seconds, self._last, self._begun = [], 0.0, None, time.perf_counter()

    def __call__(self, progress):
        now = time.perf_counter()
        if progress.phase == differnet.PHASE_FEATURES and progress.done == progress.total:
            self.view_seconds = (now - self._begun) / progress.total
        if progress.phase == differnet.PHASE_TRAIN:
            if self._last is not None:
                self.steps.append(now - self._last)
            self._last = now
        return False


class Ours:
    def __init__(self, model_path, pictures):
        self.model_path, self.pictures = model_path, pictures
        self.model = differnet.Model.open(model_path)
        self.extractor, self.image = self.model.extractor, picture(100)
        self.scorers, self.views, self.blas = {}, {}, Blas()
        self.requests = {name: getattr(self, name) for name in
                         ("score", "features", "gradient", "open", "training", "train")}

    def _views(self, count):
        if count not in self.views:
            self.views = {count: self.extractor.views(self.image, grid_angles(count))}
        return self.views[count]

    def score(self, views, threads):
        if (views, threads) not in self.scorers:
            self.scorers[views, threads] = differnet.Scorer(self.model, views=views, threads=threads,
                                                            angles=differnet.ANGLES_GRID)
        seconds, result = timed(self.scorers[views, threads].score, self.image)
        return seconds, result.score

    def features(self, views, threads):
        given = self._views(views)
        parts = [part for part in np.array_split(given, threads) if len(part)]
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(len, parts))
            seconds, results = timed(lambda: list(pool.map(self.extractor.features, parts)))
        return seconds, np.concatenate(results).mean(dtype=np.float64)

    def gradient(self, views):
        factors = np.ones((views, self.extractor.info.feature_dim), np.float32)
        return timed(self.extractor.gradient, self._views(views), factors)[:1]

    def open(self, verify):
        seconds, model = timed(lambda: differnet.Model.open(self.model_path, verify=verify))
        model.close()
        return (seconds,)

    def _train(self, images, report, **settings):
        trainer = differnet.Trainer(self.extractor, **settings)
        for path in write_pictures(self.pictures, images):
            trainer.add(path)
        report.__init__()  # its clock starts here
        seconds, model = timed(trainer.run, report)
        model.close()
        trainer.close()
        return seconds

    def training(self, bank, images, threads):
        report = Training()
        settings = {"bank": bank, "batch_images": images, "epochs": 3 if bank else 1, "epoch_steps": 8 if bank else 3}
        self._train(images, report, threads=threads, holdout=0, heatmap_images=0, views=1, **settings)
        return statistics.median(report.steps), report.view_seconds, len(report.steps)

    def train(self, images, epochs, bank, hidden, threads):
        return (self._train(images, Training(), epochs=epochs, bank=bank, hidden=hidden, threads=threads),)

    def answer(self, words):
        numbers = [int(word) for word in words[1:]]
        if words[0] in ("sgemm", "read"):
            return getattr(self.blas, words[0])(*numbers)
        return self.requests[words[0]](*numbers)


def start():
    build, model, pictures = sys.argv[1:4]
    load_library(build)
    ours = Ours(model, pictures)
    info, options = ours.model.info, default_options()
    facts = {"version": differnet.version(), "corename": differnet.blas_corename(), "blas": ours.blas.config(),
             "backbone": info.backbone, "hidden": info.hidden, "input_size": info.input_size, "blocks": info.blocks,
             "training": {name: options[name] for name in ("epochs", "bank", "epoch_steps", "batch_images",
                                                           "batch_views", "hidden", "holdout")}}
    return facts, ours.answer


if __name__ == "__main__":
    serve(start)
