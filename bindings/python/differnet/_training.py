"""Training: good images in, a model out."""
from __future__ import annotations

import ctypes
from typing import Any, Callable, List, Optional, Tuple, Union

from ._abi import _i32, dn_progress_fn, dn_train_options, dn_trainer_info
from ._call import _Job, _check, _initialised, _integer, _namespace, _options, _path, _texts, _utf8, _value
from ._constants import MASK_INCLUDE
from ._handle import _Owner, _Worker, _expect, _is_path
from ._image import _Picture
from ._model import Model
from ._network import Extractor
from ._types import Info


class Trainer(_Worker):
    """Learns from good images.  Options: preset (PRESET_...), and the fields of dn_train_options.

    A Model in place of the extractor: its backbone, mask, notes, and what it tells of its options.

    With a checkpoint, what an interrupted program has learned is not lost:

        trainer = differnet.Trainer(differnet.Extractor.default(), checkpoint="part.state", resume=1)
        for path in good_images:
            trainer.add(path)
        model = trainer.run()
    """

    _release, _error = "dn_trainer_free", "dn_trainer_error"

    def __init__(self, extractor: Union[Extractor, Model], preset: Optional[int] = None, **options: Any) -> None:
        given = _initialised(dn_train_options)
        if isinstance(extractor, Model) and preset is None:
            _check(_value("dn_train_options_of_model", ctypes.byref(given), extractor))
            super().__init__("dn_trainer_create_like", extractor, _options(dn_train_options, options, given))
            return
        _expect(Extractor, extractor)
        if preset is not None:
            _check(_value("dn_train_options_preset", ctypes.byref(given), preset))
        super().__init__("dn_trainer_create", extractor, _options(dn_train_options, options, given))

    def set_mask(self, mask: Any, kind: int = MASK_INCLUDE) -> None:
        """What counts in the images, before the first is added: as Scorer.set_mask.  The model keeps it for all that it
        looks at."""
        self._run("dn_trainer_set_mask", None if mask is None else _Picture(mask), _integer(kind, _i32, "kind"))

    def add(self, image: Any) -> None:
        """Adds a good image."""
        if _is_path(image):
            self._run("dn_trainer_add_path", _path(image))
        else:
            self._run("dn_trainer_add_pixels", _Picture(image))

    def set_group(self, name: Optional[str]) -> None:
        """Images that are added from now on show the part of this name; None: each its own."""
        self._run("dn_trainer_set_group", None if name is None else _utf8(name))

    def duplicate_of(self, image: int) -> Optional[Tuple[int, int]]:
        """(number of the earlier image that image number `image` is a duplicate of, DUPLICATE_EQUAL or DUPLICATE_NEAR),
        or None; known after the first run()."""
        kind = ctypes.c_int32()
        first = _value("dn_trainer_duplicate_of", self._held(), image, ctypes.byref(kind))
        return None if first < 0 else (first, kind.value)

    @property
    def info(self) -> Info:
        """The fields of dn_trainer_info."""
        info = _initialised(dn_trainer_info)
        _check(_value("dn_trainer_get_info", self._held(), ctypes.byref(info)))
        return _namespace(info)

    def note(self, key: str, value: str) -> None:
        """Writes a note, such as the part or the camera, into the models that this trainer makes."""
        self._run("dn_trainer_note", _utf8(key), _utf8(value))

    def run(self, progress: Optional[Callable[[Info], Any]] = None) -> Model:
        """Trains and returns the Model.

        progress: called in this thread with an object that has phase (PHASE_...), done, total, loss.  If it returns
        something true, training stops with Error (E_CANCELLED); an exception that it raises stops training and is
        passed on, as KeyboardInterrupt is with and without it.  A further run goes on from there.
        """
        if progress is not None and not callable(progress):
            raise TypeError(f"progress: a function is needed, not {type(progress).__name__}")
        model, job = _Owner(Model._release), _Job(progress)

        def report(address: Any, _: object) -> int:
            return 1 if job.ask(address.contents) else 0

        callback = dn_progress_fn(report)
        self._run("dn_trainer_run", ctypes.cast(callback, ctypes.c_void_p), None, ctypes.byref(model), job=job)
        return Model._of(model)

    @property
    def advice(self) -> List[str]:
        """What should be looked at in the images added so far, as texts."""
        return self._alone(lambda: _texts("dn_trainer_advice", self), _Job())

    def model(self) -> Model:
        """A Model of the last epoch that went well, after run() failed or was cancelled."""
        model = _Owner(Model._release)
        self._run("dn_trainer_model", ctypes.byref(model))
        return Model._of(model)
