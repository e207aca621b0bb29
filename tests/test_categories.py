"""Several data sets in one folder: a model for each, and one table of all.

DIFFERNET names the executable.  The pictures and the model are those of test_cli.py.
"""
import csv
import json
import os
import signal
import subprocess
import unittest

import test_cli as cli
from test_cli import SMALL, mask, part, path, png, read, write

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

    def test_what_is_left_out_is_named(self):
        """A category by its name, or not at all: what looks like none is named, unless --quiet."""
        for name in ("a", "label", "scrap"):
            self.make(name)
        write(self.at("root/flat/1.png"), part(1))
        write(self.at("root/flat/2.png"), part(2))
        write(self.at("root/masks/train/1.png"), mask())
        write(self.at("root/alone.png"), part(3))
        os.makedirs(self.at("root/empty"))
        left = ["differnet: left out: %s in %s" % (what, self.at("root" + where)) for what, where in
                (("1 image", ""), ("2 images", "/flat"), ("1 image", "/masks"))]
        result = self.train_all()
        self.assertEqual(sorted(os.listdir(self.at("models"))), ["a.dnm", "label.dnm", "scrap.dnm"])
        self.assertEqual([line for line in result.err.splitlines() if "left out" in line], left)
        self.assertNotIn("left out", self.train_all("--quiet").err)
        for name in ("a", "label"):
            for i in range(2):
                write(self.at("root", name, "test/good/%d.png" % i), part(500 + i))
                write(self.at("root", name, "test/spot/%d.png" % i), part(700 + i, defect=True))
        result = self.call("eval", self.at("models"), self.at("root"), "--csv", "--no-maps")
        self.assertEqual([row.split(",")[0] for row in result.out.splitlines()], ["category", "a", "label", "mean"])
        for line in left + ["differnet: left out: 6 images in " + self.at("root/scrap")]:
            self.assertIn(line + "\n", result.err)

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

    def test_resume_over_older_models(self):
        """They are not what the interrupted run would have made."""
        for first, name in enumerate(("a", "b", "c")):
            self.make(name, first=20 * first)
        self.train_all("--quiet", "--seed", "1", output=self.at("new"))
        self.train_all("--quiet")
        write(self.at("models/outdated-models.txt"), b"of another root\n")
        old = read(self.at("models/c.dnm"))
        write(self.at("root/b/train/good/broken.png"), b"text")
        result = self.train_all("--seed", "1", code=2)
        self.assertIn("the same command with --resume does these alone:\ndiffernet:   b: failed\n", result.err)
        self.assertEqual(read(self.at("models/outdated-models.txt")), b"of another root\nb\n")
        # As a run leaves it that was killed with two to go.
        write(self.at("models/c.dnm"), old)
        write(self.at("models/outdated-models.txt"), b"of another root\nb\nc\n")
        os.remove(self.at("root/b/train/good/broken.png"))
        told = json.loads(self.train_all("--quiet", "--seed", "1", "--resume", "--json").out)
        self.assertEqual([of["state"] for of in told["categories"]], ["there already", "trained", "trained"])
        for name in ("a.dnm", "b.dnm", "c.dnm"):
            self.assertEqual(read(self.at("models", name)), read(self.at("new", name)))
        self.assertEqual(read(self.at("models/outdated-models.txt")), b"of another root\n")
        told = json.loads(self.train_all("--quiet", "--seed", "1", "--resume", "--json").out)
        self.assertEqual(told["there"], 3)
        os.remove(self.at("models/outdated-models.txt"))
        self.train_all("--quiet")
        self.assertEqual(sorted(os.listdir(self.at("models"))), ["a.dnm", "b.dnm", "c.dnm"])
        os.mkdir(self.at("models/outdated-models.txt"))
        self.refused("train", self.at("root"), "-o", self.at("models"), *FAST, says=["outdated-models.txt"])

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


