"""The study's goals and pages: every table that a page asks for is made, and the pages are what the results say."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

pytest.importorskip("skimage", reason="scikit-image is not installed")

from benchmarks.study.bounds import Spot, side_scatter, sides_bound
from benchmarks.study.faces import JUDGED, report_seed
from benchmarks.study.frontier import PANELS, believing, plot, weighed
from benchmarks.study.goals import GOALS, better, phase_verdicts, time_verdicts, verdicts
from benchmarks.study.pages import fill, slots, tables
from benchmarks.study.peers import STAND_IN, method, require_same
from benchmarks.study.shots import shots
from benchmarks.study.stage import scenes
from benchmarks.study_micro import PAGES, RESULTS
from flowkit.errors import InputError
from flowkit.params import PRESETS


@pytest.fixture(scope="module")
def document() -> dict:
    return json.loads(RESULTS.read_text())


def test_the_pages_are_what_the_results_say(document: dict):
    found = tables(document)
    asked = [name for page in PAGES for name in slots(page.read_text())]
    assert set(asked) == set(found)
    for page in PAGES:
        assert fill(page.read_text(), found) == page.read_text(), "run python -m benchmarks.study_micro pages"


def test_the_results_are_of_these_presets(document: dict):
    """Whoever changes a preset runs the report again, on another set."""
    assert document["seed"] == report_seed([PRESETS[name] for name in JUDGED])
    assert document["presets"] == {name: PRESETS[name].to_dict() for name in JUDGED}


def test_another_preset_is_judged_on_another_set():
    presets = [PRESETS[name] for name in JUDGED]
    assert report_seed(presets) == report_seed(list(presets))
    for k, preset in enumerate(presets):
        changed = [*presets[:k], preset.replace(warps=preset.warps + 1), *presets[k + 1 :]]
        assert report_seed(changed) != report_seed(presets), JUDGED[k]


def test_a_table_is_filled_between_its_marks():
    page = "# A\n\n<!-- table one -->\nold\n<!-- end -->\n\ntext\n\n<!-- table two -->\n<!-- end -->\n"
    filled = fill(page, {"one": "| 1 |", "two": "| 2 |"})
    assert slots(page) == ["one", "two"]
    assert "old" not in filled
    assert filled.index("| 1 |") < filled.index("text") < filled.index("| 2 |")
    assert fill(filled, {"one": "| 1 |", "two": "| 2 |"}) == filled
    with pytest.raises(KeyError):
        fill(page, {"one": ""})


def test_nearer_to_one_is_the_better_gain():
    assert better("gain 0.2", 0.8, 0.6)
    assert better("gain 0.2", 1.05, 1.3)
    assert not better("head gain", -0.1, 0.2)
    assert better("light gain 2 %", 0.02, 0.04)
    assert not better("error 0.2", 0.03, 0.02)


def test_micro_and_fast_are_judged():
    """A micro that is cv2 itself meets what is to be no worse than cv2; a fast that is DIS is not better than DIS."""
    row = dict.fromkeys((goal.row for goal in GOALS), 0.5)
    table = dict.fromkeys(("micro", "fast", "cv2", "dis", "farneback"), row)
    found = verdicts(table)
    assert {v.row for v in found if v.preset == "fast"} == set(row)
    assert not any(v.met for v in found if v.preset == "fast")
    judged = {v.row: v for v in found if v.preset == "micro"}
    assert judged["outline"].met
    assert judged["gain 0.2"].met
    assert not judged["gain 0.5"].met
    assert not judged["error 0.2"].met


def test_times_and_phases_are_judged():
    times = {"micro": 9.0, "opencv": 12.0, "fast": 4.0, "dis": 3.0}
    found = time_verdicts({name: {"224x224": ms} for name, ms in times.items()})
    assert [(v.preset, round(v.value, 2), v.met) for v in found] == [("micro", 0.75, True), ("fast", 1.33, False)]
    averaged = {
        "single": {"micro": {"still 1": 0.004, "error 0.5": 0.01}},
        "steady": {"micro-phases": {"still 1": 0.002, "error 0.5": 0.008}},
    }
    assert [v.met for v in phase_verdicts(averaged)] == [True, False]


def test_the_bound_follows_noise_contrast_and_width():
    """On a ramp the sum of squares is closed: slope^2 pi sigma^2."""
    ramp = np.multiply.outer([3.0, 0.0], np.ones((120, 120)))
    spot = Spot(ramp, (60.0, 60.0), (1.0, 0.0))
    noise = np.sqrt(2 * (4.0 + 1 / 12))
    assert spot.bound_px(6.0, 2.0) == pytest.approx(noise / (3 * np.sqrt(np.pi) * 6), rel=1e-3)
    assert spot.bound_px(6.0, 2.0) == pytest.approx(2 * spot.bound_px(12.0, 2.0), rel=1e-3)


def test_the_bound_of_sides_is_that_of_their_gains():
    """The weaker side's gain scatters more, in inverse proportion; |ln| of a ratio is to first order that of the
    difference of two gains, whose mean length is sqrt(2 / pi) of its standard deviation."""
    shot = next(s for s in shots("tuning", 2) if s.measure == "sides" and s.amplitude_px == 1 and s.ratio == 1)
    equal, weaker = (next(iter(scenes([dataclasses.replace(shot, ratio=ratio)]))) for ratio in (1.0, 0.5))
    first, second = side_scatter(equal)
    same, doubled = side_scatter(weaker)
    assert (same, doubled) == (pytest.approx(first, rel=0.05), pytest.approx(2 * second, rel=0.05))
    assert sides_bound([shot]) == {"1": pytest.approx(np.sqrt(2 / np.pi) * np.hypot(first, second), rel=0.08)}


def test_the_frontier_weighs_the_data_and_is_drawn(tmp_path):
    micro = PRESETS["micro"]
    assert weighed(micro, 2.0).lambda_ == 2 * micro.lambda_
    assert weighed(micro, 2.0).theta == micro.theta
    doubtful = believing(micro, 2.0)
    assert (doubtful.refit_from, doubtful.refit_whole) == (2 * micro.refit_from, 2 * micro.refit_whole)
    assert doubtful.replace(refit_from=micro.refit_from, refit_whole=micro.refit_whole) == micro
    point = {"still 1": 0.01} | dict.fromkeys(PANELS, 0.4)
    curve = [point | {"factor": f, "still 1": 0.01 * f} for f in (0.5, 1.0, 2.0)]
    figure = tmp_path / "figures" / "frontier.svg"
    drawn = []
    for _ in range(2):
        plot({"micro": curve, "cv2": [point | {"factor": 1.0}]}, 0.26, figure)
        drawn.append(figure.read_text())
    assert drawn[0] == drawn[1]
    assert "<path" in drawn[0]


def test_methods_are_presets_or_peers(monkeypatch):
    pair = np.random.default_rng(0).integers(0, 255, (2, 32, 32), dtype=np.uint8)
    for name in ("micro", "farneback"):
        assert method(name, {})(pair, pair).shape == (2, 2, 32, 32)
    assert method("fast", {"warps": 1})(pair, pair).shape == (2, 2, 32, 32)
    require_same("cv2", pair, pair[::-1].copy())
    monkeypatch.setitem(STAND_IN, "cv2", "micro")
    with pytest.raises(ValueError, match="cv2 differs from preset micro by"):
        require_same("cv2", pair, pair[::-1].copy())
    with pytest.raises(InputError, match="nothing"):
        method("nothing", {})
