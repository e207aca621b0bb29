"""The whole of it as scikit-learn's outlier detectors are used: fit, score, predict, explain."""
from __future__ import annotations

import inspect
import itertools
import os
import reprlib
import sys
import threading
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple, Union

from . import _arrays
from ._abi import dn_extractor_options, dn_train_options
from ._call import Error, _option_names
from ._constants import FIT_LETTERBOX, FIT_STRETCH, PRESET_COMPACT, PRESET_FAST, PRESET_PAPER
from ._handle import _is_path
from ._image import Image
from ._inputs import Name, _named
from ._model import Model
from ._network import Extractor
from ._processors import usable
from ._progress import _Bars
from ._results import Box, Explanation, Score
from ._scoring import Localizer, Scorer, overlay
from ._training import Trainer
from ._types import Array, Info, Path, Source

Progress = Union[bool, Callable[[Info], Any]]

_PRESETS = {"compact": PRESET_COMPACT, "fast": PRESET_FAST, "paper": PRESET_PAPER}
_FOR_JUDGING = ("threads", "false_alarm_rate", "threshold", "channels", "progress")
_EXTRACTOR_OPTIONS = _option_names(dn_extractor_options)
# Those that Detector has a parameter of its own for are not among them.
_TRAIN_OPTIONS = [name for name in _option_names(dn_train_options) if name not in ("preset", "threads", "fit")]


class NotFittedError(ValueError, AttributeError):
    """A Detector is asked before fit(); where scikit-learn is loaded, its own exception of this name is raised."""


