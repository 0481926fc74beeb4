"""CASME, CASME II, CAS(ME)2 and CAS(ME)3 from their own formats, with each oddity that their sheets have."""

import json

import pytest

from flowkit.datasets.cas_me2 import CAS_ME2
from flowkit.datasets.cas_me3 import CASME3A, CASME3C
from flowkit.datasets.casme import CASME
from flowkit.datasets.casme2 import CASME2
from flowkit.datasets.indexing import index_dataset
from flowkit.datasets.sheets import read_sheets
from flowkit.errors import InputError
from tests.datasets.trees import comma, frames, xls, xlsx

CASME2_HEADER = ["Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame", None, "Action Units"]
CASME2_HEADER += ["Estimated Emotion", None, None, None, None]
CASME2_ROWS = [
    ["01", "EP02_01f", None, 46, 59, 86, None, "4+7+L10", "happiness"],
    [1, "EP03_02", None, 131, "/", 139, None, "?", "others"],
    ["02", "EP02_01f", None, 6, 98, 91, None, "1+2", "repression"],
    ["2", "EP01_2", None, 5, 5, 20, None, 12, "disgust"],
    ["26", "EP09f", None, 10, 4, 20, None, "12", "surprise"],
    ["26", "EP06_02_01", None, 1, 3, 9, None, "4", "fear"],
]


def casme2_tree(root, rows=CASME2_ROWS, name="img{}.jpg"):
    for row in rows:
        frames(root / f"sub{int(row[0]):02d}" / row[1], range(1, row[5] + 10), name)
    return root


def index(dataset, root, *files, **options):
    return index_dataset(dataset, root, read_sheets(files), **options)


def by_id(found):
    return {clip.clip_id: clip for clip in found.clips}


def rows_told(found, failed=None):
    return [(one.row, one.column, one.value) for one in found.defects if failed is None or one.failed is failed]


def test_casme2_with_the_oddities_of_its_revisions(tmp_path):
    casme2_tree(tmp_path / "CASME2-RAW")
    sheets = {"Sheet1": [CASME2_HEADER, *CASME2_ROWS], "Sheet2": [], "Sheet3": []}
    file = xlsx(tmp_path / "CASME2-coding.xlsx", sheets)
    found = index(CASME2, tmp_path, file)
    assert [clip.clip_id for clip in found.clips] == [f"casme2/sub{int(row[0]):02d}/{row[1]}" for row in CASME2_ROWS]
    first, second, third, fourth, fifth, _ = found.clips
    assert (first.subject, first.person, first.fps) == ("01", "casme2/01", 200)
    assert (first.onset, first.apex, first.offset, first.au) == (46, 59, 86, "4+7+L10")
    assert (first.emotion, first.emotion3, first.defects) == ("happiness", "positive", ())
    assert first.source == str(tmp_path / "CASME2-RAW" / "sub01" / "EP02_01f")
    assert first.annotation_revision == found.revision == f"CASME2-coding.xlsx {found.revision[-16:]}"
    assert (first.sheet_row, second.sheet_row) == (2, 3)
    assert json.loads(second.annotation_row)["ApexFrame"] == "/"
    assert (second.subject, second.apex, second.emotion3) == ("01", None, None)
    assert "no apex is annotated" in second.defects[0]
    # A unit that is none is told with the text; the text stays.
    assert second.au == "?"
    assert "'?' is no action unit" in second.defects[1]
    # Kept as annotated, and listed: the pairs that need it fail later.
    assert third.apex == 98
    assert "behind the offset 91" in third.defects[0]
    assert "the apex is the onset" in fourth.defects[0]
    assert "before the onset 10" in fifth.defects[0]
    assert fourth.au == "12"
    assert rows_told(found, failed=True) == []
    assert any("outside of onset..offset in 3 rows: no known revision" in note for note in found.notes)
    assert any("has 6 rows, the revisions that are known 255 or 256" in note for note in found.notes)


