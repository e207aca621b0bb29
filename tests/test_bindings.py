#!/usr/bin/env python3
"""Tests of bindings/python/differnet.  usage: test_bindings.py LIBRARY [unittest arguments]

With PLAIN in the environment: as if neither numpy nor anything built on it were installed."""
import array
import contextlib
import copy
import ctypes
import functools
import gc
import io
import json
import operator
import os
import pickle
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import types
import unittest
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bindings/python"))

PLAIN = "PLAIN" in os.environ
if PLAIN:
    sys.modules.update(dict.fromkeys(("numpy", "PIL", "torch", "cv2")))

import differnet  # noqa: E402
from differnet import _abi, _arrays, _call  # noqa: E402


def optional(name):
    """A module, or None where it is missing."""
    try:
        return __import__(name)
    except ImportError:
        return None


numpy, PIL, torch, cv2 = _arrays.numpy, optional("PIL"), optional("torch"), optional("cv2")
WIDTH, HEIGHT = 40, 32
EMBED_BACKBONE = os.environ.get("EMBED_BACKBONE", "1") == "1"


def picture(seed, spot=False):
    """A smooth RGB picture, another one for each seed; spot: with a white square."""
    data = bytearray()
    for y in range(HEIGHT):
        for x in range(WIDTH):
            white = spot and 10 <= x < 20 and 10 <= y < 20
            data += bytes(255 if white else (seed * 3 + (2 + seed % 5) * x + (seed % 3 + c + 1) * y) % 200
                          for c in range(3))
    return differnet.Pixels(data, WIDTH, HEIGHT)


def tiny_extractor():
    return differnet.Extractor.random([2, 3, 2, 3, 4], seed=1, input_size=64, scales=1)


