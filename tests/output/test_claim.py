"""Who may write to an output at a time, and what runs do that cannot know of each other."""

import errno
import fcntl
import multiprocessing
import os
from pathlib import Path

import pytest

from flowkit.errors import Interrupted, OutputError
from flowkit.extraction.part import PartRunner
from flowkit.extraction.run import extract
from flowkit.output.claim import Share, claimed, parse_share
from flowkit.output.verify import verify
from flowkit.output.writer import SEVERAL_FILE
from tests.clips import dataset, rows

OPTIONS = {"pairs": "lag:1", "preset": "fast", "size": 16, "workers": 1}


@pytest.mark.parametrize("of", [1, 2, 3, 8])
@pytest.mark.parametrize("parts", [0, 1, 7, 8, 100])
def test_shares_are_stretches_of_the_plan_as_long_as_each_other(parts, of):
    plan = list(range(parts))
    shares = [plan[parse_share(f"{index}/{of}").stretch(parts)] for index in range(1, of + 1)]
    assert [part for share in shares for part in share] == plan
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_shares_are_held_side_by_side_and_each_once(tmp_path):
    out = tmp_path / "out"
    with claimed(out, Share(1, 2)) as alone, claimed(out, Share(2, 2)):
        assert not alone
        with pytest.raises(OutputError, match=r"another run computes share 1/2 of .*; wait for it, or give this one"):
            claimed(out, Share(1, 2)).__enter__()
        with pytest.raises(OutputError, match=r"another run computes share ./2 of .*, and this one is to compute 3/3"):
            claimed(out, Share(3, 3)).__enter__()
        with pytest.raises(OutputError, match="another run is writing to"):
            claimed(out).__enter__()
    with claimed(out) as alone:
        assert alone
        with pytest.raises(OutputError, match="another run is writing to"):
            claimed(out, Share(1, 2)).__enter__()
    (out / "plan" / ".shared-2-of-7").touch()  # as a run that was killed has left it
    with claimed(out, Share(1, 2)):
        pass
    assert not list((out / "plan").iterdir())


def test_where_folders_cannot_be_locked_a_file_is(tmp_path, monkeypatch):
    """As on NFS."""
    flock = fcntl.flock

    def of_files(handle: int, kind: int) -> None:
        if handle in folders:
            raise OSError(9, "Bad file descriptor")
        flock(handle, kind)

    folders = set()
    opened = os.open

    def remember(path, flags, *more):
        handle = opened(path, flags, *more)
        (folders.discard if flags & os.O_CREAT else folders.add)(handle)
        return handle

    monkeypatch.setattr("flowkit.output.claim.os.open", remember)
    monkeypatch.setattr("fcntl.flock", of_files)
    with claimed(tmp_path / "out") as alone:
        assert alone
        with pytest.raises(OutputError, match="another run is writing to"):
            claimed(tmp_path / "out").__enter__()


@pytest.fixture
def without_locks(monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)


def test_two_runs_without_locks_do_no_harm_to_one_part(tmp_path, without_locks, monkeypatch):
    """A second driver computes and commits each part while the first is at it."""
    clips = dataset(tmp_path, clips=2, frames=70)
    alone = PartRunner.__call__
    inside = []

    def both(runner, part):
        if not inside:
            inside.append(part.number)
            extract(clips, tmp_path / "out", **OPTIONS)
        return alone(runner, part)

    extract(clips, tmp_path / "whole", **OPTIONS)
    monkeypatch.setattr(PartRunner, "__call__", both)
    extract(clips, tmp_path / "out", **OPTIONS)
    assert (tmp_path / "out" / SEVERAL_FILE).exists()
    assert verify(tmp_path / "out").ok
    assert rows(tmp_path / "out") == rows(tmp_path / "whole")
    names = [path.name for path in (tmp_path / "out" / "shards").iterdir()]
    assert all(len(name.split(".")[1]) == 16 for name in names)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT])
def test_where_no_output_may_be_the_same_command_is_not_run_again(tmp_path, monkeypatch, number):
    refuse_folders(monkeypatch, number)
    told = rf"cannot write '{tmp_path}/out' \({os.strerror(number)}\); mend that, or give another path$"
    with pytest.raises(OutputError, match=told):
        claimed(tmp_path / "out").__enter__()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_where_an_output_can_be_later_the_same_command_continues(tmp_path, monkeypatch, number):
    refuse_folders(monkeypatch, number)
    with pytest.raises(Interrupted, match=r"cannot write .*, and run the same command again to continue$"):
        claimed(tmp_path / "out").__enter__()


def refuse_folders(monkeypatch, number):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", refuse)


def _share(folder, index):
    extract(folder / "manifest.csv", folder / "out", shard=f"{index}/2", **OPTIONS)


def test_shares_that_start_at_the_same_moment_make_one_plan(tmp_path):
    dataset(tmp_path, clips=2, frames=70)
    context = multiprocessing.get_context("fork")
    runs = [context.Process(target=_share, args=(tmp_path, index)) for index in (1, 2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert [run.exitcode for run in runs] == [0, 0]
    assert verify(tmp_path / "out").ok
    assert sorted(path.name for path in (tmp_path / "out" / "shards").iterdir()) == [
        "part-00000.parquet",
        "part-00001.parquet",
    ]
