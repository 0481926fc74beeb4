"""The commands of index: what is written, what is said, and the exit codes."""

import base64
import re

import cv2
import numpy as np
import pytest

from flowkit.datasets import read_manifest
from flowkit.datasets.defects import read_defects
from flowkit.datasets.revision import Revision
from flowkit.output.shard import read
from tests.clips import frame_folder, video
from tests.datasets import composite_sheets as sheets
from tests.datasets.trees import comma, frames, xlsx

HEADER = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]
ROWS = [
    ["01", "EP01", 1, 3, 5, "4", "disgust"],
    ["02", "EP01", 1, "/", 5, "12", "happiness"],
    ["03", "EP01", 1, 3, 5, "1+2", "surprise"],
]


@pytest.fixture
def root(tmp_path):
    for row in ROWS:
        frame_folder(tmp_path / "root" / f"sub{row[0]}" / row[1], range(1, 6), size=(48, 40))
    return tmp_path / "root"


def test_from_a_download_folder_to_shards(flowkit, root, tmp_path):
    names = [*HEADER, "Race", "Age", "Gender"]
    rows = [[*row, 2, 20 + i, "F"] for i, row in enumerate(ROWS)]
    file = xlsx(tmp_path / "coding.xlsx", {"Sheet1": [names, *rows], "Sheet2": []})
    manifest = tmp_path / "m.parquet"
    code, stdout, stderr = flowkit(
        "index", "casme2", root, "--annotations", file, "-o", manifest, "--page", tmp_path / "page.html"
    )
    assert (code, stderr) == (0, "")
    lines = stdout.splitlines()
    assert lines[0].split() == ["dataset", "clips", "people", "classes", "groups"]
    assert lines[1].split(maxsplit=3) == ["casme2", "3", "3", "negative 1, positive 1, surprise 1  asian 3"]
    assert lines[2].startswith("labels of casme2: coding.xlsx: ethnicity from column Race")
    assert lines[-1] == f"3 clips -> {manifest}"
    clips = read_manifest(manifest)
    assert [clip.source for clip in clips] == [str(root / f"sub0{i}" / "EP01") for i in (1, 2, 3)]
    (defect,) = read_defects(tmp_path / "m.defects.csv")
    assert (defect.row, defect.value, defect.failed) == (3, "/", False)
    # The pair that the annotation makes impossible is a failure; the others carry who they show.
    assert flowkit("extract", manifest, "-o", tmp_path / "out")[0] == 1
    shards = read(tmp_path / "out")
    told = shards.table(["person", "age", "gender", "ethnicity", "group"]).to_pylist()
    assert told == [
        {"person": f"casme2/0{i}", "age": str(19 + i), "gender": "female", "ethnicity": "asian", "group": "asian"}
        for i in (1, 3)
    ]
    assert shards.failures()["clip_id"].to_pylist() == ["casme2/sub02/EP01"]


def test_the_page_holds_everything_and_a_frame(flowkit, root, tmp_path):
    rows = [*ROWS, ["04", "<b>EP01", 1, 3, 5, "4", "disgust"]]
    file = comma(tmp_path / "coding.csv", [HEADER, *rows])
    page = tmp_path / "page.html"
    code, _, stderr = flowkit("index", "casme2", root, "--annotations", file, "-o", tmp_path / "m.csv", "--page", page)
    assert code == 1
    assert "row 5, clip 'casme2/sub04/<b>EP01'" in stderr
    text = page.read_text()
    assert not re.search(r"<(script|link)|src=\"http", text)
    assert "casme2: 4 clips of 4 people" in text
    assert "&lt;b&gt;EP01" in text
    assert "<b>EP01" not in text
    assert "No group is given" in text
    (data,) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_GRAYSCALE)
    frame = cv2.imread(str(root / "sub01" / "EP01" / "img3.png"), cv2.IMREAD_GRAYSCALE)
    wanted = cv2.resize(frame, shown.shape[::-1], interpolation=cv2.INTER_LINEAR)
    assert np.abs(shown.astype(float) - wanted).mean() < 6


