"""Arrays on a GPU on a stand-in for CuPy: whose stream, whose memory, which GPU, and what happens when it is full."""

from __future__ import annotations

import gc
import os
from typing import Any

import numpy as np
import pytest

import flowkit
from flowkit import _core
from flowkit.errors import InputError
from flowkit.motion import gpu_arrays
from flowkit.motion.devices import gpus, require_gpus
from flowkit.motion.gpu_arrays import gpu_array
from tests import fields
from tests.fake_cupy import Device, GpuStandIn

FAST = {"params": {"warps": 1, "inner_iterations": 3}}
PAIRS, HEIGHT, WIDTH = 9, 16, 20
FRAMES0, FRAMES1 = fields.textured_batch(PAIRS, HEIGHT, WIDTH)
START = np.random.default_rng(1).standard_normal((PAIRS, 2, HEIGHT, WIDTH)).astype(np.float32)
FRAME_BYTES = 2 * FRAMES0.nbytes
FLOW_BYTES = PAIRS * (2 * HEIGHT * WIDTH + 1) * 4
WORKSPACE = HEIGHT * WIDTH * 100


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> GpuStandIn:
    return GpuStandIn(devices=2).install(monkeypatch)


def here(gpu: GpuStandIn, array: Any) -> np.ndarray:
    """Its contents, once all is done."""
    for stream in [*gpu._null.values(), *gpu.streams.values()]:
        stream.synchronize()
    return array.array.copy()


# ---- CuPy's


def test_the_flow_is_the_cpus_and_comes_when_the_stream_has_run(gpu):
    there = [gpu.asarray(frames) for frames in (FRAMES0, FRAMES1)]
    flow, iterations = flowkit.tvl1_flow(*there, return_iterations=True, **FAST)
    assert gpu.current_stream().queue, "nothing has waited"
    expected, counts = flowkit.tvl1_flow(FRAMES0, FRAMES1, return_iterations=True, **FAST)
    assert np.array_equal(here(gpu, flow), expected)
    assert np.array_equal(iterations.array, counts)
    assert gpu.batches == [PAIRS]


def test_cubes_and_strain_are_the_cpus(gpu):
    there = [gpu.asarray(frames) for frames in (FRAMES0, FRAMES1)]
    cube = flowkit.motion_cube(*there, **FAST)
    assert np.array_equal(here(gpu, cube), flowkit.motion_cube(FRAMES0, FRAMES1, **FAST))
    for compute in (flowkit.strain_tensor, flowkit.strain_magnitude):
        assert np.array_equal(here(gpu, compute(gpu.asarray(START))), compute(START))
    with pytest.raises(InputError, match="out is for frames on the CPU"):
        flowkit.motion_cube(*there, out=np.empty(cube.shape, np.float32), **FAST)


def test_all_goes_onto_the_current_stream(gpu):
    stream = gpu.new_stream()
    with stream:
        cube = flowkit.motion_cube(gpu.asarray(FRAMES0), gpu.asarray(FRAMES1), **FAST)
    assert len(stream.queue) == 2
    assert not gpu.current_stream().queue
    assert np.array_equal(here(gpu, cube), flowkit.motion_cube(FRAMES0, FRAMES1, **FAST))


# ---- as many pairs at a time as there is memory for


@pytest.mark.parametrize("at_a_time", [1, 2, 4, 8])
@pytest.mark.parametrize("start", [None, START], ids=["from zero", "from a flow"])
def test_scratch_memory_for_a_few_pairs_is_enough_and_changes_no_bit(monkeypatch, at_a_time, start):
    monkeypatch.setattr("flowkit.motion.flow.SMALL_WORKSPACE_BYTES", 0)
    scratch = int((at_a_time + 0.3) * WORKSPACE / gpu_arrays.MEMORY_SHARE)
    held = FRAME_BYTES + FLOW_BYTES + (0 if start is None else start.nbytes)
    gpu = GpuStandIn(room=held + scratch).install(monkeypatch)
    options: dict[str, Any] = FAST if start is None else FAST | {"initial_flow": gpu.asarray(start)}
    flow, iterations = flowkit.tvl1_flow(
        gpu.asarray(FRAMES0)[:, ::-1], gpu.asarray(FRAMES1)[:, ::-1], return_iterations=True, **options
    )
    expected, counts = flowkit.tvl1_flow(
        FRAMES0[:, ::-1], FRAMES1[:, ::-1], initial_flow=start, return_iterations=True, **FAST
    )
    assert np.array_equal(here(gpu, flow), expected)
    assert np.array_equal(iterations.array, counts)
    assert sum(gpu.batches) == PAIRS
    assert len(gpu.batches) > 1
    assert max(gpu.batches) <= at_a_time
    assert max(gpu.batches) - min(gpu.batches) <= PAIRS // 2