class Eval(CategoriesTest):
    def setUp(self):
        super().setUp()
        for name, first in (("a", 0), ("b", 40)):
            self.make(name, 12, first)
            for i in range(4):
                write(self.at("root", name, "test/good/%d.png" % i), part(500 + first + i))
                write(self.at("root", name, "test/spot/%d.png" % i), part(700 + first + i, defect=True))
                if name == "a":
                    write(self.at("root/a/ground_truth/spot/%d_mask.png" % i), mask())
        self.train_all("--quiet")

    def test_one_table(self):
        models, root = self.at("models"), self.at("root")
        told = json.loads(self.call("eval", models, root, "--json", "--quiet").out)
        self.assertEqual(list(told), ["folder", "categories", "mean", "evaluated", "failed"])
        alone = [json.loads(self.call("eval", self.at("models/%s.dnm" % name), self.at("root", name), "--json",
                                      "--quiet").out) for name in "ab"]
        self.assertEqual([of["figures"] for of in told["categories"]], alone)
        self.assertEqual([of["category"] for of in told["categories"]], ["a", "b"])
        self.assertEqual(told["mean"]["auroc"], (alone[0]["image"]["auroc"] + alone[1]["image"]["auroc"]) / 2)
        self.assertEqual(told["mean"]["pixel_auroc"], alone[0]["pixel"]["auroc"])  # b has no masks
        shares = [of["verdicts"]["false_alarms"] / of["good"] for of in alone]
        self.assertEqual(told["mean"]["false_alarm_share"], sum(shares) / 2)
        rows = list(csv.DictReader(self.call("eval", models, root, "--csv", "--quiet").out.splitlines()))
        self.assertEqual([row["category"] for row in rows], ["a", "b", "mean"])
        self.assertEqual([row["images"] for row in rows], ["8", "8", "16"])
        for key, value in told["mean"].items():
            self.assertEqual(float(rows[2][key]), value)
        self.assertEqual((rows[1]["pixel_auroc"], float(rows[1]["auroc"])), ("", alone[1]["image"]["auroc"]))
        lines = self.call("eval", models, root).out.splitlines()
        self.assertEqual(len(lines), 4)
        self.assertRegex(lines[1], r"^a +8 +4 +[01]\.\d{4} ")
        self.assertRegex(lines[3], r"^mean +16 +8 +%.4f " % told["mean"]["auroc"])
        one = self.call("eval", self.at("models/a.dnm"), self.at("root/a"), "--csv", "--quiet").out
        self.assertEqual(list(csv.DictReader(one.splitlines())), rows[:1])

    def test_rows_of_images(self):
        self.call("eval", self.at("models"), self.at("root"), "--quiet", "--images-csv", self.at("all.csv"))
        self.call("eval", self.at("models/b.dnm"), self.at("root/b"), "--quiet", "--images-csv", self.at("b.csv"))
        with open(self.at("all.csv"), newline="") as file, open(self.at("b.csv"), newline="") as other:
            rows, alone = list(csv.DictReader(file)), list(csv.DictReader(other))
        self.assertEqual(rows[8:], alone)
        self.assertEqual({row["label"] for row in rows}, {"good", "spot"})
        for row in alone:
            score = cli.told(self.call("score", self.at("models/b.dnm"), row["path"], "--json", code=(0, 1)).out)[0]
            self.assertEqual(float(row["score"]), score["score"])
            self.assertEqual((row["anomalous"], float(row["threshold"]), row["warnings"]),
                             (str(score["anomalous"]).lower(), score["threshold"], "; ".join(score["warnings"])))
        self.refused("eval", self.at("models"), self.at("root"), "--images-csv", self.at("no/all.csv"),
                     says=[self.at("no/all.csv")])

    def test_one_that_fails_does_not_stop_the_others(self):
        os.remove(self.at("models/a.dnm"))
        result = self.call("eval", self.at("models"), self.at("root"), "--quiet", "--csv", code=2)
        self.assertIn(self.at("models/a.dnm"), result.err)
        self.assertIn("1 of 2 categories could not be evaluated, and have no part in the means:\ndiffernet:   a\n", result.err)
        rows = list(csv.DictReader(result.out.splitlines()))
        self.assertEqual((rows[0]["auroc"], rows[1]["auroc"]), ("", rows[2]["auroc"]))
        told = json.loads(self.call("eval", self.at("models"), self.at("root"), "--quiet", "--json", code=2).out)
        self.assertIsNone(told["categories"][0]["figures"])
        self.assertEqual((told["evaluated"], told["failed"]), (1, 1))
        self.refused("eval", self.at("models"), self.at("root/b"), says=["several data sets", "holds none"])
        self.refused("eval", self.at("models"), self.at("root"), "--report", self.at("r.html"), says=["--report"])
        self.refused("eval", self.at("models"), self.at("root"), "--csv", "--json", says=["exclude each other"])

    def test_mask(self):
        """What does not count is not found."""
        write(self.at("away.png"), png(40, 40, lambda x, y: 255 if x >= 24 else 0, colour=0))
        model, data = self.at("models/a.dnm"), self.at("root/a")
        whole = json.loads(self.call("eval", model, data, "--json", "--quiet").out)
        masked = json.loads(self.call("eval", model, data, "--json", "--quiet", "--mask", self.at("away.png")).out)
        self.assertGreater(whole["pixel"]["auroc"], masked["pixel"]["auroc"])
        self.assertEqual(masked["boxes"]["defects_hit"], 0)
        self.refused("eval", model, data, "--mask", self.at("none.png"), says=["none.png"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
