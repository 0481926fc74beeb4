"""Outputs and sources in an object store: the same rows as on disk, and a commit that is right without locks."""

import shutil
import threading
from pathlib import Path

import pytest

import flowkit
from flowkit.errors import InputError, Interrupted, OutputError, StoreError
from flowkit.extraction.repair import repair
from flowkit.extraction.run import extract
from flowkit.output.commit import finished
from flowkit.output.shard import read
from flowkit.output.store import place
from flowkit.output.store_client import forget
from flowkit.output.verify import verify
from tests.bucket import NAME
from tests.clips import dataset, frame_folder, rows, video
from tests.clips import flowkit as command
from tests.damage import flip_a_bit

ASKED = {"pairs": "lag:1", "size": 24, "preset": "fast", "workers": 1}


@pytest.fixture(scope="module")
def data(bucket) -> Path:
    """A manifest with folders, a video, a clip without an apex and one whose frames are gone, as files of the bucket."""
    folder = bucket.folder("data")
    dataset(folder, clips=3)
    video(folder / "talk.mp4", 8)
    frame_folder(folder / "late", range(5, 12), suffix=".jpg")
    (folder / "manifest.csv").write_text(
        "clip_id,source,subject\na,sub01,1\nb,sub02,2\nv,talk.mp4,3\nj,late/,3\ngone,gone,4\nno,gone.mp4,4\n"
    )
    return folder


@pytest.fixture(scope="module")
def local(data, tmp_path_factory) -> Path:
    """What an extraction from disk onto disk gives."""
    copy = tmp_path_factory.mktemp("local") / "data"
    shutil.copytree(data, copy)
    extract(copy / "manifest.csv", copy.parent / "out", **ASKED)
    return copy.parent / "out"


def test_rows_are_those_of_local_disk_bit_for_bit(data, local, bucket):
    summary = extract(f"s3://{NAME}/data/manifest.csv", f"s3://{NAME}/same", **ASKED)
    here, there = read(local), read(f"s3://{NAME}/same")
    assert (summary.computed, summary.failed) == (len(here), 2) == (23, 2)
    assert verify(there.folder).ok
    assert rows(there.folder) == rows(local)
    assert there.metadata["parameters_hash"] == here.metadata["parameters_hash"]
    assert there.metadata["manifest_fingerprint"] == here.metadata["manifest_fingerprint"]
    failed = [table.drop_columns("error").to_pylist() for table in (here.failures(), there.failures())]
    assert failed[0] == failed[1]
    assert (there[-1]["cube"] == here[-1]["cube"]).all()  # a row group, by ranges
