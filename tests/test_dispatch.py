"""The library on processors of other kinds, emulated by qemu: without AVX (Nehalem), with AVX2 (Haswell), and AMD's
(EPYC).  None of them meets an instruction that it lacks, and the scores are those of this machine: those with fused
multiplication to the last printed digit, others to four.

DIFFERNET and DEMO_PARTS name the executables.  Skipped (77) where qemu-x86_64 is missing.
"""
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile

COMMAND = os.environ["DIFFERNET"]
BACKBONE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden", "cnn_alexnet.safetensors")
PROCESSORS = [("Nehalem", 1e-4), ("Haswell", 0), ("EPYC", 0)]
NUMBERS = ("score", "p_value", "threshold", "anomalous")


def run(prefix, *arguments):
    result = subprocess.run([*prefix, COMMAND, *arguments], capture_output=True, text=True, timeout=500)
    if result.returncode not in (0, 1):
        sys.exit("%s: %s ended with %d: %s" % (prefix, arguments[0], result.returncode, result.stderr))
    return result.stdout


def printed(value):
    return "%.6g" % value if isinstance(value, float) else value


def main():
    if not shutil.which("qemu-x86_64"):
        print("skipped: qemu-x86_64 is missing (qemu-user)")
        sys.exit(77)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    folder = tempfile.mkdtemp(prefix="differnet-dispatch-")
    try:
        parts = os.path.join(folder, "parts")
        subprocess.run([os.environ["DEMO_PARTS"], parts, "--good", "6", "--defects", "1", "--size", "64"], check=True,
                       stdout=subprocess.DEVNULL)
        for preset in ("compact", "fast"):
            model = os.path.join(folder, preset)
            more = ["--bank", "2", "--epochs", "3", "--hidden", "16"] if preset == "compact" else []
            run([], "train", parts, "-o", model, "--backbone", BACKBONE, "--input-size", "64", "--scales", "1", "--views",
                "2", "--quiet", "--preset", preset, *more)
            images = sorted(glob.glob(os.path.join(parts, "test", "*", "*.png")))

            def scores(prefix):
                return [json.loads(line) for line in run(prefix, "score", model, "--json", *images).splitlines()]

            here = scores([])
            if len(here) != len(images):
                sys.exit("%d scores of %d images" % (len(here), len(images)))
            for processor, tolerance in PROCESSORS:
                there = scores(["qemu-x86_64", "-cpu", processor])
                for a, b in zip(here, there, strict=True):
                    for key in NUMBERS:
                        near = abs(a[key] - b[key]) <= tolerance * abs(a[key]) or printed(a[key]) == printed(b[key])
                        if not near:
                            sys.exit("%s, %s: %s of %s is %r, here %r" % (processor, preset, key, a["path"], b[key], a[key]))
                print("%s, %s: the scores of %d images are the same" % (processor, preset, len(images)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
