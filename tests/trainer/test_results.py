"""The files of a run: they agree with each other, and are never half there."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from flowkit.errors import Interrupted, OutputError
from flowkit.output.record import put_record
from tests.motions import motion_samples
from trainer.comparison import read_finished
from trainer.metrics import score, score_by, uf1
from trainer.results import caveats, read_page, summarise, write_run
from trainer.run import describe, folds_of, pooled
from trainer.run_folder import CONFIG
from trainer.train import FoldResult, fold_seed, inner_split
from trainer.types import CLASSES, RunConfig


def guesses(samples, seed=0):
    """Predictions right three times in four, without training."""
    draw = np.random.default_rng(seed)
    probabilities = draw.dirichlet([1, 1, 1], len(samples)).astype(np.float32)
    right = draw.random(len(samples)) < 0.75
    probabilities[right] = 0.1 + 0.7 * np.eye(3, dtype=np.float32)[samples.emotion[right]]
    config = RunConfig(device="cpu")
    results = [
        FoldResult(fold, {"emotion": probabilities[fold.held_out]}, (), [], 15, 0.5)
        for fold in folds_of(samples, config)
    ]
    return pooled(samples, results, config)


def with_units(samples, **changes):
    """The same with action units: 4, 6 and 12, or 1 and 2, by emotion."""
    units = np.zeros((len(samples), 12), dtype=np.int64)
    for emotion, columns in enumerate(([2], [4, 8], [0, 1])):
        units[np.ix_(samples.emotion == emotion, columns)] = 1
    return dataclasses.replace(samples, units=units, **changes)


def guessed_units(samples, seed=0, ethnicity=False, **choices):
    """Predictions of action units, nine of ten right, without training."""
    draw = np.random.default_rng(seed)
    right = draw.random((len(samples), 12)) < 0.9
    probabilities = (0.5 + 0.4 * draw.random((len(samples), 12)) * np.where(right == samples.units, 1, -1)).astype(
        np.float32
    )
    config = RunConfig(device="cpu", target="au12", **choices)
    names = tuple(sorted(set(samples.group))) if ethnicity else ()
    results = []
    for fold in folds_of(samples, config):
        heads = {"emotion": probabilities[fold.held_out]}
        if ethnicity:
            heads["ethnicity"] = np.tile(np.array([[0.9, 0.1]], np.float32), (len(fold.held_out), 1))
        results.append(FoldResult(fold, heads, names, [], 15, 0.5))
    return pooled(samples, results, config)


def write_finished(folder, samples, config, result):
    """The folder of a run that is done, made without training."""
    folder.mkdir(parents=True)
    put_record(folder / CONFIG, describe(samples, folds_of(samples, config), config))
    return write_run(folder, samples, config, result)


@pytest.fixture(scope="module")
def samples():
    return motion_samples(subjects=4, clips=9, side=16)


def test_the_scores_are_those_of_the_predictions(samples, tmp_path):
    write_run(tmp_path, samples, RunConfig(seed=7), guesses(samples))
    rows = pq.read_table(tmp_path / "predictions.parquet").to_pylist()
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert [row["clip_id"] for row in rows] == samples.clip_id
    true, predicted = ([CLASSES.index(row[name]) for row in rows] for name in ("true", "predicted"))
    np.testing.assert_array_equal(true, samples.emotion)
    assert predicted == [int(np.argmax(row["probabilities"])) for row in rows]
    assert metrics["metrics"]["overall"].items() >= score(true, predicted).to_dict().items()
    groups = score_by([row["group"] for row in rows], true, predicted)
    assert {part["group"]: part["uf1"] for part in metrics["metrics"]["per_group"]} == {
        group: uf1(part.counts) for group, part in groups.items()
    }
    assert [part["people"] for part in metrics["metrics"]["per_group"]] == [2, 2]
    assert [row["fold"] for row in rows] == [int(row["subject"]) - 1 for row in rows]
    assert sum(fold["correct"] for fold in metrics["folds"]) == sum(np.equal(true, predicted))
    assert metrics["metrics"]["majority_class"]["uar"] == pytest.approx(1 / 3)
    assert metrics["config"]["seed"] == 7
    assert metrics["seconds_per_fold"] == 0.5
    assert metrics["versions"]["torch"]
    schema = pq.read_schema(tmp_path / "predictions.parquet")
    assert json.loads(schema.metadata[b"classes"]) == list(CLASSES)


def test_a_run_that_cannot_be_written_leaves_no_old_metrics_beside_new_predictions(samples, tmp_path):
    write_run(tmp_path, samples, RunConfig(seed=1), guesses(samples))
    (tmp_path / "report.html").unlink()
    (tmp_path / "report.html").mkdir()
    with pytest.raises(Interrupted, match=r"cannot write .*report\.html"):
        write_run(tmp_path, samples, RunConfig(seed=2), guesses(samples))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["predictions.parquet", "report.html", "tables"]


@pytest.mark.parametrize("version", [2, 4])
@pytest.mark.parametrize("read", [read_page, read_finished])
def test_metrics_of_another_version_are_a_sentence_with_the_remedy(samples, tmp_path, version, read):
    summary = write_finished(tmp_path / "run", samples, RunConfig(), guesses(samples))
    (tmp_path / "run" / "metrics.json").write_text(json.dumps({"schema_version": version, "made": summary["config"]}))
    message = f"metrics.json has schema version {version}, and 3 is read; use the version of flowkit that wrote it, or"
    with pytest.raises(OutputError, match=message):
        read(tmp_path / "run")
    (tmp_path / "run" / "metrics.json").write_text("[]")
    with pytest.raises(OutputError, match="holds no finished run"):
        read(tmp_path / "run")


def test_metrics_are_read_as_they_were_written_whatever_the_locale(samples, tmp_path, monkeypatch):
    some = dataclasses.replace(samples, group=["dà"] * len(samples))
    write_finished(tmp_path / "run", some, RunConfig(), guesses(some))
    read_text = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda path, encoding="latin-1": read_text(path, encoding=encoding))
    for summary in (read_page(tmp_path / "run").summary, read_finished(tmp_path / "run").summary):
        assert [part["group"] for part in summary["metrics"]["per_group"]] == ["dà"]


def test_caveats_name_what_the_scores_hide(samples):
    notes = " ".join(caveats(samples, RunConfig(), guesses(samples)))
    assert "only 4 people" in notes
    assert "Class surprise has only 12 rows" in notes
    assert "Group asian has only 18 rows" in notes
    assert "null control" not in notes
    assert "single dataset" not in notes
    assert "null control" in caveats(samples, RunConfig(shuffle_labels=True), guesses(samples))[0]


def test_caveats_of_action_units_name_those_that_nobody_or_few_show(samples):
    units = with_units(samples, source={"failed_pairs": 2})
    units.units[0, 5] = 1
    config = RunConfig(target="au12", shuffle_labels=True, slips=("substring-aus",))
    assert [note.partition(":")[0] for note in caveats(units, config, guessed_units(units))] == [
        "Action units were permuted over the clips",
        "This run repeats a slip on purpose, and is no result",
        "2 planned pairs of the extraction failed and are missing here.",
        "There are only 4 people",
        "No row shows AU5, AU9, AU10, AU14, AU15, AU17",
        "Fewer than 20 rows show AU1 (12), AU2 (12), AU4 (12), AU6 (12), AU7 (1), AU12 (12)",
        "Without toy/01 no row that is trained on shows AU7",
        "Group asian has only 18 rows",
        "Group non_asian has only 18 rows",
    ]
    summary = summarise(units, config, guessed_units(units), Path("no-run"))
    left_out = summary["metrics"]["overall"]["intervals"]["binary"]["left_out"]
    assert summary["caveats"][-1] == (
        f"AU7 is shown by 1 person only: {left_out} of 2000 draws of people lack a unit, and are left out of the "
        "intervals of binary F1 and macro F1."
    )


def test_the_tables_of_action_units_are_those_of_metrics_json(samples, tmp_path):
    units = with_units(samples)
    summary = write_run(tmp_path, units, RunConfig(target="au12"), guessed_units(units, ethnicity=True))
    assert json.loads((tmp_path / "metrics.json").read_text())["metrics"] == summary["metrics"]
    overall = summary["metrics"]["overall"]
    rows = pq.read_table(tmp_path / "tables" / "units.parquet").to_pylist()
    assert {row["unit"]: (row["n"], row["support"], row["binary"], row["macro_low"]) for row in rows} == {
        name: (36, unit["support"], unit["binary"], unit["intervals"]["macro"]["low"])
        for name, unit in overall["au"].items()
    }
    rows = pq.read_table(tmp_path / "tables" / "scores.parquet").to_pylist()
    assert [(row["of"], row["name"], row["classes"]) for row in rows] == [
        ("all", "", 5),
        ("group", "asian", 5),
        ("group", "non_asian", 5),
        ("dataset", "toy", 5),
        ("head", "emotion", 5),
        ("head", "ethnicity", 2),
        ("always the commonest class", "", 5),
        ("always every unit", "", 5),
    ]
    assert (rows[0]["binary"], rows[0]["f1_AU4"]) == (overall["binary"], overall["au"]["AU4"]["binary"])
    assert (rows[5]["binary"], rows[5]["accuracy"]) == (None, 0.5)
    gaps = pq.read_table(tmp_path / "tables" / "gaps.parquet").to_pylist()
    assert [(gap["first"], gap["second"], gap["macro"]) for gap in gaps] == [
        ("asian", "non_asian", summary["metrics"]["gaps"][0]["macro"]["value"])
    ]


def test_a_group_from_one_dataset_is_a_confound(samples):
    datasets = ["samm" if group == "non_asian" else f"casme{i % 2}" for i, group in enumerate(samples.group)]
    confounded = dataclasses.replace(samples, dataset=datasets)
    notes = " ".join(caveats(confounded, RunConfig(), guesses(confounded)))
    assert "Groups from a single dataset (non_asian from samm)" in notes


def test_missing_input_and_missing_classes_are_said(samples):
    source = {"missing_pairs": 3, "failed_pairs": 2, "without_emotion3": 1}
    emotion = np.where(np.array(samples.subject) == "04", samples.emotion, samples.emotion % 2)
    partial = dataclasses.replace(samples, source=source, emotion=emotion)
    notes = " ".join(caveats(partial, RunConfig(), guesses(partial)))
    assert "3 planned pairs are missing" in notes
    assert "2 planned pairs of the extraction failed" in notes
    assert "1 pairs have no emotion3" in notes
    assert "Without toy/04 no row that is trained on shows surprise" in notes
    assert "Without toy/03" not in notes


def test_a_class_without_rows_is_not_called_uncertain(samples):
    two = dataclasses.replace(samples, emotion=samples.emotion % 2)
    notes = caveats(two, RunConfig(), guesses(two))
    assert [note for note in notes if "surprise" in note] == [
        "Class surprise has no rows: UF1 and UAR are means over the other classes."
    ]


def test_a_fold_that_sets_the_only_people_with_a_class_aside_is_said(samples):
    """Surprise is shown by two people: with one held out and the other set aside, no row that trains has it."""
    both = np.isin(samples.subject, ["03", "04"])
    few = dataclasses.replace(samples, emotion=np.where(both, samples.emotion, samples.emotion % 2))
    said = set()
    for seed in range(4):
        config = RunConfig(select="inner", seed=seed)
        notes = " ".join(caveats(few, config, guesses(few)))
        for fold in folds_of(few, config):
            rows, _ = inner_split(few, fold, config, fold_seed(seed, fold.index))
            told = f"Without {fold.name} no row that is trained on shows surprise" in notes
            assert told == (2 not in few.emotion[rows])
            said.add(told)
        assert "trained on shows surprise" not in " ".join(caveats(few, RunConfig(seed=seed), guesses(few)))
    assert said == {True, False}


def test_draws_that_lack_a_class_are_said(samples):
    lone = np.array(samples.subject) == "04"
    few = dataclasses.replace(samples, emotion=np.where(lone, samples.emotion, samples.emotion % 2))
    summary = summarise(few, RunConfig(), guesses(few), Path("no-run"))
    left_out = summary["metrics"]["overall"]["intervals"]["uf1"]["left_out"]
    assert left_out > 500
    assert f"Class surprise is shown by 1 person only: {left_out} of 2000 draws" in " ".join(summary["caveats"])
    summary = summarise(samples, RunConfig(), guesses(samples), Path("no-run"))
    assert "draws of people" not in " ".join(summary["caveats"])


def test_no_groups_are_said(samples):
    nobody = dataclasses.replace(samples, group=[None] * len(samples), group_column=None)
    assert "neither group nor ethnicity" in " ".join(caveats(nobody, RunConfig(), guesses(nobody)))
