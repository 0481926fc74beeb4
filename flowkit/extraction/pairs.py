"""Which two frames, or phases of frames, each flow is computed between: the pairs that a plan makes of clips."""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from flowkit.errors import FrameError
from flowkit.extraction.plans import PairPlan
from flowkit.frames import FrameSource
from flowkit.frames.survey import Survey
from flowkit.types import Clip, Pair

MOST_NUMBER = 10**18
"""Frame numbers are 64 bits wide in every table."""
_MOST_UNSEEN = 100_000
"""Frames that are planned of a source that cannot be opened."""
_MOST_MISSING = 10_000
"""Missing frames that are planned one by one even where fewer exist."""
_SAME_S = 1e-9
_RATE_PARTS = 1_000_000
"""The largest denominator of a frame rate."""


def plan_pairs(clip: Clip, plan: PairPlan, survey: Survey) -> Iterator[Pair]:
    """The pairs of a clip, at least one, with `error` set where it cannot be computed.

    - onset-apex: (onset, apex). onset-apex-offset: that, and (apex, offset).
    - onset-all: (onset, i) for i = onset + 1 .. offset, or to the source's last frame where no offset is annotated.
    - onset:midN: (onset, i) for the N frames i = onset + k (offset - onset) / (N + 1), k = 1 .. N, to the nearest frame
      (a half goes up). Where fewer than N lie between onset and offset: those, and a failed pair that says so.
    - lag: (i, i + K) with both within onset..offset where both are annotated, else within the whole source. A lag in
      seconds is K = seconds * fps, to the nearest frame (a half goes up) and at least 1; the fps is the clip's, or
      else the source's. Of a source whose rate varies, and where the clip says no fps, it is the frame whose time stamp
      is nearest to that of i plus the lag (of two equally near the later), for each i.
    - window:W,S: (first, i) for every other frame i of each window of W frames; windows begin S frames apart, in the
      same range as a lag's, and the last one ends with it.
    - mdmd:K: (i, i + K) and (i, i + 2 K), in the same range.
    - list: as the list says; a clip that is not in it has one failed pair.

    Phases: of an onset the frames from it on, of an offset those up to it, of an apex and of a lag's frames those
    around it: n frames about i are i - (n - 1) // 2 .. i + n // 2. They stay within onset..offset (a lag's within its
    range), and the two of a pair share no frame; a keyframe pair that has no room for them fails.

    A number between the source's first and last that is missing is planned, and fails when it is read. But where more
    are missing than there are, and more than 10000 (frames named 0 and 3000000), pairs are those of frames that exist:
    no missing i is planned, for a lag its partner may be missing. What an annotation asks for outside the source is one
    failed pair on either side, however much it is. A source that could not be opened is an error only where the clip's
    annotation does not suffice, or asks for more than 100000 frames.
    """
    if max(abs(clip.onset or 0), abs(clip.apex or 0), abs(clip.offset or 0)) > MOST_NUMBER:
        name = next(name for name in ("onset", "apex", "offset") if abs(getattr(clip, name) or 0) > MOST_NUMBER)
        yield _failure(clip, plan.kind, f"{name} {getattr(clip, name)} is no frame number; correct the annotation")
        return
    match plan.kind:
        case "onset-all":
            yield from _onset_all(clip, survey)
        case "onset-mid":
            assert plan.middles is not None
            yield from _onset_mid(clip, plan.middles)
        case "lag" | "window" | "mdmd":
            yield from _sliding(clip, plan, survey)
        case "list":
            yield from _listed(clip, plan)
        case _:
            yield _keyframe_pair(clip, "onset", "apex", plan.phases)
            if plan.kind == "onset-apex-offset":
                yield _keyframe_pair(clip, "apex", "offset", plan.phases and plan.phases[1:])


def _listed(clip: Clip, plan: PairPlan) -> Iterator[Pair]:
    if clip.clip_id not in plan.listed:
        yield _failure(clip, "list", f"{plan.file} has no pair of this clip; add one")
    for frame0, frame1, role in plan.listed.get(clip.clip_id, ()):
        yield Pair(clip=clip, role=role, frame0=frame0, frame1=frame1)


def _keyframe_pair(clip: Clip, name0: str, name1: str, counts: tuple[int, ...] | None) -> Pair:
    frame0: int | None = getattr(clip, name0)
    frame1: int | None = getattr(clip, name1)
    if frame0 is None or frame1 is None:
        error: str | None = f"{clip.clip_id}: no {name0 if frame0 is None else name1} is annotated"
    else:
        error = _contradiction(clip)
    pair = Pair(clip=clip, role=f"{name0}-{name1}", frame0=frame0, frame1=frame1, error=error)
    if counts is None or error is not None:
        return pair
    assert frame0 is not None
    assert frame1 is not None
    bounds = (-math.inf if clip.onset is None else clip.onset, math.inf if clip.offset is None else clip.offset)
    return _with_phases(pair, _phase(name0, frame0, counts[0]), _phase(name1, frame1, counts[1]), bounds)


