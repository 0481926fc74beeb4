"""benchmarks/journal.py: rows on disk after each measurement, the most important first, within the seconds given."""

from __future__ import annotations

import json
import time

import pytest

from benchmarks.journal import Absent, Journal, Task


def slow(seconds: float):
    return lambda: time.sleep(seconds) or {"seconds": seconds}


def read(path) -> dict:
    return json.loads(path.read_text())


def test_each_row_is_on_disk_before_the_next_is_measured(tmp_path):
    out = tmp_path / "rows.json"
    seen = []

    def look():
        seen.append(read(out))
        return {"value": len(seen)}

    tasks = [Task({"name": name}, look) for name in "abc"]
    assert Journal(out, {"gpu": "none"}, 60).run(tasks) == 0
    assert [len(found["rows"]) for found in seen] == [0, 1, 2]
    assert [found["not_measured"] for found in seen] == [[{"name": n} for n in "abc"[i:]] for i in range(3)]
    assert not any(found["complete"] for found in seen)
    found = read(out)
    assert (found["gpu"], found["complete"], found["not_measured"]) == ("none", True, [])
    assert [(row["name"], row["value"]) for row in found["rows"]] == [("a", 1), ("b", 2), ("c", 3)]
    assert [path.name for path in tmp_path.iterdir()] == ["rows.json"]


def test_what_would_end_too_late_is_listed_and_not_begun(tmp_path):
    out = tmp_path / "rows.json"
    tasks = [
        Task({"name": "unimportant"}, slow(0), rank=2),
        Task({"name": "small"}, slow(0.05), work=1, kind="solver"),
        Task({"name": "large"}, pytest.fail, work=1000, kind="solver", rank=1),
        Task({"name": "as small"}, slow(0.05), work=1, kind="solver", rank=1),
    ]
    assert Journal(out, {}, 5).run(tasks) == 0
    found = read(out)
    assert [row["name"] for row in found["rows"]] == ["small", "as small", "unimportant"]
    assert (found["not_measured"], found["complete"]) == ([{"name": "large"}], False)


def test_preparing_does_not_count(tmp_path):
    tasks = [
        Task({"name": "first"}, slow(0), work=1, kind="solver", prepare=lambda: time.sleep(0.2)),
        Task({"name": "hundredfold"}, slow(0), work=100, kind="solver"),
    ]
    assert Journal(tmp_path / "rows.json", {}, 5).run(tasks) == 0
    assert len(read(tmp_path / "rows.json")["rows"]) == 2


def test_no_seconds_measure_nothing_and_that_is_a_failure(tmp_path, capsys):
    assert Journal(tmp_path / "rows.json", {}, 0).run([Task({"name": "a"}, slow(0))]) == 1
    assert capsys.readouterr().out == "0 measured, 0 failed or wrong, 1 not measured for want of time\n"


def test_a_failure_and_a_wrong_answer_do_not_end_the_run(tmp_path, capsys):
    out = tmp_path / "rows.json"

    def absent():
        raise Absent("no such package")

    tasks = [
        Task({"name": "broken"}, lambda: {"value": 1 / 0}),
        Task({"name": "wrong"}, lambda: {"agrees": False}),
        Task({"part": "peers", "method": "peer"}, absent),
        Task({"name": "right"}, lambda: {"agrees": True}),
    ]
    assert Journal(out, {}, 60).run(tasks) == 1
    found = read(out)
    assert [row["name"] for row in found["rows"]] == ["wrong", "right"]
    assert found["failed"] == [
        {"name": "broken", "error": "ZeroDivisionError: division by zero"},
        {"name": "wrong", "error": "wrong answer"},
    ]
    assert (found["absent"], found["complete"]) == ({"peer": "no such package"}, False)
    assert capsys.readouterr().out.splitlines()[-1] == (
        "2 measured, 2 failed or wrong, 0 not measured for want of time; absent: peer (no such package)"
    )
