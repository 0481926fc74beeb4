"""Which two frames each flow is computed between: pair plans, and the pairs they make of clips."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from flowkit.errors import FrameError, InputError
from flowkit.frames.survey import Survey
from flowkit.types import Clip, Pair

PLANS = ("onset-apex", "onset-apex-offset", "onset-all", "lag:5 (frames)", "lag:0.1s (seconds)")
"""The known plans, as a user writes them."""

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
      else the source's.

    Frame numbers are not looked up in the source: a frame that is missing fails when it is read. A source that could
    not be opened is an error only where the clip's annotation does not suffice.
    """
    if plan.kind == "onset-all":
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
    except FrameError as error:
        yield _failure(clip, role, str(error))
        return
    if end <= onset:
        name = "the source's last frame" if clip.offset is None else "offset"
        yield _failure(clip, role, f"{name} {end} is not after onset {onset}", frame0=onset)
    for number in range(onset + 1, end + 1):
        yield Pair(clip=clip, role=role, frame0=onset, frame1=number)


def _lag(clip: Clip, plan: PairPlan, survey: Survey) -> Iterator[Pair]:
    try:
        first, last, lag = _lag_span(clip, plan, survey)
    except FrameError as error:
        yield _failure(clip, "lag", str(error))
        return
    if last < first:
        yield _failure(clip, "lag", f"offset {last} is before onset {first}")
    elif first + lag > last:
        yield _failure(clip, "lag", f"a lag of {lag} does not fit into frames {first} to {last}")
    for number in range(first, last - lag + 1):
        yield Pair(clip=clip, role="lag", frame0=number, frame1=number + lag)


def _lag_span(clip: Clip, plan: PairPlan, survey: Survey) -> tuple[int, int, int]:
    """First frame, last frame and lag in frames; the source is asked only for what the clip does not say."""
    if clip.onset is None or clip.offset is None:
        source = survey.opened()
        first, last = source.first, source.last
    else:
        first, last = clip.onset, clip.offset
    if plan.lag_frames is not None:
        return first, last, plan.lag_frames
    fps = survey.opened().fps if clip.fps is None else clip.fps
    if fps is None:
        raise FrameError(f"{plan} needs the frame rate, which neither the manifest (column fps) nor the source says")
    assert plan.lag_s is not None
    return first, last, max(1, math.floor(plan.lag_s * fps + 0.5))


def _failure(clip: Clip, role: str, error: str, frame0: int | None = None) -> Pair:
    return Pair(clip=clip, role=role, frame0=frame0, frame1=None, error=f"{clip.clip_id}: {error}")
