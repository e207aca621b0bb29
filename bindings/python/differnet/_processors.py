"""How many threads to work with unless told otherwise: as many as the differnet command takes (tools/processors.c)."""
from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Optional, Tuple

_MOST_THREADS = 32  # each takes memory, and parts of a millisecond's work are not shared out well among more


def usable(given: Optional[int] = None) -> int:
    """What was given, else processors that this process may run on, but not more than its control group's quota pays for:
    1 .. 32."""
    if given is not None:
        return given
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return math.ceil(min(count, quota(), _MOST_THREADS))


def quota(root: str = "") -> float:
    """What the control groups that this process is in, and those above them, allow; infinity if there is no limit.

    root: before /proc/self/cgroup and /sys/fs/cgroup; not empty in tests only.
    """
    least = math.inf
    try:
        lines = Path(f"{root}/proc/self/cgroup").read_text("utf-8", "surrogateescape").split("\n")
    except OSError:  # another system
        return least
    for line in lines:
        _, controllers, group = [*line.split(":", 2), "", ""][:3]
        bases: Tuple[str, ...] = ()
        if not controllers:  # version 2
            bases = "", "unified"
        elif "cpu" in controllers.split(","):
            bases = "cpu", "cpu,cpuacct", "cpuacct,cpu"
        for base in bases:
            # In a container the groups above may not be seen, and its own stands at the top.
            for path in (Path(group), *Path(group).parents):
                least = min(least, _limit(f"{root}/sys/fs/cgroup/{base}/{path}"))
    return least


def _limit(group: str) -> float:
    """What one control group allows."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            used, of = (float(word) for name in names for word in Path(group, name).read_text().split())
        except (OSError, ValueError):  # not there; "max"
            continue
        if used > 0 and of > 0:
            return used / of
    return math.inf
