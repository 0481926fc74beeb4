"""Pictures of pairs, of real extractions among them."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from flowkit.datasets import read_manifest, write_manifest
from flowkit.errors import InputError, OutputError
from flowkit.extraction.run import extract
from flowkit.output.plan_file import read_plan
from flowkit.output.shard import read
from flowkit.pictures.canvas import PAPER, write_picture
from flowkit.pictures.colours import flow_to_rgb
from flowkit.pictures.pair import PairView, _pair_view, compose, render
from flowkit.synthetic.dataset import make_dataset, truth_path

PANEL = 288
LEFT, TOP, STEP = 20, 104, PANEL + 20


@pytest.mark.parametrize("shape", [(28, 28), (100, 40), (90, 160), (600, 600), (1, 1)])
@pytest.mark.parametrize("with_frames", [True, False])
def test_every_shape_fits_on_its_paper(shape: tuple[int, int], with_frames: bool) -> None:
    frame = np.full((*shape, 3), 90, np.uint8)
    frames = (("frame 1", frame), ("frame 2", frame)) if with_frames else ()
    flow = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    picture = compose(PairView("a title", "a subtitle", "a long caption, " * 8, frames, flow, np.abs(flow[0])))
    assert picture.dtype == np.uint8
    for margin in (picture[:14], picture[-10:], picture[:, :14], picture[:, -14:]):
        assert (margin == PAPER).all()
    height = min(max(shape[0], PANEL), 512)
    panel_area = round(shape[1] * height / shape[0]) * height
    grey = (picture == 90).all(axis=-1).sum()
    assert grey == pytest.approx(2 * panel_area if with_frames else 0, rel=0.01)


def test_the_bar_of_a_narrow_strain_has_room_for_its_numbers() -> None:
    picture = compose(PairView("t", "s", "c", (), np.zeros((2, 300, 9), np.float32), np.ones((300, 9), np.float32)))
    bar = picture[TOP + 300 + 12, LEFT + 190 + 20 :]
    assert (bar[109] == (252, 255, 164)).all()
    assert (bar[110:112] == PAPER).all()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_very_wide_pair_can_be_written_in_every_format(tmp_path: Path, suffix: str) -> None:
    frames = (("frame 1", np.zeros((20, 3000, 3), np.uint8)), ("frame 2", np.zeros((20, 3000, 3), np.uint8)))
    pair = PairView("t", "s", "c", frames, np.zeros((2, 20, 3000), np.float32), np.zeros((20, 3000), np.float32))
    picture = compose(pair)
    write_picture(tmp_path / f"wide{suffix}", picture)
    with Image.open(tmp_path / f"wide{suffix}") as written:
        assert written.size == picture.shape[1::-1]


def test_a_still_pair_is_white_and_black() -> None:
    picture = compose(PairView("t", "s", "c", (), np.zeros((2, 30, 30), np.float32), np.zeros((30, 30), np.float32)))
    assert (picture[TOP : TOP + PANEL, LEFT : LEFT + PANEL] == 255).all()
    assert picture[TOP : TOP + PANEL, LEFT + STEP : LEFT + STEP + PANEL].max() < 10


@pytest.fixture(scope="module")
def extraction(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a demo dataset and, under "out", all pairs from each clip's onset; s02 has a face box."""
    folder = tmp_path_factory.mktemp("view")
    clips = read_manifest(make_dataset(folder, subjects=2, clips=1, size=64, seed=3, difficulty="easy"))
    boxes = [f"{clip.clip_id},{4 if clip.subject == 's02' else 0},0,60,60" for clip in clips]
    (folder / "boxes.csv").write_text("clip_id,left,top,width,height\n" + "\n".join(boxes) + "\n")
    extract(clips, folder / "out", pairs="onset-all", face=f"boxes:{folder / 'boxes.csv'}", workers=1)
    return folder


