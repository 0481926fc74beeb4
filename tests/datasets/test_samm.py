"""SAMM and SAMM Long Videos: lines before the header, the same people, and the join of the two."""

import pytest

from flowkit.datasets.indexing import index_dataset
from flowkit.datasets.samm import SAMM
from flowkit.datasets.samm_lv import SAMM_LV
from flowkit.datasets.sheets import read_sheets
from flowkit.errors import InputError
from tests.datasets.trees import comma, frames, xlsx

HEADER = ["Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Duration", "Micro"]
HEADER += ["Action Units", "Estimated Emotion", "Objective Classes", "Notes"]
ROWS = [
    ["006", "006_1_2", 1, 5562, 5588, 5632, 71, "1/2", "A12", "Happiness", "I", None],
    [6, "006_1_3", 1, 10, 40, 30, 21, "1/2", "7B", "Other", "VII", "head moves"],
    ["007", "007_3_1", 3, 1, 5, 9, 10, "1/2", "ref(7B)+43", "Others", "VII", None],
    ["007", "007_3_2", 3, 20, 22, 29, 10, "1/2", "(R6 or R12)+R15", "Anger", "IV", None],
    ["007", "007_3_3", 3, 40, 42, 49, 10, "1/2", "10A/B", "Contempt", "VII", None],
    ["008", "007_3_4", 3, 60, 62, 69, 10, "1/2", "R14+17+soft focus", "Other", "VII", None],
]
LV_HEADER = ["Subject", "Filename", "Inducement Code", "Onset", "Apex", "Offset", "Duration", "Type", "Action Units"]
LV_HEADER += ["Notes"]


def tree(root, padding="{:05d}"):
    for row in ROWS:
        folder = root / f"{int(row[0]):03d}" / row[1]
        frames(folder, range(row[3], row[5] + 12), f"{int(row[0]):03d}_{padding}.jpg")
    return root


def sheet(lines=13):
    return [[f"About line {i}", None, "of the release"] for i in range(lines)] + [HEADER, *ROWS]


@pytest.mark.parametrize(("lines", "padding"), [(13, "{:05d}"), (0, "{:04d}"), (13, "{}")])
def test_samm_below_its_introduction(tmp_path, lines, padding):
    tree(tmp_path / "SAMM", padding)
    file = xlsx(tmp_path / "SAMM_Micro_FACS_Codes_v2.xlsx", {"MICRO ONLY": sheet(lines)})
    found = index_dataset(SAMM, tmp_path / "SAMM", read_sheets([file]))
    first, second, third, fourth, fifth, sixth = found.clips
    assert (first.clip_id, first.subject, first.person) == ("samm/006/006_1_2", "006", "samm/006")
    assert (first.sheet_row, first.emotion, first.emotion3) == (lines + 2, "happiness", "positive")
    assert first.defects == ()
    assert second.subject == "006"
    assert any("behind the offset 30" in defect for defect in second.defects)
    assert second.emotion == third.emotion == "others"
    assert [any("most rows write 'Other'" in one for one in clip.defects) for clip in (second, third)] == [False, True]
    assert any("onset to offset are 9 frames" in defect for defect in third.defects)
    assert fourth.defects == fifth.defects == ()
    assert any("'soft focus' is no action unit" in defect for defect in sixth.defects)
    assert any("begins with another subject than 008" in defect for defect in sixth.defects)
    assert found.failed == 0


def lv_rows():
    return [
        ["006", "006_1_2", 1, 562, 588, 632, 71, "Micro - 1/2", "A12", None],
        ["006", "006_1_4", 1, 100, -1, 150, 51, "Macro", "4", None],
        ["006", "006_1_5", 1, 0, 110, 120, 21, "Macro", "4", None],
        ["007", "007_3_1", 3, 11, 15, 19, 12, "Micro - 1/2", "43", None],
        ["007", "007_3_2", 3, 30, 32, 39, 10, "Micro - 1/2", "15", None],
        ["007", "007_3_3", 3, 55, 57, 64, 10, "Micro - 1/2", "10", None],
    ]


def test_samm_long_videos_joined_to_samm(tmp_path):
    for video in ("006_1", "007_3"):
        frames(tmp_path / "LV" / video, range(1, 700), f"{video}_{{:04d}}.jpg")
    lines = [[f"About line {i}"] for i in range(9)]
    file = xlsx(tmp_path / "SAMM_LongVideos_V2_Release.xlsx", {"FACS": [*lines, LV_HEADER, *lv_rows()]})
    samm = comma(tmp_path / "samm.csv", sheet())
    found = index_dataset(SAMM_LV, tmp_path / "LV", read_sheets([file, samm]))
    first, second, third, fourth, _, sixth = found.clips
    assert (first.clip_id, first.source) == ("samm_lv/006_1/006_1_2", str(tmp_path / "LV" / "006_1"))
    # The people of SAMM, under the name that they have there.
    assert (first.subject, first.person) == ("006", "samm/006")
    assert (first.expression, first.emotion, first.emotion3) == ("micro", "happiness", "positive")
    assert (second.expression, second.apex, second.emotion) == ("macro", None, None)
    assert second.defects == ("Apex='-1': no apex is annotated, the clip is kept without",)
    assert third.onset is None
    assert third.defects == ("Onset='0': no onset is annotated, the clip is kept without",)
    assert any("onset to offset are 9 frames" in defect for defect in fourth.defects)
    # 007_3 is shifted by 10; one clip by 15.
    assert any("the onset is SAMM's +15, that of the video's other clips +10" in defect for defect in sixth.defects)
    assert any("006_1 -5000, 007_3 +10" in note for note in found.notes)
    assert found.failed == 0
    alone = index_dataset(SAMM_LV, tmp_path / "LV", read_sheets([file]))
    assert {clip.emotion for clip in alone.clips} == {None}
    assert any("give SAMM's sheet, too" in note for note in alone.notes)


