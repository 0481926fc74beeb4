"""One fold after another: what is learnt, from whom, and that it is learnt the same way again."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from flowkit.errors import InputError, Interrupted
from tests.motions import motion_samples
from trainer.batch_norm import settle_batch_norm
from trainer.inputs import Inputs, batches, deterministic
from trainer.metrics import score, uf1
from trainer.models import build_model
from trainer.models.weights import Weights
from trainer.normalisation import fit_normaliser
from trainer.run import folds_of, run_here
from trainer.train import (
    _Best,
    fold_seed,
    inner_split,
    predict,
    run_fold,
    told,
    train_fold,
)
from trainer.types import RunConfig

CPU = torch.device("cpu")
QUICK = RunConfig(epochs=6, batch=12, device="cpu", threads=1)
ONCE = dataclasses.replace(QUICK, epochs=1)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def few():
    return motion_samples(subjects=3, clips=6)


def training_side(samples, config, index=0):
    """All that a fold makes of its training rows, as text and bytes."""
    fold = folds_of(samples, config)[index]
    trained = train_fold(samples, fold, config, device=CPU)
    if config.model == "svc":
        machine = trained.model._machines[0]
        state = {"vectors": machine.support_vectors_, "dual": machine.dual_coef_, "bias": machine.intercept_}
    else:
        state = {name: value.numpy() for name, value in trained.model.state_dict().items()}
    rows = [values.tolist() for values in inner_split(samples, fold, config, fold_seed(config.seed, index))]
    about = (fold.train.tolist(), rows, trained.normalise, trained.ethnic_classes, trained.curves, trained.epoch)
    return repr(about), {name: value.tobytes() for name, value in state.items()}


def with_another_person(samples, rows, rng):
    """The samples with other cubes (much larger), emotions, and groups (a name that nobody else has) in those rows."""
    cubes, emotion, group = samples.cubes.copy(), samples.emotion.copy(), list(samples.group)
    cubes[rows] = rng.normal(0, 100, cubes[rows].shape)
    emotion[rows] = (emotion[rows] + 1) % 3
    for row in rows:
        group[row] = None if row % 2 else "another"
    return dataclasses.replace(samples, cubes=cubes, emotion=emotion, group=group)


@pytest.mark.slow
def test_motion_of_unseen_people_is_recognised():
    samples = motion_samples(side=24)
    result = run_here(samples, dataclasses.replace(QUICK, model="dual-resnet18"))
    counts = score(samples.emotion, result.predicted).counts
    assert uf1(counts) > 0.7, counts
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, rtol=1e-5)


def test_every_row_is_predicted_by_the_fold_that_held_it_out(few):
    seen = []
    result = run_here(few, ONCE, lambda fold, total: seen.append((fold.fold.name, total)))
    assert seen == [("toy/01", 3), ("toy/02", 3), ("toy/03", 3)]
    assert [few.subject[i] for i in range(len(few))] == [f"{fold + 1:02d}" for fold in result.fold_of]
    for part in result.folds:
        np.testing.assert_array_equal(result.probabilities[part.fold.held_out], part.probabilities)


@pytest.mark.parametrize(
    "choices",
    [
        {"normalise": "signed_global", "select": "inner"},
        {"model": "dual-resnet18", "normalise": "minmax"},
        {"model": "svc", "normalise": "signed_global"},
        {"model": "ststnet", "size": 28, "protocol": "kfold:2", "target": "emotion3"},
    ],
)
def test_nothing_about_the_held_out_person_reaches_training(few, rng, choices):
    config = dataclasses.replace(ONCE, **choices)
    if config.model == "ststnet":
        few = dataclasses.replace(few, cubes=few.cubes[:, :, :28, :28].copy())
    held_out = folds_of(few, config)[0].held_out
    changed = with_another_person(few, held_out, rng)
    before, after = training_side(few, config), training_side(changed, config)
    assert before == after
    fold = folds_of(few, config)[0]
    one, other = run_fold(few, fold, config), run_fold(changed, fold, config)
    assert (one.probabilities != other.probabilities).any()
    labels_only = dataclasses.replace(changed, cubes=few.cubes)
    np.testing.assert_array_equal(run_fold(labels_only, fold, config).probabilities, one.probabilities)


def test_another_persons_rows_do_influence_training(few, rng):
    fold, other = folds_of(few, ONCE)[1:3]
    before = training_side(few, ONCE, fold.index)
    after = training_side(with_another_person(few, other.held_out, rng), ONCE, fold.index)
    assert before[1]["backbone.conv1.weight"] != after[1]["backbone.conv1.weight"]


def test_predicting_changes_nothing_in_the_model(few):
    fold = folds_of(few, ONCE)[0]
    trained = train_fold(few, fold, ONCE, device=CPU)
    before = {name: value.clone() for name, value in trained.model.state_dict().items()}
    together = predict(trained, few, fold.held_out, ONCE)["emotion"]
    assert all(torch.equal(before[name], value) for name, value in trained.model.state_dict().items())
    alone = np.concatenate([predict(trained, few, fold.held_out[i : i + 1], ONCE)["emotion"] for i in range(6)])
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_the_same_seed_gives_the_same_bits_whatever_else_was_drawn(few):
    first = run_here(few, ONCE)
    torch.rand(17)
    state = torch.get_rng_state()
    again = run_here(few, ONCE)
    np.testing.assert_array_equal(again.probabilities, first.probabilities)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.are_deterministic_algorithms_enabled()
    alone = run_fold(few, folds_of(few, ONCE)[2], ONCE)
    np.testing.assert_array_equal(alone.probabilities, first.folds[2].probabilities)
    other = run_here(few, dataclasses.replace(ONCE, seed=1))
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
    fold = folds_of(few, ONCE)[0]
    nine = dataclasses.replace(fold, train=fold.train[:9])
    trained = train_fold(few, nine, ONCE, device=CPU)
    assert torch.isfinite(trained.model.backbone.layer4[1].bn2.running_var).all()
    with pytest.raises(InputError, match="1 training sample"):
        train_fold(few, dataclasses.replace(fold, train=fold.train[:1]), ONCE, device=CPU)


def test_settled_batch_norm_has_the_statistics_of_the_training_rows(few):
    everybody = np.arange(len(few))
    model = build_model("resnet18").train()
    inputs = Inputs(few, everybody, fit_normaliser("none", few.cubes, everybody), CPU)
    with torch.no_grad():
        mean = model.backbone.conv1(torch.from_numpy(few.cubes)).mean(dim=(0, 2, 3))
    assert not torch.allclose(model.backbone.bn1.running_mean, mean, atol=1e-4)
    settle_batch_norm(model, inputs, list(torch.arange(len(few)).split(6)))
    torch.testing.assert_close(model.backbone.bn1.running_mean, mean, atol=1e-5, rtol=1e-4)
    assert model.backbone.bn1.momentum == 0.1


def test_the_best_epoch_is_chosen_by_training_people_alone(few):
    config = dataclasses.replace(ONCE, epochs=4, select="inner", lr=0.01)
    fold = folds_of(few, config)[0]
    rows, inner = inner_split(few, fold, config, seed=3)
    who = np.array(few.people)
    assert set(who[rows]) & set(who[inner]) == set()
    assert sorted([*rows, *inner]) == fold.train.tolist()
    assert len(set(who[inner])) == 1
    result = run_fold(few, fold, config)
    losses = [epoch["inner_loss"] for epoch in result.curves]
    assert result.epoch == 1 + int(np.argmin(losses))
    again = run_fold(few, fold, dataclasses.replace(config, epochs=result.epoch))
    np.testing.assert_array_equal(again.probabilities, result.probabilities)


@pytest.mark.parametrize(
    ("losses", "epoch"),
    [([math.nan, 0.5, 0.1], 3), ([0.5, math.nan, 0.5], 1), ([math.inf, 0.5], 2), ([math.nan, math.inf], 0)],
)
def test_an_epoch_without_a_finite_loss_is_not_the_best(losses, epoch):
    best, model = _Best(), torch.nn.Linear(1, 1)
    told = [best.offer(loss, number, model) for number, loss in enumerate(losses, 1)]
    assert told == [loss if math.isfinite(loss) else None for loss in losses]
    assert best.epoch == epoch
    assert bool(best.state) == (epoch > 0)


@pytest.mark.parametrize("choices", [{"select": "inner"}, {"slips": ("best-epoch",)}])
def test_a_fold_without_any_finite_inner_loss_is_refused(few, monkeypatch, choices):
    monkeypatch.setattr("trainer.train.inner_loss", lambda *_: math.inf)
    config = dataclasses.replace(ONCE, epochs=2, lr=0.5, **choices)
    with pytest.raises(InputError, match=r"lr=0\.5: the inner loss is finite after none of 2 epochs; lower --lr"):
        train_fold(few, folds_of(few, config)[0], config, device=CPU)


def test_nobody_is_set_aside_who_alone_shows_a_group():
    """Four people of one group and two of the other: without the one who is held out, the other must be trained on."""
    samples = motion_samples(subjects=6, clips=2, side=16)
    samples = dataclasses.replace(samples, group=["few" if int(s) > 4 else "many" for s in samples.subject])
    config = dataclasses.replace(ONCE, model="dual-resnet18", select="inner", inner_share=0.4)
    who, group = np.array(samples.people), np.array(samples.group)
    changed = 0
    for fold in folds_of(samples, config):
        for seed in range(20):
            rows, inner = inner_split(samples, fold, config, seed)
            assert set(group[rows]) == {"few", "many"}
            assert len(set(who[inner])) == 2
            drawn = inner_split(samples, fold, dataclasses.replace(config, model="resnet18"), seed)[0].tolist()
            assert rows.tolist() == drawn or len(set(group[drawn])) == 1
            changed += rows.tolist() != drawn
    assert changed > 0
    alone = dataclasses.replace(samples, group=list(samples.subject))
    with pytest.raises(InputError, match="fold toy/01: each group is shown by 1 training person"):
        inner_split(alone, folds_of(alone, config)[0], config, seed=0)


def test_bfloat16_changes_predictions_a_little(few):
    fold = folds_of(few, ONCE)[0]
    full = run_fold(few, fold, ONCE)
    half = run_fold(few, fold, dataclasses.replace(ONCE, precision="bf16"))
    assert half.probabilities.dtype == np.float32
    difference = np.abs(full.probabilities - half.probabilities).max()
    assert 0 < difference < 0.3


def test_dropout_begins_at_the_folds_seed(few):
    config = dataclasses.replace(ONCE, model="sssnet")
    few = dataclasses.replace(few, cubes=np.repeat(np.repeat(few.cubes, 2, axis=2), 2, axis=3))
    fold = folds_of(few, config)[0]
    first = run_fold(few, fold, config).probabilities
    torch.rand(3)
    np.testing.assert_array_equal(run_fold(few, fold, config).probabilities, first)


def test_memory_that_runs_out_is_a_sentence_with_the_remedy(few):
    fold = folds_of(few, ONCE)[0]
    with (
        pytest.raises(Interrupted, match=r"fold toy/01: memory ran out with batches of 12; .* fewer --jobs"),
        told(fold, ONCE),
    ):
        torch.empty(2**60, dtype=torch.uint8)
    with pytest.raises(RuntimeError, match="size"), told(fold, ONCE):
        torch.zeros(2) + torch.zeros(3)


@pytest.mark.parametrize(
    "text",
    ["CUDA error: out of memory\nCUDA kernel errors", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasC"],
)
def test_memory_of_a_gpu_that_runs_out_is_told_so_whoever_asked_for_it(few, text):
    fold = folds_of(few, ONCE)[0]
    with pytest.raises(Interrupted, match="fold toy/01: memory ran out"), told(fold, ONCE):
        raise RuntimeError(text)


def test_what_a_gpu_cannot_compute_reproducibly_is_a_sentence_with_the_remedy(few):
    told_by_torch = "adaptive_avg_pool2d_backward_cuda does not have a deterministic implementation, but you set"
    message = r"^model='resnet18': cannot be .* \(adaptive_avg_pool2d_backward_cuda\); use --device cpu, or another"
    with pytest.raises(InputError, match=message), told(folds_of(few, ONCE)[0], ONCE):
        raise RuntimeError(told_by_torch)


def test_the_settings_of_torch_come_back():
    def settings():
        precisions = torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision
        return torch.utils.deterministic.fill_uninitialized_memory, *precisions

    before = settings()
    with deterministic():
        assert torch.are_deterministic_algorithms_enabled()
        assert settings() == (False, "ieee", "ieee")
    assert settings() == before


def test_the_dual_model_learns_from_the_ethnic_labels_given(few):
    config = dataclasses.replace(ONCE, model="dual-resnet18")
    fold = folds_of(few, ONCE)[0]
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
    weights = (Weights(broken, "broken", ""), None)
    with pytest.raises(InputError, match=r"lr=0\.001: the loss is nan after epoch 1; lower --lr"):
        run_fold(few, folds_of(few, ONCE)[0], ONCE, weights=weights)


def test_a_prediction_that_is_no_number_stops_the_run(few):
    fold = folds_of(few, ONCE)[0]
    cubes = few.cubes.copy()
    cubes[fold.held_out[0]] = np.float32(3e38)
    with pytest.raises(InputError, match="toy/01/000: the model gives no finite probabilities"):
        run_fold(dataclasses.replace(few, cubes=cubes), fold, ONCE)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_cuda_without_a_gpu_is_refused(few):
    with pytest.raises(InputError, match="device='cuda': torch finds no usable GPU"):
        run_here(few, dataclasses.replace(ONCE, device="cuda"))
