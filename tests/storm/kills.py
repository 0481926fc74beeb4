"""Runs that are killed at seeded moments, continued, and compared with one that nothing disturbed."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flowkit.output.commit import part_file
from tests.storm.case import Broken, Outcome
from tests.storm.launcher import TRACEBACK, Ended, Launcher, Running, require_sober, sayings, workers_of
from tests.storm.scene import DAMAGED, SIZES, Scene, Stamp, is_finished, require_same, stamps, tree

SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}
FORKED, COMMAND, WORKERS = "forked", "command", "with workers"
RETRY = "--retry-failed"


@dataclass(frozen=True, slots=True)
class Blow:
    """One kill: `number` goes to `target` at a moment, or shortly after `commits` parts are committed."""

    way: str
    target: str
    number: int
    again: int | None
    """A second signal, some milliseconds later."""
    at: float
    """The moment, as a share of an undisturbed run's life."""
    commits: int | None

    def __str__(self) -> str:
        name = signal.Signals(self.number).name
        moment = f"{self.at:.3f} of its life" if self.commits is None else f"after {self.commits} commits"
        again = f", then {signal.Signals(self.again).name}" if self.again else ""
        return f"{name}{again} to {self.target} of a run ({self.way}) at {moment}"


class Killer:
    """Knows how long an undisturbed run takes in each way of starting it."""

    def __init__(self, scene: Scene, launcher: Launcher, folder: Path) -> None:
        self.scene = scene
        self.launcher = launcher
        self.folder = folder
        self._life_s: dict[str, float] = {}

    def life_s(self, way: str) -> float:
        """Seconds of an undisturbed run: the least of three, or one where it takes seconds."""
        if way not in self._life_s:
            seconds = []
            for i in range(3 if way == FORKED else 1):
                out = self.folder / f"calibration-{way.replace(' ', '-')}-{i}"
                seconds.append(self._start(out, way).wait().seconds)
            self._life_s[way] = min(seconds)
        return self._life_s[way]

    def case(self, rng: np.random.Generator, folder: Path) -> Outcome:
        """One killed run, or one that is killed twice, continued to its end."""
        out = folder / "out"
        stage = str(rng.choice(["fresh", "resuming", "retrying"], p=[0.6, 0.3, 0.1]))
        blows = [draw_blow(rng) for _ in range(1 + (rng.random() < 0.25))]
        if stage != "fresh":
            self.scene.copy(out)
        if stage == "resuming":
            for part in rng.choice(len(SIZES), rng.integers(1, len(SIZES)), replace=False):
                lose_part(out, int(part), files_too=rng.random() < 0.5)
        more = (RETRY,) if stage == "retrying" else ()
        endings = [self.strike(blow, out, rng, more) for blow in blows]
        before = stamps(out)
        ended = self.launcher.run(*self.scene.command(out), forked=rng.random() < 0.95)
        require_kept(before, out, more)
        require_same(self.scene, out, ended)
        name = signal.Signals(blows[0].number).name
        return Outcome(f"{name} to {blows[0].target}, {stage}", endings[0], f"{'; '.join(map(str, blows))}: {endings}")

    def strike(self, blow: Blow, out: Path, rng: np.random.Generator, more: tuple[str, ...]) -> str:
        """Starts a run, strikes it, and checks how it ends; what became of it."""
        before, tree_before = stamps(out), tree(out)
        # A run that has less to do lives shorter.
        after_s = blow.at * self.life_s(blow.way) * (0.8 if before else 1)
        running = self._start(out, blow.way, *more)
        landed = self._hit(blow, after_s, running, out, rng)
        ended = running.wait()
        try:
            ending = self._judge(blow, landed, ended, out, tree_before)
            require_kept(before, out, more)
        except Broken as broken:
            raise Broken(f"{blow}: {broken}") from None
        return ending

    def _start(self, out: Path, way: str, *more: str) -> Running:
        words = self.scene.command(out, *more)
        if way == WORKERS:
            words = (*words, "--workers", "2")
        return self.launcher.start(*words, forked=way == FORKED)

    def _hit(self, blow: Blow, after_s: float, running: Running, out: Path, rng: np.random.Generator) -> bool:
        if blow.commits is None:
            if running.over(after_s):
                return False
        else:
            already = len(list((out / "commits").glob("part-*")))
            while len(list((out / "commits").glob("part-*"))) < min(already + blow.commits, len(SIZES)):
                if running.over(time.monotonic() - running.began):
                    return False
                time.sleep(0.0005)
            time.sleep(rng.uniform(0, 0.01))
        if blow.target == "a worker":
            while not (workers := workers_of(running.pid)):
                if running.over(time.monotonic() - running.began):
                    return False
                time.sleep(0.005)
            return Running(int(rng.choice(workers)), running.folder, running.process).kill(blow.number)
        landed = running.kill(blow.number, group=blow.target == "its group")
        if blow.again:
            time.sleep(rng.uniform(0, 0.02))
            running.kill(blow.again, group=blow.target == "its group")
        return landed

    def _judge(self, blow: Blow, landed: bool, ended: Ended, out: Path, before: dict[str, Stamp]) -> str:
        if landed and ended.code == -signal.SIGKILL and signal.SIGKILL in (blow.number, blow.again):
            if TRACEBACK in ended.stderr:
                raise Broken(f"shows a traceback: {ended}")
            return "killed"
        if landed and ended.code in (-blow.number, -(blow.again or 0)) and blow.target != "a worker":
            # Python's own end by a signal: before the command has begun, or once it is over.
            closed = any(said.startswith("flowkit: ") for said in sayings(ended))
            if closed or " in main\n" in ended.stderr or not (is_finished(out) or tree(out) == before):
                raise Broken(f"does not stop in order: {ended}")
            return "outside the command"
        if landed and ended.code == 1 and TRACEBACK in ended.stderr and "flowkit" not in ended.stderr:
            return "outside the command"  # Python itself, while it starts
        require_sober(ended)
        if ended.code == self.scene.code:
            if not is_finished(out):
                raise Broken(f"says that it is done and is not: {ended}")
            return "went on" if landed and blow.target == "a worker" else "had ended"
        if ended.code != 3:
            raise Broken(f"ends with another code than 3: {ended}")
        if not landed:
            raise Broken(f"stops without a signal: {ended}")
        return "stopped, 3"


