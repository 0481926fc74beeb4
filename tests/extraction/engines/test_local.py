"""The local engine: the same rows from any number of processes, and what happens to those."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from flowkit.errors import Interrupted
from flowkit.extraction.engines import crew
from flowkit.extraction.engines.crew import Crew
from flowkit.extraction.engines.local import LocalEngine
from flowkit.extraction.part import PartRunner
from flowkit.extraction.run import extract
from flowkit.output.shard import read
from flowkit.output.verify import verify
from flowkit.params import TVL1Params
from tests.clips import dataset, deadly, flowkit, frame_folder, shards_of, start
from tests.extraction.engines import faults


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
        worker = "engines.worker" in (folder / "cmdline").read_text()
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


@pytest.mark.parametrize("chosen", [None, "2"])
def test_blas_has_one_thread_in_a_worker_unless_the_user_wants_more(chosen, monkeypatch):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    if chosen is not None:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", chosen)
    crew = Crew()
    crew.enlist(1)
    (worker,) = crew.workers
    environment = Path(f"/proc/{worker.process.pid}/environ")
    try:  # it is empty for a moment
        wait_until(lambda: f"OPENBLAS_NUM_THREADS={chosen or 1}" in environment.read_text().split("\0"), worker.process)
    finally:
        worker.end()


def test_a_killed_worker_costs_nothing_but_time(job, tmp_path):
    parts, job = job
    parts = [parts[0], deadly(parts[1], tmp_path / "marks", times=1), *parts[2:]]
    commits = list(LocalEngine(2).run(parts, job))
    assert len(list((tmp_path / "marks").iterdir())) == 1
    assert sorted(commit.part for commit in commits) == [0, 1, 2, 3]
    assert faults.is_sound(job.out)


def test_a_part_that_kills_whoever_receives_it_fails_as_a_whole_and_the_others_do_not(job, tmp_path):
    parts, job = job
    parts = [parts[0], deadly(parts[1], tmp_path / "marks", times=99), *parts[2:]]
    commits = {commit.part: commit for commit in LocalEngine(2).run(parts, job)}
    assert len(list((tmp_path / "marks").iterdir())) == 4
    assert {number: commit.failed for number, commit in commits.items()} == {0: 0, 1: 128, 2: 0, 3: 0}
    errors = set(read(job.out).failures()["error"].to_pylist())
    assert len(errors) == 2
    assert all("its worker process died 4 times (signal 9)" in error for error in errors)
    assert faults.is_sound(job.out)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (faults.die, "its worker process died 4 times (signal 9)"),
        (faults.hang, "not done within the time limit of 10 s"),
    ],
)
def test_a_clip_that_kills_or_holds_up_its_worker_costs_its_own_pairs_only(job, fault, reason):
    parts, job = job
    guilty = parts[1].pairs[-1].clip.clip_id
    assert parts[1].pairs[0].clip.clip_id != guilty
    parts = [parts[0], faults.with_fault(parts[1], guilty, fault), *parts[2:]]
    commits = list(LocalEngine(2, Crew(10 if fault is faults.hang else 1800)).run(parts, job))
    assert sorted(commit.part for commit in commits) == [0, 1, 2, 3]
    failures = read(job.out).failures().to_pylist()
    assert len(failures) == sum(pair.clip.clip_id == guilty for pair in parts[1].pairs)
    assert all(row["error"].startswith(f"{guilty}: {reason}") for row in failures)
    assert faults.is_sound(job.out)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (faults.refuse, "PermissionError: [Errno 13] Permission denied; mend that"),
        (faults.exhaust, "MemoryError: no more is known; mend that"),
        (faults.surprise, "ZeroDivisionError: division by zero; mend that"),
    ],
)
def test_an_error_that_nobody_foresaw_costs_its_clips_pairs_only(job, workers, fault, reason):
    parts, job = job
    guilty = parts[1].pairs[-1].clip.clip_id
    parts = [parts[0], faults.with_fault(parts[1], guilty, fault), *parts[2:]]
    list(LocalEngine(workers).run(parts, job))
    failures = read(job.out).failures().to_pylist()
    assert len(failures) == sum(pair.clip.clip_id == guilty for pair in parts[1].pairs)
    assert all(row["error"].startswith(f"{guilty}: {reason}") for row in failures)
    assert faults.is_sound(job.out)


def test_clips_computed_apart_have_the_rows_of_the_part(job):
    parts, job = job
    whole = PartRunner(job)(parts[1])
    apart = PartRunner(job).apart(parts[1])
    files = [job.out / commit.files[0].name for commit in (whole, apart)]
    assert not files[0].exists()
    assert (whole.computed, whole.files[0].sha256) == (apart.computed, apart.files[0].sha256)


@pytest.mark.parametrize("delay_s", [0.0, 0.02, 0.1, 0.3])
def test_workers_that_die_while_they_start_are_replaced(job, delay_s):
    parts, job = job
    before = set(children(os.getpid()))
    ended = threading.Event()

    def kill_the_first() -> None:
        seen: set[int] = set()
        while not ended.is_set() and len(seen) < 2:
            for child in set(children(os.getpid())) - before - seen:
                seen.add(child)
                time.sleep(delay_s)
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    commits = list(LocalEngine(2).run(parts, job))
    ended.set()
    killer.join()
    assert sorted(commit.part for commit in commits) == [0, 1, 2, 3]
    assert faults.is_sound(job.out)


def test_workers_that_never_start_stop_a_run_that_can_be_continued(job, monkeypatch):
    parts, job = job
    monkeypatch.setattr(crew, "_BEGIN", "import sys; sys.exit(7)")
    with pytest.raises(Interrupted, match=r"4 worker processes in a row died before they could begin \(exit code 7\)"):
        list(LocalEngine(2).run(parts, job))


def test_a_script_without_a_guard_is_not_run_again_by_its_workers(tmp_path):
    dataset(tmp_path, clips=2, frames=130)
    script = tmp_path / "script.py"
    script.write_text(
        "import flowkit\nprint('begun')\n"
        f"done = flowkit.extract({str(tmp_path / 'manifest.csv')!r}, {str(tmp_path / 'out')!r}, pairs='lag:1', size=16,"
        " workers=2)\nprint(done.computed)\n"
    )
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "begun\n258\n", "")


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
    assert not any(map(runs, workers))
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
