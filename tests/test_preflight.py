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


def test_an_old_python_is_named_with_the_remedy(preflight):
    said = preflight.trouble((3, 10, 4), Path(".venv"), 1e12)
    assert said == "flowkit needs Python 3.11 or newer, and this is 3.10: make PYTHON=python3.12 ..."


def test_a_disk_without_room_is_named_with_what_is_free(preflight, tmp_path):
    said = preflight.trouble((3, 12), tmp_path, 2.26e9)
    assert said.startswith(f"the environment {tmp_path} takes 7 GB")
    assert "2.3 GB are free" in said
    assert preflight.trouble((3, 12), tmp_path, 8e9) is None


def test_an_environment_that_has_pytorch_already_needs_no_room(preflight, tmp_path):
    (tmp_path / "lib" / "python3.12" / "site-packages" / "torch").mkdir(parents=True)
    assert preflight.trouble((3, 12), tmp_path, 0) is None
    ran = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
