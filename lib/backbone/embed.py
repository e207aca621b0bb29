#!/usr/bin/env python3
"""Writes default.safetensors as C source (embedded.h), for object files that are not ELF.

usage: embed.py IN OUT

String literals: an initialiser of five million numbers would take the compiler a gigabyte.
"""
import sys

LINE = 64  # bytes

source, out = sys.argv[1:]
with open(source, "rb") as file:
    data = file.read()
with open(out, "w", encoding="ascii") as file:
    file.write('#include "backbone/embedded.h"\n\n')
    # Longer than every compiler must allow; those that say so allow it.
    file.write('#ifdef __GNUC__\n#pragma GCC diagnostic ignored "-Woverlength-strings"\n#endif\n\n')
    file.write(f"const uint64_t embedded_backbone_size = {len(data)};\n")
    file.write(f"const _Alignas(64) uint8_t embedded_backbone[{len(data)}] =\n")
    for first in range(0, len(data), LINE):
        file.write('"' + "".join(f"\\{byte:03o}" for byte in data[first:first + LINE]) + '"\n')
    file.write(";\n")
