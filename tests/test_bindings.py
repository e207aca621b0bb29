#!/usr/bin/env python3
"""Tests of bindings/python/differnet.py.  usage: test_bindings.py LIBRARY [unittest arguments]"""
import ctypes
import gc
import json
import os
import re
import sys
import tempfile
import threading
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bindings/python"))

import differnet  # noqa: E402

numpy = differnet.numpy
WIDTH, HEIGHT = 40, 32
EMBED_BACKBONE = os.environ.get("EMBED_BACKBONE", "1") == "1"


def picture(seed, spot=False):
    """A smooth RGB picture; spot: with a white square."""
    data = bytearray()
    for y in range(HEIGHT):
        for x in range(WIDTH):
            white = spot and 10 <= x < 20 and 10 <= y < 20
            data += bytes(255 if white else (seed * 3 + 2 * x + y * (c + 1)) % 200 for c in range(3))
    return differnet.Pixels(data, WIDTH, HEIGHT)


def tiny_extractor():
    return differnet.Extractor.random([2, 3, 2, 3, 4], seed=1, input_size=64, scales=1)


def tiny_trainer(**options):
    given = {"epochs": 3, "hidden": 8, "blocks": 2, "bank": 2, "views": 2, "heatmap_images": 2, "holdout": 0.3}
    trainer = differnet.Trainer(tiny_extractor(), **{**given, **options})
    for seed in range(6):
        trainer.add(picture(seed))
    return trainer


def flat(values):
    """Nested numbers, whatever holds them, as one list."""
    if hasattr(values, "tolist"):
        values = values.tolist()
    if isinstance(values, list) and values and isinstance(values[0], list):
        return [number for row in values for number in flat(row)]
    return list(values)


def shape(values):
    return tuple(values.shape)


class HeaderTest(unittest.TestCase):
    """The binding knows all of the header, and nothing else."""

    def setUp(self):
        text = (ROOT / "include/differnet.h").read_text(encoding="utf-8")
        self.text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)

    def test_functions(self):
        declarations = re.findall(r"\bDN_API\b([^;{}()]*?)\b(dn_\w+)\s*\(([^)]*)\)\s*;", self.text)
        self.assertEqual(sorted(name for _, name, _ in declarations), sorted(differnet._FUNCTIONS))

        def letter(declaration):
            words = re.sub(r"\b(const|DN_CHECK_RESULT)\b", "", declaration)
            if "*" in words or "[" in words or "dn_progress_fn" in words:
                return "s" if re.search(r"\bchar\s*\*\s*\w*\s*$", words) else "p"
            kinds = {"dn_status": "i", "int32_t": "i", "int64_t": "I", "uint64_t": "u", "size_t": "z", "float": "f",
                     "void": "n"}
            return kinds[words.split()[0]]

        for result, name, arguments in declarations:
            expected = letter(result)
            expected += "".join(letter(argument) for argument in arguments.split(",") if argument.strip() != "void")
            self.assertEqual(differnet._FUNCTIONS[name], expected, name)

    def test_structs(self):
        kinds = {"int32_t": ctypes.c_int32, "uint32_t": ctypes.c_uint32, "int64_t": ctypes.c_int64,
                 "uint64_t": ctypes.c_uint64, "double": ctypes.c_double, "float": ctypes.c_float,
                 "dn_status": ctypes.c_int32, "char": ctypes.c_char}
        known = {value.__name__: value for value in vars(differnet).values()
                 if isinstance(value, type) and issubclass(value, ctypes.Structure)}
        bodies = dict(re.findall(r"typedef struct (dn_\w+) \{(.*?)\} \1;", self.text, flags=re.S))
        del bodies["dn_allocator"], bodies["dn_runner"]  # the binding always passes NULL
        self.assertEqual(sorted(known), sorted(bodies))
        for name, body in bodies.items():
            expected = []
            for declaration in filter(None, (part.strip() for part in body.split(";"))):
                kind, fields = re.fullmatch(r"(?:const )?(\w+) (.*)", declaration, flags=re.S).groups()
                for field in fields.split(","):
                    field = field.strip()
                    size = re.search(r"\[(\d+)\]", field)
                    if field.startswith("*"):
                        value = ctypes.c_char_p if kind == "char" else ctypes.c_void_p
                    else:
                        value = kinds[kind] * int(size.group(1)) if size else kinds[kind]
                    expected.append((re.sub(r"\[.*|\*", "", field), value))
            self.assertEqual(known[name]._fields_, expected, name)

    def test_constants(self):
        constants = re.findall(r"#define DN_((?:E|PRESET|SCHEDULE|PHASE|STORAGE|ANGLES)_\w+|OK|(?:GRAY|RGB|BGR)A?\d+)\s+"
                               r"\(?(-?\d+)\)?", self.text)
        self.assertGreater(len(constants), 25)
        for name, value in constants:
            self.assertEqual(getattr(differnet, name), int(value), name)
        self.assertRegex(differnet.version(), r"^\d+\.\d+\.\d+$")


