"""A package with a face detector, installed for the time of a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faces.plugin import install


@pytest.fixture
def brightest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "site", monkeypatch, "brightest = tests.faces.brightest:make")
