"""The demo dataset: frames of every clip, their true onset-apex flow, and a manifest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import simplejpeg

from flowkit.datasets.emotions import emotion3_of
from flowkit.datasets.manifest import write_manifest
from flowkit.errors import InputError
from flowkit.synthetic.faces import neutral_face
from flowkit.synthetic.motion import expression, head_pose
from flowkit.synthetic.render import EMOTIONS, JPEG_QUALITY, SUPERSAMPLING, Performance, digitise
from flowkit.types import Clip

FPS = 200.0
FRAMES = 9
PEAK_PX = (0.2, 2.0)
"""Smallest and largest peak of an expression, in pixels of a 128 px frame."""
SHIFT_PX = 0.3
TURN_DEGREES = 0.15
NOISE = 1.0


def make_dataset(folder: Path, *, subjects: int = 8, clips: int = 4, size: int = 128, seed: int = 0) -> Path:
    """Write the demo dataset into a folder and return the path of its manifest.

    Every subject shows each of the three emotions in `clips` clips of nine frames: frames/<clip>/img001.jpg ...,
    truth/<clip>.npy with the true flow from onset to apex, (2, size, size) float32 in pixels, and manifest.parquet.
    Subject 1 is the portrait, the others are drawn. The groups alternate and are drawn alike, so that any difference
    between them is chance. The same seed gives the same bytes with the same versions of OpenCV and libjpeg.
    Raises InputError for a size below 32 px or fewer than one subject or clip.
    """
    if subjects < 1 or clips < 1 or size < 32:
        raise InputError(f"subjects={subjects}, clips={clips}, size={size}: give at least 1, 1 and 32 px")
    folder = folder.absolute()
    (folder / "truth").mkdir(parents=True, exist_ok=True)
    rows = [
        _make_clip(folder, identity, emotion, number, size, seed)
        for identity in range(subjects)
        for emotion in EMOTIONS
        for number in range(1, clips + 1)
    ]
    manifest = folder / "manifest.parquet"
    write_manifest(rows, manifest)
    return manifest


def truth_path(folder: Path, clip_id: str) -> Path:
    """Where `make_dataset` leaves a clip's true onset-apex flow."""
    return folder / "truth" / f"{clip_id}.npy"


def _make_clip(folder: Path, identity: int, emotion: str, number: int, size: int, seed: int) -> Clip:
    kind = list(EMOTIONS).index(emotion)
    rng = np.random.default_rng([seed, identity, kind, number])
    units = EMOTIONS[emotion][rng.integers(len(EMOTIONS[emotion]))]
    scale = size / 128
    peak_px = scale * float(np.exp(rng.uniform(*np.log(PEAK_PX))))
    landmarks = neutral_face(identity, size * SUPERSAMPLING, seed).landmarks
    bumps = expression(units, landmarks, size, peak_px, rng)
    pose = head_pose(size, scale * SHIFT_PX, TURN_DEGREES, rng)
    performance = Performance(identity, size, bumps, pose, seed=seed)
    apex = int(rng.integers(FRAMES // 2, FRAMES - 2)) + 1

    subject = f"s{identity + 1:02d}"
    clip_id = f"{subject}_{emotion}_{number}"
    source = folder / "frames" / clip_id
    source.mkdir(parents=True, exist_ok=True)
    for frame in range(1, FRAMES + 1):
        share = (frame - 1) / (apex - 1)
        picture = digitise(performance.frame(_amplitude(frame, apex), share), NOISE, rng)
        coded = simplejpeg.encode_jpeg(picture, JPEG_QUALITY, "RGB", "444")
        (source / f"img{frame:03d}.jpg").write_bytes(coded)
    np.save(truth_path(folder, clip_id), performance.flow(1.0, 1.0))
    group = "demo_b" if identity % 2 else "demo_a"
    return Clip(
        clip_id=clip_id,
        source=str(source),
        dataset="demo",
        subject=subject,
        fps=FPS,
        onset=1,
        apex=apex,
        offset=FRAMES,
        emotion=emotion,
        emotion3=emotion3_of(emotion),
        au="+".join(units),
        ethnicity=group,
        group=group,
    )


def _amplitude(frame: int, apex: int) -> float:
    """The expression's strength at a frame: 0 at the onset, 1 at the apex, 0 at the offset, smooth between."""
    share = (frame - 1) / (apex - 1) if frame <= apex else (FRAMES - frame) / (FRAMES - apex)
    return float(np.sin(0.5 * np.pi * share) ** 2)
