"""Progress for people: bars of tqdm where it is installed, otherwise lines on stderr."""
from __future__ import annotations

import sys
import types
from typing import Any, Optional

from ._constants import (PHASE_COPIES, PHASE_FEATURES, PHASE_FOLDS, PHASE_HEATMAP, PHASE_HOLDOUT, PHASE_MAPS,
                         PHASE_POSITIONS, PHASE_TRAIN)

_PHASES = {PHASE_FEATURES: "features", PHASE_TRAIN: "training", PHASE_HOLDOUT: "held-out images",
           PHASE_HEATMAP: "heat maps", PHASE_MAPS: "feature maps", PHASE_POSITIONS: "positions", PHASE_FOLDS: "folds",
           PHASE_COPIES: "copies"}


class _Bars:
    """One bar after the other; with `with`, so that the last one ends, too."""

    def __init__(self) -> None:
        self._name, self._bar = "", None  # type: str, Any

    def phase(self, progress: types.SimpleNamespace) -> None:
        """A function for Trainer.run."""
        self.show(_PHASES.get(progress.phase, "training"), progress.done, progress.total)

    def show(self, name: str, done: int, total: Optional[int]) -> None:
        if name != self._name:
            self._close()
            self._name, self._bar = name, _bar(name, total)
        if self._bar is not None:
            self._bar.total = total  # which may be an estimate at first
            self._bar.update(done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()


def _bar(name: str, total: Optional[int]) -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        print(f"{name} ..." if total is None else f"{name}: {total} ...", file=sys.stderr)
        return None
    return tqdm(desc=name, total=total)
