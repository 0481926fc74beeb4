"""Intervals and tests over people: against known cases, scikit-learn and SciPy."""

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.metrics import f1_score, recall_score

from flowkit.errors import InputError
from trainer.statistics import (
    accuracy_of,
    binary_of,
    bootstrap,
    bootstrap_gap,
    counts_by_person,
    macro_of,
    networks_of,
    paired_permutation,
    uar_of,
    uf1_of,
)


def test_pooled_scores_are_those_of_scikit_learn(rng):
    true, predicted = rng.integers(0, 3, 90), rng.integers(0, 3, 90)
    counts = counts_by_person(true, predicted, [f"p{k}" for k in rng.integers(0, 9, 90)])
    assert counts.shape[0] == 9
    pooled = counts.sum(axis=0)
    assert uf1_of(pooled) == pytest.approx(f1_score(true, predicted, average="macro"))
    assert uar_of(pooled) == pytest.approx(recall_score(true, predicted, average="macro"))
    assert accuracy_of(pooled) == pytest.approx((true == predicted).mean())


def units(rng, n=90, people=9):
    """Three units, (n, 3) true and predicted, and whose rows they are."""
    true, wrong = rng.random((n, 3)) < [0.5, 0.3, 0.1], rng.random((n, 3)) < 0.2
    return true.astype(np.int64), (true ^ wrong).astype(np.int64), [f"p{k}" for k in rng.integers(0, people, n)]


def test_scores_of_units_are_those_of_scikit_learn_in_every_draw(rng):
    """People are drawn by repeating their rows, and scikit-learn scores these."""
    true, predicted, person = units(rng)
    counts = counts_by_person(true, predicted, person)
    names = sorted(set(person))
    assert counts.shape == (len(names), 6, 2)
    for weights in rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=20):
        repeats = [weights[names.index(who)] for who in person]
        t, p = np.repeat(true, repeats, axis=0), np.repeat(predicted, repeats, axis=0)
        pooled = np.tensordot(weights, counts, axes=1)
        assert binary_of(pooled) == pytest.approx(f1_score(t, p, average="macro"))
        assert macro_of(pooled) == pytest.approx(
            np.mean([f1_score(t[:, k], p[:, k], average="macro") for k in range(3)])
        )


def test_a_draw_that_lacks_a_unit_does_not_count(rng):
    """The third unit is shown by one person of nine, and a draw has that one with probability 1 - (8/9)^9."""
    true, predicted, person = units(rng)
    lone = np.array(person) == "p0"
    true[:, 2], predicted[:, 2] = lone, False
    counts = counts_by_person(true, predicted, person)
    found = bootstrap(counts, binary_of)
    assert found.left_out == pytest.approx(2000 * (8 / 9) ** 9, abs=100)
    assert found.low < found.value < found.high < 2 / 3 + 1e-12
    of_others = bootstrap(counts[:, :4], binary_of)
    assert (of_others.left_out, of_others.value * 2 / 3) == (0, pytest.approx(found.value))
    assert bootstrap(counts[:, 4:], macro_of).value == pytest.approx(
        f1_score(true[:, 2], predicted[:, 2], average="macro")
    )
    nobody = bootstrap(counts_by_person(true * 0, predicted, person), binary_of).to_dict()
    assert (nobody["value"], nobody["low"], nobody["left_out"]) == (None, None, 2000)


def test_people_with_all_their_units_are_swapped(rng):
    """Of three people there are eight orders, each as often as another; scikit-learn scores them."""
    true, first, person = units(rng, people=3)
    second = units(rng)[1]
    counts = [counts_by_person(true, predicted, person) for predicted in (first, second)]
    difference, p = paired_permutation(*counts, binary_of)
    orders = []
    for order in range(8):
        swapped = np.array([order >> int(who[1]) & 1 for who in person], dtype=bool)[:, None]
        pair = np.where(swapped, second, first), np.where(swapped, first, second)
        orders.append(np.subtract(*(f1_score(true, predicted, average="macro") for predicted in pair)))
    assert difference == pytest.approx(orders[0])
    assert p == pytest.approx(np.mean(np.abs(orders) >= abs(difference) - 1e-12), abs=0.02)


