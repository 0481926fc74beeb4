"""Which two frames each flow is computed between: pair plans, and the pairs they make of clips."""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from flowkit.errors import FrameError, InputError
from flowkit.frames import FrameSource
from flowkit.frames.survey import Survey
from flowkit.types import Clip, Pair

PLANS = ("onset-apex", "onset-apex-offset", "onset-all", "lag:5 (frames)", "lag:0.1s (seconds)")
"""The known plans, as a user writes them."""

MOST_NUMBER = 10**18
"""Frame numbers are 64 bits wide in every table."""
_MOST_UNSEEN = 100_000
"""Frames that are planned of a source that cannot be opened."""
_MOST_MISSING = 10_000
"""Missing frames that are planned one by one even where fewer exist."""
_SAME_S = 1e-9
_SECONDS = re.compile(r"lag:([0-9]+\.?|[0-9]*\.[0-9]+)(e[+-]?[0-9]+)?s")


@dataclass(frozen=True, slots=True)
class PairPlan:
    """A pair plan; `str(plan)` is the text that `parse_plan` reads.

    A lag is given in frames or in seconds, the other is None; the annotated plans have neither.
    """

    kind: Literal["onset-apex", "onset-apex-offset", "onset-all", "lag"]
    lag_frames: int | None = None
    lag_s: float | None = None

    def __str__(self) -> str:
        if self.lag_frames is not None:
            return f"lag:{self.lag_frames}"
        if self.lag_s is not None:
            return f"lag:{repr(self.lag_s).removesuffix('.0')}s"
        return self.kind


def parse_plan(text: str) -> PairPlan:
    """The plan that a text names; an InputError lists the known plans."""
    match text:
        case "onset-apex" | "onset-apex-offset" | "onset-all":
            return PairPlan(text)
    if re.fullmatch(r"lag:[0-9]{1,9}", text) and (frames := int(text[4:])) > 0:
        return PairPlan("lag", lag_frames=frames)
    if _SECONDS.fullmatch(text) and 0 < (lag_s := float(text[4:-1])) < 1e6:
        return PairPlan("lag", lag_s=lag_s)
    raise InputError(f"pair plan {text!r} is unknown; choose one of {', '.join(PLANS)}; a lag is above 0")


def plan_pairs(clip: Clip, plan: PairPlan, survey: Survey) -> Iterator[Pair]:
    """The pairs of a clip, at least one, with `error` set where it cannot be computed.

    - onset-apex: (onset, apex). onset-apex-offset: that, and (apex, offset).
    - onset-all: (onset, i) for i = onset + 1 .. offset, or to the source's last frame where no offset is annotated.
    - lag: (i, i + K) with both within onset..offset where both are annotated, else within the whole source. A lag in
      seconds is K = seconds * fps, to the nearest frame (a half goes up) and at least 1; the fps is the clip's, or
      else the source's. Of a source whose rate varies, and where the clip says no fps, it is the frame whose time stamp
      is nearest to that of i plus the lag (of two equally near the later), for each i.

    A number between the source's first and last that is missing is planned, and fails when it is read. But where more
    are missing than there are, and more than 10000 (frames named 0 and 3000000), pairs are those of frames that exist:
    no missing i is planned, for a lag its partner may be missing. What an annotation asks for outside the source is one
    failed pair on either side, however much it is. A source that could not be opened is an error only where the clip's
    annotation does not suffice, or asks for more than 100000 frames.
    """
    wild = [name for name in ("onset", "apex", "offset") if abs(getattr(clip, name) or 0) > MOST_NUMBER]
    if wild:
        yield _failure(
            clip, plan.kind, f"{wild[0]} {getattr(clip, wild[0])} is no frame number; correct the annotation"
        )
    elif plan.kind == "onset-all":
        yield from _onset_all(clip, survey)
    elif plan.kind == "lag":
        yield from _lag(clip, plan, survey)
    else:
        yield _keyframe_pair(clip, "onset", "apex")
        if plan.kind == "onset-apex-offset":
            yield _keyframe_pair(clip, "apex", "offset")


def _keyframe_pair(clip: Clip, name0: str, name1: str) -> Pair:
    frame0: int | None = getattr(clip, name0)
    frame1: int | None = getattr(clip, name1)
    missing = [name for name, frame in ((name0, frame0), (name1, frame1)) if frame is None]
    error = f"{clip.clip_id}: no {missing[0]} is annotated" if missing else _contradiction(clip)
    return Pair(clip=clip, role=f"{name0}-{name1}", frame0=frame0, frame1=frame1, error=error)


def _contradiction(clip: Clip) -> str | None:
    """What is wrong with the order of the annotated frames; frames that are not annotated contradict nothing."""
    onset = -math.inf if clip.onset is None else clip.onset
    offset = math.inf if clip.offset is None else clip.offset
    if offset < onset:
        return f"{clip.clip_id}: offset {clip.offset} is before onset {clip.onset}"
    if clip.apex is not None and not onset <= clip.apex <= offset:
        bounds = ", ".join("?" if frame is None else str(frame) for frame in (clip.onset, clip.offset))
        return f"{clip.clip_id}: apex {clip.apex} is outside [onset, offset] = [{bounds}]"
    return None