def tiny_trainer(**options):
    given = {"epochs": 3, "hidden": 8, "blocks": 2, "bank": 2, "views": 2, "heatmap_images": 2, "holdout": 0.3,
             "calibration": differnet.CALIBRATION_SPLIT}
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
        self.assertEqual(sorted(name for _, name, _ in declarations), sorted(_abi._FUNCTIONS))

        def letter(declaration):
            words = re.sub(r"\b(const|DN_CHECK_RESULT)\b", "", declaration)
            if "*" in words or "[" in words or "dn_progress_fn" in words:
                return "s" if re.search(r"\bchar\s*\*\s*\w*\s*$", words) else "p"
            kinds = {"dn_status": "i", "int32_t": "i", "int64_t": "I", "uint64_t": "u", "uint32_t": "w", "size_t": "z", "float": "f",
                     "double": "d", "void": "n"}
            return kinds[words.split()[0]]

        for result, name, arguments in declarations:
            expected = letter(result)
            expected += "".join(letter(argument) for argument in arguments.split(",") if argument.strip() != "void")
            self.assertEqual(_abi._FUNCTIONS[name], expected, name)

    def test_structs(self):
        kinds = {"int32_t": ctypes.c_int32, "uint32_t": ctypes.c_uint32, "int64_t": ctypes.c_int64,
                 "uint64_t": ctypes.c_uint64, "double": ctypes.c_double, "float": ctypes.c_float,
                 "dn_status": ctypes.c_int32, "char": ctypes.c_char}
        known = {value.__name__: value for value in vars(_abi).values()
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
                    field = re.sub(r"\[(DN_\w+)\]",
                                   lambda name: "[%s]" % re.search(r"#define %s\s+(\d+)" % name[1], self.text)[1], field)
                    size = re.search(r"\[(\d+)\]", field)
                    if field.startswith("*"):
                        value = ctypes.c_char_p if kind == "char" else ctypes.c_void_p
                    else:
                        value = kinds[kind] * int(size.group(1)) if size else kinds[kind]
                    expected.append((re.sub(r"\[.*|\*", "", field), value))
            self.assertEqual(known[name]._fields_, expected, name)

    def test_constants(self):
        constants = re.findall(r"#define DN_((?:E|COPIES|FIT|MAP|PRESET|SCHEDULE|CALIBRATION|DUPLICATE|PHASE|STORAGE|ANGLES|TRAIT|WARN)_\w+|OK|"
                               r"(?:GRAY|RGB|BGR)A?\d+)\s+\(?(-?(?:0x)?\d+)u?\)?", self.text)
        self.assertGreater(len(constants), 50)
        for name, value in constants:
            self.assertEqual(getattr(differnet, name), int(value, 16 if "x" in value else 10), name)
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
        for size in ((64,), (64, 0), (64, 96, 64), []):
            with self.assertRaisesRegex(ValueError, r"it is \(width, height\), or one number"):
                differnet.Extractor.random(input_size=size)
        with self.assertRaisesRegex(TypeError, "input_height is given twice"):
            differnet.Extractor.random(input_size=(96, 64), input_height=64)
        with self.assertRaises(differnet.Error) as caught:
            differnet.Extractor.random(input_size=(96, 33))
        self.assertIn("input_height is 33", str(caught.exception))

    def test_closed(self):
        flow = differnet.Flow.create(dimension=4, blocks=1, hidden=2)
        with flow:
            self.assertEqual(flow.info.dimension, 4)
        flow.close()
        for use in (lambda: flow.forward([[0, 0, 0, 0]]), flow.to_bytes, lambda: flow.info):
            with self.assertRaisesRegex(differnet.Error, "this Flow is closed") as caught:
                use()
            self.assertEqual(caught.exception.status, differnet.E_STATE)

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

    def decoded(self, image):
        """What the library sees of an image: (format, width, height, numbers)."""
        image = differnet.Image.open(differnet.encode_png(image))
        return image.format, image.width, image.height, flat(image.array())

    @unittest.skipIf(numpy is None, "numpy is missing")
    def test_arrays(self):
        rgb = numpy.array(list(picture(1).data), "B").reshape(HEIGHT, WIDTH, 3)
        for image in (rgb, rgb[::-1], rgb[:, 4:20], numpy.dstack([rgb, rgb[:, :, :1]]), rgb[:, ::2], rgb[:, :, ::-1],
                      rgb.transpose(2, 0, 1).copy().transpose(1, 2, 0), numpy.broadcast_to(rgb[:1], rgb.shape)):
            decoded = differnet.Image.open(differnet.encode_png(image)).array()
            numpy.testing.assert_array_equal(decoded, image[:, :, :3])
        wide = rgb[:, :, 1].astype("uint16") * 257
        odd = numpy.frombuffer(b"x" + wide.tobytes(), "u2", offset=1).reshape(wide.shape)
        for image in (rgb[:, :, 0].copy(), rgb[:, :, 0], rgb[:, :, :1], wide, wide[:, ::3], wide.astype(">u2"), odd):
            decoded = differnet.Image.open(differnet.encode_png(image)).array()
            self.assertEqual(decoded.dtype.itemsize, image.dtype.itemsize)
            numpy.testing.assert_array_equal(decoded, image.reshape(decoded.shape))
        for image, reason in ((rgb.astype("f") / 255, "float32 numbers.*astype"), (rgb > 3, "bool numbers"),
                              (rgb.astype("i4"), "int32 numbers"), (rgb[:, :, :2], "shape"), (rgb[0, 0], "shape"),
                              (rgb.astype("u2"), "colour image of 16 bits"), (rgb[None], "shape"),
                              (rgb.transpose(2, 0, 1), "channels come last"), (numpy.array(None), "object numbers")):
            with self.assertRaisesRegex(TypeError, reason):
                differnet.encode_png(image)

    @unittest.skipIf(numpy is None, "numpy is missing")
    def test_bgr(self):
        rgb = numpy.array(list(picture(1).data), "B").reshape(HEIGHT, WIDTH, 3)
        bgr = rgb[:, :, ::-1].copy()
        expected = self.decoded(rgb)
        self.assertNotEqual(self.decoded(bgr), expected)
        for format in ("bgr8", "BGR8", differnet.BGR8):
            pixels = differnet.Pixels(bgr, format=format)
            self.assertEqual((pixels.width, pixels.height, pixels.format), (WIDTH, HEIGHT, differnet.BGR8))
            self.assertEqual(self.decoded(pixels), expected)
        self.assertEqual(self.decoded(differnet.Pixels(numpy.dstack([bgr, bgr[:, :, 0]]), format="bgra8")), expected)
        self.assertEqual(self.decoded(differnet.Pixels(bgr.tobytes(), WIDTH, HEIGHT, "bgr8")), expected)
        for image, format in ((bgr, "gray8"), (bgr, "bgra8"), (bgr[:, :, 0], "bgr8"), (bgr, "rgb"), (bgr, 7)):
            with self.assertRaisesRegex(ValueError, "cannot be|unknown"):
                differnet.Pixels(image, format=format)

    @unittest.skipIf(PIL is None, "PIL is missing")
    def test_pil(self):
        from PIL import Image
        rgb = Image.frombytes("RGB", (WIDTH, HEIGHT), bytes(picture(1).data))
        # What a file's reader makes of a picture of each mode is what the picture itself must give.
        with tempfile.TemporaryDirectory() as folder:
            for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
                image, path = rgb.convert(mode), Path(folder) / f"{mode}.png"
                image.save(path)
                expected = differnet.Image.open(path)
                for given in (image, Image.open(path), differnet.Pixels(image)):
                    got = self.decoded(given)
                    self.assertEqual(got[:3], (expected.format, WIDTH, HEIGHT), mode)
                    self.assertEqual(got[3], flat(expected.array()), mode)
        wide = Image.frombytes("I;16", (2, 2), bytes([1, 0, 0, 1, 255, 255, 3, 2]))
        self.assertEqual(self.decoded(wide), (differnet.GRAY16, 2, 2, [1, 256, 65535, 515]))
        for mode in ("CMYK", "YCbCr", "HSV", "I", "F"):
            with self.assertRaisesRegex(TypeError, f"PIL image of mode '{mode}': give image.convert"):
                differnet.encode_png(rgb.convert("L").convert(mode) if mode in "IF" else rgb.convert(mode))
        with mock.patch.object(_arrays, "numpy", None):
            self.assertEqual(self.decoded(rgb)[3], list(picture(1).data))

    @unittest.skipIf(torch is None, "torch is missing")
    def test_torch(self):
        rgb = torch.tensor(list(picture(1).data), dtype=torch.uint8).reshape(HEIGHT, WIDTH, 3)
        expected = (differnet.RGB8, WIDTH, HEIGHT, list(picture(1).data))
        self.assertEqual(self.decoded(rgb), expected)
        self.assertEqual(self.decoded(rgb.permute(2, 0, 1).contiguous().permute(1, 2, 0)), expected)
        self.assertEqual(self.decoded(rgb[:, :, 1]), (differnet.GRAY8, WIDTH, HEIGHT, flat(rgb[:, :, 1])))
        self.assertEqual(self.decoded(differnet.Pixels(rgb.flip(2), format="bgr8")), expected)
        for image, reason in ((rgb.permute(2, 0, 1), "tensor.permute"), (rgb / 255, "float32 numbers"),
                              ((rgb / 255).requires_grad_(), "not an image: Tensor: .*detach"),
                              (rgb.to("meta"), "not an image: Tensor")):
            with self.assertRaisesRegex(TypeError, reason):
                differnet.encode_png(image)
        with mock.patch.object(_arrays, "numpy", None), self.assertRaisesRegex(TypeError, "numpy must be installed"):
            differnet.encode_png(rgb)

    @unittest.skipIf(cv2 is None, "OpenCV is missing")
    def test_opencv(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "part.png")
            differnet.write_png(picture(1), path)
            frame = cv2.imread(path)
            expected = (differnet.RGB8, WIDTH, HEIGHT, list(picture(1).data))
            self.assertEqual(self.decoded(differnet.Pixels(frame, format="bgr8")), expected)
            self.assertEqual(self.decoded(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)), expected)
            self.assertEqual(self.decoded(frame[:, :, ::-1]), expected)
            self.assertNotEqual(self.decoded(frame), expected)

    def test_protocols(self):
        gray = bytes(range(6))
        wide = array.array("H", [0, 1, 256, 65535])
        with_address = types.SimpleNamespace(__array_interface__={
            "shape": (2, 2), "typestr": wide_type(), "data": (wide.buffer_info()[0], True), "version": 3})
        skipping = types.SimpleNamespace(__array_interface__={
            "shape": (2, 1), "typestr": wide_type(), "data": (wide.buffer_info()[0], True), "version": 3,
            "strides": (4, 2)})
        with_bytes = types.SimpleNamespace(__array_interface__={
            "shape": (2, 3), "typestr": "|u1", "data": b"x" + gray, "offset": 1, "version": 3})
        numpys = [None] if numpy is None else [numpy, None]
        for module in numpys:
            with mock.patch.object(_arrays, "numpy", module):
                self.assertEqual(self.decoded(memoryview(gray).cast("B", (2, 3))), (differnet.GRAY8, 3, 2, list(gray)))
                self.assertEqual(self.decoded(memoryview(gray).cast("B", (1, 2, 3))),
                                 (differnet.RGB8, 2, 1, list(gray)))
                self.assertEqual(self.decoded(memoryview(wide).cast("B").cast("H", (2, 2))),
                                 (differnet.GRAY16, 2, 2, list(wide)))
                self.assertEqual(self.decoded(with_address), (differnet.GRAY16, 2, 2, list(wide)))
                self.assertEqual(self.decoded(skipping), (differnet.GRAY16, 1, 2, [0, 256]))
                self.assertEqual(self.decoded(with_bytes), (differnet.GRAY8, 3, 2, list(gray)))
                for bad in (5, None, "".join, [[1, 2], [3, 4]], object(), memoryview(gray), gray, bytearray(gray),
                            memoryview(gray).cast("b", (2, 3)), memoryview(bytes(16)).cast("f", (2, 2)),
                            picture, differnet.Flow.create(dimension=4, blocks=1, hidden=2)):
                    with self.assertRaises(TypeError):
                        differnet.encode_png(bad)
        for change in ({"shape": (3, 3)}, {"offset": -1}, {"strides": (-3, 1)}, {"strides": (4, 1)}):
            wrong = types.SimpleNamespace(__array_interface__={**with_bytes.__array_interface__, **change})
            with mock.patch.object(_arrays, "numpy", None), self.assertRaisesRegex(ValueError, "too few"):
                differnet.encode_png(wrong)
        with self.assertRaisesRegex(TypeError, r"Image.open\(data\)"):
            differnet.encode_png(gray)


