"""The model on paper of the CUDA solver: its page is what it prints, and its arithmetic adds up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import gpu_model

COSTS = gpu_model.Costs(instructions=100, wavefronts=190, others=0, iterations={})
SLOW_SHARED_MEMORY = replace(COSTS, wavefronts=500)
PAGE = Path(__file__).parents[2] / "docs" / "cuda.md"


def test_the_page_has_the_table_that_the_model_prints(capsys):
    gpu_model.main()
    assert capsys.readouterr().out in PAGE.read_text()


def test_a_resident_level_by_hand():
    """Seven ranks of 14 warps: four warps on the busiest of four schedulers, 16 of the teams at a time."""
    plan = {"variant": "resident", "ranks": 7, "threads": 448, "columns": 56, "rows": 8, "tiles_x": 1, "tiles_y": 1}
    each = 4 * 16 * 100 + 600
    assert gpu_model._iteration(plan, COSTS, 50) == pytest.approx((50 * each + 2000) * 132 / 16)
    each = 14 * 500 + 600
    assert gpu_model._iteration(plan, SLOW_SHARED_MEMORY, 50) == pytest.approx((50 * each + 2000) * 132 / 16)
    assert gpu_model._bytes(plan, 50) == 7 * 448 * 16 * 17 * 4


def test_a_tiled_level_by_hand():
    """Eight tiles of 16 warps, seven launches of at most eight iterations."""
    plan = {"variant": "tiled", "ranks": 1, "threads": 512, "columns": 17, "rows": 30, "tiles_x": 4, "tiles_y": 2}
    plan["iterations"] = 8
    assert gpu_model._iteration(plan, COSTS, 50) == pytest.approx(8 * (50 * (4 * 16 * 100 + 60) + 7 * 2000))
    assert gpu_model._bytes(plan, 50) == 7 * 8 * 17 * 30 * 16 * 17 * 4
    shared = 8 * (50 * (16 * 500 + 60) + 7 * 2000)
    assert gpu_model._iteration(plan, SLOW_SHARED_MEMORY, 50) == pytest.approx(shared)
    quick = replace(COSTS, instructions=1, wavefronts=1)
    assert gpu_model._iteration(plan, quick, 50) > 8 * (50 * (4 * 16 + 60) + 7 * 2000), "memory is slower than that"