class Detector:
    """Learns from good images; scores, judges and explains others.

        detector = differnet.Detector(preset="fast").fit(good_images)
        for result in detector.score(new_images):
            print(result.image, result.anomalous, result.index, result.p_value)
        detector.explain("part.png").boxes
        detector.save("part.dnm")

    Its methods are those of scikit-learn's outlier detectors: get_params, set_params, clone, predict with 1 for normal
    and -1 for anomalous, decision_function and score_samples, which are lower the more anomalous an image is.  It can
    be pickled, fitted or not.  Several threads may use one; they take turns.

    images: a path, a folder (the images right in it), an array (height, width), (height, width, 3) or (height, width,
    4) of uint8, or (height, width) of uint16, with one more dimension first for several; a PIL image, an Image, Pixels;
    or any iterable of these.

    preset: "compact", "fast" or "paper".
    backbone: path or bytes of a network's file; None: the built-in one.
    threads: None: all processors this process may use, within the CPU quota of its container, up to 32.  Results are the
    same for any number.
    false_alarm_rate: the share of good images that may be called anomalous.
    threshold: call anomalous what scores above, instead of by false_alarm_rate.
    channels: "bgr": arrays have their colours in OpenCV's order; paths, PIL images, Image and Pixels know theirs.
    letterbox: images keep their aspect on the network's input; False: they are stretched to it.
    mask: an image of the images' aspect, dark where they do not count, neither when learned nor when judged; None: all does.
    progress: True: bars of tqdm, or lines where it is missing; or a function, as Trainer.run takes it.
    options: the other fields of dn_train_options and dn_extractor_options, None for their defaults: epochs=, seed=,
    views=, tile_columns=, input_size= (one number, or (width, height) for oblong parts) ...

    preset, backbone, letterbox, mask and the options are for fit(): the model keeps what it learned with.  Set after fit,
    they have no effect before the next one; load() refuses them.
    """

    _estimator_type = "outlier_detector"
    model_: Model
    """What was learned; only there after fit() or load(), like the next."""
    advice_: List[str]
    """What should be looked at in the images that fit() was given."""
    _toolbox: _Toolbox

    def __init__(self, *, preset: str = "compact", backbone: Optional[Source] = None,
                 threads: Optional[int] = None, false_alarm_rate: float = 0.05, threshold: Optional[float] = None,
                 channels: str = "rgb", letterbox: bool = False, mask: Any = None, progress: Progress = False,
                 **options: Any) -> None:
        self.preset = preset
        self.backbone = backbone
        self.threads = threads
        self.false_alarm_rate = false_alarm_rate
        self.threshold = threshold
        self.channels = channels
        self.letterbox = letterbox
        self.mask = mask
        self.progress = progress
        self._set_options(options)

    # ---- parameters ----

    def _set_options(self, options: Dict[str, Any]) -> None:
        for name in options:
            if name not in _TRAIN_OPTIONS and name not in _EXTRACTOR_OPTIONS:
                raise TypeError(f"unknown option {name!r}; there are "
                                f"{', '.join([*_PARAMETERS, *_TRAIN_OPTIONS, *_EXTRACTOR_OPTIONS])}")
        vars(self).update(options)

    def _given_options(self, names: Iterable[str]) -> Dict[str, Any]:
        """Options that were given and are not None."""
        return {name: vars(self)[name] for name in names if vars(self).get(name) is not None}

    def get_params(self, deep: bool = True) -> Dict[str, Any]:
        """The parameters, and the options that were given, by name."""
        names = [*_PARAMETERS, *(name for name in (*_TRAIN_OPTIONS, *_EXTRACTOR_OPTIONS) if name in vars(self))]
        return {name: getattr(self, name) for name in names}

    def set_params(self, **params: Any) -> Detector:
        """Sets parameters and options; returns the detector.  ValueError for unknown ones, as scikit-learn has it."""
        try:
            self._set_options({name: value for name, value in params.items() if name not in _PARAMETERS})
        except TypeError as error:
            raise ValueError(str(error)) from None
        for name in _PARAMETERS:
            if name in params:
                setattr(self, name, params[name])
        return self

    def __repr__(self) -> str:
        signature = inspect.signature(type(self).__init__).parameters
        shown = [f"{name}={_shown(value)}" for name, value in self.get_params().items()
                 if name not in _PARAMETERS or not _same(value, signature[name].default)]
        return f"{type(self).__name__}({', '.join(shown)})"

    def _checked(self) -> None:
        """What scikit-learn wants to be looked at no sooner than when it is used."""
        if self.channels not in ("rgb", "bgr"):
            raise ValueError(f"channels={self.channels!r}: it is 'rgb' or 'bgr'")
        if not isinstance(self.progress, bool) and not callable(self.progress):
            raise TypeError(f"progress={self.progress!r}: it is True, False or a function")

    def _threads(self) -> int:
        return usable(self.threads)

    # ---- learning ----

    def fit(self, images: Any, y: Any = None, groups: Optional[Iterable[str]] = None) -> Detector:
        """Learns from good images; returns the detector.

        y: not looked at, for scikit-learn's sake.  groups: the part that each image shows, where several show one: they
        stay on one side of every split.  If it fails, what was learned before stays.
        """
        self._checked()
        if self.preset not in _PRESETS:
            raise ValueError(f"preset={self.preset!r}: it is one of {', '.join(map(repr, _PRESETS))}")
        extractor_options = self._given_options(_EXTRACTOR_OPTIONS)
        extractor = (Extractor.default(**extractor_options) if self.backbone is None else
                     Extractor.open(self.backbone, **extractor_options))
        trainer = Trainer(extractor, preset=_PRESETS[self.preset], threads=self._threads(),
                          fit=FIT_LETTERBOX if self.letterbox else FIT_STRETCH, **self._given_options(_TRAIN_OPTIONS))
        with trainer:
            if self.mask is not None:
                trainer.set_mask(self.mask)
            self._add(trainer, images, groups)
            model = self._run(trainer)
            self._learned(model, trainer.advice)
        return self

    def _add(self, trainer: Trainer, images: Any, groups: Optional[Iterable[str]]) -> None:
        given = None if groups is None else iter(groups)
        for count, (name, image) in enumerate(_named(images, self.channels, learned=True), 1):
            if given is not None:
                group = next(given, None)
                if group is None:
                    raise ValueError(f"groups: {count - 1} for more images than that")
                trainer.set_group(str(group))
            try:
                trainer.add(image)
            except Error as error:
                raise _about(name, error) from None
        if given is not None and next(given, None) is not None:
            raise ValueError("groups: more of them than images")

    def _run(self, trainer: Trainer) -> Model:
        if not isinstance(self.progress, bool):
            return trainer.run(self.progress)
        if not self.progress:
            return trainer.run()
        with _Bars() as bars:
            return trainer.run(bars.phase)

    def _learned(self, model: Model, advice: List[str]) -> None:
        self.model_, self.advice_, self._toolbox = model, advice, _Toolbox(model)

    def fit_predict(self, images: Any, y: Any = None) -> Array:
        """fit(images), then predict of the same images; of a folder masks beside images are only predicted."""
        images = list(images) if hasattr(images, "__next__") else images
        return self.fit(images).predict(images)

    # ---- judging ----

    def score(self, images: Any, *, errors: str = "raise") -> List[Score]:
        """A Score for each image, in their order.

        errors: "raise": an image that cannot be scored is an Error; "record": it has its reason in Score.error.
        """
        if errors not in ("raise", "record"):
            raise ValueError(f"errors={errors!r}: it is 'raise' or 'record'")
        scorer, named = self._tools().scorer, _named(images, self.channels)
        results: List[Score] = []
        total = len(images) if isinstance(images, (list, tuple)) else None
        with _Bars() as bars:
            while group := list(itertools.islice(named, scorer.batch_images)):
                scored = scorer.score_batch([image for _, image in group])
                for (name, _), result in zip(group, scored):
                    results.append(_record(name, result, errors == "record"))
                if self.progress is True:
                    bars.show("scoring", len(results), total)
        return results

    def predict(self, images: Any) -> Array:
        """1 for each normal image, -1 for each anomalous one: (n) int64."""
        return _numpy().array([-1 if result.anomalous else 1 for result in self._judged(images)], "int64")

    def decision_function(self, images: Any) -> Array:
        """Threshold minus score of each image: (n) float64, negative where it is anomalous."""
        return _numpy().array([result.threshold - result.score for result in self._judged(images)], "float64")

    def score_samples(self, images: Any) -> Array:
        """Minus the score of each image: (n) float64, the lower the more anomalous."""
        return _numpy().array([-result.score for result in self.score(images)], "float64")

    def _judged(self, images: Any) -> List[Score]:
        results = self.score(images)
        if any(result.anomalous is None for result in results):
            raise ValueError("there is no verdict: the model holds no scores of good images, because it learned from "
                             "too few of them or with holdout=0; set a threshold")
        return results

    def explain(self, image: Any, *, threshold: float = 1.0, min_area: int = 1, gap: int = 0) -> Explanation:
        """Score, heat map, boxes and overlay of one image.

        threshold, min_area, gap: which boxes there are, as in Localizer.boxes.
        """
        tools = self._tools()
        named = list(itertools.islice(_named(image, self.channels), 2))
        if len(named) != 1:
            raise ValueError("explain() takes one image: call it for each of several")
        name, given = named[0]
        try:
            if _is_path(given):
                given = Image.open(given)
            score, heat = tools.inspect(given)
            boxes = tools.localizer.boxes(heat, threshold, min_area=min_area, gap=gap)
            drawn = overlay(given, heat, model=self.model_)
        except Error as error:
            raise _about(name, error) from None
        return Explanation(name, score.anomalous, score.index, score.score, score.p_value, score.threshold,
                           tuple(score.warning_texts), heat, [Box(**vars(box)) for box in boxes], drawn)

    def _tools(self) -> _Tools:
        """The scorer and localizer for the parameters as they are now."""
        if not self.__sklearn_is_fitted__():
            known = sys.modules.get("sklearn.exceptions")
            raise (NotFittedError if known is None else known.NotFittedError)(
                f"this {type(self).__name__} has not learned yet: call fit(), or {type(self).__name__}.load()")
        self._checked()
        return self._toolbox.get(self.threads, self.false_alarm_rate, self.threshold)

    def __sklearn_is_fitted__(self) -> bool:
        return "model_" in vars(self)

    # ---- files ----

    def save(self, path: Path) -> None:
        """Writes what was learned, a model file that the differnet command and all bindings read."""
        self._tools()
        self.model_.save(path)

    @classmethod
    def load(cls, source: Source, **params: Any) -> Detector:
        """A fitted detector of a model file or its bytes, whichever program wrote it.

        params: threads, false_alarm_rate, threshold, channels, progress; TypeError for those that fit() alone uses.
        How it was trained is in model_.info.
        """
        detector = cls(**params)
        unused = [name for name in params if name in detector.get_params() and name not in _FOR_JUDGING]
        if unused:
            raise TypeError(f"load() does not take {', '.join(unused)}, which fit() alone uses; it takes "
                            f"{', '.join(_FOR_JUDGING)}")
        detector._learned(Model.open(source), [])
        return detector

    def __getstate__(self) -> Dict[str, Any]:
        state = {**vars(self)}
        if state.pop("_toolbox", None) is not None:
            state["model_"] = self.model_.to_bytes()
        return state

    def __setstate__(self, state: Dict[str, Any]) -> None:
        model = state.pop("model_", None)
        vars(self).update(state)
        if model is not None:
            self._learned(Model.open(model), state["advice_"])

    # ---- what scikit-learn asks ----

    def _more_tags(self) -> Dict[str, Any]:
        """To scikit-learn up to 1.5: images are no table of numbers."""
        return {"X_types": ["string"], "no_validation": True}

    def __sklearn_tags__(self) -> Any:
        """The same to scikit-learn since 1.6."""
        from sklearn.utils import InputTags, Tags, TargetTags
        return Tags(estimator_type="outlier_detector", target_tags=TargetTags(required=False),
                    input_tags=InputTags(two_d_array=False, string=True), no_validation=True)


