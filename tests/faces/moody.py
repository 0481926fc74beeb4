"""A face detector as a plug-in's package has it, which does what a file says, as long as that is there."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flowkit.errors import FrameError
from flowkit.faces.face import Face
from tests.faces.brightest import Brightest

DIES_AT_PX = 44
"""Width of the face at which "die" does it."""
LOOK_S = 0.3
"""How long a look takes that has to be alone."""


class Absent(FrameError):
    """An error as packages have them, which does not survive a pipe."""

    def __init__(self, what: str, code: int) -> None:
        super().__init__(f"no {what} here, code {code}")
        self.lock = threading.Lock()


class Moody(Brightest):
    """As Brightest, but that each look is noted beside the file of its mood."""

    def __init__(self, mood: Path) -> None:
        super().__init__(200)
        self._mood = mood

    def detect(self, picture: NDArray[np.uint8]) -> list[Face]:
        with self._mood.with_suffix(".log").open("a") as log:
            log.write(".")
        faces, mood = super().detect(picture), self._mood.read_text() if self._mood.exists() else ""
        if mood == "die" and any(face.width == DIES_AT_PX for face in faces):
            os.kill(os.getpid(), signal.SIGKILL)
        if mood == "refuse":
            raise Absent("face", 3)
        if mood == "alone":  # two at a time are too much, for both of them
            mine = self._mood.with_name(f"looks-{os.getpid()}")
            mine.touch()
            for _ in range(20):
                time.sleep(LOOK_S / 20)
                others = [path for path in mine.parent.glob("looks-*") if path != mine]
                if any(time.time() - path.stat().st_mtime < 0.8 * LOOK_S for path in others):
                    os.kill(os.getpid(), signal.SIGKILL)
        return faces


def make(argument: str) -> Moody:
    return Moody(Path(argument))
