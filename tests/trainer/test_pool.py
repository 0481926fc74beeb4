"""The processes that compute folds."""

from __future__ import annotations

import re
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from trainer.pool import _context

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
