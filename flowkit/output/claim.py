"""Holding an output: which runs may write to it at a time, and which parts are whose."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flowkit.errors import InputError, OutputError
from flowkit.output.commit import FOLDERS, SHARED
from flowkit.output.files import make_folder, remove_uploads, sync_folder, unwritten
from flowkit.output.plan_file import RUN_FILE
from flowkit.output.store import Place, StorePath, require_utf8
from flowkit.output.writer import mark_several, remove_temporary


@dataclass(frozen=True, slots=True)
class Share:
    """A run's part of the work: the `index`-th of `of` stretches of the plan (counted from 1).

    Neighbouring parts share frames, and a video is decoded on from one to the next.
    """

    index: int = 1
    of: int = 1

    def stretch(self, parts: int) -> slice:
        """Which of so many parts are this run's."""
        return slice(parts * (self.index - 1) // self.of, parts * self.index // self.of)

    def __str__(self) -> str:
        return f"{self.index}/{self.of}"


WHOLE = Share()


def parse_share(text: str) -> Share:
    """The share that a text as "2/8" names.

    Raises:
        InputError: if it is none.
    """
    index, slash, of = str(text).partition("/")
    if slash and index.isascii() and of.isascii() and index.isdigit() and of.isdigit() and 1 <= int(index) <= int(of):
        return Share(int(index), int(of))
    raise InputError(f"shard {text!r}: write I/N with I from 1 to N, as 2/8")


@contextmanager
def claimed(out: Place, share: Share = WHOLE, *, is_ours: bool = False) -> Iterator[bool]:
    """Makes OUT's folders and holds OUT, or a share of it, for this process; whether no other run can be writing to it.

    That is False for a share, on file systems without locks, and in object stores, which have neither folders nor
    locks: two runs at once then waste time, but do no harm.

    Args:
        is_ours: OUT is an output although it may have no run.json.

    Raises:
        OutputError: if OUT holds something else, or another run is writing to it, or to this share of it.
        Interrupted, OutputError: if the folders cannot be made, as `unwritten`.
    """
    if not is_ours:
        refuse_foreign(out)
    if isinstance(out, StorePath):
        remove_uploads()
        try:
            yield False
        finally:
            remove_uploads()  # of the run's own workers, which are ended by then, whatever they were at
        return
    try:
        for folder in FOLDERS:
            make_folder(out / folder)
        # Also where an earlier run made them, and died before it could see to it that they stay.
        sync_folder(out)
        sync_folder(out.parent)
    except OSError as error:
        raise unwritten(out, error) from error
    handle = os.open(out, os.O_RDONLY)
    try:
        locked = _lock(handle, fcntl.LOCK_EX if share == WHOLE else fcntl.LOCK_SH, _BUSY.format(out))
        with _share_held(out, share, locked) as alone:
            remove_temporary(out, alone)
            try:
                yield alone
            finally:
                remove_temporary(out, alone)
    finally:
        os.close(handle)


@contextmanager
def planning(out: Place, share: Share) -> Iterator[None]:
    """In here no other share of OUT writes the plan, where files can be locked; those wait."""
    if share == WHOLE or isinstance(out, StorePath):
        yield
        return
    handle, _ = _hold(out / "plan" / f"{SHARED}-planning", wait=True)
    try:
        yield
    finally:
        os.close(handle)


_BUSY = "another run is writing to '{}'; wait for it, or give another -o"


@contextmanager
def _share_held(out: Path, share: Share, locked: bool) -> Iterator[bool]:
    """Holds the file that stands for the share; whether this run is alone. A folder's lock, which some network file
    systems do not have although they have one for files, is enough for the whole.
    """
    if share == WHOLE and locked:
        yield True
        return
    path = out / "plan" / f"{SHARED}-{share.index}-of-{share.of}"
    busy = f"another run computes share {share} of '{out}'; wait for it, or give this one another --shard"
    handle, held = _hold(path, busy=_BUSY.format(out) if share == WHOLE else busy)
    try:
        if held:
            _refuse_other_divisions(out, share)
        else:
            mark_several(out)
        yield held and share == WHOLE
    finally:
        if held:
            path.unlink(missing_ok=True)
        os.close(handle)


def _refuse_other_divisions(out: Path, share: Share) -> None:
    for path in (out / "plan").glob(f"{SHARED}-*-of-*"):
        index, _, of = path.name.removeprefix(f"{SHARED}-").partition("-of-")
        if of == str(share.of):
            continue
        busy = (
            f"another run computes share {index}/{of} of '{out}', and this one is to compute {share}; give all runs at "
            "one output the same number of shares"
        )
        handle, held = _hold(path, busy=busy)
        if held:  # left by a run that was killed
            path.unlink(missing_ok=True)
        os.close(handle)


def _hold(path: Path, *, busy: str = "", wait: bool = False) -> tuple[int, bool]:
    """A handle on a lock file, and whether it is locked (where files can be)."""
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise unwritten(path, error) from error
        try:
            held = _lock(handle, fcntl.LOCK_EX, busy, wait)
            # Its last holder may have removed it meanwhile; then another file is the lock.
            if not held or (path.exists() and path.stat().st_ino == os.fstat(handle).st_ino):
                return handle, held
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _lock(handle: int, kind: int, busy: str, wait: bool = False) -> bool:
    """Locks it; False where the file system has no locks.

    Raises:
        OutputError: with the text `busy`, if another process holds it and this one is not to wait.
    """
    try:
        fcntl.flock(handle, kind if wait else kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES) and not wait:
            raise OutputError(busy) from error
        return False
    return True


def refuse_foreign(out: Place) -> None:
    """Raises OutputError if OUT holds something else, or cannot be a folder; InputError as `require_utf8`."""
    require_utf8(out)
    if out.exists() and not out.is_dir():
        raise OutputError(f"{str(out)!r} is a file; give -o a folder")
    if file := next((parent for parent in out.parents if parent.is_file()), None):
        raise OutputError(f"{str(out)!r} cannot be a folder: {str(file)!r} is a file; give another -o")
    if link := next((path for path in (out, *out.parents) if _leads_nowhere(path)), None):
        raise OutputError(f"{str(link)!r} is a link that leads nowhere; make the folder, or give another -o")
    if not out.exists() or (out / RUN_FILE).exists():
        return
    # A run that was killed while it planned has left these folders, and nothing in them but the plan.
    found: list[Place] = [*out.iterdir()]
    for path in sorted(found, key=str):
        ours = path.name in FOLDERS and path.is_dir() and (path.name == "plan" or not any(path.iterdir()))
        if not ours:
            raise OutputError(
                f"{str(out)!r} holds {path.name!r} and is no output of flowkit; give -o a new or an empty folder"
            )


def _leads_nowhere(path: Place) -> bool:
    return isinstance(path, Path) and path.is_symlink() and not path.exists()
