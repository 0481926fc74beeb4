"""An output keeps to the request, the manifest, the frames and the decoders it was begun with."""

import dataclasses
import json
import shutil

import cv2
import pytest

from flowkit.errors import OutputError
from flowkit.extraction.request import ExtractRequest
from flowkit.output import writer
from flowkit.output.plan_file import read_plan
from flowkit.params import PRESETS
from tests.clips import dataset, frame_folder, parts_of, settle
from tests.damage import reseal


def request(pairs: str = "lag:1", **changes) -> ExtractRequest:
    return ExtractRequest.parse(pairs=pairs, **changes)


def test_the_plan_is_written_once_and_kept_to(tmp_path):
    clips = dataset(tmp_path / "data")
    (tmp_path / "plan").mkdir()
    asked = request("onset-apex-offset")
    parts = parts_of(clips, asked)
    settle(tmp_path, clips, asked)
    before = [(path.name, path.stat().st_mtime_ns) for path in sorted((tmp_path / "plan").iterdir())]
    settle(tmp_path, clips, asked)
    assert [(path.name, path.stat().st_mtime_ns) for path in sorted((tmp_path / "plan").iterdir())] == before

    table = read_plan(tmp_path)
    assert table["pair_id"].to_pylist() == [pair.pair_id for part in parts for pair in part.pairs]
    assert table["source"].to_pylist()[::2] == [clip.source for clip in clips]
    run = json.loads((tmp_path / "plan" / "run.json").read_text())
    assert run["plan"]["pairs"] == 6
    assert run["parameters"]["tvl1"] == PRESETS["micro"].to_dict()
    assert run["versions"]["flowkit"] == run["parameters"]["flowkit"]


def test_another_request_manifest_or_frames_are_refused_by_name(tmp_path):
    clips = dataset(tmp_path / "data")
    (tmp_path / "plan").mkdir()

    settle(tmp_path, clips, request("onset-all"))
    with pytest.raises(OutputError, match=r"tvl1\.epsilon=0\.0, this run asks for tvl1\.epsilon=0\.5; give another -o"):
        settle(tmp_path, clips, request("onset-all", params={"epsilon": 0.5}))
    with pytest.raises(OutputError, match="pairs='onset-all', this run asks for pairs='onset-apex'"):
        settle(tmp_path, clips, request("onset-apex"))
    with pytest.raises(OutputError, match="another manifest"):
        settle(tmp_path, clips[:2], request("onset-all"))
    frame_folder(tmp_path / "data" / "sub01", range(1, 7), size=(48, 48))
    with pytest.raises(OutputError, match=r"other frames \(clip toy/sub02/ep01: part 0 then, 1 now\)"):
        settle(tmp_path, clips, request("onset-all"))


def test_frames_that_changed_in_their_place_are_noticed(tmp_path):
    clips = dataset(tmp_path / "data")
    (tmp_path / "plan").mkdir()
    asked = request("onset-apex")
    settle(tmp_path, clips, asked)
    frame = sorted((tmp_path / "data" / "sub02").iterdir())[1]
    pixels = cv2.imread(str(frame), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(frame), cv2.GaussianBlur(pixels, (0, 0), 2.0))
    with pytest.raises(OutputError, match=r"clip toy/sub02/ep01 has other frames.*go on with --accept-changes"):
        settle(tmp_path, clips, asked)
    settle(tmp_path, clips, asked, accept_changes=True)
    settle(tmp_path, clips, asked)
    run = json.loads((tmp_path / "plan" / "run.json").read_text())
    (change,) = run["accepted_changes"]
    assert (change["what"], change["column"]) == ("toy/sub02/ep01", "identity")
    assert change["then"] != change["now"]


def test_a_kill_while_a_change_is_recorded_is_mended_by_the_same_command(tmp_path, monkeypatch):
    clips = dataset(tmp_path / "data")
    (tmp_path / "plan").mkdir()
    asked = request("onset-apex")
    settle(tmp_path, clips, asked)
    (tmp_path / "data" / "sub02" / "img1.png").write_bytes((tmp_path / "data" / "sub01" / "img1.png").read_bytes())
    with monkeypatch.context() as patch:
        patch.setattr(writer, "put_record", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            settle(tmp_path, clips, asked, accept_changes=True)
    with pytest.raises(OutputError, match=r"plan/survey\.parquet was as it was written and is not"):
        settle(tmp_path, clips, asked)
    settle(tmp_path, clips, asked, accept_changes=True)
    settle(tmp_path, clips, asked)


def test_another_decoder_is_noticed(tmp_path):
    clips = dataset(tmp_path / "data")
    (tmp_path / "plan").mkdir()
    settle(tmp_path, clips, request())
    run = json.loads((tmp_path / "plan" / "run.json").read_text())
    now = run["versions"]["simplejpeg"]
    reseal(tmp_path / "plan" / "run.json", versions=run["versions"] | {"simplejpeg": "0.1"})
    with pytest.raises(OutputError, match=f"simplejpeg was 0.1 and is {now}"):
        settle(tmp_path, clips, request())
    settle(tmp_path, clips, request(), accept_changes=True)
    run = json.loads((tmp_path / "plan" / "run.json").read_text())
    assert run["accepted_changes"] == [{"what": "simplejpeg", "then": "0.1", "now": now}]
    assert run["versions"]["simplejpeg"] == now


def test_a_copy_of_the_frames_is_the_same_frames(tmp_path):
    clips = dataset(tmp_path / "data")
    copied = shutil.copytree(tmp_path / "data", tmp_path / "elsewhere" / "data")
    (tmp_path / "plan").mkdir()
    settle(tmp_path, clips, request())
    before = {path.name: path.read_bytes() for path in (tmp_path / "plan").iterdir()}
    moved = [dataclasses.replace(c, source=c.source.replace(str(tmp_path / "data"), str(copied))) for c in clips]
    settle(tmp_path, moved, request())
    assert {path.name: path.read_bytes() for path in (tmp_path / "plan").iterdir()} == before
    edited = cv2.imread(moved[0].source + "/img1.png")
    cv2.imwrite(moved[0].source + "/img1.png", 255 - edited)
    with pytest.raises(OutputError, match="has other frames"):
        settle(tmp_path, moved, request())
