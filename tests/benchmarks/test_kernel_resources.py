"""What the record of the kernels' registers and spills is read from, and when a change is reported."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks import kernel_resources

ITERATE = "_ZN7flowkit11run_programINS_7IterateINS_15IterationConfigILNS_8DataTermE1ELNS_8RoundingE1ELb1ELb1EEEEEEEvT_"
LOG = f"""
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '{ITERATE}' for 'sm_90'
ptxas info    : Function properties for {ITERATE}
    24 bytes stack frame, 38 bytes spill stores, 48 bytes spill loads
ptxas info    : Used 128 registers, used 1 barriers, 24 bytes cumulative stack size
ptxas info    : Compiling entry function '_ZN7flowkit11run_programINS_6DecideEEEvT_' for 'sm_90'
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 32 registers, used 1 barriers, 64 bytes smem
"""


def test_parsing_what_ptxas_says():
    assert kernel_resources.parse(LOG) == {
        "Decide": {"registers": 32, "spill_bytes": 0, "stack_bytes": 0, "shared_bytes": 64},
        "Iterate patch fast affine": {"registers": 128, "spill_bytes": 86, "stack_bytes": 24, "shared_bytes": 0},
    }


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("_ZN7flowkit11run_programINS_9EachPixelINS_6MedianILi5EEEEEEEvT_", "Median 5"),
        ("_ZN7flowkit11run_programINS_9EachPixelINS_10MotionCubeItEEEEEEvT_", "MotionCube t"),
        ("_ZN7flowkit11run_programINS_9EachPixelINS_4BlurILb0EEEEEEEvT_", "Blur 0"),
        ("_ZN7flowkit11run_programINS_9EachPixelINS_7ConvertEEEEEvT_", "Convert"),
        ("_ZN7flowkit11run_programINS_9BeginWarpEEEvT_", "BeginWarp"),
        (ITERATE.replace("Lb1ELb1E", "Lb0ELb1E").replace("DataTermE1", "DataTermE0"), "Iterate pixel fast"),
        (ITERATE.replace("Lb1ELb1E", "Lb1ELb0E"), "Iterate patch fast affine without stop"),
    ],
)
def test_names(symbol, name):
    assert kernel_resources.kernel_name(symbol) == name


def test_growth_is_reported():
    found = {"sm_90": kernel_resources.parse(LOG)}
    assert not kernel_resources.growth(found, found, same_compiler=True)
    before = json.loads(json.dumps(found))
    before["sm_90"]["Decide"]["registers"] = 30
    before["sm_90"]["Iterate patch fast affine"]["spill_bytes"] = 0
    both = kernel_resources.growth(before, found, same_compiler=True)
    assert both == [
        "sm_90 Decide: registers 30 -> 32",
        "sm_90 Iterate patch fast affine: spill_bytes 0 -> 86",
    ]
    assert kernel_resources.growth(before, found, same_compiler=False) == both[1:]
    assert len(kernel_resources.growth({}, found, same_compiler=True)) == 1, "a kernel without a record must not spill"


def test_the_record_has_every_form_of_the_iteration_on_every_architecture():
    record = json.loads(kernel_resources.RECORD.read_text())
    assert set(record["kernels"]) == {f"sm_{a}" for a in kernel_resources.ARCHITECTURES}
    for kernels in record["kernels"].values():
        assert sum(name.startswith("Iterate ") for name in kernels) == 7


def test_it_needs_no_package():
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import benchmarks.kernel_resources"], cwd=kernel_resources.ROOT, check=False
    )
    assert done.returncode == 0
