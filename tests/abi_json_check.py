#!/usr/bin/env python3
"""Holds differnet.json against the header: usage: abi_json_check.py JSON INCLUDE_FOLDER MAP_FILE COMPILER...

The compiler says: every constant has its value, every struct its size, its fields and their offsets, every function and
callback its type.  The version map says whether functions are missing, the header's macros whether constants are.
"""
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path


def declared(type_, name, count=None):
    space = "" if type_.endswith("*") else " "
    return f"{type_}{space}{name}" + (f"[{count}]" if count else "")


def arguments(entry):
    return ", ".join(declared(p["type"], p["name"], p.get("count")) for p in entry["parameters"]) or "void"


def pointer(entry, name):
    return f"{entry['returns']} (*{name})({arguments(entry)})"


def probe(abi):
    """C source that compiles if all of the description is true."""
    yield "#include <stddef.h>\n#include <differnet.h>"
    for constant in abi["constants"]:
        yield f'_Static_assert({constant["name"]} == {constant["value"]!r}, "{constant["name"]}");'
    for entry in abi["types"]:
        yield f'_Static_assert(_Generic(({entry["name"]})0, {entry["is"]}: 1, default: 0), "{entry["name"]}");'
    for handle in abi["handles"]:
        yield f'extern {handle["name"]} *use_{handle["name"]};'
    for entry in abi["callbacks"]:
        yield f'{pointer(entry, "same_" + entry["name"])};'
        yield f'_Static_assert(_Generic(({entry["name"]})0, __typeof__(same_{entry["name"]}): 1, default: 0), "{entry["name"]}");'
    for struct in abi["structs"]:
        name, end = struct["name"], 0
        yield f'_Static_assert(sizeof({name}) == {struct["size"]}, "{name}");'
        for field in struct["fields"]:
            yield f'_Static_assert(offsetof({name}, {field["name"]}) == {field["offset"]}, "{name}.{field["name"]}");'
            if field["type"] == "function":
                type_ = pointer(field, f"same_{name}_{field['name']}")
            else:
                type_ = declared(field["type"], f"same_{name}_{field['name']}", field.get("count"))
            yield f"extern {type_};"
            yield (f'_Static_assert(__builtin_types_compatible_p(__typeof__((({name} *)0)->{field["name"]}), '
                   f'__typeof__(same_{name}_{field["name"]})), "{name}.{field["name"]}");')
            yield (f'_Static_assert({field["offset"]} - {end} < 8, "{name}: something is missing before {field["name"]}");')
            end = f'(int)(offsetof({name}, {field["name"]}) + sizeof(same_{name}_{field["name"]}))'
        yield f'_Static_assert((int)sizeof({name}) - {end} < 8, "{name}: something is missing at its end");'
    for entry in abi["functions"]:
        yield f'extern {pointer(entry, "use_" + entry["name"])};'
        yield f'{pointer(entry, "use_" + entry["name"])} = {entry["name"]};'


def main():
    path, include, version_map, *compiler = sys.argv[1:]
    abi = json.loads(Path(path).read_text(encoding="utf-8"))
    header = (Path(include) / "differnet.h").read_text(encoding="utf-8")
    exported = set(re.findall(r"^\s+(dn_\w+);", Path(version_map).read_text(encoding="utf-8"), flags=re.M))
    macros = set(re.findall(r"^#define (DN_\w+)[ \t]+[(\d-]", header, flags=re.M))
    structs = set(re.findall(r"^typedef struct (dn_\w+) \{", header, flags=re.M))
    for what, here, there in (("functions", exported, abi["functions"]), ("constants", macros, abi["constants"]),
                              ("structs", structs, abi["structs"])):
        if different := here ^ {entry["name"] for entry in there}:
            print(f"{what} that one of both has: {sorted(different)}")
            return 1
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "probe.c"
        source.write_text("\n".join(probe(abi)), encoding="utf-8")
        done = subprocess.run([*compiler, "-std=gnu11", "-Wall", "-Werror", "-fsyntax-only", f"-I{include}", str(source)],
                              check=False)
    print(f"{len(abi['functions'])} functions, {len(abi['structs'])} structs, {len(abi['constants'])} constants")
    documented = sum("doc" in entry for entry in abi["functions"])
    if documented < len(abi["functions"]) * 0.7:
        print(f"only {documented} functions have their comment")
        return 1
    return 1 if done.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