class ErrorTest(unittest.TestCase):
    def test_error(self):
        with self.assertRaises(differnet.Error) as caught:
            differnet.Model.open("/nonexistent/part.dnm")
        self.assertEqual(caught.exception.status, differnet.E_IO)
        self.assertIn("/nonexistent/part.dnm", str(caught.exception))
        with self.assertRaises(differnet.Error) as caught:
            differnet.Model.open(b"no model at all")
        self.assertEqual(caught.exception.status, differnet.E_FORMAT)

    def test_options(self):
        with self.assertRaisesRegex(TypeError, "unknown option 'size'; there are input_size, scales"):
            differnet.Extractor.default(size=3)
        with self.assertRaises(differnet.Error) as caught:
            differnet.Extractor.random(input_size=33)
        self.assertEqual(caught.exception.status, differnet.E_ARGUMENT)

    def test_closed(self):
        flow = differnet.Flow.create(dimension=4, blocks=1, hidden=2)
        with flow:
            self.assertEqual(flow.info.dimension, 4)
        flow.close()
        with self.assertRaisesRegex(ctypes.ArgumentError, "this Flow is closed"):
            flow.forward([[0, 0, 0, 0]])

    def test_blas(self):
        before = differnet.blas_threads()
        differnet.blas_set_threads(1)
        self.assertEqual(differnet.blas_threads(), 1)
        differnet.blas_set_threads(before)
        with self.assertRaises(differnet.Error):
            differnet.blas_set_threads(0)
        self.assertTrue(differnet.blas_corename())


