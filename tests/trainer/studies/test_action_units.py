"""Units by group: counted right, sure only of what many people show."""

import numpy as np
import pytest

from trainer.studies.action_units import substring, unit_by_group


def groups(people_first, people_second, clips):
    person = np.repeat([f"p{i}" for i in range(people_first + people_second)], clips)
    return person, np.repeat(np.arange(people_first + people_second) < people_first, clips)


def test_counts_by_emotion():
    person, first = groups(2, 2, 2)
    au = ["6+12", "12", "12", "1", "12", "1", "1+2", None]
    emotion = ["positive"] * 4 + ["surprise", "positive", "positive", "positive"]
    table = unit_by_group(au, emotion, person, first, [1, 12], permutations=100)
    rows = {(row["emotion"], row["au"]): row for row in table.to_pylist()}
    assert set(rows) == {("positive", 1), ("positive", 12), ("surprise", 12)}
    twelve = rows["positive", 12]
    assert [twelve[key] for key in ("first", "of_first", "second", "of_second")] == [3, 4, 0, 2]
    assert rows["surprise", 12]["p_people"] == 1
    assert rows["surprise", 12]["p_clips"] is None


def test_a_dataset_without_annotations_makes_no_difference_between_groups():
    person, first = groups(20, 10, 3)
    au = [None if number < 30 else "12" for number in range(90)]
    (row,) = unit_by_group(au, ["positive"] * 90, person, first, [12]).to_pylist()
    assert (row["first"], row["of_first"], row["second"], row["of_second"]) == (30, 30, 30, 30)
    assert row["p_people"] == 1


@pytest.mark.parametrize("unknown", [None, "", " ", "?", "NULL", "-", "n/a", "/"])
def test_clips_of_which_nobody_knows_the_units_are_left_out(unknown):
    person, first = groups(4, 4, 1)
    au = ["12", "12", unknown, unknown, "1", "0", "1", "1"]
    (row,) = unit_by_group(au, ["positive"] * 8, person, first, [12]).to_pylist()
    assert (row["first"], row["of_first"], row["second"], row["of_second"]) == (2, 2, 0, 4)


def test_the_slip_finds_a_unit_in_anothers_digits():
    assert substring("12", 1)
    assert substring("26", 6)
    assert not substring("4+7", 1)


def test_a_difference_that_many_people_show_is_found():
    person, first = groups(12, 12, 3)
    au = ["12" if of_first else "4" for of_first in first]
    (twelve, four) = unit_by_group(au, ["positive"] * 72, person, first, [12, 4]).to_pylist()
    assert twelve["p_people"] < 0.001
    assert twelve["p_holm"] == pytest.approx(2 * twelve["p_people"])
    assert four["p_holm"] >= twelve["p_holm"]


def test_one_person_with_many_clips_is_no_finding():
    """Chi-squared over clips is sure of a difference that a single person makes; over people it is none."""
    person = np.array(["a"] * 30 + [f"b{i}" for i in range(10)] + [f"c{i}" for i in range(10)])
    first = np.array([True] * 40 + [False] * 10)
    au = ["12"] * 30 + ["4"] * 20
    (row,) = unit_by_group(au, ["positive"] * 50, person, first, [12]).to_pylist()
    assert row["p_clips"] < 0.001
    assert row["p_people"] > 0.3


def test_without_a_difference_p_is_uniform(rng):
    ps = []
    for trial in range(120):
        person, first = groups(10, 10, 3)
        au = ["12" if shown else "4" for shown in rng.random(60) < 0.4]
        table = unit_by_group(au, ["x"] * 60, person, first, [12], permutations=200, seed=trial)
        ps.append(table["p_people"][0].as_py())
    assert 0.38 < np.mean(ps) < 0.65
    assert np.mean(np.array(ps) <= 0.1) < 0.2
