"""Each check of predictions finds its leak where it was planted, and passes a clean evaluation."""

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import f1_score
from typer.testing import CliRunner

from flowkit.errors import InputError
from tests.trainer.audit.test_predictions import written
from trainer.audit.checks import (
    above_chance,
    audit_predictions,
    chosen_epochs,
    class_sets,
    people_on_both_sides,
    repeated_clips,
    shifted_rows,
)
from trainer.audit.predictions import Predictions, read_predictions
from trainer.cli import app

CLASSES = ("negative", "positive", "surprise")


@pytest.fixture
def clean(rng):
    """Twenty people with six clips each, three of four of them predicted rightly."""
    person = tuple(np.repeat([f"p{i:02d}" for i in range(20)], 6).tolist())
    true = rng.choice(3, 120, p=[0.6, 0.25, 0.15])
    true[:12] = [0, 1, 0, 2, 0, 1, 1, 0, 2, 0, 0, 1]
    predicted = np.where(rng.random(120) < 0.75, true, rng.integers(0, 3, 120))
    return Predictions(tuple(f"c{i}" for i in range(120)), person, person, true, predicted, CLASSES)


def test_a_clean_evaluation_passes(clean):
    verdicts = {finding.check: finding.verdict for finding in audit_predictions(clean, select="fixed")}
    assert verdicts.pop("chosen epochs") == "not checked"
    assert set(verdicts.values()) == {"passed"}


def test_a_person_in_two_folds(clean):
    split = dataclasses.replace(clean, fold=("other", *clean.fold[1:]))
    finding = people_on_both_sides(split)
    assert (finding.verdict, finding.examples) == ("leak", ("p00",))
    assert finding.told.startswith("1 of 20 people are held out in several folds")


def test_a_clip_under_two_people_and_a_clip_with_two_rows(clean):
    assert repeated_clips(dataclasses.replace(clean, clip=("c119", *clean.clip[1:]))).verdict == "leak"
    assert repeated_clips(dataclasses.replace(clean, clip=("c1", *clean.clip[1:]))).verdict == "warning"


def test_features_under_the_wrong_rows(clean):
    """As with the released code: held-out row k is given the label of training row k."""
    fold = np.array(clean.fold)
    predicted = clean.predicted.copy()
    for name in set(clean.fold):
        held, train = np.flatnonzero(fold == name), np.flatnonzero(fold != name)
        predicted[held] = clean.true[train[: len(held)]]
    finding = shifted_rows(dataclasses.replace(clean, predicted=predicted))
    assert finding.verdict == "leak"
    assert finding.told.startswith("100% of predictions are the label of the training row in the same place")


def test_clips_in_the_same_order_for_everybody_are_no_shift(clean):
    """As in the demo's data: right predictions are then the labels of the first training rows, too."""
    true = np.tile([0, 0, 1, 1, 2, 2], 20)
    predicted = true.copy()
    predicted[::17] = 0
    assert shifted_rows(dataclasses.replace(clean, true=true, predicted=predicted)).verdict == "passed"


def shown_in_one_order(rng, people=24, clips=6, drawn_anew=0.08, wrong=0.03):
    """Predictions of people who show one series in one order, but for some of their clips."""
    n = people * clips
    person = tuple(np.repeat([f"p{i:02d}" for i in range(people)], clips).tolist())
    true = np.where(rng.random(n) < drawn_anew, rng.integers(0, 3, n), np.tile(rng.integers(0, 3, clips), people))
    predicted = np.where(rng.random(n) < wrong, rng.integers(0, 3, n), np.tile(true[clips : 2 * clips], people))
    return Predictions(tuple(f"c{i}" for i in range(n)), person, person, true, predicted, CLASSES)


def test_a_series_that_most_show_in_one_order_is_no_shift():
    """Predictions are nearer to the first person's labels than true ones are: so they are to everybody's."""
    found = [shifted_rows(shown_in_one_order(np.random.default_rng(seed))).verdict for seed in range(40)]
    assert found.count("leak") == 0
    assert found.count("warning") <= 4


def test_features_under_the_wrong_rows_are_found_where_all_show_similar_series(rng):
    """The labels of one person, whom chance has made unlike the others."""
    found = shown_in_one_order(rng, drawn_anew=0.5)
    own = np.tile(found.true[:6], 24)
    own[:6] = found.true[6:12]
    assert shifted_rows(dataclasses.replace(found, predicted=own)).verdict == "leak"