@pytest.mark.parametrize(("unusable", "told"), [(20, "the revision with 20 such rows"), (1, "the revision with one")])
def test_casme2_says_which_revision_it_is(tmp_path, unusable, told):
    rows = [["01", f"EP{i:02d}", None, 1, "/" if i < unusable else 3, 5, None, "4", "others"] for i in range(25)]
    casme2_tree(tmp_path, rows)
    found = index(CASME2, tmp_path, xlsx(tmp_path / "a.xlsx", {"Sheet1": [CASME2_HEADER, *rows]}))
    assert f"in {unusable} rows: {told}" in found.notes[0]


def test_the_same_sheet_as_xls_xlsx_and_csv_gives_the_same_clips(tmp_path):
    casme2_tree(tmp_path / "root")
    rows = [CASME2_HEADER, *CASME2_ROWS]
    files = [
        xls(tmp_path / "a.xls", {"Sheet1": rows, "Sheet2": []}),
        xlsx(tmp_path / "a.xlsx", {"Sheet1": rows}),
        comma(tmp_path / "a.csv", rows),
    ]
    found = [index(CASME2, tmp_path / "root", file) for file in files]
    assert len({one.revision.split()[1] for one in found}) == 1
    facts = [
        [
            (c.clip_id, c.source, c.onset, c.apex, c.offset, c.emotion, c.au, c.defects, c.annotation_row)
            for c in one.clips
        ]
        for one in found
    ]
    assert facts[0] == facts[1] == facts[2]


def test_cropped_frames_are_found_by_number(tmp_path):
    casme2_tree(tmp_path / "Cropped", name="reg_img{}.jpg")
    file = xlsx(tmp_path / "a.xlsx", {"Sheet1": [CASME2_HEADER, *CASME2_ROWS]})
    assert by_id(index(CASME2, tmp_path, file))["casme2/sub01/EP02_01f"].source.endswith("Cropped/sub01/EP02_01f")
    casme2_tree(tmp_path / "CASME2-RAW")
    with pytest.raises(InputError, match=r"CASME2-RAW.*Cropped.*give the one"):
        index(CASME2, tmp_path, file)
    assert index(CASME2, tmp_path / "CASME2-RAW", file).clips


def test_casme_has_two_columns_of_apexes(tmp_path):
    header = ["Subject", "Filename", "OnsetF", "ApexF1", "ApexF2", "OffsetF", "Action Units", "Estimated Emotion"]
    rows = [["1", "EP01_5", 10, 15, 17, 20, "14", "tense"], [19, "EP12_1", 1, 3, None, 7, "4+9", "disgust"]]
    for row in rows:
        frames(tmp_path / f"sub{int(row[0]):02d}" / row[1], range(1, 30), "EP_{:03d}.jpg")
    found = index(CASME, tmp_path, xlsx(tmp_path / "a.xlsx", {"s": [header, *rows]}))
    first, second = found.clips
    assert (first.clip_id, first.apex, first.emotion, first.emotion3) == ("casme/sub01/EP01_5", 15, "tense", None)
    assert json.loads(first.annotation_row)["ApexF2"] == "17"
    assert (second.person, second.emotion3) == ("casme/19", "negative")
    assert any("ApexF2" in note for note in found.notes)


def test_emotions_that_casme_and_cas_me2_do_not_have_are_told(tmp_path):
    header = ["Subject", "Filename", "OnsetF", "ApexF1", "ApexF2", "OffsetF", "AU", "Emotion"]
    emotions = ["tense", "Repression", "hapiness", "anger"]
    rows = [[1, f"EP01_{i}", 1, 3, None, 7, "4", emotion] for i, emotion in enumerate(emotions)]
    for row in rows:
        frames(tmp_path / "sub01" / row[1], range(1, 8))
    found = index(CASME, tmp_path, comma(tmp_path / "a.csv", [header, *rows]))
    assert rows_told(found, failed=True) == [(4, "Emotion", "hapiness"), (5, "Emotion", "anger")]
    assert [clip.emotion3 for clip in found.clips] == [None, "negative", None, "negative"]
    # What is done is what is said: a name that flowkit knows has its class.
    assert [one.done for one in found.defects if one.failed] == [
        "the clip keeps the text and is in no class",
        "the clip keeps the text and is in class negative",
    ]
    rows = [
        [1, f"girlcrashing1_{i}", 10 * i, 10 * i + 1, 10 * i + 2, "4", emotion, "micro-expression", "sadness"]
        for i, emotion in enumerate(["negative", "Positive", "surprise", "others", "sadness"], start=1)
    ]
    frames(tmp_path / "rawpic" / "s15" / "15_0401girlcrashing", range(1, 70))
    found = index(CAS_ME2, tmp_path, cas_me2_files(tmp_path, rows))
    assert rows_told(found, failed=True) == [(5, "emotion", "sadness")]


