"""What works without the packages that only reading videos, frames and shards needs: a GPU machine may lack them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from flowkit.extraction.run import extract
from tests.clips import dataset

BEGIN = "import sys\nsys.modules.update(dict.fromkeys({packages!r}))\n"
FILES = ["av", "simplejpeg", "pyarrow", "typer", "rich", "ray"]


def run(packages: list[str], code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN.format(packages=packages) + code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_flow_needs_numpy_only():
    code = """
import flowkit, numpy
frames = numpy.zeros((2, 16, 16), numpy.uint8)
print(flowkit.tvl1_flow(frames, frames).shape, flowkit.motion_cube(frames, frames).shape)
"""
    assert run([*FILES, "cv2", "scipy", "pandas", "skimage"], code) == "(2, 2, 16, 16) (2, 3, 16, 16)"


def test_shards_come_when_they_are_asked_for():
    assert run([], "import flowkit, sys\nprint('pyarrow' in sys.modules, flowkit.read.__module__)") == (
        "False flowkit.output.shard"
    )
    with pytest.raises(AttributeError, match="no attribute 'raed'"):
        __import__("flowkit").raed  # noqa: B018


def test_the_benchmark_and_the_tests_of_the_kernels_need_no_files():
    code = """
from benchmarks import bench_gpu, bench_gpu_peers
from benchmarks.gpu_timing import face_pairs
from flowkit.bench import Size
from tests import fields
print(len(face_pairs(Size(24, 20))), fields.facial_batch(2, 24, 20)[0].shape)
"""
    assert run([*FILES, "pandas", "skimage", "cupy", "torch"], code) == "8 (2, 24, 20)"


def test_what_is_missing_is_named(tmp_path):
    code = f"""
from pathlib import Path
from flowkit.frames import open_source
folder = Path({str(tmp_path)!r})
(folder / "clip").mkdir()
(folder / "clip" / "img1.jpg").write_bytes(b"\\xff\\xd8\\xff")
(folder / "clip.mp4").write_bytes(b"")
print(next(open_source(folder / "clip").read([1]))[1])
try:
    open_source(folder / "clip.mp4")
except ValueError as error:
    print(error)
"""
    assert run(FILES, code).splitlines() == [
        "JPEG frames need simplejpeg, which is not installed: pip install simplejpeg",
        f"{tmp_path / 'clip.mp4'} is a video, which needs PyAV: pip install av",
    ]


def test_a_command_with_nothing_to_do_loads_no_pandas_and_draws_nothing(tmp_path):
    manifest, out = tmp_path / "manifest.csv", tmp_path / "out"
    dataset(tmp_path, clips=1)
    assert extract(manifest, out, workers=1).computed == 1
    code = f"""
import sys
from flowkit.cli.app import app
app(["extract", {str(manifest)!r}, "-o", {str(out)!r}], standalone_mode=False)
print([name for name in ("pandas", "PIL", "flowkit.pictures", "av", "jinja2") if name in sys.modules])
"""
    said, loaded = run([], code).splitlines()
    assert "nothing left to do" in said
    assert loaded == "[]"


def test_a_worker_loads_no_pandas_and_can():
    pytest.importorskip("pandas")
    code = """
import sys
import pyarrow as pa
from flowkit.extraction.engines.worker import Brief, _briefed
_briefed(Brief())
import flowkit.extraction.part
table = pa.table({"a": pa.array([1])})
print("pandas" in sys.modules, type(table.to_pandas()).__name__)
"""
    assert run([], code) == "False DataFrame"
