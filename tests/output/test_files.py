"""Files appear whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from flowkit.errors import Interrupted, OutputError
from flowkit.output.files import put, put_text


def test_a_file_is_whole_or_absent(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        put(path, fail)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.EROFS, OutputError), (errno.EACCES, OutputError), (errno.ENOSPC, Interrupted)]
)
def test_what_may_not_be_written_is_no_stop(tmp_path, number, kind):
    def fail(_: Path) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.raises(kind, match=rf"cannot write '{tmp_path}/file' \({os.strerror(number)}\)"):
        put(tmp_path / "file", fail)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"cannot write '.*/none/file' \(No such file or directory\); mend that, or"):
        put_text(tmp_path / "none" / "file", "")
