"""Calls of the library: found, arguments checked, errors raised, interruptible."""
from __future__ import annotations

import ctypes
import functools
import operator
import os
import queue
import threading
import types
from typing import Any, Callable, Dict, List, NoReturn, Optional, Tuple, Type

from ._abi import _FUNCTIONS, _LETTERS, _double, _float, _text, dn_error
from ._constants import E_THREAD, OK
from ._types import Info, Path


class Error(Exception):
    """A call of the library failed.  status: one of E_...; str(): what, which file, what to do."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


_library: Any = None


def load(path: Optional[Path] = None) -> None:
    """Loads the library from `path`, or from this package, or from where the dynamic linker finds it.  Called by itself
    on first use."""
    global _library
    if path is None:
        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "libdifferent.so")  # of pip's package
        if not os.path.exists(path):
            path = "libdifferent.so.0"
    try:
        loaded = ctypes.CDLL(os.fspath(path))
    except OSError as error:
        raise OSError(f"libdifferent cannot be loaded ({error}); run ldconfig after the installation, or name the "
                      "file: differnet.load('/path/to/libdifferent.so')") from None
    for name, letters in _FUNCTIONS.items():
        try:
            function = getattr(loaded, name)
        except AttributeError:
            raise OSError(f"{path} has no {name}: it is older than this package; install both from the same source, or "
                          "name the right file: differnet.load('/path/to/libdifferent.so')") from None
        function.restype = _LETTERS[letters[0]]
        function.argtypes = [_LETTERS[letter] for letter in letters[1:]]
    _library = loaded


def library() -> ctypes.CDLL:
    """The library as a ctypes.CDLL, for what this package does not wrap; library()._name is the file."""
    if _library is None:
        load()
    return _library


def _function(name: str) -> Any:
    return getattr(library(), name)


def _integer(value: Any, kind: Any, what: str) -> int:
    """An integer that fits `kind`: ctypes itself would drop the bits that do not."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{what}: an integer is needed, not {type(value).__name__}") from None
    if kind(number).value != number:
        raise ValueError(f"{what}: {number} does not fit in {8 * ctypes.sizeof(kind)} bits")
    return number


def _real(value: Any, kind: Any, what: str) -> float:
    try:
        return kind(value).value
    except TypeError:
        raise TypeError(f"{what}: a number is needed, not {type(value).__name__}") from None


def _path(value: Path) -> bytes:
    """A path as the library takes it."""
    path = os.fsencode(value)
    if b"\0" in path:
        raise ValueError(f"a path with a NUL character: {value!r}")
    return path


def _utf8(value: str) -> bytes:
    """A text as the library takes it."""
    if not isinstance(value, str):
        raise TypeError(f"a text is needed, not {type(value).__name__}")
    if "\0" in value:
        raise ValueError(f"a text with a NUL character: {value!r}")
    return value.encode("utf-8", "surrogateescape")  # the library refuses what is no UTF-8


def _bound(name: str, *arguments: Any) -> Callable[[], Any]:
    """The call of a function with its arguments checked.  It keeps alive what they point to, handles included."""
    given = []
    for letter, value in zip(_FUNCTIONS[name][1:], arguments):
        if letter in "iIuzw":
            value = _integer(value, _LETTERS[letter], name)
        elif letter in "fd":
            value = _real(value, _LETTERS[letter], name)
        elif hasattr(value, "_held"):  # a _Handle
            value = value._held()
        given.append(value)
    return functools.partial(_function(name), *given)


def _value(name: str, *arguments: Any) -> Any:
    """What a function returns that takes no time."""
    return _bound(name, *arguments)()


