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
from flowkit.synthetic.difficulty import LAMPS, SHARED
from flowkit.synthetic.faces import neutral_face
from flowkit.synthetic.render import EMOTIONS
from flowkit.types import Clip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Clip]]:
    folder = tmp_path_factory.mktemp("demo")
    return folder, read_manifest(make_dataset(folder, subjects=4, clips=2, size=64, seed=3, difficulty="easy"))


@pytest.fixture(scope="module")
def hard(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Clip]]:
    folder = tmp_path_factory.mktemp("hard")
    return folder, read_manifest(make_dataset(folder, subjects=2, clips=6, size=32, seed=3))


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


def test_groups_share_an_expression_that_is_another_emotion_in_each(hard: tuple[Path, list[Clip]]) -> None:
    _, clips = hard
    shown = Counter((clip.group, clip.emotion) for clip in clips if clip.au == "+".join(SHARED))
    assert set(shown) == {("demo_a", "disgust"), ("demo_b", "happiness")}
    assert all(2 <= count <= 6 for count in shown.values())


def test_without_a_group_effect_it_is_one_emotion(tmp_path: Path) -> None:
    clips = read_manifest(make_dataset(tmp_path, subjects=2, clips=6, size=32, seed=3, group_effect=False))
    assert {clip.emotion for clip in clips if clip.au == "+".join(SHARED)} == {"disgust"}
    assert {clip.group for clip in clips if clip.au == "+".join(SHARED)} == {"demo_a", "demo_b"}


def test_lamps_tell_the_groups_apart_and_motion_stays_true(hard: tuple[Path, list[Clip]]) -> None:
    """Red over blue, of the same person's face: the ratio of the lamps; the mean grey stays."""
    bare = neutral_face(1, 64, 3).picture
    folder, clips = hard
    clip = next(clip for clip in clips if clip.group == "demo_b")
    frame = cv2.imread(str(Path(clip.source) / "img001.jpg"))
    assert frame is not None
    blue, _, red = frame.reshape(-1, 3).mean(axis=0)
    lamp = LAMPS["demo_b"]
    expected = bare[..., 0].mean() / bare[..., 2].mean() * lamp[0] / lamp[2]
    assert red / blue == pytest.approx(expected, rel=0.05)
    assert np.load(truth_path(folder, clip.clip_id)).shape == (2, 32, 32)


def test_the_light_drifts_to_the_apex(tmp_path: Path) -> None:
    """A face that barely moves changes in brightness from onset to apex, by a few per cent at most."""
    clips = read_manifest(make_dataset(tmp_path, subjects=1, clips=4, size=32, seed=1))
    drift = []
    for clip in clips:
        assert clip.apex is not None
        first, apex = (cv2.imread(str(Path(clip.source) / f"img{n:03d}.jpg"), 0) for n in (1, clip.apex))
        assert first is not None
        assert apex is not None
        drift.append(abs(float(apex.mean()) / float(first.mean()) - 1))
    assert 0.003 < max(drift) < 0.04


def test_a_dataset_needs_subjects_clips_and_pixels(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="subjects=0"):
        make_dataset(tmp_path, subjects=0)
    with pytest.raises(InputError, match="size=16"):
        make_dataset(tmp_path, size=16)
    with pytest.raises(InputError, match="difficulty='medium' is unknown; choose easy or clear or hard"):
        make_dataset(tmp_path, difficulty="medium")
