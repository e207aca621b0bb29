#!/usr/bin/env python3
"""The Python package as users get it: source distribution, pip install, training and scoring without the source tree.

    test_wheel.py SOURCE
"""
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

# What is run with the installed package alone.
PROGRAM = """
import os, sys
import numpy
import differnet
from differnet import _call

home = os.path.realpath(sys.prefix)
for path in (differnet.__file__, _call.library()._name):
    assert os.path.realpath(path).startswith(home + os.sep), f"{path} is not in {home}"
assert os.path.exists(os.path.join(os.path.dirname(differnet.__file__), "py.typed"))

def part(seed, spot=False):
    noise = numpy.random.default_rng(seed).integers(0, 8, (48, 64))
    image = numpy.add.outer(2 * numpy.arange(48), numpy.arange(64)) + noise
    image[16:24, 20:28] = 255 if spot else image[16:24, 20:28]
    return image.astype("uint8")

detector = differnet.Detector(preset="fast", input_size=96, scales=1).fit([part(seed) for seed in range(20)])
detector.save("part.dnm")
again = differnet.Detector.load("part.dnm")
assert again.predict([part(30), part(31, spot=True)]).tolist() == [1, -1]
box = again.explain(part(31, spot=True)).boxes[0]
assert box.x <= 24 < box.x + box.width and box.y <= 20 < box.y + box.height, box
print("installed", differnet.version())
"""


def run(*command, **options):
    """Runs a command; its output is shown where it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}")
    return done.stdout


def skip(reason):
    print(reason)
    sys.exit(77)


def clone(source, target):
    """What is in the source tree now, committed or not, as a repository: a source distribution is made of one."""
    listed = run("git", "-C", source, "ls-files", "-co", "--exclude-standard").splitlines()
    for name in filter(lambda name: (source / name).is_file(), listed):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / name, target / name)
    git = ("git", "-C", target, "-c", "user.name=test", "-c", "user.email=test@localhost")
    run(*git, "init", "-q")
    run(*git, "add", "-A")
    run(*git, "commit", "-q", "-m", "as it is")


def main():
    source = Path(sys.argv[1]).resolve()
    for module, package in (("mesonpy", "python3-mesonpy"), ("numpy", "python3-numpy"), ("ensurepip", "python3-venv")):
        if importlib.util.find_spec(module) is None:
            skip(f"{package} is missing: the Python package is not built")
    if shutil.which("git") is None or not (source / ".git").exists():
        skip("no git repository: the source distribution is not built")
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "LD_LIBRARY_PATH")}
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder)
        clone(source, stage / "clone")
        run(sys.executable, "-c", f"import mesonpy; mesonpy.build_sdist({str(stage)!r})", cwd=stage / "clone")
        archive, = stage.glob("differnet-*.tar.gz")
        with tarfile.open(archive) as packed:
            packed.extractall(stage)
        unpacked = stage / archive.name[:-len(".tar.gz")]
        assert (unpacked / "PKG-INFO").exists() and (unpacked / "lib/backbone/default.safetensors").exists()

        run(sys.executable, "-m", "venv", "--system-site-packages", stage / "venv")
        python = stage / "venv/bin/python"
        run(python, "-m", "pip", "install", "--no-build-isolation", "--no-index", "--no-cache-dir",
            "--config-settings", f"builddir={stage / 'build'}", ".", cwd=unpacked, env=environment)
        files = run(python, "-m", "pip", "show", "-f", "differnet", env=environment).split("Files:\n")[1].split()
        strange = [name for name in files if not name.startswith(("differnet/", "differnet-"))]
        assert not strange and "differnet/libdifferent.so" in files, files
        print(run(python, "-c", PROGRAM, cwd=folder, env=environment).strip())


if __name__ == "__main__":
    main()
