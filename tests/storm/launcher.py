"""Runs `flowkit ...` as a command of its own or, cheaply, as a forked child; kills it; sees that nothing is left."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.storm.case import Broken

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "flowkit.cli")
HANG_S = 60.0
NOTE = "flowkit: note: "
REASON = re.compile(r"flowkit: [0-9]+ failed(: | for other reasons)")
"""Why pairs failed, which is said beside the sentence that ends a run in which nothing could be computed."""
TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended; a negative code is the signal that ended it."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    cpu_s: float | None = None
    """CPU time, of a forked child."""

    def __str__(self) -> str:
        return f"exit code {self.code} after {self.seconds:.2f} s, stderr {self.stderr[-600:]!r}"


@dataclass
class Running:
    """A command at work, leader of a session of its own."""

    pid: int
    folder: Path
    process: subprocess.Popen[bytes] | Nursery
    began: float = field(default_factory=time.monotonic)
    ended: Ended | None = None

    def kill(self, number: int, group: bool = False) -> bool:
        """Sends a signal to the command or its whole group; False where it is over."""
        try:
            (os.killpg if group else os.kill)(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def wait(self, limit_s: float = HANG_S) -> Ended:
        """Waits for the end; Broken if it hangs or leaves a process behind."""
        code = self._code(limit_s)
        seconds = time.monotonic() - self.began
        if code is None:
            self.kill(signal.SIGKILL, group=True)
            self._code(HANG_S)
            raise Broken(f"hangs: still running after {seconds:.0f} s")
        stdout, stderr = (
            (self.folder / name).read_text(encoding="utf-8", errors="replace") for name in ("stdout", "stderr")
        )
        cpu_s = self.process.cpu_s if isinstance(self.process, Nursery) else None
        self.ended = Ended(code, stdout, stderr, seconds, cpu_s)
        left = _left_behind(self.pid)
        if left:
            self.kill(signal.SIGKILL, group=True)
            raise Broken(f"leaves processes behind: {left}; {self.ended}")
        return self.ended

    def over(self, after_s: float) -> bool:
        """Waits until that long after the start; True if the command has ended by then."""
        return self._code(max(0.0, self.began + after_s - time.monotonic())) is not None

    def _code(self, limit_s: float) -> int | None:
        if isinstance(self.process, Nursery):
            return self.process.code(limit_s)
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return None


class Nursery:
    """The forking process of `tests.storm.nursery`; one child at a time."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            (sys.executable, "-m", "tests.storm.nursery"),
            cwd=ROOT,
            env=os.environ | dict(environment or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # select would not see what a buffer holds
            start_new_session=True,
        )
        self._ended: int | None = None
        self.cpu_s: float | None = None
        """Of the last child that has ended."""

    def fork(self, order: dict[str, Any]) -> int:
        """Starts a child; its process id."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._ended = None
        pid = self._answer(HANG_S)
        assert isinstance(pid, int)
        return pid

    def code(self, limit_s: float) -> int | None:
        """The child's exit code, or None if it has not ended within the limit."""
        if self._ended is None:
            answer = self._answer(limit_s)
            if answer is not None:
                self._ended, self.cpu_s = answer
        return self._ended

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(HANG_S)
        self._process.stdout.close()

    def _answer(self, limit_s: float) -> Any:
        out = self._process.stdout
        assert out
        if not select.select([out], [], [], limit_s)[0]:
            return None
        line = out.readline()
        if not line:
            raise RuntimeError(f"the nursery has ended with {self._process.wait()}")
        return json.loads(line)


class Launcher:
    """Starts commands; `folder` takes their stdout and stderr."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._environment = dict(environment or {})
        self._nursery: Nursery | None = None

    def start(
        self,
        *arguments: str | Path,
        forked: bool = True,
        limits: Mapping[str, int] | None = None,
        environment: Mapping[str, str] | None = None,
        without: str = "",
    ) -> Running:
        """Starts `flowkit ARGUMENTS`.

        Args:
            forked: as a child of the nursery, not as a process that imports everything anew.
            limits: by name of the module resource, as RLIMIT_FSIZE, for a forked child.
            without: a precaution of `tests.storm.without` to take out of a forked child.
        """
        words = [str(argument) for argument in arguments]
        for name in ("stdout", "stderr"):
            (self.folder / name).write_bytes(b"")  # what an earlier command said is not this one's
        if not forked:
            with (self.folder / "stdout").open("wb") as stdout, (self.folder / "stderr").open("wb") as stderr:
                process = subprocess.Popen(
                    (*COMMAND, *words),
                    cwd=ROOT,
                    env=os.environ | dict(environment or {}),
                    stdout=stdout,
                    stderr=stderr,
                    start_new_session=True,
                )
            return Running(process.pid, self.folder, process)
        if self._nursery is None:
            self._nursery = Nursery(self._environment)
        order = {
            "arguments": words,
            "stdout": str(self.folder / "stdout"),
            "stderr": str(self.folder / "stderr"),
            "limits": dict(limits or {}),
            "environment": dict(environment or {}),
            "without": without,
        }
        return Running(self._nursery.fork(order), self.folder, self._nursery)

    def run(self, *arguments: str | Path, cpu_limit_s: float = HANG_S, **options: Any) -> Ended:
        """`start`, and `Running.wait`; Broken too if it shows a traceback, or fails without one sentence.

        Args:
            cpu_limit_s: CPU time that it may take, whatever else the machine does, where it is forked.
        """
        ended = self.start(*arguments, **options).wait()
        if (ended.cpu_s or 0.0) > cpu_limit_s:
            raise Broken(f"takes {ended.cpu_s:.1f} s of CPU time: {ended}")
        return require_sober(ended)

    def close(self) -> None:
        """Ends the nursery."""
        if self._nursery is not None:
            self._nursery.close()
            self._nursery = None


def require_sober(ended: Ended) -> Ended:
    """Broken if a command shows a traceback, or ends with a documented error code and without its one sentence."""
    if TRACEBACK in ended.stderr:
        raise Broken(f"shows a traceback: {ended}")
    if ended.code not in (0, 1, 2, 3):
        raise Broken(f"ends with an undocumented code: {ended}")
    said = sayings(ended)
    if ended.code > 1 and not (len(said) == 1 and said[0].startswith("flowkit: ")):
        raise Broken(f"does not say in one sentence why it ends: {ended}")
    return ended


def sayings(ended: Ended) -> list[str]:
    """What a command says of its end: its stderr, but for notes and reasons."""
    lines = ended.stderr.strip().split("\n") if ended.stderr.strip() else []
    return [line for line in lines if not line.startswith(NOTE) and not REASON.match(line)]


def workers_of(pid: int) -> list[int]:
    """The worker processes of a command's local engine: its children, but for Python's own."""
    try:
        # Any of its threads may have started them.
        children = [
            child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
        ]
    except OSError:
        return []
    return [int(child) for child in children if b"resource_tracker" not in _command_line(child)]


def _command_line(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _left_behind(session: int, grace_s: float = 5.0) -> list[str]:
    """Processes of a session whose leader has ended, as far as they do not end within the grace."""
    until = time.monotonic() + grace_s
    while left := _of_session(session):
        if time.monotonic() > until:
            break
        time.sleep(0.01)
    return left


def _of_session(session: int) -> list[str]:
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                state, _, _, its_session = Path(entry.path, "stat").read_text().rpartition(")")[2].split()[:4]
            except (OSError, ValueError):
                continue
            if int(its_session) == session and state not in "ZX":
                found.append(f"{entry.name} {_command_line(entry.name)[-80:]!r}")
    return found
