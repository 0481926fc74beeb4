"""The build backend: scikit-build-core, plus nvcc from the package registry where it is wanted.

It is wanted when the environment says FLOWKIT_NVCC=wheels, or when there is an NVIDIA driver but no nvcc.
FLOWKIT_NVCC=none keeps the wheels away.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from scikit_build_core import build as _build
from scikit_build_core.build import *  # noqa: F403

# All five pinned to one release: nvcc takes its parts from wherever it finds them, and mixed versions fail in CUB.
NVCC_WHEELS = [
    "nvidia-cuda-nvcc==13.0.88",
    "nvidia-nvvm==13.0.88",
    "nvidia-cuda-crt==13.0.88",
    "nvidia-cuda-runtime==13.0.96",
    "nvidia-cuda-cccl==13.0.85",
]


def wants_nvcc_wheels() -> bool:
    choice = os.environ.get("FLOWKIT_NVCC", "auto")
    if choice not in ("auto", "wheels", "none"):
        raise SystemExit(f"FLOWKIT_NVCC={choice!r}: choose auto, wheels or none")
    if choice != "auto":
        return choice == "wheels"
    named = os.environ.get("CUDACXX") or os.environ.get("CUDA_HOME")
    has_nvcc = bool(named or shutil.which("nvcc") or Path("/usr/local/cuda/bin/nvcc").exists())
    return Path("/proc/driver/nvidia/version").exists() and not has_nvcc


def _requirements(of_backend: list[str]) -> list[str]:
    return of_backend + (NVCC_WHEELS if wants_nvcc_wheels() else [])


def get_requires_for_build_wheel(config_settings: dict[str, Any] | None = None) -> list[str]:
    return _requirements(_build.get_requires_for_build_wheel(config_settings))


def get_requires_for_build_editable(config_settings: dict[str, Any] | None = None) -> list[str]:
    return _requirements(_build.get_requires_for_build_editable(config_settings))
