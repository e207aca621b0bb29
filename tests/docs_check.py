#!/usr/bin/env python3
"""Runs what docs/tutorial.md and docs/cookbook.md say, as a reader would, from the archive that `meson dist` makes.

usage: docs_check.py SOURCE_ROOT

Of each page all ```sh blocks are one shell session (a failure ends it); the cookbook goes on where the tutorial stopped.  A
block of another language is a file, whose name stands in its first line ("/* inspect.c: ..." or "# watch.py: ..."), and a
later sh block must name it.  ```text is not run.  77 (skipped) where the sources are no git repository.
"""
import os
import re
import subprocess
import sys
import tempfile

LANGUAGES = ("sh", "c", "cpp", "python", "text")
PAGES = ("docs/tutorial.md", "docs/cookbook.md")
source = os.path.abspath(sys.argv[1])


def give_up(text):
    sys.exit("docs_check: " + text)


def blocks_of(page):
    """[(language, number of the first line, text), ...]"""
    blocks, language = [], None
    with open(os.path.join(source, page), encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.startswith("```"):
                if language is not None:
                    blocks[-1][2].append(line)
            elif language is None:
                language = line[3:].strip()
                if language not in LANGUAGES:
                    give_up(f"{page}:{number}: a block of {language or 'no language'}; there are {', '.join(LANGUAGES)}")
                blocks.append((language, number + 1, []))
            else:
                language = None
    return [(language, number, "".join(lines)) for language, number, lines in blocks]


def script_of(page):
    """A shell script of the page's blocks, which tells the line where it fails."""
    script, files, shell = [f"trap 'echo {page}:$at fails >&2' ERR"], {}, []
    for language, number, text in blocks_of(page):
        if language == "sh":
            script.append(f"at={number}\necho '== {page}:{number}'\n{text}")
            shell.append((number, text))
        elif language != "text":
            name = re.match(r"(?:/\*|//|#) (\w+\.\w+):", text)
            if not name:
                give_up(f"{page}:{number}: the first line names no file")
            files[name[1]] = number
            script.append(f"cat >{name[1]} <<'END OF {name[1]}'\n{text}END OF {name[1]}")
    for name, number in files.items():
        if not any(at > number and name in text for at, text in shell):
            give_up(f"{page}:{number}: {name} is not used by a later command")
    if not shell:
        give_up(f"{page}: no commands")
    return "\n".join(script)


def unpack(folder):
    """The archive of what is committed; returns its folder."""
    dist = os.path.join(folder, "dist")
    subprocess.run(["meson", "setup", dist, source, "-Dtests=disabled", "-Dtools=disabled"], check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run(["meson", "dist", "-C", dist, "--no-tests", "--formats", "gztar", "--allow-dirty"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    archive, = (name for name in os.listdir(os.path.join(dist, "meson-dist")) if name.endswith(".tar.gz"))
    subprocess.run(["tar", "xf", os.path.join(dist, "meson-dist", archive), "-C", folder], check=True)
    return os.path.join(folder, archive[:-len(".tar.gz")])


def main():
    scripts = [script_of(page) for page in PAGES]
    if subprocess.run(["git", "-C", source, "rev-parse", "HEAD"], capture_output=True).returncode != 0:
        print("skipped: the sources are no git repository, so there is no archive of them")
        return 77
    with tempfile.TemporaryDirectory(prefix="differnet-docs-") as folder:
        unpacked = unpack(folder)
        tools = os.path.join(folder, "tools")
        os.mkdir(tools)
        os.symlink(sys.executable, os.path.join(tools, "python3"))  # Debian's, whichever is first for the user
        environment = dict(os.environ, HOME=folder, PATH=tools + os.pathsep + os.environ["PATH"])
        environment.setdefault("CCACHE_DIR", os.path.expanduser("~/.cache/ccache"))  # a compiler cache stays the user's
        for name in ("LD_LIBRARY_PATH", "PYTHONPATH", "PKG_CONFIG_PATH", "DESTDIR"):
            environment.pop(name, None)
        script = "\n".join(["set -Eeuo pipefail", *scripts])
        done = subprocess.run(["bash", "-c", script], cwd=unpacked, env=environment, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            give_up("see above")
    return 0


sys.exit(main())
