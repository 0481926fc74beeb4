"""Verification: a sound output is called so, and each kind of harm is named."""

import dataclasses
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flowkit.extraction.run import extract
from flowkit.output.commit import Commit, read_commit
from flowkit.output.verify import verify
from flowkit.output.writer import put_table
from tests.clips import dataset
from tests.damage import flip_a_bit, reseal, without_checksum


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A finished output of two parts, one failure among them."""
    folder = tmp_path_factory.mktemp("made")
    clips = dataset(folder, clips=2, frames=80)
    (folder / "sub01" / "img9.png").unlink()
    extract(clips, folder / "out", pairs="lag:1", size=16, workers=1)
    assert verify(folder / "out").ok
    return folder / "out"


@pytest.fixture
def finished(made, tmp_path) -> Path:
    """A copy of it, to be harmed."""
    return shutil.copytree(made, tmp_path / "out")


def rename(path: Path, name: str) -> None:
    path.rename(path.with_name(name))


def rewrite_shard(out: Path, part: int, rows: slice) -> None:
    """Writes a shard with some of its rows only, and a record that fits: all checksums are right."""
    path = out / f"commits/part-{part:05d}.json"
    commit = read_commit(path)
    shard = commit.file("shards")
    table = pq.read_table(out / shard.name)[rows]
    record = put_table(out, shard.name, table)
    kept = [file for file in commit.files if file.name != shard.name]
    changed = dataclasses.replace(commit, computed=table.num_rows, files=(record, *kept))
    reseal(path, **dataclasses.asdict(changed))


HARM = {
    "bit of a shard": (
        lambda out: flip_a_bit(out / "shards/part-00001.parquet"),
        "shards/part-00001.parquet is not as it was",
    ),
    "bit of failures": (
        lambda out: flip_a_bit(out / "failures/part-00000.parquet"),
        "failures/part-00000.parquet is not as it",
    ),
    "bit of the plan": (
        lambda out: flip_a_bit(out / "plan/pairs.parquet"),
        "plan/pairs.parquet is not as it was written",
    ),
    "bit of the survey": (
        lambda out: flip_a_bit(out / "plan/survey.parquet"),
        "plan/survey.parquet is not as it was written",
    ),
    "no survey": (lambda out: (out / "plan/survey.parquet").unlink(), "plan/survey.parquet is missing"),
    "no plan": (lambda out: (out / "plan/pairs.parquet").unlink(), "plan/pairs.parquet is missing"),
    "no shard": (lambda out: (out / "shards/part-00000.parquet").unlink(), "shards/part-00000.parquet is missing"),
    "no shards": (lambda out: shutil.rmtree(out / "shards"), "shards/part-00001.parquet is missing"),
    "folder in a shard's place": (
        lambda out: ((out / "shards/part-00000.parquet").unlink(), (out / "shards/part-00000.parquet").mkdir()),
        "shards/part-00000.parquet cannot be read (Is a directory)",
    ),
    "folder in a record's place": (
        lambda out: ((out / "commits/part-00000.json").unlink(), (out / "commits/part-00000.json").mkdir()),
        "part-00000.json cannot be read (Is a directory)",
    ),
    "short shard": (
        lambda out: os.truncate(out / "shards/part-00000.parquet", 999),
        "part-00000.parquet has 999 bytes",
    ),
    "another's shard": (
        lambda out: (out / "shards/part-00007.parquet").touch(),
        "shards/part-00007.parquet is in no commit record",
    ),
    "failures of none": (
        lambda out: (out / "failures/part-00001.parquet").touch(),
        "failures/part-00001.parquet is in no commit record",
    ),
    "temporary file": (lambda out: (out / "shards/.tmp-part-00001").touch(), "shards/.tmp-part-00001 is left over"),
    "hidden file": (lambda out: (out / "shards/.DS_Store").touch(), "shards/.DS_Store is no file of this output"),
    "file in plan": (lambda out: (out / "plan/notes.txt").touch(), "plan/notes.txt is no file of this output"),
    "file in commits": (
        lambda out: (out / "commits/notes.txt").touch(),
        "notes.txt is no commit record of this output",
    ),
    "no record": (lambda out: (out / "commits/part-00001.json").write_text("[]"), "part-00001.json is damaged"),
    "empty record": (lambda out: (out / "commits/part-00001.json").write_text(""), "part-00001.json is damaged"),
    "record that is no text": (
        lambda out: (out / "commits/part-00001.json").write_bytes(b"\xff\xfe"),
        "part-00001.json is damaged",
    ),
    "record without checksum": (
        lambda out: without_checksum(out / "commits/part-00001.json"),
        "part-00001.json is damaged (ValueError: its SHA-256 is missing); run the same extraction again to replace it",
    ),
    "record of part 5": (
        lambda out: reseal(out / "commits/part-00001.json", part=5, computed=0, failed=0, files=[]),
        "part-00001.json is the record of part 5 under another name",
    ),
    "record's name": (
        lambda out: rename(out / "commits/part-00001.json", "pbrt-00001.json"),
        "pbrt-00001.json is the record of part 1 under another name; rename it to commits/part-00001.json",
    ),
    "record not planned": (
        lambda out: (out / "commits/part-00002.json").write_text((out / "commits/part-00001.json").read_text()),
        "part-00002.json is the record of part 1 under another name",
    ),
    "record of no planned part": (
        lambda out: (
            reseal(out / "commits/part-00001.json", part=2, computed=0, failed=0, files=[]),
            rename(out / "commits/part-00001.json", "part-00002.json"),
        ),
        "part-00002.json records part 2, and 2 parts are planned; remove it",
    ),
    "other parameters": (
        lambda out: reseal(out / "commits/part-00001.json", parameters_hash="0"),
        "part 1 was made with other parameters",
    ),
    "record that names no file": (
        lambda out: reseal(out / "commits/part-00000.json", files=[]),
        "its files are not those of its part and counts",
    ),
    "rows missing": (lambda out: rewrite_shard(out, 1, slice(1, None)), "part 1 lacks the pair lag 50, 51 of clip"),
    "parameters": (lambda out: reseal(out / "plan/run.json", parameters={}), "do not have its parameters_hash"),
    "parts": (
        lambda out: reseal(out / "plan/run.json", plan=dict(_plan(out), pairs=157)),
        "has 158 pairs in 2 parts, plan/run.json says 157 in 2",
    ),
    "preset": (lambda out: reseal(out / "plan/run.json", preset="fast"), "another preset than plan/run.json has"),
}


def _plan(out: Path) -> dict:
    from flowkit.output.plan_file import read_run

    return read_run(out)["plan"]


@pytest.mark.parametrize(("harm", "sentence"), HARM.values(), ids=HARM.keys())
def test_verification_names_each_kind_of_harm(finished, harm, sentence):
    harm(finished)
    result = verify(finished)
    assert not result.ok
    assert any(sentence in problem for problem in result.problems), result.problems
    assert not any("\n" in problem for problem in result.problems)
    assert "problem" in str(result)


def test_verification_notices_a_row_in_the_wrong_part(finished):
    (first, second) = (finished / f"commits/part-{part:05d}.json" for part in range(2))
    commit = read_commit(first)
    table = pq.read_table(finished / read_commit(second).file("shards").name)
    record = put_table(finished, commit.file("shards").name, table)
    kept = [file for file in commit.files if file.name != record.name]
    changed = dataclasses.replace(commit, computed=table.num_rows, files=(record, *kept))
    reseal(first, **dataclasses.asdict(changed))
    problems = verify(finished).problems
    assert any(
        "part 0 has the pair lag 50, 51" in problem and "too often or unplanned" in problem for problem in problems
    )
    assert any("part 0 lacks the pair lag 1, 2" in problem for problem in problems)


@pytest.mark.parametrize("share", [i / 40 for i in range(40)])
def test_any_flipped_bit_of_a_record_is_noticed(finished, share):
    for name in ("commits/part-00000.json", "commits/part-00001.json"):
        flip_a_bit(finished / name, share, bit=1 << (int(share * 40) % 7))
    problems = verify(finished).problems
    assert len(problems) == 2, problems
    for problem, name in zip(problems, ("part-00000.json", "part-00001.json"), strict=True):
        assert f"commits/{name} is damaged (" in problem
        assert "run the same extraction again to replace it" in problem


def test_a_copy_without_its_empty_folders_is_sound(tmp_path):
    extract(dataset(tmp_path, clips=1), tmp_path / "out", workers=1)
    (tmp_path / "out" / "failures").rmdir()
    assert str(verify(tmp_path / "out")).startswith("OK: 1 pairs planned, 1 computed, 0 failed, 1 shards")


def test_an_output_without_any_record_is_not_finished(finished):
    shutil.rmtree(finished / "commits")
    result = verify(finished)
    assert (result.problems, result.unfinished) == ([], 158)


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


def test_a_part_is_whole_only_with_all_its_bytes(finished):
    commit: Commit = read_commit(finished / "commits/part-00000.json")
    assert commit.is_whole(finished)
    os.truncate(finished / commit.files[0].name, commit.files[0].bytes - 1)
    assert not commit.is_whole(finished)


def test_a_footer_that_readers_would_refuse_is_found(finished):
    path = finished / "commits" / "part-00001.json"
    commit = read_commit(path)
    files = [dataclasses.replace(file, footer_sha256="0" * 64) for file in commit.files]
    reseal(path, **dataclasses.asdict(dataclasses.replace(commit, files=tuple(files))))
    found = verify(finished)
    assert found.damaged == {1}
    assert "its footer is not the one that its commit record names" in found.problems[0]
