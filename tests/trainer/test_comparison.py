"""Runs side by side: seeds as one setting, choices tested in pairs by people, pages of two."""

import dataclasses
import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from flowkit.errors import InputError, OutputError
from tests.motions import motion_samples
from tests.trainer.test_results import guessed_units, guesses, with_units, write_finished
from trainer.cli import app
from trainer.cli.compare import lines
from trainer.comparison import compare, read_finished
from trainer.models import Weights
from trainer.paper import against_paper
from trainer.run import folds_of
from trainer.samples import shuffle_labels
from trainer.statistics import binary_of, counts_by_person, paired_permutation, uf1_of
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


def test_of_k_folds_networks_are_swapped_as_well_as_people(samples, tmp_path):
    """Seeds divide people otherwise, and have networks of their own."""
    for number, (name, model) in enumerate([("a", "resnet18"), ("b", "ststnet")]):
        for seed in (0, 1):
            config = RunConfig(model=model, seed=seed, protocol="kfold:2")
            result = guesses(samples, seed=10 * number + seed)
            for fold in folds_of(samples, config):
                result.fold_of[fold.held_out] = fold.index
            write_finished(tmp_path / f"{name}{seed}", samples, config, result)
    (test,) = compare(finished(tmp_path, "a0", "a1", "b0", "b1"))["tests"]
    assert (test["people"], test["networks"]) == (8, 4)
    assert test["p"]["uf1"] > 0.1  # 2 of 16 orders at least
    (line,) = [line for line in lines(compare(finished(tmp_path, "a0", "b0"))) if "less" in line]
    told = "2 networks that predict them: too few for a p below 0.5, give more seeds, the same of both"
    assert line.endswith(f", 8 people, and {told}")


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


@pytest.mark.parametrize(
    ("changed", "value", "said"),
    [
        ("load_weights", (Weights({}, "x.pth", "b" * 64), None), f"weights of motion {'b' * 12}, not {'a' * 12}"),
        ("versions", {"python": "3.11.0", "torch": "2.10.0"}, "version of torch 2.10.0, not 2.9.0"),
    ],
)
def test_runs_from_other_weights_or_versions_are_another_setting(samples, tmp_path, monkeypatch, changed, value, said):
    """Both change every prediction, and neither is a choice: a file of weights may be another under its old name."""
    monkeypatch.setattr("trainer.run.load_weights", lambda _: (Weights({}, "x.pth", "a" * 64), None))
    monkeypatch.setattr("trainer.run.versions", lambda: {"python": "3.11.0", "torch": "2.9.0"})
    config = RunConfig(pretrained="x.pth")
    write_finished(tmp_path / "a", samples, config, guesses(samples))
    moved = dataclasses.replace(config, pretrained="elsewhere/x.pth", seed=7)
    write_finished(tmp_path / "moved", samples, moved, guesses(samples))
    assert len(compare(finished(tmp_path, "a", "moved"))["settings"]) == 1
    monkeypatch.setattr(f"trainer.run.{changed}", lambda *_: value)
    write_finished(tmp_path / "b", samples, dataclasses.replace(config, seed=1), guesses(samples, seed=1))
    folders = [str(tmp_path / "a"), str(tmp_path / "b")]
    done = CliRunner().invoke(app, ["compare", *folders])
    assert done.exit_code == 0, done.output
    assert f"b, unlike a: {said}\n" in done.output
    assert done.output.splitlines()[-1].startswith("b less a: UF1 ")
    assert CliRunner().invoke(app, ["report", *folders]).exit_code == 0
    html = (tmp_path / "a" / "beside.html").read_text()
    assert "nothing but the seed" not in html
    name, values = said.partition(" of ")[0], said.rpartition(" of ")[2].split(" ", 1)
    assert f"<td>{name} of {values[0]}</td>" in html


def test_choices_that_the_line_of_a_run_does_not_say_are_said(samples, runs, tmp_path):
    config = RunConfig(model="dual-resnet18", epochs=6, size=16)
    write_finished(tmp_path / "c", samples, config, guesses(samples))
    done = CliRunner().invoke(app, ["compare", str(runs / "a0"), str(runs / "b0"), str(tmp_path / "c")])
    unlike = [line for line in done.output.splitlines() if "unlike" in line]
    assert unlike == ["c, unlike a0: epochs 6, not 15; size 16, not None"]


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
    with pytest.raises(InputError, match=r"^1 run: give at least two$"):
        compare(finished(runs, "a0"))
    with pytest.raises(InputError, match=r"a0: is given twice; leave it out once, or give another run$"):
        compare(finished(runs, "a0", "b0", "a0"))
    for command in ("report", "compare"):
        same = [str(runs / "a0"), str(runs / "b0" / ".." / "a0")]
        with pytest.raises(InputError, match=r"a0: is given twice; leave it out once, or give another run$"):
            app([command, *same], standalone_mode=False)
    shutil.copytree(runs / "a0", tmp_path / "copy")
    with pytest.raises(InputError, match=r"^a0 and copy are of one setting and have one seed \(0\): the same"):
        compare([*finished(runs, "a1", "a0"), *finished(tmp_path, "copy")])
    with pytest.raises(OutputError, match="holds no finished run"):
        read_finished(tmp_path)