def test_micro_expressions_that_samm_lacks_are_told(tmp_path):
    for video in ("006_1", "007_3", "008_1"):
        frames(tmp_path / "LV" / video, range(1, 700), f"{video}_{{:04d}}.jpg")
    rows = [*lv_rows(), ["009", "008_1_1", 1, 55, 57, 64, 10, "Micro - 1/2", "10", None]]
    file = comma(tmp_path / "lv.csv", [LV_HEADER, *rows])
    samm = [[*row[:9], "Hapiness", *row[10:]] if row[1] == "006_1_2" else row for row in sheet()]
    found = index_dataset(SAMM_LV, tmp_path / "LV", read_sheets([file, comma(tmp_path / "samm.csv", samm)]))
    last = [one for one in found.defects if one.row == 8]
    assert [(one.value, one.done, one.failed) for one in last] == [
        ("008_1_1", "both are kept", False),
        ("008_1_1", "the clip has no emotion", False),
    ]
    assert "begins with another subject than 009" in last[0].what
    assert last[1].what == "no row of SAMM's sheet has this file name"
    assert "micro-expressions without a row in SAMM's sheet, and so without an emotion: 1" in found.notes
    # An emotion that SAMM does not have is none here, either.
    assert [(one.row, one.value) for one in found.defects if one.failed] == [(2, "Hapiness")]


def test_two_sheets_of_samm_beside_the_long_videos_are_told(tmp_path):
    frames(tmp_path / "LV" / "006_1", range(1, 700), "006_1_{:04d}.jpg")
    file = comma(tmp_path / "lv.csv", [LV_HEADER, *lv_rows()[:3]])
    samm = xlsx(tmp_path / "samm.xlsx", {"MICRO ONLY": sheet(), "all": sheet()})
    with pytest.raises(InputError, match=r"'MICRO ONLY' and .*'all' both have the header of SAMM; give the one"):
        index_dataset(SAMM_LV, tmp_path / "LV", read_sheets([file, samm]))


def test_labels_of_an_annotated_sheet_come_with_their_source(tmp_path):
    tree(tmp_path / "SAMM")
    names = [*HEADER, "Race", "RaceConcised", "Age", "Gender"]
    added = [
        [0, "Non-Asian", 23, "Male"],
        [2, None, "24", "F"],
        [7, "Asian", None, None],
        [4, "Non-Asian", 30, "female"],
        [None, None, None, None],
        [1, "both", None, "other"],
    ]
    rows = [[*row, *more] for row, more in zip(ROWS, added, strict=True)]
    file = xlsx(tmp_path / "annotated.xlsx", {"s": [names, *rows]})
    found = index_dataset(SAMM, tmp_path / "SAMM", read_sheets([file]))
    labels = [(clip.ethnicity, clip.group, clip.age, clip.gender) for clip in found.clips]
    assert labels == [
        ("white", "non_asian", "23", "male"),
        ("asian", "asian", "24", "female"),
        (None, "asian", None, None),
        ("others", "non_asian", "30", "female"),
        (None, None, None, None),
        ("black", "non_asian", None, "other"),
    ]
    assert found.clips[0].label_source == (
        "annotated.xlsx: ethnicity from column Race, group from column RaceConcised, age from column Age, "
        "gender from column Gender"
    )
    assert found.clips[1].label_source.startswith("annotated.xlsx: ethnicity from column Race, group from ethnicity")
    assert found.clips[4].label_source is None
    failed = [(one.row, one.column, one.value) for one in found.defects if one.failed]
    assert failed == [(4, "Race", "7"), (7, "RaceConcised", "both")]
    # Written as it stands, and said to disagree.
    assert any("the group is not that of others" in defect for defect in found.clips[3].defects)


def test_a_sheet_of_two_datasets_gives_each_its_own(tmp_path):
    tree(tmp_path / "SAMM")
    names = ["Dataset", *HEADER]
    rows = [["SAMM", *row] for row in ROWS]
    rows.insert(2, ["CASME2", "sub01", "EP01", None, 1, 2, 3, 3, None, "4", "disgust", None, None])
    file = comma(tmp_path / "joint.csv", [names, *rows])
    found = index_dataset(SAMM, tmp_path / "SAMM", read_sheets([file]))
    assert len(found.clips) == len(ROWS)
    assert found.clips[2].sheet_row == 5
    assert any(note == "rows of other datasets, as the column Dataset says: 'CASME2' (1)" for note in found.notes)