def wide_type():
    return "<u2" if sys.byteorder == "little" else ">u2"


class DocumentationTest(unittest.TestCase):
    def snippets(self):
        """The indented blocks of the module's and its classes' documentation."""
        for thing in [differnet] + [thing for thing in vars(differnet).values()
                                    if isinstance(thing, type) and thing.__module__ == differnet.__name__]:
            text = thing.__doc__ or ""
            if thing is not differnet:
                text = re.sub("^    ", "", text, flags=re.M)
            for block in re.findall(r"(?:^    .*\n|^\n)+", text + "\n", flags=re.M):
                if block.strip():
                    yield thing.__name__, textwrap.dedent(block)

    def test_snippets(self):
        model, before, seen, create = tiny_trainer().run(), os.getcwd(), [], differnet.Trainer.__init__
        small = {"epochs": 2, "hidden": 8, "blocks": 2, "bank": 2, "views": 2, "heatmap_images": 2}
        names = {"differnet": differnet, "model": model, "scorer": differnet.Scorer(model),
                 "good_images": [f"{i}.png" for i in range(6)], "paths": ["part.png", "absent.png"],
                 "new_images": ["part.png"],
                 "camera_bytes": bytes(640 * 480),
                 "frame": memoryview(picture(3).data).cast("B", (HEIGHT, WIDTH, 3))}
        with tempfile.TemporaryDirectory() as folder, \
                mock.patch.object(differnet.Extractor, "default", return_value=tiny_extractor()), \
                mock.patch.object(differnet.Trainer, "__init__", lambda *a, **o: create(*a, **{**o, **small})), \
                contextlib.redirect_stdout(io.StringIO()) as printed:
            try:
                os.chdir(folder)
                for name in names["good_images"] + ["part.png"]:
                    differnet.write_png(picture(len(name)), name)
                tiny_extractor().save("backbone.safetensors")
                for where, code in self.snippets():
                    exec(compile(code, where, "exec"), dict(names))
                    seen.append(where)
                self.assertTrue(os.path.exists("overlay.png"))
            finally:
                os.chdir(before)
        self.assertLessEqual({"differnet", "Detector", "Scorer", "Localizer", "Monitor", "Calibrator", "Trainer", "Model", "Flow", "Pixels"}, set(seen))
        self.assertIn("absent.png cannot be scored", printed.getvalue())

    @unittest.skipIf(PLAIN, "the example does not depend on what is installed")
    def test_example(self):
        with tempfile.TemporaryDirectory() as folder:
            os.mkdir(os.path.join(folder, "good"))
            for seed in range(6):
                differnet.write_png(picture(seed), os.path.join(folder, "good", f"{seed}.png"))
            differnet.write_png(picture(9, spot=True), os.path.join(folder, "part.png"))
            environment = {**os.environ, "PYTHONPATH": str(ROOT / "bindings/python"),
                           "LD_LIBRARY_PATH": os.path.dirname(os.path.abspath(_call.library()._name))}
            command = [sys.executable, str(ROOT / "examples/train_and_score.py"), "good", "part.png", "absent.png",
                       "--epochs", "1", "--backbone", str(ROOT / "tests/golden/cnn_alexnet.safetensors")]
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stdout, r"part.png: score \d+\.\d+, (normal|anomalous)")
            self.assertIn("absent.png: ", done.stdout)
            for phase in ("features", "training", "copies"):
                self.assertIn(f"{phase}: ", done.stderr)
            self.assertLessEqual({"part.dnm", "part.state"}, set(os.listdir(folder)))

    def test_everything_public_is_documented(self):
        for name in differnet.__all__:
            thing = getattr(differnet, name)
            self.assertTrue(thing.__doc__, name)
            for own, member in vars(thing).items() if isinstance(thing, type) else ():
                if not own.startswith("_"):
                    self.assertTrue(getattr(member, "__func__", member).__doc__, f"{name}.{own}")

    def test_library_is_found(self):
        """As the dynamic linker finds it; or the message says what to do."""
        folder = os.path.dirname(os.path.abspath(_call.library()._name))
        program = (f"import sys; sys.path.insert(0, {str(ROOT / 'bindings/python')!r}); import differnet\n"
                   "print(differnet.version())")
        found = subprocess.run([sys.executable, "-c", program], env={**os.environ, "LD_LIBRARY_PATH": folder},
                               capture_output=True, text=True)
        self.assertEqual((found.stdout.strip(), found.returncode), (differnet.version(), 0), found.stderr)
        with mock.patch.object(ctypes, "CDLL", side_effect=OSError("no such file")), \
                mock.patch.object(_call, "_library", None), self.assertRaisesRegex(OSError, "differnet.load"):
            differnet.load()


