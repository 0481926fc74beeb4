"""The frame rate as the time stamps of the frames give it; what a file's header says of it is only a hint."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_JITTER = 0.1
"""Intervals of a constant rate differ from their median by at most this part of it, and a tick of rounding, or half
an interval where ticks are coarser: in AVI a tick is a whole interval, so one that is a tick longer has lost a frame.
"""


class Rate(NamedTuple):
    """Frames a second, and whether they come at varying intervals; None where it is not known."""

    fps: float | None
    variable: bool | None


def rate_of_stamps(stamps: NDArray[np.int64], tick_s: Fraction, stated: Iterable[Fraction | None]) -> Rate:
    """The rate of frames whose time stamps are given, in ticks of `tick_s` seconds and in presentation order.

    Constant: the first of the stated rates that puts every frame within a tick of its stamp, for stamps may be rounded
    (Matroska's to 1 ms) and a mean of them only comes near 30000/1001; else the mean. Variable: by the mean of the
    intervals around their median, or the stated rate next to it where that differs by no more than rounding does; a
    stated mean over gaps differs by more. Fewer than two stamps, or stamps that do not ascend, say nothing: then it is
    the first stated rate.
    """
    known = [rate for rate in stated if rate]
    steps = np.diff(stamps)
    if not len(steps) or steps.min() <= 0:
        return Rate(float(known[0]) if known else None, None)
    middle = int(np.sort(steps)[(len(steps) - 1) // 2])
    regular = steps[np.abs(steps - middle) <= min(1, middle / 2) + _JITTER * middle]
    if len(regular) < len(steps):
        return Rate(_rate_between_gaps(regular, len(steps) - len(regular), tick_s, known), True)
    since = (stamps - stamps[0]).astype(np.float64)
    for rate in known:
        if np.abs(since - np.arange(len(stamps)) * float(1 / (rate * tick_s))).max() <= 1:
            return Rate(float(rate), False)
    return Rate(float((len(stamps) - 1) / (int(since[-1]) * tick_s)), False)


def _rate_between_gaps(regular: NDArray[np.int64], gaps: int, tick_s: Fraction, known: list[Fraction]) -> float:
    """The rate of regular intervals, in ticks, between so many that are not."""
    mean = Fraction(int(regular.sum()), len(regular))
    rounding = Fraction(min(gaps + 1, len(regular)), len(regular))  # a tick for each unbroken stretch
    nearest = min((1 / (rate * tick_s) for rate in known), key=lambda interval: abs(interval - mean), default=mean)
    return float(1 / ((nearest if abs(nearest - mean) <= rounding else mean) * tick_s))
