"""The rows of bench/run: what is compared with what, and how the figure comes about."""
import json
import os
import statistics
import subprocess
import sys
import time

from bench_common import differnet
from bench_parts import make_bundle, make_model
from bench_worker import SLOWING, Absent, Failed, Worker, clean_environment

HERE = os.path.dirname(os.path.abspath(__file__))
SETTLE = 0.25  # seconds between turns of different processes: threads that spin after their work sleep by then
SETTLE_STEP = 3.0  # the same beside PyTorch's training step: it frees gigabytes, which the kernel hands back to a VM's host
SAME = 2e-3    # largest relative difference of what two engines compute
# Multiplications and additions in 10^9, per view of 448 pixels at three scales, of the convolutions done directly.
VIEW_GFLOP_448 = 7.150
FLOW_LAYERS = {"dimension": 768, "blocks": 8}
HEATMAP_VIEWS, HEATMAP_COST = 16 * 16, 3  # dn_train_options.heatmap_images, its views; forward and gradient
PEERS = ("torch", "onnxruntime", "openvino", "ncnn")
METHOD = "PyTorch of the system"  # the method as its author runs it


def flow_gflop(hidden):
    """Of one row."""
    half, dimension = FLOW_LAYERS["dimension"] // 2, FLOW_LAYERS["dimension"]
    return 2e-9 * 2 * FLOW_LAYERS["blocks"] * (half * hidden + 2 * hidden * hidden + hidden * dimension)


def score_gflop(views, hidden):
    return views * (VIEW_GFLOP_448 + flow_gflop(hidden))


