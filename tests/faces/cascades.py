"""A cascade for tests. OpenCV 5 brings none, but scikit-image has one of OpenCV's."""

from __future__ import annotations

from pathlib import Path

import pytest


def lbp_cascade(folder: Path) -> Path:
    """scikit-image's cascade of local binary patterns, as OpenCV reads it: one of its tags is misspelt there."""
    data = pytest.importorskip("skimage.data")
    text = Path(data.lbp_frontal_face_cascade_filename()).read_text(encoding="utf-8")
    path = folder / "lbp.xml"
    path.write_text(text.replace("featuhreParams", "featureParams"), encoding="utf-8")
    return path
