"""The code that asks devices and launches, over a stand-in of the CUDA runtime that has several of them (tests/ptx)."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import flowkit
import flowkit.motion.flow as flow_module
import flowkit.motion.strain as strain_module
from flowkit import _core, _test_hooks
from flowkit.errors import InputError
from flowkit.motion import devices
from flowkit.params import PRESETS
from tests import fields
from tests.ptx.standin import StandIn

SMALL = PRESETS["micro"].replace(levels=1, warps=1, inner_iterations=4).to_dict()
KERNEL_QUESTIONS = (
    "cudaFuncGetAttributes",
    "cudaFuncSetAttribute",
    "cudaDeviceGetAttribute",
    "cudaOccupancyMaxActiveClusters",
    "cudaOccupancyMaxActiveBlocksPerMultiprocessor",
)


@pytest.fixture
def fresh(ptx_file, tmp_path) -> StandIn:
    """A process, as it were, that has not used a GPU yet."""
    return StandIn.fresh(ptx_file, tmp_path)


def flow_on(standin, device, frames, params):
    return standin.core.tvl1_flow_on_gpu(*frames, params, 0, 255, None, device)


# ---- what is asked how often


def test_what_a_device_is_is_asked_once(fresh):
    for _ in range(10):
        devices, problem = fresh.core.cuda_devices()
    assert not problem
    assert [name for name, _, _ in devices] == fresh.devices
    assert fresh.calls("cudaGetDeviceProperties") == len(fresh.devices)


def test_what_a_kernel_needs_is_asked_once(fresh):
    frames, params = fields.facial_batch(2, 40, 33), PRESETS["opencv"].replace(warps=2, levels=2).to_dict()
    first, _ = flow_on(fresh, 0, frames, params)
    asked = fresh.calls(*KERNEL_QUESTIONS)
    for _ in range(9):
        again, _ = flow_on(fresh, 0, frames, params)
        assert fresh.core.tvl1_workspace_bytes(40, 33, 2, params, 0) > 0
    assert np.array_equal(again, first)
    assert fresh.calls(*KERNEL_QUESTIONS) == asked
    flow_on(fresh, 1, frames, params)
    assert fresh.calls(*KERNEL_QUESTIONS) > asked, "another device has other answers"


def test_the_chosen_variant_holds_for_the_next_call(fresh, monkeypatch):
    """What is kept of a kernel is kept for each word of FLOWKIT_CUDA_VARIANT."""
    sizes = []
    for word in ("resident", "tiled:1", "tiled:30", "resident"):
        monkeypatch.setenv("FLOWKIT_CUDA_VARIANT", word)
        sizes.append(fresh.core.tvl1_workspace_bytes(90, 100, 64, PRESETS["opencv"].to_dict(), 0))
    assert sizes[0] == sizes[3]
    assert len(set(sizes)) == 3
    monkeypatch.setenv("FLOWKIT_CUDA_VARIANT", "tile")
    for _ in range(2):
        with pytest.raises(ValueError, match="FLOWKIT_CUDA_VARIANT=tile: give resident"):
            fresh.core.tvl1_workspace_bytes(90, 100, 1, PRESETS["opencv"].to_dict(), 0)


def test_threads_may_ask_at_the_same_time(fresh):
    """Eight threads, two devices, one kernel: the answers are right, and each question is put once a device."""
    frames, params = fields.facial_batch(2, 40, 33), PRESETS["opencv"].replace(warps=1, levels=2).to_dict()
    expected, _ = _core.tvl1_flow(*frames, params, 0, 255, None, 1)
    with ThreadPoolExecutor(8) as pool:
        flows = list(pool.map(lambda i: flow_on(fresh, i % 2, frames, params)[0], range(16)))
    alone = fresh.calls(*KERNEL_QUESTIONS)
    if _core.simd_level() != "baseline":
        assert all(np.array_equal(flow, expected) for flow in flows)
    flow_on(fresh, 0, frames, params)
    assert fresh.calls(*KERNEL_QUESTIONS) == alone
    assert fresh.calls("cuDevicePrimaryCtxRetain") == 2


@pytest.mark.parametrize("call", ["tvl1_workspace_bytes", "tvl1_flow_on_gpu", "tvl1_flow_cuda"])
def test_other_threads_run_while_kernels_are_loaded(fresh, monkeypatch, call):
    """Loading takes seconds on a GPU; here half a second."""
    frames = [np.ascontiguousarray(f) for f in fields.facial_batch(1, 20, 20)]
    flow, iterations, workspace = (
        np.zeros((1, 2, 20, 20), np.float32),
        np.zeros(1, np.int32),
        np.zeros(1 << 20, np.uint8),
    )
    monkeypatch.setenv("FLOWKIT_PTX_LOAD_MS", "500")
    with fresh.memory(0, *frames, flow, iterations, workspace) as (first, second, out, count, scratch):
        pointers = (first, second, "uint8", (400, 20, 1), (400, 20, 1), 1, 20, 20, SMALL, 0, 255, 0, out, count)
        work = {
            "tvl1_workspace_bytes": lambda: fresh.core.tvl1_workspace_bytes(20, 20, 1, SMALL, 0),
            "tvl1_flow_on_gpu": lambda: flow_on(fresh, 0, frames, SMALL),
            "tvl1_flow_cuda": lambda: fresh.core.tvl1_flow_cuda(*pointers, scratch, workspace.nbytes, 0, 0),
        }[call]
        worker = threading.Thread(target=work)
        start, ticks = time.perf_counter(), 0
        worker.start()
        while worker.is_alive():
            time.sleep(0.001)
            ticks += 1
        assert time.perf_counter() - start >= 0.5
    assert ticks > 20


# ---- which device


def in_a_thread(work):
    """In a thread that CUDA does not know yet."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def test_only_the_device_that_computes_gets_a_context(fresh):
    frames = fields.facial_batch(1, 20, 20)

    def work():
        flow_on(fresh, 1, frames, SMALL)
        fresh.core.flow_feature_on_gpu("cube", np.ones((2, 2, 9, 9), np.float32), 1)
        fresh.core.tvl1_workspace_bytes(20, 20, 1, SMALL, 1)
        return fresh.current_device()

    assert fresh.devices_with_a_context() == []
    assert in_a_thread(work) == 0, "the thread is where it was"
    assert fresh.devices_with_a_context() == [1]


