"""What a long run says while it goes: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from flowkit.errors import printable
from flowkit.extraction.disk import size_text
from flowkit.extraction.run import Summary

EVERY_SECONDS = 5.0


class ProgressReport:
    """The `report` of `flowkit.extraction.run.extract`, as a context that tidies the terminal when it is left."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said = time.monotonic()
        self._told_size = False
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        if console.is_terminal:
            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("pairs {task.description}"), TimeElapsedColumn())
            self._bar = Progress(*columns, console=console, transient=True)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, state: Summary) -> None:
        """Shows the state of the run."""
        done = state.computed + state.failed
        if self._bar is not None:
            if self._task is None:
                self._bar.print(f"{state.planned} pairs, {size_text(state.bytes_to_write)} to write")
                self._task = self._bar.add_task("", total=state.planned)
            self._bar.update(self._task, completed=done, description=_pace(state))
        elif time.monotonic() - self._said >= EVERY_SECONDS:
            self._said = time.monotonic()
            size = "" if self._told_size else f", {size_text(state.bytes_to_write)} to write"
            self._told_size = True
            self._console.print(
                f"{done} of {state.planned} pairs {_pace(state)}{size}", highlight=False, soft_wrap=True
            )


def last_line(state: Summary) -> str:
    """What is said of a run at its end."""
    now = state.computed_now + state.failed_now
    earlier = f" ({state.planned - now} of them earlier)" if 0 < now < state.planned else ""
    rate = f"in {state.seconds:.1f} s ({state.pairs_per_second:.3g} pairs/s)" if now else "earlier, nothing left to do"
    where = f", see {state.out / 'failures'}" if state.failed else ""
    counts = f"{state.planned} pairs{earlier}: {state.computed} computed, {state.failed} failed"
    return f"{counts} {rate}{where} -> {state.out}"


def reason_lines(state: Summary) -> list[str]:
    """Why pairs have failed, the most frequent reasons first, with how many of each."""
    lines = [f"{count} failed: {printable(reason)}" for reason, count in state.reasons]
    if (told := sum(count for _, count in state.reasons)) and told < state.failed:
        lines.append(f"{state.failed - told} failed for other reasons")
    return lines


def _pace(state: Summary) -> str:
    rate = state.pairs_per_second
    parts = [f"{state.failed} failed"] if state.failed else []
    if rate > 0:
        left_s = (state.planned - state.computed - state.failed) / rate
        minutes, seconds = divmod(round(left_s), 60)
        hours, minutes = divmod(minutes, 60)
        parts += [f"{rate:.3g} pairs/s", f"{hours}:{minutes:02d}:{seconds:02d} left"]
    return ", ".join(parts)
