"""A revised manifest has all that the old one had, and what was put beside it."""

import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flowkit.datasets import read_manifest, unused_columns
from flowkit.datasets.revision import Revision
from flowkit.errors import InputError
from tests.clips import dataset


@pytest.fixture
def folder(tmp_path):
    dataset(tmp_path, clips=2, frames=3, size=(8, 8))
    return tmp_path


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_columns_of_the_user_stay_and_new_ones_come_behind(folder, suffix):
    revision = Revision(folder / "manifest.csv")
    revision.put("apex", [1, None])
    revision.put("rated by", ["Ann", None])
    revision.put("apex_confidence", [0.25, None])
    revision.write(folder / f"new{suffix}")
    again = Revision(folder / f"new{suffix}")
    assert again.column("rated by") == ["Ann", None]
    assert again.column("apex_confidence") == [0.25, None]
    assert again.column("apex") == [1, None]
    assert again.column("never there") == [None, None]
    assert [clip.onset for clip in read_manifest(folder / f"new{suffix}")] == [1, 1]
    assert unused_columns(folder / f"new{suffix}") == ["'rated by'"]


def test_types_of_parquet_stay(folder):
    table = pq.read_table(_parquet(folder)).append_column("day", pa.array([datetime.date(2026, 1, 2), None]))
    pq.write_table(table, folder / "m.parquet")
    Revision(folder / "m.parquet").write(folder / "sub" / "new.parquet")
    new = pq.read_table(folder / "sub" / "new.parquet")
    assert new["day"].to_pylist() == [datetime.date(2026, 1, 2), None]
    assert read_manifest(folder / "sub" / "new.parquet") == read_manifest(folder / "m.parquet")


def test_bytes_of_ones_own_are_texts_in_a_csv(folder):
    table = pq.read_table(_parquet(folder))
    pq.write_table(table.append_column("mine", pa.array(["é".encode(), None])), folder / "m.parquet")
    Revision(folder / "m.parquet").write(folder / "new.csv")
    assert Revision(folder / "new.csv").column("mine") == ["é", None]
    pq.write_table(table.append_column("mine", pa.array([None, b"\xe9"])), folder / "m.parquet")
    Revision(folder / "m.parquet").write(folder / "new.parquet")
    with pytest.raises(InputError, match=r"the manifest's row 2: mine=b'\\xe9' is not UTF-8; store the column as text"):
        Revision(folder / "m.parquet").write(folder / "new.csv")


def _parquet(folder):
    Revision(folder / "manifest.csv").write(folder / "m.parquet")
    return folder / "m.parquet"


def test_a_column_of_ours_that_is_spoiled_is_said(folder):
    revision = Revision(folder / "manifest.csv")
    revision.put("apex_confidence", [0.5, 1.0])
    revision.write(folder / "new.csv")
    (folder / "new.csv").write_text((folder / "new.csv").read_text().replace("0.5", "high"))
    with pytest.raises(InputError, match=r"column 'apex_confidence' cannot be read .*correct or remove the column"):
        Revision(folder / "new.csv")
    with pytest.raises(InputError, match="column 'apex' has 1 values for 2 clips"):
        revision.put("apex", [1])


def test_commas_in_a_header_of_semicolons_separate_nothing(folder):
    (folder / "m.csv").write_text("clip_id;source;apex;note (a,b,c,d,e)\na;sub01;2;x,y\n")
    assert unused_columns(folder / "m.csv") == ["'note (a,b,c,d,e)'"]
    assert Revision(folder / "m.csv").column("note (a,b,c,d,e)") == ["x,y"]
