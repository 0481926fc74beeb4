"""Boxes from a file."""

import pickle

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flowkit.errors import FrameError, InputError
from flowkit.faces.finding import parse_face
from flowkit.faces.fit import crop
from flowkit.frames.survey import Survey
from flowkit.types import Box, Clip

CLIP = Clip(clip_id="s1/a", source="a")
SURVEY = Survey(None, (10, 20), "", None)
"""Of a clip that nobody has to open: its box is given."""
HEADER = "clip_id,left,top,width,height\n"


def given(tmp_path, text):
    path = tmp_path / "boxes.csv"
    path.write_text(HEADER + text, encoding="utf-8")
    return parse_face(f"boxes:{path}")


def box_of(face, clip=CLIP):
    """The clip's box in frames of (10, 20)."""
    return crop(face.find(clip, SURVEY), (10, 20)).box


def test_none_is_the_whole_frame():
    assert parse_face("none").find(CLIP, SURVEY) is None


def test_boxes_from_csv_and_parquet(tmp_path):
    face = given(tmp_path, " s1/a , 2,1.0,5,4\nb,0,0,20,10\n")
    assert box_of(face) == Box(left=2, top=1, width=5, height=4)
    assert box_of(face, Clip(clip_id="b", source="b")) == Box(left=0, top=0, width=20, height=10)

    columns = {"clip_id": ["s1/a", "b"], "left": [2, 0], "top": [1.0, 0.0], "width": [5, 20], "height": [4, 10]}
    pq.write_table(pa.table(columns), tmp_path / "boxes.parquet")
    same = parse_face(f"boxes:{tmp_path / 'boxes.parquet'}")
    assert same == face
    assert pickle.loads(pickle.dumps(same)) == face


def test_eyes_are_found_beside_a_note_with_commas(tmp_path):
    (tmp_path / "boxes.csv").write_text(
        "clip_id;left;top;width;height;left_eye_x;left_eye_y;right_eye_x;right_eye_y;note (a,b,c,d,e,f,g,h,i,j)\n"
        "s1/a;2;1;5;4;4;2;6;2;x\n"
    )
    assert parse_face(f"boxes:{tmp_path / 'boxes.csv'}").find(CLIP, SURVEY).eyes == ((4, 2), (6, 2))


def test_digest_follows_the_boxes_and_not_their_file(tmp_path):
    face = given(tmp_path, "a,2,1,5,4\nb,0,0,2,2\n")
    assert face.digest == given(tmp_path, "b,0,0,2,2\na,2,1,5,4\n").digest
    others = {given(tmp_path, "a,2,1,5,5\nb,0,0,2,2\n").digest, given(tmp_path, "a,2,1,5,4\n").digest}
    assert len(others | {face.digest, parse_face("none").digest}) == 4


def test_clip_without_a_box_fails_alone(tmp_path):
    face = given(tmp_path, "b,0,0,20,10\n")
    with pytest.raises(FrameError, match="s1/a: the boxes file has no box"):
        box_of(face)


@pytest.mark.parametrize("row", ["16,0,5,4", "0,7,5,4", "-1,0,5,4", "0,-1,5,4"])
def test_box_outside_the_frame_is_told_with_its_values(tmp_path, row):
    face = given(tmp_path, f"s1/a,{row}\n")
    left, top, width, height = row.split(",")
    with pytest.raises(FrameError) as caught:
        box_of(face)
    assert f"left={left}, top={top}, width={width}, height={height}" in str(caught.value)
    assert "20 x 10 px" in str(caught.value)


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
