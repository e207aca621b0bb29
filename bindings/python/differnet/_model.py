"""The model: what was learned, in one file."""
import ctypes

from ._abi import _double, _float, _i32, _text, dn_model_info, dn_model_options
from ._arrays import _copy_numbers
from ._call import _call, _check, _initialised, _namespace, _options, _path, _value
from ._constants import STORAGE_F32
from ._handle import _Handle, _Owner, _blob, _open
from ._network import Extractor, Flow


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
        return _open(cls, "model", source, _options(dn_model_options, options))

    def save(self, path, storage=STORAGE_F32):
        """Writes the model; an existing file is replaced by a complete one or left as it is."""
        _call("dn_model_save", self, _path(path), storage)

    def to_bytes(self, storage=STORAGE_F32):
        """The bytes that save would write; Model.open() takes them, in another process too."""
        return _blob("dn_model_save_memory", self, storage)

    @property
    def info(self):
        """The fields of dn_model_info."""
        info = _initialised(dn_model_info)
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
