"""SMIC, MMEW, 4DME, DFME and a dataset of the user's own, from their formats with their oddities."""

import pytest

from flowkit.datasets.dfme import DFME
from flowkit.datasets.four_dme import FOUR_DME
from flowkit.datasets.generic import generic
from flowkit.datasets.indexing import index_dataset
from flowkit.datasets.mmew import MMEW
from flowkit.datasets.repairs import read_repairs
from flowkit.datasets.sheets import read_sheets
from flowkit.datasets.smic import SMIC
from flowkit.errors import InputError
from tests.clips import video
from tests.datasets.trees import comma, frames, xlsx


def index(dataset, root, *files, **options):
    return index_dataset(dataset, root, read_sheets(files), **options)


def test_smic_names_frames_by_the_clock(tmp_path):
    header = ["Subject", "Filename", "OnsetF", "OffsetF", "Emotion", "FirstF"]
    rows = [
        [1, "s01_ne_01", 17585998, 17590001, "negative", 17585990],
        ["s2", "s2_po_01", 105, 108, "po", 100],
        [3, "s03_sur_01", 4, 900, "sur", 1],
        [None] * 6,
        ["onset, offset: frames of the long video"],
        ["FirstF: its first frame"],
    ]
    # Over the end of a minute the names jump; the second folder is padded otherwise than its row.
    clock = [*range(17585990, 17586000), *range(17590000, 17590004)]
    frames(tmp_path / "HS" / "s01" / "micro" / "negative" / "s01_ne_01", clock, "image{}.jpg")
    frames(tmp_path / "HS" / "s02" / "micro" / "positive" / "s02_po_01", range(9105, 9119), "image{}.jpg")
    frames(tmp_path / "HS" / "s03" / "micro" / "surprise" / "s03_sur_01", range(7000, 7010), "image{}.jpg")
    found = index(SMIC, tmp_path, xlsx(tmp_path / "SMIC-HS.xlsx", {"HS": [header, *rows]}))
    first, second, third = found.clips
    assert (first.clip_id, first.subject, first.fps) == ("smic/s01/s01_ne_01", "s01", 100)
    assert (first.onset, first.apex, first.offset) == (17585998, None, 17590001)
    assert (first.emotion, first.emotion3, first.defects) == ("negative", "negative", ())
    # Counted from FirstF: the fifth and the eighth file behind the first.
    assert (second.onset, second.offset, second.emotion) == (9110, 9113, "positive")
    assert second.source.endswith("s02_po_01")
    # Outside of its folder: the numbers stay, and are told.
    assert (third.onset, third.offset) == (4, 900)
    assert [(one.row, one.value) for one in found.defects if one.failed] == [(4, "4"), (4, "900")]
    text = [(one.row, one.done) for one in found.defects if "a row of text" in one.what]
    assert text == [(6, "skipped"), (7, "skipped")]
    assert any("SMIC has no apexes" in note for note in found.notes)


def test_a_frame_of_smic_that_is_missing_is_told_and_no_other_takes_its_place(tmp_path):
    header = ["Subject", "Filename", "OnsetF", "OffsetF", "Emotion", "FirstF"]
    rows = [[1, "s01_ne_01", 17581041, 17581045, "ne", 17581039], [1, "s01_ne_02", 17581041, 17581099, "ne", 17581030]]
    for name in ("s01_ne_01", "s01_ne_02"):
        folder = tmp_path / "HS" / "s01" / "micro" / "negative" / name
        frames(folder, [17581039, *range(17581042, 17581060)], "image{}.jpg")
    found = index(SMIC, tmp_path, xlsx(tmp_path / "a.xlsx", {"HS": [header, *rows]}))
    assert [(clip.onset, clip.offset) for clip in found.clips] == [(17581041, 17581045), (17581041, 17581099)]
    assert [(one.row, one.value) for one in found.defects if one.failed] == [
        (2, "17581041"),
        (3, "17581041"),
        (3, "17581099"),
    ]


SMIC_HEADER = ["Subject", "Filename", "OnsetF", "OffsetF", "Emotion", "FirstF"]


