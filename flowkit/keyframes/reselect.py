"""Onset, apex and offset chosen anew near the annotated frames, where the frames differ most.

Liu et al., 2026 (GAMDSS). With r = floor(a (apex - onset)) and r' = floor(a (offset - apex)),

    (onset*, apex*) = argmax over 0 <= i, j <= r of ||I(apex - j) - I(onset + i)||
    offset*         = argmax over 0 <= k <= r'   of ||I(apex*) - I(offset - k)||

so that annotated frames move inwards, by a = 0.1 of the interval at most. The range, the direction and how far two
frames are apart (`flowkit.keyframes.metrics`) can be others. Of equal candidates, the nearest to the annotation wins.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowkit.errors import FrameError, InputError
from flowkit.extraction.clip_frames import ClipFrames, FaceCrop, Surveys
from flowkit.extraction.engines.each_clip import each_clip
from flowkit.keyframes.metrics import METRICS
from flowkit.keyframes.order import out_of_order
from flowkit.params import PRESETS
from flowkit.types import Clip

DIRECTIONS = ("inward", "outward", "both")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How keyframes are chosen anew. Raises InputError for a value that cannot be used."""

    range: Fraction = Fraction(1, 10)
    """Share of the interval that a frame may move by: a in the formulas, above 0 and at most 1."""
    direction: str = "inward"
    metric: str = "pixels"
    preset: str = "micro"
    """Of the solver, for the metrics that need a flow."""

    def __post_init__(self) -> None:
        if not 0 < self.range <= 1:
            raise InputError(f"range {float(self.range):g}: give a share of the interval above 0 and at most 1, as 0.1")
        for name, value, known in (
            ("direction", self.direction, DIRECTIONS),
            ("metric", self.metric, METRICS),
            ("preset", self.preset, PRESETS),
        ):
            if value not in known:
                raise InputError(f"{name} {value!r} is unknown; choose {', '.join(known)}")

    @property
    def text(self) -> str:
        """The rule in one line, as manifests keep it."""
        preset = "" if self.metric == "pixels" else f" preset={self.preset}"
        return f"reselect range={float(self.range):g} direction={self.direction} metric={self.metric}{preset}"


@dataclass(frozen=True, slots=True)
class Reselected:
    """A clip's keyframes, chosen anew."""

    onset: int
    apex: int
    offset: int | None
    """None where none is annotated."""
    allowed: tuple[int, int]
    """r and r': how far onset and apex, and offset, may have moved."""
    gain: float
    """Distance of the new onset and apex by that of the annotated ones; 1 where nothing is gained, inf from 0."""


def parse_range(text: str) -> Fraction:
    """The range that a text such as "0.1" gives, exactly: in binary, 0.29 of 100 frames would be 28."""
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(f"range {text!r} is no number; give a share of the interval, as 0.1") from error


def reselect(
    clips: Sequence[Clip],
    rule: Rule | None = None,
    *,
    face: FaceCrop | None = None,
    size: tuple[int, int] | None = None,
    **how: Any,
) -> list[Reselected | FrameError]:
    """The keyframes of each clip chosen anew, or why they cannot be; frames are decoded once a clip.

    Args:
        face, size: as `reselect_clip`.
        how: `workers`, `time_limit_s`, `report` as `flowkit.extraction.engines.each_clip`.
    """
    do = functools.partial(reselect_clip, rule=rule or Rule(), face=face, size=size, surveys=Surveys())
    return each_clip(clips, do, **how)


def reselect_clip(
    clip: Clip,
    rule: Rule,
    *,
    face: FaceCrop | None = None,
    size: tuple[int, int] | None = None,
    surveys: Surveys | None = None,
) -> Reselected:
    """The keyframes of one clip chosen anew.

    Args:
        face: the crop; by default the whole frame.
        size: (height, width) that frames are resized to, px.
        surveys: of other clips, as of `ClipFrames`.

    Raises:
        FrameError: if onset or apex is not annotated, they are out of order, or a frame of the search range is missing,
            cannot be read or has lost the face: no other takes its place.
    """
    onset, apex, offset = _annotated(clip)
    frames = ClipFrames(clip, face, size, surveys)
    first, last = frames.source.first, frames.source.last
    reach = math.floor(rule.range * (apex - onset))
    reach_offset = 0 if offset is None else math.floor(rule.range * (offset - apex))
    if reach == 0 and reach_offset == 0:
        return Reselected(onset, apex, offset, (0, 0), 1.0)
    for number in (onset, apex) if offset is None else (onset, apex, offset):
        frames.require(range(number, number + 1))
    onsets = [onset + step for step in _steps(reach, rule.direction) if step == 0 or first <= onset + step]
    apexes = [apex - step for step in _steps(reach, rule.direction)]
    apexes = [at for at in apexes if at == apex or at < (last + 1 if offset is None else offset)]
    offsets = [] if offset is None else [offset - step for step in _steps(reach_offset, rule.direction)]
    offsets = [at for at in offsets if at == offset or at <= last]
    pictures = dict(frames.read([*onsets, *apexes, *offsets]))
    _require_one_depth(pictures)

    def between(some: Sequence[int], others: Sequence[int]) -> NDArray[np.float64]:
        return METRICS[rule.metric]([pictures[at] for at in some], [pictures[at] for at in others], rule.preset)

    distances = between(onsets, apexes)
    distances[np.subtract.outer(onsets, apexes) >= 0] = -1.0
    i, j = _nearest_largest(distances, lambda i, j: abs(onsets[i] - onset) + abs(apexes[j] - apex))
    gain = float(distances[i, j] / distances[0, 0]) if distances[0, 0] else (math.inf if distances[i, j] else 1.0)
    if offset is not None:
        ends, annotated = [at for at in offsets if at > apexes[j]], offset
        _, k = _nearest_largest(between([apexes[j]], ends), lambda _, k: abs(ends[k] - annotated))
        offset = ends[k]
    return Reselected(onsets[i], apexes[j], offset, (reach, reach_offset), gain)


def _annotated(clip: Clip) -> tuple[int, int, int | None]:
    if clip.onset is None or clip.apex is None:
        missing = "onset" if clip.onset is None else "apex"
        remedy = "annotate it" + ("" if clip.onset is None else ", or find one by flowkit keyframes spot")
        raise FrameError(f"no {missing} is annotated; {remedy}")
    if clip.onset >= clip.apex or (clip.offset is not None and clip.offset <= clip.apex):
        raise out_of_order(onset=clip.onset, apex=clip.apex, offset=clip.offset)
    return clip.onset, clip.apex, clip.offset


def _steps(reach: int, direction: str) -> list[int]:
    """How far a frame moves inwards, the annotated place first, then the nearest."""
    inward = range(1, reach + 1)
    signs = {"inward": (1,), "outward": (-1,), "both": (1, -1)}[direction]
    return [0, *(sign * step for step in inward for sign in signs)]


def _nearest_largest(distances: NDArray[np.float64], moved: Callable[[int, int], int]) -> tuple[int, int]:
    """Where the largest value stands; of equal ones, the one for which the frames move least."""
    places = np.argwhere(distances == distances.max())
    i, j = min(((int(i), int(j)) for i, j in places), key=lambda place: (moved(*place), place))
    return i, j


def _require_one_depth(pictures: dict[int, NDArray[Any]]) -> None:
    kinds = {frame.dtype for frame in pictures.values()}
    if len(kinds) > 1:
        raise FrameError(f"the frames are of {len(kinds)} depths ({', '.join(sorted(map(str, kinds)))}); give one")
