"""What is wrong with a sheet or a tree is told with file, row and value, and the rest is indexed all the same."""

import json
import re

import pytest

from flowkit.datasets.cas_me2 import CAS_ME2
from flowkit.datasets.casme2 import CASME2
from flowkit.datasets.defects import defects_path, read_defects, write_defects
from flowkit.datasets.generic import generic
from flowkit.datasets.indexing import index_dataset
from flowkit.datasets.mmew import MMEW
from flowkit.datasets.registry import DATASETS
from flowkit.datasets.repairs import read_repairs
from flowkit.datasets.samm import SAMM
from flowkit.datasets.sheets import read_sheets
from flowkit.errors import InputError
from tests.datasets.trees import comma, frames, xlsx

HEADER = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]
GOOD = [
    ["01", "EP01", 1, 3, 5, "4", "disgust"],
    ["02", "EP01", 1, 3, 5, "12", "happiness"],
    ["03", "EP01", 1, 3, 5, "1+2", "surprise"],
]


@pytest.fixture
def root(tmp_path):
    for row in GOOD:
        frames(tmp_path / "root" / f"sub{row[0]}" / row[1], range(1, 6))
    return tmp_path / "root"


def index(root, rows, **options):
    file = comma(root.parent / "sheet.csv", [HEADER, *rows])
    return index_dataset(CASME2, root, read_sheets([file]), **options)


def failed(found):
    return [str(defect) for defect in found.defects if defect.failed]


def changed(row, **cells):
    return [cells.get(name, cell) for name, cell in zip(HEADER, row, strict=True)]


@pytest.mark.parametrize(
    ("cells", "sentence", "clips"),
    [
        (
            {"OnsetFrame": "4x"},
            "sheet.csv row 3, clip 'casme2/sub02/EP01': OnsetFrame='4x': the onset is no whole number; "
            "the clip is kept without",
            3,
        ),
        (
            {"OffsetFrame": None},
            "sheet.csv row 3, clip 'casme2/sub02/EP01': OffsetFrame='': the cell of the offset is empty; "
            "the clip is kept without",
            3,
        ),
        (
            {"Subject": "two"},
            "sheet.csv row 3: Subject='two': no subject of CASME II; the row is left out: correct the cell",
            2,
        ),
        ({"Filename": None}, "sheet.csv row 3: Filename='': no file name; the row is left out: fill the cell", 2),
        (
            {"Subject": "1"},
            "sheet.csv row 3, clip 'casme2/sub01/EP01': Filename='EP01': row 2 has the same key; "
            "the row is left out: remove one of them",
            2,
        ),
        (
            {"Estimated Emotion": "hapiness"},
            "sheet.csv row 3, clip 'casme2/sub02/EP01': Estimated Emotion='hapiness': none of disgust, fear, "
            "happiness, others, repression, sadness, surprise; the clip keeps the text and is in no class",
            3,
        ),
        (
            {"Filename": "EP01f"},
            "sheet.csv row 3, clip 'casme2/sub02/EP01f': Filename='EP01f': sub02/EP01f is not below {root}; "
            "the clip is kept and its pairs will fail: bring the folder back",
            3,
        ),
        (
            {"Filename": "../sub01/EP01"},
            "sheet.csv row 3, clip 'casme2/sub02/../sub01/EP01': Filename='../sub01/EP01': no name of a folder; "
            "the row is left out: correct the cell",
            2,
        ),
        (
            {"Filename": "EP0*"},
            "sheet.csv row 3, clip 'casme2/sub02/EP0*': Filename='EP0*': no name of a folder; "
            "the row is left out: correct the cell",
            2,
        ),
        (
            {"Filename": "EP\n01"},
            "sheet.csv row 3, clip 'casme2/sub02/EP\\n01': Filename='EP\\n01': the clip_id has the character U+000A; "
            "the row is left out: correct the cell",
            2,
        ),
        (
            {"ApexFrame": 9},
            "sheet.csv row 3, clip 'casme2/sub02/EP01': ApexFrame='9': {root}/sub02/EP01 has no frame 9, its frames "
            "are 1 to 5; the number is kept and its pairs will fail: add the file, or repair the annotation",
            3,
        ),
    ],
)
def test_one_bad_row_is_told_and_the_others_are_indexed(root, cells, sentence, clips):
    found = index(root, [GOOD[0], changed(GOOD[1], **cells), GOOD[2]])
    assert failed(found) == [sentence.format(root=root)]
    assert found.failed == 1
    assert len(found.clips) == clips
    assert [clip.clip_id for clip in found.clips if "sub02" not in clip.clip_id] == [
        "casme2/sub01/EP01",
        "casme2/sub03/EP01",
    ]


