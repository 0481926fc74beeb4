"""The peers of benchmarks/bench_gpu_peers.py, with scikit-image, whose code on CuPy cuCIM is, in their place."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from benchmarks import bench_gpu_peers
from benchmarks.gpu_timing import face_pairs
from benchmarks.journal import Absent
from flowkit.bench import Size


@pytest.fixture
def cupy(monkeypatch) -> None:
    """NumPy in CuPy's place, scikit-image in cuCIM's."""
    registration = pytest.importorskip("skimage.registration")
    stand_in = ModuleType("cupy")
    stand_in.asarray, stand_in.asnumpy = np.asarray, np.asarray
    stand_in.cuda = SimpleNamespace(Device=lambda: SimpleNamespace(synchronize=lambda: None))
    stand_in.get_default_memory_pool = lambda: SimpleNamespace(free_all_blocks=lambda: None)
    monkeypatch.setitem(sys.modules, "cupy", stand_in)
    monkeypatch.setitem(sys.modules, "cucim.skimage.registration", registration)


@pytest.mark.parametrize("name", bench_gpu_peers.CUCIM)
def test_a_flow_of_rows_and_columns_is_turned_into_u_and_v(cupy, name):
    pairs = [pair for pair in face_pairs(Size(96, 128)) if pair.amplitude_px == 2]
    solve = bench_gpu_peers.cucim(name)
    flows = bench_gpu_peers.one_by_one(solve, pairs)()
    found = bench_gpu_peers.errors(pairs, flows)
    turned = bench_gpu_peers.errors(pairs, [flow[::-1] for flow in flows])
    assert found["error_px"] < 0.6 * found["zero_flow_px"]
    assert found["error_px"] < 0.6 * turned["error_px"]


def test_uint8_frames_are_on_the_scale_the_peer_expects(cupy):
    """Its attachment is for grey values of 0..1, and a flow from values of 0..255 would be another one."""
    pair = face_pairs(Size(64, 64))[-1]
    solve = bench_gpu_peers.cucim("optical_flow_tvl1")
    scaled = solve(*(np.float32(frame) / 255 for frame in (pair.frame0, pair.frame1)))
    assert np.abs(solve(pair.frame0, pair.frame1) - scaled).max() < 1e-3


def test_a_peers_row_has_speed_and_errors(cupy):
    (task,) = [
        task
        for task in bench_gpu_peers.tasks([Size(40, 40), Size(1080, 1920)], (1,), [])
        if task.what["method"] == "cuCIM optical_flow_ilk"
    ]
    row = task.measure()
    assert row["slowest"] <= row["pairs_per_s"] <= row["fastest"]
    assert set(row["errors_px"]) == {"0.2", "0.5", "1.0", "2.0"}
    assert row["error_px"] == pytest.approx(np.mean(list(row["errors_px"].values())))


def test_an_absent_peer_says_why():
    if "cucim" in sys.modules:
        pytest.skip("cuCIM is here")
    with pytest.raises(Absent, match="No module named 'cucim'; pip install cucim-cu13"):
        bench_gpu_peers.cucim("optical_flow_tvl1")


def test_errors_by_hand():
    pairs = [pair for pair in face_pairs(Size(40, 40)) if pair.amplitude_px in (0.2, 2)]
    off = np.array([0.3, -0.4], np.float32)[:, None, None]
    found = bench_gpu_peers.errors(pairs, [pair.truth + off * (pair.amplitude_px == 2) for pair in pairs])
    assert found["errors_px"] == {"0.2": pytest.approx(0, abs=1e-6), "2.0": pytest.approx(0.5, abs=1e-6)}
    assert found["error_px"] == pytest.approx(0.25, abs=1e-6)
    assert found["zero_flow_px"] == pytest.approx(np.mean([np.hypot(*pair.truth).mean() for pair in pairs]))
