"""The GPUs that this build can use, or what is missing for that."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import flowkit._core as _core
from flowkit.errors import InputError

TEGRA = {(5, 3), (6, 2), (7, 2), (8, 7), (10, 1)}
"""Compute capabilities of GPUs on one chip with the CPU, as Jetson's: CUDA promises them no machine code but their own
(CUDA C++ Programming Guide, "Binary Compatibility")."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as the driver describes it."""

    number: int
    name: str
    capability: tuple[int, int]
    memory_bytes: int

    def __str__(self) -> str:
        major, minor = self.capability
        return f"{self.name}, sm_{major}{minor}, {self.memory_bytes / 2**30:.0f} GiB"


_found: dict[int, list[Gpu]] = {}
"""The usable ones, by process: a forked child whose parent has used CUDA cannot use it, and has to hear that."""


def gpus() -> tuple[list[Gpu], str]:
    """The GPUs that this build has code for, and what is missing if there is none: build, driver or architecture.

    The driver is asked once where there is one: describing a GPU takes as long as a small flow. A failure is asked
    about again, which is on nobody's fast path, since a driver may be loaded while the process runs.
    """
    if _core.cuda_build is None:
        remedy = "install nvcc of CUDA 11.8 or newer, or set FLOWKIT_NVCC=wheels, and build it again"
        return [], f"this flowkit was built without CUDA; {remedy}"
    known = _found.get(os.getpid())
    if known:
        return list(known), ""
    devices, problem = _core.cuda_devices()
    if not devices:
        return [], problem
    found = [
        Gpu(number, name, (int(capability.partition(".")[0]), int(capability.partition(".")[2])), memory)
        for number, (name, capability, memory) in enumerate(devices)
    ]
    usable = [gpu for gpu in found if has_code_for(gpu.capability, _core.cuda_build[1])]
    if not usable:
        return [], f"this flowkit has code for sm {_core.cuda_build[1]}, and here is {found[0]}; build it again here"
    _found[os.getpid()] = usable
    return list(usable), ""


def require_gpus(asked: str) -> list[Gpu]:
    """The usable GPUs, at least one; else an InputError that says what is missing. `asked`: what the user wrote."""
    usable, problem = gpus()
    if not usable:
        raise InputError(f"{asked}: no usable GPU: {problem}; `flowkit doctor` has more")
    return usable


def require_gpus_for(name: str, device: str) -> None:
    """InputError if `device` forbids computing the array `name`, which is on a GPU, there, or no GPU is usable."""
    if device == "cpu":
        raise InputError(f"device='cpu', but {name} is on a GPU: copy it to the CPU first")
    require_gpus(f"{name} is on a GPU")


def require_gpu_of(name: str, number: int, device: str) -> None:
    """InputError unless the GPU that the array `name` is on is usable, and the one that `device` names, if it does."""
    usable = [gpu.number for gpu in require_gpus(f"{name} is on a GPU")]
    if number not in usable:
        numbers = ", ".join(map(str, usable))
        raise InputError(f"{name} is on GPU {number}, which this build has no code for: the usable GPUs are {numbers}")
    if ":" in device and int(device.partition(":")[2]) != number:
        raise InputError(f"device={device!r}, but {name} is on GPU {number}: copy it there, or leave device out")


@contextmanager
def gpu_refusals() -> Iterator[None]:
    """In here what the compiled part refuses on a GPU, as a size that it has no room for, is an InputError."""
    try:
        yield
    except ValueError as error:
        raise InputError(str(error)) from error


def has_code_for(capability: tuple[int, int], architectures: str) -> bool:
    """Whether a build for those CMake architectures, as "80-real 90", runs on a GPU of that compute capability.

    Machine code runs on the same major version from its minor version on, but a Tegra's on no other, and no other's on
    a Tegra; PTX (an entry without "-real") on everything from its version on. Either of an "a" runs on that version
    alone, of an "f" where its machine code does.
    """
    return any(_runs_on(capability, architecture) for architecture in architectures.split())


def _runs_on(capability: tuple[int, int], architecture: str) -> bool:
    number, _, kind = architecture.partition("-")
    version = divmod(int(number.rstrip("af")), 10)
    if number.endswith("a"):
        return version == capability
    compatible = version[0] == capability[0] and version[1] <= capability[1] and not TEGRA & {version, capability}
    if (kind != "virtual" or number.endswith("f")) and (compatible or version == capability):
        return True
    return kind != "real" and not number.endswith("f") and version <= capability
