"""The study of fusion goes on where it was stopped, and with the same choices only."""

import json
import sys

import numpy as np
import pytest

import flowkit
from benchmarks import study_fusion
from tests.trainer.test_results import guesses
from trainer.run import RunResult

TINY = ["--seeds", "2", "--epochs", "1", "--people", "3", "--clips", "1"]


class Stopped(Exception):
    """In place of a signal."""


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The study with arguments, with guesses in place of networks; gives the choices of the runs that were computed."""
    computed = []

    def run_here(samples, config) -> RunResult:
        computed.append((config.model, config.epochs, config.seed))
        result = guesses(samples)
        for fold in result.folds:
            fold.curves.append({"loss": 1.0})
        return result

    def run(*arguments):
        monkeypatch.setattr(study_fusion, "run_here", run_here)
        monkeypatch.setattr(sys, "argv", ["study_fusion", str(tmp_path), *arguments])
        computed.clear()
        study_fusion.main()
        return list(computed)

    return run


def test_a_finished_study_has_nothing_left_to_do_and_more_seeds_are_added(study, tmp_path):
    assert len(study(*TINY)) == 2 * 2 * 2 + 3
    assert study(*TINY) == []
    assert [seed for _, _, seed in study("--seeds", "3", *TINY[2:])] == [2] * 4
    told = json.loads((tmp_path / "fusion.json").read_text())
    assert told["choices"] == {"epochs": 1, "size": 32, "people": 3, "clips": 1}
    assert len(told["runs"]) == 15


@pytest.mark.parametrize(
    ("option", "value"), [("--epochs", "2"), ("--size", "40"), ("--people", "4"), ("--clips", "2")]
)
def test_a_study_of_other_choices_is_refused(study, tmp_path, option, value):
    study(*TINY)
    before = (tmp_path / "fusion.json").read_bytes()
    with pytest.raises(SystemExit, match=rf"fusion\.json: was made with {option} \d+, not {value}; give that"):
        study(*TINY, option, value)
    assert (tmp_path / "fusion.json").read_bytes() == before


def test_a_file_that_does_not_say_its_choices_is_refused(study, tmp_path):
    (tmp_path / "fusion.json").write_text(json.dumps({"group effect/resnet18/0": {"counts": []}}))
    with pytest.raises(SystemExit, match=r"fusion\.json: does not say with which choices it was made; give"):
        study(*TINY)


def test_a_file_without_the_networks_is_refused(study, tmp_path):
    study(*TINY)
    told = json.loads((tmp_path / "fusion.json").read_text())
    for run in told["runs"].values():
        del run["networks"]
    (tmp_path / "fusion.json").write_text(json.dumps(told))
    with pytest.raises(SystemExit, match=r"fusion\.json: does not say which people a network predicts; give"):
        study(*TINY)


@pytest.mark.parametrize("stage", ["make_dataset", "extract"])
def test_an_extraction_that_was_stopped_is_finished(study, tmp_path, monkeypatch, stage):
    whole = getattr(study_fusion, stage)

    def stopped(folder, *arguments, **options):
        (folder if stage == "make_dataset" else tmp_path / "group-effect" / "shards").mkdir(parents=True)
        raise Stopped

    monkeypatch.setattr(study_fusion, stage, stopped)
    with pytest.raises(Stopped):
        study(*TINY)
    monkeypatch.setattr(study_fusion, stage, whole)
    study(*TINY)
    for name in ("group-effect", "no-group-effect"):
        assert flowkit.verify(tmp_path / name / "shards").ok


def test_ten_seeds_are_in_the_order_of_their_numbers():
    runs = {f"group effect/resnet18/{seed}": {"counts": [[[seed]]]} for seed in (10, 9, 0, 2, 1)}
    found = study_fusion._seeds(runs, "group effect", "resnet18")
    assert np.ravel(found).tolist() == [0, 1, 2, 9, 10]