class ImageTest(unittest.TestCase):
    def test_round_trip(self):
        gray = bytes(range(6))
        wide = b"".join(value.to_bytes(2, sys.byteorder) for value in (0, 1, 256, 65535))
        for pixels, format, expected in (
                (picture(1), differnet.RGB8, list(picture(1).data)),
                (differnet.Pixels(gray, 3, 2, differnet.GRAY8), differnet.GRAY8, list(gray)),
                (differnet.Pixels(wide, 2, 2, differnet.GRAY16), differnet.GRAY16, [0, 1, 256, 65535]),
                (differnet.Pixels(bytes([3, 2, 1, 0]), 1, 1, differnet.BGRA8), differnet.RGB8, [1, 2, 3]),
                (differnet.Pixels(b"abXcd", 2, 2, differnet.GRAY8, stride=3), differnet.GRAY8, list(b"abcd"))):
            image = differnet.Image.open(differnet.encode_png(pixels))
            self.assertEqual((image.width, image.height, image.format), (pixels.width, pixels.height, format))
            self.assertEqual(flat(image.array()), expected)
            self.assertEqual(differnet.encode_png(image)[:4], b"\x89PNG")

    def test_path(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "part.png"
            differnet.write_png(picture(1), path)
            self.assertEqual(os.listdir(folder), ["part.png"])
            self.assertEqual(flat(differnet.Image.open(path).array()), list(picture(1).data))
            self.assertEqual(flat(differnet.Image.open(str(path), max_pixels=WIDTH * HEIGHT).array()),
                             list(picture(1).data))
            with self.assertRaises(differnet.Error) as caught:
                differnet.Image.open(path, max_pixels=WIDTH * HEIGHT - 1)
            self.assertEqual(caught.exception.status, differnet.E_LIMIT)

    def test_refusals(self):
        with self.assertRaisesRegex(ValueError, "too few"):
            differnet.Pixels(bytes(11), 2, 2)
        with self.assertRaisesRegex(ValueError, "too few"):
            differnet.Pixels(bytes(100), 2, 2, stride=-6)
        with self.assertRaisesRegex(TypeError, "not an image: int"):
            differnet.encode_png(5)

    def test_overlay(self):
        cold = [[0.0] * WIDTH for _ in range(HEIGHT)]
        hot = [[9.0] * WIDTH for _ in range(HEIGHT)]
        self.assertEqual(flat(differnet.overlay(picture(1), cold)), list(picture(1).data))
        self.assertNotEqual(flat(differnet.overlay(picture(1), hot)), list(picture(1).data))
        self.assertEqual(shape(differnet.overlay(picture(1), hot, full=2)), (HEIGHT, WIDTH, 3))
        with self.assertRaisesRegex(ValueError, "map: 3 rows"):
            differnet.overlay(picture(1), cold[:3])
        with self.assertRaisesRegex(ValueError, "map: shape"):
            differnet.overlay(picture(1), [[0.0]])

    @unittest.skipIf(numpy is None, "numpy is missing")
    def test_arrays(self):
        rgb = numpy.array(list(picture(1).data), "B").reshape(HEIGHT, WIDTH, 3)
        for image in (rgb, rgb[::-1], rgb[:, 4:20], numpy.dstack([rgb, rgb[:, :, :1]])):
            decoded = differnet.Image.open(differnet.encode_png(image)).array()
            numpy.testing.assert_array_equal(decoded, image[:, :, :3])
        for image in (rgb[:, :, 0].copy(), rgb[:, :, 1].astype("uint16") * 257):
            decoded = differnet.Image.open(differnet.encode_png(image)).array()
            self.assertEqual(decoded.dtype, image.dtype)
            numpy.testing.assert_array_equal(decoded, image)
        for image in (rgb[:, ::2], rgb.astype("f"), rgb[:, :, :2], rgb.astype(">u2")[:, :, 0], rgb[0, 0]):
            with self.assertRaises(ValueError):
                differnet.encode_png(image)


class NetworkTest(unittest.TestCase):
    def test_extractor(self):
        extractor = tiny_extractor()
        info = extractor.info
        self.assertEqual((info.input_size, info.scales, info.feature_dim, info.random), (64, 1, 4, 1))
        self.assertEqual(info.tap_names, ["features.12"])
        self.assertEqual(len(info.mean), 3)
        views = extractor.views(picture(1), [0, 90.5])
        self.assertEqual(shape(views), (2, 64, 64, 3))
        features = extractor.features(views)
        self.assertEqual(shape(features), (2, 4))
        self.assertEqual(flat(features), flat(extractor.features_image(picture(1), [0, 90.5])))
        gradient = extractor.gradient(views, [[1, 0, 0, 1], [0, 0, 0, 0]])
        self.assertEqual(shape(gradient), (2, 64, 64, 3))
        self.assertTrue(any(flat(gradient)[:64 * 64 * 3]))
        self.assertFalse(any(flat(gradient)[64 * 64 * 3:]))
        with self.assertRaisesRegex(ValueError, "1 rows for 2 views"):
            extractor.gradient(views, [[1, 0, 0, 1]])
        with self.assertRaisesRegex(ValueError, "five numbers"):
            differnet.Extractor.random([1])

    @unittest.skipUnless(EMBED_BACKBONE, "the library was built without a backbone")
    def test_default_extractor(self):
        info = differnet.Extractor.default(input_size=64, scales=1).info
        self.assertEqual((info.random, info.input_size, info.scales), (0, 64, 1))
        self.assertGreater(info.feature_dim, 0)

    @unittest.skipIf(EMBED_BACKBONE, "the library was built with a backbone")
    def test_no_default_extractor(self):
        with self.assertRaisesRegex(differnet.Error, "--backbone") as caught:
            differnet.Extractor.default()
        self.assertEqual(caught.exception.status, differnet.E_UNSUPPORTED)

    def test_metadata(self):
        self.assertEqual(tiny_extractor().info.metadata, {})
        data = (ROOT / "tests/golden/cnn_alexnet.safetensors").read_bytes()
        start = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:start])
        header["__metadata__"].update({"training": "größe", "differnet.random": "0", "licence": ""})
        text = json.dumps(header).encode()
        extractor = differnet.Extractor.open(len(text).to_bytes(8, "little") + text + data[start:])
        self.assertEqual(list(extractor.info.metadata.items()), [("training", "größe"), ("licence", "")])

    def test_backbone_file(self):
        path = ROOT / "tests/golden/cnn_alexnet.safetensors"
        by_path = differnet.Extractor.open(path, input_size=64, scales=1)
        by_bytes = differnet.Extractor.open(path.read_bytes(), input_size=64, scales=1)
        self.assertEqual(by_path.info.id, by_bytes.info.id)
        self.assertEqual(by_path.info.random, 0)

    def test_backbone_is_saved(self):
        extractor = tiny_extractor()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.safetensors")
            extractor.save(path)
            for again in (differnet.Extractor.open(path, input_size=64, scales=1),
                          differnet.Extractor.open(extractor.to_bytes(), input_size=64, scales=1)):
                self.assertEqual(again.info, extractor.info)
            half = extractor.to_bytes(differnet.STORAGE_F16)
            self.assertLess(len(half), os.path.getsize(path))
            self.assertNotEqual(differnet.Extractor.open(half).info.id, extractor.info.id)
            with self.assertRaisesRegex(differnet.Error, "storage is 7"):
                extractor.save(path, 7)

    def test_flow(self):
        flow = differnet.Flow.create(dimension=4, blocks=2, hidden=5, seed=3)
        x = flow.sample(6, seed=1)
        self.assertEqual(shape(x), (6, 4))
        z, logdet = flow.forward(x)
        self.assertEqual((shape(z), shape(logdet)), ((6, 4), (6,)))
        for got, expected in zip(flat(flow.inverse(z)), flat(x)):
            self.assertAlmostEqual(got, expected, places=4)
        expected = [-sum(v * v for v in flat(z)[4 * i:4 * i + 4]) / 2 - 4 / 2 * 1.8378770664 + flat(logdet)[i]
                    for i in range(6)]
        for got, wanted in zip(flat(flow.log_likelihood(x)), expected):
            self.assertAlmostEqual(got, wanted, places=4)
        self.assertEqual(shape(flow.gradient(x, z)), (6, 4))
        self.assertNotEqual(flat(flow.gradient(x, z)), flat(flow.gradient(x, z, [1.0] * 6)))
        with self.assertRaisesRegex(ValueError, "same number of rows"):
            flow.gradient(x, [[0, 0, 0, 0]])
        with self.assertRaisesRegex(ValueError, "does not match"):
            flow.forward([[1, 2, 3]])
        row, _ = flow.forward(flat(x)[:4])  # a single row
        self.assertEqual(flat(row), flat(z)[:4])

    def test_flow_file(self):
        flow = differnet.Flow.create(dimension=4, blocks=2, hidden=5, seed=3)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.flow")
            flow.save(path)
            for again in (differnet.Flow.open(path), differnet.Flow.open(flow.to_bytes())):
                self.assertEqual(again.info, flow.info)
                self.assertEqual(flat(again.sample(2)), flat(flow.sample(2)))


