#!/usr/bin/env python3
"""Every verb of the command while the C library fails (preload_faults.c): memory, threads and calls on files, at
positions all over the run, once and from then on.

No crash and no hang; the exit status is 0 or 1 with the results and files of an undisturbed run, or 2 with a reason; a
file is the old one, the new one or not there, and nothing is left beside it.

DIFFERNET, DEMO_PARTS, PRELOAD name the executables and the library.  POSITIONS: of each verb and fault (default 5);
0: all.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

COMMAND = os.environ["DIFFERNET"]
POSITIONS = int(os.environ.get("POSITIONS", "5"))
GOLDEN = Path(__file__).resolve().parent / "golden"
MODEL = GOLDEN / "models" / "format2_seen.dnm"
KINDS = {0: "memory", 1: "threads", 2: "EIO", 3: "ENOSPC"}  # of faults.h
OLD = b"the old file"
TIMES = re.compile(rb'"?(milliseconds|seconds|images_per_second)"?: *[0-9.e+-]+|[0-9.]+ (ms|s)\b')

work = Path(tempfile.mkdtemp(prefix="differnet-faults-"))
out = work / "out"


def verbs():
    """Name, arguments, file in `out` that is there before."""
    parts, pictures = work / "parts", [GOLDEN / "models" / "part.png", GOLDEN / "images" / "rgb.jpg"]
    small = ["--backbone", GOLDEN / "cnn_mobile.safetensors", "--input-size", "32", "--scales", "1", "--hidden", "4",
             "--epochs", "2", "--views", "3", "--threads", "2"]
    return [
        ("info", ["info", MODEL, "--json"], None),
        ("score", ["score", MODEL, *pictures, "--csv", "--threads", "2"], None),
        ("convert", ["convert", GOLDEN / "cnn_alexnet.safetensors", out / "b.safetensors"], "b.safetensors"),
        ("localize", ["localize", MODEL, *pictures, "-o", out / "maps", "--threads", "2"], None),
        ("calibrate", ["calibrate", MODEL, parts / "test" / "good", "-o", out / "m.dnm", "--accept"], "m.dnm"),
        ("compare", ["compare", MODEL, GOLDEN / "models" / "format2_calibrated.dnm", *pictures[:1], "--json"], None),
        ("eval", ["eval", MODEL, parts, "--report", out / "report.html"], "report.html"),
        ("eval --images-csv", ["eval", MODEL, parts, "--csv", "--no-maps", "--images-csv", out / "images.csv"],
         "images.csv"),
        ("train", ["train", parts, "-o", out / "m.dnm", *small], "m.dnm"),
        ("update", ["update", MODEL, parts / "test" / "good", "--old", parts, "-o", out / "m.dnm", "--accept-unlike",
                    "--threads", "2"], "m.dnm"),
    ]


def run(arguments, old, fault):
    """Exit status, printed text without times, complaints, files of `out`, number of calls, which one failed."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    if old:
        (out / old).write_bytes(OLD)
    calls = work / "calls"
    calls.unlink(missing_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
    environment |= {"LD_PRELOAD": os.environ["PRELOAD"], "FAULT": "%d:%d:%d" % fault, "FAULT_CALLS": str(calls)}
    done = subprocess.run([COMMAND, *map(str, arguments)], env=environment, capture_output=True, timeout=120)
    files = {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    count, name = calls.read_text().split() if calls.exists() else (None, None)
    return done.returncode, TIMES.sub(b"", done.stdout), done.stderr, files, count and int(count), name


def wrong(result, expected, old, stuck):
    """What is not as it should be, or None.  stuck: a file could not be removed."""
    status, printed, complaints, files, _, _ = result
    if status not in (0, 1, 2):
        return "exit status %d" % status
    if status < 2 and status != expected[0]:
        return "exit status %d, not %d" % (status, expected[0])
    if status < 2 and printed != expected[1]:
        return "other results"
    if status == 2 and not complaints:
        return "fails without a reason"
    for name, data in files.items():
        if name.endswith((".ckpt", ".ckpt.bank")) and (stuck or status == 2):
            continue  # a training that can be gone on with
        if stuck and name.endswith((".tmp", ".lock")):
            continue
        if data != expected[3].get(name) and not (status == 2 and name == old and data == OLD):
            return "%s of %d bytes is neither the old nor the new one" % (name, len(data))
    missing = set(expected[3]) - set(files) if status < 2 else {old} - {None} - set(files)
    return "%s is not there" % missing.pop() if missing else None


def main():
    bad = faults = failed = 0
    subprocess.run([os.environ["DEMO_PARTS"], str(work / "parts"), "--good", "6", "--defects", "1", "--size", "64"],
                   check=True, stdout=subprocess.DEVNULL)
    for name, arguments, old in verbs():
        for kind, what in KINDS.items():
            expected = run(arguments, old, (kind, 0, 0))
            if expected[0] == 2 or expected[4] is None:
                sys.exit("%s fails undisturbed: %s" % (name, expected[2].decode()))
            calls = expected[4]
            step = max(calls / POSITIONS, 1) if POSITIONS else 1
            numbers = sorted({min(int(1 + step * i), calls) for i in range(POSITIONS or calls)} if calls else set())
            for number in numbers:
                for forever in (0, 1):
                    result = run(arguments, old, (kind, number, forever))
                    faults += 1
                    failed += result[0] == 2
                    problem = wrong(result, expected, old, result[5] == "unlink" or (what == "EIO" and forever))
                    if problem:
                        bad += 1
                        print("%s, %s, call %d of %d%s: %s\n    %s" % (
                            name, what, number, calls, " and all behind it" if forever else "", problem,
                            result[2].decode(errors="replace").strip().replace("\n", "\n    ")), flush=True)
    print("%d faults, %d runs failed for them, %d wrong" % (faults, failed, bad))
    return bad != 0


try:
    sys.exit(main())
finally:
    shutil.rmtree(work)
