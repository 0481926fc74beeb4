"""The command verify: a line for each problem, and an exit code that says which kind of answer it is."""

import shutil

import pytest

from flowkit.extraction.run import extract
from tests.clips import dataset
from tests.damage import flip_a_bit


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A sound output of two clips in one part."""
    folder = tmp_path_factory.mktemp("made")
    extract(dataset(folder, clips=2, size=(24, 24)), folder / "out", workers=1)
    return folder / "out"


@pytest.fixture
def out(made, tmp_path):
    """A copy of it, to be harmed."""
    return shutil.copytree(made, tmp_path / "out")


def test_a_sound_output_ends_with_0(flowkit, out):
    code, stdout, stderr = flowkit("verify", out)
    assert (code, stderr) == (0, "")
    assert stdout.startswith("OK: 2 pairs planned, 2 computed, 0 failed, 1 shards, parameters ")


def test_an_unfinished_output_ends_with_3(flowkit, out):
    (out / "commits" / "part-00000.json").unlink()
    code, stdout, stderr = flowkit("verify", out)
    assert (code, stdout) == (3, "")
    assert stderr.startswith("not finished: 2 pairs planned, 0 computed, 0 failed, 0 shards, 2 pairs still to do;")


@pytest.mark.parametrize("name", ["commits/part-00000.json", "shards/part-00000.parquet", "plan/pairs.parquet"])
def test_each_problem_is_a_line_and_the_code_is_2(flowkit, out, name):
    flip_a_bit(out / name)
    (out / "plan" / "survey.parquet").unlink()
    (out / "shards" / "part-00009.parquet").touch()
    code, stdout, stderr = flowkit("verify", out)
    lines = stderr.splitlines()
    assert (code, stdout) == (2, "")
    assert lines[-1] == f"{len(lines) - 1} problem{'s' if len(lines) > 2 else ''} found"
    assert len(lines) == (2 if name == "plan/pairs.parquet" else 4)  # without the plan nothing else can be said
    assert all(line.startswith("flowkit: ") for line in lines[:-1])
    assert any(name in line for line in lines)


def test_a_damaged_run_json_is_one_line_and_2(flowkit, out):
    flip_a_bit(out / "plan" / "run.json")
    code, stdout, stderr = flowkit("verify", out)
    assert (code, stdout, stderr.count("\n")) == (2, "", 1)
    assert "plan/run.json is damaged (" in stderr


def test_verify_needs_an_output(flowkit, tmp_path):
    code, _, stderr = flowkit("verify", tmp_path)
    assert code == 2
    assert "is no output of flowkit extract" in stderr
    (tmp_path / "file").touch()
    code, _, stderr = flowkit("verify", tmp_path / "file")
    assert code == 2
    assert "is no output of flowkit extract" in stderr
