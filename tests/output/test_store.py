"""Names in object stores: what outputs ask of a path, over HTTP."""

import io
import pickle
import threading
import time
from pathlib import Path

import pytest

from flowkit import extract, read, verify
from flowkit.errors import InputError, Interrupted, StoreError
from flowkit.output.files import is_as_written, write_whole
from flowkit.output.store import StorePath, each, is_url, place
from flowkit.output.store_client import Overtaken, forget
from tests.bucket import NAME
from tests.clips import flowkit, frame_folder


@pytest.mark.parametrize(
    ("text", "name"),
    {
        "s3://b/out": "s3://b/out",
        "s3://b/out/": "s3://b/out",
        "s3://b": "s3://b",
        "gs://b/a//c/./d/../e": "gs://b/a/c/e",
        "az://b/../../a": "az://b/a",
        "s3://b/a b%20c#d?e": "s3://b/a b%20c#d?e",
    }.items(),
)
def test_a_url_is_a_place_in_a_store(text, name):
    assert isinstance(place(text), StorePath)
    assert str(place(text)) == name
    assert place(Path(text)) == place(text)
    assert pickle.loads(pickle.dumps(place(text))) == place(text)


@pytest.mark.parametrize("text", ["out", "/s3/out", "s3", "s3:out", "./s3:/b", "/x/s3://b"])
def test_anything_else_is_a_path(text):
    assert not is_url(text)
    assert place(text) == Path(text)


def test_a_url_without_a_bucket_is_refused():
    with pytest.raises(InputError, match=r"s3:/// names no bucket; write it as s3://BUCKET/NAME"):
        place("s3:///")


