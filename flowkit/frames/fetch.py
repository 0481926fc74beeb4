"""Videos of object stores, which decoders read as files: copies in a folder of this machine, which is kept small.

A copy is named by the video's name, size and tag in the store, so a video that has changed is fetched anew. Whoever
reads a copy holds a lock on it; those that were not read for longest go first.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flowkit.errors import InputError, Interrupted
from flowkit.output.files import TEMPORARY, is_abandoned, unwritable, write_whole
from flowkit.output.store import Place, StorePath

CACHE_GB = 10.0
"""What the copies may take by default, but for those that are being read."""


@contextmanager
def fetched(path: Place) -> Iterator[Path]:
    """A file with the content of the file or blob, which stays at least until the context is left.

    Raises:
        Interrupted: if this machine has no room for a copy, or the store gives no answer.
        StoreError: if it refuses.
        FileNotFoundError: if there is no such blob.
    """
    if isinstance(path, Path):
        yield path
        return
    stat = path.stat()
    folder = _folder()
    name = hashlib.sha256(f"{path}\0{stat.st_size}\0{stat.tag}".encode()).hexdigest()[:32] + path.suffix
    while (held := _held(folder / name, fcntl.LOCK_SH)) is None:
        with _alone(folder / f".{name}.lock"):
            if not (folder / name).exists():
                _fetch(path, folder / name, stat.st_size)
    try:
        yield folder / name
    finally:
        os.close(held)


def file_sha256(path: Place) -> str:
    """SHA-256 (hex) of a video's bytes; raises as `fetched`."""
    with fetched(path) as local, local.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _folder() -> Path:
    chosen = os.environ.get("FLOWKIT_CACHE")
    folder = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flowkit"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Interrupted(f"{unwritable(folder, error)}; FLOWKIT_CACHE names another folder for videos") from error
    return folder


def _most_bytes() -> float:
    text = os.environ.get("FLOWKIT_CACHE_GB") or str(CACHE_GB)
    try:
        return float(text) * 1e9
    except ValueError as error:
        raise InputError(f"FLOWKIT_CACHE_GB={text!r} is no number of gigabytes; give one, as 10") from error


def _fetch(path: StorePath, to: Path, size: int) -> None:
    """Makes room and copies the blob; whoever is killed in here leaves a file that a later one removes."""
    _make_room(to.parent, size)
    try:
        write_whole(to, path.download)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Interrupted(f"{unwritable(to, error)}; FLOWKIT_CACHE names another folder for videos") from error


def _make_room(folder: Path, size: int) -> None:
    """Removes copies that nobody reads, the longest unread first, until there is room for one of that size."""
    copies = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # another process makes room too
            if path.name.startswith(TEMPORARY):
                if is_abandoned(path):
                    path.unlink()
            elif not path.name.startswith("."):
                copies.append((path.stat().st_mtime, path.stat().st_size, path))
    excess = sum(bytes_ for _, bytes_, _ in copies) + size - _most_bytes()
    for _, bytes_, path in sorted(copies):
        if excess <= 0:
            return
        if (held := _held(path, fcntl.LOCK_EX)) is not None:
            path.unlink(missing_ok=True)
            os.close(held)
            excess -= bytes_


def _held(path: Path, kind: int) -> int | None:
    """A handle that locks a copy that is there; None where there is none, or somebody holds it otherwise."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        with suppress(OSError):  # where files cannot be locked, no copy is removed
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
            if path.exists() and path.stat().st_ino == os.fstat(handle).st_ino:
                os.utime(path)
                return handle
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """In here no other process of this machine fetches the same copy."""
    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
