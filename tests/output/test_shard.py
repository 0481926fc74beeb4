"""Shards: how they are written, what damages are noticed, and who can open them."""

import dataclasses
import hashlib
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import flowkit.output.shard
from flowkit.errors import InputError, OutputError
from flowkit.extraction.run import extract
from flowkit.output.parquet import footer_sha256, read_row, read_table
from flowkit.output.shard import as_numpy, read, shard_schema
from flowkit.output.writer import ROW_GROUP, cube_column, put_table, write_table
from flowkit.params import PRESETS
from tests.clips import dataset, frame_folder
from tests.damage import flip_a_bit, reseal


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """130 onset-all pairs of two clips, so two shards; frame 7 of the first is missing."""
    folder = tmp_path_factory.mktemp("output")
    clips = dataset(folder, clips=2, frames=67)
    (folder / "sub01" / "img7.png").unlink()
    summary = extract(clips, folder / "out", pairs="onset-all", size=32, workers=1)
    assert (summary.planned, summary.computed, summary.failed) == (132, 131, 1)
    return folder / "out"


@pytest.fixture(scope="module")
def half_output(tmp_path_factory):
    folder = tmp_path_factory.mktemp("half")
    frame_folder(folder / "clip", range(4))
    extract(folder / "clip", folder / "out", pairs="lag:1", size=32, dtype="float16", workers=1)
    return folder / "out"


def test_the_rows_say_which_pair_they_are(output):
    shards = read(output)
    table = shards.table([name for name in shard_schema(32, 32).names if name != "cube"])
    assert len(shards) == table.num_rows == 131
    first = table.slice(0, 1).to_pylist()[0]
    assert {name: first[name] for name in ("clip_id", "dataset", "subject", "role", "frame0", "frame1", "fps")} == {
        "clip_id": "toy/sub01/ep01",
        "dataset": "toy",
        "subject": "01",
        "role": "onset-all",
        "frame0": 1,
        "frame1": 2,
        "fps": 200.0,
    }
    assert (first["emotion3"], first["group"], first["box"], first["transform"]) == ("positive", "b", None, None)
    assert first["iterations"] > 0
    assert 7 not in table["frame1"].to_pylist()[:65]
    assert shards.failures().to_pylist()[0]["frame1"] == 7
    assert shards.failures().schema == flowkit.output.shard.FAILURE_SCHEMA


def test_the_file_says_how_it_was_made(output):
    metadata = json.loads(pq.read_schema(read(output).paths[1]).metadata[b"flowkit"])
    assert metadata["schema_version"] == 3
    assert metadata["preset"] == metadata["parameters"]["preset"] == "micro"
    assert metadata["parameters"] == read(output).parameters
    assert metadata["part"] == 1
    assert "opencv" in metadata["decoders"][0]
    assert set(metadata["versions"]) == {"flowkit", "numpy", "pyarrow", "av", "simplejpeg", "opencv"}


def test_changed_parameters_are_told_with_the_preset(tmp_path):
    frame_folder(tmp_path / "clip", range(2), size=(24, 24))
    for name, params in (
        ("some", {"lambda_": 0.3, "warps": 3}),
        ("all", PRESETS["micro"].replace(lambda_=0.3, warps=3)),
    ):
        extract(tmp_path / "clip", tmp_path / name, params=params, workers=1)
        shards = read(tmp_path / name)
        metadata = json.loads(pq.read_schema(shards.paths[0]).metadata[b"flowkit"])
        assert shards.metadata["preset"] == metadata["preset"] == "micro + lambda_=0.3, warps=3"
        assert shards.parameters["preset"] == "micro"
        assert "preset micro + lambda_=0.3, warps=3" in repr(shards)
        extract(tmp_path / "clip", tmp_path / name, params=params, workers=1)


def test_the_layout_of_the_file(output):
    file = pq.ParquetFile(read(output).paths[0])
    assert file.metadata.num_row_groups == math.ceil(127 / ROW_GROUP)
    column = file.metadata.row_group(0).column(file.schema_arrow.names.index("cube") + 3)  # box has four leaves
    assert column.path_in_schema.startswith("cube")
    assert column.compression == "UNCOMPRESSED"
    assert not column.has_dictionary_page


