"""Apex spotting: the frame at which the face has moved most since the onset, for clips whose apex is not annotated.

The flow from the onset to every later frame is taken, less the motion of the head; on a grid of cells over the frame,
those that move most over the clip are its moving regions. In these, the mean length of the flow and the mean magnitude
of its strain, each by its largest value in the clip, are averaged into one score a frame, whose peak is the apex.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flowkit.errors import FrameError, InputError
from flowkit.extraction.clip_frames import ClipFrames, FaceCrop, Surveys
from flowkit.extraction.engines.each_clip import each_clip
from flowkit.keyframes.head_motion import without_head_motion
from flowkit.keyframes.order import out_of_order
from flowkit.motion.flow import tvl1_flow
from flowkit.motion.strain import strain_magnitude
from flowkit.params import PRESETS
from flowkit.types import Clip

GRID = 28
"""Cells a side. A cell's mean is steadier than a pixel, and a clip's memory does not grow with its frames' size."""
FRAMES_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotRule:
    """How an apex is spotted. Raises InputError for a value that cannot be used."""

    head: str = "similarity"
    """What is taken from the flow as the head's motion: a similarity, or `none`."""
    moving: float = 0.1
    """Share of the cells that are the moving regions, above 0 and at most 1."""
    preset: str = "micro"
    ends: str = "annotated"
    """`first-last` takes the source's first and last frame where onset or offset is not annotated."""

    def __post_init__(self) -> None:
        if not 0 < self.moving <= 1:
            raise InputError(f"moving {self.moving:g}: give a share of the frame above 0 and at most 1, as 0.1")
        for name, value, known in (
            ("head", self.head, ("similarity", "none")),
            ("preset", self.preset, tuple(PRESETS)),
            ("ends", self.ends, ("annotated", "first-last")),
        ):
            if value not in known:
                raise InputError(f"{name} {value!r} is unknown; choose {', '.join(known)}")

    @property
    def text(self) -> str:
        """The rule in one line, as manifests keep it."""
        return f"spot head={self.head} moving={self.moving:g} preset={self.preset} ends={self.ends}"


@dataclass(frozen=True, slots=True)
class Spotted:
    """Where a clip's apex was found."""

    apex: int
    confidence: float
    """How far the score falls again behind the peak, as a share of it: 1 where the face comes to rest, 0 where the
    score only rises (a drift). Before the peak it has risen from 0, that of the onset."""
    frames: tuple[int, ...]
    """The frames that were compared with the onset: those behind it, up to the offset."""
    scores: NDArray[np.float64]
    """Of each of these, 0 to 1."""

    @property
    def onset(self) -> int:
        """The frame that they were compared with: annotated, or the source's first."""
        return self.frames[0] - 1

    @property
    def offset(self) -> int:
        """The last of them: annotated, or the source's."""
        return self.frames[-1]


def spot(
    clips: Sequence[Clip],
    rule: SpotRule | None = None,
    *,
    face: FaceCrop | None = None,
    size: tuple[int, int] | None = None,
    **how: Any,
) -> list[Spotted | FrameError]:
    """The apex of each clip, or why there is none; frames are decoded once.

    Args:
        face, size: as `spot_clip`.
        how: `workers`, `time_limit_s`, `report` as `flowkit.extraction.engines.each_clip`.
    """
    do = functools.partial(spot_clip, rule=rule or SpotRule(), face=face, size=size, surveys=Surveys())
    return each_clip(clips, do, **how)


def spot_clip(
    clip: Clip,
    rule: SpotRule,
    *,
    face: FaceCrop | None = None,
    size: tuple[int, int] | None = None,
    surveys: Surveys | None = None,
) -> Spotted:
    """The apex of one clip.

    Args:
        face: the crop; by default the whole frame.
        size: (height, width) that frames are resized to, px.
        surveys: of other clips, as of `ClipFrames`.

    Raises:
        FrameError: if onset or offset is not annotated (unless the rule takes the source's ends), they are out of
            order, fewer than two frames lie behind the onset, a frame is missing, cannot be read or has lost the face,
            or nothing moves.
    """
    frames = ClipFrames(clip, face, size, surveys)
    onset, offset = _ends(clip, frames, rule)
    if offset < onset:
        raise out_of_order(onset=onset, offset=offset)
    numbers = range(onset, offset + 1)
    if len(numbers) < 3:
        raise FrameError(f"onset {onset} and offset {offset} leave no frame between them; annotate the apex by hand")
    frames.require(numbers)
    motion, strain = activity(frames.read(numbers), rule)
    return peak(numbers[1:], motion, strain, rule.moving)


def peak(
    frames: Iterable[int], motion: NDArray[np.float64], strain: NDArray[np.float64], moving: float = 0.1
) -> Spotted:
    """The apex from what moves in each cell.

    Args:
        frames: n frame numbers.
        motion, strain: (n, cells), mean length of the flow from the onset (px) and magnitude of its strain.
        moving: share of the cells that count.

    Raises:
        FrameError: if nothing moves.
    """
    overall = motion.mean(axis=0)
    count = max(1, round(moving * overall.size))
    regions = np.argsort(-overall, kind="stable")[:count]
    parts = [cells[:, regions].mean(axis=1) for cells in (motion, strain)]
    if min(float(part.max()) for part in parts) <= 0:
        raise FrameError("nothing moves between onset and offset, so there is no apex; look at the clip's frames")
    scores = np.mean([part / part.max() for part in parts], axis=0)
    at = int(scores.argmax())
    numbers = tuple(frames)
    return Spotted(numbers[at], 1 - float(scores[at:].min()) / float(scores[at]), numbers, scores)


def _ends(clip: Clip, frames: ClipFrames, rule: SpotRule) -> tuple[int, int]:
    ends = []
    for name, value, end in (
        ("onset", clip.onset, frames.source.first),
        ("offset", clip.offset, frames.source.last),
    ):
        if value is None and rule.ends == "annotated":
            raise FrameError(f"no {name} is annotated; annotate it, or take the clip's ends (--ends first-last)")
        ends.append(end if value is None else value)
    return ends[0], ends[1]


def activity(
    frames: Iterator[tuple[int, NDArray[Any]]], rule: SpotRule
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean length of the flow from the first frame (px) and mean strain magnitude, cell by cell: twice (n - 1, cells).

    A few frames are held at a time, however long the clip is.
    """
    _, first = next(frames)
    rows: tuple[list[NDArray[Any]], list[NDArray[Any]]] = ([], [])
    while some := [frame for _, frame in itertools.islice(frames, FRAMES_AT_ONCE)]:
        if any(frame.dtype != first.dtype for frame in some):
            raise FrameError(f"frames are not all {first.dtype}, as the onset is; give one depth")
        frames0 = np.broadcast_to(first, (len(some), *first.shape))
        flow = tvl1_flow(frames0, np.stack(some), preset=rule.preset, device="cpu", threads=1)
        if rule.head == "similarity":
            flow = without_head_motion(flow)[0]
        for row, lengths in zip(
            rows, (np.hypot(flow[:, 0], flow[:, 1]), strain_magnitude(flow, device="cpu", threads=1)), strict=True
        ):
            row += [_cells(one) for one in lengths]
    motion, strain = (np.array(row, np.float64) for row in rows)
    return motion, strain


def _cells(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The means of a map (h, w) over a grid of cells, in one row; a map smaller than the grid stays as it is."""
    size = (min(GRID, values.shape[1]), min(GRID, values.shape[0]))
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32).ravel()
