"""How bench/run --growth measures what the cost grows with.  Everything else stays as in the run's own model."""
import os
import statistics

from bench_parts import make_model
from bench_worker import Worker

FULL = {"views": (1, 2, 4, 8, 16, 32, 64, 128), "input_size": (256, 320, 448, 576, 672),
        "hidden": (128, 256, 512, 1024, 2048, 4096), "images": (16, 32, 64, 128)}
QUICK = {"views": (1, 2), "input_size": (256, 448), "hidden": (32, 64), "images": (3, 4)}


def median_of(worker, request, rounds):
    worker.ask(request)
    return statistics.median(worker.ask(request)[0] for _ in range(rounds))


def by_views(bench, points):
    return [[views, median_of(bench.ours, f"score {views} {bench.threads}", bench.rounds)] for views in points]


def by_threads(bench):
    """Up to all processors that this process may use."""
    most = len(os.sched_getaffinity(0))
    points = sorted({count for count in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, most) if count <= most})
    return [[count, median_of(bench.ours, f"score {bench.views} {count}", bench.rounds)] for count in points]


def by_model(bench, name, points):
    """A model of its own for each input size or hidden width."""
    found = []
    for point in points:
        path = os.path.join(bench.folder, "growth.dnm")
        settings = {"hidden": bench.hidden, **{name: point}}
        with bench.library_worker(make_model(path, bench.preset, **settings)) as worker:
            found.append([point, median_of(worker, f"score {bench.views} {bench.threads}", bench.rounds)])
        os.remove(path)
    return found


def steps_by_hidden(bench, points):
    program = os.path.join(bench.arguments.build, "bench", "bench_flow")
    found = []
    for hidden in points:
        with Worker("bench_flow", [program, "--serve", str(hidden), str(bench.threads)], bench.threads) as worker:
            found.append([hidden, median_of(worker, "step", bench.rounds)])
    return found


def by_images(bench, points):
    """Whole trainings with the default settings, once each."""
    settings = bench.ours.facts["training"]
    epochs, bank, hidden = (2, 2, 32) if bench.arguments.quick else (settings["epochs"], settings["bank"],
                                                                     settings["hidden"])
    return [[images, bench.ours.ask(f"train {images} {epochs} {bank} {hidden} {bench.threads}")[0]]
            for images in points]


def measure(bench):
    """One series after the other: name, {"x": what grows, "y": what it costs, "points": [[x, seconds], ...]}"""
    points = QUICK if bench.arguments.quick else FULL
    score = f"score of {bench.views} views"
    for name, x, y, found in (
            ("views", "views", "score", lambda: by_views(bench, points["views"])),
            ("threads", "threads", score, lambda: by_threads(bench)),
            ("input_size", "side of a view, pixels", score,
             lambda: by_model(bench, "input_size", points["input_size"])),
            ("hidden", "hidden width", score, lambda: by_model(bench, "hidden", points["hidden"])),
            ("step", "hidden width", "training step of 96 rows", lambda: steps_by_hidden(bench, points["hidden"])),
            ("images", "images", "whole training", lambda: by_images(bench, points["images"]))):
        yield name, {"x": x, "y": y, "points": found()}
