"""Power losses: a run's system calls are recorded, and from every state that they may leave the run is continued."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flowkit.output.commit import part_file
from tests.storm.case import Broken, Outcome
from tests.storm.crash import MODES, Disk, lay_out
from tests.storm.launcher import Launcher
from tests.storm.scene import SIZES, Scene, require_same, stamps
from tests.storm.trace import Call, build_recorder, read_trace

FRESH, RETRY = "a run", "a run with --retry-failed"
State = dict[str, bytes | None]


@dataclass(frozen=True, slots=True)
class Recording:
    """The calls of one run, and what was on the disk before it."""

    root: Path
    out: Path
    before: State
    calls: list[Call]


class Blackout:
    """Records runs, and cuts their power."""

    def __init__(self, scene: Scene, launcher: Launcher, folder: Path, without: str = "") -> None:
        self.scene = scene
        self.launcher = launcher
        self.folder = folder
        self._without = without
        self._recordings: dict[str, Recording] = {}

    def recording(self, what: str) -> Recording:
        """The calls of a run of that kind; made once."""
        if what not in self._recordings:
            root = self.folder / f"power-{'fresh' if what == FRESH else 'retry'}"
            shutil.rmtree(root, ignore_errors=True)
            root.mkdir(parents=True)
            self._recordings[what] = self._record(what, root)
        return self._recordings[what]

    def case(self, rng: np.random.Generator, folder: Path, at: int | None = None) -> Outcome:
        """One power loss, after `at` calls (by default somewhere), continued."""
        what = str(rng.choice([FRESH, RETRY], p=[0.75, 0.25]))
        recording = self.recording(what)
        at = int(rng.integers(len(recording.calls) + 1)) if at is None else min(at, len(recording.calls))
        mode = str(rng.choice(MODES))
        told = f"{what}, power lost after {at} of {len(recording.calls)} calls, {mode}"
        try:
            ending = self._continued(recording, at, mode, rng, retried=what == RETRY)
        except Broken as broken:
            raise Broken(f"{told}: {broken}") from None
        return Outcome(f"{what}: {mode}", ending, told)

    def _record(self, what: str, root: Path) -> Recording:
        out = root / "out"
        if what == RETRY:
            self.scene.copy(out)
        before = Disk(root).contents()
        recorder = Launcher(self.folder / "recorder", {"LD_PRELOAD": str(build_recorder(self.folder / "recorder"))})
        trace = self.folder / "recorder" / f"{root.name}.trace"
        trace.unlink(missing_ok=True)
        more = ("--retry-failed",) if what == RETRY else ()
        disk = Disk(root)
        try:
            environment = {"STORM_ROOT": str(root), "STORM_TRACE": str(trace)}
            ended = recorder.run(*self.scene.command(out, *more), environment=environment, without=self._without)
        finally:
            recorder.close()
        require_same(self.scene, out, ended)
        calls = read_trace(trace)
        for call in calls:
            disk.play(call)
        if disk.contents() != Disk(root).contents():
            raise RuntimeError("the recorded calls do not give the files that are there; trace.c misses a call")
        return Recording(root, out, before, calls)

    def _continued(self, recording: Recording, at: int, mode: str, rng: np.random.Generator, *, retried: bool) -> str:
        shutil.rmtree(recording.root)
        recording.root.mkdir()
        lay_out(recording.before)
        disk = Disk(recording.root)
        for call in recording.calls[:at]:
            disk.play(call)
        promised = [name for name, after in promises(recording, retried).items() if after <= at]
        shutil.rmtree(recording.root)
        recording.root.mkdir()
        state = disk.state(mode, rng)
        lay_out(state)
        require_records_hold(recording.out, state)
        lost = [name for name in promised if str(recording.out / name) not in state]
        if lost:
            raise Broken(f"parts that the run had committed are lost: {lost}")
        before = stamps(recording.out)
        ended = self.launcher.run(*self.scene.command(recording.out))
        if any(stamps(recording.out).get(name) != stamp for name, stamp in before.items()):
            raise Broken("parts whose record was there were computed again")
        require_same(self.scene, recording.out, ended)
        parts = len({Path(name).stem for name in before})
        return f"continued from {'no' if not parts else 'some' if parts < len(SIZES) else 'all'} parts"


def promises(recording: Recording, retried: bool) -> dict[str, int]:
    """After how many calls each commit record is promised: once the run, having renamed it, goes on to another file.

    That is when `write_commit` has returned, whatever it did to be sure.
    """
    # A part that is computed again keeps its earlier rows until the new ones count.
    found = {part_file("commits", part): 0 for part in range(len(SIZES))} if retried else {}
    renamed = ""
    for i, call in enumerate(recording.calls):
        if renamed and (call.what == "u" or (call.what == "o" and call.flags & os.O_CREAT)):
            found[renamed], renamed = i, ""
        if call.what in "rl" and call.to.startswith(f"{recording.out}/commits/part-"):
            renamed = str(Path(call.to).relative_to(recording.out))
    return found | ({renamed: len(recording.calls)} if renamed else {})


def require_records_hold(out: Path, state: State) -> None:
    """Broken unless every commit record that is there and readable names files that are there, as they were written."""
    for path, data in state.items():
        if data is None or not path.startswith(f"{out}/commits/part-"):
            continue
        try:
            files = json.loads(data)["files"]
        except ValueError:
            raise Broken(f"{Path(path).name} is torn under its own name") from None
        for file in files:
            content = state.get(str(out / file["name"]))
            if content is None or hashlib.sha256(content).hexdigest() != file["sha256"]:
                raise Broken(f"{Path(path).name} is there and {file['name']} is not as it was written")
