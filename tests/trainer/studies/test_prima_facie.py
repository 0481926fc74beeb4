"""The prima-facie study: its draws, its indexing slip, its controls, on invented people."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import f1_score

from flowkit.errors import InputError
from tests.motions import motion_samples, write_out
from trainer.studies import prima_facie as study
from trainer.studies.people import labelled_clips
from trainer.studies.sampling import class_matched, draw
from trainer.studies.sources import read_source

# Invented: each word is a person, each letter a clip (negative, positive, surprise). Found by a search for labels that
# give, under the indexing slip, the numbers that the paper prints; no dataset has them.
FIRST = (
    "nss pnpnnppppp n pssnpp sn nnppsnpnspns nnnnnnn ppnppsppn nnppssspssn psnpspp pn p nnnppnpp n nppnpnnp "
    "npnnppnsn nnsnnnnnn p npnnnsppspn nnpnnnn pppn pnnpppnnnppp npsp nnspnnpppnpnp n ppspsp nnn n nn "
    "pnpnnnnnnnnn nssssnppnn ns npnppnnpnp pnsnnnnpn npnp pnnnnnp"
)
SECOND = "nsnnnnnnnn s nnnnnsnp npnn npppnp nnpnn npppnss nn nsnpps nppp nnnnsnnsn pnn nnnnnspnn pnn nn nppsps npnnpnp"
EMOTIONS = {"n": "negative", "p": "positive", "s": "surprise"}


def rows():
    """A row a clip, people of the first group before those of the second, in two datasets."""
    return [
        SimpleNamespace(
            clip_id=f"{group}{number}/{clip}",
            dataset="one" if group == "asian" and number < 25 else "two",
            subject=f"{group[:1]}{number}",
            emotion3=EMOTIONS[letter],
            group=group,
        )
        for group, words in (("asian", FIRST), ("non_asian", SECOND))
        for number, word in enumerate(words.split())
        for clip, letter in enumerate(word)
    ]


@pytest.fixture(scope="module")
def clips():
    return labelled_clips(rows())


@pytest.mark.parametrize(("kind", "sets"), [("svc", [0, 1, 2]), ("forest", [1])])
def test_under_the_slip_labels_alone_give_the_printed_table(clips, kind, sets):
    features = study.noise(len(clips), length=16)
    subsets = [draw(clips)[i] for i in sets]
    for line in study.table(clips, features, subsets, kind, misindexed=True):
        np.testing.assert_allclose((line.negative, line.non_negative, line.macro), study.PAPER[line.name], atol=5e-5)


def test_under_the_slip_a_clip_is_given_the_label_of_a_training_clip(clips):
    chosen = clips.take(draw(clips)[0].rows)
    copied = np.zeros(len(chosen), dtype=bool)
    for person in np.unique(chosen.person):
        held_out = chosen.person == person
        copied[held_out] = chosen.negative[~held_out][: held_out.sum()]
    predicted = study.leave_one_person_out(chosen, study.noise(len(chosen)), misindexed=True)
    np.testing.assert_array_equal(predicted, copied)


def test_people_are_drawn_by_numpys_legacy_generator_in_order_of_appearance(clips):
    generator = np.random.RandomState(42)
    first = generator.choice(36, 16, replace=False)
    second = generator.choice(17, 16, replace=False)
    mixed_second, mixed_first = generator.choice(17, 8, replace=False), generator.choice(36, 8, replace=False)
    expected = [
        {f"one/a{i}" if i < 25 else f"two/a{i}" for i in first},
        {f"two/n{i}" for i in second},
        {f"two/n{i}" for i in mixed_second} | {f"one/a{i}" if i < 25 else f"two/a{i}" for i in mixed_first},
    ]
    drawn = draw(clips)
    assert [set(clips.person[subset.rows].tolist()) for subset in drawn] == expected
    mixed = clips.first_group[drawn[2].rows]
    assert not mixed[: (~mixed).sum()].any()


def test_a_person_is_predicted_without_its_clips(clips):
    """Features that name the person tell nothing of a person who was never seen; those of the label tell all."""
    subset = draw(clips)[:1]
    person = np.unique(clips.person, return_inverse=True)[1]
    names = np.eye(person.max() + 1, dtype=np.float32)[person]
    told = clips.negative[:, None].astype(np.float32) * [[1, -1]]
    assert study.table(clips, told, subset)[0].macro == 1
    assert study.table(clips, names, subset)[0].macro <= study.always_majority(clips, subset)[0].macro + 0.1


def test_scores_are_those_of_scikit_learn(clips, rng):
    predicted = rng.random(len(clips)) < 0.6
    line = study.line("all", clips, predicted)
    assert line.negative == pytest.approx(f1_score(clips.negative, predicted))
    assert line.non_negative == pytest.approx(f1_score(~clips.negative, ~predicted))
    assert line.macro == pytest.approx(f1_score(clips.negative, predicted, average="macro"))


def test_matched_sets_have_the_same_classes_and_lie_within_the_drawn_ones(clips):
    drawn = draw(clips)
    matched = class_matched(clips, drawn, seed=3)
    counts = {(int(clips.negative[s.rows].sum()), int((~clips.negative[s.rows]).sum())) for s in matched}
    assert len(counts) == 1
    assert all(set(m.rows) <= set(d.rows) for m, d in zip(matched, drawn, strict=True))


def test_a_set_that_matching_leaves_one_person_is_left_out(tmp_path, capsys):
    """One set has a single positive clip, so each is thinned to two clips, which one person may show alone."""
    from trainer.cli import app

    samples = motion_samples(subjects=4, clips=3, side=16)
    emotion = np.zeros(len(samples), dtype=np.int64)
    emotion[[0, 7, 8, 9, 10, 11]] = 1  # one of the first group's clips, five of the second's
    out = write_out(
        dataclasses.replace(samples, emotion=emotion, group=["asian"] * 6 + ["non_asian"] * 6), tmp_path / "out"
    )
    sources = labelled_clips(read_source(out, 32, "onset-apex").rows)
    for seed in range(20):
        for subset in class_matched(sources, draw(sources, seed, 2), seed):
            assert len(np.unique(sources.person[subset.rows])) > 1
            assert len(np.unique(sources.negative[subset.rows])) == 2
    how = ["--people", "2", "--repeats", "8", "--size", "32"]
    app(["study", "prima-facie", str(out), "-o", str(tmp_path / "run"), *how], standalone_mode=False)
    content = json.loads((tmp_path / "run" / "study.json").read_text())
    matched = [line["set"] for line in content["tables"]["table"] if line["what"] == "classes matched"]
    left_out = content["unmatched"]
    assert [name for name in ("asian", "non_asian", "mixed") if name not in left_out] == matched
    assert left_out
    assert f"classes matched: {', '.join(left_out)} left out, with 1 person or 1 class" in capsys.readouterr().out
    repeats = [line["repeats"] for line in content["tables"]["spread"] if "matched" in line["what"]]
    assert min(repeats) < 8


def test_what_the_dataset_alone_says_uses_no_row_of_the_held_out_person():
    people = [("one", "a", "nn"), ("one", "b", "pp"), ("two", "c", "n"), ("two", "d", "n"), ("two", "e", "p")]
    made = [
        SimpleNamespace(
            clip_id=f"{who}{i}",
            dataset=dataset,
            subject=who,
            emotion3=EMOTIONS[letter],
            group="asian" if who in "ab" else "non_asian",
        )
        for dataset, who, letters in people
        for i, letter in enumerate(letters)
    ]
    clips = labelled_clips(made)
    everyone = SimpleNamespace(name="all", rows=np.arange(len(clips)))
    (line,) = study.dataset_alone(clips, [everyone])
    # a is said to be as b, positive; b as a; c and d by the other two, of whom one is negative (a tie says negative).
    assert (line.negative, line.non_negative) == (pytest.approx(2 * 2 / (4 + 5)), 0)


def test_people_and_groups_that_do_not_do_are_named(clips):
    with pytest.raises(InputError, match="17 people of group 'non_asian' have a clip, 20 are drawn; give --people 17"):
        draw(clips, people=20)
    with pytest.raises(InputError, match="no clip with an emotion3 has the group 'east'; give the column group"):
        labelled_clips(rows(), ("east", "west"))
    both = [*rows(), SimpleNamespace(clip_id="x", dataset="one", subject="a0", emotion3="negative", group="non_asian")]
    with pytest.raises(InputError, match="one/a0 has clips of both groups, asian and non_asian; a person has one"):
        labelled_clips(both)


def test_the_person_of_a_row_goes_before_its_subject():
    made = rows()
    for row in made:
        row.person = row.subject
    assert labelled_clips(made).person[0] == "a0"


def test_a_person_who_would_be_two_is_refused():
    """Given in all rows of a subject but one, a person would be in training and held out at once."""
    made = rows()
    for row in made:
        row.person = "Jane" if row.subject == "a0" else None
    assert labelled_clips(made).person[0] == "Jane"
    made[1].person = None
    with pytest.raises(InputError, match="one/a0: is person 'Jane' in one row and None in another"):
        labelled_clips(made)


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--normalise", "signed_global", "normalise='signed_global': must be none or minmax"),
        ("--size", "0", "size=0, seed=42: must be from 16 to 1024 px"),
        ("--size", "-5", "size=-5, seed=42: must be from 16 to 1024 px"),
        ("--seed", "-1", "size=224, seed=-1: must be from 16 to 1024 px, and 0 or above"),
    ],
)
def test_choices_that_cannot_be_are_refused_before_anything_is_read(tmp_path, option, value, told):
    from trainer.cli import app

    arguments = ["study", "prima-facie", str(tmp_path / "gone"), "-o", str(tmp_path / "run"), option, value]
    with pytest.raises(InputError, match=told):
        app(arguments, standalone_mode=False)


def test_what_made_the_features_is_recorded(tmp_path):
    from trainer.cli import app

    samples = motion_samples(subjects=6, clips=3, side=16)
    out = write_out(samples, tmp_path / "out", person=[f"p{code}" for code in samples.subject])
    how = ["--people", "2", "--repeats", "1", "--normalise", "minmax", "--size", "32"]
    app(["study", "prima-facie", str(out), "-o", str(tmp_path / "run"), *how], standalone_mode=False)
    content = json.loads((tmp_path / "run" / "study.json").read_text())
    assert {name: content[name] for name in ("normalise", "size", "role")} == {
        "normalise": "minmax",
        "size": 32,
        "role": "onset-apex",
    }


def test_the_command_needs_a_manifest_alone(tmp_path, capsys):
    from trainer.cli import app

    manifest = tmp_path / "joint.csv"
    names = ("clip_id", "source", "dataset", "subject", "emotion3", "group")
    lines = [",".join(names)]
    for row in rows():
        group = {"asian": "Asian", "non_asian": "Non-Asian"}[row.group]
        lines.append(",".join([row.clip_id, "gone", row.dataset, row.subject, row.emotion3, group]))
    manifest.write_text("\n".join(lines))
    app(["study", "prima-facie", str(manifest), "--misindexed", "-o", str(tmp_path / "run")], standalone_mode=False)
    told = capsys.readouterr().out
    assert "the paper's Table IV to four decimals follows from the order of the labels alone" in told
    content = json.loads((tmp_path / "run" / "study.json").read_text())
    printed = {(line["set"], round(line["mean"], 4)) for line in content["tables"]["table"][:3]}
    assert printed == {("asian", 0.4546), ("non_asian", 0.4785), ("mixed", 0.4375)}
    with pytest.raises(InputError, match="is a manifest, which has no motion; give an output of flowkit extract"):
        app(["study", "prima-facie", str(manifest), "-o", str(tmp_path / "run")], standalone_mode=False)
