"""Builds flowkit's extension with the kernels' PTX in the place of a GPU.

    python -m tests.ptx.build    the part that needs no Python package, beforehand: `make kernels` does it

What it compiles stays under build/ptx for as long as the sources and the compilers are the same.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import uuid
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
    *(CSRC / "bindings" / f"{name}.cpp" for name in ("core", "arguments", "cuda")),
    *(CSRC / "blocks" / f"{name}.cpp" for name in ("iteration_plan", "tvl1_plan")),
    *(CSRC / "cpu").glob("*.cpp"),
    CSRC / "tvl1_params.cpp",
)
NVCC_FLAGS = ("-std=c++17", "--fmad=false", "-Xcompiler=-fPIC,-w")
KERNEL_FLAGS = ("-O1", "-mfma", "-fwrapv")
DEFINITIONS = (
    '-DFLOWKIT_VERSION="0"',
    "-DFLOWKIT_X86_LEVELS",
    "-DFLOWKIT_WITH_CUDA",
    '-DFLOWKIT_CUDA_ARCHITECTURES="90"',
    '-DFLOWKIT_CUDA_VERSION="0"',
)
CXX = ("g++", "-std=c++17", "-fPIC", "-w", "-ffp-contract=off", "-fno-math-errno", *DEFINITIONS)
SUFFIXES = (".py", ".cpp", ".h", ".inl", ".cu", ".cuh")


def missing() -> str | None:
    """Why it cannot be built here, or None."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        return "the fibers are written for Linux on x86-64"
    found = {"nvcc": find_nvcc(), "g++": shutil.which("g++")}
    return next((f"no {name} found" for name, where in found.items() if where is None), None)


def build(folder: Path) -> Path:
    """The extension, a file in `folder`; takes a minute on two CPUs, and seconds where `kernels` has been at work."""
    import pybind11

    command = (*CXX, "-O0", *(f"-I{path}" for path in (pybind11.get_include(), sysconfig.get_path("include"), HERE)))
    of = f"{sys.implementation.cache_tag}-{pybind11.__version__}"
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        host = [pool.submit(_compiled, command, path, f"{path.parent.name}-{path.stem}-{of}") for path in HOST]
        files = kernels(pool) + [each.result() for each in host]
    module = folder / f"_core{sysconfig.get_config_var('EXT_SUFFIX')}"
    # Its own runtime, also where another package has loaded CUDA's into the process.
    _run("g++", "-shared", "-pthread", "-Wl,-Bsymbolic", "-o", str(module), *map(str, files))
    return module


def kernels(pool: ThreadPoolExecutor) -> list[Path]:
    """The object files of the kernels, of what launches them and of the stand-in, which need no Python package."""
    nvcc = (str(find_nvcc()), *NVCC_FLAGS)
    include = f"-I{HERE}"
    texts: dict[int, list[Future[str]]] = {}
    for name, architectures in KERNELS.items():
        for architecture in architectures:
            make = _both_parts if architecture == architectures[0] else _ptx
            texts.setdefault(architecture, []).append(pool.submit(make, nvcc, name, architecture))
    objects = [pool.submit(_compiled, nvcc, CSRC / "cuda" / "device.cu", "device")]
    objects += [pool.submit(_compiled, (*nvcc, "-O2"), HERE / f"{name}.cpp", name) for name in STANDIN]
    objects.append(pool.submit(_compiled, (*CXX, "-O2", include), HERE / "wavefronts.cpp", "wavefronts"))
    sources = translate({architecture: [text.result() for text in each] for architecture, each in texts.items()})
    for name, text in sources.items():
        source = _store() / f"{name}.cpp"
        temporary = _store() / uuid.uuid4().hex
        temporary.write_text(text)
        temporary.rename(source)
        objects.append(pool.submit(_compiled, (*CXX, *KERNEL_FLAGS, include), source, name))
    return [each.result() for each in objects] + [_store() / f"{name}.o" for name in KERNELS]


def _both_parts(nvcc: tuple[str, ...], name: str, architecture: int) -> str:
    """A file's PTX, and an object file of the host's part."""
    kept = _store() / f"{name}_{architecture}"
    kept.mkdir(exist_ok=True)
    only_ptx = f"arch=compute_{architecture},code=compute_{architecture}"
    keep = ("-gencode", only_ptx, "--keep", "--keep-dir", str(kept))
    _compiled((*nvcc, *keep), CSRC / "cuda" / f"{name}.cu", name)
    return (kept / f"{name}.ptx").read_text()


def _ptx(nvcc: tuple[str, ...], name: str, architecture: int) -> str:
    ptx = (*nvcc, f"-arch=sm_{architecture}", "-ptx")
    return _compiled(ptx, CSRC / "cuda" / f"{name}.cu", f"{name}_{architecture}", ".ptx").read_text()


def _compiled(command: tuple[str, ...], source: Path, name: str, suffix: str = ".o") -> Path:
    """What a compiler makes of the source, unless it has been made of the same sources before."""
    target = _store() / f"{name}{suffix}"
    if not target.exists():
        temporary = target.with_name(f"{uuid.uuid4().hex}{suffix}")
        _run(*command, *(() if "-ptx" in command else ("-c",)), "-o", str(temporary), str(source))
        temporary.rename(target)
    return target


@functools.cache
def _store() -> Path:
    """The folder of what is made of these very sources by these very compilers; that of others goes."""
    digest = hashlib.sha256(repr((NVCC_FLAGS, CXX, KERNEL_FLAGS)).encode())
    for source in sorted(path for root in (CSRC, HERE) for path in root.rglob("*") if path.suffix in SUFFIXES):
        digest.update(f"{source.relative_to(CSRC.parent)}\n".encode() + source.read_bytes())
    for compiler in (str(find_nvcc()), "g++"):
        digest.update(subprocess.run((compiler, "--version"), capture_output=True, check=True).stdout)
    store = CSRC.parent / "build" / "ptx" / digest.hexdigest()[:16]
    store.mkdir(parents=True, exist_ok=True)
    for other in store.parent.iterdir():
        if other != store:
            shutil.rmtree(other, ignore_errors=True)
    return store


def _run(*command: str) -> None:
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{run.stdout}{run.stderr}")


def main() -> None:
    """Makes what needs no Python package, for a later `build`."""
    if reason := missing():
        print(f"the kernels' PTX is not built: {reason}")
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        kernels(pool)


if __name__ == "__main__":
    main()
