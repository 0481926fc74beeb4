"""The benchmark: true flow at every size, timing in turns, and no time for a wrong answer."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from benchmarks import bench_memory, checks, page
from benchmarks.__main__ import check
from benchmarks.claims import beaten_by_peers, time_per_pixel
from flowkit import _core
from flowkit.bench import Measurement, Size, WrongAnswer, facial_pairs, lines, measure, peers, presets, race, summary
from flowkit.bench import pairs as pairs_module
from flowkit.bench.methods import DUAL_TVL1, PEERS, Method
from flowkit.bench.plot import unbeaten
from flowkit.params import PRESETS
from tests.clips import flowkit as in_its_own_process

SIZE = Size(48, 64)


@pytest.fixture(scope="module")
def pairs():
    return facial_pairs(SIZE, (0.5, 2.0))


def method(name: str, solve) -> Method:
    return Method(name, lambda threads: lambda batch: [solve(*frames) for frames in batch])


def preset(name: str) -> Method:
    return next(m for m in presets() if m.name == f"flowkit {name}")


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


def residual(pair, flow) -> float:
    """Mean grey-value difference of frame0 and frame1 sampled where the flow says."""
    y, x = np.indices(pair.frame0.shape, np.float32)
    warped = cv2.remap(pair.frame1, x + flow[0], y + flow[1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return float(np.abs(warped.astype(float) - pair.frame0).mean())


def test_a_crop_keeps_the_truth_of_its_square(pairs):
    square, crop = facial_pairs(Size(64, 64), (2.0,))[0], next(pair for pair in pairs if pair.amplitude_px == 2)
    assert crop.frame0.shape == (48, 64)
    assert np.array_equal(crop.frame1, square.frame1[8:56])
    assert np.array_equal(crop.truth, square.truth[:, 8:56])


def test_a_picture_of_many_faces_has_the_truth_of_each(monkeypatch):
    monkeypatch.setattr(pairs_module, "LARGEST_FACE_PX", 96)
    (pair,) = facial_pairs(Size(150, 190), (2.0,), (1,))
    assert pair.frame0.shape == (150, 190)
    assert pair.truth.shape == (2, 150, 190)
    across = pair.truth * np.array([-1, 1], np.float32)[:, None, None]
    for tile in (np.s_[..., :75, :95], np.s_[..., :75, 95:], np.s_[..., 75:, :95], np.s_[..., 75:, 95:]):
        part = pairs_module.FacialPair(2.0, pair.frame0[tile], pair.frame1[tile], pair.truth[tile])
        assert residual(part, part.truth) < 0.8 * residual(part, np.zeros_like(part.truth))
        assert residual(part, part.truth) < 0.8 * residual(part, across[tile])


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


def test_measured_errors_are_those_of_the_flow(pairs):
    by_name = {m.method: m for m in measure([preset("opencv"), *peers(["opencv"])[0]], [DUAL_TVL1], pairs, rounds=4)}
    ours, theirs = by_name["flowkit opencv"], by_name[DUAL_TVL1]
    solver = cv2.optflow.DualTVL1OpticalFlow.create()
    flows = [solver.calc(pair.frame0, pair.frame1, None).transpose(2, 0, 1) for pair in pairs]
    again = [np.hypot(*(flow - pair.truth)).mean() for flow, pair in zip(flows, pairs, strict=True)]
    assert theirs.error_px == pytest.approx(np.mean(again))
    assert theirs.errors_px == pytest.approx({"0.5": np.mean(again[:2]), "2": np.mean(again[2:])})
    assert ours.differs_by[DUAL_TVL1] < 0.01
    assert ours.times_as_fast_as[DUAL_TVL1] > 3
    assert theirs.times_as_fast_as == {}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda flow: flow[::-1], "nearer"),
        (lambda flow: -flow, "nearer as no motion at all"),
        (lambda flow: 2.1 * flow, "nearer as no motion at all"),
        (lambda flow: np.stack([flow[0], -flow[1]]), "nearer"),
        (lambda flow: flow * np.nan, "finite"),
        (lambda flow: flow[:, 1:], "shape"),
    ],
)
def test_a_wrong_flow_is_an_error(pairs, spoil, words):
    wrong = {id(pair.frame0): np.asarray(spoil(pair.truth)) for pair in pairs}
    wrong_method = method("broken", lambda frame0, _: wrong[id(frame0)])
    with pytest.raises(WrongAnswer, match=rf"broken.*{words}"):
        measure([wrong_method], [], pairs, rounds=len(pairs), warm_up=False)


@pytest.mark.parametrize(("shift", "words"), [(0.02, "allowed is less than 0.01"), (0.005, "from truth")])
def test_preset_opencv_must_be_opencvs(pairs, shift, words):
    (peer,), _ = peers(["opencv"])
    truth = {id(pair.frame0): pair.truth for pair in pairs}

    def nearly(frame0, frame1):
        flow = peer.make(1)([(frame0, frame1)])[0]
        return flow + np.float32(shift) * np.sign(flow - truth[id(frame0)])

    with pytest.raises(WrongAnswer, match=words):
        measure([method("flowkit opencv", nearly), peer], [DUAL_TVL1], pairs, rounds=len(pairs), warm_up=False)


@pytest.mark.parametrize("name", ["farneback", "dis-medium"])
def test_threads_share_pairs_out_in_order(pairs, name):
    (peer,), _ = peers([name])
    frames = [(pair.frame0, pair.frame1) for pair in pairs] + [(pairs[0].frame1, pairs[0].frame0)]
    assert all(map(np.array_equal, peer.make(3)(frames), peer.make(1)(frames)))


def test_every_preset_takes_part():
    assert [m.name for m in presets()] == [f"flowkit {name}" for name in PRESETS]


def test_an_absent_peer_has_a_reason():
    found, absent = peers()
    assert {m.name for m in found} | set(absent) == {peer.name for peer in PEERS.values()}
    cuda = cv2.cuda.getCudaEnabledDeviceCount() if hasattr(cv2, "cuda") else 0
    assert ("cv2.cuda DualTVL1" in absent) == (cuda == 0)


def test_command_writes_table_json_and_plot(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    out, picture = tmp_path / "bench.json", tmp_path / "plot.png"
    arguments = (
        "bench",
        "--sizes",
        "48x32",
        "--threads",
        "1,2",
        "--against",
        "dis-fast",
        "--out",
        out,
        "--plot",
        picture,
    )
    code, stdout, stderr = in_its_own_process(*arguments)
    assert (code, stderr) == (0, "")
    assert "48x32, 1 thread\n" in stdout
    assert "48x32, 2 threads, 8 a call\n" in stdout
    assert "x DIS fast" in stdout
    document = json.loads(out.read_text())
    assert document["schema"] == "flowkit-bench 1"
    assert document["simd"] == _core.simd_level()
    assert document["presets"]["micro"] == PRESETS["micro"].to_dict()
    names = {m["method"] for m in document["measurements"]}
    assert names == {"cv2 DIS fast", *(f"flowkit {name}" for name in PRESETS)}
    for m in (Measurement(**m) for m in document["measurements"]):
        assert 0 < m.fastest <= m.seconds <= m.slowest
        assert m.error_px == pytest.approx(np.mean(list(m.errors_px.values())))
        assert list(m.errors_px) == ["0.2", "0.5", "1", "2"]
    height, width, _ = cv2.imread(str(picture)).shape
    assert min(height, width) > 500
    assert picture.stat().st_size < 150_000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--against", "raft"], "--against raft: no such peer; known are opencv, "),
        (["--sizes", "224,wide"], "size 'wide'"),
        (["--threads", "1,0"], "--threads 1,0: '0' is neither"),
        (["--out", "nowhere/bench.json"], "nowhere/bench.json: there is no folder nowhere; make it first"),
    ],
)
def test_options_that_cannot_be_used(arguments, words):
    code, stdout, stderr = in_its_own_process("bench", *arguments)
    assert (code, stdout) == (2, "")
    assert words in stderr
    assert len(stderr.splitlines()) == 1


def test_a_plot_without_matplotlib_says_how_to_get_it(monkeypatch, tmp_path):
    from flowkit.bench import command
    from flowkit.errors import InputError

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"pip install 'flowkit-mer\[train\]'"):
        command(None, "224", "1", None, tmp_path / "plot.png", print)


def test_the_command_line_imports_no_optional_package():
    code = (
        "import sys, flowkit.cli, flowkit.bench; print(*{'matplotlib', 'skimage', 'torch', 'ray'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout == "\n"


def test_lines_align():
    block = [row("flowkit micro", 0.005, 0.04), row("cv2 Farneback", 1.25, 0.1)]
    heading, header, *rows = lines(block)
    assert heading == "224x224, 1 thread"
    assert {len(line) for line in rows} == {len(header)}
    assert "5.00" in rows[0]
    assert "1250" in rows[1]


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
    checks.write_record(_core.simd_level(), checks.ratios([quick]))
    assert checks.read_record(_core.simd_level()) == {f"flowkit micro / {DUAL_TVL1}, 224x224, 1 thread": 25.0}
    assert check([quick]) == 0
    assert check([dataclasses.replace(quick, times_as_fast_as={DUAL_TVL1: 24.0})]) == 1
    assert "24.00, at least 25.0 on record" in capsys.readouterr().err


def test_the_record_has_a_margin():
    assert checks.recorded("flowkit opencv / cv2 DualTVL1, 224x224, 1 thread", 38.3) == 19
    assert checks.recorded("flowkit opencv, 2 threads / flowkit opencv, one thread, 224x224, 2 threads", 1.93) == 1.2
    for simd in _core.simd_levels():
        record = checks.read_record(simd)
        assert record is not None, f"no ratios on record for {simd}"
        assert {f"flowkit {name} / {DUAL_TVL1}, 224x224, 1 thread" for name in PRESETS} <= set(record)


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