class MisuseTest(unittest.TestCase):
    """What would crash in C, or be taken for something else, is refused in Python."""

    def handles(self):
        trainer = tiny_trainer()
        model = trainer.run()
        return [trainer, model, model.extractor, model.flow, differnet.Scorer(model), differnet.Localizer(model),
                differnet.Image.open(differnet.encode_png(picture(1)))]

    def test_copies(self):
        for handle in self.handles():
            for make in (copy.copy, copy.deepcopy, pickle.dumps):
                with self.assertRaisesRegex(TypeError, f"{type(handle).__name__} objects cannot be copied"):
                    make(handle)
            handle.close()
        with self.assertRaisesRegex(TypeError, "to_bytes"):
            pickle.dumps(differnet.Flow.create(dimension=4, blocks=1, hidden=2))

    def test_kinds_of_handles(self):
        extractor, flow = tiny_extractor(), differnet.Flow.create(dimension=4, blocks=1, hidden=2)
        for kind, good in ((differnet.Scorer, "Model"), (differnet.Localizer, "Model"),
                           (differnet.Trainer, "Extractor")):
            for bad in (flow, 5, "part.dnm", None, b"x", extractor if good == "Model" else kind):
                with self.assertRaisesRegex(TypeError, f"a differnet.{good} is needed"):
                    kind(bad)
        for kind in (differnet.Model, differnet.Flow, differnet.Extractor, differnet.Image):
            for argument in ((), ("part.dnm",), (12345,)):
                with self.assertRaisesRegex(TypeError, f"call {kind.__name__}[.]"):
                    kind(*argument)
            for bad in (5, 10 ** 15, ["part.dnm"], None):
                with self.assertRaisesRegex(TypeError, f"{kind.__name__}.open.. takes a path or the bytes"):
                    kind.open(bad)
        with self.assertRaises(differnet.Error):
            differnet.Scorer.__new__(differnet.Scorer).score(picture(1))

    def test_integers(self):
        flow, many = differnet.Flow.create(dimension=4, blocks=1, hidden=2), 2 ** 32 + 1
        png = differnet.encode_png(picture(1))
        trainer = tiny_trainer()
        with tempfile.TemporaryDirectory() as folder:
            for use in (lambda: differnet.Flow.create(dimension=2 ** 32 + 4), lambda: flow.sample(many),
                        lambda: differnet.Flow.create(seed=-1), lambda: flow.sample(1, seed=2 ** 64),
                        lambda: differnet.Extractor.random([2, 3, 2, 3, 2 ** 32 + 4]),
                        lambda: tiny_trainer(threads=many), lambda: tiny_trainer(epochs=-2 ** 31 - 1),
                        lambda: differnet.Trainer(tiny_extractor(), preset=2 ** 32),
                        lambda: differnet.Image.open(png, max_pixels=2 ** 64 + 5000),
                        lambda: differnet.Pixels(bytes(12), 2 ** 32 + 2, 2), lambda: trainer.run(5) or 1 / 0,
                        lambda: differnet.Pixels(bytes(12), 2, 2, stride=2 ** 64 + 6),
                        lambda: differnet.blas_set_threads(many),
                        lambda: tiny_extractor().save(os.path.join(folder, "a"), 2 ** 32)):
                with self.assertRaisesRegex((ValueError, TypeError), "does not fit in|a function is needed"):
                    use()
        for use in (lambda: tiny_trainer(threads=1.5), lambda: tiny_trainer(threads="2"), lambda: flow.sample(2.0),
                    lambda: tiny_trainer(holdout="0.5"), lambda: differnet.Pixels(bytes(12), 2.0, 2),
                    lambda: differnet.Pixels(5, 1, 1), lambda: differnet.Pixels(bytes(12), 2),
                    lambda: differnet.overlay(picture(1), [[0.0] * WIDTH] * HEIGHT, full="2"),
                    lambda: differnet.blas_set_threads(None)):
            with self.assertRaises(TypeError):
                use()
        trainer.close()

    def test_paths(self):
        trainer, extractor = tiny_trainer(), tiny_extractor()
        model = trainer.run()
        scorer, localizer = differnet.Scorer(model), differnet.Localizer(model)
        with tempfile.TemporaryDirectory() as folder:
            cut = os.path.join(folder, "part.png\0.txt")
            for use in (lambda: differnet.write_png(picture(1), cut), lambda: model.save(cut),
                        lambda: extractor.save(cut), lambda: model.flow.save(cut), lambda: differnet.Model.open(cut),
                        lambda: differnet.Image.open(Path(cut)), lambda: scorer.score(cut), lambda: scorer.decide(cut),
                        lambda: scorer.score_batch([cut]), lambda: localizer.map(cut),
                        lambda: tiny_trainer().add(cut), lambda: tiny_trainer(checkpoint=cut)):
                with self.assertRaisesRegex(ValueError, "NUL"):
                    use()
            self.assertEqual(os.listdir(folder), [])
        for checkpoint in (True, 5, 1.5, ["state"]):
            with self.assertRaises(TypeError):
                tiny_trainer(checkpoint=checkpoint)
        for bad in (True, 5, None):
            with self.assertRaises(TypeError):
                model.save(bad)
        tiny_trainer(checkpoint=None).close()

    def test_numbers(self):
        flow = differnet.Flow.create(dimension=4, blocks=1, hidden=2)
        for module in ([None] if numpy is None else [numpy, None]):
            with mock.patch.object(_arrays, "numpy", module):
                for bad in ("text", b"text", None, 5, [["a", "b", "c", "d"]], object()):
                    with self.assertRaises((TypeError, ValueError)):
                        flow.forward(bad)


