"""How many CPUs this process may use."""

from __future__ import annotations

import functools
import math
import os
from pathlib import Path, PurePosixPath

GROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
"""Where Linux keeps control groups, and in which this process is."""


def available_cpus() -> int:
    """CPUs that this process may use: those that it is bound to, and no more than the quota of its container pays for,
    of which a part of a CPU counts as one.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(bound, max(1, math.ceil(_quota(GROUPS, MEMBERSHIP))))


@functools.cache
def _quota(groups: Path, membership: Path) -> float:
    """How many CPUs' time the control groups of this process and those around them allow, of either version of Linux's.

    A container often sees its own group as the root, and is told of the path that the group has outside.
    """
    least = float(os.cpu_count() or 1)
    for line in _text(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root, own = groups / ("cpu" if controllers else ""), PurePosixPath(path.lstrip("/"))
        for group in (root / own, *(root / parent for parent in own.parents)):
            if controllers:
                quota, period = _text(group / "cpu.cfs_quota_us").strip(), _text(group / "cpu.cfs_period_us").strip()
            else:
                quota, _, period = _text(group / "cpu.max").strip().partition(" ")
            if quota.isdecimal() and period.isdecimal():  # -1 and max are none
                least = min(least, int(quota) / int(period))
    return least


def _text(file: Path) -> str:
    """A file's content; nothing where it is not there or not to be read."""
    try:
        return file.read_text()
    except OSError:
        return ""
