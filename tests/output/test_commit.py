"""A commit record: sizes and checksums of what a part has left."""

import hashlib

from flowkit.extraction.run import extract
from flowkit.output.commit import read_commit
from tests.clips import dataset


def test_a_commit_record_lists_sizes_and_checksums(tmp_path):
    extract(dataset(tmp_path, clips=2), tmp_path / "out", workers=1)
    commit = read_commit(tmp_path / "out" / "commits" / "part-00000.json")
    (file,) = commit.files
    data = (tmp_path / "out" / file.name).read_bytes()
    assert (commit.computed, commit.failed, file.rows, file.bytes) == (2, 0, 2, len(data))
    assert file.sha256 == hashlib.sha256(data).hexdigest()
