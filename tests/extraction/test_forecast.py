"""What a dry run says beforehand: the bytes that a run writes, and that OUT may not be written."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flowkit.errors import Interrupted, OutputError
from flowkit.extraction.forecast import forecast
from flowkit.extraction.run import extract
from tests.clips import dataset


def test_a_retry_writes_what_its_dry_run_says_and_needs_no_room_for_what_it_replaces(tmp_path, monkeypatch):
    clips, out, states = dataset(tmp_path, clips=2, frames=40), tmp_path / "out", []
    (tmp_path / "sub02" / "img9.png").write_bytes(b"no picture")
    request = {"pairs": "lag:1", "size": 16, "workers": 1}
    extract(clips, out, **request)
    monkeypatch.setattr("flowkit.extraction.disk.free_bytes", lambda _: 0)
    monkeypatch.setattr("flowkit.extraction.forecast.free_bytes", lambda _: 0)
    dry = forecast(clips, out, retry_failed=True, **request)
    extract(clips, out, retry_failed=True, report=states.append, **request)
    assert states[0].bytes_to_write == dry.bytes == 78 * 3 * 16 * 16 * 4
    assert dry.free_bytes > dry.bytes  # by the labels beside the cubes
    with pytest.raises(Interrupted, match="and its disk has 0 bytes"):
        extract(clips, tmp_path / "new", **request)


@contextmanager
def as_a_user_without_rights(folder: Path) -> Iterator[None]:
    """Who may read all in the folder, and write only to what is called mine: root may write anything."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777 if path.name == "mine" else 0o555 if path.is_dir() else 0o444)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for path in (folder, *folder.rglob("*")):  # so that it can be removed
            path.chmod(0o755)


def test_a_dry_run_says_that_out_may_not_be_written():
    with tempfile.TemporaryDirectory() as name:  # not tmp_path, whose parents are closed to others
        folder = Path(name)
        clips, request = dataset(folder / "clips", clips=1), {"pairs": "onset-apex", "size": 16}
        for each in (folder / "mine", folder / "theirs"):
            forecast(clips, each / "out", **request)
            extract(clips, each / "done", workers=1, **request)
        with as_a_user_without_rights(folder):
            assert forecast(clips, folder / "mine" / "out", **request).to_do == 1
            with pytest.raises(OutputError, match=r"cannot write '.*theirs/out' \(Permission denied\)"):
                forecast(clips, folder / "theirs" / "out", **request)
            assert forecast(clips, folder / "theirs" / "done", **request).to_do == 0, "nothing is to be written"
