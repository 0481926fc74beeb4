"""Clips of a face whose keyframes are planted: the only frames at which its expression turns."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from flowkit.synthetic.faces import neutral_face
from flowkit.synthetic.motion import expression, head_pose
from flowkit.synthetic.render import SUPERSAMPLING, Performance, digitise
from flowkit.types import Clip

ONSET, APEX, OFFSET, LAST = 10, 40, 70, 80
SIZE = 64
PEAK_PX = 2.0


def amplitude(frame: int) -> float:
    """Least at onset and offset, largest at the apex, and on its way everywhere else."""
    return float(np.interp(frame, [1, ONSET, APEX, OFFSET, LAST], [0.3, 0.0, 1.0, 0.0, 0.3]))


def planted(folder: Path, *, drift_px: float = 0.0, noise: float = 1.0) -> Path:
    """Frames 1 to LAST of a drawn face, AU 12, whose head drifts by `drift_px` over the clip."""
    rng = np.random.default_rng(5)
    landmarks = neutral_face(1, SIZE * SUPERSAMPLING).landmarks
    bumps = expression(("12",), landmarks, SIZE, PEAK_PX, rng)
    performance = Performance(1, SIZE, bumps, head_pose(SIZE, 1.0, 0.0, rng))
    stretch = drift_px / max(np.hypot(*performance.pose.shift), 1e-9)
    folder.mkdir(parents=True)
    for number in range(1, LAST + 1):
        grey = cv2.cvtColor(performance.frame(amplitude(number), stretch * number / LAST), cv2.COLOR_RGB2GRAY)
        assert cv2.imwrite(str(folder / f"img{number}.png"), digitise(grey, noise, rng))
    return folder


def annotated(source: Path, onset: int = ONSET, apex: int | None = APEX, offset: int | None = OFFSET) -> Clip:
    name = f"toy/{onset}-{apex}-{offset}"
    who = {"dataset": "toy", "subject": "1", "fps": 200.0}
    return Clip(clip_id=name, source=str(source), onset=onset, apex=apex, offset=offset, **who)
