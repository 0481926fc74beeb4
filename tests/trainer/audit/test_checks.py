"""Each check finds its leak where it was planted, and passes a clean evaluation."""

import dataclasses
import tracemalloc
import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import f1_score
from typer.testing import CliRunner

from flowkit.errors import InputError
from flowkit.motion.strain import strain_magnitude
from trainer.audit.checks import (
    above_chance,
    audit_predictions,
    chosen_epochs,
    class_sets,
    people_on_both_sides,
    repeated_clips,
    shifted_rows,
)
from trainer.audit.cubes import near_identical, strain_axes
from trainer.audit.predictions import Predictions, read_predictions
from trainer.cli import app
from trainer.data import resize, strain_of
from trainer.folds import Fold

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


def test_too_few_permutations_say_nothing_of_chance():
    """Six people of one class each, of whom two have as many clips: of two orders one is the true one."""
    sizes, classes = [2, 3, 4, 5, 6, 6], [0, 1, 2, 0, 1, 2]
    person, true = (np.repeat(values, sizes) for values in (np.arange(6), classes))
    names, clips = tuple(f"p{k}" for k in person), tuple(f"c{k}" for k in range(len(true)))
    found = Predictions(clips, names, names, true, true, CLASSES)
    finding = above_chance(found, shuffled=False)
    assert finding.verdict == "not checked"
    assert "even predictions that are all right would be no better than chance" in finding.told


def test_copies_count_where_one_trains_the_other(rng):
    """Two people of one dataset with one recording are held out together where the dataset is."""
    cubes = np.array([drawn(rng) for _ in range(6)])
    cubes[2] = cubes[0]
    clips, people = list("abcdef"), ["p", "p", "q", "q", "r", "r"]
    together = [Fold(0, "A", np.array([4, 5]), np.arange(4)), Fold(1, "B", np.arange(4), np.array([4, 5]))]
    apart = [Fold(0, "p", np.array([2, 3]), np.array([0, 1])), Fold(1, "q", np.array([0, 1]), np.arange(2, 6))]
    assert near_identical(cubes, clips, people, apart).verdict == near_identical(cubes, clips, people).verdict == "leak"
    finding = near_identical(cubes, clips, people, together)
    assert (finding.verdict, finding.examples) == ("warning", ("a and c",))
    assert "none trains the other's fold" in finding.told


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


def test_near_identical_cubes(rng):
    cubes = rng.normal(size=(8, 3, 48, 48)).astype(np.float32)
    cubes = np.array([[np.cumsum(np.cumsum(p, 0), 1) for p in cube] for cube in cubes]).astype(np.float32)
    clips, people = [f"c{i}" for i in range(8)], list("aabbccdd")
    assert near_identical(cubes, clips, people).verdict == "passed"
    cubes[7] = 1.1 * cubes[0] + rng.normal(size=cubes[0].shape).astype(np.float32)
    assert near_identical(cubes, clips, people).examples == ("c0 and c7",)
    assert near_identical(cubes, clips, people).verdict == "leak"
    assert near_identical(cubes, clips, ["a"] * 8).verdict == "warning"


@pytest.mark.parametrize("values", [1, 40, 1 << 20])
def test_copies_are_found_wherever_the_blocks_that_are_compared_end(rng, monkeypatch, values):
    """Three clips are one; a fourth has two pairs, which may be alike."""
    monkeypatch.setattr("trainer.audit.cubes.BLOCK_VALUES", values)
    cubes = np.array([drawn(rng) for _ in range(12)])
    cubes[[5, 11]], cubes[8] = cubes[2], cubes[7]
    clips = [f"c{i}" for i in range(12)]
    clips[8] = "c7"
    found = near_identical(cubes, clips, list("abcdefghijkl"))
    assert (found.verdict, found.told[:36]) == ("leak", "3 pairs of clips of different people")
    assert found.examples == ("c2 and c5", "c2 and c11", "c5 and c11")
    found = near_identical(cubes, clips, list("aaaaaaaaaaaa"))
    assert (found.verdict, found.examples) == ("warning", ("c2 and c5", "c2 and c11", "c5 and c11"))
    found = near_identical(np.repeat(cubes[:1], 12, axis=0), clips, list("aaaaaabbbbbb"))
    assert found.examples == ("c0 and c6", "c0 and c7", "c0 and c7", "c0 and c9", "c0 and c10", "and 31 more")