def test_cubes_are_a_view_of_the_table(output):
    shards = read(output)
    column = shards.shard(0, ["cube"])["cube"]
    values = column.chunk(0).storage.flatten()
    cubes = as_numpy(column)
    assert cubes.shape == (127, 3, 32, 32)
    assert cubes.dtype == np.float32
    assert cubes.ctypes.data == values.buffers()[1].address + 4 * values.offset
    assert not cubes.flags.owndata
    assert [cubes.shape[0] for cubes in shards.cubes()] == [127, 4]
    np.testing.assert_array_equal(shards.cubes(0), cubes)


def test_cubes_become_torch_tensors_without_a_copy(output):
    torch = pytest.importorskip("torch")
    column = read(output).shard(0, ["cube"])["cube"]
    tensor = torch.from_dlpack(column.chunk(0).storage.flatten()).view(-1, 3, 32, 32)
    cubes = as_numpy(column)
    assert tensor.data_ptr() == cubes.ctypes.data
    np.testing.assert_array_equal(tensor.numpy(), cubes)


def test_the_recipe_without_flowkit_gives_torch_every_row(output):
    torch = pytest.importorskip("torch")
    path = read(output).paths[0]
    table = pq.ParquetFile(path).read_row_groups([0, 1])
    chunked = pa.concat_tables([table.slice(0, 40), table.slice(40)])
    assert chunked["cube"].num_chunks > 1
    cube = chunked["cube"].combine_chunks()
    tensor = torch.from_dlpack(cube.storage.flatten()).view(len(cube), *cube.type.shape)
    np.testing.assert_array_equal(tensor.numpy(), read(output).cubes(0)[:64])


def test_a_sliced_column_is_the_right_view(output):
    table = read(output).shard(0)
    np.testing.assert_array_equal(as_numpy(table.slice(40, 3)["cube"]), as_numpy(table["cube"])[40:43])
    with pytest.raises(InputError, match="2 chunks"):
        as_numpy(pa.concat_tables([table, table])["cube"])


def test_the_column_shares_the_arrays_memory():
    cubes = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    column = cube_column(cubes)
    assert column.storage.flatten().buffers()[1].address == cubes.ctypes.data
    np.testing.assert_array_equal(column.to_numpy_ndarray(), cubes)


def test_pyarrow_pandas_polars_and_duckdb_open_them(output):
    shards = read(output)
    path = str(shards.paths[0])
    ids, cube = shards.shard(0)["pair_id"].to_pylist(), shards.cubes(0)[5]

    plain = pq.read_table(path)
    assert plain["pair_id"].to_pylist() == ids
    np.testing.assert_array_equal(plain["cube"].combine_chunks().to_numpy_ndarray()[5], cube)

    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(path)
    assert frame["pair_id"].tolist() == ids
    np.testing.assert_array_equal(frame["cube"][5].reshape(cube.shape), cube)

    polars = pytest.importorskip("polars")
    frame = polars.read_parquet(path)
    assert frame["pair_id"].to_list() == ids
    np.testing.assert_array_equal(frame["cube"].to_numpy()[5].reshape(cube.shape), cube)

    duckdb = pytest.importorskip("duckdb")
    rows = duckdb.sql(f"select pair_id, cube, box from '{path}'").fetchall()
    assert [row[0] for row in rows] == ids
    np.testing.assert_array_equal(np.float32(rows[5][1]).reshape(cube.shape), cube)


def test_half_precision_opens_as_well(half_output):
    shards = read(half_output)
    path, cubes = str(shards.paths[0]), shards.cubes(0)
    assert cubes.dtype == np.float16
    polars, duckdb, pandas = (pytest.importorskip(name) for name in ("polars", "duckdb", "pandas"))
    np.testing.assert_array_equal(polars.read_parquet(path)["cube"].to_numpy().reshape(cubes.shape), cubes)
    np.testing.assert_array_equal(np.stack(pandas.read_parquet(path)["cube"]).reshape(cubes.shape), cubes)
    rows = duckdb.sql(f"select cube from '{path}'").fetchall()
    np.testing.assert_array_equal(np.float16([row[0] for row in rows]).reshape(cubes.shape), cubes)


