"""Apex frames in colour beside the cubes: framed as the flow's frames are, and a failure where they are missing."""

import cv2
import numpy as np
import pyarrow as pa
import pytest

import flowkit
from flowkit.errors import InputError
from flowkit.extraction.part import run_part
from flowkit.extraction.request import ExtractRequest
from flowkit.frames.prepare import prepare
from flowkit.output.shard import as_numpy
from flowkit.types import Box
from tests.clips import dataset, parts_of, texture


def coloured(folder, number):
    """Frame `number` in colour, written over its grey one: RGB (h, w, 3)."""
    grey = texture(number)
    picture = np.stack([grey, np.roll(grey, 9, axis=0), 255 - grey], axis=2)
    assert cv2.imwrite(str(folder / f"img{number}.png"), picture[:, :, ::-1])
    return picture


def request(**options):
    return ExtractRequest.parse(pairs="onset-apex-offset", rgb=24, **options)


def test_the_apex_is_in_the_shard_framed_and_resized(tmp_path):
    (clip,) = dataset(tmp_path, clips=1)
    pictures = {number: coloured(tmp_path / clip.source, number) for number in range(1, 7)}
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(f"clip_id,left,top,width,height\n{clip.clip_id},8,4,48,56\n")
    asked = request(face=f"boxes:{boxes}", size=32)
    (part,) = parts_of([clip], asked)
    shard = run_part(part, asked).shard
    assert shard["role"].to_pylist() == ["onset-apex", "apex-offset"]
    expected = prepare(pictures[4], Box(8, 4, 48, 56), (24, 24)).transpose(2, 0, 1)
    for found in as_numpy(shard["apex_rgb"]):
        np.testing.assert_array_equal(found, expected)
    assert shard.schema.field("apex_rgb").type == pa.fixed_shape_tensor(pa.uint8(), (3, 24, 24))


class Spoiled:
    """A source that reads in colour as it is told, and in grey as another does."""

    def __init__(self, source, in_colour):
        self.decoder, self._source, self._in_colour = source.decoder, source, in_colour

    def read(self, numbers, *, colour=False, opened=None):
        return self._in_colour() if colour else self._source.read(numbers)


def out_of_memory():
    raise MemoryError("572 MiB")


@pytest.mark.parametrize(
    ("in_colour", "told"),
    [
        (lambda: iter(()), "frame 4 was not delivered in colour by its source"),
        (out_of_memory, "MemoryError: 572 MiB; mend that, or report it, and run it with --retry-failed"),
    ],
    ids=["not there", "not foreseen"],
)
def test_a_pair_without_its_apex_in_colour_has_failed_and_no_other_clips(tmp_path, in_colour, told):
    clips = dataset(tmp_path, clips=2)
    asked = request()
    (part,) = parts_of(clips, asked)
    part.sources[clips[0].clip_id] = Spoiled(part.sources[clips[0].clip_id], in_colour)
    rows = run_part(part, asked)
    assert rows.shard["clip_id"].to_pylist() == [clips[1].clip_id] * 2
    assert len(as_numpy(rows.shard["apex_rgb"])) == 2
    assert rows.failures["error"].to_pylist() == [f"{clips[0].clip_id}: {told}"] * 2


def test_rows_give_pictures_as_arrays_and_none_where_not_asked_for(tmp_path):
    clips = dataset(tmp_path / "data", clips=1)
    flowkit.extract(clips, tmp_path / "with", rgb=16, workers=1)
    flowkit.extract(clips, tmp_path / "without", workers=1)
    (row,) = flowkit.read(tmp_path / "with")
    assert (row["apex_rgb"].shape, row["apex_rgb"].dtype) == ((3, 16, 16), np.uint8)
    assert flowkit.read(tmp_path / "without")[0]["apex_rgb"] is None
    with pytest.raises(InputError, match="rgb=8: give a side from 16 to 1024 px"):
        ExtractRequest.parse(pairs="onset-apex", rgb=8)
