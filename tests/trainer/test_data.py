"""From shards to samples: which rows, what resizing and normalising do to flow."""

import dataclasses
import unicodedata

import numpy as np
import pytest

from flowkit.errors import InputError
from flowkit.output.parquet import read_table
from flowkit.output.writer import cube_column, put_table
from tests.damage import reseal
from tests.motions import motion_samples, write_out
from trainer.data import load, resize
from trainer.folds import people
from trainer.normalisation import fit_normaliser
from trainer.samples import ethnic_targets, shuffle_labels
from trainer.types import RunConfig


@pytest.fixture(scope="module")
def samples():
    return motion_samples(subjects=3, clips=15, side=16)


def linear_cube(height, width, a, b):
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.stack([a * x, b * y, np.full_like(x, 0.25)])


def test_samples_are_the_rows_of_the_shards(samples, tmp_path):
    loaded = load(write_out(samples, tmp_path / "out"), RunConfig())
    np.testing.assert_array_equal(loaded.cubes, samples.cubes)
    np.testing.assert_array_equal(loaded.emotion, samples.emotion)
    for name in ("clip_id", "pair_id", "dataset", "subject", "group", "person"):
        assert tuple(getattr(loaded, name)) == tuple(getattr(samples, name))
    assert loaded.group_column == "group"
    assert loaded.source["parameters"] == {"preset": "toy"}
    assert loaded.source["missing_pairs"] == loaded.source["failed_pairs"] == loaded.source["without_emotion3"] == 0


def test_only_rows_of_the_role_and_with_an_emotion_are_used(samples, tmp_path):
    n = len(samples)
    roles = ["apex-offset" if i % 5 == 0 else "onset-apex" for i in range(n)]
    emotions = [None if i % 7 == 0 else ("negative", "positive", "surprise")[samples.emotion[i]] for i in range(n)]
    out = write_out(samples, tmp_path / "out", dtype="float16", role=roles, emotion3=emotions)
    loaded = load(out, RunConfig())
    kept = [i for i in range(n) if i % 5 and i % 7]
    assert loaded.pair_id == [samples.pair_id[i] for i in kept]
    np.testing.assert_array_equal(loaded.cubes, samples.cubes[kept].astype(np.float16).astype(np.float32))
    assert loaded.source["without_emotion3"] == sum(1 for i in range(n) if i % 5 and not i % 7)
    assert loaded.source["roles"] == {"apex-offset": 9, "onset-apex": 36}
    with pytest.raises(InputError, match=r"role 'lag'; there are apex-offset \(9\), onset-apex \(36\)"):
        load(out, RunConfig(role="lag"))


def test_rows_that_cannot_be_used_name_their_clip(samples, tmp_path):
    n = len(samples)
    subjects = [None if i == 30 else "01" for i in range(n)]
    with pytest.raises(InputError, match=r"toy/03/030: subject is missing"):
        load(write_out(samples, tmp_path / "a", subject=subjects), RunConfig())
    emotions = ["happy" if i == 31 else "positive" for i in range(n)]
    with pytest.raises(InputError, match=r"toy/03/031: emotion3='happy'"):
        load(write_out(samples, tmp_path / "b", emotion3=emotions), RunConfig())
    with pytest.raises(InputError, match="none of the 45 onset-apex pairs has an emotion3"):
        load(write_out(samples, tmp_path / "c", emotion3=[None] * n), RunConfig())
    cubes = samples.cubes.copy()
    cubes[44, 1, 3, 3] = np.nan
    with pytest.raises(InputError, match="toy/03/044: the cube holds NaN"):
        load(write_out(dataclasses.replace(samples, cubes=cubes), tmp_path / "d"), RunConfig())


def test_ethnicity_stands_in_where_no_clip_has_a_group(samples, tmp_path):
    n = len(samples)
    ethnicity = [None if i == 17 else ("White", "Asian")[i % 2] for i in range(n)]
    loaded = load(write_out(samples, tmp_path / "out", group=[None] * n, ethnicity=ethnicity), RunConfig())
    assert (loaded.group, loaded.group_column) == (ethnicity, "ethnicity")
    with pytest.raises(InputError, match="toy/02/017: ethnicity is missing"):
        ethnic_targets(loaded, np.arange(n))
    names, targets = ethnic_targets(samples, np.arange(n))
    assert names == ("asian", "non_asian")
    assert [names[k] for k in targets] == samples.group
    assert ethnic_targets(samples, np.arange(15))[0] == ("asian",)


@pytest.mark.parametrize(("height", "width", "size"), [(64, 48, 24), (24, 24, 48), (40, 40, 25)])
def test_resized_flow_is_in_pixels_of_its_grid(height, width, size):
    resized = resize(linear_cube(height, width, 0.02, -0.03), (size, size))
    assert resized.shape == (3, size, size)
    assert resized.dtype == np.float32
    inside = slice(4, -4)
    # The field u = a x has du/dx = a on every grid, but for the stairs that area averages of whole pixels leave.
    np.testing.assert_allclose(np.gradient(resized[0], axis=1)[inside, inside], 0.02, rtol=0.03)
    np.testing.assert_allclose(np.gradient(resized[1], axis=0)[inside, inside], -0.03, rtol=0.03)
    middle = 0.02 * (width - 1) / 2 * size / width
    assert resized[0].mean() == pytest.approx(middle, rel=1e-3)
    np.testing.assert_allclose(resized[2], 0.25, rtol=1e-6)