def smic(folder, clips):
    """Clips (numbers of names, onset, offset), counted from FirstF 1000, of as many subjects."""
    rows = []
    for i, (numbers, onset, offset) in enumerate(clips, start=1):
        frames(folder / "HS" / f"s{i:02d}" / "micro" / "negative" / f"s{i:02d}_ne_01", numbers, "image{}.jpg")
        rows.append([i, f"s{i:02d}_ne_01", onset, offset, "ne", 1000])
    return index(SMIC, folder, comma(folder / "a.csv", [SMIC_HEADER, *rows]))


def test_smic_does_not_count_past_a_file_that_is_missing(tmp_path):
    clock = [*range(17585980, 17586000), *range(17590000, 17590020)]
    lacking = [number for number in clock if number != 17590003]
    found = smic(tmp_path, [*[(clock, 1010, 1030)] * 2, (lacking, 1010, 1030), (lacking, 1010, 1022)])
    assert [(clip.onset, clip.offset) for clip in found.clips] == [
        *[(17585990, 17590010)] * 2,
        (1010, 1030),
        (17585990, 17590002),
    ]
    assert {(one.row, one.failed) for one in found.defects} == {(4, True)}
    assert any("lacks files between image17590002.jpg and image17590004.jpg" in one.what for one in found.defects)


def test_smic_tells_a_file_that_is_missing_between_names(tmp_path):
    clock = [*range(17581000, 17581040)]
    lacking = [number for number in clock if number != 17581020]
    clips = [*[(clock, 17581010, 17581030)] * 2, (lacking, 17581010, 17581030), (lacking, 17581021, 17581030)]
    found = smic(tmp_path, clips)
    assert [(clip.onset, clip.offset) for clip in found.clips] == [clip[1:] for clip in clips]
    (defect,) = found.defects
    assert (defect.row, defect.failed) == (4, True)
    assert "lacks files between image17581019.jpg and image17581021.jpg" in defect.what


def test_smic_has_no_files_missing_where_its_clock_goes_on_unequally(tmp_path):
    unequal = [5000, 5009, 5019, 5029, 5038, 5048]
    skipping = [5000, 5001, 5002, 5004, 5005, 5006]
    found = smic(tmp_path, [(unequal, 1001, 1004), (skipping, 1001, 1004), (skipping, 1001, 1002)])
    assert [(clip.onset, clip.offset) for clip in found.clips] == [(5009, 5038), (5001, 5005), (5001, 5002)]
    (defect,) = found.defects
    assert (defect.row, defect.failed) == (3, False)
    assert "the clock skips between image5002.jpg and image5004.jpg, as in most clips" in defect.what


def test_smic_folders_that_may_be_either_are_told(tmp_path):
    header = ["Subject", "Filename", "OnsetF", "OffsetF", "Emotion", "FirstF"]
    folder = tmp_path / "HS" / "s01" / "micro" / "negative"
    frames(folder / "s1_ne_01", range(1, 9))
    rows = [[1, "s01_ne_01", 1, 8, "negative", 1], [1, "s1_ne_01", 1, 8, "negative", 1]]
    file = xlsx(tmp_path / "a.xlsx", {"HS": [header, *rows]})
    found = index(SMIC, tmp_path, file)
    assert [(one.row, "row 2 (smic/s01/s01_ne_01) has the same folder" in one.what) for one in found.defects] == [
        (3, True)
    ]
    frames(folder / "s01_ne_01", range(1, 9))
    assert index(SMIC, tmp_path, file).failed == 0
    frames(folder / "s001_ne_01", range(1, 9))
    rows[1][1] = "s0001_ne_01"
    found = index(SMIC, tmp_path, xlsx(tmp_path / "a.xlsx", {"HS": [header, *rows]}))
    (defect,) = [one for one in found.defects if one.failed]
    assert "may be any of" in defect.what


