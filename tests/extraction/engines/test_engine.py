"""Engines are chosen by name; what cannot be is refused."""

import pytest

from flowkit.errors import InputError
from flowkit.extraction.engines import open_engine
from flowkit.extraction.engines.local import LocalEngine


def test_engines_are_chosen_by_name():
    assert open_engine("local", workers=3) == LocalEngine(3)
    assert open_engine("local").workers >= 1
    with pytest.raises(InputError, match="engine='spark' is unknown; choose local or ray"):
        open_engine("spark")
    with pytest.raises(InputError, match="workers=0: give at least 1"):
        open_engine("local", workers=0)
    with pytest.raises(InputError, match=r"workers=1\.5: give a whole number"):
        open_engine("local", workers=1.5)
    with pytest.raises(InputError, match="time_limit_s=0: give a number above 0"):
        open_engine("local", time_limit_s=0)
    with pytest.raises(InputError, match="time_limit_s='9': give a number above 0"):
        open_engine("local", time_limit_s="9")
    with pytest.raises(InputError, match="--engine ray"):
        open_engine("local", ray_address="auto")
