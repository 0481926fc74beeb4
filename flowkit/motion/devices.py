"""What computes: the CPUs of this process, and the GPUs that this build can use, or what is missing for that."""

from __future__ import annotations

import os
from dataclasses import dataclass

import flowkit._core as _core
from flowkit.errors import InputError


def available_cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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


def gpus() -> tuple[list[Gpu], str]:
    """The GPUs that this build has code for, and what is missing if there is none: build, driver or architecture."""
    if _core.cuda_build is None:
        return [], "this flowkit was built without CUDA; install nvcc, or set FLOWKIT_NVCC=wheels, and build it again"
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
    return usable, ""


def require_gpus(asked: str) -> list[Gpu]:
    """The usable GPUs, at least one; else an InputError that says what is missing. `asked`: what the user wrote."""
    usable, problem = gpus()
    if not usable:
        raise InputError(f"{asked}: no usable GPU: {problem}; `flowkit doctor` has more")
    return usable


def has_code_for(capability: tuple[int, int], architectures: str) -> bool:
    """Whether a build for those CMake architectures, as "80-real 90", runs on a GPU of that compute capability.

    Machine code runs on the same major version from its minor version on; PTX (an entry without "-real") on everything
    from its version on.
    """
    for architecture in architectures.split():
        number, _, kind = architecture.partition("-")
        version = divmod(int(number.rstrip("af")), 10)
        if kind != "virtual" and version[0] == capability[0] and version[1] <= capability[1]:
            return True
        if kind != "real" and version <= capability:
            return True
    return False
