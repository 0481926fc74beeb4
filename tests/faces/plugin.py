"""A package with a face detector as an installer leaves it."""

from __future__ import annotations

from pathlib import Path

import pytest


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, *points: str, package: str = "brightest") -> None:
    """Puts a distribution that announces these entry points on the path, as an installer leaves it."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[flowkit.face_detectors]\n" + "".join(f"{point}\n" for point in points))
    monkeypatch.syspath_prepend(folder)
