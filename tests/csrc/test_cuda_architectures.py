"""CUDAARCHS in words: CMake resolves them to numbers, by which the extension knows the GPUs it can run on."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.kernel_resources import find_nvcc
from flowkit.motion.devices import has_code_for

MODULE = Path(__file__).parents[2] / "cmake" / "CudaArchitectures.cmake"
SUPPORTED = "75;80;86;89;90;100;110;103;120"
"""As nvcc lists them, not in order."""

pytestmark = pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake found")


def cmake(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    script = folder / "script.cmake"
    script.write_text(f'cmake_minimum_required(VERSION 3.25)\ninclude("{MODULE}")\n{text}\n')
    return subprocess.run(["cmake", "-P", str(script)], capture_output=True, text=True, check=False)


def resolve(folder: Path, asked: str, native: str = "") -> subprocess.CompletedProcess[str]:
    call = f'flowkit_cuda_architectures(found "{asked}" "{SUPPORTED}" "{native}")'
    return cmake(folder, f'{call}\nmessage("found ${{found}}")')


@pytest.mark.parametrize(
    ("asked", "native", "found"),
    [
        ("80-real;90", "", "80-real;90"),
        ("90a-real;100-virtual", "", "90a-real;100-virtual"),
        ("native", "90-real;89-real;90-real", "90-real;89-real"),
        ("all", "", "75-real;80-real;86-real;89-real;90-real;100-real;103-real;110-real;120"),
        ("all-major", "", "75-real;80-real;90-real;100-real;110-real;120"),
    ],
)
def test_words_become_numbers(tmp_path, asked, native, found):
    done = resolve(tmp_path, asked, native)
    assert done.stderr.strip() == f"found {found}"
    recorded = found.replace(";", " ")
    assert has_code_for((9, 0), recorded)
    assert has_code_for((13, 0), recorded) == (asked != "native" and not recorded.endswith("real"))


@pytest.mark.parametrize(
    ("asked", "says"),
    [("native", "native, but no GPU is found"), ("fast", "fast is no CUDA architecture"), ("9.0", "9.0 is no CUDA")],
)
def test_what_is_no_architecture_stops_the_build(tmp_path, asked, says):
    done = resolve(tmp_path, asked)
    assert done.returncode != 0
    assert says in " ".join(done.stderr.split())


def test_what_the_compiler_knows_comes_from_the_compiler(tmp_path):
    nvcc = find_nvcc()
    if nvcc is None:
        pytest.skip("no nvcc found")
    done = cmake(tmp_path, f'flowkit_supported_architectures(found "{nvcc}")\nmessage("${{found}}")')
    found = done.stderr.strip().split(";")
    assert {"80", "90", "120"} <= set(found)
    assert len(set(found)) == len(found)
