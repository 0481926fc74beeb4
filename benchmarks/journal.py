"""Measurements in the order of their worth, within a budget of seconds, in a file that is whole JSON after each.

A run that is killed leaves every row it had, and says which measurements are missing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

Row = dict[str, Any]


class Absent(Exception):
    """Something cannot be measured here, for the reason in this message; that is no failure."""


@dataclass(frozen=True, slots=True)
class Task:
    """One measurement."""

    what: Row
    """Its name, and the first columns of its row."""
    measure: Callable[[], Mapping[str, Any]]
    """Gives the other columns; with "agrees" false, the answer was wrong. Raises Absent where it cannot be had."""
    work: float = 0.0
    """How much there is to do, to foresee its seconds from those of tasks of the same `kind`."""
    kind: str = ""
    prepare: Callable[[], object] = lambda: None
    """Made before and kept for other tasks, so that it says nothing about their seconds."""
    rank: int = 0
    """Tasks of lower rank come first, those of one rank in the order given."""


class Journal:
    """What was measured so far, on disk and on the standard output."""

    def __init__(self, out: Path | None, about: Mapping[str, Any], seconds: float) -> None:
        self.out = out
        self.about = dict(about)
        self.end = time.monotonic() + seconds
        self.rows: list[Row] = []
        self.failed: list[Row] = []
        self.absent: dict[str, str] = {}
        self._largest: dict[str, tuple[float, float]] = {}

    def run(self, tasks: Sequence[Task]) -> int:
        """Measures; the exit code is 1 where something failed or was wrong, or nothing was measured."""
        ordered = sorted(tasks, key=lambda task: task.rank)
        late: list[Row] = []
        self._write([task.what for task in ordered])
        for number, task in enumerate(ordered):
            if time.monotonic() + self._foreseen(task) > self.end:
                late.append(task.what)
            else:
                self._measure(task)
            self._write([*late, *(task.what for task in ordered[number + 1 :])])
        absent = "".join(f"; absent: {name} ({reason})" for name, reason in self.absent.items())
        print(
            f"{len(self.rows)} measured, {len(self.failed)} failed or wrong, {len(late)} not measured for want of time"
            + absent,
            flush=True,
        )
        return 1 if self.failed or not self.rows else 0

    def _foreseen(self, task: Task) -> float:
        """Seconds, from the largest task of its kind so far; 0 for the first, which is for the limit outside to end."""
        work, seconds = self._largest.get(task.kind, (1.0, 0.0))
        return seconds * task.work / work

    def _measure(self, task: Task) -> None:
        try:
            task.prepare()
            start = time.monotonic()
            row = task.what | dict(task.measure())
        except Absent as absent:
            self.absent[task.what.get("method") or ", ".join(map(str, task.what.values()))] = str(absent)
            return
        except Exception as error:
            traceback.print_exc()
            self.failed.append(task.what | {"error": f"{type(error).__name__}: {error}"})
            return
        took = time.monotonic() - start
        if task.work > self._largest.get(task.kind, (0.0, 0.0))[0]:
            self._largest[task.kind] = task.work, took
        print(json.dumps(row), flush=True)
        self.rows.append(row | {"took_s": took})
        if not row.get("agrees", True):
            print(f"wrong answer: {row}", file=sys.stderr, flush=True)
            self.failed.append(task.what | {"error": "wrong answer"})

    def _write(self, missing: Sequence[Row]) -> None:
        if self.out is None:
            return
        found = self.about | {
            "complete": not missing and not self.failed,
            "rows": self.rows,
            "failed": self.failed,
            "absent": self.absent,
            "not_measured": list(missing),
        }
        temporary = self.out.with_name(self.out.name + ".tmp")
        temporary.write_text(json.dumps(found, indent=1) + "\n")
        temporary.replace(self.out)


def commit() -> str | None:
    """Of the source tree, with "-dirty" where files differ from it; FLOWKIT_COMMIT of the environment goes before it.

    None outside a repository.
    """
    if given := os.environ.get("FLOWKIT_COMMIT"):
        return given
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return found.stdout.strip() or None
