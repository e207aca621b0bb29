#!/usr/bin/env python3
"""Checks what the compiler does not: usage: abi_check.py SOURCE_FOLDER [LIBRARY]

- the functions in include/differnet.h, in lib/differnet.map and exported by the library are the same;
- the library calls nothing that prints, ends the process or changes its settings, and has no writable globals;
- the layers include only what docs/architecture.md allows, and file names are unique.

Prints every violation; exit status 1 if there is one, 77 (skipped) if `nm` is missing and all else is well.
"""
import re
import shutil
import subprocess
import sys
from pathlib import Path

# Folder of lib/ -> folders whose headers it may include.
LAYERS = {
    "backbone": {"backbone"},
    "base": {"base"},
    "nn": {"nn", "base"},
    "image": {"image", "base"},
    "format": {"format", "base"},
    "flow": {"flow", "nn", "format", "base"},
    "positions": {"positions", "format", "base"},
    "cnn": {"cnn", "nn", "image", "format", "base"},
    "differnet": {"differnet", "cnn", "positions", "flow", "nn", "image", "format", "base"},
    "train": {"train", "differnet", "cnn", "positions", "flow", "nn", "image", "format", "base"},
}

# Header of another library -> the one file that may include it.
ONLY_INCLUDERS = {
    "cblas.h": ("lib/base/blas.c",),
    "png.h": ("lib/image/codec_png.c",),
    "jpeglib.h": ("lib/image/codec_jpeg.c", "tools/jpeg_writer.c"),
    "jansson.h": ("tools/convert/tensor_file.c",),
    "tiffio.h": ("lib/image/codec_tiff.c",),
}

# What a library must not do behind its host's back.
FORBIDDEN_CALLS = {
    "printf", "__printf_chk", "fprintf", "__fprintf_chk", "vprintf", "vfprintf", "__vfprintf_chk", "puts", "putchar",
    "fputs", "perror", "exit", "_exit", "abort", "getenv", "secure_getenv", "setenv", "putenv", "setlocale", "signal",
    "sigaction", "atexit", "fork", "system", "popen", "chdir", "umask", "rand", "srand", "socket", "connect",
    "getaddrinfo", "fesetround", "feenableexcept",
    # These read numbers as the host's locale has them.
    "strtod", "strtof", "strtold", "atof", "sscanf", "__isoc99_sscanf", "__isoc23_sscanf",
}

# The tables that tests replace.  Names that start with __, and completed.0, come with the compiler.
WRITABLE_GLOBALS = {"blas_reserved", "file_table", "mem_table", "completed.0"}

problems = []


def problem(text):
    problems.append(text)
    print(text)


def without_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S)


def relative(path, root):
    return path.relative_to(root).as_posix()


def sources(root, *folders):
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".c", ".h", ".cpp", ".hpp"):
                yield path


