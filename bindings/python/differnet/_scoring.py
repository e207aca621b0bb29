"""What is done with a model: scores, verdicts, heat maps."""
from __future__ import annotations

import ctypes
import threading
from typing import Any, Iterable, List, Optional, Tuple, Union

from ._abi import (_double, _float, _i32, _text, dn_box, dn_box_options, dn_calibrator_info, dn_calibrator_options,
                   dn_error, dn_localizer_options, dn_monitor_options, dn_monitor_state, dn_pixels, dn_score,
                   dn_scorer_options)
from ._arrays import _Given, _Numbers, _copy_numbers, _shaped
from ._call import (Error, _Job, _bound, _call, _function, _initialised, _integer, _namespace, _options, _path, _utf8,
                    _value)
from ._constants import MASK_INCLUDE, OK
from ._handle import _Owner, _Worker, _expect, _is_path
from ._image import _Picture
from ._model import Model
from ._types import Array, Info


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

    def __init__(self, model: Model, **options: Any) -> None:
        super().__init__("dn_scorer_create", _expect(Model, model),
                         _options(dn_scorer_options, options))

    def score(self, image: Any) -> Info:
        """The fields of dn_score.

        anomalous: True, False, or None if the model holds no scores of good images.  warning_texts: in what the image
        is unlike those learned from, what the bits WARN_... in `warnings` say; empty if in nothing.
        """
        return self._single("dn_scorer_score", image)

    def set_false_alarm_rate(self, false_alarm_rate: float) -> None:
        """Verdicts go by this rate from now on, as by the option of the same name."""
        self._run("dn_scorer_set_false_alarm_rate", false_alarm_rate)

    def set_threshold(self, threshold: float) -> None:
        """Verdicts go by this threshold from now on: anomalous means score > threshold.  set_false_alarm_rate is the
        way back."""
        self._run("dn_scorer_set_threshold", threshold)

    def set_operating_point(self, name: str) -> None:
        """Likewise by a threshold that the model holds under a name (Model.operating_points)."""
        self._run("dn_scorer_set_operating_point", _utf8(name))

    def set_mask(self, mask: Any, kind: int = MASK_INCLUDE) -> None:
        """What counts in the images to come: where the mask, a picture of their aspect, is bright (MASK_INCLUDE), or
        where it is not (MASK_IGNORE).  None: everything, but for what the model's own mask leaves out."""
        self._run("dn_scorer_set_mask", None if mask is None else _Picture(mask), _integer(kind, _i32, "kind"))

    def decide(self, image: Any) -> Info:
        """Like score, but ends as soon as the verdict is certain.

        lower_bound: True if it did: the image's score is at least `score`, its p-value at most `p_value`.
        """
        return self._single("dn_scorer_decide", image)

    def inspect(self, image: Any) -> Tuple[Info, Array]:
        """(what score returns, the heat map (height, width)) of one pass; E_STATE if the model has no density at every
        position."""
        picture, score = _Picture(image), _initialised(dn_score)
        out = _Numbers("f", (picture.view.height, picture.view.width))
        self._run("dn_scorer_inspect", picture, out, ctypes.byref(score))
        return self._result(score), out.result()

    def score_batch(self, images: Iterable[Any]) -> List[Union[Info, Error]]:
        """Scores many images, faster than one by one: a list with what score returns for each, or the Error why not."""
        given = [_path(image) if _is_path(image) else _Picture(image) for image in images]
        paths = [i for i, image in enumerate(given) if isinstance(image, bytes)]
        pictures = [i for i, image in enumerate(given) if not isinstance(image, bytes)]
        held, size, job = self._held(), self.batch_images, _Job()
        results: List[Any] = [None] * len(given)

        def work() -> None:
            for chosen in (paths, pictures):
                for first in range(0, len(chosen), size):
                    if job.abandoned:
                        return
                    group = chosen[first:first + size]
                    for i, result in zip(group, self._group(held, [given[i] for i in group])):
                        results[i] = result

        self._alone(work, job)
        return results

    def _group(self, held: _Owner, images: List[Any]) -> List[Union[Info, Error]]:
        """The results of a few images, all of them paths or none."""
        scores, errors = (dn_score * len(images))(), (dn_error * len(images))()
        for score in scores:
            _function("dn_score_init_size")(ctypes.byref(score), ctypes.sizeof(score))
        if isinstance(images[0], bytes):
            name, given = "dn_scorer_score_batch_paths", (_text * len(images))(*images)  # type: str, ctypes.Array[Any]
        else:
            name, given = "dn_scorer_score_batch", (dn_pixels * len(images))(*(image.view for image in images))
        _value(name, held, given, len(images), scores, errors)
        return [self._result(score) if error.status == OK else
                Error(error.status, error.message.decode("utf-8", "replace"))
                for score, error in zip(scores, errors)]

    @property
    def batch_images(self) -> int:
        """Images that score_batch handles together."""
        return _value("dn_scorer_batch_images", self)

    def _single(self, name: str, image: Any) -> Info:
        score = _initialised(dn_score)
        if _is_path(image):
            self._run(name + "_path", _path(image), ctypes.byref(score))
        else:
            self._run(name, _Picture(image), ctypes.byref(score))
        return self._result(score)

    @staticmethod
    def _result(score: ctypes.Structure) -> Info:
        result = _namespace(score)
        result.anomalous = None if score.anomalous < 0 else bool(score.anomalous)
        result.lower_bound = bool(score.lower_bound)
        result.warning_texts = [_value("dn_warning_text", 1 << bit).decode() for bit in range(32)
                                if score.warnings >> bit & 1]
        return result

    @property
    def view_scores(self) -> List[float]:
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

    def __init__(self, **options: Any) -> None:
        self._lock = threading.Lock()
        self._owner = _Owner(self._release)
        _call("dn_monitor_create", ctypes.byref(_options(dn_monitor_options, options)),
              ctypes.byref(self._owner))

    def add(self, p_value: float) -> Info:
        """Adds an image's p-value; returns what `state` does then."""
        self._run("dn_monitor_add", p_value)
        return self.state

    @property
    def state(self) -> Info:
        """The fields of dn_monitor_state."""
        state = _initialised(dn_monitor_state)
        self._run("dn_monitor_get_state", ctypes.byref(state))
        result = _namespace(state)
        result.moved = bool(state.moved)
        return result

    def reset(self) -> None:
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

    def __init__(self, model: Model, **options: Any) -> None:
        super().__init__("dn_calibrator_create", _expect(Model, model),
                         _options(dn_calibrator_options, options))

    def add(self, image: Any) -> Info:
        """Adds a good image that was not learned from; returns what Scorer.score does of it."""
        score = _initialised(dn_score)
        if _is_path(image):
            self._run("dn_calibrator_add_path", _path(image), ctypes.byref(score))
        else:
            self._run("dn_calibrator_add_pixels", _Picture(image), ctypes.byref(score))
        return Scorer._result(score)

    def set_point(self, name: str, threshold: float) -> None:
        """An operating point for the new model: Scorer.set_operating_point takes its name."""
        self._run("dn_calibrator_set_point", _utf8(name), threshold)

    def note(self, key: str, value: str) -> None:
        """A note for the new model."""
        self._run("dn_calibrator_note", _utf8(key), _utf8(value))

    @property
    def info(self) -> Info:
        """The fields of dn_calibrator_info."""
        return self._look(0)[0]

    @property
    def suspects(self) -> List[int]:
        """Numbers of the added images that score like defects, from 0."""
        return self._look(self.info.suspects)[1]

    def _look(self, capacity: int) -> Tuple[Info, List[int]]:
        info = _initialised(dn_calibrator_info)
        images = (_i32 * capacity)()
        self._run("dn_calibrator_get_info", ctypes.byref(info), images if capacity else None, capacity)
        result = _namespace(info)
        result.moved = bool(info.moved)
        return result, images[:min(capacity, info.suspects)]

    def model(self) -> Model:
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

    def __init__(self, model: Model, **options: Any) -> None:
        super().__init__("dn_localizer_create", _expect(Model, model),
                         _options(dn_localizer_options, options))

    def set_mask(self, mask: Any, kind: int = MASK_INCLUDE) -> None:
        """Like Scorer.set_mask, for the maps to come: they are 0 where nothing counts."""
        self._run("dn_localizer_set_mask", None if mask is None else _Picture(mask), _integer(kind, _i32, "kind"))

    def map(self, image: Any) -> Array:
        """Heat map (height, width) of an image; 1 is the most that good images show."""
        picture = _Picture(image)
        out = _Numbers("f", (picture.view.height, picture.view.width))
        self._run("dn_localizer_map", picture, out)
        return out.result()

    def threshold(self, false_alarm_rate: float) -> Tuple[float, float]:
        """(threshold, rate): where such a share of good images has a box at all, and the rate that it keeps."""
        threshold, kept = _float(), _double()
        self._run("dn_localizer_threshold", false_alarm_rate, ctypes.byref(threshold), ctypes.byref(kept))
        return threshold.value, kept.value

    def boxes(self, map: Any, threshold: float = 1.0, capacity: int = 1024, min_area: int = 1,
              gap: int = 0) -> List[Info]:
        """Boxes (x, y, width, height, peak, area, mean, centroid_x, centroid_y) of the regions of a map >= threshold of
        at least min_area pixels, strongest peak first.  Regions with at most `gap` pixels between them are one."""
        options = _options(dn_box_options, {"threshold": threshold, "min_area": min_area, "gap": gap})
        given = _Given(map, "f", "map", None)
        boxes, count = (dn_box * _integer(capacity, _i32, "capacity"))(), _i32()
        self._run("dn_localizer_find_boxes", given, given.shape[1], given.rows, ctypes.byref(options), boxes, capacity,
                  ctypes.byref(count))
        return [_namespace(box) for box in boxes[:count.value]]


def overlay(image: Any, map: Any, full: float = 0.0, model: Optional[Model] = None) -> Array:
    """Draws a heat map of Localizer.map over its image: (height, width, 3) bytes, RGB.

    full: the map value that gets the hottest colour; 0: the library's default.  model: shows 16-bit pixels in its
    range.
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
    return _shaped(rgb, "B", (height, width, 3))
