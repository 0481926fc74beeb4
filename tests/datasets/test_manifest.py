"""Manifests: typed cells, refusals with line and clip, and the fingerprint."""

import csv
import dataclasses
import gc
import os
import re
import shutil
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flowkit.datasets import SCHEMA, manifest_fingerprint, read_manifest, unused_columns, write_manifest
from flowkit.datasets.tables import column_names
from flowkit.errors import InputError, OutputError
from flowkit.types import Clip, fingerprint


def make_frames(folder: Path, numbers=(1, 2), name="img{}.jpg") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        assert cv2.imwrite(str(folder / name.format(number)), np.full((8, 8), number % 256, np.uint8))
    return folder


def write_text(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_schema_has_the_fields_of_a_clip_in_order():
    assert SCHEMA.names == [field.name for field in dataclasses.fields(Clip)]


def test_csv_cells_are_text_stripped_and_typed(tmp_path):
    frames = make_frames(tmp_path / "sub01" / "EP02_01f")
    path = write_text(
        tmp_path / "m.csv",
        "\ufeffclip_id, source ,subject,fps,frame_base,onset,apex,offset,emotion,defects,my notes\n"
        ' a , sub01/EP02_01f ,01, 200 ,,46,59.0," 86 ",Happiness, apex = onset ;; twice ,kept\n'
        "\n"
        "b,sub01/../sub01/EP02_01f,1,,1,,,,others,,\n",
    )
    first, second = read_manifest(path)
    assert first == Clip(
        clip_id="a",
        source=str(frames),
        subject="01",
        fps=200.0,
        frame_base=0,
        onset=46,
        apex=59,
        offset=86,
        emotion="Happiness",
        emotion3="positive",
        defects=("apex = onset", "twice"),
    )
    assert second == Clip(clip_id="b", source=str(frames), subject="1", frame_base=1, emotion="others")


def test_emotion3_column_wins_over_the_emotion(tmp_path):
    make_frames(tmp_path / "f")
    path = write_text(
        tmp_path / "m.csv",
        "clip_id,source,emotion,emotion3\na,f,happiness,\nb,f,tense,negative\nc,f,happiness,surprise\n",
    )
    assert [clip.emotion3 for clip in read_manifest(path)] == [None, "negative", "surprise"]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"onset": "4x"}, ["line 3", "'b'", "onset='4x'", "whole number"]),
        ({"onset": "46.5"}, ["line 3", "'b'", "onset='46.5'"]),
        ({"offset": "/"}, ["line 3", "'b'", "offset='/'"]),
        ({"fps": "0"}, ["line 3", "'b'", "fps='0'", "above 0"]),
        ({"fps": "nan"}, ["line 3", "'b'", "fps='nan'"]),
        ({"fps": "fast"}, ["line 3", "'b'", "fps='fast'"]),
        ({"frame_base": "-1"}, ["line 3", "'b'", "frame_base=-1"]),
        ({"emotion3": "joy"}, ["line 3", "'b'", "'joy'", "negative, positive, surprise"]),
        ({"clip_id": "a"}, ["line 3", "'a'", "second time"]),
        ({"clip_id": " "}, ["line 3", "clip_id is empty"]),
        ({"source": ""}, ["line 3", "source is empty"]),
    ],
)
def test_bad_cell_is_refused_with_line_clip_and_value(tmp_path, row, told):
    make_frames(tmp_path / "f")
    good = {"clip_id": "a", "source": "f", "fps": "30", "frame_base": "0", "onset": "1", "offset": "2", "emotion3": ""}
    with (tmp_path / "m.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(good))
        table.writeheader()
        table.writerows([good, good | {"clip_id": "b"} | row])
    with pytest.raises(InputError) as caught:
        read_manifest(tmp_path / "m.csv")
    for words in told:
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no column 'clip_id'"),
        ("clip_id:source\na:f\n", "its columns are clip_id:source"),
        ("clip_id,folder\na,f\n", "no column 'source'; its columns are clip_id, folder"),
        ("clip_id,source,onset,onset\na,f,1,2\n", "column 'onset' occurs twice"),
        ("clip_id,source,onset\na,f\n", "line 2 has 2 cells, its header 3"),
        ("clip_id,source\n", "has no clips"),
        ('clip_id,source\na,f\nb,"f\nc,f\n', "line 3: a quote is not closed, or stands within a cell"),
        ('clip_id,source\na,f\nb,"f"f\n', "line 3: a quote is not closed, or stands within a cell"),
        ('clip_id,source\n"a,' + "f\n" * 80_000, "line 2: a quote is not closed"),
        ("clip_id,source\na,f\nb\0,f\n", "line 3 has a NUL character; save it as CSV in UTF-8"),
        ('clip_id,source\na,f\n"b\n1",f\n', "line 4: clip_id 'b\\n1' has the character U+000A; leave it out"),
        ("clip_id,source\na\x1b[2J,f\n", "line 2: clip_id 'a\\x1b[2J' has the character U+001B; leave it out"),
        (f"clip_id,source\n{'a' * 1001},f\n", "has 1001 characters; give at most 1000"),
        ("clip_id,source,frames_sha256\na,f,12ab\n", "frames_sha256='12ab' is no SHA-256 of 64 hex digits"),
    ],
)
def test_bad_table_is_refused(tmp_path, text, told):
    with pytest.raises(InputError, match=re.escape(told)):
        read_manifest(write_text(tmp_path / "m.csv", text))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_spreadsheets_separators_and_encodings_are_read(tmp_path, separator, encoding):
    frames = make_frames(tmp_path / "f")
    rows = [["clip_id", "source", "onset", "emotion", "defects"], ["\u5f20,1", "f", "46", "Happiness", "x;y"]]
    with (tmp_path / "m.csv").open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=separator).writerows(rows)
    (clip,) = read_manifest(str(tmp_path / "m.csv"))
    assert clip == Clip(
        clip_id="\u5f20,1", source=str(frames), onset=46, emotion="Happiness", emotion3="positive", defects=("x", "y")
    )


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_any_system_ends_them(tmp_path, end):
    frames = make_frames(tmp_path / "f")
    (tmp_path / "m.csv").write_bytes(end.join(["clip_id;source;my note", 'a;f;"x,y"', "b;f;z", ""]).encode())
    assert [(clip.clip_id, clip.source) for clip in read_manifest(tmp_path / "m.csv")] == [
        ("a", str(frames)),
        ("b", str(frames)),
    ]
    assert unused_columns(tmp_path / "m.csv") == ["'my note'"]
    for last in (b"\xe9", b"\0"):
        (tmp_path / "m.csv").write_bytes(end.join(["clip_id;source", "a;f", ""]).encode() + last)
        with pytest.raises(InputError, match="line 3 "):
            read_manifest(tmp_path / "m.csv")


