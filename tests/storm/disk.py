"""Full disks: a run stops with code 3 and one sentence, and continues once there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np

from tests.storm.case import Broken, Outcome
from tests.storm.launcher import Launcher
from tests.storm.scene import Scene, require_same, stamps

ROOM_BYTES = 8 << 20


def can_mount(folder: Path) -> bool:
    """Whether this process may mount a file system of a given size."""
    if os.geteuid() != 0:
        return False
    try:
        with small_disk(folder / "mount-try", 1 << 16):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[Path]:
    """A tmpfs of that size, rounded to pages."""
    folder.mkdir(parents=True)
    subprocess.run(
        ("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "storm", folder), check=True, capture_output=True
    )
    try:
        yield folder
    finally:
        subprocess.run(("umount", "-l", folder), check=True, capture_output=True)


def give_room(folder: Path) -> None:
    """Makes the tmpfs large enough."""
    subprocess.run(("mount", "-o", f"remount,size={ROOM_BYTES}", folder), check=True, capture_output=True)


class Filler:
    """Runs on disks that are too small, or with files that may not grow."""

    def __init__(self, scene: Scene, launcher: Launcher, folder: Path, *, mounts: bool) -> None:
        self.scene = scene
        self.launcher = launcher
        self._mounts = mounts and can_mount(folder)
        sizes = [path.stat().st_size for path in scene.out.rglob("*") if path.is_file()]
        self._largest, self._all = max(sizes), sum(sizes)

    def case(self, rng: np.random.Generator, folder: Path) -> Outcome:
        """One run without room, continued with it."""
        mounted = self._mounts and rng.random() < 0.6
        size = int(rng.integers(4096, int(1.4 * self._all)))
        with small_disk(folder / "disk", size) if mounted else nullcontext(folder) as where:
            out = where / "out"
            limits = {} if mounted else {"RLIMIT_FSIZE": int(rng.integers(16, self._largest))}
            ended = self.launcher.run(*self.scene.command(out), limits=limits)
            if ended.code not in (3, self.scene.code):
                raise Broken(f"a full disk ends with another code than 3: {ended}")
            before = stamps(out) if out.exists() else {}
            if mounted:
                give_room(where)
            again = self.launcher.run(*self.scene.command(out))
            if any(stamps(out).get(name) != stamp for name, stamp in before.items()):
                raise Broken("committed parts were computed again")
            require_same(self.scene, out, again)
        group = "a disk that is full" if mounted else "a limit on the size of files"
        return Outcome(group, "stopped, 3; continued" if ended.code == 3 else "had room", f"{size} bytes, {limits}")
