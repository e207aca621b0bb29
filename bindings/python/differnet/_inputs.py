"""What may be given as images: one, a folder, an array of several, or any iterable of these."""
from __future__ import annotations

import os
from typing import Any, Iterator, List, Tuple, Union

from ._arrays import _is_pil
from ._call import _texts
from ._constants import BGR8, BGRA8, RGB8, RGBA8
from ._handle import _is_path
from ._image import Image, Pixels

Name = Union[str, int]  # an image's path, or its number among those given

_CHANNELS = (1, 3, 4)
_MASK_ENDS = ("_mask", "-mask", "_gt", "_label", "_ground_truth")
_REVERSED = {RGB8: BGR8, RGBA8: BGRA8}


def images_in(folder: Union[str, os.PathLike[str]], *, masks: bool = True) -> List[str]:
    """Paths of the images right in a folder, by name; ValueError if there are none.

    What is an image is told by its name's ending: those of the formats that the library reads.  Hidden files are none.
    masks: False: without masks beside images, as fit() takes them (part_mask.png beside part.png; -mask, _gt, _label,
    _ground_truth).
    """
    endings, root = tuple(_texts("dn_image_ending")), os.fspath(folder)
    with os.scandir(root) as entries:
        listed = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    paths = [entry.path for entry in listed if entry.name.lower().endswith(endings) and entry.is_file()]
    if not paths:
        folders = [entry.name for entry in listed if entry.is_dir()]
        inside = f"; it has folders, give the one that is meant: {', '.join(folders[:5])}" if folders else ""
        raise ValueError(f"{root}: no image is right in this folder (endings: {', '.join(endings)}){inside}")
    return paths if masks else _but_masks(paths)


def _but_masks(paths: List[str]) -> List[str]:
    """Without those that are masks beside images, as tools/layout.c has it: part_mask.png beside part.png."""
    stems = [os.path.splitext(path)[0] for path in paths]
    known = set(stems)
    return [path for path, stem in zip(paths, stems)
            if not any(stem.lower().endswith(end) and stem[:-len(end)] in known for end in _MASK_ENDS)]


def _named(images: Any, channels: str, learned: bool = False) -> Iterator[Tuple[Name, Any]]:
    """(name, path or image) of each image given; channels: "rgb" or "bgr", how arrays have their colours; learned: of
    folders no masks beside images are taken."""
    for number, image in enumerate(_each(images, learned)):
        if _is_path(image):
            yield os.fspath(image), image
            continue
        try:
            given = image if isinstance(image, (Image, Pixels)) else Pixels(image)
        except (TypeError, ValueError) as error:
            raise type(error)(f"image {number}: {error}") from None
        if given is not image and channels == "bgr" and not _is_pil(image) and given.format in _REVERSED:
            given = Pixels(image, format=_REVERSED[given.format])
        yield number, given


def _in_path(path: Any, learned: bool) -> List[Any]:
    if not os.path.isdir(path):
        return [path]
    return images_in(path, masks=not learned)


def _each(images: Any, learned: bool) -> Iterator[Any]:
    if _is_path(images):
        yield from _in_path(images, learned)
    elif isinstance(images, (Image, Pixels)) or _is_pil(images):
        yield images
    elif len(getattr(images, "shape", ())) >= 2:
        yield from _of_array(images, tuple(images.shape))
    elif isinstance(images, (bytes, bytearray, dict)) or not hasattr(images, "__iter__"):
        raise TypeError(f"images: {type(images).__name__}; give a path, a folder, an array, a PIL image, or a list of "
                        "these")
    else:
        for image in images:
            yield from _in_path(image, learned) if _is_path(image) else [image]


def _of_array(images: Any, shape: Tuple[int, ...]) -> Iterator[Any]:
    """The images of an array or tensor: it is one, or several, their number first."""
    if len(shape) == 2 or (len(shape) == 3 and shape[2] in _CHANNELS):
        yield images
    elif len(shape) == 3 and shape[0] in _CHANNELS:
        raise TypeError(f"images: an array of shape {shape}; if it is one image its channels come last: "
                        "array.transpose(1, 2, 0) or tensor.permute(1, 2, 0); if it is several gray ones: list(array)")
    elif len(shape) in (3, 4):
        yield from images
    else:
        raise TypeError(f"images: an array of shape {shape}; an image is (height, width) or (height, width, 3), "
                        "several have their number first")
