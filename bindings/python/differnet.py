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

The library is found as the dynamic linker finds it (LD_LIBRARY_PATH, ldconfig); load(path) names another file before
first use.

Images: wherever an image is asked for, give a path (str or os.PathLike: PNG, JPEG, BMP, PNM, TIFF), an Image, a PIL
image, or an array with __array_interface__, __array__ or the buffer protocol (numpy, OpenCV, torch on the CPU): uint8
or uint16 of shape (height, width), uint8 of shape (height, width, 3) for RGB or (height, width, 4) for RGBA.  OpenCV's
colours are the other way round, which nothing but you can know: Pixels(frame, format="bgr8").  Raw bytes: Pixels(data,
width, height).  A PIL image's pixels are taken as they are: apply PIL.ImageOps.exif_transpose where a camera's
orientation matters, or give the path.  Anything else is a TypeError that says what to do.

Numbers: arrays of floats go in as numpy arrays, anything with the buffer protocol and format "f" or "d", or nested
sequences.  They come out as numpy arrays if numpy is there, otherwise as memoryviews of the same shape.

Options are keyword arguments with the names and defaults of the option structs in differnet.h, which documents them.
Failures of the library raise Error; arguments that cannot be meant, TypeError or ValueError.

Threads: calls release the interpreter lock.  An Extractor, Flow or Model may be used by any number of threads; those
that share a Scorer, Localizer or Trainer take turns.  Handles are freed with their last reference, or by close(), in
both cases once the calls in progress have ended.  They cannot be copied or pickled.

