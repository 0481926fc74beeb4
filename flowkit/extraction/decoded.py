"""A part between its frames and its rows: frames, what has become of each pair so far, and the cubes' memory."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowkit.errors import FrameError
from flowkit.extraction.plan import Part
from flowkit.types import Pair

Frame = NDArray[Any]
Decoded = Frame | FrameError
Points = NDArray[np.float64]
FrameKey = tuple[str, int | tuple[int, ...]]
"""clip_id and number of a frame; of an average, those of its frames, the one that it is registered on first."""


@dataclass(frozen=True, slots=True)
class Computed:
    """A pair's result: cube (3, h, w) float32 or float16, the iterations, and what `assess` and `finish` add."""

    cube: Frame
    iterations: int
    quality: dict[str, float] | None = None
    removed: list[float] | None = None
    """What stabilising took out: a (2, 3) matrix row by row."""
    landmarks: Points | None = None
    """(k, 2) at frame 0, in pixels of the cube."""
    landmark_flow: Points | None = None
    finished: bool = False


class CubeMemory:
    """Memory for the cubes of parts, used again: to have the system clear as much anew takes longer than to fill it."""

    def __init__(self) -> None:
        self._free: list[NDArray[Any]] = []
        self._lock = threading.Lock()

    def take(self, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        """An array of that shape and dtype, with whatever stands in it."""
        bytes_ = math.prod(shape) * np.dtype(dtype).itemsize
        with self._lock:
            block = self._free.pop() if self._free else None
        if block is None or block.nbytes < bytes_:
            block = np.empty(bytes_, np.uint8)
        return block[:bytes_].view(dtype).reshape(shape)

    def give_back(self, cubes: NDArray[Any]) -> None:
        """Takes the memory of an array that nobody looks at any more."""
        block = cubes
        while isinstance(block.base, np.ndarray):
            block = block.base
        with self._lock:
            self._free.append(block)


@dataclass(slots=True)
class DecodedPart:
    """A part between its frames and its rows. Once every pair has its result, `part_rows` makes the rows."""

    part: Part
    frames: dict[FrameKey, Decoded]
    """Cropped and resized; each that a pair is computed between, averages of phases among them."""
    results: list[Computed | str | None]
    """Of each pair, in order: its cube, why it has none, or None while it is still to be computed."""
    landmarks: dict[FrameKey, Points] = field(default_factory=dict)
    """(k, 2) in pixels of the cube, where asked for, of frame 0 of each pair; as `frames`."""
    steadied: dict[int, Frame] = field(default_factory=dict)
    """Frame 1 of pairs by index, without the head's motion, where that is taken out."""
    removed: dict[int, list[float]] = field(default_factory=dict)
    """What was taken out there, as in `Computed`."""
    cubes: Frame | None = None
    """Where the cubes of the pairs that could be computed stand in one piece, (n, 3, h, w), if they do."""

    def todo(self) -> list[int]:
        """The pairs that are still to be computed, as indices into the part's."""
        return [i for i, result in enumerate(self.results) if result is None]

    def take_memory(self, memory: CubeMemory, dtype: str) -> dict[int, int]:
        """Has `cubes` hold a row for each pair that is still to be computed; which row is whose, by index."""
        rows = {i: row for row, i in enumerate(self.todo())}
        if rows:
            self.cubes = memory.take((len(rows), 3, *self.frame(next(iter(rows)), 0).shape), dtype)
        return rows

    def frame(self, i: int, which: int) -> Frame:
        """Side 0 or 1 of the part's i-th pair; both are of one dtype, (h, w). Averages are float32 on 0..255."""
        if which and i in self.steadied:
            return self.steadied[i]
        frame = self.frames[key_of(self.part.pairs[i], which)]
        assert not isinstance(frame, FrameError)
        return frame

    def fail(self, i: int, reason: str) -> None:
        """Notes why the i-th pair has no cube."""
        self.results[i] = f"{self.part.pairs[i].clip.clip_id}: {reason}"


def key_of(pair: Pair, which: int) -> FrameKey:
    """Of one side of a pair."""
    side = pair.side(which)
    return pair.clip.clip_id, side if pair.has_phases else side[0]


def unexpected(error: Exception) -> str:
    """What a failure row says of an error that nobody foresaw."""
    what = str(error).splitlines()[0] if str(error) else "no more is known"
    return f"{type(error).__name__}: {what}; mend that, or report it, and run it with --retry-failed"