def test_mmew_keeps_others_in_a_folder_of_another_name(tmp_path):
    header = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]
    header += ["remarks"]
    rows = [
        ["1", "S01-01-001", 1, 8, 15, "12L", "happiness", None],
        ["01", "S01-02-003", 1, 5, 9, "L12", "others", "blinks"],
        [2, "S02-01-001", 2, 5, 9, "4", "anger", None],
    ]
    unsaid = [2, "S02-01-002", 1, 5, 9, "4", "/", None]  # stays, without its folder, which the emotion names
    for row, emotion in zip(rows, ("happiness", "repression", "anger"), strict=True):
        frames(tmp_path / "Micro_Expression" / emotion / row[1], range(1, 17), "{}.jpg")
    found = index(MMEW, tmp_path, xlsx(tmp_path / "MMEW.xlsx", {"s": [header, *rows]}))
    first, second, third = found.clips
    assert (first.clip_id, first.subject, first.fps) == ("mmew/S01-01-001", "S01", 90)
    assert second.source == str(tmp_path / "Micro_Expression/repression/S01-02-003")
    assert (second.emotion, second.emotion3, second.defects) == ("others", None, ())
    assert any("clips of MMEW begin with frame 1" in defect for defect in third.defects)
    assert found.failed == 0
    found = index(MMEW, tmp_path, xlsx(tmp_path / "MMEW.xlsx", {"s": [header, *rows, unsaid]}))
    assert (len(found.clips), found.clips[3].emotion, found.failed) == (4, None, 1)


def test_4dme_clips_show_several_classes(tmp_path):
    header = ["sub_ID", "fold_name", "Emotion", "Onset", "Apex", "Offset", "AUs", "Positive", "Negative", "Surprise"]
    header += ["Repression", "Others"]
    rows = [
        ["DSM01", "clip_1", "Positive", "12.0", "15.0", 20.0, "12+4(k)", 1, 0, 0, 0, 0],
        ["DSM01", "clip_2", "Negative, Repression", 1, 2, 3, "4", 0, 1, 0, 1, 0],
        ["DSM02", "clip_1", "Positive, Surprise", 1, 2.5, 3, "1+2", 1, 0, 1, 0, 0],
        ["DSM02", "clip_2", "Others", 1, 2, 3, "7", 0, 0, 0, 0, 1],
        ["DSM02", "clip_3", "Surprise", 1, 2, 3, "7", "-", "N/A", 1, None, "/"],
    ]
    for row in rows:
        frames(tmp_path / "gray_micro" / row[0] / row[1], range(1, 25), "{:03d}.jpg")
    found = index(FOUR_DME, tmp_path, comma(tmp_path / "4DME.csv", [header, *rows]))
    first, second, third, fourth, fifth = found.clips
    assert (first.onset, first.apex, first.offset, first.fps) == (12, 15, 20, None)
    assert [clip.emotion3 for clip in found.clips] == ["positive", "negative", None, None, "surprise"]
    assert first.defects == second.defects == fourth.defects == fifth.defects == ()
    assert any("marked as positive and surprise" in defect for defect in third.defects)
    assert [(one.row, one.column, one.value) for one in found.defects if one.failed] == [(4, "Apex", "2.5")]
    assert third.apex is None
    assert index(FOUR_DME, tmp_path, tmp_path / "4DME.csv", fps=60).clips[0].fps == 60


def test_4dme_is_marked_by_truth_and_by_nothing_else(tmp_path):
    header = ["sub_ID", "fold_name", "Onset", "Apex", "Offset", "Positive", "Negative", "Surprise", "Repression"]
    rows = [
        ["A", "c1", 1, 2, 3, True, False, False, False, False],
        ["A", "c2", 1, 2, 3, "false", "True", "FALSE", 0, "false"],
        ["A", "c3", 1, 2, 3, 0, 1, "no", 0, 0],
        ["A", "c4", 1, 2, 3, 0, 2, 0, 0, 0],
        ["A", "c5", 1, 2, 3, False, False, False, False, False],
    ]
    for row in rows:
        frames(tmp_path / row[0] / row[1], range(1, 4))
    found = index(FOUR_DME, tmp_path, xlsx(tmp_path / "4DME.xlsx", {"s": [[*header, "Others"], *rows]}))
    assert [clip.emotion3 for clip in found.clips] == ["positive", "negative", None, None, None]
    told = [(one.row, one.column, one.value, one.what) for one in found.defects if one.failed]
    assert told == [
        (4, "Surprise", "no", "neither 0 nor 1"),
        (5, "Negative", "2", "neither 0 nor 1"),
        (6, "emotion", "", "no class is marked"),
    ]