Ctrl-C: in the main thread every call runs on a helper thread, so that KeyboardInterrupt, or whatever a signal handler
raises, comes at once.  The interrupted call ends by itself as soon as it can (training after its step, a batch after
its group, anything else when it is done); until then the next call on the same Scorer, Localizer or Trainer waits, as
does the end of the program.
"""
import array
import ctypes
import functools
import operator
import os
import queue
import sys
import threading
import types

try:
    import numpy
except ImportError:
    numpy = None

__all__ = [
    "Calibrator", "Error", "Extractor", "Flow", "Image", "Localizer", "Model", "Monitor", "Pixels", "Scorer", "Trainer", "blas_corename",
    "blas_set_threads", "blas_threads", "encode_png", "load", "overlay", "version", "write_png",
]

# Statuses, as in Error.status.
OK, E_ARGUMENT, E_MEMORY, E_IO, E_FORMAT, E_KIND, E_VERSION = 0, -1, -2, -3, -4, -5, -6
E_LIMIT, E_UNSUPPORTED, E_NUMERIC, E_CANCELLED, E_STATE, E_THREAD = -7, -8, -9, -10, -11, -12

GRAY8, GRAY16, RGB8, BGR8, RGBA8, BGRA8 = 1, 2, 3, 4, 5, 6
STORAGE_F32, STORAGE_F16 = 0, 1
VERIFY_HEADER, VERIFY_FULL = 0, 1
ANGLES_STRATIFIED, ANGLES_GRID = 0, 1
(TRAIT_COLOUR, TRAIT_BRIGHTNESS, TRAIT_CONTRAST, TRAIT_SHARPNESS, TRAIT_DARKEST, TRAIT_BRIGHTEST, TRAIT_SIZE, TRAIT_SHAPE,
 TRAIT_BITS) = range(9)
(WARN_GRAY, WARN_COLOUR, WARN_8_BIT, WARN_16_BIT, WARN_DARK, WARN_BRIGHT, WARN_FLAT, WARN_CONTRAST, WARN_BLURRED,
 WARN_SHARP, WARN_SMALL, WARN_LARGE, WARN_NARROW, WARN_WIDE) = (1 << bit for bit in range(14))
MASK_INCLUDE, MASK_IGNORE = 0, 1
MAP_DEFAULT, MAP_POSITIONS, MAP_GRADIENT = 0, 1, 2
PRESET_COMPACT, PRESET_PAPER, PRESET_FAST = 0, 1, 2
SCHEDULE_CONSTANT, SCHEDULE_COSINE = 0, 1
DUPLICATE_EQUAL, DUPLICATE_NEAR = 1, 2
CALIBRATION_AUTO, CALIBRATION_SPLIT, CALIBRATION_CROSS = 0, 1, 2
PHASE_FEATURES, PHASE_TRAIN, PHASE_HOLDOUT, PHASE_HEATMAP, PHASE_MAPS, PHASE_POSITIONS, PHASE_FOLDS, PHASE_COPIES = \
    range(1, 9)

_BYTES_PER_PIXEL = {GRAY8: 1, GRAY16: 2, RGB8: 3, BGR8: 3, RGBA8: 4, BGRA8: 4}
_FORMATS = {"gray8": GRAY8, "gray16": GRAY16, "rgb8": RGB8, "bgr8": BGR8, "rgba8": RGBA8, "bgra8": BGRA8}


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
                        (_pointer, "allocator"), (_i64, "max_memory"))
_ExtractorOptions = _struct("dn_extractor_options", (_u32, "struct_size"), (_i32, "input_size scales reserved"),
                            (_pointer, "allocator"))
_ExtractorInfo = _struct("dn_extractor_info", (_u32, "struct_size"),
                         (_i32, "input_size scales taps feature_dim random"), (_u32, "id"), (_i32, "layers"),
                         (_i64, "parameters"), (_float * 3, "mean std"), (ctypes.c_char * 64, "name"))
_MapsInfo = _struct("dn_maps_info", (_u32, "struct_size"), (_i32, "rows columns channels taps reserved"),
                    (_double, "stride_y stride_x offset_y offset_x"))
_FlowOptions = _struct("dn_flow_options", (_u32, "struct_size"), (_i32, "dimension blocks hidden"),
                       (_double, "clamp"), (_u64, "seed"), (_pointer, "allocator"))
_ModelOptions = _struct("dn_model_options", (_u32, "struct_size"), (_i32, "verify"), (_pointer, "allocator"))
_ModelInfo = _struct("dn_model_info", (_u32, "struct_size id"),
                     (_i32, "input_size scales feature_dim blocks hidden views angles standardized backbone_random "
                            "storage train_images holdout_images epochs bank"),
                     (_u64, "seed"), (_double, "clamp final_loss heatmap_scale"), (_i64, "parameters"),
                     (ctypes.c_char * 64, "backbone"), (ctypes.c_char * 16, "library preset"),
                     (_double, "positions_scale"),
                     (_i32, "flow positions map_rows map_columns map_channels position_dims seen_images copies"),
                     (_double * 9, "seen_low seen_high"), (_i32, "calibration folds tile_columns tile_rows fit reserved2 range_low range_high"))
_ScorerOptions = _struct("dn_scorer_options", (_u32, "struct_size"), (_i32, "views angles threads"),
                         (_double, "false_alarm_rate"), (_pointer, "allocator runner"),
                         (_i64, "max_pixels max_bytes max_memory"))
_Score = _struct("dn_score", (_u32, "struct_size"), (_i32, "anomalous"),
                 (_double, "score log_likelihood p_value threshold false_alarm_rate"), (_i32, "views lower_bound"),
                 (_double, "flow_score local_score whole_score index"), (_u32, "warnings reserved"))
_MonitorOptions = _struct("dn_monitor_options", (_u32, "struct_size"), (_i32, "good_scores"),
                          (_double, "images_between_alarms"), (_i32, "window reserved"), (_pointer, "allocator"))
_MonitorState = _struct("dn_monitor_state", (_u32, "struct_size"), (_i32, "moved"), (_i64, "images moved_at"),
                        (_double, "evidence recent_mean"), (_i32, "recent_images reserved"))
_CalibratorOptions = _struct("dn_calibrator_options", (_u32, "struct_size"), (_i32, "keep accept_suspects threads"),
                             (_pointer, "allocator runner"), (_i64, "max_pixels max_bytes max_memory"))
_CalibratorInfo = _struct("dn_calibrator_info", (_u32, "struct_size"),
                          (_i32, "added counted good_scores suspects moved"), (_double, "limit"))
_LocalizerOptions = _struct("dn_localizer_options", (_u32, "struct_size"), (_i32, "views angles threads"),
                            (_double, "sigma"), (_pointer, "allocator runner"), (_i32, "method reserved"))
_Box = _struct("dn_box", (_i32, "x y width height"), (_float, "peak"), (_i32, "area"),
               (_float, "mean centroid_x centroid_y"), (_i32, "reserved"))
_BoxOptions = _struct("dn_box_options", (_u32, "struct_size"), (_float, "threshold"), (_i32, "min_area gap"))
_TrainOptions = _struct("dn_train_options", (_u32, "struct_size"), (_i32, "epochs"), (_u64, "seed"),
                        (_i32, "hidden blocks"), (_double, "clamp"),
                        (_i32, "batch_images batch_views epoch_steps bank standardize schedule"),
                        (_double, "learning_rate beta1 beta2 epsilon weight_decay feature_noise brightness contrast "
                                  "saturation holdout"),
                        (_i32, "views angles heatmap_images threads"), (_text, "checkpoint"),
                        (_i32, "checkpoint_epochs resume"), (_pointer, "allocator runner"),
                        (_i32, "preset flow positions position_dims light copies"),
                        (_i64, "max_pixels max_bytes max_memory"), (_i32, "calibration folds tile_columns tile_rows fit duplicates range_low "
                                                           "range_high"))
_TrainerInfo = _struct("dn_trainer_info", (_u32, "struct_size"),
                       (_i32, "images parts duplicates adjacent reserved"))
_PRESET_FIELDS = ("epochs", "hidden", "epoch_steps", "schedule", "learning_rate", "feature_noise", "views", "preset",
                  "flow", "positions")
_Progress = _struct("dn_progress", (_u32, "struct_size"), (_i32, "phase"), (_i64, "done total"), (_double, "loss"))
_ProgressFunction = ctypes.CFUNCTYPE(_i32, ctypes.POINTER(_Progress), _pointer)


# ---- the library's functions: result, then arguments ----
# p: a pointer, s: a byte string, i: int32, I: int64, u: uint64, z: size_t, w: uint32, f: float, d: double, n: nothing
# (result only)

_LETTERS = {"p": _pointer, "s": _text, "i": _i32, "I": _i64, "u": _u64, "z": _size, "w": _u32, "f": _float,
            "d": _double, "n": None}

_FUNCTIONS = {
    "dn_version": "s", "dn_status_string": "si",
    "dn_blob_data": "pp", "dn_blob_size": "zp", "dn_blob_free": "np",
    "dn_blas_set_threads": "ii", "dn_blas_threads": "i", "dn_blas_corename": "s",
    "dn_image_options_init_size": "npz", "dn_image_open_path": "isppp", "dn_image_open_memory": "ipzppp",
    "dn_image_pixels": "npp", "dn_image_free": "np", "dn_image_ending": "si",
    "dn_image_write_png": "ipsp", "dn_image_encode_png": "ippp", "dn_image_overlay": "ippfpp",
    "dn_extractor_options_init_size": "npz", "dn_extractor_open_path": "isppp",
    "dn_extractor_open_memory": "ipzppp", "dn_extractor_default": "ippp", "dn_extractor_random": "ipuppp",
    "dn_extractor_save": "ipsip", "dn_extractor_save_memory": "ipipp",
    "dn_extractor_ref": "pp", "dn_extractor_unref": "np", "dn_extractor_info_init_size": "npz",
    "dn_extractor_get_info": "ipp", "dn_extractor_tap_name": "spi", "dn_extractor_metadata": "spip",
    "dn_extractor_views": "ipppipp",
    "dn_extractor_features": "ippipp", "dn_extractor_features_image": "ipppipp", "dn_extractor_gradient": "ippippp",
    "dn_maps_info_init_size": "npz", "dn_extractor_get_maps_info": "ipp", "dn_extractor_map_name": "spi",
    "dn_extractor_maps": "ippipp",
    "dn_flow_options_init_size": "npz", "dn_flow_create": "ippp", "dn_flow_open_path": "isppp",
    "dn_flow_open_memory": "ipzppp", "dn_flow_save": "ipsp", "dn_flow_save_memory": "ippp", "dn_flow_ref": "pp",
    "dn_flow_unref": "np", "dn_flow_get_info": "ipp", "dn_flow_forward": "ippippp", "dn_flow_inverse": "ippipp",
    "dn_flow_sample": "ipuipp", "dn_flow_log_likelihood": "ippipp", "dn_flow_gradient": "ippipppp",
    "dn_model_options_init_size": "npz", "dn_model_open_path": "isppp", "dn_model_open_memory": "ipzppp",
    "dn_model_save": "ipsip", "dn_model_save_memory": "ipipp", "dn_model_overlay": "ipppfpp", "dn_model_ref": "pp", "dn_model_unref": "np",
    "dn_model_info_init_size": "npz", "dn_model_get_info": "ipp", "dn_model_holdout_scores": "ppp",
    "dn_model_note": "spip", "dn_model_operating_point": "spip", "dn_model_extractor": "pp", "dn_model_flow": "pp", "dn_model_feature_mean": "pp",
    "dn_model_feature_deviation": "pp",
    "dn_scorer_options_init_size": "npz", "dn_score_init_size": "npz", "dn_scorer_create": "ipppp",
    "dn_scorer_set_false_alarm_rate": "ipd", "dn_scorer_set_threshold": "ipd", "dn_scorer_set_operating_point": "ips",
    "dn_scorer_set_mask": "ippi", "dn_localizer_set_mask": "ippi",
    "dn_scorer_score": "ippp", "dn_scorer_score_path": "ipsp", "dn_scorer_decide": "ippp",
    "dn_scorer_decide_path": "ipsp", "dn_scorer_score_batch": "ippipp", "dn_scorer_score_batch_paths": "ippipp",
    "dn_scorer_inspect": "ipppp", "dn_scorer_batch_images": "ip", "dn_scorer_view_scores": "ppp",
    "dn_scorer_error": "pp", "dn_scorer_free": "np", "dn_warning_text": "sw",
    "dn_monitor_options_init_size": "npz", "dn_monitor_state_init_size": "npz", "dn_monitor_create": "ippp",
    "dn_monitor_add": "ipd", "dn_monitor_get_state": "ipp", "dn_monitor_reset": "ip", "dn_monitor_error": "pp",
    "dn_monitor_free": "np",
    "dn_calibrator_options_init_size": "npz", "dn_calibrator_info_init_size": "npz", "dn_calibrator_create": "ipppp",
    "dn_calibrator_add_path": "ipsp", "dn_calibrator_add_pixels": "ippp", "dn_calibrator_set_point": "ipsd",
    "dn_calibrator_note": "ipss", "dn_calibrator_get_info": "ipppi", "dn_calibrator_model": "ipp",
    "dn_calibrator_error": "pp", "dn_calibrator_free": "np",
    "dn_localizer_options_init_size": "npz", "dn_localizer_create": "ipppp", "dn_localizer_map": "ippp",
    "dn_localizer_boxes": "ippiifpip", "dn_box_options_init_size": "npz", "dn_localizer_find_boxes": "ippiippip",
    "dn_localizer_threshold": "ipdpp", "dn_localizer_error": "pp", "dn_localizer_free": "np",
    "dn_train_options_init_size": "npz", "dn_train_options_preset": "ipi", "dn_trainer_create": "ipppp",
    "dn_trainer_add_path": "ips", "dn_trainer_add_pixels": "ipp", "dn_trainer_note": "ipss", "dn_trainer_set_group": "ips",
    "dn_trainer_duplicate_of": "ipip", "dn_trainer_info_init_size": "npz", "dn_trainer_get_info": "ipp", "dn_trainer_run": "ipppp", "dn_trainer_model": "ipp",
    "dn_trainer_advice": "spi", "dn_trainer_error": "pp", "dn_trainer_free": "np",
}

_library = None


def load(path=None):
    """Loads the library from `path`, or from where the dynamic linker finds it.  Called by itself on first use."""
    global _library
    if path is not None:
        library = ctypes.CDLL(os.fspath(path))
    else:
        try:
            library = ctypes.CDLL("libdifferent.so.0")
        except OSError as error:
            raise OSError(f"libdifferent is not where the dynamic linker looks ({error}); run ldconfig after the "
                          "installation, or name the file: differnet.load('/path/to/libdifferent.so')") from None
    for name, letters in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype = _LETTERS[letters[0]]
        function.argtypes = [_LETTERS[letter] for letter in letters[1:]]
    _library = library


def _function(name):
    if _library is None:
        load()
    return getattr(_library, name)


def _integer(value, kind, what):
    """An integer that fits `kind`: ctypes itself would drop the bits that do not."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{what}: an integer is needed, not {type(value).__name__}") from None
    if kind(number).value != number:
        raise ValueError(f"{what}: {number} does not fit in {8 * ctypes.sizeof(kind)} bits")
    return number