def test_a_thread_stays_on_its_device(fresh):
    frames = fields.facial_batch(1, 20, 20)
    values = np.ones(5, np.float32)

    def work():
        with fresh.memory(3, values):  # makes device 3 the thread's
            flow_on(fresh, 1, frames, SMALL)
            with pytest.raises(RuntimeError):
                fresh.core.tvl1_workspace_bytes(20, 20, 1, SMALL, 99)
            return fresh.current_device()

    assert in_a_thread(work) == 3
    assert fresh.devices_with_a_context() == [1, 3]


def test_a_device_that_is_not_there(fresh):
    with pytest.raises(RuntimeError, match="cuDeviceGet of GPU 99"):
        fresh.core.tvl1_workspace_bytes(20, 20, 1, SMALL, 99)
    assert fresh.devices_with_a_context() == []


DEVICES = {
    "sm_90 with clusters of two": {"shared_bytes": 232448, "max_threads": 512, "max_ranks": 2},
    "sm_90 without clusters": {"shared_bytes": 232448, "max_threads": 512, "max_ranks": 1},
    "sm_80": {"shared_bytes": 166912, "max_threads": 384, "max_ranks": 1},
    "sm_86": {"shared_bytes": 101376, "max_threads": 256, "max_ranks": 1},
    "sm_75": {"shared_bytes": 65536, "max_threads": 256, "max_ranks": 1},
}
"""What each offers a block of the iteration: docs/cuda.md, "The iteration"."""


