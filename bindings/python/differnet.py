"""Industrial image anomaly detection that learns from good images only: Python binding of libdifferent.

    import differnet

    trainer = differnet.Trainer(differnet.Extractor.default(), epochs=192, threads=4)
    for path in good_images:
        trainer.add(path)
    model = trainer.run(lambda progress: print(progress.phase, progress.done, progress.total))
    model.save("part.dnm")

    scorer = differnet.Scorer(differnet.Model.open("part.dnm"))
    result = scorer.score("part.png")
    print(result.score, result.p_value, result.anomalous)

The library is found as the dynamic linker finds it; load(path) names another file before first use.

Images: wherever an image is asked for, give a path (str or os.PathLike: PNG or JPEG), an Image, a Pixels, or an array
with __array_interface__ (numpy): uint8 or uint16 of shape (height, width), uint8 of shape (height, width, 3) for RGB
or (height, width, 4) for RGBA.

Numbers: arrays of floats go in as numpy arrays, anything with the buffer protocol and format "f" or "d", or nested
sequences.  They come out as numpy arrays if numpy is there, otherwise as memoryviews of the same shape.

Options are keyword arguments with the names and defaults of the option structs in differnet.h, which documents them.
Failures raise Error.  Calls release the interpreter lock.  An Extractor, Flow or Model may be used by any number of
threads; a Scorer, Localizer or Trainer by one at a time.  Handles are freed with their last reference, or by close().
"""
import array
import ctypes
import ctypes.util
import os
import sys
import types

try:
    import numpy
except ImportError:
    numpy = None

__all__ = [
    "Error", "Extractor", "Flow", "Image", "Localizer", "Model", "Pixels", "Scorer", "Trainer", "blas_corename",
    "blas_set_threads", "blas_threads", "encode_png", "load", "overlay", "version", "write_png",
]

# Statuses, as in Error.status.
OK, E_ARGUMENT, E_MEMORY, E_IO, E_FORMAT, E_KIND, E_VERSION = 0, -1, -2, -3, -4, -5, -6
E_LIMIT, E_UNSUPPORTED, E_NUMERIC, E_CANCELLED, E_STATE, E_THREAD = -7, -8, -9, -10, -11, -12

GRAY8, GRAY16, RGB8, BGR8, RGBA8, BGRA8 = 1, 2, 3, 4, 5, 6
STORAGE_F32, STORAGE_F16 = 0, 1
VERIFY_HEADER, VERIFY_FULL = 0, 1
ANGLES_STRATIFIED, ANGLES_GRID = 0, 1
PRESET_COMPACT, PRESET_PAPER = 0, 1
SCHEDULE_CONSTANT, SCHEDULE_COSINE = 0, 1
PHASE_FEATURES, PHASE_TRAIN, PHASE_HOLDOUT, PHASE_HEATMAP = 1, 2, 3, 4

_BYTES_PER_PIXEL = {GRAY8: 1, GRAY16: 2, RGB8: 3, BGR8: 3, RGBA8: 4, BGRA8: 4}