class TrainingTest(unittest.TestCase):
    def test_all(self):
        phases = []
        model = tiny_trainer().run(lambda progress: phases.append(progress.phase))
        self.assertEqual(sorted(set(phases)), [differnet.PHASE_FEATURES, differnet.PHASE_TRAIN,
                                               differnet.PHASE_HOLDOUT, differnet.PHASE_HEATMAP])
        info = model.info
        self.assertEqual((info.epochs, info.hidden, info.views), (3, 8, 2))
        self.assertEqual(info.library, differnet.version())
        self.assertEqual(info.train_images + info.holdout_images, 6)
        self.assertEqual(len(model.holdout_scores), info.holdout_images)
        self.assertEqual(model.holdout_scores, sorted(model.holdout_scores))
        self.assertEqual((len(model.feature_mean), len(model.feature_deviation)), (4, 4))
        self.assertEqual((model.extractor.info.feature_dim, model.flow.info.dimension), (4, 4))
        with tempfile.TemporaryDirectory() as folder:
            self.check_files(model, folder)
        self.check_localizer(model)

    def check_files(self, model, folder):
        model_path, image_path = os.path.join(folder, "part.dnm"), os.path.join(folder, "part.png")
        model.save(model_path)
        differnet.write_png(picture(0), image_path)
        with differnet.Scorer(model, threads=2, false_alarm_rate=0.5) as scorer:
            expected = scorer.score(picture(0))
            self.assertEqual(len(scorer.view_scores), 2)
            self.assertAlmostEqual(sum(scorer.view_scores) / 2, expected.score, places=9)
            self.assertIsInstance(expected.anomalous, bool)
            with self.assertRaises(differnet.Error) as caught:
                scorer.score(os.path.join(folder, "absent.png"))
            self.assertIn("absent.png", str(caught.exception))
            with self.assertRaises(differnet.Error):
                scorer.score(differnet.Pixels(bytes(12), 2, 2))
        self.check_batch(model, image_path)
        for source, verify in ((model_path, differnet.VERIFY_FULL), (model_path, differnet.VERIFY_HEADER),
                               (model.to_bytes(), differnet.VERIFY_FULL)):
            again = differnet.Scorer(differnet.Model.open(source, verify=verify))  # the scorer keeps the model
            gc.collect()
            self.assertEqual(again.score(image_path).score, expected.score)
            self.assertEqual(again.score(differnet.Image.open(image_path)).score, expected.score)
        self.assertLess(len(model.to_bytes(differnet.STORAGE_F16)), len(model.to_bytes()))

    def check_batch(self, model, image_path):
        with differnet.Scorer(model, false_alarm_rate=0.5, threads=2) as scorer:
            pictures = [picture(seed, spot=seed % 2 == 1) for seed in range(6)]
            alone = [scorer.score(image) for image in pictures]
            self.assertEqual(scorer.score_batch(pictures), alone)
            self.assertEqual(len(scorer.view_scores), 0)
            self.assertEqual(scorer.batch_images, 16)
            self.assertEqual(scorer.score_batch([]), [])
            first, bad, last = scorer.score_batch([image_path, image_path + ".absent", image_path])
            self.assertEqual((first, last), (alone[0], alone[0]))
            self.assertIsInstance(bad, differnet.Error)
            self.assertEqual(bad.status, differnet.E_IO)
            self.assertIn(".absent", str(bad))
            bad, good = scorer.score_batch([differnet.Pixels(bytes(12), 2, 2), image_path])
            self.assertIn("images[0]", str(bad))
            self.assertEqual(good, alone[0])
        # Two views of the model are looked at together; of more, the first may be enough.
        with differnet.Scorer(model, false_alarm_rate=1, views=20) as scorer:
            for image in (image_path, picture(0)):
                full, early = scorer.score(image), scorer.decide(image)
                self.assertTrue(early.lower_bound and not full.lower_bound)
                self.assertEqual((early.anomalous, early.views, len(scorer.view_scores)), (True, 8, 8))
                self.assertLessEqual(early.score, full.score)

    def check_localizer(self, model):
        localizer = differnet.Localizer(model, views=2, sigma=1)
        heat = localizer.map(picture(0, spot=True))
        self.assertEqual(shape(heat), (HEIGHT, WIDTH))
        self.assertGreaterEqual(min(flat(heat)), 0)
        self.assertGreater(max(flat(heat)), 0)
        boxes = localizer.boxes([[0, 0, 0], [0, 2, 3], [0, 0, 0], [5, 0, 0]])
        self.assertEqual([(box.x, box.y, box.width, box.height, box.area) for box in boxes],
                         [(0, 3, 1, 1, 1), (1, 1, 2, 1, 2)])
        self.assertEqual(boxes[0].peak, 5)
        self.assertEqual(len(localizer.boxes([[1, 0, 1]], capacity=1)), 1)
        self.assertIsInstance(localizer.boxes(heat, threshold=1e-9), list)

    def test_preset(self):
        trainer = differnet.Trainer(tiny_extractor(), preset=differnet.PRESET_PAPER, epochs=1)
        trainer.close()
        with self.assertRaises(differnet.Error):
            differnet.Trainer(tiny_extractor(), preset=7)
        paper = {"epoch_steps": 1, "schedule": differnet.SCHEDULE_CONSTANT, "learning_rate": 2e-4, "feature_noise": 0}
        trained = tiny_trainer(preset=differnet.PRESET_PAPER).run().to_bytes()
        self.assertEqual(trained, tiny_trainer(**paper).run().to_bytes())
        self.assertEqual(tiny_trainer(preset=differnet.PRESET_COMPACT).run().to_bytes(),
                         tiny_trainer().run().to_bytes())
        for name in paper:
            fewer = {key: value for key, value in paper.items() if key != name}
            self.assertNotEqual(trained, tiny_trainer(**fewer).run().to_bytes(), name)

    def test_cancel(self):
        trainer = tiny_trainer()
        with self.assertRaises(differnet.Error) as caught:
            trainer.run(lambda progress: progress.phase == differnet.PHASE_TRAIN and progress.done == 1)
        self.assertEqual(caught.exception.status, differnet.E_CANCELLED)
        self.assertEqual(trainer.run().to_bytes(), tiny_trainer().run().to_bytes())

    def test_exception_in_progress(self):
        def fail(progress):
            raise KeyError("mine")

        with self.assertRaises(KeyError):
            tiny_trainer().run(fail)

    def test_no_images(self):
        with self.assertRaises(differnet.Error) as caught:
            differnet.Trainer(tiny_extractor()).run()
        self.assertEqual(caught.exception.status, differnet.E_STATE)

    def test_checkpoint(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "state"
            tiny_trainer(checkpoint=path, checkpoint_epochs=1).run()
            self.assertTrue(path.exists())

    def test_threads(self):
        model = tiny_trainer().run()
        expected = differnet.Scorer(model).score(picture(2)).score
        results = []

        def work():
            scorer = differnet.Scorer(model)
            results.extend(scorer.score(picture(2)).score for _ in range(5))

        workers = [threading.Thread(target=work) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        self.assertEqual(results, [expected] * 20)


if __name__ == "__main__":
    differnet.load(sys.argv.pop(1))
    unittest.main()