def within_datasets(clean):
    """The same as two datasets of ten people, in each of which the others train."""
    rows, of_first = np.arange(120), np.arange(120) < 60
    training = {
        name: rows[(of_first == (k < 10)) & (np.array(clean.fold) != name)]
        for k, name in enumerate(dict.fromkeys(clean.fold))
    }
    return dataclasses.replace(clean, training=training, protocol="loso-per-dataset")


def test_who_trains_is_what_counts(clean):
    """Features and classes of other datasets are not in training: of a file it is not known who is."""
    clean = within_datasets(clean)
    predicted = clean.predicted.copy()
    for name, train in clean.training.items():
        held = np.flatnonzero(np.array(clean.fold) == name)
        predicted[held] = clean.true[train[: len(held)]]
    slipped = dataclasses.replace(clean, predicted=predicted)
    assert shifted_rows(slipped).verdict == "leak"
    assert shifted_rows(dataclasses.replace(slipped, training=None)).verdict == "not checked"
    lone = np.minimum(clean.true, 1)
    lone[[0, 60, 66]] = 2  # one person of the first dataset, two of the second
    found = dataclasses.replace(clean, true=lone)
    assert class_sets(found).examples == ("surprise (fold p00)",)
    assert class_sets(dataclasses.replace(found, training=None)).verdict == "not checked"


def test_a_person_of_two_datasets_trains_neither_where_the_other_is_held_out(clean):
    """As in hde and cd6me: a class that this person alone shows is in no training row."""
    person = np.array(clean.person)
    fold = np.where(np.arange(120) < 60, "one", "two")
    person[60:66] = "p00"
    true = np.minimum(clean.true, 1)
    true[[0, 60]] = 2
    found = dataclasses.replace(clean, person=tuple(person.tolist()), fold=tuple(fold.tolist()), true=true)
    assert class_sets(dataclasses.replace(found, protocol="hde")).examples == (
        "surprise (fold one)",
        "surprise (fold two)",
    )
    assert class_sets(found).verdict == "passed", "of an evaluation that says nothing all else trains"


def test_too_few_permutations_say_nothing_of_chance():
    """Six people of one class each, of whom two have as many clips: of two orders one is the true one."""
    sizes, classes = [2, 3, 4, 5, 6, 6], [0, 1, 2, 0, 1, 2]
    person, true = (np.repeat(values, sizes) for values in (np.arange(6), classes))
    names, clips = tuple(f"p{k}" for k in person), tuple(f"c{k}" for k in range(len(true)))
    found = Predictions(clips, names, names, true, true, CLASSES)
    finding = above_chance(found, shuffled=False)
    assert finding.verdict == "not checked"
    assert "even predictions that are all right would be no better than chance" in finding.told


def test_always_the_same_class_is_no_shift(clean):
    assert shifted_rows(dataclasses.replace(clean, predicted=np.zeros(120, dtype=np.int64))).verdict == "passed"


def test_class_sets(clean):
    one = dataclasses.replace(clean, true=np.zeros(120, dtype=np.int64))
    assert class_sets(one).verdict == "leak"
    never_true = dataclasses.replace(clean, true=np.minimum(clean.true, 1))
    assert class_sets(never_true).told.startswith("surprise is predicted and never true")
    lone = np.minimum(clean.true, 1)
    lone[0] = 2
    assert class_sets(dataclasses.replace(clean, true=lone)).examples == ("surprise (fold p00)",)


def test_epochs(clean):
    by_fold = tuple(int(name[1:]) for name in clean.fold)
    assert chosen_epochs(dataclasses.replace(clean, epoch=by_fold), None).verdict == "leak"
    assert chosen_epochs(dataclasses.replace(clean, epoch=by_fold), "inner").verdict == "passed"
    assert chosen_epochs(dataclasses.replace(clean, epoch=(15,) * 120), None).verdict == "passed"
    assert chosen_epochs(clean, "held-out").verdict == "leak"


