"""What the command takes for data, names and places: data sets as users have them, long names, odd outputs, signals.

DIFFERNET names the executable.  The pictures and the model are those of test_cli.py.
"""
import json
import os
import shutil
import signal
import stat
import subprocess
import threading
import time
import unittest

import test_cli as cli
from test_cli import mask, part, path, png, png_file, read, write

setUpModule, tearDownModule = cli.setUpModule, cli.tearDownModule


class DataTest(cli.CommandTest):
    def make(self, folder, count, first=0, defect=False, end=".png"):
        """`count` pictures in a folder of the test's own."""
        for i in range(count):
            write(self.at(folder, "%d%s" % (i, end)), part(first + i, defect=defect))

    def learned(self, *more, says=(), silent=()):
        """How many images `train d` takes; the texts in `says` are on standard error, those in `silent` are not."""
        result = self.train(self.at("d"), self.at("m.dnm"), "--json", *more)
        for text in says:
            self.assertIn(text, result.err)
        for text in silent:
            self.assertNotIn(text, result.err)
        told = json.loads(result.out)
        return told["train_images"] + told["holdout_images"]


class Training(DataTest):
    def test_good_beside_defects(self):
        self.make("d/good", 5)
        self.make("d/crack", 3, 100, defect=True)
        self.assertEqual(self.learned(says=["learning from 5 images in %s\n" % self.at("d/good"),
                                            "left out: 3 images in %s\n" % self.at("d/crack")]), 5)

    def test_names_in_any_case(self):
        for good, bad, masks, train in (("Train/Good", "Test/Bad", "Ground_Truth", "Train"), ("OK", "NG", "GT", "."),
                                        ("TRAINING/Normal", "train/defect", "Ground Truth", "TRAINING")):
            with self.subTest(good):
                self.make("d/" + good, 4)
                self.make("d/" + bad, 2, 100, defect=True)
                self.make("d/%s/%s" % (masks, os.path.basename(bad)), 2)
                if train == "TRAINING":
                    shutil.move(self.at("d/train"), self.at("d/Test"))
                self.assertEqual(self.learned(says=["4 images in " + self.at("d", good)]), 4)
                shutil.rmtree(self.at("d"))

    def test_both_called_good(self):
        self.make("d/train/good", 3)
        self.make("d/train/ok", 4, 10)
        self.make("d/train/ng", 4, 10, defect=True)
        self.assertEqual(self.learned(says=["learning from 3 images in", "learning from 4 images in",
                                            "left out: 4 images in " + self.at("d/train/ng")]), 7)

    def test_folder_above_categories(self):
        for first, name in ((0, "bottle"), (10, "cable")):  # no picture twice: such are one
            self.make("d/%s/train/good" % name, 3, first)
            self.make("d/%s/test/good" % name, 2, first + 5)
        says = [self.at("d"), "2 data sets (bottle, cable), a model for each", "-o DIR", "--recursive"]
        self.train_refused(self.at("d"), says=says)
        self.train_refused(self.at("d"), "--quiet", says=says)
        self.assertEqual(self.learned("--recursive", says=["2 images in " + self.at("d/cable/test/good")]), 10)

    def test_folders_that_are_not_clear(self):
        """Neither names nor places tell which images are good."""
        for folders in (("monday", "tuesday"), (".", "sub"), ("monday", "defects"), ("train/fine", "test/crack"),
                        ("train/a", "train/b"), ("bad",), ("test/good", "test/crack"), ("good/bad",)):
            with self.subTest(folders):
                for folder in folders:
                    self.make("d/" + folder, 2)
                self.train_refused(self.at("d"), says=[self.at("d")])
                shutil.rmtree(self.at("d"))

    def test_folders_that_are_clear(self):
        for taken, others in ((".", ["defects", "masks"]), ("photos", []), ("good/monday", ["good/ng"]),
                              ("box/parts/train/good", ["box/parts/test/x"]), ("Train", ["Test/bad"])):
            with self.subTest(taken):
                self.make("d/" + taken, 3)
                for folder in others:
                    self.make("d/" + folder, 2, 50, defect=True)
                self.assertEqual(self.learned(says=["learning from 3 images"]), 3)
                shutil.rmtree(self.at("d"))

    def test_empty_good_is_not_made_up_for(self):
        self.make("d/crack", 3, defect=True)
        os.makedirs(self.at("d/good"))
        self.train_refused(self.at("d"), says=["no images"])
        os.makedirs(self.at("d/train"))
        self.train_refused(self.at("d"), says=[self.at("d")])

    def test_masks_beside_images(self):
        for masks in ("%d_mask.png", "%d_GT.png", "%d_label.png"):
            with self.subTest(masks):
                self.make("d", 3)
                for i in range(3):
                    write(self.at("d", masks % i), part(100 + i))
                self.assertEqual(self.learned(says=["left out: 3 masks"]), 3)
                self.assertEqual(self.learned("--recursive"), 6)
                shutil.rmtree(self.at("d"))

    def test_quiet(self):
        self.make("d/good", 3)
        self.make("d/bad", 3)
        told = self.train(self.at("d"), self.at("m.dnm"), "--quiet").err.splitlines()
        self.assertEqual(len(told), 1)  # warnings are told; three images can promise little
        self.assertIn("WARNING: false alarms", told[0])

    def test_folders_of_systems(self):
        self.make("d", 4)
        for name in ("@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "__MACOSX", "lost+found"):
            self.make("d/" + name, 2, 20)
        os.chmod(self.at("d/lost+found"), 0)
        try:
            self.assertEqual(self.learned(says=["left out: 6 folders", "@eaDir"]), 4)
            result = self.call("score", self.at("m.dnm"), self.at("d"), "--json", code=(0, 1))
            self.assertEqual(len(result.out.splitlines()), 4)
            self.assertIn("left out: 6 folders", result.err)
        finally:
            os.chmod(self.at("d/lost+found"), 0o700)

    def test_pictures_of_other_kinds(self):
        self.make("d/good", 4)
        for name in ("a.WEBP", "b.gif", "c.heic"):
            write(self.at("d/good", name), b"a picture")
        write(self.at("d/good/notes.txt"), b"no picture")
        says = ["left out: 3 pictures", "a.WEBP, b.gif, c.heic"]
        self.assertEqual(self.learned(says=says, silent=["notes.txt"]), 4)
        for verb in (["score"], ["localize", "-o", self.at("maps"), "--views", "1"]):
            result = self.call(*verb, self.at("m.dnm"), self.at("d"), code=(0, 1))
            for text in says:
                self.assertIn(text, result.err)

    @unittest.skipIf(os.geteuid() == 0, "root reads every folder")
    def test_unreadable_folders(self):
        """One that is not needed stops nothing; one that may hold the good images does."""
        self.make("d/good", 3)
        self.make("d/crack", 3)
        for name, code in (("d/crack", 0), ("d/good", 2)):
            os.chmod(self.at(name), 0)
            try:
                result = self.train(self.at("d"), self.at("m.dnm"), code=code)
                self.assertIn(self.at(name), result.err)
                self.assertIn("Permission denied", result.err)
            finally:
                os.chmod(self.at(name), 0o700)


class Testing(DataTest):
    """Data sets for `eval`."""

    def evaluate(self, *more, says=(), code=0):
        """The JSON of `eval d`."""
        result = self.call("eval", path("model.dnm"), self.at("d"), "--json", "--map-views", "1", *more, code=code)
        for text in says:
            self.assertIn(text, result.err)
        return json.loads(result.out) if result.returncode == 0 else None, result.err

    def make_set(self, good="test/good", bad="test/spot", masks="ground_truth/spot", name="%d_mask.png", data=None):
        self.make("d/" + good, 3, 100)
        self.make("d/" + bad, 2, 200, defect=True)
        for i in range(2):
            write(self.at("d", masks, name % i), data or mask())

    def test_layouts(self):
        for names in (("Test/Good", "Test/Bad", "Ground_Truth/bad"), ("good", "crack", "masks/crack"),
                      ("box/TEST/Normal", "box/TEST/x", "box/GT/X"), ("test/ok", "test/ko", "test/ground_truth/ko"),
                      ("Images/Normal", "Images/Anomaly", "Masks/Anomaly"), ("test/good", "test/spot", "ground_truth")):
            with self.subTest(names):
                self.make_set(*names)
                told, err = self.evaluate()
                self.assertEqual((told["images"], told["good"]), (5, 3))
                self.assertIsNotNone(told["pixel"])
                self.assertIn("good: 3 images in " + self.at("d", names[0]), err)
                self.assertIn("defective: 2 images in " + self.at("d", names[1]), err)
                self.assertNotIn("not used", err)
                shutil.rmtree(self.at("d"))

    def test_both_called_good(self):
        self.make_set()
        self.make("d/test/ok", 2, 150)
        told, _ = self.evaluate()
        self.assertEqual((told["images"], told["good"], list(told["per_defect"])), (7, 5, ["spot"]))

    def test_masks_beside_images(self):
        """As in KolektorSDD: they are no images, neither good nor defective ones."""
        self.make("d/test/good", 3, 100)
        self.make("d/test/spot", 2, 200, defect=True)
        plain, _ = self.evaluate()
        for folder, count in (("good", 3), ("spot", 2)):
            for i in range(count):
                write(self.at("d/test", folder, "%d_GT.png" % i), mask())
        told, err = self.evaluate(says=["left out: 5 masks beside images", "good: 3 images", "defective: 2 images"])
        self.assertEqual(told, plain)
        self.assertEqual(err.count("left out"), 1)
        result = self.call("compare", path("model.dnm"), path("model.dnm"), self.at("d"), "--json")
        self.assertIn("left out: 5 masks", result.err)
        self.assertEqual((json.loads(result.out)["images"], json.loads(result.out)["good"]), (5, 3))
        result = self.call("calibrate", path("model.dnm"), "--data", self.at("d"), "-o", self.at("n.dnm"))
        self.assertIn("left out: 5 masks", result.err)
        self.assertRegex(result.out, r"of 3 good ones called anomalous, \d of 2 defects missed")

    def test_test_comes_before_validation(self):
        self.make_set()
        self.make("d/validation/good", 7)
        self.assertEqual(self.evaluate()[0]["good"], 3)

    def test_mask_names(self):
        for name in ("%d.png", "%d_MASK.PNG", "%d_gt.png", "%d_label.jpeg", "%d_mask.jpg"):
            with self.subTest(name):
                self.make_set(name=name)
                self.assertIsNotNone(self.evaluate()[0]["pixel"])
                shutil.rmtree(self.at("d"))

    def test_several_masks_of_an_image(self):
        """As in MVTec LOCO AD: a folder for each image."""
        self.make_set()
        expected = self.evaluate()[0]["pixel"]
        shutil.rmtree(self.at("d/ground_truth/spot"))
        for i in range(2):
            for half, left, right in (("000", 10, 16), ("001", 16, 22)):
                write(self.at("d/ground_truth/spot/%d/%s.png" % (i, half)),
                      png(40, 40, lambda x, y: 200 if left <= x < right and 12 <= y < 24 else 0, colour=0))
        told, err = self.evaluate()
        self.assertEqual(told["pixel"], expected)
        self.assertNotIn("belong", err)

    def test_mask_values(self):
        """The same masks, however they are written, give the same figures."""
        self.make_set()
        expected = self.evaluate()[0]["pixel"]

        def marks(x, y):
            return 10 <= x < 22 and 12 <= y < 24

        def rows(depth, value):
            if depth < 8:
                pack = 8 // depth
                return b"".join(b"\0" + bytes(sum(value(x + i, y) << (8 - depth * (i + 1)) for i in range(pack))
                                              for x in range(0, 40, pack)) for y in range(40))
            return b"".join(b"\0" + b"".join(value(x, y).to_bytes(depth // 8, "big") for x in range(40))
                            for y in range(40))

        def gray(depth, value):
            return png_file(40, 40, rows(depth, value), depth, 0)

        def alpha(colour):
            return png_file(40, 40, b"".join(b"\0" + b"".join(bytes((colour(x, y),) * 3 + (255 * marks(x, y),))
                                                              for x in range(40)) for y in range(40)), 8, 6)
        kinds = {
            "0/1": gray(8, lambda x, y: int(marks(x, y))),
            "one bit": gray(1, lambda x, y: int(marks(x, y))),
            "one class": gray(8, lambda x, y: 7 * marks(x, y)),
            "classes": gray(8, lambda x, y: marks(x, y) * (1 + x % 3)),
            "classes counted from 1": gray(8, lambda x, y: 1 + marks(x, y)),
            "16 bit": gray(16, lambda x, y: 65535 * marks(x, y)),
            "0/1 in 16 bit": gray(16, lambda x, y: int(marks(x, y))),
            "12 bit in 16": gray(16, lambda x, y: (100 + x) if not marks(x, y) else 4000 + x),
            "smoothed": gray(8, lambda x, y: (x * y) % 90 if not marks(x, y) else 255 - x),
            "dark colour": png(40, 40, lambda x, y: (60 * marks(x, y), 0, 0)),
            "transparent": alpha(lambda x, y: 255 * marks(x, y)),
        }
        for kind, data in kinds.items():
            with self.subTest(kind):
                for i in range(2):
                    write(self.at("d/ground_truth/spot/%d_mask.png" % i), data)
                told, err = self.evaluate()
                self.assertEqual(told["pixel"], expected)
                self.assertNotIn("marks", err)
        write(self.at("d/ground_truth/spot/1_mask.png"), alpha(lambda x, y: 0))
        self.evaluate(says=["1_mask.png: marks nothing", self.at("d/test/spot/1.png"), "transparency"])
        write(self.at("d/ground_truth/spot/1_mask.png"), alpha(lambda x, y: 255))
        self.evaluate(says=["1_mask.png: marks every pixel", self.at("d/test/spot/1.png")])

    def test_masks_that_are_not_used(self):
        self.make_set()
        self.make("d/ground_truth/Spots", 2)
        write(self.at("d/ground_truth/spot/9_mask.png"), mask())
        write(self.at("d/test/alone.png"), part(7))
        _, err = self.evaluate(says=[self.at("d/ground_truth/Spots"), "not used", "1 of 3 masks belong to no image",
                                     "9_mask.png", "left out: 1 image right in " + self.at("d/test")])
        self.assertNotIn("not used", self.evaluate("--no-maps")[1])
        shutil.rmtree(self.at("d/ground_truth/spot"))
        self.evaluate(says=[self.at("d/ground_truth/spot"), "--no-maps"], code=2)


class LongPaths(DataTest):
    """The reason and the whole path are in every message, however long the path is."""

    def deep(self, length, name):
        """A path of `length` bytes in folders that exist; its last part is `name`."""
        folder = self.at("long")
        while (room := length - len(os.path.join(folder, name).encode()) - 1) > 1:
            folder = os.path.join(folder, "é" * (min(room, 200) // 2))
        os.makedirs(folder, exist_ok=True)
        return os.path.join(folder, name)

    def expect(self, result, name, *reasons):
        self.assertEqual(result.returncode, 2)
        for text in (name, *reasons):
            self.assertIn(text, result.err)

    def test_all_verbs(self):
        model, good = path("model.dnm"), path("set/test/good/0.png")
        for length in (200, 230, 251, 252, 300, 1000, 4000):
            with self.subTest(length):
                name = self.deep(length, "some name.png")
                self.assertAlmostEqual(len(name.encode()), length, delta=3)
                for data, reason in ((b"text", "not a PNG"), (None, "No such file"), (part(1)[:500], "")):
                    if data is None:
                        os.remove(name)
                    else:
                        write(name, data)
                    image = [self.call("score", model, name, good, code=2),
                             self.call("score", model, good, name, "--decide", code=2),
                             self.call("localize", model, name, "-o", self.at("maps"), code=2)]
                    if data:
                        image.append(self.call("score", model, os.path.dirname(name), code=2))
                        image.append(self.train(os.path.dirname(name), self.at("m.dnm"), code=2))
                    for result in image:
                        self.expect(result, name, reason)
                    for verb in (["info", name], ["score", name, good], ["eval", name, path("set")],
                                 ["localize", name, good, "-o", self.at("maps")], ["convert", name, self.at("b")],
                                 ["train", path("set"), "-o", self.at("m.dnm"), "--backbone", name]):
                        self.expect(self.call(*verb, code=2), name, reason if data is None else "")
                shutil.rmtree(self.at("long"))

    def test_data_and_outputs(self):
        for length in (240, 300, 1000, 3900):
            with self.subTest(length):
                name = self.deep(length, "d")
                self.expect(self.train(name, self.at("m.dnm"), code=2), name, "No such file")
                self.expect(self.call("eval", path("model.dnm"), name, code=2), name, "No such file")
                os.makedirs(name)
                self.expect(self.train(path("set"), name, code=2), name, "not a regular file")
                write(os.path.join(name, "m.dnm.ckpt"), b"no checkpoint")
                self.expect(self.train(path("set"), os.path.join(name, "m.dnm"), "--resume", code=2),
                            os.path.join(name, "m.dnm.ckpt: "), "not a safetensors file")
                os.remove(os.path.join(name, "m.dnm.ckpt"))
                self.train(path("set"), os.path.join(name, "m.dnm"), "--quiet")
                self.assertEqual(read(os.path.join(name, "m.dnm")), read(path("model.dnm")))
                self.call("localize", path("model.dnm"), path("set/test/spot/0.png"), "-o", name, "--views", "1")
                shutil.rmtree(self.at("long"))


def mounts_are_possible():
    """Whether this process may mount folders for itself alone."""
    if shutil.which("unshare") is None or os.geteuid() != 0:
        return False
    return subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode == 0


class Places(DataTest):
    """Outputs where containers, links and other processes have them."""

    def train_arguments(self, output, *more):
        return ["train", path("set"), "-o", output, "--backbone", path("backbone.safetensors"), *cli.SMALL, *more]

    def mounted(self, source, target, *arguments, read_only=False, code=0):
        """Standard error of the command where the file `source` is mounted at `target`."""
        script = 'mount --bind "$0" "$1" && %s && shift && exec "$@"' % (
            'mount -o remount,bind,ro "$1"' if read_only else "true")
        result = subprocess.run(["unshare", "-m", "sh", "-c", script, source, target, cli.COMMAND, *arguments],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
        self.assertEqual(result.returncode, code, result)
        return result.stderr.decode()

    @unittest.skipUnless(mounts_are_possible(), "no right to mount")
    def test_output_on_a_mount_point(self):
        """A file given to a container: the model goes into it, the checkpoint beside it."""
        for old in (b"", b"an old model" * 100000):
            write(self.at("host/m.dnm"), old)
            write(self.at("m.dnm"), b"")
            self.mounted(self.at("host/m.dnm"), self.at("m.dnm"), *self.train_arguments(self.at("m.dnm"), "--quiet"))
            self.assertEqual(read(self.at("host/m.dnm")), read(path("model.dnm")))
            self.assertEqual(sorted(os.listdir(self.folder)), ["host", "m.dnm"])
            self.assertEqual(os.listdir(self.at("host")), ["m.dnm"])
        write(self.at("host/b"), b"")
        write(self.at("b"), b"")
        self.mounted(self.at("host/b"), self.at("b"), "convert", path("backbone.safetensors"), self.at("b"))
        self.call("info", self.at("host/b"))
        self.mounted(self.at("host/b"), self.at("b"), "eval", path("model.dnm"), path("set"), "--report", self.at("b"))
        self.assertIn(b"</html>", read(self.at("host/b")))

    @unittest.skipUnless(mounts_are_possible(), "no right to mount")
    def test_mount_point_that_is_read_only(self):
        """Refused before the work, not after it."""
        write(self.at("host/m.dnm"), b"old")
        write(self.at("m.dnm"), b"")
        text = self.mounted(self.at("host/m.dnm"), self.at("m.dnm"), *self.train_arguments(self.at("m.dnm")),
                            read_only=True, code=2)
        self.assertIn("is mounted there and cannot be written: Read-only", text)
        self.assertNotIn("reading images", text)

    def test_links_are_followed(self):
        os.makedirs(self.at("store"))
        os.symlink("store/m.dnm", self.at("link.dnm"))
        os.symlink("link.dnm", self.at("again.dnm"))
        for name in ("link.dnm", "again.dnm", "link.dnm"):
            self.call(*self.train_arguments(self.at(name), "--quiet"))
            self.assertTrue(os.path.islink(self.at(name)))
            self.assertEqual(read(self.at("store/m.dnm")), read(path("model.dnm")))
            os.truncate(self.at("store/m.dnm"), 10)
        self.assertEqual(os.listdir(self.at("store")), ["m.dnm"])
        os.symlink("store/r.html", self.at("r.html"))
        self.call("eval", path("model.dnm"), path("set"), "--report", self.at("r.html"))
        self.assertTrue(os.path.islink(self.at("r.html")))
        self.assertIn(b"</html>", read(self.at("store/r.html")))
        os.symlink("r2.html", self.at("r2.html"))
        self.refused("eval", path("model.dnm"), path("set"), "--report", self.at("r2.html"), says=["Too many levels"])

    def test_mode_is_kept(self):
        for mode in (0o600, 0o640, 0o664):
            for name, arguments in (("m.dnm", self.train_arguments(self.at("m.dnm"), "--quiet")),
                                    ("r.html", ["eval", path("model.dnm"), path("set"), "--report", self.at("r.html")]),
                                    ("b", ["convert", path("backbone.safetensors"), self.at("b")])):
                write(self.at(name), b"old")
                os.chmod(self.at(name), mode)
                self.call(*arguments)
                self.assertEqual(stat.S_IMODE(os.stat(self.at(name)).st_mode), mode)

    def test_temporaries_of_killed_runs(self):
        dead = subprocess.Popen(["true"])
        dead.wait()
        left = ["m.dnm.%d-0.tmp", "m.dnm.ckpt.%d-1.tmp", "m.dnm.ckpt.bank.%d-0.tmp"]
        for name in left:
            write(self.at(name % dead.pid), b"half a file")
        write(self.at("m.dnm.%d-0.tmp" % os.getpid()), b"of a process that lives")
        write(self.at("other.dnm.%d-0.tmp" % dead.pid), b"of another model")
        self.call(*self.train_arguments(self.at("m.dnm"), "--quiet"))
        self.assertEqual(sorted(os.listdir(self.folder)), sorted(["m.dnm", "m.dnm.%d-0.tmp" % os.getpid(),
                                                                  "other.dnm.%d-0.tmp" % dead.pid]))

    def test_temporaries_of_killed_verbs(self):
        dead = subprocess.Popen(["true"])
        dead.wait()
        for name in ("0_overlay.png", "1_map.png", "x_boxes.json", "other.png"):
            write(self.at("maps", "%s.%d-0.tmp" % (name, dead.pid)), b"half a file")
        write(self.at("maps/0_map.png.%d-0.tmp" % os.getpid()), b"of a process that lives")
        self.call("localize", path("model.dnm"), path("set/test/spot/0.png"), "-o", self.at("maps"), "--views", "1")
        self.assertEqual(sorted(os.listdir(self.at("maps"))),
                         ["0_boxes.json", "0_map.png", "0_map.png.%d-0.tmp" % os.getpid(), "0_overlay.png",
                          "other.png.%d-0.tmp" % dead.pid])
        for name, arguments in (("r.html", ["eval", path("model.dnm"), path("set"), "--report", self.at("r.html")]),
                                ("b", ["convert", path("backbone.safetensors"), self.at("b")])):
            write(self.at("%s.%d-0.tmp" % (name, dead.pid)), b"half a file")
            self.call(*arguments)
            self.assertNotIn("%s.%d-0.tmp" % (name, dead.pid), os.listdir(self.folder))

    def test_names_that_are_too_long_for_the_checkpoint(self):
        for size in (200, 240, 245):
            name = "m" * size
            self.call(*self.train_arguments(self.at(name), "--quiet"))
            self.assertEqual(read(self.at(name)), read(path("model.dnm")))
            self.assertEqual(os.listdir(self.folder), [name])
            os.remove(self.at(name))
        for size in (246, 255, 256, 300):
            result = self.refused(*self.train_arguments(self.at("m" * size), "--epochs", "100000"),
                                  says=["m" * size, "File name too long"])
            self.assertNotIn("reading images", result.err)
        self.assertEqual(os.listdir(self.folder), [])

    # ---- two at a time ----

    def heed_signals():
        """Whatever whoever started the tests ignores, as nohup does."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    def begin(self, output, *more, until="training ...", before=heed_signals):
        """A training in the background that has begun to learn.  before: what to do before the command begins."""
        process = subprocess.Popen([cli.COMMAND, *self.train_arguments(output, "--epochs", "1000000", *more)],
                                   stderr=subprocess.PIPE, preexec_fn=before)
        self.addCleanup(process.kill)
        self.addCleanup(process.stderr.close)
        for line in process.stderr:
            if until in line.decode():
                return process
        self.fail("did not begin")

    def test_two_trainings(self):
        first = self.begin(self.at("m.dnm"))
        os.symlink("m.dnm", self.at("link.dnm"))
        for more in ([], ["--resume"], ["--quiet"]):
            for name in ("m.dnm", "link.dnm"):
                result = self.refused(*self.train_arguments(self.at(name), *more),
                                      says=["another training writes this model"])
                self.assertNotIn("interrupted", result.err)
        self.call(*self.train_arguments(self.at("other.dnm"), "--quiet")) # in the same folder
        first.send_signal(signal.SIGINT)
        self.assertEqual(first.wait(60), 2)
        self.assertEqual(sorted(os.listdir(self.folder)), ["link.dnm", "m.dnm.ckpt", "m.dnm.ckpt.bank", "other.dnm"])

    def test_lock_of_a_killed_training(self):
        first = self.begin(self.at("m.dnm"))
        first.kill()
        first.wait()
        self.assertIn("m.dnm.lock", os.listdir(self.folder))
        result = self.call(*self.train_arguments(self.at("m.dnm")))
        self.assertIn("interrupted run", result.err)
        self.assertEqual(os.listdir(self.folder), ["m.dnm"])
        self.assertEqual(read(self.at("m.dnm")), read(path("model.dnm")))

    def test_signals_end_in_order(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process = self.begin(self.at("m.dnm"))
            process.send_signal(number)
            self.assertIn("--resume", process.stderr.read().decode())
            self.assertEqual(process.wait(60), 2)
            self.assertEqual(sorted(os.listdir(self.folder)), ["m.dnm.ckpt", "m.dnm.ckpt.bank"])
            os.remove(self.at("m.dnm.ckpt"))

    def test_signals_that_are_ignored(self):
        """As nohup and a shell's background leave them."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process = self.begin(self.at("m.dnm"), before=lambda: signal.signal(number, signal.SIG_IGN))
            for _ in range(3):
                process.send_signal(number)
                time.sleep(0.1)
            self.assertIsNone(process.poll())
            process.kill()
            self.assertEqual(process.wait(60), -signal.SIGKILL)

    def test_progress_that_nobody_reads(self):
        process = subprocess.Popen([cli.COMMAND, *self.train_arguments(self.at("m.dnm"), "--epochs", "100")],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_DFL))
        process.stderr.readline()
        process.stderr.close()
        self.assertEqual(process.wait(120), 0)
        self.assertEqual(os.listdir(self.folder), ["m.dnm"])

    def test_many_trainings_at_once(self):
        """One at a time gets through, and none removes the other's lock."""
        several = [subprocess.Popen([cli.COMMAND, *self.train_arguments(self.at("m.dnm"), "--quiet")],
                                    stderr=subprocess.PIPE) for _ in range(8)]
        results = [(process.communicate(timeout=120)[1].decode(), process.returncode) for process in several]
        done = [text for text, code in results if code == 0]
        self.assertGreaterEqual(len(done), 1)
        for text, code in results:
            if code != 0:
                self.assertIn("another training writes this model", text)
        self.assertEqual(os.listdir(self.folder), ["m.dnm"])
        self.assertEqual(read(self.at("m.dnm")), read(path("model.dnm")))


class Results(DataTest):
    """What the files that `localize` writes are called."""

    def localize(self, *operands, stems=(), says=(), code=0):
        shutil.rmtree(self.at("maps"), ignore_errors=True)
        result = self.call("localize", path("model.dnm"), *operands, "-o", self.at("maps"), "--views", "1", code=code)
        for text in says:
            self.assertIn(text, result.err)
        found = sorted(os.path.relpath(os.path.join(top, name), self.at("maps"))
                       for top, _, files in os.walk(self.at("maps")) for name in files)
        self.assertEqual(found, sorted(stem + end for stem in stems
                                       for end in ("_boxes.json", "_map.png", "_overlay.png")))
        return result

    def test_folders_are_kept(self):
        for name in ("a/1.png", "a/x/1.png", "b/1.png", "b/2.png"):
            write(self.at(name), part(1))
        self.localize(self.at("a"), stems=["1", "x/1"])
        self.localize(self.at("a") + "//", stems=["1", "x/1"])
        self.localize(self.at("a"), self.at("b"), stems=["a/1", "a/x/1", "b/1", "b/2"])
        self.localize(self.at("a/1.png"), self.at("b/2.png"), stems=["1", "2"])
        self.localize(self.at("b/1.png"), self.at("b/../a/x/1.png"), stems=["b/1", "a/x/1"])
        told = json.loads(read(self.at("maps/a/x/1_boxes.json")))
        self.assertEqual(told["path"], self.at("b/../a/x/1.png"))

    def test_names_in_common(self):
        for name in ("a.png", "a.PNG", "a.png.png", "a-2.png"):
            write(self.at("d", name), part(1))
        self.localize(self.at("d"), stems=["a", "a-3", "a-2", "a.png"])
        self.localize(self.at("d/a.png"), self.at("d/a.png"), stems=["a", "a-2"])

    def test_many_files_of_one_name(self):
        """Before the first image, the time for the names is that of sorting them."""
        for i in range(300):
            write(self.at("many/%d/same.png" % i), b"")
        self.localize(self.at("many"), says=["300 of 300 images could not be done"], code=2)
        began = time.monotonic()
        self.localize(*[self.at("many/0/same.png")] * 3000, says=["3000 of 3000"], code=2)
        self.assertLess(time.monotonic() - began, 30) # in cubic time: more than a minute

    def test_long_names(self):
        for size in (220, 226, 240, 250, 255):
            for letter in ("n", "é"):
                name = letter * ((size - 4) // len(letter.encode()))
                write(self.at("long", name + ".png"), part(1))
                stem = name.encode()[:230].decode(errors="ignore")
                self.localize(self.at("long"), stems=[stem])
                shutil.rmtree(self.at("long"))
        for end in "ab":
            write(self.at("long", "n" * 245 + end + ".png"), part(1))
        self.localize(self.at("long"), stems=["n" * 230, "n" * 230 + "-2"])

    def test_names_that_are_no_text(self):
        """Cut like others, although between no two bytes of them is the end of a character."""
        with open(os.fsencode(self.folder) + b"/" + b"\x80" * 251 + b".png", "wb") as file:
            file.write(part(1))
        for name in (b"\x80" * 251 + b".png", os.fsencode(self.folder) + b"/" + b"\x80" * 251 + b".png"):
            self.call("localize", path("model.dnm"), name, "-o", self.at("maps"), "--views", "1", "--quiet",
                      cwd=self.folder)
            found = os.listdir(os.fsencode(self.at("maps")))
            self.assertEqual(sorted({name[:227] for name in found}), [b"\x80" * 227])
            shutil.rmtree(self.at("maps"))
        self.call("eval", path("model.dnm"), path("set"), "--no-maps", "--report", b"\x80" * 240, cwd=self.folder)
        self.assertIn(b"\x80" * 240, os.listdir(os.fsencode(self.folder)))

    def test_images_are_not_overwritten(self):
        """Results in a folder of images: theirs are spared, and who asks for it is warned."""
        write(self.at("d/1.png"), part(1))
        write(self.at("d/1_map.png"), part(2))
        write(self.at("other.png"), part(3))
        os.symlink(self.at("other.png"), self.at("d/1_overlay.png"))
        before = {name: read(self.at("d", name)) for name in os.listdir(self.at("d"))}
        for images, output, spared in (("d", "d", "1_overlay.png"), ("d", "link", "1_overlay.png"),
                                       ("d/1.png d/1_map.png", "d", "1_map.png"),
                                       ("d/1.png other.png", "d", "1_overlay.png")):
            with self.subTest(images=images, output=output):
                if output == "link" and not os.path.exists(self.at("link")):
                    os.symlink("d", self.at("link"))
                self.refused("localize", path("model.dnm"), *map(self.at, images.split()), "-o", self.at(output),
                             "--views", "1", says=[self.at(output, spared), "is one of the images", "-o"])
                self.assertEqual({name: read(self.at("d", name)) for name in os.listdir(self.at("d"))}, before)
        self.refused("localize", path("model.dnm"), self.at("d/1.png"), "-o", self.at("d"), "--mask",
                     self.at("d/1_map.png"), says=[self.at("d/1_map.png")])
        # What no image that is asked for stands in the way of is done, with a warning where it is looked for again.
        os.remove(self.at("d/1_map.png"))
        os.remove(self.at("d/1_overlay.png"))
        for images, output, warned in (("d/1.png", "d", False), ("d", "d/maps", True), ("d", "d-maps", False),
                                       ("d", "d/.maps", False)):
            result = self.call("localize", path("model.dnm"), *map(self.at, images.split()), "-o", self.at(output),
                               "--views", "1", "--quiet")
            self.assertEqual("would be taken for images" in result.err, warned, result.err)
            for name in ("1_map.png", "1_boxes.json", "1_overlay.png"):
                self.assertIn(name, os.listdir(self.at(output)))
                if output == "d":
                    os.remove(self.at("d", name))

    def test_outputs_are_tried_first(self):
        self.make("d", 2)
        os.makedirs(self.at("maps/1_overlay.png"))
        result = self.refused("localize", path("model.dnm"), self.at("d"), "-o", self.at("maps"),
                              says=[self.at("maps/1_overlay.png"), "not a regular file"])
        self.assertNotIn("localizing", result.err)
        os.removedirs(self.at("maps/1_overlay.png"))
        write(self.at("d/sub/0.png"), part(1))
        write(self.at("maps/sub"), b"a file")
        self.refused("localize", path("model.dnm"), self.at("d"), "-o", self.at("maps"),
                     says=[self.at("maps/sub"), "not a folder"])


class Streams(DataTest):
    """Paths and images that come one after the other, and results that go out so."""

    def score(self, *more, code=(0, 1), **options):
        result = self.call("score", path("model.dnm"), *more, code=code, **options)
        lines = [line for line in result.out.splitlines() if line.startswith("{")]
        return cli.told("\n".join(lines)), result.err

    def test_paths_from_standard_input(self):
        names = [path("set/test/good/%d.png" % i) for i in range(4)]
        expected, _ = self.score(*names, "--json")
        for text, more in (("\n".join(names), []), ("\n\n".join(names) + "\n", []), ("\0".join(names), ["-0"]),
                           ("\0".join(names) + "\0", ["--null"]), (path("set/test/good"), [])):
            self.assertEqual(self.score("-", "--json", *more, input=text.encode())[0], expected)
        self.assertEqual(self.score(names[0], "-", "--json", input=names[1].encode())[0], expected[:2])
        os.symlink(names[0], self.at("two\nlines.png"))
        told, _ = self.score("-", "-0", "--json", input=(self.at("two\nlines.png") + "\0" + names[1]).encode())
        self.assertEqual(([score["path"] for score in told], [score["score"] for score in told]),
                         ([self.at("two\nlines.png"), names[1]], [score["score"] for score in expected[:2]]))
        many = "\n".join(names * 100)
        self.assertEqual(self.score("-", "--json", "--views", "1", input=many.encode())[0],
                         self.score(*names, "--json", "--views", "1")[0] * 100)

    def test_bad_standard_input(self):
        self.refused("score", path("model.dnm"), "-", input=b"", says=["no images given"])
        self.refused("score", path("model.dnm"), "-", input=b"\n\n", says=["no images given"])
        told, err = self.score("-", "--json", code=2, input=b"/absent.png\n" + path("set/test/good/0.png").encode())
        self.assertEqual(len(told), 1)
        self.assertIn("/absent.png: No such file", err)
        folder = os.open(self.folder, os.O_RDONLY) # which cannot be read like a file
        self.refused("score", path("model.dnm"), "-", stdin=folder, says=["standard input: cannot read"])
        os.close(folder)

    def test_images_from_pipes(self):
        name = path("set/test/good/1.png")
        expected = self.score(name, "--json")[0][0]
        for more in ([], ["--decide"]):
            told = self.score("/dev/stdin", "--json", *more, input=read(name))[0][0]
            self.assertEqual((told["path"], told["score"]), ("/dev/stdin", expected["score"]))
        with open(name, "rb") as file:
            self.assertEqual(self.score("/dev/stdin", "--json", stdin=file)[0][0]["score"], expected["score"])
        os.mkfifo(self.at("fifo.png"))
        writer = subprocess.Popen(["cp", name, self.at("fifo.png")])
        self.assertEqual(self.score(name, self.at("fifo.png"), name, "--json")[0][1]["score"], expected["score"])
        writer.wait()
        for data, reason in ((b"", "empty"), (b"text", "not a PNG"), (read(name)[:400], "")):
            _, err = self.score("/dev/stdin", "--json", code=2, input=data)
            self.assertIn("/dev/stdin: ", err)
            self.assertIn(reason, err)
            self.assertNotIn("memory", err)
        self.call("localize", path("model.dnm"), "/dev/stdin", "-o", self.at("maps"), "--views", "1", input=read(name))
        self.assertIn("stdin_map.png", os.listdir(self.at("maps")))

    def test_pipes_in_folders(self):
        """Nobody may ever write to them; only what is named is waited for."""
        write(self.at("d/1.png"), part(1))
        os.symlink("1.png", self.at("d/2.png"))
        os.mkfifo(self.at("d/3.png"))
        os.symlink("3.png", self.at("d/4.png"))
        told, _ = self.score(self.at("d"), "--json", stdin=subprocess.DEVNULL)
        self.assertEqual([os.path.basename(score["path"]) for score in told], ["1.png", "2.png"])

    def test_full_output(self):
        """Nothing is scored that nobody will see, and the reason is the first failure's."""
        for i in range(40):
            os.makedirs(self.at("d"), exist_ok=True)
            os.symlink(path("set/test/good/0.png"), self.at("d/%d.png" % i))
        write(self.at("d/99.png"), b"no image")
        names = "".join(self.at("d", name) + "\n" for name in sorted(os.listdir(self.at("d"))))
        for more in ([self.at("d")], [self.at("d"), "--csv"], ["-"]):
            with open("/dev/full", "wb") as full:
                result = subprocess.run([cli.COMMAND, "score", path("model.dnm"), *more, "--fpr", "0.5"],
                                        stdout=full, stderr=subprocess.PIPE, input=names.encode(), timeout=300)
            self.assertEqual(result.returncode, 2)
            self.assertEqual(result.stderr.decode().splitlines(),
                             ["differnet: standard output: cannot write: No space left on device"])

    def test_numbers_and_quiet(self):
        told, err = self.score(path("set/test/good"), "--json", "--quiet", "--fpr", "0.5")
        self.assertEqual(err, "")
        lines = self.call("score", path("model.dnm"), path("set/test/good"), "--csv", "--quiet", "--fpr", "0.5",
                          code=(0, 1)).out.splitlines()[1:]
        for line, score in zip(lines, told):
            cells = line.split(",")
            self.assertEqual(float(cells[1]), score["score"])
            self.assertEqual(cells[1:4], [repr(score[key]) for key in ("score", "p_value", "threshold")])

    def begin(self, *arguments, until=None, **options):
        process = subprocess.Popen([cli.COMMAND, "score", path("model.dnm"), *arguments, "--json", "--fpr", "0.5"],
                                   text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        for stream in (process.stdout, process.stderr):
            self.addCleanup(stream.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        timer = threading.Timer(120, process.kill) # what hangs fails
        self.addCleanup(timer.cancel)
        timer.start()
        if until:
            self.assertIn(until, process.stderr.readline())
        return process

    def next_path(self, process):
        return json.loads(process.stdout.readline())["path"]

    def test_each_result_at_once(self):
        """The answer to a path comes before the next path is given."""
        process = self.begin("-", stdin=subprocess.PIPE)
        for i in (0, 2, 1):
            process.stdin.write(path("set/test/good/%d.png\n" % i))
            process.stdin.flush()
            self.assertEqual(self.next_path(process), path("set/test/good/%d.png" % i))
        process.stdin.close()
        self.assertIn(process.wait(60), (0, 1))

    def test_results_come_one_by_one(self):
        """Not together after seconds: the first of 16 images that can be scored together comes long before the last."""
        write(self.at("0.png"), png_file(3000, 3000, bytes(3000 * 9001))) # takes a while to decode
        for i in range(1, 16):
            os.link(self.at("0.png"), self.at("%d.png" % i))
        began = time.monotonic()
        process = self.begin(self.folder, "--threads", "1", "--views", "1")
        moments = [time.monotonic() for _ in range(16) if process.stdout.readline()]
        self.assertEqual(len(moments), 16)
        self.assertGreater(moments[-1] - moments[0], 0.5 * (moments[-1] - began))

    def test_watch(self):
        write(self.at("old.png"), part(1))
        process = self.begin("--watch", self.folder, until="watching")
        for name in ("a.png", "b.JPG", "ü.png"):
            write(self.at(name), part(2))
            self.assertEqual(self.next_path(process), self.at(name))
        with open(self.at("slow.png"), "wb") as file: # complete only when it is closed
            file.write(part(3)[:100])
            file.flush()
            write(self.at("meanwhile.png"), part(4))
            self.assertEqual(self.next_path(process), self.at("meanwhile.png"))
            file.write(part(3)[100:])
        self.assertEqual(self.next_path(process), self.at("slow.png"))
        write(self.at(".hidden.png"), part(5))
        write(self.at("notes.txt"), b"text")
        os.makedirs(self.at("folder.png"))
        os.close(os.open(self.at("a.png"), os.O_WRONLY)) # closed again, but not changed
        os.rename(self.at(".hidden.png"), self.at("moved.png"))
        self.assertEqual(self.next_path(process), self.at("moved.png"))
        write(self.at("a.png"), part(6)) # another picture under an old name
        self.assertEqual(self.next_path(process), self.at("a.png"))
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.stdout.read(), "")
        self.assertIn(process.wait(60), (0, 1))

    def test_watch_goes_on_after_bad_images(self):
        process = self.begin(path("set/test/good/0.png"), "--watch", self.folder, "--quiet")
        self.assertEqual(self.next_path(process), path("set/test/good/0.png"))
        write(self.at("bad.png"), b"text")
        self.assertIn(self.at("bad.png"), process.stderr.readline())
        write(self.at("good.png"), part(1))
        self.assertEqual(self.next_path(process), self.at("good.png"))
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(60), 2)

    def test_folders_that_cannot_be_watched(self):
        self.refused("score", path("model.dnm"), "--watch", self.at("none"), says=[self.at("none"), "cannot watch"])
        write(self.at("file"), b"")
        self.refused("score", path("model.dnm"), "--watch", self.at("file"), says=[self.at("file"), "cannot watch"])
        os.makedirs(self.at("gone"))
        process = self.begin("--watch", self.at("gone"), until="watching")
        os.rmdir(self.at("gone"))
        self.assertIn("is gone", process.stderr.readline())
        self.assertEqual(process.wait(60), 2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
