"""Timing in turns, and what becomes of it."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

CALL_SECONDS, MOST_CALLS = 0.02, 20
"""A shorter call is repeated within a round until it took this long, at most this often."""

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one method did in one run."""

    method: str
    size: str
    """WIDTHxHEIGHT."""
    threads: int
    items: int
    """Computed by a call: pairs, or fields of strain."""
    seconds: float
    """An item; median over the rounds. `fastest` and `slowest` are the extremes."""
    fastest: float
    slowest: float
    times_as_fast_as: dict[str, float]
    """By the other's name: the median of the ratios round by round, in which both had the same frames."""
    error_px: float | None = None
    """Mean endpoint error against truth."""
    errors_px: dict[str, float] = field(default_factory=dict)
    """The same at each amplitude of motion, px."""
    differs_by: dict[str, float] = field(default_factory=dict)
    """From the other's answer, by its name; px for flow."""

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def race(
    calls: Mapping[str, Callable[[int], Answer]], rounds: int, *, warm_up: bool = True
) -> Iterator[dict[str, tuple[float, Answer]]]:
    """In each round the seconds and the answer of every call; a call gets the number of the round.

    All run in turn, so that a change of the machine's speed meets them all. With `warm_up` each runs once before,
    untimed; without it, nothing is repeated within a round (for calls that take seconds).
    """
    repeats = dict.fromkeys(calls, 1)
    for name, call in calls.items() if warm_up else ():
        start = time.perf_counter()
        call(0)
        taken = time.perf_counter() - start
        repeats[name] = max(1, min(MOST_CALLS, int(CALL_SECONDS / max(taken, 1e-6))))
    for number in range(rounds):
        answers = {}
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(repeats[name]):
                answer = call(number)
            answers[name] = ((time.perf_counter() - start) / repeats[name], answer)
        yield answers


def summary(
    method: str, seconds: Mapping[str, Sequence[float]], others: Sequence[str], items: int, **rest: Any
) -> Measurement:
    """The Measurement of one method from the seconds of all calls of a race, each of so many items."""
    mine = seconds[method]
    ratios = {
        other: statistics.median(b / a for a, b in zip(mine, seconds[other], strict=True))
        for other in others
        if other != method
    }
    each = [taken / items for taken in mine]
    return Measurement(
        method=method,
        items=items,
        seconds=statistics.median(each),
        fastest=min(each),
        slowest=max(each),
        times_as_fast_as=ratios,
        **rest,
    )
