"""Whether an output's disk has room for what is planned."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from flowkit.errors import Interrupted
from flowkit.extraction.plan import Part
from flowkit.extraction.request import ExtractRequest


def bytes_to_write(out: Path, parts: Iterable[Part], request: ExtractRequest) -> int:
    """About how many bytes of cubes are still to be written: those of all planned pairs, less the shards there are.

    Shards are not compressed, and all else in them is small.
    """
    planned = sum(
        3 * part.shape[0] * part.shape[1] * sum(pair.error is None for pair in part.pairs)
        for part in parts
        if part.shape is not None
    )
    with os.scandir(out / "shards") as shards:
        there = sum(shard.stat().st_size for shard in shards)
    return max(planned * np.dtype(request.dtype).itemsize - there, 0)


def require_room(out: Path, needed_bytes: int) -> None:
    """Raises Interrupted where the disk has less room than that: as on a disk that runs full, but before the hours."""
    free = shutil.disk_usage(out).free
    if needed_bytes > free:
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