def test_a_class_without_rows_is_left_out_of_the_mean():
    counts = counts_by_person([0, 0, 1, 1], [0, 2, 1, 1], "aabb")
    assert uf1_of(counts.sum(axis=0)) == pytest.approx((2 / 3 + 1) / 2)
    assert np.isnan(uf1_of(np.zeros((3, 3), dtype=np.int64)))


def test_people_with_one_clip_each_give_the_binomial_interval(rng):
    """Accuracy of n independent people is a binomial share, whose bootstrap interval is that of the binomial."""
    right = rng.random(200) < 0.7
    counts = counts_by_person(np.zeros(200, dtype=int), np.where(right, 0, 1), range(200))
    found = bootstrap(counts, accuracy_of, draws=20_000)
    assert found.value == right.mean()
    expected = binom(200, right.mean()).ppf([0.025, 0.975]) / 200
    np.testing.assert_allclose([found.low, found.high], expected, atol=0.006)


def test_a_draw_that_lacks_a_class_does_not_count():
    """Surprise is shown by one person of eight and never found: no draw may score the other two classes alone."""
    person = np.repeat(range(8), 3)
    true = np.tile([0, 0, 1], 8)
    true[2] = 2
    counts = counts_by_person(true, np.where(true == 2, 0, true), person)
    found = bootstrap(counts, uar_of)
    assert (found.low, found.high) == (found.value, found.value) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    # A draw has the person with probability 1 - (7/8)^8.
    assert found.left_out == pytest.approx(2000 * (7 / 8) ** 8, abs=100)
    assert bootstrap(counts, accuracy_of).left_out == 0
    gap = bootstrap_gap(counts, counts[1:], uar_of)
    assert gap.low == gap.high == pytest.approx(2 / 3 - 1)
    assert gap.left_out > 500


def test_there_is_no_interval_where_most_draws_lack_a_class():
    counts = counts_by_person([0, 1, 2], [0, 1, 2], "abc")
    found = bootstrap(counts).to_dict()
    assert (found["value"], found["low"], found["high"]) == (1, None, None)
    assert found["left_out"] == pytest.approx(2000 * (1 - 6 / 27), abs=100)


def test_one_person_gives_no_interval():
    """Draws of one person are all alike: a width of 0 would make the least known score the surest."""
    one, other = counts_by_person([0, 1, 2, 0], [0, 1, 1, 0], "aaaa"), counts_by_person([0, 1, 2], [0, 0, 2], "bbb")
    many = counts_by_person(np.tile([0, 1, 2], 4), np.tile([0, 1, 1], 4), np.repeat(range(4), 3))
    # Two people drawn at once, of whom one alone has rows of the second side.
    both, alone = np.concatenate([one, other]), np.concatenate([one, np.zeros_like(other)])
    for found in (
        bootstrap(one),
        bootstrap_gap(one, other),
        bootstrap_gap(many, one),
        bootstrap_gap(one, many),
        bootstrap_gap(both, alone, accuracy_of, paired=True),
    ):
        assert np.isfinite(found.value)
        assert (found.to_dict()["low"], found.to_dict()["high"]) == (None, None)


def test_the_order_of_the_rows_changes_nothing(rng):
    true, predicted = rng.integers(0, 3, 96), rng.integers(0, 3, 96)
    person = np.array([f"p{k}" for k in rng.integers(0, 12, 96)])
    order = rng.permutation(96)
    one, other = (counts_by_person(true[o], predicted[o], person[o].tolist()) for o in (np.arange(96), order))
    np.testing.assert_array_equal(one, other)
    assert bootstrap(one) == bootstrap(other)


def test_clips_of_one_person_do_not_make_it_surer():
    """Twenty people whose ten clips are all right or all wrong know as much as twenty clips, not as two hundred."""
    right = np.arange(20) % 2 == 0
    once = counts_by_person(np.zeros(20, dtype=int), np.where(right, 0, 1), range(20))
    often = counts_by_person(np.zeros(200, dtype=int), np.repeat(np.where(right, 0, 1), 10), np.repeat(range(20), 10))
    few, many = bootstrap(once, accuracy_of), bootstrap(often, accuracy_of)
    assert (few.low, few.high) == (many.low, many.high)
    assert many.high - many.low > 0.35