def test_the_memory_of_comparing_cubes_does_not_grow_with_the_square_of_their_number(rng, monkeypatch):
    monkeypatch.setattr("trainer.audit.cubes.SIDE", 8)
    cubes = rng.normal(size=(4000, 3, 9, 9)).astype(np.float32)
    names = [str(i) for i in range(len(cubes))]
    tracemalloc.start()
    assert near_identical(cubes, names, names).verdict == "passed"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(cubes) ** 2 * 8  # one number for every two


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


def drawn(rng, side=64, strength=0.3):
    """A motion of its own, (3, side, side): five bumps of some tenths of a pixel."""
    y, x = np.mgrid[:side, :side] / side
    cube = np.zeros((3, side, side), dtype=np.float32)
    for row, column, u, v in zip(*rng.uniform(0.15, 0.85, (2, 5)), *rng.normal(0, strength, (2, 5)), strict=True):
        cube[:2] += np.multiply.outer([u, v], np.exp(-((x - column) ** 2 + (y - row) ** 2) / 0.02))
    return cube


def test_the_same_turn_of_the_head_makes_no_copies(rng):
    """As in a study where all look up: the turn is much the larger motion, and what is shown is everybody's own."""
    y, x = np.mgrid[:64, :64] - 31.5
    turn = np.deg2rad(3) * np.stack([-y, x, np.zeros_like(x)])
    cubes = np.array([drawn(rng, strength=0.15) + turn * rng.uniform(0.95, 1.05) for _ in range(12)], dtype=np.float32)
    cubes[:, :2] += rng.normal(0, 0.01, cubes[:, :2].shape)
    clips, people = [f"c{i}" for i in range(12)], [f"p{i}" for i in range(12)]
    assert near_identical(cubes, clips, people).verdict == "passed"
    cubes[11] = cubes[0]
    cubes[11, :2] += rng.normal(0, 0.01, cubes[11, :2].shape)
    assert near_identical(cubes, clips, people).examples == ("c0 and c11",)


@pytest.mark.parametrize("change", ["noise", "cropped", "larger"])
def test_copies_that_were_worked_on_are_found(rng, change):
    whole = np.array([drawn(rng, side=96) for _ in range(6)])
    cubes = whole[:, :, 2:-2, 2:-2].copy()
    match change:
        case "noise":
            cubes[5] = cubes[0] + rng.normal(0, 0.03, cubes[0].shape)
        case "cropped":
            cubes[5] = whole[0, :, 3:-1, 1:-3]
        case "larger":
            cubes[5] = 1.08 * cubes[0]
    assert near_identical(cubes, list("abcdef"), list("ABCDEF")).examples == ("a and f",)
    cubes[5] = 2 * cubes[0]  # as strong again: another motion
    assert near_identical(cubes, list("abcdef"), list("ABCDEF")).verdict == "passed"


def test_strain_along_the_wrong_axes(rng):
    flows = rng.normal(size=(4, 2, 32, 32))
    flows = np.cumsum(np.cumsum(flows, axis=2), axis=3).astype(np.float32)
    right, swapped = (
        np.stack([np.stack([*flow, strain_of(flow, swapped=way)]) for flow in flows]) for way in (False, True)
    )
    assert strain_axes(right).verdict == "passed"
    assert strain_axes(swapped).verdict == "slip"
    noise = np.concatenate([flows, rng.random((4, 1, 32, 32), dtype=np.float32)], axis=1)
    assert strain_axes(noise).verdict == "not checked"
    assert strain_axes(np.zeros_like(noise)).verdict == "not checked"


@pytest.mark.parametrize("height", [24, 48, 96])
@pytest.mark.parametrize("swapped", [False, True])
def test_strain_of_cubes_that_had_another_aspect_ratio(rng, height, swapped):
    """It keeps the values of the grid before, where u and v changed by other lengths from pixel to pixel."""
    flows = [resize(drawn(rng, side=96), (height, 96))[:2] for _ in range(6)]
    cubes = np.array([resize(np.stack([*flow, strain_of(flow, swapped=swapped)]), (32, 32)) for flow in flows])
    assert strain_axes(cubes, [(height, 96)]).verdict == ("slip" if swapped else "passed")
    assert strain_axes(cubes, [(height, 96), (height * 2, 96)]).verdict == "not checked"


