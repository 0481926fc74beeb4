"""Options of extract that change how it is run, and not what it computes."""

import json
import re
import shutil

import pytest

from flowkit.extraction.forecast import forecast
from flowkit.extraction.part import run_part
from flowkit.output.shard import read
from flowkit.output.verify import verify
from tests.clips import dataset, frame_folder, rows
from tests.damage import rename_a_column


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with a manifest of three clips, one of which lacks a frame."""
    folder = tmp_path_factory.mktemp("data")
    dataset(folder, clips=3, frames=100, size=(24, 24))
    (folder / "sub02" / "img50.png").unlink()
    return folder


def plain(data, *more):
    return ("extract", data / "manifest.csv", "--pairs", "lag:1", "--preset", "fast", "--workers", "1", *more)


def test_a_dry_run_says_what_would_be_computed_and_writes_nothing(flowkit, data, tmp_path):
    code, stdout, stderr = flowkit(*plain(data, "-o", tmp_path / "out", "--dry-run"))
    assert (code, stderr) == (0, "")
    lines = stdout.splitlines()
    assert lines[0] == "297 pairs in 3 parts, of 3 clips"
    assert lines[1] == "297 cubes of 3 x 24 x 24"
    assert re.fullmatch(r"1\.96 MiB to write, .* free", lines[2])
    assert re.fullmatch(r"about 0:\d\d:\d\d with 1 worker of this machine's speed: an estimate from a few .*", lines[3])
    assert not (tmp_path / "out").exists()

    assert flowkit(*plain(data, "-o", tmp_path / "out", "--limit", "1"))[0] == 0
    before = sorted(path.name for path in (tmp_path / "out").rglob("*"))
    code, stdout, _ = flowkit(*plain(data, "-o", tmp_path / "out", "--dry-run"))
    assert code == 0
    assert stdout.splitlines()[0] == "297 pairs in 3 parts, of 3 clips, 1 of them done, 169 pairs to do"
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == before
    code, _, stderr = flowkit(*plain(data, "-o", tmp_path / "out", "--dry-run", "--size", "16"))
    assert code == 2
    assert "was made with size=None" in stderr


def test_the_time_is_estimated_by_pairs_that_are_computed(data, tmp_path, monkeypatch):
    sampled = []

    def spied(*arguments):
        sampled.append(run_part(*arguments))
        return sampled[-1]

    monkeypatch.setattr("flowkit.extraction.forecast.run_part", spied)
    shutil.copytree(data, tmp_path / "data")
    source = tmp_path / "data" / "manifest.csv"
    options = {"pairs": "lag:1", "preset": "fast", "workers": 1}
    found = forecast(source, tmp_path / "out", **options)
    assert [rows.failures.num_rows for rows in sampled] == [0, 0]
    assert found.seconds > 0
    assert found.sample_error is None
    for path in (tmp_path / "data" / "sub01").glob("img[1-9].png"):
        path.write_bytes(b"no picture")
    sampled.clear()
    assert forecast(source, tmp_path / "out", **options).seconds > 0
    assert [rows.failures.num_rows for rows in sampled] == [1, 3, 0, 0]


def test_no_time_is_estimated_where_what_was_tried_fails(flowkit, tmp_path):
    dataset(tmp_path, clips=2, size=(2, 2))
    code, stdout, _ = flowkit("extract", tmp_path / "manifest.csv", "-o", tmp_path / "out", "--dry-run")
    told = (
        "no estimate of the time: the pairs tried for it fail, as: toy/sub01/ep01: frames0 has shape (1, 2, 2): frames"
    )
    assert code == 0
    assert [line.startswith(told) for line in stdout.splitlines()].count(True) == 1
    assert "about" not in stdout


REFUSED = {
    ("--engine", "foo"): "engine='foo' is unknown; choose local or ray",
    ("--workers", "-2"): "workers=-2: give at least 1",
    ("--ray-address", "auto"): "ray_address='auto' is for the engine ray; choose it with --engine ray",
    ("--size", "16"): "was made with size=None",
    ("--size", "16", "--retry-failed"): "was made with size=None",
    ("--size", "16", "--accept-changes"): "was made with size=None",
}


@pytest.mark.parametrize("options", REFUSED)
def test_a_dry_run_refuses_what_the_run_does(flowkit, data, tmp_path, options):
    command = plain(data, "-o", tmp_path / "out", "--limit", "1")
    assert flowkit(*command)[0] == 0
    ends = [flowkit(*command, *options, *more) for more in ([], ["--dry-run"])]
    assert ends[0] == ends[1]
    assert (ends[0][0], ends[0][1]) == (2, "")
    assert REFUSED[options] in ends[0][2]


def test_a_dry_run_refuses_an_out_that_is_something_else(flowkit, data, tmp_path):
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path, tmp_path / "file", tmp_path / "file" / "out"):
        ends = [flowkit(*plain(data, "-o", out, *more)) for more in ([], ["--dry-run"])]
        assert ends[0] == ends[1]
        assert ends[0][0] == 2


def test_a_dry_run_is_quiet_when_asked_and_takes_no_log(flowkit, data, tmp_path):
    command = plain(data, "-o", tmp_path / "out", "--dry-run")
    assert flowkit(*command, "-q") == (0, "", "")
    code, stdout, stderr = flowkit(*command, "--log", tmp_path / "log")
    assert (code, stdout) == (2, "")
    assert "a dry run writes nothing; leave --log or --dry-run out" in stderr


def test_a_limit_is_of_parts_and_the_run_goes_on_without_it(flowkit, data, tmp_path):
    code, stdout, _ = flowkit(*plain(data, "-o", tmp_path / "out", "--limit", "1"))
    assert code == 0
    assert stdout.startswith("128 pairs: 128 computed, 0 failed in ")
    assert stdout.endswith(f"-> {tmp_path / 'out'}; 2 parts of it are still to do\n")
    assert flowkit("verify", tmp_path / "out")[0] == 3
    code, stdout, _ = flowkit(*plain(data, "-o", tmp_path / "out", "--limit", "1"))
    assert "nothing left to do" in stdout
    code, stdout, _ = flowkit(*plain(data, "-o", tmp_path / "out"))
    assert code == 1
    assert stdout.startswith("297 pairs (128 of them earlier): 295 computed, 2 failed in ")
    assert verify(tmp_path / "out").ok
    code, _, stderr = flowkit(*plain(data, "-o", tmp_path / "out", "--limit", "0"))
    assert (code, stderr) == (2, "flowkit: limit=0: give at least 1 part\n")


def test_quiet_says_nothing_and_the_log_tells_all(flowkit, data, tmp_path):
    log = tmp_path / "run.jsonl"
    command = plain(data, "-o", tmp_path / "out", "--quiet", "--log", log)
    assert flowkit(*command) == (1, "", "")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["start", "part", "failure", "failure", "part", "part", "end"]
    assert [line["seconds"] for line in lines] == sorted(line["seconds"] for line in lines)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line["time"]) for line in lines)
    start, end = lines[0], lines[-1]
    assert start["parameters_hash"] == read(tmp_path / "out").metadata["parameters_hash"]
    assert (start["pairs"], start["parts"], start["parts_done"]) == (297, 3, 0)
    assert lines[2]["clip_id"] == "toy/sub02/ep01"
    assert "frame" in lines[2]["error"]
    assert (end["code"], end["message"], end["computed"], end["failed"]) == (1, None, 295, 2)
    code, _, stderr = flowkit(*command, "--size", "16")
    assert code == 2
    assert "flowkit: " in stderr
    last = json.loads(log.read_text().splitlines()[-1])
    assert (last["event"], last["code"]) == ("end", 2)
    assert "was made with size" in last["message"]
    code, _, stderr = flowkit(*plain(data, "-o", tmp_path / "out", "--log", tmp_path / "no" / "log"))
    assert code == 2
    assert "cannot be used: No such file or directory" in stderr


@pytest.mark.parametrize("there", ["no folder", "an empty folder", "an output"])
@pytest.mark.parametrize("log", ["out/run.log", "out/../link/run.log", "out"])
def test_a_log_in_the_output_is_refused_before_anything_is_written(flowkit, data, tmp_path, monkeypatch, there, log):
    monkeypatch.chdir(tmp_path)
    command = plain(data, "-o", tmp_path / "out", "--limit", "1")
    if there == "an output":
        assert flowkit(*command)[0] == 0
    elif there == "an empty folder":
        (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "out")
    before = sorted(tmp_path.rglob("*"))
    code, stdout, stderr = flowkit(*command, "--log", log)
    told = f"flowkit: --log {log} is in OUT, '{tmp_path}/out', which holds the output alone; give it another folder\n"
    assert (code, stdout, stderr) == (2, "", told)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_log_ends_with_the_code_and_the_sentence_of_the_command(flowkit, tmp_path, monkeypatch):
    log, clip = tmp_path / "run.jsonl", frame_folder(tmp_path / "clip", range(2))
    (clip / "img1.png").write_bytes(b"")
    command = ("extract", clip, "-o", tmp_path / "out", "--workers", "1", "-q", "--log", log)

    def end() -> dict:
        return json.loads(log.read_text().splitlines()[-1])

    code, _, stderr = flowkit(*command)
    assert (code, end()["code"], end()["failed"]) == (2, 2, 1)
    assert stderr == f"flowkit: {end()['message']}\n"
    refused = PermissionError(13, "Permission denied", str(tmp_path / "out" / "plan"))
    monkeypatch.setattr("flowkit.extraction.run.extract", lambda *_, **__: (_ for _ in ()).throw(refused))
    code, _, stderr = flowkit(*command)
    assert (code, end()["code"]) == (2, 2)
    assert stderr == f"flowkit: {end()['message']}\n"


def test_parts_that_all_fail_do_not_stop_the_other_parts(flowkit, data, tmp_path):
    folder = tmp_path / "clips"
    for name, size in (("a", 24), ("b", 32)):
        frame_folder(folder / name, range(2), size=(size, size))
    (folder / "a" / "img1.png").write_bytes(b"")
    command = ("extract", folder, "-o", tmp_path / "out", "--workers", "1", "--preset", "fast")
    for options in (["--limit", "1"], ["--shard", "1/2"]):
        code, stdout, stderr = flowkit(*command, *options)
        assert (code, stderr.count("not one of")) == (1, 0)
        assert stdout.endswith("; 1 part of it is still to do\n")
    assert flowkit(*command)[0] == 1


def test_a_config_has_options_and_the_command_line_goes_before(flowkit, data, tmp_path):
    config = tmp_path / "run.yaml"
    config.write_text(
        f"source: {data / 'manifest.csv'}\nout: {tmp_path / 'out'}\nsize: 32\npairs: onset-apex\npreset: fast\n"
        "set:\n  epsilon: 0.05\n  median: 3\nworkers: 1\nquiet: true\n"
    )
    assert flowkit("extract", "--config", config, "--size", "16") == (0, "", "")
    asked = read(tmp_path / "out").parameters
    assert (asked["size"], asked["pairs"], asked["preset"]) == ([16, 16], "onset-apex", "fast")
    assert (asked["tvl1"]["epsilon"], asked["tvl1"]["median"]) == (0.05, 3)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("gpu: true", ["--device", "cpu"]),
        ("engine: ray\nray-address: 10.0.0.1:6379", ["--engine", "local"]),
        ("log: run.jsonl", ["--dry-run"]),
    ],
)
def test_what_contradicts_the_command_line_in_a_config_stands_for_nothing(flowkit, data, tmp_path, text, options):
    (tmp_path / "run.yaml").write_text(f"{text}\n")
    command = plain(data, "-o", tmp_path / "out", "--limit", "1", "--config", tmp_path / "run.yaml")
    code, _, stderr = flowkit(*command, *options)
    assert (code, stderr) == (0, "")


@pytest.mark.parametrize("text", ["device: cpu", "device: auto"])
def test_gpu_on_the_command_line_goes_before_a_device_in_a_config(flowkit, data, tmp_path, monkeypatch, text):
    asked = []
    monkeypatch.setattr("flowkit.cli.extract.chosen_device", lambda *said, **_: asked.append(said) or "cpu")
    (tmp_path / "run.yaml").write_text(f"{text}\n")
    command = plain(data, "-o", tmp_path / "out", "--dry-run", "--config", tmp_path / "run.yaml", "--gpu")
    assert flowkit(*command)[0] == 0
    assert asked == [(None, True, "local")]


CONFIGS = {
    "sizes: 32": "'sizes' is no option of extract; the nearest is 'size'",
    "workers: many": "Invalid value for '--workers': Input should be a valid integer",
    "retry-failed: perhaps": "retry-failed is 'perhaps'; write true or false",
    "size: [1, 2]": "size is [1, 2]; write one value",
    "source: ''": "source is empty (''); leave it out or fill it",
    "size: 1\nsize: 2": "'size' stands twice; leave one out",
    "retry_failed: true\nretry-failed: false": "'retry_failed' and 'retry-failed' are one option; leave one out",
    "- size": "holds a list; write it as 'size: 224'",
    "size: '": "is no YAML in line 2",
}


@pytest.mark.parametrize("text", CONFIGS)
def test_a_config_that_cannot_be_used_is_one_line(flowkit, data, tmp_path, text):
    (tmp_path / "run.yaml").write_text(text + "\n")
    command = ("extract", data / "manifest.csv", "-o", tmp_path / "out", "--config", tmp_path / "run.yaml")
    code, stdout, stderr = flowkit(*command)
    assert (code, stdout) == (2, "")
    assert stderr.count("\n") == 1
    assert CONFIGS[text] in stderr


def test_shards_of_one_output_together_are_the_whole(flowkit, data, tmp_path):
    for index in ("3", "1"):
        code, stdout, _ = flowkit(*plain(data, "-o", tmp_path / "out", "--shard", f"{index}/3"))
        assert code == 0
    assert stdout.endswith(f"-> {tmp_path / 'out'}; 1 part of it is still to do\n")
    code, stdout, _ = flowkit(*plain(data, "-o", tmp_path / "out", "--shard", "2/3"))
    assert code == 1
    assert stdout.endswith(f"-> {tmp_path / 'out'}; no part of it is to do\n")
    flowkit(*plain(data, "-o", tmp_path / "whole"))
    assert verify(tmp_path / "out").ok
    assert rows(tmp_path / "out") == rows(tmp_path / "whole")


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/0", "-1/2", "1/2/3"])
def test_a_shard_that_is_none_is_refused(flowkit, tmp_path, text):
    frame_folder(tmp_path / "clip", range(2))
    code, _, stderr = flowkit("extract", tmp_path / "clip", "-o", tmp_path / "out", f"--shard={text}")
    assert (code, stderr) == (2, f"flowkit: shard {text!r}: write I/N with I from 1 to N, as 2/8\n")


def test_a_dry_run_computes_nothing_where_the_disk_has_no_room(flowkit, data, tmp_path, monkeypatch):
    monkeypatch.setattr("flowkit.extraction.forecast.free_bytes", lambda _: 1 << 20)
    monkeypatch.setattr("flowkit.extraction.forecast.run_part", lambda *_: pytest.fail("computed"))
    code, stdout, _ = flowkit(*plain(data, "-o", tmp_path / "out", "--dry-run"))
    assert code == 0
    assert "1.96 MiB to write, 1 MiB free\nthe run would not begin: make room, or give an -o on another" in stdout


def test_a_dry_run_whose_pairs_cannot_be_tried_says_why(flowkit, data, tmp_path, monkeypatch):
    def fails(*_):
        raise MemoryError("std::bad_alloc")

    monkeypatch.setattr("flowkit.extraction.forecast.run_part", fails)
    code, stdout, _ = flowkit(*plain(data, "-o", tmp_path / "out", "--dry-run"))
    assert code == 0
    assert "no estimate of the time: the pairs tried for it fail, as: toy/sub01/ep01: MemoryError: std::ba" in stdout


def test_damaged_failures_do_not_end_a_run_that_has_nothing_to_do(flowkit, data, tmp_path):
    run = plain(data, "-o", tmp_path / "out")
    assert flowkit(*run)[0] == 1
    (failures,) = (tmp_path / "out" / "failures").iterdir()
    rename_a_column(failures, "error")
    assert flowkit(*run)[0] == 1


def test_a_share_of_all_parts_ends_as_a_share(flowkit, tmp_path):
    """Its failures say nothing of the others, and its last line tells what is left."""
    frame_folder(tmp_path / "clip", range(200), size=(2, 2))
    run = ("extract", tmp_path / "clip", "-o", tmp_path / "out", "--workers", "1")
    code, stdout, _ = flowkit(*run, "--limit", "9")
    assert code == 1
    assert stdout.splitlines()[-1].endswith("no part of it is to do")
    assert flowkit(*run)[0] == 2
