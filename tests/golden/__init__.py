"""Small outputs as versions of flowkit have written them, which all later versions have to read.

Four clips of made-up frames, 16 x 16 px: one moves a pixel to the right, one a pixel down, one not at all, and one is
gone.
When a version is released, its output is written once by that version's code, with

    python -m tests.golden

and committed under tests/golden/VERSION; once released it is never written again, whatever changes (until then: remove
the folder first). The sources are relative, so no path of the machine is in it.

0.1 was written afterwards, by the Python code of flowkit 0.1.0 over a core compiled from some commits later, with the
version number given to it. What those two write of a larger dataset (96 pairs, no failure) was compared with what
0.1.0 itself had written: plan, run.json, record and shard were the same bytes.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from flowkit.types import Clip

FOLDER = Path(__file__).parent
MOTION = {"right": (1, 0), "down": (0, 1), "still": (0, 0)}
"""What moves from frame 1 to frame 2 of each clip: (u, v) in px."""


def frame(u: float, v: float) -> NDArray[np.uint8]:
    """Waves in both directions, moved by (u, v) px: (16, 16)."""
    y, x = np.mgrid[:16, :16]
    grey = 128 + 60 * np.sin(2 * np.pi * (x - u) / 11) + 60 * np.cos(2 * np.pi * (y - v) / 9)
    return grey.round().astype(np.uint8)


def write_frames() -> None:
    """Writes the frames, which are the same for every version."""
    for name, motion in MOTION.items():
        folder = FOLDER / "frames" / name
        folder.mkdir(parents=True, exist_ok=True)
        for number, (u, v) in enumerate(((0, 0), motion), start=1):
            cv2.imwrite(str(folder / f"img{number}.png"), frame(u, v))


def clips() -> list[Clip]:
    """The clips, their sources relative to tests/golden."""
    labels = {"dataset": "golden", "subject": "01", "fps": 200.0, "onset": 1, "apex": 2, "offset": 2}
    feelings = {"emotion": "happiness", "emotion3": "positive", "au": "6+12", "group": "a"}
    return [Clip(clip_id=name, source=f"frames/{name}", **labels, **feelings) for name in (*MOTION, "gone")]


def write(version: str) -> None:
    """Writes the output of this code under its version, unless it is there."""
    from flowkit.extraction.run import extract

    if (FOLDER / version).exists():
        raise SystemExit(f"tests/golden/{version} is there, and is not written again; remove it before a release only")
    with contextlib.chdir(FOLDER):
        extract(clips(), version, workers=1)
