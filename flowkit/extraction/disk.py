"""Whether an output may be written, and its disk has room for what is planned."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from flowkit.errors import Interrupted
from flowkit.extraction.plan import Part
from flowkit.extraction.request import ExtractRequest
from flowkit.output.commit import Commit
from flowkit.output.files import unwritten
from flowkit.output.store import Place, StorePath


def cube_bytes(parts: Iterable[Part], request: ExtractRequest) -> int:
    """How many bytes the cubes of these parts have; shards are not compressed, and all else in them is small."""
    values = sum(
        3 * part.shape[0] * part.shape[1] * sum(pair.error is None for pair in part.pairs)
        for part in parts
        if part.shape is not None
    )
    return values * np.dtype(request.dtype).itemsize


def replaced_bytes(parts: Iterable[Part], commits: Mapping[int, Commit]) -> int:
    """How many bytes the files have that go, one part after the other, once these parts are computed again."""
    again = (commits[part.number] for part in parts if part.number in commits)
    return sum(file.bytes for commit in again for file in commit.files)


def free_bytes(out: Place) -> int | None:
    """The room on the disk where OUT is, or would be; None in an object store, which says nothing of its room."""
    if isinstance(out, StorePath):
        return None
    return shutil.disk_usage(_folder(out)).free


def require_writable(out: Place) -> None:
    """Raises OutputError where this user may not write to OUT, or make it; an object store is not asked."""
    if isinstance(out, StorePath):
        return
    if not os.access(_folder(out), os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise unwritten(out, PermissionError(errno.EACCES, ""))


def _folder(out: Path) -> Path:
    """OUT, or the nearest folder above it that is there."""
    return next(folder for folder in (out, *out.parents) if folder.is_dir())


def require_room(out: Place, needed_bytes: int, replaced: int = 0) -> None:
    """Raises Interrupted where the disk has less room than that: as on a disk that runs full, but before the hours.

    Args:
        replaced: what `replaced_bytes` gives.
    """
    free = free_bytes(out)
    if free is not None and needed_bytes > free + replaced:
        raise Interrupted(
            f"{str(out)!r} needs {size_text(needed_bytes)} more and its disk has {size_text(free)}; make room and run "
            "the same command again, or give an -o on another disk"
        )


def size_text(count: int) -> str:
    """A number of bytes as people read it."""
    size = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.4g} TiB"
