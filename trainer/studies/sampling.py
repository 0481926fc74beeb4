"""Which people the prima-facie study looks at: sixteen of either group, and eight and eight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flowkit.errors import InputError
from trainer.studies.people import Clips, in_order_of_appearance

PEOPLE = 16
"""Drawn for each set, by the paper."""
PAPER_SEED = 42


@dataclass(frozen=True, slots=True)
class Subset:
    """One set of clips, by their row numbers among all clips of the study."""

    name: str
    rows: NDArray[np.int64]


def draw(clips: Clips, seed: int = PAPER_SEED, people: int = PEOPLE) -> list[Subset]:
    """The paper's three sets: `people` of the first group, as many of the second, and half of each in one set.

    People stand in the order of their first clip, and are drawn by NumPy's legacy generator in the paper's order:
    first group, second group, then for the mixed set the second group before the first. The mixed set has the clips of
    the second group first, too.

    Raises:
        InputError: where a group has fewer people than are to be drawn.
    """
    # The paper's draws are this generator's.
    generator = np.random.RandomState(seed)
    of_group = {first: in_order_of_appearance(clips.person[clips.first_group == first]) for first in (True, False)}
    for first, found in of_group.items():
        if len(found) < people:
            name = clips.groups[0 if first else 1]
            raise InputError(
                f"{len(found)} people of group {name!r} have a clip, {people} are drawn; give --people {len(found)}"
            )
    chosen = {first: generator.choice(of_group[first], size=people, replace=False) for first in (True, False)}
    mixed = {first: generator.choice(of_group[first], size=people // 2, replace=False) for first in (False, True)}
    first_name, second_name = clips.groups
    return [
        Subset(first_name, _rows_of(clips, chosen[True])),
        Subset(second_name, _rows_of(clips, chosen[False])),
        Subset("mixed", np.concatenate([_rows_of(clips, mixed[False]), _rows_of(clips, mixed[True])])),
    ]


def class_matched(clips: Clips, subsets: list[Subset], seed: int) -> list[Subset]:
    """The same sets, thinned at random so that all have the same number of negative and of non-negative clips.

    A set that is left with one person or one class is left out: nobody to learn from, or nothing to tell apart.
    """
    generator = np.random.default_rng(seed)
    sizes = {wanted: min(int((clips.negative[s.rows] == wanted).sum()) for s in subsets) for wanted in (True, False)}
    matched = []
    for subset in subsets:
        kept = [
            generator.choice(subset.rows[clips.negative[subset.rows] == wanted], size=size, replace=False)
            for wanted, size in sizes.items()
        ]
        keep = set(np.concatenate(kept).tolist())
        if all(sizes.values()) and len(np.unique(clips.person[list(keep)])) > 1:
            matched.append(Subset(subset.name, np.array([row for row in subset.rows if row in keep], dtype=np.int64)))
    return matched


def _rows_of(clips: Clips, people: NDArray[np.str_]) -> NDArray[np.int64]:
    return np.flatnonzero(np.isin(clips.person, people)).astype(np.int64)
