"""The command repair: what it says, and its exit codes."""

from tests.clips import frame_folder
from tests.damage import flip_a_bit


def test_repair_says_what_it_computed_and_that_all_is_sound(flowkit, tmp_path):
    clip = frame_folder(tmp_path / "clip", range(4))
    assert flowkit("extract", clip, "-o", tmp_path / "out", "--preset", "fast", "--workers", "1")[0] == 0
    assert flowkit("repair", tmp_path / "out")[:2][1].startswith("no part to compute again\nOK: 3 pairs planned")
    flip_a_bit(tmp_path / "out" / "shards" / "part-00000.parquet")
    code, stdout, stderr = flowkit("repair", tmp_path / "out", "--workers", "1")
    assert (code, stderr) == (0, "")
    assert stdout.startswith("1 parts computed again (0)\nOK: 3 pairs planned, 3 computed, 0 failed, 1 shards")
    (tmp_path / "out" / "plan" / "run.json").unlink()
    code, stdout, stderr = flowkit("repair", tmp_path / "out")
    assert (code, stdout) == (2, "")
    assert f"give SOURCE too, as flowkit repair {tmp_path / 'out'} SOURCE" in stderr
    code, _, stderr = flowkit("repair", tmp_path / "out", clip)
    assert code == 0
    assert "plan/run.json made anew from the manifest" in stderr
    (tmp_path / "out" / "shards" / "notes.txt").write_text("mine")
    code, _, stderr = flowkit("repair", tmp_path / "out")
    assert code == 2
    assert "notes.txt is in no commit record" in stderr
    assert flowkit("repair", tmp_path / "clip")[0] == 2
