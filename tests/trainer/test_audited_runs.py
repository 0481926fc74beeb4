"""Tiny runs as the audit and Grad-CAM find them: a clean one passes, and each slip that is planted is found."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import f1_score
from typer.testing import CliRunner

from flowkit.errors import InputError
from tests.motions import motion_samples, write_out
from trainer.audit.checks import audit_predictions
from trainer.audit.predictions import read_predictions
from trainer.audit.run import OF_SHARDS, audit_run
from trainer.cli import app
from trainer.data import load, strain_of
from trainer.results import write_run
from trainer.run import run
from trainer.types import SLIPS, RunConfig


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    samples = motion_samples(subjects=4, clips=3, side=64, seed=1)
    au = [("4", "12", "1+2")[k] for k in samples.emotion]
    return write_out(samples, tmp_path_factory.mktemp("shards") / "out", au=au)


def trained(out, folder, config):
    samples, result = run(out, folder, config, jobs=1, save_weights=config.model != "svc")
    return write_run(folder, samples, config, result)


@pytest.fixture(scope="module")
def clean(out, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean") / "run"
    trained(out, folder, RunConfig(device="cpu", size=64, epochs=1, batch=8))
    return folder


def verdicts(folder):
    return {finding.check: finding.verdict for finding in audit_run(folder)}


def test_a_clean_run_passes(clean):
    found = verdicts(clean)
    assert not {"leak", "slip"} & set(found.values())
    assert {found[check] for check in ("batch mates", "chosen epochs", "strain axes", "backbones")} == {"passed"}
    done = CliRunner().invoke(app, ["audit", str(clean)])
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "0 leaks, 0 slips")


def test_what_is_not_checked_without_the_shards_is_said(clean, tmp_path):
    found = audit_run(clean, tmp_path / "gone")
    assert tuple(finding.check for finding in found if finding.verdict == "not checked") == OF_SHARDS
    told = {finding.check: finding.told for finding in found}
    assert told["chosen epochs"] == "every fold stops at epoch 1"
    assert told["backbones"] == "resnet18 has one backbone, and says so"
    done = CliRunner().invoke(app, ["audit", str(clean), "--shards", str(tmp_path / "gone")])
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "0 leaks, 0 slips; 7 checks could not be made")


def test_folds_that_are_not_the_protocol_s_are_found(out, tmp_path):
    trained(out, tmp_path / "run", RunConfig(device="cpu", model="svc"))
    assert verdicts(tmp_path / "run")["division into folds"] == "passed"
    path = tmp_path / "run" / "predictions.parquet"
    table = pq.read_table(path)
    fold = table["fold"].to_pylist()
    other = [fold[-1], *fold[1:]]
    pq.write_table(table.set_column(table.column_names.index("fold"), "fold", pa.array(other, pa.int32())), path)
    (finding,) = (each for each in audit_run(tmp_path / "run") if each.check == "division into folds")
    assert (finding.verdict, finding.told[:46]) == ("leak", "1 rows were predicted by another fold than the")


def test_shards_in_another_order_are_no_leak(out, tmp_path):
    """The folds are then those of the protocol all the same; who trains in which place is not known."""
    trained(out, tmp_path / "run", RunConfig(device="cpu", model="svc"))
    samples = motion_samples(subjects=4, clips=3, side=64, seed=1)
    order = np.random.default_rng(0).permutation(len(samples)).tolist()
    names = ("clip_id", "pair_id", "dataset", "subject", "group")
    mixed = dataclasses.replace(
        samples,
        cubes=samples.cubes[order],
        emotion=samples.emotion[order],
        person=(),
        **{name: [getattr(samples, name)[i] for i in order] for name in names},
    )
    found = {each.check: each for each in audit_run(tmp_path / "run", write_out(mixed, tmp_path / "mixed"))}
    assert (found["same samples"].verdict, found["division into folds"].verdict) == ("warning", "passed")
    assert not {"leak", "slip"} & {finding.verdict for finding in found.values()}
    fewer = write_out(motion_samples(subjects=4, clips=2, side=64, seed=1), tmp_path / "fewer")
    assert {each.check: each.verdict for each in audit_run(tmp_path / "run", fewer)}["division into folds"] == "warning"


def test_people_who_turned_out_to_be_one_make_other_folds(out, tmp_path):
    trained(out, tmp_path / "run", RunConfig(device="cpu", model="svc"))
    samples = motion_samples(subjects=4, clips=3, side=64, seed=1)
    person = ["a" if subject in ("01", "02") else subject for subject in samples.subject]
    joined = write_out(samples, tmp_path / "joined", person=person)
    found = {each.check: each for each in audit_run(tmp_path / "run", joined)}
    assert found["division into folds"].verdict == "warning"
    assert found["shifted rows"].verdict == "passed"
    assert CliRunner().invoke(app, ["audit", str(tmp_path / "run"), "--shards", str(joined)]).exit_code == 0


def test_who_trains_is_known_however_accents_are_written(tmp_path):
    samples = motion_samples(subjects=4, clips=3, side=64, seed=1)
    samples = dataclasses.replace(
        samples,
        dataset=["one" if subject < "03" else "two" for subject in samples.subject],
        clip_id=[f"re\u0301{clip}" for clip in samples.clip_id],
        person=(),
    )
    shards = write_out(samples, tmp_path / "out")
    trained(shards, tmp_path / "run", RunConfig(device="cpu", model="svc", protocol="loso-per-dataset"))
    assert verdicts(tmp_path / "run")["shifted rows"] == "passed"
    alone = {each.check: each for each in audit_run(tmp_path / "run", tmp_path / "gone")}["shifted rows"]
    assert (alone.verdict, "with its shards" in alone.told) == ("not checked", True)


def test_a_run_finds_its_shards_from_any_folder(out, tmp_path, monkeypatch):
    monkeypatch.chdir(out.parent)
    trained(Path(out.name), tmp_path / "run", RunConfig(device="cpu", model="svc"))
    monkeypatch.chdir(tmp_path)
    assert verdicts(tmp_path / "run")["same samples"] == "passed"


def test_the_samples_of_shuffled_labels_are_those_before(out, tmp_path):
    trained(out, tmp_path / "run", RunConfig(device="cpu", model="svc", shuffle_labels=True))
    assert verdicts(tmp_path / "run")["same samples"] == "passed"
    other = write_out(motion_samples(subjects=4, clips=3, side=64, seed=2), tmp_path / "other")
    found = {finding.check: finding.verdict for finding in audit_run(tmp_path / "run", other)}
    assert found["same samples"] == "warning"


def test_what_an_audit_would_not_heed_is_refused(clean, tmp_path):
    for subject, option, told in (
        (clean, ["--shuffled"], "--shuffled: .* is a run, whose config.json says it"),
        (clean, ["--select", "inner"], "--select: .* is a run, whose config.json says it"),
        (clean / "predictions.parquet", ["--shards", str(tmp_path)], "--shards: .* is no run's folder"),
    ):
        with pytest.raises(InputError, match=told):
            app(["audit", str(subject), *option], standalone_mode=False)


@pytest.mark.parametrize(
    ("choices", "check", "verdict"),
    [
        ({"slips": ("test-batch-norm",), "size": 64, "batch": 8}, "batch mates", "leak"),
        ({"slips": ("best-epoch",), "model": "ststnet", "epochs": 6, "lr": 0.02}, "chosen epochs", "leak"),
        ({"slips": ("swapped-strain-axes",), "batch": 8}, "strain axes", "slip"),
        ({"slips": ("substring-aus",), "model": "svc", "target": "au12"}, "action units", "slip"),
        ({"model": "dual-resnet18", "shared": True, "size": 32}, "backbones", "slip"),
    ],
)
def test_each_slip_is_found_and_said(out, tmp_path, choices, check, verdict):
    config = RunConfig(device="cpu", **{"epochs": 1, **choices})
    summary = trained(out, tmp_path / "run", config)
    found = verdicts(tmp_path / "run")
    assert found.pop(check) == verdict
    if check == "backbones":  # without the shards, too
        assert {each.check: each.verdict for each in audit_run(tmp_path / "run", tmp_path / "gone")}[check] == verdict
    assert found.pop("slips on purpose") == ("slip" if config.slips else "passed")
    assert not {"leak", "slip"} & set(found.values())
    assert CliRunner().invoke(app, ["audit", str(tmp_path / "run")]).exit_code == 1
    if config.slips:
        assert any("repeats a slip on purpose, and is no result" in note for note in summary["caveats"])
    if config.slips:
        assert "No result: this run repeats the slip" in (tmp_path / "run" / "report.html").read_text()


def test_the_command_says_that_a_run_with_a_slip_is_no_result(out, tmp_path):
    arguments = ["loso", str(out), "-o", str(tmp_path / "run"), "--model", "svc", "--target", "au12"]
    done = CliRunner().invoke(app, [*arguments, "--slip", "substring-aus"])
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-2].endswith("12 pairs of 4 people; a run with --slip substring-aus: no result")


@pytest.mark.parametrize("protocol", ["hde", "loso-per-dataset"])
def test_a_person_of_two_datasets_is_no_leak_where_neither_fold_trains_on_her(tmp_path, protocol):
    samples = motion_samples(subjects=6, clips=3, seed=1)
    where = ["A" if int(subject) < 4 else "B" for subject in samples.subject]
    person = ["Jane" if subject in ("01", "04") else None for subject in samples.subject]
    samples = dataclasses.replace(samples, dataset=where)
    out = write_out(samples, tmp_path / "out", person=person)
    trained(out, tmp_path / "run", RunConfig(device="cpu", model="svc", protocol=protocol))
    for found in (audit_run(tmp_path / "run"), audit_run(tmp_path / "run", tmp_path / "gone")):
        assert not [finding for finding in found if finding.verdict in ("leak", "slip")]
    assert verdicts(tmp_path / "run")["people in training"] == "passed"
    of_file = audit_predictions(read_predictions(tmp_path / "run" / "predictions.parquet"))
    assert not [finding for finding in of_file if finding.verdict in ("leak", "slip")]
    assert f"{protocol} holds a person of two datasets out in each" in of_file[0].told


@pytest.mark.parametrize(
    "choices",
    [
        {"slips": ("test-batch-norm",), "size": 64, "batch": 8},
        {"slips": ("substring-aus",), "model": "svc", "target": "au12"},
    ],
)
def test_a_slip_is_found_where_nothing_but_the_choices_shows_it(out, tmp_path, choices):
    config = RunConfig(device="cpu", epochs=1, **choices)
    samples, result = run(out, tmp_path / "run", config, jobs=1)
    summary = write_run(tmp_path / "run", samples, config, result)
    slips = [finding["told"] for finding in summary["audit"] if finding["verdict"] == "slip"]
    assert slips == [f"{config.slips[0]}: {SLIPS[config.slips[0]]}"]
    found = audit_run(tmp_path / "run", tmp_path / "gone")
    assert [finding.told for finding in found if finding.verdict == "slip"] == slips


def test_a_row_that_cannot_be_predicted_alone_is_a_finding(tmp_path):
    """At 32 px the last layers of ResNet-18 have one value a channel, and one row has no statistics of its own."""
    out = write_out(motion_samples(subjects=3, clips=3), tmp_path / "out")
    summary = trained(out, tmp_path / "run", RunConfig(device="cpu", epochs=1, batch=8, slips=("test-batch-norm",)))
    (found,) = [finding for finding in summary["audit"] if finding["check"] == "batch mates"]
    assert found["verdict"] == "leak"
    assert found["told"].startswith("fold toy/01: a row alone cannot be predicted (slips=test-batch-norm: ")
    assert (tmp_path / "run" / "predictions.parquet").exists()


def test_the_best_epoch_is_that_of_the_held_out_rows(out, tmp_path):
    """Chosen by the loss on the held-out person: its curve has the loss of the epoch that counts as the lowest."""
    config = RunConfig(device="cpu", model="ststnet", epochs=3, lr=0.05, slips=("best-epoch",))
    _, result = run(out, tmp_path / "run", config, jobs=1)
    for fold in result.folds:
        losses = [curve["inner_loss"] for curve in fold.curves]
        assert fold.epoch == int(np.argmin(losses)) + 1
    _, honest = run(out, tmp_path / "honest", RunConfig(device="cpu", model="ststnet", epochs=3, lr=0.05), jobs=1)
    assert {fold.epoch for fold in honest.folds} == {3}
    assert "inner_loss" not in honest.folds[0].curves[0]


def test_strain_by_the_axes():
    y, x = np.mgrid[0:9, 0:9].astype(np.float32)
    stretch = np.stack([0.5 * x, np.zeros_like(x)])
    rotation = np.stack([-0.1 * y, 0.1 * x])
    np.testing.assert_allclose(strain_of(stretch), 0.5, atol=1e-6)
    np.testing.assert_allclose(strain_of(rotation), 0, atol=1e-6)
    np.testing.assert_allclose(strain_of(rotation, swapped=True), 0.1 * np.sqrt(2), atol=1e-6)


def test_digits_in_the_text_are_no_unit(out):
    right, slipped = (
        load(out, RunConfig(model="svc", target="au12", slips=slips)).units for slips in ((), ("substring-aus",))
    )
    assert right is not None
    assert slipped is not None
    twelve = right[:, 8] == 1  # annotated "12"
    assert right[twelve, 0].sum() == right[twelve, 1].sum() == 0
    assert slipped[twelve, 0].all()  # the 1 of "12"
    assert slipped[twelve, 1].all()  # and its 2


def test_grad_cam_from_the_shell_and_on_the_page(clean):
    pytest.importorskip("captum")
    done = CliRunner().invoke(app, ["study", "grad-cam", str(clean)])
    assert done.exit_code == 0, done.output
    assert "the last stage has 2 x 2 places, and the maps tell no more apart; --size 128 has 4 x 4" in done.output
    rows = pq.read_table(clean / "grad-cam" / "maps.parquet")
    maps = np.array([each for each in rows["map"].to_pylist() if each is not None])
    assert len(maps)
    np.testing.assert_allclose(maps.sum(axis=1), 1, atol=1e-5)
    study = json.loads((clean / "grad-cam" / "study.json").read_text())
    groups = {(line["group"], line["emotion"]) for line in study["tables"]["summary"]}
    assert groups == {(g, e) for g in ("all", "asian", "non_asian") for e in ("negative", "positive", "surprise")}
    assert CliRunner().invoke(app, ["report", str(clean)]).exit_code == 0
    assert "Where the network looks" in (clean / "report.html").read_text()


def test_grad_cam_explains_the_class_that_was_predicted(clean, tmp_path):
    """The run's own, whatever the network says here: of another precision or device it may say another."""
    pytest.importorskip("captum")
    shutil.copytree(clean, tmp_path / "run")
    rows = pq.read_table(clean / "predictions.parquet")
    turned = ["surprise" if name == "negative" else "negative" for name in rows["predicted"].to_pylist()]
    changed = rows.set_column(rows.column_names.index("predicted"), "predicted", [turned])
    pq.write_table(changed, tmp_path / "run" / "predictions.parquet")
    maps = []
    for folder in (clean, tmp_path / "run"):
        app(["study", "grad-cam", str(folder), "-o", str(tmp_path / "maps")], standalone_mode=False)
        maps.append(pq.read_table(tmp_path / "maps" / "maps.parquet").sort_by("pair_id"))
    assert maps[1]["predicted"].to_pylist() == changed.sort_by("pair_id")["predicted"].to_pylist()
    assert all(a != b for a, b in zip(*(each["map"].to_pylist() for each in maps), strict=True))