def _real(value, kind, what):
    try:
        return kind(value).value
    except TypeError:
        raise TypeError(f"{what}: a number is needed, not {type(value).__name__}") from None


def _path(value):
    """A path as the library takes it."""
    path = os.fsencode(value)
    if b"\0" in path:
        raise ValueError(f"a path with a NUL character: {value!r}")
    return path


def _utf8(value):
    """A text as the library takes it."""
    if not isinstance(value, str):
        raise TypeError(f"a text is needed, not {type(value).__name__}")
    if "\0" in value:
        raise ValueError(f"a text with a NUL character: {value!r}")
    return value.encode("utf-8", "surrogateescape")  # the library refuses what is no UTF-8


def _bound(name, *arguments):
    """The call of a function with its arguments checked.  It keeps alive what they point to, handles included."""
    given = []
    for letter, value in zip(_FUNCTIONS[name][1:], arguments):
        if letter in "iIuzw":
            value = _integer(value, _LETTERS[letter], name)
        elif letter in "fd":
            value = _real(value, _LETTERS[letter], name)
        elif isinstance(value, _Handle):
            value = value._held()
        given.append(value)
    return functools.partial(_function(name), *given)


def _value(name, *arguments):
    """What a function returns that takes no time."""
    return _bound(name, *arguments)()


class _Job:
    """A call of the library that the calling thread can be interrupted in.

    Python handles signals in the main thread, between two bytecodes of its own: not while it is in the library, and
    not reliably in a callback from there, whose first bytecode may be the one that raises KeyboardInterrupt.  So a
    helper thread makes the call, and the caller waits for it, and calls progress.
    """

    _patience = 0.3  # seconds that an interrupted caller gives the call to end

    def __init__(self, progress=None):
        self.caller = threading.get_ident()
        self.abandoned = False
        self._progress = progress
        self._news, self._answers, self._ended = queue.SimpleQueue(), queue.SimpleQueue(), threading.Event()

    def do(self, work):
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

    def _start(self, work):
        try:
            threading.Thread(target=self._help, args=(work,), name="differnet").start()
        except RuntimeError:  # too many threads, or the interpreter is about to end
            return False
        return True

    def _help(self, work):
        try:
            result = work(), None
        except BaseException as exception:
            result = None, exception
        self._ended.set()
        self._news.put((True, result))

    def _wait(self):
        while True:
            ended, news = self._news.get()
            if ended:
                result, exception = news
                if exception is not None:
                    raise exception
                return result
            try:
                answer = bool(self._progress(news))
            except Exception:
                self._patience = None  # nobody is in a hurry: the call ends first
                raise
            self._answers.put(answer)

    def ask(self, progress):
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


def _raise(error):
    raise Error(error.status, error.message.decode("utf-8", "replace"))


def _call(name, *arguments):
    """Calls a function whose last argument is a dn_error, and raises what it reports."""
    error = _Error()
    if _Job().do(_bound(name, *arguments, ctypes.byref(error))) != OK:
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
    _check(_value("dn_blas_set_threads", threads))


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
    kinds = {name: kind for name, kind in struct._fields_ if name not in _HIDDEN}
    for name, value in given.items():
        if name not in kinds:
            raise TypeError(f"unknown option {name!r}; there are {', '.join(kinds)}")
        setattr(options, name, _field(kinds[name], value, name))
    return options


def _field(kind, value, name):
    """The value of an option, checked: a ctypes structure takes True for an address and drops bits of an integer."""
    if kind is _text:
        return None if value is None else _path(value)
    return _real(value, kind, name) if kind in (_double, _float) else _integer(value, kind, name)


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


def _blob(name, *arguments):
    """The bytes that a function with a dn_blob as its last result makes."""
    blob = _Owner("dn_blob_free")
    _call(name, *arguments, ctypes.byref(blob))
    return ctypes.string_at(_value("dn_blob_data", blob), _value("dn_blob_size", blob))


class _Numbers:
    """Room for floats or doubles (typecode "f", "d") of a shape, for the library to fill."""

    def __init__(self, typecode, shape):
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

    def __init__(self, value, typecode, what, *tail):
        if numpy is not None:
            self._data = numpy.require(value, typecode, ["C", "A"])
            self.shape, address = self._data.shape, self._data.ctypes.data
        else:
            self._data, self.shape = _flatten(value, typecode)
            self.shape, address = tuple(self.shape), self._data.buffer_info()[0]
        self._as_parameter_ = ctypes.c_void_p(address)
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


