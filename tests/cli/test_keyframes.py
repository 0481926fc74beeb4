"""The commands keyframes reselect and keyframes spot."""

import dataclasses
import os
import signal

import pyarrow.parquet as pq
import pytest

from flowkit.datasets import read_manifest, write_manifest
from flowkit.extraction.engines.crew import Crew
from flowkit.frames.folder import FolderSource
from tests.clips import dataset
from tests.extraction.engines.test_survey import workers


@pytest.fixture
def made(tmp_path):
    clips = dataset(tmp_path, clips=3, frames=24, size=(32, 32))
    (tmp_path / "sub02" / "img24.png").unlink()
    text = (tmp_path / "manifest.csv").read_text().splitlines()
    mine = ["mine", "kept", "kept too", "kept as well"]
    (tmp_path / "manifest.csv").write_text("\n".join(f"{line},{word}" for line, word in zip(text, mine, strict=True)))
    return tmp_path, clips


def test_reselect_keeps_the_old_frames_and_lists_failures(flowkit, made):
    folder, _ = made
    new, html = folder / "new.parquet", folder / "shifts.html"
    code, stdout, stderr = flowkit("keyframes", "reselect", folder / "manifest.csv", "-o", new, "--page", html)
    assert code == 1
    assert stdout.splitlines()[-1] == f"2 of 3 clips chosen anew: 2 moved -> {new}, {html}"
    assert stderr.startswith("flowkit: toy/sub02/ep01: ")
    rows = pq.read_table(new).to_pylist()
    assert [row["mine"] for row in rows] == ["kept", "kept too", "kept as well"]
    assert [row["apex_annotated"] for row in rows] == [13, 13, 13]
    assert [row["keyframes_source"] for row in rows] == [
        "reselect range=0.1 direction=inward metric=pixels", None, "reselect range=0.1 direction=inward metric=pixels",
    ]  # fmt: skip
    assert rows[1]["keyframes_error"] in stderr
    assert [(clip.onset, clip.apex, clip.offset) for clip in read_manifest(new)] == [
        (1, 13, 23), (1, 13, 24), (1, 13, 23),
    ]  # fmt: skip
    assert "<svg" in html.read_text()


def test_a_second_revision_keeps_the_annotation(flowkit, made):
    folder, clips = made
    first, second = folder / "first.csv", folder / "second.parquet"
    early = [dataclasses.replace(clip, onset=2) for clip in clips]
    write_manifest([early[0], early[2]], folder / "two.csv")
    wide = ("--range", "0.3", "--direction", "outward")
    assert flowkit("keyframes", "reselect", folder / "two.csv", "-o", first, *wide)[0] == 0
    assert flowkit("keyframes", "reselect", first, "-o", second, *wide, "--metric", "flow")[0] == 0
    rows = pq.read_table(second).to_pylist()
    assert [row["onset_annotated"] for row in rows] == [2, 2]
    assert [row["onset"] for row in rows] == [1, 1]
    assert [row["keyframes_source"].count("; ") for row in rows] == [1, 1]


def test_spot_fills_what_is_missing_and_leaves_what_is_annotated(flowkit, made):
    folder, clips = made
    write_manifest([clips[0], dataclasses.replace(clips[2], apex=None)], folder / "smic.parquet")
    code, stdout, stderr = flowkit("keyframes", "spot", folder / "smic.parquet", "-o", folder / "spotted.parquet")
    assert (code, stderr) == (0, "")
    assert stdout == f"1 of 1 apexes spotted, 1 left as annotated -> {folder / 'spotted.parquet'}\n"
    given, spotted = pq.read_table(folder / "spotted.parquet").to_pylist()
    assert (given["apex"], given["keyframes_source"], given["apex_confidence"]) == (13, None, None)
    assert spotted["apex_annotated"] is None
    assert 1 < spotted["apex"] <= 24
    assert spotted["keyframes_source"].startswith("spot head=similarity moving=0.1 preset=micro")
    assert 0 <= spotted["apex_confidence"] <= 1


def test_ends_that_were_taken_are_keyframes_of_the_new_manifest(flowkit, made):
    folder, clips = made
    bare = dataclasses.replace(clips[0], onset=None, apex=None, offset=None)
    half = dataclasses.replace(clips[2], apex=None, offset=None, onset=3)
    write_manifest([bare, half], folder / "bare.csv")
    new = folder / "spotted.parquet"
    assert flowkit("keyframes", "spot", folder / "bare.csv", "-o", new, "--ends", "first-last")[0] == 0
    one, other = pq.read_table(new).to_pylist()
    assert (one["onset"], one["offset"], one["onset_annotated"], one["offset_annotated"]) == (1, 24, None, None)
    assert (other["onset"], other["offset"], other["onset_annotated"], other["offset_annotated"]) == (3, 24, 3, None)
    assert "ends=first-last" in one["keyframes_source"]
    code, _, stderr = flowkit("extract", new, "-o", folder / "out", "--quiet")
    assert (code, stderr) == (0, "")


@pytest.mark.parametrize(("where", "name", "count"), [(FolderSource, "read", 1), (Crew, "hear", 2)])
@pytest.mark.parametrize("command", [("reselect",), ("spot", "--all")])
def test_a_stop_says_that_nothing_is_written(flowkit, made, monkeypatch, command, where, name, count):
    """In this process, and while others are at the clips."""
    folder, _ = made
    new = folder / "new.csv"

    call = getattr(where, name)

    def stopped(*arguments, **how):
        os.kill(os.getpid(), signal.SIGINT)
        return call(*arguments, **how)

    monkeypatch.setattr(where, name, stopped)
    code, stdout, stderr = flowkit("keyframes", *command, folder / "manifest.csv", "-o", new, "--workers", count)
    assert (code, stdout) == (3, "")
    assert stderr == "flowkit: stopped, and nothing is written; run the same command again\n"
    assert not new.exists()
    assert workers() == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["reselect", "{m}", "-o", "new.txt"], "manifest 'new.txt': its name must end in .parquet or .csv"),
        (["reselect", "{m}", "-o", "n.csv", "--metric", "ssim"], "metric 'ssim' is unknown"),
        (["reselect", "{m}", "-o", "n.csv", "--range", "x"], "range 'x' is no number"),
        (["spot", "{m}", "-o", "n.csv", "--head", "x"], "head 'x' is unknown"),
        (["spot", "{m}", "-o", "n.csv", "--page", "{m}"], "'{m}' is read here, and would be replaced"),
        (["spot", "{m}", "-o", "n.csv", "--pictures", "-1"], "Invalid value for '--pictures'"),
        (["spot", "{m}", "-o", "n.csv", "--workers", "0"], "workers=0: give at least 1"),
    ],
)
def test_a_wrong_option_is_one_sentence(flowkit, made, arguments, sentence):
    folder, _ = made
    code, stdout, stderr = flowkit(
        "keyframes", *(text.replace("{m}", str(folder / "manifest.csv")) for text in arguments)
    )
    assert (code, stdout) == (2, "")
    assert stderr.startswith(f"flowkit: {sentence.replace('{m}', str(folder / 'manifest.csv'))}")
    assert stderr.count("\n") == 1