def test_free_memory_that_is_not_there_is_halved(gpu):
    there = [gpu.asarray(frames) for frames in (FRAMES0, FRAMES1)]
    gpu.refuse = lambda what, size: size > 3.5 * WORKSPACE
    flow = flowkit.tvl1_flow(*there, **FAST)
    assert gpu.batches == [3, 3, 3]
    assert np.array_equal(here(gpu, flow), flowkit.tvl1_flow(FRAMES0, FRAMES1, **FAST))


def test_what_does_not_fit_at_all_is_named_with_its_size(gpu):
    there = [gpu.asarray(frames) for frames in (FRAMES0, FRAMES1)]
    gpu.refuse = lambda what, size: size > WORKSPACE - 1
    with pytest.raises(
        InputError, match=r"scratch memory for 1 pairs of 16 x 20 px takes 3e-05 GiB.*GPU 0: give fewer"
    ):
        flowkit.tvl1_flow(*there, **FAST)
    gpu.refuse = lambda what, size: True
    with pytest.raises(InputError, match=r"the flow of shape \(9, 2, 16, 20\) takes 2.15e-05 GiB"):
        flowkit.tvl1_flow(*there, **FAST)
    flow = gpu_array("flow", there[0])
    with pytest.raises(InputError, match=r"a thing takes"):
        gpu_arrays.empty(flow, (3,), np.float32, "a thing")


# ---- one place


def test_the_initial_flow_is_where_the_frames_are(gpu):
    there = [gpu.asarray(frames) for frames in (FRAMES0, FRAMES1)]
    with Device(gpu, 1):
        elsewhere = gpu.asarray(START)
    with pytest.raises(
        InputError, match=r"cupy's on GPU 0 and initial_flow cupy's on GPU 1: they must be of one library"
    ):
        flowkit.tvl1_flow(*there, initial_flow=elsewhere, **FAST)
    with pytest.raises(InputError, match="initial_flow is on the CPU"):
        flowkit.tvl1_flow(*there, initial_flow=START, **FAST)
    with pytest.raises(InputError, match="initial_flow is on a GPU"):
        flowkit.tvl1_flow(FRAMES0, FRAMES1, initial_flow=elsewhere, **FAST)
    assert not gpu.batches


@pytest.mark.parametrize("compute", [flowkit.strain_tensor, flowkit.strain_magnitude])
def test_the_device_that_is_named_is_the_arrays(gpu, compute):
    there = gpu.asarray(START)
    for device in ("cuda", "cuda:0"):
        assert np.array_equal(here(gpu, compute(there, device=device)), compute(START))
    with pytest.raises(InputError, match="device='cuda:1', but flow is on GPU 0"):
        compute(there, device="cuda:1")
    frames = gpu.asarray(FRAMES0)
    with pytest.raises(InputError, match="device='cuda:1', but frames0 is on GPU 0"):
        flowkit.tvl1_flow(frames, frames, device="cuda:1")


# ---- imported


class Foreign:
    """An array of a library that nobody knows, made on a stream of its own, its memory used again when all let go."""

    def __init__(self, gpu: GpuStandIn, array: np.ndarray, device: int = 0) -> None:
        with Device(gpu, device):
            self.stream = gpu.new_stream()
        self.gpu, self.device, self.memory = gpu, device, np.zeros_like(array)
        gpu.elsewhere[self.memory.__array_interface__["data"][0]] = device
        self.stream.put(lambda memory=self.memory, array=array: np.copyto(memory, array))
        self.consumers: list[int] = []

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.device

    def __dlpack__(self, *, stream: int) -> Any:
        self.consumers.append(stream)
        self.gpu.stream(0 if stream == 1 else stream, self.device).wait_event(self.stream.record())
        return Export(self)


