"""Boxes from a file, crop and resize."""

import pickle

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flowkit.errors import FrameError, InputError
from flowkit.faces.boxes import parse_face
from flowkit.frames.prepare import parse_size, prepare
from flowkit.types import Box, Clip

CLIP = Clip(clip_id="s1/a", source="a")
HEADER = "clip_id,left,top,width,height\n"


def given(tmp_path, text):
    path = tmp_path / "boxes.csv"
    path.write_text(HEADER + text, encoding="utf-8")
    return parse_face(f"boxes:{path}")


def ramp(height, width, dtype=np.uint8):
    """Row number in tens, column number in parts: each pixel says where it is."""
    return (10 * np.arange(height)[:, None] + np.arange(width)).astype(dtype)


def test_none_is_the_whole_frame():
    assert parse_face("none").box(CLIP, (10, 20)) is None


def test_boxes_from_csv_and_parquet(tmp_path):
    face = given(tmp_path, " s1/a , 2,1.0,5,4\nb,0,0,20,10\n")
    assert face.box(CLIP, (10, 20)) == Box(left=2, top=1, width=5, height=4)
    assert face.box(Clip(clip_id="b", source="b"), (10, 20)) == Box(left=0, top=0, width=20, height=10)

    columns = {"clip_id": ["s1/a", "b"], "left": [2, 0], "top": [1.0, 0.0], "width": [5, 20], "height": [4, 10]}
    pq.write_table(pa.table(columns), tmp_path / "boxes.parquet")
    same = parse_face(f"boxes:{tmp_path / 'boxes.parquet'}")
    assert same == face
    assert pickle.loads(pickle.dumps(same)) == face


def test_digest_follows_the_boxes_and_not_their_file(tmp_path):
    face = given(tmp_path, "a,2,1,5,4\nb,0,0,2,2\n")
    assert face.digest == given(tmp_path, "b,0,0,2,2\na,2,1,5,4\n").digest
    others = {given(tmp_path, "a,2,1,5,5\nb,0,0,2,2\n").digest, given(tmp_path, "a,2,1,5,4\n").digest}
    assert len(others | {face.digest, parse_face("none").digest}) == 4


def test_clip_without_a_box_fails_alone(tmp_path):
    face = given(tmp_path, "b,0,0,20,10\n")
    with pytest.raises(FrameError, match="s1/a: the boxes file has no box"):
        face.box(CLIP, (10, 20))


@pytest.mark.parametrize("row", ["16,0,5,4", "0,7,5,4", "-1,0,5,4", "0,-1,5,4"])
def test_box_outside_the_frame_is_told_with_its_values(tmp_path, row):
    face = given(tmp_path, f"s1/a,{row}\n")
    left, top, width, height = row.split(",")
    with pytest.raises(FrameError) as caught:
        face.box(CLIP, (10, 20))
    assert f"left={left}, top={top}, width={width}, height={height}" in str(caught.value)
    assert "20 x 10 px" in str(caught.value)
    with pytest.raises(FrameError, match="not inside"):
        prepare(ramp(10, 20), Box(*map(int, row.split(","))), None)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,1,1,2,2\na,1,1,2,2\n", "line 3, clip 'a': the clip has two boxes"),
        ("a,1.5,1,2,2\n", "line 2, clip 'a': left='1.5'"),
        ("a,1,1,0,2\n", "line 2, clip 'a': a box of 0 x 2 px"),
        ("a,1,1,2,-2\n", "line 2, clip 'a': a box of 2 x -2 px"),
        ("a,1,1,2,\n", "line 2, clip 'a': height is empty"),
        (",1,1,2,2\n", "line 2: clip_id is empty"),
    ],
)
def test_bad_box_is_refused_at_once(tmp_path, text, told):
    with pytest.raises(InputError) as caught:
        given(tmp_path, text)
    assert told in str(caught.value)


@pytest.mark.parametrize("text", ["", "auto", "none:", "boxes", "boxes:", "boxes:absent.csv", "boxes:absent.txt"])
def test_unusable_face_is_refused(text):
    with pytest.raises(InputError):
        parse_face(text)


def test_size_is_a_side_or_width_by_height():
    assert parse_size("224") == (224, 224)
    assert parse_size("320x180") == (180, 320)
    for text in ("", "0", "0x5", "-3", "12.5", "5x", "x5", "1x2x3", "224 "):
        with pytest.raises(InputError, match="WIDTHxHEIGHT"):
            parse_size(text)


def test_crop_is_the_box_exactly():
    frame = ramp(10, 10)
    cropped = prepare(frame, Box(left=2, top=5, width=3, height=2), None)
    assert cropped.tolist() == [[52, 53, 54], [62, 63, 64]]
    colour = prepare(np.dstack([frame] * 3), Box(left=2, top=5, width=3, height=2), (2, 3))
    assert colour.tolist() == np.dstack([cropped] * 3).tolist()


@pytest.mark.parametrize("size", [None, (10, 12)])
def test_frame_of_the_size_comes_back_itself(size):
    frame = ramp(10, 12)
    assert prepare(frame, None, size) is frame


def test_shrinking_averages_areas():
    frame = np.random.default_rng(0).integers(0, 65536, (12, 8), dtype=np.uint16)
    shrunk = prepare(frame, None, (6, 2))
    means = frame.reshape(6, 2, 2, 4).mean(axis=(1, 3))
    assert shrunk.dtype == np.uint16
    assert np.abs(shrunk - means).max() <= 0.5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_growing_is_cubic(dtype):
    frame = np.random.default_rng(0).integers(0, 256, (6, 5), dtype=np.uint8).astype(dtype)
    grown = prepare(frame, None, (12, 15))
    assert grown.dtype == dtype
    assert np.array_equal(grown, cv2.resize(frame, (15, 12), interpolation=cv2.INTER_CUBIC))


def test_sides_are_treated_apart():
    """Averaging rows of equal pairs loses nothing, so only the columns' interpolation is left."""
    rows = np.random.default_rng(0).integers(0, 256, (6, 5), dtype=np.uint8)
    mixed = prepare(np.repeat(rows, 2, axis=0), None, (6, 15))
    assert np.array_equal(mixed, prepare(rows, None, (6, 15)))


def test_colour_keeps_its_channels():
    frame = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    resized = prepare(frame, Box(left=1, top=1, width=6, height=4), (2, 3))
    assert resized.shape == (2, 3, 3)
    for channel in range(3):
        alone = prepare(np.ascontiguousarray(frame[..., channel]), Box(left=1, top=1, width=6, height=4), (2, 3))
        assert np.array_equal(resized[..., channel], alone)