def test_dfme_has_a_rate_a_row_and_numbers_from_0(tmp_path):
    header = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Emotion", "EmotionId", "Fps", "AU"]
    rows = [
        ["sub0003", "sub0003_01", 0, 20, 95, "disgust", 1, 500, "AD38"],
        ["sub0003", "sub0003_02", 3, 20, 40, "happiness", 2, "300", "M58"],
        ["sub0004", "sub0003_03", 0, 20, 40, "surprise", 3, "fast", "L1+L2"],
        ["sub0003", "sub0003_04", 0, 20, 40, "surprise", 3, None, "L1+L2"],
    ]
    for row in rows:
        frames(tmp_path / row[1], range(100), "{:05d}.png")
    found = index(DFME, tmp_path, comma(tmp_path / "DFME.csv", [header, *rows]))
    first, second, third, fourth = found.clips
    assert (first.clip_id, first.onset, first.fps, first.defects) == ("dfme/sub0003_01", 0, 500, ())
    assert (second.fps, second.emotion3, second.au) == (300, "positive", "M58")
    assert third.fps is fourth.fps is None
    assert [(one.row, one.value) for one in found.defects if one.column == "Fps"] == [(4, "fast"), (5, "")]
    assert found.failed == 2
    assert index(DFME, tmp_path, tmp_path / "DFME.csv", fps=200).failed == 0
    assert any("begins with another subject than sub0004" in defect for defect in third.defects)


def test_a_dataset_of_ones_own_with_named_columns(tmp_path):
    rows = [["who", "Take", "Start", "Top", "End", "felt", "Day"], ["Anna", "t1", 1, 3, 5, "happy", "d1"]]
    frames(tmp_path / "d1" / "Anna" / "t1", range(1, 6), "f{}.png")
    columns = {"subject": "who", "filename": "Take", "onset": "Start", "apex": "Top", "offset": "End"}
    columns |= {"emotion": "felt", "day": "Day"}
    dataset = generic("lab7", columns, "{day}/{subject}/{filename}")
    (clip,) = index(dataset, tmp_path, comma(tmp_path / "m.csv", rows), fps=50).clips
    assert (clip.clip_id, clip.subject, clip.person) == ("lab7/Anna/t1", "Anna", "lab7/Anna")
    assert (clip.onset, clip.apex, clip.offset, clip.fps, clip.emotion3) == (1, 3, 5, 50, "positive")
    assert clip.source == str(tmp_path / "d1/Anna/t1")


@pytest.mark.parametrize("folder", ["{subject}/{filename}/", "./{subject}/{filename}", "{subject}//{filename}"])
def test_a_template_may_be_written_as_shells_complete_it(tmp_path, folder):
    frames(tmp_path / "Anna" / "t1", [1, 3])
    file = comma(tmp_path / "m.csv", [["subject", "filename", "onset", "apex"], ["Anna", "t1", 1, 3]])
    found = index(generic("lab", {}, folder), tmp_path, file)
    assert (found.defects, found.clips[0].source) == ([], str(tmp_path / "Anna" / "t1"))


def test_names_with_accents_are_found_however_a_disk_writes_them(tmp_path):
    frames(tmp_path / "Jose\u0301" / "t1", [1, 3])
    file = comma(tmp_path / "m.csv", [["subject", "filename", "onset", "apex"], ["Jos\u00e9", "t1", 1, 3]])
    found = index(generic("lab", {}, "{subject}/{filename}"), tmp_path, file)
    assert found.defects == []
    assert found.clips[0].source == str(tmp_path / "Jose\u0301" / "t1")


