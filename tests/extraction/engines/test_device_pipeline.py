"""The GPU engine's pipeline, with the CPU solver in the place of the GPU: everything but CUDA itself is real."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowkit
from flowkit import _core
from flowkit.errors import InputError
from flowkit.extraction.decode import assess, value_range
from flowkit.extraction.decoded import Computed, DecodedPart
from flowkit.extraction.engines.device_pipeline import IN_FLIGHT, DeviceMemoryError, DeviceRunner, GpuEngine
from flowkit.extraction.part import PartRunner, commit_rows
from flowkit.extraction.request import ExtractRequest
from flowkit.extraction.run import extract
from flowkit.extraction.steadying import steady
from flowkit.motion.devices import has_code_for
from flowkit.output.shard import read
from flowkit.output.verify import verify
from tests.clips import dataset, frame_folder, parts_of, rows, settle
from tests.clips import flowkit as command

NO_GPU = pytest.mark.skipif(bool(_core.cuda_devices()[0]), reason="there is a GPU here")


class Stand:
    """Computes batches on the CPU in a thread of its own, with buffers that the next batch but one takes back."""

    def __init__(self, request: ExtractRequest, room: int = 1000, spoil: int | None = None) -> None:
        self._request, self._room, self._spoil = request, room, spoil
        self._pool = ThreadPoolExecutor(1)
        self._lent: list[np.ndarray] = []
        self.sizes: list[int] = []
        self.most_running = 0
        self._running = 0

    def most_pairs(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> int:
        return 1000

    def start(self, frames0, frames1) -> Any:
        if len(frames0) > self._room:
            raise DeviceMemoryError(f"{len(frames0)} pairs do not fit")
        self.sizes.append(len(frames0))
        self._running += 1
        self.most_running = max(self.most_running, self._running)
        future = self._pool.submit(self._solve, np.stack(frames0), np.stack(frames1))
        return _Running(self, future)

    def _solve(self, frames0: np.ndarray, frames1: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        request = self._request
        cubes, iterations = flowkit.motion_cube(
            frames0,
            frames1,
            params=request.params,
            variant=request.strain,
            threads=1,
            value_range=value_range(frames0.dtype),
            return_iterations=True,
        )
        cubes, finite = cubes.astype(request.dtype), np.ones(len(cubes), bool)
        if self._spoil is not None:
            finite[self._spoil % len(cubes)] = False
        return cubes, iterations, finite

    def lend(self, cubes: np.ndarray) -> np.ndarray:
        self._running -= 1
        self._lent.append(cubes)
        if len(self._lent) > IN_FLIGHT:
            self._lent.pop(0)[:] = np.nan
        return cubes


@dataclasses.dataclass
class _Running:
    device: Stand
    future: Future[Any]

    def result(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        cubes, iterations, finite = self.future.result()
        return self.device.lend(cubes), iterations, finite


class Stands:
    """Makes devices and remembers them."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self.made: list[Stand] = []

    def __call__(self, request: ExtractRequest) -> Stand:
        self.made.append(Stand(request, **self._options))
        return self.made[-1]

    @property
    def sizes(self) -> list[int]:
        return [size for device in self.made for size in device.sizes]


FAST = {"warps": 1, "inner_iterations": 3}


def run(source, out, *stands: Stands, **options: Any):
    engine = GpuEngine(stands, decoders=3)
    options = {"pairs": "lag:1", "size": 16, "params": FAST} | options
    summary = extract(source, out, engine=engine, **options)
    assert set(engine.busy_s) <= {"decode", "start", "wait", "collect", "write"}
    assert engine.busy_s["decode"] > 0
    return summary