class Export:
    """What a DLPack capsule is."""

    def __init__(self, source: Foreign) -> None:
        self.array, self._source = source.memory, source

    def __del__(self) -> None:
        self.array[:] = 77


class OnlyInterface:
    """The same without DLPack."""

    def __init__(self, source: Foreign) -> None:
        self._source = source

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        about = self._source.memory.__array_interface__
        stream = self._source.stream.ptr
        return {name: about[name] for name in ("data", "shape", "typestr")} | {"version": 3, "stream": stream}


def test_an_import_waits_for_its_producers_stream_and_is_kept_while_it_is_read(gpu):
    stream = gpu.new_stream()
    first, second, start = (Foreign(gpu, array) for array in (FRAMES0, FRAMES1, START))
    with stream:
        flow = flowkit.tvl1_flow(first, second, initial_flow=start, **FAST)
    assert first.consumers == second.consumers == start.consumers == [stream.ptr]
    del first, second, start
    gc.collect()
    assert np.array_equal(here(gpu, flow), flowkit.tvl1_flow(FRAMES0, FRAMES1, initial_flow=START, **FAST))


@pytest.mark.parametrize("compute", [flowkit.strain_tensor, flowkit.strain_magnitude])
def test_so_is_a_flow_whose_strain_is_asked_for(gpu, compute):
    result = compute(Foreign(gpu, START))
    gc.collect()
    assert np.array_equal(here(gpu, result), compute(START))


def test_one_import_is_not_let_go_for_another(gpu):
    results = [flowkit.strain_magnitude(Foreign(gpu, START * scale)) for scale in (1, 2, 3)]
    gc.collect()
    for scale, result in enumerate(results, start=1):
        assert np.array_equal(here(gpu, result), flowkit.strain_magnitude(START * scale))


def test_what_has_been_read_is_let_go_in_a_later_call(gpu):
    flow = Foreign(gpu, START)
    memory = flow.memory
    result = flowkit.strain_magnitude(flow)
    del flow
    here(gpu, result)
    assert (memory == START).all()
    flowkit.strain_magnitude(Foreign(gpu, START))
    gc.collect()
    assert (memory == 77).all()


def test_an_array_interface_that_names_a_stream_is_waited_for(gpu):
    flow = Foreign(gpu, START)
    result = flowkit.strain_magnitude(OnlyInterface(flow))
    assert not flow.stream.queue
    assert np.array_equal(here(gpu, result), flowkit.strain_magnitude(START))


@pytest.mark.parametrize("wrap", [lambda a: a, OnlyInterface], ids=["dlpack", "interface"])
def test_an_import_stays_on_its_gpu_whichever_is_current(gpu, wrap):
    flow = Foreign(gpu, START, device=1)
    result = flowkit.strain_magnitude(wrap(flow))
    assert result.device.id == 1
    assert gpu.current == 0
    assert gpu.total[0] == 0
    assert np.array_equal(here(gpu, result), flowkit.strain_magnitude(START))


def test_an_import_that_fails_is_refused_by_name(gpu):
    class Refusing(Foreign):
        def __dlpack__(self, *, stream: int) -> Any:
            raise BufferError("it is sharded")

    with pytest.raises(InputError, match="flow cannot be read on the GPU: it is sharded"):
        flowkit.strain_magnitude(Refusing(gpu, START))


# ---- which GPUs there are


def test_the_driver_is_asked_once(gpu):
    frames = gpu.asarray(FRAMES0)
    for _ in range(5):
        flowkit.tvl1_flow(frames, frames, **FAST)
        flowkit.strain_magnitude(gpu.asarray(START))
        require_gpus("device='cuda'")
    assert gpu.asked == 1


def test_a_forked_process_asks_itself(gpu, monkeypatch):
    gpus()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    monkeypatch.setattr(_core, "cuda_devices", lambda: ([], "initialization error"))
    assert gpus() == ([], "initialization error")


def test_a_driver_that_comes_later_is_seen(gpu, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr(_core, "cuda_devices", lambda: ([], "no NVIDIA driver is installed"))
        for _ in range(2):
            assert gpus() == ([], "no NVIDIA driver is installed")
    assert [found.number for found in gpus()[0]] == [0, 1]
