"""What an index holds, counted: the table on screen and the rows of the page are these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flowkit.datasets.defects import Defect
from flowkit.datasets.emotions import EMOTION3
from flowkit.types import Clip


@dataclass(frozen=True, slots=True)
class Summary:
    """One dataset's clips, counted. Every table is of (name, clips), the most frequent first."""

    dataset: str
    clips: int
    people: int
    expressions: list[tuple[str, int]]
    emotions: list[tuple[str, int]]
    classes: list[tuple[str, int]]
    groups: list[tuple[str, int]]
    sources: list[str]
    """Who says the labels of ethnicity, group, age and gender."""
    revisions: list[str]


def summarise(clips: Sequence[Clip]) -> list[Summary]:
    """A summary for each dataset, in the order in which they appear."""
    datasets = dict.fromkeys(clip.dataset for clip in clips)
    return [_summary(str(name), [clip for clip in clips if clip.dataset == name]) for name in datasets]


def _summary(name: str, clips: Sequence[Clip]) -> Summary:
    classes = Counter(clip.emotion3 or "in no class" for clip in clips)
    return Summary(
        dataset=name,
        clips=len(clips),
        people=_people(clips),
        expressions=_counted(clip.expression for clip in clips),
        emotions=_counted(clip.emotion for clip in clips),
        classes=[(name, classes[name]) for name in (*EMOTION3, "in no class") if classes[name]],
        groups=_counted(clip.group for clip in clips),
        sources=sorted({clip.label_source for clip in clips if clip.label_source}),
        revisions=sorted({clip.annotation_revision for clip in clips if clip.annotation_revision}),
    )


def _people(clips: Iterable[Clip]) -> int:
    return len({clip.person or (clip.dataset, clip.subject) for clip in clips})


def kinds(defects: Iterable[Defect]) -> list[tuple[str, int, int]]:
    """Defects by what they are about: (column and beginning of the text, how many, how many of them failed)."""
    named = [(" ".join(filter(None, (one.column, one.done))), one.failed) for one in defects]
    counted = Counter(name for name, _ in named)
    failed = Counter(name for name, bad in named if bad)
    return [(name, number, failed[name]) for name, number in counted.most_common()]


def table(clips: Sequence[Clip]) -> list[str]:
    """The summaries of all datasets as lines for a terminal; a person of two datasets is one among all."""
    summaries = summarise(clips)
    header = ["dataset", "clips", "people", "classes", "groups"]
    rows = [
        [one.dataset, str(one.clips), str(one.people), _told(one.classes), _told(one.groups) or "none"]
        for one in summaries
    ]
    if len(summaries) > 1:
        rows.append(["all", str(len(clips)), str(_people(clips)), "", ""])
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [header, *rows]]
    return [line.rstrip() for line in lines]


def _counted(values: Iterable[str | None]) -> list[tuple[str, int]]:
    return Counter(value for value in values if value is not None).most_common()


def _told(counts: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counts)