@pytest.mark.parametrize("devices", [1, 2])
def test_it_gives_the_rows_of_the_local_engine_from_batches_across_clips(tmp_path, devices):
    dataset(tmp_path, clips=5, frames=40)
    (tmp_path / "sub02" / "img7.png").unlink()
    extract(tmp_path / "manifest.csv", tmp_path / "cpu", pairs="lag:1", size=16, params=FAST, workers=1)
    stands = [Stands() for _ in range(devices)]
    summary = run(tmp_path / "manifest.csv", tmp_path / "gpu", *stands, batch=60)
    assert (summary.computed, summary.failed) == (193, 2)
    assert verify(tmp_path / "gpu").ok
    assert rows(tmp_path / "gpu") == rows(tmp_path / "cpu")
    assert read(tmp_path / "gpu").failures().equals(read(tmp_path / "cpu").failures())
    if devices == 1:
        assert max(stands[0].sizes) == 60
        assert stands[0].made[0].most_running == IN_FLIGHT


def test_clips_of_other_shapes_and_depths_have_batches_of_their_own(tmp_path):
    for name, options in {"a": {}, "b": {"size": (48, 40)}, "c": {"depth": 16}, "d": {"size": (48, 40)}}.items():
        frame_folder(tmp_path / "clips" / name, range(1, 9), **options)
    stands = Stands()
    summary = run(tmp_path / "clips", tmp_path / "gpu", stands, size=None)
    assert (summary.computed, summary.failed) == (28, 0)
    extract(tmp_path / "clips", tmp_path / "cpu", pairs="lag:1", params=FAST, workers=1)
    assert rows(tmp_path / "gpu") == rows(tmp_path / "cpu")


@pytest.mark.parametrize("options", [{"dtype": "float16"}, {"strain": "meb"}, {"pairs": "lag:3:3+3"}], ids=str)
def test_it_gives_what_the_request_asks_for(tmp_path, options):
    dataset(tmp_path, clips=2, frames=8)
    summary = run(tmp_path / "manifest.csv", tmp_path / "gpu", Stands(), **options)
    assert summary.failed == 0
    options = {"pairs": "lag:1"} | options
    extract(tmp_path / "manifest.csv", tmp_path / "cpu", size=16, params=FAST, workers=1, **options)
    assert rows(tmp_path / "gpu") == rows(tmp_path / "cpu")


def test_batches_are_halved_until_they_fit(tmp_path):
    dataset(tmp_path, clips=3, frames=40)
    stands = Stands(room=11)
    summary = run(tmp_path / "manifest.csv", tmp_path / "gpu", stands, batch=64)
    assert (summary.computed, summary.failed) == (117, 0)
    # A first batch may have been any part of 64 pairs; what fits is never below half of what there is room for.
    assert max(stands.sizes) <= 11
    assert sorted(stands.sizes)[-2] >= 5
    assert verify(tmp_path / "gpu").ok


def test_a_pair_that_never_fits_is_a_failure_with_its_reason(tmp_path):
    dataset(tmp_path, clips=1, frames=4)
    summary = run(tmp_path / "manifest.csv", tmp_path / "gpu", Stands(room=0))
    assert (summary.computed, summary.failed) == (0, 3)
    assert set(read(tmp_path / "gpu").failures()["error"].to_pylist()) == {"toy/sub01/ep01: 1 pairs do not fit"}
    assert verify(tmp_path / "gpu").ok


def test_a_flow_that_is_not_finite_is_a_failure_and_no_row(tmp_path):
    dataset(tmp_path, clips=1, frames=8)
    summary = run(tmp_path / "manifest.csv", tmp_path / "gpu", Stands(spoil=2))
    assert summary.failed >= 1
    assert summary.computed + summary.failed == 7
    assert all("not finite" in error for error in read(tmp_path / "gpu").failures()["error"].to_pylist())
    assert all(np.isfinite(cubes).all() for cubes in read(tmp_path / "gpu").cubes())


