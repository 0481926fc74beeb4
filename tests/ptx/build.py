"""Builds flowkit's extension with the kernels' PTX in the place of a GPU."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.kernel_resources import find_nvcc
from tests.ptx.translate import translate

HERE = Path(__file__).parent
CSRC = HERE.parent.parent / "csrc"
KERNELS = ("tvl1", "features")
CUDA = (*KERNELS, "device")
# The CPU solver is not part of it but for what the bindings name.
HOST = (
    *CSRC.glob("bindings*.cpp"),
    *(CSRC / "cuda").glob("*.cpp"),
    *(CSRC / "cpu").glob("*.cpp"),
    CSRC / "tvl1_params.cpp",
)
NVCC_FLAGS = ("-std=c++17", "--fmad=false", "-arch=sm_90", "-Xcompiler=-fPIC,-w")
CXX_FLAGS = ("-std=c++17", "-fPIC", "-w", "-ffp-contract=off", "-fno-math-errno")
DEFINITIONS = (
    '-DFLOWKIT_VERSION="0"',
    "-DFLOWKIT_X86_LEVELS",
    "-DFLOWKIT_WITH_CUDA",
    '-DFLOWKIT_CUDA_ARCHITECTURES="90"',
    '-DFLOWKIT_CUDA_VERSION="0"',
)


def missing() -> str | None:
    """Why it cannot be built here, or None."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        return "the fibers are written for Linux on x86-64"
    found = {
        "nvcc": find_nvcc(),
        "g++": shutil.which("g++"),
        "pybind11": importlib.util.find_spec("pybind11"),
    }
    return next((f"no {name} found" for name, where in found.items() if where is None), None)


def build(folder: Path) -> Path:
    """The extension, a file in `folder`; takes half a minute on two CPUs."""
    import pybind11

    nvcc = str(find_nvcc())
    include = [f"-I{path}" for path in (pybind11.get_include(), sysconfig.get_path("include"), HERE)]
    cxx = ("g++", *CXX_FLAGS, *DEFINITIONS, *include)

    def compiled(command: tuple[str, ...], source: Path, name: str) -> str:
        target = str(folder / name)
        _run(*command, "-c", "-o", target, str(source))
        return target

    def kernels() -> str:
        texts = []
        for name in KERNELS:
            _run(nvcc, *NVCC_FLAGS, "-ptx", "-o", str(folder / f"{name}.ptx"), str(CSRC / "cuda" / f"{name}.cu"))
            texts.append((folder / f"{name}.ptx").read_text())
        source = folder / "kernels.cpp"
        source.write_text(translate(texts))
        return compiled((*cxx, "-O1", "-mfma", "-fwrapv"), source, "kernels.o")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = [pool.submit(kernels)]
        for name in CUDA:
            source = CSRC / "cuda" / f"{name}.cu"
            objects.append(pool.submit(compiled, (nvcc, *NVCC_FLAGS), source, f"{name}.cu.o"))
        objects.append(pool.submit(compiled, (nvcc, *NVCC_FLAGS, "-O2"), HERE / "runtime.cpp", "runtime.o"))
        objects.append(pool.submit(compiled, (*cxx, "-O2"), HERE / "wavefronts.cpp", "wavefronts.o"))
        objects += [
            pool.submit(compiled, (*cxx, "-O1"), source, f"{source.parent.name}-{source.stem}.o") for source in HOST
        ]
        files = [each.result() for each in objects]
    module = folder / f"_core{sysconfig.get_config_var('EXT_SUFFIX')}"
    # Its own runtime, also where another package has loaded CUDA's into the process.
    _run("g++", "-shared", "-pthread", "-Wl,-Bsymbolic", "-o", str(module), *files)
    return module


def _run(*command: str) -> None:
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{run.stdout}{run.stderr}")