def test_frames_and_subjects_may_be_written_with_a_point(root):
    found = index(root, [[f"{number}.0", "EP01", "1.0", "3.0", "5.0", "4.0", "disgust"] for number in (1, 2, 3)])
    assert failed(found) == []
    assert [(clip.subject, clip.onset, clip.apex, clip.au) for clip in found.clips] == [
        (f"0{number}", 1, 3, "4") for number in (1, 2, 3)
    ]


def test_a_second_column_that_says_something_else_is_told_and_kept(root):
    header = [*HEADER, "Apex", "ApexFrame"]
    rows = [[*GOOD[0], 3, 4], [*changed(GOOD[1], ApexFrame=None), None, 5], [*GOOD[2], None, None]]
    file = comma(root.parent / "sheet.csv", [header, *rows])
    found = index_dataset(CASME2, root, read_sheets([file]))
    first, second, third = found.clips
    assert (first.apex, second.apex, third.apex) == (3, 5, 3)
    assert first.defects == ("ApexFrame='3': there is ApexFrame (column 9)='4', too, the first counts",)
    assert second.defects == third.defects == ()
    assert found.failed == 0
    raw = json.loads(first.annotation_row)
    assert (raw["ApexFrame"], raw["Apex"], raw["ApexFrame (column 9)"]) == ("3", "3", "4")
    assert json.loads(second.annotation_row)["ApexFrame (column 9)"] == "5"


@pytest.mark.parametrize("fps", [float("inf"), float("nan"), 0.0, -25.0])
def test_a_rate_that_is_none_is_refused_at_once(root, fps):
    with pytest.raises(InputError, match=f"--fps {fps:g}: give frames a second, a number above 0"):
        index(root, GOOD, fps=fps)


def test_a_frame_that_is_missing_between_is_told(root):
    (root / "sub02" / "EP01" / "img4.jpg").unlink()
    (sentence,) = failed(index(root, GOOD))
    assert "row 3" in sentence
    assert "lacks frames between onset and offset: 4" in sentence


def test_two_files_of_one_number_are_told(root):
    frames(root / "sub02" / "EP01", [4], "img{:03d}.jpg")
    (sentence,) = failed(index(root, GOOD))
    assert "img004.jpg and img4.jpg are both frame 4" in sentence


def test_a_sheet_of_another_dataset_is_refused(root):
    sheet = read_sheets([comma(root.parent / "sheet.csv", [["About"], HEADER, *GOOD])])
    with pytest.raises(InputError, match=r"sheet.csv has no row with the header of SAMM .*row 2 .*inducementcode"):
        index_dataset(SAMM, root, sheet)
    with pytest.raises(InputError, match=r"SAMM .*its columns are 'Subject', 'Filename', .*; give the annotation file"):
        index_dataset(SAMM, root, sheet)