def test_the_flow_decides_and_not_what_its_dtype_makes_of_the_cube(tmp_path):
    dataset(tmp_path, clips=1, frames=8)

    class Overflowing(Stand):
        def _solve(self, frames0, frames1):
            cubes, iterations, finite = super()._solve(frames0, frames1)
            cubes[:, 2, 0, 0] = np.inf
            return cubes, iterations, finite

    assert run(tmp_path / "manifest.csv", tmp_path / "gpu", Overflowing, dtype="float16").computed == 7


# ---- what goes wrong with one clip


def depths(folder: Path, **depth: int) -> Path:
    """A folder of clips, by name, whose frames have so many bits, and whose pairs are one part all the same."""
    for name, bits in depth.items():
        frame_folder(folder / "clips" / name, range(1, 9), seed=bits, depth=bits)
    return folder / "clips"


def assert_as_on_the_cpu(folder: Path, clips: Path, **options: Any) -> None:
    options = {"pairs": "lag:1", "size": 16, "params": FAST} | options
    extract(clips, folder / "cpu", workers=1, **options)
    assert rows(folder / "gpu") == rows(folder / "cpu")
    assert read(folder / "gpu").failures().equals(read(folder / "cpu").failures())
    assert verify(folder / "gpu").ok


def test_a_flow_that_no_row_can_be_made_of_is_its_clips_failure(tmp_path):
    class Overflowing(Stand):
        """Finds a flow in 16-bit frames that float16 does not hold."""

        def _solve(self, frames0, frames1):
            cubes, iterations, finite = super()._solve(frames0, frames1)
            if frames0.dtype == np.uint16:
                cubes[0, 0, 0, 0] = np.inf
            return cubes, iterations, finite

    clips = depths(tmp_path, a=8, b=16, c=8)
    options = {"dtype": "float16", "stabilise": "translation"}
    summary = run(clips, tmp_path / "gpu", Overflowing, **options)
    assert (summary.parts, summary.computed, summary.failed) == (1, 14, 7)
    errors = set(read(tmp_path / "gpu").failures()["error"].to_pylist())
    assert len(errors) == 1
    assert errors.pop().startswith("b: InputError: flow is inf at (0, 0, 0)")
    extract(clips, tmp_path / "cpu", pairs="lag:1", size=16, params=FAST, workers=1, **options)
    there, here = rows(tmp_path / "gpu"), rows(tmp_path / "cpu")
    assert there == {pair: row for pair, row in here.items() if row[0]["clip_id"] != "b"}
    assert verify(tmp_path / "gpu").ok


def test_an_error_that_nobody_foresaw_costs_its_clips_pairs_only(tmp_path, monkeypatch):
    def steady_but_b(decoded: DecodedPart, request: ExtractRequest) -> None:
        steady(decoded, request)
        if any(pair.clip.clip_id == "b" for pair in decoded.part.pairs):
            raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("flowkit.extraction.decode.steady", steady_but_b)
    clips = depths(tmp_path, a=8, b=16, c=8)
    (clips / "c" / "img3.png").unlink()
    summary = run(clips, tmp_path / "gpu", Stands(), stabilise="translation")
    assert (summary.parts, summary.computed, summary.failed) == (1, 12, 9)
    assert_as_on_the_cpu(tmp_path, clips, stabilise="translation")


def test_frames_that_the_solver_does_not_take_are_their_pairs_failures(tmp_path):
    frame_folder(tmp_path / "clips" / "a", range(1, 5))
    frame_folder(tmp_path / "clips" / "b", range(1, 5), size=(2, 9))
    stands = Stands()
    summary = run(tmp_path / "clips", tmp_path / "gpu", stands, size=None)
    assert (summary.computed, summary.failed, stands.sizes) == (3, 3, [3])
    assert_as_on_the_cpu(tmp_path, tmp_path / "clips", size=None)