def test_shuffled_labels_that_score(clean, rng):
    assert above_chance(clean, shuffled=True).verdict == "leak"
    guessed = dataclasses.replace(clean, predicted=rng.permutation(clean.true))
    assert above_chance(guessed, shuffled=True).verdict == "passed"
    assert above_chance(clean, shuffled=False).verdict == "passed"


def by_people(draw, sizes, clustering, skill=0.0):
    """People with so many clips: labels and predictions are each that person's own class so often, else any."""
    person = np.repeat(np.arange(len(sizes)), sizes)
    n = len(person)
    true, said = (
        np.where(draw.random(n) < clustering, draw.integers(0, 3, len(sizes))[person], draw.integers(0, 3, n))
        for _ in range(2)
    )
    names = tuple(f"p{k}" for k in person)
    predicted = np.where(draw.random(n) < skill, true, said)
    return Predictions(tuple(f"c{i}" for i in range(n)), names, names, true, predicted, CLASSES)


@pytest.mark.parametrize("sizes", [[10] * 20, list(range(3, 19))], ids=["as many clips", "all differ"])
def test_people_whose_clips_are_alike_are_not_above_chance(monkeypatch, sizes):
    """Permuted over the clips, 8 and 23 of 100 would be; and who is right in a few more clips is found."""
    monkeypatch.setattr("trainer.audit.checks.PERMUTATIONS", 100)

    def found(skill):
        draws = (by_people(np.random.default_rng(seed), sizes, 0.6, skill) for seed in range(100))
        return sum(above_chance(each, shuffled=False).verdict == "passed" for each in draws)

    assert found(0.0) <= 6
    assert found(0.3) >= 95


def test_what_was_permuted_is_said(rng):
    for sizes, told in (
        ([4] * 10, "permuted within people, and between the 10 of 10 who have as many clips as another: "),
        ([4, 4, 5, 6], "permuted within people, and between the 2 of 4 who have as many clips as another: "),
        ([4, 5, 6], "permuted within people, of whom no two have as many clips: "),
    ):
        assert told in above_chance(by_people(rng, sizes, 0.0), shuffled=False).told
    found = above_chance(by_people(rng, [4, 5, 6], 1.0), shuffled=False)
    assert (found.verdict, found.told[:25]) == ("not checked", "no label can be permuted:")


def test_pairs_of_one_clip_are_permuted_together(monkeypatch):
    """Eight pairs a clip, all with its label and one prediction, which is chance: that of few runs seems to be more."""
    monkeypatch.setattr("trainer.audit.checks.PERMUTATIONS", 300)
    leaks = 0
    for seed in range(60):
        draw = np.random.default_rng(seed)
        clip = np.repeat(np.arange(30), 8)
        true, predicted = (draw.integers(0, 3, 30)[clip] for _ in range(2))
        person = tuple(f"p{k // 3}" for k in clip)
        found = Predictions(tuple(f"c{k}" for k in clip), person, person, true, predicted, CLASSES)
        leaks += above_chance(found, shuffled=True).verdict == "leak"
    assert leaks <= 3


def of_units(rng, skill, people=20, clips=6):
    """Of three units the first shown by half of the clips, the second by few, the third by nobody."""
    n = people * clips
    true = rng.random((n, 3)) < [0.5, 0.2, 0.0]
    said = np.where(rng.random((n, 3)) < skill, true, rng.random((n, 3)) < [0.5, 0.2, 0.1])
    sets = [["+".join(np.array(["AU1", "AU4", "AU9"])[row]) for row in rows] for rows in (true, said)]
    classes = tuple(sorted({*sets[0], *sets[1]}))
    numbers = [np.array([classes.index(name) for name in each]) for each in sets]
    person = tuple(np.repeat([f"p{k:02d}" for k in range(people)], clips).tolist())
    clip = tuple(f"c{i}" for i in range(n))
    return Predictions(clip, person, person, *numbers, classes, units=("AU1", "AU4", "AU9")), true, said


def test_action_units_are_audited_by_their_mean_f1(rng):
    found, true, said = of_units(rng, 0.4)
    expected = np.mean([f1_score(true[:, k], said[:, k]) for k in (0, 1)])
    assert f"mean F1 of the units that are shown {expected:.3f}; with labels" in above_chance(found, False).told
    assert above_chance(found, shuffled=False).verdict == "passed"
    assert above_chance(found, shuffled=True).verdict == "leak"
    guessed = of_units(rng, 0.0)[0]
    assert above_chance(guessed, shuffled=False).verdict == "warning"
    assert above_chance(guessed, shuffled=True).verdict == "passed"