@pytest.mark.parametrize("text", ["S3://b/out", "Gs://b", "http://b/out", "ftp://b", "file:///tmp/out"])
def test_urls_of_other_schemes_are_refused(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    for name in (text, Path(text)):
        with pytest.raises(InputError, match=r"begins with \w+:, and flowkit knows s3://, gs:// and az://, in small"):
            place(name)
    (tmp_path / "clips").mkdir()
    (tmp_path / "manifest.csv").write_text(f"clip_id,source\na,{text}\n")
    for source, out in (("clips", text), (text, "out"), ("manifest.csv", "out")):
        code, _, line = flowkit("extract", source, "-o", out)
        assert (code, len(line.splitlines())) == (2, 1)
        assert "in small letters; give one of those" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips", "manifest.csv"]


def test_a_home_folder_that_no_shell_has_put_in_is_refused(tmp_path, monkeypatch):
    """pyarrow would read from the home folder what pathlib has written into a folder of the name `~`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    frame_folder(tmp_path / "clip", range(3))
    (tmp_path / "run.yaml").write_text("source: clip\nout: ~/out\n")
    told = f"~/out begins with ~, which only a shell takes for a home folder; give {tmp_path}/home/out, or for a folder"
    for arguments in (("extract", "--config", "run.yaml"), ("extract", "clip", "--out=~/out"), ("verify", "~/out")):
        code, _, line = flowkit(*arguments)
        assert code == 2
        assert told in line
    with pytest.raises(InputError, match="begins with ~"):
        place(Path("~"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip", "run.yaml"]
    for name in ("~notes", "a/~/b", tmp_path / "~"):
        assert place(name) == Path(name)


def test_an_empty_path_is_refused():
    for act in (lambda: extract("", "out"), lambda: extract("clip", ""), lambda: read(""), lambda: verify("")):
        with pytest.raises(InputError, match=r"an empty path \(''\) names nothing"):
            act()


def test_names_are_those_of_pathlib(tmp_path):
    for name in ("out", "out/plan/run.json", "clip.mp4", "a/.hidden", "a/b.tar.gz"):
        here, there = tmp_path / name, place("s3://b") / name
        for what in ("name", "stem", "suffix"):
            assert getattr(there, what) == getattr(here, what)
        assert str(there.parent) == str(here.parent).replace(str(tmp_path), "s3://b")
        assert there.relative_to(place("s3://b")) == here.relative_to(tmp_path)


def test_blobs_are_written_listed_read_and_removed_as_files_are(bucket, tmp_path):
    content = {"a/one": b"1", "a/two": b"", "a/b/three.txt": b"drei", "a/b c#%20": b"odd"}
    for root in (tmp_path, place(f"s3://{NAME}/files")):
        for name, data in content.items():
            if isinstance(root, Path):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
            written = write_whole(root / name, lambda path, data=data: path.write_bytes(data))
            assert written.bytes == len(data)
            assert is_as_written(root / name, written.sha256)
        assert sorted(path.name for path in (root / "a").iterdir()) == ["b", "b c#%20", "one", "two"]
        assert [(root / "a" / name).is_dir() for name in ("b", "one", "none")] == [True, False, False]
        assert [(root / "a" / name).is_file() for name in ("b", "one", "none")] == [False, True, False]
        assert [(root / "a" / name).exists() for name in ("b", "one", "none", "on")] == [True, True, False, False]
        assert (root / "a/b/three.txt").read_text(encoding="utf-8") == "drei"
        assert (root / "a/b/three.txt").stat().st_size == 4
        assert abs((root / "a/one").stat().st_mtime - time.time()) < 60
        with pytest.raises(FileNotFoundError):
            (root / "a/none").read_bytes()
        (root / "a/one").unlink()
        assert not (root / "a/one").exists()
        (root / "a/one").unlink(missing_ok=True)


def test_large_blobs_come_back_whole_and_in_pieces(bucket, tmp_path, rng):
    content = rng.bytes(18 * 2**20)
    blob = place(f"s3://{NAME}/large")
    write_whole(blob, lambda path: path.write_bytes(content))
    assert blob.read_bytes() == content
    blob.download(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content
    part = blob.ranges()
    part.seek(-5, io.SEEK_END)
    assert (part.read(), part.read(), part.tell()) == (content[-5:], b"", len(content))
    part.seek(1000)
    assert part.read(10) == content[1000:1010]


def test_a_condition_that_does_not_hold_changes_nothing(bucket):
    blob = place(f"s3://{NAME}/conditional")
    blob.put_if(b"first", None)
    with pytest.raises(Overtaken):
        blob.put_if(b"second", None)
    _, tag = blob.read_tagged()
    blob.put_if(b"second", tag)
    with pytest.raises(Overtaken):
        blob.put_if(b"third", tag)
    blob.put_if(b"second", tag)  # as when the answer to it was lost
    assert blob.read_bytes() == b"second"


def test_each_gives_answers_in_order_and_not_all_at_once(bucket):
    begun = []
    answers = each(place(f"s3://{NAME}"), lambda i: (begun.append(i), time.sleep(0.001 * (i % 3)), i)[2], range(500))
    assert next(answers) == 0
    assert len(begun) < 50
    assert list(answers) == list(range(1, 500))
    assert list(each(Path(), str, [1, 2])) == ["1", "2"]


def test_a_store_that_never_answers_is_given_up_within_seconds(bucket, monkeypatch):
    import socket

    with socket.socket() as silent:  # takes connections, and says nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        forget()
        began = time.monotonic()
        errors = []

        def ask() -> None:
            try:
                place(f"s3://{NAME}/x").exists()
            except Interrupted as error:
                errors.append(str(error))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert time.monotonic() - began < 15
        assert len(errors) == 8
        assert f"s3://{NAME} gives no answer (it takes too long at http://127.0.0.1:" in errors[0]
    forget()


def test_refusals_are_no_reason_to_wait(bucket, monkeypatch):
    monkeypatch.setenv("FLOWKIT_STORE_PATIENCE", "soon")
    monkeypatch.setattr("flowkit.output.store_client._answered", set())
    with pytest.raises(StoreError, match="s3://nowhere does not exist"):
        place("s3://nowhere/a").put_if(b"", None)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    forget()
    with pytest.raises(StoreError, match="no credentials are set; set AWS_ACCESS_KEY_ID"):
        place(f"s3://{NAME}/a").read_bytes()
    forget()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        *(
            ("AWS_ENDPOINT_URL", value, r"is no address; write it as http://HOST:PORT or https://HOST, or unset it$")
            for value in ("127.0.0.1:9000", "minio.example.com", "http://127.0.0.1:9000 ", "http://", "http://:9", "")
        ),
        ("AWS_ENDPOINT_URL_S3", "minio.example.com", "^AWS_ENDPOINT_URL_S3='minio.example.com' is no address"),
        (
            "AWS_ACCESS_KEY_ID",
            "any\none",
            "^AWS_ACCESS_KEY_ID has a blank, a line's end or another such character in it",
        ),
        # One of which only obstore knows, by a panic.
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:99999", f"^s3://{NAME} cannot be used: .*InvalidPort; correct the env"),
    ],
)
def test_settings_of_which_obstore_would_panic_are_a_sentence(bucket, monkeypatch, name, value, told):
    monkeypatch.setenv(name, value)
    forget()
    with pytest.raises(StoreError, match=told):
        place(f"s3://{NAME}/x").exists()
    code, _, line = flowkit("verify", f"s3://{NAME}/x")
    assert code == 2
    assert ("panicked" in line) is ("InvalidPort" in told)
    assert "Traceback" not in line
    monkeypatch.undo()
    forget()
    assert not place(f"s3://{NAME}/x").exists()
