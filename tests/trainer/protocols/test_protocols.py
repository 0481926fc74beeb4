"""Protocols: nobody is in training and held out at once, and nothing but people and datasets decides who is."""

import numpy as np
import pytest

from flowkit.errors import InputError
from trainer.folds import people
from trainer.protocols import split
from trainer.protocols.composite import composition
from trainer.protocols.kfold import kfold
from trainer.protocols.loso import loso


def random_rows(rng):
    """Datasets, people and subjects of some rows; one person is in two datasets under other codes."""
    n = int(rng.integers(8, 60))
    datasets = [["casme2", "samm", "smic"][k] for k in rng.integers(0, 3, n)]
    subjects = [f"{k:02d}" for k in rng.integers(0, 6, n)]
    datasets[:6] = ["casme2", "casme2", "samm", "samm", "smic", "smic"]
    subjects[:6] = ["90", "91", "92", "93", "94", "95"]
    person = ["Ann" if s in ("90", "92") else None for s in subjects]
    return datasets, people(person, datasets, subjects)


@pytest.mark.parametrize(
    "protocol", ["loso", "cde", "loso-per-dataset", "megc2019", "cd6me", "kfold:2", "kfold:5", "hde"]
)
def test_nobody_is_on_both_sides_and_every_row_is_held_out_once(rng, protocol):
    for _ in range(30):
        datasets, who = random_rows(rng)
        if protocol == "hde":
            datasets = ["samm" if name == "smic" else name for name in datasets]
        folds = split(protocol, who, datasets, seed=3)
        names = np.array(who)
        assert sorted(np.concatenate([fold.held_out for fold in folds])) == list(range(len(who)))
        assert [fold.index for fold in folds] == list(range(len(folds)))
        for fold in folds:
            assert not set(names[fold.train]) & set(names[fold.held_out])
            assert (np.diff(fold.train) > 0).all()
            inside = {datasets[i] for i in fold.held_out}
            if protocol in ("cd6me", "hde"):
                assert len(inside) == 1
                assert inside.isdisjoint({datasets[i] for i in fold.train})
            if protocol == "loso-per-dataset":
                assert {datasets[i] for i in fold.train} == inside
                assert len(set(names[fold.held_out])) == 1
            if protocol in ("loso", "cde", "megc2019"):
                assert len(set(names[fold.held_out])) == 1
                assert len(fold.train) + len(fold.held_out) == len(who)


def test_one_person_in_two_datasets_is_held_out_of_both():
    who = people(["Ann", None, "Ann", None], ["casme2", "casme2", "samm", "samm"], ["01", "02", "07", "02"])
    assert who == ("Ann", "casme2/02", "Ann", "samm/02")
    folds = loso(who)
    assert [(fold.name, fold.held_out.tolist()) for fold in folds] == [
        ("Ann", [0, 2]),
        ("casme2/02", [1]),
        ("samm/02", [3]),
    ]
    per_dataset = split("loso-per-dataset", who, ["casme2", "casme2", "samm", "samm"])
    assert [fold.name for fold in per_dataset] == ["casme2: Ann", "casme2/02", "samm: Ann", "samm/02"]
    cross = split("hde", who, ["casme2", "casme2", "samm", "samm"])
    assert [(fold.name, fold.train.tolist(), fold.held_out.tolist()) for fold in cross] == [
        ("casme2", [3], [0, 1]),
        ("samm", [1], [2, 3]),
    ]


def test_a_subject_is_one_person():
    with pytest.raises(InputError, match="samm/07: is person 'Ann' in one row and 'Bob' in another"):
        people(["Ann", "Bob"], ["samm", "samm"], ["07", "07"])
    with pytest.raises(InputError, match="samm/07: is person None in one row and 'Bob' in another"):
        people(["", "Bob"], ["samm", "samm"], ["07", "07"])
    with pytest.raises(InputError, match="1 persons, 2 datasets"):
        people([None], ["a", "a"], ["1", "2"])


def test_a_person_needs_no_subject():
    who = people(["Ann", "Bob", None, "Ann"], ["samm", "samm", "samm", None], [None, "", "07", None])
    assert who == ("Ann", "Bob", "samm/07", "Ann")
    with pytest.raises(InputError, match="row 2: person and subject are missing"):
        people(["Ann", ""], ["samm", "samm"], [None, None])


def test_the_order_of_the_rows_does_not_change_the_folds(rng):
    datasets, who = random_rows(rng)
    order = rng.permutation(len(who))
    for protocol in ("loso", "loso-per-dataset", "cd6me", "kfold:3"):
        before = split(protocol, who, datasets, seed=1)
        after = split(protocol, [who[i] for i in order], [datasets[i] for i in order], seed=1)
        assert [fold.name for fold in after] == [fold.name for fold in before]
        for one, other in zip(before, after, strict=True):
            assert sorted(order[other.held_out]) == one.held_out.tolist()


def test_k_folds_differ_by_one_person_at_most_and_by_seed():
    who = [f"p{i % 11:02d}" for i in range(40)]
    folds = kfold(who, 4, seed=0)
    sizes = [len({who[i] for i in fold.held_out}) for fold in folds]
    assert sorted(sizes) == [2, 3, 3, 3]
    assert [f.held_out.tolist() for f in kfold(who, 4, seed=1)] != [f.held_out.tolist() for f in folds]


@pytest.mark.parametrize(
    ("protocol", "datasets", "message"),
    [
        ("lopo", "ab", "protocol='lopo' is unknown; choose one of loso, cde"),
        ("cde", "aa", "at least two datasets, found a"),
        ("hde", "abc", r"hde needs two datasets, found 3 \(a, b, c\); choose with --datasets"),
        ("cd6me", "aaa", "at least two, found a"),
        ("megc2019", "abc", "needs the datasets casme2, samm and smic, found a, b, c"),
        ("kfold:9", "ab", "kfold:9: must be from 2 to the number of people, 2"),
        ("kfold:x", "ab", "protocol='kfold:x' is unknown"),
        ("loso-per-dataset", "ab", "leave-one-person-out in a needs at least two people, found 1"),
    ],
)
def test_rows_that_a_protocol_cannot_divide_are_refused(protocol, datasets, message):
    with pytest.raises(InputError, match=message):
        split(protocol, [f"p{i}" for i in range(len(datasets))], list(datasets))


def test_one_person_is_nobody_to_train_on():
    with pytest.raises(InputError, match=r"at least two people, found 1 \(a/7\)"):
        loso(["a/7", "a/7"])
    with pytest.raises(InputError, match=r"found 0 \(none\)"):
        loso([])
    with pytest.raises(InputError, match="fold samm: there is no row to train on"):
        split("hde", ["Ann", "Ann", "Bob"], ["casme2", "samm", "samm"])


def test_the_composite_says_how_many_clips_the_challenge_had():
    clips = ["c/1", "h/1", "h/2", "s/1", "s/1"]
    assert composition(["casme2", "SMIC-HS", "smic_hs", "samm", "samm"], clips) == {
        "casme2": (1, 145),
        "samm": (1, 133),
        "smic": (2, 164),
    }
