"""Loads the extension that `build` makes, and asks its stand-in of the CUDA runtime what it has seen."""

from __future__ import annotations

import ctypes
import importlib.util
import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from numpy.typing import NDArray

_COUNT = itertools.count()


class StandIn:
    """`core` is flowkit's extension over the stand-in."""

    def __init__(self, file: Path) -> None:
        spec = importlib.util.spec_from_file_location(f"flowkit_ptx_{next(_COUNT)}._core", file)
        assert spec is not None
        assert spec.loader is not None
        self.core: ModuleType = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.core)
        self.library = ctypes.CDLL(str(file))
        self.devices = [name for name, _, _ in self.core.cuda_devices()[0]]

    @classmethod
    def fresh(cls, file: Path, folder: Path) -> StandIn:
        """One that nobody has used: a copy, which the loader takes for another library."""
        return cls(Path(shutil.copy(file, folder / f"fresh_{next(_COUNT)}{''.join(file.suffixes)}")))

    def calls(self, *names: str) -> int:
        """How often these functions were called since the extension was loaded."""
        return sum(self.library.standin_calls(name.encode()) for name in names)

    def devices_with_a_context(self) -> list[int]:
        return [i for i in range(len(self.devices)) if self.library.standin_has_context(i)]

    def most_threads(self) -> int:
        """The most threads of a block of the iteration since the last question."""
        return int(self.library.standin_most_threads())

    def current_device(self) -> int:
        device = ctypes.c_int()
        assert self.library.cudaGetDevice(ctypes.byref(device)) == 0
        return device.value

    def pending_error(self) -> int:
        """The error that the runtime keeps for whoever asks next; 0 is none."""
        return int(self.library.cudaPeekAtLastError())

    @contextmanager
    def memory(self, device: int, *arrays: NDArray[Any]) -> Iterator[list[int]]:
        """Addresses of memory on a device that holds the arrays; what is there at the end goes back into them."""
        assert self.library.cudaSetDevice(device) == 0
        addresses = [self._allocate(array.nbytes) for array in arrays]
        for address, array in zip(addresses, arrays, strict=True):
            ctypes.memmove(address, array.ctypes.data, array.nbytes)
        yield addresses
        for address, array in zip(addresses, arrays, strict=True):
            ctypes.memmove(array.ctypes.data, address, array.nbytes)
            assert self.library.cudaFreeAsync(ctypes.c_void_p(address), None) == 0

    def _allocate(self, size: int) -> int:
        address = ctypes.c_void_p()
        assert self.library.cudaMallocAsync(ctypes.byref(address), ctypes.c_size_t(size), None) == 0
        assert address.value is not None
        return address.value