@pytest.mark.parametrize(
    ("column", "meant"),
    [
        ("Onset", "onset"),
        ("Subject", "subject"),
        ("onest", "onset"),
        ("annotation revision", "annotation_revision"),
        ("frame-base", "frame_base"),
        ("AU", "au"),
        ("subjects", "subject"),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_misspelt_columns_are_refused_by_name(tmp_path, column, meant, suffix):
    make_frames(tmp_path / "f")
    path = tmp_path / f"m{suffix}"
    table = pd.DataFrame({"clip_id": ["a"], "source": ["f"], column: ["1"]})
    table.to_csv(path, index=False) if suffix == ".csv" else table.to_parquet(path)
    with pytest.raises(InputError, match=f"has a column {column!r} and none {meant!r}; rename it to {meant!r}"):
        read_manifest(path)


def test_misspelt_required_columns_are_named(tmp_path):
    with pytest.raises(InputError, match="has a column 'Clip ID' and none 'clip_id'; rename it to 'clip_id'"):
        read_manifest(write_text(tmp_path / "m.csv", "Clip ID,source\na,f\n"))


def test_columns_of_ones_own_are_left_alone_and_told(tmp_path):
    make_frames(tmp_path / "f")
    text = "clip_id,source,onset,onset2,AU1,AU12,apex_frame,my notes,sex\na,f,1,2,0,1,3,x,f\n"
    path = write_text(tmp_path / "m.csv", text)
    assert read_manifest(path) == [Clip(clip_id="a", source=str(tmp_path / "f"), onset=1)]
    assert unused_columns(path) == [
        "'onset2'",
        "'AU1' (is it 'au'?)",
        "'AU12' (is it 'au'?)",
        "'apex_frame' (is it 'apex'?)",
        "'my notes'",
        "'sex'",
    ]


def test_a_hash_of_the_frames_is_kept_and_asks_for_no_other_output(tmp_path):
    make_frames(tmp_path / "f")
    plain = Clip(clip_id="a", source=str(tmp_path / "f"))
    hashed = dataclasses.replace(plain, frames_sha256="ab" * 32)
    for suffix in (".csv", ".parquet"):
        write_manifest([hashed], tmp_path / f"m{suffix}")
        assert read_manifest(tmp_path / f"m{suffix}") == [hashed]
    assert manifest_fingerprint([hashed]) == manifest_fingerprint([plain])


def test_a_large_manifest_is_read_in_little_more_time_than_its_clips_take_to_make(tmp_path):
    make_frames(tmp_path / "f" / "0")
    count = 100_000
    table = pa.table(
        {
            "clip_id": [f"mine/s{i % 300:03}/c{i}" for i in range(count)],
            "source": [f"f/{i}" for i in range(count)],
            "subject": [f"s{i % 300:03}" for i in range(count)],
            "fps": [200.0] * count,
            **{name: [place + i % 97 for i in range(count)] for place, name in enumerate(("onset", "apex", "offset"))},
            "emotion": ["happiness"] * count,
            "defects": ["x;y"] * count,
        }
    )
    pq.write_table(table, tmp_path / "m.parquet")
    table.to_pandas().to_csv(tmp_path / "m.csv", index=False)
    start = time.process_time()
    for row in table.to_pylist():
        dataclasses.replace(Clip(**row), frame_base=1)
    made_twice = time.process_time() - start
    read = []
    gc.freeze()  # what earlier tests have left in this process is not the manifest's to collect
    for suffix in (".csv", ".parquet"):
        start = time.process_time()
        read.append(read_manifest(tmp_path / f"m{suffix}"))
        assert time.process_time() - start < 3 * made_twice
    gc.unfreeze()
    assert read[0] == read[1]
    assert read[0][-1].clip_id == f"mine/s{(count - 1) % 300:03}/c{count - 1}"


def test_unreadable_files_are_refused(tmp_path):
    (tmp_path / "latin.csv").write_bytes(b"clip_id,source\n\xe9t\xe9,f\n")
    with pytest.raises(InputError, match=r"line 2 is not UTF-8 \(.*\); save it as CSV in UTF-8"):
        read_manifest(tmp_path / "latin.csv")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and no footer")
    for name in ("latin.csv", "torn.parquet", "absent.csv", "m.xlsx"):
        with pytest.raises(InputError, match=re.escape(name)):
            read_manifest(tmp_path / name)


@pytest.mark.parametrize("name", ["absent.csv", "absent.parquet"])
def test_a_file_that_is_gone_is_called_so(tmp_path, name):
    told = re.escape(f"'{tmp_path / name}': there is no such file; write its path as it is now, or put it back")
    for read in (read_manifest, lambda path: column_names(path, ["clip_id"])):
        with pytest.raises(InputError, match=told):
            read(tmp_path / name)


def test_frame_numbers_of_18_digits_are_read_to_the_last_digit(tmp_path):
    """As microseconds since 1970, of 16 digits, are."""
    make_frames(tmp_path / "f")
    wanted = (1_700_000_000_123_457, -123_456_789_012_345_678, 999_999_999_999_999_999)
    columns = {"clip_id": ["a"], "source": ["f"]}
    columns |= {name: [number] for name, number in zip(("onset", "apex", "offset"), wanted, strict=True)}
    pd.DataFrame(columns).to_csv(tmp_path / "m.csv", index=False)
    pd.DataFrame(columns).to_parquet(tmp_path / "m.parquet")
    for name in ("m.csv", "m.parquet"):
        (clip,) = read_manifest(tmp_path / name)
        assert (clip.onset, clip.apex, clip.offset) == wanted
    write_text(tmp_path / "m.csv", "clip_id,source,onset\na,f,1000000000000000000\n")
    with pytest.raises(InputError, match=r"onset='1000000000000000000' is not a whole number of at most 18 digits"):
        read_manifest(tmp_path / "m.csv")


def test_numbers_that_were_floats_are_read_as_far_as_floats_are_exact(tmp_path):
    make_frames(tmp_path / "f")
    columns = {"clip_id": ["a", "b"], "source": ["f", "f"], "onset": [2.0**53 - 1, np.nan]}
    for suffix in ("csv", "parquet"):
        path = tmp_path / f"m.{suffix}"
        for last, read in ((2.0**53 - 1, 2**53 - 1), (2.0**53, None), (1.7e17, None)):
            table = pd.DataFrame(columns | {"onset": [last, np.nan]})
            table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
            if read is None:
                with pytest.raises(InputError, match=r"onset='.*' is a rounded number; store the column as whole"):
                    read_manifest(path)
            else:
                assert [clip.onset for clip in read_manifest(path)] == [read, None]


@pytest.mark.parametrize(("kind", "rounded"), [("float16", 2**11), ("float32", 2**24)])
def test_numbers_of_narrow_floats_are_read_as_far_as_those_are_exact(tmp_path, kind, rounded):
    make_frames(tmp_path / "f")
    path = tmp_path / "m.parquet"
    columns = {"clip_id": pa.array(["a", "b"]), "source": pa.array(["f", "f"])}
    rates = pa.array(np.array([rounded, np.nan], kind))
    onsets = pa.array(np.array([rounded - 1, np.nan], kind), from_pandas=True)
    pq.write_table(pa.table(columns | {"fps": rates, "onset": onsets}), path)
    assert [(clip.fps, clip.onset) for clip in read_manifest(path)] == [(rounded, rounded - 1), (None, None)]
    for number in (rounded + 1, -rounded):
        pq.write_table(pa.table(columns | {"onset": pa.array(np.array([1, number], kind))}), path)
        with pytest.raises(InputError, match=r"row 2, clip 'b': onset='.*e\+.*' is a rounded number; store the column"):
            read_manifest(path)


def test_a_pipe_is_not_waited_for(tmp_path):
    for name in ("m.csv", "m.parquet"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(InputError, match="is no file, which a table has to be; copy it into one"):
            read_manifest(tmp_path / name)


def test_contradicting_annotations_and_a_missing_source_are_read_as_they_are(tmp_path):
    make_frames(tmp_path / "f")
    text = "clip_id,source,onset,apex,offset\na,f,10,99,5\nb,absent,1,2,3\n"
    clips = read_manifest(write_text(tmp_path / "m.csv", text))
    assert [(clip.onset, clip.apex, clip.offset) for clip in clips] == [(10, 99, 5), (1, 2, 3)]
    assert clips[1].source == str(tmp_path / "absent")


def test_no_source_at_all_names_the_folder_looked_in(tmp_path):
    path = write_text(tmp_path / "m.csv", "clip_id,source\na,x/a\nb,x/b\n")
    with pytest.raises(InputError, match=re.escape(f"looked for in {str(tmp_path)!r}")):
        read_manifest(path)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_written_manifest_comes_back_and_moves_with_its_folder(tmp_path, suffix):
    root = tmp_path / "here"
    inside, outside = make_frames(root / "data" / "frames,1"), make_frames(tmp_path / "elsewhere")
    clips = [
        Clip(
            clip_id="z",
            source=str(inside),
            dataset="casme2",
            subject="01",
            fps=29.97,
            frame_base=1,
            onset=17581039,
            apex=17581040,
            offset=17581050,
            emotion="happiness",
            emotion3=None,
            au='R12+"x", 4',
            ethnicity="Asian",
            group="asian",
            defects=("apex = onset", "b"),
            annotation_revision="r1",
        ),
        Clip(clip_id="a", source=str(outside)),
    ]
    path = root / f"manifest{suffix}"
    write_manifest(clips, path)
    assert read_manifest(path) == clips
    assert sorted(item.name for item in root.iterdir()) == ["data", path.name]

    root.rename(tmp_path / "there")
    moved = read_manifest(tmp_path / "there" / path.name)
    assert moved[0] == dataclasses.replace(clips[0], source=str(tmp_path / "there" / "data" / "frames,1"))
    assert moved[1] == clips[1]


def test_parquet_of_other_types_is_read_like_its_csv(tmp_path):
    make_frames(tmp_path / "f")
    table = pd.DataFrame(
        {
            "clip_id": ["a", "b"],
            "source": ["f", "f"],
            "subject": [1, 2],
            "onset": [46.0, np.nan],
            "defects": ["x;y", None],
        }
    )
    table.to_parquet(tmp_path / "m.parquet")
    table.to_csv(tmp_path / "m.csv", index=False)
    clips = read_manifest(tmp_path / "m.parquet")
    assert clips == read_manifest(tmp_path / "m.csv")
    assert [(clip.subject, clip.onset, clip.defects) for clip in clips] == [("1", 46, ("x", "y")), ("2", None, ())]

    for name, told in [("onset", r"onset=\[1, 2\] is a list"), ("source", r"source is \[1, 2\]; give one value")]:
        columns = {"clip_id": ["a"], "source": ["f"]} | {name: [[1, 2]]}
        pq.write_table(pa.table(columns), tmp_path / "lists.parquet")
        with pytest.raises(InputError, match=f"row 1, clip 'a': {told}"):
            read_manifest(tmp_path / "lists.parquet")


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary(1), pa.dictionary(pa.int8(), pa.binary())])
def test_texts_that_parquet_has_as_bytes_are_texts(tmp_path, kind):
    make_frames(tmp_path / "f")
    columns = {"clip_id": pa.array([b"a"], kind), "source": pa.array([b"f"], kind), "subject": pa.array([None], kind)}
    defects = pa.array([["é".encode(), b"y"]], pa.list_(pa.binary()))
    pq.write_table(pa.table(columns | {"defects": defects}), tmp_path / "m.parquet")
    (clip,) = read_manifest(tmp_path / "m.parquet")
    assert clip == Clip(clip_id="a", source=str(tmp_path / "f"), defects=("é", "y"))


def test_bytes_that_are_no_text_are_refused(tmp_path):
    make_frames(tmp_path / "f")
    columns = {"clip_id": ["a", "b"], "source": ["f", "f"], "subject": [b"1", b"\xe9"]}
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    told = r"m.parquet row 2: subject=b'\xe9' is not UTF-8; store the column as text"
    with pytest.raises(InputError, match=re.escape(told)):
        read_manifest(tmp_path / "m.parquet")


def test_failed_write_leaves_the_old_manifest(tmp_path):
    path = tmp_path / "m.csv"
    write_manifest([Clip(clip_id="a", source=str(tmp_path))], path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="semicolon"):
        write_manifest([Clip(clip_id="b", source=str(tmp_path), defects=("x;y",))], path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(InputError, match="must end in"):
        write_manifest([], tmp_path / "m.txt")
    with pytest.raises(OutputError, match="cannot be written"):
        write_manifest([], path / "below" / "m.csv")


def test_fingerprint_follows_content_and_order_and_not_the_place(tmp_path):
    for name in ("one", "two"):
        make_frames(tmp_path / "old" / "cropped" / name)
        make_frames(tmp_path / "old" / "raw" / name)
    clips = [Clip(clip_id=name, source=str(tmp_path / "old" / "cropped" / name)) for name in ("one", "two")]
    write_manifest(clips, tmp_path / "old" / "m.parquet")
    expected = manifest_fingerprint(clips)

    shutil.copytree(tmp_path / "old", tmp_path / "new" / "place")
    assert manifest_fingerprint(read_manifest(tmp_path / "new" / "place" / "m.parquet")) == expected

    raw = [dataclasses.replace(clip, source=clip.source.replace("cropped", "raw")) for clip in clips]
    other_apex = [clips[0], dataclasses.replace(clips[1], apex=3)]
    others = [clips[::-1], clips[:1], raw, other_apex]
    assert len({manifest_fingerprint(other) for other in others} | {expected}) == 5


def clip(number: int, **fields) -> Clip:
    return Clip(clip_id=f"c{number}", source=f"/data/frames/{number}", **fields)


@pytest.mark.parametrize(
    "clips",
    [
        [],
        [clip(0, subject='100 % "so"')],
        [clip(0), clip(0)],
        [clip(number, onset=number % 3, offset=9, emotion="100 %s", au=None) for number in range(2001)],
        [clip(0, fps=25.0), clip(1, fps=25), clip(2, frame_base=1), clip(3, frame_base=True)],
        [clip(0, defects=("b", "a,c")), clip(1), clip(2, defects=["b", "a,c"])],
        [clip(0, defects=["a\n", "b"]), clip(1, defects=["b"])],
        [clip(0, subject="Ünïcode 試"), clip(1, subject="line\nfeed"), clip(2, subject="%d%%\\")],
    ],
    ids=["none", "one", "alike", "many", "numbers", "defects", "lists", "texts"],
)
def test_fingerprint_is_that_of_a_list_with_a_dictionary_for_each_clip(clips):
    names = [name for name in SCHEMA.names if name not in ("frames_sha256", "sheet_row", "annotation_row")]
    # The deepest folder that holds all sources is /data/frames; of one source it is the source.
    start = len("/data/" if len({clip.source for clip in clips}) > 1 else "/data/frames/")
    rows = [{name: getattr(clip, name) for name in names} | {"source": clip.source[start:]} for clip in clips]
    assert manifest_fingerprint(clips) == fingerprint(rows)
