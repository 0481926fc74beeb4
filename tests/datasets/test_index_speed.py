"""Indexing is quick: most of it is the names of frames (benchmarks/bench_index.py measures more of them)."""

import time

from benchmarks.bench_index import make
from flowkit.datasets.casme2 import CASME2
from flowkit.datasets.indexing import index_dataset
from flowkit.datasets.sheets import read_sheets


def test_a_thousand_clips_are_indexed_in_seconds(tmp_path):
    sheet = make(tmp_path, clips=1000, frames=12)
    start = time.process_time()
    found = index_dataset(CASME2, tmp_path, read_sheets([sheet]))
    assert time.process_time() - start < 10
    assert len(found.clips) == 1000
    assert found.failed == 0