def lose_part(out: Path, part: int, files_too: bool) -> None:
    """Takes a part out of an output, as if the run had been killed before its record was written."""
    (out / part_file("commits", part)).unlink()
    for folder in ("shards", "failures") if files_too else ():
        (out / part_file(folder, part)).unlink(missing_ok=True)


def draw_blow(rng: np.random.Generator) -> Blow:
    """A kill, most of them cheap."""
    way = str(rng.choice([FORKED, COMMAND, WORKERS], p=[0.78, 0.12, 0.10]))
    number = SIGNALS[str(rng.choice(list(SIGNALS)))]
    target = "the process"
    if way == WORKERS:
        target = str(rng.choice(["a worker", "the process", "its group"], p=[0.5, 0.25, 0.25]))
    again = None
    if number != signal.SIGKILL and target != "a worker" and rng.random() < 0.2:
        again = SIGNALS[str(rng.choice(list(SIGNALS)))]
    commits = int(rng.integers(1, len(SIZES))) if rng.random() < 0.2 else None
    return Blow(way, target, number, again, float(rng.uniform(0, 0.97)), commits)


def require_kept(before: dict[str, Stamp], out: Path, more: tuple[str, ...]) -> None:
    """Broken if a file of a committed part was written again, but for parts that were asked for again."""
    again = f"/part-{DAMAGED:05d}." if RETRY in more else "/no part"
    after = {
        path.relative_to(out).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns)
        for folder in ("shards", "failures")
        for path in (out / folder).glob("part-*")
    }
    changed = [name for name, stamp in before.items() if again not in name and after.get(name) != stamp]
    if changed:
        raise Broken(f"committed files were lost or computed again: {changed}")
