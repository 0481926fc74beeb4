"""A Ray cluster of two nodes on this machine, whose driver, actors, servers and nodes are killed at seeded moments.

Every case is a run of its own on real processes: it ends, or is continued, and must then have the rows of a run that
nothing disturbed. Files of parts have names of their own for each attempt there, so rows are compared, not files.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from flowkit.output.verify import verify
from tests.clips import frame_folder
from tests.proxy import Proxy
from tests.storm.case import Broken, Outcome, drawn
from tests.storm.kills import require_kept
from tests.storm.launcher import HANG_S, TRACEBACK, Ended, Launcher, Running, require_sober
from tests.storm.scene import contents, is_finished, stamps

CLIPS, FRAMES, SIDE = 10, 17, 128
"""Each clip is a part, of some tenths of a second."""
LIMIT_S = 3 * HANG_S
SHIFTED = """import time
_now = time.time
time.time = lambda: _now() + {seconds}
"""
OTHER_VERSION = """import importlib.metadata
_version = importlib.metadata.version
importlib.metadata.version = lambda name: "0.0.1" if name == "flowkit-mer" else _version(name)
"""


@dataclass(frozen=True, slots=True)
class Field:
    """A dataset large enough that a run on two actors takes seconds, and what an undisturbed run makes of it."""

    manifest: Path
    expected: dict[str, Any]

    def command(self, out: Path, *more: str) -> tuple[str | Path, ...]:
        return ("extract", self.manifest, "-o", out, "--pairs", "lag:1", *more)


def make_field(folder: Path, launcher: Launcher) -> Field:
    """Makes the dataset and computes it on the local engine."""
    rows = ["clip_id,source,subject,emotion"]
    for i in range(CLIPS):
        # Of different sizes, so that each is a part.
        frame_folder(folder / f"clip{i}", range(1, FRAMES + 1), size=(SIDE, SIDE + 2 * i), seed=i)
        rows.append(f"cluster/s{i}/clip{i},clip{i},s{i},happiness")
    (folder / "clip1" / "img5.png").write_bytes(b"no picture")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    made = Field(folder / "manifest.csv", {})
    ended = launcher.run(*made.command(folder / "undisturbed", "--workers", "1"))
    if ended.code != 1 or not verify(folder / "undisturbed").ok:
        raise RuntimeError(f"the undisturbed run is not as it should be: {ended}")
    return Field(made.manifest, contents(folder / "undisturbed"))


@dataclass
class Nodes:
    """The cluster: a head and one more node, a CPU each."""

    cluster: Any
    other: Any = field(default=None)

    @classmethod
    def start(cls) -> Nodes:
        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
        from ray.cluster_utils import Cluster

        made = cls(Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}))
        made.whole()
        return made

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def whole(self) -> None:
        """Brings the second node back if it is not there."""
        if self.other is None:
            self.other = self.cluster.add_node(num_cpus=1)

    def lose(self) -> None:
        """All processes of the second node are killed at once."""
        node, self.other = self.other, None
        if node is not None:
            with suppress(AssertionError):
                self.cluster.remove_node(node, allow_graceful=False)

    def replaced(self, environment: dict[str, str]) -> None:
        """The second node anew, its processes with other variables."""
        self.lose()
        before = {name: os.environ.get(name) for name in environment}
        os.environ |= environment
        try:
            self.whole()
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)

    def raylet(self) -> int:
        """Of the second node."""
        return int(self.other.all_processes["raylet"][0].process.pid)

    def control(self) -> int:
        return int(self.cluster.head_node.all_processes["gcs_server"][0].process.pid)

    def actors(self) -> list[int]:
        """The processes of all actors."""
        nodes = [self.cluster.head_node, *([self.other] if self.other else [])]
        raylets = {int(node.all_processes["raylet"][0].process.pid) for node in nodes}
        found = []
        for raylet in raylets:
            for task in Path(f"/proc/{raylet}/task").glob("*/children"):
                with suppress(OSError):
                    found += [pid for pid in map(int, task.read_text().split()) if _is_actor(pid)]
        return found

    def close(self) -> None:
        self.cluster.shutdown()


def _is_actor(pid: int) -> bool:
    try:
        return b"Worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


class Besieger:
    """Runs cases on one cluster, which it mends after each."""

    def __init__(self, launcher: Launcher, folder: Path) -> None:
        self._launcher, self._folder = launcher, folder
        (folder / "second").mkdir(parents=True)
        self._second = Launcher(folder / "second")
        self._field = make_field(folder / "field", launcher)
        self._nodes = Nodes.start()

    def case(self, rng: np.random.Generator, folder: Path) -> Outcome:
        """One disturbed run, continued to its end."""
        out = folder / "out"
        self._nodes.whole()  # the case before may have broken off
        done = drawn(rng, FAULTS)(self, rng, out)
        self._nodes.whole()
        before = stamps(out)
        engine = ("--engine", "ray", "--ray-address", self._nodes.address) if rng.random() < 0.5 else ("--workers", "2")
        ended = self._launcher.start(*self._field.command(out, *engine), forked=False).wait(LIMIT_S)
        require_kept(before, out, ())
        self._require_same(out, require_sober(ended))
        return done

    def close(self) -> None:
        self._nodes.close()

    def start(self, out: Path, *, address: str = "", launcher: Launcher | None = None, **options: Any) -> Running:
        """A driver on the cluster."""
        command = self._field.command(out, "--engine", "ray", "--ray-address", address or self._nodes.address)
        return (launcher or self._launcher).start(*command, forked=False, **options)

    def struck(self, running: Running, out: Path, rng: np.random.Generator, blow: Callable[[], bool]) -> bool:
        """Strikes at a moment: while the run starts, or shortly after so many commits; False where it was over."""
        if rng.random() < 0.3:
            if running.over(float(rng.uniform(0, 6))):
                return False
        else:
            commits = int(rng.integers(1, CLIPS))
            while len(list((out / "commits").glob("part-*"))) < commits:
                if running.over(time.monotonic() - running.began) or time.monotonic() - running.began > LIMIT_S:
                    return False
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.2))
        return blow()

    def ended(self, running: Running, out: Path, *, by: int | None = None) -> str:
        """How a disturbed run has ended, in the words of the table."""
        ended = running.wait(LIMIT_S)
        if by == signal.SIGKILL and ended.code == -by:
            return "killed"
        if by is not None and ended.code in (-by, 1) and not is_finished(out) and "flowkit" not in ended.stderr:
            return "outside the command"
        if TRACEBACK in ended.stderr:
            raise Broken(f"shows a traceback: {ended}")
        if ended.code == 1:
            self._require_same(out, ended)
            return "went on to its end, 1"
        require_sober(ended)
        return f"stopped, {ended.code}"

    def _require_same(self, out: Path, ended: Ended) -> None:
        if ended.code != 1:
            raise Broken(f"ends otherwise than an undisturbed run: {ended}")
        found = verify(out)
        if not found.ok:
            raise Broken(f"verify: {found}: {found.problems[:3]}")
        if contents(out) != self._field.expected:
            raise Broken("has other rows than an undisturbed run")

    def driver(self, rng: np.random.Generator, out: Path) -> Outcome:
        number = signal.Signals(int(rng.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])))
        running = self.start(out)
        landed = self.struck(running, out, rng, lambda: running.kill(number))
        return Outcome(f"{number.name} to the driver", self.ended(running, out, by=number if landed else None))

    def actor(self, rng: np.random.Generator, out: Path) -> Outcome:
        def blow() -> bool:
            actors = self._nodes.actors()
            return bool(actors) and _killed(int(rng.choice(actors)))

        running = self.start(out)
        landed = self.struck(running, out, rng, blow)
        return Outcome("SIGKILL to an actor" + ("" if landed else ", too early or too late"), self.ended(running, out))

    def raylet(self, rng: np.random.Generator, out: Path) -> Outcome:
        running = self.start(out)
        self.struck(running, out, rng, lambda: _killed(self._nodes.raylet()))
        ending = self.ended(running, out)
        self._nodes.lose()
        return Outcome("SIGKILL to a node's raylet", ending)

    def node(self, rng: np.random.Generator, out: Path) -> Outcome:
        def blow() -> bool:
            self._nodes.lose()
            return True

        running = self.start(out)
        self.struck(running, out, rng, blow)
        return Outcome("SIGKILL to all of a node", self.ended(running, out))

    def disk(self, rng: np.random.Generator, out: Path) -> Outcome:
        """Files that the second node's processes write may not grow beyond some 100 kB."""
        self._nodes.replaced({})
        most = int(rng.integers(50_000, 200_000))
        running = self.start(out)
        until = time.monotonic() + LIMIT_S
        while not running.over(time.monotonic() - running.began) and time.monotonic() < until:
            for pid in _below(self._nodes.raylet()):
                with suppress(ProcessLookupError):
                    if _is_actor(pid):
                        resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))
            time.sleep(0.05)
        ending = self.ended(running, out)
        self._nodes.lose()
        return Outcome("a full disk on one node", ending)

    def clock(self, rng: np.random.Generator, out: Path) -> Outcome:
        """The second node's, or the driver's, is three days off."""
        seconds = int(rng.choice([-1, 1])) * 3 * 24 * 3600
        site = self._site(SHIFTED.format(seconds=seconds))
        if rng.random() < 0.5:
            running, where = self.start(out, environment=site), "the driver's"
        else:
            self._nodes.replaced(site)
            running, where = self.start(out), "a node's"
        ending = self.ended(running, out)
        if where == "a node's":
            self._nodes.lose()
        return Outcome(f"{where} clock is three days off", ending)

    def version(self, rng: np.random.Generator, out: Path) -> Outcome:
        """The second node says that it has another flowkit."""
        self._nodes.replaced(self._site(OTHER_VERSION))
        running = self.start(out)
        ended = running.wait(LIMIT_S)
        self._nodes.lose()
        if ended.code != 2 or "has flowkit 0.0.1, and this command " not in require_sober(ended).stderr:
            raise Broken(f"computes with two versions: {ended}")
        return Outcome("a node with another flowkit", "one sentence, 2")

    def stall(self, rng: np.random.Generator, out: Path) -> Outcome:
        """The cluster's control, or the second node's raylet, stands still for some seconds."""
        where = str(rng.choice(["control", "raylet"]))
        pid = self._nodes.control() if where == "control" else self._nodes.raylet()

        def blow() -> bool:
            os.kill(pid, signal.SIGSTOP)
            threading.Timer(float(rng.uniform(2, 15)), _go_on, (pid,)).start()
            return True

        running = self.start(out)
        self.struck(running, out, rng, blow)
        return Outcome(f"the {where} does not answer for seconds", self.ended(running, out))

    def network(self, rng: np.random.Generator, out: Path) -> Outcome:
        """Between the driver and the cluster's control nothing arrives for some seconds."""
        host, _, port = self._nodes.address.rpartition(":")
        with Proxy(host, int(port)) as proxy:

            def blow() -> bool:
                proxy.stall(float(rng.uniform(2, 15)))
                return True

            running = self.start(out, address=f"{host}:{proxy.port}")
            self.struck(running, out, rng, blow)
            ending = self.ended(running, out)
        return Outcome("the network to the control stands still for seconds", ending)

    def rivals(self, rng: np.random.Generator, out: Path) -> Outcome:
        """Two drivers on one output."""
        first = self.start(out)
        first.over(float(rng.uniform(0, 5)))
        second = self.start(out, launcher=self._second)
        endings = [self.ended(first, out), self.ended(second, out)]
        if sorted(ending.rpartition(" ")[2] for ending in endings) not in (["1", "1"], ["1", "2"], ["1", "3"]):
            raise Broken(f"two drivers end with {endings}")
        return Outcome("two drivers on one output", " and ".join(sorted(endings)))

    def _site(self, text: str) -> dict[str, str]:
        """The variables that have a process, and all that it starts, run a text first."""
        folder = self._folder / "site"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(text)
        return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)}


Fault = Callable[[Besieger, np.random.Generator, Path], Outcome]
FAULTS: dict[str, tuple[float, Fault]] = {
    "driver": (0.35, Besieger.driver),
    "actor": (0.2, Besieger.actor),
    "raylet": (0.08, Besieger.raylet),
    "node": (0.12, Besieger.node),
    "disk": (0.04, Besieger.disk),
    "clock": (0.04, Besieger.clock),
    "version": (0.02, Besieger.version),
    "stall": (0.05, Besieger.stall),
    "network": (0.05, Besieger.network),
    "rivals": (0.05, Besieger.rivals),
}


def _killed(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _go_on(pid: int) -> None:
    with suppress(ProcessLookupError):  # ended by Ray, as a node that does not answer
        os.kill(pid, signal.SIGCONT)


def _below(pid: int) -> Iterator[int]:
    """A process's children."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            yield from map(int, task.read_text().split())
