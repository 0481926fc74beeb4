"""What CMake builds the CUDA part with and for.

CUDAARCHS in words are resolved to numbers, by which the extension knows the GPUs it can run on. A compiler that is too
old, or does not know an architecture, is no end of a build that has not asked for it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.kernel_resources import find_nvcc
from flowkit.motion.devices import has_code_for

MODULES = Path(__file__).parents[2] / "cmake"
SUPPORTED = "75;80;86;89;90;100;110;103;120"
"""As nvcc lists them, not in order."""

pytestmark = pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake found")


def cmake(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    script = folder / "script.cmake"
    include = f'include("{MODULES}/CudaArchitectures.cmake")'
    script.write_text(f"cmake_minimum_required(VERSION 3.25)\n{include}\n{text}\n")
    clean = {name: value for name, value in os.environ.items() if name != "FLOWKIT_NVCC"}
    return subprocess.run(["cmake", "-P", str(script)], env=clean, capture_output=True, text=True, check=False)


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


# ---- where none are asked for


@pytest.mark.parametrize(
    ("supported", "found"),
    [
        ("52;53;60;61;62;70;72;75;80;86;87;89;90", "75-real;80-real;86-real;89-real;90"),
        (SUPPORTED, "75-real;80-real;86-real;89-real;90-real;100-real;120"),
        ("80;86;87;89;90;100;110;103;120;130", "80-real;86-real;89-real;90-real;100-real;120"),
    ],
    ids=["CUDA 11.8", "CUDA 13.0", "without 7.5"],
)
def test_only_what_the_compiler_knows_is_built_for(tmp_path, supported, found):
    done = cmake(tmp_path, f'flowkit_default_architectures(found "{supported}")\nmessage("found ${{found}}")')
    assert done.stderr.strip() == f"found {found}"
    recorded = found.replace(";", " ")
    assert has_code_for((12, 0), recorded)
    assert has_code_for((13, 0), recorded)


# ---- the compiler


def find(folder: Path, cuda: str, release: str) -> subprocess.CompletedProcess[str]:
    """What FindNvcc.cmake makes of an nvcc of that release."""
    nvcc = folder / "nvcc"
    nvcc.write_text(f"#!/bin/sh\necho 'Cuda compilation tools, release {release}, V{release}.119'\n")
    nvcc.chmod(0o755)
    given = {"FLOWKIT_CUDA": cuda, "CMAKE_CUDA_COMPILER": nvcc, "Python_EXECUTABLE": sys.executable}
    lines = [f'set({name} "{value}")' for name, value in given.items()]
    lines.append(f'include("{MODULES}/FindNvcc.cmake")')
    lines.append('message("nvcc <${FLOWKIT_NVCC}> or ${FLOWKIT_NVCC_MISSING}")')
    return cmake(folder, "\n".join(lines))


@pytest.mark.parametrize("release", ["11.8", "12.0", "13.0"])
@pytest.mark.parametrize("cuda", ["auto", "on"])
def test_a_compiler_of_cuda_11_8_or_newer_is_taken(tmp_path, cuda, release):
    assert f"nvcc <{tmp_path}/nvcc>" in find(tmp_path, cuda, release).stderr


@pytest.mark.parametrize("release", ["9.2", "11.5"])
def test_one_that_is_too_old_is_passed_over_and_named(tmp_path, release):
    too_old = f"{tmp_path}/nvcc is of CUDA {release}, and the CUDA part needs 11.8 or newer"
    done = find(tmp_path, "auto", release)
    assert done.returncode == 0
    assert done.stderr.strip() == f"nvcc <> or {too_old}"
    done = find(tmp_path, "on", release)
    assert done.returncode != 0
    assert f"FLOWKIT_CUDA=on, but {too_old}: set CUDACXX" in " ".join(done.stderr.split())
