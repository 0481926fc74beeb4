"""How hard the demo's clips are to tell apart, and what is planted in them beside the emotion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from flowkit.errors import InputError
from flowkit.synthetic.render import EMOTIONS

GROUPS = ("demo_a", "demo_b")
SHARED: tuple[str, ...] = ("10", "12")
"""The action units that both groups show, for another emotion each where a group effect is planted."""
SHARED_SHARE = 0.75
"""The share of an emotion's clips that show them, where it has them."""
LAMPS: Mapping[str, tuple[float, float, float]] = {"demo_a": (1.0, 1.0, 1.0), "demo_b": (1.1, 1.0, 0.86)}
"""The colour of each group's lamp, by which its frames are known, as those of two laboratories are."""


@dataclass(frozen=True, slots=True)
class Difficulty:
    """Of clips: lengths in pixels of a 128 px frame."""

    peak_px: tuple[float, float]
    """Smallest and largest peak of an expression, drawn on a logarithmic scale."""
    asymmetry: float
    """By how much the left side may differ from the right, as a share."""
    noise: float
    """Sigma of the sensor's noise, grey levels."""
    shift_px: float
    turn_degrees: float
    light: float
    """By how much the light may change from onset to apex, on one side of the face more than on the other."""
    lamps: bool
    """Whether the groups have lamps of their own."""
    shared: bool
    """Whether expressions are shown that the groups share (`SHARED`)."""


DIFFICULTIES: Mapping[str, Difficulty] = {
    "easy": Difficulty((0.2, 2.0), 0.2, 1.0, 0.3, 0.15, 0.0, lamps=False, shared=False),
    "clear": Difficulty((0.5, 2.0), 0.2, 1.0, 0.3, 0.15, 0.0, lamps=True, shared=True),
    "hard": Difficulty((0.2, 1.6), 0.6, 1.5, 0.4, 0.2, 0.03, lamps=True, shared=True),
}


def difficulty_of(name: str) -> Difficulty:
    """The difficulty of that name; InputError for another."""
    if name not in DIFFICULTIES:
        raise InputError(f"difficulty={name!r} is unknown; choose {' or '.join(DIFFICULTIES)}")
    return DIFFICULTIES[name]


def units_of(
    emotion: str, group: str, difficulty: Difficulty, group_effect: bool, rng: np.random.Generator
) -> tuple[str, ...]:
    """The action units that a clip shows.

    Where expressions are shared, `SHARED` is disgust in both groups; with `group_effect` it is disgust in the first
    group and happiness in the second one, so that only who knows the group can tell.
    """
    if difficulty.shared:
        means = "happiness" if group_effect and group == GROUPS[1] else "disgust"
        if emotion == means and rng.random() < SHARED_SHARE:
            return SHARED
    return EMOTIONS[emotion][rng.integers(len(EMOTIONS[emotion]))]