def test_failed_rows_are_told_and_give_exit_code_1(flowkit, root, tmp_path):
    rows = [["9", "EP01", *row[2:]] for row in ROWS for _ in range(9)]
    file = comma(tmp_path / "coding.csv", [HEADER, *ROWS, *rows])
    code, stdout, stderr = flowkit("index", "casme2", root, "--annotations", file, "-o", tmp_path / "m.csv")
    assert code == 1
    assert len(stderr.splitlines()) == 21
    assert stderr.splitlines()[-1] == "failed: 7 more rows"
    assert stdout.splitlines()[-1] == f"4 clips -> {tmp_path / 'm.csv'}; failed rows: 27"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--annotations", "none.xlsx"], "annotation file 'none.xlsx' is not there"),
        (["--annotations", "coding.csv", "--sheet", "x"], "--sheet x: the sheets are ''"),
        (["--annotations", "coding.csv", "--repairs", "no.csv"], "annotation file 'no.csv' is not there"),
        (["--annotations", "coding.csv", "--fps", "inf"], "--fps inf: give frames a second"),
        (["--annotations", "coding.csv", "--fps", "-1"], "--fps -1: give frames a second"),
        (["--annotations", "coding.csv", "--frame-base", "1"], "--frame-base 1: no source is a video"),
        (["--annotations", "coding.csv", "-o", "m.xlsx"], "manifest 'm.xlsx': its name must end in"),
    ],
)
def test_wrong_options_are_one_line(flowkit, root, tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    comma(tmp_path / "coding.csv", [HEADER, *ROWS])
    out = [] if "-o" in arguments else ["-o", "m.csv"]
    code, _, stderr = flowkit("index", "casme2", root, *out, *arguments)
    assert (code, len(stderr.splitlines())) == (2, 1)
    assert told in stderr
    assert not (tmp_path / "m.csv").exists()


def test_a_sheet_without_one_good_row_is_refused(flowkit, root, tmp_path):
    file = comma(tmp_path / "coding.csv", [HEADER, ["x", *ROWS[0][1:]]])
    code, _, stderr = flowkit("index", "casme2", root, "--annotations", file, "-o", tmp_path / "m.csv")
    assert code == 2
    first, last = stderr.splitlines()
    assert "row 2: Subject='x': no subject of CASME II" in first
    assert re.fullmatch(r"flowkit: not one row of coding.csv \w{16} gives a clip; mend the sheet", last)
    assert not (tmp_path / "m.csv").exists()


def test_generic_names_columns_and_folders(flowkit, tmp_path):
    frames(tmp_path / "root" / "s1" / "a", range(1, 5))
    file = comma(tmp_path / "a.csv", [["who", "filename", "Start"], ["s1", "a", 2]])
    given = ["index", "generic", tmp_path / "root", "--annotations", file, "-o", tmp_path / "m.csv"]
    given += ["--folder", "{subject}/{filename}", "--name", "lab"]
    code, _, stderr = flowkit(*given, "--column", "subject=who", "--column", "onset=Start", "--fps", 60)
    assert (code, stderr) == (0, "")
    (clip,) = read_manifest(tmp_path / "m.csv")
    assert (clip.clip_id, clip.onset, clip.fps) == ("lab/s1/a", 2, 60)
    assert flowkit(*given, "--column", "subject")[0] == 2
    code, _, stderr = flowkit(*given, "--column", "onset=Start", "--column", "onset=Begin")
    assert (code, "--column onset=Begin: onset is 'Start' already; leave one out" in stderr) == (2, True)


def test_generic_counts_the_frames_of_videos_as_it_is_told(flowkit, tmp_path):
    video(tmp_path / "a.avi", 4)
    file = comma(tmp_path / "a.csv", [["subject", "filename", "onset", "apex", "offset"], ["s1", "a", 1, 2, 4]])
    given = ["index", "generic", tmp_path, "--annotations", file, "-o", tmp_path / "m.csv"]
    given += ["--folder", "{filename}.avi"]
    code, stdout, stderr = flowkit(*given)
    assert code == 1
    assert "frames of videos are counted from 0: give --frame-base 1" in stdout
    assert "or give --frame-base 1, or a column frame_base, if the sheet counts from 1" in stderr
    code, stdout, stderr = flowkit(*given, "--frame-base", 1)
    assert (code, stderr) == (0, "")
    (clip,) = read_manifest(tmp_path / "m.csv")
    assert (clip.frame_base, clip.offset) == (1, 4)
    assert flowkit("extract", tmp_path / "m.csv", "-o", tmp_path / "out", "--pairs", "onset-apex-offset")[0] == 0
    code, _, stderr = flowkit(*given, "--column", "onst=onset")
    assert code == 2
    assert "--column: 'onst' (is it 'onset'?) is neither a field nor in --folder" in stderr


def test_merge_checks_and_compares(flowkit, tmp_path):
    casme2 = sheets.indexed(tmp_path, "casme2", sheets.CASME2, sheets.casme2_rows())
    samm = sheets.indexed(tmp_path, "samm", sheets.SAMM, sheets.samm_rows())
    joint = tmp_path / "joint.parquet"
    code, stdout, stderr = flowkit("index", "merge", casme2, samm, "--as", "casme2+samm", "-o", joint)
    assert (code, stderr) == (0, "")
    assert stdout.splitlines()[-1] == (
        f"290 clips -> {joint}; 125 left out, in joint.defects.csv; all published counts are met"
    )
    assert [line.split(" from ")[0] for line in stdout.splitlines() if line.startswith("labels of ")] == [
        "labels of casme2: casme2.csv: ethnicity",
        "labels of samm: samm.csv: group",
    ]
    assert len(read_manifest(joint)) == 290
    assert len(read_defects(tmp_path / "joint.defects.csv")) == 125
    rows = sheets.casme2_rows()
    rows[-1][6] = "surprize"
    casme2 = sheets.indexed(tmp_path, "casme2", sheets.CASME2, rows)
    page = tmp_path / "joint.html"
    given = ["index", "merge", casme2, samm, "--as", "casme2+samm", "-o", tmp_path / "new.parquet"]
    code, stdout, stderr = flowkit(*given, "--against", joint, "--page", page)
    assert code == 1
    assert "differs from what is published: casme2 surprise: 24, published 25" in stdout
    assert "may account for it: casme2.csv row 257, clip" in stderr
    assert "'surprize'" in stderr
    assert re.search(r"beside \S+joint.parquet: joint.parquet row 157, clip .*not among the clips here", stderr)
    assert "casme2 surprise: 24, published 25" in page.read_text()
    code, _, stderr = flowkit("index", "merge", samm, "--as", "megc", "-o", joint)
    assert (code, stderr) == (2, "flowkit: --as megc: choose casme2+samm, megc2019, cd6me\n")


def test_merge_says_where_labels_are_from_and_keeps_what_keyframes_has_written(flowkit, tmp_path):
    casme2 = Revision(sheets.indexed(tmp_path, "casme2", sheets.CASME2, sheets.casme2_rows()))
    samm = Revision(sheets.indexed(tmp_path, "samm", sheets.SAMM, sheets.samm_rows()))
    casme2.put("label_source", [f"Ann, clip {i:03d}" for i in range(len(casme2.clips))])
    casme2.put("keyframes_source", ["spot"] * len(casme2.clips))
    samm.put("label_source", [None] * len(samm.clips))
    for name, revision in (("c", casme2), ("s", samm)):
        revision.write(tmp_path / f"{name}.parquet")
    given = [tmp_path / "c.parquet", tmp_path / "s.parquet"]
    code, stdout, _ = flowkit("index", "merge", *given, "--as", "casme2+samm", "-o", tmp_path / "joint.parquet")
    assert code == 0
    said = [line for line in stdout.splitlines() if line.startswith("labels of ")]
    assert len(said) == 22
    assert said[-2:] == [
        "labels of casme2: 137 more sources, in column label_source",
        "labels of samm: from where is not said",
    ]
    assert Revision(tmp_path / "joint.parquet").column("keyframes_source") == ["spot"] * 157 + [None] * 133


@pytest.mark.parametrize("option", ["-o", "--page"])
def test_no_file_that_is_read_is_replaced(flowkit, root, tmp_path, option):
    file = comma(tmp_path / "coding.csv", [HEADER, *ROWS])
    before = file.read_bytes()
    written = ("-o", file) if option == "-o" else ("-o", tmp_path / "m.csv", "--page", file)
    code, stdout, stderr = flowkit("index", "casme2", root, "--annotations", file, *written)
    assert (code, stdout) == (2, "")
    assert stderr == f"flowkit: '{file}' is read here, and would be replaced; give another name\n"
    assert file.read_bytes() == before


def test_a_composite_replaces_none_of_its_manifests(flowkit, root, tmp_path):
    file = comma(tmp_path / "coding.csv", [HEADER, *ROWS])
    manifest = tmp_path / "m.csv"
    flowkit("index", "casme2", root, "--annotations", file, "-o", manifest)
    before = manifest.read_bytes()
    code, _, stderr = flowkit("index", "merge", manifest, "--as", "casme2+samm", "-o", manifest)
    assert (code, manifest.read_bytes()) == (2, before)
    assert "is read here, and would be replaced" in stderr
