# ruff: noqa: E402 (what these modules need may be missing, and the rest of the folder must run without it)
"""`flowkit extract --gpu` on a GPU, against the same extraction on the CPU."""

from __future__ import annotations

import numpy as np
import pytest

for package in ("cupy", "pyarrow", "av", "simplejpeg", "typer", "rich"):
    pytest.importorskip(package)

from flowkit.extraction.engines.cuda import CudaDevice, cuda_devices
from flowkit.extraction.engines.device_pipeline import DeviceMemoryError
from flowkit.extraction.request import ExtractRequest
from flowkit.extraction.run import extract
from flowkit.output.shard import read
from flowkit.output.verify import verify
from tests.clips import dataset, flowkit, texture


def cubes(out) -> np.ndarray:
    return np.concatenate(list(read(out).cubes()))


@pytest.mark.parametrize("options", [{}, {"dtype": "float16"}, {"strain": "softnet"}, {"preset": "opencv"}], ids=str)
def test_it_gives_the_cubes_of_the_cpu(tmp_path, options):
    dataset(tmp_path, clips=3, frames=60)
    (tmp_path / "sub02" / "img7.png").unlink()
    for device in ("cuda", "cpu"):
        summary = extract(
            tmp_path / "manifest.csv", tmp_path / device, pairs="lag:1", size=48, device=device, **options
        )
        assert (summary.computed, summary.failed) == (175, 2)
        assert verify(tmp_path / device).ok
    difference = np.abs(cubes(tmp_path / "cuda").astype(np.float32) - cubes(tmp_path / "cpu").astype(np.float32))
    assert difference.mean() < 1e-3
    assert (difference < 1e-2).mean() >= 0.999


def test_the_command(tmp_path):
    dataset(tmp_path, clips=2, frames=6)
    code, out, error = flowkit("extract", tmp_path / "manifest.csv", "-o", tmp_path / "out", "--gpu", "--size", "32")
    assert (code, error) == (0, "")
    assert "2 pairs" in out
    assert read(tmp_path / "out").parameters["device"] == "cuda"


def test_memory_that_runs_out_with_a_batch_in_flight_changes_no_cube():
    import cupy

    request = ExtractRequest.parse(pairs="lag:1", device="cuda")
    frames = [texture(number) for number in range(257)]
    halves = [(frames[:128], frames[1:129]), (frames[128:256], frames[129:257])]
    expected = []
    for half in halves:
        device: CudaDevice = cuda_devices()[0](request)  # type: ignore[assignment]
        expected.append(device.start(*half).result()[0].copy())
    device = cuda_devices()[0](request)  # type: ignore[assignment]
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    running = device.start(*halves[0])
    pool.set_limit(size=pool.total_bytes() + 2**20)
    try:
        with pytest.raises(DeviceMemoryError, match="128 pairs do not fit"):
            device.start(*halves[1])
    finally:
        pool.set_limit(size=0)
    second = device.start(*halves[1])
    assert np.array_equal(running.result()[0], expected[0])
    assert np.array_equal(second.result()[0], expected[1])


def test_a_batch_that_does_not_fit_is_a_memory_error():
    import cupy

    request = ExtractRequest.parse(pairs="lag:1", device="cuda")
    device: CudaDevice = cuda_devices()[0](request)  # type: ignore[assignment]
    frames = [texture(number) for number in range(65)]
    assert device.most_pairs((64, 64), np.dtype(np.uint8)) > 64
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    pool.set_limit(size=pool.total_bytes() + 2**20)
    try:
        with pytest.raises(DeviceMemoryError, match="64 pairs do not fit"):
            device.start(frames[:-1], frames[1:])
    finally:
        pool.set_limit(size=0)
    batch, iterations, finite = device.start(frames[:-1], frames[1:]).result()
    assert batch.shape == (64, 3, 64, 64)
    assert (iterations > 0).all()
    assert finite.all()
