"""Table V says of each run what it is."""

from pathlib import Path

import numpy as np

from trainer.comparison import Finished
from trainer.studies.table_v import table_v, verdict


def finished(**choices):
    config = {"model": "resnet18", "seed": 0, "shared": False, "slips": [], **choices}
    interval = {"low": 0.5, "high": 0.9}
    overall = {"n": 10, "support": {}, "accuracy": 0.7, "uf1": 0.6, "uar": 0.6, "intervals": {"accuracy": interval}}
    empty = np.zeros(0, dtype=np.int64)
    summary = {"config": config, "metrics": {"overall": overall, "by_clip": None}}
    return Finished(Path("run"), "run", "0" * 64, {}, {}, summary, (), (), empty, empty, (), empty)


def test_a_run_with_slips_says_so_in_its_row_and_below():
    slipped = [finished(model="dual-resnet18", shared=True, slips=["test-batch-norm", "best-epoch"])]
    row = table_v(slipped).to_pylist()[0]
    assert row["what"] == "run: dual-resnet18, shared, slip test-batch-norm, slip best-epoch"
    assert verdict(slipped)[0] == "run repeats slip test-batch-norm, slip best-epoch on purpose, and is no result."
    clean = [finished()]
    assert table_v(clean).to_pylist()[0]["what"] == "run: resnet18"
    assert not any("on purpose" in told for told in verdict(clean))