_PARAMETERS = [name for name, parameter in inspect.signature(Detector).parameters.items()
               if parameter.kind is parameter.KEYWORD_ONLY]


class _Tools:
    """A scorer and a localizer with the same options."""

    def __init__(self, model: Model, given: Optional[int], false_alarm_rate: float, threshold: Optional[float]) -> None:
        threads = usable(given)
        self.scorer = Scorer(model, threads=threads, false_alarm_rate=false_alarm_rate)
        if threshold is not None:
            self.scorer.set_threshold(threshold)
        self.localizer = Localizer(model, threads=threads)
        self._one_pass = bool(model.info.positions)

    def inspect(self, image: Any) -> Tuple[Info, Array]:
        """(score, heat map), from one pass where the model's map is that of the positions."""
        if self._one_pass:
            return self.scorer.inspect(image)
        return self.scorer.score(image), self.localizer.map(image)


class _Toolbox:
    """The worker of a model, made when first asked for, and anew for other options and in a forked process."""

    def __init__(self, model: Model) -> None:
        self._model, self._made = model, None  # type: Model, Optional[Tuple[Any, _Tools]]
        self._lock, self._pid = threading.Lock(), os.getpid()

    def get(self, *options: Any) -> _Tools:
        if self._pid != os.getpid():  # its threads, and who holds the lock, were the parent's
            self._lock, self._made, self._pid = threading.Lock(), None, os.getpid()
        with self._lock:
            if self._made is None or self._made[0] != options:
                self._made = options, _Tools(self._model, *options)
            return self._made[1]


def _numpy() -> Any:
    if _arrays.numpy is None:
        raise ImportError("numpy is needed for this; score() does without")
    return _arrays.numpy


def _same(value: Any, default: Any) -> bool:
    """Whether a parameter is as it was; arrays are not asked, they compare value by value."""
    return value is default or (isinstance(value, (str, int, float)) and value == default)


def _shown(value: Any) -> str:
    if getattr(value, "shape", ()):
        return f"<{type(value).__name__} of shape {tuple(value.shape)}>"
    return reprlib.repr(value)


def _about(name: Name, error: Error) -> Error:
    """The error, with the image's number where no path tells which one it is."""
    return error if isinstance(name, str) else Error(error.status, f"image {name}: {error}")


def _record(name: Name, result: Union[Info, Error], recorded: bool) -> Score:
    if not isinstance(result, Error):
        return Score(name, result.anomalous, result.index, result.score, result.p_value, result.threshold,
                     tuple(result.warning_texts), None)
    if not recorded:
        raise _about(name, result)
    nan = float("nan")
    return Score(name, None, nan, nan, nan, nan, (), str(result))