class Error(Exception):
    """A call of the library failed.  status: one of E_...; str(): what, which file, what to do."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


# ---- the library's structs, field by field as in differnet.h ----

_i32, _u32, _i64, _u64 = ctypes.c_int32, ctypes.c_uint32, ctypes.c_int64, ctypes.c_uint64
_size, _float, _double, _pointer, _text = (ctypes.c_size_t, ctypes.c_float, ctypes.c_double, ctypes.c_void_p,
                                           ctypes.c_char_p)


def _struct(name, *fields):
    """A ctypes structure; fields: (type, "names of fields of that type")."""
    listed = [(field, kind) for kind, names in fields for field in names.split()]
    return type(name, (ctypes.Structure,), {"_fields_": listed})


_Error = _struct("dn_error", (_i32, "status"), (ctypes.c_char * 252, "message"))
_Pixels = _struct("dn_pixels", (_pointer, "pixels"), (_i32, "width height"), (_i64, "stride"),
                     (_i32, "format reserved"))
_ImageOptions = _struct("dn_image_options", (_u32, "struct_size reserved"), (_i64, "max_pixels max_bytes"),
                        (_pointer, "allocator"))
_ExtractorOptions = _struct("dn_extractor_options", (_u32, "struct_size"), (_i32, "input_size scales reserved"),
                            (_pointer, "allocator"))
_ExtractorInfo = _struct("dn_extractor_info", (_u32, "struct_size"),
                         (_i32, "input_size scales taps feature_dim random"), (_u32, "id"), (_i32, "layers"),
                         (_i64, "parameters"), (_float * 3, "mean std"), (ctypes.c_char * 64, "name"))
_FlowOptions = _struct("dn_flow_options", (_u32, "struct_size"), (_i32, "dimension blocks hidden"),
                       (_double, "clamp"), (_u64, "seed"), (_pointer, "allocator"))
_ModelOptions = _struct("dn_model_options", (_u32, "struct_size"), (_i32, "verify"), (_pointer, "allocator"))
_ModelInfo = _struct("dn_model_info", (_u32, "struct_size id"),
                     (_i32, "input_size scales feature_dim blocks hidden views angles standardized backbone_random "
                            "storage train_images holdout_images epochs bank"),
                     (_u64, "seed"), (_double, "clamp final_loss heatmap_scale"), (_i64, "parameters"),
                     (ctypes.c_char * 64, "backbone"), (ctypes.c_char * 16, "library"))
_ScorerOptions = _struct("dn_scorer_options", (_u32, "struct_size"), (_i32, "views angles threads"),
                         (_double, "false_alarm_rate"), (_pointer, "allocator runner"))
_Score = _struct("dn_score", (_u32, "struct_size"), (_i32, "anomalous"),
                 (_double, "score log_likelihood p_value threshold false_alarm_rate"), (_i32, "views lower_bound"))
_LocalizerOptions = _struct("dn_localizer_options", (_u32, "struct_size"), (_i32, "views angles threads"),
                            (_double, "sigma"), (_pointer, "allocator runner"))
_Box = _struct("dn_box", (_i32, "x y width height"), (_float, "peak"), (_i32, "area"))
_TrainOptions = _struct("dn_train_options", (_u32, "struct_size"), (_i32, "epochs"), (_u64, "seed"),
                        (_i32, "hidden blocks"), (_double, "clamp"),
                        (_i32, "batch_images batch_views epoch_steps bank standardize schedule"),
                        (_double, "learning_rate beta1 beta2 epsilon weight_decay feature_noise brightness contrast "
                                  "saturation holdout"),
                        (_i32, "views angles heatmap_images threads"), (_text, "checkpoint"),
                        (_i32, "checkpoint_epochs resume"), (_pointer, "allocator runner"))
_PRESET_FIELDS = ("epochs", "hidden", "epoch_steps", "schedule", "learning_rate", "feature_noise")
_Progress = _struct("dn_progress", (_u32, "struct_size"), (_i32, "phase"), (_i64, "done total"), (_double, "loss"))
_ProgressFunction = ctypes.CFUNCTYPE(_i32, ctypes.POINTER(_Progress), _pointer)


# ---- the library's functions: result, then arguments ----
# p: a pointer, s: a byte string, i: int32, I: int64, u: uint64, z: size_t, f: float, n: nothing (result only)

_LETTERS = {"p": _pointer, "s": _text, "i": _i32, "I": _i64, "u": _u64, "z": _size, "f": _float, "n": None}

_FUNCTIONS = {
    "dn_version": "s", "dn_status_string": "si",
    "dn_blob_data": "pp", "dn_blob_size": "zp", "dn_blob_free": "np",
    "dn_blas_set_threads": "ii", "dn_blas_threads": "i", "dn_blas_corename": "s",
    "dn_image_options_init_size": "npz", "dn_image_open_path": "isppp", "dn_image_open_memory": "ipzppp",
    "dn_image_pixels": "npp", "dn_image_free": "np", "dn_image_write_png": "ipsp", "dn_image_encode_png": "ippp",
    "dn_image_overlay": "ippfpp",
    "dn_extractor_options_init_size": "npz", "dn_extractor_open_path": "isppp",
    "dn_extractor_open_memory": "ipzppp", "dn_extractor_default": "ippp", "dn_extractor_random": "ipuppp",
    "dn_extractor_save": "ipsip", "dn_extractor_save_memory": "ipipp",
    "dn_extractor_ref": "pp", "dn_extractor_unref": "np", "dn_extractor_info_init_size": "npz",
    "dn_extractor_get_info": "ipp", "dn_extractor_tap_name": "spi", "dn_extractor_metadata": "spip",
    "dn_extractor_views": "ipppipp",
    "dn_extractor_features": "ippipp", "dn_extractor_features_image": "ipppipp", "dn_extractor_gradient": "ippippp",
    "dn_flow_options_init_size": "npz", "dn_flow_create": "ippp", "dn_flow_open_path": "isppp",
    "dn_flow_open_memory": "ipzppp", "dn_flow_save": "ipsp", "dn_flow_save_memory": "ippp", "dn_flow_ref": "pp",
    "dn_flow_unref": "np", "dn_flow_get_info": "ipp", "dn_flow_forward": "ippippp", "dn_flow_inverse": "ippipp",
    "dn_flow_sample": "ipuipp", "dn_flow_log_likelihood": "ippipp", "dn_flow_gradient": "ippipppp",
    "dn_model_options_init_size": "npz", "dn_model_open_path": "isppp", "dn_model_open_memory": "ipzppp",
    "dn_model_save": "ipsip", "dn_model_save_memory": "ipipp", "dn_model_ref": "pp", "dn_model_unref": "np",
    "dn_model_info_init_size": "npz", "dn_model_get_info": "ipp", "dn_model_holdout_scores": "ppp",
    "dn_model_extractor": "pp", "dn_model_flow": "pp", "dn_model_feature_mean": "pp",
    "dn_model_feature_deviation": "pp",
    "dn_scorer_options_init_size": "npz", "dn_score_init_size": "npz", "dn_scorer_create": "ipppp",
    "dn_scorer_score": "ippp", "dn_scorer_score_path": "ipsp", "dn_scorer_decide": "ippp",
    "dn_scorer_decide_path": "ipsp", "dn_scorer_score_batch": "ippipp", "dn_scorer_score_batch_paths": "ippipp",
    "dn_scorer_batch_images": "ip", "dn_scorer_view_scores": "ppp",
    "dn_scorer_error": "pp", "dn_scorer_free": "np",
    "dn_localizer_options_init_size": "npz", "dn_localizer_create": "ipppp", "dn_localizer_map": "ippp",
    "dn_localizer_boxes": "ippiifpip", "dn_localizer_error": "pp", "dn_localizer_free": "np",
    "dn_train_options_init_size": "npz", "dn_train_options_preset": "ipi", "dn_trainer_create": "ipppp",
    "dn_trainer_add_path": "ips", "dn_trainer_add_pixels": "ipp", "dn_trainer_run": "ipppp", "dn_trainer_model": "ipp",
    "dn_trainer_error": "pp", "dn_trainer_free": "np",
}

_library = None


def load(path=None):
    """Loads the library from `path`, or from where the dynamic linker finds it.  Called by itself on first use."""
    global _library
    if path is None:
        path = ctypes.util.find_library("different")
        if path is None:
            raise OSError("libdifferent is not installed where the dynamic linker looks; name the file: "
                          "differnet.load('/path/to/libdifferent.so')")
    library = ctypes.CDLL(os.fspath(path))
    for name, letters in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype = _LETTERS[letters[0]]
        function.argtypes = [_LETTERS[letter] for letter in letters[1:]]
    _library = library


def _function(name):
    if _library is None:
        load()
    return getattr(_library, name)


def _raise(error):
    raise Error(error.status, error.message.decode("utf-8", "replace"))


def _call(name, *arguments):
    """Calls a function whose last argument is a dn_error, and raises what it reports."""
    error = _Error()
    if _function(name)(*arguments, ctypes.byref(error)) != OK:
        _raise(error)


def _check(status):
    """Raises for a status that no error struct explains."""
    if status != OK:
        raise Error(status, _function("dn_status_string")(status).decode())


def version():
    """Version of the library, "major.minor.patch"."""
    return _function("dn_version")().decode()


def blas_set_threads(threads):
    """Sets OpenBLAS' thread count, for the whole process.  1 is best where threads > 1 are asked of this library."""
    _check(_function("dn_blas_set_threads")(threads))


