"""Runs from and into an object store, a real S3 server: the run, the server or one of two runs at once is killed, or
the network between run and server stands still.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np

from flowkit.output.commit import Commit, finished
from flowkit.output.store import StorePath, place
from flowkit.output.store_client import forget
from flowkit.output.verify import verify
from tests.bucket import NAME, Bucket
from tests.proxy import Proxy
from tests.storm.case import Broken, Outcome, drawn
from tests.storm.kills import SIGNALS
from tests.storm.launcher import TRACEBACK, Ended, Launcher, Running, require_sober
from tests.storm.scene import SIZES, Scene, contents

PATIENCE_S = 20
"""Of runs whose server comes back; longer than it is ever away."""


class Flooder:
    """Has the dataset in a bucket, and knows how long an undisturbed run takes."""

    def __init__(self, scene: Scene, folder: Path) -> None:
        self._scene = scene
        self._bucket = Bucket(folder / "s3")
        self._environment = self._bucket.environment | {
            "FLOWKIT_CACHE": str(folder / "cache"),
            "FLOWKIT_STORE_PATIENCE": str(PATIENCE_S),
        }
        shutil.copytree(scene.manifest.parent, self._bucket.folder("data"))
        self._rows = contents(scene.out)
        self._life_s = 0.0
        with self._settings():
            # Two at once need a forking process each.
            self._launchers = [Launcher(folder / f"store-commands-{i}") for i in range(2)]
            for i in range(3):
                ended = self._start(place(f"s3://{NAME}/undisturbed-{i}")).wait()
                self._life_s = min(self._life_s or ended.seconds, ended.seconds)
            self._require_whole(place(f"s3://{NAME}/undisturbed-0"), ended)

    def close(self) -> None:
        """Ends the server, and the processes that it has started."""
        self._bucket.kill()
        for launcher in self._launchers:
            launcher.close()

    def case(self, rng: np.random.Generator, folder: Path) -> Outcome:
        """One disturbed run, continued to its end."""
        out = place(f"s3://{NAME}/{folder.name}")
        assert isinstance(out, StorePath)
        fault = drawn(rng, FAULTS)
        with self._settings():
            stage = "fresh"
            if rng.random() < 0.3:
                stage = "resuming"
                self._half_done(out, rng)
            before = finished(out)
            group, ending = fault(self, out, rng)
            _require_kept(before, out)
            before = finished(out)
            ended = self._start(out).wait()
            _require_kept(before, out)
            self._require_whole(out, require_sober(ended))
        shutil.rmtree(self._bucket.folder(folder.name))
        return Outcome(f"{group}, {stage}", ending)

    def _settings(self) -> mock._patch_dict:
        forget()
        return mock.patch.dict(os.environ, self._environment)

    def _start(self, out: StorePath, which: int = 0, patience_s: float = PATIENCE_S, port: int = 0) -> Running:
        _, _, _, _, *options = self._scene.command(Path())
        environment = {"FLOWKIT_STORE_PATIENCE": str(patience_s)}
        if port:
            environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"
        words = ("extract", f"s3://{NAME}/data/manifest.csv", "-o", str(out), *options)
        return self._launchers[which].start(*words, environment=environment)

    def _half_done(self, out: StorePath, rng: np.random.Generator) -> None:
        shutil.copytree(self._bucket.folder("undisturbed-0"), self._bucket.folder(out.name))
        for part in rng.choice(len(SIZES), rng.integers(1, len(SIZES)), replace=False):
            (self._bucket.folder(out.name) / f"commits/part-{part:05d}.json").unlink()

    def kill_run(self, out: StorePath, rng: np.random.Generator) -> tuple[str, str]:
        name = str(rng.choice(list(SIGNALS), p=[0.7, 0.15, 0.15]))
        running = self._start(out)
        landed = not running.over(rng.uniform(0, 0.97) * self._life_s) and running.kill(SIGNALS[name])
        return f"{name} to the run", _ending(running.wait(), landed, SIGNALS[name])

    def restart_server(self, out: StorePath, rng: np.random.Generator) -> tuple[str, str]:
        """The server is away for a moment: the run waits for it and goes on."""
        running = self._start(out)
        running.over(rng.uniform(0.1, 0.97) * self._life_s)
        self._bucket.kill()
        time.sleep(rng.uniform(0, 3))
        self._bucket.start()
        ended = running.wait()
        forget()
        return "SIGKILL to the server, which comes back", self._bridged(ended, out)

    def stall_network(self, out: StorePath, rng: np.random.Generator) -> tuple[str, str]:
        """Between the run and the server nothing arrives for some seconds: the run waits and goes on."""
        with Proxy("127.0.0.1", self._bucket.port) as proxy:
            running = self._start(out, port=proxy.port)
            running.over(rng.uniform(0.1, 0.97) * self._life_s)
            proxy.stall(float(rng.uniform(0.5, 8)))
            return "a network that stands still for seconds", self._bridged(running.wait(), out)

    def _bridged(self, ended: Ended, out: StorePath) -> str:
        """How a run has ended for which the server was away for less than its patience."""
        if ended.code == 3 and "gives no answer" in ended.stderr and not self._bucket.folder(out.name).exists():
            # It had not yet answered, and a run is not to wait for what may not be there.
            return "stopped at its beginning, 3"
        if require_sober(ended).code != self._scene.code:
            raise Broken(f"does not go on when the server is back: {ended}")
        return "went on"

    def stop_server(self, out: StorePath, rng: np.random.Generator) -> tuple[str, str]:
        """The server stays away until the run has given up."""
        running = self._start(out, patience_s=0.5)
        running.over(rng.uniform(0, 0.97) * self._life_s)
        self._bucket.kill()
        try:
            ended = require_sober(running.wait())
        finally:
            self._bucket.start()
            forget()
        if ended.code == self._scene.code:
            return "SIGKILL to the server for good", "had ended"
        if ended.code != 3 or "gives no answer" not in ended.stderr:
            raise Broken(f"does not say that the server is away: {ended}")
        return "SIGKILL to the server for good", "stopped, 3"

    def kill_one_of_two(self, out: StorePath, rng: np.random.Generator) -> tuple[str, str]:
        """Two runs with one output; one of them is killed, or neither."""
        runs = [self._start(out, which) for which in range(2)]
        landed = False
        if rng.random() < 0.5:
            landed = not runs[0].over(rng.uniform(0, 1.5) * self._life_s) and runs[0].kill(signal.SIGKILL)
        ends: list[Ended | Broken] = [Broken("has not ended")] * 2

        def wait(which: int) -> None:
            try:
                ends[which] = runs[which].wait()
            except Broken as broken:
                ends[which] = broken

        threads = [threading.Thread(target=wait, args=(which,)) for which in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for which, ended in enumerate(ends):
            if isinstance(ended, Broken):
                raise ended
            if not (landed and which == 0) and require_sober(ended).code != self._scene.code:
                raise Broken(f"one of two runs ends otherwise than an undisturbed one: {ended}")
        # They have computed parts twice, but what counts is one result of each.
        self._require_whole(out, runs[1].ended)
        return ("two runs at once, SIGKILL to one", "killed") if landed else ("two runs at once", "both ended")

    def _require_whole(self, out: StorePath, ended: Ended | None) -> None:
        if ended is None or ended.code != self._scene.code:
            raise Broken(f"the run ends otherwise than an undisturbed one: {ended}")
        result = verify(out)
        if not result.ok:
            raise Broken(f"verify: {result}: {result.problems[:3]}")
        found = contents(out)
        for what in ("length", "rows"):
            if found[what] != self._rows[what]:
                raise Broken(f"other {what} than on disk")
        ids = [[row["pair_id"] for row in some["failures"]] for some in (found, self._rows)]
        if ids[0] != ids[1]:
            raise Broken(f"other failures than on disk: {ids}")


Fault = Callable[[Flooder, StorePath, np.random.Generator], tuple[str, str]]
FAULTS: dict[str, tuple[float, Fault]] = {
    "the run": (0.45, Flooder.kill_run),
    "the server": (0.15, Flooder.restart_server),
    "the server for good": (0.1, Flooder.stop_server),
    "one of two runs": (0.2, Flooder.kill_one_of_two),
    "the network": (0.1, Flooder.stall_network),
}


def _ending(ended: Ended, landed: bool, number: int) -> str:
    if TRACEBACK in ended.stderr and "flowkit" in ended.stderr:
        raise Broken(f"shows a traceback: {ended}")
    if landed and ended.code == -signal.SIGKILL == -number:
        return "killed"
    if landed and ended.code == -number:
        return "outside the command"
    if ended.code == 3 and landed:
        require_sober(ended)
        return "stopped, 3"
    if ended.code != 1:
        raise Broken(f"ends with another code: {ended}")
    return "had ended"


def _require_kept(before: dict[int, Commit], out: StorePath) -> None:
    after = finished(out)
    changed = [part for part, commit in before.items() if after.get(part) != commit]
    if changed:
        raise Broken(f"committed parts were lost or computed again: {changed}")
