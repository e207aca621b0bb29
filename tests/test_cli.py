"""The command `differnet` from outside: what it prints, its exit codes, its files, and what it does with bad input.

DIFFERNET and DEMO_PARTS name the executables.  Small backbones and views keep it fast.
"""
import base64
import csv
import html.parser
import io
import json
import math
import os
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest
import zlib

try:
    import PIL.Image
except ImportError:
    PIL = None

COMMAND = os.environ["DIFFERNET"]
DEMO_PARTS = os.environ["DEMO_PARTS"]
EMBED_BACKBONE = os.environ["EMBED_BACKBONE"] == "1"
DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "docs", "cli.md")
ROOT = tempfile.mkdtemp(prefix="differnet-cli-")
SMALL = ["--input-size", "64", "--scales", "1", "--bank", "4", "--epochs", "2", "--hidden", "16", "--views", "4",
         "--calibration", "split"]
PROMISE = "can be promised"  # the warning of trainings on few images


def path(*parts):
    return os.path.join(ROOT, *parts)


def write(name, data):
    os.makedirs(os.path.dirname(name), exist_ok=True)
    with open(name, "wb") as file:
        file.write(data)


def read(name):
    with open(name, "rb") as file:
        return file.read()


# ---- files to work with ----

def png_file(width, height, data, depth=8, colour=2):
    """A PNG of rows as they are, each behind its filter's byte."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data, 1))
            + chunk(b"IEND", b""))


def png(width, height, pixel, depth=8, colour=2):
    """A PNG whose samples come from pixel(x, y): a tuple for colour 2, a number for colour 0 (gray)."""
    rows = []
    for y in range(height):
        row = bytearray(b"\0")
        for x in range(width):
            value = pixel(x, y)
            row += bytes(value) if colour == 2 else value.to_bytes(depth // 8, "big")
        rows.append(bytes(row))
    return png_file(width, height, b"".join(rows), depth, colour)


def part(seed, size=40, defect=False):
    """Stripes with a little noise; a defect is a bright square."""
    noise = random.Random(seed)
    shift = noise.randrange(8)

    def pixel(x, y):
        if defect and 10 <= x < 22 and 12 <= y < 24:
            return (250, 240, 60)
        base = 90 + (40 if (x + shift) // 4 % 2 else 0) + noise.randrange(12)
        return (base, base + 5, 140 - base // 2)
    return png(size, size, pixel)


def mask(size=40):
    return png(size, size, lambda x, y: 255 if 10 <= x < 22 and 12 <= y < 24 else 0, colour=0)


def safetensors(tensors, metadata=None):
    """tensors: {name: (shape, list of floats)}"""
    header, offset, blocks = {}, 0, []
    if metadata:
        header["__metadata__"] = metadata
    for name, (shape, values) in tensors.items():
        block = struct.pack("<%df" % len(values), *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + len(block)]}
        offset += len(block)
        blocks.append(block)
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    return len(text).to_bytes(8, "little") + text + b"".join(blocks)


def backbone(spoil=None, metadata=None):
    """AlexNet with few channels.  spoil: a value for one of the weights."""
    generator, tensors, inputs = random.Random(1), {}, 3
    for index, (channels, kernel) in zip((0, 3, 6, 8, 10), ((8, 11), (12, 5), (16, 3), (16, 3), (16, 3))):
        count = channels * inputs * kernel * kernel
        scale = (2 / (inputs * kernel * kernel)) ** 0.5
        weights = [generator.gauss(0, scale) for _ in range(count)]
        if spoil is not None and index == 3:
            weights[5] = spoil
        tensors["features.%d.weight" % index] = ([channels, inputs, kernel, kernel], weights)
        tensors["features.%d.bias" % index] = ([channels], [0.0] * channels)
        inputs = channels
    return safetensors(tensors, metadata)


def header_of(data):
    """(JSON header, position of the data) of a safetensors file."""
    start = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:start]), start


def options_in_help(text):
    """{option: its help} of what --help prints."""
    table = text.split("\noptions:\n")[1].split("\n\nexamples:")[0]
    rows = re.split(r"^  (?:-\w, )?(?=--)", table, flags=re.M)[1:]
    return {re.match(r"--[\w-]+", row)[0]: " ".join(row.split()) for row in rows}


def options_in_docs(verb):
    """{option: the last cell of its row} of the verb's table in docs/cli.md."""
    with open(DOCS, encoding="utf-8") as file:
        section = re.search(r"^## differnet %s\b.*?(?=^## |\Z)" % verb, file.read(), flags=re.M | re.S)[0]
    options = {}
    for row in re.findall(r"^\| (`-.*) \|$", section, flags=re.M):
        cells = row.split("|")
        options.update({option: cells[-1] for option in re.findall(r"--[\w-]+", cells[0])})
    return options


def with_header(header, data, start):
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    return len(text).to_bytes(8, "little") + text + data[start:]


