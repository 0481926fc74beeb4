"""The commands annotate predict, consolidate, correct, map and report, one after the other."""

import dataclasses
import re

import pyarrow.parquet as pq
import pytest

from flowkit.datasets import read_manifest, write_manifest
from tests.labels.conftest import SIDE, clip, coloured, onnx_model

READING = ("--labels", "Asian,White,Black", "--size", str(SIDE), "--mean", "0,0,0", "--std", "1,1,1", "--frames", "2")


@pytest.fixture
def folder(tmp_path):
    clips = [
        clip(
            f"toy/{subject}/{i}",
            coloured(tmp_path / f"{subject}{i}", [colour] * 3),
            emotion3="positive",
            emotion="happiness",
        )
        for subject, colours in (("1", ["red", "red", "blue"]), ("2", ["green", "blue"]))
        for i, colour in enumerate(colours)
    ]
    write_manifest(clips, tmp_path / "m.csv")
    onnx_model(tmp_path / "m.onnx")
    return tmp_path


def test_from_frames_to_the_report(flowkit, folder):
    def run(command, *arguments, code=0):
        done, stdout, stderr = flowkit("annotate", command, *arguments)
        assert done == code, stderr
        return stdout.splitlines()[-1], stdout, stderr

    last, _, _ = run("predict", folder / "m.csv", "-o", folder / "1.parquet", "--model", folder / "m.onnx", *READING)
    assert last.startswith("5 of 5 clips guessed by m.onnx sha256:")
    assert pq.read_table(folder / "1.parquet")["ethnicity"].null_count == 5
    last, stdout, _ = run("consolidate", folder / "1.parquet", "-o", folder / "2.csv")
    assert (
        last
        == f"1 of 2 people have one ethnicity, 1 ties left open, 0 without any, 0 labels changed -> {folder / '2.csv'}"
    )
    assert "toy/2: tie: black 1, white 1 (guess) left open; correct it" in stdout
    (folder / "c.csv").write_text("person,value,who,why\ntoy/2,white,Ann,asked\n")
    last, _, _ = run("correct", folder / "2.csv", folder / "c.csv", "-o", folder / "3.parquet")
    assert last == f"ethnicity of 2 clips set, of which 0 had another -> {folder / '3.parquet'}"
    last, _, _ = run("map", folder / "3.parquet", "-o", folder / "4.parquet")
    assert last == f"clips by group: asian 3, non_asian 2; 0 changed -> {folder / '4.parquet'}"
    rows = pq.read_table(folder / "4.parquet").to_pylist()
    assert [row["group"] for row in rows] == ["asian"] * 3 + ["non_asian"] * 2
    assert all("sha256:" in row["label_source"] for row in rows[:3])
    assert "corrected by Ann: asked" in rows[4]["label_source"]
    _, stdout, _ = run("report", folder / "4.parquet", "--page", folder / "labels.html")
    assert "3 clips: model's guess" in stdout
    assert "3 clips carry a model's guess" in (folder / "labels.html").read_text()
    (folder / "g.csv").write_text("clip_id,value,who,why\ntoy/1/0,non_asian,Ann,asked\n")
    run("correct", folder / "4.parquet", folder / "g.csv", "-o", folder / "g.parquet", "--column", "group")
    _, stdout, _ = run("map", folder / "g.parquet", "-o", folder / "kept.parquet")
    assert stdout.splitlines() == [
        "groups of 1 clips stay as a person corrected them",
        f"clips by group: non_asian 3, asian 2; 0 changed -> {folder / 'kept.parquet'}",
    ]
    _, _, stderr = run("correct", folder / "4.parquet", folder / "c.csv", "-o", folder / "5.parquet")
    assert stderr == ""


def test_labels_are_read_and_revised_without_the_frames(flowkit, folder):
    elsewhere = [
        dataclasses.replace(clip, source="/elsewhere", ethnicity="asian") for clip in read_manifest(folder / "m.csv")
    ]
    write_manifest(elsewhere, folder / "other.parquet")
    (folder / "c.csv").write_text("person,value,who,why\ntoy/2,white,Ann,asked\n")
    for command, *arguments in (
        ("report",),
        ("consolidate", "-o", folder / "1.csv"),
        ("correct", folder / "c.csv", "-o", folder / "2.csv"),
        ("map", "-o", folder / "3.csv"),
    ):
        code, _, stderr = flowkit("annotate", command, folder / "other.parquet", *arguments)
        assert (command, code, stderr.count("none of its")) == (command, 0, 0)
    arguments = ("-o", folder / "4.csv", "--model", folder / "m.onnx", *READING)
    code, _, stderr = flowkit("annotate", "predict", folder / "other.parquet", *arguments)
    assert code == 2
    assert "none of its 5 sources exists" in stderr


def test_a_damaged_clip_is_listed_and_the_rest_is_done(flowkit, folder):
    (folder / "10" / "img1.png").write_bytes(b"")
    arguments = ("-o", folder / "1.csv", "--model", folder / "m.onnx", *READING)
    code, stdout, stderr = flowkit("annotate", "predict", folder / "m.csv", *arguments)
    assert code == 1
    assert stdout.startswith("4 of 5 clips guessed")
    assert stderr.startswith("flowkit: toy/1/0: ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["predict", "{m}", "-o", "n.csv", "--model", "{m}", "--labels", "a,b"],
            "model '.*m.csv': its name must end in",
        ),
        (["predict", "{m}", "-o", "n.csv", "--model", "x.onnx"], "Missing option '--labels'"),
        (["predict", "{m}", "-o", "n.csv", "--model", "x.onnx", "--labels", "a"], "labels 'a': give at least two"),
        (["consolidate", "{m}", "-o", "n.csv", "--column", "emotion"], "column 'emotion' is no label"),
        (["map", "{m}", "-o", "n.csv", "--mapping", "none.csv"], "mapping 'none.csv' cannot be read as CSV: there is"),
        (["correct", "{m}", "none.csv", "-o", "n.csv"], "'none.csv' cannot be read as CSV: there is no such file"),
        (["correct", "{m}", "c.csv", "-o", "c.csv"], "'c.csv' is read here, and would be replaced"),
        (["map", "{m}", "--mapping", "map.csv", "-o", "map.csv"], "'map.csv' is read here, and would be replaced"),
        (["report", "{m}", "--page", "{m}"], "'.*m.csv' is read here, and would be replaced"),
        (["report", "none.csv"], "'.*none.csv': there is no such file; write its path as it is now, or put it back"),
    ],
)
def test_a_wrong_argument_is_one_sentence(flowkit, folder, arguments, sentence):
    code, stdout, stderr = flowkit("annotate", *(text.replace("{m}", str(folder / "m.csv")) for text in arguments))
    assert (code, stdout) == (2, "")
    assert re.match(f"flowkit: {sentence}", stderr)
    assert stderr.count("\n") == 1
