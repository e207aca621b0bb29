#!/usr/bin/env python3
"""A peer's worker of bench/run (bench_worker.py).  usage: bench_peer.py ENGINE SETTINGS

ENGINE    torch, onnxruntime, openvino or ncnn: the module peer_ENGINE holds its class Engine
SETTINGS  JSON: "bundle" (bench_parts.py), "threads", "tasks" (of score, features, step), "batches", "thorough"

At the start every way the engine has of doing a task is tried, and the fastest is kept.  Requests: the tasks.  The
answer is seconds, then the score, the mean feature or the loss.

An Engine has `version`, and yields for each part its ways as (label, function without arguments or, for the flow, of
the features):

feature_ways(views, batches)   views (n, 3, size, size) -> features (n, dimension)
flow_ways(rows)                features (rows, dimension), not standardised -> z
step_ways(rows)                one training step on rows (rows, dimension) -> loss
"""
import importlib
import json
import os
import sys
import time

import numpy as np

from bench_parts import Bundle
from bench_worker import Absent, serve

STEP_ROWS, DIMENSION = 96, 768
HOPELESS = 3  # a way whose first run takes so much longer than the best is not tried further


def step_rows():
    """The rows of bench_flow.c: (STEP_ROWS, DIMENSION)."""
    number = np.arange(STEP_ROWS * DIMENSION, dtype=np.uint32) * np.uint32(2654435761) % np.uint32(1000)
    return (number.astype(np.float32) / np.float32(500) - np.float32(1)).reshape(STEP_ROWS, DIMENSION)


def seconds_of(function, *arguments):
    begun = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - begun


def fastest(ways, *arguments):
    """(label, function, {label: seconds or why it failed}) of the fastest way."""
    best, tried = (None, None, float("inf")), {}
    for label, way in ways:
        try:
            seconds_of(way, *arguments)  # may allocate, or compile
            runs = [seconds_of(way, *arguments)]
            if runs[0] < HOPELESS * best[2]:
                runs += [seconds_of(way, *arguments) for _ in range(2)]
        except (RuntimeError, ImportError, NotImplementedError, AttributeError, OSError) as problem:
            tried[label] = f"{type(problem).__name__}: {str(problem).splitlines()[0] if str(problem) else ''}"[:200]
            continue
        tried[label] = min(runs)
        if tried[label] < best[2]:
            best = (label, way, tried[label])
        del way
    if best[1] is None:
        raise Absent("; ".join(f"{label}: {why}" for label, why in tried.items()))
    return best[0], best[1], tried


class Peer:
    def __init__(self, engine, settings, bundle):
        self.facts, self._features, self._flow, self._step = {"version": engine.version}, None, None, None
        tasks = settings["tasks"]
        if "score" in tasks or "features" in tasks:
            label, self._features, tried = fastest(engine.feature_ways(bundle.views, settings["batches"]))
            self.facts.update(features=label, features_tried=tried)
        if "score" in tasks:
            features = self._features()
            label, self._flow, tried = fastest(engine.flow_ways(len(features)), features)
            self.facts.update(flow=label, flow_tried=tried)
        if "step" in tasks:
            self._prepare_step(engine)

    def _prepare_step(self, engine):
        """The first loss is that of the initial weights: it tells whether the same is computed."""
        losses = []

        def watched(way):
            def step():
                losses.append(way())
                return losses[-1]
            return step

        label, self._step, tried = fastest((name, watched(way)) for name, way in engine.step_ways(step_rows()))
        self.facts.update(step=label, step_tried=tried, first_loss=losses[0])

    def score(self):
        z = self._flow(self._features())
        return (z.astype(np.float32) ** 2).mean(dtype=np.float64)

    def features(self):
        return self._features().mean(dtype=np.float64)

    def answer(self, words):
        task = {"score": self.score, "features": self.features, "step": self._step}[words[0]]
        begun = time.perf_counter()
        value = task()
        return time.perf_counter() - begun, value


def start():
    name, settings = sys.argv[1], json.loads(sys.argv[2])
    module = importlib.import_module("peer_" + name)
    bundle = Bundle(settings["bundle"])
    peer = Peer(module.Engine(bundle, settings["threads"], settings["thorough"]), settings, bundle)
    return peer.facts, peer.answer


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    serve(start)
