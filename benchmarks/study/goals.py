"""What the presets are to reach, a goal a row; `micro` all of them, `fast` is to be better than DIS."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from benchmarks.study.recording import LIGHTS
from benchmarks.study.shots import NOISES

Table = Mapping[str, Mapping[str, float]]
"""Rows by method."""
TV_L1, DIS, FARNEBACK = "cv2", "dis", "farneback"


@dataclass(frozen=True)
class Goal:
    """A row that is to be at least or at most `limit`, or at most that many times the lowest of some methods."""

    row: str
    rule: Literal["at least", "at most"]
    limit: float
    of: tuple[str, ...] = ()

    def value(self, rows: Mapping[str, float], table: Table) -> float | None:
        """What is judged: the row, or its ratio to the lowest of `of`; None where a method is missing."""
        if any(name not in table for name in self.of):
            return None
        return rows[self.row] / min(table[name][self.row] for name in self.of) if self.of else rows[self.row]

    def met(self, value: float) -> bool:
        return value >= self.limit if self.rule == "at least" else value <= self.limit

    def words(self) -> str:
        return f"{self.rule} {self.limit:g}" + (f" of {' and '.join(self.of)}" if self.of else "")


def _of_cv2(limits: Mapping[str, float]) -> list[Goal]:
    return [Goal(row, "at most", limit, (TV_L1,)) for row, limit in limits.items()]


GOALS = (
    Goal("gain 0.2", "at least", 0.42),
    Goal("gain 0.5", "at least", 0.55),
    Goal("gain 2", "at least", 0.82),
    Goal("linearity", "at least", 0.6),
    Goal("sides 0.2", "at most", 0.30),
    Goal("sides 0.5", "at most", 0.30),
    *_of_cv2({"moving 0.2": 0.95, "moving 0.5": 0.80, "moving 2": 0.55}),
    *_of_cv2({"error 0.2": 0.60, "error 0.5": 0.60, "error 1": 0.70, "error 2": 0.65}),
    *_of_cv2({f"still {noise:g}": 0.6 for noise in NOISES}),
    *(
        goal
        for light in LIGHTS
        for goal in (
            Goal(f"light {light}", "at most", 0.03),
            Goal(f"light {light}", "at most", 1.0, (DIS, FARNEBACK)),
        )
    ),
    Goal("head gain", "at least", 0.45),
    Goal("head error", "at most", 0.45, (TV_L1,)),
    *_of_cv2({"outline": 1.0, "blink": 1.0, "lips": 1.0}),
    *_of_cv2({"strain 0.2": 0.25, "strain 0.5": 0.35, "strain 2": 0.55}),
)
TIME_GOALS = (("micro", "opencv", 1.0), ("fast", DIS, 1.2))
"""A preset takes at most so many times what another method takes, at 224 x 224."""
FAST_AGAINST = DIS
"""`fast` is to be better than this in every row that has a goal."""
PHASE_GOALS = (("still 1", 0.5), ("error 0.5", 0.5))
"""What 4 + 4 frames, by the preset that is for them, leave of one pair's by `micro`, at most."""


@dataclass(frozen=True)
class Verdict:
    """One goal of a preset, judged."""

    preset: str
    row: str
    value: float
    words: str
    met: bool


def verdicts(table: Table) -> list[Verdict]:
    """Of `micro` against every goal, of `fast` against DIS in the rows of goals; without what is not in the table."""
    found = []
    for goal in GOALS:
        if "micro" in table and (value := goal.value(table["micro"], table)) is not None:
            found.append(Verdict("micro", goal.row, value, goal.words(), goal.met(value)))
    if {"fast", FAST_AGAINST} <= table.keys():
        for row in dict.fromkeys(goal.row for goal in GOALS):
            ours, others = table["fast"][row], table[FAST_AGAINST][row]
            words = f"better than {FAST_AGAINST}'s {others:.4g}"
            found.append(Verdict("fast", row, ours, words, better(row, ours, others)))
    return found


def better(row: str, ours: float, others: float) -> bool:
    """A gain, or a linearity, that is nearer to 1; anything else that is lower."""
    if "gain" in row.replace("light gain", "") or row == "linearity":
        return abs(math.log(max(ours, 1e-3))) < abs(math.log(max(others, 1e-3)))
    return ours < others


def time_verdicts(milliseconds: Table, size: str = "224x224") -> list[Verdict]:
    return [
        Verdict(name, f"time at {size}", ratio, f"at most {limit:g} of {other}", ratio <= limit)
        for name, other, limit in TIME_GOALS
        if {name, other} <= milliseconds.keys()
        for ratio in [milliseconds[name][size] / milliseconds[other][size]]
    ]


def phase_verdicts(phases: Mapping[str, Table]) -> list[Verdict]:
    """Of averages by `micro-phases`; rows by preset, by "single" frames or the averages of a "steady" head."""
    averages, one_pair = phases["steady"]["micro-phases"], phases["single"]["micro"]
    return [
        Verdict(
            "micro-phases", f"4 + 4 frames: {row}", ratio, f"at most {limit:g} of one pair's by micro", ratio <= limit
        )
        for row, limit in PHASE_GOALS
        for ratio in [averages[row] / one_pair[row]]
    ]


BESIDE = (
    "sides 1",
    "lit gain",
    "lit error",
    "calm 0.2",
    "calm 0.5",
    "calm 2",
    "error 5",
    "error 10",
    "forward-backward",
    "scatter over bound",
    "unshrunk scatter over bound",
    *(f"gain {amplitude} sigma {sigma}" for sigma in (5, 8, 14) for amplitude in ("0.2", "0.5", "2")),
    *(
        f"{what} {codec}"
        for what in ("still", "gain", "moving")
        for codec in ("jpeg 95", "jpeg 75", "h264 6", "h264 12", "h264 18")
    ),
)
"""Rows without a goal that are printed too."""
