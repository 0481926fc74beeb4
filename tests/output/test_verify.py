"""Verification: a sound output is called so, and each kind of harm is named."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from flowkit.extraction.run import extract
from flowkit.output.commit import read_commit
from flowkit.output.verify import verify
from tests.clips import dataset


@pytest.fixture
def finished(tmp_path) -> Path:
    """A finished output of two parts, one failure among them."""
    clips = dataset(tmp_path, clips=2, frames=80)
    (tmp_path / "sub01" / "img9.png").unlink()
    extract(clips, tmp_path / "out", pairs="lag:1", size=16, workers=1)
    assert verify(tmp_path / "out").ok
    return tmp_path / "out"


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def rewrite(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda out: flip_a_bit(out / "shards/part-00001.parquet"), "shards/part-00001.parquet is not as it was"),
        (lambda out: flip_a_bit(out / "failures/part-00000.parquet"), "failures/part-00000.parquet is not as it"),
        (lambda out: flip_a_bit(out / "plan/pairs.parquet"), "plan/pairs.parquet is not as it was written"),
        (lambda out: (out / "shards/part-00000.parquet").unlink(), "shards/part-00000.parquet is missing"),
        (lambda out: os.truncate(out / "shards/part-00000.parquet", 999), "part-00000.parquet has 999 bytes"),
        (lambda out: (out / "shards/part-00007.parquet").touch(), "shards/part-00007.parquet is in no commit record"),
        (lambda out: (out / "shards/.tmp-part-00001").touch(), "shards/.tmp-part-00001 is left over"),
        (lambda out: (out / "commits/part-00001.json").write_text("[]"), "part-00001.json is damaged"),
        (lambda out: rewrite(out / "commits/part-00001.json", part=5), "records part 5, which is not planned"),
        (lambda out: rewrite(out / "commits/part-00001.json", parameters_hash="0"), "made with other parameters"),
        (lambda out: rewrite(out / "commits/part-00000.json", files=[]), "part 0 lacks the pair lag 1, 2 of clip"),
        (lambda out: rewrite(out / "plan/run.json", parameters={}), "do not have its parameters_hash"),
    ],
)
def test_verification_names_each_kind_of_harm(finished, harm, sentence):
    harm(finished)
    result = verify(finished)
    assert not result.ok
    assert any(sentence in problem for problem in result.problems), result.problems
    assert "problem" in str(result)


def test_verification_notices_a_row_in_the_wrong_unit(finished):
    (first, second) = (read_commit(path) for path in sorted((finished / "commits").iterdir()))
    shard = next(file for file in second.files if file.name.startswith("shards"))
    files = [*first.files, shard]
    rewrite(finished / "commits/part-00000.json", files=[dataclasses.asdict(file) for file in files])
    assert any("too often or unplanned" in problem for problem in verify(finished).problems)


def test_verification_of_an_unfinished_output(finished):
    for folder in ("commits", "shards", "failures"):
        for path in (finished / folder).glob("part-00001.*"):
            path.unlink()
    # What a kill may leave: a part's files without its record, and half a file.
    (finished / "shards/part-00001.parquet").touch()
    (finished / "shards/.tmp-part-00001.parquet-0").touch()
    result = verify(finished)
    assert (result.ok, result.problems, result.unfinished) == (False, [], 30)
    assert str(result).startswith("not finished: 158 pairs planned, 126 computed, 2 failed, 1 shards, 30 pairs still")
