"""From a part's planned pairs to the frames that each is computed between, each of which is decoded once.

A worker keeps the frames that it has decoded last: pairs of neighbouring parts share many.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from flowkit.errors import FlowkitError, FrameError, Interrupted
from flowkit.extraction.decoded import (
    Computed,
    Decoded,
    DecodedPart,
    Frame,
    FrameKey,
    Points,
    key_of,
    unexpected,
)
from flowkit.extraction.framing import Framing
from flowkit.extraction.plan import Part
from flowkit.extraction.request import ExtractRequest
from flowkit.extraction.steadying import face_in, landmarks_in, steady
from flowkit.frames.opened import Opened
from flowkit.frames.prepare import prepare, warp
from flowkit.motion.phase import average_phase
from flowkit.motion.quality import quality
from flowkit.output.quality import NAMES
from flowkit.types import Pair

STORE_BYTES = 64 * 2**20
"""Of frames that a worker keeps: 1300 of 224 x 224, or 30 of 1920 x 1080."""
STORE_FRAMES = 2048
"""And no more of small ones, so that what a run takes does not grow with it for long."""


class FrameStore:
    """Frames that later parts may need, up to so many bytes; those that were not asked for longest go first.

    Several threads may use it.
    """

    def __init__(self, most_bytes: int = STORE_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._frames: dict[FrameKey, tuple[Frame, Points | None]] = {}
        self._lock = threading.Lock()
        self.opened = Opened()
        """The video that was decoded last: the next part goes on where this one has come to."""

    def get(self, key: FrameKey) -> tuple[Frame, Points | None] | None:
        """The frame and its landmarks, if they were looked for; None where it is not there, or not any more."""
        with self._lock:
            kept = self._frames.pop(key, None)
            if kept is not None:
                self._frames[key] = kept
            return kept

    def put(self, key: FrameKey, frame: Frame, landmarks: Points | None = None) -> None:
        """Keeps a frame, which nobody may change from now on, in the place of one that was kept without landmarks."""
        with self._lock:
            if frame.nbytes > self._most_bytes or (key in self._frames and landmarks is None):
                return
            if (replaced := self._frames.pop(key, None)) is not None:
                self._bytes -= replaced[0].nbytes
            self._frames[key] = frame, landmarks
            self._bytes += frame.nbytes
            while self._bytes > self._most_bytes or len(self._frames) > STORE_FRAMES:
                oldest = next(iter(self._frames))
                self._bytes -= self._frames.pop(oldest)[0].nbytes


def decode_part(
    part: Part, request: ExtractRequest, store: FrameStore | None = None, check: Callable[[], None] = lambda: None
) -> DecodedPart:
    """Decodes, crops and resizes a part's frames, each once, and averages its phases; pairs that lack one have their
    error already.

    Args:
        store: holds frames of earlier parts, which are not decoded again.
        check: is called with every frame, and may raise to end the decoding.
    """
    store = store or FrameStore(0)
    wanted = {key_of(pair, which): None for pair in part.pairs if pair.needed for which in (0, 1)}
    frames: dict[FrameKey, Decoded] = {key: kept[0] for key in wanted if (kept := store.get(key)) is not None}
    marked = _marked(part, request)
    landmarks: dict[FrameKey, Points] = {}
    lost: dict[FrameKey, FrameError] = {}
    read: dict[FrameKey, Decoded] = {}
    singles = _singles([*(key for key in wanted if key not in frames), *marked])
    for single in singles:
        kept = store.get(single)
        if kept is not None and (single not in marked or kept[1] is not None):
            read[single] = kept[0]
            if kept[1] is not None:
                landmarks[single] = kept[1]
    for single, frame, points in _read(
        part, [key for key in singles if key not in read], request, marked, store.opened
    ):
        check()
        read[single] = frame
        if isinstance(points, FrameError):
            lost[single] = points
        elif points is not None:
            landmarks[single] = points
        if isinstance(frame, np.ndarray):
            store.put(single, frame, landmarks.get(single))
    for key in wanted:
        if key not in frames:
            frames[key] = read[key] if isinstance(key[1], int) else _average(key, read)
            if isinstance(key[1], tuple) and isinstance(average := frames[key], np.ndarray):
                store.put(key, average)
    lost |= {key: frame for key in marked if isinstance(frame := read[key], FrameError)}
    errors = [_pair_error(pair, frames, lost) for pair in part.pairs]
    decoded = DecodedPart(part, frames, list(errors), landmarks)
    steady(decoded, request)
    return decoded


def _marked(part: Part, request: ExtractRequest) -> dict[FrameKey, None]:
    """The frames whose landmarks are wanted: frame 0 of every pair, where landmarks are asked for."""
    if request.landmarks == "none":
        return {}
    return {(pair.clip.clip_id, pair.side(0)[0]): None for pair in part.pairs if pair.needed}


def _singles(keys: Iterable[FrameKey]) -> list[tuple[str, int]]:
    """The frames that these are, or are made of."""
    found: dict[tuple[str, int], None] = {}
    for clip_id, numbers in keys:
        each = (numbers,) if isinstance(numbers, int) else numbers
        found.update(dict.fromkeys((clip_id, number) for number in each))
    return list(found)


def _read(
    part: Part,
    keys: list[tuple[str, int]],
    request: ExtractRequest,
    marked: dict[FrameKey, None],
    opened: Opened,
) -> Iterator[tuple[tuple[str, int], Decoded, Points | FrameError | None]]:
    """The prepared frames, or what is wrong with them; every key is given. Besides, of `marked` ones, their landmarks,
    or why there are none: a frame without them is still good for pairs that need none of it.
    """
    needed: dict[str, set[int]] = {}
    for clip_id, number in keys:
        needed.setdefault(clip_id, set()).add(number)
    for clip_id, numbers in needed.items():
        try:
            for number, frame in part.sources[clip_id].read(sorted(numbers), opened=opened):
                key = (clip_id, number)
                yield key, *_prepared(key, frame, part.framings[clip_id], request, key in marked)
                numbers.discard(number)
            reason = None
        except Interrupted:  # a store that gives no answer says nothing of its clips
            raise
        except Exception as error:
            reason = str(error) if isinstance(error, FlowkitError) else unexpected(error)
        for number in sorted(numbers):
            yield (clip_id, number), FrameError(reason or f"frame {number} was not delivered by its source"), None


def _prepared(
    key: tuple[str, int], frame: Decoded, framing: Framing, request: ExtractRequest, marked: bool
) -> tuple[Decoded, Points | FrameError | None]:
    """The cut frame, and its landmarks if they are wanted; of either what is wrong with it."""
    clip_id, number = key
    if isinstance(frame, FrameError):
        return frame, None
    if frame.shape != framing.frame_size:
        h, w = framing.frame_size
        return FrameError(
            f"frame {number} has {frame.shape[1]} x {frame.shape[0]} px, its clip {w} x {h}; "
            "give frames of one size to each clip"
        ), None
    try:
        face = face_in(number, frame, framing, request)
        if framing.transform is not None:
            cut = warp(frame, framing.transform, framing.shape)
        else:
            # A copy where `prepare` gives a view: a crop shall not keep its whole frame in memory.
            cut = np.ascontiguousarray(prepare(frame, framing.box, request.size))
    except FrameError as error:
        return error, None
    if not marked:
        return cut, None
    try:
        return cut, landmarks_in(clip_id, number, frame, cut, face, framing, request)
    except FrameError as error:
        return cut, error


def _average(key: FrameKey, read: dict[FrameKey, Decoded]) -> Decoded:
    """A phase's average, registered on the first of its frames."""
    clip_id, numbers = key
    assert isinstance(numbers, tuple)
    frames: list[Frame] = []
    for number in numbers:
        frame = read[clip_id, number]
        if isinstance(frame, FrameError):
            return frame
        if frames and frame.dtype != frames[0].dtype:
            return FrameError(
                f"frame {numbers[0]} is {frames[0].dtype} and frame {number} is {frame.dtype}; give all one depth"
            )
        frames.append(frame)
    try:
        return average_phase(np.stack(frames))
    except FlowkitError as error:
        return FrameError(f"frames = {', '.join(map(str, numbers))}: {error}")


