"""A run's folder: what is done stays, what is damaged is computed again, and a network comes back as it was."""

import dataclasses
import json
import math
import resource
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from flowkit.errors import InputError, Interrupted, OutputError
from tests.motions import motion_samples, write_out
from trainer.inputs import torch_threads
from trainer.models.weights import backbone, digest_of
from trainer.pool import Event
from trainer.results import write_run
from trainer.run import default_jobs, describe, folds_of, run
from trainer.run_folder import RunFolder, clear, held
from trainer.saved import load_trained, save_trained
from trainer.store import Stored, allocate, put, scratch
from trainer.train import predict, train_fold
from trainer.types import UNITS, RunConfig

SMALL = RunConfig(model="ststnet", epochs=3, batch=8, device="cpu", normalise="signed_global")
SVC = RunConfig(model="svc", device="cpu")


@pytest.fixture(scope="module")
def samples():
    return motion_samples(subjects=4, clips=6, side=28)


@pytest.fixture(scope="module")
def out(samples, tmp_path_factory):
    return write_out(samples, tmp_path_factory.mktemp("shards") / "out")


def folds_computed(*arguments, **options):
    """Runs, and gives the predictions and the numbers of the folds that were computed."""
    seen = []

    def report(event: Event) -> None:
        if event.seconds is not None:
            seen.append(event.fold.index)

    return run(*arguments, jobs=1, report=report, **options)[1].probabilities, seen


