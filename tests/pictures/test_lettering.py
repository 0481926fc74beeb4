"""Letters of every alphabet that some font has."""

from __future__ import annotations

import numpy as np
import pytest

from flowkit.errors import InputError
from flowkit.pictures.lettering import lettering


def test_letters_of_other_alphabets_are_themselves_and_what_no_font_has_is_its_code(monkeypatch) -> None:
    monkeypatch.delenv("FLOWKIT_FONT", raising=False)
    assert not np.array_equal(lettering("Ж", 20)[0], lettering("λ", 20)[0])
    np.testing.assert_array_equal(lettering("a\U0010fffe", 20)[0], lettering("aU+10FFFE", 20)[0])
    monkeypatch.setenv("FLOWKIT_FONT", "/no/such/font.ttf")
    with pytest.raises(InputError, match=r"FLOWKIT_FONT='/no/such/font\.ttf' is no font file"):
        lettering("a", 20)