def test_a_flipped_bit_is_not_read(tmp_path, rng):
    cubes = rng.random((4, 3, 16, 16), dtype=np.float32)
    table = pa.table({"cube": cube_column(cubes)})
    write_table(table, tmp_path / "part.parquet")
    np.testing.assert_array_equal(as_numpy(read_table(tmp_path / "part.parquet")["cube"]), cubes)
    flip_a_bit(tmp_path / "part.parquet")
    with pytest.raises(OutputError, match=r"part\.parquet is damaged"):
        read_table(tmp_path / "part.parquet")
    (tmp_path / "part.parquet").write_bytes(b"PAR1")
    with pytest.raises(OutputError, match="damaged"):
        read_table(tmp_path / "part.parquet")


@pytest.mark.parametrize("reading", [lambda shards: shards.shard(0), lambda shards: shards[0]])
def test_a_flipped_bit_of_the_footer_is_not_read(half_output, tmp_path, reading):
    """It may rename a column, or call zeros what a page holds; the format has no checksum for it."""
    out = shutil.copytree(half_output, tmp_path / "out")
    (path,) = (out / "shards").iterdir()
    whole = path.read_bytes()
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    for at in range(len(whole) - footer, len(whole), 3):
        changed = bytearray(whole)
        changed[at] ^= 1 << at % 8
        path.write_bytes(changed)
        with pytest.raises(OutputError, match=r"part-00000\.parquet "):
            reading(read(out))
    path.write_bytes(whole)
    assert reading(read(out))


def test_footers_of_any_length_have_their_digest(tmp_path, monkeypatch):
    monkeypatch.setattr("flowkit.output.parquet._TAIL_BYTES", 1000)
    for columns in (1, 50):
        pq.write_table(pa.table({f"column {i}": [1.0] for i in range(columns)}), tmp_path / "some.parquet")
        content = (tmp_path / "some.parquet").read_bytes()
        length = int.from_bytes(content[-8:-4], "little") + 8
        assert (length > 1000) == (columns > 1)
        with (tmp_path / "some.parquet").open("rb") as file:
            assert footer_sha256(file) == hashlib.sha256(content[-length:]).hexdigest()
        assert footer_sha256(pa.BufferReader(content)) == hashlib.sha256(content[-length:]).hexdigest()
    for other in (b"", b"PAR1", bytes(8) + b"\xff\xff\xff\xffPAR1"):
        assert footer_sha256(pa.BufferReader(other)) == hashlib.sha256(other).hexdigest()


@pytest.fixture
def copy(output, tmp_path):
    """A copy of the output, to be harmed."""
    return shutil.copytree(output, tmp_path / "copy")


def test_only_committed_parts_are_read(copy):
    assert read(copy).finished
    (copy / "commits" / "part-00000.json").unlink()
    shards = read(copy)
    assert [path.name for path in shards.paths] == ["part-00001.parquet"]
    assert len(shards) == shards.table(["pair_id"]).num_rows == len(list(shards)) == 4
    assert shards.failures().num_rows == 0
    assert not shards.finished
    assert repr(shards).endswith("preset micro, not finished, 128 pairs to do>")
    (copy / "commits" / "part-00001.json").write_text("{")
    with pytest.raises(OutputError, match=r"part-00001\.json is damaged"):
        read(copy)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("commits/part-00000.json", "pbrt-00000.json", r"pbrt-00000\.json is the record of part 0 under another name"),
        ("commits/part-00000.json", "part-00000.jsoo", "is the record of part 0 under another name"),
        ("commits/part-00001.json", "part-00003.json", "is the record of part 1 under another name"),
        ("shards/part-00000.parquet", "part-00002.parquet", r"part-00002\.parquet is in no commit record"),
        (
            "shards/part-00001.parquet",
            "part-00001.parqueu",
            "is in no commit record and not planned; remove it, or give",
        ),
        ("failures/part-00000.parquet", "part-00001.parquet", r"failures/part-00001\.parquet is in no commit record"),
    ],
)
def test_nothing_is_dropped_because_of_its_name(copy, old, new, told):
    (copy / old).rename((copy / old).with_name(new))
    with pytest.raises(OutputError, match=told):
        read(copy)


