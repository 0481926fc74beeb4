"""The cubes of a run at training size in files that all of its processes map into memory.

The files are scratch: a run makes them anew from the shards when it starts, and removes them at its end. What one
process has read is in the page cache for all.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowkit.output.files import unwritten
from trainer.samples import Samples

_FILES = {"cubes": "cubes.npy", "rgb": "rgb.npy"}


@dataclass(frozen=True, slots=True)
class Stored:
    """Samples without their arrays, which are in `folder`: small enough to be sent to a process."""

    folder: Path
    labels: dict[str, Any]

    def open(self) -> Samples:
        """The samples, their arrays read-only views of the files."""
        arrays: dict[str, Any] = {
            name: np.load(path, mmap_mode="r") if (path := self.folder / file).exists() else None
            for name, file in _FILES.items()
        }
        return Samples(**self.labels, **arrays)


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A folder for the files of a store, empty at first and gone afterwards."""
    _remove(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    finally:
        _remove(folder)


def allocate(folder: Path, name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """A zeroed array (n, ...) that is a file of the store; its disk space is taken now.

    Raises Interrupted where the disk has no room: a mapped file that runs out of disk later would kill the process.
    """
    path = folder / _FILES[name]
    try:
        array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        with path.open("r+b") as file:
            _reserve(file.fileno(), path.stat().st_size)
    except OSError as error:
        raise unwritten(path, error) from error
    return array


def put(samples: Samples, folder: Path) -> Stored:
    """The samples with their arrays in files of the folder: those that `allocate` gave are there already."""
    for name in _FILES:
        array = getattr(samples, name)
        if array is None:
            continue
        if isinstance(array, np.memmap) and Path(str(array.filename)) == (folder / _FILES[name]).resolve():
            array.flush()
        else:
            allocate(folder, name, array.shape, array.dtype)[...] = array
    given = [field.name for field in dataclasses.fields(samples) if field.init and field.name not in _FILES]
    return Stored(folder, {name: getattr(samples, name) for name in given})


def _reserve(handle: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, size)


def _remove(folder: Path) -> None:
    for file in _FILES.values():
        (folder / file).unlink(missing_ok=True)
    with suppress(OSError):  # there is none, or somebody else's file is in it
        folder.rmdir()
