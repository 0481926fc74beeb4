"""Arrays that live on the GPU go in and come out as arrays of their library, on the caller's stream."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flowkit
from flowkit import _core
from flowkit.errors import InputError
from flowkit.motion.devices import gpus
from flowkit.motion.gpu_arrays import MEMORY_SHARE, empty, free_bytes, gpu_array, on_gpu
from flowkit.params import resolve_params
from tests import fields


def pairs(n: int, h: int = 64, w: int = 72) -> tuple[np.ndarray, np.ndarray]:
    made = [fields.textured_pair(fields.bump(h, w, 1.0, -0.5, w / 4), seed=i) for i in range(n)]
    frames0, frames1 = (np.rint([pair[k] for pair in made]).astype(np.uint8) for k in (0, 1))
    return frames0, frames1


def library(name: str) -> Any:
    """(to the GPU, back) of an array library, or a skip where it has no GPU."""
    if name == "torch":
        torch = pytest.importorskip("torch")
        if not torch.cuda.is_available():
            pytest.skip("this torch has no CUDA")
        return lambda a: torch.from_numpy(a).cuda(), lambda t: t.cpu().numpy()
    if name == "cupy":
        cupy = pytest.importorskip("cupy")
        return cupy.asarray, cupy.asnumpy
    cuda = pytest.importorskip("numba.cuda")
    if not cuda.is_available():
        pytest.skip("numba finds no CUDA")
    return cuda.to_device, lambda a: a.copy_to_host()


@pytest.mark.parametrize("name", ["torch", "cupy", "numba"])
@pytest.mark.parametrize("single", [False, True])
def test_what_goes_in_comes_out(name, single):
    to_gpu, back = library(name)
    frames0, frames1 = pairs(3)
    if single:
        frames0, frames1 = frames0[0], frames1[0]
    flow, iterations = flowkit.tvl1_flow(to_gpu(frames0), to_gpu(frames1), preset="opencv", return_iterations=True)
    assert on_gpu(flow)
    assert type(flow) is type(to_gpu(frames0.astype(np.float32)))
    expected, counts = flowkit.tvl1_flow(frames0, frames1, preset="opencv", return_iterations=True)
    assert flow.shape == expected.shape
    assert np.abs(back(flow) - expected).mean() < 1e-3
    assert np.abs(np.asarray(back(iterations)) - counts).max() <= 1


@pytest.mark.parametrize("name", ["torch", "cupy", "numba"])
def test_cubes_too(name):
    to_gpu, back = library(name)
    frames0, frames1 = pairs(3)
    cube = flowkit.motion_cube(to_gpu(frames0), to_gpu(frames1))
    assert on_gpu(cube)
    assert np.abs(back(cube) - flowkit.motion_cube(frames0, frames1)).mean() < 1e-3
    with pytest.raises(InputError, match="'standard' only"):
        flowkit.motion_cube(to_gpu(frames0), to_gpu(frames1), variant="meb")


def test_a_result_is_in_order_on_the_callers_stream():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this torch has no CUDA")
    frames0, frames1 = (torch.from_numpy(frames).cuda() for frames in pairs(8, 128, 128))
    expected = flowkit.tvl1_flow(frames0, frames1).clone()
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        # The frames are still being made when the flow is asked for.
        busy = torch.ones(4096, 4096, device="cuda")
        for _ in range(20):
            busy = busy @ busy / 4096
        late0, late1 = frames0 + (busy[0, 0] * 0).to(torch.uint8), frames1 + (busy[0, 0] * 0).to(torch.uint8)
        flow = flowkit.tvl1_flow(late0, late1)
    stream.synchronize()
    assert torch.equal(flow, expected)


def test_any_strides_and_kinds():
    cupy = pytest.importorskip("cupy")
    frames0, frames1 = pairs(4)
    expected = flowkit.tvl1_flow(frames0, frames1)
    for make in (
        lambda a: cupy.asarray(a[::-1])[::-1],
        lambda a: cupy.asarray(np.ascontiguousarray(a.transpose(2, 0, 1))).transpose(1, 2, 0),
        lambda a: cupy.asarray(a.astype(np.uint16) * 257),
        lambda a: cupy.asarray(np.repeat(a, 2, axis=2))[:, :, ::2],
    ):
        flow = cupy.asnumpy(flowkit.tvl1_flow(make(frames0), make(frames1)))
        assert np.abs(flow - expected).mean() < 1e-3


@pytest.mark.parametrize("name", ["torch", "cupy", "numba"])
def test_a_frame_that_is_broadcast_is_every_pairs(name):
    to_gpu, back = library(name)
    frames0, frames1 = pairs(4)
    first, shape = frames0[:1], frames0.shape
    make = {
        "torch": lambda: to_gpu(first).expand(shape),
        "cupy": lambda: pytest.importorskip("cupy").broadcast_to(to_gpu(first), shape),
        "numba": lambda: to_gpu(np.broadcast_to(first, shape)),
    }
    flow = back(flowkit.tvl1_flow(make[name](), to_gpu(frames1)))
    expected = back(flowkit.tvl1_flow(to_gpu(np.repeat(first, 4, axis=0)), to_gpu(frames1)))
    assert np.array_equal(flow, expected)


def test_numpy_frames_are_computed_there_and_come_back():
    frames0, frames1 = pairs(5)
    flow, iterations = flowkit.tvl1_flow(frames0, frames1, device="cuda", return_iterations=True)
    assert isinstance(flow, np.ndarray)
    expected, counts = flowkit.tvl1_flow(frames0, frames1, device="cpu", return_iterations=True)
    assert np.abs(flow - expected).mean() < 1e-3
    assert np.array_equal(iterations, counts)
    start = np.zeros((5, 2, 64, 72), np.float32) + 0.3
    there, here = (flowkit.tvl1_flow(frames0, frames1, device=d, initial_flow=start) for d in ("cuda", "cpu"))
    assert np.abs(there - here).mean() < 1e-3


@pytest.mark.parametrize("name", ["torch", "cupy", "numba"])
def test_little_scratch_memory_changes_no_bit(name, monkeypatch):
    to_gpu, back = library(name)
    frames0, frames1 = (to_gpu(frames) for frames in pairs(7))
    start = to_gpu(np.random.default_rng(0).standard_normal((7, 2, 64, 72)).astype(np.float32))
    whole = back(flowkit.tvl1_flow(frames0, frames1, initial_flow=start))
    scratch = _core.tvl1_workspace_bytes(64, 72, 2, resolve_params("micro").to_dict(), 0)
    monkeypatch.setattr("flowkit.motion.flow.SMALL_WORKSPACE_BYTES", 0)
    monkeypatch.setattr("flowkit.motion.flow.free_bytes", lambda frames: 1.1 * scratch / MEMORY_SHARE)
    assert np.array_equal(back(flowkit.tvl1_flow(frames0, frames1, initial_flow=start)), whole)


@pytest.mark.parametrize("name", ["torch", "cupy", "numba"])
def test_what_is_free_is_known(name):
    to_gpu, _ = library(name)
    there = gpu_array("flow", to_gpu(np.zeros(3, np.float32)))
    assert 0 < free_bytes(there) <= gpus()[0][0].memory_bytes
    with pytest.raises(InputError, match=r"the moon takes 9\.31e\+04 GiB, more than is free on GPU 0"):
        empty(there, (10**14,), np.uint8, "the moon")


def test_tensors_that_require_a_gradient_are_arrays_like_others(rng):
    to_gpu, back = library("torch")
    flow = rng.standard_normal((2, 2, 33, 47)).astype(np.float32)
    there = to_gpu(flow).requires_grad_()
    assert np.array_equal(back(flowkit.strain_magnitude(there)), flowkit.strain_magnitude(flow))
    frames = [to_gpu(frames[:, :33, :47].astype(np.float32)).requires_grad_() for frames in pairs(2)]
    expected = flowkit.tvl1_flow(*frames, value_range=(0, 255), initial_flow=to_gpu(flow))
    assert np.array_equal(back(flowkit.tvl1_flow(*frames, value_range=(0, 255), initial_flow=there)), back(expected))


class Lent:
    """A tensor that only DLPack can read, so that it is imported."""

    def __init__(self, tensor: Any) -> None:
        self._tensor = tensor

    def __dlpack__(self, **options: Any) -> Any:
        return self._tensor.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._tensor.__dlpack_device__()


def test_an_import_is_kept_while_it_is_read():
    to_gpu, _ = library("torch")
    cupy = pytest.importorskip("cupy")
    torch = pytest.importorskip("torch")
    frames0, frames1 = pairs(64, 128, 128)
    expected = flowkit.tvl1_flow(frames0, frames1)
    flow = flowkit.tvl1_flow(Lent(to_gpu(frames0)), Lent(to_gpu(frames1)))
    # The memory of the frames, if torch had it back.
    over = [torch.full(frames0.shape, 255, dtype=torch.uint8, device="cuda") for _ in range(4)]
    assert np.abs(cupy.asnumpy(flow) - expected).mean() < 1e-3
    assert len(over) == 4


def test_one_place_one_library():
    cupy = pytest.importorskip("cupy")
    frames0, frames1 = pairs(2)
    there = cupy.asarray(frames0)
    with pytest.raises(InputError, match="initial_flow is on the CPU"):
        flowkit.tvl1_flow(there, there, initial_flow=np.zeros((2, 2, 64, 72), np.float32))
    with pytest.raises(InputError, match=r"the usable GPUs are"):
        flowkit.tvl1_flow(there, there, device="cuda:63")
    with pytest.raises(InputError, match="one place"):
        flowkit.tvl1_flow(cupy.asarray(frames0), frames1)
    with pytest.raises(InputError, match="device='cpu'"):
        flowkit.tvl1_flow(cupy.asarray(frames0), cupy.asarray(frames1), device="cpu")
    with pytest.raises(InputError, match="float64"):
        flowkit.tvl1_flow(cupy.asarray(frames0, dtype=np.float64), cupy.asarray(frames1, dtype=np.float64))
    with pytest.raises(InputError, match="the usable GPUs are 0"):
        flowkit.tvl1_flow(frames0, frames1, device="cuda:63")


@pytest.mark.parametrize("name", ["torch", "cupy", "numba"])
@pytest.mark.parametrize("shape", [(5, 2, 33, 47), (2, 64, 3)], ids=str)
def test_strain_of_flows_that_are_there(rng, name, shape):
    to_gpu, back = library(name)
    flow = rng.standard_normal(shape).astype(np.float32)
    there = to_gpu(flow)
    for compute in (flowkit.strain_tensor, flowkit.strain_magnitude):
        result = compute(there)
        assert on_gpu(result)
        assert type(result) is type(there)
        assert np.array_equal(back(result), compute(flow))
    with pytest.raises(InputError, match="'standard' only"):
        flowkit.strain_magnitude(there, "meb")
    with pytest.raises(InputError, match="flow has shape"):
        flowkit.strain_tensor(to_gpu(flow[..., :2]))


def test_strain_asks_for_contiguous_flows():
    cupy = pytest.importorskip("cupy")
    flow = cupy.zeros((2, 2, 16, 32), np.float32)
    with pytest.raises(InputError, match="not contiguous"):
        flowkit.strain_magnitude(flow[..., ::2])
