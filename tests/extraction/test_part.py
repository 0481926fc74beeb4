"""A part's rows: the motion cubes of its pairs, whatever the batch, each frame decoded once."""

import dataclasses

import cv2
import numpy as np
import pytest

from flowkit.extraction.part import run_part
from flowkit.extraction.request import ExtractRequest
from flowkit.frames.folder import FolderSource
from flowkit.frames.prepare import prepare
from flowkit.motion.cube import motion_cube
from flowkit.output.shard import as_numpy
from flowkit.types import Box, Clip
from tests.clips import dataset, frame_folder, texture
from tests.clips import parts_of as planned_parts


def parts_of(clips: list[Clip], **options):
    request = ExtractRequest.parse(**options)
    return planned_parts(clips, request), request


def test_a_row_is_the_motion_cube_of_its_two_frames(tmp_path):
    (clip,) = dataset(tmp_path, clips=1)
    (part,), request = parts_of([clip], pairs="onset-apex-offset")
    rows = run_part(part, request)
    assert rows.failures.num_rows == 0
    cubes = as_numpy(rows.shard["cube"])
    for cube, (number0, number1) in zip(cubes, [(1, 4), (4, 6)], strict=True):
        np.testing.assert_array_equal(cube, motion_cube(texture(number0), texture(number1), preset="micro"))
    # The pattern drifts by 0.3 px a frame to the right: 0.9 px from onset to apex, 0.6 px from there to the offset.
    inside = cubes[:, :, 12:-12, 12:-12]
    assert np.median(inside[0, 0]) == pytest.approx(0.9, abs=0.1)
    assert np.median(inside[1, 0]) == pytest.approx(0.6, abs=0.1)
    assert np.abs(np.median(inside[:, 1])) < 0.05


def test_crop_and_resize_come_before_the_flow(tmp_path):
    (clip,) = dataset(tmp_path, clips=1)
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(f"clip_id,left,top,width,height\n{clip.clip_id},8,4,48,56\n")
    (part,), request = parts_of([clip], pairs="onset-apex", face=f"boxes:{boxes}", size="32x24", strain="meb")
    shard = run_part(part, request).shard
    frames = [prepare(texture(number), Box(8, 4, 48, 56), (24, 32)) for number in (1, 4)]
    expected = motion_cube(*frames, preset="micro", variant="meb")
    np.testing.assert_array_equal(as_numpy(shard["cube"])[0], expected)
    assert shard["box"].to_pylist() == [{"left": 8, "top": 4, "width": 48, "height": 56}]


def test_the_rows_do_not_depend_on_batch_or_threads(tmp_path):
    (part,), request = parts_of(dataset(tmp_path, clips=2, frames=12), pairs="onset-all")
    expected = run_part(part, request)
    for batch, threads in ((1, 1), (5, 2), (64, 2)):
        rows = run_part(part, dataclasses.replace(request, batch=batch), threads=threads)
        assert rows.shard.equals(expected.shard, check_metadata=True)


def counting(decode, decoded):
    """The real `decode`, with a list of the frames that were asked for."""

    def counted(self, number, *, colour):
        decoded.append(number)
        return decode(self, number, colour=colour)

    return counted


def test_each_frame_is_decoded_once(tmp_path, monkeypatch):
    clips = dataset(tmp_path, clips=2, frames=8)
    (part,), request = parts_of(clips, pairs="onset-all")
    decoded = []
    monkeypatch.setattr(FolderSource, "_decode", counting(FolderSource._decode, decoded))
    rows = run_part(part, request)
    assert rows.shard.num_rows == 14
    assert decoded == list(range(1, 9)) * 2


def test_half_precision_is_the_rounded_cube(tmp_path):
    (part,), request = parts_of(dataset(tmp_path, clips=1), pairs="onset-apex")
    single = as_numpy(run_part(part, request).shard["cube"])
    half = as_numpy(run_part(part, dataclasses.replace(request, dtype="float16")).shard["cube"])
    np.testing.assert_array_equal(half, single.astype(np.float16))


def test_16_bit_frames_and_mixed_depths(tmp_path):
    folder = frame_folder(tmp_path / "a", range(6))
    for number in (3, 4, 5):
        cv2.imwrite(str(folder / f"img{number}.png"), texture(number, depth=16))
    (part,), request = parts_of([Clip(clip_id="a", source=str(folder))], pairs="lag:1")
    rows = run_part(part, request)
    assert rows.shard["frame0"].to_pylist() == [0, 1, 3, 4]
    expected = motion_cube(texture(4, depth=16), texture(5, depth=16), preset="micro")
    np.testing.assert_array_equal(as_numpy(rows.shard["cube"])[3], expected)
    assert rows.failures["error"].to_pylist() == ["a: frame 2 is uint8 and frame 3 is uint16; give both one depth"]