class _Owner(ctypes.c_void_p):
    """A pointer that the library fills in by reference; freed with the last reference: a handle's or a call's."""

    _free = None

    def __init__(self, release):
        super().__init__()
        self._free = _function(release)

    def __del__(self):
        if self:
            self._free(self)


class _Handle:
    """What the library made, until it is closed."""

    _release = ""
    _owner = None
    _made_by = "open()"

    def __init__(self, *_, **__):
        name = type(self).__name__
        raise TypeError(f"{name}() makes nothing: call {name}.{self._made_by}")

    @classmethod
    def _of(cls, owner):
        handle = cls.__new__(cls)
        handle._owner = owner
        return handle

    @classmethod
    def _made(cls, name, *arguments):
        """The handle that a function makes as its last result."""
        owner = _Owner(cls._release)
        _call(name, *arguments, ctypes.byref(owner))
        return cls._of(owner)

    def _held(self):
        """The pointer, alive for as long as the caller has it, whatever other threads close."""
        owner = self._owner
        if owner is None:
            raise Error(E_STATE, f"this {type(self).__name__} is closed")
        return owner

    def close(self):
        """Frees the handle, after the calls in progress if there are any.  Using it afterwards raises Error."""
        self._owner = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __reduce_ex__(self, _):
        saved = "; its to_bytes() can be sent, and opened again" if hasattr(self, "to_bytes") else ""
        raise TypeError(f"{type(self).__name__} objects cannot be copied or pickled{saved}")


def _expect(kind, value):
    """A handle of that kind: the library would take any other pointer for one."""
    if not isinstance(value, kind):
        raise TypeError(f"a differnet.{kind.__name__} is needed, not {type(value).__name__}")
    return value


def _bytes(value, what):
    """Any bytes-like object as bytes."""
    if isinstance(value, bytes):
        return value
    try:
        return memoryview(value).tobytes()
    except TypeError:
        raise TypeError(f"{what}, not {type(value).__name__}") from None


def _open(cls, prefix, source, options):
    """Opens a path or bytes with dn_<prefix>_open_path or dn_<prefix>_open_memory."""
    passed = ctypes.byref(options) if options is not None else None
    if _is_path(source):
        return cls._made(f"dn_{prefix}_open_path", _path(source), passed)
    data = _bytes(source, f"{cls.__name__}.open() takes a path or the bytes of a file")
    return cls._made(f"dn_{prefix}_open_memory", data, len(data), passed)


# ---- images ----

class Image(_Handle):
    """A decoded image file: Image.open(path or bytes, max_pixels=, max_bytes=, max_memory=).

        image = differnet.Image.open("part.png")
        print(image.width, image.height, image.array().shape)
    """

    _release = "dn_image_free"

    @classmethod
    def open(cls, source, **options):
        """Decodes a file, by path or by its bytes.  Options: the fields of dn_image_options."""
        return _open(cls, "image", source, _options(_ImageOptions, "dn_image_options_init_size", options))

    def _view(self):
        view = _Pixels()
        _value("dn_image_pixels", self, ctypes.byref(view))
        return view

    @property
    def width(self):
        """In pixels."""
        return self._view().width

    @property
    def height(self):
        """In pixels."""
        return self._view().height

    @property
    def format(self):
        """GRAY8, GRAY16 or RGB8."""
        return self._view().format

    def array(self):
        """A copy of the pixels: (height, width), or (height, width, 3) for RGB8."""
        held, view = self._held(), self._view()
        row = view.width * _BYTES_PER_PIXEL[view.format]
        stride = view.stride or row
        data = b"".join(ctypes.string_at(view.pixels + y * stride, row) for y in range(view.height))
        del held
        shape = (view.height, view.width) + ((3,) if view.format == RGB8 else ())
        typecode = "H" if view.format == GRAY16 else "B"
        if numpy is not None:
            return numpy.frombuffer(bytearray(data), typecode).reshape(shape)
        return memoryview(data).cast(typecode, shape)


class Pixels:
    """Raw pixels: Pixels(array, format="bgr8"), or Pixels(data, width, height, format, stride) of bytes.

        result = scorer.score(differnet.Pixels(frame, format="bgr8"))    # frame: of OpenCV
        result = scorer.score(differnet.Pixels(camera_bytes, 640, 480, "gray8"))

    array: what differnet's documentation lists as images; it is not copied where its rows lie as the library needs
    them.  format: a constant (BGR8) or its name ("bgr8"): by default RGB or what the array's shape tells.
    data: bytes-like, top row first.  stride: bytes from one row to the next; 0: rows follow each other without a gap.
    """

    def __init__(self, data, width=None, height=None, format=None, stride=0):
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
        self._view = _Pixels(address, self.width, self.height, self.stride, self.format, 0)


def _format(value):
    """A pixel format by its constant or name."""
    format = _FORMATS.get(value.lower()) if isinstance(value, str) else _integer(value, _i32, "format")
    if format not in _BYTES_PER_PIXEL:
        raise ValueError(f"format {value!r} is unknown; there are {', '.join(_FORMATS)}")
    return format


def _matching_format(value, own):
    """A format asked for, if an array of format `own` can have it."""
    format = _format(value)
    if format != own and {format, own} not in ({RGB8, BGR8}, {RGBA8, BGRA8}):
        names = {number: name for name, number in _FORMATS.items()}
        raise ValueError(f"the array is {names[own]} by its shape and numbers, and cannot be {names[format]}")
    return format


def _address(data):
    """Where bytes lie in memory."""
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value


# PIL's modes whose pixels are one of our formats, and those that become one by dropping what a file's reader drops too.
_PIL_FORMATS = {"L": GRAY8, "RGB": RGB8, "RGBA": RGBA8, "I;16" if sys.byteorder == "little" else "I;16B": GRAY16}
_PIL_CONVERTED = {"1": "L", "LA": "L", "P": "RGB", "PA": "RGB", "RGBX": "RGB"}


def _image_array(value):
    """(object to keep, address, (height, width), stride, format) of an array or a PIL image."""
    pil = sys.modules.get("PIL.Image")
    if pil is not None and isinstance(value, pil.Image):
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


def _is_buffer(value):
    try:
        memoryview(value)
    except (TypeError, BufferError):
        return False
    return True


def _array_format(shape, kind):
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


def _numpy_array(value):
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


def _plain_array(value):
    """The same without numpy, by a copy."""
    interface = getattr(value, "__array_interface__", None)
    if interface is None:
        if not _is_buffer(value):
            raise TypeError(f"not an image: {type(value).__name__} has its pixels by __array__() only, for which "
                            "numpy must be installed")
        view = memoryview(value)
        kind = {"B": "uint8", "H": "uint16"}.get(view.format.lstrip("@="), repr(view.format))
        format, data, shape = _array_format(view.shape, kind), view.tobytes(), view.shape
    else:
        shape, typestr = tuple(interface["shape"]), interface["typestr"]
        native = "<u2" if sys.byteorder == "little" else ">u2"
        kind = "uint8" if typestr[1:] == "u1" else "uint16" if typestr == native else repr(typestr)
        format = _array_format(shape, kind)
        data = _interface_bytes(value, interface, shape, _BYTES_PER_PIXEL[format])
    return data, _address(data), _image_size(shape), 0, format


