"""Parts that pass through one process behind each other, each stage with one of them at a time."""

from __future__ import annotations

import threading

import pytest

from flowkit.extraction.decoded import CubeMemory
from flowkit.extraction.engines.local import LocalEngine
from flowkit.extraction.line import STAGES, Line, Stopped, Turn
from flowkit.extraction.part import Job, PartRunner
from flowkit.extraction.request import ExtractRequest
from flowkit.output.shard import read
from flowkit.output.verify import verify
from tests.clips import dataset, parts_of, settle


def test_stages_hold_one_part_each_and_nobody_overtakes():
    line, ready, seen = Line(), threading.Barrier(4), []
    inside = dict.fromkeys(STAGES, 0)

    def go(turn: Turn, number: int) -> None:
        for stage in STAGES:
            turn.to(stage)
            inside[stage] += 1
            assert inside[stage] == 1
            seen.append((stage, number))
            threading.Event().wait(0.005 if number % 2 else 0.001)
            inside[stage] -= 1

    numbers = iter(range(12))

    def serve() -> None:
        ready.wait()
        while True:
            with line.enter() as turn:
                number = next(numbers, None)
                if number is None:
                    return
                go(turn, number)

    threads = [threading.Thread(target=serve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for stage in STAGES:
        assert [number for at, number in seen if at == stage] == list(range(12))


def test_while_one_part_is_solved_the_next_is_decoded_and_the_last_one_written():
    """Each waits in its stage until the others are in theirs, which would never be if they followed each other."""
    line, together = Line(), threading.Barrier(3, timeout=30)

    def go(number: int) -> None:
        with line.enter() as turn:
            for at, stage in enumerate(STAGES):
                turn.to(stage)
                if at + number == 2:
                    together.wait()

    threads = [threading.Thread(target=go, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
        threading.Event().wait(0.05)
    for thread in threads:
        thread.join()
    assert not together.broken


def test_a_stopped_line_lets_no_part_go_on_and_makes_room():
    line = Line()
    with line.enter() as turn:
        line.stop()
        with pytest.raises(Stopped):
            turn.to("solve")
    with pytest.raises(Stopped), line.enter():
        pass


def test_times_are_those_of_the_stages():
    line = Line()
    with line.enter() as turn:
        turn.to("solve")
        sum(range(300_000))
        turn.to("write")
    assert turn.times.cpu_s["solve"] > max(turn.times.cpu_s["decode"], turn.times.cpu_s["write"])
    assert 0 < turn.times.cpu_s["solve"] <= turn.times.wall_s["solve"] * 1.01 + 0.01


@pytest.fixture
def job(tmp_path):
    """A job of four parts of two sizes."""
    clips = dataset(tmp_path, clips=4, frames=70)
    request = ExtractRequest.parse(pairs="lag:1", size=16, preset="fast")
    out = tmp_path / "out"
    for folder in ("plan", "shards", "failures", "commits"):
        (out / folder).mkdir(parents=True)
    settle(out, clips, request)
    return parts_of(clips, request), Job(out, request, request.metadata(clips))


def test_cubes_in_memory_that_was_used_before_are_the_same(job, monkeypatch):
    parts, job = job
    taken = []
    take = CubeMemory.take
    monkeypatch.setattr(CubeMemory, "take", lambda *given: taken.append(take(*given)) or taken[-1])
    again = PartRunner(job)
    commits = [again(part) for part in [parts[0], parts[-1], parts[0], parts[1]]]
    assert len({cubes.ctypes.data for cubes in taken}) == 1
    alone = [PartRunner(job)(part) for part in (parts[0], parts[1])]
    assert [commit.files[0].sha256 for commit in commits[2:]] == [commit.files[0].sha256 for commit in alone]


def test_one_worker_has_several_parts_at_once_and_ends_at_once(job, monkeypatch):
    """In this process, for folders: the first part is held up in its last stage until the second one is solved."""
    parts, job = job
    solved, taken = threading.Event(), []
    take, commit = CubeMemory.take, PartRunner._commit

    def noted(memory, *wanted):
        taken.append(wanted)
        if len(taken) == 2:
            solved.set()
        return take(memory, *wanted)

    def held_up(runner, part, rows):
        assert part.number or solved.wait(60)
        return commit(runner, part, rows)

    monkeypatch.setattr(CubeMemory, "take", noted)
    monkeypatch.setattr(PartRunner, "_commit", held_up)
    engine = LocalEngine(1)
    commits = engine.run(parts, job)
    assert next(commits).part == 0
    commits.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("part ")]
    assert verify(job.out).unfinished > 0
    assert set(engine.times.cpu_s) == set(STAGES)
    monkeypatch.undo()
    assert [commit.part for commit in LocalEngine(1).run(parts, job)] == [part.number for part in parts]
    assert len(read(job.out)) == sum(len(part.pairs) for part in parts)
