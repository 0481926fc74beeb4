"""A commit record: sizes and checksums of what a part has left."""

import dataclasses
import hashlib

import pytest

from flowkit.errors import OutputError
from flowkit.extraction.run import extract
from flowkit.output.commit import read_commit
from flowkit.output.verify import verify
from flowkit.output.writer import write_commit
from tests.clips import dataset, shards_of
from tests.damage import flip_a_bit


def test_a_commit_record_lists_sizes_and_checksums(tmp_path):
    extract(dataset(tmp_path, clips=2), tmp_path / "out", workers=1)
    commit = read_commit(tmp_path / "out" / "commits" / "part-00000.json")
    (file,) = commit.files
    data = (tmp_path / "out" / file.name).read_bytes()
    assert (commit.computed, commit.failed, file.rows, file.bytes) == (2, 0, 2, len(data))
    assert file.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("retry_failed", [False, True])
def test_a_part_whose_record_is_damaged_is_computed_again(tmp_path, retry_failed):
    clips = dataset(tmp_path, clips=2)
    (tmp_path / "sub02" / "img1.png").write_bytes(b"no picture")
    extract(clips, tmp_path / "out", workers=1)
    before = shards_of(tmp_path / "out")
    flip_a_bit(tmp_path / "out" / "commits" / "part-00000.json")
    summary = extract(clips, tmp_path / "out", workers=1, retry_failed=retry_failed)
    assert (summary.computed_now, summary.failed_now) == (1, 1)
    assert verify(tmp_path / "out").ok
    # Its shard counted until it was replaced, and so the new one has a name of its own.
    again = shards_of(tmp_path / "out")
    assert sorted(again.values()) == sorted(before.values())
    assert not again.keys() & before.keys()


def test_an_attempt_whose_files_were_removed_does_not_count(tmp_path):
    """A worker that was thought dead comes with its record when another's counts and the rest was tidied up."""
    out = tmp_path / "out"
    extract(dataset(tmp_path, clips=2), out, workers=1)
    record = out / "commits" / "part-00000.json"
    commit, before = read_commit(record), record.read_bytes()
    (file,) = commit.files
    late = dataclasses.replace(file, name="shards/part-00000.0123456789abcdef.parquet")
    with pytest.raises(OutputError, match="part 0 were removed by another run"):
        write_commit(out, dataclasses.replace(commit, files=(late,)))
    assert record.read_bytes() == before
    assert verify(out).ok
