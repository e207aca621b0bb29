"""Workers: processes that hold one engine each, do nothing until asked, and time what they are asked for.

A worker writes one line when it is ready, `ready {JSON: facts about it}` or `absent WHY`.  Then it answers each line it
reads with one line of numbers, the first of which is seconds; it ends when its input does.  What else it or its
libraries print goes to standard error.
"""
import json
import os
import subprocess
import sys
import tempfile

SLOWING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # set, they halve OpenBLAS on some machines


class Absent(Exception):
    """An engine that cannot be had here; the text says why."""


class Failed(Exception):
    """A worker ended, or answered what it should not."""


def clean_environment(threads):
    """This process' environment without what slows OpenBLAS, every library of threads at `threads`."""
    kept = {name: value for name, value in os.environ.items()
            if name not in SLOWING and not name.startswith(("OMP_", "GOMP_", "KMP_", "ORT_", "OV_"))}
    counts = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    return {**kept, **{name: str(threads) for name in counts}}


class Worker:
    """The asking side."""

    def __init__(self, name, command, threads):
        self.name, self._errors = name, tempfile.TemporaryFile("w+")
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                             stderr=self._errors, env=clean_environment(threads))
        except OSError as problem:
            self._errors.close()
            raise Absent(f"{command[0]}: {problem.strerror}")
        word, _, rest = self._read().partition(" ")
        if word == "absent":
            self.close()
            raise Absent(rest)
        if word != "ready":
            raise self._failure(f"began with {word!r}")
        self.facts = json.loads(rest)

    def _read(self):
        line = self._process.stdout.readline()
        if not line.endswith("\n"):
            raise self._failure("ended")
        return line.rstrip("\n")

    def _failure(self, what):
        self._process.kill()
        self._process.wait()
        self._errors.seek(0)
        told = self._errors.read().strip().splitlines()
        self.close()
        return Failed(f"{self.name}: {what}{': ' + told[-1] if told else ''}")

    def ask(self, request):
        """The numbers of the answer."""
        try:
            self._process.stdin.write(request + "\n")
            self._process.stdin.flush()
        except OSError:
            raise self._failure("ended")
        answer = self._read()
        try:
            return [float(number) for number in answer.split()]
        except ValueError:
            raise self._failure(f"{request}: {answer!r} are no numbers")

    def close(self):
        """Ends the process: it has nothing to lose."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdout, self._errors):
            stream.close()
        try:
            self._process.stdin.close()
        except OSError:  # a request that was never read
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def serve(start):
    """The answering side.  start() -> (facts, answer); answer(words of a request) -> numbers."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    try:
        facts, answer = start()
    except (ImportError, Absent) as problem:
        out.write(f"absent {str(problem).splitlines()[0]}\n")
        return
    out.write(f"ready {json.dumps(facts)}\n")
    for line in sys.stdin:
        out.write(" ".join(repr(float(number)) for number in answer(line.split())) + "\n")
