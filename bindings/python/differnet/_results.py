"""What a Detector says of images, as plain records."""
from __future__ import annotations

import base64
import dataclasses
import html
from typing import List, NamedTuple, Optional, Tuple, Union

from ._image import encode_png
from ._types import Array


@dataclasses.dataclass(frozen=True)
class Score:
    """What Detector.score says of an image; pandas.DataFrame(detector.score(images)) has a column for each field."""

    image: Union[str, int]
    """Its path, or its number among the images given, from 0."""
    anomalous: Optional[bool]
    """The verdict: score > threshold; None if the model holds no scores of good images and no threshold was set."""
    index: float
    """The score for people, 0 .. 1: 0.5 at the threshold, 0.25 at the median of good images."""
    score: float
    """>= 0, about 1 for good images."""
    p_value: float
    """Share of good images that score as high; NaN if the model holds no scores of good images."""
    threshold: float
    """What the verdict goes by; NaN where there is none."""
    warnings: Tuple[str, ...]
    """In what the image is unlike those learned from."""
    error: Optional[str]
    """Why it could not be scored, with errors="record"; then the numbers are NaN and the verdict is None."""


class Box(NamedTuple):
    """A region of a heat map, in pixels of the image."""

    x: int
    y: int
    width: int
    height: int
    peak: float
    """Largest value of the map in it."""
    area: int
    """Its pixels: those at or above the threshold."""
    mean: float
    """Of its map values."""
    centroid_x: float
    centroid_y: float


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Where an image is anomalous (Detector.explain); a notebook shows it as a picture."""

    image: Union[str, int]
    """Its path, or 0."""
    anomalous: Optional[bool]
    """As in Score, likewise the next five."""
    index: float
    score: float
    p_value: float
    threshold: float
    warnings: Tuple[str, ...]
    map: Array
    """Heat map (height, width), float32: 1 is the most that good images show."""
    boxes: List[Box]
    """Regions of the map, strongest first."""
    overlay: Array
    """The image with the map drawn over it: (height, width, 3), uint8, RGB."""

    @property
    def verdict(self) -> str:
        """"anomalous", "normal" or "no verdict"."""
        return "no verdict" if self.anomalous is None else "anomalous" if self.anomalous else "normal"

    def __repr__(self) -> str:
        height, width = self.map.shape
        return (f"<Explanation of {self.image!r}: {self.verdict}, index {self.index:.3f}, p-value {self.p_value:.3g}, "
                f"{len(self.boxes)} boxes, map {height} x {width}>")

    def _repr_html_(self) -> str:
        """The overlay and the numbers, for notebooks."""
        name = html.escape(self.image if isinstance(self.image, str) else f"image {self.image}")
        picture = base64.b64encode(encode_png(self.overlay)).decode()
        lines = [f"<b>{name}: {self.verdict}</b>, index {self.index:.3f}, score {self.score:.3f}, "
                 f"p-value {self.p_value:.3g}"] + [html.escape(text) for text in self.warnings]
        return (f'<figure style="margin:0"><img src="data:image/png;base64,{picture}" alt="{name} with its heat map" '
                f'style="max-width:100%"><figcaption>{"<br>".join(lines)}</figcaption></figure>')