def run(*arguments, **options):
    return subprocess.run([COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300, **options)


def told(text):
    """The objects that `score --json` prints, without the time each took."""
    scores = [json.loads(line) for line in text.splitlines()]
    for score in scores:
        if score.pop("milliseconds") < 0:
            raise AssertionError(score)
    return scores


def setUpModule():
    for i in range(12):
        write(path("set/train/good/%d.png" % i), part(i))
    for i in range(4):
        write(path("set/test/good/%d.png" % i), part(100 + i))
    for i in range(3):
        write(path("set/test/spot/%d.png" % i), part(200 + i, defect=True))
        write(path("set/ground_truth/spot/%d_mask.png" % i), mask())
    write(path("set/test/other/a.JPG.png"), part(300, defect=True))
    write(path("set/ground_truth/other/a.JPG_mask.png"), mask())
    write(path("set/train/good/.hidden.png"), b"not an image")
    write(path("backbone.safetensors"), backbone())
    made = run("train", path("set"), "-o", path("model.dnm"), "--backbone", path("backbone.safetensors"), "--quiet",
               *SMALL)
    if made.returncode != 0 or made.stderr.count(b"\n") != 1 or PROMISE.encode() not in made.stderr or made.stdout:
        raise AssertionError(made)


def tearDownModule():
    shutil.rmtree(ROOT)


class CommandTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(dir=ROOT)

    def at(self, *parts):
        return os.path.join(self.folder, *parts)

    def call(self, *arguments, code=0, **options):
        result = run(*arguments, **options)
        result.err, result.out = result.stderr.decode(errors="replace"), result.stdout.decode(errors="replace")
        self.assertNotIn("Sanitizer", result.err)
        self.assertNotIn("runtime error", result.err)
        codes = code if isinstance(code, tuple) else (code,)
        self.assertIn(result.returncode, codes, (arguments, result.err, result.out))
        return result

    def refused(self, *arguments, says=(), **options):
        """Exit code 2, the texts in `says` on standard error, nothing on standard output."""
        result = self.call(*arguments, code=2, **options)
        for text in says:
            self.assertIn(text, result.err)
        self.assertEqual(result.out, "")
        return result

    def train(self, data, output, *more, **options):
        return self.call("train", data, "-o", output, "--backbone", path("backbone.safetensors"), *SMALL, *more,
                         **options)

    def train_refused(self, data, *more, says=(), output=None, **options):
        before = set(os.listdir(self.folder))
        result = self.refused("train", data, "-o", output or self.at("m.dnm"), "--backbone",
                              path("backbone.safetensors"), *SMALL, *more, says=says, **options)
        self.assertEqual(set(os.listdir(self.folder)) - before, set(), "left behind")
        return result


class Usage(CommandTest):
    def test_help(self):
        self.assertIn("verbs:", self.call("--help").out)
        self.assertRegex(self.call("--version").out, r"^differnet \d+\.\d+\.\d+ \(library \d+\.\d+\.\d+")
        for verb in ("train", "update", "score", "localize", "eval", "calibrate", "compare", "info"):
            text = self.call(verb, "--help").out
            self.assertIn("usage: differnet %s" % verb, text)
            self.assertIn("examples:\n  differnet %s" % verb, text)
            self.assertLess(max(map(len, text.splitlines())), 105)

    def test_options_are_documented(self):
        defaults = 0
        for verb in ("train", "update", "score", "localize", "eval", "calibrate", "compare", "convert"):
            told, documented = options_in_help(self.call(verb, "--help").out), options_in_docs(verb)
            self.assertEqual(set(told) - {"--help"}, set(documented), verb)
            for option, text in told.items():
                for default in re.findall(r"\bdefault ([\d.]+)(?=[;,\s]|$)", text):
                    self.assertIn(default, documented[option].split(), (verb, option))
                    defaults += 1
        self.assertGreaterEqual(defaults, 11)

    def test_help_tells_the_defaults_not_what_is_given(self):
        plain = self.call("train", "--help").out
        self.assertEqual(self.call("train", "--bank", "7", "x", "--seed", "3", "--help").out, plain)
        self.assertEqual(plain, self.call("train", "-h").out)

    def test_options_out_of_range(self):
        """The library refuses them, in the command's words."""
        train, model, picture = [path("set"), "-o", self.at("m")], path("model.dnm"), path("set/test/good/0.png")
        for verb, operands, options in (
                ("train", train, (("--epochs", "-1"), ("--bank", "4097"), ("--views", "0"), ("--holdout", "0.7"),
                                  ("--input-size", "65"), ("--input-size", "4096"), ("--scales", "6"), ("--hidden", "0"), ("--threads", "257"))),
                ("score", [model, picture], (("--views", "1025"), ("--fpr", "0"), ("--fpr", "1.5"), ("--threads", "0"))),
                ("localize", [model, picture, "-o", self.at("d")], (("--views", "0"), ("--threads", "0"))),
                ("eval", [model, path("set")], (("--views", "-1"), ("--map-views", "0"), ("--fpr", "-0.1")))):
            for option, value in options:
                more = ["--backbone", path("backbone.safetensors")] if verb == "train" else []
                refused = self.refused(verb, *operands, option, value, *more, says=["%s is %s" % (option, value)])
                self.assertNotIn("dn_", refused.err)
        for size, reason in (("96x65", "--input-size is 65"), ("65x96", "--input-size is 65"), ("96x2080", "is 2080"),
                             ("64x0", "WIDTHxHEIGHT"), ("0x64", "WIDTHxHEIGHT"), ("-64x64", "WIDTHxHEIGHT"),
                             ("64x-64", "WIDTHxHEIGHT"), ("64x", "WIDTHxHEIGHT"), ("x64", "WIDTHxHEIGHT"),
                             ("64x64x64", "WIDTHxHEIGHT"), ("64*64", "WIDTHxHEIGHT"), ("99999x64", "WIDTHxHEIGHT"),
                             ("64x99999", "WIDTHxHEIGHT"), ("0", "WIDTHxHEIGHT"), ("", "WIDTHxHEIGHT")):
            self.refused("train", *train, "--backbone", path("backbone.safetensors"), "--input-size", size,
                         says=[reason])
        self.refused("train", *train, "--images", "0", says=["--images is 0, outside 1 .. "])
        self.refused("localize", model, picture, "-o", self.at("d"), "--threshold", "0", says=["--threshold is 0"])
        for number in ("99999999999", "2147483648", "1.5", "", "many"):
            self.refused("train", *train, "--bank", number, says=["--bank: '%s'" % number, "--help"])
        for number in ("1e999", "nan", "x"):
            self.refused("score", model, picture, "--fpr", number, says=["--fpr: '%s'" % number, "--help"])
        self.assertEqual(os.listdir(self.folder), [])

    def test_wrong_use(self):
        self.refused(says=["--help"])
        self.refused("scroe", says=["scroe", "score", "--help"])
        for verb in ("train", "score", "localize", "eval", "compare", "info"):
            if verb != "info":
                self.refused(verb, says=["usage: differnet %s" % verb, "--help"])
            self.refused(verb, "--bogus", "x", says=["--bogus", "differnet %s --help" % verb])
            self.refused(verb, "-y", "x", says=["-y", "differnet %s --help" % verb])
        self.refused("train", path("set"), says=["-o MODEL"])
        self.refused("train", path("set"), "-o", says=["-o", "missing"])
        self.refused("train", path("set"), "-o", self.at("m"), "--seed", "-1", says=["--seed"])
        self.refused("train", path("set"), "-o", self.at("m"), "--preset", "huge", says=["huge", "compact", "paper"])
        self.refused("train", path("set"), "-o", self.at("m"), "--images", "13", says=["13", "12"])
        self.refused("score", path("model.dnm"), says=["no images"])
        self.refused("score", path("model.dnm"), "x.png", "--json", "--csv", says=["--json", "--csv"])
        self.refused("localize", path("model.dnm"), "x.png", says=["-o DIR"])
        self.refused("eval", path("model.dnm"), says=["data set"])
        self.refused("info", path("model.dnm"), path("model.dnm"), says=["more than one file", "usage: differnet info"])
        self.assertEqual(os.listdir(self.folder), [])

    def test_options_without_effect(self):
        """They are refused: whoever gives them expects something."""
        model, image, data = path("model.dnm"), path("set/test/good/0.png"), path("set")
        for arguments, says in (
                (["calibrate", model, image, "-o", self.at("n"), "--max-misses", "0.1"], ("--max-misses", "--data")),
                (["score", model, image, "--between-alarms", "100"], ("--between-alarms", "--monitor")),
                (["score", model, image, "-0"], ("--null", "standard input")),
                (["score", model, "--watch", self.folder, "--null"], ("--null", "standard input")),
                (["eval", model, data, "--title", "x"], ("--title", "--report")),
                (["eval", model, data, "--pictures", "5"], ("--pictures", "--report")),
                (["train", data, "-o", self.at("m"), "--preset", "paper", "--calibration", "split", "--folds", "5"],
                 ("--folds", "--calibration"))):
            self.refused(*arguments, says=[*says, "differnet %s --help" % arguments[0]])
        self.assertEqual(os.listdir(self.folder), [])
        # With the positions, which are always cross-fitted, folds count.
        self.train(data, self.at("m.dnm"), "--folds", "3", "--quiet")
        self.assertNotEqual(read(self.at("m.dnm")), read(model))

    def test_output_that_cannot_be_written(self):
        with open("/dev/full", "wb") as full:
            result = subprocess.run([COMMAND, "info", path("model.dnm")], stdout=full, stderr=subprocess.PIPE)
        self.assertEqual(result.returncode, 2)
        self.assertIn(b"standard output", result.stderr)


class Train(CommandTest):
    def test_json_and_files(self):
        result = self.train(path("set"), self.at("m.dnm"), "--json", "--seed", "5")
        told = json.loads(result.out)
        self.assertEqual(list(told), ["model", "model_id", "backbone", "backbone_random", "train_images",
                                      "holdout_images", "epochs", "final_loss", "views", "bytes", "seconds", "calibration",
                                      "folds", "smallest_false_alarm_rate"])
        self.assertEqual((told["calibration"], told["folds"], told["smallest_false_alarm_rate"]), ("split", 0, 0.5))
        self.assertEqual(told["model"], self.at("m.dnm"))
        self.assertEqual(told["bytes"], os.path.getsize(self.at("m.dnm")))
        self.assertEqual((told["train_images"] + told["holdout_images"], told["epochs"], told["views"]), (12, 2, 4))
        self.assertFalse(told["backbone_random"])
        self.assertEqual(os.listdir(self.folder), ["m.dnm"])
        self.assertIn("training: 2/2 epochs, loss", result.err)

    def test_same_bits_for_any_thread_count_and_not_for_another_seed(self):
        for name, more in (("1", ["--threads", "1"]), ("3", ["--threads", "3"]), ("s", ["--seed", "1"])):
            self.train(path("set"), self.at(name), "--quiet", *more)
        self.assertEqual(read(self.at("1")), read(path("model.dnm")))
        self.assertEqual(read(self.at("1")), read(self.at("3")))
        self.assertNotEqual(read(self.at("1")), read(self.at("s")))

    def test_what_can_be_promised(self):
        """Cross-fitting is the default for few images; what verdicts can promise is said, or warned of."""
        def few(name, *more):
            result = self.call("train", path("set"), "-o", self.at(name), "--backbone", path("backbone.safetensors"),
                               *SMALL[:-2], *more)
            return result, json.loads(self.call("info", "--json", self.at(name)).out)
        result, told = few("auto.dnm")
        self.assertIn("WARNING: false alarms: no rate below 7.7 % can be promised (12 good images, cross-fitted)",
                      result.err)
        self.assertIn("training without a fold: 10/10 epochs", result.err)
        self.assertEqual((told["calibration"], told["folds"], told["train_images"], told["holdout_images"]),
                         ("cross", 5, 12, 12))
        result, told = few("folds.dnm", "--folds", "3", "--calibration", "cross")
        self.assertEqual((told["calibration"], told["folds"]), ("cross", 3))
        result, told = few("none.dnm", "--holdout", "0", "--calibration", "split")
        self.assertIn("no verdicts", result.err)
        self.assertEqual((told["calibration"], told["holdout_images"]), (None, 0))
        for i in range(12, 20):
            write(self.at("set/good/%d.png" % i), part(i))
        for i in range(12):
            shutil.copy(path("set/train/good/%d.png" % i), self.at("set/good/%d.png" % i))
        result = self.call("train", self.at("set"), "-o", self.at("m.dnm"), "--backbone", path("backbone.safetensors"),
                           *SMALL[:-2])
        self.assertIn("false alarms: 5 % can be promised (20 good images, cross-fitted; smallest possible rate 4.8 %)",
                      result.out)
        self.assertNotIn("WARNING", result.err)
        self.refused("train", path("set"), "-o", self.at("x"), "--calibration", "half", says=["half", "auto", "cross"])
        self.refused("train", path("set"), "-o", self.at("x"), "--folds", "1", says=["folds"])

    def test_copies_and_bursts(self):
        """Copies are named and count once; a camera's bursts are told by folder or prefix."""
        for i in range(6):
            for shot in range(2):
                write(self.at("a/%d/bolt%d_%d.png" % (i, i, shot)), part(10 * i + shot))
        shutil.copy(self.at("a/0/bolt0_0.png"), self.at("a/5/copy.png"))
        def calibrating(*more):
            result = self.train(self.at("a"), self.at("m.dnm"), "--recursive", "--calibration", "cross", *more)
            return result.err, json.loads(self.call("info", "--json", self.at("m.dnm")).out)["holdout_images"]
        err, count = calibrating()
        self.assertEqual(count, 12)
        self.assertIn("1 of 13 images are duplicates of others", err)
        self.assertIn(self.at("a/5/copy.png") + ": the pixels of " + self.at("a/0/bolt0_0.png"), err)
        err, count = calibrating("--group-by", "prefix")
        self.assertEqual(count, 6)
        self.assertIn("6 parts in 13 images", err)
        err, count = calibrating("--group-by", "folder")
        self.assertEqual(count, 5)  # the copy makes one of the first and the last folder
        self.refused("train", self.at("a"), "-o", self.at("x"), "--group-by", "name", says=["name", "prefix"])

    def test_parts_that_hardly_differ(self):
        """Ten of each of two kinds, alike to a hair: told with --quiet, too; and taken for what they are if asked to."""
        for kind in range(2):
            for i in range(10):
                def pixel(x, y):
                    return 90 + 60 * ((x + 4 * kind) // 4 % 2) + (x == 4 * i and y < 9)
                write(self.at("a/%d_%d.png" % (kind, i)), png(40, 40, pixel, colour=0))
        for more, counted in (((), 2), (("--keep-duplicates",), 20)):
            result = self.train(self.at("a"), self.at("m.dnm"), "--calibration", "cross", "--quiet", *more)
            told = json.loads(self.call("info", "--json", self.at("m.dnm")).out)
            self.assertEqual(told["holdout_images"], counted)
            self.assertEqual("20 images show 2 parts only" in result.err, counted == 2)

    def test_half_precision(self):
        self.train(path("set"), self.at("half.dnm"), "--f16", "--quiet")
        self.assertLess(os.path.getsize(self.at("half.dnm")), 0.7 * os.path.getsize(path("model.dnm")))
        self.assertEqual(json.loads(self.call("info", "--json", self.at("half.dnm")).out)["storage"], "float16")

    def test_any_folder_links_and_names(self):
        """Folders inside are searched, a link that leads back up is not followed for ever, odd names work."""
        for i, name in enumerate(["a b.png", "größe-ß.PNG", "sub/c.jpeg.png", "sub/deep/日本.png"]):
            write(self.at("in put", name), part(i))
        os.symlink(self.at("in put"), self.at("in put", "sub", "loop"))
        os.symlink(path("set/train/good/3.png"), self.at("in put", "link.png"))
        write(self.at("in put", "notes.txt"), b"no image")
        write(self.at("in put", ".cache", "x.png"), b"hidden")
        told = json.loads(self.train(self.at("in put"), self.at("mödel 1.dnm"), "--recursive", "--json", "--holdout",
                                     "0").out)
        self.assertEqual((told["train_images"], told["holdout_images"]), (5, 0))
        scored = self.call("score", self.at("mödel 1.dnm"), self.at("in put"), "--json", code=(0, 1)).out
        names = [os.path.relpath(json.loads(line)["path"], self.at("in put")) for line in scored.splitlines()]
        self.assertEqual(names, ["a b.png", "größe-ß.PNG", "link.png", "sub/c.jpeg.png", "sub/deep/日本.png"])

    def test_ok_is_good(self):
        os.makedirs(self.at("d/train"))
        shutil.copytree(path("set/train/good"), self.at("d/train/ok"))
        self.train(self.at("d"), self.at("m.dnm"), "--quiet")
        self.assertEqual(read(self.at("m.dnm")), read(path("model.dnm")))

    def test_some_of_the_images(self):
        told = [json.loads(self.train(path("set"), self.at("m%d.dnm" % i), "--images", "5", "--seed", seed,
                                      "--json").out) for i, seed in enumerate("112")]
        self.assertEqual([t["train_images"] + t["holdout_images"] for t in told], [5, 5, 5])
        self.assertEqual(read(self.at("m0.dnm")), read(self.at("m1.dnm")))
        self.assertNotEqual(told[0]["model_id"], told[2]["model_id"])

    def test_random_backbone_is_announced(self):
        """A backbone that says that its weights are random is announced, and the model is marked."""
        write(self.at("random.safetensors"), backbone(metadata={"differnet.random": "1"}))
        result = self.call("train", path("set"), "-o", self.at("m.dnm"), "--backbone", self.at("random.safetensors"),
                           *SMALL, "--images", "3")
        self.assertIn("RANDOM WEIGHTS", result.err)
        self.assertIn("--backbone", result.err)
        for name in ("m.dnm", "random.safetensors"):
            self.assertIn("RANDOM WEIGHTS", self.call("info", self.at(name)).out)
        self.assertTrue(json.loads(self.call("info", "--json", self.at("m.dnm")).out)["backbone_random"])

    @unittest.skipUnless(EMBED_BACKBONE, "built without a backbone")
    def test_built_in_backbone(self):
        result = self.call("train", path("set"), "-o", self.at("m.dnm"), *SMALL, "--images", "3", "--json")
        self.assertNotIn("RANDOM", result.err)
        told = json.loads(result.out)
        self.assertFalse(told["backbone_random"])
        self.assertEqual(told["backbone"], json.loads(self.call("info", "--json").out)["name"])

    @unittest.skipIf(EMBED_BACKBONE, "built with a backbone")
    def test_no_built_in_backbone(self):
        self.refused("train", path("set"), "-o", self.at("m.dnm"), *SMALL, says=["no built-in", "--backbone FILE"])
        self.assertEqual(os.listdir(self.folder), [])

    def test_no_images(self):
        os.makedirs(self.at("empty"))
        self.train_refused(self.at("empty"), says=[self.at("empty"), "no images"])
        self.train_refused(self.at("nowhere"), says=[self.at("nowhere")])
        self.train_refused(path("set/train/good/0.png"), says=["0.png", "folder"])

    def test_no_folder_good(self):
        write(self.at("d/test/crack/1.png"), part(1))
        self.train_refused(self.at("d"), says=[self.at("d"), "train/good"])
        write(self.at("d/train/fine/1.png"), part(1))
        self.train_refused(self.at("d"), says=[self.at("d"), "train/good"])

    def test_one_image(self):
        write(self.at("one/1.png"), part(1))
        told = json.loads(self.train(self.at("one"), self.at("m.dnm"), "--json").out)
        self.assertEqual((told["train_images"], told["holdout_images"]), (1, 0))
        result = self.call("score", self.at("m.dnm"), path("set/test/spot/0.png"), "--json")
        self.assertIn("no verdicts", result.err)
        score = json.loads(result.out)
        self.assertIsNone(score["anomalous"])
        self.assertIsNone(score["p_value"])
        self.assertIsNone(score["threshold"])
        self.assertGreater(score["score"], 0)
        self.assertNotIn("normal", self.call("score", self.at("m.dnm"), path("set/test/spot/0.png")).out)

    def test_unreadable_images_are_all_named(self):
        for i in range(14):
            write(self.at("d/%d.png" % i), part(i))
        write(self.at("d/bad one.png"), b"this is text\n")
        write(self.at("d/cut.png"), part(1)[:300])
        self.train_refused(self.at("d"), says=[self.at("d/bad one.png"), self.at("d/cut.png"), "2 of 16"])

    def test_sizes(self):
        write(self.at("d/tiny.png"), png(1, 1, lambda x, y: (1, 2, 3)))
        self.train_refused(self.at("d"), says=[self.at("d/tiny.png"), "8"])
        os.remove(self.at("d/tiny.png"))
        write(self.at("d/thin.png"), png(20000, 1, lambda x, y: (1, 2, 3)))
        self.train_refused(self.at("d"), says=[self.at("d/thin.png")])
        self.refused("score", path("model.dnm"), self.at("d/thin.png"), says=[self.at("d/thin.png")])

    def test_16_bit_gray(self):
        for i in range(4):
            write(self.at("d/%d.png" % i), png(32, 24, lambda x, y: 256 * (x * 3 + i) + y, depth=16, colour=0))
        self.train(self.at("d"), self.at("m.dnm"), "--quiet")
        self.call("score", self.at("m.dnm"), self.at("d/0.png"), code=(0, 1))

    def twelve_bits(self, folder):
        """Images of 12 bits in 16, and the same ones in all 16."""
        for i in range(6):
            noise = random.Random(i)
            values = [[(6 + noise.randrange(4) + 5 * ((x + i) // 4 % 2)) for x in range(64)] for _ in range(64)]
            write(self.at(folder, "12", "%d.png" % i), png(64, 64, lambda x, y: 273 * values[y][x], depth=16, colour=0))
            write(self.at(folder, "16", "%d.png" % i), png(64, 64, lambda x, y: 4369 * values[y][x], depth=16, colour=0))

    def test_range(self):
        self.twelve_bits("d")
        result = self.train(self.at("d/12"), self.at("dark.dnm"))
        self.assertRegex(result.err, "the 16-bit images use only the values from [0-9]+ to [0-9]+, less than a quarter of 0 "
                                     "to 65535: --range 0:4095, which is --bits 12")
        self.assertNotIn("16-bit", self.train(self.at("d/16"), self.at("16.dnm"), "--quiet").err)
        for name, option in (("bits", ["--bits", "12"]), ("range", ["--range", "0:4095"])):
            self.assertNotIn("16-bit", self.train(self.at("d/12"), self.at(name), "--quiet", *option).err)
        self.assertEqual(read(self.at("bits")), read(self.at("range")))
        self.assertEqual(json.loads(self.call("info", self.at("bits"), "--json").out)["range"], [0, 4095])
        self.assertEqual(json.loads(self.call("info", self.at("16.dnm"), "--json").out)["range"], [0, 65535])
        self.assertIn("from 0 (black) to 4095 (white)", self.call("info", self.at("bits")).out)
        scores = [told(self.call("score", self.at(model), self.at("d", images), "--json", code=(0, 1)).out)
                  for model, images in (("bits", "12"), ("16.dnm", "16"))]
        self.assertEqual([score["score"] for score in scores[0]], [score["score"] for score in scores[1]])
        for model, images in (("bits", "12"), ("16.dnm", "16")):
            self.call("localize", self.at(model), self.at("d", images, "0.png"), "-o", self.at("maps-" + images), "--quiet")
        for name in ("0_map.png", "0_overlay.png"):
            self.assertEqual(read(self.at("maps-12", name)), read(self.at("maps-16", name)))
        for wrong in ("5", "5:", ":5", "7:5", "5:5", "0:65536", "-1:5", "0:5x", "a:b"):
            self.train_refused(self.at("d/12"), "--range", wrong, says=["--range: '%s'" % wrong, "LOW:HIGH"])
        self.train_refused(self.at("d/12"), "--bits", "7", says=["--bits is 7"])
        self.train_refused(self.at("d/12"), "--bits", "12", "--range", "0:4095", says=["exclude each other"])

    def test_wrong_backbones(self):
        small = [path("set"), "-o", self.at("m.dnm"), *SMALL]
        self.refused("train", *small, "--backbone", path("model.dnm"), says=[path("model.dnm"), "model", "backbone"])
        self.refused("train", *small, "--backbone", self.at("none"), says=[self.at("none")])
        self.refused("train", *small, "--backbone", path("set/test/good/0.png"), says=["0.png"])
        write(self.at("nan.safetensors"), backbone(float("nan")))
        self.refused("train", *small, "--backbone", self.at("nan.safetensors"),
                     says=["nan.safetensors", "features.3.weight"])
        write(self.at("cut.safetensors"), read(path("backbone.safetensors"))[:-100])
        self.refused("train", *small, "--backbone", self.at("cut.safetensors"), says=["cut.safetensors"])
        self.assertEqual(sorted(os.listdir(self.folder)), ["cut.safetensors", "nan.safetensors"])

    def test_output_folder_is_checked_first(self):
        began = time.monotonic()
        big = ["--epochs", "100000", "--bank", "1000"]
        self.train_refused(path("set"), *big, output=self.at("no/m.dnm"), says=[self.at("no/m.dnm"), "folder"])
        self.train_refused(path("set"), *big, output=self.folder, says=[self.folder, "regular file"])
        if os.geteuid() != 0:
            os.makedirs(self.at("locked"))
            os.chmod(self.at("locked"), 0o500)
            self.train_refused(path("set"), *big, output=self.at("locked/m.dnm"), says=["locked/m.dnm", "writable"])
        self.assertLess(time.monotonic() - began, 20)

    def test_full_disk(self):
        """A limit on the size of files stands in for a full disk: the write fails half-way."""
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        write(self.at("m.dnm"), b"the old model")
        result = run("train", path("set"), "-o", self.at("m.dnm"), "--backbone", path("backbone.safetensors"), *SMALL,
                     preexec_fn=limit)
        self.assertEqual(result.returncode, 2, result)
        self.assertIn(self.at("m.dnm"), result.stderr.decode())
        self.assertIn("File too large", result.stderr.decode())
        self.assertEqual(os.listdir(self.folder), ["m.dnm"])
        self.assertEqual(read(self.at("m.dnm")), b"the old model")

    def interrupt(self, output, more, wait_for, data=None):
        """Starts training, sends SIGINT once `wait_for` was printed; returns what was printed."""
        process = subprocess.Popen([COMMAND, "train", data or path("set"), "-o", output, "--backbone",
                                    path("backbone.safetensors"), *SMALL, *more], stderr=subprocess.PIPE)
        text = ""
        for line in process.stderr:
            text += line.decode()
            if wait_for in text:
                process.send_signal(signal.SIGINT)
                wait_for = "\0"
        self.assertEqual(process.wait(timeout=120), 2, text)
        process.stderr.close()
        self.assertNotIn("Sanitizer", text)
        return text

    def test_interrupt_and_resume(self):
        more = ["--epochs", "400"]
        self.train(path("set"), self.at("whole.dnm"), "--quiet", *more)
        text = self.interrupt(self.at("m.dnm"), more, "training ...")
        self.assertIn("--resume", text)
        self.assertEqual(sorted(os.listdir(self.folder)), ["m.dnm.ckpt", "m.dnm.ckpt.bank", "whole.dnm"])
        self.refused("score", self.at("m.dnm.ckpt"), path("set/test/good/0.png"), says=["m.dnm.ckpt"])
        self.refused("train", path("set"), "-o", self.at("m.dnm"), "--backbone", path("backbone.safetensors"), *SMALL,
                     *more, "--resume", "--seed", "9", says=["m.dnm.ckpt", "seed"])
        self.train(path("set"), self.at("m.dnm"), "--resume", "--quiet", *more)
        self.assertEqual(read(self.at("m.dnm")), read(self.at("whole.dnm")))
        self.assertEqual(sorted(os.listdir(self.folder)), ["m.dnm", "whole.dnm"])

    def test_interrupt_while_reading_images(self):
        folder = self.at("large")
        write(os.path.join(folder, "0.png"), png_file(3000, 3000, bytes(3000 * 9001))) # takes a while to decode
        for number in range(1, 60):
            os.link(os.path.join(folder, "0.png"), os.path.join(folder, "%d.png" % number))
        write(self.at("m.dnm.ckpt"), b"of an earlier run")
        text = self.interrupt(self.at("m.dnm"), ["--resume"], "reading images ...", folder)
        self.assertIn("interrupted", text)
        self.assertNotIn("m.dnm.ckpt", text) # the images read so far do not belong to it, and must not be blamed
        self.assertEqual(read(self.at("m.dnm.ckpt")), b"of an earlier run")

    def test_interrupt_while_computing_features(self):
        more = ["--bank", "3000"]
        text = self.interrupt(self.at("m.dnm"), more, "computing features ...")
        self.assertIn("interrupted", text)
        self.assertNotIn("m.dnm", os.listdir(self.folder))

    def test_resume_without_checkpoint_starts_anew(self):
        result = self.train(path("set"), self.at("m.dnm"), "--resume")
        self.assertIn("starting anew", result.err)
        self.assertEqual(read(self.at("m.dnm")), read(path("model.dnm")))


class Score(CommandTest):
    def test_text(self):
        result = self.call("score", path("model.dnm"), path("set/test/good/1.png"), path("set/test/spot/0.png"),
                           "--fpr", "0.5", code=1)
        lines = result.out.splitlines()
        self.assertEqual([line.split()[0] for line in lines],
                         [path("set/test/good/1.png"), path("set/test/spot/0.png")])
        self.assertRegex(lines[0], r"^\S+  index 0\.\d{3}  score +\d\.\d{4}  p 1       normal$")
        self.assertIn("  ANOMALOUS", lines[1])
        self.assertEqual(result.err, "")

    def test_json(self):
        result = self.call("score", path("model.dnm"), path("set/test/spot"), "--json", "--fpr", "0.5", "--views", "6",
                           code=1)
        for line in result.out.splitlines():
            score = json.loads(line)
            self.assertEqual(list(score)[:6], ["path", "score", "p_value", "threshold", "anomalous", "views"])
            self.assertIs(score["anomalous"], True)
            self.assertGreater(score["score"], score["threshold"])
            self.assertEqual((score["views"], score["p_value"]), (6, 0.5))
            self.assertEqual(list(score)[-6:], ["index", "log_score", "model_id", "preset", "warnings", "milliseconds"])
            self.assertTrue(0.5 <= score["index"] <= 1)
            self.assertAlmostEqual(score["log_score"], math.log(score["score"]))
            info = json.loads(self.call("info", path("model.dnm"), "--json").out)
            self.assertEqual((score["model_id"], score["preset"]), (info["id"], "compact"))
            self.assertGreater(score["milliseconds"], 0)

    def test_threshold(self):
        """Verdicts by a threshold: the same scores and p-values, the rate that it keeps, the exit code."""
        def scores(*options, code):
            return told(self.call("score", path("model.dnm"), path("set/test/good"), path("set/test/spot"), "--json",
                                  *options, code=code).out)

        plain = scores("--fpr", "0.5", code=1)
        middle = sorted(score["score"] for score in plain)[3]
        for threshold, code in ((middle, 1), (0, 1), (1e15, 0)):
            for one, other in zip(plain, scores("--threshold", repr(threshold), code=code)):
                self.assertEqual((one["path"], one["score"], one["p_value"]),
                                 (other["path"], other["score"], other["p_value"]))
                self.assertEqual((other["threshold"], other["anomalous"]), (threshold, other["score"] > threshold))
                self.assertEqual(other["index"] > 0.5, other["anomalous"])
                self.assertIn(other["false_alarm_rate"], (0.5, 1))
        self.assertEqual(self.call("score", path("model.dnm"), path("set/test/good/0.png"), "--threshold", "1e6",
                                   "--views", "2").err, "")
        self.refused("score", path("model.dnm"), path("set/test/good/0.png"), "--threshold", "-1",
                     says=["--threshold is -1"])
        for verb, operand in (("score", path("set/test/good/0.png")), ("eval", path("set"))):
            self.refused(verb, path("model.dnm"), operand, "--threshold", "2", "--fpr", "0.05",
                         says=["--fpr and --threshold exclude each other"])
        judged = json.loads(self.call("eval", path("model.dnm"), path("set"), "--no-maps", "--json", "--quiet",
                                      "--threshold", repr(middle)).out)["verdicts"]
        self.assertEqual(judged["threshold"], middle)
        self.assertEqual(judged["false_alarms"], sum(score["score"] > middle for score in plain[:4]))
        text = self.call("eval", path("model.dnm"), path("set"), "--no-maps", "--threshold", "1e15").out
        self.assertIn("(score above e^34.54): 0 of 4 good", text)

    def test_large_scores(self):
        """What is wider than its column is shown by its logarithm; the columns stay where they are."""
        data = read(path("model.dnm"))
        header, start = header_of(data)
        begin, end = header["features.deviation"]["data_offsets"]
        write(self.at("m.dnm"), data[:start + begin] + struct.pack("<f", 1e-7) * ((end - begin) // 4)
              + data[start + end:])
        images = [path("set/test/good/0.png"), path("set/test/spot/0.png")]
        lines = self.call("score", self.at("m.dnm"), *images, "--no-verify", "--threshold", "1", code=1).out
        for line, image in zip(lines.splitlines(), told(self.call(
                "score", self.at("m.dnm"), *images, "--no-verify", "--threshold", "1", "--json", code=1).out)):
            self.assertRegex(line, r"0\.png  index [01]\.\d{3}  score +(e\^\d+\.\d\d|\d{1,4}\.\d{4})  p ")
            self.assertEqual(len(line.split("score")[1].split("  p ")[0]), 10, line)
            shown = re.search(r"score +([e^\d.]+)", line)[1]
            value = math.exp(float(shown[2:])) if shown[0] == "e" else float(shown)
            self.assertAlmostEqual(math.log(value), image["log_score"], delta=0.01)
            self.assertEqual(shown[0] == "e", image["score"] >= 9999.99995)

    def test_csv(self):
        write(self.at('comma, "quote".png'), part(3))
        lines = self.call("score", path("model.dnm"), self.folder, "--csv", "--fpr", "0.001",
                          code=(0, 1)).out.splitlines()
        self.assertEqual(lines[0],
                         "path,score,p_value,threshold,anomalous,views,false_alarm_rate,lower_bound,index,log_score,"
                         "warnings")
        self.assertTrue(lines[1].startswith('"%s/comma, ""quote"".png",' % self.folder), lines)
        row = lines[1].split(",")
        self.assertIn(row[-7], ("true", "false"))
        self.assertEqual(row[-6:-3], ["4", "0.5", "false"])
        self.assertTrue(0 < float(row[-3]) < 1)
        self.assertAlmostEqual(float(row[-2]), math.log(float(row[-10])))
        self.assertEqual(row[-1], "")

    def test_decide(self):
        """Early verdicts are the full ones; the scores of what is not anomalous, too."""
        def scores(*options):
            lines = self.call("score", path("model.dnm"), path("set/test"), "--json", "--views", "40", "--fpr", "0.5",
                              *options, code=1).out.splitlines()
            return told("\n".join(lines))

        full, early = scores(), scores("--decide")
        self.assertEqual([score["path"] for score in early], [score["path"] for score in full])
        self.assertTrue(any(score["lower_bound"] for score in early))
        self.assertFalse(any(score["lower_bound"] for score in full))
        for one, other in zip(full, early):
            self.assertIs(one["anomalous"], other["anomalous"])
            if not other["lower_bound"]:
                self.assertEqual(one, other)
                continue
            self.assertTrue(other["threshold"] < other["score"] <= one["score"], (one, other))
            self.assertIn(other["views"], (8, 16, 32))
            self.assertGreaterEqual(other["p_value"], one["p_value"])
            self.assertIsNone(other["log_likelihood"])
        text = self.call("score", path("model.dnm"), path("set/test/spot"), "--decide", "--views", "40", "--fpr", "0.5",
                         code=1).out
        self.assertRegex(text.splitlines()[0], r"0\.png  index >=[01]\.\d+  score >= *[0-9.]+  p <=0\.5   ANOMALOUS(  \(.+\))?$")
        lines = self.call("score", path("model.dnm"), path("set/test/spot"), "--decide", "--views", "40", "--fpr",
                          "0.5", "--csv", code=1).out.splitlines()
        self.assertEqual(lines[1].split(",")[-4], "true")

    def test_monitor(self):
        """Defects alone, and good images alone; bad ones are scored all the same."""
        self.train(path("set"), self.at("m.dnm"), "--quiet", "--preset", "fast")
        for name, defect in (("good", False), ("bad", True)):
            for i in range(24):
                write(self.at(name, "%d.png" % i), part(1000 + i, defect=defect))
        plain = self.call("score", self.at("m.dnm"), self.at("bad"), "--json", code=1)
        told = self.call("score", self.at("m.dnm"), self.at("bad"), "--json", "--monitor", "--between-alarms", "100",
                         code=1)
        timeless = [re.sub('"milliseconds": .*', '', text) for text in (told.out, plain.out)]
        self.assertEqual(timeless[0], timeless[1])
        self.assertRegex(told.err, r"bad/\d+\.png: the line is not the same any more: p-values of the last \d+ images are "
                         r"0\.\d+ in the mean, of good images 0\.5 \(scores are higher\)")
        self.assertIn("monitor: ", told.err)
        quiet = self.call("score", self.at("m.dnm"), self.at("good"), "--monitor", "--quiet", code=(0, 1))
        self.assertNotIn("not the same", quiet.err)
        self.assertNotIn("monitor: ", quiet.err)
        self.assertIn("monitor: 24 images", self.call("score", self.at("m.dnm"), self.at("good"), "--monitor",
                                                      code=(0, 1)).err)
        self.refused("score", self.at("m.dnm"), self.at("good"), "--monitor", "--decide", says=["--decide and --monitor"])
        self.refused("score", self.at("m.dnm"), self.at("good"), "--monitor", "--between-alarms", "0.5",
                     says=["--between-alarms is 0.5"])
        self.train(path("set"), self.at("n.dnm"), "--quiet", "--holdout", "0")
        self.refused("score", self.at("n.dnm"), self.at("good"), "--monitor", says=["no scores of good images"])

    def test_many_images(self):
        """More than the library handles together: the order and the numbers of one at a time."""
        for i in range(37):
            write(self.at("%02d.png" % i), b"no image" if i in (5, 36) else part(400 + i))
        result = self.call("score", path("model.dnm"), self.folder, "--json", code=2)
        names = [os.path.basename(json.loads(line)["path"]) for line in result.out.splitlines()]
        self.assertEqual(names, ["%02d.png" % i for i in range(37) if i not in (5, 36)])
        self.assertIn("2 of 37 images could not be scored", result.err)
        for name in ("05.png", "36.png"):
            self.assertEqual(result.err.count(self.at(name)), 1, result.err)
        for i in (4, 20, 35):
            alone = self.call("score", path("model.dnm"), self.at("%02d.png" % i), "--json", code=(0, 1)).out
            self.assertIn(told(alone)[0], told(result.out))

    def test_rate_that_cannot_be_promised(self):
        result = self.call("score", path("model.dnm"), path("set/test/good"), "--fpr", "0.01", code=(0, 1))
        self.assertEqual(result.err.count("smallest false-alarm rate it can promise is 1/2"), 1)

    def test_threads_and_order_change_nothing(self):
        one = self.call("score", path("model.dnm"), path("set/test/good"), "--json", "--threads", "1", code=(0, 1)).out
        three = self.call("score", path("model.dnm"), path("set/test/good"), "--json", "--threads", "3",
                          code=(0, 1)).out
        self.assertEqual(told(one), told(three))
        single = self.call("score", path("model.dnm"), path("set/test/good/2.png"), "--json", code=(0, 1)).out
        self.assertEqual(told(one)[2:3], told(single))

    def test_an_error_does_not_stop_the_others(self):
        write(self.at("a.png"), part(1))
        write(self.at("b.png"), b"text")
        write(self.at("c.png"), part(2))
        result = self.call("score", path("model.dnm"), self.at("b.png"), self.folder, self.at("none.png"), "--json",
                           code=2)
        self.assertEqual([os.path.basename(json.loads(line)["path"]) for line in result.out.splitlines()],
                         ["a.png", "c.png"])
        self.assertIn(self.at("b.png"), result.err)
        self.assertIn(self.at("none.png"), result.err)

    def test_natural_order(self):
        for name in ("10.png", "9.png", "01.png", "1.png", "x2y10.png", "x2y9.png"):
            write(self.at(name), part(1))
        lines = self.call("score", path("model.dnm"), self.folder, "--csv", code=(0, 1)).out.splitlines()[1:]
        self.assertEqual([os.path.basename(line.split(",")[0]) for line in lines],
                         ["01.png", "1.png", "9.png", "10.png", "x2y9.png", "x2y10.png"])

    def test_names_that_are_not_utf8(self):
        name = os.path.join(self.folder.encode(), b"\xff\xfe.png")
        write(name, part(1))
        score = json.loads(self.call("score", path("model.dnm"), name, "--json", code=(0, 1)).out)
        self.assertTrue(score["path"].endswith("\ufffd\ufffd.png"))

    def bad_model(self, data, *says):
        write(self.at("bad.dnm"), data)
        image = path("set/test/good/0.png")
        self.refused("score", self.at("bad.dnm"), image, says=[self.at("bad.dnm"), *says])
        self.refused("localize", self.at("bad.dnm"), image, "-o", self.at("maps"), says=[self.at("bad.dnm"), *says])
        self.refused("eval", self.at("bad.dnm"), path("set"), says=[self.at("bad.dnm"), *says])
        self.refused("info", self.at("bad.dnm"), says=[self.at("bad.dnm")])
        self.assertEqual(os.listdir(self.folder), ["bad.dnm"])

    def test_no_verify(self):
        """The same results from a good file; damaged weights are found unless the file is trusted."""
        images = [path("set/test/good"), path("set/test/spot")]
        expected = told(self.call("score", path("model.dnm"), *images, "--json", code=(0, 1)).out)
        self.assertEqual(told(self.call("score", path("model.dnm"), *images, "--json", "--no-verify", code=(0, 1)).out),
                         expected)
        data = bytearray(read(path("model.dnm")))
        header, start = header_of(bytes(data))
        begin = start + header["flow.blocks.0.net2.0.weight"]["data_offsets"][0]
        data[begin:begin + 4] = struct.pack("<f", 0.5)
        write(self.at("bad.dnm"), bytes(data))
        self.refused("score", self.at("bad.dnm"), *images, says=["bad.dnm", "checksum"])
        self.refused("localize", self.at("bad.dnm"), images[0], "-o", self.at("maps"), says=["bad.dnm", "checksum"])
        other = told(self.call("score", self.at("bad.dnm"), *images, "--json", "--no-verify", code=(0, 1)).out)
        self.assertNotEqual([score["score"] for score in other], [score["score"] for score in expected])
        self.call("localize", self.at("bad.dnm"), images[0], "-o", self.at("maps"), "--no-verify", "--quiet")

    def test_bad_models(self):
        data = read(path("model.dnm"))
        header, start = header_of(data)
        self.bad_model(b"")
        self.bad_model(b"text that is no model at all\n")
        self.bad_model(data[:100])
        self.bad_model(data[:start + 50])
        self.bad_model(data[:-1])
        self.bad_model(data + b"x")
        changed = bytearray(data)
        changed[-5] ^= 64
        self.bad_model(bytes(changed), "damaged")
        newer = json.loads(json.dumps(header))
        newer["__metadata__"]["differnet.format"] = "999"
        del newer["__metadata__"]["differnet.header_crc32"]
        self.bad_model(with_header(newer, data, start), "newer")

    def test_backbone_given_as_model(self):
        result = self.refused("score", path("backbone.safetensors"), path("set/test/good/0.png"),
                              says=[path("backbone.safetensors"), "backbone", "differnet info"])
        self.refused("eval", path("backbone.safetensors"), path("set"), says=["backbone"])
        self.assertNotIn("\0", result.err)


class Localize(CommandTest):
    def test_files(self):
        result = self.call("localize", path("model.dnm"), path("set/test/spot/0.png"), path("set/test/good/0.png"),
                           "-o", self.at("maps"), "--views", "2", "--json", "--threshold", "0.5")
        self.assertEqual(sorted(os.listdir(self.at("maps"))), ["good", "spot"])
        for folder in ("good", "spot"):
            self.assertEqual(sorted(os.listdir(self.at("maps", folder))),
                             ["0" + end for end in ("_boxes.json", "_map.png", "_overlay.png")])
        for line, stem in zip(result.out.splitlines(), ("spot/0", "good/0")):
            told = json.loads(line)
            self.assertEqual(told, json.loads(read(self.at("maps", stem + "_boxes.json"))))
            self.assertEqual(list(told), ["path", "width", "height", "threshold", "peak", "boxes"])
            self.assertEqual((told["width"], told["height"], told["threshold"]), (40, 40, 0.5))
            for box in told["boxes"]:
                self.assertEqual(list(box), ["x", "y", "width", "height", "peak", "area", "mean", "centroid"])
                self.assertLessEqual(box["x"] + box["width"], 40)
                self.assertGreaterEqual(box["peak"], 0.5)
        ihdr = struct.unpack(">IIBB", read(self.at("maps/good/0_map.png"))[16:26])
        self.assertEqual(ihdr, (40, 40, 16, 0))
        ihdr = struct.unpack(">IIBB", read(self.at("maps/good/0_overlay.png"))[16:26])
        self.assertEqual(ihdr, (40, 40, 8, 2))

    def test_quiet_and_existing_folder(self):
        result = self.call("localize", path("model.dnm"), path("set/test/spot/0.png"), "-o", self.folder, "--quiet",
                           "--views", "1")
        self.assertEqual((result.out, result.err), ("", ""))

    def test_bad_folders(self):
        image = path("set/test/spot/0.png")
        self.refused("localize", path("model.dnm"), image, "-o", self.at("no/such"),
                     says=[self.at("no/such"), "parent"])
        write(self.at("file"), b"")
        self.refused("localize", path("model.dnm"), image, "-o", self.at("file"),
                     says=[self.at("file"), "not a folder"])

    def test_full_disk(self):
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))
        result = self.call("localize", path("model.dnm"), path("set/test/spot/0.png"), "-o", self.at("maps"), "--views",
                           "1", code=2, preexec_fn=limit)
        self.assertIn("0_overlay.png", result.err)
        self.assertEqual(os.listdir(self.at("maps")), [])


class Fast(CommandTest):
    """The density at every position alone, on the demo's parts."""
    OPTIONS = ["--preset", "fast", "--scales", "1", "--input-size"]

    @classmethod
    def setUpClass(cls):
        subprocess.run([DEMO_PARTS, path("parts"), "--good", "10", "--defects", "2", "--size", "112", "--seed", "3"],
                       check=True)
        made = run("train", path("parts"), "-o", path("fast.dnm"), "--backbone", path("backbone.safetensors"), "--json",
                   "--quiet", *cls.OPTIONS, "224")
        if made.returncode != 0 or made.stderr.count(b"\n") != 1 or PROMISE.encode() not in made.stderr:
            raise AssertionError(made)
        cls.told = json.loads(made.stdout)

    def again(self, output, *more, data=path("parts"), size=128):
        self.call("train", data, "-o", output, "--backbone", path("backbone.safetensors"), "--quiet", *self.OPTIONS,
                  str(size), *more)
        return read(output)

    def test_train(self):
        self.assertEqual((self.told["train_images"], self.told["holdout_images"], self.told["epochs"],
                          self.told["views"], self.told["final_loss"]), (10, 10, 0, 1, None))
        self.assertEqual(self.told["bytes"], os.path.getsize(path("fast.dnm")))
        plain = self.again(self.at("m.dnm"))
        for threads in ("1", "3"):
            self.assertEqual(self.again(self.at("m.dnm"), "--threads", threads), plain)
        self.assertNotEqual(self.again(self.at("m.dnm"), "--seed", "1"), plain)
        self.assertLess(len(self.again(self.at("m.dnm"), "--f16")), 0.7 * len(plain))
        self.refused("train", path("parts"), "-o", self.at("no.dnm"), "--preset", "quick",
                     says=["'quick' is not known", "fast"])
        self.assertEqual(sorted(os.listdir(self.folder)), ["m.dnm"])

    def test_masks(self):
        model, image = path("fast.dnm"), path("parts/test/missing_hole/000.png")
        half = bytes(255 if x < 28 else 0 for _ in range(56) for x in range(56))
        write(self.at("half.pgm"), b"P5\n56 56\n255\n" + half)
        write(self.at("wide.pgm"), b"P5\n112 56\n255\n" + half + half)
        write(self.at("black.pgm"), b"P5\n56 56\n255\n" + bytes(56 * 56))

        def score(*options):
            return told(self.call("score", model, image, "--json", *options, code=(0, 1)).out)[0]["local_score"]
        left, right = score("--mask", self.at("half.pgm")), score("--ignore", self.at("half.pgm"))
        self.assertEqual(len({left, right, score()}), 3)
        self.assertEqual(score("--ignore", self.at("black.pgm")), score())
        self.call("localize", model, image, "-o", self.at("maps"), "--mask", self.at("half.pgm"), "--threshold", "0.01")
        with open(self.at("maps/000_boxes.json")) as file:
            boxes = json.load(file)["boxes"]
        self.assertTrue(boxes)
        self.assertTrue(all(box["x"] + box["width"] <= 56 for box in boxes))
        for verb, more in (("score", ()), ("localize", ("-o", self.at("no")))):
            self.refused(verb, model, image, *more, "--mask", self.at("wide.pgm"), says=["another aspect"])
            self.refused(verb, model, image, *more, "--mask", self.at("black.pgm"), says=["black.pgm", "black everywhere"])
            self.refused(verb, model, image, *more, "--mask", self.at("none.pgm"), says=["none.pgm"])
            self.refused(verb, model, image, *more, "--mask", self.at("half.pgm"), "--ignore", self.at("half.pgm"),
                         says=["exclude each other"])

    def test_mask_of_a_model(self):
        image = path("parts/test/missing_hole/000.png")
        half = bytes(255 if x < 28 else 0 for _ in range(56) for x in range(56))
        for name, pixels in (("left", half), ("right", half.translate(bytes(range(255, -1, -1)))),
                             ("black", bytes(56 * 56))):
            write(self.at(name + ".pgm"), b"P5\n56 56\n255\n" + pixels)
        write(self.at("wide.pgm"), b"P5\n112 56\n255\n" + half + half)
        self.again(self.at("m.dnm"), "--mask", self.at("left.pgm"))
        self.again(self.at("same.dnm"), "--ignore", self.at("right.pgm"))
        self.assertEqual(read(self.at("m.dnm")), read(self.at("same.dnm")))
        self.assertIn("mask           50 % of an image counts\n", self.call("info", self.at("m.dnm")).out)
        self.assertEqual(json.loads(self.call("info", self.at("m.dnm"), "--json").out)["mask_share"], 0.5)
        self.assertIsNone(json.loads(self.call("info", path("fast.dnm"), "--json").out)["mask_share"])

        def score(*options, code=(0, 1)):
            return told(self.call("score", self.at("m.dnm"), image, "--json", *options, code=code).out)[0]
        self.assertEqual(score("--mask", self.at("left.pgm"))["score"], score()["score"])
        self.refused("score", self.at("m.dnm"), image, "--mask", self.at("right.pgm"),
                     says=["right.pgm", "model's own mask"])
        # Maps, boxes and overlays: nothing outside, which is dark.
        self.call("localize", self.at("m.dnm"), image, "-o", self.at("maps"), "--threshold", "0.01")
        with open(self.at("maps/000_boxes.json")) as file:
            boxes = json.load(file)["boxes"]
        self.assertTrue(boxes)
        self.assertTrue(all(box["x"] + box["width"] <= 56 for box in boxes))
        for mask, says in (("wide", ["parts/train/good/000.png", "another aspect"]), ("black", ["black everywhere"]),
                           ("none", ["none.pgm"])):
            self.refused("train", path("parts"), "-o", self.at("no.dnm"), "--preset", "fast", "--mask",
                         self.at(mask + ".pgm"), "--quiet", says=says)
        self.refused("train", path("parts"), "-o", self.at("no.dnm"), "--mask", self.at("left.pgm"), "--ignore",
                     self.at("left.pgm"), says=["exclude each other"])
        self.assertFalse(os.path.exists(self.at("no.dnm")))

    @unittest.skipIf(PIL is None, "PIL is missing")
    def test_masks_in_the_report(self):
        """What was left out is dark in the overlay, once, and the original is as it is."""
        half = bytes(255 if x < 28 else 0 for _ in range(56) for x in range(56))
        write(self.at("left.pgm"), b"P5\n56 56\n255\n" + half)
        self.again(self.at("m.dnm"), "--mask", self.at("left.pgm"))

        def images(model, *more):
            self.call("eval", model, path("parts"), "--quiet", "--report", self.at("r.html"), *more)
            parser = ReportParser()
            parser.feed(read(self.at("r.html")).decode())
            return json.loads(parser.texts["data"])["images"]

        def light(picture, left):
            """The mean of a half, without its edge."""
            opened = PIL.Image.open(io.BytesIO(base64.b64decode(picture.split(",")[1]))).convert("L")
            self.assertEqual(opened.size, (112, 112))
            pixels = opened.crop((0, 0, 48, 112) if left else (64, 0, 112, 112)).tobytes()
            return sum(pixels) / len(pixels)
        plain = images(path("fast.dnm"))
        for masked in (images(path("fast.dnm"), "--mask", self.at("left.pgm")), images(self.at("m.dnm"))):
            for image, other in zip(masked, plain):
                self.assertEqual(image["original"], other["original"])
                self.assertAlmostEqual(light(image["overlay"], False), light(other["original"], False) / 3, delta=2)
                self.assertGreater(light(image["overlay"], True), 0.8 * light(other["original"], True))
        # 16 bits are shown in the model's range.
        for i in range(8):
            write(self.at("deep/train/good/%d.png" % i), png(48, 48, lambda x, y: 16 * (x + y + i), 16, 0))
            write(self.at("deep/test/good/%d.png" % i), png(48, 48, lambda x, y: 16 * (x + y + i), 16, 0))
            write(self.at("deep/test/bad/%d.png" % i), png(48, 48, lambda x, y: 4095, 16, 0))
        self.again(self.at("deep.dnm"), "--range", "500:1000", data=self.at("deep"))
        self.call("eval", self.at("deep.dnm"), self.at("deep"), "--quiet", "--report", self.at("r.html"))
        parser = ReportParser()
        parser.feed(read(self.at("r.html")).decode())
        shown = json.loads(parser.texts["data"])["images"][0]["original"]
        opened = PIL.Image.open(io.BytesIO(base64.b64decode(shown.split(",")[1]))).convert("L")
        for x, value in ((5, 0), (20, (640 - 500) / 500 * 255), (45, 255)):
            self.assertAlmostEqual(opened.getpixel((x, 20)), value, delta=12)

    def test_tiles_and_letterbox(self):
        def shape(*more):
            self.again(self.at("m.dnm"), *more)
            told = json.loads(self.call("info", self.at("m.dnm"), "--json").out)
            return told["tile_columns"], told["tile_rows"], told["fit"], told["map_rows"], told["map_columns"]
        plain = self.again(self.at("m.dnm"))
        self.assertEqual(shape("--tiles", "1", "--fit", "stretch"), (1, 1, "stretch", 7, 7))
        self.assertEqual(read(self.at("m.dnm")), plain)
        self.assertEqual(shape("--tiles", "auto")[:2], (1, 1))  # images smaller than the input
        self.assertEqual(shape("--tiles", "2x1", "--fit", "letterbox"), (2, 1, "letterbox", 7, 13))
        said = self.call("info", self.at("m.dnm")).out
        self.assertIn("2 x 1 of an image", said)
        self.assertIn("letterbox", said)
        scores = told(self.call("score", self.at("m.dnm"), path("parts/test/good/000.png"), "--json", code=(0, 1)).out)
        self.assertGreater(scores[0]["local_score"], 0)
        self.call("localize", self.at("m.dnm"), path("parts/test/good/000.png"), "-o", self.at("maps"), code=(0, 1))
        for tiles in ("0x1", "3", "2x", "2x1x1", "x", "-1x2", "2 x 2", "axb", ""):
            self.refused("train", path("parts"), "-o", self.at("no.dnm"), "--tiles", tiles, says=["--tiles", tiles])
        self.refused("train", path("parts"), "-o", self.at("no.dnm"), "--tiles", "9x9", says=["9 x 9 tiles"])
        self.refused("train", path("parts"), "-o", self.at("no.dnm"), "--fit", "crop", says=["'crop' is not known"])

    def test_score(self):
        good, bad = path("parts/test/good/000.png"), path("parts/test/missing_hole/000.png")
        result = self.call("score", path("fast.dnm"), good, bad, "--json", code=(0, 1))
        scores = told(result.out)
        self.assertEqual(result.returncode, int(any(score["anomalous"] for score in scores)))
        for score in scores:
            self.assertEqual((score["views"], score["flow_score"], score["log_likelihood"], score["lower_bound"]),
                             (1, None, None, False))
            self.assertGreater(score["local_score"], 0)
            self.assertGreater(score["whole_score"], 0)
            self.assertAlmostEqual(score["p_value"] * 11, round(score["p_value"] * 11), places=9)
            self.assertEqual(score["anomalous"], score["score"] > score["threshold"])
        self.assertGreater(scores[1]["score"], scores[0]["score"])
        self.assertEqual(told(self.call("score", path("fast.dnm"), good, bad, "--json", "--decide", "--threads", "2",
                                        code=(0, 1)).out), scores)
        self.call("score", path("fast.dnm"), bad, "--fpr", "0.5", code=1)
        self.call("score", path("fast.dnm"), path("parts/train/good/000.png"), "--fpr", "0.01", code=0)
        self.refused("score", path("fast.dnm"), self.at("none.png"), says=["none.png"])

    def test_localize(self):
        bad = path("parts/test/missing_hole/000.png")
        maps = []
        for folder, more in (("a", []), ("b", ["--map", "positions", "--threads", "2", "--views", "3"])):
            told = json.loads(self.call("localize", path("fast.dnm"), bad, "-o", self.at(folder), "--json", "--quiet",
                                        *more).out)
            self.assertEqual((told["width"], told["height"]), (112, 112))
            self.assertEqual(sorted(os.listdir(self.at(folder))), ["000_boxes.json", "000_map.png", "000_overlay.png"])
            maps.append(read(self.at(folder, "000_map.png")))
        self.assertEqual(maps[0], maps[1])
        self.assertNotIn("heat-map scale", self.call("localize", path("fast.dnm"), bad, "-o", self.at("a")).err)
        def boxes(*more):
            return json.loads(self.call("localize", path("fast.dnm"), bad, "-o", self.at("a"), "--json", "--quiet",
                                        *more).out)

        half, most = boxes("--fpr", "0.5"), boxes("--fpr", "0.1")
        self.assertLess(half["threshold"], most["threshold"])
        few = self.call("localize", path("fast.dnm"), bad, "-o", self.at("a"), "--fpr", "0.01", "--json")
        self.assertEqual(json.loads(few.out)["threshold"], most["threshold"])
        self.assertIn("smallest share of good images with boxes that the model can promise is 0.0909", few.err)
        for box in half["boxes"]:
            self.assertEqual(list(box), ["x", "y", "width", "height", "peak", "area", "mean", "centroid"])
            self.assertTrue(half["threshold"] <= box["mean"] <= box["peak"])
            self.assertTrue(box["x"] < box["centroid"][0] < box["x"] + box["width"])
            self.assertTrue(box["y"] < box["centroid"][1] < box["y"] + box["height"])
        areas = sorted(box["area"] for box in half["boxes"])
        self.assertEqual(sorted(box["area"] for box in boxes("--fpr", "0.5", "--min-area", str(areas[-1]))["boxes"]),
                         areas[-1:])
        merged = boxes("--fpr", "0.5", "--gap", "256")["boxes"]
        self.assertEqual([box["area"] for box in merged], [sum(areas)])
        for wrong, says in ((["--fpr", "0"], "--fpr is 0"), (["--gap", "257"], "--gap is 257"),
                            (["--min-area", "0"], "--min-area is 0"), (["--fpr", "0.1", "--threshold", "1"], "exclude")):
            self.refused("localize", path("fast.dnm"), bad, "-o", self.at("a"), *wrong, says=[says])
        self.refused("localize", path("fast.dnm"), bad, "-o", self.at("c"), "--map", "gradient", says=["holds no flow"])
        self.refused("localize", path("model.dnm"), bad, "-o", self.at("c"), "--map", "gradients", says=["gradients"])
        self.assertEqual(sorted(os.listdir(self.folder)), ["a", "b"])

    def test_eval(self):
        told = json.loads(self.call("eval", path("fast.dnm"), path("parts"), "--json", "--quiet").out)
        self.assertEqual((told["images"], told["good"], told["views"], told["pixel"]["map_views"]), (15, 5, 1, 1))
        self.assertGreater(told["image"]["auroc"], 0.8)
        self.assertGreater(told["pixel"]["auroc"], 0.8)
        again = self.call("eval", path("fast.dnm"), path("parts"), "--json", "--quiet", "--threads", "2").out
        self.assertEqual(json.loads(again), told)

    def test_info(self):
        text = self.call("info", path("fast.dnm")).out
        for word in ("preset         fast", "13 x 13 cells, 60 channels, 60 dimensions", "10 images",
                     "heat map       scale"):
            self.assertIn(word, text)
        for word in ("flow  ", "blocks", "no scale"):
            self.assertNotIn(word, text)
        told = json.loads(self.call("info", path("fast.dnm"), "--json").out)
        self.assertEqual((told["preset"], told["flow"], told["positions"], told["map_rows"], told["map_columns"],
                          told["map_channels"], told["position_dims"], told["views"], told["heatmap_scale"]),
                         ("fast", False, True, 13, 13, 60, 60, 1, None))
        self.assertGreater(told["positions_scale"], 0)
        self.assertEqual(len(told["holdout_scores"]), 10)

    def test_one_image(self):
        self.again(self.at("m.dnm"), "--images", "1")
        result = self.call("score", self.at("m.dnm"), path("parts/test/good/000.png"), "--json")
        self.assertIn("no verdicts", result.err)
        score = json.loads(result.out)
        self.assertEqual((score["anomalous"], score["p_value"], score["threshold"]), (None, None, None))
        self.assertGreater(score["score"], 0)
        result = self.call("localize", self.at("m.dnm"), path("parts/test/good/000.png"), "-o", self.at("maps"))
        self.assertIn("no heat-map scale", result.err)
        self.assertIn("no scale", self.call("info", self.at("m.dnm")).out)

    def test_damaged(self):
        data = read(path("fast.dnm"))
        header, start = header_of(data)
        first = start + header["positions.factor"]["data_offsets"][0]
        write(self.at("m.dnm"), data[:first] + struct.pack("<f", float("nan")) + data[first + 4:])
        image = path("parts/test/good/000.png")
        self.refused("score", self.at("m.dnm"), image, says=["m.dnm", "checksum"])
        self.refused("score", self.at("m.dnm"), image, "--no-verify", says=["score is"])
        self.refused("localize", self.at("m.dnm"), image, "--no-verify", "-o", self.at("maps"), says=["not finite"])
        write(self.at("m.dnm"), data[:-9])
        self.refused("score", self.at("m.dnm"), image, "--no-verify", says=["m.dnm"])


class Unlike(CommandTest):
    """Images that are not like those learned from."""

    DARK, GRAY = "darker than all images learned from", "gray image, the model learned from colour"

    def setUp(self):
        super().setUp()
        write(self.at("d/dark.png"), png(40, 40, lambda x, y: (9 + (x // 4) % 2, 9, 20)))
        write(self.at("d/fine.png"), part(70))
        write(self.at("d/gray.png"), png(40, 40, lambda x, y: 110 + 30 * ((x // 4) % 2), colour=0))

    def test_score(self):
        scores = told(self.call("score", path("model.dnm"), self.at("d"), "--json", code=(0, 1)).out)
        self.assertIn(self.DARK, scores[0]["warnings"])
        self.assertEqual(scores[1]["warnings"], [])
        self.assertIn(self.GRAY, scores[2]["warnings"])
        text = self.call("score", path("model.dnm"), self.at("d"), code=(0, 1)).out.splitlines()
        self.assertIn("(", text[0])
        self.assertIn(self.DARK, text[0])
        self.assertRegex(text[1], "(ANOMALOUS|normal)$")
        self.assertIn("(%s" % self.GRAY, text[2])
        rows = list(csv.reader(self.call("score", path("model.dnm"), self.at("d"), "--csv",
                                         code=(0, 1)).out.splitlines()))
        self.assertEqual([row[-1] for row in rows[1:]], ["; ".join(score["warnings"]) for score in scores])

    def test_strict(self):
        for more in ([], ["--decide"], ["--csv"]):
            result = self.call("score", path("model.dnm"), self.at("d"), "--strict", *more, code=2)
            self.assertIn("fine.png", result.out)
            self.assertNotIn("dark.png", result.out)
            self.assertNotIn("gray.png", result.out)
            self.assertRegex(result.err, r"d/dark\.png: not judged, for --strict: .*" + self.DARK)
            self.assertRegex(result.err, r"d/gray\.png: not judged, for --strict: .*" + self.GRAY)
            self.assertIn("2 of 3 images could not be scored", result.err)
        self.call("score", path("model.dnm"), self.at("d/fine.png"), "--strict", code=(0, 1))

    def test_eval(self):
        shutil.copytree(path("set"), self.at("set"))
        for folder in ("spot", "other"): # such large defects are told, too
            for name in os.listdir(self.at("set/test", folder)):
                write(self.at("set/test", folder, name), part(80))
        self.assertEqual(json.loads(self.call("eval", path("model.dnm"), self.at("set"), "--json", "--no-maps",
                                              "--quiet").out)["unlike"], 0)
        shutil.copy(self.at("d/dark.png"), self.at("set/test/good/9.png"))
        self.assertEqual(json.loads(self.call("eval", path("model.dnm"), self.at("set"), "--json", "--no-maps",
                                              "--quiet").out)["unlike"], 1)
        result = self.call("eval", path("model.dnm"), self.at("set"), "--no-maps", "--report", self.at("r.html"))
        self.assertRegex(result.out, "unlike +1 images? .*" + self.DARK)
        self.assertIn(self.DARK, read(self.at("r.html")).decode())
        self.refused("eval", path("model.dnm"), self.at("set"), "--no-maps", "--strict",
                     says=["good/9.png", self.DARK, "no figures"])

    def test_info(self):
        self.assertRegex(self.call("info", path("model.dnm")).out, r"seen +12 images, in colour, 8 to 8 bits")
        seen = json.loads(self.call("info", path("model.dnm"), "--json").out)["seen"]
        self.assertEqual((seen["images"], seen["bits"], seen["size"], seen["shape"]), (12, [8, 8], [40, 40], [1, 1]))
        self.assertTrue(0.3 < seen["brightness"][0] <= seen["brightness"][1] < 0.6, seen)


class ReportParser(html.parser.HTMLParser):
    """What is open at the end, and the texts of scripts and the title."""
    def __init__(self):
        super().__init__()
        self.open, self.texts = [], {}

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "input", "img", "link", "br"):
            self.open.append(tag)
            self.kind = dict(attributes).get("id", tag)

    def handle_data(self, text):
        if self.open and self.open[-1] in ("script", "title"):
            self.texts[self.kind] = self.texts.get(self.kind, "") + text

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag


class Eval(CommandTest):
    def test_json(self):
        told = json.loads(self.call("eval", path("model.dnm"), path("set"), "--json", "--quiet", "--map-views",
                                    "2").out)
        self.assertEqual(list(told), ["images", "good", "views", "model_id", "image", "pixel", "per_defect",
                                      "verdicts", "unlike", "boxes"])
        self.assertEqual((told["images"], told["good"], told["views"]), (8, 4, 4))
        info = json.loads(self.call("info", "--json", path("model.dnm")).out)
        self.assertEqual(told["model_id"], info["id"])
        self.assertEqual(list(told["image"])[:4], ["auroc", "auroc_ci95", "ap", "f1_max"])
        low, high = told["image"]["auroc_ci95"]
        self.assertTrue(0 <= low <= told["image"]["auroc"] <= high <= 1, told)
        self.assertEqual(told["image"]["auroc"], 1)  # the bright squares are plain to see
        self.assertTrue(0 <= told["pixel"]["aupro"] <= 1 and 0 <= told["pixel"]["auroc"] <= 1)
        self.assertEqual(list(told["per_defect"]), ["other", "spot"])
        self.assertEqual(told["per_defect"]["spot"]["images"], 3)

        # The image figures are those of the scores that `score` prints.
        scores = {}
        for kind in ("good", "spot"):
            lines = run("score", path("model.dnm"), path("set/test", kind), "--json").stdout.splitlines()
            scores[kind] = [json.loads(line)["score"] for line in lines]
        pairs = [(bad > good) + 0.5 * (bad == good) for bad in scores["spot"] for good in scores["good"]]
        self.assertAlmostEqual(told["per_defect"]["spot"]["auroc"], sum(pairs) / len(pairs))

    def test_without_masks(self):
        shutil.copytree(path("set"), self.at("d"))
        shutil.rmtree(self.at("d/ground_truth"))
        for arguments in ([self.at("d")], [path("set"), "--no-maps"]):
            told = json.loads(self.call("eval", path("model.dnm"), *arguments, "--json", "--quiet").out)
            self.assertIsNone(told["pixel"])
            self.assertEqual(told["image"]["auroc"], 1)

    def test_text_and_report(self):
        result = self.call("eval", path("model.dnm"), path("set"), "--map-views", "1", "--report", self.at("r.html"))
        self.assertRegex(result.out, r"image +AUROC 1\.0000")
        self.assertRegex(result.out, r"spot +3 +1\.0000")
        page = read(self.at("r.html")).decode()
        parser = ReportParser()
        parser.feed(page)
        self.assertEqual(parser.open, [])
        self.assertEqual(parser.texts["title"], "%s on %s" % (path("model.dnm"), path("set")))
        data = json.loads(parser.texts["data"])
        self.assertEqual(data["eval"], json.loads(self.call("eval", path("model.dnm"), path("set"), "--map-views", "1",
                                                            "--json").out))
        self.assertEqual(len(data["images"]), 8)
        for image in data["images"]:
            self.assertTrue(image["original"].startswith("data:image/jpeg;base64,/9j/"))
            self.assertTrue(image["overlay"].startswith("data:image/jpeg;base64,/9j/"))
            self.assertEqual(image["mask"] is not None, image["defective"])
            self.assertEqual((image["width"], image["height"]), (40, 40))
        self.assertNotRegex(page, r"""(src|href)=["']?http|url\(|@import""")  # alone, it is complete
        self.assertEqual(os.listdir(self.folder), ["r.html"])

    def test_report_of_what_is_named_oddly(self):
        """Texts stay texts: in a browser, test_report.py looks."""
        shutil.copytree(path("set"), self.at("<script>"))
        os.rename(self.at("<script>/test/good/1.png"), self.at("<script>/test/good/<!--<script>\"'&.png"))
        os.rename(self.at("<script>/test/good/2.png").encode(), self.at("<script>/test/good/").encode() + b"\xff.png")
        self.call("eval", path("model.dnm"), self.at("<script>"), "--no-maps", "--quiet", "--report", self.at("r.html"),
                  "--title", "</title><script>")
        page = read(self.at("r.html")).decode()
        self.assertEqual(page.count("<script"), 2)
        parser = ReportParser()
        parser.feed(page)
        self.assertEqual(parser.texts["title"], "</title><script>")
        names = [image["path"] for image in json.loads(parser.texts["data"])["images"]]
        self.assertIn("test/good/<!--<script>\"'&.png", names)
        self.assertIn("test/good/\ufffd.png", names)

    def test_boxes(self):
        """The figures are those of the boxes that localize finds."""
        told = json.loads(self.call("eval", path("model.dnm"), path("set"), "--json", "--quiet").out)["boxes"]
        result = self.call("localize", path("model.dnm"), path("set/test"), "-o", self.at("maps"), "--json", "--quiet")
        found = [json.loads(line) for line in result.out.splitlines()]
        counts = {kind: [len(image["boxes"]) for image in found if ("/good/" in image["path"]) == kind]
                  for kind in (True, False)}
        self.assertEqual(told["good_with_boxes"], sum(count > 0 for count in counts[True]))
        self.assertEqual(told["per_good_image"], sum(counts[True]) / 4)
        self.assertEqual(told["per_defective_image"], sum(counts[False]) / 4)
        hit = sum(any(box["x"] < 22 and box["x"] + box["width"] > 10 and box["y"] < 24 and box["y"] + box["height"] > 12
                      for box in image["boxes"]) for image in found if "/good/" not in image["path"])
        self.assertEqual((told["defects"], told["defects_hit"]), (4, hit))
        without = json.loads(self.call("eval", path("model.dnm"), path("set"), "--json", "--quiet", "--no-maps").out)
        self.assertIsNone(without["boxes"])

    def test_report_path_is_checked_first(self):
        self.refused("eval", path("model.dnm"), path("set"), "--report", self.at("no/r.html"),
                     says=[self.at("no/r.html")])

    def test_missing_mask(self):
        shutil.copytree(path("set"), self.at("d"))
        os.remove(self.at("d/ground_truth/spot/1_mask.png"))
        self.refused("eval", path("model.dnm"), self.at("d"), says=[self.at("d/ground_truth/spot/1_mask.png"),
                                                                    self.at("d/test/spot/1.png"), "--no-maps"])
        self.call("eval", path("model.dnm"), self.at("d"), "--no-maps")

    def test_mask_of_another_size(self):
        shutil.copytree(path("set"), self.at("d"))
        write(self.at("d/ground_truth/spot/1_mask.png"), mask(39))
        self.refused("eval", path("model.dnm"), self.at("d"),
                     says=[self.at("d/ground_truth/spot/1_mask.png"), "39 x 39", "40 x 40"])

    def test_folders_that_are_missing(self):
        self.refused("eval", path("model.dnm"), self.at("nowhere"), says=[self.at("nowhere"), "test/good"])
        write(self.at("d/test/good/1.png"), part(1))
        self.refused("eval", path("model.dnm"), self.at("d"), says=[self.at("d"), "defective"])
        os.makedirs(self.at("d/test/crack"))
        self.refused("eval", path("model.dnm"), self.at("d"), says=[self.at("d/test/crack"), "no images"])

    def test_unreadable_image(self):
        shutil.copytree(path("set"), self.at("d"))
        write(self.at("d/test/good/1.png"), b"text")
        self.refused("eval", path("model.dnm"), self.at("d"), says=[self.at("d/test/good/1.png"), "no figures"])


class Calibrate(CommandTest):
    def setUp(self):
        super().setUp()
        for i in range(25):
            write(self.at("good/%d.png" % i), part(500 + i))
        self.new = self.at("new.dnm")

    def calibrate(self, *arguments, **options):
        return json.loads(self.call("calibrate", *arguments, "-o", self.new, "--json", **options).out)

    def scores(self, model, *arguments):
        lines = self.call("score", model, *arguments, "--json", code=(0, 1)).out.splitlines()
        return [json.loads(line) for line in lines]

    def info(self, model):
        return json.loads(self.call("info", model, "--json").out)

    def test_other_and_more_images(self):
        before = read(path("model.dnm"))
        told = self.calibrate(path("model.dnm"), self.at("good"))
        self.assertEqual((told["model"], told["images"], told["good_scores"], told["suspects"]),
                         (self.new, 25, 25, []))
        self.assertEqual(read(path("model.dnm")), before)
        info, good = self.info(self.new), self.scores(path("model.dnm"), self.at("good"))
        self.assertEqual(info["holdout_scores"], sorted(row["score"] for row in good))
        self.assertEqual((info["id"], info["bytes"] > 0), (told["model_id"], True))
        for old, new in zip(self.scores(path("model.dnm"), path("set/test")), self.scores(self.new, path("set/test"))):
            self.assertEqual(old["score"], new["score"])
            self.assertEqual(new["p_value"], (1 + sum(s >= new["score"] for s in info["holdout_scores"])) / 26)
        held = self.info(path("model.dnm"))["holdout_scores"]
        write(self.at("good/again.png"), part(500))
        told = self.calibrate(path("model.dnm"), self.at("good"), "--keep")
        self.assertEqual((told["images"], told["counted"], told["good_scores"]), (26, 25, 25 + len(held)))
        self.assertEqual(self.info(self.new)["holdout_scores"], sorted(held + info["holdout_scores"]))
        text = self.call("calibrate", path("model.dnm"), self.at("good"), "-o", self.new)
        self.assertIn("25 good scores for verdicts (before: 1); the smallest false-alarm rate it can promise is 1/26",
                      text.out)
        self.assertIn("1 of 26 images repeat another one", text.err)
        shutil.copy(path("model.dnm"), self.new)
        self.calibrate(self.new, self.at("good"))  # in its place
        self.assertEqual(self.info(self.new)["holdout_images"], 25)

    def test_defects_among_the_good(self):
        for i in range(3):
            write(self.at("good/bad%d.png" % i), part(600 + i, defect=True))
        refused = self.refused("calibrate", path("model.dnm"), self.at("good"), "-o", self.new,
                               says=["bad%d.png: scores like a defect" % i for i in range(3)] + ["--accept", "3 of 28"])
        self.assertNotRegex(refused.err, r"good/\d+\.png: scores")
        self.assertFalse(os.path.exists(self.new))
        told = self.calibrate(path("model.dnm"), self.at("good"), "--accept")
        self.assertEqual(sorted(map(os.path.basename, told["suspects"])), ["bad0.png", "bad1.png", "bad2.png"])
        self.assertEqual(told["good_scores"], 28)

    def test_operating_points(self):
        told = self.calibrate(path("model.dnm"), "--data", path("set"), "--point", "mine=0.125", "--note", "line=4")
        self.assertEqual(list(told["operating_points"]), ["mine", "best-f1", "balanced", "max-misses"])
        info, points = self.info(self.new), told["operating_points"]
        self.assertEqual((info["operating_points"], info["notes"]), (points, {"line": "4"}))
        self.assertEqual(info["holdout_scores"], self.info(path("model.dnm"))["holdout_scores"])
        rows = self.scores(path("model.dnm"), *(path("set/test", n) for n in ("good", "other", "spot")))
        good = [row["score"] for row in rows if "/good/" in row["path"]]
        bad = [row["score"] for row in rows if "/good/" not in row["path"]]
        for name, chosen in told["chosen"].items():
            self.assertEqual(chosen["threshold"], points[name])
            self.assertEqual(chosen["false_alarms"], sum(s > points[name] for s in good))
            self.assertEqual(chosen["missed"], sum(s <= points[name] for s in bad))
        self.assertEqual(told["chosen"]["max-misses"]["missed"], 0)
        for name, threshold in points.items():
            for row in self.scores(self.new, path("set/test"), "--operating-point", name):
                self.assertEqual((row["threshold"], row["anomalous"]), (threshold, row["score"] > threshold))
        verdicts = json.loads(self.call("eval", self.new, path("set"), "--no-maps", "--json", "--operating-point",
                                        "best-f1").out)["verdicts"]
        self.assertEqual((verdicts["threshold"], verdicts["missed"]), (points["best-f1"],
                                                                       told["chosen"]["best-f1"]["missed"]))
        self.assertIn("best-f1: score above", self.call("info", self.new).out)
        picture = path("set/test/good/0.png")
        self.refused("score", self.new, picture, "--operating-point", "none",
                     says=["no operating point 'none'; there are mine, best-f1, balanced, max-misses"])
        self.refused("score", path("model.dnm"), picture, "--operating-point", "none", says=["has no operating points"])
        self.refused("eval", path("model.dnm"), path("set"), "--operating-point", "none",
                     says=["has no operating points"])
        self.refused("score", self.new, picture, "--operating-point", "mine", "--fpr", "0.1", says=["--fpr and --op"])

    def test_refused(self):
        before = set(os.listdir(self.folder))
        for arguments, says in (([path("model.dnm"), self.at("good")], "-o NEW"),
                                ([path("model.dnm"), "-o", self.new], "no good images"),
                                (["-o", self.new], "no model"),
                                ([path("model.dnm"), self.at("none"), "-o", self.new], "none"),
                                ([path("model.dnm"), "--point", "a", "-o", self.new], "NAME=THRESHOLD"),
                                ([path("model.dnm"), "--point", "a=-1", "-o", self.new], "its threshold is -1"),
                                ([path("model.dnm"), "--point", "a b=1", "-o", self.new], "name has 1 to 32"),
                                ([path("model.dnm"), "--note", "a", "-o", self.new], "KEY=VALUE"),
                                ([path("model.dnm"), "--data", path("set/train"), "-o", self.new], "defective images"),
                                ([path("backbone.safetensors"), self.at("good"), "-o", self.new], "differnet info"),
                                ([path("model.dnm"), self.at("good"), "-o", self.at("no/new.dnm")], "folder must exist"),
                                ([path("model.dnm"), "--data", path("set"), "--max-misses", "2", "-o", self.new],
                                 "--max-misses is 2")):
            self.refused("calibrate", *arguments, says=[says])
        write(self.at("good/broken.png"), b"no picture")
        self.refused("calibrate", path("model.dnm"), self.at("good"), "-o", self.new,
                     says=["broken.png", "1 of 26 images cannot be used"])
        self.assertEqual(set(os.listdir(self.folder)), before)


class Compare(CommandTest):
    def scores(self, model):
        folders = [path("set/test", name) for name in ("good", "other", "spot")]
        lines = self.call("score", model, *folders, "--json", "--fpr", "0.5", code=(0, 1)).out.splitlines()
        return [json.loads(line) for line in lines]

    def test_labelled(self):
        self.train(path("set"), self.at("new.dnm"), "--seed", "7", "--quiet")
        told = json.loads(self.call("compare", path("model.dnm"), self.at("new.dnm"), path("set"), "--json", "--fpr",
                                    "0.5").out)
        rows = {"old": self.scores(path("model.dnm")), "new": self.scores(self.at("new.dnm"))}
        self.assertEqual((told["images"], told["good"]), (len(rows["old"]), 4))
        for name, scores in rows.items():
            good = [row["score"] for row in scores if "/good/" in row["path"]]
            bad = [row["score"] for row in scores if "/good/" not in row["path"]]
            wins = sum((b > g) + (b == g) / 2 for b in bad for g in good)
            self.assertAlmostEqual(told[name]["auroc"], wins / len(bad) / len(good))
            self.assertEqual(told[name]["false_alarms"], sum(g > scores[0]["threshold"] for g in good))
            self.assertEqual(told[name]["missed"], sum(b <= scores[0]["threshold"] for b in bad))
            self.assertEqual(told[name]["anomalous"], sum(row["anomalous"] for row in scores))
            self.assertEqual(told[name]["threshold"], scores[0]["threshold"])
            self.assertEqual(told[name]["model_id"], scores[0]["model_id"])
        changed = [(a, b) for a, b in zip(rows["old"], rows["new"]) if a["anomalous"] != b["anomalous"]]
        self.assertEqual([c["path"] for c in told["changed"]], [a["path"] for a, _ in changed])
        for c, (a, b) in zip(told["changed"], changed):
            self.assertEqual((c["old"]["score"], c["new"]["anomalous"]), (a["score"], b["anomalous"]))
            self.assertEqual(c["label"], os.path.basename(os.path.dirname(c["path"])))
        order = [sorted(r["score"] for r in rows[name]) for name in ("old", "new")]
        ranks = [[order[s].index(r["score"]) for r in rows[name]] for s, name in enumerate(("old", "new"))]
        n, square = len(ranks[0]), sum((a - b) ** 2 for a, b in zip(*ranks))
        self.assertAlmostEqual(told["rank_correlation"], 1 - 6 * square / (n * (n * n - 1)))
        text = self.call("compare", path("model.dnm"), self.at("new.dnm"), path("set"), "--fpr", "0.5").out
        for words in ("AUROC", "false alarms", "rank correlation", "verdicts    %d of" % len(changed)):
            self.assertIn(words, text)

    def test_same_model_and_unlabelled(self):
        told = json.loads(self.call("compare", path("model.dnm"), path("model.dnm"), path("set/test/spot"),
                                    "--json").out)
        self.assertIsNone(told["good"])
        self.assertIsNone(told["old"]["auroc"])
        self.assertIsNone(told["old"]["missed"])
        self.assertAlmostEqual(told["rank_correlation"], 1)
        self.assertEqual((told["changed"], told["old"]), ([], {**told["new"], "path": path("model.dnm")}))
        text = self.call("compare", path("model.dnm"), path("model.dnm"), path("set/test/spot/0.png")).out
        self.assertNotIn("AUROC", text)

    def test_refused(self):
        self.refused("compare", path("model.dnm"), path("set"), says=["two models and images"])
        self.refused("compare", path("model.dnm"), path("backbone.safetensors"), path("set"),
                     says=["backbone.safetensors", "differnet info"])
        self.refused("compare", path("model.dnm"), path("model.dnm"), self.at("none"), says=["none"])
        shutil.copytree(path("set/test/good"), self.at("some"))
        write(self.at("some/broken.png"), b"no picture")
        self.refused("compare", path("model.dnm"), path("model.dnm"), self.at("some"),
                     says=["broken.png", "no comparison"])


class Images(CommandTest):
    """Kinds of files, and how large they may be."""

    def pixels(self):
        return [[(60 + x, 30 + 2 * y, 200 - x) for x in range(40)] for y in range(40)]

    def write_kinds(self, folder):
        """The same picture as PNG, BMP, PPM (binary and text)."""
        rows = self.pixels()
        flat = [value for row in rows for pixel in row for value in pixel]
        write(self.at(folder, "a.png"), png(40, 40, lambda x, y: rows[y][x]))
        bgr = b"".join(bytes(pixel[::-1]) for row in reversed(rows) for pixel in row)
        write(self.at(folder, "b.BMP"), b"BM" + struct.pack("<IIIIiiHHIIiiII", 0, 0, 54, 40, 40, 40, 1, 24, 0, 0, 0, 0,
                                                           0, 0) + bgr)
        write(self.at(folder, "c.ppm"), b"P6\n# a camera\n40 40\n255\n" + bytes(flat))
        write(self.at(folder, "d.pnm"), b"P3 40 40 255\n" + " ".join(map(str, flat)).encode())

    def test_same_picture_same_score(self):
        self.write_kinds("d")
        write(self.at("d/notes.txt"), b"no image, and no image's name")
        result = self.call("score", path("model.dnm"), self.at("d"), "--json", code=(0, 1))
        scores = told(result.out)
        self.assertEqual([os.path.basename(score.pop("path")) for score in scores],
                         ["a.png", "b.BMP", "c.ppm", "d.pnm"])
        self.assertEqual(scores, 4 * [scores[0]])
        for i, name in enumerate(("a.png", "b.BMP", "c.ppm")):
            self.call("localize", path("model.dnm"), self.at("d", name), "-o", self.at("maps%d" % i), "--views", "1")
            self.assertEqual(read(self.at("maps%d" % i, name[0] + "_map.png")), read(self.at("maps0/a_map.png")))

    def test_max_pixels(self):
        image, says = path("set/test/good/0.png"), ["40 x 40 pixels", "raise --max-pixels"]
        model, less, enough = path("model.dnm"), ["--max-pixels", "1599"], ["--max-pixels", "1600"]
        self.refused("score", model, image, *less, says=[image, *says])
        self.refused("score", model, image, *less, "--decide", says=[image, *says])
        self.call("score", model, image, *enough, code=(0, 1))
        self.refused("score", model, "/dev/stdin", *less, input=read(image), says=["/dev/stdin", *says])
        self.call("score", model, "/dev/stdin", *enough, input=read(image), code=(0, 1))
        write(self.at("mask.pgm"), b"P5\n60 60\n255\n" + bytes([255]) * 3600)
        for option in ("--mask", "--ignore"):
            self.refused("score", model, image, *enough, option, self.at("mask.pgm"),
                         says=[self.at("mask.pgm"), "60 x 60 pixels", "raise --max-pixels"])
        self.call("score", model, image, "--max-pixels", "3600", "--mask", self.at("mask.pgm"), code=(0, 1))
        self.refused("localize", model, image, "-o", self.at("maps"), *less, says=[image, *says])
        self.call("localize", model, image, "-o", self.at("maps"), "--views", "1", *enough)
        self.refused("eval", model, path("set"), *less, says=says)
        self.call("eval", model, path("set"), "--map-views", "1", *enough)
        self.train_refused(path("set"), *less, says=says)
        self.train(path("set"), self.at("m.dnm"), *enough)

    def test_max_pixels_out_of_range(self):
        image, model = path("set/test/good/0.png"), path("model.dnm")
        for value in ("0", "-1", "1e6", "99999999999999999999", ""):
            for verb in (["score", model, image], ["localize", model, image, "-o", self.at("maps")],
                         ["eval", model, path("set")], ["train", path("set"), "-o", self.at("m.dnm")]):
                self.refused(*verb, "--max-pixels", value, says=["--max-pixels"])
        self.call("score", model, image, "--max-pixels", str(2**63 - 1), code=(0, 1))

    def test_too_large_for_the_memory(self):
        """A picture within --max-pixels that takes more memory than its pixels is told what to raise, too."""
        tables = b"\xff\xdb\0\x43\0" + bytes([1] * 64) + b"\xff\xc4\0\x14\0" + bytes([1] + [0] * 15) + b"\0"
        frame = b"\xff\xc2\0\x11\x08\x1f\xff\x20\0\3" + bytes([1, 17, 0, 2, 17, 0, 3, 17, 0])
        write(self.at("big.jpg"), b"\xff\xd8" + tables + frame
              + b"\xff\xda" + bytes([0, 12, 3, 1, 0, 2, 0, 3, 0, 0, 0, 0]) + bytes(1000) + b"\xff\xd9")
        self.refused("score", path("model.dnm"), self.at("big.jpg"),
                     says=[self.at("big.jpg"), "decoding takes 6", "raise --max-pixels"])

    def test_what_is_no_image_is_named(self):
        for name, data, kind in (("a.png", b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
                                 ("b.jpg", b"RIFF\x20\0\0\0WEBPVP8 ", "a WebP image"),
                                 ("c.jpg", b"\n<!doctype HTML>", "a web page"), ("d.png", bytes(5000), "zeros")):
            write(self.at(name), data)
            self.refused("score", path("model.dnm"), self.at(name), says=[self.at(name), kind, "not a PNG, JPEG, BMP"])
            self.refused("localize", path("model.dnm"), self.at(name), "-o", self.at("maps"), says=[self.at(name), kind])

    def test_too_small(self):
        for width, height in ((7, 40), (40, 7), (1, 1)):
            write(self.at("small.png"), png(width, height, lambda x, y: (1, 2, 3)))
            self.refused("score", path("model.dnm"), self.at("small.png"),
                         says=["%d x %d pixels" % (width, height), "at least 8"])


class Info(CommandTest):
    def test_model(self):
        text = self.call("info", path("model.dnm")).out
        for word in ("model", "backbone", "64 x 64", "8 blocks", "hidden width 16", "4 views", "11 images", "1 good"):
            self.assertIn(word, text)
        told = json.loads(self.call("info", path("model.dnm"), "--json").out)
        self.assertEqual((told["kind"], told["input_size"], told["scales"], told["feature_dim"], told["hidden"]),
                         ("model", 64, 1, 16, 16))
        self.assertEqual(len(told["holdout_scores"]), told["holdout_images"])
        self.assertEqual(told["bytes"], os.path.getsize(path("model.dnm")))

    def test_oblong_input(self):
        """A model of oblong views, from training to what all verbs make of it."""
        self.train(path("set"), self.at("m.dnm"), "--input-size", "96x64", "--quiet")
        self.assertIn("\ninput          96 x 64 pixels, ", self.call("info", self.at("m.dnm")).out)
        told = json.loads(self.call("info", self.at("m.dnm"), "--json").out)
        self.assertEqual((told["input_size"], told["input_height"]), (96, 64))
        self.assertEqual(json.loads(self.call("info", path("model.dnm"), "--json").out)["input_height"], 64)
        for line in self.call("score", self.at("m.dnm"), path("set/test"), "--json", code=(0, 1)).out.splitlines():
            self.assertGreater(json.loads(line)["score"], 0)
        self.call("localize", self.at("m.dnm"), path("set/test/good/0.png"), "-o", self.at("maps"))
        self.call("update", self.at("m.dnm"), path("set/test/good"), "--old", path("set"), "-o", self.at("n.dnm"),
                  "--quiet", code=(0, 1))
        self.assertEqual(json.loads(self.call("info", self.at("n.dnm"), "--json").out)["input_height"], 64)
        self.call("compare", self.at("m.dnm"), self.at("n.dnm"), path("set/test/good"), code=(0, 1))

    def test_notes(self):
        notes = ["--note", "part=flange", "--note", "camera=A=2", "--note", "operator=M\u00fcller"]
        self.train(path("set"), self.at("m.dnm"), *notes, "--quiet")
        self.assertEqual(json.loads(self.call("info", self.at("m.dnm"), "--json").out)["notes"],
                         {"part": "flange", "camera": "A=2", "operator": "M\u00fcller"})
        self.assertIn("\nnotes          part: flange\n               camera: A=2\n",
                      self.call("info", self.at("m.dnm")).out)
        self.assertEqual(json.loads(self.call("info", path("model.dnm"), "--json").out)["notes"], {})
        os.remove(self.at("m.dnm"))
        for note, says in (("part", "KEY=VALUE"), ("=x", "0 bytes"), ("x=" + 1025 * "y", "1025 bytes, allowed are 1024"),
                           ("x=\x1b[31m", "printable")):
            self.train_refused(path("set"), "--note", note, says=["--note: ", says])

    def test_backbone(self):
        self.assertIn("backbone", self.call("info", path("backbone.safetensors")).out)
        told = json.loads(self.call("info", path("backbone.safetensors"), "--json").out)
        self.assertEqual((told["kind"], told["random"], told["feature_dim"]), ("backbone", False, 48))
        self.assertEqual(len(told["taps"]), 1)
        self.assertEqual(told["metadata"], {})

    def test_metadata(self):
        metadata = {"name": "mine", "training": "100 images\nin \x1b[31m3\u009b31m days", "licence": "MIT"}
        write(self.at("b.safetensors"), backbone(metadata=metadata))
        del metadata["name"]
        told = json.loads(self.call("info", self.at("b.safetensors"), "--json").out)
        self.assertEqual((told["name"], list(told["metadata"].items())), ("mine", list(metadata.items())))
        text = self.call("info", self.at("b.safetensors")).out
        self.assertIn("metadata       training: 100 images in  [31m3 31m days\n               licence: MIT\n", text)

    @unittest.skipUnless(EMBED_BACKBONE, "built without a backbone")
    def test_built_in_backbone(self):
        text = self.call("info").out
        self.assertTrue(text.startswith("built in "), text)
        self.assertIn("features from", text)
        self.assertNotIn("RANDOM", text)
        told = json.loads(self.call("info", "--json").out)
        self.assertEqual((told["path"], told["kind"], told["bytes"], told["random"], told["input_size"]),
                         (None, "backbone", None, False, 448))
        self.assertIn(told["id"], text)
        self.assertIn(told["name"], text)
        self.assertGreater(told["parameters"], 0)
        self.assertGreater(len(told["taps"]), 0)
        self.assertIn("MIT", told["metadata"]["licence"])
        self.assertIn("tools/pretrain", told["metadata"]["provenance"])

    @unittest.skipIf(EMBED_BACKBONE, "built with a backbone")
    def test_no_built_in_backbone(self):
        self.refused("info", says=["no built-in", "info FILE"])
        self.refused("info", "--json", says=["no built-in", "info FILE"])

    def test_other_files(self):
        self.refused("info", path("set/test/good/0.png"), says=["0.png"])
        self.refused("info", self.at("none"), says=[self.at("none")])
        self.refused("info", self.folder, says=[self.folder])
        write(self.at("other.safetensors"), safetensors({"x": ([2], [1.0, 2.0])}))
        self.refused("info", self.at("other.safetensors"), says=["other.safetensors"])


class DemoParts(CommandTest):
    def test_layout_and_seed(self):
        for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
            subprocess.run([DEMO_PARTS, self.at(name), "--good", "2", "--defects", "1", "--size", "64", "--seed", seed],
                           check=True)
        names = sorted(os.path.relpath(os.path.join(top, file), self.at("a"))
                       for top, _, files in os.walk(self.at("a")) for file in files)
        kinds = ["broken_edge", "dent", "missing_hole", "scratch", "stain"]
        self.assertEqual(names, ["ground_truth/%s/000_mask.png" % kind for kind in kinds]
                         + ["test/%s/000.png" % kind for kind in ["broken_edge", "dent", "good"] + kinds[2:]]
                         + ["train/good/000.png", "train/good/001.png"])
        for name in names:
            self.assertEqual(read(self.at("a", name)), read(self.at("b", name)))
        self.assertNotEqual(read(self.at("a/test/good/000.png")), read(self.at("c/test/good/000.png")))
        self.assertNotEqual(read(self.at("a/test/good/000.png")), read(self.at("a/train/good/000.png")))

    def test_wrong_use(self):
        for arguments in ([], [self.at("x"), "--good", "0"], [self.at("x"), "--bogus"], [self.at("no/x")]):
            result = subprocess.run([DEMO_PARTS, *arguments], stderr=subprocess.PIPE)
            self.assertEqual(result.returncode, 2)
            self.assertTrue(result.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
