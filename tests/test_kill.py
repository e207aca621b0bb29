"""Trainings that are killed (SIGKILL) at any moment and gone on with, until one comes to its end: the same bytes as an
uninterrupted one, and no file left beside it.

DIFFERNET and DEMO_PARTS name the executables.  KILLS: how many (default 4).  SEED: of the moments.
"""
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

COMMAND = os.environ["DIFFERNET"]
KILLS = int(os.environ.get("KILLS", "4"))
# Each changes what is saved when: fresh views, a bank, the positions alone, checkpoints of many epochs.
TRAININGS = [
    ["--bank", "4", "--epochs", "30", "--hidden", "64"],
    ["--bank", "0", "--epochs", "2", "--hidden", "16"],
    ["--bank", "6", "--epochs", "200", "--hidden", "16", "--threads", "2"],
    ["--preset", "fast"],
]
BACKBONE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden", "cnn_alexnet.safetensors")
SMALL = ["--input-size", "64", "--scales", "1", "--views", "4", "--backbone", BACKBONE, "--quiet"]


def arguments(folder, training, *more):
    return [COMMAND, "train", os.path.join(folder, "parts"), "-o", os.path.join(folder, "out", "m.dnm"),
            *SMALL, *training, *more]


def read(path):
    with open(path, "rb") as file:
        return file.read()


def main():
    folder = tempfile.mkdtemp(prefix="differnet-kill-")
    out = os.path.join(folder, "out")
    rng = random.Random(int(os.environ.get("SEED", "1")))
    kills = ends = 0
    try:
        subprocess.run([os.environ["DEMO_PARTS"], os.path.join(folder, "parts"), "--good", "8", "--defects", "1",
                        "--size", "64"], check=True, stdout=subprocess.DEVNULL)
        for number in range(10 ** 9):
            if kills >= KILLS and number >= 2:
                break
            training = TRAININGS[number % len(TRAININGS)]
            os.makedirs(out, exist_ok=True)
            began = time.monotonic()
            subprocess.run(arguments(folder, training), check=True, stderr=subprocess.DEVNULL)
            took = time.monotonic() - began
            expected = read(os.path.join(out, "m.dnm"))
            os.remove(os.path.join(out, "m.dnm"))
            of_this = 0
            while True:
                process = subprocess.Popen(arguments(folder, training, "--resume"), stderr=subprocess.PIPE)
                # With more and more patience, so that it gets through.
                delay = rng.uniform(0, took) * (1 + of_this / 10)
                try:
                    process.wait(delay)
                except subprocess.TimeoutExpired:
                    process.kill()
                told = process.stderr.read().decode()
                process.stderr.close()
                status = process.wait()
                if status == -signal.SIGKILL:
                    kills += 1
                    of_this += 1
                    if kills % 50 == 0:
                        print("%d kills, %d trainings that came to their end" % (kills, ends), file=sys.stderr, flush=True)
                    continue
                if status != 0:
                    sys.exit("after %d kills of %s it failed with %d: %s" % (of_this, training, status, told))
                break
            if read(os.path.join(out, "m.dnm")) != expected:
                sys.exit("after %d kills of %s the model has other bytes" % (of_this, training))
            left = [name for name in os.listdir(out) if name != "m.dnm"]
            if left:
                sys.exit("after %d kills of %s these are left: %s" % (of_this, training, ", ".join(left)))
            shutil.rmtree(out)
            ends += 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("%d kills, %d trainings that came to their end with the same bytes, nothing left" % (kills, ends))


if __name__ == "__main__":
    main()
