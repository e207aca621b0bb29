#!/usr/bin/env python3
"""Compares the library's JSON with Python's: usage: compare_json.py JSON_FILTER

Documents that are made at random, valid ones and damaged ones, go through the library's reader and writer (the program
JSON_FILTER).  It must accept what Python's json accepts and refuse the rest, and bring the same values back: numbers
with the same bits.  What the library refuses beyond that is known here: a text with NUL or half a surrogate pair,
more than 64 levels, a number of more than 128 bytes, and bytes that are no UTF-8.
"""
import json
import math
import random
import re
import struct
import subprocess
import sys
from fractions import Fraction

REFUSED = 0xFFFFFFFF
MAX_DEPTH, MAX_NUMBER = 64, 128
TOO_LARGE = "too large"  # what the program makes of numbers that no double holds


def no_constant(name):
    raise ValueError(name)  # NaN, Infinity: Python's own


def number(text):
    """A number as the library has it: an integer where it fits into 64 bits, else the nearest double, as a fraction so
    that the two can be compared."""
    if re.fullmatch("-?[0-9]{1,19}", text) and -2**63 <= int(text) < 2**63:
        return Fraction(int(text))
    value = float(text)
    return TOO_LARGE if math.isinf(value) else Fraction(value)


class Object(list):
    """The pairs of an object: of equal keys a dict would keep the last one only."""


def python_reads(document):
    """(True, value) or (False, None)."""
    try:
        return True, json.loads(document.decode("utf-8"), parse_constant=no_constant, parse_int=number,
                                parse_float=number, object_pairs_hook=Object)
    except (ValueError, RecursionError):
        return False, None


def inner_values(value):
    return [pair[1] for pair in value] if isinstance(value, Object) else value if isinstance(value, list) else []


def depth(value):
    return (1 + max(map(depth, inner_values(value)), default=0)) if isinstance(value, list) else 0


def texts(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, Object):
        yield from (key for key, _ in value)
    for inner in inner_values(value):
        yield from texts(inner)


def beyond_limits(document, value):
    """What Python accepts and the library must refuse."""
    if depth(value) > MAX_DEPTH or any(re.search("[\0\ud800-\udfff]", text) for text in texts(value)):
        return True
    return any(len(found) > MAX_NUMBER for found in re.findall(rb"-?[0-9][0-9.eE+-]*", document))


def digits(number_text):
    """Those that count, without an exponent."""
    return number_text.split(b"e")[0].replace(b"-", b"").replace(b".", b"").strip(b"0")


# ---- documents ----

def make_number(rng):
    kind = rng.randrange(8)
    if kind == 0:
        return repr(struct.unpack("<d", rng.randbytes(8))[0])
    if kind == 1:
        return str(rng.choice([-1, 1]) * rng.choice([0, 1, 2**31, 2**53, 2**53 + 1, 2**63, 2**63 - 1, 2**64, 10**30]))
    if kind == 2:
        return f"{rng.choice(['', '-'])}{rng.randrange(1000)}.{rng.randrange(10**9)}e{rng.randrange(-340, 320)}"
    if kind == 3:
        return f"{rng.random():.{rng.randrange(1, 60)}f}"
    if kind == 4:  # between two doubles, or nearly
        value = struct.unpack("<d", struct.pack("<Q", rng.randrange(0x3C00 << 48, 0x4400 << 48)))[0]
        ahead = math.nextafter(value, math.inf)
        scaled = (value.as_integer_ratio(), ahead.as_integer_ratio())
        top = scaled[0][0] * scaled[1][1] + scaled[1][0] * scaled[0][1]
        bottom = 2 * scaled[0][1] * scaled[1][1]
        digits = 100
        return f"{top * 10**digits // bottom + rng.choice([-1, 0, 0, 1])}e-{digits}"
    if kind == 5:
        return rng.choice(["0", "-0", "0.0", "-0.0", "5e-324", "2.4703282292062327e-324", "2.4703282292062328e-324",
                           "1.7976931348623157e308", "1.7976931348623158e308", "1.7976931348623159e308", "1e309",
                           "-1e400", "1e-400", "1E+2", "1e-0", "9" * 128, "9" * 129, "0." + "0" * 120 + "1",
                           "1e99999999999", "1e-99999999999", "0e99999999999"])
    if kind == 6:
        return rng.choice(["01", "-", "+1", ".5", "1.", "1e", "1e+", "0x1", "1_0", "NaN", "Infinity", "-Infinity",
                           "00"])
    return str(rng.randrange(-1000, 1000))


