"""Proof of a finished output: every planned pair exactly once, every byte as it was written, nothing extra."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from flowkit.errors import OutputError
from flowkit.output.commit import FOLDERS, Commit, FileRecord, commit_paths, part_file, read_commit
from flowkit.output.files import TEMPORARY, is_as_written
from flowkit.output.parquet import read_table
from flowkit.output.plan_file import PAIRS_FILE, RUN_FILE, SURVEY_FILE, read_plan, read_run
from flowkit.output.shard import METADATA_KEY
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
    problems: list[str] = field(default_factory=list)
    """One sentence each, with the remedy; empty for a sound output."""

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


def verify(out: str | Path) -> Verification:
    """Reads all of an output and checks it against its plan and its commit records.

    Checked are: the plan's own checksum, that each pair id is that of its clip, role and frames, that each planned pair
    of a committed part is one row of that part's shard or failures and there is no other row, the SHA-256, size, page
    checksums and parameters of each file, and that the folders hold nothing else.

    Raises:
        OutputError: if OUT is no output of flowkit, or its run.json is unreadable.
    """
    out = Path(out)
    run = read_run(out)
    result = Verification(run["plan"]["pairs"], run["parameters_hash"])
    try:
        planned = _planned(out, run, result)
    except OutputError as error:
        result.problems.append(str(error))
        return result
    commits = _commits(out, set(planned), result)
    for part, pairs in planned.items():
        if part in commits:
            _check_part(out, commits[part], pairs, run, result)
        else:
            result.unfinished += len(pairs)
    result.problems += _strangers(out, commits, unfinished=set(planned) - set(commits))
    return result


_PairKey = tuple[str, str, str, int | None, int | None]
_KEY = ["pair_id", "clip_id", "role", "frame0", "frame1"]


def _planned(out: Path, run: dict[str, Any], result: Verification) -> dict[int, list[_PairKey]]:
    """The planned pairs by part."""
    if fingerprint(run["parameters"]) != run["parameters_hash"]:
        result.problems.append(f"{RUN_FILE}: its parameters do not have its parameters_hash; extract into another -o")
    if not is_as_written(out / PAIRS_FILE, run["plan"]["sha256"]):
        raise OutputError(f"{PAIRS_FILE} is not as it was written (its SHA-256 differs); extract into another -o")
    if "survey_sha256" in run["plan"] and not is_as_written(out / SURVEY_FILE, run["plan"]["survey_sha256"]):
        result.problems.append(
            f"{SURVEY_FILE} is not as it was written (its SHA-256 differs); run the same extraction again with "
            "--accept-changes to write it anew"
        )
    table = read_plan(out)
    parts: dict[int, list[_PairKey]] = {}
    for key, part in zip(_keys(table), table["part"].to_pylist(), strict=True):
        parts.setdefault(part, []).append(key)
        if fingerprint(list(key[1:]))[:16] != key[0]:
            result.problems.append(f"{PAIRS_FILE}: pair_id {key[0]} is not that of {_named(key)}")
    repeated = [key for key, count in Counter(key for keys in parts.values() for key in keys).items() if count > 1]
    result.problems += [f"{PAIRS_FILE}: {_named(key)} is planned more than once" for key in repeated[:MOST_LISTED]]
    return parts


def _commits(out: Path, parts: set[int], result: Verification) -> dict[int, Commit]:
    commits = {}
    for path in commit_paths(out):
        name = path.relative_to(out).as_posix()
        try:
            commit = read_commit(path)
        except OutputError as error:
            result.problems.append(str(error))
            continue
        if name != part_file("commits", commit.part) or commit.part not in parts:
            result.problems.append(f"{name} records part {commit.part}, which is not planned there; remove it")
        else:
            commits[commit.part] = commit
    return commits


def _check_part(out: Path, commit: Commit, planned: list[_PairKey], run: dict[str, Any], result: Verification) -> None:
    remedy = f"remove {part_file('commits', commit.part)} and run the same extraction again"
    if commit.parameters_hash != run["parameters_hash"]:
        result.problems.append(f"part {commit.part} was made with other parameters; {remedy}")
    found: Counter[_PairKey] = Counter()
    for file in commit.files:
        try:
            table = _checked_table(out, file, run)
        except OutputError as error:
            result.problems.append(f"{error}; {remedy}")
            return
        found.update(_keys(table))
        if file.name.startswith("shards/"):
            result.shards += 1
            result.computed += table.num_rows
        else:
            result.failed += table.num_rows
    expected = Counter(planned)
    for key in list((expected - found).keys())[:MOST_LISTED]:
        result.problems.append(f"part {commit.part} lacks {_named(key)}; {remedy}")
    for key in list((found - expected).keys())[:MOST_LISTED]:
        result.problems.append(f"part {commit.part} has {_named(key)} too often or unplanned; {remedy}")


def _checked_table(out: Path, file: FileRecord, run: dict[str, Any]) -> pa.Table:
    path = out / file.name
    if not path.exists():
        raise OutputError(f"{file.name} is missing")
    size = path.stat().st_size
    if size != file.bytes:
        raise OutputError(f"{file.name} has {size} bytes, {file.bytes} were written")
    if not is_as_written(path, file.sha256):
        raise OutputError(f"{file.name} is not as it was written (its SHA-256 differs)")
    table = read_table(path)
    if table.num_rows != file.rows:
        raise OutputError(f"{file.name} has {table.num_rows} rows, {file.rows} were written")
    metadata = json.loads((table.schema.metadata or {}).get(METADATA_KEY, b"{}"))
    if metadata.get("parameters_hash") != run["parameters_hash"]:
        raise OutputError(f"{file.name} was made with other parameters")
    return table.select(_KEY)


def _strangers(out: Path, commits: dict[int, Commit], unfinished: set[int]) -> Iterator[str]:
    """Everything in the folders that no commit record accounts for, and no run that was killed explains."""
    known = {PAIRS_FILE, RUN_FILE, SURVEY_FILE, *(path.relative_to(out).as_posix() for path in commit_paths(out))}
    known |= {file.name for commit in commits.values() for file in commit.files}
    known |= {part_file(folder, part) for part in unfinished for folder in ("shards", "failures")}
    for folder in FOLDERS:
        for path in sorted((out / folder).iterdir()):
            name = path.relative_to(out).as_posix()
            if path.name.startswith(TEMPORARY):
                if not unfinished:
                    yield f"{name} is left over from a run that was killed; run the same extraction again to remove it"
            elif name not in known:
                yield f"{name} is in no commit record and not planned; remove it"


def _keys(table: pa.Table) -> Iterator[_PairKey]:
    return zip(*(table[name].to_pylist() for name in _KEY), strict=True)


def _named(key: _PairKey) -> str:
    return f"the pair {key[2]} {key[3]}, {key[4]} of clip {key[1]!r}"
