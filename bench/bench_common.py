"""What the scripts of this folder share: where things are, the binding, the library's defaults, writing results."""
import ctypes
import json
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "golden"))
sys.path.insert(0, os.path.join(ROOT, "bindings", "python"))
import differnet  # noqa: E402
from differnet import _abi, _call  # noqa: E402
import safetensors_io  # noqa: E402,F401


def load_library(build):
    """Loads the library of a build folder, with one thread of OpenBLAS' as its own threads want it."""
    differnet.load(os.path.join(build, "lib", "libdifferent.so"))
    differnet.blas_set_threads(1)


def default_options(preset=None):
    """The library's dn_train_options as a dictionary."""
    options = _call._options(_abi.dn_train_options, {})
    if preset is not None:
        _call._check(_call._function("dn_train_options_preset")(ctypes.byref(options), preset))
    options.positions = 0  # the method of the paper alone, which the peers compute, too
    return vars(_call._namespace(options))


def write_json(path, value):
    """The file appears complete or stays as it is."""
    with open(path + ".tmp", "w") as file:
        json.dump(value, file, indent=1)
    os.replace(path + ".tmp", path)
