"""What a network is given: batches of normalised cubes and apex frames as tensors, and the settings of torch."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from flowkit.errors import InputError
from trainer.catalogue import find
from trainer.normalisation import Normaliser
from trainer.samples import Samples
from trainer.types import RunConfig

Batch = tuple[torch.Tensor, torch.Tensor | None]
"""Cubes (n, 3, h, w), and apex frames (n, 3, h, w) where the samples have such, both float32."""
RESIDENT_BYTES = 64 << 20
"""Rows that take no more than this are normalised once and kept; of more, each batch is read when it is its turn."""

CHANNELS_LAST_PX = 112
LITTLE_BYTES = 2 * 32 * 224**2 * 2
"""One channel of the cubes of all batches that are computed at a time: two folds of ResNet-18 in bfloat16, or one in
float32, hold 2 to 3 GB in all."""


class Inputs:
    """Some rows of the samples, normalised, as batches on a device. On a GPU all of them are there from the start."""

    def __init__(self, samples: Samples, rows: NDArray[np.int64], normalise: Normaliser, device: torch.device) -> None:
        self._samples, self._rows, self._normalise, self.device = samples, rows, normalise, device
        self._kept: Batch | None = None
        if device.type == "cuda" or samples.cubes[:1].nbytes * len(rows) <= RESIDENT_BYTES:
            self._kept = self._read(rows)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def side(self) -> int:
        """Height of the cubes, px."""
        return int(self._samples.cubes.shape[2])

    def batch(self, numbers: torch.Tensor) -> Batch:
        """The batch of those of its rows, counted from 0, in that order."""
        if self._kept is None:
            return self._read(self._rows[numbers.numpy()])
        numbers = numbers.to(self.device)
        cubes, rgb = self._kept
        return cubes[numbers], None if rgb is None else rgb[numbers]

    def _read(self, rows: NDArray[np.int64]) -> Batch:
        cubes = torch.from_numpy(np.ascontiguousarray(self._normalise(self._samples.cubes[rows])))
        if self._samples.rgb is None:
            return cubes.to(self.device), None
        return cubes.to(self.device), colours(torch.from_numpy(self._samples.rgb[rows]).to(self.device))


def colours(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures (n, 3, h, w) uint8 as float32, scaled as networks trained on ImageNet expect it."""
    from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD  # see trainer/models/weights.py

    mean, std = (
        torch.tensor(values, device=pictures.device).view(3, 1, 1)
        for values in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
    )
    return (pictures.float() / 255 - mean) / std


def batches(n: int, size: int, generator: torch.Generator) -> list[torch.Tensor]:
    """Row numbers of one epoch in random order, in batches of `size`, every row once.

    A last batch of one row would have no variance to normalise by, so that row joins the batch before it.
    """
    parts = list(torch.randperm(n, generator=generator).split(size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def arranged(module: nn.Module, device: torch.device, side: int) -> nn.Module:
    """The module on the device, its convolutions' weights in the order that is the faster for cubes of that side, px.

    With the channels last a step at 224 px takes 0.9 of the time, and bfloat16 is fast at all; at 48 px it takes 1.4 of
    it, since small cubes spend their time on the weights.
    """
    order = torch.channels_last if device.type == "cuda" or side >= CHANNELS_LAST_PX else torch.contiguous_format
    return module.to(device, memory_format=order)  # type: ignore[call-overload, no-any-return]


def choose_device(name: str) -> torch.device:
    """The torch device for auto, cpu or cuda; InputError for cuda where there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device='cuda': torch finds no usable GPU here; use --device cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Convolutions and matrix products in bfloat16 within the block, where that is asked for."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's random numbers begin at `seed` within the block; the caller's stay as they are."""
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if devices:
            torch.cuda.manual_seed(seed)
        yield


@contextmanager
def deterministic() -> Iterator[None]:
    """Algorithms that give the same bits every time, and single precision on GPUs too, within the block."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
    settings: Any = torch.utils.deterministic  # a module whose class has the attribute, as those of the backends
    before = torch.are_deterministic_algorithms_enabled()
    fill, benchmark = settings.fill_uninitialized_memory, torch.backends.cudnn.benchmark
    backends: Any = torch.backends
    matmul, conv = backends.cuda.matmul, backends.cudnn.conv
    precisions = matmul.fp32_precision, conv.fp32_precision
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    matmul.fp32_precision = conv.fp32_precision = "ieee"  # cuDNN's convolutions have 10 bits (TF32) else
    # Writes NaN into all new memory first, which costs a third of the time; nothing here reads such memory.
    settings.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        settings.fill_uninitialized_memory = fill
        torch.backends.cudnn.benchmark = benchmark
        matmul.fp32_precision, conv.fp32_precision = precisions


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """CPU threads of torch within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def arrange_memory(config: RunConfig, side: int, jobs: int) -> None:
    """Has the C library, where it is glibc, give freed memory of large tensors back to the system.

    The system clears what it gives anew, up to a tenth of a step's time. So where `jobs` folds of cubes of `side` px
    hold little, tensors of less than 16 MB are kept from step to step, and go back after an epoch
    (`give_memory_back`). Where they hold much, only those of less than 4 MB are: gaps that tensors of other sizes leave
    come to a gigabyte in two folds of dual-resnet18. `trainer.pool` has torch ask for large pages, which are cleared
    faster.
    """
    library = _glibc()
    if library is None:
        return
    trim_threshold, mmap_threshold = -1, -3  # malloc.h
    backbones = 2 if find(config.model).ethnic else 1
    held = jobs * backbones * config.batch * side**2 * (2 if config.precision == "bf16" else 4)
    library.mallopt(mmap_threshold, 16 << 20 if held <= LITTLE_BYTES else 4 << 20)
    library.mallopt(trim_threshold, 2**31 - 1)


def give_memory_back() -> None:
    """What has been freed goes back to the system, as far as it is not gone already."""
    if (library := _glibc()) is not None:
        library.malloc_trim(0)


def _glibc() -> Any:
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "gnu_get_libc_version") else None
