"""The model: what was learned, in one file."""
from __future__ import annotations

import ctypes
from typing import Any, Dict, List, Optional, Type

from ._abi import _double, _float, _i32, _text, dn_model_info, dn_model_options
from ._arrays import _copy_numbers
from ._call import _call, _check, _initialised, _namespace, _options, _path, _value
from ._constants import STORAGE_F32
from ._handle import _H, _Handle, _Owner, _blob, _open
from ._network import Extractor, Flow
from ._types import Info, Path, Source


class Model(_Handle):
    """Everything needed to score: Model.open(path or bytes, verify=VERIFY_FULL), or what Trainer.run returns.

    With VERIFY_HEADER a large file opens in milliseconds, but damage to its weights is not found.

        model = differnet.Model.open("part.dnm")
        print(model.info.train_images, model.info.backbone)
    """

    _release, _made_by = "dn_model_unref", "open() or Trainer.run()"

    @classmethod
    def open(cls, source: Source, **options: Any) -> Model:
        """Loads a model from a path or bytes."""
        return _open(cls, "model", source, _options(dn_model_options, options))

    def save(self, path: Path, storage: int = STORAGE_F32) -> None:
        """Writes the model; an existing file is replaced by a complete one or left as it is."""
        _call("dn_model_save", self, _path(path), storage)

    def to_bytes(self, storage: int = STORAGE_F32) -> bytes:
        """The bytes that save would write; Model.open() takes them, in another process too."""
        return _blob("dn_model_save_memory", self, storage)

    @property
    def info(self) -> Info:
        """The fields of dn_model_info."""
        info = _initialised(dn_model_info)
        _check(_value("dn_model_get_info", self, ctypes.byref(info)))
        return _namespace(info)

    @property
    def holdout_scores(self) -> List[float]:
        """Scores of the held-out good images, ascending."""
        held, count = self._held(), _i32()
        return _copy_numbers(_value("dn_model_holdout_scores", held, ctypes.byref(count)), count.value, _double)

    @property
    def notes(self) -> Dict[str, str]:
        """What was written into the model about itself (Trainer.note), as a dict of texts."""
        held, value = self._held(), _text()
        notes: Dict[str, str] = {}
        while (key := _value("dn_model_note", held, len(notes), ctypes.byref(value))) is not None:
            notes[key.decode()] = (value.value or b"").decode()
        return notes

    @property
    def operating_points(self) -> Dict[str, float]:
        """Thresholds under a name (Calibrator.set_point), as a dict."""
        held, value = self._held(), _double()
        points: Dict[str, float] = {}
        while (name := _value("dn_model_operating_point", held, len(points), ctypes.byref(value))) is not None:
            points[name.decode()] = value.value
        return points

    @property
    def feature_mean(self) -> List[float]:
        """Mean of each feature over the good images, as the standardisation uses it."""
        return self._features("dn_model_feature_mean")

    @property
    def feature_deviation(self) -> List[float]:
        """Standard deviation of each feature over the good images, likewise."""
        return self._features("dn_model_feature_deviation")

    def _features(self, name: str) -> List[float]:
        held = self._held()
        return _copy_numbers(_value(name, held), self.info.feature_dim, _float)

    @property
    def extractor(self) -> Extractor:
        """The model's Extractor."""
        return self._part(Extractor, "extractor")

    @property
    def flow(self) -> Optional[Flow]:
        """The model's Flow; None if it has none (PRESET_FAST)."""
        return self._part(Flow, "flow") if self.info.flow else None

    def _part(self, kind: Type[_H], name: str) -> _H:
        held, owner = self._held(), _Owner(kind._release)
        owner.value = _value(f"dn_{name}_ref", _value(f"dn_model_{name}", held))
        return kind._of(owner)