def _interface_bytes(value, interface, shape, pixel):
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


def _image_size(shape):
    return _integer(shape[0], _i32, "height"), _integer(shape[1], _i32, "width")


class _Picture:
    """An image of the caller as an argument of the library's, kept alive."""

    def __init__(self, image):
        if _is_path(image):
            image = Image.open(image)
        if isinstance(image, Image):
            self._kept, self.view = image._held(), image._view()
        else:
            self._kept = image if isinstance(image, Pixels) else Pixels(image)
            self.view = self._kept._view
        self._as_parameter_ = ctypes.byref(self.view)


def write_png(image, path):
    """Writes an image as PNG; the file appears complete or not at all."""
    _call("dn_image_write_png", _Picture(image), _path(path))


def encode_png(image):
    """The bytes of an image as PNG."""
    return _blob("dn_image_encode_png", _Picture(image))


def overlay(image, map, full=0.0, model=None):
    """Draws a heat map of Localizer.map over its image: (height, width, 3) bytes, RGB.

    full: the map value that gets the hottest colour; 0: the library's default.  model: shows 16-bit pixels in its range.
    """
    picture = _Picture(image)
    height, width = picture.view.height, picture.view.width
    values = _Given(map, "f", "map", width)
    if values.rows != height:
        raise ValueError(f"map: {values.rows} rows, the image has {height}")
    rgb = bytearray(height * width * 3)
    given = (picture, values, full, (ctypes.c_char * len(rgb)).from_buffer(rgb))
    if model is None:
        _call("dn_image_overlay", *given)
    else:
        _call("dn_model_overlay", _expect(Model, model), *given)
    del given  # which keeps rgb from being looked at otherwise
    if numpy is not None:
        return numpy.frombuffer(rgb, "B").reshape(height, width, 3)
    return memoryview(rgb).cast("B", (height, width, 3))


# ---- extractor ----

class Extractor(_Handle):
    """The frozen CNN.  Options of all three ways to make one: input_size, scales.

        extractor = differnet.Extractor.open("backbone.safetensors", input_size=224, scales=1)
        features = extractor.features_image("part.png", angles=[0, 90, 180, 270])
    """

    _release, _made_by = "dn_extractor_unref", "open(), default() or random()"

    @classmethod
    def open(cls, source, **options):
        """Loads a backbone (safetensors) from a path or bytes."""
        return _open(cls, "extractor", source, cls._given(options))

    @classmethod
    def default(cls, **options):
        """The built-in backbone.  E_UNSUPPORTED if the library was built without it."""
        return cls._made("dn_extractor_default", ctypes.byref(cls._given(options)))

    @classmethod
    def random(cls, channels=None, seed=0, **options):
        """AlexNet with random weights; channels: output channels of its five convolutions."""
        if channels is not None and len(channels) != 5:
            raise ValueError("channels: five numbers, one for each convolution")
        counts = None if channels is None else (_i32 * 5)(*(_integer(one, _i32, "channels") for one in channels))
        return cls._made("dn_extractor_random", counts, seed, ctypes.byref(cls._given(options)))

    @staticmethod
    def _given(options):
        return _options(_ExtractorOptions, "dn_extractor_options_init_size", options)

    def save(self, path, storage=STORAGE_F32):
        """Writes the backbone (safetensors); an existing file is replaced by a complete one or left as it is."""
        _call("dn_extractor_save", self, _path(path), storage)

    def to_bytes(self, storage=STORAGE_F32):
        """The bytes that save would write; Extractor.open() takes them."""
        return _blob("dn_extractor_save_memory", self, storage)

    @property
    def info(self):
        """The fields of dn_extractor_info, tap_names, and metadata: what the backbone's file tells about itself."""
        info = _initialised(_ExtractorInfo, "dn_extractor_info_init_size")
        held, metadata, value = self._held(), {}, ctypes.c_char_p()
        _check(_value("dn_extractor_get_info", held, ctypes.byref(info)))
        while key := _value("dn_extractor_metadata", held, len(metadata), ctypes.byref(value)):
            metadata[key.decode()] = value.value.decode()
        result = _namespace(info)
        result.tap_names = [_value("dn_extractor_tap_name", held, i).decode() for i in range(info.taps)]
        result.metadata = metadata
        return result

    def views(self, image, angles):
        """Renders views, one for each angle in degrees: (n, size, size, 3)."""
        picture, given, size = _Picture(image), _Given(angles, "d", "angles"), self.info.input_size
        out = _Numbers("f", (given.rows, size, size, 3))
        _call("dn_extractor_views", self, picture, given, given.rows, out)
        return out.result()

    def features(self, views):
        """Features (n, feature_dim) of views (n, size, size, 3)."""
        info = self.info
        given = _Given(views, "f", "views", info.input_size, info.input_size, 3)
        out = _Numbers("f", (given.rows, info.feature_dim))
        _call("dn_extractor_features", self, given, given.rows, out)
        return out.result()

    def features_image(self, image, angles):
        """Features (n, feature_dim) of one image under n angles."""
        picture, given = _Picture(image), _Given(angles, "d", "angles")
        out = _Numbers("f", (given.rows, self.info.feature_dim))
        _call("dn_extractor_features_image", self, picture, given, given.rows, out)
        return out.result()

    @property
    def maps_info(self):
        """The fields of dn_maps_info, and names: of the taps for maps."""
        info, held = _initialised(_MapsInfo, "dn_maps_info_init_size"), self._held()
        _check(_value("dn_extractor_get_maps_info", held, ctypes.byref(info)))
        result = _namespace(info)
        result.names = [_value("dn_extractor_map_name", held, i).decode() for i in range(info.taps)]
        return result

    def maps(self, views):
        """Feature maps (n, rows, columns, channels) of views (n, size, size, 3) at a common grid."""
        info, size = self.maps_info, self.info.input_size
        given = _Given(views, "f", "views", size, size, 3)
        out = _Numbers("f", (given.rows, info.rows, info.columns, info.channels))
        _call("dn_extractor_maps", self, given, given.rows, out)
        return out.result()

    def gradient(self, views, feature_gradient):
        """Gradient of <feature_gradient, features> with respect to the pixels of the views: (n, size, size, 3)."""
        info = self.info
        given = _Given(views, "f", "views", info.input_size, info.input_size, 3)
        factors = _Given(feature_gradient, "f", "feature_gradient", info.feature_dim)
        if factors.rows != given.rows:
            raise ValueError(f"feature_gradient: {factors.rows} rows for {given.rows} views")
        out = _Numbers("f", (given.rows, info.input_size, info.input_size, 3))
        _call("dn_extractor_gradient", self, given, given.rows, factors, out)
        return out.result()


# ---- flow ----

