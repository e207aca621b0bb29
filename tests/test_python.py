#!/usr/bin/env python3
"""Tests of differnet.Detector, what Python users meet first.  usage: test_python.py LIBRARY [unittest arguments]"""
import base64
import contextlib
import copy
import io
import math
import os
import pickle
import re
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent))
from test_bindings import ROOT, cv2, differnet, numpy, optional, tiny_extractor, torch  # noqa: E402
from differnet import _processors  # noqa: E402

pandas, sklearn, PIL = optional("pandas"), optional("sklearn"), optional("PIL")
TINY = {"input_size": 64, "scales": 1, "preset": "fast", "threads": 1}


def part(seed, spot=False):
    """A part in colour, (32, 40, 3) uint8; spot: with a white square."""
    noise = numpy.random.default_rng(seed).integers(0, 8, (32, 40, 3))
    image = numpy.add.outer(3 * numpy.arange(32), 2 * numpy.arange(40))[:, :, None] + [0, 40, 80] + noise
    image[8:18, 8:18] = 255 if spot else image[8:18, 8:18]
    return image.astype("uint8")


def detector(**params):
    return differnet.Detector(**{**TINY, **params})


def fitted():
    return copy.deepcopy(FITTED)


class UseTest(unittest.TestCase):
    def test_score(self):
        results = fitted().score(MIXED)
        self.assertEqual([result.image for result in results], [0, 1, 2])
        self.assertEqual([result.anomalous for result in results], [False, True, False])
        self.assertGreater(results[1].index, 0.5)
        for result in results:
            self.assertEqual(result.anomalous, result.score > result.threshold)
            self.assertIsNone(result.error)
        low = differnet.Scorer(FITTED.model_).score(MIXED[1])
        self.assertEqual((results[1].score, results[1].p_value, results[1].warnings),
                         (low.score, low.p_value, tuple(low.warning_texts)))

    def test_predict(self):
        one = fitted()
        self.assertEqual(one.predict(MIXED).tolist(), [1, -1, 1])
        scores = numpy.array([result.score for result in one.score(MIXED)])
        numpy.testing.assert_array_equal(one.score_samples(MIXED), -scores)
        numpy.testing.assert_array_equal(one.decision_function(MIXED) < 0, one.predict(MIXED) < 0)
        self.assertEqual(detector().fit_predict(iter(GOOD + MIXED[1:2])).shape, (len(GOOD) + 1,))

    def test_explain(self):
        found = fitted().explain(MIXED[1])
        self.assertEqual((found.image, found.verdict), (0, "anomalous"))
        self.assertEqual((found.map.shape, found.map.dtype, found.overlay.shape, found.overlay.dtype),
                         ((32, 40), "float32", (32, 40, 3), "uint8"))
        self.assertEqual(found.score, fitted().score(MIXED[1])[0].score)
        self.assertIsInstance(found.boxes[0], differnet.Box)
        self.assertEqual(found.boxes[0].peak, found.map.max())
        self.assertEqual(fitted().explain(MIXED[1], threshold=1e6).boxes, [])
        with self.assertRaisesRegex(ValueError, "takes one image"):
            fitted().explain(MIXED)
        with self.assertRaisesRegex(ValueError, "takes one image"):
            fitted().explain([])

    def test_explain_by_gradient(self):
        """A model without the density at every position has a map, too."""
        paper = detector(preset="paper", epochs=1, hidden=8, blocks=2, bank=2, views=2).fit(GOOD)
        found = paper.explain(MIXED[1])
        self.assertEqual(found.map.shape, (32, 40))
        numpy.testing.assert_array_equal(found.map, differnet.Localizer(paper.model_).map(MIXED[1]))

    def test_html(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "<b>&.png")
            differnet.write_png(MIXED[1], path)
            found = fitted().explain(path)
        text = found._repr_html_()
        self.assertIn("&lt;b&gt;&amp;.png: anomalous", text)
        self.assertNotIn("<b>&", text)
        data = base64.b64decode(re.search(r"base64,([^\"]+)", text)[1])
        numpy.testing.assert_array_equal(differnet.Image.open(data).array(), found.overlay)
        self.assertIn("anomalous", repr(found))

    @unittest.skipIf(pandas is None, "pandas is missing")
    def test_pandas(self):
        frame = pandas.DataFrame(fitted().score(MIXED))
        self.assertEqual(" ".join(frame.columns), "image anomalous index score p_value threshold warnings error")
        self.assertEqual(frame["anomalous"].tolist(), [False, True, False])
        self.assertEqual(frame["score"].dtype, "float64")
        boxes = pandas.DataFrame(fitted().explain(MIXED[1]).boxes)
        self.assertEqual(list(boxes.columns), list(differnet.Box._fields))
        paths = pandas.Series([part(1), part(2)])
        self.assertEqual(len(fitted().score(paths)), 2)

    def test_verdicts(self):
        one = fitted()
        score = one.score(MIXED[0])[0].score
        self.assertEqual(one.set_params(threshold=score * 0.9).predict(MIXED[0]).tolist(), [-1])
        self.assertEqual(one.set_params(threshold=score * 1.1).predict(MIXED[0]).tolist(), [1])
        self.assertEqual(one.set_params(threshold=None, false_alarm_rate=1).predict(MIXED).tolist(), [-1, -1, -1])
        unsure = differnet.Detector.load(detector().fit(GOOD[:1]).model_.to_bytes(), threads=1)
        self.assertIsNone(unsure.score(GOOD[0])[0].anomalous)
        self.assertEqual(unsure.explain(GOOD[0]).verdict, "no verdict")
        with self.assertRaisesRegex(ValueError, "no verdict.*threshold"):
            unsure.predict(GOOD)
        self.assertEqual(len(unsure.set_params(threshold=1.0).predict(GOOD)), len(GOOD))

    def test_groups(self):
        names = [str(number // 2) for number in range(len(GOOD))]
        self.assertNotEqual(detector().fit(GOOD, groups=names).model_.holdout_scores, FITTED.model_.holdout_scores)
        for wrong in (names[1:], names + ["x"]):
            with self.assertRaisesRegex(ValueError, "groups: .*images"):
                detector().fit(GOOD, groups=wrong)


class InputTest(unittest.TestCase):
    """The same pixels give the same score, however they are given."""

    def setUp(self):
        self.one = fitted()
        self.expected = self.one.score_samples(MIXED).tolist()

    def same(self, images, **params):
        self.assertEqual(self.one.set_params(**params).score_samples(images).tolist(), self.expected)

    def test_arrays(self):
        self.same(MIXED)
        self.same(tuple(MIXED))
        self.same(numpy.stack(MIXED))
        self.same(image for image in MIXED)
        self.same([differnet.Pixels(image) for image in MIXED])
        self.same([image[:, ::-1][:, ::-1] for image in MIXED])
        gray = [image[:, :, 0] for image in MIXED]
        self.assertEqual(self.one.score(gray), self.one.score(numpy.stack(gray)[:, :, :, None]))
        self.assertEqual(len(self.one.score(gray[0])), 1)
        self.assertEqual(len(self.one.score(MIXED[0])), 1)
        self.assertEqual(len(self.one.score(gray[0].astype("uint16") * 257)), 1)
        self.assertEqual(len(self.one.score(numpy.stack(gray * 2))), 6)

    def test_files(self):
        with tempfile.TemporaryDirectory() as folder:
            paths = [os.path.join(folder, name) for name in ("a.png", "b.PNG", "c.png")]
            for image, path in zip(MIXED, paths):
                differnet.write_png(image, path)
            Path(folder, "notes.txt").write_text("no image")
            os.mkdir(os.path.join(folder, "d.png"))
            self.assertEqual(differnet.images_in(folder), paths)
            for images in (folder, Path(folder), paths, map(Path, paths), numpy.array(paths), [folder]):
                self.same(images)
            self.assertEqual([result.image for result in self.one.score(folder)], paths)
            self.assertEqual(self.one.score(paths[1])[0].image, paths[1])
            self.assertEqual(self.one.explain(paths[1]).image, paths[1])
            by_path, by_array = detector().fit(folder), detector().fit(MIXED)
            self.assertEqual(by_path.model_.to_bytes(), by_array.model_.to_bytes())
            if pandas is not None:
                self.same(pandas.Series(paths))

    def test_left_out(self):
        """What is in folders beside the images: hidden files, and masks of them, which are not learned."""
        images = "10.png", "11.jpg", "12_mask.png", "13_gt.png", "_mask.png", "unmask.png", "x.y.png"
        hidden = "._10.png", ".x.png", ".png"
        masks = "10_mask.png", "10-MASK.bmp", "10_GT.png", "11_label.png", "11_ground_truth.png", "x.y_gt.png"
        with tempfile.TemporaryDirectory() as folder:
            for name in (*images, *hidden, *masks, "12.txt", "13"):
                differnet.write_png(MIXED[0], os.path.join(folder, name))
            paths = [os.path.join(folder, name) for name in images]
            both = sorted([*paths, *(os.path.join(folder, name) for name in masks)])
            self.assertEqual(differnet.images_in(folder), both)
            self.assertEqual([result.image for result in self.one.score(folder)], both)
            self.assertEqual(detector(duplicates=0).fit(folder).model_.info.train_images, len(paths))
            self.assertEqual(len(self.one.score(os.path.join(folder, masks[0]))), 1)

    @unittest.skipIf(PIL is None, "PIL is missing")
    def test_pil(self):
        import PIL.Image
        self.same([PIL.Image.fromarray(image) for image in MIXED])
        self.same([PIL.Image.fromarray(image) for image in MIXED], channels="bgr")
        self.assertEqual(self.one.score(PIL.Image.fromarray(MIXED[1]))[0].anomalous, True)

    def test_bgr(self):
        reverse = [image[:, :, ::-1].copy() for image in MIXED]
        self.same(reverse, channels="bgr")
        self.same([numpy.dstack([image, image[:, :, 0]]) for image in reverse], channels="bgr")
        self.same([differnet.Pixels(image) for image in MIXED], channels="bgr")
        self.assertNotEqual(self.one.set_params(channels="rgb").score_samples(reverse).tolist(), self.expected)

    @unittest.skipIf(cv2 is None, "OpenCV is missing")
    def test_opencv(self):
        with tempfile.TemporaryDirectory() as folder:
            for number, image in enumerate(MIXED):
                differnet.write_png(image, os.path.join(folder, f"{number}.png"))
            self.same([cv2.imread(path) for path in differnet.images_in(folder)], channels="bgr")

    @unittest.skipIf(torch is None, "torch is missing")
    def test_torch(self):
        batch = torch.from_numpy(numpy.stack(MIXED))
        self.same(batch)
        self.same(list(batch))
        self.same(batch.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1))
        with self.assertRaisesRegex(TypeError, "channels come last"):
            self.one.score(batch[0].permute(2, 0, 1))
        with self.assertRaisesRegex(TypeError, "image 0: an image of float32 numbers"):
            self.one.score(batch / 255)

    def test_refusals(self):
        for images, reason in ((5, "images: int"), (None, "images: NoneType"), (b"x", "images: bytes"),
                               ({}, "images: dict"), ([GOOD[0], 5], "image 1: not an image: int"),
                               ([GOOD[0], GOOD[0] / 255], "image 1:.*float64"),
                               (numpy.zeros((3, 32, 40), "uint8"), "channels come last"),
                               (numpy.zeros((1, 1, 32, 40, 3), "uint8"), "array of shape"),
                               ([[1, 2], [3, 4]], "image 0: not an image: list")):
            for use in (self.one.score, self.one.explain, detector().fit):
                with self.assertRaisesRegex(TypeError, reason):
                    use(images)
        with tempfile.TemporaryDirectory() as folder:
            os.mkdir(os.path.join(folder, "good"))
            with self.assertRaisesRegex(ValueError, f"{re.escape(folder)}: no image.*png.*it has folders.*good"):
                self.one.score(folder)
            absent = os.path.join(folder, "absent.png")
            for use in (self.one.score, self.one.explain, detector().fit):
                with self.assertRaisesRegex(differnet.Error, re.escape(absent)):
                    use([absent] if use != self.one.explain else absent)
            found = self.one.score([MIXED[0], absent], errors="record")
            self.assertIsNone(found[0].error)
            self.assertIn(absent, found[1].error)
            self.assertIsNone(found[1].anomalous)
            with self.assertRaisesRegex(differnet.Error, "image 1: "):  # too small
                self.one.score([MIXED[0], MIXED[0][:2, :2]])
            with self.assertRaisesRegex(ValueError, "errors='ignore'"):
                self.one.score(MIXED, errors="ignore")
        self.assertEqual(self.one.score([]), [])
        with self.assertRaises(differnet.Error):
            detector().fit([])


class ParameterTest(unittest.TestCase):
    def test_names(self):
        self.assertEqual(differnet.Detector().get_params(), {
            "preset": "compact", "backbone": None, "threads": None, "false_alarm_rate": 0.05, "threshold": None,
            "channels": "rgb", "letterbox": False, "mask": None, "progress": False})
        one = differnet.Detector(epochs=3, seed=7)
        self.assertEqual((one.get_params()["epochs"], one.epochs, one.get_params()["seed"]), (3, 3, 7))
        self.assertIs(one.set_params(epochs=4, preset="fast"), one)
        self.assertEqual(repr(one), "Detector(preset='fast', epochs=4, seed=7)")
        self.assertEqual(repr(differnet.Detector(mask=numpy.zeros((32, 40), "uint8"), threshold=0.0, letterbox=True)),
                         "Detector(threshold=0.0, letterbox=True, mask=<ndarray of shape (32, 40)>)")
        self.assertEqual(repr(differnet.Detector(false_alarm_rate=numpy.float64(0.05))), "Detector()")
        with self.assertRaisesRegex(TypeError, "unknown option 'epoch'; there are preset.*epochs"):
            differnet.Detector(epoch=3)
        with self.assertRaisesRegex(ValueError, "unknown option 'epoch'"):
            one.set_params(epoch=3)
        from differnet import _detector
        options = set(_detector._TRAIN_OPTIONS + _detector._EXTRACTOR_OPTIONS)
        self.assertEqual(options & set(dir(differnet.Detector)), set())  # which an option would hide

    def test_values(self):
        for params, kind, reason in (({"preset": "quick"}, ValueError, "compact.*fast.*paper"),
                                     ({"channels": "hsv"}, ValueError, "'rgb' or 'bgr'"),
                                     ({"progress": "yes"}, TypeError, "True, False or a function"),
                                     ({"threads": 0}, differnet.Error, "threads"),
                                     ({"epochs": "many"}, TypeError, "epochs: an integer"),
                                     ({"backbone": 5}, TypeError, "path or the bytes")):
            with self.assertRaisesRegex(kind, reason):
                detector(**params).fit(GOOD)
        with self.assertRaises(differnet.Error):
            fitted().set_params(false_alarm_rate=2).score(MIXED)

    def test_options_arrive(self):
        info = detector(preset="compact", seed=5, views=3, epochs=2, hidden=8, blocks=2, bank=2, letterbox=True,
                        copies=differnet.COPIES_NONE, position_dims=None).fit(GOOD).model_.info
        self.assertEqual((info.seed, info.views, info.epochs, info.hidden, info.input_size, info.scales, info.fit,
                          info.preset), (5, 3, 2, 8, 64, 1, differnet.FIT_LETTERBOX, "compact"))

    def test_oblong_input(self):
        oblong = detector(input_size=(96, 64)).fit(GOOD)
        self.assertEqual((oblong.model_.info.input_size, oblong.model_.info.input_height), (96, 64))
        self.assertEqual(oblong.get_params()["input_size"], (96, 64))
        same = detector(input_size=96, input_height=64).fit(GOOD)
        self.assertEqual(oblong.score(MIXED)[0].score, same.score(MIXED)[0].score)

    def test_mask(self):
        """What is outside counts neither in learning nor in judging."""
        height, width = numpy.asarray(GOOD[0]).shape[:2]
        mask = numpy.zeros((height, width), numpy.uint8)
        mask[:, :width // 2] = 255
        one = detector(mask=mask).fit(GOOD)
        self.assertAlmostEqual(one.model_.info.mask_share, (width // 2) / width)
        spoilt = numpy.array(GOOD[0])
        spoilt[:, width // 2:] = 255 - spoilt[:, width // 2:]
        explained = one.explain(spoilt)
        self.assertEqual(float(numpy.abs(explained.map[:, width // 2:]).max()), 0)
        with self.assertRaisesRegex(differnet.Error, "mask"):
            detector(mask=numpy.zeros((height, width), numpy.uint8)).fit(GOOD)

    def test_failed_fit(self):
        """What was learned before stays."""
        one = fitted()
        before = one.score(MIXED)
        with self.assertRaises(TypeError):
            one.fit([GOOD[0], 5])
        self.assertEqual(one.score(MIXED), before)
        with self.assertRaises(ZeroDivisionError):
            one.set_params(progress=lambda progress: 1 / 0).fit(GOOD)
        self.assertEqual(one.score(MIXED), before)

    def test_set_after_fit(self):
        """What fit() uses waits for the next one."""
        mask = numpy.zeros((32, 40), "uint8")
        mask[:, :20] = 255
        one = fitted().set_params(mask=mask, letterbox=True, preset="paper", backbone="absent", seed=9)
        self.assertEqual(one.score(MIXED), FITTED.score(MIXED))
        self.assertLess(one.set_params(preset="fast", backbone=TINY["backbone"]).fit(GOOD).model_.info.mask_share, 1)

    def test_progress(self):
        seen = []
        one = detector(progress=lambda progress: seen.append(progress.phase)).fit(GOOD)
        self.assertIn(differnet.PHASE_POSITIONS, seen)
        one.set_params(progress=True)
        for tqdm in ({"tqdm": None, "tqdm.auto": None}, {}):
            if not tqdm and optional("tqdm") is None:
                continue
            with mock.patch.dict(sys.modules, tqdm), contextlib.redirect_stderr(io.StringIO()) as printed:
                one.fit(GOOD).score(MIXED)
            self.assertIn("positions", printed.getvalue())
            self.assertIn("scoring", printed.getvalue())
        with contextlib.redirect_stderr(io.StringIO()) as printed:
            detector().fit(GOOD).score(MIXED)
        self.assertEqual(printed.getvalue(), "")

    def test_processors(self):
        """threads=None: as tools/processors.h has it; of quotas likewise (tests/test_processors.c)."""
        for usable, quota, threads in ((200, math.inf, 32), (8, math.inf, 8), (8, 2.5, 3), (8, 0.01, 1), (2, 16, 2)):
            with mock.patch.object(os, "sched_getaffinity", lambda _: range(usable), create=True), \
                    mock.patch.object(_processors, "quota", lambda: quota):
                self.assertEqual((detector(threads=None)._threads(), detector(threads=5)._threads()), (threads, 5))

    def test_quota(self):
        own, v1 = "sys/fs/cgroup/a/b.service/c", "sys/fs/cgroup/cpu,cpuacct"
        steps = (("proc/self/none", "", math.inf),
                 ("proc/self/cgroup", "nonsense\n::\n4:cpu\n", math.inf),
                 ("proc/self/cgroup", "0::/\n", math.inf),
                 *(("sys/fs/cgroup/cpu.max", text, quota) for text, quota in (
                     ("200000 100000\n", 2), ("150000 100000\n", 1.5), ("max 100000\n", math.inf), ("\n", math.inf),
                     ("200000\n", math.inf), ("-5 0\n", math.inf))),
                 ("proc/self/cgroup", "0::/a/b.service/c\n", math.inf),
                 (f"{own}/cpu.max", "max 100000\n", math.inf),
                 ("sys/fs/cgroup/a/cpu.max", "300000 100000\n", 3),
                 (f"{own}/cpu.max", "800000 100000\n", 3),
                 ("sys/fs/cgroup/unified/a/cpu.max", "250000 100000\n", 2.5),
                 ("sys/fs/cgroup/a/b.service/cpu.max", "50000 100000\n", 0.5),
                 ("proc/self/cgroup", "5:memory:/docker/d\n4:cpuacct,cpu:/docker/d\n3:cpuset:/other\n", math.inf),
                 (f"{v1}/cpu.cfs_quota_us", "-1\n", math.inf),
                 (f"{v1}/cpu.cfs_period_us", "100000\n", math.inf),
                 (f"{v1}/cpu.cfs_quota_us", "250000\n", 2.5),
                 ("sys/fs/cgroup/cpu/docker/d/cpu.cfs_quota_us", "200000\n", 2.5),
                 ("sys/fs/cgroup/cpu/docker/d/cpu.cfs_period_us", "100000\n", 2),
                 ("proc/self/cgroup", "4:cpuset:/docker/d\n", math.inf))
        with tempfile.TemporaryDirectory() as root:
            for number, (name, text, quota) in enumerate(steps):
                Path(root, name).parent.mkdir(parents=True, exist_ok=True)
                Path(root, name).write_text(text)
                self.assertEqual(_processors.quota(root), quota, steps[number])

    def test_unfitted(self):
        one = detector()
        for use in (one.score, one.predict, one.explain, one.save, one.decision_function):
            with self.assertRaisesRegex(ValueError, "call fit"):
                use(MIXED)
        with mock.patch.dict(sys.modules, {"sklearn.exceptions": None}):
            with self.assertRaises(differnet.NotFittedError):
                one.score(MIXED)


class FileTest(unittest.TestCase):
    def test_save(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "part.dnm"
            fitted().save(path)
            for source in (path, str(path), path.read_bytes()):
                loaded = differnet.Detector.load(source, threads=1, false_alarm_rate=0.2)
                self.assertEqual(loaded.score_samples(MIXED).tolist(), FITTED.score_samples(MIXED).tolist())
                self.assertEqual(loaded.get_params()["false_alarm_rate"], 0.2)
            with self.assertRaisesRegex(differnet.Error, "absent"):
                differnet.Detector.load(Path(folder) / "absent.dnm")

    def test_load_takes_what_judges(self):
        model = FITTED.model_.to_bytes()
        loaded = differnet.Detector.load(model, threads=1, false_alarm_rate=0.2, threshold=3.0, channels="bgr",
                                         progress=True)
        self.assertEqual((loaded.threshold, loaded.channels, loaded.progress), (3.0, "bgr", True))
        for name, value in (("mask", MIXED[0]), ("letterbox", True), ("preset", "fast"), ("backbone", b""),
                            ("epochs", 3), ("input_size", 64), ("seed", None)):
            with self.assertRaisesRegex(TypeError, f"load.*{name}.*fit.*threads, false_alarm_rate, threshold, channels"):
                differnet.Detector.load(model, threads=1, **{name: value})
        with self.assertRaisesRegex(TypeError, "mask, seed"):
            differnet.Detector.load(model, mask=None, seed=3)
        with self.assertRaisesRegex(TypeError, "unknown option 'maks'"):
            differnet.Detector.load(model, maks=None)

    def test_pickle(self):
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            again = pickle.loads(pickle.dumps(fitted(), protocol))
            self.assertEqual(again.score(MIXED), FITTED.score(MIXED))
            self.assertEqual(again.get_params(), FITTED.get_params())
            self.assertEqual(again.advice_, FITTED.advice_)
        unfitted = pickle.loads(pickle.dumps(detector(seed=3)))
        self.assertEqual(unfitted.get_params(), detector(seed=3).get_params())
        self.assertEqual(unfitted.fit(GOOD).model_.info.seed, 3)

    def test_other_process(self):
        """A pickled detector goes to a worker process, as joblib and multiprocessing send it."""
        program = ("import pickle, sys; sys.path.insert(0, sys.argv[1])\n"
                   "import differnet; differnet.load(sys.argv[2])\n"
                   "one, images = pickle.load(sys.stdin.buffer)\n"
                   "sys.stdout.buffer.write(pickle.dumps(one.score_samples(images)))")
        done = subprocess.run([sys.executable, "-c", program, ROOT / "bindings/python", LIBRARY],
                              capture_output=True, input=pickle.dumps((fitted(), MIXED)))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(pickle.loads(done.stdout).tolist(), FITTED.score_samples(MIXED).tolist())

    def test_threads(self):
        one, expected, wrong = fitted().set_params(threads=2), FITTED.score(MIXED), []

        def work():
            for _ in range(20):
                if one.score(MIXED) != expected or one.explain(MIXED[1]).score != expected[1].score:
                    wrong.append(1)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    @unittest.skipUnless(hasattr(os, "fork"), "no fork() here")
    def test_fork(self):
        one, expected = fitted().set_params(threads=2), FITTED.score(MIXED)
        one.score(MIXED)
        child = os.fork()
        if child == 0:
            same = False
            try:
                same = one.score(MIXED) == expected and detector(threads=2).fit(GOOD).score(MIXED) == expected
            finally:
                os._exit(0 if same else 1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.assertEqual(one.score(MIXED), expected)


@unittest.skipIf(sklearn is None, "scikit-learn is missing")
class SklearnTest(unittest.TestCase):
    def test_clone(self):
        from sklearn.base import clone
        one = fitted().set_params(seed=3)
        again = clone(one)
        self.assertEqual(again.get_params(), one.get_params())
        with self.assertRaisesRegex(ValueError, "call fit"):
            again.predict(MIXED)

    def test_not_fitted(self):
        from sklearn.exceptions import NotFittedError
        from sklearn.utils.validation import check_is_fitted
        check_is_fitted(fitted())
        with self.assertRaises(NotFittedError):
            check_is_fitted(detector())
        with self.assertRaises(NotFittedError):
            detector().predict(MIXED)

    def test_checks(self):
        """Those of scikit-learn's own checks that need no table of numbers as input."""
        from sklearn.utils import estimator_checks
        for name in ("check_no_attributes_set_in_init", "check_parameters_default_constructible",
                     "check_get_params_invariance", "check_set_params", "check_estimators_unfitted",
                     "check_estimator_cloneable", "check_estimator_repr",
                     "check_do_not_raise_errors_in_init_or_set_param"):
            check = getattr(estimator_checks, name, None)
            if check is None:
                print(f"note: this scikit-learn has no {name}")
                continue
            with self.subTest(name):
                check("Detector", differnet.Detector())

    def test_checks_on_images(self):
        """What the others ask, asked of images."""
        one = detector()
        params = copy.deepcopy(vars(one))
        self.assertIs(one.fit(GOOD), one)
        self.assertEqual({name: vars(one)[name] for name in params}, params)  # check_dont_overwrite_attributes
        first = one.score_samples(MIXED)
        again = one.fit(GOOD, y=[0] * len(GOOD)).score_samples(MIXED)
        self.assertEqual(again.tolist(), first.tolist())  # check_fit_idempotent
        before = dict(vars(one))
        for method in (one.predict, one.decision_function, one.score_samples):
            whole = method(MIXED)
            # check_methods_subset_invariance, check_methods_sample_order_invariance
            self.assertEqual([method([image])[0] for image in MIXED], whole.tolist())
            self.assertEqual(method(MIXED[::-1]).tolist()[::-1], whole.tolist())
        self.assertEqual(vars(one), before)  # check_dict_unchanged

    def test_model_selection(self):
        from sklearn.metrics import roc_auc_score
        from sklearn.model_selection import GridSearchCV, cross_val_predict
        from sklearn.pipeline import make_pipeline
        images, labels = GOOD + [part(90 + seed, spot=True) for seed in range(4)], [1] * len(GOOD) + [-1] * 4
        self.assertEqual(roc_auc_score(labels, fitted().score_samples(images)), 1)
        self.assertEqual(cross_val_predict(detector(), GOOD, cv=2).shape, (len(GOOD),))
        split = [*range(6)], [*range(6, 12)]
        search = GridSearchCV(detector(), {"position_dims": [4, 8]}, scoring="roc_auc", cv=[split])
        self.assertEqual(search.fit(images, labels).best_score_, 1)
        self.assertEqual(make_pipeline(detector()).fit(GOOD).predict(MIXED).tolist(), [1, -1, 1])


class DocumentationTest(unittest.TestCase):
    def test_snippets(self):
        """The Python blocks of docs/python.md, one after the other, on a small network."""
        text = (ROOT / "docs/python.md").read_text(encoding="utf-8")
        blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.M | re.S)
        self.assertGreaterEqual(len(blocks), 2)
        names, before = {}, os.getcwd()
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as printed, \
                mock.patch.object(differnet.Extractor, "default", return_value=tiny_extractor()):
            for place, images in (("part/train/good", GOOD), ("part/test/scratch", MIXED)):
                os.makedirs(os.path.join(folder, place))
                for number, image in enumerate(images):
                    differnet.write_png(image, os.path.join(folder, place, f"{number:03}.png"))
            try:
                os.chdir(folder)
                for block in blocks:
                    exec(compile(block, "docs/python.md", "exec"), names)
                self.assertLessEqual({"overlay.png", "part.dnm"}, set(os.listdir(".")))
            finally:
                os.chdir(before)
        self.assertIn("part/test/scratch/001.png True", printed.getvalue())

    @unittest.skipIf(cv2 is None, "OpenCV is missing")
    def test_camera(self):
        """examples/camera.py, on frames that lie in files."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "bindings/python"),
                       "LD_LIBRARY_PATH": os.path.dirname(LIBRARY)}
        with tempfile.TemporaryDirectory() as folder:
            fitted().save(os.path.join(folder, "part.dnm"))
            for number, image in enumerate(MIXED):
                differnet.write_png(image, os.path.join(folder, f"{number}.png"))
            os.mkdir(os.path.join(folder, "found"))
            command = [sys.executable, str(ROOT / "examples/camera.py"), "part.dnm"]
            done = subprocess.run([*command, "%d.png", "found"], cwd=folder, env=environment, capture_output=True,
                                  text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            expected = FITTED.score(MIXED)
            self.assertEqual(re.findall(r"frame (\d): index ([\d.]+)", done.stdout),
                             [(str(result.image), f"{result.index:.3f}") for result in expected])
            self.assertEqual(os.listdir(os.path.join(folder, "found")), ["000001.png"])
            done = subprocess.run([*command, "absent.mp4"], cwd=folder, env=environment, capture_output=True, text=True)
            self.assertEqual((done.returncode, "absent.mp4: OpenCV cannot open it" in done.stderr), (1, True))

    def test_parameters(self):
        """docs/python.md and the class tell of each parameter."""
        text = (ROOT / "docs/python.md").read_text(encoding="utf-8")
        for name in differnet.Detector().get_params():
            self.assertIn(f"`{name}`", text)
            self.assertIn(f"    {name}: ", differnet.Detector.__doc__)


class TypeTest(unittest.TestCase):
    """The package passes mypy --strict, and so does a program that uses it."""

    def run_mypy(self, *arguments):
        done = subprocess.run([sys.executable, "-m", "mypy", *arguments], cwd=ROOT, capture_output=True, text=True)
        if "No module named mypy" in done.stderr:
            self.skipTest("mypy is missing")
        return done.stdout + done.stderr

    def test_types(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertIn("no issues found", self.run_mypy("--cache-dir", folder))
            Path(folder, "user.py").write_text(
                "import differnet\n"
                "one = differnet.Detector(preset='fast', epochs=3).fit('good')\n"
                "reveal_type([result.index for result in one.score(['part.png'])])\n"
                "reveal_type(one.explain('part.png').boxes[0].area)\n"
                "reveal_type(one.predict('new'))\n"
                "one.score(images='new', errors=5)\n")
            printed = self.run_mypy("--cache-dir", folder, "--follow-imports=silent", os.path.join(folder, "user.py"))
            printed = printed.replace("builtins.", "")  # older ones say so
            for text in ('"list[float]"', '"int"', "ndarray", 'has incompatible type "int"'):
                self.assertIn(text, printed)


if __name__ == "__main__":
    LIBRARY = os.path.abspath(sys.argv.pop(1))
    if numpy is None:
        print("numpy is missing")
        sys.exit(77)
    differnet.load(LIBRARY)
    GOOD = [part(seed) for seed in range(8)]
    MIXED = [part(20), part(21, spot=True), part(22)]
    TINY["backbone"] = tiny_extractor().to_bytes()
    FITTED = detector().fit(GOOD)
    unittest.main(verbosity=2)
