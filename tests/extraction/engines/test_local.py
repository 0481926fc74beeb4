"""The local engine: the same rows from any number of processes, and what happens to those."""

import dataclasses
import os
import signal
import time
from pathlib import Path

import pytest

from flowkit.errors import Interrupted
from flowkit.extraction.engines.local import LocalEngine
from flowkit.extraction.run import extract
from flowkit.output.shard import read
from flowkit.output.verify import verify
from flowkit.params import TVL1Params
from tests.clips import dataset, deadly, flowkit, frame_folder, shards_of, start


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def runs(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def imports_arrow(pid: int) -> bool:
    """Whether a process is a worker that has loaded Arrow, which it does amid its imports."""
    folder = Path(f"/proc/{pid}")
    try:
        # Between fork and exec, a child's memory is still its parent's.
        worker = "spawn_main" in (folder / "cmdline").read_text()
        return worker and "libarrow" in (folder / "maps").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(happened, process=None) -> None:
    """Waits for something that happens soon, while a process runs if one is given."""
    end = time.monotonic() + 60
    while not happened():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.005)


def test_processes_give_the_rows_of_one_process(tmp_path):
    dataset(tmp_path, clips=3, frames=130)
    (tmp_path / "sub02" / "img50.png").unlink()
    for workers in (1, 2):
        summary = extract(tmp_path / "manifest.csv", tmp_path / f"{workers}", pairs="lag:1", size=16, workers=workers)
        assert (summary.computed, summary.failed) == (385, 2)
        assert verify(tmp_path / f"{workers}").ok
    assert shards_of(tmp_path / "1") == shards_of(tmp_path / "2")


def test_a_killed_worker_costs_nothing_but_time(job, tmp_path):
    parts, job = job
    parts = [parts[0], deadly(parts[1], tmp_path / "marks", times=1), *parts[2:]]
    commits = list(LocalEngine(2).run(parts, job))
    assert len(list((tmp_path / "marks").iterdir())) == 1
    assert sorted(commit.part for commit in commits) == [0, 1, 2, 3]
    assert verify(job.out).ok


def test_a_unit_that_always_kills_its_worker_is_named(job, tmp_path):
    parts, job = job
    parts = [parts[0], deadly(parts[1], tmp_path / "marks", times=99), *parts[2:]]
    with pytest.raises(
        Interrupted, match=r"part 1 \(toy/sub01/ep01 to toy/sub02/ep01\) lost its worker process 4 times"
    ):
        list(LocalEngine(2).run(parts, job))
    assert len(list((tmp_path / "marks").iterdir())) == 4
    assert not verify(job.out).problems


def test_closing_the_iterator_ends_the_workers_at_once(job):
    parts, job = job
    slow = TVL1Params(epsilon=0, outer_iterations=50)
    job = dataclasses.replace(job, request=dataclasses.replace(job.request, params=slow))
    before = set(children(os.getpid()))
    commits = LocalEngine(2).run(parts, job)
    next(commits)
    workers = set(children(os.getpid())) - before
    assert len(workers) >= 2
    commits.close()
    # What is left is the tracker of shared resources, which Python starts once and keeps.
    assert len([child for child in workers if runs(child)]) <= 1
    assert verify(job.out).unfinished > 0


def test_kill_9_in_the_middle_and_the_same_command_again(tmp_path):
    frame_folder(tmp_path / "clip", range(501))
    out = tmp_path / "out"
    command = ("extract", tmp_path / "clip", "-o", out, "--workers", "2", "--preset", "opencv")
    process = start(*command)
    wait_until(lambda: list((out / "commits").glob("part-*.json")), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    finished = {path: path.stat().st_mtime_ns for path in sorted((out / "commits").glob("part-*"))}
    assert 1 <= len(finished) < 4
    shards = {out / "shards" / f"{path.stem}.parquet" for path in finished}
    finished |= {path: path.stat().st_mtime_ns for path in shards}
    result = verify(out)
    assert result.unfinished > 0
    assert not result.problems

    code, stdout, stderr = flowkit(*command)
    assert (code, stderr) == (0, "")
    assert "of them earlier): 500 computed, 0 failed" in stdout
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert verify(out).ok
    ids = read(out).table(["pair_id"])["pair_id"].to_pylist()
    assert len(ids) == len(set(ids)) == 500


def test_workers_do_not_outlive_a_killed_run(tmp_path):
    frame_folder(tmp_path / "clip", range(501))
    out = tmp_path / "out"
    process = start("extract", tmp_path / "clip", "-o", out, "--workers", "2", "--preset", "opencv")
    wait_until(lambda: list((out / "commits").glob("part-*.json")), process)
    workers = children(process.pid)
    assert len(workers) >= 2
    process.kill()
    process.communicate()
    wait_until(lambda: not any(map(runs, workers)))


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, "1"), (signal.SIGINT, "2"), (signal.SIGTERM, "2")])
def test_an_interrupted_run_says_how_to_go_on(tmp_path, number, workers):
    frame_folder(tmp_path / "clip", range(501))
    out = tmp_path / "out"
    process = start("extract", tmp_path / "clip", "-o", out, "--workers", workers, "--preset", "opencv")
    wait_until(lambda: list((out / "commits").glob("part-*.json")), process)
    workers = children(process.pid)
    # Ctrl-C at a terminal reaches every process of the group, SIGTERM from a batch system only the first.
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 3, (stdout, stderr)
    assert stderr.strip().endswith("run the same command again to continue")
    assert len(stderr.strip().splitlines()) == 1
    assert not [path for path in out.rglob("*") if path.name.startswith(".tmp-")]
    result = verify(out)
    assert result.unfinished > 0
    assert not result.problems
    wait_until(lambda: not any(map(runs, workers)))


def test_an_interrupt_while_the_workers_start_is_one_line(tmp_path):
    frame_folder(tmp_path / "clip", range(301))
    process = start("extract", tmp_path / "clip", "-o", tmp_path / "out", "--workers", "2")
    wait_until(lambda: any(imports_arrow(child) for child in children(process.pid)), process)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 3
    assert len(stderr.strip().splitlines()) == 1