def test_a_record_that_says_less_than_was_planned_is_noticed(copy):
    rest = read_row(copy / "shards" / "part-00001.parquet", 0)
    file = put_table(copy, "shards/part-00001.parquet", rest)
    reseal(copy / "commits" / "part-00001.json", computed=1, files=[dataclasses.asdict(file)])
    with pytest.raises(OutputError, match="holds 129 of 132 planned pairs although no part is missing"):
        read(copy)


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """Two clips of one length and two shapes, so two parts with files of as many rows; a frame of each is missing."""
    folder = tmp_path_factory.mktemp("twins")
    for name, size in (("a", (16, 16)), ("b", (16, 24))):
        frame_folder(folder / "clips" / name, range(6), size=size)
        (folder / "clips" / name / "img5.png").write_bytes(b"no picture")
    extract(folder / "clips", folder / "out", preset="fast", workers=1)
    return folder / "out"


def exchange(a, b):
    data = a.read_bytes()
    a.write_bytes(b.read_bytes())
    b.write_bytes(data)


@pytest.mark.parametrize(
    "reading",
    [
        lambda shards: shards.shard(0),
        lambda shards: shards.shard(1, ["frame0"]),
        lambda shards: shards.table(["frame0"]),
        lambda shards: shards.cubes(0),
        lambda shards: list(shards.cubes()),
        lambda shards: shards[0],
        lambda shards: shards[-1],
        lambda shards: next(iter(shards)),
    ],
)
def test_whole_files_that_were_exchanged_are_not_read(twins, tmp_path, reading):
    out = shutil.copytree(twins, tmp_path / "out")
    exchange(out / "shards" / "part-00000.parquet", out / "shards" / "part-00001.parquet")
    told = (
        r"part-0000[01]\.parquet holds a shard of part [01] .*, its commit record names a shard of part [01] \(rows: 4,"
    )
    with pytest.raises(OutputError, match=told):
        reading(read(out))
    assert read(out).failures().num_rows == 2


def test_failures_that_were_exchanged_are_not_read(twins, tmp_path):
    out = shutil.copytree(twins, tmp_path / "out")
    exchange(out / "failures" / "part-00000.parquet", out / "failures" / "part-00001.parquet")
    with pytest.raises(OutputError, match=r"holds failures of part 1 .*, its commit record names failures of part 0 "):
        read(out).failures()
    assert read(out).table(["frame0"]).num_rows == 8


def test_a_whole_file_of_other_rows_parameters_or_columns_is_not_read(twins, tmp_path):
    extract(twins.parent / "clips", tmp_path / "other", preset="fast", strain="meb", workers=1)
    whole, part = read_table(twins / "shards" / "part-00000.parquet"), "shards/part-00000.parquet"
    for name in ("rows", "parameters", "columns"):
        out = shutil.copytree(twins, tmp_path / name)
        if name == "rows":
            write_table(whole.slice(1), out / part)
        elif name == "parameters":
            shutil.copy(tmp_path / "other" / part, out / part)
        else:
            write_table(whole.drop_columns("cube"), out / part)
        with pytest.raises(OutputError, match=r"its commit record names a shard of part 0 \(rows: 4, "):
            read(out)[0]


def test_an_output_of_version_1_names_its_parts_otherwise():
    out = Path(__file__).parents[1] / "golden" / "0.1"
    assert len(list(read(out))) == 3
    assert read(out).failures().num_rows == 1


def test_hidden_files_and_lost_empty_folders_do_not_matter(half_output, tmp_path):
    out = shutil.copytree(half_output, tmp_path / "out")
    (out / "failures").rmdir()
    (out / "shards" / ".DS_Store").touch()
    assert read(out).finished
    assert read(out).failures().num_rows == 0


