"""Outputs of schema version 1, of flowkit 0.1, are read and verified; extraction does not continue them."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flowkit.errors import OutputError
from flowkit.extraction.run import extract
from flowkit.output.parquet import METADATA_KEY
from flowkit.output.plan_file import PLAN_SCHEMA, SCHEMA_VERSION, SURVEY_SCHEMA, read_plan, read_run, read_survey
from flowkit.output.record import read_record
from flowkit.output.shard import read
from flowkit.output.verify import verify
from flowkit.output.writer import write_table
from tests.clips import dataset
from tests.damage import flip_a_bit, rename_a_column, reseal, without_checksum

OPTIONS = {"pairs": "lag:1", "size": 16, "workers": 1}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Two clips of 158 pairs, of which two cannot be computed."""
    folder = tmp_path_factory.mktemp("clips")
    made = dataset(folder, clips=2, frames=80)
    (folder / "sub01" / "img9.png").unlink()
    return made


@pytest.fixture(scope="module")
def made(clips, tmp_path_factory) -> Path:
    """An extraction of them, to be copied."""
    out = tmp_path_factory.mktemp("made") / "out"
    extract(clips, out, **OPTIONS)
    return out


@pytest.fixture
def outputs(made, tmp_path) -> tuple[Path, Path]:
    """The same extraction as this flowkit writes it, and as version 1 did."""
    new, old = (shutil.copytree(made, tmp_path / name) for name in ("new", "old"))
    make_version_1(old)
    return new, old


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def with_unit(values: dict) -> dict:
    """The same values with "unit" where "part" stands."""
    return {"unit" if name == "part" else name: value for name, value in values.items()}


def make_version_1(out: Path) -> None:
    """Rewrites an output as flowkit 0.1 wrote it: a part is a "unit" in plan, records and files; there is no survey."""
    (out / "plan" / "survey.parquet").unlink()
    pairs = out / "plan" / "pairs.parquet"
    table = pq.read_table(pairs)
    table = table.rename_columns(["unit" if name == "part" else name for name in table.column_names])
    pq.write_table(table, pairs, write_page_checksum=True)
    run = json.loads((out / "plan" / "run.json").read_text())
    plan = {"pairs": table.num_rows, "units": run["plan"]["parts"], "sha256": sha256(pairs)}
    without_checksum(out / "plan" / "run.json", schema_version=1, plan=plan)
    for path in (out / "commits").iterdir():
        record = with_unit(read_record(path, "")[0])
        for file in record["files"]:
            rewrite_file(out / file["name"])
            file |= {"sha256": sha256(out / file["name"]), "bytes": (out / file["name"]).stat().st_size}
            del file["footer_sha256"]
        path.write_text(json.dumps(record))


def rewrite_file(path: Path) -> None:
    """A shard or file of failures with the metadata of version 1."""
    table = pq.read_table(path)
    metadata = with_unit(json.loads(table.schema.metadata[METADATA_KEY])) | {"schema_version": 1}
    metadata.pop("worker", None)
    write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(metadata).encode()}), path)


def test_version_1_reads_as_the_same_output(outputs):
    new, old = map(read, outputs)
    assert (new.metadata["schema_version"], old.metadata["schema_version"]) == (SCHEMA_VERSION, 1)
    assert len(old) == len(new) == 156
    assert [commit.part for commit in old.commits] == [0, 1]
    assert [path.name for path in old.paths] == [path.name for path in new.paths]
    names = ["pair_id", "clip_id", "frame0", "frame1", "emotion3", "iterations"]
    assert old.table(names).equals(new.table(names))
    assert old.failures().equals(new.failures())
    for cubes, same in zip(new.cubes(), old.cubes(), strict=True):
        np.testing.assert_array_equal(same, cubes)
    assert read_plan(old.folder).equals(read_plan(new.folder))


def test_version_1_is_verified(outputs):
    new, old = map(verify, outputs)
    assert (old.ok, str(old)) == (True, str(new))
    assert str(old).startswith("OK: 158 pairs planned, 156 computed, 2 failed, 2 shards")


def test_harm_to_version_1_is_found(outputs):
    _, old = outputs
    shard = old / "shards" / "part-00001.parquet"
    flip_a_bit(shard)
    (problem,) = verify(old).problems
    assert "shards/part-00001.parquet is not as it was written" in problem