def _phase(name: str, number: int, count: int) -> range:
    """`count` frames from an onset on, up to an offset, or around any other frame."""
    before = {"onset": 0, "offset": count - 1}.get(name, (count - 1) // 2)
    return range(number - before, number - before + count)


def _with_phases(pair: Pair, phase0: range, phase1: range, bounds: tuple[float, float]) -> Pair:
    """The pair between phases; failed where they meet, or leave the bounds. A phase of one frame is that frame."""
    clip, error = pair.clip, None
    if phase1[0] <= phase0[-1] or phase0[0] < bounds[0] or phase1[-1] > bounds[1]:
        within = f" within frames {bounds[0]} to {bounds[1]}" if math.isfinite(sum(bounds)) else ""
        error = (
            f"{clip.clip_id}: phases of {len(phase0)}+{len(phase1)} frames at {pair.frame0} and {pair.frame1} have no "
            f"room{within}; ask for shorter ones"
        )
    frames0, frames1 = (tuple(phase) if len(phase) > 1 else None for phase in (phase0, phase1))
    return dataclasses.replace(pair, frames0=frames0, frames1=frames1, error=error)


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


def _onset_mid(clip: Clip, count: int) -> Iterator[Pair]:
    role, onset, offset = "onset-mid", clip.onset, clip.offset
    if onset is None or offset is None:
        yield _failure(clip, role, f"no {'onset' if onset is None else 'offset'} is annotated", frame0=onset)
        return
    length = offset - onset
    if length < 1:
        yield _failure(clip, role, f"offset {offset} is not after onset {onset}", frame0=onset)
        return
    between = min(count, length - 1)
    for k in range(1, between + 1):
        # To the nearest in whole numbers: floats would round halves of large products either way.
        after = (2 * k * length + between + 1) // (2 * (between + 1))
        yield Pair(clip=clip, role=role, frame0=onset, frame1=onset + after)
    if between < count:
        lacking = f"{count} frames between onset {onset} and offset {offset} were asked for and {between} are there"
        yield _failure(clip, role, f"{lacking}; ask for fewer", frame0=onset, frame1=offset)


def _sliding(clip: Clip, plan: PairPlan, survey: Survey) -> Iterator[Pair]:
    """The plans that go over a range of frames: within onset..offset where both are annotated, else all."""
    role = plan.kind
    try:
        first, last = _annotated(clip, survey)
        span = _span(first, last, survey)
        following = _following(clip, plan, survey) if role == "lag" else None
    except FrameError as error:
        yield _failure(clip, role, str(error))
        return
    if last < first:
        yield _failure(clip, role, f"offset {last} is before onset {first}")
        return
    below, above = first < span.first, last > span.last
    if below:
        yield _failure(clip, role, span.outside("onset", first), frame0=first)
    low, high = max(first, span.first), min(last, span.last)
    if following:
        inside = _lag(clip, plan, span.numbers, following, (low, high))
    elif role == "window":
        inside = _windows(clip, plan, span.numbers)
    else:
        inside = _mdmd(clip, plan, span.numbers, high)
    any_inside = False
    for pair in inside:
        any_inside = True
        yield pair
    if not any_inside and not below and not above:
        yield _failure(clip, role, f"{_told(plan)} does not fit into frames {first} to {last}")
    if above:
        yield _failure(clip, role, span.outside("offset", last), frame0=max(first, span.last), frame1=last)


def _told(plan: PairPlan) -> str:
    """What did not fit, for an error."""
    of = f" with phases of {'+'.join(map(str, plan.phases))}" if plan.phases else ""
    if plan.window:
        return f"a window of {plan.window[0]} frames"
    if plan.kind == "mdmd":
        return f"twice the lag of {plan.lag_frames}"
    lag = plan.lag_frames or str(dataclasses.replace(plan, phases=None)).removeprefix("lag:")
    return f"a lag of {lag}{of}"


def _lag(
    clip: Clip,
    plan: PairPlan,
    numbers: Sequence[int],
    following: Callable[[int], int | None],
    bounds: tuple[int, int],
) -> Iterator[Pair]:
    low, high = bounds
    count0, count1 = plan.phases or (1, 1)
    for number in numbers:
        partner = following(number)
        if partner is None or number - (count0 - 1) // 2 < low or partner + count1 // 2 > high:
            continue
        pair = Pair(clip=clip, role="lag", frame0=number, frame1=partner)
        if plan.phases:
            pair = _with_phases(pair, _phase("", number, count0), _phase("", partner, count1), bounds)
        yield pair


def _windows(clip: Clip, plan: PairPlan, numbers: Sequence[int]) -> Iterator[Pair]:
    assert plan.window is not None
    frames, step = plan.window
    starts = list(range(0, len(numbers) - frames + 1, step))
    if starts and starts[-1] + frames < len(numbers):
        starts.append(len(numbers) - frames)
    for start in starts:
        for number in numbers[start + 1 : start + frames]:
            yield Pair(clip=clip, role="window", frame0=numbers[start], frame1=number)


def _mdmd(clip: Clip, plan: PairPlan, numbers: Sequence[int], last: int) -> Iterator[Pair]:
    lag = plan.lag_frames
    assert lag is not None
    if not numbers or numbers[0] + 2 * lag > last:
        return
    for number in numbers:
        for role, partner in (("mdmd-k", number + lag), ("mdmd-2k", number + 2 * lag)):
            if partner <= last:
                yield Pair(clip=clip, role=role, frame0=number, frame1=partner)


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
    """The range that such a plan goes over, both inclusive; the source is asked only for what the clip does not say."""
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
        # By what both stand for, 0.29 and 30000/1001, say: a product of floats may fall just below a half.
        frames = Fraction(str(plan.lag_s)) * Fraction(fps).limit_denominator(_RATE_PARTS)
        lag = max(1, math.floor(frames + Fraction(1, 2)))
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
