#!/usr/bin/env python3
"""Tests of bench/run and plots.py: that they measure what they say, not how fast it is.
usage: test_run.py BUILD [unittest arguments]"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml

try:
    import numpy as np
except ImportError:
    print("skipped: no numpy")
    sys.exit(77)

BUILD = os.path.abspath(sys.argv.pop(1))
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import bench_peer  # noqa: E402
import bench_report  # noqa: E402
import bench_rows  # noqa: E402
import bench_worker  # noqa: E402
import plots  # noqa: E402
from bench_worker import Absent, Failed, Worker  # noqa: E402

WORK = tempfile.mkdtemp(prefix="differnet-bench-")
NO_PEERS = ["--without", f"{bench_rows.METHOD},torch,onnxruntime,openvino,ncnn"]
HAS_TORCH = subprocess.run([sys.executable, "-c", "import torch"], capture_output=True).returncode == 0


def path(*parts):
    return os.path.join(WORK, *parts)


def script(name, text):
    """An executable Python program."""
    with open(path(name), "w") as file:
        file.write(f"#!{sys.executable}\n{text}")
    os.chmod(path(name), 0o755)
    return path(name)


def worker(text):
    return Worker("fake", [script("fake", text)], 2)


def run(*arguments, **environment):
    """bench/run --quick: exit code, result, standard output, standard error."""
    result = path("result.json")
    if os.path.exists(result):
        os.remove(result)
    command = [sys.executable, os.path.join(HERE, "run"), BUILD, "--quick", "--work", path("files"), "--json", result,
               "--system-python", sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    loaded = None
    if os.path.exists(result):
        with open(result) as file:
            loaded = json.load(file)
    return done.returncode, loaded, done.stdout, done.stderr


def tearDownModule():
    shutil.rmtree(WORK)


class WorkerTest(unittest.TestCase):
    def test_answers(self):
        with worker("import sys\nprint('noise', file=sys.stderr)\nprint('ready {\"a\": 1}', flush=True)\n"
                    "for line in sys.stdin: print(len(line), 0.5, flush=True)") as made:
            self.assertEqual((made.facts, made.ask("run"), made.ask("again")), ({"a": 1}, [4.0, 0.5], [6.0, 0.5]))

    def test_absent(self):
        with self.assertRaisesRegex(Absent, "no such engine"):
            worker("print('absent no such engine')")
        with self.assertRaisesRegex(Absent, "none"):
            Worker("fake", [path("none")], 2)

    def test_failures(self):
        for text, message in (("raise SystemExit('broken here')", "ended: broken here"),
                              ("print('hello')", "began with 'hello'"),
                              ("print('ready {}', flush=True)\ninput()\nprint('much')", "'much' are no numbers"),
                              ("print('ready {}', flush=True)\ninput()\nraise SystemExit('later')", "ended: later")):
            with self.assertRaisesRegex(Failed, message), worker(text) as made:
                made.ask("run")

    def test_serve(self):
        """What a library prints does not get between the answers; a missing module is an absence."""
        program = f"import sys\nsys.path.insert(0, {HERE!r})\nfrom bench_worker import serve\n"
        with worker(program + "def answer(words):\n    print('noise')\n    return len(words), 2\n"
                    "serve(lambda: (print('more') or {'b': 2}, answer))") as made:
            self.assertEqual((made.facts, made.ask("score 1 2")), ({"b": 2}, [3.0, 2.0]))
        with self.assertRaisesRegex(Absent, "No module named 'no_such_module'"):
            worker(program + "def start():\n    import no_such_module\nserve(start)")

    def test_environment(self):
        os.environ.update(OPENBLAS_CORETYPE="Prescott", OPENBLAS_L2_SIZE="1", OMP_WAIT_POLICY="active")
        try:
            clean = bench_worker.clean_environment(3)
        finally:
            for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OMP_WAIT_POLICY"):
                del os.environ[name]
        self.assertFalse({"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OMP_WAIT_POLICY"} & set(clean))
        self.assertEqual((clean["OMP_NUM_THREADS"], clean["OPENBLAS_NUM_THREADS"], clean["PATH"]),
                         ("3", "3", os.environ["PATH"]))


class FiguresTest(unittest.TestCase):
    def test_turns(self):
        order = []
        a, b = bench_rows.alternate(3, (lambda: order.append("a") or len(order), lambda: order.append("b") or 0), 0)
        self.assertEqual("".join(order), "abababab")
        self.assertEqual((a, b), ([3, 5, 7], [0, 0, 0]))  # the first turn does not count

    def test_ratios(self):
        self.assertEqual(bench_rows.paired("speedup", [1, 2, 4], [2, 12, 4]),
                         {"kind": "speedup", "median": 2, "min": 1, "max": 6})
        self.assertEqual(bench_rows.paired("cost", [3, 3], [2, 1])["median"], 2.25)

    def test_work(self):
        self.assertAlmostEqual(bench_rows.flow_gflop(2048), 0.344, 3)
        self.assertAlmostEqual(bench_rows.score_gflop(64, 2048), 480, 0)
        direct = 0  # the convolutions, by their shapes
        for pixels in (448, 224, 112):
            side = (pixels + 4 - 11) // 4 + 1
            direct += side ** 2 * 3 * 64 * 121
            side = (side - 3) // 2 + 1
            direct += side ** 2 * 64 * 192 * 25
            side = (side - 3) // 2 + 1
            direct += side ** 2 * 9 * (192 * 384 + 384 * 256 + 256 * 256)
        self.assertAlmostEqual(2e-9 * direct, bench_rows.VIEW_GFLOP_448, 2)

    def test_whole_training(self):
        settings = {"epochs": 2, "bank": 32, "epoch_steps": 8, "batch_images": 24, "batch_views": 4, "holdout": 0.1}
        steps, bank, fresh = bench_rows.whole_training(settings, 100, 0.01, 0.5, 2.0)
        self.assertEqual(steps, 16)  # 90 images: 4 steps a pass, two passes an epoch
        after = 0.01 * (10 * 64 + 16 * 16 * 3)
        self.assertAlmostEqual(bank, 90 * 32 * 0.01 + 16 * 0.5 + after)
        self.assertAlmostEqual(fresh, 90 * 4 * 0.01 + 16 * 2.0 + after)

    def test_same(self):
        bench_rows.check_same("x", "score", 1.0, 1.001)
        for other in (1.01, float("nan"), float("inf")):
            with self.assertRaisesRegex(Failed, "something else"):
                bench_rows.check_same("x", "score", 1.0, other)

    def test_fastest_way(self):
        def broken():
            raise RuntimeError("not here")

        ways = [("slow", lambda: sum(range(300000))), ("broken", broken), ("fast", lambda: None)]
        label, _, tried = bench_peer.fastest(ways)
        self.assertEqual((label, list(tried), tried["broken"]),
                         ("fast", ["slow", "broken", "fast"], "RuntimeError: not here"))
        with self.assertRaisesRegex(Absent, "broken: RuntimeError: not here"):
            bench_peer.fastest(ways[1:2])

    def test_durations(self):
        self.assertEqual([bench_report.duration(value) for value in (2.5, 0.0321, 4.56e-5, 1e-8)],
                         ["2.5 s", "32.1 ms", "45.6 µs", "10 ns"])


    def test_markdown_file(self):
        name = path("page.md")
        bench_report.write_markdown(name, "alone\n")
        with open(name) as file:
            self.assertEqual(file.read(), "alone\n")
        with open(name, "w") as file:
            file.write("# Page\n" + bench_report.BEGIN + "old\n" + bench_report.END + "behind\n")
        for content in ("first\n", "second\n"):
            bench_report.write_markdown(name, content)
            with open(name) as file:
                self.assertEqual(file.read(),
                                 "# Page\n" + bench_report.BEGIN + content + bench_report.END + "behind\n")


class RunTest(unittest.TestCase):
    """bench/run from outside."""

    def corename(self):
        program = (f"import sys\nsys.path.insert(0, {HERE!r})\nfrom bench_common import *\nload_library({BUILD!r})\n"
                   "print(differnet.blas_corename())")
        return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True,
                              env=bench_worker.clean_environment(1)).stdout.strip()

    def test_own_rows(self):
        rows = ["score", "conv", "update", "gradient", "open_unverified"]
        code, result, out, err = run("--rows", ",".join(rows), *NO_PEERS, "--markdown", path("table.md"),
                                     OPENBLAS_CORETYPE="Prescott")
        self.assertEqual(code, 0, err)
        self.assertEqual(list(result["rows"]), rows)
        machine = result["machine"]
        self.assertEqual((machine["removed"], machine["corename"]), (["OPENBLAS_CORETYPE"], self.corename()))
        self.assertTrue(all(machine[key] > 0 for key in machine if key.startswith(("sgemm_", "read_"))))
        exchanges = machine["exchange"]
        self.assertEqual(len(exchanges), len(rows) + 1 if len(os.sched_getaffinity(0)) > 1 else 0)
        if exchanges:
            self.assertIn(f"another processor and back {min(exchanges):.0f} to {max(exchanges):.0f} ns", out)
        row = result["rows"]["score"]
        ratios = [row["gflop"] / a / rate for a, rate in zip(row["a"]["seconds"], row["b"]["rates"])]
        self.assertEqual(len(ratios), 2)
        self.assertAlmostEqual(row["ratio"]["median"], np.median(ratios))
        layers = result["rows"]["conv"]["layers"]
        self.assertEqual({(layer["layer"], layer["scale"]) for layer in layers},
                         {(f"conv{i}", scale) for i in range(1, 6) for scale in (448, 224, 112)})
        self.assertEqual(result["rows"]["conv"]["ratio"]["median"], min(layer["ratio"]["median"] for layer in layers))
        self.assertTrue(all(layer["error"] < 1e-5 and len(layer["fast"]) == 2 for layer in layers))
        self.assertGreater(result["rows"]["gradient"]["ratio"]["min"], 1)
        with open(path("table.md")) as file:
            self.assertEqual(file.read(), out)
        self.assertEqual(os.listdir(path("files")), [])

    def test_absent_peers(self):
        code, result, out, err = run("--rows", "peer,step_peer,method", "--python", path("no-python"), "--without",
                                     bench_rows.METHOD)
        self.assertEqual(code, 0, err)
        self.assertEqual(result["rows"]["peer"], {"absent": "no peer is there"})
        self.assertEqual(result["rows"]["method"], {"absent": "left out"})
        self.assertEqual(set(result["absent"]), set(bench_rows.PEERS))
        self.assertIn("no-python", result["absent"]["openvino"])
        self.assertIn("absent: no peer is there", out)

    def test_another_result_fails(self):
        fake = script("python", "import sys\nprint('ready {\"version\": \"1\"}', flush=True)\n"
                      "for line in sys.stdin: print(1e-3, 77, flush=True)")
        code, result, _, err = run("--rows", "features", "--python", fake, "--without",
                                   f"{bench_rows.METHOD},torch,onnxruntime,openvino")
        self.assertEqual(code, 1, err)
        self.assertIn("ncnn: its score is 77, not", result["failed"]["ncnn"])
        self.assertIn("absent", result["rows"]["features"])  # and no other peer is there

    @unittest.skipUnless(HAS_TORCH, "no PyTorch")
    def test_method(self):
        # One thread: several that spin for one another make no headway on a busy machine.
        code, result, _, err = run("--rows", "method,step", "--views", "2", "--threads", "1")
        self.assertEqual(code, 0, err)
        row = result["rows"]["method"]
        self.assertIn("eager", row["b"]["facts"]["features"])
        self.assertEqual((len(row["b"]["seconds"]), result["rows"]["step"]["b"]["name"]), (2, bench_rows.METHOD))

    def test_growth(self):
        code, result, _, err = run("--rows", "", "--growth")
        self.assertEqual(code, 0, err)
        self.assertEqual(list(result["growth"]), ["views", "threads", "input_size", "hidden", "step", "images"])
        self.assertEqual(err.count("growth by "), len(result["growth"]))  # and is in the file by then
        for series in result["growth"].values():
            self.assertTrue(all(seconds > 0 for _, seconds in series["points"]))
        picture = path("growth.svg")
        subprocess.run([sys.executable, os.path.join(HERE, "plots.py"), path("result.json"), picture], check=True)
        tree = xml.parse(picture)
        lines = tree.findall(".//{http://www.w3.org/2000/svg}polyline")
        self.assertEqual([len(line.get("points").split()) for line in lines],
                         [len(series["points"]) for series in result["growth"].values()])

    def test_refuses(self):
        for arguments, message in ((["--rows", "speed"], "speed"), (["--rounds", "0"], "--rounds"),
                                   (["--without", "tensorflow"], "tensorflow"), (["--images", "2"], "--images")):
            code, result, _, err = run(*arguments)
            self.assertEqual((code, result), (2, None))
            self.assertIn(message, err)
        done = subprocess.run([sys.executable, os.path.join(HERE, "run"), path("nothing")], capture_output=True,
                              text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("libdifferent.so", done.stderr)
        self.assertNotIn("Traceback", done.stderr)


class PlotsTest(unittest.TestCase):
    def test_places(self):
        """Proportional cost is a straight line; one point alone is drawn too."""
        axis = plots.Axis([1, 10, 100], 0, 300)
        self.assertAlmostEqual(axis.place(10), 150)
        self.assertTrue(0 < axis.place(1) < axis.place(100) < 300)
        xml.fromstring(plots.draw({"one": {"x": "a < b", "y": "c & d", "points": [[1, 0.5]]}}))

    def test_ticks(self):
        self.assertEqual(plots.ticks(0.9, 21), [1, 2, 5, 10, 20])
        self.assertEqual(plots.ticks(0.001, 900), [0.001, 0.01, 0.1, 1, 10, 100])

    def test_nothing_to_draw(self):
        with open(path("empty.json"), "w") as file:
            json.dump({"rows": {}}, file)
        done = subprocess.run([sys.executable, os.path.join(HERE, "plots.py"), path("empty.json"), path("no.svg")],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("--growth", done.stderr)


if __name__ == "__main__":
    unittest.main()
