"""How many of the parsers' branches the corpora reach, of those that bytes can reach.

usage: reached.py COVERAGE.json       (gcovr's report, run from the top of the source tree)

no_bytes.txt, beside this file, lists lines of the sources: file, how many of the line's branches no bytes can reach, what
the line holds, and why.  A line that is not there any more, or whose branches were reached after all, is an error.
"""
import json
import sys
from pathlib import Path


def read_list(path):
    listed = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        parts = line.split(" | ")
        if len(parts) != 4:
            sys.exit("%s:%d: file | branches | text | reason" % (path, number))
        listed[parts[0], parts[2]] = int(parts[1])
    return listed


def main():
    listed = read_list(Path(__file__).with_name("no_bytes.txt"))
    used = set()
    total = taken = left_out = 0
    rest = []
    for file in json.loads(Path(sys.argv[1]).read_text())["files"]:
        source = Path(file["file"]).read_text().splitlines()
        for line in file["lines"]:
            branches = [branch["count"] for branch in line.get("branches", [])]
            if not branches or line.get("gcovr/noncode"):
                continue
            missed, text = branches.count(0), source[line["line_number"] - 1]
            for key in listed:
                if missed and key[0] == file["file"] and key[1] in text:
                    left_out += min(missed, listed[key])
                    missed = max(0, missed - listed[key])
                    total -= min(branches.count(0), listed[key])
                    used.add(key)
            total += len(branches)
            taken += len(branches) - branches.count(0)
            if missed:
                rest.append("%s:%d: %d of %d: %s" % (file["file"], line["line_number"], missed, len(branches), text.strip()))
    print("\n".join(rest))
    print("%d of %d branches reached: %.1f %%; %d others that no bytes reach (tests/fuzz/no_bytes.txt)"
          % (taken, total, 100 * taken / total, left_out))
    stale = [key for key in listed if key not in used]
    for file, text in stale:
        print("no_bytes.txt: reached, or gone: %s | %s" % (file, text))
    sys.exit(1 if stale else 0)


if __name__ == "__main__":
    main()
