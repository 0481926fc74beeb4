"""The command demo leaves folders of something else alone, and says what it lacks."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from flowkit.cli.demo_run import run
from flowkit.errors import InputError


def test_the_demo_does_not_touch_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    with pytest.raises(InputError, match="is not empty and holds no demo"):
        run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["frames"]


def test_a_missing_extra_is_named_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs scikit-image: pip install 'flowkit-mer\[demo\]'"):
        run(tmp_path / "demo")
    assert not (tmp_path / "demo").exists()