def test_grad_cam_refuses_shards_that_the_run_was_not_trained_on(clean, tmp_path):
    """Without the first person the second one would be explained by the network that trained on the second."""
    pytest.importorskip("captum")
    samples = motion_samples(subjects=4, clips=3, side=64, seed=1)
    rows = range(3, len(samples))
    less = dataclasses.replace(
        samples,
        cubes=samples.cubes[3:],
        emotion=samples.emotion[3:],
        person=(),
        **{
            name: [getattr(samples, name)[i] for i in rows]
            for name in ("clip_id", "pair_id", "dataset", "subject", "group")
        },
    )
    other = write_out(less, tmp_path / "less")
    arguments = ["study", "grad-cam", str(clean), "--shards", str(other), "-o", str(tmp_path / "maps")]
    with pytest.raises(InputError, match=rf"less: does not hold what {clean} was trained on; give .* by --shards"):
        app(arguments, standalone_mode=False)
    assert not (tmp_path / "maps").exists()


def test_tensorboard_is_named_where_it_is_missing(out, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    arguments = ["loso", str(out), "-o", str(tmp_path / "run"), "--model", "svc", "--tensorboard"]
    with pytest.raises(InputError, match=r"^--tensorboard: tensorboard is not installed; pip install tensorboard$"):
        app(arguments, standalone_mode=False)
    assert not (tmp_path / "run").exists()


def test_several_seeds_from_the_shell(out, tmp_path):
    arguments = ["loso", str(out), "-o", str(tmp_path), "--model", "ststnet", "--epochs", "1", "--device", "cpu"]
    done = CliRunner().invoke(app, [*arguments, "--jobs", "1", "--seeds", "2"])
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1].startswith("ststnet, 2 seeds: UF1 ")
    found = json.loads((tmp_path / "seeds.json").read_text())
    assert found["settings"][0]["seeds"] == [0, 1]
    assert (tmp_path / "seed-1" / "report.html").exists()


