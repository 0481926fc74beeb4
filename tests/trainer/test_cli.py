"""The command flowkit-train, from shards to a report."""

import io
import json
import shutil
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from flowkit.errors import InputError, OutputError, run_command
from tests.dropped import sigterm_in_a_callback, sigterm_in_an_exec, sigterm_on_the_way_out
from tests.motions import motion_samples, write_out
from trainer.cli import app, main
from trainer.cli.app import command
from trainer.results import write_run
from trainer.run import folds_of
from trainer.run_folder import held
from trainer.types import RunConfig, resolve_config

FAST = ["--epochs", "1", "--batch", "8", "--device", "cpu", "--jobs", "1"]
SVC = ["--model", "svc", "--device", "cpu", "--protocol", "kfold:2"]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return write_out(motion_samples(subjects=4, clips=4), tmp_path_factory.mktemp("shards") / "out")


@dataclass(frozen=True)
class Done:
    exit_code: int
    output: str
    stderr: str


def flowkit_train(*arguments):
    """`flowkit-train loso`, in this process."""
    stdout, stderr = io.StringIO(), io.StringIO()
    argv = patch.object(sys, "argv", ["flowkit-train", "loso", *map(str, arguments)])
    with argv, redirect_stdout(stdout), redirect_stderr(stderr):
        code = run_command("flowkit-train", command)
    return Done(code, stdout.getvalue(), stderr.getvalue())


def test_loso_leaves_predictions_metrics_and_a_report(out, tmp_path):
    done = flowkit_train(out, "-o", tmp_path / "run", "--seed", 3, *FAST)
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0] == "16 onset-apex pairs of 32 x 32 px"
    assert lines[1].startswith("fold 1/4  held out toy/01: 4 pairs, ")
    assert " left" in lines[1]
    assert lines[-1] == f"report: {tmp_path / 'run' / 'report.html'}"
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert f"UF1 {metrics['metrics']['overall']['uf1']:.3f}" in lines[-2]
    assert (metrics["config"]["epochs"], metrics["config"]["batch"], metrics["config"]["seed"]) == (1, 8, 3)
    assert metrics["input"]["parameters_hash"] == "0" * 64
    assert (metrics["device"], metrics["threads"]) == ("cpu", 1)
    assert metrics["input"]["shards"] == str(out)
    assert len(metrics["folds"]) == 4


def test_the_same_command_gives_the_same_predictions(out, tmp_path):
    for name in ("a", "b"):
        assert flowkit_train(out, "-o", tmp_path / name, *FAST).exit_code == 0
    a, b = ((tmp_path / name / "predictions.parquet").read_bytes() for name in "ab")
    assert a == b
    done = flowkit_train(out, "-o", tmp_path / "a", *FAST)
    assert done.exit_code == 0
    assert done.output.splitlines()[1] == "4 of 4 folds are done already"
    assert (tmp_path / "a" / "predictions.parquet").read_bytes() == b


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


def test_weights_of_the_losses_reach_the_training(out, tmp_path):
    """With a weight of 0 nothing is learnt of groups, and their loss is another from the second batch on."""
    losses = []
    for name, given in (("plain", []), ("none", ["--loss-weights", "1, 0,1"]), ("ones", ["--loss-weights", "1,1,1"])):
        choices = ["--model", "dual-resnet18", "--size", 16, "--protocol", "kfold:2", "--seed", 4, *FAST, "--batch", 4]
        done = flowkit_train(out, "-o", tmp_path / name, *choices, *given)
        assert done.exit_code == 0, done.stderr
        metrics = json.loads((tmp_path / name / "metrics.json").read_text())
        losses.append(metrics["curves"][0]["loss_ethnicity"][0])
        assert metrics["config"]["loss_weights"] == ([1, 0, 1] if name == "none" else [1, 1, 1])
    assert losses[0] == losses[2] != losses[1]