def test_a_set_is_told_in_one_short_line(output, half_output):
    assert repr(read(output)) == (
        f"<ShardSet {str(output)!r}: 131 pairs in 2 shards, cubes (3, 32, 32) float32, preset micro, finished>"
    )
    assert "3 pairs in 1 shard, cubes (3, 32, 32) float16, " in repr(read(half_output))


def test_a_set_is_a_sequence_of_rows(output):
    shards = read(output)
    labels = shards.table([name for name in shard_schema(32, 32).names if name != "cube"]).to_pylist()
    cubes = np.concatenate(list(shards.cubes()))
    rows = list(shards)
    assert len(rows) == 131
    for i in (0, 31, 32, 126, 127, 130, -1, -131):
        for row in (shards[i], rows[i]):
            np.testing.assert_array_equal(row.pop("cube"), cubes[i])
            assert row == labels[i]
            row["cube"] = cubes[i]
    assert not next(iter(shards))["cube"].flags.owndata
    assert not shards[np.int64(5)]["cube"].flags.writeable
    for outside in (131, -132):
        with pytest.raises(IndexError, match=f"pair {outside}: .* has 131, numbered from 0"):
            shards[outside]
    for some in (slice(1, 3), slice(120, 129), slice(-2, None), slice(None, None, -50), slice(5, 5), slice(200, 300)):
        chosen, expected = shards[some], rows[some]
        assert len(chosen) == len(expected)
        for row, same in zip(chosen, expected, strict=True):
            np.testing.assert_array_equal(row.pop("cube"), same["cube"])
            assert row == {name: value for name, value in same.items() if name != "cube"}


def test_what_its_shards_are_is_found_once(tmp_path, monkeypatch):
    """And not once for each shard that is read, which takes minutes where there are 10,000."""
    for i in range(5):
        frame_folder(tmp_path / "clips" / str(i), range(3), size=(16, 16 + 2 * i))
    extract(tmp_path / "clips", tmp_path / "out", preset="fast", workers=1)
    shards, looked = read(tmp_path / "out"), []
    of_record = flowkit.output.shard.expected_of
    monkeypatch.setattr("flowkit.output.shard.expected_of", lambda *record: looked.append(record) or of_record(*record))
    assert len(list(shards)) == len(shards) == 10
    assert [row["frame0"] for row in shards[3:7]] == [shards[i]["frame0"] for i in range(3, 7)] == [1, 0, 1, 0]
    assert len(list(shards.cubes())) == len(shards.paths) == 5
    assert len(looked) == 5


def test_cubes_of_several_shapes_make_no_table(tmp_path):
    for name, size in (("a", (32, 32)), ("b", (32, 48))):
        frame_folder(tmp_path / "clips" / name, range(3), size=size)
    extract(tmp_path / "clips", tmp_path / "out", workers=1)
    shards = read(tmp_path / "out")
    assert "cubes of 2 shapes" in repr(shards)
    assert [row["cube"].shape for row in shards] == 2 * [(3, 32, 32)] + 2 * [(3, 32, 48)]
    assert [cubes.shape for cubes in shards.cubes()] == [(2, 3, 32, 32), (2, 3, 32, 48)]
    assert shards.table(["pair_id", "frame0"]).num_rows == 4
    with pytest.raises(InputError, match="several shapes"):
        shards.table()


def test_what_cannot_be_read_is_named(output, tmp_path):
    with pytest.raises(OutputError, match="no output of flowkit"):
        read(tmp_path)
    with pytest.raises(InputError, match="no column 'flow'; its columns are pair_id"):
        read(output).table(["flow"])
    with pytest.raises(InputError, match=r"columns='cube': give a list of names, as \['cube'\]"):
        read(output).table("cube")
    (tmp_path / "plan").mkdir()
    (tmp_path / "plan" / "run.json").write_text('{"schema_version": 99}')
    with pytest.raises(OutputError, match="schema version 99"):
        read(tmp_path)
