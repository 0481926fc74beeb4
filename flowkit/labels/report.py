"""What a manifest's labels say: people and clips by label, who says so, agreement, changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from flowkit.datasets.emotions import EMOTION3
from flowkit.datasets.filmed import filmed_in
from flowkit.datasets.revision import Revision
from flowkit.labels.columns import CORRECTED, MODEL, changes_of, sources
from flowkit.pages import fill

NONE = "none"
KINDS = ("annotated", "corrected by a person", "model's guess")


@dataclass(frozen=True, slots=True)
class Table:
    """A table of counts, with the sum of each row and column."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How labels that a model guessed and labels that were given go together, over the clips that have both."""

    clips: int
    agreeing: int
    kappa: float | None
    """Cohen's kappa; None where either side has one label only."""
    pairs: Table
    """Given (down) by guessed (across)."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The report on one label."""

    label: str
    clips: int
    people: int
    composition: Table
    """Table I: clips and people by dataset and label, of all clips and of those with one of the three classes."""
    emotions: Table
    """Table II: clips by label and emotion class."""
    contradicting: tuple[str, ...]
    """People whose clips have different labels; they are counted under each."""
    kinds: tuple[tuple[str, int], ...]
    """On what labels rest, with how many clips."""
    sources: tuple[tuple[str, int], ...]
    agreement: Agreement | None
    unanimous: tuple[int, int] | None
    """People whose clips have all one guess, of those with two guesses or more; None where nobody has."""
    ties: tuple[tuple[str, str], ...]
    """Person and votes."""
    changes: tuple[tuple[str, str, str, str, str, str], ...]
    """clip_id, from, to, who, why, and who had said so before."""


def summarise(revision: Revision, label: str) -> Summary:
    """What the manifest's labels say."""
    values = revision.texts(label)
    people: dict[str, list[int]] = {}
    for i, clip in enumerate(revision.clips):
        people.setdefault(filmed_in(clip), []).append(i)
    grounds = sources(revision, label)
    changes = changes_of(revision, label)
    return Summary(
        label=label,
        clips=len(values),
        people=len(people),
        composition=_composition(revision, label, values),
        emotions=_emotions(revision, label, values),
        contradicting=tuple(
            person for person, places in people.items() if len({values[i] for i in places} - {None}) > 1
        ),
        kinds=tuple(Counter(_kind(text) for text in grounds if text).most_common()),
        sources=tuple(Counter(text for text in grounds if text).most_common()),
        agreement=_agreement(values, grounds, revision.texts(f"{label}_guess"), label),
        unanimous=_unanimous(revision.texts(f"{label}_guess"), people),
        ties=_ties(revision, label, people),
        changes=tuple(
            (
                clip_id,
                str(change.get("from") or NONE),
                str(change.get("to") or NONE),
                str(change.get("who") or NONE),
                str(change.get("why") or change.get("to_source") or ""),
                str(change.get("from_source") or ""),
            )
            for clip_id, change in changes
        ),
    )


def page(summary: Summary) -> str:
    """The report as one self-contained HTML page."""
    return fill("labels.html.j2", summary=summary, agreement=_told(summary.agreement))


def lines(summary: Summary) -> list[str]:
    """The report as lines of text."""
    told = [f"{summary.label}: {summary.clips} clips, {summary.people} people"]
    told += [f"  {count} clips: {kind}" for kind, count in summary.kinds]
    told += ["", "sources", *(f"  {count} clips: {text}" for text, count in summary.sources)] if summary.sources else []
    for table in (summary.composition, summary.emotions):
        told += ["", table.title, *_aligned(table)]
    if summary.contradicting:
        told += ["", f"people with different labels, counted under each: {', '.join(summary.contradicting)}"]
    if summary.agreement:
        told += ["", _told(summary.agreement), *_aligned(summary.agreement.pairs)]
    if summary.unanimous:
        same, of = summary.unanimous
        told += ["", f"{same} of {of} people with several guesses have the same in all their clips"]
    told += ["", *(f"tie, left open: {person}: {votes}" for person, votes in summary.ties)] if summary.ties else []
    if summary.changes:
        told += ["", f"{len(summary.changes)} labels were changed"]
        told += [f"  {clip}: {old} -> {new}, by {who}: {why}" for clip, old, new, who, why, _ in summary.changes]
    return told