def test_what_is_done_stays_and_what_is_damaged_is_computed_again(out, tmp_path):
    first, computed = folds_computed(out, tmp_path / "run", SMALL)
    assert computed == [0, 1, 2, 3]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["config.json", "folds"]
    fold = tmp_path / "run" / "folds" / "fold-0002.parquet"
    whole = fold.read_bytes()
    fold.write_bytes(whole[: len(whole) // 2])
    (tmp_path / "run" / "folds" / "fold-0000.parquet").unlink()
    again, computed = folds_computed(out, tmp_path / "run", SMALL)
    assert computed == [0, 2]
    np.testing.assert_array_equal(again, first)
    _, computed = folds_computed(out, tmp_path / "run", SMALL, save_weights=True)
    assert computed == [0, 1, 2, 3]


def test_a_flipped_bit_is_noticed_or_changes_nothing(out, samples, tmp_path):
    run(out, tmp_path / "run", SVC, jobs=1)
    folder, fold = RunFolder(tmp_path / "run"), folds_of(samples, SVC)[2]
    path, whole = folder.fold_path(2), folder.fold_path(2).read_bytes()
    expected = folder.read_fold(fold)
    noticed = 0
    for position in range(0, len(whole), 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        found = folder.read_fold(fold)
        noticed += found is None
        assert found is None or (repr(found) == repr(expected))
    assert noticed > len(whole) // 7 // 2


def test_an_inner_loss_that_is_not_finite_is_null_and_its_epoch_is_not_chosen(out, tmp_path, monkeypatch):
    """The third fold has none in its first epoch; a run that was stopped goes on with what the fold's file says."""
    losses = [0.9, 0.8, 0.7] * 2 + [math.inf, 0.8, 0.9] + [0.6, 0.5, math.nan]
    given = iter(losses)
    monkeypatch.setattr("trainer.train.inner_loss", lambda *_: next(given))
    config = dataclasses.replace(SMALL, select="inner")
    run(out, tmp_path, config, jobs=1)
    samples, result = run(out, tmp_path, config, jobs=1)
    assert [fold.epoch for fold in result.folds] == [3, 3, 2, 2]
    summary = write_run(tmp_path, samples, config, result)
    told = json.loads((tmp_path / "metrics.json").read_text())["curves"]
    nothing = [None, None, None]
    assert [curve["inner_loss"] for curve in told] == [nothing, pytest.approx([0.725, 0.5, 0.8]), nothing]
    assert all(np.isfinite(curve["loss"]).all() for curve in told)
    table = pq.read_table(tmp_path / "tables" / "curves.parquet")
    assert table["inner_loss"].to_pylist() == [loss if math.isfinite(loss) else None for loss in losses]
    assert "Learning curves" in (tmp_path / "report.html").read_text()
    assert summary["folds"][2]["epoch"] == 2


def test_a_fold_that_cannot_be_trained_is_refused_before_the_first_is(samples, tmp_path):
    """The last person alone is of the second group: without that one there is nothing to tell apart."""
    group = ["many"] * 18 + ["one"] * 6
    out = write_out(dataclasses.replace(samples, group=group), tmp_path / "out")
    config = RunConfig(model="dual-resnet18", epochs=1, device="cpu")
    with pytest.raises(InputError, match=r"fold toy/04: trains on 1 group \(many\); dual-resnet18 needs 2"):
        run(out, tmp_path / "run", config, jobs=1)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("clips", "choices", "remedy"),
    [([1, 6], {}, "give more clips"), ([6, 1, 1], {"select": "inner"}, "give more clips, or --select fixed")],
)
def test_a_fold_of_one_training_row_is_refused_before_the_first_is_trained(tmp_path, clips, choices, remedy):
    """Not for support vectors, which need no batches."""
    every = motion_samples(subjects=len(clips), clips=6, side=28)
    rows = [person * 6 + clip for person, count in enumerate(clips) for clip in range(count)]
    names = ("emotion", "clip_id", "pair_id", "dataset", "subject", "group", "person")
    some = {name: [getattr(every, name)[row] for row in rows] for name in names}
    out = write_out(dataclasses.replace(every, cubes=every.cubes[rows], **some), tmp_path / "out")
    with pytest.raises(InputError, match=rf"fold toy/0\d: trains on 1 row, and .* needs at least 2; {remedy}$"):
        run(out, tmp_path / "run", dataclasses.replace(SMALL, **choices), jobs=1)
    assert not (tmp_path / "run").exists()
    run(out, tmp_path / "run", SVC, jobs=1)


@pytest.mark.parametrize(("model", "backbones"), [("resnet18", ["motion"]), ("dual-resnet18", ["motion", "context"])])
def test_the_record_names_the_weights_of_the_backbones_that_the_model_has(samples, tmp_path, model, backbones):
    file = tmp_path / "weights.pth"
    state = backbone("resnet18").state_dict()
    torch.save(state, file)
    config = RunConfig(model=model, pretrained=str(file), device="cpu")
    record = describe(samples, folds_of(samples, config), config)
    assert record["weights"] == {name: {"source": str(file), "digest": digest_of(state)} for name in backbones}


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({"epochs": 4}, r"another epochs \(3, now 4\)"),
        ({"protocol": "kfold:2"}, r"another protocol \(loso, now kfold:2\)"),
    ],
)
def test_a_run_of_other_choices_is_kept(out, tmp_path, other, difference):
    run(out, tmp_path, SMALL, jobs=1)
    with pytest.raises(OutputError, match=f"holds a run with {difference}; choose another folder or add --overwrite"):
        run(out, tmp_path, dataclasses.replace(SMALL, **other), jobs=1)
    run(out, tmp_path, dataclasses.replace(SMALL, **other), jobs=1, overwrite=True)
    assert len(list((tmp_path / "folds").iterdir())) == (2 if "protocol" in other else 4)


@pytest.mark.parametrize("gone", range(1, 5))
def test_what_a_stopped_removal_leaves_is_no_run_of_other_choices(out, tmp_path, monkeypatch, gone):
    """It is stopped after so many of the run's five files."""
    other, folder = dataclasses.replace(SVC, normalise="minmax"), tmp_path / "run"
    expected = run(out, tmp_path / "other", other, jobs=1)[1].probabilities
    run(out, folder, SVC, jobs=1)
    unlink, left = Path.unlink, [None] * gone

    def stopped(path, missing_ok=False):
        if path.exists() and not left:
            raise KeyboardInterrupt
        if path.exists():
            left.pop()
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", stopped)
        with pytest.raises(KeyboardInterrupt):
            clear(folder)
    with pytest.raises(OutputError, match=r"holds a run with another normalise \(none, now minmax\)"):
        run(out, folder, other, jobs=1)
    found, computed = folds_computed(out, folder, other, overwrite=True)
    assert computed == [0, 1, 2, 3]
    np.testing.assert_array_equal(found, expected)