class Flow(_Handle):
    """The normalizing flow.  Flow.create(dimension=, blocks=, hidden=, clamp=, seed=) or Flow.open(path or bytes).

        flow = differnet.Flow.create(dimension=4, blocks=2, hidden=8)
        z, logdet = flow.forward([[0.5, -1, 2, 0]])
        x = flow.inverse(z)
    """

    _release, _made_by = "dn_flow_unref", "create() or open()"

    @classmethod
    def create(cls, **options):
        """A flow with random weights; options: the fields of dn_flow_options."""
        given = _options(_FlowOptions, "dn_flow_options_init_size", options)
        return cls._made("dn_flow_create", ctypes.byref(given))

    @classmethod
    def open(cls, source):
        """Loads a flow from a path or bytes."""
        return _open(cls, "flow", source, None)

    def save(self, path):
        """Writes the flow; an existing file is replaced by a complete one or left as it is."""
        _call("dn_flow_save", self, _path(path))

    def to_bytes(self):
        """The bytes that save would write; Flow.open() takes them."""
        return _blob("dn_flow_save_memory", self)

    @property
    def info(self):
        """dimension, blocks, hidden, clamp and seed."""
        info = _initialised(_FlowOptions, "dn_flow_options_init_size")
        _check(_value("dn_flow_get_info", self, ctypes.byref(info)))
        return _namespace(info)

    def _rows(self, values, what):
        return _Given(values, "f", what, self.info.dimension)

    def forward(self, x):
        """(z, logdet): z (n, dimension) of x (n, dimension), logdet (n)."""
        given = self._rows(x, "x")
        z, logdet = _Numbers("f", given.shape), _Numbers("f", (given.rows,))
        _call("dn_flow_forward", self, given, given.rows, z, logdet)
        return z.result(), logdet.result()

    def inverse(self, z):
        """x (n, dimension) of z (n, dimension)."""
        given = self._rows(z, "z")
        x = _Numbers("f", given.shape)
        _call("dn_flow_inverse", self, given, given.rows, x)
        return x.result()

    def sample(self, n, seed=0):
        """n samples: (n, dimension)."""
        x = _Numbers("f", (_integer(n, _i32, "n"), self.info.dimension))
        _call("dn_flow_sample", self, seed, n, x)
        return x.result()

    def log_likelihood(self, x):
        """log p of each row of x (n, dimension): (n) doubles."""
        given = self._rows(x, "x")
        out = _Numbers("d", (given.rows,))
        _call("dn_flow_log_likelihood", self, given, given.rows, out)
        return out.result()

    def gradient(self, x, z_gradient, logdet_gradient=None):
        """Gradient with respect to x of <z_gradient, z> + <logdet_gradient, logdet>: (n, dimension)."""
        given, factors = self._rows(x, "x"), self._rows(z_gradient, "z_gradient")
        determinant = None if logdet_gradient is None else _Given(logdet_gradient, "f", "logdet_gradient")
        if factors.rows != given.rows or (determinant and determinant.rows != given.rows):
            raise ValueError("x, z_gradient and logdet_gradient must have the same number of rows")
        out = _Numbers("f", given.shape)
        _call("dn_flow_gradient", self, given, given.rows, factors,
              determinant, out)
        return out.result()


# ---- model ----

class Model(_Handle):
    """Everything needed to score: Model.open(path or bytes, verify=VERIFY_FULL), or what Trainer.run returns.

    With VERIFY_HEADER a large file opens in milliseconds, but damage to its weights is not found.

        model = differnet.Model.open("part.dnm")
        print(model.info.train_images, model.info.backbone)
    """

    _release, _made_by = "dn_model_unref", "open() or Trainer.run()"

    @classmethod
    def open(cls, source, **options):
        """Loads a model from a path or bytes."""
        return _open(cls, "model", source, _options(_ModelOptions, "dn_model_options_init_size", options))

    def save(self, path, storage=STORAGE_F32):
        """Writes the model; an existing file is replaced by a complete one or left as it is."""
        _call("dn_model_save", self, _path(path), storage)

    def to_bytes(self, storage=STORAGE_F32):
        """The bytes that save would write; Model.open() takes them, in another process too."""
        return _blob("dn_model_save_memory", self, storage)

    @property
    def info(self):
        """The fields of dn_model_info."""
        info = _initialised(_ModelInfo, "dn_model_info_init_size")
        _check(_value("dn_model_get_info", self, ctypes.byref(info)))
        return _namespace(info)

    @property
    def holdout_scores(self):
        """Scores of the held-out good images, ascending."""
        held, count = self._held(), _i32()
        return _copy_numbers(_value("dn_model_holdout_scores", held, ctypes.byref(count)), count.value, _double)

    @property
    def notes(self):
        """What was written into the model about itself (Trainer.note), as a dict of texts."""
        held, notes, value = self._held(), {}, _text()
        while (key := _value("dn_model_note", held, len(notes), ctypes.byref(value))) is not None:
            notes[key.decode()] = value.value.decode()
        return notes

    @property
    def operating_points(self):
        """Thresholds under a name (Calibrator.set_point), as a dict."""
        held, points, value = self._held(), {}, _double()
        while (name := _value("dn_model_operating_point", held, len(points), ctypes.byref(value))) is not None:
            points[name.decode()] = value.value
        return points

    @property
    def feature_mean(self):
        """Mean of each feature over the good images, as the standardisation uses it."""
        return self._features("dn_model_feature_mean")

    @property
    def feature_deviation(self):
        """Standard deviation of each feature over the good images, likewise."""
        return self._features("dn_model_feature_deviation")

    def _features(self, name):
        held = self._held()
        return _copy_numbers(_value(name, held), self.info.feature_dim, _float)

    @property
    def extractor(self):
        """The model's Extractor."""
        return self._part(Extractor, "extractor")

    @property
    def flow(self):
        """The model's Flow."""
        return self._part(Flow, "flow")

    def _part(self, kind, name):
        held, owner = self._held(), _Owner(kind._release)
        owner.value = _value(f"dn_{name}_ref", _value(f"dn_model_{name}", held))
        return kind._of(owner)


class _Worker(_Handle):
    """A handle for one call at a time, which keeps its error text itself."""

    _error = ""
    _job = None  # the call in progress

    def __init__(self, name, parent, options):
        self._lock = threading.Lock()
        self._owner = _Owner(self._release)
        _call(name, parent, ctypes.byref(options), ctypes.byref(self._owner))

    def _alone(self, work, job):
        """What work() returns, which no other call on this handle disturbs."""
        running = self._job
        if running is not None and running.caller == job.caller and not running.abandoned:
            raise Error(E_STATE, f"this {type(self).__name__} is in a call of this very thread: a progress function or "
                        "a signal handler cannot use it meanwhile")

        def locked():
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

    def _run(self, name, *arguments, job=None):
        """Calls a function, and raises the error that it leaves in the handle."""
        call, explain, error = _bound(name, self, *arguments), _bound(self._error, self), _Error()

        def work():
            status = call()
            if status != OK:
                ctypes.pointer(error)[0] = _Error.from_address(explain())
            return status

        status = self._alone(work, job or _Job())
        if status != OK and error.status == status:
            _raise(error)
        _check(status)


