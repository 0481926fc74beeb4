"""The demo dataset: frames of every clip, their true onset-apex flow, and a manifest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from flowkit.datasets.emotions import emotion3_of
from flowkit.datasets.manifest import write_manifest
from flowkit.errors import InputError
from flowkit.synthetic.difficulty import GROUPS, LAMPS, Difficulty, difficulty_of, units_of
from flowkit.synthetic.faces import neutral_face
from flowkit.synthetic.motion import expression, head_pose
from flowkit.synthetic.render import EMOTIONS, JPEG_QUALITY, SUPERSAMPLING, Performance, digitise
from flowkit.types import Clip

FPS = 200.0
FRAMES = 9


def make_dataset(
    folder: Path,
    *,
    subjects: int = 8,
    clips: int = 4,
    size: int = 128,
    seed: int = 0,
    difficulty: str = "hard",
    group_effect: bool = True,
) -> Path:
    """Write the demo dataset into a folder and return the path of its manifest.

    Every subject shows each of the three emotions in `clips` clips of nine frames: frames/<clip>/img001.jpg ...,
    truth/<clip>.npy with the true flow from onset to apex, (2, size, size) float32 in pixels, and manifest.parquet.
    Subject 1 is the portrait, the others are drawn. The groups alternate. The same seed gives the same bytes with the
    same versions of OpenCV and libjpeg.

    Args:
        difficulty: "hard": weak and one-sided expressions, noise, head motion, drifting light, a lamp of its own colour
            for each group, and an expression that both groups show. "easy": less noise and head motion, hardly
            one-sided, steady light, and groups that are drawn alike, so that any difference between them is chance.
            "clear": that with stronger expressions, the lamps and the shared one (`flowkit.synthetic.difficulty`).
        group_effect: whether the shared expression is another emotion in each group.

    Raises:
        InputError: for a size below 32 px, fewer than one subject or clip, or an unknown difficulty.
    """
    if subjects < 1 or clips < 1 or size < 32:
        raise InputError(f"subjects={subjects}, clips={clips}, size={size}: give at least 1, 1 and 32 px")
    how = difficulty_of(difficulty)
    folder = folder.absolute()
    (folder / "truth").mkdir(parents=True, exist_ok=True)
    rows = [
        _make_clip(folder, identity, emotion, number, size, seed, how, group_effect)
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


def _make_clip(
    folder: Path,
    identity: int,
    emotion: str,
    number: int,
    size: int,
    seed: int,
    how: Difficulty,
    group_effect: bool,
) -> Clip:
    kind = list(EMOTIONS).index(emotion)
    group = GROUPS[identity % 2]
    rng = np.random.default_rng([seed, identity, kind, number])
    units = units_of(emotion, group, how, group_effect, rng)
    scale = size / 128
    peak_px = scale * float(np.exp(rng.uniform(*np.log(how.peak_px))))
    landmarks = neutral_face(identity, size * SUPERSAMPLING, seed).landmarks
    bumps = expression(units, landmarks, size, peak_px, rng, asymmetry=how.asymmetry)
    pose = head_pose(size, scale * how.shift_px, how.turn_degrees, rng)
    performance = Performance(identity, size, bumps, pose, seed=seed)
    apex = int(rng.integers(FRAMES // 2, FRAMES - 2)) + 1
    light = _light(how, group, size, rng)

    subject = f"s{identity + 1:02d}"
    clip_id = f"{subject}_{emotion}_{number}"
    source = folder / "frames" / clip_id
    source.mkdir(parents=True, exist_ok=True)
    for frame in range(1, FRAMES + 1):
        share = (frame - 1) / (apex - 1)
        noise_free = light(performance.frame(_amplitude(frame, apex), share), share)
        picture = digitise(noise_free, how.noise, rng)
        coded = simplejpeg.encode_jpeg(picture, JPEG_QUALITY, "RGB", "444")
        (source / f"img{frame:03d}.jpg").write_bytes(coded)
    np.save(truth_path(folder, clip_id), performance.flow(1.0, 1.0))
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


def _light(
    how: Difficulty, group: str, size: int, rng: np.random.Generator
) -> Callable[[NDArray[np.float32], float], NDArray[np.float32]]:
    """What the clip's light makes of a frame, at a share of the way from onset to apex."""
    if not how.light and not how.lamps:
        return lambda frame, share: frame
    left, right = rng.uniform(-how.light, how.light, 2)
    drift = np.linspace(left, right, size, dtype=np.float32)[None, :, None]
    lamp = np.array(LAMPS[group] if how.lamps else (1.0, 1.0, 1.0), dtype=np.float32)
    return lambda frame, share: np.asarray(frame * lamp * (1 + np.float32(share) * drift), dtype=np.float32)
