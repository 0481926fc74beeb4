"""A dataset of the user's own: columns by name, several expressions of one video, videos that count from 1."""

import pytest

from flowkit.datasets.generic import generic
from flowkit.datasets.indexing import index_dataset
from flowkit.datasets.repairs import read_repairs
from flowkit.datasets.sheets import read_sheets
from flowkit.errors import InputError
from tests.clips import video
from tests.datasets.trees import comma, frames

HEADER = ["subject", "filename", "onset", "apex", "offset"]


def index(root, rows, columns=None, folder="{subject}/{filename}", **options):
    sheets = read_sheets([comma(root / "m.csv", rows)])
    return index_dataset(generic("lab", columns or {}, folder), root, sheets, **options)


def failed(found):
    return [(one.row, one.column, one.value) for one in found.defects if one.failed]


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("onst", r"--column: 'onst' \(is it 'onset'\?\) is neither a field nor in --folder .*; fields are subject, f"),
        ("apx", r"'apx' \(is it 'apex'\?\)"),
        ("day", "'day' is neither a field nor in --folder '{subject}/{filename}'"),
    ],
)
def test_a_column_of_no_field_is_refused(field, told):
    with pytest.raises(InputError, match=told):
        generic("lab", {field: "Start"}, "{subject}/{filename}")


def test_columns_of_labels_and_of_the_folder_may_be_named(tmp_path):
    frames(tmp_path / "d1" / "Anna" / "t1", range(1, 6))
    rows = [[*HEADER, "Herkunft", "Tag"], ["Anna", "t1", 1, 3, 5, 2, "d1"]]
    found = index(tmp_path, rows, {"race": "Herkunft", "day": "Tag"}, "{day}/{subject}/{filename}")
    assert (found.clips[0].ethnicity, found.failed) == ("asian", 0)


def test_a_header_of_marks_alone_is_no_column_without_a_header(tmp_path):
    frames(tmp_path / "Anna" / "t1", range(1, 6))
    rows = [["", "subject", "#", "onset", "apex", "offset"], ["x", "Anna", "t1", 1, 3, 5]]
    (clip,) = index(tmp_path, rows, {"filename": "#"}).clips
    assert clip.clip_id == "lab/Anna/t1"


def test_keyframes_without_a_column_are_told(tmp_path):
    frames(tmp_path / "Anna" / "t1", range(1, 6))
    rows = [["subject", "filename", "Start", "Peak", "offset"], ["Anna", "t1", 1, 3, 5]]
    note = "no column onset or apex, so no clip has one: name it by --column onset=HEADER, if it is one of subject"
    notes = index(tmp_path, rows).notes
    assert [one for one in notes if one.startswith(note)]
    assert any("subject, filename, Start, Peak, offset" in one for one in notes)
    notes = index(tmp_path, rows, {"onset": "Start"}).notes
    assert [one.split(":")[0] for one in notes if "no column" in one] == ["no column apex, so no clip has one"]
    repairs = [["clip_id", "field", "old", "new", "why"], ["lab/Anna/t1", "apex", None, 3, "seen"]]
    read = read_repairs(comma(tmp_path / "r.csv", repairs))
    assert "no column apex" in " ".join(index(tmp_path, rows, {"onset": "Start"}, repairs=read).notes)
    assert "no column" not in " ".join(index(tmp_path, rows, {"onset": "Start", "apex": "Peak"}).notes)


def test_a_header_that_the_sheet_lacks_is_told_with_those_that_it_has(tmp_path):
    told = (
        r"m.csv has no row with the header of lab \(subject, filename, Strat\); row 1 comes nearest, without Strat: "
        "its columns are 'subject', 'filename', 'Start'; correct --column"
    )
    rows = [["subject", "filename", None, "Start"], ["Anna", "t1", None, 1]]
    with pytest.raises(InputError, match=told):
        index(tmp_path, rows, {"onset": "Strat"})
    told = r"of lab \(who, take\); row 2 has 'subject', 'filename', 'Start'; correct --column"
    with pytest.raises(InputError, match=told):
        index(tmp_path, [["Our coding"], *rows], {"subject": "who", "filename": "take"})


def test_several_expressions_of_one_video_have_the_onset_in_their_key(tmp_path):
    frames(tmp_path / "Anna" / "t1", range(1, 30))
    frames(tmp_path / "Anna" / "t2", range(1, 30))
    rows = [
        ["Anna", "t1", 1, 3, 5],
        ["Anna", "t2", 1, 3, 5],
        ["Anna", "t1", "10.0", 13, 15],
        ["Anna", "t1", "+10", 14, 16],
        ["Anna", "t1", "/", 20, 21],
        ["Anna", "t2", 1, 4, 5],
    ]
    found = index(tmp_path, [HEADER, *rows])
    assert [clip.clip_id for clip in found.clips] == ["lab/Anna/t1/1", "lab/Anna/t2", "lab/Anna/t1/10", "lab/Anna/t1"]
    assert {clip.source for clip in found.clips} == {str(tmp_path / "Anna" / name) for name in ("t1", "t2")}
    assert [(one.row, one.what) for one in found.defects if one.failed] == [
        (5, "row 4 has the same key"),
        (6, "no onset is annotated"),
        (7, "row 3 has the same key"),
    ]
    assert "clips whose subject and file name recur with another onset, which is in their clip_id: 2" in found.notes
    repairs = [["clip_id", "field", "old", "new", "why"], ["lab/Anna/t1/10", "onset", 10, 11, "seen"]]
    read = read_repairs(comma(tmp_path / "r.csv", repairs))
    assert index(tmp_path, [HEADER, *rows], repairs=read).clips[2].onset == 11


