"""What a long run says while it goes: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from flowkit.errors import OutputError, printable
from flowkit.extraction.disk import size_text
from flowkit.extraction.tally import Summary

if TYPE_CHECKING:
    from flowkit.extraction.forecast import Forecast

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


def ending(state: Summary) -> tuple[int, str | None]:
    """The exit code of a run that has come to its end, and where that is an error the sentence.

    Of a share, or of the first parts only, failures say nothing of the others: these are to be computed all the same.
    """
    if not state.failed:
        return 0, None
    if state.computed or state.parts_left is not None:
        return 1, None
    told = f"not one of {state.planned} pairs could be computed; mend the clips, and run it with --retry-failed"
    return OutputError.exit_code, told


def last_line(state: Summary) -> str:
    """What is said of a run at its end."""
    now = state.computed_now + state.failed_now
    earlier = f" ({state.planned - now} of them earlier)" if 0 < now < state.planned else ""
    rate = f"in {state.seconds:.1f} s ({state.pairs_per_second:.3g} pairs/s)" if now else "earlier, nothing left to do"
    where = f", see {state.out / 'failures'}" if state.failed else ""
    counts = f"{state.planned} pairs{earlier}: {state.computed} computed, {state.failed} failed"
    left = ""
    if state.parts_left is not None:
        are = "part of it is" if state.parts_left == 1 else "parts of it are"
        left = f"; {state.parts_left} {are} still to do" if state.parts_left else "; no part of it is to do"
    return f"{counts} {rate}{where} -> {state.out}{left}"


def forecast_lines(found: Forecast) -> list[str]:
    """What is said of a run that is not done."""
    earlier = f", {found.parts_done} of them done, {found.to_do} pairs to do" if found.parts_done else ""
    lines = [f"{found.planned} pairs in {found.parts} parts, of {found.clips} clips{earlier}"]
    if found.errors:
        lines.append(f"{len(found.errors)} of them cannot be computed, as: {printable(found.errors[0])}")
    lines += [f"{count} cubes of 3 x {h} x {w}" for (h, w), count in found.shapes.items()]
    free = "" if found.free_bytes is None else f", {size_text(found.free_bytes)} free"
    lines.append(f"{size_text(found.bytes)} to write{free}")
    if found.free_bytes is not None and found.bytes > found.free_bytes:
        lines.append("the run would not begin: make room, or give an -o on another disk")
    if found.seconds is not None:
        workers = f"{found.workers} worker{'' if found.workers == 1 else 's'}"
        lines.append(
            f"about {_clock(found.seconds)} with {workers} of this machine's speed: an estimate from a few pairs, "
            "without start and writing"
        )
    elif found.sample_error is not None:
        lines.append(f"no estimate of the time: the pairs tried for it fail, as: {printable(found.sample_error)}")
    lines.append("a dry run: nothing was written")
    return lines


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
        parts += [f"{rate:.3g} pairs/s", f"{_clock(left_s)} left"]
    return ", ".join(parts)


def _clock(time_s: float) -> str:
    minutes, seconds = divmod(round(time_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
