"""Builds flowkit's extension with the kernels' PTX in the place of a GPU."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from benchmarks.kernel_resources import find_nvcc
from tests.ptx.translate import translate

HERE = Path(__file__).parent
CSRC = HERE.parent.parent / "csrc"
KERNELS = {"tvl1": (90, 80, 86, 75), "features": (90,)}
"""The architectures that each file with kernels is compiled for; the host's part goes with the first."""
STANDIN = ("calls", "launch", "memory")
# The CPU solver is not part of it but for what the bindings name.
HOST = (
    *CSRC.glob("bindings*.cpp"),
    *(CSRC / "cuda").glob("*.cpp"),
    *(CSRC / "cpu").glob("*.cpp"),
    CSRC / "tvl1_params.cpp",
)
NVCC_FLAGS = ("-std=c++17", "--fmad=false", "-Xcompiler=-fPIC,-w")
CXX_FLAGS = ("-std=c++17", "-fPIC", "-w", "-ffp-contract=off", "-fno-math-errno")
KERNEL_FLAGS = ("-O1", "-mfma", "-fwrapv")
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

    nvcc = (str(find_nvcc()), *NVCC_FLAGS)
    include = [f"-I{path}" for path in (pybind11.get_include(), sysconfig.get_path("include"), HERE)]
    cxx = ("g++", *CXX_FLAGS, *DEFINITIONS, *include)

    def compiled(command: tuple[str, ...], source: Path, name: str) -> str:
        target = str(folder / f"{name}.o")
        _run(*command, "-c", "-o", target, str(source))
        return target

    def both_parts(name: str, architecture: int) -> str:
        """The PTX, and an object file of the host's part."""
        kept = folder / f"{name}_{architecture}"
        kept.mkdir()
        only_ptx = f"arch=compute_{architecture},code=compute_{architecture}"
        compiled((*nvcc, "-gencode", only_ptx, "--keep", "--keep-dir", str(kept)), CSRC / "cuda" / f"{name}.cu", name)
        return (kept / f"{name}.ptx").read_text()

    def ptx(name: str, architecture: int) -> str:
        target = folder / f"{name}_{architecture}.ptx"
        source = CSRC / "cuda" / f"{name}.cu"
        _run(*nvcc, f"-arch=sm_{architecture}", "-ptx", "-o", str(target), str(source))
        return target.read_text()

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        texts: dict[int, list[Future[str]]] = {}
        for name, architectures in KERNELS.items():
            for architecture in architectures:
                make = both_parts if architecture == architectures[0] else ptx
                texts.setdefault(architecture, []).append(pool.submit(make, name, architecture))
        objects = [
            pool.submit(compiled, (*cxx, "-O0"), source, f"{source.parent.name}-{source.stem}") for source in HOST
        ]
        objects.append(pool.submit(compiled, nvcc, CSRC / "cuda" / "device.cu", "device"))
        objects += [pool.submit(compiled, (*nvcc, "-O2"), HERE / f"{name}.cpp", name) for name in STANDIN]
        objects.append(pool.submit(compiled, (*cxx, "-O2"), HERE / "wavefronts.cpp", "wavefronts"))
        sources = translate({architecture: [text.result() for text in each] for architecture, each in texts.items()})
        for name, text in sources.items():
            (folder / f"{name}.cpp").write_text(text)
            objects.append(pool.submit(compiled, (*cxx, *KERNEL_FLAGS), folder / f"{name}.cpp", name))
        files = [each.result() for each in objects] + [str(folder / f"{name}.o") for name in KERNELS]
    module = folder / f"_core{sysconfig.get_config_var('EXT_SUFFIX')}"
    # Its own runtime, also where another package has loaded CUDA's into the process.
    _run("g++", "-shared", "-pthread", "-Wl,-Bsymbolic", "-o", str(module), *files)
    return module


def _run(*command: str) -> None:
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{run.stdout}{run.stderr}")
