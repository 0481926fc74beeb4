"""The command line: what it prints, where, and with which exit code."""

import dataclasses
import re
import sys
from pathlib import Path

import cv2
import pytest
from typer.testing import CliRunner

from flowkit.cli import doctor, main
from flowkit.cli.app import app
from flowkit.cli.options import parse_set
from flowkit.cli.progress import last_line
from flowkit.errors import InputError
from flowkit.extraction.run import Summary
from flowkit.output.shard import read
from tests.clips import dataset, frame_folder, video
from tests.clips import flowkit as in_its_own_process


@pytest.fixture
def flowkit(monkeypatch, capsys):
    """Runs `flowkit ...` in this process: exit code, stdout, stderr."""

    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["flowkit", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


def test_extract_and_verify_a_video(flowkit, tmp_path):
    clip = video(tmp_path / "clip.mp4", 10)
    code, stdout, stderr = flowkit("extract", clip, "-o", tmp_path / "out")
    assert (code, stderr) == (0, "")
    line = rf"9 pairs: 9 computed, 0 failed in \d+\.\d s \(\S+ pairs/s\) -> {re.escape(str(tmp_path / 'out'))}\n"
    assert re.fullmatch(line, stdout)
    assert read(tmp_path / "out").parameters["pairs"] == "lag:1"

    code, stdout, stderr = flowkit("verify", tmp_path / "out")
    hash12 = read(tmp_path / "out").metadata["parameters_hash"][:12]
    assert (code, stdout) == (0, f"OK: 9 pairs planned, 9 computed, 0 failed, 1 shards, parameters {hash12}\n")

    code, stdout, _ = flowkit("extract", clip, "-o", tmp_path / "out")
    assert code == 0
    assert "nothing left to do" in stdout

    shard = tmp_path / "out" / "shards" / "part-00000.parquet"
    data = bytearray(shard.read_bytes())
    data[5000] ^= 1
    shard.write_bytes(data)
    code, stdout, stderr = flowkit("verify", tmp_path / "out")
    assert (code, stdout) == (2, "")
    assert "remove commits/part-00000.json and run the same extraction again" in stderr
    (tmp_path / "out" / "commits" / "part-00000.json").unlink()
    code, _, stderr = flowkit("verify", tmp_path / "out")
    assert code == 3
    assert "9 pairs still to do; run the same extraction again to continue it" in stderr
    assert flowkit("extract", clip, "-o", tmp_path / "out")[0] == 0
    assert flowkit("verify", tmp_path / "out")[0] == 0


def test_failed_pairs_give_exit_code_1(flowkit, tmp_path):
    folder = frame_folder(tmp_path / "clip", range(6))
    (folder / "img3.png").unlink()
    code, stdout, _ = flowkit("extract", folder, "-o", tmp_path / "out")
    assert code == 1
    assert stdout.startswith("5 pairs: 3 computed, 2 failed in ")
    assert f"see {tmp_path / 'out' / 'failures'}" in stdout
    frame_folder(folder, [3])
    code, stdout, _ = flowkit("extract", folder, "-o", tmp_path / "out", "--retry-failed")
    assert code == 0
    assert stdout.startswith("5 pairs: 5 computed, 0 failed in ")


def test_an_annotated_manifest_gives_onset_apex_with_the_options_asked_for(flowkit, tmp_path):
    dataset(tmp_path, clips=2)
    options = "--size 40x32 --preset opencv --set epsilon=0 --set lambda=0.2 --strain softnet --dtype float16 --batch 3"
    code, _, stderr = flowkit("extract", tmp_path / "manifest.csv", "-o", tmp_path / "out", *options.split())
    assert (code, stderr) == (0, "")
    shards = read(tmp_path / "out")
    asked = shards.parameters
    assert (asked["pairs"], asked["size"], asked["preset"]) == ("onset-apex", [32, 40], "opencv")
    assert (asked["tvl1"]["epsilon"], asked["tvl1"]["lambda_"], asked["tvl1"]["median"]) == (0, 0.2, 5)
    assert (asked["strain"], asked["dtype"]) == ("softnet", "float16")
    assert shards.cubes(0).shape == (2, 3, 32, 40)


def test_frame_base_counts_a_videos_frames(flowkit, tmp_path):
    clip = video(tmp_path / "clip.mp4", 4)
    assert flowkit("extract", clip, "-o", tmp_path / "out", "--frame-base", "1")[0] == 0
    assert read(tmp_path / "out").table(["frame0"])["frame0"].to_pylist() == [1, 2, 3]


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


def test_other_parameters_are_refused(flowkit, tmp_path):
    folder = frame_folder(tmp_path / "clip", range(3))
    assert flowkit("extract", folder, "-o", tmp_path / "out")[0] == 0
    code, _, stderr = flowkit("extract", folder, "-o", tmp_path / "out", "--set", "warps=7")
    assert code == 2
    assert "made with tvl1.warps=4, this run asks for tvl1.warps=7; give another -o" in stderr


def test_verify_needs_an_output(flowkit, tmp_path):
    code, _, stderr = flowkit("verify", tmp_path)
    assert code == 2
    assert "is no output of flowkit extract" in stderr


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("epsilon=1e-3", {"epsilon": 0.001}),
        ("lambda=1", {"lambda_": 1.0}),
        ("lambda_=1", {"lambda_": 1.0}),
        ("warps= 3", {"warps": 3}),
        ("stretch=True", {"stretch": True}),
        ("border=clamp", {"border": "clamp"}),
    ],
)
def test_set_gives_each_parameter_its_type(text, changes):
    parsed = parse_set([text])
    assert parsed == changes
    assert [type(value) for value in parsed.values()] == [type(value) for value in changes.values()]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("warps=2.5", "the value must be a whole number"),
        ("tau=fast", "the value must be a number"),
        ("stretch=1", "the value must be true or false"),
        ("speed=1", "'speed' is no TV-L1 parameter; known are affine_reference, border"),
    ],
)
def test_set_refuses_by_name(text, sentence):
    with pytest.raises(InputError, match=sentence):
        parse_set([text])


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


