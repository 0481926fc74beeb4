"""The processes that compute folds."""

from __future__ import annotations

import platform
import re
import resource
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from trainer.pool import _context
from trainer.types import RunConfig

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def flags_of_a_large_tensor(connection: Connection) -> None:
    import torch

    tensor = torch.zeros(8 << 20)
    address, inside = tensor.data_ptr(), False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if limits := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            inside = int(limits[1], 16) <= address < int(limits[2], 16)
        elif inside and line.startswith("VmFlags:"):
            connection.send(line.split()[1:])


@pytest.mark.skipif(sys.platform != "linux" or not HUGE_PAGES.exists(), reason="this system has no huge pages")
@pytest.mark.parametrize("model", ["ststnet", "resnet18"])
def test_large_tensors_are_asked_for_in_huge_pages(model):
    """Whatever has been imported before the process was forked: a step takes half as long again without."""
    context = _context(model)
    here, there = context.Pipe()
    process = context.Process(target=flags_of_a_large_tensor, args=(there,), daemon=True)
    process.start()
    assert here.poll(120)
    assert "hg" in here.recv()
    process.join()


def memory_of_freed_tensors(connection: Connection, model: str, jobs: int) -> None:
    """Sends, in MB, what the process has more after a tensor of 8 MB is freed, and after memory has been given back."""
    import torch

    from trainer.inputs import arrange_memory, give_memory_back

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    arrange_memory(RunConfig(model=model, precision="bf16"), 224, jobs)
    for _ in range(2):  # the first time, torch takes memory of its own
        give_memory_back()
        before = resident()
        torch.ones(8 << 20, dtype=torch.uint8)
        freed = resident() - before
        give_memory_back()
        given_back = resident() - before
    connection.send((freed / 2**20, given_back / 2**20))


@pytest.mark.skipif("glibc" not in platform.libc_ver(), reason="the C library is not glibc")
@pytest.mark.parametrize(
    ("model", "jobs", "kept"), [("resnet18", 2, True), ("resnet18", 3, False), ("dual-resnet18", 2, False)]
)
def test_memory_is_kept_from_step_to_step_where_folds_hold_little(model, jobs, kept):
    context = _context("ststnet")
    here, there = context.Pipe()
    process = context.Process(target=memory_of_freed_tensors, args=(there, model, jobs), daemon=True)
    process.start()
    assert here.poll(120)
    freed, given_back = here.recv()
    assert freed > 7 if kept else freed < 1
    assert given_back < 1
    process.join()