def test_a_folder_of_several_seeds_is_all_of_them_or_names_one(samples, tmp_path):
    for seed in (10, 0, 2):
        write_finished(tmp_path / "run" / f"seed-{seed}", samples, RunConfig(seed=seed), guesses(samples, seed=seed))
    (tmp_path / "run" / "seed-of-mine").mkdir()
    done = CliRunner().invoke(app, ["compare", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    assert [line.partition(":")[0] for line in done.output.splitlines()] == [
        "seed-0",
        "seed-2",
        "seed-10",
        "resnet18, 3 seeds",
    ]
    table = ["study", "table-v", str(tmp_path / "run"), "-o", str(tmp_path / "table")]
    assert CliRunner().invoke(app, table).exit_code == 0
    assert pq.read_table(tmp_path / "table" / "table.parquet")["seed"].to_pylist()[:3] == [0, 2, 10]
    whole, one = str(tmp_path / "run"), str(tmp_path / "run" / "seed-0")
    for arguments in (["report", whole], ["report", one, whole], ["audit", whole], ["study", "grad-cam", whole]):
        with pytest.raises(OutputError, match=rf"^{whole} holds the runs of 3 seeds; give one of them, as {one}$"):
            app(arguments, standalone_mode=False)
    (tmp_path / "run" / "seed-2" / "metrics.json").unlink()
    with pytest.raises(OutputError, match=r"run/seed-2 holds no finished run; give a folder of flowkit-train loso"):
        app(["compare", whole], standalone_mode=False)


def several_pairs(samples):
    """Three pairs a clip, one after another."""
    clip = [f"{person}/{i // 3}" for i, person in enumerate(samples.subject)]
    return dataclasses.replace(samples, clip_id=clip, emotion=np.arange(len(samples)) // 3 % 3)


@pytest.mark.parametrize("target", ["emotion3", "au12"])
def test_where_a_clip_has_several_pairs_runs_are_compared_by_clip(samples, tmp_path, target):
    """By pair the clips with the most pairs would count the most; the score is that of `by_clip`."""
    many = several_pairs(samples)
    many = with_units(many) if target == "au12" else many
    guess = guessed_units if target == "au12" else guesses
    for name, model in (("a", "resnet18"), ("b", "ststnet")):
        write_finished(tmp_path / name, many, RunConfig(model=model, target=target), guess(many, seed=ord(name)))
    one, other = finished(tmp_path, "a", "b")
    found = compare([one, other])
    score = "binary" if target == "au12" else "uf1"
    by_clip = [run.summary["metrics"]["by_clip"] for run in (one, other)]
    assert [run[score]["value"] for run in found["runs"]] == [scores[score] for scores in by_clip]
    assert [run["n"] for run in found["runs"]] == [16, 16]
    assert found["by"] == "clip"
    assert [setting[score]["mean"] for setting in found["settings"]] == [scores[score] for scores in by_clip]
    (test,) = found["tests"]
    assert test["difference"][score] == pytest.approx(by_clip[1][score] - by_clip[0][score])
    said = "clips have several pairs: scores and tests are of clips, each by the mean probabilities of its pairs"
    folders = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert CliRunner().invoke(app, ["compare", *folders]).output.splitlines()[-1] == said
    assert CliRunner().invoke(app, ["report", *folders]).exit_code == 0
    html = (tmp_path / "a" / "beside.html").read_text()
    assert f"{said[0].upper()}{said[1:]}." in html
    assert f"<b>{by_clip[0][score]:.3f}</b>" in html
    assert "These are scores of clips" in html


def test_table_v_counts_clips_where_they_have_several_pairs(samples, tmp_path):
    many = several_pairs(samples)
    summary = write_finished(tmp_path / "a", many, RunConfig(), guesses(many))
    by_clip = summary["metrics"]["by_clip"]
    row = table_v(finished(tmp_path, "a")).to_pylist()[0]
    assert (row["clips"], row["accuracy"], row["uf1"]) == (16, by_clip["accuracy"], by_clip["uf1"])
    assert verdict(finished(tmp_path, "a"))[0].startswith("Clips have several pairs: scores and tests are of clips, ")
    assert against_paper(summary)["rows"][0][1:3] == [16, round(16 * by_clip["accuracy"])]


def reported(root, *told):
    """The page of a0 and b0 says these; that of a1, written anew, is the same."""
    done = CliRunner().invoke(app, ["report", str(root / "a0"), str(root / "b0")])
    assert done.exit_code == 0, done.output
    html = (root / "a0" / "beside.html").read_text()
    for text in told:
        assert text in html
    before = (root / "a1" / "report.html").read_bytes()
    assert CliRunner().invoke(app, ["report", str(root / "a1")]).exit_code == 0
    assert (root / "a1" / "report.html").read_bytes() == before


def test_compare_and_report_from_the_shell(runs, tmp_path):
    done = CliRunner().invoke(app, ["compare", str(runs / "a0"), str(runs / "b0"), "-o", str(tmp_path / "c.json")])
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1].startswith("b0 less a0: UF1 ")
    assert len(json.loads((tmp_path / "c.json").read_text())["tests"]) == 1
    reported(runs, "Beside b0", "by swapping 8 people")


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


@pytest.fixture(scope="module")
def unit_runs(samples, tmp_path_factory):
    root, units = tmp_path_factory.mktemp("units"), with_units(samples)
    for number, (name, seed, model) in enumerate([("a0", 0, "resnet18"), ("a1", 1, "resnet18"), ("b0", 0, "ststnet")]):
        config = RunConfig(seed=seed, model=model, target="au12")
        write_finished(root / name, units, config, guessed_units(units, seed=number))
    return root


def test_runs_of_action_units_are_tested_by_people(unit_runs, samples):
    a, b = finished(unit_runs, "a0", "b0")
    np.testing.assert_array_equal(a.true[np.argsort(np.argsort(samples.pair_id))], with_units(samples).units)
    (test,) = compare([a, b])["tests"]
    counts = [counts_by_person(run.true, run.predicted, run.person) for run in (b, a)]
    assert (test["difference"]["binary"], test["p"]["binary"]) == paired_permutation(*counts, binary_of)
    scores = [run.summary["metrics"]["overall"]["macro"] for run in (a, b)]
    assert test["difference"]["macro"] == pytest.approx(scores[1] - scores[0])
    done = CliRunner().invoke(app, ["compare", *(str(unit_runs / name) for name in ("a0", "b0"))])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0].startswith("a0: resnet18, seed 0: binary F1 0.")
    assert lines[0].endswith("; means over 5 action units")
    assert lines[-1].startswith(f"b0 less a0: binary F1 {test['difference']['binary']:+.3f} (p = ")
    assert lines[-1].endswith(", 8 people")
    reported(unit_runs, "by swapping 8 people", "F1 of each action unit of b0; those of a0 follow.")


def test_seeds_of_action_units_have_mean_and_spread(unit_runs):
    found = compare(finished(unit_runs, "a0", "a1"))
    (setting,) = found["settings"]
    scores = [run["binary"]["value"] for run in found["runs"]]
    assert (setting["binary"]["mean"], setting["binary"]["sd"]) == pytest.approx(
        (np.mean(scores), np.std(scores, ddof=1))
    )


def test_runs_of_two_targets_are_refused(runs, unit_runs):
    two = [read_finished(runs / "a0"), read_finished(unit_runs / "b0")]
    with pytest.raises(
        InputError, match=r"^a0 has the target emotion3 and b0 au12: no score is of both; give runs of one"
    ):
        compare(two)
    with pytest.raises(InputError, match="its target is action units, and Table V is of emotions"):
        table_v(finished(unit_runs, "a0"))


def test_table_v_has_the_runs_and_the_papers_counts(runs):
    found = finished(runs, "b0", "a0")
    rows = table_v(found).to_pylist()
    assert [row["what"] for row in rows[:3]] == ["a0: resnet18", "b0: dual-resnet18", "paper: resnet18"]
    assert [row["correct"] for row in rows[2:]] == [209, 220, 190, 221]
    assert "2 of 2 runs are of other clips than the paper's 290" in verdict(found)[0]
    for told in (table_v, verdict):
        with pytest.raises(InputError, match="its model is ststnet"):
            told(finished(runs, "other"))


def test_table_v_tests_against_the_baseline_in_whatever_order_the_shell_names_the_runs(runs, tmp_path):
    """A shell's runs/*/seed-* has dual-resnet18 before resnet18, and seed-10 before seed-2."""
    (expected,) = compare(finished(runs, "a0", "a1", "b0", "b1"))["tests"]
    arguments = [str(runs / name) for name in ("b1", "b0", "a1", "a0")]
    done = CliRunner().invoke(app, ["study", "table-v", *arguments, "-o", str(tmp_path)])
    assert done.exit_code == 0, done.output
    sentence = f"b0, b1 less a0, a1: accuracy {expected['difference']['accuracy']:+.4f}, p = "
    assert sentence in done.output
    rows = pq.read_table(tmp_path / "table.parquet")["what"].to_pylist()[:4]
    assert rows == ["a0: resnet18", "a1: resnet18", "b0: dual-resnet18", "b1: dual-resnet18"]