def kappa_of(pairs: Counter[tuple[str, str]]) -> float | None:
    """Cohen's kappa of pairs of labels with their counts; None where either side has one label only.

    Source: Cohen, A coefficient of agreement for nominal scales, 1960.
    """
    total = sum(pairs.values())
    first, second = (Counter[str]() for _ in range(2))
    for (one, other), count in pairs.items():
        first[one] += count
        second[other] += count
    if min(len(first), len(second)) < 2:
        return None
    observed = sum(count for (one, other), count in pairs.items() if one == other) / total
    expected = sum(first[name] * second[name] for name in first) / total**2
    return (observed - expected) / (1 - expected)


def _composition(revision: Revision, label: str, values: Sequence[str | None]) -> Table:
    cells: dict[tuple[str, str], list[list[str]]] = {}
    for clip, value in zip(revision.clips, values, strict=True):
        for key in ((clip.dataset or NONE, value or NONE), ("all", "all")):
            every, three = cells.setdefault(key, [[], []])
            every.append(filmed_in(clip))
            if clip.emotion3 is not None:
                three.append(filmed_in(clip))
    rows = [
        (*key, *(str(count) for some in cells[key] for count in (len(some), len(set(some)))))
        for key in sorted(cells, key=lambda key: (key[0] == "all", key[0], key[1] == NONE, key[1]))
    ]
    header = ("dataset", label, "clips", "people", "clips of three classes", "their people")
    return Table(f"Table I: clips and people by dataset and {label}", header, tuple(rows))


def _emotions(revision: Revision, label: str, values: Sequence[str | None]) -> Table:
    counts = Counter(
        (value or NONE, clip.emotion3 or "no class") for value, clip in zip(values, revision.clips, strict=True)
    )
    columns = [*EMOTION3, *(["no class"] if any(column == "no class" for _, column in counts) else [])]
    return _table(f"Table II: clips by {label} and emotion class", label, counts, columns)


def _table(title: str, corner: str, counts: Counter[tuple[str, str]], columns: Sequence[str]) -> Table:
    names = sorted({row for row, _ in counts}, key=lambda name: (name == NONE, name))
    cells = [[counts[name, column] for column in columns] for name in names]
    rows = [(name, *map(str, row), str(sum(row))) for name, row in zip(names, cells, strict=True)]
    totals = [sum(column) for column in zip(*cells, strict=True)]
    rows.append(("all", *map(str, totals), str(sum(totals))))
    return Table(title, (corner, *columns, "all"), tuple(rows))


def _agreement(
    values: Sequence[str | None], grounds: Sequence[str | None], guesses: Sequence[str | None], label: str
) -> Agreement | None:
    pairs = Counter(
        (value.casefold(), guess)
        for value, ground, guess in zip(values, grounds, guesses, strict=True)
        if value and guess and ground and not ground.startswith(MODEL)
    )
    if not pairs:
        return None
    columns = sorted({guess for _, guess in pairs})
    agreeing = sum(count for (value, guess), count in pairs.items() if value == guess)
    table = _table(f"given {label} (down) by the model's guess (across)", label, pairs, columns)
    return Agreement(sum(pairs.values()), agreeing, kappa_of(pairs), table)


def _unanimous(guesses: Sequence[str | None], people: dict[str, list[int]]) -> tuple[int, int] | None:
    several = [said for places in people.values() if len(said := [guesses[i] for i in places if guesses[i]]) > 1]
    return (sum(len(set(said)) == 1 for said in several), len(several)) if several else None


def _ties(revision: Revision, label: str, people: dict[str, list[int]]) -> tuple[tuple[str, str], ...]:
    votes, values = revision.texts(f"{label}_votes"), revision.texts(label)
    return tuple(
        (person, votes[places[0]] or "")
        for person, places in people.items()
        if (votes[places[0]] or "").startswith("tie: ") and len({values[i] for i in places} - {None}) != 1
    )


def _kind(source: str) -> str:
    return KINDS[2] if source.startswith(MODEL) else KINDS[1] if source.startswith(CORRECTED) else KINDS[0]


def _told(agreement: Agreement | None) -> str:
    if agreement is None:
        return ""
    kappa = "" if agreement.kappa is None else f", Cohen's kappa {agreement.kappa:.2f}"
    share = 100 * agreement.agreeing / agreement.clips
    return (
        f"the model agrees with {agreement.agreeing} of {agreement.clips} labels that were given ({share:.0f} %{kappa})"
    )


def _aligned(table: Table) -> list[str]:
    rows = [table.header, *table.rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.header))]
    return [
        "  "
        + row[0].ljust(widths[0])
        + "".join(cell.rjust(width + 2) for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    ]