class NetworkTest(unittest.TestCase):
    def test_oblong_extractor(self):
        extractor = differnet.Extractor.random([2, 3, 2, 3, 4], seed=1, input_size=(96, 64), scales=1)
        same = differnet.Extractor.random([2, 3, 2, 3, 4], seed=1, input_size=96, input_height=64, scales=1)
        self.assertEqual((extractor.info.input_size, extractor.info.input_height), (96, 64))
        views = extractor.views(picture(1), [0, 90.5])
        self.assertEqual(shape(views), (2, 64, 96, 3))
        self.assertEqual(flat(views), flat(same.views(picture(1), [0, 90.5])))
        features = extractor.features(views)
        self.assertEqual(flat(features), flat(extractor.features_image(picture(1), [0, 90.5])))
        self.assertEqual(shape(extractor.maps(views)), (2, 3, 5, 12))
        self.assertEqual(shape(extractor.gradient(views, features)), (2, 64, 96, 3))

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
        grid = extractor.maps_info
        self.assertEqual((grid.rows, grid.columns, grid.channels, grid.taps), (3, 3, 3 + 2 + 3 + 4, 4))
        self.assertEqual(grid.names[0], "features.5")
        maps = extractor.maps(views)
        self.assertEqual(shape(maps), (2, 3, 3, 12))
        self.assertEqual(flat(maps)[:108], flat(extractor.maps(extractor.views(picture(1), [0]))))
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


class MonitorTest(unittest.TestCase):
    def test_all(self):
        monitor = differnet.Monitor(good_scores=19, images_between_alarms=50, window=4)
        self.assertEqual(monitor.state.images, 0)
        self.assertNotEqual(monitor.state.recent_mean, monitor.state.recent_mean)
        states = [monitor.add(0.05) for _ in range(30)]
        self.assertIs(states[0].moved, False)
        self.assertIs(states[-1].moved, True)
        self.assertEqual((states[-1].images, states[-1].recent_images), (30, 4))
        self.assertAlmostEqual(states[-1].recent_mean, 0.05)
        monitor.reset()
        self.assertEqual((monitor.state.images, monitor.state.moved), (0, False))
        with self.assertRaisesRegex(differnet.Error, "p_value is 0, must be above 0"):
            monitor.add(0)
        with self.assertRaises(TypeError):
            monitor.add("0.5")
        with self.assertRaisesRegex(differnet.Error, "window is 0"):
            differnet.Monitor(window=0)
        monitor.close()


class CalibratorTest(unittest.TestCase):
    def test_all(self):
        model = tiny_trainer().run()
        calibrator = differnet.Calibrator(model, keep=1, accept_suspects=1)
        scores = [calibrator.add(picture(20 + i)).score for i in range(5)]
        calibrator.add(picture(20))  # again
        self.assertEqual(scores[0], differnet.Scorer(model).score(picture(20)).score)
        info = calibrator.info
        self.assertEqual((info.added, info.counted, info.good_scores, info.suspects),
                         (6, 5, len(model.holdout_scores) + 5, len(calibrator.suspects)))
        self.assertIsInstance(info.moved, bool)
        calibrator.set_point("strict", 0.5)
        calibrator.note("camera", "2")
        made = calibrator.model()
        self.assertEqual(list(made.holdout_scores), sorted(list(model.holdout_scores) + scores))
        self.assertEqual((made.operating_points, made.notes, model.operating_points), ({"strict": 0.5},
                                                                                        {"camera": "2"}, {}))
        scorer = differnet.Scorer(made)
        scorer.set_operating_point("strict")
        self.assertEqual(scorer.score(picture(1)).threshold, 0.5)
        with self.assertRaisesRegex(differnet.Error, "there are strict"):
            scorer.set_operating_point("loose")
        with self.assertRaisesRegex(differnet.Error, "absent.png"):
            calibrator.add("absent.png")
        with self.assertRaises(TypeError):
            differnet.Calibrator("part.dnm")


