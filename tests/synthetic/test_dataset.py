"""The demo dataset: faces that can be told apart, motion that is exactly known, files that are valid and repeatable."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from flowkit.cli.demo import run
from flowkit.datasets import read_manifest
from flowkit.errors import FlowkitError, InputError
from flowkit.synthetic import facial_pair, make_dataset
from flowkit.synthetic.dataset import FRAMES, truth_path
from flowkit.synthetic.faces import neutral_face
from flowkit.synthetic.motion import Pose, expression, pixel_grid, true_flow
from flowkit.synthetic.render import EMOTIONS, Performance, digitise
from flowkit.types import Clip

SIZE = 96


def perform(identity: int, units: tuple[str, ...], peak_px: float, pose: Pose) -> Performance:
    landmarks = neutral_face(identity, 2 * SIZE).landmarks
    bumps = expression(units, landmarks, SIZE, peak_px, np.random.default_rng(1))
    return Performance(identity, SIZE, bumps, pose)


def warped_back(frame: np.ndarray, flow: np.ndarray) -> np.ndarray:
    x, y = (pixel_grid(frame.shape[0]) + flow).astype(np.float32)
    return cv2.remap(frame, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Clip]]:
    folder = tmp_path_factory.mktemp("demo")
    return folder, read_manifest(make_dataset(folder, subjects=4, clips=2, size=64, seed=3))


# Faces


def test_faces_differ_from_person_to_person_and_from_seed_to_seed() -> None:
    people = [neutral_face(identity, 64).picture for identity in range(8)]
    for i, one in enumerate(people):
        assert one.shape == (64, 64, 3)
        assert one.min() >= 0
        assert one.max() <= 255
        assert one.std() > 20
        for other in people[:i]:
            assert np.abs(one - other).mean() > 4
    assert np.abs(neutral_face(1, 64, seed=1).picture - people[1]).mean() > 4
    np.testing.assert_array_equal(neutral_face(0, 64, seed=1).picture, people[0])


@pytest.mark.parametrize("identity", [0, 1, 2, 5])
def test_faces_have_features_at_their_landmarks(identity: int) -> None:
    # Where muscles act there must be something to see: contrast at brows and mouth corners.
    face = neutral_face(identity, 256)
    grey = cv2.cvtColor(face.picture, cv2.COLOR_RGB2GRAY)
    for x, y in (*face.landmarks.brow_inner, *face.landmarks.mouth_corner, face.landmarks.lower_lip):
        patch = grey[int(256 * y) - 14 : int(256 * y) + 14, int(256 * x) - 14 : int(256 * x) + 14]
        assert patch.std() > 4


def test_skin_has_texture_everywhere() -> None:
    # Flow sees nothing on flat skin; sensor noise has a sigma of 1 grey level, texture must exceed it.
    for identity in range(1, 8):
        grey = cv2.cvtColor(neutral_face(identity, 256).picture, cv2.COLOR_RGB2GRAY)
        cheek = grey[140:170, 80:110]
        assert (cheek - cv2.GaussianBlur(cheek, (0, 0), 4)).std() > 1.5


def test_a_missing_portrait_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(InputError, match=r"pip install 'flowkit-mer\[demo\]'"):
        neutral_face(0, 72)
    assert neutral_face(1, 72).picture.shape == (72, 72, 3)


def test_a_face_needs_a_side() -> None:
    with pytest.raises(InputError, match="side=8"):
        neutral_face(1, 8)
    with pytest.raises(InputError, match="identity=-1"):
        neutral_face(-1, 64)


# Motion


def test_a_shift_of_the_head_is_a_constant_flow() -> None:
    flow = perform(1, ("12",), 1e-9, Pose(shift=(0.7, -0.4))).flow(1.0, 1.0)
    np.testing.assert_allclose(flow[0], 0.7, atol=1e-6)
    np.testing.assert_allclose(flow[1], -0.4, atol=1e-6)


def test_a_shift_moves_the_picture_to_the_right_and_down() -> None:
    performance = perform(1, ("12",), 1e-9, Pose(shift=(1.0, 2.0)))
    before, after = performance.frame(0, 0), performance.frame(1, 1)
    np.testing.assert_allclose(after[10:-10, 10:-10], before[8:-12, 9:-11], atol=0.05)


def test_a_turn_of_the_head_is_a_rotation() -> None:
    angle, x, y = 0.02, 40.0, 60.0
    flow = perform(1, ("12",), 1e-9, Pose(x=x, y=y, angle=angle)).flow(1.0, 1.0)
    across, down = pixel_grid(SIZE) - np.array([x, y])[:, None, None]
    turned = np.stack([np.cos(angle) * across - np.sin(angle) * down, np.sin(angle) * across + np.cos(angle) * down])
    np.testing.assert_allclose(flow, turned - np.stack([across, down]), atol=1e-6)


@pytest.mark.parametrize("units", [units for sets in EMOTIONS.values() for units in sets])
def test_an_expression_peaks_where_it_is_asked_to(units: tuple[str, ...]) -> None:
    flow = perform(2, units, 1.5, Pose()).flow(1.0, 0.0)
    assert np.hypot(*flow).max() == pytest.approx(1.5, rel=0.02)
    assert np.hypot(*flow)[0].max() < 0.2


def test_muscles_pull_as_in_a_face() -> None:
    def at(units: tuple[str, ...], place: tuple[float, float]) -> np.ndarray:
        x, y = (round(SIZE * part) for part in place)
        return perform(2, units, 1.0, Pose()).flow(1.0, 0.0)[:, y, x]

    landmarks = neutral_face(2, 2 * SIZE).landmarks
    left, right = landmarks.mouth_corner
    assert at(("12",), left)[0] < -0.2 < 0.2 < at(("12",), right)[0]
    assert at(("12",), left)[1] < -0.2 > at(("12",), right)[1]
    left, right = landmarks.brow_inner
    assert at(("4",), left)[0] > 0.1 > -0.1 > at(("4",), right)[0]
    assert at(("4",), left)[1] > 0.3 < at(("4",), right)[1]
    assert at(("1", "2"), left)[1] < -0.3 > at(("1", "2"), right)[1]
    assert at(("1", "2", "26"), landmarks.chin)[1] > 0.3


@pytest.mark.parametrize("identity", [0, 2])
@pytest.mark.parametrize("units", [("6", "12"), ("4", "9"), ("1", "2", "26")])
def test_the_true_flow_warps_the_second_frame_onto_the_first(identity: int, units: tuple[str, ...]) -> None:
    performance = perform(identity, units, 2.0, Pose(x=48, y=60, angle=0.003, shift=(0.2, -0.2)))
    before, after = (cv2.cvtColor(performance.frame(a, a), cv2.COLOR_RGB2GRAY) for a in (0.0, 1.0))
    inner = np.s_[4:-4, 4:-4]
    right = np.abs(warped_back(after, performance.flow(1, 1)) - before)[inner]
    unmoved = np.abs(after - before)[inner]
    opposite = np.abs(warped_back(after, -performance.flow(1, 1)) - before)[inner]
    # What is left is the sampling of a picture of 96 px, at the sharpest edges.
    assert right.mean() < 0.8
    assert right.mean() < 0.3 * unmoved.mean() < 0.3 * opposite.mean()
    assert np.percentile(right, 99) < 0.3 * np.percentile(unmoved, 99)


def test_the_fixed_point_inverts_the_backward_field() -> None:
    def backward(points: np.ndarray) -> np.ndarray:
        return np.stack([0.1 * points[0] - 2.0, 0.05 * points[1]])

    # y - b(y) = x at y = (x - 2) / 0.9 and y / 0.95.
    x, y = pixel_grid(32)
    np.testing.assert_allclose(true_flow(backward, 32), [(x - 2) / 0.9 - x, y / 0.95 - y], atol=1e-9)


def test_a_motion_that_folds_the_face_is_refused() -> None:
    with pytest.raises(FlowkitError, match="smaller amplitude"):
        perform(1, ("12",), 60.0, Pose()).flow(1.0, 0.0)


def test_unknown_action_units_are_listed() -> None:
    with pytest.raises(InputError, match=r"'99'.*choose some of 1, 2, 4"):
        expression(["99"], neutral_face(1, 64).landmarks, 64, 1.0, np.random.default_rng(0))


# Pairs


def test_sensor_noise_has_the_given_sigma_and_no_bias() -> None:
    flat = np.full((200, 200), 120.4, np.float32)
    noisy = digitise(flat, 1.0, np.random.default_rng(0)).astype(float)
    assert noisy.mean() == pytest.approx(120.4, abs=0.03)
    assert noisy.std() == pytest.approx(np.sqrt(1 + 1 / 12), abs=0.03)


@pytest.mark.parametrize("identity", [0, 1, 3])
def test_a_facial_pair_carries_motion_that_flow_can_find(identity: int) -> None:
    before, after, flow = facial_pair(identity, 1.5, 128, 5)
    assert before.dtype == after.dtype == np.uint8
    assert before.shape == after.shape == (128, 128)
    assert flow.shape == (2, 128, 128)
    assert flow.dtype == np.float32
    assert 1.2 < np.hypot(*flow).max() < 2.0
    found = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(before, after, None).transpose(2, 0, 1)
    assert np.hypot(*(found - flow)).mean() < 0.5 * np.hypot(*flow).mean()


def test_a_facial_pair_is_repeatable_and_its_seed_counts() -> None:
    one, same, other = (facial_pair(1, 1.0, 64, seed) for seed in (4, 4, 5))
    for a, b in zip(one, same, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.abs(one[2] - other[2]).max() > 0.1


# The dataset


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


# The whole demo


def made(folder: Path) -> list[str]:
    """Every file of a demo but the frames, truths and shards."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(str(path) for path in files if path.parts[0] not in ("frames", "truth", "shards"))


