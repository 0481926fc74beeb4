"""Facial pairs that several tests of the benchmark share."""

from __future__ import annotations

import pytest

from flowkit.bench import Size, facial_pairs


@pytest.fixture(scope="module")
def pairs():
    """Two amplitudes of each face at 48 x 64 px."""
    return facial_pairs(Size(48, 64), (0.5, 2.0))
