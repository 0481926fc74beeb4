"""Commit records: a part counts once its record is there, which names its files with their sizes and checksums.

    OUT/plan/run.json           all parameters and their hash, versions, the manifest's fingerprint
    OUT/plan/pairs.parquet      every planned pair and its part
    OUT/shards/part-*.parquet   a row a computed pair        } one of each a part; absent where it would have no row
    OUT/failures/part-*.parquet a row a pair that failed     }
    OUT/commits/part-*.json     a part's row counts, and the size and SHA-256 of its files

This is what readers need; `flowkit.output.writer` writes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from flowkit.errors import OutputError

FOLDERS = ("plan", "shards", "failures", "commits")


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One committed file; `name` is relative to OUT."""

    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Commit:
    """What one finished part has left in OUT."""

    part: int
    computed: int
    failed: int
    parameters_hash: str
    files: tuple[FileRecord, ...]

    def is_whole(self, out: Path) -> bool:
        """Whether its files exist with the recorded sizes (their content is for `flowkit verify` to check)."""
        try:
            return all((out / file.name).stat().st_size == file.bytes for file in self.files)
        except FileNotFoundError:
            return False

    def file(self, folder: str) -> FileRecord | None:
        """Its file in `shards` or `failures`, if it has one."""
        return next((file for file in self.files if file.name.startswith(f"{folder}/")), None)


def part_file(folder: str, part: int) -> str:
    """A part's file in one of the folders, relative to OUT."""
    return f"{folder}/part-{part:05d}.{'json' if folder == 'commits' else 'parquet'}"


def read_commit(path: Path) -> Commit:
    """One commit record; an OutputError if the file is damaged."""
    try:
        values = json.loads(path.read_text())
        files = tuple(FileRecord(**file) for file in values.pop("files"))
        if "unit" in values:  # schema version 1
            values["part"] = values.pop("unit")
        return Commit(**values, files=files)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise OutputError(f"{path} is damaged ({error}); run the same extraction again to replace it") from error


def commit_paths(out: Path) -> list[Path]:
    """All commit records of an output, by part."""
    return sorted((out / "commits").glob("part-*.json"), key=lambda path: (len(path.name), path.name))


def finished(out: Path) -> dict[int, Commit]:
    """The commits that can be relied on when a run is continued, by part; damaged records and parts are left out."""
    commits = {}
    for path in commit_paths(out):
        try:
            commit = read_commit(path)
        except OutputError:
            continue
        if path == out / part_file("commits", commit.part) and commit.is_whole(out):
            commits[commit.part] = commit
    return commits
