"""The GPU of `extract --gpu` on a stand-in for CuPy, as asynchronous as a GPU: buffers, streams, scarce memory."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from flowkit.extraction.engines.cuda import CudaDevice, cuda_devices
from flowkit.extraction.engines.device_pipeline import DeviceMemoryError, GpuEngine
from flowkit.extraction.request import ExtractRequest
from flowkit.extraction.run import extract
from flowkit.output.shard import read
from flowkit.output.verify import verify
from tests.clips import dataset, rows, texture
from tests.fake_cupy import GpuStandIn

OPTIONS = {"pairs": "lag:1", "size": 16, "params": {"warps": 1, "inner_iterations": 3}}
OF_A_SLOT = ["frames", "flow", "iterations", "workspace", "finite", "cube"]
WHEN = pytest.mark.parametrize("at_once", [False, True], ids=["late", "at once"])
PINNED_OF_A_SLOT = ["frames", "values", "iterations", "finite"]


def both(folder: Path, **options):
    """The rows of the stand-in and of the CPU, and the stand-in's summary."""
    summary = extract(
        folder / "manifest.csv", folder / "gpu", engine=GpuEngine(cuda_devices(), decoders=2), **OPTIONS | options
    )
    options.pop("batch", None)
    extract(folder / "manifest.csv", folder / "cpu", workers=1, **OPTIONS | options)
    assert verify(folder / "gpu").ok
    return rows(folder / "gpu"), rows(folder / "cpu"), summary


@WHEN
@pytest.mark.parametrize("options", [{}, {"dtype": "float16"}, {"strain": "meb"}, {"strain": "softnet"}], ids=str)
def test_it_gives_the_rows_of_the_cpu(tmp_path, monkeypatch, options, at_once):
    gpu = GpuStandIn(at_once=at_once).install(monkeypatch)
    dataset(tmp_path, clips=2, frames=30)
    there, here, summary = both(tmp_path, batch=11, **options)
    assert (summary.computed, summary.failed) == (58, 0)
    assert there == here
    assert gpu.waited_for_pageable == 0


def test_averages_of_phases_are_computed_as_on_the_cpu(tmp_path, monkeypatch):
    GpuStandIn().install(monkeypatch)
    dataset(tmp_path, clips=2, frames=12)
    there, here, summary = both(tmp_path, pairs="lag:4:3+3")
    assert (summary.computed, summary.failed) == (12, 0)
    assert there == here


@WHEN
@pytest.mark.parametrize("which", range(12), ids=lambda i: f"{OF_A_SLOT[i % 6]} of slot {i // 6}")
def test_memory_that_runs_out_with_a_batch_in_flight_changes_no_row(tmp_path, monkeypatch, which, at_once):
    gpu, calls = GpuStandIn(at_once=at_once).install(monkeypatch), []

    def refuse(what, size):
        if what == "device":
            calls.append(any(stream.queue for stream in gpu.streams.values()))
        return what == "device" and len(calls) == which + 1

    gpu.refuse = refuse
    dataset(tmp_path, clips=1, frames=41)
    there, here, summary = both(tmp_path, batch=10)
    assert calls[which] == (which > 0 and not at_once), "frames are on their way to the GPU from the first copy on"
    assert (summary.computed, summary.failed) == (40, 0)
    assert there == here
    assert not gpu.freed_in_use
    assert max(gpu.batches[2:]) == 5


@WHEN
@pytest.mark.parametrize("which", range(8), ids=lambda i: f"{PINNED_OF_A_SLOT[i % 4]} of slot {i // 4}")
def test_pinned_memory_that_runs_out_is_no_end_either(tmp_path, monkeypatch, which, at_once):
    gpu, calls = GpuStandIn(at_once=at_once).install(monkeypatch), []

    def refuse(what, size):
        calls.extend(["pinned"] if what == "pinned" else [])
        return what == "pinned" and len(calls) == which + 1

    gpu.refuse = refuse
    dataset(tmp_path, clips=1, frames=41)
    there, here, summary = both(tmp_path, batch=10)
    assert (summary.computed, summary.failed) == (40, 0)
    assert there == here


@WHEN
def test_pinned_memory_of_smaller_batches_is_given_back(monkeypatch, at_once):
    gpu = GpuStandIn(at_once=at_once).install(monkeypatch)
    device = CudaDevice(0, ExtractRequest.parse(**OPTIONS))
    held = []
    for pairs in (1, 1, 3, 3, 7, 7):
        cubes, _, finite = device.start([texture(0)] * pairs, [texture(1)] * pairs).result()
        assert np.isfinite(cubes).all()
        assert finite.all()
        held.append(gpu.pinned_bytes)
    assert held == [n * held[0] for n in (1, 2, 4, 6, 10, 14)]


def test_all_that_is_given_back_is_there_for_the_next_try(monkeypatch):
    gpu = GpuStandIn().install(monkeypatch)
    gpu.empty_pinned((10_000,), np.uint8)
    gpu.refuse = lambda what, size: what == "pinned" and bool(gpu.pooled_pinned)
    device = CudaDevice(0, ExtractRequest.parse(**OPTIONS))
    assert device.start([texture(0)], [texture(1)]).result()[2].all()