def test_version_1_is_not_continued(outputs, clips):
    _, old = outputs
    before = {path: path.read_bytes() for path in old.rglob("*") if path.is_file()}
    for options in (OPTIONS, OPTIONS | {"accept_changes": True}, OPTIONS | {"retry_failed": True}):
        with pytest.raises(OutputError) as refusal:
            extract(clips, old, **options)
        version = json.loads((old / "plan" / "run.json").read_text())["versions"]["flowkit"]
        assert str(refusal.value) == (
            f"{str(old)!r} was written by flowkit {version}, whose outputs this one reads but does not continue; "
            "give another -o"
        )
    assert {path: path.read_bytes() for path in old.rglob("*") if path.is_file()} == before


def test_plan_and_survey_have_their_columns(outputs):
    new, old = outputs
    assert read_plan(new).schema.equals(PLAN_SCHEMA)
    assert read_plan(old).schema.equals(PLAN_SCHEMA)
    table = read_survey(new)
    assert table.schema.equals(SURVEY_SCHEMA)
    assert table.select(["clip_id", "frames", "first", "last", "height", "width"]).to_pylist() == [
        {"clip_id": "toy/sub01/ep01", "frames": 79, "first": 1, "last": 80, "height": 64, "width": 64},
        {"clip_id": "toy/sub02/ep01", "frames": 80, "first": 1, "last": 80, "height": 64, "width": 64},
    ]
    with pytest.raises(OutputError, match=r"survey\.parquet"):
        read_survey(old)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"schema_version": 4}', "schema version 4, this flowkit reads 1, 2 and 3; use the flowkit that wrote it"),
        ('{"parameters": {}}', "is damaged"),
        ("[]", "is damaged"),
        ("", "is damaged"),
        (
            '{"schema_version": 2}',
            "is damaged .its SHA-256 is missing.; bring back an undamaged copy of it, or extract",
        ),
        ('{"schema_version": "two"}', "is damaged .schema_version is 'two'."),
        ('{"schema_version": 1}', "is damaged .parameters is missing."),
        ('{"schema_version": 2, "sha256": "0"}', "is damaged .its SHA-256 differs."),
        ("[" * 100000, "is damaged"),
        ('{"fps": NaN, "sha256": "0"}', "is damaged"),
    ],
)
def test_a_run_that_cannot_be_read_is_named(tmp_path, text, told):
    (tmp_path / "plan").mkdir()
    (tmp_path / "plan" / "run.json").write_text(text)
    with pytest.raises(OutputError, match=told):
        read_run(tmp_path)


def test_a_plan_that_is_no_table_is_named(outputs):
    new, _ = outputs
    (new / "plan" / "pairs.parquet").write_bytes(b"PAR1")
    with pytest.raises(OutputError, match="damaged"):
        read_plan(new)
    pq.write_table(pa.table({"pair_id": ["a"]}), new / "plan" / "pairs.parquet")
    assert not verify(new).ok


@pytest.mark.parametrize("share", [i / 30 for i in range(30)])
def test_any_flipped_bit_of_run_json_is_noticed_by_all_who_read_it(made, clips, tmp_path, share):
    out = shutil.copytree(made, tmp_path / "out")
    flip_a_bit(out / "plan" / "run.json", share, bit=1 << (int(share * 30) % 7))
    for look in (read, verify, lambda out: extract(clips, out, **OPTIONS)):
        with pytest.raises(
            OutputError, match=r"run\.json is damaged .*; bring back an undamaged copy of it, or extract"
        ):
            look(out)


@pytest.mark.parametrize(
    "name", ["parameters", "parameters_hash", "preset", "manifest_fingerprint", "versions", "plan"]
)
def test_a_value_that_version_1_lacks_is_named(outputs, name):
    _, old = outputs
    path = old / "plan" / "run.json"
    path.write_text(path.read_text().replace(f'"{name}":', f'"{name[:-1]}x":'))
    for look in (read, verify):
        with pytest.raises(OutputError, match=f"run\\.json is damaged .{name} is missing"):
            look(old)


def test_the_record_of_a_run_holds_its_checksum(outputs):
    new, _ = outputs
    values = json.loads((new / "plan" / "run.json").read_text())
    canonical = {name: value for name, value in values.items() if name != "sha256"}
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert values["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert read_run(new) == canonical
    reseal(new / "plan" / "run.json", preset="fast")
    assert read_run(new)["preset"] == "fast"


@pytest.mark.parametrize("name", ["frame0", "pair_id", "source"])
def test_a_plan_whose_column_has_another_name_now_is_damaged(made, clips, tmp_path, name):
    out = shutil.copytree(made, tmp_path / "out")
    rename_a_column(out / "plan" / "pairs.parquet", name)
    for act in (lambda: read_plan(out), lambda: extract(clips, out, **OPTIONS)):
        with pytest.raises(OutputError, match=r"pairs.parquet is damaged: .*; flowkit repair .* makes it anew"):
            act()