def test_an_earlier_run_is_kept_unless_overwritten(out, tmp_path):
    (tmp_path / "metrics.json").write_text("mine")
    svc = ["--model", "svc", "--device", "cpu"]
    done = flowkit_train(out, "-o", tmp_path, *svc)
    assert done.exit_code == 2
    assert "holds metrics.json of an earlier run; choose another folder or add --overwrite" in done.stderr
    assert (tmp_path / "metrics.json").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]
    assert flowkit_train(out, "-o", tmp_path, "--overwrite", *svc).exit_code == 0
    done = flowkit_train(out, "-o", tmp_path, "--seed", 1, *svc)
    assert (done.exit_code, "holds a run with another seed (0, now 1)" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "vgg"], "flowkit-train: model='vgg' is unknown; flowkit-train models lists names"),
        (["--preset", "best"], "preset='best' is unknown; choose one of standard, paper, quick, cd6me"),
        (["--pretrained", "gone.pth"], "pretrained='gone.pth': there is no such file; download"),
        (["--datasets", "samm"], "has no dataset 'samm'; there are toy"),
        (["--protocol", "hde"], "hde needs two datasets, found 1 (toy)"),
        (["--model", "resnet18-tinyvit"], "toy/01/000: has no apex frame in colour, which resnet18-tinyvit reads"),
        (["--model", "svc", "--save-weights"], "model='svc' has no weights to save"),
        (["--model", "svc", "--select", "inner"], "select='inner': must be left out: svc is no network"),
        (["--model", "svc", "--epochs", "99"], "epochs=99: must be left out: svc is no network"),
        (["--model", "svc", "--preset", "paper", "--compile"], "compile=True: must be left out: svc is no network"),
        (
            ["--model", "dual-resnet18-rgb", "--shared", "--pretrained-rgb", "x.pth"],
            "pretrained_rgb='x.pth': must be left out with --shared, whose one backbone starts from --pretrained",
        ),
        (
            ["--loss-weights", "1,2,1"],
            "loss_weights=(1.0, 2.0, 1.0): must be left out: resnet18 has no losses of ethnicity and fusion",
        ),
        (["--model", "svc", "--loss-weights", "1,1,1"], "loss_weights=(1.0, 1.0, 1.0): must be left out: svc is"),
        (["--loss-weights", "1;2;1"], "--loss-weights: '1;2;1' must be three numbers with commas between, as in 1,0"),
        (
            ["--model", "dual-resnet18", "--loss-weights", "1,1"],
            "loss_weights=(1.0, 1.0): must be three numbers of 0 or above, the last above 0",
        ),
        (["--role", "lag"], "no pair has the role 'lag'; there are onset-apex (16)"),
        (
            ["--model", "vit_tiny_patch16_224"],
            "model='vit_tiny_patch16_224': cannot read cubes of 32 x 32 px "
            "(Input height (32) doesn't match model (224)); choose a --size",
        ),
        (
            ["--model", "inception_v3"],
            "model='inception_v3': cannot read cubes of 32 x 32 px (Calculated padded input size",
        ),
    ],
)
def test_errors_are_one_sentence_and_exit_2(out, tmp_path, arguments, message):
    done = flowkit_train(out, "-o", tmp_path / "run", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_folds_of_every_seed_are_checked_before_the_first_is_trained(out, tmp_path):
    """Two of four people held out together may be the only ones of their group; which two, the seed says."""
    samples = motion_samples(subjects=4, clips=4)
    lone = []
    for seed in range(20):
        config = RunConfig(model="dual-resnet18", protocol="kfold:2", seed=seed)
        groups = [{samples.group[i] for i in fold.train} for fold in folds_of(samples, config)]
        lone.append(min(map(len, groups)) < 2)
    seed = next(seed for seed in range(19) if lone[seed : seed + 2] == [False, True])
    choices = ["--model", "dual-resnet18", "--protocol", "kfold:2", "--size", 16, *FAST]
    done = flowkit_train(out, "-o", tmp_path / "run", *choices, "--seed", seed, "--seeds", 2)
    assert done.exit_code == 2, done.output
    assert f"flowkit-train: seed {seed + 1}: fold " in done.stderr
    assert "dual-resnet18 needs 2; give other seeds by --seed, or another --protocol" in done.stderr
    assert not list(tmp_path.glob("run/*/folds/*"))


def test_a_folder_of_another_run_refuses_all_seeds_before_the_first(out, tmp_path):
    choices = ["--model", "ststnet", *FAST]
    assert flowkit_train(out, "-o", tmp_path / "seed-1", *choices, "--seed", 1, "--lr", 0.01).exit_code == 0
    refused = flowkit_train(out, "-o", tmp_path, *choices, "--seeds", 2)
    assert refused.exit_code == 2
    assert f"{tmp_path / 'seed-1'}: holds a run with another lr (0.01, now " in refused.stderr
    assert not (tmp_path / "seed-0").exists()
    assert flowkit_train(out, "-o", tmp_path, *choices, "--seeds", 2, "--overwrite").exit_code == 0


def compared(folder):
    """The seeds that `flowkit-train compare` finds in a folder."""
    argv = patch.object(sys, "argv", ["flowkit-train", "compare", str(folder), "-o", str(folder / "found.json")])
    with argv, redirect_stdout(io.StringIO()):
        assert run_command("flowkit-train", command) == 0
    (setting,) = json.loads((folder / "found.json").read_text())["settings"]
    return setting["seeds"]


def test_seeds_of_other_choices_are_refused_or_replaced(out, tmp_path):
    """Also those that are not asked for: compare reads all that are there."""
    assert flowkit_train(out, "-o", tmp_path, *SVC, "--seeds", 3).exit_code == 0
    other = [*SVC, "--normalise", "minmax"]
    refused = flowkit_train(out, "-o", tmp_path, *other, "--seed", 5, "--seeds", 2)
    assert refused.exit_code == 2
    remedy = "choose another folder or add --overwrite"
    assert f"{tmp_path / 'seed-0'}: holds a run with another normalise (none, now minmax); {remedy}" in refused.stderr
    assert (tmp_path / "seeds.json").exists()
    assert compared(tmp_path) == [0, 1, 2]
    assert flowkit_train(out, "-o", tmp_path, *other, "--seeds", 2, "--overwrite").exit_code == 0
    assert compared(tmp_path) == [0, 1]


def test_what_seeds_without_a_record_have_left_is_refused_or_removed(out, tmp_path):
    assert flowkit_train(out, "-o", tmp_path, *SVC, "--seeds", 3).exit_code == 0
    (tmp_path / "seed-2" / "config.json").unlink()
    refused = flowkit_train(out, "-o", tmp_path, *SVC, "--seeds", 2)
    assert refused.exit_code == 2
    assert f"{tmp_path / 'seed-2'}: holds predictions.parquet, report.html, metrics.json" in refused.stderr
    assert flowkit_train(out, "-o", tmp_path, *SVC, "--seeds", 2, "--overwrite").exit_code == 0
    assert compared(tmp_path) == [0, 1]


def test_an_empty_folder_with_a_seeds_name_is_no_run(out, tmp_path):
    (tmp_path / "seed-7").mkdir()
    assert flowkit_train(out, "-o", tmp_path, *SVC).exit_code == 0
    (tmp_path / "other" / "seed-7").mkdir(parents=True)
    assert flowkit_train(out, "-o", tmp_path / "other", *SVC, "--seeds", 2).exit_code == 0
    assert compared(tmp_path / "other") == [0, 1]


def test_more_seeds_of_the_same_choices_stay_beside_the_first(out, tmp_path):
    """Labels are shuffled, and people divided, by each seed in its own way."""
    choices = [*SVC, "--shuffle-labels", "--overwrite"]
    assert flowkit_train(out, "-o", tmp_path, *choices, "--seeds", 2).exit_code == 0
    assert flowkit_train(out, "-o", tmp_path, *choices, "--seed", 2, "--seeds", 2).exit_code == 0
    assert compared(tmp_path) == [0, 1, 2, 3]


def test_what_earlier_seeds_have_in_common_goes_before_the_first_is_trained(out, tmp_path, monkeypatch):
    assert flowkit_train(out, "-o", tmp_path, *SVC, "--seeds", 2).exit_code == 0

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("trainer.results.write_run", stopped)
    assert flowkit_train(out, "-o", tmp_path, *SVC, "--normalise", "minmax", "--seeds", 2, "--overwrite").exit_code == 3
    assert not (tmp_path / "seeds.json").exists()


def test_a_folder_holds_one_run_or_several_seeds(out, tmp_path):
    one, several = tmp_path / "one", tmp_path / "several"
    assert flowkit_train(out, "-o", several, *SVC, "--seeds", 2).exit_code == 0
    for overwrite in ([], ["--overwrite"]):
        refused = flowkit_train(out, "-o", several, *SVC, *overwrite)
        assert refused.stderr == f"flowkit-train: {several} holds the runs of 2 seeds; choose another folder\n"
        assert refused.exit_code == 2
    assert compared(several) == [0, 1]
    assert flowkit_train(out, "-o", one, *SVC).exit_code == 0
    refused = flowkit_train(out, "-o", one, *SVC, "--seeds", 2)
    assert f"{one}: holds a run of one seed; choose another folder or add --overwrite" in refused.stderr
    assert not list(one.glob("seed-*"))
    assert flowkit_train(out, "-o", one, *SVC, "--seeds", 2, "--overwrite").exit_code == 0
    assert sorted(path.name for path in one.iterdir()) == ["seed-0", "seed-1", "seeds.json"]


def test_results_are_written_while_no_other_run_can_write(out, tmp_path, monkeypatch):
    def written(folder, *arguments):
        with pytest.raises(OutputError, match="another run is writing to"), held(folder):
            pass
        return write_run(folder, *arguments)

    monkeypatch.setattr("trainer.results.write_run", written)
    done = flowkit_train(out, "-o", tmp_path / "run", *SVC)
    assert done.exit_code == 0, done.stderr


def test_datasets_may_be_listed_with_blanks(tmp_path):
    samples = motion_samples(subjects=6, clips=3)
    dataset = [("casme2", "samm", "smic")[i // 6] for i in range(len(samples))]
    out = write_out(samples, tmp_path / "out", dataset=dataset)
    done = flowkit_train(out, "-o", tmp_path / "run", "--model", "svc", "--datasets", "casme2, samm")
    assert done.exit_code == 0, done.stderr
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["config"]["datasets"] == ["casme2", "samm"]
    assert config["input"]["rows"] == 12


def test_a_preset_is_no_choice_that_svc_refuses(out, tmp_path):
    done = flowkit_train(out, "-o", tmp_path / "run", "--model", "svc", "--preset", "paper", "--device", "cpu")
    assert done.exit_code == 0, done.stderr


def test_a_presets_size_is_not_heeded_by_a_model_that_has_one():
    assert resolve_config("quick").input_size == 64
    for model, size in (("ststnet", 28), ("svc", 32), ("resnet18-tinyvit", 224)):
        assert resolve_config("quick", model=model).input_size == size
    with pytest.raises(InputError, match="size=64: must be 28, the input of ststnet, or left out"):
        resolve_config("quick", model="ststnet", size=64)


@pytest.mark.parametrize("place", [0, 1, 3])
def test_debug_shows_the_traceback_wherever_it_stands(tmp_path, capsys, monkeypatch, place):
    arguments = ["loso", str(tmp_path), "-o", str(tmp_path / "run")]
    monkeypatch.setattr(sys, "argv", ["flowkit-train", *arguments])
    assert run_command("flowkit-train", command) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    monkeypatch.setattr(sys, "argv", ["flowkit-train", *arguments[:place], "--debug", *arguments[place:]])
    assert run_command("flowkit-train", command) == 2
    told = capsys.readouterr().err
    assert told.startswith("Traceback")
    assert told.endswith(line)


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
def test_every_ending_of_the_program_is_one_line(monkeypatch, capsys, signals_kept, arguments, code, line):
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
assert CliRunner().invoke(app, ["models"]).exit_code == 0
assert not {"torch", "timm", "matplotlib", "jinja2", "cv2"} & set(sys.modules)
"""
    done = python(code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", ["torch", "timm", "matplotlib", "jinja2"])
def test_a_missing_package_is_named_with_its_remedy(package, out, tmp_path):
    code = f"""
import sys
sys.modules[{package!r}] = None
sys.argv = ["flowkit-train", "loso", {str(out)!r}, "-o", {str(tmp_path / "run")!r}, *{FAST!r}]
from trainer.cli import main
main()
"""
    done = python(code)
    assert done.returncode == 2
    assert done.stderr.strip() == f"flowkit-train: {package} is not installed; pip install 'flowkit-mer[train]'"


def test_models_are_listed_with_their_parameters_and_sources():
    lines = CliRunner().invoke(app, ["models"]).output.splitlines()
    (line,) = [line for line in lines if line.startswith("ststnet ")]
    assert line.split()[1:5] == ["1,683", "28", "x", "28"]
    assert "Liong" in line


def test_a_killed_run_goes_on_to_the_same_bits_with_any_number_of_jobs(out, tmp_path):
    choices = ["--epochs", "24", "--batch", "4", "--device", "cpu", "--model", "sssnet", "--save-weights"]
    command = [sys.executable, "-m", "trainer.cli", "loso", str(out), "-o", str(tmp_path / "killed"), *choices]
    folds = tmp_path / "killed" / "folds"
    done = _killed_after_a_fold([*command, "--jobs", "2"], folds)
    while len(done) == 4:  # on a busy machine the folds that are left may be done before the signal comes
        shutil.rmtree(tmp_path / "killed")
        done = _killed_after_a_fold([*command, "--jobs", "2"], folds)
    for name in ("killed", "whole"):
        finished = flowkit_train(out, "-o", tmp_path / name, *choices, "--jobs", "1")
        assert finished.exit_code == 0, finished.output
    assert {path.name: path.read_bytes() for path in folds.glob("fold-*") if path.name in done} == done
    one, other = (pq.read_table(tmp_path / name / "predictions.parquet") for name in ("killed", "whole"))
    assert one.equals(other)
    weights = [(tmp_path / name / "weights" / "fold-0003.safetensors").read_bytes() for name in ("killed", "whole")]
    assert weights[0] == weights[1]
    assert not (tmp_path / "killed" / "cubes").exists()


def _killed_after_a_fold(command, folds):
    """The folds that a run has written when it is killed, by name; all its processes have ended."""
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 600
    while not (folds.is_dir() and list(folds.glob("fold-*"))):
        assert killed.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    workers = _below(killed.pid)
    assert len(workers) >= 4  # one that forks, two that compute, and multiprocessing's tracker
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    while any(_alive(pid) for pid in workers):
        assert time.monotonic() < deadline, "the processes of a killed run go on"
        time.sleep(0.01)
    return {path.name: path.read_bytes() for path in folds.glob("fold-*")}


def _below(pid):
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [pid for child in children for pid in _below(child)]


def _alive(pid):
    """Whether a process is there that is not a zombie."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_sigterm_leaves_a_run_that_goes_on(out, tmp_path):
    choices = ["--epochs", "2000", "--device", "cpu", "--model", "ststnet"]
    command = [sys.executable, "-m", "trainer.cli", "loso", str(out), "-o", str(tmp_path / "run"), *choices]
    stopped = subprocess.Popen([*command, "--jobs", "1"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "run" / "config.json").exists():
        assert stopped.poll() is None
        time.sleep(0.02)
    stopped.send_signal(signal.SIGTERM)
    assert stopped.communicate(timeout=60)[1] == "flowkit-train: stopped; run the same command again to continue\n"
    assert stopped.returncode == 3
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["config.json", "folds"]


def test_a_signal_where_python_drops_exceptions_is_not_lost(out, tmp_path):
    environment = sigterm_in_a_callback(tmp_path, "trainer.pool")
    command = [sys.executable, "-m", "trainer.cli", "loso", str(out), "-o", str(tmp_path / "run"), *FAST]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (3, "flowkit-train: stopped; run the same command again to continue\n")


def test_a_signal_within_an_exec_does_not_change_the_code(out, tmp_path):
    environment = sigterm_in_an_exec(tmp_path, "trainer.pool")
    command = [sys.executable, "-m", "trainer.cli", "loso", str(out), "-o", str(tmp_path / "run"), *FAST]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (3, "flowkit-train: stopped; run the same command again to continue\n")


def test_a_signal_on_the_way_out_changes_nothing(tmp_path):
    models = [sys.executable, "-m", "trainer.cli", "models"]
    environment = sigterm_on_the_way_out(tmp_path)
    done = subprocess.run(models, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "resnet18" in done.stdout