def test_strain_that_is_alike_either_way_tells_nothing(rng):
    y, x = np.mgrid[:32, :32] / 32
    wave = np.stack([np.sin(5 * (x + y))] * 2).astype(np.float32)
    noise = rng.normal(0, 0.01, (32, 32)).astype(np.float32)
    found = strain_axes(np.stack([*wave, strain_of(wave) + noise])[None])
    assert found.verdict == "not checked"
    assert found.told.endswith(": too alike to tell")


@pytest.mark.parametrize(("variant", "verdict"), [("standard", "passed"), ("meb", "slip")])
def test_the_strain_that_meb_has_is_known_by_its_axes(rng, variant, verdict):
    """It takes zeros to lie outside of the image, and so is largest at the edge wherever a head has moved."""
    flows = np.array([2 + drawn(rng)[:2] for _ in range(6)], dtype=np.float32)
    strain = strain_magnitude(flows, variant, device="cpu")
    assert strain_axes(np.concatenate([flows, strain[:, None]], axis=1)).verdict == verdict


def test_files_of_others_are_read(tmp_path):
    (tmp_path / "theirs.csv").write_text("Subject,Dataset,y_true,y_pred,Epoch\n006,samm,0,1,3\n006,casme2,1,1,4\n")
    found = read_predictions(tmp_path / "theirs.csv")
    assert found.person == ("samm/006", "casme2/006")
    assert found.fold is found.clip is None
    assert (found.true.tolist(), found.predicted.tolist(), found.classes) == ([0, 1], [1, 1], ("0", "1"))
    assert found.epoch == (3, 4)
    table = pa.table({"true": ["a"], "predicted": ["b"], "person": ["x"], "fold": [7], "clip_id": ["c"]})
    pq.write_table(table, tmp_path / "ours.parquet")
    assert read_predictions(tmp_path / "ours.parquet").fold == ("7",)


def written(folder, *lines):
    (folder / "theirs.csv").write_text("\n".join(lines) + "\n")
    return folder / "theirs.csv"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_csv_is_read_as_spreadsheets_write_it(tmp_path, encoding, separator):
    lines = ["subject,dataset,true,predicted", '"006",samm,n,p', "007,samm,Überraschung,n"]
    text = "\r\n".join(lines).replace(",", separator)
    (tmp_path / "theirs.csv").write_bytes(text.encode(encoding))
    found = read_predictions(tmp_path / "theirs.csv")
    assert found.person == ("samm/006", "samm/007")
    assert found.classes == ("n", "p", "Überraschung")


def test_a_row_without_a_person_is_its_subjects(tmp_path):
    """And the others keep theirs: Jane is one in both datasets."""
    header = "person,dataset,subject,true,predicted"
    found = read_predictions(written(tmp_path, header, "Jane,a,1,n,n", "Jane,b,7,p,p", ",b,8,n,p"))
    assert found.person == ("Jane", "Jane", "b/8")
    with pytest.raises(InputError, match="a/1: is person 'Jane' in one row and None in another"):
        read_predictions(written(tmp_path, header, "Jane,a,1,n,n", ",a,1,p,p"))
    with pytest.raises(InputError, match="row 2: person and subject are missing"):
        read_predictions(written(tmp_path, "person,true,predicted", "Jane,n,n", ",p,p"))


def test_files_of_two_subjects_may_have_one_name(tmp_path):
    header = "dataset,subject,filename,true,predicted"
    found = read_predictions(written(tmp_path, header, "a,1,EP01,n,n", "a,2,EP01,p,p", "b,1,EP01,n,n"))
    assert found.clip == ("a/1/EP01", "a/2/EP01", "b/1/EP01")
    assert repeated_clips(found).verdict == "passed"


def test_epochs_are_whole_numbers_however_written(tmp_path):
    header = "subject,true,predicted,epoch"
    assert read_predictions(written(tmp_path, header, "1,n,n,15.0", "2,p,p,7")).epoch == (15, 7)
    for epoch in ("", "1.5", "last"):
        with pytest.raises(InputError, match=rf"row 2 has epoch '{epoch}': must be a whole number"):
            read_predictions(written(tmp_path, header, "1,n,n,15", f"2,p,p,{epoch}"))


