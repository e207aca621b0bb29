#!/usr/bin/env python3
"""Clang reads every C source with the build's own flags and has no warning; skipped (77) where clang is missing.

usage: check_clang.py BUILD_FOLDER
"""
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

if not shutil.which("clang"):
    print("skipped: clang is missing")
    sys.exit(77)

sources = {}
for entry in json.loads((Path(sys.argv[1]) / "compile_commands.json").read_text()):
    if entry["file"].endswith(".c"):
        sources.setdefault(str((Path(entry["directory"]) / entry["file"]).resolve()), entry)
if not sources:
    sys.exit("compile_commands.json names no C source")

# Of the compiler's command only what the preprocessor and the warnings go by; the output, dependencies and gcc's own
# options stay behind.
KEPT = ("-I", "-D", "-U", "-W", "-std=", "-m", "-isystem", "-idirafter", "-pthread", "-pedantic")
DROPPED = ("-Werror", "-Wp,", "-Wl,")
bad = 0
for source, entry in sorted(sources.items()):
    flags = [flag for flag in shlex.split(entry["command"]) if flag.startswith(KEPT) and not flag.startswith(DROPPED)]
    command = ["clang", "-fsyntax-only", "-Werror", "-Wno-unknown-warning-option", *flags, source]
    bad += subprocess.run(command, cwd=entry["directory"]).returncode != 0
print("%d sources, %d with warnings" % (len(sources), bad))
sys.exit(bad != 0)