def blas_threads():
    """OpenBLAS' present thread count."""
    return _function("dn_blas_threads")()


def blas_corename():
    """The kernels that OpenBLAS chose."""
    return _function("dn_blas_corename")().decode()


# ---- options, infos, bytes, numbers ----

def _initialised(struct, init):
    value = struct()
    _function(init)(ctypes.byref(value), ctypes.sizeof(value))
    return value


_HIDDEN = ("struct_size", "reserved", "allocator", "runner")


def _options(struct, init, given):
    """Defaults of the library with the given keyword arguments over them."""
    options = _initialised(struct, init)
    names = [name for name, _ in struct._fields_ if name not in _HIDDEN]
    for name, value in given.items():
        if name not in names:
            raise TypeError(f"unknown option {name!r}; there are {', '.join(names)}")
        if isinstance(value, (str, os.PathLike)):
            value = os.fsencode(value)
        setattr(options, name, value)
    return options


def _namespace(struct):
    """The fields of a struct as a Python object, texts decoded."""
    values = {}
    for name, _ in struct._fields_:
        value = getattr(struct, name)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        elif isinstance(value, ctypes.Array):
            value = tuple(value)
        if name not in _HIDDEN:
            values[name] = value
    return types.SimpleNamespace(**values)


def _is_path(value):
    return isinstance(value, (str, os.PathLike))


