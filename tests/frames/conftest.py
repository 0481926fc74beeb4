"""The videos that several tests read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.videos import ENCODED, write_video


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Paths by the names of `ENCODED`; 60 frames each."""
    folder = tmp_path_factory.mktemp("videos")
    return {name: write_video(folder / name, *how) for name, how in ENCODED.items()}