@pytest.mark.parametrize("column", ["Remarks", "Inducement Code"])
def test_a_column_of_other_datasets_is_told_with_what_to_do(root, column):
    rows = [["About"], [*HEADER, column], *([*row, "none"] for row in GOOD)]
    told = (
        f"m.csv row 2 has the header of CASME II, but also {column!r}, by which sheets of other datasets are known; if "
        f"the sheet is one of CASME II, rename {column!r}, or add a column Dataset that says CASME II; else give the "
        "annotation file of CASME II"
    )
    with pytest.raises(InputError, match=told):
        index_dataset(CASME2, root, read_sheets([comma(root.parent / "m.csv", rows)]))
    rows = [["About"], ["Dataset", *HEADER, column], *(["CASME II", *row, "none"] for row in GOOD)]
    assert len(index_dataset(CASME2, root, read_sheets([comma(root.parent / "m.csv", rows)])).clips) == 3
    assert MMEW.required[-1] == "remarks"


@pytest.mark.parametrize("nothing", ["null", "NONE", "n/a", "NaN", "na", "/"])
def test_cells_that_say_nothing_are_known_in_any_case(root, nothing):
    header = [*HEADER, "Race", "Gender"]
    rows = [[*changed(GOOD[0], ApexFrame=nothing, **dict.fromkeys(HEADER[5:], nothing)), nothing, nothing], GOOD[1]]
    found = index_dataset(CASME2, root, read_sheets([comma(root.parent / "sheet.csv", [header, *rows])]))
    first = found.clips[0]
    assert (first.apex, first.emotion, first.ethnicity, first.gender) == (None, None, None, None)
    assert [one.what for one in found.defects if one.row == 2] == ["no apex is annotated", "no emotion is annotated"]
    assert found.failed == 0


def test_two_sheets_that_fit_are_to_be_chosen_from(root):
    sheets = read_sheets([xlsx(root.parent / "a.xlsx", {"old": [HEADER, *GOOD], "new": [HEADER, *GOOD[:2]]})])
    with pytest.raises(InputError, match=r"'old' and .*'new' both have the header of CASME II; choose one by --sheet"):
        index_dataset(CASME2, root, sheets)
    assert len(index_dataset(CASME2, root, sheets, sheet="new").clips) == 2
    with pytest.raises(InputError, match="--sheet x: the sheets are 'old', 'new'"):
        index_dataset(CASME2, root, sheets, sheet="x")


def test_a_root_without_the_clips_is_refused(root, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"none of the clips' folders is below .*empty.*sub01/EP01"):
        index(tmp_path / "empty", GOOD)
    with pytest.raises(InputError, match="is no folder"):
        index(tmp_path / "nowhere", GOOD)


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.xlsx", b"PK\3\4 no workbook", "is no workbook that can be read"),
        ("a.xls", b"text", r"is no workbook that can be read \(.*\); open it .* and save it as .xlsx"),
        ("a.csv", b"\xff\xfe\xff", "cannot be read as CSV"),
        ("a.txt", b"", "its name must end in"),
        ("a.csv", b"\n,\n", "no sheet has a cell"),
    ],
)
def test_files_that_are_no_sheets_are_refused(tmp_path, name, data, told):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=told):
        read_sheets([tmp_path / name])


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not there"):
        read_sheets([tmp_path / "a.xlsx"])


REPAIRS = ["clip_id", "field", "old", "new", "why"]