def cas_me2_files(folder, rows):
    sheets = {
        "CASFEcode_final": rows,
        "naming rule1": [["s15", 1], ["s16", 2]],
        "naming rule2": [["0401", "girlcrashing1"], ["0101", "disgust1"]],
    }
    return xlsx(folder / "CAS(ME)^2code_final.xlsx", sheets)


def test_cas_me2_without_a_header_and_with_codes(tmp_path):
    rows = [
        [1, "girlcrashing1_1", 557, 562, 572, "4,24", "negative", "macro-expression", "sadness"],
        [1, "girlcrashing1_2", 570, 575, 0, "14or23", "others", "micro-expression", "sadness"],
        [2, "disgust1_1", 50, 60, 40, "NULL", "negative", "macro-expression", "disgust"],
        [2, "disgust1_2", 100, 110, 120, "12L", "positive", "macro-expression", "happiness"],
        [2, "disgust1_3", 115, 118, 130, "4", "negative", "micro-expression", "disgust"],
    ]
    frames(tmp_path / "rawpic" / "s15" / "15_0401girlcrashing", range(550, 600), "img{:03d}.jpg")
    frames(tmp_path / "rawpic" / "s15" / "15_04011other", range(1, 3))
    frames(tmp_path / "rawpic" / "s16" / "16_0101disgustingteeth", range(40, 140), "img{:03d}.jpg")
    file = cas_me2_files(tmp_path, rows)
    found = index(CAS_ME2, tmp_path, file)
    first, second, third, fourth, fifth = found.clips
    assert (first.clip_id, first.subject) == ("cas_me2/s15/girlcrashing1_1/557", "s15")
    assert first.source.endswith("rawpic/s15/15_0401girlcrashing")
    assert (first.expression, second.expression, first.fps) == ("macro", "micro", 30)
    assert (second.offset, second.emotion3) == (None, None)
    assert "no offset is annotated" in second.defects[0]
    assert any("before the onset 50" in defect for defect in third.defects)
    assert fourth.emotion3 == "positive"
    assert fifth.defects == ("onset='115': overlaps with row 4, which ends at 120, both are kept",)
    assert rows_told(found, failed=True) == []
    assert {clip.person for clip in found.clips} == {"cas_me2/s15", "cas_me2/s16"}
    # The same from inside of rawpic, and from the sheets as CSVs of their own.
    assert index(CAS_ME2, tmp_path / "rawpic", file).clips[0].source == first.source
    parts = [
        comma(tmp_path / "a.csv", rows),
        comma(tmp_path / "b.csv", [["s15", 1], ["s16", 2]]),
        comma(tmp_path / "c.csv", [["0401", "girlcrashing1"], ["0101", "disgust1"]]),
    ]
    assert [clip.source for clip in index(CAS_ME2, tmp_path, *parts).clips] == [clip.source for clip in found.clips]
    with pytest.raises(InputError, match="there is no sheet of the subjects"):
        index(CAS_ME2, tmp_path, parts[0])


def test_cas_me2_with_a_header_of_the_labs_own(tmp_path):
    header = ["Subject", "Video", "Onset", "Apex", "Offset", "AU", "Emotion", "Type", "selfReport", "Race", "Gender"]
    clip = [1, "girlcrashing1_1", 557, 562, 572, "4", "negative", "macro-expression", "sadness", 2, "M"]
    frames(tmp_path / "rawpic" / "s15" / "15_0401girlcrashing", range(550, 600))
    for named in (header, [name.lower() for name in header]):
        found = index(CAS_ME2, tmp_path, cas_me2_files(tmp_path, [named, clip]))
        (only,) = found.clips
        assert (only.ethnicity, only.gender, found.defects) == ("asian", "male", [])
        assert json.loads(only.annotation_row)[named[9]] == "2"


