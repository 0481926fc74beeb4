"""The command line: help, and errors in one line with their exit code."""

import os
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from flowkit.cli.app import app
from flowkit.params import PRESETS
from tests.clips import frame_folder


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--device", "tpu"], "--device tpu: choose auto, cpu or cuda"),
        (
            ["--device", "auto", "--engine", "ray"],
            "--device auto is for one machine; with --engine ray write --device cuda",
        ),
        (["--gpu", "--device", "cpu"], "--gpu is short for --device cuda, and contradicts --device cpu"),
        (["--set", "epsilon"], "--set epsilon: write it as KEY=VALUE"),
        (["--pairs", "lag"], "pair plan 'lag' is unknown"),
        (["--engine", "spark"], "engine='spark' is unknown"),
        (["--face", "mesh"], "face 'mesh' is unknown"),
        (["--size", "0"], "size '0'"),
        (
            ["--pairs="],
            "an argument is empty ('--pairs='), as a shell's variable that is not set; leave it out or fill",
        ),
        (["--out="], "an argument is empty ('--out='), as a shell's variable that is not set; leave it out or fill it"),
        (
            ["--size="],
            "an argument is empty ('--size='), as a shell's variable that is not set; leave it out or fill it",
        ),
        (["--pairs", ""], "an argument is empty (''), as a shell's variable that is not set; leave it out or fill it"),
        (["--frame-base", "1"], "frame_base=1: clip has no video, and frames carry their own numbers; leave it out"),
        (["--workers", "x"], "Invalid value for '--workers': "),
        (["--set", "lambda=1", "--set", "lambda_=2"], "--set lambda_=2: lambda_ is set twice; leave one out"),
        (["--nope"], "No such option: --nope"),
    ],
)
def test_an_error_is_one_line_and_exit_code_2(flowkit, tmp_path, arguments, sentence):
    frame_folder(tmp_path / "clip", range(3))
    code, stdout, stderr = flowkit("extract", tmp_path / "clip", "-o", tmp_path / "out", *arguments)
    assert (code, stdout) == (2, "")
    assert stderr.startswith(f"flowkit: {sentence}")
    assert stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_traceback_is_shown_when_asked_for(flowkit, tmp_path):
    code, _, stderr = flowkit("extract", tmp_path / "none", "-o", tmp_path / "out", "--debug")
    assert code == 2
    assert "Traceback" in stderr
    assert stderr.splitlines()[-1].startswith("flowkit: ")


def test_help_and_version():
    runner = CliRunner()
    shown = runner.invoke(app, ["--help"])
    assert shown.exit_code == 0
    for command in ("extract", "verify", "view", "doctor", "demo"):
        assert command in shown.output
    shown = runner.invoke(app, ["extract", "--help"])
    assert "flowkit extract clip.mp4 -o out" in shown.output
    assert "at this side, 16 to 1024 px" in " ".join(shown.output.replace("│", " ").split())
    assert re.fullmatch(r"flowkit \d+\.\d+\.\d+\S*\n", runner.invoke(app, ["--version"]).output)


@pytest.mark.parametrize("command", [["extract"], ["keyframes", "reselect"], ["keyframes", "spot"]])
def test_help_names_every_preset(command):
    shown = CliRunner().invoke(app, [*command, "--help"]).output
    assert [name for name in PRESETS if name not in shown] == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["extract"], "Missing argument 'SOURCE'; see flowkit extract --help"),
        (["exract"], "No such command 'exract'. Did you mean 'extract'\\?; see flowkit --help"),
        (["verify", "/etc/hosts"], "'?/etc/hosts.*plan/run.json"),
        (["verify", "a" * 300], f"{'a' * 300}/plan/run.json"),
        (["extract", "a" * 300, "-o", "out"], "'.*' cannot be read: File name too long"),
        (["extract", "{clip}", "-o", "a" * 300], "'.*' cannot be used: File name too long; mend that"),
        (
            ["extract", "{clip}", "-o", "/etc/hosts/out"],
            "'/etc/hosts/out' cannot be a folder: '/etc/hosts' is a file; give another -o",
        ),
        (["extract", "{clip}", "-o", "/etc/hosts"], "'/etc/hosts' is a file; give -o a folder"),
        (["extract", "{clip}", "-o", "link"], "'.*/link' is a link that leads nowhere; make the folder, or give anoth"),
        (["extract", "{clip}", "-o", "link/out", "--dry-run"], "'.*/link' is a link that leads nowhere; make the fold"),
        (["extract", "{clip}", "-o", "/proc/out"], "cannot write '/proc/out' \\(.*\\); mend that, or give another"),
        (
            ["extract", "{clip}", "-o", "out", "--face", "boxes:gone.csv"],
            "'.*/?gone.csv': there is no such file; write its path as it is now, or put it back",
        ),
        (["extract", "{clip}", "-o", "out", "--pairs", "list:gone.parquet"], "'.*/gone.parquet': there is no such f"),
        (["extract", "{clip}", "-o", "out", "--landmarks", "csv:gone.csv"], "'.*/?gone.csv': there is no such file"),
        (["extract", "gone.csv", "-o", "out"], "'.*/gone.csv': there is no such file; write its path as it is now, or"),
        (["demo", "a" * 300], ".* cannot be written: .*File name too long"),
    ],
)
def test_wrong_paths_and_words_are_one_sentence(flowkit, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    frame_folder(tmp_path / "clip", range(3))
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    code, stdout, stderr = flowkit(*(argument.format(clip=tmp_path / "clip") for argument in arguments))
    assert (code, stdout) == (2, "")
    assert re.match(f"flowkit: {sentence}", stderr)
    assert stderr.count("\n") == 1


def test_an_interrupt_that_nothing_has_caught_is_one_line_and_code_3(flowkit, monkeypatch):
    """Of a signal between two handlers, which typer would end with 130 and no word."""

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("flowkit.cli.demo_run.run", interrupted)
    assert flowkit("demo", "out") == (3, "", "flowkit: stopped; run the same command again\n")


def test_no_arguments_show_the_help(flowkit):
    code, stdout, stderr = flowkit()
    assert (code, stderr) == (2, "")
    assert "extract" in stdout
    assert "unexpected" not in stdout


def test_an_unknown_simd_level_is_one_sentence():
    command = [sys.executable, "-m", "flowkit.cli", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"FLOWKIT_SIMD": "sse9"})
    assert (done.returncode, done.stdout) == (2, "")
    told = "flowkit: FLOWKIT_SIMD=sse9: SIMD level 'sse9' cannot run here; choose one of auto, baseline"
    assert done.stderr.startswith(told)
    assert done.stderr.count("\n") == 1


def test_a_fault_of_flowkit_is_one_line_and_exit_code_70(flowkit, monkeypatch):
    def fault(*_: object) -> None:
        raise RuntimeError("of two\nlines")

    monkeypatch.setattr("flowkit.output.verify.verify", fault)
    code, stdout, stderr = flowkit("verify", "out")
    assert (code, stdout) == (70, "")
    assert stderr == (
        "flowkit: unexpected RuntimeError: of two lines; run it again with --debug for the traceback, and report it\n"
    )
    assert "Traceback" in flowkit("verify", "out", "--debug")[2]
