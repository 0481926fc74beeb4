"""Outputs of released versions, as those wrote them: read, verified, harm in them noticed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from flowkit.errors import OutputError
from flowkit.extraction.run import extract
from flowkit.output.plan_file import SCHEMA_VERSION, read_plan
from flowkit.output.shard import read
from flowkit.output.verify import verify
from tests.damage import flip_a_bit
from tests.golden import FOLDER, MOTION, clips

VERSIONS = sorted(path.name for path in FOLDER.iterdir() if path.is_dir() and path.name[0].isdigit())
RECORDS = ("plan/run.json", "commits/part-00000.json")


@pytest.fixture(params=VERSIONS)
def golden(request, tmp_path):
    """A copy of one version's output, in a folder with the frames."""
    shutil.copytree(FOLDER / "frames", tmp_path / "frames")
    return shutil.copytree(FOLDER / request.param, tmp_path / request.param)


def test_the_versions_are_those_released_and_this_one():
    assert VERSIONS == ["0.1", "0.2", "0.3"]
    versions = [read(FOLDER / name).metadata["schema_version"] for name in VERSIONS]
    assert versions == [1, 2, SCHEMA_VERSION]


def test_a_golden_output_is_sound(golden):
    result = verify(golden)
    assert result.problems == []
    assert str(result).startswith("OK: 4 pairs planned, 3 computed, 1 failed, 1 shards, parameters ")


def test_a_golden_output_is_read(golden):
    shards = read(golden)
    assert shards.finished
    assert repr(shards).endswith("3 pairs in 1 shard, cubes (3, 16, 16) float32, preset micro, finished>")
    assert shards.metadata["versions"]["flowkit"].startswith(golden.name)
    for row, name in zip(shards, MOTION, strict=True):
        assert {key: row[key] for key in ("clip_id", "dataset", "subject", "role", "frame0", "frame1", "fps")} == {
            "clip_id": name,
            "dataset": "golden",
            "subject": "01",
            "role": "onset-apex",
            "frame0": 1,
            "frame1": 2,
            "fps": 200.0,
        }
        assert (row["emotion"], row["emotion3"], row["au"], row["group"]) == ("happiness", "positive", "6+12", "a")
        inside = row["cube"][:2, 4:-4, 4:-4].mean(axis=(1, 2))
        np.testing.assert_allclose(inside, MOTION[name], atol=0.1)
    (failure,) = shards.failures().to_pylist()
    assert (failure["clip_id"], failure["frame0"], failure["frame1"]) == ("gone", 1, 2)
    assert "frames/gone" in failure["error"]
    assert read_plan(golden)["part"].to_pylist() == [0, 0, 0, 0]
    assert read_plan(golden)["source"].to_pylist() == [clip.source for clip in clips()]


def test_this_code_finds_the_numbers_that_were_written(golden, monkeypatch):
    monkeypatch.chdir(golden.parent)
    extract(clips(), "now", workers=1, preset="micro" if golden.name == VERSIONS[-1] else "micro-0.1")
    np.testing.assert_allclose(read("now").cubes(0), read(golden).cubes(0), atol=1e-5)


@pytest.mark.parametrize("share", [i / 20 for i in range(20)])
@pytest.mark.parametrize("name", RECORDS)
def test_a_flipped_bit_of_a_record_is_found(golden, name, share):
    before = json.loads((golden / name).read_text())
    flip_a_bit(golden / name, share, bit=4)
    if not (problems := problems_of(golden)):
        # Which packages were used stands, in version 1, under no checksum.
        assert (golden.name, name) == ("0.1", "plan/run.json")
        after = json.loads((golden / name).read_text())
        assert after | {"versions": None} == before | {"versions": None}
    assert not any("\n" in problem for problem in problems)


def problems_of(out: Path) -> list[str]:
    """What verification has to say, whether it goes on after it or not."""
    try:
        return verify(out).problems
    except OutputError as error:
        return [str(error)]


@pytest.mark.parametrize("version", ["0.1", "0.2"])
def test_an_older_version_is_not_continued(tmp_path, monkeypatch, version):
    shutil.copytree(FOLDER / "frames", tmp_path / "frames")
    out = shutil.copytree(FOLDER / version, tmp_path / version)
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(
        OutputError, match=r"was written by flowkit 0\.[12]\.0, whose outputs this one reads but does not"
    ):
        extract(clips(), out, workers=1)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
