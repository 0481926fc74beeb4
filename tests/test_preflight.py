"""What `make` says of a machine on which it cannot set up, before pip has filled the disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "build_support" / "preflight.py"


@pytest.fixture(scope="module")
def preflight():
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        import preflight
    finally:
        sys.path.remove(str(SCRIPT.parent))
    return preflight


@pytest.fixture
def headers(tmp_path):
    (tmp_path / "Python.h").touch()
    return tmp_path


def test_an_old_python_is_named_with_the_remedy(preflight, headers):
    said = preflight.trouble((3, 10, 4), Path(".venv"), 1e12, headers)
    assert said == "flowkit needs Python 3.11 or newer, and this is 3.10: make PYTHON=python3.12 ..."


def test_a_python_without_headers_is_told_how_to_get_them(preflight, tmp_path):
    said = preflight.trouble((3, 12), tmp_path, 8e9, tmp_path / "include")
    assert said.startswith("the headers of this Python are not installed (no Python.h in ")
    assert said.endswith("apt install python3-dev, or what your system calls it")


def test_a_disk_without_room_is_named_with_what_is_free(preflight, tmp_path, headers):
    said = preflight.trouble((3, 12), tmp_path, 2.26e9, headers)
    assert said.startswith(f"the environment {tmp_path} takes 7 GB")
    assert "2.3 GB are free" in said
    assert preflight.trouble((3, 12), tmp_path, 8e9, headers) is None


def test_an_environment_that_has_pytorch_already_needs_no_room(preflight, tmp_path, headers):
    (tmp_path / "lib" / "python3.12" / "site-packages" / "torch").mkdir(parents=True)
    assert preflight.trouble((3, 12), tmp_path, 0, headers) is None
    ran = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