def _take_blob(blob):
    """The bytes of a dn_blob, which is freed."""
    try:
        return ctypes.string_at(_function("dn_blob_data")(blob), _function("dn_blob_size")(blob))
    finally:
        _function("dn_blob_free")(blob)


class _Numbers:
    """Room for floats or doubles (typecode "f", "d") of a shape, for the library to fill."""

    def __init__(self, typecode, shape):
        self.shape = shape
        count = 1
        for size in shape:
            count *= size
        if numpy is not None:
            self._data = numpy.zeros(shape, typecode)
            self.address = self._data.ctypes.data
        else:
            self._data = array.array(typecode, bytes(max(count, 1) * array.array(typecode).itemsize))
            self.address = self._data.buffer_info()[0]
        self._count = count

    def result(self):
        if numpy is not None:
            return self._data
        view = memoryview(self._data)[:self._count]
        return view if len(self.shape) == 1 or self._count == 0 else view.cast("B").cast(view.format, self.shape)


def _flatten(value, typecode):
    """(array, shape) of nested sequences or a buffer of floats."""
    try:
        view = memoryview(value)
    except TypeError:
        view = None
    if view is not None and view.format in ("f", "d"):
        shape = view.shape
        flat = array.array(view.format)
        flat.frombytes(view.tobytes())
        return (flat if view.format == typecode else array.array(typecode, flat)), shape
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
    """Numbers of the caller as contiguous floats or doubles: address, and shape as given.

    tail: the dimensions behind the first one; None is any size.
    """

    def __init__(self, value, typecode, what, *tail):
        if numpy is not None:
            self._data = numpy.ascontiguousarray(value, dtype=typecode)
            self.shape, self.address = self._data.shape, self._data.ctypes.data
        else:
            self._data, self.shape = _flatten(value, typecode)
            self.shape, self.address = tuple(self.shape), self._data.buffer_info()[0]
        # A single row may come without its first dimension.
        if self.shape == tail:
            self.shape = (1,) + tail
        matches = len(self.shape) == len(tail) + 1 and all(
            size in (None, own) for size, own in zip(tail, self.shape[1:]))
        if not matches:
            wanted = ", ".join(["n"] + ["m" if size is None else str(size) for size in tail])
            raise ValueError(f"{what}: shape {self.shape} does not match ({wanted})")
        self.rows = self.shape[0]


def _copy_numbers(address, count, struct):
    """A list of `count` numbers at an address in the library."""
    return list((struct * count).from_address(address)) if address and count else []


class _Handle:
    """Owner of a pointer that the library made."""

    _release = ""

    def __init__(self, address):
        self._address = address
        self._free = _function(self._release)

    @property
    def _as_parameter_(self):
        if not self._address:
            raise ValueError(f"this {type(self).__name__} is closed")
        return ctypes.c_void_p(self._address)

    def close(self):
        """Frees the handle now.  Using it afterwards raises ctypes.ArgumentError."""
        address, self._address = self._address, None
        if address:
            self._free(address)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        if getattr(self, "_address", None):
            self.close()


def _open(prefix, source, options):
    """Opens a path or bytes with dn_<prefix>_open_path or dn_<prefix>_open_memory."""
    out = ctypes.c_void_p()
    passed = ctypes.byref(options) if options is not None else None
    if _is_path(source):
        _call(f"dn_{prefix}_open_path", os.fsencode(source), passed, ctypes.byref(out))
    else:
        data = bytes(source)
        _call(f"dn_{prefix}_open_memory", data, len(data), passed, ctypes.byref(out))
    return out.value


# ---- images ----

class Image(_Handle):
    """A decoded PNG or JPEG: Image.open(path or bytes, max_pixels=, max_bytes=)."""

    _release = "dn_image_free"

    @classmethod
    def open(cls, source, **options):
        return cls(_open("image", source, _options(_ImageOptions, "dn_image_options_init_size", options)))

    def _view(self):
        view = _Pixels()
        _function("dn_image_pixels")(self, ctypes.byref(view))
        return view

    @property
    def width(self):
        return self._view().width

    @property
    def height(self):
        return self._view().height

    @property
    def format(self):
        """GRAY8, GRAY16 or RGB8."""
        return self._view().format

    def array(self):
        """A copy of the pixels: (height, width), or (height, width, 3) for RGB8."""
        view = self._view()
        row = view.width * _BYTES_PER_PIXEL[view.format]
        stride = view.stride or row
        data = b"".join(ctypes.string_at(view.pixels + y * stride, row) for y in range(view.height))
        shape = (view.height, view.width) + ((3,) if view.format == RGB8 else ())
        typecode = "H" if view.format == GRAY16 else "B"
        if numpy is not None:
            return numpy.frombuffer(bytearray(data), typecode).reshape(shape)
        return memoryview(data).cast(typecode, shape)


