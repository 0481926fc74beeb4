"""One fold after another: what is learnt, from whom, and that it is learnt the same way again."""

import dataclasses

import numpy as np
import pytest
import torch

from flowkit.errors import InputError
from tests.chance import hits_by_chance
from tests.motions import motion_samples
from trainer.data import shuffle_labels
from trainer.folds import loso
from trainer.metrics import score, uf1
from trainer.models import build_model
from trainer.train import batches, fit, fold_seed, predict, run_fold, run_loso, settle_batch_norm, train_fold
from trainer.types import RunConfig

CPU = torch.device("cpu")
QUICK = RunConfig(epochs=8, batch=8, device="cpu", threads=1)
ONCE = dataclasses.replace(QUICK, epochs=1)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def samples():
    return motion_samples()


@pytest.fixture(scope="module")
def few():
    return motion_samples(subjects=3, clips=6)


def trained_weights(samples, fold, config):
    model, _ = train_fold(samples, fold, config, device=CPU)
    return model.state_dict()


def with_other_subject(samples, rows, rng):
    """The samples with other cubes (much larger) and other labels in the given rows."""
    cubes, emotion = samples.cubes.copy(), samples.emotion.copy()
    cubes[rows] = rng.normal(0, 100, cubes[rows].shape)
    emotion[rows] = (emotion[rows] + 1) % 3
    return dataclasses.replace(samples, cubes=cubes), dataclasses.replace(samples, emotion=emotion)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["resnet18", "dual-resnet18"])
def test_motion_of_unseen_people_is_recognised(samples, model):
    result = run_loso(samples, dataclasses.replace(QUICK, model=model))
    counts = score(samples.emotion, result.predicted).counts
    assert uf1(counts) > 0.8, counts
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.slow
def test_shuffled_labels_leave_chance():
    shuffled = shuffle_labels(motion_samples(subjects=3, clips=16, side=16), seed=0)
    hits = (run_loso(shuffled, QUICK).predicted == shuffled.emotion).sum()
    fewest, most = hits_by_chance(len(shuffled))
    assert (fewest, most) == (6, 27)
    assert fewest <= hits <= most


def test_every_row_is_predicted_by_the_fold_that_held_it_out(few):
    seen = []
    result = run_loso(few, ONCE, lambda fold, total: seen.append((fold.fold.name, total)))
    assert seen == [("toy/01", 3), ("toy/02", 3), ("toy/03", 3)]
    assert [few.subject[i] for i in range(len(few))] == [f"{fold + 1:02d}" for fold in result.fold_of]
    for part in result.folds:
        np.testing.assert_array_equal(result.probabilities[part.fold.held_out], part.probabilities)


@pytest.mark.parametrize("normalise", ["none", "minmax", "signed_global"])
def test_the_held_out_subject_cannot_influence_training(few, rng, normalise):
    config = dataclasses.replace(ONCE, normalise=normalise)
    fold = loso(few.dataset, few.subject)[1]
    other_cubes, other_labels = with_other_subject(few, fold.held_out, rng)
    before, after = trained_weights(few, fold, config), trained_weights(other_cubes, fold, config)
    assert all(torch.equal(before[name], after[name]) for name in before)
    probabilities = run_fold(few, fold, config).probabilities
    np.testing.assert_array_equal(run_fold(other_labels, fold, config).probabilities, probabilities)
    assert (run_fold(other_cubes, fold, config).probabilities != probabilities).any()


def test_another_persons_rows_do_influence_training(few, rng):
    fold, other = loso(few.dataset, few.subject)[:2]
    changed, _ = with_other_subject(few, other.held_out, rng)
    before, after = trained_weights(few, fold, ONCE), trained_weights(changed, fold, ONCE)
    assert not torch.equal(before["backbone.conv1.weight"], after["backbone.conv1.weight"])


