"""The paper's Tables I to III: who is in the data, what they show, and which clips the prima-facie sets hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from trainer.studies.people import Clips, people_of
from trainer.studies.sampling import Subset
from trainer.types import CLASSES

EMOTIONS = (*CLASSES, "none of three")


def composition(rows: Sequence[Any]) -> pa.Table:
    """Table I: clips and people by dataset and ethnicity as given, of all clips and of those with an emotion3.

    Columns: dataset, ethnicity, clips, people, clips3, people3; sorted, with "not given" where there is no label.
    Raises as `trainer.folds.people`.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row, person in zip(rows, people_of(rows), strict=True):
        key = (row.dataset or "not given", row.ethnicity or "not given")
        cell = found.setdefault(key, {"clips": 0, "people": set(), "clips3": 0, "people3": set()})
        cell["clips"] += 1
        cell["people"].add(person)
        if row.emotion3 is not None:
            cell["clips3"] += 1
            cell["people3"].add(person)
    return pa.Table.from_pylist(
        [
            {
                "dataset": dataset,
                "ethnicity": ethnicity,
                "clips": cell["clips"],
                "people": len(cell["people"]),
                "clips3": cell["clips3"],
                "people3": len(cell["people3"]),
            }
            for (dataset, ethnicity), cell in sorted(found.items())
        ]
    )


def emotions(rows: Iterable[Any]) -> pa.Table:
    """Table II: clips by group and emotion, with a row "all" at the end.

    Columns: group, negative, positive, surprise, none of three, clips.
    """
    counts: dict[str, dict[str, int]] = {}
    for row in rows:
        group = row.group or "not given"
        for name in (group, "all"):
            cell = counts.setdefault(name, dict.fromkeys(EMOTIONS, 0))
            cell[row.emotion3 or EMOTIONS[-1]] += 1
    order = [*sorted(name for name in counts if name != "all"), "all"]
    lines = [{"group": name, **counts[name], "clips": sum(counts[name].values())} for name in order if name in counts]
    return pa.Table.from_pylist(lines)


def sets(clips: Clips, subsets: list[Subset]) -> pa.Table:
    """Table III: people and clips of the prima-facie sets. Columns: set, people, negative, non-negative, clips."""
    lines = []
    for subset in subsets:
        chosen = clips.take(subset.rows)
        negative = int(chosen.negative.sum())
        lines.append(
            {
                "set": subset.name,
                "people": len(set(chosen.person.tolist())),
                "negative": negative,
                "non-negative": len(chosen) - negative,
                "clips": len(chosen),
            }
        )
    return pa.Table.from_pylist(lines)


def as_text(table: pa.Table) -> str:
    """A small table as aligned lines, numbers to the right; fractions with four decimals."""
    columns = [
        [name, *("-" if v is None else f"{v:.4f}" if isinstance(v, float) else str(v) for v in table[name].to_pylist())]
        for name in table.column_names
    ]
    numeric = [pa.types.is_integer(kind.type) or pa.types.is_floating(kind.type) for kind in table.schema]
    widths = [max(map(len, column)) for column in columns]
    lines = zip(*columns, strict=True)
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )
