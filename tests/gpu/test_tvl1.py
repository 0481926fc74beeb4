"""TV-L1 on a GPU against the CPU solver. The same programs run on the host in tests/csrc; what only a GPU can
show is here: launches, barriers, clusters, streams, memory, and the hardware's arithmetic.

Agreement asked for: |difference| <= 1e-4 px on average and < 1e-3 px in 99.9 % of the pixels, per pair. Every operation
of a pixel is meant to be the CPU's, so that the bits should be the same but for a stop one iteration apart; the tests
that say "bits" ask for that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import flowkit
from flowkit import _core, _test_hooks
from flowkit.params import PRESETS, TVL1Params
from tests import fields

SIZES = [(16, 16), (17, 33), (31, 64), (67, 45), (128, 128), (224, 224), (256, 256), (280, 340), (480, 640)]
VIEWS = [lambda a: a[:, ::-1, ::-1], lambda a: a.transpose(0, 2, 1), lambda a: a[:, ::2, 1::3]]
POISON = 0xFF  # bytes that make NaN of every float


def gpu(
    frames0: NDArray[Any],
    frames1: NDArray[Any],
    params: TVL1Params,
    range_: tuple[float, float] = (0, 255),
    initial_flow: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    return _core.tvl1_flow_on_gpu(frames0, frames1, params.to_dict(), *range_, initial_flow, 0)


def cpu(
    frames0: NDArray[Any],
    frames1: NDArray[Any],
    params: TVL1Params,
    range_: tuple[float, float] = (0, 255),
    initial_flow: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    return _core.tvl1_flow(frames0, frames1, params.to_dict(), *range_, initial_flow, 8)


def assert_agrees(flow: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    assert flow.shape == expected.shape
    assert np.isfinite(flow).all()
    for i, difference in enumerate(np.abs(flow - expected)):
        assert difference.mean() <= 1e-4, f"pair {i}"
        assert (difference < 1e-3).mean() >= 0.999, f"pair {i}"


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("preset", PRESETS)
def test_each_preset_agrees_with_the_cpu(preset, size):
    frames = fields.facial_batch(3, *size)
    expected, counts = cpu(*frames, PRESETS[preset])
    flow, iterations = gpu(*frames, PRESETS[preset])
    assert_agrees(flow, expected)
    assert np.abs(iterations - counts).max() <= 0.02 * counts.max() + 1


@pytest.mark.parametrize("size", [(31, 64), (224, 224), (480, 640)], ids=str)
@pytest.mark.parametrize("preset", PRESETS)
def test_fixed_iterations_give_the_bits_of_the_cpu(preset, size):
    params = PRESETS[preset].replace(epsilon=0.0, warps=2, outer_iterations=min(2, PRESETS[preset].outer_iterations))
    frames = fields.facial_batch(2, *size)
    flow, iterations = gpu(*frames, params)
    expected, counts = cpu(*frames, params)
    assert iterations.tolist() == counts.tolist()
    assert np.array_equal(flow, expected)


@pytest.mark.parametrize("preset", PRESETS)
def test_full_hd(preset):
    frames = fields.facial_batch(1, 1080, 1920)
    params = PRESETS[preset].replace(warps=2)
    assert_agrees(gpu(*frames, params)[0], cpu(*frames, params)[0])


def test_the_host_programs_give_the_same_bits():
    """Whichever way the device covers the level, against both ways on the host."""
    frames = fields.facial_batch(2, 61, 90)
    for preset in PRESETS:
        flow, iterations = gpu(*frames, PRESETS[preset])
        for variant in ("resident", "tiled"):
            host, counts = _test_hooks.tvl1_flow_blocks(
                *frames, PRESETS[preset].to_dict(), 0, 255, None, {"variant": variant}
            )
            assert np.array_equal(flow, host)
            assert iterations.tolist() == counts.tolist()


@pytest.mark.parametrize("variant", ["resident", "tiled", "tiled:3"])
@pytest.mark.parametrize("size", [(45, 50), (224, 224)], ids=str)
@pytest.mark.parametrize("preset", PRESETS)
def test_the_variants_give_the_same_bits(monkeypatch, preset, size, variant):
    frames = fields.facial_batch(4, *size)
    flow, iterations = gpu(*frames, PRESETS[preset])
    monkeypatch.setenv("FLOWKIT_CUDA_VARIANT", variant)
    try:
        forced, counts = gpu(*frames, PRESETS[preset])
    except ValueError as error:
        pytest.skip(f"too large to be resident on this device: {error}")
    assert np.array_equal(forced, flow)
    assert counts.tolist() == iterations.tolist()


@pytest.mark.parametrize("n", [1, 2, 63, 257, 4096])
@pytest.mark.parametrize("preset", ["opencv", "micro"])
def test_a_pair_has_the_same_bits_in_any_batch(preset, n):
    frames0, frames1 = fields.facial_batch(n, 48, 40)
    together, iterations = gpu(frames0, frames1, PRESETS[preset])
    for i in sorted({0, 1 % n, n // 2, n - 1}):
        alone, count = gpu(frames0[i : i + 1], frames1[i : i + 1], PRESETS[preset])
        assert np.array_equal(alone[0], together[i])
        assert count[0] == iterations[i]
    again, _ = gpu(frames0, frames1, PRESETS[preset])
    assert np.array_equal(again, together), "the same bits in every run"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("view", VIEWS)
def test_any_frames(view, dtype):
    range_ = {np.uint8: (0, 255), np.uint16: (0, 65535), np.float32: (-16, 300)}[dtype]
    frames = [view(f.astype(dtype)) for f in fields.facial_batch(3, 64, 63)]
    # With zeros outside the image, black is not only an offset that both frames share.
    params = PRESETS["micro"].replace(border="zero")
    assert_agrees(gpu(*frames, params, range_)[0], cpu(*frames, params, range_)[0])


def test_an_initial_flow():
    frames = fields.facial_batch(2, 96, 80)
    start = np.stack([fields.bump(96, 80, a, -0.4, 20.0) for a in (0.5, 1.0)]).astype(np.float32)
    params = PRESETS["micro"].replace(warps=1, inner_iterations=5)
    assert np.array_equal(gpu(*frames, params, initial_flow=start)[0], cpu(*frames, params, initial_flow=start)[0])


def test_stopping_is_each_pairs_own():
    frames = fields.facial_batch(9, 100, 90)
    for rule in ("every", "cadenced"):
        params = PRESETS["opencv"].replace(stop_rule=rule)
        flow, iterations = gpu(*frames, params)
        expected, counts = cpu(*frames, params)
        assert_agrees(flow, expected)
        assert len(set(iterations.tolist())) > 2
        assert iterations[1] == counts[1] < iterations.max()


# ---- device memory and streams


class OnDevice:
    """A batch in device memory of one array library, its outputs and workspace poisoned."""

    def __init__(self, library: Any, frames0: NDArray[Any], frames1: NDArray[Any], params: TVL1Params) -> None:
        self.library, self.params = library, params
        self.n, self.height, self.width = frames0.shape
        self.frames = [library.put(f) for f in (frames0, frames1)]
        self.flow = library.poisoned((self.n, 2, self.height, self.width), "float32")
        self.iterations = library.poisoned((self.n,), "int32")
        size = _core.tvl1_workspace_bytes(self.height, self.width, self.n, params.to_dict(), 0)
        self.workspace = library.poisoned((size,), "uint8")
        self.guard = library.poisoned((1 << 16,), "uint8")

    def run(self, stream: int) -> None:
        strides = (self.height * self.width, self.width, 1)
        address = self.library.address
        _core.tvl1_flow_cuda(
            *(address(f) for f in self.frames), "uint8", strides, strides, self.n, self.height, self.width,
            self.params.to_dict(), 0, 255, 0, address(self.flow), address(self.iterations), address(self.workspace),
            self.workspace.nbytes, stream, 0,
        )  # fmt: skip


class Torch:
    def __init__(self) -> None:
        self.torch = pytest.importorskip("torch")
        if not self.torch.cuda.is_available():
            pytest.skip("torch sees no GPU")

    def put(self, array: NDArray[Any]) -> Any:
        return self.torch.from_numpy(np.ascontiguousarray(array)).cuda()

    def poisoned(self, shape: tuple[int, ...], dtype: str) -> Any:
        bytes_ = int(np.prod(shape)) * np.dtype(dtype).itemsize
        filled = self.torch.full((bytes_,), POISON, dtype=self.torch.uint8, device="cuda")
        return filled.view(getattr(self.torch, dtype)).reshape(shape)

    def address(self, array: Any) -> int:
        return int(array.data_ptr())

    def get(self, array: Any) -> NDArray[Any]:
        return np.asarray(array.cpu().numpy())

    def streams(self) -> list[tuple[Any, int]]:
        streams = [self.torch.cuda.Stream() for _ in range(2)]
        return [(s, s.cuda_stream) for s in streams]

    def wait(self) -> None:
        self.torch.cuda.synchronize()


class CuPy:
    def __init__(self) -> None:
        self.cupy = pytest.importorskip("cupy")

    def put(self, array: NDArray[Any]) -> Any:
        return self.cupy.asarray(array)

    def poisoned(self, shape: tuple[int, ...], dtype: str) -> Any:
        bytes_ = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return self.cupy.full((bytes_,), POISON, dtype="uint8").view(dtype).reshape(shape)

    def address(self, array: Any) -> int:
        return int(array.data.ptr)

    def get(self, array: Any) -> NDArray[Any]:
        return np.asarray(self.cupy.asnumpy(array))

    def streams(self) -> list[tuple[Any, int]]:
        streams = [self.cupy.cuda.Stream(non_blocking=True) for _ in range(2)]
        return [(s, s.ptr) for s in streams]

    def wait(self) -> None:
        self.cupy.cuda.Device().synchronize()


@pytest.fixture(params=[Torch, CuPy], ids=["torch", "cupy"])
def library(request: pytest.FixtureRequest) -> Any:
    return request.param()


@pytest.mark.parametrize("size", [(33, 31), (224, 224), (300, 500)], ids=str)
@pytest.mark.parametrize("preset", ["opencv", "micro", "ipol"])
def test_device_memory_on_the_default_stream(library, preset, size):
    frames = fields.facial_batch(5, *size)
    batch = OnDevice(library, *frames, PRESETS[preset])
    batch.run(0)
    library.wait()
    flow, iterations = gpu(*frames, PRESETS[preset])
    assert np.array_equal(library.get(batch.flow), flow)
    assert np.array_equal(library.get(batch.iterations), iterations)
    assert (library.get(batch.guard) == POISON).all()
    for frame, given in zip(batch.frames, frames, strict=True):
        assert np.array_equal(library.get(frame), given)


def test_two_streams_at_a_time(library):
    batches = [OnDevice(library, *fields.facial_batch(17, 64, 72), PRESETS[name]) for name in ("micro", "opencv")]
    streams = library.streams()
    library.wait()
    for _ in range(3):
        for batch, (_, address) in zip(batches, streams, strict=True):
            batch.run(address)
    library.wait()
    for batch in batches:
        flow, iterations = gpu(*fields.facial_batch(17, 64, 72), batch.params)
        assert np.array_equal(library.get(batch.flow), flow)
        assert np.array_equal(library.get(batch.iterations), iterations)


def test_a_small_workspace_is_refused(library):
    batch = OnDevice(library, *fields.facial_batch(2, 32, 32), PRESETS["micro"])
    batch.workspace = batch.workspace[:-1]
    with pytest.raises(ValueError, match="workspace"):
        batch.run(0)


@pytest.mark.parametrize("half", [False, True])
def test_the_motion_cube(library, rng, half):
    flow = rng.standard_normal((7, 2, 33, 47)).astype(np.float32)
    on_device = library.put(flow)
    cube = library.poisoned((7, 3, 33, 47), "int16" if half else "float32")
    feature = "half_cube" if half else "cube"
    _core.flow_feature_cuda(feature, library.address(on_device), 7, 33, 47, library.address(cube), 0, 0)
    library.wait()
    expected = np.concatenate([flow, flowkit.strain_magnitude(flow)[:, None]], axis=1)
    got = library.get(cube)
    assert np.array_equal(got.view(np.float16), expected.astype(np.float16)) if half else np.array_equal(got, expected)
