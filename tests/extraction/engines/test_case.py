"""Which part a worker gets, and what deaths do to parts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from flowkit.extraction.engines.case import Case, Waiting
from flowkit.extraction.engines.local import LocalEngine
from flowkit.extraction.engines.ray_shift import _RayCase
from flowkit.extraction.plan import Part
from flowkit.output.shard import read
from tests.extraction.engines import faults


def part(number: int, clips: str = "a") -> Part:
    pairs: Any = tuple(SimpleNamespace(clip=SimpleNamespace(clip_id=clip)) for clip in clips)
    return Part(number, pairs, (8, 8), {}, {})


def numbers(waiting: Waiting[Case], worker: str, most: int = 99) -> list[int]:
    taken = []
    while len(taken) < most and waiting.next(worker) is not None:
        taken.append(waiting.take(worker).part.number)
    return taken


def test_workers_have_stretches_and_halve_what_is_left():
    waiting = Waiting(map(Case, map(part, range(12))), 2)
    assert numbers(waiting, "a", 2) == [0, 1]
    assert numbers(waiting, "b", 2) == [6, 7]
    assert numbers(waiting, "b", 4) == [8, 9, 10, 11]
    assert numbers(waiting, "b", 2) == [4, 5]
    assert len(waiting) == 2
    assert numbers(waiting, "a") == [2, 3]
    assert len(waiting) == 0
    assert waiting.next("b") is None


def test_one_worker_gets_all_in_order_and_a_dead_ones_stretch_goes_to_the_next():
    assert numbers(Waiting(map(Case, map(part, range(5))), 1), "a") == [0, 1, 2, 3, 4]
    waiting = Waiting(map(Case, map(part, range(6))), 2)
    assert numbers(waiting, "a", 1) == [0]
    waiting.leave("a")
    assert numbers(waiting, "c", 2) == [1, 2]


def test_what_came_back_is_the_first_for_whom_it_fits():
    waiting = Waiting(map(Case, map(part, range(4))), 1)
    case = waiting.take("a")
    waiting.bring_back(case)
    assert waiting.next("a", lambda case: case.part.number != 0).part.number == 1
    assert numbers(waiting, "a") == [0, 1, 2, 3]


@pytest.mark.parametrize(("elsewhere", "most"), [(False, 4), (True, 2)])
def test_a_clip_has_its_chances(elsewhere, most):
    case = Case(part(0, "ab"), elsewhere=elsewhere)
    for _ in range(most - 1):
        case.blame("signal 9", "b" if case.task.apart else None)
        assert not case.task.given_up
    case.blame("signal 9", "b")
    assert list(case.task.given_up) == ["b"]
    assert f"its worker process died {most} times (signal 9)" in case.task.given_up["b"]
    assert case.hopeless is None


def test_a_part_that_was_late_beside_others_is_tried_alone_before_it_is_given_up():
    case = Case(part(0))
    case.blame("signal 9", None, late_s=5, alone=False)
    assert case.hopeless is None
    case.blame("signal 9", None, late_s=5)
    assert "time limit of 5 s" in case.hopeless


def test_parts_beside_a_deadly_one_in_its_worker_lose_nothing(job):
    """Whatever is on a worker's line goes with it."""
    parts, job = job
    guilty = parts[1].pairs[-1].clip.clip_id
    parts = [faults.with_fault(one, guilty, faults.die) if guilty in one.sources else one for one in parts]
    list(LocalEngine(2).run(parts, job))
    failures = read(job.out).failures().to_pylist()
    assert {row["clip_id"] for row in failures} == {guilty}
    assert len(failures) == sum(pair.clip.clip_id == guilty for one in parts for pair in one.pairs)
    assert faults.is_sound(job.out)


def test_on_ray_clips_are_tried_out_and_the_part_goes_without_the_guilty(job):
    parts, _ = job
    case = _RayCase(parts[1])
    assert case.step() == ("complete", parts[1])
    case.after("an actor's end", None)
    first, second = (alone.pairs[0].clip.clip_id for alone in case.to_try)
    assert case.step()[0] == "try_out"
    del case.to_try[0]  # that one went well
    case.after("an actor's end", 6.0)
    assert list(case.task.given_up) == [second]
    method, rest = case.step()
    assert method == "complete"
    assert {pair.clip.clip_id for pair in rest.pairs if pair.error is None} == {first}
    assert case.hopeless is None
    case.after("an actor's end", None)
    assert "its worker process died 2 times (an actor's end)" in case.hopeless
