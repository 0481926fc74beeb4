"""Clang takes what is compiled everywhere, the baseline of the CPU solver and the block programs, without a warning."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CSRC = Path(__file__).parents[2] / "csrc"
OF_GCC = {"kernels_v3", "kernels_v4"}
EVERYWHERE = (file for folder in (".", "cpu", "blocks") for file in sorted((CSRC / folder).glob("*.cpp")))
SOURCES = [file for file in EVERYWHERE if file.stem not in OF_GCC]
CLANG = os.environ.get("CLANG", "clang++")


@pytest.mark.skipif(shutil.which(CLANG.split()[0]) is None, reason="no clang++ found, and CLANG names none")
@pytest.mark.parametrize("source", SOURCES, ids=lambda s: s.stem)
def test_clang_takes_it(source, tmp_path):
    options = ["-std=c++17", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-Wno-psabi"]
    command = [*CLANG.split(), *options, "-c", source, "-o", tmp_path / "object"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