def test_repairs_are_applied_where_the_old_value_stands_and_listed(root):
    rows = [changed(GOOD[0], ApexFrame="/"), changed(GOOD[1], **{"Estimated Emotion": "J"}), GOOD[2]]
    table = [
        REPAIRS,
        ["casme2/sub01/EP01", "apex", "/", 4, "seen by two coders"],
        ["casme2/sub02/EP01", "emotion", "J", "happiness", "a slip"],
        ["casme2/sub03/EP01", "onset", 2, 1, "of another revision"],
        ["casme2/sub03/EP01", "person", "casme2/03", "lab/anna", "known to us"],
        ["casme2/sub03/EP01", "race", None, 2, "asked"],
    ]
    found = index(root, rows, repairs=read_repairs(comma(root.parent / "repairs.csv", table)))
    first, second, third = found.clips
    assert first.apex == 4
    assert first.defects[0].startswith("ApexFrame='/': repaired by repairs.csv ")
    assert first.defects[0].endswith(" row 2 (seen by two coders), read as '4'")
    assert (second.emotion, second.emotion3) == ("happiness", "positive")
    # What the sheet says stays beside it.
    assert '"ApexFrame": "/"' in first.annotation_row
    assert third.onset == 1
    assert (third.person, third.ethnicity) == ("lab/anna", "asian")
    assert re.fullmatch(
        "sheet.csv: ethnicity from the repair of repairs.csv [0-9a-f]{8} row 6, group from ethnicity",
        third.label_source,
    )
    (refused,) = failed(found)
    assert "OnsetFrame='1': the repair of repairs.csv" in refused
    assert "expects '2'; it is not applied" in refused


def test_a_repaired_ethnicity_goes_before_the_column_race_and_is_no_word_of_the_sheet(root):
    rows = [[*row, 0] for row in GOOD]
    table = [
        REPAIRS,
        ["casme2/sub01/EP01", "ethnicity", None, "asian", "asked"],
        ["casme2/sub02/EP01", "race", 0, 2, "asked"],
        ["casme2/sub03/EP01", "race", 0, 1, "asked"],
        ["casme2/sub03/EP01", "ethnicity", None, "indian", "asked"],
        ["casme2/sub03/EP01", "gender", None, "f", "asked"],
    ]
    sheets = read_sheets([comma(root.parent / "sheet.csv", [[*HEADER, "Race"], *rows])])
    found = index_dataset(CASME2, root, sheets, repairs=read_repairs(comma(root.parent / "repairs.csv", table)))
    assert [(clip.ethnicity, clip.group) for clip in found.clips] == [
        ("asian", "asian"),
        ("asian", "asian"),
        ("indian", "asian"),
    ]
    for clip, row in zip(found.clips, (2, 3, 5), strict=True):
        assert f"row {row}, group from ethnicity" in clip.label_source
        assert "column" not in clip.label_source
    assert "gender from the repair of repairs.csv" in found.clips[2].label_source
    (sentence,) = failed(found)
    assert "Race='1': the ethnicity is repaired, too; the repair of repairs.csv" in sentence
    assert sentence.endswith("row 4 has no effect: leave one of them out")


def test_a_repaired_rate_beside_one_of_all_clips_is_told(root):
    line = ["casme2/sub01/EP01", "fps", None, 100, "asked"]
    repairs = read_repairs(comma(root.parent / "repairs.csv", [REPAIRS, line]))
    assert [clip.fps for clip in index(root, GOOD, repairs=repairs).clips] == [100, 200, 200]
    found = index(root, GOOD, repairs=repairs, fps=150)
    assert [clip.fps for clip in found.clips] == [150, 150, 150]
    (sentence,) = failed(found)
    assert "--fps 150 is of all clips; the repair of repairs.csv" in sentence


def test_rows_without_their_subject_are_no_rows_of_text(root):
    header = ["Subject", "Filename", "Onset", "Notes"]
    rows = [["A1", "EP01", 1, None], [None, "EP02", 1, None], [None, "EP03", None, "blinks"], ["seen twice"]]
    frames(root / "A1" / "EP01", [1])
    sheets = read_sheets([comma(root.parent / "sheet.csv", [header, *rows])])
    found = index_dataset(generic("lab", {}, "{subject}/{filename}"), root, sheets)
    assert [clip.clip_id for clip in found.clips] == ["lab/A1/EP01"]
    assert [(one.row, one.column, one.failed) for one in found.defects if one.row != 5] == [
        (3, "Subject", True),
        (4, "Subject", True),
    ]
    assert [one.done for one in found.defects if one.row == 5] == ["skipped"]