def test_two_names_of_one_folder_are_told_beside_several_expressions(tmp_path):
    frames(tmp_path / "s1" / "t1", range(1, 30))
    rows = [["s1", "t1", 1, 3, 5], ["s1", "t1", 10, 12, 15], ["s01", "t1", 20, 22, 25]]
    found = index(tmp_path, [HEADER, *rows])
    assert len(found.clips) == 3
    assert [(one.row, "has the same folder" in one.what) for one in found.defects if one.failed] == [(4, True)]


def test_two_names_of_one_video_are_told_beside_several_expressions(tmp_path):
    (tmp_path / "s1").mkdir()
    video(tmp_path / "s1" / "take1.avi", 30)
    rows = [["s1", "take1", 1, 3, 5], ["s1", "take1", 10, 12, 15], ["s1", "take01", 20, 22, 25]]
    found = index(tmp_path, [HEADER, *rows], folder="{subject}/{filename}.avi")
    assert {clip.source for clip in found.clips} == {str(tmp_path / "s1" / "take1.avi")}
    assert [(one.row, one.what) for one in found.defects if one.failed] == [
        (4, "row 2 (lab/s1/take1/1) has the same video")
    ]
    # A layout that names one video for several clips means it.
    found = index(tmp_path, [HEADER, *rows], folder="{subject}/take1.avi")
    assert (len(found.clips), found.failed) == (3, 0)


def test_videos_that_count_from_1_have_a_base(tmp_path):
    video(tmp_path / "a.avi", 6)
    frames(tmp_path / "b", range(1, 7))
    rows = [HEADER, ["s1", "a.avi", 1, 3, 6], ["s1", "b", 1, 3, 6]]
    found = index(tmp_path, rows, folder="{filename}")
    (defect,) = [one for one in found.defects if one.failed]
    assert (defect.row, defect.column) == (2, "offset")
    assert "has no frame 6, it has 6 at most, from 0 on" in defect.what
    assert defect.done.endswith("or give --frame-base 1, or a column frame_base, if the sheet counts from 1")
    assert any("frames of videos are counted from 0: give --frame-base 1" in note for note in found.notes)
    found = index(tmp_path, rows, folder="{filename}", frame_base=1)
    assert (found.failed, [clip.frame_base for clip in found.clips]) == (0, [1, 0])
    assert not any("counted from 0" in note for note in found.notes)
    # Far behind the end, another base is no remedy.
    found = index(tmp_path, [HEADER, ["s1", "a.avi", 1, 3, 9]], folder="{filename}")
    assert "frame-base" not in found.defects[0].done


def test_a_column_says_the_base_of_each_video(tmp_path):
    for name in "abcd":
        video(tmp_path / f"{name}.avi", 3)
    frames(tmp_path / "e", range(1, 4))
    bases = {"a.avi": 1, "b.avi": 0, "c.avi": None, "d.avi": -1, "e": 1}
    rows = [[*HEADER, "First"], *(["s1", name, 1, 2, 2, base] for name, base in bases.items())]
    found = index(tmp_path, rows, {"frame_base": "First"}, "{filename}")
    assert [clip.frame_base for clip in found.clips] == [1, 0, 0, 0, 0]
    assert failed(found) == [(5, "First", "-1")]
    assert [(one.row, one.done) for one in found.defects if not one.failed] == [(6, "it is not used")]
    assert not any("counted from 0" in note for note in found.notes)
    overridden = index(tmp_path, rows, {"frame_base": "First"}, "{filename}", frame_base=1)
    assert [clip.frame_base for clip in overridden.clips] == [1, 1, 1, 1, 0]


@pytest.mark.parametrize(("base", "told"), [(1, "no source is a video, and frames of a folder"), (-1, "0 or above")])
def test_a_base_that_nothing_has_is_refused(tmp_path, base, told):
    frames(tmp_path / "s1" / "a", range(1, 4))
    with pytest.raises(InputError, match=f"--frame-base {base}: .*{told}"):
        index(tmp_path, [HEADER, ["s1", "a", 1, 2, 3]], frame_base=base)


def test_emotions_that_are_not_known_are_counted(tmp_path):
    frames(tmp_path / "s1" / "a", range(1, 30))
    names = ["hapiness", "calm", "Calm", "happy", "other", "n/a"]
    rows = [["s1", "a", i, i, i, name] for i, name in enumerate(names, start=1)]
    found = index(tmp_path, [[*HEADER, "emotion"], *rows])
    assert [clip.emotion for clip in found.clips] == ["hapiness", "calm", "calm", "happiness", "others", None]
    assert found.failed == 0
    told = "emotions that are not known, and in no class: 'calm' (2), 'hapiness' (is it 'happiness'?) (1)"
    assert told in found.notes
