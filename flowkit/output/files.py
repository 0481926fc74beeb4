"""Files that appear whole or not at all, and blobs of object stores, which do so by themselves."""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from flowkit.errors import Interrupted, OutputError
from flowkit.output.store import Place, StorePath

TEMPORARY = ".tmp-"
_UPLOADS = "flowkit-store-"
"""Begins the names of the folders in which files are written before they go into an object store."""
_NOT_HERE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT)
_OLD_S = 24 * 3600.0
"""A file of a process that cannot be asked after is taken for left behind after this long."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file's size and SHA-256 (hex) as it was written."""

    bytes: int
    sha256: str


def write_whole(path: Place, write: Callable[[Path], None]) -> Written:
    """Writes a file whole or not at all: under a temporary name, synced, renamed, and its folder synced; or into a file
    of this machine's folder for temporary ones, and from there into an object store.

    Args:
        write: writes the file at the path it gets, and reads it back as far as it wants it checked.

    Raises:
        OSError: as the file system gives it; nothing is left behind then.
        Interrupted, OutputError, StoreError: as the store, or the folder for temporary files, gives it.
    """
    if isinstance(path, StorePath):
        return _write_into_store(path, write)
    temporary = path.with_name(f"{TEMPORARY}{path.name}-{_here()}-{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        write(temporary)
        written = sync(temporary)
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        # Should this fail too, the first error is the one to hear of, and the next run removes the file.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return written


def _write_into_store(path: StorePath, write: Callable[[Path], None]) -> Written:
    with tempfile.TemporaryDirectory(prefix=f"{_UPLOADS}{_here()}-{os.getpid()}-") as folder:
        temporary = Path(folder) / path.name
        try:
            write(temporary)
            with temporary.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise unwritten(temporary, error) from error
        path.upload(temporary)
        return Written(temporary.stat().st_size, digest)


def remove_uploads() -> None:
    """Removes what processes that were killed on their way to an object store have left on this machine."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_UPLOADS}*"):
        if is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)


def is_abandoned(temporary: Path) -> bool:
    """Whether nobody writes to a temporary file or folder any more: its process has ended, or it is a day old."""
    try:
        _, here, pid, _ = temporary.name.rsplit("-", 3)
        if here == _here():
            os.kill(int(pid), 0)
            return False
    except ProcessLookupError:
        return True
    except (ValueError, OSError, OverflowError):  # no name of ours; or a process of another user
        pass
    return is_old(temporary)


def is_old(path: Place) -> bool:
    """Whether a file has not changed for a day; False where there is none."""
    try:
        return time.time() - path.stat().st_mtime > _OLD_S
    except FileNotFoundError:
        return False


@functools.cache
def _here() -> str:
    """8 hex digits for this machine since its start, and this container: where a process number means something."""
    texts = [socket.gethostname()]
    with suppress(OSError):
        texts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        texts.append(os.readlink("/proc/self/ns/pid"))  # noqa: PTH115 (no path, but a name)
    return hashlib.sha256("".join(texts).encode()).hexdigest()[:8]


def make_folder(path: Path) -> None:
    """Makes a folder, and those above it, each on disk once this returns; OSError as the file system gives it."""
    if path.is_dir():
        return
    if path.parent != path:
        make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def put(path: Place, write: Callable[[Path], None]) -> Written:
    """`write_whole` for a file of a run that can be continued.

    Raises:
        Interrupted, OutputError: as `unwritten`.
    """
    try:
        return write_whole(path, write)
    except OSError as error:
        raise unwritten(path, error) from error


def put_text(path: Place, text: str) -> None:
    """Writes a text file whole or not at all; raises as `put`."""
    put(path, lambda temporary: _write_text(temporary, text))


def is_as_written(path: Place, sha256: str) -> bool:
    """Whether a file is there with that SHA-256 (hex)."""
    try:
        return sha256_of(path) == sha256
    except FileNotFoundError:
        return False


def sha256_of(path: Place) -> str:
    """The SHA-256 (hex) of a file's content; OSError as the file system gives it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> Written:
    """Has the disk hold a file's content, and says what that is."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return Written(os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest())


def sync_folder(path: Path) -> None:
    """Has the disk hold a folder's entries."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def unwritten(path: Place, error: OSError) -> Interrupted | OutputError:
    """The error for a file of a run, or a folder, that cannot be written: an OutputError where that is not allowed, or
    not possible at this place, which the same command would meet again, and else an Interrupted.
    """
    if error.errno in _NOT_HERE:
        return OutputError(f"cannot write {str(path)!r} ({_reason(error)}); mend that, or give another path")
    return Interrupted(unwritable(path, error))


def unwritable(path: Place, error: OSError) -> str:
    """The sentence for a file of a run that cannot be written."""
    remedy = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else "mend that"
    return f"cannot write {str(path)!r} ({_reason(error)}); {remedy}, and run the same command again to continue"


def _reason(error: OSError) -> str:
    # Arrow's errors carry a paragraph as strerror, and the number.
    return os.strerror(error.errno) if error.errno else str(error)
