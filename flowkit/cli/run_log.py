"""A run's log for machines: a JSON object a line, as `--log FILE` writes it."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flowkit.cli.progress import ending
from flowkit.errors import InputError, Interrupted, told
from flowkit.extraction.tally import Report, Summary
from flowkit.output.files import unwritten
from flowkit.output.parquet import read_table
from flowkit.output.plan_file import read_run
from flowkit.output.store import Place


class RunLog:
    """Appends to the file; each line is on its way to the disk before the run goes on."""

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        self._path, self._about = path, about
        self._file = path.open("a", encoding="utf-8")
        self._began = time.monotonic()
        self._started = False
        self.summary: Summary | None = None
        """What the run has given at its end."""

    def __call__(self, state: Summary) -> None:
        """The `report` of `flowkit.extraction.run.extract`."""
        if not self._started:
            self._started = True
            run = read_run(state.out)
            self._write(
                "start",
                **self._about,
                flowkit=run["versions"]["flowkit"],
                parameters_hash=run["parameters_hash"],
                pairs=state.planned,
                parts=state.parts,
                parts_done=state.parts_done,
                bytes_to_write=state.bytes_to_write,
            )
        if state.done is None:
            return
        done = state.done
        if file := done.file("failures"):
            for row in read_table(state.out / file.name).to_pylist():
                self._write("failure", part=done.part, **row)
        self._write("part", part=done.part, computed=done.computed, failed=done.failed, parts_done=state.parts_done)

    def end(self, code: int, message: str | None) -> None:
        """The last line, whatever the run's end is."""
        counts = {}
        if state := self.summary:
            counts = {
                "pairs": state.planned,
                "computed": state.computed,
                "failed": state.failed,
                "computed_now": state.computed_now,
                "failed_now": state.failed_now,
                "parts_left": state.parts_left,
            }
        self._write("end", code=code, message=message, **counts)
        self._file.close()

    def _write(self, event: str, **values: Any) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"event": event, "time": now, "seconds": round(time.monotonic() - self._began, 3), **values}
        try:
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise unwritten(self._path, error) from error


def require_outside(path: Path, out: Place) -> None:
    """An InputError for a log in OUT, which has to be new, empty or an output, and holds nothing else."""
    inside = Path(os.path.realpath(path))  # unlike `resolve`, of links that go round and round too
    if isinstance(out, Path) and inside.is_relative_to(os.path.realpath(out)):
        raise InputError(f"--log {path} is in OUT, {str(out)!r}, which holds the output alone; give it another folder")


@contextmanager
def logged(path: Path | None, **about: Any) -> Iterator[RunLog | None]:
    """The log at the path, if there is one, which tells the end of what is done in here.

    Raises:
        OSError: if the file cannot be opened.
    """
    if path is None:
        yield None
        return
    log = RunLog(path, about | {"host": socket.gethostname(), "pid": os.getpid()})
    try:
        yield log
    except KeyboardInterrupt:
        log.end(Interrupted.exit_code, KeyboardInterrupt.__name__)
        raise
    except BaseException as error:
        text, code = told(error)
        log.end(code, text)
        raise
    log.end(*ending(log.summary) if log.summary else (0, None))


def all_of(*reports: Report | None) -> Report:
    """One report that is several."""
    given: list[Callable[[Summary], None]] = [report for report in reports if report is not None]

    def tell(state: Summary) -> None:
        for report in given:
            report(state)

    return tell
