"""Folds: nobody is in training and held out at once."""

import numpy as np
import pytest

from flowkit.errors import InputError
from trainer.folds import loso


def random_people(rng):
    n = int(rng.integers(2, 60))
    datasets = [[None, "casme2", "samm"][k] for k in rng.integers(0, 3, n)]
    subjects = [f"{k:02d}" for k in rng.integers(0, 6, n)]
    datasets[0], subjects[0], subjects[1] = "casme2", "98", "99"
    return datasets, subjects


def test_a_held_out_subject_is_in_no_training_row(rng):
    for _ in range(200):
        datasets, subjects = random_people(rng)
        people = np.array([f"{d}|{s}" for d, s in zip(datasets, subjects, strict=True)])
        folds = loso(datasets, subjects)
        assert len(folds) == len(set(people))
        for fold in folds:
            assert set(people[fold.held_out]) == {f"{fold.dataset}|{fold.subject}"}
            assert f"{fold.dataset}|{fold.subject}" not in people[fold.train]
            assert sorted([*fold.train, *fold.held_out]) == list(range(len(people)))
        assert sorted(np.concatenate([fold.held_out for fold in folds])) == list(range(len(people)))


def test_equal_numbers_of_two_datasets_are_two_people():
    folds = loso(["casme2", "samm", "casme2", "samm"], ["01", "01", "02", "02"])
    assert [fold.name for fold in folds] == ["casme2/01", "casme2/02", "samm/01", "samm/02"]
    assert [fold.held_out.tolist() for fold in folds] == [[0], [2], [1], [3]]


def test_the_order_of_the_rows_does_not_change_the_order_of_the_folds(rng):
    datasets, subjects = random_people(rng)
    order = rng.permutation(len(subjects))
    before = loso(datasets, subjects)
    after = loso([datasets[i] for i in order], [subjects[i] for i in order])
    assert [fold.name for fold in after] == [fold.name for fold in before]
    assert [fold.index for fold in after] == list(range(len(before)))
    for one, other in zip(before, after, strict=True):
        assert sorted(order[other.held_out]) == one.held_out.tolist()


@pytest.mark.parametrize(("datasets", "subjects", "found"), [(["a", "a"], ["7", "7"], "a/7"), ([], [], "none")])
def test_fewer_than_two_subjects_are_refused(datasets, subjects, found):
    with pytest.raises(InputError, match=f"at least two subjects.*{found}"):
        loso(datasets, subjects)


def test_a_dataset_is_needed_for_each_subject():
    with pytest.raises(InputError, match="1 datasets for 2 subjects"):
        loso(["a"], ["1", "2"])
