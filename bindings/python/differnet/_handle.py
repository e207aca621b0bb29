"""Objects that the library made: freed with their last reference, guarded against threads, never copied."""
from __future__ import annotations

import ctypes
import os
import threading
from typing import Any, Callable, NoReturn, Optional, Type, TypeVar

from ._abi import dn_error
from ._call import Error, _Job, _bound, _call, _check, _function, _path, _raise, _value
from ._constants import E_STATE, OK
from ._types import Source

_H = TypeVar("_H", bound="_Handle")


class _Owner(ctypes.c_void_p):
    """A pointer that the library fills in by reference; freed with the last reference: a handle's or a call's."""

    _free: Any = None

    def __init__(self, release: str) -> None:
        super().__init__()
        self._free = _function(release)

    def __del__(self) -> None:
        if self:
            self._free(self)


class _Handle:
    """What the library made, until it is closed."""

    _release = ""
    _owner: Optional[_Owner] = None
    _made_by = "open()"

    def __init__(self, *_: object, **__: object) -> None:
        name = type(self).__name__
        raise TypeError(f"{name}() makes nothing: call {name}.{self._made_by}")

    @classmethod
    def _of(cls: Type[_H], owner: _Owner) -> _H:
        handle = cls.__new__(cls)
        handle._owner = owner
        return handle

    @classmethod
    def _made(cls: Type[_H], name: str, *arguments: Any) -> _H:
        """The handle that a function makes as its last result."""
        owner = _Owner(cls._release)
        _call(name, *arguments, ctypes.byref(owner))
        return cls._of(owner)

    def _held(self) -> _Owner:
        """The pointer, alive for as long as the caller has it, whatever other threads close."""
        owner = self._owner
        if owner is None:
            raise Error(E_STATE, f"this {type(self).__name__} is closed")
        return owner

    def close(self) -> None:
        """Frees the handle, after the calls in progress if there are any.  Using it afterwards raises Error."""
        self._owner = None

    def __enter__(self: _H) -> _H:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce_ex__(self, _: object) -> NoReturn:
        saved = "; its to_bytes() can be sent, and opened again" if hasattr(self, "to_bytes") else ""
        raise TypeError(f"{type(self).__name__} objects cannot be copied or pickled{saved}")


def _expect(kind: Type[_H], value: Any) -> _H:
    """A handle of that kind: the library would take any other pointer for one."""
    if not isinstance(value, kind):
        raise TypeError(f"a differnet.{kind.__name__} is needed, not {type(value).__name__}")
    return value


def _bytes(value: Any, what: str) -> bytes:
    """Any bytes-like object as bytes."""
    if isinstance(value, bytes):
        return value
    try:
        return memoryview(value).tobytes()
    except TypeError:
        raise TypeError(f"{what}, not {type(value).__name__}") from None


def _open(cls: Type[_H], prefix: str, source: Source, options: Optional[ctypes.Structure]) -> _H:
    """Opens a path or bytes with dn_<prefix>_open_path or dn_<prefix>_open_memory."""
    passed = ctypes.byref(options) if options is not None else None
    if isinstance(source, (str, os.PathLike)):
        return cls._made(f"dn_{prefix}_open_path", _path(source), passed)
    data = _bytes(source, f"{cls.__name__}.open() takes a path or the bytes of a file")
    return cls._made(f"dn_{prefix}_open_memory", data, len(data), passed)


def _is_path(value: object) -> bool:
    return isinstance(value, (str, os.PathLike))


def _blob(name: str, *arguments: Any) -> bytes:
    """The bytes that a function with a dn_blob as its last result makes."""
    blob = _Owner("dn_blob_free")
    _call(name, *arguments, ctypes.byref(blob))
    return ctypes.string_at(_value("dn_blob_data", blob), _value("dn_blob_size", blob))


class _Worker(_Handle):
    """A handle for one call at a time, which keeps its error text itself."""

    _error = ""
    _job: Optional[_Job] = None  # the call in progress

    def __init__(self, name: str, parent: Any, options: ctypes.Structure) -> None:
        self._lock = threading.Lock()
        owner = self._owner = _Owner(self._release)
        _call(name, parent, ctypes.byref(options), ctypes.byref(owner))

    def _alone(self, work: Callable[[], Any], job: _Job) -> Any:
        """What work() returns, which no other call on this handle disturbs."""
        running = self._job
        if running is not None and running.caller == job.caller and not running.abandoned:
            raise Error(E_STATE, f"this {type(self).__name__} is in a call of this very thread: a progress function or "
                        "a signal handler cannot use it meanwhile")

        def locked() -> Any:
            # In the helper thread, where no signal can come between the lock and its release.
            with self._lock:
                if job.abandoned:
                    return None
                self._job = job
                try:
                    return work()
                finally:
                    self._job = None

        return job.do(locked)

    def _run(self, name: str, *arguments: Any, job: Optional[_Job] = None) -> None:
        """Calls a function, and raises the error that it leaves in the handle."""
        call, explain, error = _bound(name, self, *arguments), _bound(self._error, self), dn_error()

        def work() -> int:
            status = call()
            if status != OK:
                ctypes.pointer(error)[0] = dn_error.from_address(explain())
            return status

        status = self._alone(work, job or _Job())
        if status != OK and error.status == status:
            _raise(error)
        _check(status)
