"""Grad-CAM: maps lie where the evidence is, and the scores say where that is."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from flowkit.errors import InputError
from tests.motions import motion_samples, write_out
from trainer.models import build_model
from trainer.models.outputs import Outputs
from trainer.results import write_run
from trainer.run import run
from trainer.saved import load_trained
from trainer.types import RunConfig

pytest.importorskip("captum")

from trainer.studies.grad_cam import (
    REGIONS,
    SIDE,
    Explained,
    _maps,
    asymmetry,
    by_person,
    explain,
    last_layer,
    panels,
    region_scores,
    rows_table,
    summary_table,
)


class Looks(nn.Module):
    """A network of which it is known where it looks: class 1 is the amount of u, anywhere."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.layer4 = nn.Conv2d(3, 1, 1, bias=False)
        with torch.no_grad():
            self.backbone.layer4.weight.copy_(torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1))

    def forward(self, cubes, rgb=None):
        amount = self.backbone.layer4(cubes).mean(dim=(1, 2, 3))
        return Outputs(torch.stack([torch.zeros_like(amount), amount], dim=1))


def test_a_map_lies_where_the_evidence_is():
    cubes = torch.zeros(2, 3, SIDE, SIDE)
    cubes[0, 0, 40:48, 4:12] = 1.0  # lower left
    cubes[1, 0, 40:48, 44:52] = 1.0  # lower right
    cubes[:, 1] = 5.0  # v says nothing
    maps = _explained(cubes)
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), 1)
    assert maps[0, 40:48, 4:12].sum() == pytest.approx(1)
    np.testing.assert_allclose(asymmetry(maps), [1, -1])


def _explained(cubes):
    model = Looks()
    return _maps(model, last_layer(model, picture=False), cubes, None, np.ones(len(cubes), np.int64))[0]


def test_a_layer_of_one_place_is_refused():
    with pytest.raises(InputError, match=r"size=1: the last stage has one place, so every map is even; train with a"):
        _explained(torch.ones(1, 3, 1, 1))
    assert _explained(torch.ones(1, 3, 2, 2)).sum() == pytest.approx(1)


def test_an_even_map_scores_one_everywhere_and_one_in_a_region_scores_there():
    even = np.full((1, SIDE, SIDE), 1 / SIDE**2)
    for score in region_scores(even).values():
        assert score[0] == pytest.approx(1)
    assert asymmetry(even)[0] == pytest.approx(0)
    mouth = np.zeros((1, SIDE, SIDE))
    left, top, right, bottom = REGIONS["mouth (AU 12, 14, 15)"]
    mouth[0, round(SIDE * (top + bottom) / 2), round(SIDE * (left + right) / 2)] = 1
    scores = {name: score[0] for name, score in region_scores(mouth).items()}
    assert scores.pop("mouth (AU 12, 14, 15)") > 5
    assert set(scores.values()) == {0}


def found_of(maps, samples):
    none = np.zeros(len(samples), np.int64)
    return Explained(samples, maps, none, none, np.zeros((*maps.shape, 3)), 7)


def test_an_empty_map_has_no_part_in_any_mean():
    """A network that looks everywhere alike has 1 in each region, however often nothing speaks for the class."""
    cubes = torch.zeros(8, 3, SIDE, SIDE)
    cubes[:, 0] = 1.0
    cubes[[0, 1, 2]] *= -1  # u speaks against class 1: all of the first person's clips, one of the second's
    samples = motion_samples(subjects=4, clips=2)
    samples = dataclasses.replace(samples, emotion=np.zeros(8, np.int64), group=["few"] * 4 + ["many"] * 4)
    found = found_of(_explained(cubes), samples)
    assert found.empty.tolist() == [True] * 3 + [False] * 5
    lines = {(line["group"], line["measure"]): line for line in summary_table(found, draws=50).to_pylist()}
    for measure in REGIONS:
        every, few = lines["all", measure], lines["few", measure]
        assert (every["people"], every["rows"], every["empty"]) == (3, 8, 3)
        assert [every[name] for name in ("mean", "low", "high")] == pytest.approx([1, 1, 1])
        assert (few["people"], few["empty"], few["low"], few["high"]) == (1, 3, None, None)
    rows = rows_table(found)
    assert rows["map"].null_count == rows["asymmetry"].null_count == rows[next(iter(REGIONS))].null_count == 3
    nothing = found_of(np.full_like(found.maps, np.nan), samples)
    assert set(summary_table(nothing)["mean"].to_pylist()) == {None}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert panels(nothing) != panels(found)


def test_a_person_of_many_clips_counts_once():
    values = np.array([1.0, 1.0, 1.0, 5.0])
    means = by_person(values, ["a", "a", "a", "b"], np.arange(4))
    assert means.tolist() == [1, 5]


def test_models_without_such_a_layer_are_refused():
    with pytest.raises(InputError, match="has no layer4"):
        last_layer(nn.Linear(1, 1), picture=False)
    with pytest.raises(InputError, match="reads no apex frame"):
        last_layer(Looks(), picture=True)


def test_the_backbone_of_both_pictures_is_explained_on_the_last_one_only():
    """It reads the cube first; the map that is left is that of the apex frame."""
    model = build_model("dual-resnet18-rgb", classes=3, ethnic_classes=2, shared=True)
    with pytest.raises(InputError, match=r"one backbone reads the cube and then the apex frame, .* add --picture"):
        last_layer(model, picture=False)
    assert last_layer(model, picture=True) is model.emotion_backbone.layer4
    cube_alone = build_model("dual-resnet18", classes=3, ethnic_classes=2, shared=True)
    assert last_layer(cube_alone, picture=False) is cube_alone.emotion_backbone.layer4


def test_a_run_of_svc_is_refused_with_what_it_is(tmp_path):
    """And not for want of --save-weights, which svc refuses."""
    config = RunConfig(model="svc", device="cpu")
    out = write_out(motion_samples(subjects=3, clips=3), tmp_path / "out")
    samples, result = run(out, tmp_path / "run", config)
    write_run(tmp_path / "run", samples, config, result)
    with pytest.raises(
        InputError, match=r"model='svc' is no network and has no layers to explain; give a run of a netw"
    ):
        explain(tmp_path / "run")
    with pytest.raises(InputError, match=r"model='svc' has no weights to load; give a run of a network"):
        load_trained(tmp_path / "run", 0)


def test_a_group_in_letters_that_the_font_lacks_is_drawn_without_a_warning():
    samples = motion_samples(subjects=2, clips=3)
    samples = dataclasses.replace(samples, group=["\u6f22\u65cf"] * len(samples))
    even = np.full((len(samples), SIDE, SIDE), 1 / SIDE**2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert panels(found_of(even, samples)).startswith(b"\x89PNG")
