"""The labelled clips that the studies are about: who is filmed, of which group, and whether the emotion is negative."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowkit.errors import InputError
from trainer.folds import people

CLASSES = ("negative", "non-negative")
"""Of the prima-facie study: positive and surprise are one class."""
GROUPS = ("asian", "non_asian")
"""The paper's two groups, in the order in which it draws people from them."""


@dataclass(frozen=True, slots=True)
class Clips:
    """The clips with an emotion of three classes and one of two groups, all (n,), in the order of the manifest."""

    clip_id: Sequence[str]
    dataset: Sequence[str]
    person: NDArray[np.str_]
    """As `trainer.folds.people` names them."""
    first_group: NDArray[np.bool_]
    """Whether the person is of the first of the two groups."""
    negative: NDArray[np.bool_]
    groups: tuple[str, str] = GROUPS
    group_source: str = "manifest"
    """Where the groups come from: they are the user's input, or a model's guess that says so."""

    def __len__(self) -> int:
        return len(self.clip_id)

    def take(self, rows: NDArray[np.int64]) -> Clips:
        """Some of the clips, in the order of `rows`."""
        return Clips(
            [self.clip_id[i] for i in rows],
            [self.dataset[i] for i in rows],
            self.person[rows],
            self.first_group[rows],
            self.negative[rows],
            self.groups,
            self.group_source,
        )


def labelled_clips(rows: Iterable[Any], groups: tuple[str, str] = GROUPS) -> Clips:
    """The clips of manifest rows (or shard rows) that the study uses: those with emotion3 and one of the two groups.

    Args:
        rows: objects with the attributes of `flowkit.types.Clip`.
        groups: the two values of the column group, in the order of drawing; written with any case, "-" or "_".

    Raises:
        InputError: as `people_of` of the used clips; where a person is of both groups, or where a group has no clip at
            all.
    """
    names = [_plain(group) for group in groups]
    used = [row for row in rows if row.emotion3 is not None and _plain(row.group) in names]
    first = [_plain(row.group) == names[0] for row in used]
    person = people_of(used)
    for name, wanted in zip(groups, (True, False), strict=True):
        if wanted not in first:
            raise InputError(
                f"no clip with an emotion3 has the group {name!r}; give the column group (flowkit annotate map), or "
                "the names of your two groups by --groups A,B"
            )
    of_first = {who for who, is_first in zip(person, first, strict=True) if is_first}
    both = sorted(of_first & {who for who, is_first in zip(person, first, strict=True) if not is_first})
    if both:
        raise InputError(f"{both[0]} has clips of both groups, {groups[0]} and {groups[1]}; a person has one group")
    return Clips(
        clip_id=[row.clip_id for row in used],
        dataset=[row.dataset or "" for row in used],
        person=np.array(person),
        first_group=np.array(first),
        negative=np.array([row.emotion3 == "negative" for row in used]),
        groups=groups,
    )


def in_order_of_appearance(people: NDArray[np.str_]) -> NDArray[np.str_]:
    """Each person once, in the order in which they first appear."""
    return np.array(list(dict.fromkeys(people.tolist())))


def _plain(group: str | None) -> str:
    return (group or "").strip().casefold().replace("-", "_").replace(" ", "_")


def people_of(rows: Sequence[Any]) -> tuple[str, ...]:
    """Who is filmed in each row, by the names that folds have; raises as `trainer.folds.people`."""
    for row in rows:
        if not getattr(row, "person", None) and not row.subject:
            raise InputError(
                f"{row.clip_id}: person and subject are missing, and folds are by person; give one of them"
            )
    person, dataset, subject = ([getattr(row, name, None) for row in rows] for name in ("person", "dataset", "subject"))
    return people(person, dataset, subject)
