#!/usr/bin/env python3
"""Writes the files of the report's page as C source (page.h): page_css of page.css, and so on.

usage: embed.py OUT FILE...

Single characters, not string literals: those may not be this long everywhere.
"""
import os
import sys

out, files = sys.argv[1], sys.argv[2:]
with open(out, "w", encoding="ascii") as source:
    source.write('#include "report/page.h"\n')
    for name in files:
        with open(name, "rb") as file:
            data = file.read()
        source.write(f"\nconst char {os.path.basename(name).replace('.', '_')}[] = {{\n")
        for first in range(0, len(data), 16):
            source.write("".join(f"'\\{byte:03o}'," for byte in data[first:first + 16]) + "\n")
        source.write("0};\n")