def test_the_class_sets_of_action_units(rng):
    found = of_units(rng, 0.4)[0]
    assert (class_sets(found).verdict, class_sets(found).told) == ("passed", "rows show 2 of 3 action units")
    lone = np.where(np.array(found.person) == "p03", found.classes.index("AU4"), found.classes.index("AU1"))
    finding = class_sets(dataclasses.replace(found, true=lone))
    assert (finding.verdict, finding.examples) == ("warning", ("AU4 (fold p03)",))
    assert finding.told.endswith("; one is held out where no training row shows it")
    nobody = class_sets(dataclasses.replace(found, true=np.full(120, found.classes.index(""))))
    assert (nobody.verdict, nobody.told) == ("warning", "rows show 0 of 3 action units")


def test_rows_of_all_epochs_are_no_run_with_one(tmp_path):
    lines = [f"{who},c{who},{emotion},n,{epoch}" for who, emotion in ((1, "n"), (2, "p")) for epoch in (1, 2, 3)]
    found = chosen_epochs(read_predictions(written(tmp_path, "subject,clip,true,predicted,epoch", *lines)), None)
    assert (found.verdict, found.examples) == ("leak", ("1", "2"))
    assert "2 of 2 people have rows of several epochs" in found.told


def test_epochs_that_training_people_chose_are_no_leak(tmp_path):
    """As nested cross-validation has them: a file cannot say so itself, whoever gives it can."""
    path = written(tmp_path, "subject,fold,true,predicted,epoch", "1,1,n,n,3", "2,2,p,p,5")
    told = chosen_epochs(read_predictions(path), None).told
    assert told.endswith("if chosen on people set aside from training, give --select inner")
    assert CliRunner().invoke(app, ["audit", str(path)]).exit_code == 1
    assert CliRunner().invoke(app, ["audit", str(path), "--select", "inner"]).exit_code == 0
    with pytest.raises(InputError, match="--select: 'fixed' is not inner"):
        app(["audit", str(path), "--select", "fixed"], standalone_mode=False)
    several = read_predictions(written(tmp_path, "subject,fold,true,predicted,epoch", "1,1,n,n,3", "1,1,p,p,5"))
    assert chosen_epochs(several, "inner").verdict == "leak"


def test_folds_and_clips_that_no_column_says_are_not_checked(tmp_path):
    """Each person in three folds, and a clip twice, under names that nobody knows."""
    lines = [f"{who},cv{k % 3},c{who}{k % 5},{'np'[k % 2]},{'np'[k // 3]}" for who in range(4) for k in range(6)]
    found = read_predictions(written(tmp_path, "subject,cv_fold,sample,true,predicted", *lines))
    for check, name in ((people_on_both_sides, "fold"), (repeated_clips, "clip"), (shifted_rows, "fold")):
        finding = check(found)
        assert finding.verdict == "not checked"
        assert f"no column says the {name} (" in finding.told
        assert finding.told.endswith("the columns are subject, cv_fold, sample, true, predicted")
    assert "0 of 4 people have one class" in class_sets(found).told


def test_one_fold_does_not_say_who_trained(tmp_path):
    found = people_on_both_sides(read_predictions(written(tmp_path, "subject,fold,true,predicted", "1,test,n,n")))
    assert (found.verdict, found.told) == ("not checked", "there is one fold only, so no training rows are known")


def test_features_under_the_wrong_rows_are_found_without_a_column_fold(clean):
    labels = np.concatenate([clean.true[6:12], *[clean.true[:6]] * 19])
    finding = shifted_rows(dataclasses.replace(clean, predicted=labels, fold=None))
    assert finding.verdict == "leak"
    assert "if each person is a fold: no column says the fold" in finding.told


def test_a_class_of_the_only_fold_is_in_no_fold_less_than_the_others(tmp_path):
    lines = ("1,n,n,test", "2,p,p,test", "3,n,p,test")
    assert class_sets(read_predictions(written(tmp_path, "subject,true,predicted,fold", *lines))).verdict == "passed"
