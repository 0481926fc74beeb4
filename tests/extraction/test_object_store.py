"""Outputs and sources in an object store: the same rows as on disk, and a commit that is right without locks."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from flowkit.datasets import read_manifest, unused_columns, write_manifest
from flowkit.datasets.revision import Revision
from flowkit.errors import InputError, Interrupted, OutputError, StoreError
from flowkit.extraction.plan import make_parts
from flowkit.extraction.repair import repair
from flowkit.extraction.request import ExtractRequest
from flowkit.extraction.resume import require_settled, settle_plan
from flowkit.extraction.run import extract
from flowkit.extraction.tally import Summary
from flowkit.frames.digest import frames_sha256
from flowkit.frames.survey import survey
from flowkit.output.commit import Commit, Kept, finished
from flowkit.output.files import write_whole
from flowkit.output.plan_file import read_plan
from flowkit.output.shard import read
from flowkit.output.store import StorePath, Tag, place
from flowkit.output.store_client import forget
from flowkit.output.verify import verify
from flowkit.output.writer import new_names, put_table, write_commit
from flowkit.pictures.pair import render
from flowkit.types import Clip
from tests.bucket import NAME
from tests.clips import flowkit as command
from tests.clips import frame_folder, rows, start, video
from tests.damage import flip_a_bit
from tests.proxy import Proxy

ASKED = {"pairs": "lag:1", "preset": "fast", "workers": 1}


@pytest.fixture(scope="module")
def data(bucket) -> Path:
    """A manifest with folders, a video and two clips whose frames are gone, as files of the bucket."""
    folder = bucket.folder("data")
    # Each of another size than the one before it, and so a part of its own.
    frame_folder(folder / "sub01", range(1, 7), size=(24, 24))
    frame_folder(folder / "sub02", range(1, 7), size=(24, 32))
    video(folder / "talk.mp4", 8, size=(32, 32))
    frame_folder(folder / "late", range(5, 12), size=(32, 24), suffix=".jpg")
    (folder / "manifest.csv").write_text(
        "clip_id,source,subject\na,sub01,1\nb,sub02,2\nv,talk.mp4,3\nj,late/,3\ngone,gone,4\nno,gone.mp4,4\n"
    )
    (folder / "plain.csv").write_text("clip_id,source,subject\na,sub01,1\nb,sub02,2\nj,late/,3\ngone,gone,4\n")
    return folder


@pytest.fixture(scope="module")
def local(data, tmp_path_factory) -> Path:
    """What an extraction from disk onto disk gives."""
    copy = tmp_path_factory.mktemp("local") / "data"
    shutil.copytree(data, copy)
    extract(copy / "manifest.csv", copy.parent / "out", **ASKED)
    return copy.parent / "out"


@pytest.fixture(scope="module")
def plain(local) -> dict[str, object]:
    """The rows of the manifest without videos, for which no worker process need be started."""
    return {name: row for name, row in rows(local).items() if row[0]["clip_id"] != "v"}


def test_rows_are_those_of_local_disk_bit_for_bit(data, local, bucket):
    summary = extract(f"s3://{NAME}/data/manifest.csv", f"s3://{NAME}/same", **ASKED)
    here, there = read(local), read(f"s3://{NAME}/same")
    assert (summary.computed, summary.failed) == (len(here), 2) == (23, 2)
    assert verify(there.folder).ok
    assert rows(there.folder) == rows(local)
    assert there.metadata["parameters_hash"] == here.metadata["parameters_hash"]
    assert there.metadata["manifest_fingerprint"] == here.metadata["manifest_fingerprint"]
    failed = [table.drop_columns("error").to_pylist() for table in (here.failures(), there.failures())]
    assert failed[0] == failed[1]
    assert (there[-1]["cube"] == here[-1]["cube"]).all()  # a row group, by ranges


def test_what_is_damaged_is_found_and_mended(data, plain, bucket):
    out = f"s3://{NAME}/mended"
    extract(f"s3://{NAME}/data/plain.csv", out, **ASKED)
    files = bucket.folder("mended")
    flip_a_bit(shard := min((files / "shards").iterdir()))
    (files / "commits/part-00001.json").write_text('{"part"')
    found = verify(out)
    assert len(found.problems) == 2
    assert "shards/part-00000." in " ".join(found.problems)
    with pytest.raises(OutputError, match=r"commits/part-00001\.json is damaged"):
        read(out)
    mended = repair(out, workers=1)
    assert mended.verification.ok
    assert sorted(mended.parts) == [0, 1]
    assert rows(out) == plain
    assert not shard.exists()
    # What was named by a record that could not be read stays until it is old.
    assert len(list((files / "shards").iterdir())) == len(read(out).paths) + 1


def test_failed_pairs_are_computed_again(data, bucket, tmp_path):
    source, out = bucket.folder("retried"), f"s3://{NAME}/retry"
    frame_folder(source / "a", range(1, 5))
    frame_folder(source / "b", [1, 2])
    (source / "b" / "img2.png").write_bytes(b"")
    assert extract(f"s3://{NAME}/retried", out, **ASKED).failed == 1
    frame_folder(source / "b", [2])
    with pytest.raises(OutputError, match="clip b has other frames"):
        extract(f"s3://{NAME}/retried", out, **ASKED)
    summary = extract(f"s3://{NAME}/retried", out, retry_failed=True, **ASKED)
    assert (summary.failed, summary.computed) == (0, 4)
    assert verify(out).ok
    assert not list(bucket.folder("retry").glob("failures/*"))


def test_a_clip_that_was_missing_goes_behind_the_plan(bucket):
    source, out = bucket.folder("missing"), f"s3://{NAME}/behind"
    clips = [Clip(clip_id=name, source=f"s3://{NAME}/missing/{name}") for name in "ab"]
    frame_folder(source / "a", range(1, 4))
    assert extract(clips, out, **ASKED).failed == 1
    frame_folder(source / "b", range(1, 4))
    summary = extract(clips, out, retry_failed=True, **ASKED)
    assert (summary.failed, summary.computed, summary.computed_now) == (0, 4, 2)
    assert verify(out).ok
    assert not list(bucket.folder("behind").glob("failures/*"))


@pytest.mark.parametrize("killed", [False, True])
def test_parts_of_missing_clips_alone_are_filled(bucket, monkeypatch, killed):
    source, out = bucket.folder(f"emptied{killed}"), f"s3://{NAME}/filled{killed}"
    monkeypatch.setattr("flowkit.extraction.plan.rows_per_part", lambda shape, planned: 2)
    clips = [Clip(clip_id=name, source=f"s3://{NAME}/{source.name}/{name}") for name in "abcdef"]
    for name in "af":
        frame_folder(source / name, range(1, 4))
    assert extract(clips, out, **ASKED).failed == 4
    for name in "bcde":
        frame_folder(source / name, range(1, 4))
    if killed:  # between the records and their files
        monkeypatch.setattr("flowkit.output.writer.remove_files", lambda *_: None)
    assert extract(clips, out, retry_failed=True, **ASKED).failed == 0
    assert verify(out).problems == []
    assert len(read(out)) == 12
    left = [*bucket.folder(f"filled{killed}").glob("failures/*")]
    assert bool(left) is killed
    for path in left:
        os.utime(path, (time.time() - 25 * 3600,) * 2)
    extract(clips, out, **ASKED)
    assert not [*bucket.folder(f"filled{killed}").glob("failures/*")]


def test_a_run_does_not_go_on_with_a_plan_that_another_has_replaced(bucket, monkeypatch):
    source, out = bucket.folder("replaced"), f"s3://{NAME}/went-on"
    monkeypatch.setattr("flowkit.extraction.plan.rows_per_part", lambda shape, planned: 2)
    clips = [Clip(clip_id=name, source=f"s3://{NAME}/replaced/{name}") for name in "abcdef"]
    for name in "af":
        frame_folder(source / name, range(1, 4))

    def other(_: Summary) -> None:
        for name in "bcde":
            frame_folder(source / name, range(1, 4))
        extract(clips, out, retry_failed=True, **ASKED)

    with pytest.raises(Interrupted, match="another run has put clips behind the plan of"):
        extract(clips, out, report=other, **ASKED)
    assert verify(out).ok
    assert len([*bucket.folder("went-on").glob("shards/*")]) == len(read(out).paths)


def test_two_runs_at_once_leave_one_sound_output(data, plain, bucket):
    out = f"s3://{NAME}/both"
    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(lambda _: extract(f"s3://{NAME}/data/plain.csv", out, **ASKED), range(2)))
    assert [(end.computed, end.failed) for end in ends] == [(16, 1)] * 2
    code, told, _ = command("verify", out)
    assert (code, told.partition(", parameters")[0]) == (0, "OK: 17 pairs planned, 16 computed, 1 failed, 3 shards")
    assert rows(out) == plain


def test_another_run_that_asks_for_something_else_changes_nothing(data, bucket):
    out = f"s3://{NAME}/first"
    extract(f"s3://{NAME}/data/plain.csv", out, **ASKED)
    before = {path: path.read_bytes() for path in bucket.folder("first").rglob("*") if path.is_file()}
    with pytest.raises(OutputError, match="made with size=None, this run asks for size="):
        extract(f"s3://{NAME}/data/plain.csv", out, **(ASKED | {"size": 32}))
    assert {path: path.read_bytes() for path in bucket.folder("first").rglob("*") if path.is_file()} == before
    with pytest.raises(OutputError, match="holds 'late' and is no output"):
        extract(f"s3://{NAME}/data/plain.csv", f"s3://{NAME}/data", **ASKED)


def test_a_plan_is_written_once(data, bucket):
    """Runs that all begin while there is no plan: one writes it, the same ones go on, the others are refused."""
    out = place(f"s3://{NAME}/planned")
    clips = read_manifest(f"s3://{NAME}/data/plain.csv")
    requests = [ExtractRequest.parse(pairs=pairs, size=24) for pairs in ("lag:1", "lag:1", "lag:2", "lag:2")]
    barrier = threading.Barrier(len(requests))

    def plan(request: ExtractRequest) -> str:
        surveys = survey(clips)
        parts = make_parts(clips, request, surveys)
        barrier.wait(60)
        try:
            settle_plan(out, parts, surveys, request, request.metadata(clips))
        except OutputError as error:
            return str(error)
        return "settled"

    with ThreadPoolExecutor(len(requests)) as pool:
        ends = list(pool.map(plan, requests))
    require_settled(out)
    won = ends.index("settled")
    same, other = (ends[:2], ends[2:]) if won < 2 else (ends[2:], ends[:2])
    assert same == ["settled"] * 2
    for told in other:
        assert "was made with pairs=" in told or "another run is planning there" in told


def test_runs_that_commit_one_part_at_once_lose_no_file_and_leave_none(bucket):
    out = place(f"s3://{NAME}/contended")
    table = pa.table({"x": [1]})

    def attempts(run: int) -> None:
        for _ in range(10):
            file = put_table(out, new_names(out, 0)["shards"], table)
            write_commit(out, Commit(0, 1, 0, f"run {run}", (file,)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(attempts, range(4)))
    (file,) = finished(out)[0].files
    assert [f"shards/{path.name}" for path in bucket.folder("contended/shards").iterdir()] == [file.name]


def test_a_part_keeps_what_another_run_has_committed_at_the_same_moment(bucket, monkeypatch):
    """The other has read what the first has, a third comes between its look at the record and its own."""
    out = place(f"s3://{NAME}/poorer")

    def attempt(*computed: str) -> Commit:
        schema = pa.schema([("pair_id", pa.string())], metadata={"flowkit": '{"part": 0}'})
        shard = pa.table([computed], schema=schema)
        file = put_table(out, new_names(out, 0)["shards"], shard)
        failed = {"a", "b", "c"} - {*computed}
        return write_commit(out, Commit(0, len(computed), 0, "", (file,)), ({*computed}, failed))

    assert not isinstance(attempt("a"), Kept)
    put_if, richer = StorePath.put_if, []

    def between(path: StorePath, content: bytes, tag: Tag | None) -> None:
        if not richer:
            richer.append(None)
            richer.append(attempt("a", "b", "c"))
        put_if(path, content, tag)

    monkeypatch.setattr(StorePath, "put_if", between)
    kept = attempt("a", "b")
    assert (kept.computed, kept.lost) == (3, {"c"})
    assert finished(out)[0] == richer[1]
    assert len(list(bucket.folder("poorer/shards").iterdir())) == 1


def test_what_a_killed_run_has_left_goes_when_it_is_old(data, plain, bucket):
    out, files = f"s3://{NAME}/left", bucket.folder("left")
    extract(f"s3://{NAME}/data/plain.csv", out, **ASKED)
    young, old = (files / f"shards/part-00000.{digit * 16}.parquet" for digit in "ab")
    for path in (young, old):
        path.write_bytes(b"half of a shard")
    os.utime(old, (time.time() - 25 * 3600,) * 2)
    assert verify(out).ok
    assert len(read(out)) == 16
    extract(f"s3://{NAME}/data/plain.csv", out, **ASKED)
    assert (young.exists(), old.exists()) == (True, False)


def test_a_store_that_comes_back_costs_nothing(data, plain, bucket):
    out, began = f"s3://{NAME}/away", threading.Event()

    def interrupt() -> None:
        assert began.wait(60)
        bucket.kill()
        time.sleep(1.5)
        bucket.start()

    thread = threading.Thread(target=interrupt)
    thread.start()
    summary = extract(f"s3://{NAME}/data/plain.csv", out, report=lambda _: began.set(), **ASKED)
    thread.join()
    assert summary.failed == 1
    assert verify(out).ok
    assert rows(out) == plain


def test_a_network_that_stands_still_costs_nothing_but_time(data, plain, bucket):
    out, began = f"s3://{NAME}/stalled", threading.Event()

    def stall() -> None:
        assert began.wait(60)
        proxy.stall(1.5)

    with Proxy("127.0.0.1", bucket.port) as proxy, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
        forget()
        thread = threading.Thread(target=stall)
        thread.start()
        start = time.monotonic()
        summary = extract(f"s3://{NAME}/data/plain.csv", out, report=lambda _: began.set(), **ASKED)
        thread.join()
        assert time.monotonic() - start > 1.5  # it did go through the proxy
    forget()
    assert summary.failed == 1
    assert verify(out).ok
    assert rows(out) == plain


def test_a_run_that_is_stopped_leaves_nothing_in_the_folder_for_temporary_files(data, bucket, tmp_path):
    process = start("extract", data / "manifest.csv", "-o", f"s3://{NAME}/stopped", "--pairs", "lag:1", "--workers", 2,
                    env=os.environ | {"TMPDIR": str(tmp_path)})  # fmt: skip
    until = time.monotonic() + 60
    while not [*tmp_path.glob("flowkit-*/part-*")]:
        assert time.monotonic() < until
    bucket.process.send_signal(signal.SIGSTOP)  # so that it is at it still
    try:
        assert [*tmp_path.glob("flowkit-*")]
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=60)
    finally:
        bucket.process.send_signal(signal.SIGCONT)
    assert (process.returncode, len(told.splitlines())) == (3, 1)
    assert not [*tmp_path.glob("flowkit-*")]


def test_what_a_killed_run_has_left_on_this_machine_goes(data, bucket, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with subprocess.Popen(["true"]) as ended:
        pass

    def write(path: Path) -> None:
        path.write_bytes(b"half")
        for pid in (ended.pid, os.getpid()):
            shutil.copytree(path.parent, tmp_path / f"{path.parent.name.replace(f'-{os.getpid()}-', f'-{pid}-')}_")

    write_whole(place(f"s3://{NAME}/upload"), write)
    assert len([*tmp_path.glob("flowkit-*/upload")]) == 2
    extract(data / "plain.csv", f"s3://{NAME}/swept", **ASKED)
    (own,) = tmp_path.glob("flowkit-*")
    assert f"-{os.getpid()}-" in own.name


def test_a_store_that_does_not_come_back_stops_the_run(data, plain, bucket, monkeypatch):
    out = f"s3://{NAME}/gone"
    monkeypatch.setenv("FLOWKIT_STORE_PATIENCE", "0.5")
    with pytest.raises(Interrupted, match=r"s3://bucket gives no answer \(nobody answers at http://127"):
        extract(f"s3://{NAME}/data/plain.csv", out, report=lambda _: bucket.kill(), **ASKED)
    forget()
    began = time.monotonic()
    code, _, told = command("extract", f"s3://{NAME}/data/plain.csv", "-o", out)
    assert (code, len(told.splitlines())) == (3, 1), told
    assert time.monotonic() - began < 20
    bucket.start()
    assert verify(out).unfinished == 17
    extract(f"s3://{NAME}/data/plain.csv", out, **ASKED)
    assert verify(out).ok
    assert rows(out) == plain


def test_frames_of_a_store_that_is_away_are_no_failures(data, plain, bucket, monkeypatch):
    """They end the run, which goes on when the store is back: rows say what is wrong with a clip, and nothing is."""
    out = bucket.root.parent / "on-disk"
    monkeypatch.setenv("FLOWKIT_STORE_PATIENCE", "0.5")
    with pytest.raises(Interrupted, match="gives no answer"):
        extract(f"s3://{NAME}/data/plain.csv", out, report=lambda _: bucket.kill(), **ASKED)
    bucket.start()
    assert extract(f"s3://{NAME}/data/plain.csv", out, **ASKED).failed == 1
    assert rows(out) == plain
    assert f"s3://{NAME}/data/sub01" in read_plan(out)["source"].to_pylist()


def test_frames_are_proved_in_a_store_too(data, bucket):
    clip = Clip(clip_id="a", source=f"s3://{NAME}/data/sub01", frames_sha256=frames_sha256(data / "sub01"))
    talk = Clip(clip_id="v", source=f"s3://{NAME}/data/talk.mp4", frames_sha256=frames_sha256(data / "talk.mp4"))
    other = dataclasses.replace(clip, clip_id="b", frames_sha256="0" * 64)
    found = survey([clip, talk, other])
    assert [found[name].error is None for name in "avb"] == [True, True, False]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_manifest_in_a_store_keeps_the_users_own_columns(data, bucket, suffix):
    clips = read_manifest(data / "plain.csv")
    write_manifest(clips, bucket.folder("own") / f"m{suffix}", {"mood": pa.array("wxyz")})
    stored = f"s3://{NAME}/own/m{suffix}"
    assert [name for name in unused_columns(place(stored)) if "mood" in name]
    revision = Revision(stored)
    assert revision.column("mood") == list("wxyz")
    assert [clip.clip_id for clip in revision.clips] == [clip.clip_id for clip in clips]


def test_pictures_are_drawn_from_a_store(data, bucket, tmp_path):
    out = f"s3://{NAME}/drawn"
    extract(f"s3://{NAME}/data/sub02", out, **ASKED)
    render(out, "sub02", tmp_path / "a.png")
    extract(data / "sub02", tmp_path / "out", **ASKED)
    render(tmp_path / "out", "sub02", tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("out", "sentence"),
    {
        "s3://nowhere/out": "s3://nowhere does not exist; create that bucket, or correct its name",
        "s3://": "names no bucket; write it as s3://BUCKET/NAME",
        "az://bucket/out": "az://bucket cannot be used: Account must be specified",
    }.items(),
)
def test_what_cannot_be_used_is_a_sentence(data, out, sentence):
    with pytest.raises((StoreError, InputError), match=sentence):
        extract(data / "sub01", out, **ASKED)


def test_without_obstore_a_sentence_says_what_to_install(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(StoreError, match=r"pip install 'flowkit-mer\[store\]'"):
        read(f"s3://{NAME}/same")