def test_a_runner_goes_on_after_them_too(tmp_path, job, monkeypatch):
    def assess_but_one(decoded: DecodedPart) -> None:
        for pair, result in zip(decoded.part.pairs, decoded.results, strict=True):
            if pair.clip.clip_id == guilty and isinstance(result, Computed):
                raise ZeroDivisionError("division by zero")
        assess(decoded)

    parts, job = job
    guilty = parts[1].pairs[-1].clip.clip_id
    for name in ("part", "engines.device_part"):
        monkeypatch.setattr(f"flowkit.extraction.{name}.assess", assess_but_one)
    runner, here = DeviceRunner(job, Stands()), PartRunner(job)
    found, tried, expected = runner(parts[1]), runner.rows(parts[1]), here(parts[1])
    of_it = sum(pair.clip.clip_id == guilty for pair in parts[1].pairs)
    assert 0 < of_it == found.failed == tried.failures.num_rows < 128
    assert [file.sha256 for file in found.files] == [file.sha256 for file in expected.files]


def test_an_error_of_the_device_ends_the_run_which_can_be_continued(tmp_path):
    dataset(tmp_path, clips=3, frames=130)

    class Breaking(Stand):
        def start(self, frames0, frames1):
            if len(self.sizes) == 3:
                raise RuntimeError("cudaLaunchKernelExC: an illegal memory access was encountered")
            return super().start(frames0, frames1)

    before = threading.active_count()
    with pytest.raises(RuntimeError, match="illegal memory access"):
        run(tmp_path / "manifest.csv", tmp_path / "gpu", Breaking, batch=50)
    assert threading.active_count() - before <= 1  # the stand's own
    assert not verify(tmp_path / "gpu").problems
    assert run(tmp_path / "manifest.csv", tmp_path / "gpu", Stands()).computed == 387
    assert verify(tmp_path / "gpu").ok


def test_closing_the_iterator_ends_all_threads(tmp_path):
    dataset(tmp_path, clips=3, frames=130)
    seen = []

    class Enough(Exception):
        pass

    def stop(state):
        seen.append(state)
        if state.parts_done:
            raise Enough

    before = threading.active_count()
    with pytest.raises(Enough):
        run(tmp_path / "manifest.csv", tmp_path / "gpu", Stands(), report=stop, batch=20)
    assert threading.active_count() - before <= 1
    assert not verify(tmp_path / "gpu").problems


def test_as_many_parts_are_written_at_a_time_as_are_decoded(tmp_path, monkeypatch):
    """To write a face takes a core longer than to decode it."""
    monkeypatch.setattr("flowkit.extraction.plan.rows_per_part", lambda shape, planned: 2)
    all_at_once = threading.Barrier(6)

    def commit_together(*arguments: Any) -> Any:
        all_at_once.wait(timeout=20)
        return commit_rows(*arguments)

    monkeypatch.setattr("flowkit.extraction.engines.device_pipeline.commit_rows", commit_together)
    clips = dataset(tmp_path, clips=6, frames=5)
    engine = GpuEngine((Stands(),), decoders=6)
    summary = extract(clips, tmp_path / "out", engine=engine, pairs="lag:1", size=16, params=FAST)
    assert (summary.computed, summary.failed) == (24, 0)
    assert verify(tmp_path / "out").ok


def test_single_units_on_a_device_are_those_of_the_cpu(tmp_path):
    from flowkit.extraction.part import Job

    clips = dataset(tmp_path, clips=2, frames=20)
    request = ExtractRequest.parse(pairs="lag:1", size=16, params=FAST)
    parts, metadata = parts_of(clips, request), request.metadata(clips)
    for name in ("device", "cpu"):
        for folder in ("plan", "shards", "failures", "commits"):
            (tmp_path / name / folder).mkdir(parents=True)
        settle(tmp_path / name, clips, request)
    runner = DeviceRunner(Job(tmp_path / "device", request, metadata), Stands(room=7))
    with ThreadPoolExecutor(2) as pool:
        commits = list(pool.map(runner, parts))
    assert [commit.computed for commit in commits] == [len(part.pairs) for part in parts]
    for part in parts:
        PartRunner(Job(tmp_path / "cpu", request, metadata))(part)
    assert rows(tmp_path / "device") == rows(tmp_path / "cpu")