@pytest.mark.parametrize("dataset", [generic("lab", {}, "{subject}/{filename}"), FOUR_DME])
def test_subjects_keep_their_zeros_where_a_dataset_has_no_numbers(tmp_path, dataset):
    subjects = ["001", "01", "1.0", "A1"]
    header = ["sub_ID", "fold_name", "Subject", "Filename", "Onset", "Apex", "Offset", "Positive", "Negative"]
    rows = [[subject, "c", subject, "c", 1, 2, 3, 1, 0, 0, 0, 0] for subject in subjects]
    for subject in ("001", "01", "1", "A1"):
        frames(tmp_path / subject / "c", range(1, 4))
    file = comma(tmp_path / "m.csv", [[*header, "Surprise", "Repression", "Others"], *rows])
    found = index(dataset, tmp_path, file)
    assert found.failed == 0
    assert [clip.person for clip in found.clips] == [f"{dataset.name}/{one}" for one in ("001", "01", "1", "A1")]
    assert [clip.source for clip in found.clips] == [str(tmp_path / one / "c") for one in ("001", "01", "1", "A1")]


def test_4dme_has_the_class_of_a_repaired_emotion(tmp_path):
    header = ["sub_ID", "fold_name", "Emotion", "Onset", "Apex", "Offset", "AUs", "Positive", "Negative", "Surprise"]
    rows = [[*header, "Repression", "Others"], ["A", "c", "Positive", 1, 2, 3, "12", 1, 0, 0, 0, 0]]
    frames(tmp_path / "A" / "c", range(1, 4))
    repairs = [["clip_id", "field", "old", "new", "why"], ["4dme/A/c", "emotion", "Positive", "surprise", "recoded"]]
    read = read_repairs(comma(tmp_path / "r.csv", repairs))
    (clip,) = index(FOUR_DME, tmp_path, comma(tmp_path / "m.csv", rows), repairs=read).clips
    assert (clip.emotion, clip.emotion3) == ("surprise", "surprise")


def test_frames_that_a_video_cannot_have_are_told(tmp_path):
    (tmp_path / "s1").mkdir()
    video(tmp_path / "s1" / "Talk.MP4", 6)
    (tmp_path / "s1" / "torn.mp4").write_bytes(b"no video")
    header = ["subject", "filename", "onset", "apex", "offset"]
    rows = [["S1", "talk", 0, 6, 900], ["s1", "torn", 0, 1, 2]]
    found = index(generic("lab", {}, "{subject}/{filename}.mp4"), tmp_path, comma(tmp_path / "m.csv", [header, *rows]))
    assert found.clips[0].source == str(tmp_path / "s1" / "Talk.MP4")
    assert (found.clips[0].apex, found.clips[0].offset) == (6, 900)
    assert [(one.row, one.column, one.failed) for one in found.defects] == [
        (2, "apex", True),
        (2, "offset", True),
        (3, "filename", True),
    ]
    assert "has no frame 6, it has 6 at most, from 0 on" in found.defects[0].what
    assert "cannot be read as a video" in found.defects[2].what


def test_a_dataset_of_ones_own_may_be_videos(tmp_path):
    video(tmp_path / "a.mp4", 3)
    file = comma(tmp_path / "m.csv", [["subject", "filename", "onset"], ["s1", "a", 1], ["s1", "b", 1]])
    found = index(generic("lab", {}, "{filename}.mp4"), tmp_path, file)
    assert [clip.source for clip in found.clips] == [str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4")]
    assert [(one.row, one.failed) for one in found.defects] == [(3, True)]


@pytest.mark.parametrize(
    ("name", "columns", "folder", "told"),
    [
        ("a b", {}, "{subject}", "--name 'a b'"),
        ("x", {}, "{subjekt}", "'subjekt' is no field"),
        ("x", {}, "{subject", "--folder '{subject'"),
        ("x", {}, "{subject:02d}/{filename}", "--folder '{subject:02d}/{filename}': .*; write {subject} without"),
        ("x", {}, "s{subject}/{filename!x}", "write {filename} without a format"),
        ("x", {}, "/{subject}/{filename}", "give the path below ROOT"),
        ("x", {}, "../{subject}/{filename}", "give the path below ROOT"),
    ],
)
def test_a_template_that_is_none_is_refused(name, columns, folder, told):
    with pytest.raises(InputError, match=told):
        generic(name, columns, folder)