def test_several_seeds_of_action_units_have_a_mean_and_a_spread(out, tmp_path):
    arguments = ["loso", str(out), "-o", str(tmp_path), "--model", "ststnet", "--epochs", "2", "--target", "au12"]
    done = CliRunner().invoke(app, [*arguments, "--device", "cpu", "--jobs", "1", "--seeds", "2"])
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1].startswith("ststnet, 2 seeds: binary F1 0.")
    found = json.loads((tmp_path / "seeds.json").read_text())
    units = [
        json.loads((tmp_path / f"seed-{seed}" / "metrics.json").read_text())["metrics"]["overall"] for seed in (0, 1)
    ]
    (setting,) = found["settings"]
    assert (setting["seeds"], found["tests"]) == ([0, 1], [])
    for name in ("binary", "macro"):
        values = [scores[name] for scores in units]
        assert [run[name]["value"] for run in found["runs"]] == values
        assert setting[name]["mean"] == pytest.approx(np.mean(values))
        assert setting[name]["sd"] == pytest.approx(np.std(values, ddof=1))


def test_no_unit_is_refused_before_anything_is_written(tmp_path):
    samples = motion_samples(subjects=3, clips=3, side=16)
    out = write_out(samples, tmp_path / "out", au=["26"] * 9)
    arguments = ["loso", str(out), "-o", str(tmp_path / "run"), "--model", "svc", "--target", "au12"]
    with pytest.raises(InputError, match=r"none of 9 rows shows one of the units 1, 2, 4, .* is told apart; give"):
        app(arguments, standalone_mode=False)
    assert not (tmp_path / "run").exists()


