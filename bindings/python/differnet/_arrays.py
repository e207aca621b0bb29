"""Numbers and pixels of the caller as memory that the library reads or fills; with numpy where it is installed."""
from __future__ import annotations

import array
import ctypes
import sys
from typing import Any, Dict, List, Optional, Tuple

from ._abi import _i32
from ._call import _integer
from ._constants import BGR8, BGRA8, GRAY16, GRAY8, RGB8, RGBA8
from ._types import Array

try:
    import numpy as numpy  # for the other modules, too
except ImportError:
    numpy = None  # type: ignore[assignment]

# Object to keep, address of the first pixel, (height, width), bytes from row to row, format.
_Found = Tuple[Any, int, Tuple[int, int], int, int]

_BYTES_PER_PIXEL = {GRAY8: 1, GRAY16: 2, RGB8: 3, BGR8: 3, RGBA8: 4, BGRA8: 4}


class _Numbers:
    """Room for floats or doubles (typecode "f", "d") of a shape, for the library to fill."""

    def __init__(self, typecode: str, shape: Tuple[int, ...]) -> None:
        self.shape = shape
        count = 1
        for size in shape:
            count *= size
        if numpy is not None:
            self._data = numpy.zeros(shape, typecode)
            address = self._data.ctypes.data
        else:
            self._data = array.array(typecode, bytes(max(count, 1) * array.array(typecode).itemsize))
            address = self._data.buffer_info()[0]
        self._count = count
        self._as_parameter_ = ctypes.c_void_p(address)

    def result(self) -> Array:
        if numpy is not None:
            return self._data
        view = memoryview(self._data)[:self._count]
        return view if len(self.shape) == 1 or self._count == 0 else view.cast("B").cast(view.format, self.shape)


def _flatten(value: Any, typecode: str) -> Tuple[array.array[float], Tuple[int, ...]]:
    """(array, shape) of nested sequences or a buffer of floats."""
    try:
        view = memoryview(value)
    except TypeError:
        view = None
    flat: array.array[float]
    if view is not None and view.format in ("f", "d"):
        flat = array.array(view.format)
        flat.frombytes(view.tobytes())
        return (flat if view.format == typecode else array.array(typecode, flat)), tuple(view.shape or ())
    if isinstance(value, (str, bytes)):
        raise TypeError(f"numbers are needed, not {type(value).__name__}")
    items = list(value)
    if not items or isinstance(items[0], (int, float)):
        return array.array(typecode, items), (len(items),)
    flat, inner = _flatten(items[0], typecode)
    for item in items[1:]:
        more, shape = _flatten(item, typecode)
        if shape != inner:
            raise ValueError("rows of different length")
        flat.extend(more)
    return flat, (len(items),) + tuple(inner)


class _Given:
    """Numbers of the caller as contiguous floats or doubles, an argument of the library's; shape: as given.

    tail: the dimensions behind the first one; None is any size.
    """

    def __init__(self, value: Any, typecode: str, what: str, *tail: Optional[int]) -> None:
        if numpy is not None:
            self._data = numpy.require(value, typecode, ["C", "A"])
            self.shape, address = self._data.shape, self._data.ctypes.data
        else:
            self._data, self.shape = _flatten(value, typecode)
            self.shape, address = tuple(self.shape), self._data.buffer_info()[0]
        self._as_parameter_ = ctypes.c_void_p(address)
        # A single row may come without its first dimension.
        if self.shape == tail:
            self.shape = (1, *self.shape)
        matches = len(self.shape) == len(tail) + 1 and all(
            size in (None, own) for size, own in zip(tail, self.shape[1:]))
        if not matches:
            wanted = ", ".join(["n"] + ["m" if size is None else str(size) for size in tail])
            raise ValueError(f"{what}: shape {self.shape} does not match ({wanted})")
        self.rows = self.shape[0]


def _copy_numbers(address: Optional[int], count: int, struct: Any) -> List[float]:
    """A list of `count` numbers at an address in the library."""
    return list((struct * count).from_address(address)) if address and count else []


def _shaped(data: bytearray, typecode: str, shape: Tuple[int, ...]) -> Array:
    """A bytearray as an array of that shape, without a copy."""
    if numpy is not None:
        return numpy.frombuffer(data, typecode).reshape(shape)
    return memoryview(data).cast(typecode, shape)


def _address(data: bytes) -> int:
    """Where bytes lie in memory."""
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0


# PIL's modes whose pixels are one of our formats, and those that become one by dropping what a file's reader drops too.
_PIL_FORMATS = {"L": GRAY8, "RGB": RGB8, "RGBA": RGBA8, "I;16" if sys.byteorder == "little" else "I;16B": GRAY16}
_PIL_CONVERTED = {"1": "L", "LA": "L", "P": "RGB", "PA": "RGB", "RGBX": "RGB"}


