"""Several data sets in one folder: a model for each, and one table of all.

DIFFERNET names the executable.  The pictures and the model are those of test_cli.py.
"""
import json
import os
import signal
import subprocess
import unittest

import test_cli as cli
from test_cli import SMALL, part, path, read, write

setUpModule, tearDownModule = cli.setUpModule, cli.tearDownModule
FAST = ["--preset", "fast", "--input-size", "64", "--scales", "1"]


class CategoriesTest(cli.CommandTest):
    def make(self, name, count=6, first=0):
        for i in range(count):
            write(self.at("root", name, "train/good/%d.png" % i), part(first + i))

    def train_all(self, *more, output=None, **options):
        return self.call("train", self.at("root"), "-o", output or self.at("models"), "--backbone",
                         path("backbone.safetensors"), *FAST, *more, **options)


class Train(CategoriesTest):
    def test_a_model_each(self):
        self.make("bottle")
        self.make("cable", 7, 50)
        write(self.at("root/license.txt"), b"free")
        write(self.at("root/pictures/1.png"), part(1))
        result = self.train_all()
        self.assertEqual(sorted(os.listdir(self.at("models"))), ["bottle.dnm", "cable.dnm"])
        self.assertIn("category 1 of 2: bottle", result.err)
        self.assertRegex(result.out, r"\nbottle +6 +6 +14 % ")
        self.assertRegex(result.out, r"\ncable +7 +7 +1[23] % ")
        # Each is the model that its data set gives alone.
        self.call("train", self.at("root/cable"), "-o", self.at("alone.dnm"), "--backbone",
                  path("backbone.safetensors"), *FAST, "--quiet")
        self.assertEqual(read(self.at("alone.dnm")), read(self.at("models/cable.dnm")))

    def test_json_and_resume(self):
        self.make("a")
        self.make("b")
        os.mkdir(self.at("models"))
        write(self.at("root/b/train/good/broken.png"), b"text")
        told = json.loads(self.train_all("--json", "--quiet", code=2).out)
        self.assertEqual(list(told), ["folder", "categories", "trained", "there", "failed", "not_begun", "seconds"])
        self.assertEqual([(of["category"], of["state"]) for of in told["categories"]],
                         [("a", "trained"), ("b", "failed")])
        self.assertEqual(told["categories"][0]["model"], self.at("models/a.dnm"))
        self.assertEqual(os.listdir(self.at("models")), ["a.dnm"])
        before = os.stat(self.at("models/a.dnm")).st_mtime_ns
        os.remove(self.at("root/b/train/good/broken.png"))
        told = json.loads(self.train_all("--json", "--quiet", "--resume").out)
        self.assertEqual([of["state"] for of in told["categories"]], ["there already", "trained"])
        self.assertEqual((told["categories"][0]["train_images"], told["categories"][0]["seconds"]), (6, None))
        self.assertEqual((told["there"], told["trained"], told["failed"]), (1, 1, 0))
        self.assertEqual(os.stat(self.at("models/a.dnm")).st_mtime_ns, before)
        # What is no model does not count as one.
        write(self.at("models/a.dnm"), b"half a model")
        told = json.loads(self.train_all("--json", "--quiet", "--resume").out)
        self.assertEqual([of["state"] for of in told["categories"]], ["trained", "there already"])

    def test_one_that_fails_does_not_stop_the_others(self):
        for name in ("a", "b", "c"):
            self.make(name)
        write(self.at("root/b/train/good/broken.png"), b"text")
        result = self.train_all(code=2)
        self.assertIn(self.at("root/b/train/good/broken.png"), result.err)
        self.assertIn("1 of 3 categories were not trained; the same command with --resume does these alone:\n"
                      "differnet:   b: failed\n", result.err)
        self.assertRegex(result.out, r"\nb +failed\n")
        self.assertEqual(sorted(os.listdir(self.at("models"))), ["a.dnm", "c.dnm"])

    def test_wrong_options_are_told_once(self):
        self.make("a")
        self.make("b")
        result = self.train_all("--tiles", "30x30", code=2)
        self.assertNotIn("category 2", result.err)
        self.assertEqual(os.listdir(self.at("models")), [])

    def test_interrupt_and_resume(self):
        self.make("a")
        self.make("b", first=50)
        more = [*SMALL, "--epochs", "200"]
        arguments = ["train", self.at("root"), "--backbone", path("backbone.safetensors"), *more, "-o"]
        self.call(*arguments, self.at("whole"), "--quiet")
        process = subprocess.Popen([cli.COMMAND, *arguments, self.at("models")],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        text = ""
        for line in process.stderr:
            text += line.decode()
            if "category 2" in text and text.endswith("training ...\n"):
                process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=120), 2, text)
        process.stderr.close()
        self.assertEqual(sorted(os.listdir(self.at("models"))), ["a.dnm", "b.dnm.ckpt", "b.dnm.ckpt.bank"])
        result = self.call(*arguments, self.at("models"), "--resume")
        self.assertIn("a.dnm: there already", result.err)
        for name in ("a.dnm", "b.dnm"):
            self.assertEqual(read(self.at("models", name)), read(self.at("whole", name)))

    def test_what_several_are(self):
        self.make("a")
        # One alone: a model in a file, or in a folder.
        self.train_all("--quiet", output=self.at("m.dnm"))
        self.train_all("--quiet", output=self.at("models/"))
        self.assertEqual(read(self.at("m.dnm")), read(self.at("models/a.dnm")))
        self.make("b")
        self.refused("train", self.at("root"), "-o", self.at("new.dnm"),
                     says=[self.at("root"), "2 data sets (a, b)", "-o DIR", "--recursive"])
        self.refused("train", self.at("root"), "-o", self.at("m.dnm"), says=[self.at("m.dnm"), "not a folder"])
        self.refused("train", self.at("root"), "-o", self.at("no/models"), says=[self.at("no/models")])
        os.makedirs(self.at("models/b.dnm"))
        self.refused("train", self.at("root"), "-o", self.at("models"), says=[self.at("models/b.dnm")])
        self.train_all("--recursive", "--quiet", output=self.at("all.dnm"))
        # A data set of its own is none of several.
        write(self.at("root/good/1.png"), part(1))
        write(self.at("root/good/2.png"), part(2))
        self.train_all("--quiet", output=self.at("own.dnm"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
