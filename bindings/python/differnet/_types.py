"""Names for types that many signatures have."""
from __future__ import annotations

import os
import types
from typing import TYPE_CHECKING, Any, Union

Path = Union[str, "os.PathLike[str]"]
Source = Union[str, "os.PathLike[str]", bytes]  # a file, or its bytes
Info = types.SimpleNamespace  # the fields of a struct

if TYPE_CHECKING:
    from numpy.typing import NDArray
    Array = NDArray[Any]  # a memoryview where numpy is missing
else:
    Array = Any
