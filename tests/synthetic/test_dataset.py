"""The demo dataset: files that are valid and repeatable."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from flowkit.datasets import read_manifest
from flowkit.errors import InputError
from flowkit.synthetic.dataset import FRAMES, make_dataset, truth_path
from flowkit.synthetic.render import EMOTIONS
from flowkit.types import Clip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Clip]]:
    folder = tmp_path_factory.mktemp("demo")
    return folder, read_manifest(make_dataset(folder, subjects=4, clips=2, size=64, seed=3))


def test_the_dataset_has_every_subject_emotion_and_group(dataset: tuple[Path, list[Clip]]) -> None:
    _, clips = dataset
    assert len(clips) == 4 * 3 * 2
    assert Counter(clip.subject for clip in clips) == dict.fromkeys(("s01", "s02", "s03", "s04"), 6)
    assert Counter(clip.emotion3 for clip in clips) == {"positive": 8, "negative": 8, "surprise": 8}
    assert Counter(clip.group for clip in clips) == {"demo_a": 12, "demo_b": 12}
    for clip in clips:
        assert clip.dataset == "demo"
        assert clip.fps == 200
        assert (clip.onset, clip.offset) == (1, FRAMES)
        assert clip.apex is not None
        assert 4 < clip.apex < FRAMES
        assert clip.emotion is not None
        assert clip.au is not None
        assert tuple(clip.au.split("+")) in EMOTIONS[clip.emotion]
        assert sorted(file.name for file in Path(clip.source).iterdir()) == [
            f"img{frame:03d}.jpg" for frame in range(1, FRAMES + 1)
        ]


def test_the_true_flow_lies_beside_every_clip(dataset: tuple[Path, list[Clip]]) -> None:
    folder, clips = dataset
    peaks = []
    for clip in clips:
        flow = np.load(truth_path(folder, clip.clip_id))
        assert flow.shape == (2, 64, 64)
        assert flow.dtype == np.float32
        peaks.append(np.hypot(*flow).max())
    # 0.2 to 2 px at 128 px are half of it at 64 px, give or take the head's shift.
    assert 0.05 < min(peaks) < max(peaks) < 1.3


def test_the_motion_grows_to_the_apex_and_fades(dataset: tuple[Path, list[Clip]]) -> None:
    _, clips = dataset
    clip = next(clip for clip in clips if clip.clip_id == "s01_surprise_1")
    frames = [cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) for file in sorted(Path(clip.source).iterdir())]
    change = [np.abs(frame.astype(float) - frames[0]).mean() for frame in frames]
    assert clip.apex is not None
    assert change[clip.apex - 1] > 1.1 * change[1]


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    def digest(folder: Path, seed: int) -> dict[str, str]:
        make_dataset(folder, subjects=2, clips=1, size=32, seed=seed)
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    first = digest(tmp_path / "a", 1)
    assert len(first) == 2 * 3 * (FRAMES + 1) + 1
    assert digest(tmp_path / "b", 1) == first
    other = digest(tmp_path / "c", 2)
    assert other.keys() == first.keys()
    assert all(other[name] != first[name] for name in first if name.endswith((".jpg", ".npy")))


def test_a_dataset_needs_subjects_clips_and_pixels(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="subjects=0"):
        make_dataset(tmp_path, subjects=0)
    with pytest.raises(InputError, match="size=16"):
        make_dataset(tmp_path, size=16)
