"""The two networks: the CNN that makes features, and the flow."""
from __future__ import annotations

import ctypes
from typing import Any, Dict, Optional, Sequence, Tuple

from ._abi import _i32, dn_extractor_info, dn_extractor_options, dn_flow_options, dn_maps_info
from ._arrays import _Given, _Numbers
from ._call import _call, _check, _initialised, _integer, _namespace, _options, _path, _value
from ._constants import STORAGE_F32
from ._handle import _Handle, _blob, _open
from ._image import _Picture
from ._types import Array, Info, Path, Source


class Extractor(_Handle):
    """The frozen CNN.  Options of all three ways to make one: input_size, one number or (width, height), and scales.

        extractor = differnet.Extractor.open("backbone.safetensors", input_size=224, scales=1)
        features = extractor.features_image("part.png", angles=[0, 90, 180, 270])
    """

    _release, _made_by = "dn_extractor_unref", "open(), default() or random()"

    @classmethod
    def open(cls, source: Source, **options: Any) -> Extractor:
        """Loads a backbone (safetensors) from a path or bytes."""
        return _open(cls, "extractor", source, cls._given(options))

    @classmethod
    def default(cls, **options: Any) -> Extractor:
        """The built-in backbone.  E_UNSUPPORTED if the library was built without it."""
        return cls._made("dn_extractor_default", ctypes.byref(cls._given(options)))

    @classmethod
    def random(cls, channels: Optional[Sequence[int]] = None, seed: int = 0, **options: Any) -> Extractor:
        """AlexNet with random weights; channels: output channels of its five convolutions."""
        if channels is not None and len(channels) != 5:
            raise ValueError("channels: five numbers, one for each convolution")
        counts = None if channels is None else (_i32 * 5)(*(_integer(one, _i32, "channels") for one in channels))
        return cls._made("dn_extractor_random", counts, seed, ctypes.byref(cls._given(options)))

    @staticmethod
    def _given(options: Dict[str, Any]) -> ctypes.Structure:
        size = options.get("input_size")
        if isinstance(size, (tuple, list)):
            if len(size) != 2 or not all(size):
                raise ValueError(f"input_size={size!r}: it is (width, height), or one number for a square")
            if "input_height" in options:
                raise TypeError("input_height is given twice: input_size is (width, height)")
            options = {**options, "input_size": size[0], "input_height": size[1]}
        return _options(dn_extractor_options, options)

    def save(self, path: Path, storage: int = STORAGE_F32) -> None:
        """Writes the backbone (safetensors); an existing file is replaced by a complete one or left as it is."""
        _call("dn_extractor_save", self, _path(path), storage)

    def to_bytes(self, storage: int = STORAGE_F32) -> bytes:
        """The bytes that save would write; Extractor.open() takes them."""
        return _blob("dn_extractor_save_memory", self, storage)

    @property
    def info(self) -> Info:
        """The fields of dn_extractor_info, tap_names, and metadata: what the backbone's file tells about itself."""
        info = _initialised(dn_extractor_info)
        held, value = self._held(), ctypes.c_char_p()
        metadata: Dict[str, str] = {}
        _check(_value("dn_extractor_get_info", held, ctypes.byref(info)))
        while key := _value("dn_extractor_metadata", held, len(metadata), ctypes.byref(value)):
            metadata[key.decode()] = (value.value or b"").decode()
        result = _namespace(info)
        result.tap_names = [_value("dn_extractor_tap_name", held, i).decode() for i in range(info.taps)]
        result.metadata = metadata
        return result

    def views(self, image: Any, angles: Any) -> Array:
        """Renders views, one for each angle in degrees: (n, height, width, 3)."""
        picture, given, info = _Picture(image), _Given(angles, "d", "angles"), self.info
        out = _Numbers("f", (given.rows, info.input_height, info.input_size, 3))
        _call("dn_extractor_views", self, picture, given, given.rows, out)
        return out.result()

    def features(self, views: Any) -> Array:
        """Features (n, feature_dim) of views (n, height, width, 3)."""
        info = self.info
        given = _Given(views, "f", "views", info.input_height, info.input_size, 3)
        out = _Numbers("f", (given.rows, info.feature_dim))
        _call("dn_extractor_features", self, given, given.rows, out)
        return out.result()

    def features_image(self, image: Any, angles: Any) -> Array:
        """Features (n, feature_dim) of one image under n angles."""
        picture, given = _Picture(image), _Given(angles, "d", "angles")
        out = _Numbers("f", (given.rows, self.info.feature_dim))
        _call("dn_extractor_features_image", self, picture, given, given.rows, out)
        return out.result()

    @property
    def maps_info(self) -> Info:
        """The fields of dn_maps_info, and names: of the taps for maps."""
        info, held = _initialised(dn_maps_info), self._held()
        _check(_value("dn_extractor_get_maps_info", held, ctypes.byref(info)))
        result = _namespace(info)
        result.names = [_value("dn_extractor_map_name", held, i).decode() for i in range(info.taps)]
        return result

    def maps(self, views: Any) -> Array:
        """Feature maps (n, rows, columns, channels) of views (n, height, width, 3) at a common grid."""
        info, own = self.maps_info, self.info
        given = _Given(views, "f", "views", own.input_height, own.input_size, 3)
        out = _Numbers("f", (given.rows, info.rows, info.columns, info.channels))
        _call("dn_extractor_maps", self, given, given.rows, out)
        return out.result()

    def gradient(self, views: Any, feature_gradient: Any) -> Array:
        """Gradient of <feature_gradient, features> with respect to the pixels of the views: (n, height, width, 3)."""
        info = self.info
        given = _Given(views, "f", "views", info.input_height, info.input_size, 3)
        factors = _Given(feature_gradient, "f", "feature_gradient", info.feature_dim)
        if factors.rows != given.rows:
            raise ValueError(f"feature_gradient: {factors.rows} rows for {given.rows} views")
        out = _Numbers("f", (given.rows, info.input_height, info.input_size, 3))
        _call("dn_extractor_gradient", self, given, given.rows, factors, out)
        return out.result()