class Scorer(_Worker):
    """Scores images.  Options: views, angles, threads, false_alarm_rate.

        scorer = differnet.Scorer(model, threads=4, false_alarm_rate=0.01)
        for path, result in zip(paths, scorer.score_batch(paths)):
            if isinstance(result, differnet.Error):
                print(path, "cannot be scored:", result)
            elif result.anomalous:
                print(path, result.score, result.p_value)
    """

    _release, _error = "dn_scorer_free", "dn_scorer_error"

    def __init__(self, model, **options):
        super().__init__("dn_scorer_create", _expect(Model, model),
                         _options(_ScorerOptions, "dn_scorer_options_init_size", options))

    def score(self, image):
        """The fields of dn_score.

        anomalous: True, False, or None if the model holds no scores of good images.  warning_texts: in what the image
        is unlike those learned from, what the bits WARN_... in `warnings` say; empty if in nothing.
        """
        return self._single("dn_scorer_score", image)

    def set_false_alarm_rate(self, false_alarm_rate):
        """Verdicts go by this rate from now on, as by the option of the same name."""
        self._run("dn_scorer_set_false_alarm_rate", false_alarm_rate)

    def set_threshold(self, threshold):
        """Verdicts go by this threshold from now on: anomalous means score > threshold.  set_false_alarm_rate is the way
        back."""
        self._run("dn_scorer_set_threshold", threshold)

    def set_operating_point(self, name):
        """Likewise by a threshold that the model holds under a name (Model.operating_points)."""
        self._run("dn_scorer_set_operating_point", _utf8(name))

    def set_mask(self, mask, kind=MASK_INCLUDE):
        """What counts in the images to come: where the mask, a picture of their aspect, is bright (MASK_INCLUDE), or
        where it is not (MASK_IGNORE).  None: everything."""
        self._run("dn_scorer_set_mask", None if mask is None else _Picture(mask), _integer(kind, _i32, "kind"))

    def decide(self, image):
        """Like score, but ends as soon as the verdict is certain.

        lower_bound: True if it did: the image's score is at least `score`, its p-value at most `p_value`.
        """
        return self._single("dn_scorer_decide", image)

    def inspect(self, image):
        """(what score returns, the heat map (height, width)) of one pass; E_STATE if the model has no density at every
        position."""
        picture, score = _Picture(image), _initialised(_Score, "dn_score_init_size")
        out = _Numbers("f", (picture.view.height, picture.view.width))
        self._run("dn_scorer_inspect", picture, out, ctypes.byref(score))
        return self._result(score), out.result()

    def score_batch(self, images):
        """Scores many images, faster than one by one: a list with what score returns for each, or the Error why not."""
        images = [_path(image) if _is_path(image) else _Picture(image) for image in images]
        paths = [i for i, image in enumerate(images) if isinstance(image, bytes)]
        pictures = [i for i, image in enumerate(images) if not isinstance(image, bytes)]
        held, results, size, job = self._held(), [None] * len(images), self.batch_images, _Job()

        def work():
            for chosen in (paths, pictures):
                for first in range(0, len(chosen), size):
                    if job.abandoned:
                        return
                    group = chosen[first:first + size]
                    for i, result in zip(group, self._group(held, [images[i] for i in group])):
                        results[i] = result

        self._alone(work, job)
        return results

    def _group(self, held, images):
        """The results of a few images, all of them paths or none."""
        scores, errors = (_Score * len(images))(), (_Error * len(images))()
        for score in scores:
            _function("dn_score_init_size")(ctypes.byref(score), ctypes.sizeof(score))
        if isinstance(images[0], bytes):
            name, given = "dn_scorer_score_batch_paths", (_text * len(images))(*images)
        else:
            name, given = "dn_scorer_score_batch", (_Pixels * len(images))(*(image.view for image in images))
        _value(name, held, given, len(images), scores, errors)
        return [self._result(score) if error.status == OK else
                Error(error.status, error.message.decode("utf-8", "replace"))
                for score, error in zip(scores, errors)]

    @property
    def batch_images(self):
        """Images that score_batch handles together."""
        return _value("dn_scorer_batch_images", self)

    def _single(self, name, image):
        score = _initialised(_Score, "dn_score_init_size")
        if _is_path(image):
            self._run(name + "_path", _path(image), ctypes.byref(score))
        else:
            self._run(name, _Picture(image), ctypes.byref(score))
        return self._result(score)

    @staticmethod
    def _result(score):
        result = _namespace(score)
        result.anomalous = None if score.anomalous < 0 else bool(score.anomalous)
        result.lower_bound = bool(score.lower_bound)
        result.warning_texts = [_value("dn_warning_text", 1 << bit).decode() for bit in range(32)
                                if score.warnings >> bit & 1]
        return result

    @property
    def view_scores(self):
        """Score of each view of the last image, whichever thread had it scored."""
        count = _i32()
        call = _bound("dn_scorer_view_scores", self, ctypes.byref(count))
        return self._alone(lambda: _copy_numbers(call(), count.value, _double), _Job())


class Monitor(_Worker):
    """Whether p-values still are those of good images.  Options: good_scores, images_between_alarms, window.

        monitor = differnet.Monitor(good_scores=len(model.holdout_scores))
        for path in new_images:
            state = monitor.add(scorer.score(path).p_value)
            if state.moved:
                print("the line has changed; recent p-values are", state.recent_mean, "in the mean")
                monitor.reset()
    """

    _release, _error = "dn_monitor_free", "dn_monitor_error"

    def __init__(self, **options):
        self._lock = threading.Lock()
        self._owner = _Owner(self._release)
        _call("dn_monitor_create", ctypes.byref(_options(_MonitorOptions, "dn_monitor_options_init_size", options)),
              ctypes.byref(self._owner))

    def add(self, p_value):
        """Adds an image's p-value; returns what `state` does then."""
        self._run("dn_monitor_add", p_value)
        return self.state

    @property
    def state(self):
        """The fields of dn_monitor_state."""
        state = _initialised(_MonitorState, "dn_monitor_state_init_size")
        self._run("dn_monitor_get_state", ctypes.byref(state))
        result = _namespace(state)
        result.moved = bool(state.moved)
        return result

    def reset(self):
        """Begins anew."""
        self._run("dn_monitor_reset")