def test_cas_me2_overlaps_with_an_expression_that_began_earlier(tmp_path):
    rows = [
        [1, f"girlcrashing1_{i}", onset, onset + 1, offset, "4", "negative", "macro-expression", "sadness"]
        for i, (onset, offset) in enumerate([(1, 50), (10, 20), (30, 40), (51, 60)], start=1)
    ]
    frames(tmp_path / "rawpic" / "s15" / "15_0401girlcrashing", range(1, 70))
    found = index(CAS_ME2, tmp_path, cas_me2_files(tmp_path, rows))
    assert [(one.row, one.what) for one in found.defects] == [
        (2, "overlaps with row 1, which ends at 50"),
        (3, "overlaps with row 1, which ends at 50"),
    ]


def test_cas_me2_names_codes_that_are_not_there(tmp_path):
    rows = [
        [1, "girlcrashing1_1", 557, 562, 572, "4", "negative", "macro-expression", "sadness"],
        [7, "girlcrashing1_1", 557, 562, 572, "4", "negative", "macro-expression", "sadness"],
        [1, "anger9_1", 557, 562, 572, "4", "negative", "macro-expression", "sadness"],
    ]
    frames(tmp_path / "rawpic" / "s15" / "15_0401girlcrashing", range(550, 600))
    found = index(CAS_ME2, tmp_path, cas_me2_files(tmp_path, rows))
    assert [clip.sheet_row for clip in found.clips] == [1]
    assert rows_told(found, failed=True) == [(2, "subject", "7"), (3, "video", "anger9_1")]


CASME3_HEADER = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]


def test_casme3_needs_the_onset_in_its_key(tmp_path):
    rows = [
        ["spNO.1", "a", 355, 358, 360, "4", "I", "disgust"],
        ["spNO.1", "a", 400, 400, 0, "R6", "VII", "Others"],
        ["spNO.1", "a", 420, 410, 430, "1+2", "II", "others"],
        ["spNO.217", "m", 5, 8, 12, "12", "J", "happy"],
        ["spNO.217", "m", 20, 25, 30, "12", "I", "others"],
    ]
    frames(tmp_path / "part_A" / "spNO.1" / "a" / "color", range(355, 440), "{}.jpg")
    frames(tmp_path / "part_A" / "spNO.217" / "m" / "color", range(1, 40), "{}.jpg")
    found = index(CASME3A, tmp_path, xlsx(tmp_path / "a.xlsx", {"label": [CASME3_HEADER, *rows]}))
    first, second, third, fourth, fifth = found.clips
    assert [clip.clip_id for clip in found.clips][:2] == ["casme3a/spNO.1/a/355", "casme3a/spNO.1/a/400"]
    assert (first.source, first.subject) == (str(tmp_path / "part_A/spNO.1/a/color"), "spNO.1")
    assert second.offset is None
    assert any("the apex is the onset" in defect for defect in second.defects)
    assert (second.emotion, third.emotion) == ("others", "others")
    assert any("most rows write 'others'" in defect for defect in second.defects)
    assert any("before the onset 420" in defect for defect in third.defects)
    assert (fourth.emotion, fourth.emotion3) == ("happiness", "positive")
    assert rows_told(found, failed=True) == [(5, "Objective class", "J")]
    assert fifth.defects == ()
    # Part C is read alike, from its own folder.
    frames(tmp_path / "part_C" / "spNO.1" / "a" / "color", range(355, 440), "{}.jpg")
    part_c = index(CASME3C, tmp_path, xlsx(tmp_path / "c.xlsx", {"label": [CASME3_HEADER, rows[0]]}))
    assert part_c.clips[0].source == str(tmp_path / "part_C/spNO.1/a/color")
