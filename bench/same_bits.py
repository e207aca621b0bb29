#!/usr/bin/env python3
"""Tells whether two builds give the same bits: same_bits.py BUILD_BEFORE BUILD_AFTER

Trains, scores and maps with each build's command on the demo's parts and on a share of Magnetic Tile
($DIFFERNET_SHARED/data/mtd, default ../shared; left out, and said so, where it is missing).  Compares the bytes
of models, of what `score --json` prints, and of what `localize` writes.  For changes that must not change a result;
both builds on one machine, since other processors give other bits.  Exit status 1 if something differs."""
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TILES = pathlib.Path(os.environ.get("DIFFERNET_SHARED") or ROOT.parent / "shared") / "data/mtd"
TILES_TRAINED, TILES_SCORED = 24, 4

# Name -> options of `train`: features from a bank, or of fresh views.
TRAININGS = {"bank": ["--epochs", 4], "fresh": ["--epochs", 1, "--bank", 0, "--images", 8]}
SIZE = 256


def run(*command):
    command = [str(word) for word in command]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode not in (0, 1):  # 1: something is anomalous
        sys.exit(f"{' '.join(command)}: exit status {result.returncode}\n{result.stderr}")
    return result.stdout


def demo_parts(build, folder):
    names = [build / "tools/demo/differnet-demo-parts", build / "tools/differnet-demo-parts"]  # now, and before 0.1
    run(next((name for name in names if name.exists()), names[0]), folder, "--good", 16, "--defects", 1)
    return folder / "train/good", folder / "test"


def share_of_tiles(folder):
    for kind in ("train/good", *(f"test/{path.name}" for path in sorted((TILES / "test").iterdir()))):
        (folder / kind).mkdir(parents=True)
        count = TILES_TRAINED if kind == "train/good" else TILES_SCORED
        for path in sorted((TILES / kind).iterdir())[:count]:
            (folder / kind / path.name).symlink_to(path)
    return folder / "train/good", folder / "test"


def results(build, good, test, options, folder):
    """Name -> bytes of everything that this build makes of the images."""
    command, model = build / "tools/differnet", folder / "model.dnm"
    run(command, "train", good, "-o", model, "--input-size", SIZE, "--views", 8, "--threads", 2, "--quiet", *options)
    made = {"scores": run(command, "score", model, test, "--json", "--threads", 2).encode()}
    run(command, "localize", model, test, "-o", folder / "maps", "--views", 8, "--threads", 2, "--quiet")
    made.update((path.relative_to(folder).as_posix(), path.read_bytes())
                for path in sorted(folder.rglob("*")) if path.is_file())
    return made


def compare(name, before, after):
    """Prints what differs; how many things do."""
    different = [part for part in sorted(before.keys() | after.keys()) if before.get(part) != after.get(part)]
    print(f"{name}: {len(before)} results, " + (f"different: {', '.join(different)}" if different else "all the same"),
          flush=True)
    return len(different)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    builds = [pathlib.Path(argument).resolve() for argument in sys.argv[1:]]
    different = 0
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        sets = {"parts": demo_parts(builds[0], scratch / "parts")}
        if TILES.is_dir():
            sets["tiles"] = share_of_tiles(scratch / "tiles")
        else:
            print(f"{TILES} is missing: Magnetic Tile is left out")
        for name, (good, test) in sets.items():
            for training, options in TRAININGS.items():
                folders = [scratch / f"{name}-{training}-{i}" for i in range(2)]
                for folder in folders:
                    folder.mkdir()
                made = [results(build, good, test, options, folder)
                        for build, folder in zip(builds, folders)]
                different += compare(f"{name}, {training}", *made)
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
