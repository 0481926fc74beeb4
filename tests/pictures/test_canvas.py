"""Paper: text stays on it, and a picture that cannot be written says where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flowkit.errors import OutputError
from flowkit.pictures.canvas import INK, blank, write_picture, write_text


@pytest.mark.parametrize("right", [False, True])
def test_text_is_dark_on_paper_and_stays_on_it(right: bool) -> None:
    canvas = blank(40, 60)
    write_text(canvas, "a line that is far too long for it", 50 if right else 10, 25, right=right)
    assert canvas.min() < max(INK) + 20
    empty = blank(40, 60)
    write_text(empty, "outside", 200, 300)
    np.testing.assert_array_equal(empty, blank(40, 60))


def test_a_picture_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_picture(tmp_path / "file" / "picture.png", blank(3, 3))
    (tmp_path / "picture.png").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        write_picture(tmp_path / "picture.png", blank(3, 3))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "picture.png"]