def test_predicting_changes_nothing_in_the_model(few):
    model = fit(few.cubes, few.emotion, None, ONCE, seed=1, device=CPU)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    together = predict(model, few.cubes)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    alone = np.concatenate([predict(model, few.cubes[i : i + 1]) for i in range(len(few))])
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_the_same_seed_gives_the_same_bits_whatever_else_was_drawn(few):
    first = run_loso(few, ONCE)
    torch.rand(17)
    state = torch.get_rng_state()
    again = run_loso(few, ONCE)
    np.testing.assert_array_equal(again.probabilities, first.probabilities)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.are_deterministic_algorithms_enabled()
    alone = run_fold(few, loso(few.dataset, few.subject)[2], ONCE)
    np.testing.assert_array_equal(alone.probabilities, first.folds[2].probabilities)
    other = run_loso(few, dataclasses.replace(ONCE, seed=1))
    assert (other.probabilities != first.probabilities).any()


def test_folds_start_from_seeds_of_their_own():
    seeds = {fold_seed(seed, fold) for seed in range(20) for fold in range(70)}
    assert len(seeds) == 1400


@pytest.mark.parametrize(
    ("n", "size", "lengths"), [(33, 32, [33]), (65, 32, [32, 33]), (66, 32, [32, 32, 2]), (2, 32, [2]), (5, 2, [2, 3])]
)
def test_an_epoch_takes_every_row_once_and_no_batch_is_a_single_row(n, size, lengths):
    parts = batches(n, size, torch.Generator().manual_seed(5))
    assert [len(part) for part in parts] == lengths
    assert sorted(torch.cat(parts).tolist()) == list(range(n))


def test_a_lone_last_row_trains_on_cubes_too_small_for_batch_norm(few):
    rows = slice(0, 9)
    model = fit(few.cubes[rows], few.emotion[rows], None, ONCE, seed=0, device=CPU)
    assert torch.isfinite(model.backbone.layer4[1].bn2.running_var).all()
    with pytest.raises(InputError, match="1 training sample"):
        fit(few.cubes[:1], few.emotion[:1], None, ONCE, seed=0, device=CPU)


def test_settled_batch_norm_has_the_statistics_of_the_training_rows(few):
    model = fit(few.cubes, few.emotion, None, dataclasses.replace(ONCE, precise_batch_norm=False), seed=0, device=CPU)
    norm = model.backbone.bn1
    inputs = torch.from_numpy(few.cubes)
    with torch.no_grad():
        mean = model.backbone.conv1(inputs).mean(dim=(0, 2, 3))
    assert not torch.allclose(norm.running_mean, mean, atol=1e-4)
    settle_batch_norm(model, inputs, list(torch.arange(len(few)).split(6)))
    torch.testing.assert_close(norm.running_mean, mean, atol=1e-5, rtol=1e-4)
    assert norm.momentum == 0.1


def test_the_dual_model_learns_from_the_ethnic_labels_given(few):
    config = dataclasses.replace(ONCE, model="dual-resnet18")
    fold = loso(few.dataset, few.subject)[0]
    before = run_fold(few, fold, config).probabilities
    swapped = dataclasses.replace(few, group=["asian" if g == "non_asian" else "non_asian" for g in few.group])
    assert (run_fold(swapped, fold, config).probabilities != before).any()
    missing = dataclasses.replace(few, group=[*few.group[:-1], None])
    with pytest.raises(InputError, match=f"{few.clip_id[-1]}: group is missing"):
        run_fold(missing, fold, config)


def test_a_loss_that_is_no_number_stops_the_run(few):
    state = build_model("resnet18").backbone.state_dict()
    broken = {
        name: torch.full_like(value, torch.nan) if name == "conv1.weight" else value for name, value in state.items()
    }
    with pytest.raises(InputError, match=r"lr=0\.001: the loss is nan after epoch 1; lower --lr"):
        run_fold(few, loso(few.dataset, few.subject)[0], ONCE, weights=broken)


def test_a_prediction_that_is_no_number_stops_the_run(few):
    fold = loso(few.dataset, few.subject)[0]
    cubes = few.cubes.copy()
    cubes[fold.held_out[0]] = np.float32(3e38)
    with pytest.raises(InputError, match="toy/01/000: the model gives no finite probabilities"):
        run_fold(dataclasses.replace(few, cubes=cubes), fold, ONCE)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_cuda_without_a_gpu_is_refused(few):
    with pytest.raises(InputError, match="device='cuda': torch finds no usable GPU"):
        run_loso(few, dataclasses.replace(ONCE, device="cuda"))
