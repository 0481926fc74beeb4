"""The record that CI checks, the claims, and the page that is made of committed results."""

from __future__ import annotations

import dataclasses
import sys

import pytest

from benchmarks import __main__ as main
from benchmarks import bench_memory, checks, page
from benchmarks.__main__ import check
from benchmarks.claims import beaten_by_peers, time_per_pixel
from flowkit import _core
from flowkit.bench import Measurement
from flowkit.bench.document import processor
from flowkit.bench.methods import DUAL_TVL1, MEASURED
from flowkit.bench.plot import unbeaten


def row(method: str, seconds: float, error_px: float | None = None, size: str = "224x224") -> Measurement:
    return Measurement(
        method=method,
        size=size,
        threads=1,
        items=1,
        seconds=seconds,
        fastest=seconds,
        slowest=seconds,
        times_as_fast_as={},
        error_px=error_px,
    )


def test_results_of_a_tree_with_changes_are_not_written(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--all"])
    monkeypatch.setattr(main, "commit", lambda: "0123456789ab-dirty")
    monkeypatch.setattr(main, "_measure", lambda short: pytest.fail("measured"))
    assert main.main() == 2
    told = "--all: the tree differs from 0123456789ab, which results would name; commit the changes first\n"
    assert capsys.readouterr().err == told


def test_check_fails_below_the_record_and_for_what_is_missing():
    record = {"a / b, 224x224, 1 thread": 2.0, "c / b, 224x224, 1 thread": 1.0, "c / one, 224x224, 2 threads": 1.2}
    fine = {"a / b, 224x224, 1 thread": 2.0, "c / b, 224x224, 1 thread": 9.0, "c / one, 224x224, 2 threads": 1.3}
    assert checks.slow(fine, record, cpus=2) == []
    lower = fine | {"a / b, 224x224, 1 thread": 1.99}
    assert checks.slow(lower, record, cpus=2) == ["a / b, 224x224, 1 thread: 1.99, at least 2.0 on record"]
    (missing,) = checks.slow({k: v for k, v in fine.items() if k[0] != "a"}, record, cpus=2)
    assert missing == "a / b, 224x224, 1 thread: on record in ratios.json, but not measured"
    alone = {k: v for k, v in fine.items() if "threads" not in k}
    assert checks.slow(alone, record, cpus=1) == []
    assert len(checks.slow(alone, record, cpus=2)) == 1


def test_check_tells_by_its_exit_code(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(checks, "RECORD", tmp_path / "ratios.json")
    quick = dataclasses.replace(row("flowkit micro", 0.005, 0.04), times_as_fast_as={DUAL_TVL1: 50.0})
    checks.write_record(processor(), _core.simd_level(), checks.ratios([quick]))
    assert checks.read_record(processor(), _core.simd_level()) == {
        f"flowkit micro / {DUAL_TVL1}, 224x224, 1 thread": 25.0
    }
    slow = dataclasses.replace(quick, times_as_fast_as={DUAL_TVL1: 24.0})
    later = [[slow], [slow]]
    assert check([slow], later.pop) == 1
    assert capsys.readouterr().err.count("24.00, at least 25.0 on record") == 3
    assert not later


def test_what_is_slow_once_is_measured_again(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(checks, "RECORD", tmp_path / "ratios.json")
    one, other = row("flowkit micro", 0.005, 0.04), row("flowkit ipol", 0.005, 0.04)

    def measured(first: float, second: float) -> list[Measurement]:
        ratios = zip((one, other), (first, second), strict=True)
        return [dataclasses.replace(method, times_as_fast_as={DUAL_TVL1: ratio}) for method, ratio in ratios]

    checks.write_record(processor(), _core.simd_level(), checks.ratios(measured(50.0, 40.0)))
    assert check(measured(50.0, 40.0), lambda: pytest.fail("measured again")) == 0
    assert check(measured(24.0, 21.0), lambda: measured(26.0, 19.0)) == 0
    assert "24.00, at least 25.0 on record" in capsys.readouterr().err


def test_a_processor_that_is_not_on_record_is_held_to_the_least_of_those_that_are(monkeypatch, tmp_path):
    monkeypatch.setattr(checks, "RECORD", tmp_path / "ratios.json")
    assert checks.read_record("a new one", "x86-64-v4") is None
    checks.write_record("quick", "x86-64-v4", {"a / b, 9x9, 1 thread": 40.0, "c / b, 9x9, 1 thread": 2.0})
    checks.write_record("slow", "x86-64-v4", {"a / b, 9x9, 1 thread": 14.0, "c / b, 9x9, 1 thread": 3.0})
    least = {"a / b, 9x9, 1 thread": 7.0, "c / b, 9x9, 1 thread": 1.0}
    assert checks.read_record("a new one", "x86-64-v4") == least
    assert checks.read_record("quick", "x86-64-v4") == {"a / b, 9x9, 1 thread": 20.0, "c / b, 9x9, 1 thread": 1.0}
    assert checks.read_record("quick", "x86-64-v3") is None


def test_the_record_has_a_margin():
    assert checks.recorded("flowkit opencv / cv2 DualTVL1, 224x224, 1 thread", 38.3) == 19
    assert checks.recorded("flowkit opencv, 2 threads / flowkit opencv, one thread, 224x224, 2 threads", 1.93) == 1.2
    for simd in _core.simd_levels():
        record = checks.read_record(processor(), simd)
        assert record is not None, f"no ratios on record for {simd}"
        assert {f"flowkit {name} / {DUAL_TVL1}, 224x224, 1 thread" for name in MEASURED} <= set(record)


def test_unbeaten_and_beaten():
    slow, quick, poor = row("flowkit micro", 3.0, 0.1), row("cv2 DIS", 1.0, 0.2), row("cv2 Farneback", 2.0, 0.3)
    assert unbeaten([slow, poor, quick]) == [quick, slow]
    assert beaten_by_peers([slow, quick, poor]) == []
    better = row("a new one", 2.9, 0.09)
    assert beaten_by_peers([slow, quick, better]) == [(slow, better)]


def test_time_per_pixel_counts_pixels():
    measured = [
        row("flowkit micro", 1e-3, 0.1, "100x50"),
        row("flowkit fast", 1.0, 0.1),
        row("flowkit micro", 2e-3, 0.1),
    ]
    assert time_per_pixel(measured, "flowkit micro") == pytest.approx({"100x50": 200.0, "224x224": 2e6 / 224**2})


@pytest.mark.skipif(not bench_memory.STATUS.exists(), reason="needs Linux's /proc")
def test_peak_memory_is_measured_in_a_fresh_process():
    found = bench_memory._in_a_process("peak", "micro", "640x480", "1")
    assert (found["preset"], found["size"], found["threads"]) == ("micro", "640x480", 1)
    assert 20 < found["bytes_per_pixel_per_thread"] < 200


def test_the_page_keeps_its_text(tmp_path):
    written = tmp_path / "benchmarks.md"
    written.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    page.write(written, tmp_path)
    assert written.read_text() == f"before\n{page.BEGIN}\n\n{page.END}\nafter\n"
    written.write_text("no markers")
    with pytest.raises(SystemExit, match="lost its markers"):
        page.write(written, tmp_path)


def test_the_committed_page_is_made_of_the_committed_results(tmp_path):
    copy = tmp_path / "benchmarks.md"
    copy.write_text(page.PAGE.read_text())
    page.write(copy)
    assert copy.read_text() == page.PAGE.read_text(), "run python -m benchmarks --page"
