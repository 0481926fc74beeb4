"""A request: what changes a result changes its hash, and what cannot be computed is refused by name."""

import numpy as np
import pytest

from flowkit.errors import InputError
from flowkit.extraction.request import ExtractRequest
from flowkit.extraction.resume import first_difference


def request(pairs: str = "lag:1", **changes) -> ExtractRequest:
    return ExtractRequest.parse(pairs=pairs, **changes)


def test_what_does_not_change_a_result_does_not_change_the_hash(tmp_path):
    boxes, copy = tmp_path / "boxes.csv", tmp_path / "copy.csv"
    for path in (boxes, copy):
        path.write_text("clip_id,left,top,width,height\na,4,8,32,24\n")
    asked = request(face=f"boxes:{boxes}")
    assert asked.parameters_hash == request(face=f"boxes:{copy}", batch=7).parameters_hash
    copy.write_text("clip_id,left,top,width,height\na,4,8,32,25\n")
    edited = request(face=f"boxes:{copy}")
    assert asked.parameters_hash != edited.parameters_hash
    difference = first_difference(asked.to_dict(), edited.to_dict())
    assert difference is not None
    assert difference[0] == "face_digest"
    names = {"size": 32, "dtype": "float16", "strain": "meb", "preset": "opencv", "params": {"tau": 0.2}}
    hashes = {request(**{name: value}).parameters_hash for name, value in names.items()}
    assert len(hashes | {request().parameters_hash}) == len(names) + 1


def test_a_size_may_be_of_numpy():
    assert request(size=np.int64(32)) == request(size=32)
    assert request(size=(np.int32(24), 32)).size == (24, 32)


def test_averages_have_their_own_default_preset():
    def preset(pairs: str, **given: str) -> str:
        return request(pairs, **given).preset

    assert [preset(pairs) for pairs in ("onset-apex", "lag:1", "window:8,4")] == ["micro"] * 3
    assert [preset(pairs) for pairs in ("onset-apex:4+4", "lag:auto:2+2", "onset-apex:1+3")] == ["micro-phases"] * 3
    assert preset("onset-apex:4+4", preset="micro") == "micro"


@pytest.mark.parametrize(
    "wrong",
    [
        {"strain": "soft"},
        {"dtype": "float64"},
        {"batch": 0},
        {"batch": 2.5},
        {"rgb": 32.5},
        {"face_margin": "0.1"},
        {"size": 0},
        {"size": "x"},
        {"face": "here"},
        {"face": None},
        {"face_fit": None},
        {"stabilise": 1},
        {"landmarks": None},
        {"pairs": 5},
        {"preset": "faster"},
        {"params": {"epsilom": 1}},
        {"pairs": "lag"},
    ],
)
def test_a_wrong_request_is_named(wrong):
    (name, value), *_ = wrong.items()
    shown = "epsilom" if name == "params" else str(value)
    with pytest.raises(InputError, match=shown):
        request(**wrong)
