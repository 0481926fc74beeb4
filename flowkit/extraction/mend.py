"""Clips that could not be opened or read, or whose face was not found, when a plan was made, and can be now: their
pairs go behind it.

All rows that such a clip has in the parts of the plan are failures. They leave it, and what else these parts hold stays
as it is. The same clips, mended in the same order, give the same plan again.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from flowkit.errors import OutputError
from flowkit.extraction.pairs import plan_pairs
from flowkit.extraction.plan import Part, PlannedRow, divide
from flowkit.extraction.plans import parse_plan
from flowkit.extraction.request import ExtractRequest
from flowkit.frames.survey import Survey
from flowkit.output.commit import Commit, part_file, read_commit
from flowkit.output.files import is_as_written
from flowkit.output.parquet import read_table
from flowkit.output.shard import FAILURE_SCHEMA
from flowkit.output.store import Place
from flowkit.output.writer import drop_commit, new_names, put_table, remove_files, write_commit

UNOPENED = Survey(None, None, "", "could not be opened")
"""Of any such clip, as far as plan and survey depend on it."""

Retry = Mapping[str, bool]
"""The clips that it has mended, by clip_id: whether they had been opened before, and only their frames not read, or
their face not found."""


def mended_plans(parts: Sequence[Part], request: ExtractRequest, mended: Sequence[Retry]) -> list[list[Part]]:
    """The plan as it was before any of these clips could be read, and as it was after each retry that mended some.

    Args:
        parts: of a plan made anew, in which all of the clips can be read.
        mended: by each retry.

    Raises:
        OutputError: if parts would be left empty.
    """
    if not mended:
        return [[*parts]]
    plan = parse_plan(request.pairs)
    now: dict[str, list[PlannedRow]] = {}
    for row in _rows(parts):
        now.setdefault(row[0].clip.clip_id, []).append(row)

    def before(retries: Sequence[Retry], clip_id: str) -> list[PlannedRow]:
        """The clip's rows as they were before these retries."""
        opened = next((retry[clip_id] for retry in retries if clip_id in retry), None)
        if opened is None:
            return now[clip_id]
        pairs = [pair for pair, _ in now[clip_id]]  # whose numbers were known, where it had been opened
        return [(pair, None) for pair in (pairs if opened else plan_pairs(pairs[0].clip, plan, UNOPENED))]

    plans = [list(divide([*itertools.chain.from_iterable(before(mended, clip_id) for clip_id in now)]))]
    for i, retry in enumerate(mended, 1):
        plans.append(_behind(plans[-1], {clip_id: before(mended[i:], clip_id) for clip_id in now if clip_id in retry}))
    return plans


def stale_commits(out: Place, plans: Sequence[Sequence[Part]]) -> Iterator[tuple[Part, Commit, pa.Table]]:
    """Each commit with failures that such a plan no longer has: its part, and the failures that it still has."""
    for before, part in zip(plans[0], plans[-1], strict=False):
        if part is before or not (record := out / part_file("commits", part.number)).exists():
            continue
        try:
            commit = read_commit(record)
        except OutputError:  # damaged, which is told or computed again elsewhere
            continue
        file = commit.file("failures")
        if file is None or not commit.is_whole(out):  # it is computed again in any case
            continue
        # What is damaged is not written anew, with a new checksum: none of it is kept.
        sound = is_as_written(out / file.name, file.sha256)
        failures = read_table(out / file.name) if sound else FAILURE_SCHEMA.empty_table()
        planned = pa.array([pair.pair_id for pair in part.pairs], pa.string())
        kept = failures.filter(pc.is_in(failures["pair_id"], planned))
        if len(kept) < file.rows:
            yield part, commit, kept


def trim_commits(out: Place, plans: Sequence[Sequence[Part]]) -> None:
    """Takes the failures that such a plan no longer has out of the commits; a part of which too little is left is one
    to be computed, and keeps its shard until then.

    Raises:
        Interrupted: if OUT cannot be written.
    """
    for part, commit, kept in stale_commits(out, plans):
        shard, failures = commit.file("shards"), commit.file("failures")
        assert failures is not None
        if (trimmed := without_failures(part, commit, kept)) is None:
            if shard:  # which the record names still, although it does not count without the other file
                remove_files(out, [failures.name])
            else:
                drop_commit(out, part.number, commit.files)
            continue
        files = [shard] if shard else []
        if kept.num_rows:
            files.append(put_table(out, new_names(out, part.number)["failures"], kept))
        write_commit(out, dataclasses.replace(trimmed, files=tuple(files)))


def without_failures(part: Part, commit: Commit, kept: pa.Table) -> Commit | None:
    """The counts of a commit with these failures alone; None where it has not all of the part's pairs."""
    return dataclasses.replace(commit, failed=len(kept)) if commit.computed + len(kept) == len(part.pairs) else None


def _rows(parts: Sequence[Part]) -> Iterator[PlannedRow]:
    """The rows that were divided into these parts: a clip's framing is there from its first sound pair on."""
    framed: set[str] = set()
    for part in parts:
        for pair in part.pairs:
            clip_id = pair.clip.clip_id
            if pair.error is None:
                framed.add(clip_id)
            yield pair, part.framings[clip_id] if clip_id in framed else None


def _behind(parts: Sequence[Part], rows: dict[str, list[PlannedRow]]) -> list[Part]:
    """The plan with these rows behind it, by clip_id, in place of what it has of the clips.

    Parts that would be left empty take the first of the rows: parts are numbered without a gap.
    """
    kept = []
    for part in parts:
        pairs = tuple(pair for pair in part.pairs if pair.clip.clip_id not in rows)
        kept.append(part if len(pairs) == len(part.pairs) else dataclasses.replace(part, pairs=pairs))
    emptied = [part.number for part in kept if not part.pairs]
    added = list(divide([*itertools.chain.from_iterable(rows.values())], fewest=len(emptied)))
    if len(added) < len(emptied):
        raise OutputError(
            f"{len(emptied)} parts of the plan have only pairs of clips that could not be read, and these have no "
            "more than that now; give another -o"
        )
    numbers = itertools.chain(emptied, itertools.count(len(parts)))
    renumbered = [dataclasses.replace(part, number=number) for part, number in zip(added, numbers, strict=False)]
    return sorted([*(part for part in kept if part.pairs), *renumbered], key=lambda part: part.number)