class Pixels:
    """Raw pixels: bytes-like data, top row first, of one of the formats GRAY8 ... BGRA8.

    stride: bytes from one row to the next; 0: rows follow each other without a gap.
    """

    def __init__(self, data, width, height, format=RGB8, stride=0):
        self.data, self.width, self.height, self.format, self.stride = bytes(data), width, height, format, stride
        row = width * _BYTES_PER_PIXEL.get(format, 1)
        if width < 1 or height < 1 or (stride or row) < row or \
                len(self.data) < (height - 1) * (stride or row) + row:
            raise ValueError(f"{len(self.data)} bytes are too few for {width} x {height} pixels")


def _array_view(value):
    """dn_pixels of an array with __array_interface__."""
    interface = value.__array_interface__
    shape, kind = tuple(interface["shape"]), interface["typestr"]
    item = int(kind[2:]) if kind[1] == "u" else 0
    depth = shape[2] if len(shape) == 3 else 1
    formats = {(2, 1, 1): GRAY8, (2, 1, 2): GRAY16, (3, 3, 1): RGB8, (3, 4, 1): RGBA8, (3, 1, 1): GRAY8}
    format = formats.get((len(shape), depth, item))
    foreign = kind[0] == (">" if sys.byteorder == "little" else "<")
    if format is None or foreign:
        raise ValueError(f"an image array must be uint8 or uint16 (height, width), or uint8 (height, width, 3 or 4), "
                         f"not {kind} {shape}")
    height, width = shape[:2]
    strides = interface.get("strides") or (width * depth * item, depth * item, item)
    if strides[1] != depth * item or (len(shape) == 3 and depth > 1 and strides[2] != item) or not strides[0]:
        raise ValueError("the pixels of an image array's row must follow each other; make a copy of the array")
    return _Pixels(interface["data"][0], width, height, strides[0], format, 0)


class _Picture:
    """An image of the caller as a dn_pixels (as_parameter), kept alive."""

    def __init__(self, image):
        self._kept = Image.open(image) if _is_path(image) else image
        if isinstance(self._kept, Image):
            self.view = self._kept._view()
        elif isinstance(self._kept, Pixels):
            pixels = self._kept
            address = ctypes.cast(ctypes.c_char_p(pixels.data), ctypes.c_void_p)
            self.view = _Pixels(address, pixels.width, pixels.height, pixels.stride, pixels.format, 0)
        elif hasattr(image, "__array_interface__"):
            self.view = _array_view(image)
        else:
            raise TypeError(f"not an image: {type(image).__name__}; see differnet's documentation")
        self._as_parameter_ = ctypes.byref(self.view)


def write_png(image, path):
    """Writes an image as PNG; the file appears complete or not at all."""
    _call("dn_image_write_png", _Picture(image), os.fsencode(path))


def encode_png(image):
    """The bytes of an image as PNG."""
    blob = ctypes.c_void_p()
    _call("dn_image_encode_png", _Picture(image), ctypes.byref(blob))
    return _take_blob(blob)


def overlay(image, map, full=0.0):
    """Draws a heat map of Localizer.map over its image: (height, width, 3) bytes, RGB.

    full: the map value that gets the hottest colour; 0: the library's default.
    """
    picture = _Picture(image)
    height, width = picture.view.height, picture.view.width
    values = _Given(map, "f", "map", width)
    if values.rows != height:
        raise ValueError(f"map: {values.rows} rows, the image has {height}")
    rgb = bytearray(height * width * 3)
    _call("dn_image_overlay", picture, values.address, full, (ctypes.c_char * len(rgb)).from_buffer(rgb))
    if numpy is not None:
        return numpy.frombuffer(rgb, "B").reshape(height, width, 3)
    return memoryview(rgb).cast("B", (height, width, 3))


# ---- extractor ----