def test_the_demo_is_trained_on_and_leaves_a_page_whose_links_lead_somewhere(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    from trainer.demo import tour

    said: list[str] = []
    folder = tmp_path / "demo"
    with pytest.raises(InputError, match=f"holds no finished demo; run flowkit demo {folder} first"):
        tour.run(folder)
    run(folder, subjects=3, clips=1, size=64, say=said.append)
    index = tour.run(folder, epochs=1, say=said.append)
    steps = [line.split()[0] for line in said if not line.startswith(" ")]
    assert steps == ["dataset", "extraction", "truth", "pictures", "look", "LOSO", "open"]
    assert sum("tested on s0" in line for line in said) == 3
    assert "9 pairs, 0 failed" in said[1]
    text = index.read_text()
    links = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert len(links) == 1 + 2 + 3
    for link in links:
        assert (index.parent / link).stat().st_size > 1000
    # A second demo in the same folder replaces the first, and no trace of it is left.
    first = made(folder)
    (folder / "mine.txt").write_text("kept")
    run(folder, subjects=3, clips=1, size=64, seed=1, say=said.append)
    tour.run(folder, epochs=1, say=said.append)
    assert {re.sub(r"\d\.png", "N.png", name) for name in made(folder)} == {
        re.sub(r"\d\.png", "N.png", name) for name in [*first, "mine.txt"]
    }
    assert len(list((folder / "frames").iterdir())) == 9


def test_the_demo_does_not_touch_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    with pytest.raises(InputError, match="is not empty and holds no demo"):
        run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["frames"]


def test_a_missing_extra_is_named_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs scikit-image: pip install 'flowkit-mer\[demo\]'"):
        run(tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


@pytest.mark.slow
def test_the_demo_can_be_learnt_from_its_motion_and_from_nothing_else(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    from trainer.data import load, shuffle_labels
    from trainer.demo import tour
    from trainer.metrics import confusion, uf1
    from trainer.train import run_loso
    from trainer.types import resolve_config

    said: list[str] = []
    run(tmp_path / "demo", say=said.append)
    tour.run(tmp_path / "demo", say=said.append)
    figures = re.search(r"error ([\d.]+) px; finding no motion at all would be ([\d.]+) px", said[2])
    assert figures is not None
    assert float(figures[1]) < 0.3 * float(figures[2])
    metrics = json.loads((tmp_path / "demo" / "loso" / "metrics.json").read_text())
    assert metrics["metrics"]["overall"]["uf1"] > 0.8

    config = resolve_config("quick", epochs=10, size=48, normalise="minmax", device="cpu", threads=1)
    samples = shuffle_labels(load(tmp_path / "demo" / "shards", config), seed=0)
    assert 0.2 <= uf1(confusion(samples.emotion, run_loso(samples, config).predicted)) <= 0.45
