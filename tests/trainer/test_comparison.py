"""Runs side by side: seeds as one setting, choices tested in pairs by people, pages of two."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from flowkit.errors import InputError, OutputError
from tests.motions import motion_samples
from tests.trainer.test_results import guesses, write_finished
from trainer.cli import app
from trainer.comparison import compare, read_finished
from trainer.samples import shuffle_labels
from trainer.statistics import counts_by_person, paired_permutation, uf1_of
from trainer.studies.table_v import table_v, verdict
from trainer.types import RunConfig

FAST = {"parameters": {"preset": "fast", "tvl1": {"warps": 3}}}


@pytest.fixture(scope="module")
def samples():
    return motion_samples(subjects=8, clips=6, side=16)


@pytest.fixture(scope="module")
def runs(samples, tmp_path_factory):
    """Two seeds of one setting, two of another, and one of other rows."""
    root = tmp_path_factory.mktemp("runs")
    made = [("a0", 0, "resnet18"), ("a1", 1, "resnet18"), ("b0", 0, "dual-resnet18"), ("b1", 1, "dual-resnet18")]
    for number, (name, seed, model) in enumerate(made):
        write_finished(root / name, samples, RunConfig(seed=seed, model=model), guesses(samples, seed=number))
    fewer = dataclasses.replace(samples, pair_id=[f"{i:08x}" for i in range(len(samples))])
    write_finished(root / "other", fewer, RunConfig(model="ststnet"), guesses(fewer))
    return root


def finished(runs, *names):
    return [read_finished(runs / name) for name in names]


def test_seeds_are_one_setting_with_mean_and_spread(runs):
    found = compare(finished(runs, "a0", "a1"))
    (setting,) = found["settings"]
    scores = [run["uf1"]["value"] for run in found["runs"]]
    assert setting["seeds"] == [0, 1]
    assert setting["uf1"]["mean"] == pytest.approx(np.mean(scores))
    assert setting["uf1"]["sd"] == pytest.approx(np.std(scores, ddof=1))
    assert found["tests"] == []


def test_settings_are_tested_in_pairs_by_people(runs):
    a, b = finished(runs, "a0", "b0")
    (test,) = compare([a, b])["tests"]
    counts = [counts_by_person(run.true, run.predicted, run.person) for run in (b, a)]
    assert (test["difference"]["uf1"], test["p"]["uf1"]) == paired_permutation(*counts, uf1_of)
    found = compare(finished(runs, "a0", "a1", "b0", "b1"))
    (seeds,) = found["tests"]
    assert (seeds["first"], seeds["second"], seeds["people"]) == (["a0", "a1"], ["b0", "b1"], 8)
    first, second = found["settings"]
    for name, difference in seeds["difference"].items():
        assert difference == pytest.approx(second[name]["mean"] - first[name]["mean"], abs=1e-12)
    (turned,) = compare(finished(runs, "a1", "a0", "b0", "b1"))["tests"]
    assert (turned["difference"], turned["p"]) == (seeds["difference"], seeds["p"])


@pytest.mark.parametrize(
    ("change", "tested"),
    [
        (lambda samples: dataclasses.replace(samples, cubes=2 * samples.cubes, source=FAST), True),
        (lambda samples: motion_samples(subjects=4, clips=6, side=16), False),
    ],
    ids=["other flow", "fewer people"],
)
def test_runs_on_other_samples_are_another_setting(samples, runs, tmp_path, change, tested):
    changed = change(samples)
    for seed in (0, 1):
        write_finished(tmp_path / f"c{seed}", changed, RunConfig(seed=seed), guesses(changed, seed=seed + 7))
    found = compare([*finished(runs, "a0", "a1"), *finished(tmp_path, "c0", "c1")])
    assert [setting["runs"] for setting in found["settings"]] == [["a0", "a1"], ["c0", "c1"]]
    assert list(found["settings"][1]["differs"]) == ["samples_sha256"]
    (test,) = found["tests"]
    assert test["p"] is not None if tested else "do not predict the same pairs of the same people" in test["why"]
    done = CliRunner().invoke(app, ["report", str(tmp_path / "c0"), str(runs / "a0")])
    assert done.exit_code == 0, done.output
    html = (tmp_path / "c0" / "beside.html").read_text()
    assert ("by swapping 8 people" in html) is tested
    assert "nothing but the seed" not in html
    assert ("<td>extraction preset</td><td>fast</td><td>None</td>" in html) is tested


def test_other_numbers_of_threads_are_another_setting(samples, runs, tmp_path):
    """They change results, as docs/training.md says; how the device was asked for does not."""
    for name, config in (("threads", RunConfig(threads=2)), ("cpu", RunConfig(seed=1, device="cpu"))):
        write_finished(tmp_path / name, samples, config, guesses(samples, seed=5))
    found = compare([*finished(runs, "a0"), *finished(tmp_path, "threads", "cpu")])
    assert [setting["runs"] for setting in found["settings"]] == [["a0", "cpu"], ["threads"]]
    assert found["settings"][1]["differs"] == {"threads": 2}


def test_seeds_of_shuffled_labels_are_one_setting(samples, tmp_path):
    for seed in (0, 1):
        config = RunConfig(seed=seed, shuffle_labels=True)
        shuffled = shuffle_labels(samples, seed)
        write_finished(tmp_path / f"s{seed}", shuffled, config, guesses(shuffled))
    found = compare(finished(tmp_path, "s0", "s1"))
    assert [setting["seeds"] for setting in found["settings"]] == [[0, 1]]


@pytest.mark.parametrize(
    ("names", "why"),
    [(("a0", "other"), "do not predict the same pairs"), (("a0", "a1", "b0"), "2 and 1 seeds: give as many of each")],
)
def test_what_is_no_pair_is_not_tested(runs, names, why):
    (test,) = compare(finished(runs, *names))["tests"]
    assert test["p"] is None
    assert why in test["why"]


def test_what_cannot_be_compared_is_refused(runs, tmp_path):
    with pytest.raises(InputError, match="give at least two different folders"):
        compare(finished(runs, "a0", "a0"))
    shutil.copytree(runs / "a0", tmp_path / "copy")
    with pytest.raises(InputError, match=r"^a0 and copy are of one setting and have one seed \(0\): the same"):
        compare([*finished(runs, "a1", "a0"), *finished(tmp_path, "copy")])
    with pytest.raises(OutputError, match="holds no finished run"):
        read_finished(tmp_path)


def test_compare_and_report_from_the_shell(runs, tmp_path):
    done = CliRunner().invoke(app, ["compare", str(runs / "a0"), str(runs / "b0"), "-o", str(tmp_path / "c.json")])
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1].startswith("b0 less a0: UF1 ")
    assert len(json.loads((tmp_path / "c.json").read_text())["tests"]) == 1
    done = CliRunner().invoke(app, ["report", str(runs / "a0"), str(runs / "b0")])
    assert done.exit_code == 0, done.output
    html = (runs / "a0" / "beside.html").read_text()
    assert "Beside b0" in html
    assert "by swapping 8 people" in html
    before = (runs / "a1" / "report.html").read_bytes()
    assert CliRunner().invoke(app, ["report", str(runs / "a1")]).exit_code == 0
    assert (runs / "a1" / "report.html").read_bytes() == before


def test_means_of_several_settings_say_whose_they_are(runs):
    done = CliRunner().invoke(app, ["compare", *(str(runs / name) for name in ("a0", "a1", "b0", "b1"))])
    means = [line.partition(": ")[0] for line in done.output.splitlines() if " seeds" in line]
    assert means == ["resnet18, 2 seeds (a0, a1)", "dual-resnet18, 2 seeds (b0, b1)"]


def test_runs_of_one_name_are_told_apart_by_the_folders_above(runs, tmp_path):
    for above, name in (("micro", "a0"), ("fast", "b0")):
        shutil.copytree(runs / name, tmp_path / above / "seed-0")
    folders = [str(tmp_path / above / "seed-0") for above in ("micro", "fast")]
    done = CliRunner().invoke(app, ["compare", *folders])
    assert done.exit_code == 0, done.output
    assert [line.partition(": ")[0] for line in done.output.splitlines()] == [
        "micro/seed-0",
        "fast/seed-0",
        "fast/seed-0 less micro/seed-0",
    ]
    assert CliRunner().invoke(app, ["report", *folders]).exit_code == 0
    html = (tmp_path / "micro" / "seed-0" / "beside.html").read_text()
    assert "Beside fast/seed-0" in html
    assert "fast/seed-0 less micro/seed-0: UF1 " in html


def test_a_run_with_a_slip_is_said_to_be_no_result_in_every_line(samples, runs, tmp_path):
    clause = "; a run with --slip best-epoch: no result"
    for seed in (0, 1):
        config = RunConfig(seed=seed, slips=("best-epoch",))
        write_finished(tmp_path / f"c{seed}", samples, config, guesses(samples, seed=seed))
    folders = [str(runs / "a0"), str(runs / "a1"), str(tmp_path / "c0"), str(tmp_path / "c1")]
    lines = CliRunner().invoke(app, ["compare", *folders]).output.splitlines()
    assert [line.endswith(clause) for line in lines] == [False, False, True, True, False, True, True]
    assert CliRunner().invoke(app, ["report", str(runs / "a0"), str(tmp_path / "c0")]).exit_code == 0
    html = (runs / "a0" / "beside.html").read_text()
    assert f"on cpu{clause}.</p>" in html
    assert f"by swapping 8 people{clause}.</p>" in html


def test_table_v_has_the_runs_and_the_papers_counts(runs):
    found = finished(runs, "b0", "a0")
    rows = table_v(found).to_pylist()
    assert [row["what"] for row in rows[:3]] == ["a0: resnet18", "b0: dual-resnet18", "paper: resnet18"]
    assert [row["correct"] for row in rows[2:]] == [209, 220, 190, 221]
    assert "2 of 2 runs are of other clips than the paper's 290" in verdict(found)[0]
    with pytest.raises(InputError, match="its model is ststnet"):
        table_v(finished(runs, "other"))