class Calibrator(_Worker):
    """Other verdicts without training.  Options: keep, accept_suspects, threads.

        calibrator = differnet.Calibrator(model, keep=1)
        for path in good_images:
            calibrator.add(path)
        print([good_images[i] for i in calibrator.suspects], "score like defects")
        calibrator.set_point("strict", 2.5)
        calibrator.model().save("recalibrated.dnm")
    """

    _release, _error = "dn_calibrator_free", "dn_calibrator_error"

    def __init__(self, model, **options):
        super().__init__("dn_calibrator_create", _expect(Model, model),
                         _options(_CalibratorOptions, "dn_calibrator_options_init_size", options))

    def add(self, image):
        """Adds a good image that was not learned from; returns what Scorer.score does of it."""
        score = _initialised(_Score, "dn_score_init_size")
        if _is_path(image):
            self._run("dn_calibrator_add_path", _path(image), ctypes.byref(score))
        else:
            self._run("dn_calibrator_add_pixels", _Picture(image), ctypes.byref(score))
        return Scorer._result(score)

    def set_point(self, name, threshold):
        """An operating point for the new model: Scorer.set_operating_point takes its name."""
        self._run("dn_calibrator_set_point", _utf8(name), threshold)

    def note(self, key, value):
        """A note for the new model."""
        self._run("dn_calibrator_note", _utf8(key), _utf8(value))

    @property
    def info(self):
        """The fields of dn_calibrator_info."""
        return self._look(0)[0]

    @property
    def suspects(self):
        """Numbers of the added images that score like defects, from 0."""
        return self._look(self.info.suspects)[1]

    def _look(self, capacity):
        info = _initialised(_CalibratorInfo, "dn_calibrator_info_init_size")
        images = (_i32 * capacity)()
        self._run("dn_calibrator_get_info", ctypes.byref(info), images if capacity else None, capacity)
        result = _namespace(info)
        result.moved = bool(info.moved)
        return result, images[:min(capacity, info.suspects)]

    def model(self):
        """The new Model; Error (E_STATE) while there are suspects, unless accept_suspects=1."""
        model = _Owner(Model._release)
        self._run("dn_calibrator_model", ctypes.byref(model))
        return Model._of(model)


class Localizer(_Worker):
    """Heat maps.  Options: method (MAP_...), views, angles, threads, sigma.

        localizer = differnet.Localizer(model)
        map = localizer.map("part.png")
        for box in localizer.boxes(map, threshold=1):
            print(box.x, box.y, box.width, box.height, box.peak)
        differnet.write_png(differnet.overlay("part.png", map), "overlay.png")
    """

    _release, _error = "dn_localizer_free", "dn_localizer_error"

    def __init__(self, model, **options):
        super().__init__("dn_localizer_create", _expect(Model, model),
                         _options(_LocalizerOptions, "dn_localizer_options_init_size", options))

    def set_mask(self, mask, kind=MASK_INCLUDE):
        """Like Scorer.set_mask, for the maps to come: they are 0 where nothing counts."""
        self._run("dn_localizer_set_mask", None if mask is None else _Picture(mask), _integer(kind, _i32, "kind"))

    def map(self, image):
        """Heat map (height, width) of an image; 1 is the most that good images show."""
        picture = _Picture(image)
        out = _Numbers("f", (picture.view.height, picture.view.width))
        self._run("dn_localizer_map", picture, out)
        return out.result()

    def threshold(self, false_alarm_rate):
        """(threshold, rate): where such a share of good images has a box at all, and the rate that it keeps."""
        threshold, kept = _float(), _double()
        self._run("dn_localizer_threshold", false_alarm_rate, ctypes.byref(threshold), ctypes.byref(kept))
        return threshold.value, kept.value

    def boxes(self, map, threshold=1.0, capacity=1024, min_area=1, gap=0):
        """Boxes (x, y, width, height, peak, area, mean, centroid_x, centroid_y) of the regions of a map >= threshold of
        at least min_area pixels, strongest peak first.  Regions with at most `gap` pixels between them are one."""
        options = _options(_BoxOptions, "dn_box_options_init_size",
                           {"threshold": threshold, "min_area": min_area, "gap": gap})
        given = _Given(map, "f", "map", None)
        boxes, count = (_Box * _integer(capacity, _i32, "capacity"))(), _i32()
        self._run("dn_localizer_find_boxes", given, given.shape[1], given.rows, ctypes.byref(options), boxes, capacity,
                  ctypes.byref(count))
        return [_namespace(box) for box in boxes[:count.value]]


class Trainer(_Worker):
    """Learns from good images.  Options: preset (PRESET_...), and the fields of dn_train_options.

    With a checkpoint, what an interrupted program has learned is not lost:

        trainer = differnet.Trainer(differnet.Extractor.default(), checkpoint="part.state", resume=1)
        for path in good_images:
            trainer.add(path)
        model = trainer.run()
    """

    _release, _error = "dn_trainer_free", "dn_trainer_error"

    def __init__(self, extractor, preset=None, **options):
        _expect(Extractor, extractor)
        given = _options(_TrainOptions, "dn_train_options_init_size", {})
        if preset is not None:
            _check(_value("dn_train_options_preset", ctypes.byref(given), preset))
            fixed = {name: getattr(given, name) for name in _PRESET_FIELDS}
            options = {**fixed, **options}
        given = _options(_TrainOptions, "dn_train_options_init_size", options)
        super().__init__("dn_trainer_create", extractor, given)

    def add(self, image):
        """Adds a good image."""
        if _is_path(image):
            self._run("dn_trainer_add_path", _path(image))
        else:
            self._run("dn_trainer_add_pixels", _Picture(image))

    def set_group(self, name):
        """Images that are added from now on show the part of this name; None: each its own."""
        self._run("dn_trainer_set_group", None if name is None else _utf8(name))

    def duplicate_of(self, image):
        """(number of the earlier image that image number `image` is a duplicate of, DUPLICATE_EQUAL or DUPLICATE_NEAR), or None; known
        after the first run()."""
        kind = ctypes.c_int32()
        first = _value("dn_trainer_duplicate_of", self._held(), image, ctypes.byref(kind))
        return None if first < 0 else (first, kind.value)

    @property
    def info(self):
        """The fields of dn_trainer_info."""
        info = _initialised(_TrainerInfo, "dn_trainer_info_init_size")
        _check(_value("dn_trainer_get_info", self._held(), ctypes.byref(info)))
        return _namespace(info)

    def note(self, key, value):
        """Writes a note, such as the part or the camera, into the models that this trainer makes."""
        self._run("dn_trainer_note", _utf8(key), _utf8(value))

    def run(self, progress=None):
        """Trains and returns the Model.

        progress: called in this thread with an object that has phase (PHASE_...), done, total, loss.  If it returns
        something true, training stops with Error (E_CANCELLED); an exception that it raises stops training and is
        passed on, as KeyboardInterrupt is with and without it.  A further run goes on from there.
        """
        if progress is not None and not callable(progress):
            raise TypeError(f"progress: a function is needed, not {type(progress).__name__}")
        model, job = _Owner(Model._release), _Job(progress)

        def report(address, _):
            return 1 if job.ask(address.contents) else 0

        callback = _ProgressFunction(report)
        self._run("dn_trainer_run", ctypes.cast(callback, ctypes.c_void_p), None, ctypes.byref(model), job=job)
        return Model._of(model)

    @property
    def advice(self):
        """What should be looked at in the images added so far, as texts."""
        texts = []
        self._alone(lambda: texts.extend(iter(lambda: _value("dn_trainer_advice", self._held(), len(texts)), None)),
                    _Job())
        return [text.decode("utf-8", "replace") for text in texts]

    def model(self):
        """A Model of the last epoch that went well, after run() failed or was cancelled."""
        model = _Owner(Model._release)
        self._run("dn_trainer_model", ctypes.byref(model))
        return Model._of(model)