class Extractor(_Handle):
    """The frozen CNN.  Options of all three ways to make one: input_size, scales."""

    _release = "dn_extractor_unref"

    @classmethod
    def open(cls, source, **options):
        """Loads a backbone (safetensors) from a path or bytes."""
        return cls(_open("extractor", source, cls._given(options)))

    @classmethod
    def default(cls, **options):
        """The built-in backbone.  E_UNSUPPORTED if the library was built without it."""
        out = ctypes.c_void_p()
        _call("dn_extractor_default", ctypes.byref(cls._given(options)), ctypes.byref(out))
        return cls(out.value)

    @classmethod
    def random(cls, channels=None, seed=0, **options):
        """AlexNet with random weights; channels: output channels of its five convolutions."""
        out = ctypes.c_void_p()
        if channels is not None and len(channels) != 5:
            raise ValueError("channels: five numbers, one for each convolution")
        counts = (_i32 * 5)(*channels) if channels is not None else None
        _call("dn_extractor_random", counts, seed, ctypes.byref(cls._given(options)), ctypes.byref(out))
        return cls(out.value)

    @staticmethod
    def _given(options):
        return _options(_ExtractorOptions, "dn_extractor_options_init_size", options)

    def save(self, path, storage=STORAGE_F32):
        """Writes the backbone (safetensors); an existing file is replaced by a complete one or left as it is."""
        _call("dn_extractor_save", self, os.fsencode(path), storage)

    def to_bytes(self, storage=STORAGE_F32):
        blob = ctypes.c_void_p()
        _call("dn_extractor_save_memory", self, storage, ctypes.byref(blob))
        return _take_blob(blob)

    @property
    def info(self):
        """The fields of dn_extractor_info, tap_names, and metadata: what the backbone's file tells about itself."""
        info = _initialised(_ExtractorInfo, "dn_extractor_info_init_size")
        _check(_function("dn_extractor_get_info")(self, ctypes.byref(info)))
        result = _namespace(info)
        result.tap_names = [_function("dn_extractor_tap_name")(self, i).decode() for i in range(info.taps)]
        result.metadata = self._metadata()
        return result

    def _metadata(self):
        result, value = {}, ctypes.c_char_p()
        while key := _function("dn_extractor_metadata")(self, len(result), ctypes.byref(value)):
            result[key.decode()] = value.value.decode()
        return result

    def views(self, image, angles):
        """Renders views, one for each angle in degrees: (n, size, size, 3)."""
        picture, given, size = _Picture(image), _Given(angles, "d", "angles"), self.info.input_size
        out = _Numbers("f", (given.rows, size, size, 3))
        _call("dn_extractor_views", self, picture, given.address, given.rows, out.address)
        return out.result()

    def features(self, views):
        """Features (n, feature_dim) of views (n, size, size, 3)."""
        info = self.info
        given = _Given(views, "f", "views", info.input_size, info.input_size, 3)
        out = _Numbers("f", (given.rows, info.feature_dim))
        _call("dn_extractor_features", self, given.address, given.rows, out.address)
        return out.result()

    def features_image(self, image, angles):
        """Features (n, feature_dim) of one image under n angles."""
        picture, given = _Picture(image), _Given(angles, "d", "angles")
        out = _Numbers("f", (given.rows, self.info.feature_dim))
        _call("dn_extractor_features_image", self, picture, given.address, given.rows, out.address)
        return out.result()

    def gradient(self, views, feature_gradient):
        """Gradient of <feature_gradient, features> with respect to the pixels of the views: (n, size, size, 3)."""
        info = self.info
        given = _Given(views, "f", "views", info.input_size, info.input_size, 3)
        factors = _Given(feature_gradient, "f", "feature_gradient", info.feature_dim)
        if factors.rows != given.rows:
            raise ValueError(f"feature_gradient: {factors.rows} rows for {given.rows} views")
        out = _Numbers("f", (given.rows, info.input_size, info.input_size, 3))
        _call("dn_extractor_gradient", self, given.address, given.rows, factors.address, out.address)
        return out.result()


# ---- flow ----

