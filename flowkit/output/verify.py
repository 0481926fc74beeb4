"""Proof of a finished output: every planned pair exactly once, every byte as it was written, nothing extra."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from flowkit.errors import OutputError
from flowkit.output.commit import (
    FOLDERS,
    SHARED,
    Commit,
    FileRecord,
    entries,
    is_temporary,
    part_file,
    read_commits,
    unrecorded,
)
from flowkit.output.files import is_as_written
from flowkit.output.parquet import METADATA_KEY, read_table, readable
from flowkit.output.plan_file import PAIRS_FILE, RUN_FILE, SURVEY_FILE, planned_parts, read_plan, read_run
from flowkit.output.quality import QualitySummary
from flowkit.output.shard import expected_of
from flowkit.output.store import Place, StorePath, place
from flowkit.types import fingerprint

MOST_LISTED = 20


@dataclass(slots=True)
class Verification:
    """What `verify` found; counts are of pairs, but for the shards."""

    planned: int
    parameters_hash: str
    computed: int = 0
    failed: int = 0
    shards: int = 0
    unfinished: int = 0
    """Planned pairs of parts that are not committed: not a fault, only not yet done."""
    quality: QualitySummary = field(default_factory=QualitySummary)
    """Of the computed pairs that were read."""
    problems: list[str] = field(default_factory=list)
    """One sentence each, with the remedy; empty for a sound output."""
    damaged: set[int] = field(default_factory=set)
    """Parts that are committed, and not as they were committed."""
    to_do: set[int] = field(default_factory=set)
    """Planned parts that are not committed, or whose record is damaged."""
    strays: list[Place] = field(default_factory=list)
    """What is in the folders of the parts and belongs to none."""

    @property
    def ok(self) -> bool:
        """Whether the output is finished and sound."""
        return not self.problems and not self.unfinished

    def __str__(self) -> str:
        if self.problems:
            return f"{len(self.problems)} problem{'s' if len(self.problems) > 1 else ''} found"
        counts = f"{self.planned} pairs planned, {self.computed} computed, {self.failed} failed, {self.shards} shards"
        if self.unfinished:
            return (
                f"not finished: {counts}, {self.unfinished} pairs still to do; "
                "run the same extraction again to continue it"
            )
        return f"OK: {counts}, parameters {self.parameters_hash[:12]}"


def verify(out: str | Place) -> Verification:
    """Reads all of an output and checks it against its plan and its commit records.

    Checked are: the checksums of run.json, plan, survey and commit records, that each pair id is that of its clip, role
    and frames, that each planned pair of a committed part is one row of that part's shard or failures and there is no
    other row, the SHA-256, size, page checksums and parameters of each file, and that the folders hold nothing else.
    Folders that are empty may be absent, as copies leave them out.

    Raises:
        OutputError: if OUT is no output of flowkit, or its run.json is damaged.
    """
    out = place(out)
    run = read_run(out)
    result = Verification(run["plan"]["pairs"], run["parameters_hash"])
    try:
        planned = _planned(out, run, result)
    except OutputError as error:
        result.problems.append(str(error))
        return result
    commits, problems = read_commits(out, planned_parts(run))
    result.problems += problems.values()
    for part, pairs in planned.items():
        if part in commits:
            if problems_of_part := _harm_of_part(out, commits[part], pairs, run, result):
                result.problems += problems_of_part
                result.damaged.add(part)
        else:
            result.unfinished += len(pairs)
            result.to_do.add(part)
    own_names = {out / part_file("commits", part) for part in planned}
    strays = [
        *((path, "") for path in problems if path not in own_names),
        # In an object store it may be what a run that goes on now is about to record.
        *unrecorded(out, commits, result.to_do, superseded=not isinstance(out, StorePath)),
        *_strangers(out, killed=bool(result.to_do)),
    ]
    result.problems += [told for _, told in strays if told]
    result.strays += [path for path, _ in strays]
    return result


_PairKey = tuple[str, str, str, int | None, int | None]
_KEY = ["pair_id", "clip_id", "role", "frame0", "frame1"]


def _planned(out: Place, run: dict[str, Any], result: Verification) -> dict[int, list[_PairKey]]:
    """The planned pairs by part."""
    if fingerprint(run["parameters"]) != run["parameters_hash"]:
        result.problems.append(f"{RUN_FILE}: its parameters do not have its parameters_hash; extract into another -o")
    if harm := _harm(out / PAIRS_FILE, run["plan"]["sha256"]):
        raise OutputError(f"{PAIRS_FILE} {harm}; flowkit repair {out} makes it anew from the manifest")
    if "survey_sha256" in run["plan"] and (harm := _harm(out / SURVEY_FILE, run["plan"]["survey_sha256"])):
        result.problems.append(f"{SURVEY_FILE} {harm}; flowkit repair {out} makes it anew from the manifest")
    table = read_plan(out)
    parts: dict[int, list[_PairKey]] = {}
    for key, phases, part in zip(_keys(table), _phases(table), table["part"].to_pylist(), strict=True):
        parts.setdefault(part, []).append(key)
        if fingerprint([*key[1:], *phases])[:16] != key[0]:
            result.problems.append(f"{PAIRS_FILE}: pair_id {key[0]} is not that of {_named(key)}")
    if (table.num_rows, len(parts)) != (run["plan"]["pairs"], planned_parts(run)):
        result.problems.append(
            f"{PAIRS_FILE} has {table.num_rows} pairs in {len(parts)} parts, {RUN_FILE} says {run['plan']['pairs']} in "
            f"{planned_parts(run)}; extract into another -o"
        )
    repeated = [key for key, count in Counter(key for keys in parts.values() for key in keys).items() if count > 1]
    result.problems += [f"{PAIRS_FILE}: {_named(key)} is planned more than once" for key in repeated[:MOST_LISTED]]
    return parts


def _harm_of_part(
    out: Place, commit: Commit, planned: list[_PairKey], run: dict[str, Any], result: Verification
) -> list[str]:
    """A sentence for each thing that is wrong with a committed part, whose rows are counted in the result."""
    remedy = f"flowkit repair {out} computes the part again"
    problems = []
    if commit.parameters_hash != run["parameters_hash"]:
        problems.append(f"part {commit.part} was made with other parameters; {remedy}")
    found: Counter[_PairKey] = Counter()
    for file in commit.files:
        try:
            table = _checked_table(out, commit, file, run)
        except OutputError as error:
            return [*problems, f"{error}; {remedy}"]
        found.update(_keys(table))
        if file.name.startswith("shards/"):
            result.shards += 1
            result.computed += table.num_rows
            if "quality" in table.column_names:
                result.quality.add(table["quality"])
        else:
            result.failed += table.num_rows
    expected = Counter(planned)
    for key in list((expected - found).keys())[:MOST_LISTED]:
        problems.append(f"part {commit.part} lacks {_named(key)}; {remedy}")
    for key in list((found - expected).keys())[:MOST_LISTED]:
        problems.append(f"part {commit.part} has {_named(key)} too often or unplanned; {remedy}")
    return problems


def _checked_table(out: Place, commit: Commit, file: FileRecord, run: dict[str, Any]) -> pa.Table:
    path = out / file.name
    if isinstance(path, StorePath):
        with suppress(FileNotFoundError):  # which is told below
            path = path.held()
    if path.is_file() and (size := path.stat().st_size) != file.bytes:
        raise OutputError(f"{file.name} has {size} bytes, {file.bytes} were written")
    if harm := _harm(path, file.sha256):
        raise OutputError(f"{file.name} {harm}")
    with path.open("rb") if isinstance(path, Path) else readable(path) as opened:
        expected_of(commit, file).require_footer(path, opened)
    table = read_table(path)
    if table.num_rows != file.rows:
        raise OutputError(f"{file.name} has {table.num_rows} rows, {file.rows} were written")
    metadata = json.loads((table.schema.metadata or {}).get(METADATA_KEY, b"{}"))
    for name in ("parameters_hash", "preset", "manifest_fingerprint"):
        if metadata.get(name) != run[name]:
            raise OutputError(f"{file.name} was made with another {name} than {RUN_FILE} has")
    return table.select([*_KEY, *({"quality"} & {*table.column_names})])


def _harm(path: Place, sha256: str) -> str | None:
    """What has become of a file, or None where it is as it was written."""
    try:
        if is_as_written(path, sha256):
            return None
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return "is not as it was written (its SHA-256 differs)" if path.exists() else "is missing"


def _strangers(out: Place, killed: bool) -> Iterator[tuple[Place, str]]:
    """Each file that is neither plan, record nor part, with a sentence.

    Temporary files, which runs that were killed leave, are no fault while parts are missing: the run that computes
    those removes them. Nor are the marks of runs that share the output.
    """
    plan = [path for path in entries(out, "plan") if f"plan/{path.name}" not in (PAIRS_FILE, RUN_FILE, SURVEY_FILE)]
    hidden = [path for folder in FOLDERS[1:] for path in entries(out, folder) if path.name.startswith(".")]
    for path in [*plan, *hidden]:
        if path.name.startswith(SHARED):
            continue
        if not is_temporary(path):
            yield path, f"{path} is no file of this output; remove it"
        elif not killed:
            yield path, f"{path} is left over from a run that was killed; run the same extraction again to remove it"


def _phases(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    """What phases add to each pair's id: the frames of both sides, or nothing where both are single frames."""
    if "frames0" not in table.column_names:  # earlier versions
        yield from itertools.repeat((), table.num_rows)
        return
    for phases in zip(table["frames0"].to_pylist(), table["frames1"].to_pylist(), strict=True):
        yield () if phases == (None, None) else phases


def _keys(table: pa.Table) -> Iterator[_PairKey]:
    return zip(*(table[name].to_pylist() for name in _KEY), strict=True)


def _named(key: _PairKey) -> str:
    return f"the pair {key[2]} {key[3]}, {key[4]} of clip {key[1]!r}"