# ---- asking for a GPU


@NO_GPU
def test_gpu_without_one_says_what_is_missing(tmp_path):
    dataset(tmp_path, clips=1, frames=4)
    code, _, error = command("extract", tmp_path / "manifest.csv", "-o", tmp_path / "out", "--gpu")
    assert code == 2
    assert error.startswith("flowkit: --device cuda: no usable GPU: ")
    assert "built without CUDA" in error or "driver" in error
    assert not (tmp_path / "out" / "commits").exists()


@NO_GPU
def test_device_auto_falls_back_and_says_so(tmp_path):
    dataset(tmp_path, clips=1, frames=4)
    options = ("--device", "auto", "--size", "16", "--pairs", "lag:1")
    code, out, error = command("extract", tmp_path / "manifest.csv", "-o", tmp_path / "out", *options)
    assert code == 0
    assert "flowkit: computing on the CPU: no usable GPU: " in error
    assert "3 pairs" in out
    assert read(tmp_path / "out").parameters["device"] == "cpu"


@NO_GPU
@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_device_cuda_without_a_gpu_is_refused(device):
    image = np.zeros((16, 16), np.uint8)
    with pytest.raises(InputError, match=f"device='{device}': no usable GPU"):
        flowkit.tvl1_flow(image, image, device=device)


@NO_GPU
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_the_solver_takes_the_names_of_dtypes_and_then_misses_the_gpu(dtype):
    params = ExtractRequest.parse(pairs="lag:1").params.to_dict()
    sizes = (1, 16, 16, params, 0.0, 255.0)
    with pytest.raises(RuntimeError, match=r"cuda|CUDA"):
        _core.tvl1_flow_cuda(0, 0, dtype, (256, 16, 1), (256, 16, 1), *sizes, 0, 0, 0, 0, 0, 0, 0)
    with pytest.raises(RuntimeError, match=r"cuda|CUDA"):
        _core.flow_feature_cuda("cube", 0, 1, 16, 16, 0, 0, 0)
    with pytest.raises(RuntimeError, match=r"cuda|CUDA"):
        _core.tvl1_workspace_bytes(16, 16, 1, params, 0)


@pytest.mark.parametrize(
    ("capability", "architectures", "runs"),
    [
        ((9, 0), "75-real 80-real 86-real 89-real 90-real 100-real 120", True),
        ((8, 9), "80-real", True),
        ((8, 0), "86-real", False),
        ((9, 0), "80-real", False),
        ((12, 1), "120", True),
        ((13, 0), "120", True),
        ((13, 0), "120-real", False),
        ((7, 0), "75-real 120", False),
        ((9, 0), "90a-real", True),
        ((9, 0), "90a", True),
        ((10, 0), "90a", False),
        ((10, 0), "90a-virtual", False),
        ((10, 3), "100a-real", False),
        ((10, 3), "100f", True),
        ((10, 3), "100f-virtual", True),
        ((12, 0), "100f", False),
        ((10, 3), "90-virtual", True),
        ((8, 7), "75-real 80-real 86-real 89-real 90", False),
        ((8, 7), "80-real 87-real", True),
        ((8, 7), "80", True),
        ((8, 9), "87-real", False),
        ((8, 9), "87", True),
        ((10, 1), "100f", False),
    ],
)
def test_code_for_an_architecture(capability, architectures, runs):
    assert has_code_for(capability, architectures) == runs


def test_outputs_of_cpu_and_gpu_are_kept_apart():
    cpu, gpu = (ExtractRequest.parse(pairs="lag:1", device=device) for device in ("cpu", "cuda"))
    assert cpu.parameters_hash != gpu.parameters_hash
    assert gpu.batch > cpu.batch
