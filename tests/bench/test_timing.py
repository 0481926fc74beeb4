"""Timing in turns, after a warm-up; ratios from the same rounds."""

from __future__ import annotations

import cv2

from flowkit.bench import race, summary


def test_a_race_takes_turns_and_warms_up():
    order: list[tuple[str, int]] = []

    def call(name: str, seconds: float):
        def run(number: int) -> str:
            order.append((name, number))
            end = cv2.getTickCount() + seconds * cv2.getTickFrequency()
            while cv2.getTickCount() < end:
                pass
            return name

        return run

    calls = {"a": call("a", 0.03), "b": call("b", 0.03)}
    rounds = list(race(calls, 2))
    assert order == [("a", 0), ("b", 0), *[(name, number) for number in (0, 1) for name in "ab"]]
    assert all(answers["b"][1] == "b" and 0.03 <= answers["b"][0] < 1 for answers in rounds)
    order.clear()
    assert next(race({"short": call("short", 0)}, 1))["short"][0] < 0.01
    assert len(order) == 21


def test_a_ratio_is_the_median_of_the_rounds_ratios():
    found = summary("a", {"a": [1.0, 2.0, 10.0], "b": [3.0, 2.0, 40.0]}, ["a", "b"], 2, size="64x64", threads=1)
    assert found.times_as_fast_as == {"b": 3.0}
    assert (found.fastest, found.seconds, found.slowest) == (0.5, 1.0, 5.0)
