"""Runs cases side by side, each once: the journal remembers, so that a storm that was stopped goes on."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.storm.buckets import Flooder
from tests.storm.case import Broken, Case, Outcome, rng_of
from tests.storm.cluster import Besieger
from tests.storm.damage import Damager
from tests.storm.disk import Filler
from tests.storm.images import Spoiler
from tests.storm.kills import Killer
from tests.storm.launcher import Launcher
from tests.storm.manifests import Editor
from tests.storm.mend import Mender
from tests.storm.power import Blackout
from tests.storm.scene import Scene, make_scene

LONG = {
    "kills": 1000,
    "damage": 1000,
    "repair": 1000,
    "images": 500,
    "manifests": 200,
    "power": 450,
    "disk": 50,
    "store": 100,
}
SHORT = {"kills": 14, "damage": 60, "repair": 24, "images": 24, "manifests": 20, "power": 32, "disk": 6, "store": 2}
"""Without a cluster, whose every start takes seconds."""
CLUSTER = {"cluster": 1000}
"""Only where asked for: a case takes seconds."""
KINDS = (*LONG, *CLUSTER)
Run = Callable[[np.random.Generator, Path], Outcome]


class Storm:
    """What a process needs to run cases; the dataset and the like are made when a case first needs them."""

    def __init__(self, folder: Path, seed: int, *, mounts: bool = True) -> None:
        self.folder = folder
        self.seed = seed
        self.launcher = Launcher(folder / "commands")
        self._mounts = mounts
        self._scene: Scene | None = None
        self._kinds: dict[str, Run] = {}
        self._closing: list[Callable[[], None]] = []

    def case(self, kind: str, index: int) -> Case:
        """Runs one case; a promise that is not kept is in its `broken`."""
        here = self.folder / f"{kind}-{index}"
        shutil.rmtree(here, ignore_errors=True)
        here.mkdir(parents=True)
        began = time.monotonic()
        group, ending, detail, broken = "broken: see the journal", "broken", "", ""
        try:
            outcome = self._runner(kind)(rng_of(self.seed, kind, index), here)
            group, ending, detail = outcome.group, outcome.ending, outcome.detail
        except Broken as problem:
            broken = str(problem)
        except Exception:
            # A fault of the storm, or of flowkit as it is called here: neither may pass for a kept promise.
            broken = f"unexpected: {traceback.format_exc()[-1500:]}"
        shutil.rmtree(here, ignore_errors=True)
        return Case(kind, index, group, ending, broken, detail, round(time.monotonic() - began, 3))

    def close(self) -> None:
        """Ends the processes that it started."""
        for close in self._closing:
            close()
        self.launcher.close()

    @property
    def scene(self) -> Scene:
        """The dataset and its undisturbed output."""
        if self._scene is None:
            self._scene = make_scene(self.folder / "scene", self.launcher)
        return self._scene

    def _runner(self, kind: str) -> Run:
        if kind not in self._kinds:
            self._kinds[kind] = self._made(kind)
        return self._kinds[kind]

    def _made(self, kind: str) -> Run:
        launcher, folder = self.launcher, self.folder
        makers: dict[str, Callable[[], Any]] = {
            "kills": lambda: Killer(self.scene, launcher, folder),
            "damage": lambda: Damager(self.scene, launcher),
            "repair": lambda: Mender(self.scene, Damager(self.scene, launcher)),
            "images": lambda: Spoiler(launcher, folder),
            "manifests": lambda: Editor(launcher, folder),
            "power": lambda: Blackout(self.scene, launcher, folder),
            "store": lambda: Flooder(self.scene, folder),
            "disk": lambda: Filler(self.scene, launcher, folder, mounts=self._mounts),
            "cluster": lambda: Besieger(launcher, folder / "cluster"),
        }
        made = makers[kind]()
        if hasattr(made, "close"):
            self._closing.append(made.close)
        run: Run = made.case
        return run


def storm(folder: Path, seed: int, counts: dict[str, int], minutes: float, processes: int = 2) -> list[Case]:
    """Runs the cases that the journals in `folder` do not have yet, until the time is up; all cases of the journals."""
    folder.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + 60 * minutes
    done = {(case.kind, case.index) for case in journal(folder, seed)}
    todo = [case for case in _mixed(counts) if case not in done]
    context = multiprocessing.get_context("spawn")
    share = [context.Process(target=_work, args=(folder, seed, i, todo[i::processes], until)) for i in range(processes)]
    for process in share:
        process.start()
    for process in share:
        process.join()
    broken = [process.exitcode for process in share if process.exitcode]
    if broken:
        raise RuntimeError(f"processes of the storm ended with {broken}; run the same command again to continue")
    return journal(folder, seed)


def journal(folder: Path, seed: int) -> list[Case]:
    """The cases that were run so far."""
    cases = []
    for path in sorted(folder.glob(f"seed-{seed}-*.jsonl")):
        # A storm that was killed may have left half a line.
        cases += [
            Case(**json.loads(line)) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")
        ]
    return cases


def _mixed(counts: dict[str, int]) -> Iterator[tuple[str, int]]:
    """All cases, such that every kind is under way from the start."""
    places = [((i + 0.5) / count, kind, i) for kind, count in counts.items() for i in range(count)]
    return ((kind, i) for _, kind, i in sorted(places))


def _work(folder: Path, seed: int, number: int, todo: list[tuple[str, int]], until: float) -> None:
    # A storm in the background ignores SIGINT, and the commands that it strikes would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    here = folder / f"work-{number}"
    shutil.rmtree(here, ignore_errors=True)  # what a storm that was stopped has left would be in the way
    runner = Storm(here, seed)
    try:
        path = folder / f"seed-{seed}-{number}.jsonl"
        if path.exists():
            path.write_bytes(path.read_bytes()[: path.read_bytes().rfind(b"\n") + 1])
        with path.open("a") as lines:
            for kind, index in todo:
                if time.monotonic() > until:
                    return
                case = runner.case(kind, index)
                print(json.dumps(case.to_dict()), file=lines, flush=True)
                if case.broken:
                    print(f"{kind} {index}: {case.broken}", flush=True)
    finally:
        runner.close()
