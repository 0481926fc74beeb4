"""How results reach the disk: a file is whole or absent, and a unit counts once its commit record is there.

    OUT/plan/run.json           all parameters and their hash, versions, the manifest's fingerprint
    OUT/plan/pairs.parquet      every planned pair and its unit
    OUT/shards/part-*.parquet   a row a computed pair        } one of each a unit; absent where it would have no row
    OUT/failures/part-*.parquet a row a pair that failed     }
    OUT/commits/part-*.json     a unit's row counts, and the size and SHA-256 of its files

A unit's files are written first and its record last, so a run that dies at any moment leaves whole units and, at
most, temporary files that the next run removes.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from flowkit.types import Interrupted, OutputError

FOLDERS = ("plan", "shards", "failures", "commits")
TEMPORARY = ".tmp-"


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One committed file; `name` is relative to OUT."""

    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Commit:
    """What one finished unit has left in OUT."""

    unit: int
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


def part_name(folder: str, unit: int) -> str:
    """A unit's file in one of the folders, relative to OUT."""
    return f"{folder}/part-{unit:05d}.{'json' if folder == 'commits' else 'parquet'}"


def put(path: Path, write: Callable[[Path], None]) -> None:
    """Writes a file whole or not at all: under a temporary name, synced, renamed, and its folder synced.

    Args:
        write: writes the file at the path it gets, and reads it back as far as it wants it checked.

    Raises:
        Interrupted: if the disk is full or cannot be written; nothing is left behind then.
    """
    temporary = path.with_name(f"{TEMPORARY}{path.name}-{uuid.uuid4().hex[:8]}")
    try:
        write(temporary)
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise Interrupted(_unwritable(path, error)) from error
    finally:
        # Should this fail too, the first error is the one to hear of, and the next run removes the file.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def put_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all; raises as `put`."""
    put(path, lambda temporary: _write_text(temporary, text))


def withdraw(out: Path, unit: int) -> None:
    """Removes a unit's commit record, then its files: from here on the unit is to be computed again.

    Raises:
        Interrupted: if they cannot be removed.
    """
    for folder in ("commits", "shards", "failures"):
        path = out / part_name(folder, unit)
        try:
            if path.exists():
                path.unlink()
                _sync(path.parent)
        except OSError as error:
            raise Interrupted(_unwritable(path, error)) from error


def record_of(out: Path, name: str, rows: int) -> FileRecord:
    """The record of a file that is at its final place."""
    with (out / name).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return FileRecord(name=name, rows=rows, bytes=os.fstat(file.fileno()).st_size, sha256=sha256)


def write_commit(out: Path, commit: Commit) -> None:
    """Writes a unit's commit record, which makes the unit count; raises as `put`."""
    put_text(out / part_name("commits", commit.unit), json.dumps(dataclasses.asdict(commit), indent=1) + "\n")


def read_commit(path: Path) -> Commit:
    """One commit record; an OutputError if the file is damaged."""
    try:
        values = json.loads(path.read_text())
        files = tuple(FileRecord(**file) for file in values.pop("files"))
        return Commit(**values, files=files)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise OutputError(f"{path} is damaged ({error}); run the same extraction again to replace it") from error


def commit_paths(out: Path) -> list[Path]:
    """All commit records of an output, by unit."""
    return sorted((out / "commits").glob("part-*.json"), key=lambda path: (len(path.name), path.name))


def finished(out: Path) -> dict[int, Commit]:
    """The commits that can be relied on when a run is continued, by unit; damaged records and units are left out."""
    commits = {}
    for path in commit_paths(out):
        try:
            commit = read_commit(path)
        except OutputError:
            continue
        if path == out / part_name("commits", commit.unit) and commit.is_whole(out):
            commits[commit.unit] = commit
    return commits


def remove_temporary(out: Path) -> None:
    """Removes what runs that were killed have left half-written."""
    for folder in FOLDERS:
        for path in (out / folder).glob(f"{TEMPORARY}*"):
            path.unlink(missing_ok=True)


@contextmanager
def claimed(out: Path) -> Iterator[None]:
    """Makes OUT's folders and holds OUT for this process.

    Raises:
        OutputError: if OUT holds something else, or another run is writing to it.
        Interrupted: if the folders cannot be made.
    """
    _refuse_foreign(out)
    try:
        for folder in FOLDERS:
            (out / folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Interrupted(_unwritable(out, error)) from error
    handle = os.open(out, os.O_RDONLY)
    try:
        _lock(out, handle)
        remove_temporary(out)
        yield
    finally:
        os.close(handle)


def _refuse_foreign(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise OutputError(f"{str(out)!r} is a file; give -o a folder")
    if not out.exists() or (out / "plan" / "run.json").exists():
        return
    # A run that was killed while it planned has left these folders, and nothing in them but the plan.
    for path in sorted(out.iterdir()):
        ours = path.name in FOLDERS and path.is_dir() and (path.name == "plan" or not any(path.iterdir()))
        if not ours:
            raise OutputError(
                f"{str(out)!r} holds {path.name!r} and is no output of flowkit; give -o a new or an empty folder"
            )


def _lock(out: Path, handle: int) -> None:
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(f"another run is writing to {str(out)!r}; wait for it, or give another -o") from error
    except OSError:
        # Some network file systems cannot lock a folder; two runs at once then waste time, but every file stays whole.
        return


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _unwritable(path: Path, error: OSError) -> str:
    # Arrow's errors carry a paragraph as strerror, and the number.
    reason = os.strerror(error.errno) if error.errno else str(error)
    remedy = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else "mend that"
    return f"cannot write {str(path)!r} ({reason}); {remedy}, and run the same command again to continue"