def test_the_command_runs_in_a_process_of_its_own(tmp_path):
    folder = frame_folder(tmp_path / "clip", range(2))
    code, stdout, stderr = in_its_own_process("extract", folder, "-o", tmp_path / "out", "--pairs", "lag:1")
    assert (code, stderr) == (0, "")
    assert stdout.startswith("1 pairs: 1 computed, 0 failed in ")


def test_doctor_prints_what_it_found_brackets_included(flowkit, monkeypatch):
    monkeypatch.setattr(doctor, "OPTIONAL", {"no_such_module": "arrays: pip install 'flowkit-mer[gpu]'"})
    _, stdout, _ = flowkit("doctor")
    assert "flowkit-mer[gpu]" in "".join(stdout.split())


def test_doctor_prints_a_table(flowkit):
    code, stdout, _ = flowkit("doctor")
    assert code == 0
    assert "numpy" in stdout.lower()


def test_view_draws_a_pair(flowkit, tmp_path):
    clips = dataset(tmp_path, clips=1)
    assert flowkit("extract", tmp_path / "manifest.csv", "-o", tmp_path / "out")[0] == 0
    picture = tmp_path / "picture.png"
    code, stdout, _ = flowkit("view", tmp_path / "out", "--clip", clips[0].clip_id, "-o", picture)
    assert (code, stdout) == (0, f"-> {picture}\n")
    assert cv2.imread(str(picture)).shape[0] > 64


def test_progress_shows_what_is_left():
    state = Summary(
        out=Path("out"),
        planned=500,
        computed=492,
        failed=8,
        computed_now=240,
        failed_now=4,
        seconds=12.2,
        parts=4,
        parts_done=4,
    )
    assert last_line(state) == (
        "500 pairs (256 of them earlier): 492 computed, 8 failed in 12.2 s (20 pairs/s), see out/failures -> out"
    )
    nothing = dataclasses.replace(state, computed_now=0, failed_now=0, failed=0, computed=500)
    assert last_line(nothing) == "500 pairs: 500 computed, 0 failed earlier, nothing left to do -> out"
