"""differnet update: what is learned, what is told, what is refused.

DIFFERNET names the executable.  The pictures and the model are those of test_cli.py.
"""
import json
import os
import unittest

import test_cli as cli
from test_cli import SMALL, part, path, png, read, write

setUpModule, tearDownModule = cli.setUpModule, cli.tearDownModule
FAST = ["--preset", "fast", "--input-size", "64", "--scales", "1"]


class Update(cli.CommandTest):
    OLD, NEW = 12, 6

    def setUp(self):
        super().setUp()
        for i in range(self.NEW):
            write(self.at("new/%d.png" % i), part(50 + i))
        # All of them, in the order in which update takes them.
        for i in range(self.OLD):
            write(self.at("all/%d.png" % i), part(i))
        for i in range(self.NEW):
            write(self.at("all/%d.png" % (self.OLD + i)), part(50 + i))

    def learn(self, data, output, *more):
        self.call("train", data, "-o", self.at(output), "--backbone", path("backbone.safetensors"), "--quiet", *more)
        return read(self.at(output))

    def update(self, *more, model="m.dnm", **options):
        return self.call("update", self.at(model), self.at("new"), "--old", path("set"), "-o", self.at("n.dnm"), *more,
                         **options)

    def test_same_as_learning_from_all(self):
        write(self.at("mask.png"), png(40, 40, lambda x, y: 255 if x < 30 else 0, colour=0))
        for more in (FAST, [*FAST, "--copies", "small", "--fit", "letterbox", "--mask", self.at("mask.png")],
                     SMALL, [*SMALL, "--seed", "4", "--calibration", "cross", "--folds", "3"]):
            more = [*more, "--note", "part=x"]
            if more[0] != "--preset":
                more += ["--copies", "none"]
            self.learn(path("set"), "m.dnm", *more)
            expected = self.learn(self.at("all"), "all.dnm", *more)
            self.update("--quiet")
            self.assertEqual(read(self.at("n.dnm")), expected, more)

    def test_new_images_are_chosen_as_train_does(self):
        """A data set's good images, without what lies beside them."""
        self.learn(path("set"), "m.dnm", *FAST)
        self.update("--quiet")
        expected = read(self.at("n.dnm"))
        for i in range(self.NEW):
            write(self.at("day/train/good/%d.png" % i), part(50 + i))
        write(self.at("day/train/good/0_mask.png"), part(300, defect=True))
        for folder in ("train/bad", "test/good", "test/crack", "ground_truth/crack"):
            write(self.at("day", folder, "0.png"), part(301, defect=True))
        result = self.call("update", self.at("m.dnm"), self.at("day"), "--old", path("set"), "-o", self.at("n.dnm"))
        self.assertEqual(read(self.at("n.dnm")), expected)
        for text in ("left out: 1 mask beside images", "left out: 1 image in " + self.at("day/train/bad")):
            self.assertIn(text, result.err)
        for i in range(2):
            write(self.at("days/%d/0.png" % i), part(70 + i))
        days = ["update", self.at("m.dnm"), self.at("new"), self.at("days"), "--old", path("set"), "-o", self.at("n.dnm")]
        self.refused(*days, says=[self.at("days") + ": it is not clear which images are good", "--recursive"])
        os.makedirs(self.at("none/good"))
        self.refused(*days[:2], self.at("none"), *days[2:], says=[self.at("none")])
        self.assertIn("learned from  12 -> 20 images", self.call(*days[:4], "--old", path("set/train"), *days[6:],
                                                                 "--recursive").out)

    def test_what_is_told(self):
        self.learn(path("set"), "m.dnm", *FAST)
        told = json.loads(self.update("--json", "--quiet").out)
        self.assertEqual(list(told)[-6:], ["smallest_false_alarm_rate", "threshold", "before", "new_images",
                                           "old_images", "forgotten"])
        self.assertEqual((told["train_images"], told["before"]["train_images"]), (18, 12))
        # Against the scores that both models give.
        medians = []
        for model in ("m.dnm", "n.dnm"):
            scores = cli.told(self.call("score", self.at(model), self.at("new"), "--json", code=(0, 1)).out)
            values = sorted(score["score"] for score in scores)
            medians.append((values[2] + values[3]) / 2)
            self.assertEqual(sum(score["anomalous"] for score in scores),
                             told["new_images"]["anomalous" + ("_before" if model == "m.dnm" else "")])
            self.assertEqual(scores[0]["threshold"],
                             (told["before"] if model == "m.dnm" else told)["threshold"])
        self.assertEqual((told["new_images"]["median_before"], told["new_images"]["median"]), tuple(medians))
        self.assertEqual((told["old_images"]["images"], told["forgotten"]), (12, []))
        result = self.update()
        self.assertIn("learned from  12 -> 18 images, 12 -> 18 good scores", result.out)
        self.assertRegex(result.out, r"new images    6: called anomalous \d -> 0, median score")

    def test_forgotten(self):
        """Old images that are not among the ones given are forgotten, which is said before and after."""
        for i in range(8):
            write(self.at("old/%d.png" % i), part(i))
        for i in range(5):
            write(self.at("old/spot%d.png" % i), part(300 + i, defect=True))
        self.learn(self.at("old"), "m.dnm", *FAST)
        for i in range(5):
            os.remove(self.at("old/spot%d.png" % i))
        result = self.call("update", self.at("m.dnm"), self.at("new"), "--old", self.at("old"), "-o", self.at("n.dnm"))
        self.assertIn("WARNING: %s holds 8 images, but %s learned from 13" % (self.at("old"), self.at("m.dnm")), result.err)
        self.assertIn("learned from  13 -> 14 images", result.out)

    def test_images_of_another_kind(self):
        self.learn(path("set"), "m.dnm", *FAST)
        write(self.at("new/gray.png"), png(40, 40, lambda x, y: 60 + (x * 7 + y * 13) % 90, colour=0))
        result = self.update(code=2)
        self.assertIn("gray.png: unlike those learned from: gray image", result.err)
        self.assertIn("--accept-unlike", result.err)
        self.assertEqual(result.out, "")
        self.assertNotIn("n.dnm", os.listdir(self.folder))
        self.update("--accept-unlike", "--quiet")
        self.assertIn("19 images", self.call("info", self.at("n.dnm")).out)

    def test_points_and_in_place(self):
        self.learn(path("set"), "first.dnm", *FAST)
        self.call("calibrate", self.at("first.dnm"), "--point", "loose=5", "-o", self.at("m.dnm"), "--quiet")
        result = self.call("update", self.at("m.dnm"), self.at("new"), "--old", path("set"), "-o", self.at("m.dnm"))
        self.assertIn("operating points", result.err)
        self.assertEqual(read(self.at("m.dnm")), self.learn(self.at("all"), "all.dnm", *FAST))

    def test_refused(self):
        self.learn(path("set"), "m.dnm", *FAST)
        model, new = self.at("m.dnm"), self.at("new")
        old, output = ["--old", path("set")], ["-o", self.at("n.dnm")]
        self.refused("update", says=["no model"])
        self.refused("update", model, *old, *output, says=["no new images"])
        self.refused("update", model, new, *old, says=["-o NEW"])
        self.refused("update", model, new, *output, says=["--old DATA is missing", "does not hold them"])
        self.refused("update", model, self.at("nowhere"), *old, *output, says=[self.at("nowhere")])
        self.refused("update", model, new, "--old", self.at("nowhere"), *output, says=[self.at("nowhere")])
        self.refused("update", path("backbone.safetensors"), new, *old, *output, says=["backbone.safetensors"])
        self.refused("update", model, new, *old, *output, "--group-by", "day", says=["day", "folder"])
        self.refused("update", model, new, *old, "-o", self.at("no/n.dnm"), says=[self.at("no/n.dnm")])
        write(self.at("new/broken.png"), b"text")
        self.refused("update", model, new, *old, *output, says=["broken.png"])
        self.assertNotIn("n.dnm", os.listdir(self.folder))


if __name__ == "__main__":
    unittest.main(verbosity=2)
