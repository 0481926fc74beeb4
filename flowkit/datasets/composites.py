"""Composites: clips of several datasets as one set, chosen by a published rule and checked against published counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import pyarrow as pa

from flowkit.datasets.action_units import parse_units
from flowkit.datasets.defects import Defect, defects_path, read_defects
from flowkit.datasets.emotions import EMOTION3
from flowkit.datasets.manifest import BESIDE, REQUIRED, SCHEMA
from flowkit.datasets.person import unknown_people
from flowkit.datasets.revision import Revision, require_manifest_name
from flowkit.datasets.tables import column_names
from flowkit.errors import InputError
from flowkit.types import Clip

UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17)
"""The twelve action units of CD6ME."""
_MEGC_EMOTIONS = frozenset({"happiness", "surprise", "disgust", "repression"})
_MEGC_WITHOUT = frozenset({"casme2/sub24/EP02_07", "casme2/sub04/EP12_01f", "casme2/sub05/EP09_05f"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """A published number of clips (or of people) of which all that is named here is so."""

    number: int
    dataset: str | None = None
    group: str | None = None
    emotion3: str | None = None
    unit: int | None = None
    """An action unit; 0 for clips with none of the twelve."""
    people: bool = False

    def of(self, clips: Iterable[Clip]) -> list[Clip]:
        """The clips that it counts."""
        return [clip for clip in clips if self._counts(clip)]

    def found(self, clips: Iterable[Clip]) -> int:
        """What the number is in these clips."""
        counted = self.of(clips)
        return (
            len({clip.person or f"{clip.dataset}/{clip.subject}" for clip in counted}) if self.people else len(counted)
        )

    def _counts(self, clip: Clip) -> bool:
        for name in ("dataset", "group", "emotion3"):
            wanted = getattr(self, name)
            if wanted is not None and getattr(clip, name) != wanted:
                return False
        if self.unit is None:
            return True
        numbers = parse_units(clip.au).numbers()
        return self.unit in numbers if self.unit else not numbers.intersection(UNITS)

    def __str__(self) -> str:
        unit = {None: None, 0: "no AU of the twelve"}.get(self.unit, f"AU {self.unit}")
        named = " ".join(filter(None, (self.dataset, self.group, self.emotion3, unit)))
        return f"{named or 'all'}{', people' if self.people else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Composite:
    """A published set of clips."""

    name: str
    title: str
    datasets: tuple[str, ...]
    left_out: Callable[[Clip], str | None]
    """Why a clip of the datasets is none of the set; None where it is one."""
    published: tuple[Count, ...]
    any_class: bool = False
    """Whether clips of none of the three classes belong to it."""


@dataclass(frozen=True, slots=True)
class Joint:
    """A composite made of manifests."""

    composite: Composite
    clips: list[Clip]
    own: dict[str, pa.Array]
    """The manifests' further columns by name, a value a clip; null where a clip's manifest has none."""
    left_out: list[Defect]
    """The clips that the composite leaves out, with the reason."""
    differences: list[str]
    """Published counts that are not met."""
    suspects: list[Defect]
    """Rows that may account for the differences."""
    notes: list[str]


def _classes(numbers: Sequence[int], dataset: str | None = None, group: str | None = None) -> list[Count]:
    """A total and its three classes: negative, positive, surprise."""
    total = Count(number=sum(numbers), dataset=dataset, group=group)
    return [
        total,
        *(dataclasses.replace(total, number=n, emotion3=name) for n, name in zip(numbers, EMOTION3, strict=True)),
    ]


def _units(dataset: str, clips: int, people: int, numbers: Sequence[int], without: int) -> list[Count]:
    return [
        Count(number=clips, dataset=dataset),
        Count(number=people, dataset=dataset, people=True),
        *(Count(number=n, dataset=dataset, unit=unit) for unit, n in zip(UNITS, numbers, strict=True)),
        Count(number=without, dataset=dataset, unit=0),
    ]


def _no_class(clip: Clip) -> str | None:
    return None if clip.emotion3 else f"emotion {clip.emotion or 'none'} is in none of the three classes"


def _megc_left_out(clip: Clip) -> str | None:
    if clip.clip_id in _MEGC_WITHOUT:
        return "the challenge leaves this clip out"
    if clip.dataset == "casme2" and clip.emotion not in _MEGC_EMOTIONS:
        return f"of CASME II the challenge takes {', '.join(sorted(_MEGC_EMOTIONS))}, not {clip.emotion or 'none'}"
    return _no_class(clip)


COMPOSITES = {
    composite.name: composite
    for composite in (
        Composite(
            name="casme2+samm",
            title="CASME II and SAMM, three classes",
            datasets=("casme2", "samm"),
            left_out=_no_class,
            published=(
                *_classes((192, 58, 40)),
                *_classes((100, 32, 25), "casme2"),
                *_classes((92, 26, 15), "samm"),
                *_classes((136, 33, 30), group="asian"),
                *_classes((56, 25, 10), group="non_asian"),
                Count(number=53, people=True),
            ),
        ),
        Composite(
            name="megc2019",
            title="MEGC 2019",
            datasets=("casme2", "samm", "smic"),
            left_out=_megc_left_out,
            published=(
                *_classes((250, 109, 83)),
                *_classes((88, 32, 25), "casme2"),
                *_classes((92, 26, 15), "samm"),
                *_classes((70, 51, 43), "smic"),
                Count(number=68, people=True),
            ),
        ),
        Composite(
            name="cd6me",
            title="CD6ME",
            datasets=("casme", "casme2", "samm", "4dme", "mmew", "casme3a"),
            left_out=lambda _: None,
            any_class=True,
            published=(
                Count(number=2031),
                *_units("casme", 189, 19, (23, 17, 70, 0, 1, 4, 40, 3, 9, 23, 14, 13), 22),
                *_units("casme2", 256, 26, (26, 22, 130, 2, 13, 39, 13, 16, 34, 27, 16, 25), 11),
                *_units("samm", 159, 29, (6, 18, 23, 10, 3, 46, 5, 6, 28, 13, 4, 6), 22),
                *_units("4dme", 267, 42, (46, 54, 102, 8, 25, 89, 1, 2, 53, 4, 6, 11), 5),
                *_units("mmew", 300, 30, (50, 41, 109, 70, 10, 47, 8, 38, 37, 17, 6, 11), 28),
                *_units("casme3a", 860, 94, (153, 128, 274, 44, 8, 27, 50, 10, 15, 193, 6, 20), 112),
            ),
        ),
    )
}


def join(composite: Composite, manifests: Sequence[Path]) -> Joint:
    """The clips of a composite from manifests that `flowkit index` wrote, in their order.

    Raises:
        InputError: for a dataset that is missing, or does not belong, or a clip_id that two manifests have.
    """
    for path in manifests:
        require_manifest_name(path)
    revisions = [Revision(path) for path in manifests]
    clips = [clip for revision in revisions for clip in revision.clips]
    _require_datasets(composite, clips)
    seen: set[str] = set()
    for clip in clips:
        if clip.clip_id in seen:
            raise InputError(f"clip_id {clip.clip_id!r} is in two of the manifests; give each dataset once")
        seen.add(clip.clip_id)
    reasons = [composite.left_out(clip) for clip in clips]
    belongs = [reason is None for reason in reasons]
    kept = list(compress(clips, belongs))
    left_out = [_place(clip, reason, "left out") for clip, reason in zip(clips, reasons, strict=True) if reason]
    counts, notes = _checked(composite, kept)
    off = [count for count in counts if count.found(kept) != count.number]
    differences = [f"{count}: {count.found(kept)}, published {count.number}" for count in off]
    suspects = _suspects(off, manifests, clips, kept) if off else []
    notes += unknown_people(set(composite.datasets))
    return Joint(composite, kept, _own_columns(revisions, belongs), left_out, differences, suspects, notes)


def _own_columns(revisions: Sequence[Revision], belongs: Sequence[bool]) -> dict[str, pa.Array]:
    """The columns that are none of `SCHEMA`, of the clips that belong to the set."""
    names = dict.fromkeys(name for one in revisions for name in column_names(one.source, REQUIRED) if name)
    return {
        name: _array(name, list(compress((value for one in revisions for value in one.column(name)), belongs)))
        for name in names
        if name not in SCHEMA.names
    }


def _array(name: str, values: list[Any]) -> pa.Array:
    """A column of the type that it has in `BESIDE`, else of that of its values; of texts where these are of several."""
    if name in BESIDE.names:
        return pa.array(values, BESIDE.field(name).type)
    kinds = {*map(type, values)} - {type(None)}
    if len(kinds) < 2 or kinds in ({int, float}, {str, bytes}):  # of others Arrow would make a date of a number
        with suppress(OverflowError, pa.ArrowException):
            return pa.array(values)
    return pa.array([None if value is None else str(value) for value in values], pa.string())


def _require_datasets(composite: Composite, clips: Sequence[Clip]) -> None:
    given = {clip.dataset for clip in clips}
    if missing := [name for name in composite.datasets if name not in given]:
        raise InputError(
            f"{composite.name} needs {', '.join(missing)}, too; give the manifest that flowkit index wrote"
        )
    if others := sorted(str(name) for name in given - set(composite.datasets)):
        raise InputError(f"{composite.name} has no clips of {others[0]!r}; leave that manifest out")


def _checked(composite: Composite, clips: Sequence[Clip]) -> tuple[list[Count], list[str]]:
    """The counts that can be checked; those by group need a group at every clip."""
    without = sum(clip.group is None for clip in clips)
    by_group = any(count.group for count in composite.published)
    if not by_group or not without:
        return list(composite.published), []
    note = f"{without} of {len(clips)} clips have no group, so the published counts by group are not checked"
    return [count for count in composite.published if not count.group], [note]


def _suspects(
    off: Sequence[Count], manifests: Sequence[Path], clips: Sequence[Clip], kept: Sequence[Clip]
) -> list[Defect]:
    """Rows of the datasets in question that were refused or lack what is counted, and units that are not certain."""
    datasets = {count.dataset for count in off} - {None} or {clip.dataset for clip in clips}
    known = {clip.clip_id for clip in clips}
    units = {count.unit for count in off if count.unit}
    found = []
    for path in manifests:
        table = defects_path(path)
        for defect in read_defects(table) if table.exists() else []:
            out = defect.failed and (defect.clip_id not in known or "left out" in defect.done)
            if out or (defect.failed and "motion" in defect.column):
                found.append(defect)
    for clip in kept:
        coding = parse_units(clip.au)
        doubtful = {unit.number for unit in coding.units if not unit.certain or unit.kind != "AU"}
        if clip.dataset in datasets and (doubtful & units or (units and coding.rest)):
            found.append(_place(clip, f"action units {clip.au!r}", "counted as far as they are units"))
    return found


def _place(clip: Clip, what: str, done: str) -> Defect:
    """A record about a clip, at the place of its row."""
    file = (clip.annotation_revision or "").rsplit(" ", 1)[0]
    return Defect(file=file or str(clip.dataset), row=clip.sheet_row, clip_id=clip.clip_id, what=what, done=done)
