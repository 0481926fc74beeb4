"""Composites come out with their published counts, and a sheet that departs by one row is told by row."""

import dataclasses
import datetime

import pyarrow as pa
import pytest

from flowkit.datasets.against import compare
from flowkit.datasets.composites import COMPOSITES, join
from flowkit.datasets.defects import Defect, read_defects, write_defects
from flowkit.datasets.manifest import read_manifest, write_manifest
from flowkit.datasets.person import unknown_people
from flowkit.datasets.revision import Revision
from flowkit.datasets.summary import table
from flowkit.errors import InputError
from flowkit.types import Clip
from tests.datasets import composite_sheets as sheets
from tests.datasets.trees import comma

JOINT = COMPOSITES["casme2+samm"]


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Manifests of CASME II, SAMM and SMIC with the published counts."""
    folder = tmp_path_factory.mktemp("three")
    return {
        "casme2": sheets.indexed(folder, "casme2", sheets.CASME2, sheets.casme2_rows()),
        "samm": sheets.indexed(folder, "samm", sheets.SAMM, sheets.samm_rows()),
        "smic": sheets.indexed(folder, "smic", sheets.SMIC, sheets.smic_rows()),
    }


def classes(clips):
    return [sum(clip.emotion3 == name for clip in clips) for name in ("negative", "positive", "surprise")]


def test_the_joint_set_has_290_clips(three):
    joint = join(JOINT, [three["casme2"], three["samm"]])
    assert len(joint.clips) == 290
    assert classes(joint.clips) == [192, 58, 40]
    assert len({clip.person for clip in joint.clips}) == 53
    asian = [clip for clip in joint.clips if clip.group == "asian"]
    others = [clip for clip in joint.clips if clip.group == "non_asian"]
    assert (classes(asian), classes(others)) == ([136, 33, 30], [56, 25, 10])
    assert joint.differences == joint.suspects == joint.notes == []
    assert len(joint.left_out) == 256 + 159 - 290
    assert str(joint.left_out[0]) == (
        "casme2.csv row 2, clip 'casme2/sub01/EP000': emotion others is in none of the three classes; left out"
    )
    # The clips of the first manifest, then those of the second, in their sheets' order.
    assert [clip.dataset for clip in joint.clips] == ["casme2"] * 157 + ["samm"] * 133
    assert [clip.sheet_row for clip in joint.clips[:157]] == sorted(clip.sheet_row for clip in joint.clips[:157])


def test_megc2019_has_442_clips(three):
    joint = join(COMPOSITES["megc2019"], list(three.values()))
    assert len(joint.clips) == 442
    by_dataset = {name: [clip for clip in joint.clips if clip.dataset == name] for name in three}
    assert {name: classes(clips) for name, clips in by_dataset.items()} == {
        "casme2": [88, 32, 25],
        "samm": [92, 26, 15],
        "smic": [70, 51, 43],
    }
    assert len({clip.person for clip in joint.clips}) == 68
    assert joint.differences == []
    reasons = [one.what for one in joint.left_out]
    assert reasons.count("the challenge leaves this clip out") == 3


def test_cd6me_has_2031_clips_and_its_units(three, tmp_path):
    headers = {"casme": sheets.CASME, "4dme": sheets.FOUR_DME, "mmew": sheets.MMEW, "casme3a": sheets.CASME3}
    people = {"casme": 19, "4dme": 42, "mmew": 30, "casme3a": 94}
    more = [
        sheets.indexed(tmp_path, name, header, sheets.cd6me_rows(name, people[name]))
        for name, header in headers.items()
    ]
    joint = join(COMPOSITES["cd6me"], [three["casme2"], three["samm"], *more])
    assert len(joint.clips) == 2031
    assert joint.differences == []
    assert len(joint.composite.published) == 1 + 6 * 15
    assert joint.notes == unknown_people(set(joint.composite.datasets))
    # Clips of no class are clips of this set, and of a list of it.
    for name in ("list.csv", "list.parquet"):
        write_manifest(joint.clips, tmp_path / name)
        assert compare(joint.clips, tmp_path / name, joint.composite) == []
    (missing,) = compare(joint.clips[1:], tmp_path / "list.csv", joint.composite)
    assert (missing.clip_id, missing.what) == ("casme2/sub01/EP000", "not among the clips here")
    other = dataclasses.replace(joint.clips[0], emotion3="negative")
    (told,) = compare([other, *joint.clips[1:]], tmp_path / "list.csv", joint.composite)
    assert told.what == "class none there, negative here (row 2)"
    # A unit that is left out of one clip is counted, with what may be it.
    clips = read_manifest(more[0])
    doubted = next(clip for clip in clips if clip.au and clip.au.split("+")[0] == "1")
    clips[clips.index(doubted)] = dataclasses.replace(doubted, au=doubted.au.replace("1", "one", 1))
    write_manifest(clips, more[0])
    joint = join(COMPOSITES["cd6me"], [three["casme2"], three["samm"], *more])
    assert "casme AU 1: 22, published 23" in joint.differences
    assert [one.clip_id for one in joint.suspects] == [doubted.clip_id]


def test_the_generated_units_are_those_of_casme():
    # casme has no AU 5 and 22 clips without one of the twelve: a number that is none would be found in "15" or "25".
    codings = sheets.units_of("casme")
    assert len(codings) == 189
    assert sum(part.lstrip("L") == "5" for coding in codings for part in coding.split("+")) == 0
    assert sum(part.lstrip("L") == "15" for coding in codings for part in coding.split("+")) == 14


def departing(folder, three, change):
    """The joint set with rows of CASME II that `change` has changed."""
    rows = sheets.casme2_rows()
    change(rows)
    return join(JOINT, [sheets.indexed(folder, "casme2", sheets.CASME2, rows), three["samm"]])


def place_of(rows, emotion):
    return next(i for i, row in enumerate(rows) if row[6] == emotion)


def test_a_misspelt_emotion_is_told_by_row(three, tmp_path):
    at = place_of(sheets.casme2_rows(), "happiness")

    def misspell(rows):
        rows[at][6] = "hapiness"

    joint = departing(tmp_path, three, misspell)
    assert joint.differences == [
        "all: 289, published 290",
        "positive: 57, published 58",
        "casme2: 156, published 157",
        "casme2 positive: 31, published 32",
        "asian: 198, published 199",
        "asian positive: 32, published 33",
    ]
    (suspect,) = joint.suspects
    assert (suspect.file, suspect.row, suspect.column, suspect.value) == (
        "casme2.csv",
        at + 2,
        "Estimated Emotion",
        "hapiness",
    )


def test_a_row_that_is_out_is_told_by_row(three, tmp_path):
    at = place_of(sheets.casme2_rows(), "surprise")

    def double(rows):
        rows[at][:2] = rows[at - 1][:2]

    joint = departing(tmp_path, three, double)
    assert "casme2 surprise: 24, published 25" in joint.differences
    (suspect,) = joint.suspects
    assert suspect.row == at + 2
    assert f"row {at + 1} has the same key" in suspect.what


def test_columns_beside_the_clips_own_come_along(three, tmp_path):
    spotted, rated = Revision(three["casme2"]), Revision(three["samm"])
    places = range(len(spotted.clips))
    spotted.put("apex_annotated", list(places))
    spotted.put("keyframes_source", ["spot head=similarity"] * len(places))
    spotted.put("rated by", ["Ann", *[None] * (len(places) - 1)])
    spotted.put("score", ["high"] * len(places))
    spotted.write(tmp_path / "casme2.csv")
    day = datetime.date(2026, 1, 2)
    count = len(rated.clips)
    further = {"day": pa.array([day] * count), "score": pa.array([1] * count)}
    further["hash"] = pa.array([2**63] * count, pa.uint64())
    write_manifest(rated.clips, tmp_path / "samm.parquet", further)
    joint = join(JOINT, [tmp_path / "casme2.csv", tmp_path / "samm.parquet"])
    taken = [place for place in places if spotted.clips[place].emotion3]
    others = len(joint.clips) - len(taken)
    for suffix in (".parquet", ".csv"):
        write_manifest(joint.clips, tmp_path / f"joint{suffix}", joint.own)
        merged = Revision(tmp_path / f"joint{suffix}")
        assert merged.column("apex_annotated") == [*taken, *[None] * others]
        assert merged.column("keyframes_source") == ["spot head=similarity"] * len(taken) + [None] * others
        assert merged.column("score") == ["high"] * len(taken) + ["1"] * others
        assert merged.column("hash")[-1] == str(2**63)
    assert joint.own["day"].to_pylist() == [None] * len(taken) + [day] * others
    assert list(joint.own) == ["apex_annotated", "keyframes_source", "rated by", "score", "day", "hash"]


def test_what_is_no_manifest_is_not_merged(three, tmp_path):
    with pytest.raises(InputError, match=r"its name must end in \.parquet or \.csv"):
        join(JOINT, [three["casme2"], tmp_path])


@pytest.mark.parametrize("end", ["\u2028", "\x85", "\v", "\n", "\r"])
def test_a_table_of_defects_may_hold_any_end_of_a_line(tmp_path, end):
    odd = Defect(file="K.csv", row=2, column="Action Units", value=f"4+see note{end}below", what="not understood")
    write_defects([odd], tmp_path / "K.defects.csv")
    assert read_defects(tmp_path / "K.defects.csv") == [odd]


def test_a_reference_list_finds_every_row_that_departs(three, tmp_path):
    rows = sheets.casme2_rows()
    listed = [["Dataset", "Subject", "Filename", "Estimated Emotion"]]
    listed += [["CASME2", row[0], row[1], row[6]] for row in rows]
    listed += [["SAMM", int(row[0]), row[1], row[7]] for row in sheets.samm_rows()]
    reference = comma(tmp_path / "published.csv", listed)
    joint = join(JOINT, [three["casme2"], three["samm"]])
    assert compare(joint.clips, reference, JOINT) == []
    gone, other, new = (place_of(rows, emotion) for emotion in ("happiness", "repression", "others"))

    def change(rows):
        rows[other][6] = "surprise"
        rows[new][6] = "fear"
        del rows[gone]

    joint = departing(tmp_path, three, change)
    assert "casme2 positive: 31, published 32" in joint.differences
    told = [str(one) for one in compare(joint.clips, reference, JOINT)]
    names = [f"casme2/sub{rows[at][0]}/{rows[at][1]}" for at in (other, gone, new)]
    assert told == [
        f"published.csv row {other + 2}, clip {names[0]!r}: class negative there, surprise here (row {other + 2}); "
        "kept as here",
        f"published.csv row {gone + 2}, clip {names[1]!r}: not among the clips here; missing",
        f"casme2.csv row {new + 2}, clip {names[2]!r}: not in published.csv; kept",
    ]
    # A manifest is a list, too: an earlier one, and one of all clips, whose others belong to no list of three classes.
    write_manifest([*read_manifest(three["casme2"]), *read_manifest(three["samm"])], tmp_path / "all.parquet")
    assert compare(join(JOINT, [three["casme2"], three["samm"]]).clips, tmp_path / "all.parquet", JOINT) == []
    # Another lab's is compared without its frames.
    earlier = join(JOINT, [three["casme2"], three["samm"]]).clips
    elsewhere = [dataclasses.replace(clip, source="/elsewhere") for clip in earlier]
    write_manifest(elsewhere, tmp_path / "earlier.parquet")
    assert len(compare(joint.clips, tmp_path / "earlier.parquet", JOINT)) == 3


def test_counts_by_group_need_groups(three, tmp_path):
    rows = [row[:-1] for row in sheets.samm_rows()]
    samm = sheets.indexed(tmp_path, "samm", sheets.SAMM[:-1], rows)
    joint = join(JOINT, [three["casme2"], samm])
    assert joint.differences == []
    assert joint.notes == ["133 of 290 clips have no group, so the published counts by group are not checked"]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["casme2"], "casme2[+]samm needs samm, too"),
        (["casme2", "samm", "smic"], "has no clips of 'smic'"),
        (["casme2", "samm", "samm"], "is in two of the manifests"),
    ],
)
def test_manifests_that_do_not_make_the_set_are_refused(three, names, told):
    with pytest.raises(InputError, match=told):
        join(JOINT, [three[name] for name in names])


def test_a_list_that_is_none_is_refused(three, tmp_path):
    clips = read_manifest(three["casme2"])
    with pytest.raises(InputError, match="no header with clip_id"):
        compare(clips, comma(tmp_path / "a.csv", [["a", "b"]]), JOINT)
    rows = [["Dataset", "Subject", "Filename"], ["CK", 1, "x"]]
    told = r"row 2: Dataset 'CK' is none of casme2 \(CASME II\), samm \(SAMM\); the column has 'CK', 'SAMM'; correct it"
    with pytest.raises(InputError, match=told):
        compare(clips, comma(tmp_path / "b.csv", [*rows, ["SAMM", 6, "x"]]), JOINT)
    rows = [["Dataset", "Subject", "Filename"], ["SAMM", "six", "x"]]
    with pytest.raises(InputError, match="row 2: subject 'six' is none of SAMM; correct the row"):
        compare(clips, comma(tmp_path / "c.csv", rows), JOINT)


def test_a_list_says_which_onset_where_a_video_has_several_clips(tmp_path):
    manifest = sheets.indexed(tmp_path, "casme3a", sheets.CASME3, [["spNO.1", "a", 1, 2, 3, "4", "I", "sad"]])
    clips, cd6me = read_manifest(manifest), COMPOSITES["cd6me"]
    published = ["CAS(ME)3 part A", "spNO.1", "a", "sad"]
    for header, row in ((["Emotion"], published), (["Emotion", "Onset"], [*published, None])):
        reference = comma(tmp_path / "list.csv", [["Dataset", "Subject", "Filename", *header], row])
        told = r"list.csv row 2: clips of CAS\(ME\)3 part A .*, and here is no onset; give it in a column of that name"
        with pytest.raises(InputError, match=told):
            compare(clips, reference, cd6me)
    header = ["Dataset", "Subject", "Filename", "Emotion", "Onset"]
    for name in ("CAS(ME)3 part A", "CAS(ME)^3", "CASME3"):
        rows = [header, [name, *published[1:], "1.0"], ["as published in 2025"]]
        assert compare(clips, comma(tmp_path / "list.csv", rows), cd6me) == []


def test_a_person_of_two_datasets_is_one_among_all():
    clips = [
        Clip(clip_id="a", source="a", dataset="samm", subject="006", person="samm/006", emotion3="positive"),
        Clip(clip_id="b", source="b", dataset="samm_lv", subject="006", person="samm/006"),
        Clip(clip_id="c", source="c", dataset="samm_lv", subject="007"),
    ]
    assert [line.split()[:3] for line in table(clips)[1:]] == [
        ["samm", "1", "1"],
        ["samm_lv", "2", "2"],
        ["all", "3", "2"],
    ]