def test_the_interval_covers_as_often_as_it_says(rng):
    covered = 0
    for trial in range(200):
        share = rng.beta(8, 4, size=30)
        right = rng.random((30, 8)) < share[:, None]
        counts = counts_by_person(np.zeros(240, dtype=int), np.where(right, 0, 1).ravel(), np.repeat(range(30), 8))
        found = bootstrap(counts, accuracy_of, draws=400, seed=trial)
        covered += found.low <= 8 / 12 <= found.high
    assert 0.89 <= covered / 200 <= 0.985


@pytest.mark.parametrize(("people", "lowest", "highest"), [(8, 0.79, 0.92), (53, 0.89, 0.985)])
def test_the_interval_of_few_people_is_too_narrow(rng, people, lowest, highest):
    """As docs/study.md says: three classes, of which each person shows a mixture, five rows a person."""

    def drawn(number):
        often, right = rng.dirichlet([4, 1.2, 0.8], number), np.clip(rng.normal(0.6, 0.18, number), 0.02, 0.98)
        who = np.repeat(np.arange(number), 5)
        true = (rng.random(len(who))[:, None] > often.cumsum(axis=1)[who, :2]).sum(axis=1)
        said = np.where(rng.random(len(who)) < right[who], true, rng.integers(0, 3, len(who)))
        return counts_by_person(true, said, who.tolist())

    truth = uf1_of(drawn(100_000).sum(axis=0))
    found = [bootstrap(drawn(people), draws=400, seed=trial) for trial in range(300)]
    covered = np.mean([interval.low <= truth <= interval.high for interval in found])
    assert lowest <= covered <= highest


def test_two_like_runs_are_told_apart_as_often_as_chance_says(rng):
    ps = []
    for trial in range(200):
        true = rng.integers(0, 3, 120)
        runs = [np.where(rng.random(120) < 0.6, true, rng.integers(0, 3, 120)) for _ in range(2)]
        first, second = (counts_by_person(true, run, np.repeat(range(24), 5)) for run in runs)
        ps.append(paired_permutation(first, second, draws=300, seed=trial)[1])
    assert 0.01 <= np.mean(np.array(ps) <= 0.05) <= 0.1
    assert 0.4 <= np.mean(ps) <= 0.62


@pytest.mark.parametrize("seeds", [1, 4])
def test_luck_that_people_share_by_their_network_is_no_difference(rng, seeds):
    """Two settings that are alike, of three folds of eight people, whose network is 9 % (sd) better or worse."""
    who, ps = np.repeat(range(24), 12), []
    for trial in range(60):
        true, networks = rng.integers(0, 3, len(who)), []
        settings = [], []
        for _ in range(seeds):
            fold = (rng.permutation(24) % 3)[who]
            networks.append(networks_of(who.tolist(), fold.tolist(), fold.tolist()))
            for runs in settings:
                right = rng.random(len(who)) < 0.7 + rng.normal(0, 0.09, 3)[fold]
                runs.append(counts_by_person(true, np.where(right, true, (true + 1) % 3), who.tolist()))
        first, second = map(np.array, settings)
        ps.append([paired_permutation(first, second, networks=n, draws=200, seed=trial)[1] for n in (None, networks)])
    by_people, by_networks = (np.array(ps) <= 0.05).mean(axis=0)
    assert by_people > 0.15
    assert by_networks < 0.12


def test_people_of_one_fold_of_any_run_have_one_network():
    assert networks_of("abcd", [0, 1, 2, 3]).tolist() == [0, 1, 2, 3]
    assert networks_of("dabc", [3, 0, 1, 2], [2, 0, 0, 1]).tolist() == [0, 0, 2, 3]
    assert networks_of("aabc", [0, 1, 1, 2]).tolist() == [0, 0, 2]  # a is held out in two folds
    assert networks_of("abc", [0, 0, 1], [0, 1, 1]).tolist() == [0, 0, 0]


