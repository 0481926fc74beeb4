"""The Ray engine gives the rows of the local one, and survives the death of its actors."""

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flowkit.errors import InputError, Interrupted
from flowkit.extraction.engines.ray import STORE_BYTES, RayEngine
from flowkit.extraction.engines.ray_keeper import members
from flowkit.extraction.run import extract
from flowkit.output.shard import read
from flowkit.output.verify import verify
from tests.clips import dataset, deadly, flowkit, frame_folder, shards_of, start
from tests.extraction.engines import faults


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster of two CPUs on this machine."""
    ray = pytest.importorskip("ray")
    keeper = RayEngine(2, None).join()
    yield ray
    ray.shutdown()
    keeper.communicate()


@pytest.mark.slow
def test_ray_gives_the_rows_of_the_local_engine(tmp_path, cluster):
    dataset(tmp_path, clips=3, frames=130)
    (tmp_path / "sub02" / "img50.png").unlink()
    for engine in ("local", "ray"):
        extract(tmp_path / "manifest.csv", tmp_path / engine, pairs="lag:1", size=16, workers=2, engine=engine)
        assert verify(tmp_path / engine).ok
    assert shards_of(tmp_path / "local") == shards_of(tmp_path / "ray")
    assert len(read(tmp_path / "ray")) == 385


@pytest.mark.slow
def test_a_killed_ray_actor_costs_nothing_but_time(job, tmp_path, cluster):
    parts, job = job
    parts = [parts[0], deadly(parts[1], tmp_path / "marks", times=1), *parts[2:]]
    commits = list(RayEngine(2, None).run(parts, job))
    assert len(list((tmp_path / "marks").iterdir())) == 1
    assert sorted(commit.part for commit in commits) == [0, 1, 2, 3]
    assert faults.is_sound(job.out)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (faults.die, "its worker process died 2 times (an actor's end)"),
        (faults.hang, "not done within the time limit of 20 s"),
    ],
)
def test_a_clip_that_kills_or_holds_up_every_actor_is_tried_elsewhere_and_costs_its_own_pairs_only(
    job, cluster, fault, reason
):
    parts, job = job
    guilty = parts[1].pairs[-1].clip.clip_id
    assert parts[1].pairs[0].clip.clip_id != guilty
    parts = [parts[0], faults.with_fault(parts[1], guilty, fault), *parts[2:]]
    limit = {"time_limit_s": 20.0} if fault is faults.hang else {}
    commits = list(RayEngine(2, None, **limit).run(parts, job))
    assert sorted(commit.part for commit in commits) == [0, 1, 2, 3]
    failures = read(job.out).failures().to_pylist()
    assert len(failures) == sum(pair.clip.clip_id == guilty for pair in parts[1].pairs)
    assert all(row["error"].startswith(f"{guilty}: {reason}") for row in failures)
    assert faults.is_sound(job.out)


@pytest.mark.slow
def test_an_error_of_a_clip_is_its_own_beside_a_clip_that_kills_its_actors(job, cluster):
    parts, job = job
    first, last = (parts[1].pairs[at].clip.clip_id for at in (0, -1))
    faulty = faults.with_fault(faults.with_fault(parts[1], first, faults.exhaust), last, faults.die)
    list(RayEngine(2, None).run([parts[0], faulty, *parts[2:]], job))
    reasons = {row["clip_id"]: row["error"] for row in read(job.out).failures().to_pylist()}
    assert list(reasons) == [first, last]
    assert "MemoryError" in reasons[first]
    assert "its worker process died 2 times" in reasons[last]
    assert faults.is_sound(job.out)


@pytest.mark.slow
def test_a_part_that_kills_whoever_receives_it_fails_as_a_whole_and_the_others_do_not(job, tmp_path, cluster):
    parts, job = job
    parts = [parts[0], deadly(parts[1], tmp_path / "marks", times=99), *parts[2:]]
    commits = {commit.part: commit for commit in RayEngine(2, None).run(parts, job)}
    assert len(list((tmp_path / "marks").iterdir())) > 1
    assert {number: commit.failed for number, commit in commits.items()} == {0: 0, 1: 128, 2: 0, 3: 0}
    assert faults.is_sound(job.out)


@pytest.mark.slow
def test_an_error_in_a_ray_actor_is_the_error_of_the_run(job, cluster):
    parts, job = job
    (job.out / "shards").rmdir()
    (job.out / "shards").write_text("in the way")
    with pytest.raises(Interrupted, match=r"cannot write .*part-0000\d\.parquet' \(Not a directory\)"):
        list(RayEngine(2, None).run(parts, job))


@pytest.mark.slow
def test_the_command_starts_and_ends_a_ray_cluster(tmp_path):
    pytest.importorskip("ray")
    frame_folder(tmp_path / "clip", range(5))
    command = ("extract", tmp_path / "clip", "-o", tmp_path / "out", "--engine", "ray", "--workers", "2")
    code, stdout, stderr = flowkit(*command)
    assert (code, stderr) == (0, "")
    assert stdout.splitlines()[-1].startswith("4 pairs: 4 computed, 0 failed in ")
    assert verify(tmp_path / "out").ok


@pytest.mark.slow
def test_ray_address_names_the_cluster_that_is_joined_and_none_is_started(tmp_path, cluster):
    """As in a job that `ray job submit` runs, which has this variable."""
    frame_folder(tmp_path / "clip", range(5))
    before = len(ray_state().jobs()), len(cluster.nodes())
    environment = os.environ | {"RAY_ADDRESS": cluster.get_runtime_context().gcs_address}
    command = ("extract", tmp_path / "clip", "-o", tmp_path / "out", "--engine", "ray")
    code, _, stderr = flowkit(*command, env=environment)
    assert (code, stderr) == (0, "")
    assert (len(ray_state().jobs()), len(cluster.nodes())) == (before[0] + 1, before[1])
    assert verify(tmp_path / "out").ok


def ray_state():
    import ray._private.state

    return ray._private.state


@pytest.mark.slow
def test_actors_that_never_start_are_told_of(job, cluster, monkeypatch):
    parts, job = job
    monkeypatch.setattr("flowkit.extraction.engines.ray_shift.ACTOR_START_S", 1.0)

    @cluster.remote(num_cpus=2)
    class Other:
        def here(self) -> None: ...

    other = Other.remote()
    cluster.get(other.here.remote())
    with pytest.raises(Interrupted, match=r"not one of 2 Ray actors has started in 1 s: the cluster has no CPU or GPU"):
        list(RayEngine(2, None).run(parts, job))
    cluster.kill(other)


def test_the_address_local_is_a_cluster_of_its_own_like_that_of_no_address(monkeypatch):
    ray = pytest.importorskip("ray")
    given = []
    monkeypatch.setattr(ray, "init", lambda **options: given.append(options))
    # Another cluster of this process may be there, and a real keeper would end it.
    monkeypatch.setattr("flowkit.extraction.engines.ray_keeper.start", lambda: "the keeper")
    for address, variable in ((None, ""), ("local", "127.0.0.1:1"), (None, "local")):
        monkeypatch.setenv("RAY_ADDRESS", variable)
        assert RayEngine(2, address).join() == "the keeper"
    assert given[0]["object_store_memory"] == STORE_BYTES
    assert given[1:] == given[:1] * 2


def test_an_address_that_nobody_answers_is_one_sentence(tmp_path, monkeypatch):
    pytest.importorskip("ray")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    began = time.monotonic()
    with pytest.raises(InputError, match=rf"ray_address='{address}': nobody answers there \(Connection refused\)"):
        RayEngine(None, address)
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(InputError, match=rf"RAY_ADDRESS='{address}': nobody answers there"):
        RayEngine(None, None)
    assert time.monotonic() - began < 10


@pytest.mark.slow
def test_an_address_where_another_server_answers_is_one_sentence(tmp_path):
    pytest.importorskip("ray")
    frame_folder(tmp_path / "clip", range(3))
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        code, _, stderr = flowkit(
            "extract", tmp_path / "clip", "-o", tmp_path / "out", "--engine", "ray", "--ray-address", address
        )
    assert code == 2
    assert stderr.startswith(f"flowkit: ray_address='{address}': what answers there is no Ray cluster ")
    assert len(stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_driver_that_is_killed_or_stopped_leaves_no_process_of_ray(tmp_path):
    pytest.importorskip("ray")
    frame_folder(tmp_path / "clip", range(1200), size=(96, 96))
    for number, code in ((signal.SIGKILL, -9), (signal.SIGTERM, 3)):
        process = start("extract", tmp_path / "clip", "-o", tmp_path / "out", "--engine", "ray", "--workers", "2")
        done = len(list(tmp_path.glob("out/commits/*.json")))
        wait_for(lambda done=done: len(list(tmp_path.glob("out/commits/*.json"))) > done)
        assert members(process.pid)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == code
        assert "Traceback" not in stderr
        wait_for(lambda driver=process.pid: not members(driver))


def wait_for(condition: Callable[[], bool], seconds: float = 90.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_without_ray_the_remedy_is_named(tmp_path):
    # A module of that name which cannot be imported stands for a Ray that is not installed.
    (tmp_path / "ray.py").write_text("raise ImportError('no ray')")
    frame_folder(tmp_path / "clip", range(3))
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    code, _, stderr = flowkit("extract", tmp_path / "clip", "-o", tmp_path / "out", "--engine", "ray", env=environment)
    assert code == 2
    assert "pip install 'flowkit-mer[ray]'" in stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("later_s", [0.0, 0.3, 0.6])
def test_a_sigterm_while_ray_starts_ends_the_run_in_order(tmp_path, later_s):
    """Ray has answers of its own to it, first in Python, and from some 0.6 s before it is there in compiled code."""
    pytest.importorskip("ray")
    frame_folder(tmp_path / "clip", range(3))
    process = start("extract", tmp_path / "clip", "-o", tmp_path / "out", "--engine", "ray", "--workers", "2")
    wait_for(lambda: list(Path("/tmp/ray").glob(f"session_*_{process.pid}/sockets/raylet")))
    time.sleep(later_s)
    process.terminate()
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 3, stderr
    assert len(stderr.splitlines()) == 1, stderr
    assert members(process.pid) == []