def _onset_all(clip: Clip, survey: Survey) -> Iterator[Pair]:
    role, onset = "onset-all", clip.onset
    if onset is None:
        yield _failure(clip, role, "no onset is annotated")
        return
    try:
        end = survey.opened().last if clip.offset is None else clip.offset
        span = _span(onset, end, survey)
    except FrameError as error:
        yield _failure(clip, role, str(error))
        return
    if end <= onset:
        name = "the source's last frame" if clip.offset is None else "offset"
        yield _failure(clip, role, f"{name} {end} is not after onset {onset}", frame0=onset)
        return
    if onset < span.first or onset > span.last:
        yield _failure(clip, role, span.outside("onset", onset), frame0=onset, frame1=end)
        return
    for number in span.numbers:
        if number > onset:
            yield Pair(clip=clip, role=role, frame0=onset, frame1=number)
    if end > span.last:
        yield _failure(clip, role, span.outside("offset", end), frame0=onset, frame1=end)


def _lag(clip: Clip, plan: PairPlan, survey: Survey) -> Iterator[Pair]:
    role = "lag"
    try:
        first, last = _annotated(clip, survey)
        span = _span(first, last, survey)
        following = _following(clip, plan, survey)
    except FrameError as error:
        yield _failure(clip, role, str(error))
        return
    if last < first:
        yield _failure(clip, role, f"offset {last} is before onset {first}")
        return
    inside = [(i, j) for i in span.numbers if (j := following(i)) is not None and j <= min(last, span.last)]
    below, above = first < span.first, last > span.last
    if not inside and not below and not above:
        lag = plan.lag_frames or str(plan).removeprefix("lag:")
        yield _failure(clip, role, f"a lag of {lag} does not fit into frames {first} to {last}")
    if below:
        yield _failure(clip, role, span.outside("onset", first), frame0=first)
    for number, partner in inside:
        yield Pair(clip=clip, role=role, frame0=number, frame1=partner)
    if above:
        yield _failure(clip, role, span.outside("offset", last), frame0=max(first, span.last), frame1=last)


@dataclass(frozen=True, slots=True)
class _Span:
    """The frame numbers that a plan goes over, and the source's first and last."""

    numbers: Sequence[int]
    """Ascending: all between two bounds, or those that exist."""
    first: int
    last: int

    def outside(self, name: str, number: int) -> str:
        where = f"beyond the last frame {self.last}" if number > self.last else f"before the first frame {self.first}"
        return f"{name} {number} is {where}; correct the annotation or the source"


def _annotated(clip: Clip, survey: Survey) -> tuple[int, int]:
    """First and last frame of a lag plan; the source is asked only for what the clip does not say."""
    if clip.onset is None or clip.offset is None:
        source = survey.opened()
        return source.first, source.last
    return clip.onset, clip.offset


def _span(first: int, last: int, survey: Survey) -> _Span:
    """The numbers first..last that the source has, or, where it could not be opened, all: once it can be, the same
    pairs are planned.
    """
    if survey.source is None:
        if last - first > _MOST_UNSEEN:
            survey.opened()
        return _Span(range(first, last + 1), first, last)
    source = survey.source
    known = source.numbers()
    low, high = max(first, source.first), min(last, source.last)
    if source.last - source.first + 1 - len(known) <= max(len(known), _MOST_MISSING):
        return _Span(range(low, high + 1), source.first, source.last)
    chosen = known[bisect_left(known, low) : bisect_right(known, high)]
    return _Span(chosen, source.first, source.last)


def _following(clip: Clip, plan: PairPlan, survey: Survey) -> Callable[[int], int | None]:
    """The frame that a lag plan pairs with each; None where it would be shown after the last one."""
    lag = plan.lag_frames
    if lag is None:
        assert plan.lag_s is not None
        fps = survey.opened().fps if clip.fps is None else clip.fps
        if clip.fps is None and survey.opened().variable:
            return _by_time(survey.opened(), plan.lag_s)
        if fps is None:
            raise FrameError(
                f"{plan} needs the frame rate, which neither the manifest (column fps) nor the source says"
            )
        lag = max(1, math.floor(plan.lag_s * fps + 0.5))
    return lag.__add__


def _by_time(source: FrameSource, lag_s: float) -> Callable[[int], int | None]:
    seconds = source.seconds()
    assert seconds is not None  # no rate is known to vary without time stamps
    # Behind the last frame stands one that is shown a median interval later, for what is nearer to it than to the last.
    shown = [*seconds.tolist(), float(seconds[-1] + np.median(np.diff(seconds)))]

    def following(number: int) -> int | None:
        i = number - source.first
        if not 0 <= i < len(seconds):
            return None
        target = shown[i] + lag_s
        after = bisect_left(shown, target - _SAME_S)
        if after == len(shown):
            return None
        earlier = target - shown[after - 1] < shown[after] - target - _SAME_S
        nearest = max(after - earlier, i + 1)
        return source.first + nearest if nearest < len(seconds) else None

    return following


def _failure(clip: Clip, role: str, error: str, frame0: int | None = None, frame1: int | None = None) -> Pair:
    return Pair(clip=clip, role=role, frame0=frame0, frame1=frame1, error=f"{clip.clip_id}: {error}")
