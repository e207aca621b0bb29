#!/usr/bin/python3
"""Models as earlier versions of the library wrote them, and the scores those versions gave.

usage: make_models.py NAME...     NAME: one of MODELS; such a file is made once and never again

Builds the commit that is named with each model in a git worktree of its own, trains with its command on the pictures
of its time and scores with it.  Writes models/NAME.dnm and NAME's lines in models/scores.txt: name, picture, score,
p-value.  The pictures that are scored, models/part.png and models/part16.png (12 bits in 16), are kept; tests/test_earlier.c
scores them again.  Format 1 (flow alone): ../model_format1.dnm, written before the library had a command to train.
"""
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent.parent
SCORES = FOLDER / "models" / "scores.txt"
TINY = ["--backbone", str(FOLDER / "cnn_mobile.safetensors"), "--input-size", "32", "--scales", "1", "--views", "3",
        "--threads", "1", "--quiet"]

# Name: commit, 16-bit pictures, options of its `differnet train`.
MODELS = {
    # Format 2 without scores view by view.  (Commits before e78abdb put the score of both densities together by another
    # rule; none of them was released.)
    "format2_first": ("0d9203b", False, ["--hidden", "4", "--epochs", "2"]),
    # Scores view by view (calibration.*).
    "format2_calibrated": ("e555108", False, ["--hidden", "4", "--epochs", "2", "--f16"]),
    # Cross-fitted, with what the images were like (seen.*), copies and a note.
    "format2_seen": ("e1c9760", False, ["--hidden", "4", "--epochs", "2", "--f16", "--note", "line=7"]),
    # Format 3 for the sake of a range of 16-bit values.
    "format3_range": ("bc92211", True, ["--preset", "fast", "--f16", "--range", "0:4095"]),
    # Format 4 for the sake of details; both densities, put together without flow.weight.
    "format4_details": ("611aa6f", False, ["--backbone", str(FOLDER / "cnn_alexnet.safetensors"), "--input-size", "64",
                                              "--hidden", "4", "--epochs", "2", "--f16", "--details", "on"]),
    # Format 5 for the sake of flow.weight.
    "format5_flow_weight": ("ae15455", False, ["--hidden", "4", "--epochs", "2", "--f16"]),
    # Format 3 for the sake of tiles and letterbox.
    "format3_tiles": ("3f61dd6", False, ["--preset", "fast", "--f16", "--tiles", "2x1", "--fit", "letterbox"]),
}


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, text=True, **options)


def twelve_bits(source, target):
    """A gray picture of 16 bits, of whose values 0 to 4095 are used."""
    gray = np.asarray(Image.open(source).convert("L")).astype(np.uint16) * 16
    Image.fromarray(gray).save(target)


def make(name):
    commit, deep, options = MODELS[name]
    picture = FOLDER / "models" / ("part16.png" if deep else "part.png")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        source, build, parts, model = work / "source", work / "build", work / "parts", FOLDER / "models" / (name + ".dnm")
        run("git", "-C", ROOT, "worktree", "add", "--detach", source, commit, stdout=subprocess.DEVNULL)
        try:
            run("meson", "setup", build, source, "-Dtests=disabled", "-Dbuildtype=release", stdout=subprocess.DEVNULL)
            run("ninja", "-C", build, stdout=subprocess.DEVNULL)
            run(build / "tools/demo/differnet-demo-parts", parts, "--size", "64", "--good", "12", "--defects", "1",
                "--seed", "5", stdout=subprocess.DEVNULL)
            good = sorted((parts / "train/good").glob("*.png"))
            if deep:
                for path in good:
                    twelve_bits(path, path)
            if not picture.exists():
                (twelve_bits if deep else lambda a, b: Image.open(a).save(b))(parts / "test/stain/000.png", picture)
            command = build / "tools/differnet"
            run(command, "train", parts, "-o", model, *TINY, *options)
            # Exit status 1: there were anomalous ones.
            score = subprocess.run([str(command), "score", str(model), str(picture), "--csv"], text=True,
                                   stdout=subprocess.PIPE).stdout.split("\n")
        finally:
            run("git", "-C", ROOT, "worktree", "remove", "--force", source)
    values = dict(zip(score[0].split(","), score[1].split(",")))
    lines = [line for line in (SCORES.read_text().splitlines() if SCORES.exists() else []) if line.split()[0] != name]
    lines.append(" ".join([name, picture.name, values["score"], values["p_value"]]))
    SCORES.write_text("\n".join(sorted(lines)) + "\n")


if len(sys.argv) < 2 or not set(sys.argv[1:]) <= set(MODELS):
    sys.exit(__doc__)
for each in sys.argv[1:]:
    make(each)
