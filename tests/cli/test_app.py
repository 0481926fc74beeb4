"""The command line: help, and errors in one line with their exit code."""

import re

import pytest
from typer.testing import CliRunner

from flowkit.cli.app import app
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
    assert re.fullmatch(r"flowkit \d+\.\d+\.\d+\S*\n", runner.invoke(app, ["--version"]).output)


def test_a_wrong_option_is_exit_code_2(flowkit):
    code, stdout, stderr = flowkit("extract")
    assert (code, stdout) == (2, "")
    assert "Missing argument 'SOURCE'" in stderr