def test_a_blank_is_no_class_but_of_action_units(tmp_path):
    for name, line in (("true", "2, ,p"), ("predicted", "2,p,")):
        with pytest.raises(InputError, match=rf"row 2 has no {name} class; give it one, or leave the row out"):
            read_predictions(written(tmp_path, "subject,true,predicted", "1,n,n", line))
    table = pa.table({"true": ["", "AU4"], "predicted": ["AU4", ""], "person": ["x", "y"]})
    pq.write_table(table.replace_schema_metadata({"classes": '["AU1", "AU4"]'}), tmp_path / "units.parquet")
    found = read_predictions(tmp_path / "units.parquet")
    assert (found.classes, found.units) == (("", "AU4"), ("AU1", "AU4"))


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


def test_a_blank_is_no_fold_and_no_clip(tmp_path):
    """All blanks would be one clip of many people, or a fold that splits them: a leak that is none."""
    for name in ("fold", "clip_id", "filename"):
        with pytest.raises(InputError, match=f"row 2 has no {name}; give it one, or leave the column out"):
            read_predictions(written(tmp_path, f"subject,true,predicted,{name}", "1,n,n,a", "2,p,p, "))
    table = pa.table({"true": ["n"], "predicted": ["n"], "person": ["x"], "fold": pa.array([None], pa.int32())})
    pq.write_table(table, tmp_path / "null.parquet")
    with pytest.raises(InputError, match="row 1 has no fold"):
        read_predictions(tmp_path / "null.parquet")


def test_blanks_about_a_class_are_no_part_of_it(tmp_path):
    assert read_predictions(written(tmp_path, "subject,true,predicted", "1,n ,n", "2, p,p")).classes == ("n", "p")


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    for header in ("subject,true,true,predicted", "subject,true,TRUE,predicted"):
        with pytest.raises(InputError, match="has 2 columns 'true'; leave one"):
            read_predictions(written(tmp_path, header, "1,n,n,n", "2,p,p,p"))


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


def test_whole_numbers_are_one_class_however_written(tmp_path):
    lines = ("1,0,0.0", "2,1,1.0", "3,-1,-1.", "4,01,1.5")
    assert read_predictions(written(tmp_path, "subject,true,predicted", *lines)).classes == (
        "-1",
        "0",
        "01",
        "1",
        "1.5",
    )


def test_a_person_is_one_in_either_form_of_an_accent(tmp_path):
    composed, apart = (unicodedata.normalize(form, "José") for form in ("NFC", "NFD"))
    lines = (f"{composed},1,c1,n,n", f"{apart} ,2,c2,p,p", "s2,3,c3,n,n")
    found = read_predictions(written(tmp_path, "subject,fold,clip,true,predicted", *lines))
    assert found.person == (composed, composed, "s2")
    assert people_on_both_sides(found).verdict == "leak"


def test_a_class_of_the_only_fold_is_in_no_fold_less_than_the_others(tmp_path):
    lines = ("1,n,n,test", "2,p,p,test", "3,n,p,test")
    assert class_sets(read_predictions(written(tmp_path, "subject,true,predicted,fold", *lines))).verdict == "passed"


def test_files_that_cannot_be_used_are_named(tmp_path):
    (tmp_path / "bad.csv").write_text("subject,y_true\n1,0\n")
    with pytest.raises(InputError, match=r"no column 'predicted' .*; its columns are subject, y_true"):
        read_predictions(tmp_path / "bad.csv")
    with pytest.raises(InputError, match="has no row; give it a row a prediction"):
        read_predictions(written(tmp_path, "subject,y_true,y_pred"))
    with pytest.raises(InputError, match="line 3 has 2 cells, its header 3"):
        read_predictions(written(tmp_path, "subject,y_true,y_pred", "1,n,n", "2,p"))
    (tmp_path / "latin.csv").write_bytes("subject,true,predicted\n1,n,Ü\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"latin.csv cannot be read \(line 2 is not UTF-8"):
        read_predictions(tmp_path / "latin.csv")
    with pytest.raises(InputError, match="there is no such file"):
        read_predictions(tmp_path / "gone.csv")
