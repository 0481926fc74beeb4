"""The command extract: counts, exit codes, options."""

import re

from flowkit.output.shard import read
from tests.clips import dataset, frame_folder, video, without_progress
from tests.clips import flowkit as in_its_own_process


def test_extract_and_verify_a_video(flowkit, tmp_path):
    clip = video(tmp_path / "clip.mp4", 10)
    code, stdout, stderr = flowkit("extract", clip, "-o", tmp_path / "out")
    assert (code, stderr) == (0, "")
    line = rf"9 pairs: 9 computed, 0 failed in \d+\.\d s \(\S+ pairs/s\) -> {re.escape(str(tmp_path / 'out'))}\n"
    assert re.fullmatch(line, without_progress(stdout))
    assert read(tmp_path / "out").parameters["pairs"] == "lag:1"

    code, stdout, stderr = flowkit("verify", tmp_path / "out")
    hash12 = read(tmp_path / "out").metadata["parameters_hash"][:12]
    assert code == 0
    verdict, *quality = stdout.splitlines()
    assert verdict == f"OK: 9 pairs planned, 9 computed, 0 failed, 1 shards, parameters {hash12}"
    assert quality[0].startswith("quality, median (worst): residual ")

    code, stdout, _ = flowkit("extract", clip, "-o", tmp_path / "out")
    assert code == 0
    assert "nothing left to do" in stdout

    shard = tmp_path / "out" / "shards" / "part-00000.parquet"
    data = bytearray(shard.read_bytes())
    data[5000] ^= 1
    shard.write_bytes(data)
    code, stdout, stderr = flowkit("verify", tmp_path / "out")
    assert (code, stdout) == (2, "")
    assert "computes the part again" in stderr
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


def test_other_parameters_are_refused(flowkit, tmp_path):
    folder = frame_folder(tmp_path / "clip", range(3))
    assert flowkit("extract", folder, "-o", tmp_path / "out")[0] == 0
    code, _, stderr = flowkit("extract", folder, "-o", tmp_path / "out", "--set", "warps=7")
    assert code == 2
    assert "made with tvl1.warps=4, this run asks for tvl1.warps=7; give another -o" in stderr


def test_the_command_runs_in_a_process_of_its_own(tmp_path):
    folder = frame_folder(tmp_path / "clip", range(2))
    code, stdout, stderr = in_its_own_process("extract", folder, "-o", tmp_path / "out", "--pairs", "lag:1")
    assert (code, stderr) == (0, "")
    assert stdout.startswith("1 pairs: 1 computed, 0 failed in ")


def test_columns_that_are_not_used_are_told(flowkit, tmp_path):
    dataset(tmp_path, clips=1)
    path = tmp_path / "manifest.csv"
    header, row = path.read_text().splitlines()
    path.write_text(f"{header},my notes\n{row},x\n")
    code, _, stderr = flowkit("extract", path, "-o", tmp_path / "out")
    assert (code, stderr) == (0, "flowkit: note: manifest.csv has columns that are not used: 'my notes'\n")


def test_where_nothing_can_be_computed_the_exit_code_is_2(flowkit, tmp_path):
    clip = tmp_path / "talk.mp4"
    clip.write_text("not a video")
    code, stdout, stderr = flowkit("extract", clip, "-o", tmp_path / "out")
    assert code == 2
    assert without_progress(stdout).startswith("1 pairs: 0 computed, 1 failed in ")
    assert stderr.startswith("flowkit: 1 failed: ")
    assert "not one of 1 pairs could be computed; mend the clips, and run it with --retry-failed" in stderr


def test_the_reasons_of_failures_are_on_the_screen(flowkit, tmp_path):
    dataset(tmp_path, clips=3)
    path = tmp_path / "manifest.csv"
    path.write_text(path.read_text().replace(",1,4,6,", ",1,,6,", 2))
    code, _, stderr = flowkit("extract", path, "-o", tmp_path / "out")
    assert (code, stderr) == (1, "flowkit: 2 failed: no apex is annotated\n")