@pytest.mark.parametrize("size", [(60, 76), (100, 132)], ids=str)
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", DEVICES)
def test_each_preset_has_the_bits_of_the_cpu_solver_on_each_device(ptx, name, preset, size):
    """By the plan for that device; a few iterations a warp reach every border of region, tile and halo."""
    params = PRESETS[preset].replace(warps=1, outer_iterations=2, inner_iterations=10, levels=2).to_dict()
    frames = fields.facial_batch(1, *size)
    expected, counts = _core.tvl1_flow(*frames, params, 0, 255, None, 2)
    plans = _test_hooks.iteration_plans(*size, params, DEVICES[name])
    ptx.most_threads()
    flow, iterations = flow_on(ptx, ptx.devices.index(name), frames, params)
    assert ptx.most_threads() == max(plan["threads"] for plan in plans)
    if _core.simd_level() != "baseline":
        assert np.array_equal(flow, expected)
        assert iterations.tolist() == counts.tolist()


# ---- memory


def test_blocks_of_a_launch_that_meet_in_global_memory_are_noticed(ptx, rng):
    """The result over the flow: blocks write what their neighbours read."""
    flow = rng.standard_normal((1, 2, 64, 64)).astype(np.float32)
    with (
        ptx.memory(0, flow) as (place,),
        pytest.raises(RuntimeError, match=r"StrainMagnitude.*block .*: a race between blocks for global memory"),
    ):
        ptx.core.flow_feature_cuda("magnitude", place, 1, 64, 64, place, 0, 0)


