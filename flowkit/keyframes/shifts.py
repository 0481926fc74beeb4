"""How far keyframes have moved: by dataset and by role, with intervals over people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flowkit.datasets.filmed import filmed_in
from flowkit.types import Clip

ROLES = ("onset", "apex", "offset")
RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Shift:
    """How far one keyframe of one clip has moved."""

    clip_id: str
    dataset: str
    person: str
    role: str
    frames: int
    """New less annotated: above 0 is later."""
    length: int
    """Of the interval that it bounds, as annotated: onset to apex, or for an offset apex to offset; frames."""
    allowed: int | None
    """How far it might have moved either way; None where nothing bounded it."""
    ms: float | None
    """`frames` in milliseconds, where the frame rate is known."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean, with the bounds of its confidence interval; NaN where people are too few for one."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ShiftRow:
    """The shifts of one role in one dataset."""

    dataset: str
    role: str
    clips: int
    people: int
    moved: Interval
    """Share of the clips whose frame is another."""
    signed: Interval
    """Mean shift, frames."""
    absolute: Interval
    """Mean absolute shift, frames."""
    ms: Interval | None
    """Mean absolute shift, milliseconds; None where a frame rate is missing."""
    of_length: Interval
    """Mean absolute shift as a share of the interval's length."""
    of_allowed: Interval | None
    """Mean absolute shift as a share of the allowed one: about a half is what chance would give."""


def shifts_between(
    before: Sequence[Clip], after: Sequence[Clip], allowed: Sequence[tuple[int, int] | None]
) -> list[Shift]:
    """The shifts of all keyframes that are annotated before and after; those that were not searched are left out.

    Args:
        before, after: the same clips, in one order.
        allowed: of each clip how far onset and apex, and offset, might move; None where the clip has failed. 0 means
            that there was nothing to search.
    """
    found = []
    for old, new, limits in zip(before, after, allowed, strict=True):
        if limits is None or old.onset is None or old.apex is None:
            continue
        for role in ROLES:
            was, now = getattr(old, role), getattr(new, role)
            limit = limits[1] if role == "offset" else limits[0]
            if was is None or now is None or limit == 0:
                continue
            length = was - old.apex if role == "offset" else old.apex - old.onset
            ms = None if old.fps is None else 1000 * (now - was) / old.fps
            dataset = old.dataset or "no dataset"
            found.append(Shift(old.clip_id, dataset, filmed_in(old), role, now - was, length, limit, ms))
    return found


def apex_shifts(before: Sequence[Clip], after: Sequence[Clip]) -> list[Shift]:
    """The shifts of apexes that were annotated and have been spotted; nothing bounded them but onset and offset."""
    found = []
    for old, new in zip(before, after, strict=True):
        if old.onset is not None and old.apex is not None and new.apex is not None and old.apex > old.onset:
            moved = new.apex - old.apex
            ms = None if old.fps is None else 1000 * moved / old.fps
            dataset = old.dataset or "no dataset"
            length = old.apex - old.onset
            found.append(Shift(old.clip_id, dataset, filmed_in(old), "apex", moved, length, None, ms))
    return found


def table_of(shifts: Sequence[Shift], seed: int = 0) -> list[ShiftRow]:
    """The shifts by dataset, then over all where there are several, and within each by role.

    Intervals are percentile bootstraps that resample people, not clips: clips of one person are not independent.
    """
    datasets = sorted({shift.dataset for shift in shifts})
    groups: list[tuple[str, list[Shift]]] = [
        (name, [shift for shift in shifts if shift.dataset == name]) for name in datasets
    ]
    if len(datasets) > 1:
        groups.append(("all", list(shifts)))
    rows = []
    for name, group in groups:
        for role in ROLES:
            if some := [shift for shift in group if shift.role == role]:
                rows.append(_row(name, role, some, seed))
    return rows


def offset_excess(shifts: Sequence[Shift], seed: int = 0) -> list[tuple[str, int, Interval]]:
    """By dataset: how much more of its interval the offset has moved than the onset of the same clip, with the clips.

    Above 0 where offsets are less certain than onsets, each measured by its own interval.
    """
    onsets = {shift.clip_id: abs(shift.frames) / shift.length for shift in shifts if shift.role == "onset"}
    both = [shift for shift in shifts if shift.role == "offset" and shift.clip_id in onsets]
    found = []
    for name in sorted({shift.dataset for shift in both}):
        some = [shift for shift in both if shift.dataset == name]
        excess = _over_people(some, lambda shift: abs(shift.frames) / shift.length - onsets[shift.clip_id], seed)
        found.append((name, len(some), excess))
    return found


def bootstrap(values: NDArray[np.float64], people: Sequence[str], seed: int = 0) -> Interval:
    """The mean of (n,) values with its 95 % interval, from resampling people with all their values.

    One person alone gives no interval: its bounds are NaN.
    """
    names = sorted(set(people))
    place = {name: i for i, name in enumerate(names)}
    index = np.array([place[name] for name in people])
    sums = np.bincount(index, values, len(names))
    counts = np.bincount(index, minlength=len(names))
    mean = float(values.mean())
    if len(names) < 2:
        return Interval(mean, float("nan"), float("nan"))
    drawn = np.random.default_rng(seed).integers(len(names), size=(RESAMPLES, len(names)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(mean, float(low), float(high))


def _row(dataset: str, role: str, some: Sequence[Shift], seed: int) -> ShiftRow:
    def over(value: Callable[[Shift], float]) -> Interval:
        return _over_people(some, value, seed)

    return ShiftRow(
        dataset=dataset,
        role=role,
        clips=len(some),
        people=len({shift.person for shift in some}),
        moved=over(lambda shift: float(shift.frames != 0)),
        signed=over(lambda shift: float(shift.frames)),
        absolute=over(lambda shift: float(abs(shift.frames))),
        ms=None if any(shift.ms is None for shift in some) else over(lambda shift: abs(shift.ms or 0.0)),
        of_length=over(lambda shift: abs(shift.frames) / shift.length),
        of_allowed=None
        if any(shift.allowed is None for shift in some)
        else over(lambda shift: abs(shift.frames) / (shift.allowed or 1)),
    )


def _over_people(some: Sequence[Shift], value: Callable[[Shift], float], seed: int) -> Interval:
    return bootstrap(np.array([value(shift) for shift in some]), [shift.person for shift in some], seed)
