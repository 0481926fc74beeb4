"""The command flowkit-train, from shards to a report."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from tests.motions import motion_samples, write_out
from trainer.cli import app, main

FAST = ["--epochs", "1", "--batch", "8", "--threads", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return write_out(motion_samples(subjects=3, clips=6), tmp_path_factory.mktemp("shards") / "out")


def flowkit_train(*arguments):
    return CliRunner().invoke(app, ["loso", *map(str, arguments)])


def test_loso_leaves_predictions_metrics_and_a_report(out, tmp_path):
    done = flowkit_train(out, "-o", tmp_path / "run", "--seed", 3, *FAST)
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0] == "18 onset-apex pairs of 32 x 32 px"
    assert lines[1].startswith("fold 1/3  held out toy/01: 6 pairs, ")
    assert lines[-1] == f"report: {tmp_path / 'run' / 'report.html'}"
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert f"UF1 {metrics['metrics']['overall']['uf1']:.3f}" in lines[-2]
    assert (metrics["config"]["epochs"], metrics["config"]["batch"], metrics["config"]["seed"]) == (1, 8, 3)
    assert metrics["input"]["parameters_hash"] == "0" * 64
    assert (metrics["device"], metrics["threads"]) == ("cpu", 1)
    assert metrics["input"]["shards"] == str(out)
    assert len(metrics["folds"]) == 3


def test_the_same_command_gives_the_same_predictions(out, tmp_path):
    for name in ("a", "b"):
        assert flowkit_train(out, "-o", tmp_path / name, *FAST).exit_code == 0
    a, b = ((tmp_path / name / "predictions.parquet").read_bytes() for name in "ab")
    assert a == b


def test_size_preset_and_shuffled_labels_reach_the_run(out, tmp_path):
    done = flowkit_train(
        out, "-o", tmp_path, "--preset", "paper", "--size", "24", "--shuffle-labels", "--model", "dual-resnet18", *FAST
    )
    assert done.exit_code == 0, done.output
    assert "resized to 24 x 24 px with u and v in proportion" in done.output
    assert "labels shuffled" in done.output
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["input"]["cube_shape"] == [3, 24, 24]
    assert metrics["input"]["extracted_sizes"] == [[32, 32]]
    assert metrics["config"]["precise_batch_norm"] is False
    assert metrics["config"]["shuffle_labels"] is True
    assert "Null control" in (tmp_path / "report.html").read_text()


def test_an_earlier_run_is_kept_unless_overwritten(out, tmp_path):
    (tmp_path / "metrics.json").write_text("mine")
    done = flowkit_train(out, "-o", tmp_path, *FAST)
    assert done.exit_code == 2
    assert "add --overwrite" in done.stderr
    assert (tmp_path / "metrics.json").read_text() == "mine"
    assert flowkit_train(out, "-o", tmp_path, "--overwrite", *FAST).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "vgg"], "flowkit-train: model='vgg': must be one of resnet18, dual-resnet18"),
        (["--preset", "best"], "preset='best' is unknown; choose one of standard, paper, quick"),
        (["--pretrained", "gone.pth"], "pretrained='gone.pth': there is no such file; download"),
        (["--role", "lag"], "no pair has the role 'lag'; there are onset-apex (18)"),
    ],
)
def test_errors_are_one_sentence_and_exit_2(out, tmp_path, arguments, message):
    done = flowkit_train(out, "-o", tmp_path / "run", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_a_folder_without_shards_is_refused(tmp_path):
    done = flowkit_train(tmp_path, "-o", tmp_path / "run")
    assert done.exit_code == 2
    assert "is no output of flowkit extract" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        ([], 2, ""),
        (["loso"], 2, "flowkit-train: Missing argument 'OUT'; see flowkit-train loso --help\n"),
        (["demo", ""], 2, "flowkit-train: an argument is empty (''), as a shell's variable that is not set; "),
        (["demo", "out", "--fault"], 70, "flowkit-train: unexpected RuntimeError: a fault; run it again with --debug"),
    ],
)
def test_every_ending_of_the_program_is_one_line(monkeypatch, capsys, arguments, code, line):
    def fault(_: object) -> None:
        raise RuntimeError("a fault")

    if "--fault" in arguments:
        monkeypatch.setattr("trainer.demo.tour.run", fault)
    monkeypatch.setattr(sys, "argv", ["flowkit-train", *arguments[:2]])
    with pytest.raises(SystemExit) as ended:
        main()
    stderr = capsys.readouterr().err
    assert (ended.value.code, stderr[: len(line)]) == (code, line)
    assert stderr.count("\n") == (1 if line else 0)


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_help_has_an_example_and_does_not_load_torch():
    code = """
import sys
from typer.testing import CliRunner
from trainer.cli import app
done = CliRunner().invoke(app, ["loso", "--help"])
assert done.exit_code == 0
assert "Example: flowkit-train loso" in done.output, done.output
assert not {"torch", "timm", "matplotlib", "jinja2", "cv2"} & set(sys.modules)
"""
    done = python(code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", ["torch", "timm", "matplotlib", "jinja2"])
def test_a_missing_package_is_named_with_its_remedy(package, tmp_path):
    code = f"""
import sys
sys.modules[{package!r}] = None
sys.argv = ["flowkit-train", "loso", "out", "-o", {str(tmp_path / "run")!r}]
from trainer.cli import main
main()
"""
    done = python(code)
    assert done.returncode == 2
    assert done.stderr.strip() == f"flowkit-train: {package} is not installed; pip install 'flowkit-mer[train]'"