class Flow(_Handle):
    """The normalizing flow.  Flow.create(dimension=, blocks=, hidden=, clamp=, seed=) or Flow.open(path or bytes).

        flow = differnet.Flow.create(dimension=4, blocks=2, hidden=8)
        z, logdet = flow.forward([[0.5, -1, 2, 0]])
        x = flow.inverse(z)
    """

    _release, _made_by = "dn_flow_unref", "create() or open()"

    @classmethod
    def create(cls, **options: Any) -> Flow:
        """A flow with random weights; options: the fields of dn_flow_options."""
        given = _options(dn_flow_options, options)
        return cls._made("dn_flow_create", ctypes.byref(given))

    @classmethod
    def open(cls, source: Source) -> Flow:
        """Loads a flow from a path or bytes."""
        return _open(cls, "flow", source, None)

    def save(self, path: Path) -> None:
        """Writes the flow; an existing file is replaced by a complete one or left as it is."""
        _call("dn_flow_save", self, _path(path))

    def to_bytes(self) -> bytes:
        """The bytes that save would write; Flow.open() takes them."""
        return _blob("dn_flow_save_memory", self)

    @property
    def info(self) -> Info:
        """dimension, blocks, hidden, clamp and seed."""
        info = _initialised(dn_flow_options)
        _check(_value("dn_flow_get_info", self, ctypes.byref(info)))
        return _namespace(info)

    def _rows(self, values: Any, what: str) -> _Given:
        return _Given(values, "f", what, self.info.dimension)

    def forward(self, x: Any) -> Tuple[Array, Array]:
        """(z, logdet): z (n, dimension) of x (n, dimension), logdet (n)."""
        given = self._rows(x, "x")
        z, logdet = _Numbers("f", given.shape), _Numbers("f", (given.rows,))
        _call("dn_flow_forward", self, given, given.rows, z, logdet)
        return z.result(), logdet.result()

    def inverse(self, z: Any) -> Array:
        """x (n, dimension) of z (n, dimension)."""
        given = self._rows(z, "z")
        x = _Numbers("f", given.shape)
        _call("dn_flow_inverse", self, given, given.rows, x)
        return x.result()

    def sample(self, n: int, seed: int = 0) -> Array:
        """n samples: (n, dimension)."""
        x = _Numbers("f", (_integer(n, _i32, "n"), self.info.dimension))
        _call("dn_flow_sample", self, seed, n, x)
        return x.result()

    def log_likelihood(self, x: Any) -> Array:
        """log p of each row of x (n, dimension): (n) doubles."""
        given = self._rows(x, "x")
        out = _Numbers("d", (given.rows,))
        _call("dn_flow_log_likelihood", self, given, given.rows, out)
        return out.result()

    def gradient(self, x: Any, z_gradient: Any, logdet_gradient: Any = None) -> Array:
        """Gradient with respect to x of <z_gradient, z> + <logdet_gradient, logdet>: (n, dimension)."""
        given, factors = self._rows(x, "x"), self._rows(z_gradient, "z_gradient")
        determinant = None if logdet_gradient is None else _Given(logdet_gradient, "f", "logdet_gradient")
        if factors.rows != given.rows or (determinant and determinant.rows != given.rows):
            raise ValueError("x, z_gradient and logdet_gradient must have the same number of rows")
        out = _Numbers("f", given.shape)
        _call("dn_flow_gradient", self, given, given.rows, factors,
              determinant, out)
        return out.result()