def _image_array(value: Any) -> _Found:
    """The pixels of an array or a PIL image."""
    if _is_pil(value):
        if value.mode in _PIL_CONVERTED:
            value = value.convert(_PIL_CONVERTED[value.mode])
        if value.mode not in _PIL_FORMATS:
            raise TypeError(f"a PIL image of mode {value.mode!r}: give image.convert('RGB'), or "
                            "numpy.asarray(image).astype('uint16') if it is gray with numbers of 0 .. 65535")
        data = value.tobytes()
        return data, _address(data), (value.height, value.width), 0, _PIL_FORMATS[value.mode]
    if isinstance(value, (bytes, bytearray)):
        raise TypeError("bytes are not an image by themselves: give Image.open(data) for the bytes of a file, "
                        "Pixels(data, width, height) for raw pixels")
    if not any(hasattr(value, name) for name in ("__array_interface__", "__array__")) and not _is_buffer(value):
        raise TypeError(f"not an image: {type(value).__name__}; give a path, an Image, a PIL image, Pixels, or an "
                        "array of uint8 or uint16")
    return _plain_array(value) if numpy is None else _numpy_array(value)


def _is_pil(value: object) -> bool:
    pil = sys.modules.get("PIL.Image")
    return pil is not None and isinstance(value, pil.Image)


def _is_buffer(value: Any) -> bool:
    try:
        memoryview(value)
    except (TypeError, BufferError):
        return False
    return True


def _array_format(shape: Tuple[int, ...], kind: str) -> int:
    """The format of an array of numbers of a kind: "uint8", "uint16"; others are refused."""
    if kind not in ("uint8", "uint16"):
        raise TypeError(f"an image of {kind} numbers: uint8 is needed, or uint16 for gray; bring them to 0 .. 255 and "
                        "convert them, for instance array.astype('uint8')")
    if len(shape) == 2 or (len(shape) == 3 and shape[2] == 1):
        return GRAY8 if kind == "uint8" else GRAY16
    if len(shape) != 3 or shape[2] not in (3, 4):
        last = len(shape) == 3 and shape[0] in (1, 3, 4)
        hint = "; channels come last: array.transpose(1, 2, 0) or tensor.permute(1, 2, 0)" if last else ""
        raise TypeError(f"an image of shape {tuple(shape)}: it must be (height, width) for gray, (height, width, 3) "
                        f"for RGB or (height, width, 4) for RGBA{hint}")
    if kind == "uint16":
        raise TypeError("a colour image of 16 bits: 8 bits are what the library takes, for instance "
                        "(array >> 8).astype('uint8')")
    return RGB8 if shape[2] == 3 else RGBA8


def _numpy_array(value: Any) -> _Found:
    try:
        array = numpy.asarray(value)
    except Exception as exception:  # of __array__: a tensor on a graphics card, for instance
        raise TypeError(f"not an image: {type(value).__name__}: {exception}") from exception
    format = _array_format(array.shape, array.dtype.name)
    height, width = _image_size(array.shape)
    row, item = width * _BYTES_PER_PIXEL[format], array.itemsize
    inner = (item,) if array.ndim == 2 else (array.shape[2] * item, item)
    if not array.dtype.isnative or not array.flags.aligned or array.strides[1:] != inner or \
            abs(array.strides[0]) < row:
        array = numpy.array(array, array.dtype.newbyteorder("="), order="C")
    return array, array.ctypes.data, (height, width), array.strides[0], format


def _plain_array(value: Any) -> _Found:
    """The same without numpy, by a copy."""
    interface = getattr(value, "__array_interface__", None)
    if interface is None:
        if not _is_buffer(value):
            raise TypeError(f"not an image: {type(value).__name__} has its pixels by __array__() only, for which "
                            "numpy must be installed")
        view = memoryview(value)
        kind = {"B": "uint8", "H": "uint16"}.get(view.format.lstrip("@="), repr(view.format))
        shape, data = tuple(view.shape or ()), view.tobytes()
        format = _array_format(shape, kind)
    else:
        shape, typestr = tuple(interface["shape"]), interface["typestr"]
        native = "<u2" if sys.byteorder == "little" else ">u2"
        kind = "uint8" if typestr[1:] == "u1" else "uint16" if typestr == native else repr(typestr)
        format = _array_format(shape, kind)
        data = _interface_bytes(value, interface, shape, _BYTES_PER_PIXEL[format])
    return data, _address(data), _image_size(shape), 0, format


def _interface_bytes(value: Any, interface: Dict[str, Any], shape: Tuple[int, ...], pixel: int) -> bytes:
    """The pixels of an __array_interface__, row by row."""
    row, strides, source = shape[1] * pixel, interface.get("strides"), interface.get("data")
    packed = (row, pixel) + ((pixel // shape[2],) if len(shape) == 3 else ())
    strides = packed if strides is None else tuple(strides)
    if strides[1:] != packed[1:]:
        raise TypeError("the pixels of an image array's row must follow each other; give a copy of the array")
    if isinstance(source, tuple):
        return b"".join(ctypes.string_at(source[0] + y * strides[0], row) for y in range(shape[0]))
    view, start = memoryview(value if source is None else source).cast("B"), interface.get("offset", 0)
    if start < 0 or strides[0] < row or len(view) < start + (shape[0] - 1) * strides[0] + row:
        raise ValueError(f"the array has {len(view)} bytes, too few for {shape[1]} x {shape[0]} pixels")
    return b"".join(view[start + y * strides[0]:start + y * strides[0] + row] for y in range(shape[0]))


def _image_size(shape: Tuple[int, ...]) -> Tuple[int, int]:
    return _integer(shape[0], _i32, "height"), _integer(shape[1], _i32, "width")
