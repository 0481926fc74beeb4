"""The threads of the CPU solver where there is no memory to start them: a program that makes each allocation fail."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("short_of_memory.cpp")


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ found")
def test_work_is_done_by_the_threads_that_there_is_memory_for(tmp_path):
    program = tmp_path / "short_of_memory"
    subprocess.run(["g++", "-std=c++17", "-O1", "-pthread", "-o", program, SOURCE], check=True)
    done = subprocess.run([program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