class _Job:
    """A call of the library that the calling thread can be interrupted in.

    Python handles signals in the main thread, between two bytecodes of its own: not while it is in the library, and
    not reliably in a callback from there, whose first bytecode may be the one that raises KeyboardInterrupt.  So a
    helper thread makes the call, and the caller waits for it, and calls progress.
    """

    _patience: Optional[float] = 0.3  # seconds that an interrupted caller gives the call to end

    def __init__(self, progress: Optional[Callable[[Info], Any]] = None) -> None:
        self.caller = threading.get_ident()
        self.abandoned = False
        self._progress = progress
        self._news: queue.SimpleQueue[Tuple[bool, Any]] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._ended = threading.Event()

    def do(self, work: Callable[[], Any]) -> Any:
        """What work() returns."""
        if self._progress is None and self.caller != threading.main_thread().ident:
            return work()  # no signal is handled here
        try:
            if self._start(work):
                return self._wait()
        except BaseException:
            self.abandoned = True
            self._answers.put(True)
            self._ended.wait(self._patience)
            raise
        if self._progress is not None:
            raise Error(E_THREAD, "a thread could not be started")
        return work()  # better than nothing

    def _start(self, work: Callable[[], Any]) -> bool:
        try:
            threading.Thread(target=self._help, args=(work,), name="differnet").start()
        except RuntimeError:  # too many threads, or the interpreter is about to end
            return False
        return True

    def _help(self, work: Callable[[], Any]) -> None:
        result: Tuple[Any, Optional[BaseException]]
        try:
            result = work(), None
        except BaseException as exception:
            result = None, exception
        self._ended.set()
        self._news.put((True, result))

    def _wait(self) -> Any:
        while True:
            ended, news = self._news.get()
            if ended:
                result, exception = news
                if exception is not None:
                    raise exception
                return result
            try:
                answer = bool(self._progress is not None and self._progress(news))
            except Exception:
                self._patience = None  # nobody is in a hurry: the call ends first
                raise
            self._answers.put(answer)

    def ask(self, progress: ctypes.Structure) -> bool:
        """Called by the helper: whether to stop."""
        if self.abandoned or self._progress is None:
            return self.abandoned
        self._news.put((False, _namespace(progress)))
        while not self.abandoned:
            try:
                return self._answers.get(timeout=1)
            except queue.Empty:
                pass  # the caller's function takes its time
        return True


def _raise(error: ctypes.Structure) -> NoReturn:
    raise Error(error.status, error.message.decode("utf-8", "replace"))


def _call(name: str, *arguments: Any) -> None:
    """Calls a function whose last argument is a dn_error, and raises what it reports."""
    error = dn_error()
    if _Job().do(_bound(name, *arguments, ctypes.byref(error))) != OK:
        _raise(error)


def _texts(name: str, *arguments: Any) -> List[str]:
    """The texts that a function has under the numbers 0, 1, ..., its last argument."""
    texts: List[str] = []
    while (text := _value(name, *arguments, len(texts))) is not None:
        texts.append(text.decode("utf-8", "replace"))
    return texts


def _check(status: int) -> None:
    """Raises for a status that no error struct explains."""
    if status != OK:
        raise Error(status, _function("dn_status_string")(status).decode())


def version() -> str:
    """Version of the library, "major.minor.patch"."""
    return _function("dn_version")().decode()


def blas_set_threads(threads: int) -> None:
    """Sets OpenBLAS' thread count, for the whole process.  1 is best where threads > 1 are asked of this library."""
    _check(_value("dn_blas_set_threads", threads))


def blas_threads() -> int:
    """OpenBLAS' present thread count."""
    return _function("dn_blas_threads")()


def blas_corename() -> str:
    """The kernels that OpenBLAS chose."""
    return _function("dn_blas_corename")().decode()


def _initialised(struct: Type[ctypes.Structure]) -> Any:
    """A struct as its init function fills it, whose name follows from the struct's."""
    value = struct()
    _function(f"{struct.__name__}_init_size")(ctypes.byref(value), ctypes.sizeof(value))
    return value


_HIDDEN = ("struct_size", "reserved", "allocator", "runner")


def _option_names(struct: Type[ctypes.Structure]) -> List[str]:
    return [field[0] for field in struct._fields_ if field[0] not in _HIDDEN]


def _options(struct: Type[ctypes.Structure], given: Dict[str, Any],
             options: Optional[ctypes.Structure] = None) -> ctypes.Structure:
    """Options, by default those of the library, with the given keyword arguments over them."""
    options = _initialised(struct) if options is None else options
    kinds: Dict[str, Any] = {field[0]: field[1] for field in struct._fields_ if field[0] not in _HIDDEN}
    for name, value in given.items():
        if name not in kinds:
            raise TypeError(f"unknown option {name!r}; there are {', '.join(kinds)}")
        setattr(options, name, _field(kinds[name], value, name))
    return options


def _field(kind: Any, value: Any, name: str) -> Any:
    """The value of an option, checked: a ctypes structure takes True for an address and drops bits of an integer."""
    if kind is _text:
        return None if value is None else _path(value)
    return _real(value, kind, name) if kind in (_double, _float) else _integer(value, kind, name)


def _namespace(struct: ctypes.Structure) -> Info:
    """The fields of a struct as a Python object, texts decoded."""
    values = {}
    for name in (field[0] for field in struct._fields_):
        value = getattr(struct, name)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        elif isinstance(value, ctypes.Array):
            value = tuple(value)
        if name not in _HIDDEN:
            values[name] = value
    return types.SimpleNamespace(**values)