class Flow(_Handle):
    """The normalizing flow.  Flow.create(dimension=, blocks=, hidden=, clamp=, seed=) or Flow.open(path or bytes)."""

    _release = "dn_flow_unref"

    @classmethod
    def create(cls, **options):
        out = ctypes.c_void_p()
        given = _options(_FlowOptions, "dn_flow_options_init_size", options)
        _call("dn_flow_create", ctypes.byref(given), ctypes.byref(out))
        return cls(out.value)

    @classmethod
    def open(cls, source):
        return cls(_open("flow", source, None))

    def save(self, path):
        _call("dn_flow_save", self, os.fsencode(path))

    def to_bytes(self):
        blob = ctypes.c_void_p()
        _call("dn_flow_save_memory", self, ctypes.byref(blob))
        return _take_blob(blob)

    @property
    def info(self):
        """dimension, blocks, hidden, clamp and seed."""
        info = _initialised(_FlowOptions, "dn_flow_options_init_size")
        _check(_function("dn_flow_get_info")(self, ctypes.byref(info)))
        return _namespace(info)

    def _rows(self, values, what):
        return _Given(values, "f", what, self.info.dimension)

    def forward(self, x):
        """(z, logdet): z (n, dimension) of x (n, dimension), logdet (n)."""
        given = self._rows(x, "x")
        z, logdet = _Numbers("f", given.shape), _Numbers("f", (given.rows,))
        _call("dn_flow_forward", self, given.address, given.rows, z.address, logdet.address)
        return z.result(), logdet.result()

    def inverse(self, z):
        """x (n, dimension) of z (n, dimension)."""
        given = self._rows(z, "z")
        x = _Numbers("f", given.shape)
        _call("dn_flow_inverse", self, given.address, given.rows, x.address)
        return x.result()

    def sample(self, n, seed=0):
        """n samples: (n, dimension)."""
        x = _Numbers("f", (n, self.info.dimension))
        _call("dn_flow_sample", self, seed, n, x.address)
        return x.result()

    def log_likelihood(self, x):
        """log p of each row of x (n, dimension): (n) doubles."""
        given = self._rows(x, "x")
        out = _Numbers("d", (given.rows,))
        _call("dn_flow_log_likelihood", self, given.address, given.rows, out.address)
        return out.result()

    def gradient(self, x, z_gradient, logdet_gradient=None):
        """Gradient with respect to x of <z_gradient, z> + <logdet_gradient, logdet>: (n, dimension)."""
        given, factors = self._rows(x, "x"), self._rows(z_gradient, "z_gradient")
        determinant = None if logdet_gradient is None else _Given(logdet_gradient, "f", "logdet_gradient")
        if factors.rows != given.rows or (determinant and determinant.rows != given.rows):
            raise ValueError("x, z_gradient and logdet_gradient must have the same number of rows")
        out = _Numbers("f", given.shape)
        _call("dn_flow_gradient", self, given.address, given.rows, factors.address,
              determinant.address if determinant else None, out.address)
        return out.result()


# ---- model ----

class Model(_Handle):
    """Everything needed to score: Model.open(path or bytes, verify=VERIFY_FULL), or what Trainer.run returns.

    With VERIFY_HEADER a large file opens in milliseconds, but damage to its weights is not found."""

    _release = "dn_model_unref"

    @classmethod
    def open(cls, source, **options):
        return cls(_open("model", source, _options(_ModelOptions, "dn_model_options_init_size", options)))

    def save(self, path, storage=STORAGE_F32):
        """Writes the model; an existing file is replaced by a complete one or left as it is."""
        _call("dn_model_save", self, os.fsencode(path), storage)

    def to_bytes(self, storage=STORAGE_F32):
        blob = ctypes.c_void_p()
        _call("dn_model_save_memory", self, storage, ctypes.byref(blob))
        return _take_blob(blob)

    @property
    def info(self):
        """The fields of dn_model_info."""
        info = _initialised(_ModelInfo, "dn_model_info_init_size")
        _check(_function("dn_model_get_info")(self, ctypes.byref(info)))
        return _namespace(info)

    @property
    def holdout_scores(self):
        """Scores of the held-out good images, ascending."""
        count = _i32()
        return _copy_numbers(_function("dn_model_holdout_scores")(self, ctypes.byref(count)), count.value, _double)

    @property
    def feature_mean(self):
        """Mean of each feature over the good images, as the standardisation uses it."""
        return _copy_numbers(_function("dn_model_feature_mean")(self), self.info.feature_dim, _float)

    @property
    def feature_deviation(self):
        return _copy_numbers(_function("dn_model_feature_deviation")(self), self.info.feature_dim, _float)

    @property
    def extractor(self):
        return Extractor(_function("dn_extractor_ref")(_function("dn_model_extractor")(self)))

    @property
    def flow(self):
        return Flow(_function("dn_flow_ref")(_function("dn_model_flow")(self)))


class _Worker(_Handle):
    """A handle that keeps its error text itself."""

    _error = ""

    def _run(self, name, *arguments):
        if _function(name)(self, *arguments) != OK:
            _raise(_Error.from_address(_function(self._error)(self)))


def _create(name, parent, options):
    out = ctypes.c_void_p()
    _call(name, parent, ctypes.byref(options), ctypes.byref(out))
    return out.value


