"""Commit records: a part counts once its record is there, which names its files with their sizes and checksums.

    OUT/plan/run.json           all parameters and their hash, versions, the manifest's fingerprint
    OUT/plan/pairs.parquet      every planned pair and its part
    OUT/shards/part-*.parquet   a row a computed pair        } one of each a part; absent where it would have no row
    OUT/failures/part-*.parquet a row a pair that failed     }
    OUT/commits/part-*.json     a part's row counts, and the size and SHA-256 of its files

This is what readers need; `flowkit.output.writer` writes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from flowkit.errors import OutputError
from flowkit.output.files import TEMPORARY
from flowkit.output.record import damaged, record_text, unsealed
from flowkit.output.store import Place, StorePath, each

FOLDERS = ("plan", "shards", "failures", "commits")
SHARED = ".shared"
"""Begins the names of files in `plan` by which runs that write to one output at a time know of each other."""
_ATTEMPT = re.compile(r"\.[0-9a-f]+\.parquet$")
_RECORD_NAME = re.compile(r"part-\d{5,}\.json")
_PART_NAME = re.compile(r"(shards|failures)/part-[0-9]{5,}(\.[0-9a-f]+)?\.parquet|commits/part-[0-9]{5,}\.json")
_REMEDY = "run the same extraction again to replace it"


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One committed file; `name` is relative to OUT."""

    name: str
    rows: int
    bytes: int
    sha256: str
    footer_sha256: str | None = None
    """Of its footer, which readers check, as it has no checksum of its own; outputs of earlier versions have none."""


@dataclass(frozen=True, slots=True)
class Commit:
    """What one finished part has left in OUT."""

    part: int
    computed: int
    failed: int
    parameters_hash: str
    files: tuple[FileRecord, ...]

    def is_whole(self, out: Place, sizes: Mapping[str, int] | None = None) -> bool:
        """Whether its files exist with the recorded sizes (their content is for `flowkit verify` to check).

        Args:
            sizes: of the files of all parts by their names, where they are known.
        """
        if sizes is not None:
            return all(sizes.get(file.name) == file.bytes for file in self.files)
        try:
            return all((out / file.name).stat().st_size == file.bytes for file in self.files)
        except FileNotFoundError:
            return False

    def file(self, folder: str) -> FileRecord | None:
        """Its file in `shards` or `failures`, if it has one."""
        return next((file for file in self.files if file.name.startswith(f"{folder}/")), None)


@dataclass(frozen=True, slots=True)
class Kept(Commit):
    """What a part has and keeps, because an attempt to compute it again has not all of it."""

    lost: frozenset[str] = frozenset()
    """The pair ids that the attempt lacks."""
    error: str = ""
    """Why it lacks one of them."""


def part_file(folder: str, part: int) -> str:
    """A part's file in one of the folders, relative to OUT."""
    return f"{folder}/part-{part:05d}.{'json' if folder == 'commits' else 'parquet'}"


def read_commit(path: Place) -> Commit:
    """One commit record; an OutputError if it is damaged, contradicts itself, or stands under another part's name."""
    try:
        text = record_text(path, _REMEDY)
    except OSError as error:
        raise damaged(path, f"{type(error).__name__}: {error}", _REMEDY) from error
    return commit_of(path, text)


def commit_of(path: Place, text: str) -> Commit:
    """The same of a record whose text has been read."""
    try:
        values, has_checksum = unsealed(path, text, _REMEDY)
        if "unit" in values:  # schema version 1
            values["part"] = values.pop("unit")
        elif not has_checksum:
            raise ValueError("its SHA-256 is missing")
        commit = Commit(**values | {"files": tuple(FileRecord(**file) for file in values["files"])})
        _require_sense(commit)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise damaged(path, f"{type(error).__name__}: {error}", _REMEDY) from error
    if path.name != Path(part_file("commits", commit.part)).name:
        raise OutputError(
            f"{path} is the record of part {commit.part} under another name; "
            f"rename it to {part_file('commits', commit.part)}, or remove it if that is there"
        )
    return commit


def _require_sense(commit: Commit) -> None:
    """A record without a checksum of its own, of version 1, shall not lose a file by a damaged name or count."""
    expected = {
        part_file(folder, commit.part): rows
        for folder, rows in (("shards", commit.computed), ("failures", commit.failed))
        if rows
    }
    found = {without_attempt(file.name): file.rows for file in commit.files}
    if found != expected or len(commit.files) != len(expected):
        raise ValueError("its files are not those of its part and counts")


