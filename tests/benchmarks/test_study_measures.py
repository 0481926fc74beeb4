"""The measures of the study on flows whose rows are known: the truth, half of it, one side of it, none."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("skimage", reason="scikit-image is not installed")

from benchmarks.study import evaluate, measures, stage
from benchmarks.study.faces import looks
from benchmarks.study.goals import GOALS, Goal
from benchmarks.study.measures import SIDE_FLOOR, gain, return_error_px, rows, samples, side_error
from benchmarks.study.recording import CODECS
from benchmarks.study.scenes import slopes
from benchmarks.study.shots import Shot
from benchmarks.study.stage import Scene
from benchmarks.study_micro import _change

SIZE = (96, 96)
KINDS = {
    "bump": "bump",
    "sides": "sides",
    "light": "still",
    "lit bump": "bump",
    "edge": "outline",
    "head": "head all",
    "still": "still",
    "scatter": "bump",
    "family": "expression",
    "codec": "bump",
    "noisy bump": "bump",
}


def shot(measure: str, **changes: object) -> Shot:
    given = {"seed": 31, "amplitude_px": 0.5, "sigma_px": 5.0, "size": SIZE, "kind": KINDS[measure]}
    given |= {"light": "offset 3"} if measure in ("light", "lit bump") else {}
    given |= {"codec": "jpeg 95"} if measure == "codec" else {}
    return Shot(measure=measure, look=looks("tuning")[1], **(given | changes))


@pytest.fixture(scope="module")
def scenes() -> dict[str, Scene]:
    return {measure: stage.stage(shot(measure)) for measure in KINDS}


def rows_of(scene: Scene, flow: np.ndarray) -> dict[str, float]:
    return dict(samples(scene, flow.astype(np.float32)))


def test_the_truth_has_gain_1_and_no_error(scenes: dict[str, Scene]):
    for measure, scene in scenes.items():
        for row, value in rows_of(scene, scene.flow).items():
            if row.startswith("take"):
                assert value == pytest.approx(0.5)
            elif "gain" in row.replace("light gain", ""):
                assert value == pytest.approx(1), row
            elif "strain share" in row:
                assert value == pytest.approx(1, abs=0.02)
            elif "strain" in row:
                assert value < 2e-4, "central differences against the derivative"
            elif not row.startswith("bound"):
                assert value == 0, (measure, row)


def test_half_of_the_truth_has_gain_a_half_and_its_sides_stay(scenes: dict[str, Scene]):
    bump = rows_of(scenes["bump"], 0.5 * scenes["bump"].flow)
    assert bump["gain 0.5"] == pytest.approx(0.5)
    support = scenes["bump"].supports[0]
    assert bump["moving 0.5"] == pytest.approx(0.5 * np.hypot(*scenes["bump"].flow)[support].mean(), rel=1e-5)
    assert rows_of(scenes["sides"], 0.5 * scenes["sides"].flow)["sides 0.5"] == pytest.approx(0, abs=1e-6)
    head = scenes["head"]
    assert rows_of(head, head.head + 0.5 * (head.flow - head.head))["head gain"] == pytest.approx(0.5, abs=1e-5)
    family = scenes["family"]
    found = rows_of(family, 0.5 * family.flow)
    assert found["strain 0.5"] == pytest.approx(0.5 * family.strain[family.smooth].mean(), rel=0.02)
    assert found["strain share 0.5"] == pytest.approx(0.5, abs=0.01)
    assert found["strain there 0.5"] > 2 * found["strain 0.5"], "most of a face is not strained"


def test_a_flow_across_the_motion_has_no_gain(scenes: dict[str, Scene]):
    u, v = scenes["bump"].flow
    found = rows_of(scenes["bump"], np.stack([-v, u]))
    assert found["gain 0.5"] == pytest.approx(0, abs=1e-6)
    assert found["moving 0.5"] > 0.2, "endpoint errors see what gain does not"


def test_a_side_that_shrinks_is_seen(scenes: dict[str, Scene]):
    scene = scenes["sides"]
    for factor, expected in ((0.5, np.log(2)), (0.0, -np.log(SIDE_FLOOR)), (-1.0, -np.log(SIDE_FLOOR))):
        weak = np.where(scene.supports[1], np.float32(factor), 1) * scene.flow
        assert rows_of(scene, weak)["sides 0.5"] == pytest.approx(expected, rel=1e-5)
        assert rows_of(scene, weak)["sides lost 0.5"] == float(factor <= 0)
    assert side_error([0.0, -0.1]) == side_error([0.0, 1.0]), "nothing on either side is no ratio of 1"
    assert side_error([0.2, 0.8]) == pytest.approx(side_error([0.8, 0.2]))


def test_false_motion_is_counted_where_nothing_moves(scenes: dict[str, Scene]):
    for measure, row in (("still", "still 1"), ("light", "light offset 3")):
        flow = scenes[measure].flow + np.array([0.03, -0.04], np.float32).reshape(2, 1, 1)
        assert rows_of(scenes[measure], flow)[row] == pytest.approx(0.05)
    outline = scenes["edge"]
    wrong = outline.flow + np.where(outline.band, 0, np.float32(9))
    assert rows_of(outline, wrong)["outline"] == 0, "the band alone counts"


def test_calm_is_where_no_bump_is(scenes: dict[str, Scene]):
    scene = scenes["bump"]
    assert not (scene.calm & scene.supports[0]).any()
    wrong = np.where(scene.calm, scene.flow, scene.flow + np.float32(1))
    found = rows_of(scene, wrong)
    assert found["calm 0.5"] == 0
    assert found["moving 0.5"] == pytest.approx(np.sqrt(2), rel=1e-5)


def test_occlusion_is_left_out_of_the_errors():
    scene = stage.stage(shot("family", kind="blink", amplitude_px=1.0))
    assert not scene.visible.all()
    wrong = np.where(scene.visible, scene.flow, scene.flow + np.float32(100))
    assert rows_of(scene, wrong)["error 1"] == 0


def test_the_bound_is_reached_by_the_matched_filter():
    """The amplitude of a bump whose shape is known, by least squares on the clean slope: nothing can scatter less."""
    made, _, truth, _ = stage.clean_frames(shot("scatter", amplitude_px=0.2).clean())
    slope = np.sum(slopes(made.layers, SIZE) * truth.flow, axis=0) / np.hypot(*truth.flow).max()
    found = []
    for take in range(60):
        scene = stage.stage(shot("scatter", amplitude_px=0.2, take=take))
        change = scene.frame0.astype(float) - scene.frame1
        found.append(np.sum(change * slope) / np.sum(slope**2))
    assert np.std(found) / scene.bound_px == pytest.approx(1, abs=0.25)
    assert np.mean(found) == pytest.approx(0.2, abs=0.015), "to first order in the displacement"


def test_scatter_is_undone_by_the_gain():
    takes = [("take 7", 0.25 + d) for d in (-0.01, 0.0, 0.01)]
    found = rows([*takes, *[("bound 7", 0.005)] * 3])
    assert found["scatter over bound"] == pytest.approx(2)
    assert found["unshrunk scatter over bound"] == pytest.approx(4)
    assert "take 7" not in found


def test_linearity_is_the_ratio_of_two_gains():
    found = rows([("gain 0.2", 0.3), ("gain 0.2", 0.5), ("gain 2", 0.8)])
    assert found["gain 0.2"] == pytest.approx(0.4)
    assert found["linearity"] == pytest.approx(0.5)


def test_there_and_back():
    forth = np.zeros((2, 20, 30), np.float32)
    forth[0] = 1.5
    assert return_error_px(forth, -forth) == pytest.approx(0, abs=1e-6)
    assert return_error_px(forth, 0 * forth) == pytest.approx(1.5)
    ramp = forth.copy()
    ramp[0] = 0.1 * np.arange(30)
    home = -ramp / 1.1
    assert return_error_px(ramp, home) == pytest.approx(0, abs=1e-5)


def test_gain_weights_by_the_true_displacement():
    truth = np.zeros((2, 1, 2), np.float32)
    truth[0] = [[1.0, 2.0]]
    found = truth * np.float32([[1.0, 0.5]])
    assert gain(found, truth, np.ones((1, 2), bool)) == pytest.approx((1 + 2) / 5)


def test_a_method_is_measured_and_kept(tmp_path, monkeypatch):
    """Two sizes, forth and back, in batches; what a peer found is not computed again."""
    monkeypatch.setattr(stage, "KEPT", tmp_path)
    monkeypatch.setattr(evaluate, "KEPT", tmp_path)
    wanted = [shot("bump"), shot("head"), shot("still", size=(64, 80))]
    calls = []

    def nothing(first, second):
        calls.append(first.shape)
        assert first.dtype == np.uint8
        assert first.shape == second.shape
        return np.zeros((len(first), 2, *first.shape[1:]), np.float32)

    found = evaluate.evaluate(evaluate.kept("nothing", nothing), wanted)
    assert sorted(calls) == [(1, 64, 80), (1, 96, 96), (2, 96, 96)]
    assert found["gain 0.5"] == 0
    assert found["still 1"] == pytest.approx(0, abs=1e-9)
    assert found["head gain"] < 0, "what is recovered of the head's own motion is subtracted"
    assert found["forward-backward"] == 0
    assert evaluate.evaluate(evaluate.kept("nothing", nothing), wanted) == found
    assert len(calls) == 3


def test_goals_judge_rows_and_ratios():
    least = Goal("gain 2", "at least", 0.82)
    assert least.met(least.value({"gain 2": 0.83}, {}))
    most = Goal("light shadow", "at most", 1.0, ("dis", "farneback"))
    table = {"dis": {"light shadow": 0.05}, "farneback": {"light shadow": 0.04}}
    assert most.value({"light shadow": 0.03}, table) == pytest.approx(0.75)
    assert most.value({"light shadow": 0.03}, {"dis": table["dis"]}) is None
    assert "of dis and farneback" in most.words()


def test_every_goal_has_a_measure():
    """Rows that goals ask for are rows that some shot of the set gives."""
    names = {row.split(" ")[0] for row in (goal.row for goal in GOALS)}
    assert names <= {"gain", "linearity", "sides", "moving", "error", "still", "light", "head", "strain"} | {
        "outline",
        "blink",
        "lips",
    }
    assert set(measures._SAMPLES) == set(KINDS)
    assert len(CODECS) == 5


def test_changes_are_read_as_what_they_are():
    assert _change("lambda_=0.3") == ("lambda_", 0.3)
    assert _change("warps=3") == ("warps", 3)
    assert _change("border=off") == ("border", "off")
    assert _change("affine_reference=false") == ("affine_reference", False)