def make_text(rng):
    alphabet = ["a", "\\\"", "\\\\", "\\/", "\\n", "\\u0041", "\\u00e9", "\\uD83D\\uDE00", "é", "\u20ac", "\U0001F600",
                "\x7f", " ", "\\b", "\\f", "\\r", "\\t", "'", "\\u001f", "\\uffff"]
    odd = ["\\u0000", "\\ud800", "\\udc00", "\\ud800\\u0041", "\\x41", "\n", "\\u12g4", "\\", "\x1f", "\\ud83d\\ud83d"]
    return '"' + "".join(rng.choice(odd if rng.random() < 0.01 else alphabet) for _ in range(rng.randrange(8))) + '"'


def make_value(rng, level):
    kind = rng.randrange(8 if level > 0 else 5)
    blank = rng.choice(["", "", "", " ", "\n\t\r "])
    if kind < 2:
        return blank + make_number(rng)
    if kind < 4:
        return make_text(rng) + blank
    if kind == 4:
        return blank + rng.choice(["true", "false", "null"])
    inner = [make_value(rng, level - 1) for _ in range(rng.randrange(5))]
    if kind == 5:
        return "[" + blank + ",".join(inner) + "]"
    return "{" + blank + ",".join(make_text(rng) + blank + ":" + value for value in inner) + blank + "}"


def damage(rng, document):
    document = bytearray(document)
    for _ in range(rng.randrange(1, 3)):
        place = rng.randrange(len(document) + 1)
        kind = rng.randrange(3)
        if kind == 0 and document:
            document[place % len(document)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            document[place:place] = rng.choice([b",", b"[", b"]", b"{", b"}", b'"', b":", b"0", b" ", b"\xff", b"\0"])
        else:
            del document[place:place + rng.randrange(1, 4)]
    return bytes(document)


def documents():
    rng = random.Random(17)
    yield from (b"", b" ", b"\xef\xbb\xbf1", b"[" * 64 + b"]" * 64, b"[" * 65 + b"]" * 65,
                b'{"a":' * 64 + b"1" + b"}" * 64,
                b'{"a":' * 65 + b"1" + b"}" * 65, b"[" * 100000, b"1 2", b"[1] x", b"tru", b"nul", b"\x0b1")
    for _ in range(6000):
        document = make_value(rng, 4).encode("utf-8", "surrogatepass")
        yield document
        yield damage(rng, document)
    for _ in range(6000):
        yield make_number(rng).encode()
    for exponent in range(-1074, 1024):  # where the neighbours lie at different distances
        yield repr(math.ldexp(1.0, exponent)).encode()


def answers(program, given):
    sent = b"".join(struct.pack("<I", len(document)) + document for document in given)
    received = subprocess.run([program], input=sent, capture_output=True, check=True).stdout
    at = 0
    for _ in given:
        size = struct.unpack_from("<I", received, at)[0]
        at += 4
        if size == REFUSED:
            yield None
        else:
            yield received[at:at + size]
            at += size
    assert at == len(received)


def main():
    given = list(documents())
    wrong = accepted = 0
    for document, answer in zip(given, answers(sys.argv[1], given)):
        good, expected = python_reads(document)
        strict = good and not beyond_limits(document, expected)
        if answer is None:
            fine = not strict
        elif re.fullmatch(rb"[0-9.e+-]+", document) and b"." in answer and len(digits(answer)) > 1:
            accepted += 1  # a single number: Python's repr has the fewest digits too
            fine = strict and python_reads(answer) == (True, expected) and \
                len(digits(answer)) == len(digits(repr(float(document)).encode()))
        else:
            accepted += 1
            fine = strict and python_reads(answer) == (True, expected)
        if not fine:
            wrong += 1
            print(f"{document[:200]!r}: {answer!r}, expected {'a value' if good else 'a refusal'}")
    print(f"{len(given)} documents, {accepted} accepted by both, {wrong} wrong")
    if accepted < 5000 or accepted > len(given) - 2000:
        print("the documents do not test both")
        return 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
