"""A job that the tests of every engine run."""

import pytest

from flowkit.extraction.part import Job
from flowkit.extraction.request import ExtractRequest
from tests.clips import dataset, parts_of, settle
from tests.faces.plugin import install


@pytest.fixture
def moody(tmp_path, monkeypatch):
    """The file of the mood of the detector `moody:FILE`."""
    install(tmp_path / "site", monkeypatch, "moody = tests.faces.moody:make", package="moody")
    return tmp_path / "mood.txt"


@pytest.fixture
def job(tmp_path):
    """A job of three parts into an output that is planned."""
    clips = dataset(tmp_path, clips=3, frames=130)
    request = ExtractRequest.parse(pairs="lag:1", size=16)
    out = tmp_path / "out"
    for folder in ("plan", "shards", "failures", "commits"):
        (out / folder).mkdir(parents=True)
    settle(out, clips, request)
    (tmp_path / "marks").mkdir()
    return parts_of(clips, request), Job(out, request, request.metadata(clips))