def test_folds_without_a_record_are_not_gone_on_with(out, tmp_path):
    run(out, tmp_path, SVC, jobs=1)
    (tmp_path / "config.json").unlink()
    with pytest.raises(OutputError, match="holds folds of an earlier run; choose another folder or add --overwrite"):
        run(out, tmp_path, SVC, jobs=1)
    assert folds_computed(out, tmp_path, SVC, overwrite=True)[1] == [0, 1, 2, 3]


def test_a_run_with_a_damaged_record_can_be_replaced(out, tmp_path):
    run(out, tmp_path, SVC, jobs=1)
    (tmp_path / "config.json").write_text("{")
    (tmp_path / "beside.html").write_text("the earlier run")
    assert folds_computed(out, tmp_path, SVC, overwrite=True)[1] == [0, 1, 2, 3]
    assert RunFolder(tmp_path).record()["config"] == SVC.to_dict()
    assert not (tmp_path / "beside.html").exists()


def test_other_rows_are_another_run(samples, out, tmp_path):
    run(out, tmp_path / "run", SVC)
    emotion = samples.emotion.copy()
    emotion[0] = (emotion[0] + 1) % 3
    other = write_out(dataclasses.replace(samples, emotion=emotion), tmp_path / "other")
    with pytest.raises(OutputError, match=r"holds a run with another input \(its rows are not the same\)"):
        run(other, tmp_path / "run", SVC)
    (tmp_path / "run" / "config.json").write_text("{")
    with pytest.raises(OutputError, match=r"config\.json is damaged"):
        run(out, tmp_path / "run", SVC)


def test_a_folder_is_held_by_one_run(tmp_path, out):
    with held(tmp_path / "run"), pytest.raises(OutputError, match="another run is writing to"):
        run(out, tmp_path / "run", SVC)
    assert not (tmp_path / "run").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file: cannot be made"):
        run(out, tmp_path / "file", SVC)


def test_a_saved_network_predicts_what_the_run_did(out, tmp_path):
    config = dataclasses.replace(SMALL, model="dual-resnet18", epochs=1, shared=True, protocol="kfold:2", seed=4)
    samples, result = run(out, tmp_path, config, jobs=1, save_weights=True)
    record = RunFolder(tmp_path).record()
    assert record["config"] == config.to_dict()
    assert record["model"]["parameters"] == 11_182_152
    fold = folds_of(samples, config)[1]
    trained = load_trained(tmp_path, 1)
    assert trained.model.emotion_backbone is trained.model.ethnicity_backbone
    with torch_threads(1):
        found = predict(trained, samples, fold.held_out, config)
    for name, values in found.items():
        np.testing.assert_array_equal(values, result.heads[name][fold.held_out])
    with pytest.raises(OutputError, match=r"fold-0007\.safetensors: was not saved"):
        load_trained(tmp_path, 7)
    with pytest.raises(OutputError, match=r"has no config\.json"):
        load_trained(tmp_path / "weights", 0)


def test_a_disk_without_room_for_the_weights_is_a_sentence(samples, tmp_path):
    """A limit of the process on the size of a file is told as a full disk is."""
    trained = train_fold(samples, folds_of(samples, SMALL)[0], dataclasses.replace(SMALL, epochs=1))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        with pytest.raises(Interrupted, match=r"cannot write .*fold-0000\.safetensors' \(File too large\); make room"):
            save_trained(RunFolder(tmp_path), 0, trained)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((tmp_path / "weights").iterdir()) == []