def test_a_run_of_action_units_has_a_report_and_an_audit(tmp_path):
    """Two heads, two pairs a clip, two datasets; from the shell to the page."""
    samples = motion_samples(subjects=4, clips=6, side=32, seed=1)
    clip = [f"{person}/{i // 2}" for i, person in enumerate(samples.subject)]
    au = [("4", "6+L12", "1+2+26")[i // 2 % 3] for i in range(24)]
    where = ["casme" if int(person) < 3 else "samm" for person in samples.subject]
    out = write_out(samples, tmp_path / "out", clip_id=clip, au=au, dataset=where)
    folder = tmp_path / "run"
    choices = ["--model", "dual-resnet18", "--target", "au12", "--epochs", "1", "--device", "cpu", "--jobs", "1"]
    done = CliRunner().invoke(app, ["loso", str(out), "-o", str(folder), *choices])
    assert done.exit_code == 0, done.output
    told, last = done.output.splitlines()[-2:]
    assert last == f"report: {folder / 'report.html'}"
    metrics = json.loads((folder / "metrics.json").read_text())["metrics"]
    assert told.startswith(f"binary F1 {metrics['by_clip']['binary']:.3f} (")
    assert "; means over 5 of 12 action units (no row shows AU5, AU7, AU9, AU10, AU14, AU15, AU17; over all" in told
    assert set(metrics["heads"]) == {"emotion", "ethnicity", "fusion"}
    assert metrics["by_clip"]["n"] == 12
    rows = pq.read_table(folder / "predictions.parquet").to_pylist()
    shown = [name for name, unit in metrics["overall"]["au"].items() if unit["support"]]
    true, said = ([[unit in row[side].split("+") for unit in shown] for row in rows] for side in ("true", "predicted"))
    assert metrics["overall"]["binary"] == pytest.approx(f1_score(true, said, average="macro", zero_division=0))
    html = (folder / "report.html").read_text()
    assert all(f'<h2 id="{part}">' in html for part in ("audit", "groups", "datasets", "classes", "clips", "curves"))
    (folder / "report.html").unlink()
    assert CliRunner().invoke(app, ["report", str(folder)]).exit_code == 0
    assert (folder / "report.html").read_text() == html
    done = CliRunner().invoke(app, ["audit", str(folder)])
    assert done.output.splitlines()[-1] == "0 leaks, 0 slips; 1 check could not be made"
    assert "above chance: mean F1 of the units that are shown 0." in done.output
    done = CliRunner().invoke(app, ["audit", str(folder / "predictions.parquet")])
    assert "class sets: rows show 5 of 12 action units" in done.output
    assert "is predicted and never true" not in done.output


def test_one_class_is_refused_before_anything_is_written(tmp_path):
    samples = motion_samples(subjects=3, clips=3, side=16)
    out = write_out(samples, tmp_path / "out", emotion3=["positive"] * 9)
    arguments = ["loso", str(out), "-o", str(tmp_path / "run"), "--model", "svc"]
    with pytest.raises(InputError, match=r"all 9 rows show one class \(positive\), so nothing can be told apart"):
        app(arguments, standalone_mode=False)
    assert not (tmp_path / "run").exists()
