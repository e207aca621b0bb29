"""Images: decoded files, raw pixels, PNG."""
from __future__ import annotations

import ctypes
from typing import Any, Optional, Union

from ._abi import _i32, _i64, dn_image_options, dn_pixels
from ._arrays import _BYTES_PER_PIXEL, _address, _image_array, _shaped
from ._call import _call, _integer, _options, _path, _value
from ._constants import BGR8, BGRA8, GRAY16, GRAY8, RGB8, RGBA8
from ._handle import _Handle, _blob, _bytes, _is_path, _open
from ._types import Array, Path, Source

_FORMATS = {"gray8": GRAY8, "gray16": GRAY16, "rgb8": RGB8, "bgr8": BGR8, "rgba8": RGBA8, "bgra8": BGRA8}


class Image(_Handle):
    """A decoded image file: Image.open(path or bytes, max_pixels=, max_bytes=, max_memory=).

        image = differnet.Image.open("part.png")
        print(image.width, image.height, image.array().shape)
    """

    _release = "dn_image_free"

    @classmethod
    def open(cls, source: Source, **options: Any) -> Image:
        """Decodes a file, by path or by its bytes.  Options: the fields of dn_image_options."""
        return _open(cls, "image", source, _options(dn_image_options, options))

    def _view(self) -> Any:
        view = dn_pixels()
        _value("dn_image_pixels", self, ctypes.byref(view))
        return view

    @property
    def width(self) -> int:
        """In pixels."""
        return self._view().width

    @property
    def height(self) -> int:
        """In pixels."""
        return self._view().height

    @property
    def format(self) -> int:
        """GRAY8, GRAY16 or RGB8."""
        return self._view().format

    def array(self) -> Array:
        """A copy of the pixels: (height, width), or (height, width, 3) for RGB8."""
        held, view = self._held(), self._view()
        row = view.width * _BYTES_PER_PIXEL[view.format]
        stride = view.stride or row
        data = bytearray().join(ctypes.string_at(view.pixels + y * stride, row) for y in range(view.height))
        del held
        shape = (view.height, view.width) + ((3,) if view.format == RGB8 else ())
        return _shaped(data, "H" if view.format == GRAY16 else "B", shape)


class Pixels:
    """Raw pixels: Pixels(array, format="bgr8"), or Pixels(data, width, height, format, stride) of bytes.

        result = scorer.score(differnet.Pixels(frame, format="bgr8"))    # frame: of OpenCV
        result = scorer.score(differnet.Pixels(camera_bytes, 640, 480, "gray8"))

    array: what differnet's documentation lists as images; it is not copied where its rows lie as the library needs
    them.  format: a constant (BGR8) or its name ("bgr8"): by default RGB or what the array's shape tells.
    data: bytes-like, top row first.  stride: bytes from one row to the next; 0: rows follow each other without a gap.
    """

    def __init__(self, data: Any, width: Optional[int] = None, height: Optional[int] = None,
                 format: Union[None, int, str] = None, stride: int = 0) -> None:
        if width is None and height is None:
            self.data, address, (self.height, self.width), self.stride, own = _image_array(data)
            self.format = own if format is None else _matching_format(format, own)
        else:
            self.data = _bytes(data, "pixels are bytes")
            self.width, self.height = _integer(width, _i32, "width"), _integer(height, _i32, "height")
            self.format = _format(RGB8 if format is None else format)
            self.stride = _integer(stride, _i64, "stride")
            row = self.width * _BYTES_PER_PIXEL[self.format]
            step = self.stride or row
            if self.width < 1 or self.height < 1 or step < row or len(self.data) < (self.height - 1) * step + row:
                raise ValueError(f"{len(self.data)} bytes are too few for {self.width} x {self.height} pixels")
            address = _address(self.data)
        self._view = dn_pixels(address, self.width, self.height, self.stride, self.format, 0)


def _format(value: Union[int, str]) -> int:
    """A pixel format by its constant or name."""
    format = _FORMATS.get(value.lower()) if isinstance(value, str) else _integer(value, _i32, "format")
    if format not in _BYTES_PER_PIXEL:
        raise ValueError(f"format {value!r} is unknown; there are {', '.join(_FORMATS)}")
    return format


def _matching_format(value: Union[int, str], own: int) -> int:
    """A format asked for, if an array of format `own` can have it."""
    format = _format(value)
    if format != own and {format, own} not in ({RGB8, BGR8}, {RGBA8, BGRA8}):
        names = {number: name for name, number in _FORMATS.items()}
        raise ValueError(f"the array is {names[own]} by its shape and numbers, and cannot be {names[format]}")
    return format


class _Picture:
    """An image of the caller as an argument of the library's, kept alive."""

    def __init__(self, image: Any) -> None:
        if _is_path(image):
            image = Image.open(image)
        if isinstance(image, Image):
            self._kept: Any = image._held()
            self.view = image._view()
        else:
            self._kept = image if isinstance(image, Pixels) else Pixels(image)
            self.view = self._kept._view
        self._as_parameter_ = ctypes.byref(self.view)


def write_png(image: Any, path: Path) -> None:
    """Writes an image as PNG; the file appears complete or not at all."""
    _call("dn_image_write_png", _Picture(image), _path(path))


def encode_png(image: Any) -> bytes:
    """The bytes of an image as PNG."""
    return _blob("dn_image_encode_png", _Picture(image))