def test_support_vectors_are_one_job_beside_a_gpu_too(monkeypatch):
    monkeypatch.setattr("trainer.run.choose_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert (default_jobs(RunConfig(model="svc")), default_jobs(RunConfig())) == (1, 8)


def test_a_person_in_two_datasets_is_held_out_of_both(samples, tmp_path):
    n = len(samples)
    who = ["Ann" if subject in ("01", "03") else None for subject in samples.subject]
    datasets = ["casme2" if subject < "03" else "samm" for subject in samples.subject]
    out = write_out(samples, tmp_path / "out", dataset=datasets, person=who)
    result = run(out, tmp_path / "run", SVC)[1]
    assert [fold.fold.name for fold in result.folds] == ["Ann", "casme2/02", "samm/04"]
    assert len(result.folds[0].fold.held_out) == 2 * n // 4


def test_a_head_has_the_groups_of_the_training_rows_and_pools_them_by_name(samples, tmp_path):
    group = ["lonely" if subject == "04" else ("a", "b")[int(subject) % 2] for subject in samples.subject]
    out = write_out(samples, tmp_path / "out", group=group)
    config = dataclasses.replace(SMALL, model="dual-resnet18", epochs=1)
    samples, result = run(out, tmp_path / "run", config, jobs=1)
    assert result.ethnic_classes == ("a", "b", "lonely")
    assert [fold.ethnic_classes for fold in result.folds] == [
        ("a", "b", "lonely"),
        ("b", "lonely"),
        ("a", "b", "lonely"),
        ("a", "b"),
    ]
    of_04 = result.heads["ethnicity"][result.fold_of == 3]
    assert (of_04[:, 2] == 0).all()
    np.testing.assert_allclose(of_04.sum(axis=1), 1, rtol=1e-5)
    write_run(tmp_path / "run", samples, config, result)
    table = pq.read_table(tmp_path / "run" / "predictions.parquet")
    assert json.loads(table.schema.metadata[b"ethnic_classes"]) == ["a", "b", "lonely"]
    np.testing.assert_array_equal(table["ethnicity_head"].to_pylist(), result.heads["ethnicity"])
    np.testing.assert_array_equal(table["emotion_head"].to_pylist(), result.heads["emotion"])


def test_action_units_are_learnt_and_scored_dataset_by_dataset(samples, tmp_path):
    codes = [("4", "6+L12", "1+2")[k] for k in samples.emotion]
    datasets = ["samm" if subject < "03" else "casme" for subject in samples.subject]
    out = write_out(samples, tmp_path / "out", au=codes, dataset=datasets)
    config = dataclasses.replace(SVC, protocol="cd6me", target="au12")
    samples, result = run(out, tmp_path / "run", config)
    assert samples.units[0].tolist() == [int(unit == 4) for unit in UNITS]
    assert [fold.fold.name for fold in result.folds] == ["casme", "samm"]
    scores = write_run(tmp_path / "run", samples, config, result)["metrics"]
    assert scores["overall"]["au"]["AU12"]["binary"] > 0.8
    assert scores["overall"]["au"]["AU17"]["binary"] is None
    assert [part["dataset"] for part in scores["per_dataset"]] == ["casme", "samm"]
    rows = pq.read_table(tmp_path / "run" / "predictions.parquet").to_pylist()
    assert rows[1]["true"] == "AU6+AU12"


def test_apex_frames_reach_the_model(samples, tmp_path, rng):
    rgb = rng.integers(0, 256, (len(samples), 3, 40, 40), dtype=np.uint8)
    out = write_out(dataclasses.replace(samples, rgb=rgb), tmp_path / "out")
    config = RunConfig(model="dual-resnet18-rgb", epochs=1, batch=12, size=40, device="cpu", protocol="kfold:2", seed=1)
    loaded, result = run(out, tmp_path / "run", config, jobs=1)
    np.testing.assert_array_equal(loaded.rgb, rgb)
    other = write_out(dataclasses.replace(samples, rgb=255 - rgb), tmp_path / "other")
    negative = run(other, tmp_path / "negative", config, jobs=1)[1]
    assert (negative.probabilities != result.probabilities).any()


def test_stored_samples_are_the_samples(samples, tmp_path):
    with scratch(tmp_path / "cubes") as folder:
        stored = put(samples, folder)
        opened = Stored(stored.folder, stored.labels).open()
        assert isinstance(opened.cubes, np.memmap)
        assert opened.digest() == samples.digest()
        assert opened.people == samples.people
    assert not (tmp_path / "cubes").exists()


def test_a_disk_without_room_for_the_cubes_is_a_sentence(tmp_path):
    with scratch(tmp_path / "cubes") as folder, pytest.raises(Interrupted, match=r"cannot write .*cubes\.npy"):
        allocate(folder, "cubes", (1 << 40, 3, 224, 224), np.float32)