def test_its_own_size_keeps_the_cube(samples):
    cube = samples.cubes[0]
    assert resize(cube, (16, 16)) is cube


def test_cubes_of_several_sizes_need_a_size(samples, tmp_path):
    out = write_out(samples, tmp_path / "out")
    name = "shards/part-00001.parquet"
    table = read_table(out / name)
    small = cube_column(np.zeros((table.num_rows, 3, 8, 12), dtype=np.float32))
    file = put_table(out, name, table.set_column(table.schema.get_field_index("cube"), "cube", small))
    reseal(out / "commits" / "part-00001.json", files=[dataclasses.asdict(file)])
    with pytest.raises(InputError, match=r"2 sizes, from \(8, 12\) to \(16, 16\); give --size"):
        load(out, RunConfig())
    assert load(out, RunConfig(size=16)).cubes.shape == (45, 3, 16, 16)


def test_minmax_takes_each_channel_of_each_sample_to_0_1(samples):
    cubes = samples.cubes.copy()
    cubes[3, 2] = 7
    scaled = fit_normaliser("minmax", samples.cubes, range(5))(cubes)
    np.testing.assert_allclose(scaled.min(axis=(2, 3)), 0)
    highest = scaled.max(axis=(2, 3))
    assert highest[3, 2] == 0
    np.testing.assert_allclose(np.delete(highest.ravel(), 3 * 3 + 2), 1, rtol=1e-6)


def test_signed_global_keeps_zero_and_sign_and_is_fitted_on_the_training_rows(samples):
    training, held_out = samples.cubes[:30], samples.cubes[30:] * np.float32(50)
    normalise = fit_normaliser("signed_global", np.concatenate([held_out, training]), range(15, 45))
    scale = np.percentile(np.abs(training), 99.9, axis=(0, 2, 3))
    np.testing.assert_allclose(normalise(held_out), held_out / scale[:, None, None], rtol=1e-5)
    assert normalise(held_out).dtype == np.float32
    np.testing.assert_array_equal(np.sign(normalise(held_out)), np.sign(held_out))
    still = np.zeros((4, 3, 16, 16), dtype=np.float32)
    np.testing.assert_array_equal(fit_normaliser("signed_global", still, range(4))(still), still)
    np.testing.assert_array_equal(fit_normaliser("none", training, range(30))(held_out), held_out)


def test_people_are_named_once_and_a_subject_with_two_is_refused(samples):
    assert samples.people is samples.people
    person = [None if i else "Ann" for i in range(len(samples))]
    with pytest.raises(InputError, match="is person 'Ann' in one row and None in another; give it one in all"):
        dataclasses.replace(samples, person=person)


def test_a_person_is_one_in_either_form_of_an_accent():
    """As names of files have it on some systems, and sheets on others; blanks about a name are no other name."""
    composed, apart = (unicodedata.normalize(form, "José") for form in ("NFC", "NFD"))
    assert people([None] * 3, ["lab"] * 3, [composed, f"{apart} ", "s2"]) == (f"lab/{composed}",) * 2 + ("lab/s2",)
    assert people([apart, composed], [None] * 2, ["1", "2"]) == (composed, composed)
    with pytest.raises(InputError, match="row 1: person and subject are missing"):
        people([" "], ["lab"], [""])


def test_shuffled_labels_are_those_of_other_clips(samples):
    pairs = dataclasses.replace(samples, clip_id=[f"clip{i // 3}" for i in range(len(samples))])
    pairs = dataclasses.replace(pairs, emotion=np.repeat(np.arange(15) % 3, 3))
    shuffled = shuffle_labels(pairs, seed=4)
    assert np.bincount(shuffled.emotion).tolist() == [15, 15, 15]
    by_clip = shuffled.emotion.reshape(15, 3)
    assert (by_clip == by_clip[:, :1]).all()
    assert (shuffled.emotion != pairs.emotion).any()
    np.testing.assert_array_equal(shuffled.emotion, shuffle_labels(pairs, seed=4).emotion)
    assert (shuffled.emotion != shuffle_labels(pairs, seed=5).emotion).any()


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"model": "sssnet", "size": 65}, "size=65: must be 64, the input of sssnet"),
        ({"protocol": "cd6me"}, "target='emotion3': must be au12"),
        ({"shared": True}, "shared=True: must be left out: resnet18 has one backbone"),
        ({"batch": 1}, "batch=1"),
        ({"normalise": "zscore"}, "normalise='zscore'"),
        ({"epochs": 0}, "epochs=0"),
        ({"size": 8}, "size=8"),
        ({"lr": float("nan")}, "lr=nan"),
        ({"loss_weights": (1, 1, 0)}, "loss_weights"),
    ],
)
def test_impossible_choices_are_refused(choice, message):
    with pytest.raises(InputError, match=message):
        RunConfig(**choice)