@pytest.mark.parametrize("people", [1, 2, 3, 6, 13])
def test_of_few_people_all_ways_to_swap_are_counted(people):
    """Everybody is right in one run and wrong in the other: of all ways the order as it is and its opposite."""
    true = np.zeros(people, dtype=np.int64)
    first, second = (counts_by_person(true, said, range(people)) for said in (true, true + 1))
    difference, p = paired_permutation(first, second, accuracy_of)
    assert (difference, p) == (1, 2.0 ** (1 - people))
    shared = [np.zeros(people, dtype=np.int64)]
    assert paired_permutation(first, second, accuracy_of, networks=shared) == (1, 1)


def test_counted_and_drawn_p_agree(rng):
    true = rng.integers(0, 3, 60)
    runs = [np.where(rng.random(60) < right, true, (true + 1) % 3) for right in (0.75, 0.6)]
    first, second = (counts_by_person(true, run, np.repeat(range(12), 5)) for run in runs)
    counted = paired_permutation(first, second, draws=2**12)[1]
    drawn = np.mean([paired_permutation(first, second, draws=2**12 - 1, seed=seed)[1] for seed in range(10)])
    assert 0.01 < counted < 0.9
    assert drawn == pytest.approx(counted, abs=0.01)


def test_a_better_run_is_found_and_the_order_only_turns_the_sign(rng):
    true = rng.integers(0, 3, 200)
    good = np.where(rng.random(200) < 0.8, true, (true + 1) % 3)
    poor = np.where(rng.random(200) < 0.5, true, (true + 1) % 3)
    first, second = (counts_by_person(true, run, np.repeat(range(40), 5)) for run in (good, poor))
    gain, p = paired_permutation(first, second, draws=2000)
    loss, same_p = paired_permutation(second, first, draws=2000)
    assert gain > 0.15
    assert p < 0.005
    assert (loss, same_p) == (-gain, p)
    assert paired_permutation(first, first, draws=100) == (0, 1)


def test_of_several_seeds_the_difference_of_the_means_is_tested(rng):
    """UF1 of all seeds' rows together is another number, of another sign here."""

    def run(right, bias):
        said = np.where(rng.random(200) < right, true, rng.choice(3, 200, p=bias))
        return counts_by_person(true, said, np.repeat(range(20), 10))

    def gains(first, second):
        means = np.mean(
            [float(uf1_of(a.sum(axis=0)) - uf1_of(b.sum(axis=0))) for a, b in zip(first, second, strict=True)]
        )
        return means, float(uf1_of(first.sum(axis=(0, 1))) - uf1_of(second.sum(axis=(0, 1))))

    while True:
        true = rng.choice(3, 200, p=[0.66, 0.2, 0.14])
        runs = [np.array([run(0.45, rng.dirichlet([2, 1, 1])) for _ in range(3)]) for _ in range(2)]
        mean, pooled = gains(*runs)
        if mean * pooled < 0:
            break
    found, p = paired_permutation(*runs, draws=200, seed=3)
    assert found == pytest.approx(mean)
    swapped = []
    for swap in np.random.default_rng(3).integers(0, 2, size=(200, 20)) == 1:
        swapped.append(gains(*(np.where(swap[:, None, None], b, a) for a, b in (runs, runs[::-1])))[0])
    assert p == pytest.approx((np.sum(np.abs(swapped) >= abs(mean) - 1e-12) + 1) / 201)


def test_the_gap_between_groups(rng):
    true = np.zeros(100, dtype=int)
    well, badly = (counts_by_person(true, (rng.random(100) > share).astype(int), range(100)) for share in (0.9, 0.6))
    gap = bootstrap_gap(well, badly, accuracy_of)
    assert gap.low < 0.3 < gap.high
    assert gap.low > 0.1
    assert gap.people == 200


def test_what_cannot_be_compared_is_refused():
    counts = counts_by_person([0, 1], [0, 1], "ab")
    with pytest.raises(InputError, match="do not predict the same rows of the same people"):
        paired_permutation(counts, counts_by_person([0, 0], [0, 1], "ab"))
    with pytest.raises(InputError, match="there are no predictions to score"):
        bootstrap(counts[:0])
    with pytest.raises(InputError, match="2 true, 2 predicted, 1 people"):
        counts_by_person([0, 1], [0, 1], "a")