def paired(kind, a, b, factor=1.0):
    """Median, least and greatest ratio of the rounds.  speedup: b / a; cost: a / b."""
    ratios = [factor * (y / x if kind == "speedup" else x / y) for x, y in zip(a, b)]
    return {"kind": kind, "median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}


def alternate(rounds, sides, settle):
    """A B A B ...: the answers of all rounds, a list for each side, after one turn each that does not count."""
    answers = [[] for _ in sides]
    for number in range(rounds + 1):
        for side, kept in zip(sides, answers):
            time.sleep(settle)
            answer = side()
            if number:
                kept.append(answer)
    return answers


def check_same(name, what, ours, theirs):
    if not abs(ours - theirs) <= SAME * abs(ours):
        raise Failed(f"{name}: its {what} is {theirs:.6g}, not {ours:.6g}: it computes something else")


class Bench:
    """The run: workers, files, and the rows measured so far."""

    def __init__(self, arguments, folder):
        self.arguments, self.folder = arguments, folder
        self.threads, self.views, self.rounds = arguments.threads, arguments.views, arguments.rounds
        self.preset = differnet.PRESET_COMPACT if arguments.quick else differnet.PRESET_PAPER
        self.model = make_model(os.path.join(folder, "model.dnm"), self.preset)
        self.ours = self.library_worker(self.model)
        self.hidden = int(self.ours.facts["hidden"])
        self.settle, self.settle_step = (0, 0) if arguments.quick else (SETTLE, SETTLE_STEP)
        self.absent, self.failed, self._bundle, self._measured = {}, {}, None, {}

    # ---- workers ----

    def library_worker(self, model):
        command = [sys.executable, os.path.join(HERE, "bench_ours.py"), self.arguments.build, model,
                   os.path.join(self.folder, "pictures")]
        return Worker("libdifferent", command, self.threads)

    def flow_worker(self):
        return Worker("bench_flow", [os.path.join(self.arguments.build, "bench", "bench_flow"), "--serve",
                                     str(self.hidden), str(self.threads)], self.threads)

    def bundle(self):
        if self._bundle is None:
            self._bundle = make_bundle(os.path.join(self.folder, "bundle"), self.model, self.views)
            with differnet.Flow.create(**FLOW_LAYERS, hidden=self.hidden) as flow:
                flow.save(os.path.join(self._bundle, "step_flow.safetensors"))
        return self._bundle

    def peers(self):
        """(name, engine, python, thorough) of all that may be there."""
        chosen = [(METHOD, "torch", self.arguments.system_python, False)]
        chosen += [(name, name, self.arguments.python, not self.arguments.quick) for name in PEERS]
        return [peer for peer in chosen if peer[0] not in self.arguments.without]

    def peer_worker(self, peer, tasks):
        name, engine, python, thorough = peer
        batches = [batch for batch in (1, 8, self.views) if self.views % batch == 0]
        settings = {"bundle": self.bundle(), "threads": self.threads, "tasks": tasks, "batches": sorted(set(batches)),
                    "thorough": thorough}
        if not python:
            raise Absent("no --python was given")
        return Worker(name, [python, os.path.join(HERE, "bench_peer.py"), engine, json.dumps(settings)], self.threads)

    # ---- comparisons ----

    def against(self, peer, tasks):
        """Times of our side and of a peer for each task: {task: record}; each peer is started once."""
        name = peer[0]
        if (name, *tasks) not in self._measured:
            found = {}
            try:
                with self.peer_worker(peer, tasks) as worker:
                    for task in tasks:
                        print(f"  {task}: {name} {worker.facts['version']}", file=sys.stderr, flush=True)
                        found[task] = self._pair(name, worker, task)
            except Absent as why:
                self.absent[name] = str(why)
            except Failed as why:
                self.failed[name] = str(why)
            self._measured[(name, *tasks)] = found
        return self._measured[(name, *tasks)]

    def _pair(self, name, worker, task):
        if task == "step":
            with self.flow_worker() as ours:  # both have the same weights at the beginning only
                check_same(name, "first loss", ours.ask("step")[1], worker.facts["first_loss"])
                return self._turns(name, worker, task, ours, "step", self.settle_step)[0]
        request = f"{task} {self.views} {self.threads}"
        record, ours, theirs = self._turns(name, worker, task, self.ours, request, self.settle)
        check_same(name, "score" if task == "score" else "mean feature", ours, theirs)
        return record

    def _turns(self, name, worker, task, ours, request, settle):
        """The record, and what both computed."""
        a, b = alternate(self.rounds, (lambda: ours.ask(request), lambda: worker.ask(task)), settle)
        record = {"a": {"name": "libdifferent", "seconds": [answer[0] for answer in a]},
                  "b": {"name": name, "seconds": [answer[0] for answer in b], "facts": worker.facts}}
        return record, a[0][1], b[0][1]

    def fastest_peer(self, task, tasks=("score", "features")):
        """The record of the fastest peer, and all records."""
        records = [found[task] for found in (self.against(peer, tasks) for peer in self.peers()) if task in found]
        if not records:
            raise Absent("no peer is there")
        return min(records, key=lambda record: statistics.median(record["b"]["seconds"])), records

    def one_process(self, *requests, worker=None):
        """Seconds of requests that take turns, of one worker."""
        worker = worker or self.ours
        answers = alternate(self.rounds, [lambda request=request: worker.ask(request) for request in requests],
                            self.settle)
        return [[answer[0] for answer in side] for side in answers]

    # ---- the machine ----

    def exchange(self):
        """[nanoseconds in which a cache line goes from one processor to another and back], or []: there is one only."""
        program = os.path.join(self.arguments.build, "bench", "bench_exchange")
        time.sleep(self.settle)
        done = subprocess.run([program], capture_output=True, text=True)
        if done.returncode == 0:
            return [float(done.stdout)]
        if done.returncode != 77:
            print(f"warning: {program}: {done.stderr.strip() or done.returncode}", file=sys.stderr)
        return []

    def machine(self):
        facts = {"threads": self.threads, **{key: self.ours.facts[key] for key in ("corename", "blas")},
                 "removed": [name for name in SLOWING if name in self.arguments.removed]}
        for threads in sorted({1, self.threads}):
            for what in ("sgemm", "read"):
                answers = [self.ours.ask(f"{what} {threads}") for _ in range(max(3, self.rounds))]
                facts[f"{what}_{threads}"] = statistics.median(amount / seconds for seconds, amount in answers)
        return facts


# ---- the rows ----

def row_score(bench):
    """The 64-view score's work, done directly, per second, over SGEMM's rate."""
    a, b = alternate(bench.rounds, (lambda: bench.ours.ask(f"score {bench.views} {bench.threads}"),
                                    lambda: bench.ours.ask(f"sgemm {bench.threads}")), bench.settle)
    a, rates = [answer[0] for answer in a], [amount / seconds for seconds, amount in b]
    work = score_gflop(bench.views, bench.hidden)
    record = {"a": {"name": "libdifferent", "seconds": a}, "b": {"name": "SGEMM", "rates": rates}, "gflop": work}
    return {**record, "ratio": paired("speedup", a, [work / rate for rate in rates])}


def row_against(bench, name, task):
    """One certain peer."""
    peer = [peer for peer in bench.peers() if peer[0] == name]
    tasks = ("step",) if task == "step" else ("score", "features")
    record = bench.against(peer[0], tasks).get(task) if peer else None
    if record is None:
        raise Absent({**bench.absent, **bench.failed}.get(name, "left out"))
    return {**record, "ratio": paired("speedup", record["a"]["seconds"], record["b"]["seconds"])}


def row_peer(bench, task):
    fastest, records = bench.fastest_peer(task)
    return {**fastest, "ratio": paired("speedup", fastest["a"]["seconds"], fastest["b"]["seconds"]), "peers": records}


def row_conv(bench):
    """Each layer at each scale; the one that gains least is the row's figure."""
    program = os.path.join(bench.arguments.build, "bench", "bench_conv")
    done = subprocess.run([program, str(bench.rounds), "--json"], capture_output=True, text=True,
                          env=clean_environment(1))
    if done.returncode != 0:
        raise Failed(f"{program}: {done.stderr.strip() or done.returncode}")
    layers = [json.loads(line) for line in done.stdout.splitlines()]
    for layer in layers:
        layer["ratio"] = paired("speedup", layer["fast"], layer["direct"])
    worst = min(layers, key=lambda layer: layer["ratio"]["median"])
    return {"a": {"name": f"{worst['layer']}, {worst['scale']} px", "seconds": worst["fast"]},
            "b": {"name": "im2row + cblas_sgemm", "seconds": worst["direct"]}, "ratio": worst["ratio"],
            "layers": layers}


def row_scaling(bench):
    if bench.threads == 1:
        raise Absent("one thread only")
    many, one = bench.one_process(f"score {bench.views} {bench.threads}", f"score {bench.views} 1")
    return {"a": {"name": f"{bench.threads} threads", "seconds": many}, "b": {"name": "1 thread", "seconds": one},
            "ratio": paired("speedup", many, one)}


def row_update(bench):
    with bench.flow_worker() as worker:
        step, products = bench.one_process("step", "products", worker=worker)
    return {"a": {"name": "step", "seconds": step}, "b": {"name": "without update", "seconds": products},
            "ratio": paired("cost", step, products)}


def row_gradient(bench):
    views = 1 if bench.arguments.quick else 4
    both, forward = bench.one_process(f"gradient {views}", f"features {views} 1")
    return {"a": {"name": "features and gradient", "seconds": both}, "b": {"name": "features", "seconds": forward},
            "ratio": paired("cost", both, forward), "views": views}


def whole_training(settings, images, view_seconds, bank_step, fresh_step):
    """Seconds of a whole training with a bank and with fresh views, of measured parts."""
    batch, views = settings["batch_images"], settings["batch_views"]
    held = max(1, round(settings["holdout"] * images))
    learned = images - held
    per_pass = -(-learned // batch)
    steps = settings["epochs"] * per_pass * max(1, -(-settings["epoch_steps"] // per_pass))
    after = view_seconds * (held * 64 + HEATMAP_VIEWS * HEATMAP_COST)
    bank = learned * settings["bank"] * view_seconds + steps * bank_step + after
    fresh = learned * views * view_seconds + steps * fresh_step + after
    return steps, bank, fresh


def row_training(bench):
    """The default settings.  Parts are measured, the whole is computed of them."""
    settings = bench.ours.facts["training"]
    views, images = (2, 3) if bench.arguments.quick else (8, settings["batch_images"])
    requests = [f"training {views} {images} {bench.threads}", f"training 0 {images} {bench.threads}"]
    bank, fresh = alternate(bench.rounds, [lambda r=r: bench.ours.ask(r) for r in requests], bench.settle)
    whole = [whole_training(settings, bench.arguments.images, banked[1], banked[0], paper[0])
             for banked, paper in zip(bank, fresh)]
    return {"a": {"name": "with the bank", "seconds": [part[1] for part in whole]},
            "b": {"name": "fresh views", "seconds": [part[2] for part in whole]}, "computed": True,
            "images": bench.arguments.images, "steps": whole[0][0],
            "parts": {"bank": bank, "fresh": fresh, "meaning": "seconds per step, per view of the bank, steps"},
            "ratio": paired("speedup", [part[1] for part in whole], [part[2] for part in whole])}


def row_open(bench, verify):
    (seconds,) = bench.one_process(f"open {verify}")
    return {"a": {"name": "verified" if verify else "not verified", "seconds": seconds},
            "milliseconds": 1e3 * statistics.mean(seconds), "bytes": os.path.getsize(bench.model)}


# name: title, function, (must, aim): for a cost and for milliseconds less is better.
ROWS = {
    "score": ("score's work per second / SGEMM's rate", row_score, (1.6, 2.45)),
    "method": ("score against the method in PyTorch", lambda bench: row_against(bench, METHOD, "score"), (4, 6.5)),
    "peer": ("score against the fastest peer", lambda bench: row_peer(bench, "score"), (2, 3)),
    "features": ("features against the fastest peer", lambda bench: row_peer(bench, "features"), (1.3, 2)),
    "conv": ("convolution against im2row + SGEMM, worst layer", row_conv, (1.8, 2.8)),
    "scaling": ("score: all threads against one", row_scaling, (1.85, 1.95)),
    "step": ("training step against the method in PyTorch", lambda bench: row_against(bench, METHOD, "step"), (4, 6.5)),
    "step_peer": ("training step against today's PyTorch", lambda bench: row_against(bench, "torch", "step"), None),
    "update": ("training step / step without update", row_update, (1.3, 1.08)),
    "gradient": ("features and gradient / features", row_gradient, (2.5, 2.1)),
    "training": ("whole training: bank against fresh views", row_training, (6, 10)),
    "open": ("model open, milliseconds", lambda bench: row_open(bench, 1), (100, 20)),
    "open_unverified": ("model open without its checksum, milliseconds", lambda bench: row_open(bench, 0), (100, 20)),
}