@pytest.mark.parametrize("pairs_at_a_time", [1, 2, 3])
def test_chunks_that_fit_the_memory_give_what_all_at_once_do(ptx, monkeypatch, pairs_at_a_time):
    frames, params = fields.facial_batch(5, 33, 40), PRESETS["opencv"].replace(warps=1, levels=2).to_dict()
    flow, iterations = flow_on(ptx, 0, frames, params)
    whole = ptx.calls("cudaStreamSynchronize")
    frame, result = 33 * 40, 2 * 33 * 40 * 4
    pair = ptx.core.tvl1_workspace_bytes(33, 40, 1, params, 0) + 2 * frame + 2 * result
    monkeypatch.setenv("FLOWKIT_PTX_MEMORY", str(-(-pair * pairs_at_a_time * 4 // 3) + 3))
    chunked, counts = flow_on(ptx, 0, frames, params)
    assert ptx.calls("cudaStreamSynchronize") - whole == -(-5 // pairs_at_a_time) + 1, "one a chunk, one at the end"
    assert np.array_equal(chunked, flow)
    assert np.array_equal(counts, iterations)


def test_features_in_chunks(ptx, rng, monkeypatch):
    flow = rng.standard_normal((5, 2, 20, 30)).astype(np.float32)
    cube = ptx.core.flow_feature_on_gpu("cube", flow, 0)
    monkeypatch.setenv("FLOWKIT_PTX_MEMORY", str(2 * 5 * 20 * 30 * 4 * 4 // 3 + 3))
    before = ptx.calls("cudaStreamSynchronize")
    assert np.array_equal(ptx.core.flow_feature_on_gpu("cube", flow, 0), cube)
    assert ptx.calls("cudaStreamSynchronize") - before == 4


def test_too_little_memory_says_what_to_do(ptx, monkeypatch):
    frames, params = fields.facial_batch(5, 33, 40), PRESETS["micro"].to_dict()
    expected, _ = flow_on(ptx, 0, frames, params)
    monkeypatch.setenv("FLOWKIT_PTX_LARGEST", "100000")
    message = (
        r"no memory for 5 pairs of 40 x 33 px at a time \(\d MB; 269 MB were free\): give fewer pairs a call, or end"
    )
    with pytest.raises(ValueError, match=message):
        flow_on(ptx, 0, frames, params)
    with pytest.raises(ValueError, match=r"no memory for 1 pair of 40 x 33 px .*: give smaller frames a call"):
        flow_on(ptx, 0, [f[:1] for f in frames], params)
    with pytest.raises(ValueError, match=r"no memory for 9 flows of 100 x 80 px .*: give fewer flows a call"):
        ptx.core.flow_feature_on_gpu("cube", np.zeros((9, 2, 80, 100), np.float32), 0)
    assert ptx.pending_error() == 0, "the next call of anybody must not report it as its own"
    monkeypatch.delenv("FLOWKIT_PTX_LARGEST")
    again, _ = flow_on(ptx, 0, frames, params)
    assert np.array_equal(again, expected)


def test_what_a_gpu_refuses_is_an_input_error(ptx, monkeypatch):
    """In `flowkit.tvl1_flow` and its like, over the stand-in."""
    for module in (devices, flow_module, strain_module):
        monkeypatch.setattr(module, "_core", ptx.core)
    monkeypatch.setattr(devices, "_found", {})
    frames = fields.facial_batch(2, 33, 40)
    monkeypatch.setenv("FLOWKIT_PTX_LARGEST", "100000")
    with pytest.raises(InputError, match=r"no memory for 2 pairs of 40 x 33 px"):
        flowkit.tvl1_flow(*frames, device="cuda")
    with pytest.raises(InputError, match=r"no memory for 9 flows of 100 x 80 px"):
        flowkit.strain_magnitude(np.zeros((9, 2, 80, 100), np.float32), device="cuda")
    monkeypatch.setenv("FLOWKIT_CUDA_VARIANT", "tile")
    with pytest.raises(InputError, match=r"FLOWKIT_CUDA_VARIANT=tile: give resident"):
        flowkit.tvl1_flow(*frames, device="cuda")


def test_flows_with_more_pixels_than_are_counted(ptx):
    """Before anything is read or launched: there is no such memory here."""
    before = ptx.calls("cudaLaunchKernelExC")
    for height, width in ((46341, 46341), (3, (1 << 31) // 3)):
        with pytest.raises(ValueError, match=rf"flows of {width} x {height} px are too large for the GPU"):
            ptx.core.flow_feature_cuda("magnitude", 0, 1, height, width, 0, 0, 0)
    assert ptx.calls("cudaLaunchKernelExC") == before


NO_ROOM_FOR_A_COPY = """
import resource, sys
from pathlib import Path
import numpy as np
from flowkit.params import PRESETS
from tests.ptx.standin import StandIn
core = StandIn(Path(sys.argv[1])).core
frames = np.broadcast_to(np.uint8(0), (1, 40000, 40000))
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 28), resource.RLIM_INFINITY))
try:
    core.tvl1_flow_on_gpu(frames, frames, PRESETS["fast"].to_dict(), 0, 255, None, 0)
except MemoryError as error:
    print(error)
"""


def test_frames_that_there_is_no_memory_to_copy(ptx_file):
    command = [sys.executable, "-c", NO_ROOM_FOR_A_COPY, str(ptx_file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    assert "Unable to allocate 1.49 GiB" in done.stdout


# ---- finite flows


@pytest.mark.parametrize("size", [(3, 3), (17, 23), (40, 33)], ids=str)
def test_flows_that_are_not_finite(ptx, size):
    flows, finite = fields.spoiled_flows(*size)
    flags = np.full(len(flows) + 1, 77, np.uint8)
    with ptx.memory(0, flows, flags) as (flow, out):
        ptx.core.flow_finite_cuda(flow, len(flows), *size, out, 0, 0)
    assert flags[:-1].tolist() == finite.astype(int).tolist()
    assert flags[-1] == 77


def test_no_flows_are_no_launch(ptx):
    before = ptx.calls("cudaLaunchKernelExC")
    ptx.core.flow_finite_cuda(0, 0, 8, 8, 0, 0, 0)
    assert ptx.calls("cudaLaunchKernelExC") == before