def test_a_column_dataset_tells_casme_ii_from_cas_me_2(root):
    rows = [[name, *GOOD[0]] for name in ("CAS(ME)2", "CAS(ME)^2", "cas_me2")]
    rows += [["CASME II", *GOOD[0]], ["casme2", *GOOD[1]], ["CASME-II", *GOOD[2]]]
    sheets = read_sheets([comma(root.parent / "sheet.csv", [["Dataset", *HEADER], *rows])])
    found = index_dataset(CASME2, root, sheets)
    assert ([clip.sheet_row for clip in found.clips], found.failed) == ([5, 6, 7], 0)
    assert [CAS_ME2.is_called(row[0]) for row in rows] == [True] * 3 + [False] * 3


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("casme", ["CASME", "casme", "CASME I", "CASME1", "CASME-1"]),
        ("casme2", ["CASME II", "CASME2"]),
        ("cas_me2", ["CAS(ME)2", "CAS(ME)^2"]),
        ("casme3a", ["CAS(ME)3", "CAS(ME)^3", "CAS(ME)³", "CASME3", "cas_me3", "CASME III", "CAS(ME)3 A", "CASME3-A"]),
        ("samm_lv", ["SAMM Long Videos", "samm-lv"]),
    ],
)
def test_a_column_dataset_may_call_a_dataset_in_several_ways(name, said):
    for text in said:
        called = [one.name for one in DATASETS.values() if one.is_called(text)]
        assert [one for one in called if one != "casme3c"] == [name]
    part = DATASETS["casme3c"]
    assert [part.is_called(text) for text in ("CAS(ME)3", "CAS(ME)3 part C", "CAS(ME)3 part A")] == [True, True, False]
    for one in DATASETS.values():
        assert one.is_called(one.name)
        assert one.is_called(one.title)


def test_a_column_dataset_that_says_nothing_known_is_told_with_what_it_says(root):
    rows = [["CASME 2b", *GOOD[0]], ["SAMM", *GOOD[1]], ["CASME 2b", *GOOD[2]]]
    told = (
        "sheet.csv: its column Dataset says 'CASME 2b' (2), 'SAMM' (1) and never CASME II; correct it to casme2 or "
        "CASME II, rename the column if it means something else, or give the sheet of that dataset"
    )
    with pytest.raises(InputError, match=re.escape(told)):
        index_dataset(CASME2, root, read_sheets([comma(root.parent / "sheet.csv", [["Dataset", *HEADER], *rows])]))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (["casme2/sub09/EP01", "apex", "/", 4, "why"], "no row gives that clip"),
        (["casme2/sub01/EP01", "subject", "1", 4, "why"], "row 2: field 'subject' is none of"),
        (["casme2/sub01/EP01", "apex", "/", 4, None], "row 2: why is empty"),
    ],
)
def test_repairs_of_nothing_are_refused(root, line, told):
    with pytest.raises(InputError, match=told):
        index(root, GOOD, repairs=read_repairs(comma(root.parent / "repairs.csv", [REPAIRS, line])))


def test_a_cell_is_repaired_once(tmp_path):
    line = ["a", "apex", "/", 4, "why"]
    with pytest.raises(InputError, match="row 3: 'a' apex is repaired a second time"):
        read_repairs(comma(tmp_path / "r.csv", [REPAIRS, line, line]))
    with pytest.raises(InputError, match="no column 'why'"):
        read_repairs(comma(tmp_path / "r.csv", [REPAIRS[:-1]]))


def test_the_table_of_defects_is_read_back_as_it_was(root):
    found = index(root, [changed(GOOD[0], ApexFrame='a "quoted"\nline, of two'), *GOOD[1:]])
    path = defects_path(root / "m.parquet")
    write_defects(found.defects, path)
    assert path.name == "m.defects.csv"
    assert read_defects(path) == found.defects
    with pytest.raises(InputError, match="is no table of defects"):
        read_defects(root.parent / "sheet.csv")