def is_part_name(name: str) -> bool:
    """Whether a file, by its name relative to OUT, is called as the files and records of parts are."""
    return _PART_NAME.fullmatch(name) is not None


def without_attempt(name: str) -> str:
    """A part's file under its name as a rule: part-00012.parquet for part-00012.3f9a.parquet of a recomputation."""
    return _ATTEMPT.sub(".parquet", name)


def read_commits(out: Place, parts: int) -> tuple[dict[int, Commit], dict[Place, str]]:
    """The commits of an output of so many planned parts, by part, and for each record that is none a sentence.

    Unfinished outputs, and copies without their empty folders, have fewer records, and that is no fault.
    """
    commits: dict[int, Commit] = {}
    problems: dict[Place, str] = {}
    paths = [path for path in entries(out, "commits") if not path.name.startswith(".")]
    for path, commit in zip(paths, each(out, _commit_or_error, paths), strict=True):
        if isinstance(commit, OutputError):
            error = commit
            ours = _RECORD_NAME.fullmatch(path.name) or "under another name" in str(error)
            problems[path] = str(error) if ours else f"{path} is no commit record of this output; remove it"
            continue
        if commit.part in range(parts):
            commits[commit.part] = commit
        else:
            problems[path] = f"{path} records part {commit.part}, and {parts} parts are planned; remove it"
    return dict(sorted(commits.items())), problems


def unrecorded(
    out: Place, commits: Mapping[int, Commit], unfinished: Collection[int], *, superseded: bool = False
) -> Iterator[tuple[Place, str]]:
    """Each file of shards and failures that no commit record names, with a sentence.

    Files of unfinished parts are none: a run that is killed leaves a part's files without its record. Those of a
    committed part beside the ones that its record names are only where `superseded` is asked for: a run that was killed
    while it computed the part again has left them, which of an attempt's is certain by the name.
    """
    known = {file.name for commit in commits.values() for file in commit.files}
    replaced = {without_attempt(name) for name in known}
    attempted = {part_file(folder, part) for part in commits for folder in ("shards", "failures")}
    unsettled = {part_file(folder, part) for part in unfinished for folder in ("shards", "failures")}
    for folder in ("shards", "failures"):
        for path in entries(out, folder):
            name = f"{folder}/{path.name}"
            if name in known or without_attempt(name) in unsettled or path.name.startswith("."):
                continue
            rule = without_attempt(name)
            if rule not in (replaced if rule == name else attempted):
                yield path, f"{out / name} is in no commit record and not planned; remove it, or give it its name back"
            elif superseded:
                told = f"{name} is left over from a run that was killed; run the same extraction again to remove it"
                yield path, told


def entries(out: Place, folder: str) -> list[Place]:
    """What one of the folders holds, sorted; nothing where a copy has lost the folder because it was empty."""
    return (
        sorted((out / folder).iterdir(), key=lambda path: (len(path.name), path.name))
        if (out / folder).is_dir()
        else []
    )


def is_temporary(path: Place) -> bool:
    """Whether a file is half-written, by a run at work or by one that was killed."""
    return path.name.startswith(TEMPORARY)


def recorded(out: Place) -> dict[int, Commit]:
    """Every commit whose record can be read, by part, whatever has become of its files."""
    paths = [path for path in entries(out, "commits") if path.name.startswith("part-") and path.suffix == ".json"]
    found = [commit for commit in each(out, _commit_or_error, paths) if isinstance(commit, Commit)]
    return {commit.part: commit for commit in found}


def finished(out: Place, commits: Mapping[int, Commit] | None = None) -> dict[int, Commit]:
    """The commits that can be relied on when a run is continued, by part; damaged records and parts are left out.

    Args:
        commits: what `recorded` gives, where that has been read.
    """
    # One listing in place of a question for each file, where an answer takes its time.
    sizes = _sizes(out) if isinstance(out, StorePath) else None
    found = recorded(out) if commits is None else commits
    return {part: commit for part, commit in found.items() if commit.is_whole(out, sizes)}


def _sizes(out: Place) -> dict[str, int]:
    """The bytes of each file of shards and failures, by its name relative to OUT."""
    folders = ("shards", "failures")
    return {f"{folder}/{path.name}": path.stat().st_size for folder in folders for path in entries(out, folder)}


def _commit_or_error(path: Place) -> Commit | OutputError:
    try:
        return read_commit(path)
    except OutputError as error:
        return error