class TrainingTest(unittest.TestCase):
    def test_notes(self):
        trainer = tiny_trainer()
        trainer.note("part", "Flansch ü")
        trainer.note("camera", "")
        with self.assertRaisesRegex(differnet.Error, "1025 bytes"):
            trainer.note("long", 1025 * "x")
        with self.assertRaises(TypeError):
            trainer.note("part", 3)
        with self.assertRaises(ValueError):
            trainer.note("part", "a\0b")
        model = differnet.Model.open(trainer.run().to_bytes())
        self.assertEqual(list(model.notes.items()), [("part", "Flansch ü"), ("camera", "")])
        self.assertEqual(tiny_trainer().run().notes, {})

    def test_all(self):
        phases = []
        model = tiny_trainer().run(lambda progress: phases.append(progress.phase))
        self.assertEqual(sorted(set(phases)), [differnet.PHASE_FEATURES, differnet.PHASE_TRAIN,
                                               differnet.PHASE_HOLDOUT, differnet.PHASE_HEATMAP,
                                               differnet.PHASE_MAPS, differnet.PHASE_POSITIONS,
                                               differnet.PHASE_COPIES])
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

    def test_parts(self):
        trainer = tiny_trainer()
        trainer.add(picture(2))
        trainer.set_group("burst")
        trainer.add(picture(20))
        trainer.add(picture(21))
        trainer.set_group(None)
        self.assertIsNone(trainer.duplicate_of(6))
        self.assertEqual((trainer.info.images, trainer.info.parts), (9, 0))
        trainer.run()
        self.assertEqual((trainer.info.images, trainer.info.parts, trainer.info.duplicates), (9, 7, 1))
        self.assertEqual(trainer.duplicate_of(6), (2, differnet.DUPLICATE_EQUAL))
        self.assertIsNone(trainer.duplicate_of(8))

    def test_cross_fitted(self):
        phases = []
        model = tiny_trainer(calibration=differnet.CALIBRATION_CROSS, folds=3).run(
            lambda progress: phases.append(progress.phase))
        self.assertIn(differnet.PHASE_FOLDS, phases)
        info = model.info
        self.assertEqual((info.calibration, info.folds), (differnet.CALIBRATION_CROSS, 3))
        self.assertEqual((info.train_images, info.holdout_images, len(model.holdout_scores)), (6, 6, 6))

    def check_files(self, model, folder):
        model_path, image_path = os.path.join(folder, "part.dnm"), os.path.join(folder, "part.png")
        model.save(model_path)
        differnet.write_png(picture(0), image_path)
        with differnet.Scorer(model, threads=2, false_alarm_rate=0.5) as scorer:
            expected = scorer.score(picture(0))
            self.assertEqual(len(scorer.view_scores), 2)
            self.assertAlmostEqual(sum(scorer.view_scores) / 2, expected.flow_score, places=9)
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

    def test_mask_and_trainer_like_a_model(self):
        half = differnet.Pixels(bytes(255 if x < WIDTH // 2 else 0 for _ in range(HEIGHT) for x in range(WIDTH)),
                                WIDTH, HEIGHT, "gray8")
        trainer = differnet.Trainer(tiny_extractor(), preset=differnet.PRESET_FAST, seed=3, position_dims=4)
        trainer.set_mask(half)
        trainer.note("part", "flange")
        for seed in range(4):
            trainer.add(picture(seed))
        with self.assertRaisesRegex(differnet.Error, "before the first image"):
            trainer.set_mask(None)
        model = trainer.run()
        self.assertAlmostEqual(model.info.mask_share, WIDTH // 2 / WIDTH)
        map = flat(differnet.Localizer(model).map(picture(9)))
        self.assertTrue(all((value == 0) == (i % WIDTH >= WIDTH // 2) for i, value in enumerate(map)))
        again = differnet.Trainer(model)
        for seed in range(4):
            again.add(picture(seed))
        self.assertEqual(bytes(again.run().to_bytes()), bytes(model.to_bytes()))
        other = differnet.Trainer(model, seed=4)
        other.add(picture(0))
        self.assertEqual((other.run().info.seed, model.info.seed), (4, 3))

    def test_range(self):
        gray = array.array("H", (273 * (x % 16) for x in range(64 * 64)))
        pixels = differnet.Pixels(gray.tobytes(), 64, 64, "gray16")
        trainer = differnet.Trainer(tiny_extractor(), preset=differnet.PRESET_FAST)
        self.assertEqual(trainer.advice, [])
        trainer.add(pixels)
        self.assertEqual(len(trainer.advice), 1)
        self.assertIn("range_high = 4095", trainer.advice[0])
        trainer = differnet.Trainer(tiny_extractor(), preset=differnet.PRESET_FAST, range_high=4095)
        trainer.add(pixels)
        self.assertEqual(trainer.advice, [])
        model = trainer.run()
        self.assertEqual((model.info.range_low, model.info.range_high), (0, 4095))
        heat = memoryview(bytes(4 * 64 * 64)).cast("f", (64, 64))
        self.assertEqual(max(flat(differnet.overlay(pixels, heat))), 16)
        self.assertEqual(max(flat(differnet.overlay(pixels, heat, model=model))), 255)
        score = differnet.Scorer(model).score(differnet.Pixels(bytes(64 * 64 * 2), 64, 64, "gray16"))
        self.assertIn("darker than all images learned from", score.warning_texts)

    def check_batch(self, model, image_path):
        with differnet.Scorer(model, false_alarm_rate=0.5, threads=2) as scorer:
            pictures = [picture(seed, spot=seed % 2 == 1) for seed in range(6)]
            alone = [scorer.score(image) for image in pictures]
            self.assertEqual(repr(scorer.score_batch(pictures)), repr(alone))  # NaN is not equal to NaN
            self.assertEqual(len(scorer.view_scores), 0)
            self.assertEqual(scorer.batch_images, 16)
            self.assertEqual(scorer.score_batch([]), [])
            first, bad, last = scorer.score_batch([image_path, image_path + ".absent", image_path])
            self.assertEqual(repr((first, last)), repr((alone[0], alone[0])))
            self.assertIsInstance(bad, differnet.Error)
            self.assertEqual(bad.status, differnet.E_IO)
            self.assertIn(".absent", str(bad))
            bad, good = scorer.score_batch([differnet.Pixels(bytes(12), 2, 2), image_path])
            self.assertIn("images[0]", str(bad))
            self.assertEqual(repr(good), repr(alone[0]))
            score, heat = scorer.inspect(pictures[1])
            self.assertEqual(repr(score), repr(alone[1]))
            self.assertEqual(flat(heat), flat(differnet.Localizer(model).map(pictures[1])))
            with differnet.Scorer(tiny_trainer(positions=0).run()) as without:
                with self.assertRaisesRegex(differnet.Error, "position"):
                    without.inspect(picture(0))
        with differnet.Scorer(model, false_alarm_rate=0.5) as scorer:
            before = scorer.score(image_path)
            scorer.set_threshold(before.score / 2)
            score = scorer.score(image_path)
            self.assertEqual((score.anomalous, score.threshold, score.score, score.p_value),
                             (True, before.score / 2, before.score, before.p_value))
            self.assertTrue(0.5 < score.index <= 1)
            with self.assertRaisesRegex(differnet.Error, "threshold is -1"):
                scorer.set_threshold(-1)
            with self.assertRaises(TypeError):
                scorer.set_threshold("1")
            scorer.set_false_alarm_rate(0.5)
            self.assertEqual(repr(scorer.score(image_path)), repr(before))
        # Two views of the model are looked at together; of more, the first may be enough.
        with differnet.Scorer(model, false_alarm_rate=1, views=20) as scorer:
            for image in (image_path, picture(0)):
                full, early = scorer.score(image), scorer.decide(image)
                self.assertTrue(early.lower_bound and not full.lower_bound)
                self.assertEqual((early.anomalous, early.views, len(scorer.view_scores)), (True, 8, 8))
                self.assertLessEqual(early.score, full.score)

    def check_localizer(self, model):
        finder = differnet.Localizer(model)
        threshold, rate = finder.threshold(0.5)
        self.assertTrue(threshold > 0 and rate == 0.5)
        heat = finder.map(picture(0, spot=True))
        for box in finder.boxes(heat, threshold / 2, min_area=2, gap=1):
            self.assertGreaterEqual(box.area, 2)
            self.assertTrue(threshold / 2 <= box.mean <= box.peak and box.x < box.centroid_x < box.x + box.width)
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
        flow_of = lambda **options: tiny_trainer(**options).run().flow.to_bytes()
        trained = flow_of(preset=differnet.PRESET_PAPER)
        self.assertEqual(trained, flow_of(**paper))
        for name in paper:
            self.assertNotEqual(trained, flow_of(**{key: paper[key] for key in paper if key != name}), name)
        self.assertEqual(tiny_trainer(preset=differnet.PRESET_COMPACT).run().to_bytes(),
                         tiny_trainer().run().to_bytes())
        densities = {preset: (info.flow, info.positions, info.preset) for preset in range(3)
                     for info in [tiny_trainer(preset=preset).run().info]}
        self.assertEqual(densities, {differnet.PRESET_COMPACT: (1, 1, "compact"),
                                     differnet.PRESET_PAPER: (1, 0, "paper"),
                                     differnet.PRESET_FAST: (0, 1, "fast")})
        self.assertIsNone(tiny_trainer(preset=differnet.PRESET_FAST).run().flow)

    def test_cancel(self):
        trainer = tiny_trainer()
        with self.assertRaises(differnet.Error) as caught:
            trainer.run(lambda progress: progress.phase == differnet.PHASE_TRAIN and progress.done == 1)
        self.assertEqual(caught.exception.status, differnet.E_CANCELLED)
        self.assertEqual(trainer.run().to_bytes(), tiny_trainer().run().to_bytes())

    def test_exception_in_progress(self):
        def fail(progress):
            raise KeyError("mine")

        trainer = tiny_trainer()
        with self.assertRaises(KeyError):
            trainer.run(fail)
        self.assertIsNone(trainer._job)  # the run has ended

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


class SharedTest(unittest.TestCase):
    """Handles that several threads use, and close."""

    def setUp(self):
        self.model = tiny_trainer().run()

    def run_threads(self, *works):
        """Runs each work in a thread; fails with what any of them raised."""
        raised = []

        def guarded(work):
            try:
                work()
            except BaseException as exception:
                raised.append(exception)

        threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            self.assertFalse(thread.is_alive())
        if raised:
            raise raised[0]

    def test_one_scorer(self):
        for threads in (1, 2):
            scorer = differnet.Scorer(self.model, threads=threads, views=8)
            pictures = [picture(seed) for seed in range(4)]
            expected = [scorer.score(image).score for image in pictures]
            self.assertEqual(len(set(expected)), 4)
            got = []

            def work():
                for _ in range(5):
                    got.extend((i, scorer.score(image).score) for i, image in enumerate(pictures))
                    got.extend(enumerate(result.score for result in scorer.score_batch(pictures)))
                    self.assertIn(len(scorer.view_scores), (0, 8))

            self.run_threads(*[work] * 4)
            self.assertEqual(len(got), 160)
            self.assertEqual([score for i, score in got], [expected[i] for i, _ in got])

    def test_errors_stay_apart(self):
        scorer = differnet.Scorer(self.model)

        def work(name):
            for _ in range(50):
                with self.assertRaisesRegex(differnet.Error, name):
                    scorer.score(f"/nonexistent/{name}.png")

        self.run_threads(*(lambda name=name: work(name) for name in ("first", "second", "third")))

    def test_one_localizer(self):
        localizer = differnet.Localizer(self.model, views=8)
        expected = [flat(localizer.map(picture(seed))) for seed in range(3)]

        def work():
            for _ in range(5):
                for seed in range(3):
                    self.assertEqual(flat(localizer.map(picture(seed))), expected[seed])

        self.run_threads(*[work] * 3)

    def test_one_trainer(self):
        expected, trainer = tiny_trainer().run().to_bytes(), tiny_trainer()
        models = []
        self.run_threads(*[lambda: models.append(trainer.run())] * 3)
        self.assertEqual([model.to_bytes() for model in models], [expected] * 3)

    def test_close_meanwhile(self):
        for make, use in ((lambda: differnet.Scorer(self.model, threads=2, views=64), lambda h: h.score(picture(1))),
                          (lambda: differnet.Localizer(self.model, views=64), lambda h: h.map(picture(1))),
                          (lambda: differnet.Flow.create(dimension=64, hidden=64), lambda h: h.sample(2000)),
                          (lambda: differnet.Model.open(self.model.to_bytes()), lambda h: h.extractor.info)):
            for _ in range(5):
                handle, closed, under_way = make(), [], threading.Event()

                def work():
                    try:
                        while True:
                            use(handle)
                            under_way.set()
                    except differnet.Error as error:
                        closed.append(str(error))

                def close():
                    under_way.wait(60)
                    time.sleep(0.003)
                    handle.close()

                self.run_threads(work, work, close)
                self.assertEqual(closed, [f"this {type(handle).__name__} is closed"] * 2)

    def test_close_in_progress(self):
        trainer = tiny_trainer()
        model = trainer.run(lambda progress: trainer.close())
        self.assertEqual(model.to_bytes(), self.model.to_bytes())
        with self.assertRaisesRegex(differnet.Error, "this Trainer is closed"):
            trainer.run()

    def test_use_in_progress(self):
        trainer, statuses = tiny_trainer(), []

        def progress(_):
            for use in (trainer.model, trainer.run, lambda: trainer.add(picture(9))):
                try:
                    use()
                except differnet.Error as error:
                    statuses.append(error.status)

        self.assertEqual(trainer.run(progress).to_bytes(), self.model.to_bytes())
        self.assertEqual(set(statuses), {differnet.E_STATE})
        self.assertEqual(trainer.model().to_bytes(), self.model.to_bytes())

    def test_progress_comes_to_the_caller(self):
        threads = set()
        tiny_trainer().run(lambda progress: threads.add(threading.get_ident()))
        self.assertEqual(threads, {threading.get_ident()})
        self.run_threads(lambda: tiny_trainer().run(lambda progress: threads.add(threading.get_ident())))
        self.assertEqual(len(threads), 2)


class Timeout(Exception):
    pass


class InterruptTest(unittest.TestCase):
    """Ctrl-C, and whatever else a signal handler raises, in calls that take longer than one would wait."""

    CALL = 2  # seconds that a call takes at least

    @classmethod
    def setUpClass(cls):
        if PLAIN:
            raise unittest.SkipTest("what is interrupted does not depend on what is installed")
        # So large that the most views there can be, 1024, take as long on a fast machine, too.
        extractor = differnet.Extractor.random([32, 64, 64, 64, 64], seed=1, input_size=512, scales=1)
        trainer = differnet.Trainer(extractor, epochs=0, hidden=8, blocks=2, bank=1, views=1, heatmap_images=0,
                                    holdout=0)
        trainer.add(picture(1))
        cls.model = trainer.run()
        scorer = differnet.Scorer(cls.model, views=16)
        cls.views = int(16 * cls.CALL / cls.seconds(lambda: scorer.score(picture(1)))) + 1

    @staticmethod
    def seconds(call):
        """The shortest of several: the first call is slow, and any may be disturbed."""
        times = []
        for _ in range(5):
            start = time.monotonic()
            call()
            times.append(time.monotonic() - start)
        return min(times)

    def interrupted(self, call, expected=KeyboardInterrupt):
        """Seconds from a signal to the exception, as Ctrl-C would bring it."""
        sent = []

        def interrupt():
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Timer(0.3, interrupt)
        timer.start()
        with self.assertRaises(expected) as caught:
            call()
        self.assertLess(time.monotonic() - sent[0], 1)
        del caught

    def epochs_until_interrupted(self, trainer, progress, before):
        """Epochs done, more than `before`; on a busy machine the first signals may come too early for that."""
        for _ in range(20):
            self.interrupted(lambda: trainer.run(progress))
            try:
                epochs = trainer.model().info.epochs
            except differnet.Error as error:
                self.assertEqual(error.status, differnet.E_STATE)
            else:
                if epochs > before:
                    return epochs
        self.fail(f"no more than {before} epochs in 20 runs")

    def test_training(self):
        for progress in (None, lambda progress: False, lambda progress: time.sleep(0.001),
                         lambda progress: sum(range(1000)) < 0):
            trainer = tiny_trainer(epochs=1000000)
            epochs = self.epochs_until_interrupted(trainer, progress, 0)
            self.assertLess(epochs, 1000000)
            self.epochs_until_interrupted(trainer, progress, epochs)

    def test_training_on_fresh_views(self):
        trainer = differnet.Trainer(self.model.extractor, hidden=8, bank=0, batch_views=min(64, self.views),
                                    batch_images=6, holdout=0)
        for seed in range(6):
            trainer.add(picture(seed))
        self.interrupted(trainer.run)
        with self.assertRaises(differnet.Error) as caught:
            trainer.model()
        self.assertEqual(caught.exception.status, differnet.E_STATE)

    def test_one_image(self):
        views = min(1024, self.views)
        gradient = functools.partial(differnet.Localizer, method=differnet.MAP_GRADIENT)
        for make, use in ((differnet.Scorer, "score"), (differnet.Scorer, "decide"), (gradient, "map")):
            handle, again = make(self.model, views=views), make(self.model, views=views)
            self.interrupted(lambda: getattr(handle, use)(picture(1)))
            self.assertIsNotNone(handle._job)
            got, expected = getattr(handle, use)(picture(2)), getattr(again, use)(picture(2))
            numbers = flat if use == "map" else operator.attrgetter("score")
            self.assertEqual(numbers(got), numbers(expected))
            self.interrupted(lambda: getattr(handle, use)(picture(1)))
            handle.close()

    def test_batch(self):
        scorer = differnet.Scorer(self.model, views=1)
        pictures = [picture(seed % 7) for seed in range(self.views)]
        expected = scorer.score(pictures[1]).score
        self.interrupted(lambda: scorer.score_batch(pictures))
        start = time.monotonic()
        self.assertEqual(scorer.score(pictures[1]).score, expected)
        self.assertLess(time.monotonic() - start, self.CALL / 2)  # the rest of the batch was left alone
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "part.png")
            differnet.write_png(pictures[1], path)
            self.interrupted(lambda: scorer.score_batch([path] * self.views))
            self.assertEqual(scorer.score(path).score, expected)

    def test_shared_handles(self):
        extractor = self.model.extractor
        angles = [0.0] * self.views
        self.interrupted(lambda: extractor.features_image(picture(1), angles))
        flow = differnet.Flow.create(dimension=512, hidden=1024)
        rows = int(256 * self.CALL / self.seconds(lambda: flow.sample(256))) + 1
        self.interrupted(lambda: flow.sample(min(rows, 200000)))

    def test_waiting_for_another_thread(self):
        scorer = differnet.Scorer(self.model, views=min(1024, self.views))
        other = threading.Thread(target=scorer.score, args=(picture(1),))
        other.start()
        while scorer._job is None:
            time.sleep(0.001)
        self.interrupted(lambda: scorer.score(picture(2)))
        other.join()

    def test_other_signals(self):
        def stop(*_):
            raise Timeout

        before = signal.signal(signal.SIGINT, stop)
        try:
            for progress in (None, lambda progress: False):
                trainer = tiny_trainer(epochs=1000000)
                self.interrupted(lambda: trainer.run(progress), Timeout)
            scorer = differnet.Scorer(self.model, views=min(1024, self.views))
            self.interrupted(lambda: scorer.score(picture(1)), Timeout)
        finally:
            signal.signal(signal.SIGINT, before)

    def test_handler_that_returns(self):
        """A signal that interrupts nothing changes nothing."""
        seen = []
        before = signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
            got = tiny_trainer(epochs=200).run(lambda progress: False).to_bytes()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        self.assertGreater(len(seen), 0)
        self.assertEqual(got, tiny_trainer(epochs=200).run().to_bytes())

    def test_whole_program(self):
        """As on a terminal: the program ends by the signal, the training can go on."""
        with tempfile.TemporaryDirectory() as folder:
            state = os.path.join(folder, "state")
            program = (f"import sys; sys.argv[0] = {str(Path(__file__))!r}\n"
                       f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
                       "import test_bindings as t\n"
                       f"t.differnet.load({_call.library()._name!r})\n"
                       f"trainer = t.tiny_trainer(epochs=1000000, checkpoint={state!r}, checkpoint_epochs=1000000)\n"
                       "def progress(p):\n"
                       "    if p.phase == t.differnet.PHASE_TRAIN and p.done == 1: print('training', flush=True)\n"
                       "trainer.run(progress)\n")
            child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                     text=True)
            self.assertEqual(child.stdout.readline(), "training\n")
            child.send_signal(signal.SIGINT)
            _, errors = child.communicate(timeout=30)
            self.assertEqual(child.returncode, -signal.SIGINT, errors)
            self.assertEqual(errors.strip().splitlines()[-1], "KeyboardInterrupt")
            self.assertNotIn("ignored", errors)
            trainer, told = tiny_trainer(epochs=1000000, checkpoint=state, resume=1), []

            def progress(now):
                if now.phase == differnet.PHASE_TRAIN:
                    told.append(now.done)
                return bool(told)

            with self.assertRaises(differnet.Error):
                trainer.run(progress)
            self.assertGreater(told[0], 0)  # goes on from what the interrupted program saved


if __name__ == "__main__":
    differnet.load(sys.argv.pop(1))
    unittest.main(verbosity=2)