def includes(path):
    """(kind, name) of each #include; kind is '"' or '<'."""
    text = without_comments(path.read_text(encoding="utf-8"))
    return re.findall(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', text, flags=re.M)


# ---- names ----

def header_functions(root):
    """Every function that the public header declares; each must carry DN_API."""
    text = without_comments((root / "include/differnet.h").read_text(encoding="utf-8"))
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", "", text, flags=re.M)
    exported = set(re.findall(r"\bDN_API\b[^;{}()]*?\b(\w+)\s*\(", text))
    declared = set(re.findall(r"\b(dn_\w+)\s*\(", text))
    for name in sorted(declared - exported):
        problem(f"include/differnet.h: {name} is declared without DN_API")
    return exported


def map_functions(root):
    text = (root / "lib/differnet.map").read_text(encoding="utf-8")
    text = re.sub(r"#[^\n]*", "", text)
    names = re.findall(r"\b(\w+);", "".join(re.findall(r"global:(.*?)(?:local:|\})", text, flags=re.S)))
    for name in sorted({name for name in names if names.count(name) > 1}):
        problem(f"lib/differnet.map: {name} is listed twice")
    if "*;" not in re.sub(r"\s", "", text.split("local:")[-1]):
        problem("lib/differnet.map: no `local: *;`")
    return set(names)


def compare(first, first_names, second, second_names):
    for name in sorted(first_names - second_names):
        problem(f"{name} is in {first}, but not in {second}")
    for name in sorted(second_names - first_names):
        problem(f"{name} is in {second}, but not in {first}")


def nm(library, *options):
    lines = subprocess.run(["nm", *options, str(library)], check=True, capture_output=True, text=True).stdout
    return lines.splitlines()


def exported_functions(library):
    """Defined dynamic symbols without their version; the version nodes themselves (type A) are none."""
    names = set()
    for line in nm(library, "-D", "--defined-only"):
        fields = line.split()
        if fields[-2] != "A":
            names.add(fields[-1].split("@")[0])
    for name in sorted(names):
        if not name.startswith("dn_"):
            problem(f"the library exports {name}, which does not start with dn_")
    return names


def check_imports(library):
    for line in nm(library, "-D", "--undefined-only"):
        name = line.split()[-1].split("@")[0]
        if name in FORBIDDEN_CALLS:
            problem(f"the library calls {name}")


def check_globals(library):
    for line in nm(library, "--format=sysv"):
        fields = [field.strip() for field in line.split("|")]
        if len(fields) != 7 or fields[3] not in ("OBJECT", "TLS"):
            continue
        name, section = fields[0], fields[6]
        writable = re.fullmatch(r"\.(data|bss|tdata|tbss)", section)
        if writable and name not in WRITABLE_GLOBALS and not name.startswith("__"):
            problem(f"the library has a writable global {name} in {section}")


def check_library(library, functions):
    compare("include/differnet.h", functions, "the library", exported_functions(library))
    instrumented = any("__asan_" in line or "__ubsan_" in line or "__tsan_" in line or "__gcov_" in line
                       for line in nm(library, "-D", "--undefined-only") + nm(library))
    if instrumented:
        print("note: instrumented library; its calls and globals are not checked")
        return
    check_imports(library)
    check_globals(library)


# ---- includes ----

def check_library_includes(root):
    own_headers = {path.name for path in sources(root, "lib")} | {"differnet.h"}
    for path in sources(root, "lib"):
        name = relative(path, root)
        layer = path.parent.name if path.parent != root / "lib" else None
        if layer is not None and layer not in LAYERS:
            problem(f"{name}: folder {layer} is no layer")
            continue
        is_api = layer is None and re.fullmatch(r"api(_\w+\.c|\.h)", path.name)
        if layer is None and not is_api:
            problem(f"{name}: only api.h and api_*.c lie in lib/ itself")
        listed = includes(path)
        if path.name.startswith("api_") and (not listed or listed[0] != ('"', "api.h")):
            problem(f"{name}: its first include is not api.h")
        for kind, header in listed:
            if kind == "<":
                if header in own_headers:
                    problem(f"{name}: includes <{header}>, an own header, with <>")
                continue
            if header == "differnet.h" or (is_api and header == "api.h"):
                continue
            folder = header.split("/")[0] if "/" in header else None
            if folder is None:
                problem(f"{name}: includes \"{header}\" without its folder")
            elif layer is not None and folder not in LAYERS[layer]:
                problem(f"{name}: {layer} must not include {header}")
            if not (root / "lib" / header).is_file():
                problem(f"{name}: includes {header}, which is not in lib/")


def check_program_includes(root):
    """Programs and tests of the API see the public header and headers beside themselves."""
    programs = list(sources(root, "tools", "examples"))
    programs += sorted((root / "tests").glob("test_api_*.c")) + sorted((root / "tests").glob("header_test.*"))
    for path in programs:
        for kind, header in includes(path):
            inside = (root / "lib" / header).is_file()
            beside = (path.parent / header).is_file() or \
                (path.is_relative_to(root / "tools") and (root / "tools" / header).is_file())
            if header == "differnet.h" or (kind == '"' and beside and not inside):
                continue
            if kind == '"' or inside:
                problem(f"{relative(path, root)}: includes {header}; only differnet.h and its own folder are allowed")


def check_only_includers(root):
    for path in sources(root, "lib", "tools", "examples", "bench"):
        name = relative(path, root)
        for _, header in includes(path):
            if name not in ONLY_INCLUDERS.get(header, name):
                problem(f"{name}: only {', '.join(ONLY_INCLUDERS[header])} includes {header}")


def check_header_alone(root):
    for kind, header in includes(root / "include/differnet.h"):
        if kind == '"' or header not in ("stddef.h", "stdint.h"):
            problem(f"include/differnet.h: includes {header}")


def check_cpp_header(root, functions):
    text = without_comments((root / "include/differnet.hpp").read_text(encoding="utf-8"))
    wrapped = set(re.findall(r"\bdn_\w+", text))
    for name in sorted(functions - wrapped):
        problem(f"{name} is not wrapped in include/differnet.hpp")
    for kind, header in includes(root / "include/differnet.hpp"):
        if kind == '"' and header != "differnet.h":
            problem(f"include/differnet.hpp: includes {header}")


def check_unique_names(root):
    seen = {"differnet.h": "include/differnet.h"}
    for path in sources(root, "lib", "tools"):
        name = relative(path, root)
        if path.name in seen:
            problem(f"{name}: {seen[path.name]} has the same file name")
        seen[path.name] = name


def main():
    root = Path(sys.argv[1]).resolve()
    functions = header_functions(root)
    compare("include/differnet.h", functions, "lib/differnet.map", map_functions(root))
    check_header_alone(root)
    check_cpp_header(root, functions)
    check_library_includes(root)
    check_program_includes(root)
    check_only_includers(root)
    check_unique_names(root)
    skipped = len(sys.argv) > 2 and not shutil.which("nm")
    if skipped:
        print("nm is missing: the library's symbols are not checked")
    elif len(sys.argv) > 2:
        check_library(sys.argv[2], functions)
    if problems:
        return 1
    print(f"{len(functions)} functions, no violation")
    return 77 if skipped else 0


if __name__ == "__main__":
    sys.exit(main())