@WHEN
def test_a_pair_that_fits_alone_is_computed_whatever_the_other_slot_holds(tmp_path, monkeypatch, at_once):
    workspace = 256 + 16 * 16 * 100
    gpu = GpuStandIn(room=int(1.6 * workspace), at_once=at_once).install(monkeypatch)
    dataset(tmp_path, clips=1, frames=6)
    there, here, summary = both(tmp_path, batch=1)
    assert (summary.computed, summary.failed) == (5, 0)
    assert there == here
    assert not gpu.freed_in_use


def test_a_pair_that_never_fits_says_so(monkeypatch):
    gpu = GpuStandIn(room=10_000).install(monkeypatch)
    device = CudaDevice(0, ExtractRequest.parse(**OPTIONS))
    with pytest.raises(DeviceMemoryError, match="1 pairs do not fit into the memory of GPU 0"):
        device.start([texture(0)], [texture(1)])
    assert sum(gpu.total.values()) == 0, "it gave all back"


def test_another_error_is_not_taken_for_a_lack_of_memory(monkeypatch):
    from tests.fake_cupy import CUDARuntimeError

    gpu = GpuStandIn().install(monkeypatch)
    device = CudaDevice(0, ExtractRequest.parse(**OPTIONS))

    def broken(number):
        raise CUDARuntimeError(700)

    gpu.on_launch = broken
    with pytest.raises(CUDARuntimeError, match="700"):
        device.start([texture(0)], [texture(1)])


def test_batches_are_as_large_as_the_memory_allows(tmp_path, monkeypatch):
    gpu = GpuStandIn(room=600_000).install(monkeypatch)
    dataset(tmp_path, clips=2, frames=40)
    there, here, summary = both(tmp_path, batch=1000)
    assert (summary.computed, summary.failed) == (78, 0)
    assert there == here
    assert 5 <= max(gpu.batches) <= 10


def test_what_the_slots_hold_counts_as_free_for_another_shape(monkeypatch):
    GpuStandIn(room=2**22).install(monkeypatch)
    device = CudaDevice(0, ExtractRequest.parse(**OPTIONS))
    kind = (64, 64), np.dtype(np.uint8)
    most = device.most_pairs(*kind)
    for _ in range(2):
        device.start([texture(0)] * most, [texture(1)] * most).result()
    assert device.most_pairs(*kind) >= most - 1


@pytest.mark.parametrize("strain", ["standard", "meb", "softnet"])
@pytest.mark.parametrize("all_of_them", [False, True], ids=["one", "all"])
def test_a_flow_that_is_not_finite_is_its_own_pairs_failure(tmp_path, monkeypatch, strain, all_of_them):
    gpu = GpuStandIn().install(monkeypatch)
    dataset(tmp_path, clips=1, frames=9)
    spoilt = []

    def spoil(flow):
        if all_of_them or not spoilt:
            flow[slice(None) if all_of_them else 1, 1, 3, 5] = np.nan
            spoilt.append(len(flow))

    gpu.spoil = spoil
    there, here, summary = both(tmp_path, batch=4, strain=strain)
    assert (summary.computed, summary.failed) == ((0, 8) if all_of_them else (7, 1))
    assert all("not finite" in error for error in read(tmp_path / "gpu").failures()["error"].to_pylist())
    assert there.items() <= here.items()


@pytest.mark.parametrize("strain", ["standard", "meb", "softnet"])
def test_a_flow_that_strain_does_not_take_is_its_own_clips_failure(tmp_path, monkeypatch, strain):
    gpu = GpuStandIn().install(monkeypatch)
    dataset(tmp_path, clips=3, frames=9)
    spoilt = []

    def spoil(flow):
        if not spoilt:
            flow[1, 1, 3, 5] = 1e16
            spoilt.append(len(flow))

    gpu.spoil = spoil
    there, here, summary = both(tmp_path, strain=strain)
    assert (summary.computed, summary.failed) == (16, 8)
    failures = read(tmp_path / "gpu").failures().to_pylist()
    assert len({row["clip_id"] for row in failures}) == 1
    assert all("flow reaches 1e+16 px" in row["error"] for row in failures)
    assert there.items() <= here.items()


def test_each_worker_keeps_to_its_gpu_and_none_waits_for_another(tmp_path, monkeypatch):
    gpu = GpuStandIn(devices=2).install(monkeypatch)
    at_once, launches = threading.Barrier(2), {0: 0, 1: 0}

    def on_launch(device):
        launches[device] += 1
        if launches[device] == 1:
            at_once.wait(timeout=60)

    gpu.on_launch = on_launch
    dataset(tmp_path, clips=6, frames=30)
    there, here, summary = both(tmp_path, batch=10)
    assert (summary.computed, summary.failed) == (174, 0)
    assert there == here
    assert gpu.touched == {("gpu 0", 0), ("gpu 1", 1)}


def test_a_device_works_from_any_thread(monkeypatch):
    """As an engine's that hands parts to whichever thread is free."""
    gpu = GpuStandIn(devices=2).install(monkeypatch)
    device, found = CudaDevice(1, ExtractRequest.parse(**OPTIONS)), []
    frames = [texture(number) for number in range(5)]
    work = threading.Thread(target=lambda: found.append(device.start(frames[:-1], frames[1:]).result()), name="other")
    work.start()
    work.join()
    cubes, _, finite = found[0]
    assert finite.all()
    assert np.array_equal(cubes, device.start(frames[:-1], frames[1:]).result()[0])
    assert {number for _, number in gpu.touched} == {1}