def _pair_error(pair: Pair, frames: dict[FrameKey, Decoded], lost: dict[FrameKey, FrameError]) -> str | None:
    """Why a pair cannot be computed, or None; `lost` are frames whose landmarks were wanted and not found."""
    clip_id = pair.clip.clip_id
    if pair.error is not None:
        return pair.error
    types: list[Any] = []
    for which in (0, 1):
        frame = lost.get((clip_id, pair.side(0)[0]), frames[key_of(pair, which)])
        if isinstance(frame, FrameError):
            return f"{clip_id}: {str(frame).removeprefix(f'{clip_id}: ')}"
        types.append(frame.dtype)
    if types[0] != types[1]:
        return (
            f"{clip_id}: frame {pair.frame0} is {types[0]} and frame {pair.frame1} is {types[1]}; give both one depth"
        )
    return None


def value_range(dtype: np.dtype[Any]) -> tuple[float, float] | None:
    """Black and white of a part's frames, as `tvl1_flow` wants to be told: averages are on 0..255."""
    return (0.0, 255.0) if dtype == np.float32 else None


def assess(decoded: DecodedPart) -> None:
    """Adds its quality to each computed pair that has none yet."""
    for i, result in enumerate(decoded.results):
        if isinstance(result, Computed) and result.quality is None:
            frames = decoded.frame(i, 0), decoded.frame(i, 1)
            found = quality(*frames, result.cube[:2], value_range=value_range(frames[0].dtype))
            decoded.results[i] = dataclasses.replace(
                result, quality={name: float(getattr(found, name)) for name in NAMES}
            )