class Scorer(_Worker):
    """Scores images.  Options: views, angles, threads, false_alarm_rate."""

    _release, _error = "dn_scorer_free", "dn_scorer_error"

    def __init__(self, model, **options):
        super().__init__(_create("dn_scorer_create", model,
                                 _options(_ScorerOptions, "dn_scorer_options_init_size", options)))

    def score(self, image):
        """The fields of dn_score.  anomalous: True, False, or None if the model holds no scores of good images."""
        return self._single("dn_scorer_score", image)

    def decide(self, image):
        """Like score, but ends as soon as the verdict is certain.

        lower_bound: True if it did: the image's score is at least `score`, its p-value at most `p_value`.
        """
        return self._single("dn_scorer_decide", image)

    def score_batch(self, images):
        """Scores many images, faster than one by one: a list with what score returns for each, or the Error why not."""
        images = list(images)
        scores, errors = (_Score * len(images))(), (_Error * len(images))()
        for score in scores:
            _function("dn_score_init_size")(ctypes.byref(score), ctypes.sizeof(score))
        if all(_is_path(image) for image in images):
            name, given = "dn_scorer_score_batch_paths", (_text * len(images))(*map(os.fsencode, images))
        else:
            name, pictures = "dn_scorer_score_batch", [_Picture(image) for image in images]
            given = (_Pixels * len(images))(*(picture.view for picture in pictures))
        _function(name)(self, given, len(images), scores, errors)
        return [self._result(score) if error.status == OK else
                Error(error.status, error.message.decode("utf-8", "replace"))
                for score, error in zip(scores, errors)]

    @property
    def batch_images(self):
        """Images that score_batch handles together."""
        return _function("dn_scorer_batch_images")(self)

    def _single(self, name, image):
        score = _initialised(_Score, "dn_score_init_size")
        if _is_path(image):
            self._run(name + "_path", os.fsencode(image), ctypes.byref(score))
        else:
            self._run(name, _Picture(image), ctypes.byref(score))
        return self._result(score)

    @staticmethod
    def _result(score):
        result = _namespace(score)
        result.anomalous = None if score.anomalous < 0 else bool(score.anomalous)
        result.lower_bound = bool(score.lower_bound)
        return result

    @property
    def view_scores(self):
        """Score of each view of the last image."""
        count = _i32()
        return _copy_numbers(_function("dn_scorer_view_scores")(self, ctypes.byref(count)), count.value, _double)


class Localizer(_Worker):
    """Heat maps.  Options: views, angles, threads, sigma."""

    _release, _error = "dn_localizer_free", "dn_localizer_error"

    def __init__(self, model, **options):
        super().__init__(_create("dn_localizer_create", model,
                                 _options(_LocalizerOptions, "dn_localizer_options_init_size", options)))

    def map(self, image):
        """Heat map (height, width) of an image; 1 is the most that good images show."""
        picture = _Picture(image)
        out = _Numbers("f", (picture.view.height, picture.view.width))
        self._run("dn_localizer_map", picture, out.address)
        return out.result()

    def boxes(self, map, threshold=1.0, capacity=1024):
        """Boxes (x, y, width, height, peak, area) of the regions of a map >= threshold, strongest peak first."""
        given = _Given(map, "f", "map", None)
        boxes, count = (_Box * capacity)(), _i32()
        self._run("dn_localizer_boxes", given.address, given.shape[1], given.rows, threshold, boxes, capacity,
                  ctypes.byref(count))
        return [_namespace(box) for box in boxes[:count.value]]


class Trainer(_Worker):
    """Learns from good images.  Options: preset (PRESET_...), and the fields of dn_train_options."""

    _release, _error = "dn_trainer_free", "dn_trainer_error"

    def __init__(self, extractor, preset=None, **options):
        given = _options(_TrainOptions, "dn_train_options_init_size", {})
        if preset is not None:
            _check(_function("dn_train_options_preset")(ctypes.byref(given), preset))
            fixed = {name: getattr(given, name) for name in _PRESET_FIELDS}
            options = {**fixed, **options}
        given = _options(_TrainOptions, "dn_train_options_init_size", options)
        super().__init__(_create("dn_trainer_create", extractor, given))

    def add(self, image):
        """Adds a good image."""
        if _is_path(image):
            self._run("dn_trainer_add_path", os.fsencode(image))
        else:
            self._run("dn_trainer_add_pixels", _Picture(image))

    def run(self, progress=None):
        """Trains and returns the Model.

        progress: called with an object that has phase (PHASE_...), done, total, loss.  If it returns something true,
        training stops with Error (E_CANCELLED); an exception that it raises stops training and is passed on.  A
        further run goes on from there.
        """
        out, raised = ctypes.c_void_p(), []

        def report(address, _):
            try:
                return 1 if progress(_namespace(address.contents)) else 0
            except BaseException as exception:  # KeyboardInterrupt too: none may cross the library
                raised.append(exception)
                return 1

        callback = _ProgressFunction(report) if progress is not None else None
        try:
            self._run("dn_trainer_run", ctypes.cast(callback, ctypes.c_void_p) if callback else None, None,
                      ctypes.byref(out))
        except Error:
            if raised:
                raise raised[0]
            raise
        return Model(out.value)

    def model(self):
        """A Model of the last epoch that went well, after run() failed or was cancelled."""
        out = ctypes.c_void_p()
        self._run("dn_trainer_model", ctypes.byref(out))
        return Model(out.value)