def panels(path: Path, count: int) -> list[np.ndarray]:
    picture = cv2.imread(str(path))[..., ::-1]
    assert picture.shape[0] == TOP + PANEL + 104
    assert picture.shape[1] >= LEFT + count * STEP
    return [picture[TOP : TOP + PANEL, LEFT + i * STEP : LEFT + i * STEP + PANEL] for i in range(count)]


def test_a_pair_is_drawn_as_frames_flow_and_strain(extraction: Path, tmp_path: Path) -> None:
    written = render(extraction / "out", "s02_surprise_1", tmp_path / "new" / "picture.png", index=4)
    assert written == tmp_path / "new" / "picture.png"
    assert [path.name for path in written.parent.iterdir()] == ["picture.png"]
    first, second, flow, strain = panels(written, 4)
    for panel in (first, second, flow, strain):
        assert panel.std() > 5
    # The frames are those of the source in the clip's box, in colour: 0 to 4 is frame 1 to 6.
    for panel, number in ((first, 1), (second, 6)):
        frame = cv2.imread(str(extraction / "frames" / "s02_surprise_1" / f"img{number:03d}.jpg"))[..., ::-1]
        expected = cv2.resize(frame[:60, 4:64], (PANEL, PANEL), interpolation=cv2.INTER_CUBIC)
        np.testing.assert_allclose(panel.astype(int), expected, atol=1)
    # Flow and strain are those of the shard, coloured.
    shards = read(extraction / "out")
    rows = shards.table(["clip_id", "frame1"]).to_pylist()
    row = rows.index({"clip_id": "s02_surprise_1", "frame1": 6})
    cube = np.concatenate(list(shards.cubes()))[row]
    peak = np.percentile(np.hypot(cube[0], cube[1]), 99.5)
    expected = cv2.resize(flow_to_rgb(cube[:2], peak), (PANEL, PANEL), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_allclose(flow.astype(int), expected, atol=1)


def test_the_pair_that_moves_most_is_drawn_by_default(extraction: Path, tmp_path: Path) -> None:
    shards = read(extraction / "out")
    clips = shards.table(["clip_id"])["clip_id"].to_pylist()
    cubes = np.concatenate(list(shards.cubes()))
    mine = [cube for clip, cube in zip(clips, cubes, strict=True) if clip == "s01_happiness_1"]
    most = int(np.argmax([np.percentile(np.hypot(cube[0], cube[1]), 99) for cube in mine]))
    chosen = render(extraction / "out", "s01_happiness_1", tmp_path / "chosen.png")
    asked = render(extraction / "out", "s01_happiness_1", tmp_path / "asked.png", index=most)
    other = render(extraction / "out", "s01_happiness_1", tmp_path / "other.png", index=0)
    assert chosen.read_bytes() == asked.read_bytes() != other.read_bytes()


def test_a_picture_tells_the_changed_parameters(tmp_path: Path) -> None:
    clips = read_manifest(make_dataset(tmp_path, subjects=1, clips=1, size=64, seed=3, difficulty="easy"))[:1]
    extract(clips, tmp_path / "out", params={"lambda_": 0.3}, workers=1)
    shards = read(tmp_path / "out")
    row = shards[0]
    assert "preset micro + lambda_=0.3   " in _pair_view(shards, row, row["cube"]).caption


def test_a_picture_tells_the_quality_and_what_was_averaged(extraction: Path, tmp_path: Path) -> None:
    clips = read_manifest(extraction / "manifest.parquet")[:1]
    extract(clips, tmp_path / "out", pairs="onset-apex:1+3", size=32, workers=1)
    shards = read(tmp_path / "out")
    row = shards[0]
    view = _pair_view(shards, row, row["cube"])
    assert view.quality.startswith(f"quality   residual {row['quality']['residual']:.2f}   noise ")
    apex = row["frame1"]
    assert f"frames 1 to {apex} (mean of {apex - 1}..{apex + 1}) (onset-apex)" in view.subtitle
    told = compose(view)
    untold = compose(dataclasses.replace(view, quality=""))
    assert told.shape == untold.shape
    assert np.argwhere((told != untold).any(axis=(1, 2))).min() > told.shape[0] - 46  # a line above the last
    older = {name: value for name, value in row.items() if name not in ("quality", "frames0", "frames1")}
    assert _pair_view(shards, older, row["cube"]).quality == ""


def test_a_picture_tells_no_label_of_the_person_for_it_has_no_room_for_the_source(tmp_path: Path) -> None:
    clips = read_manifest(make_dataset(tmp_path, subjects=1, clips=1, size=64, seed=3, difficulty="easy"))[:1]
    named = dataclasses.replace(clips[0], group="asian", label_source="ethnicity: model guess of m.onnx")
    extract([named], tmp_path / "out", workers=1)
    shards = read(tmp_path / "out")
    row = shards[0]
    view = _pair_view(shards, row, row["cube"])
    assert row["group"] == "asian"
    assert "asian" not in view.subtitle + view.caption


def test_a_clip_need_not_be_named(extraction: Path, tmp_path: Path) -> None:
    assert len(panels(render(extraction / "out", None, tmp_path / "any.png"), 4)) == 4


def test_unknown_clips_and_pairs_are_refused(extraction: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no clip 's09'; it has 6: s01_happiness_1, s01_disgust_1, .*, \.\.\."):
        render(extraction / "out", "s09", tmp_path / "p.png")
    with pytest.raises(InputError, match="pair 8: s01_disgust_1 has 8 pairs"):
        render(extraction / "out", "s01_disgust_1", tmp_path / "p.png", index=8)
    with pytest.raises(InputError, match="pair -1"):
        render(extraction / "out", "s01_disgust_1", tmp_path / "p.png", index=-1)
    with pytest.raises(OutputError, match="no output of flowkit extract"):
        render(tmp_path, None, tmp_path / "p.png")
    assert list(tmp_path.iterdir()) == []


def test_a_plan_of_other_pairs_is_refused(extraction: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowkit.pictures.pair.read_plan", lambda out: read_plan(out)[:0])
    with pytest.raises(OutputError, match=r"its plan has no pair [0-9a-f]{16}; flowkit verify says what to do"):
        render(extraction / "out", None, tmp_path / "p.png")


def test_frames_that_are_gone_are_left_out_and_failures_are_quoted(tmp_path: Path) -> None:
    clips = read_manifest(make_dataset(tmp_path, subjects=1, clips=1, size=64, seed=3, difficulty="easy"))
    (Path(clips[0].source) / "img001.jpg").write_bytes(b"no picture")
    write_manifest(clips, tmp_path / "manifest.parquet")
    extract(tmp_path / "manifest.parquet", tmp_path / "out", workers=1)
    with pytest.raises(InputError, match=f"{clips[0].clip_id} has no computed pair to draw.*img001"):
        render(tmp_path / "out", clips[0].clip_id, tmp_path / "p.png")
    shutil.rmtree(tmp_path / "frames")
    flow, strain = panels(render(tmp_path / "out", clips[1].clip_id, tmp_path / "p.png"), 2)
    assert flow.std() > 5 < strain.std()


def test_the_drawn_flow_resembles_the_truth(tmp_path: Path) -> None:
    clips = read_manifest(make_dataset(tmp_path, subjects=1, clips=1, size=128, seed=1, difficulty="easy"))
    extract(clips, tmp_path / "out", workers=1)
    clip = clips[-1]
    truth = np.load(truth_path(tmp_path, clip.clip_id))
    drawn = panels(render(tmp_path / "out", clip.clip_id, tmp_path / "p.png"), 4)[2]
    peak = np.percentile(np.hypot(*truth), 99.5)
    ideal = cv2.resize(flow_to_rgb(truth, peak), (PANEL, PANEL), interpolation=cv2.INTER_CUBIC).astype(int)
    assert np.abs(drawn - ideal).mean() < 0.6 * np.abs(255 - ideal).mean()
