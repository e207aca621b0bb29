#!/usr/bin/env python3
"""Compares what meson and CMake compile the library from, and with: usage: compare_builds.py MESON CMAKE

Both are files compile_commands.json.  The files must be the same, and so must the definitions and those options that
change what the code does.  Exit status 1 if they differ.
"""
import json
import re
import shlex
import sys

# Definitions that are a matter of the build: fortification follows the kind of build, the other is CMake's own.
IGNORED = re.compile(r"_FORTIFY_SOURCE|differnet_EXPORTS|DN_STATIC|NDEBUG")
# Options that count: the last one of each kind.
KINDS = re.compile(r"-std=|-ffp-contract=|-f(no-)?math-errno|-fvisibility=|-fPIC|-m|--param=|-fstack-|-fcf-")


def library_files(path):
    """File below lib/ -> (definitions, options)."""
    found = {}
    with open(path, encoding="utf-8") as file:
        commands = json.load(file)
    for command in commands:
        name = re.search(r"(?:^|/)lib/((?:\w+/)?\w+\.(?:c|S))$", command["file"])
        words = shlex.split(command["command"])
        if not name or "/tests/" in command["file"]:
            continue
        definitions, options = set(), {}
        for word in words:
            if word.startswith("-D") and not IGNORED.search(word):
                definitions.add(word[2:].removesuffix("=1"))
            elif KINDS.match(word):
                kind = re.sub(r"=.*|no-", "", word)
                options[kind] = word
        assembled = name[1].endswith(".S")
        # The assembler's input is a copy in meson's build; what it is compiled with matters little.
        key = "backbone/embedded.S" if assembled else name[1]
        found[key] = None if assembled else (definitions, set(options.values()))
    return found


def main():
    meson, cmake = (library_files(path) for path in sys.argv[1:])
    # meson lists no generated file under its source's name.
    meson.pop("backbone/embedded_backbone.S", None)
    differ = []
    for name in sorted(meson.keys() | cmake.keys()):
        if name not in cmake:
            differ.append(f"{name}: only meson compiles it")
        elif name not in meson:
            differ.append(f"{name}: only CMake compiles it")
        elif meson[name] != cmake[name]:
            for what, ours, theirs in zip(("definitions", "options"), meson[name], cmake[name]):
                if ours != theirs:
                    differ.append(f"{name}: {what}: only meson {sorted(ours - theirs)}, only CMake {sorted(theirs - ours)}")
    print("\n".join(differ) or f"{len(meson)} files, compiled alike")
    return 1 if differ or len(meson) < 50 else 0


if __name__ == "__main__":
    sys.exit(main())
