"""The plan of an output: `plan/run.json`, what made it, and `plan/pairs.parquet`, every planned pair."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from flowkit.errors import Interrupted, OutputError
from flowkit.output.parquet import read_table
from flowkit.output.record import damaged, read_record
from flowkit.output.store import Place
from flowkit.types import fingerprint

SCHEMA_VERSION = 3
"""Of an output. Version 1, of flowkit 0.1, calls a part a unit and has no survey; version 2, of flowkit 0.2, has fewer
columns in its shards. Both are read and verified, but not continued."""
READABLE_VERSIONS = (1, 2, SCHEMA_VERSION)

RUN_FILE = "plan/run.json"
PAIRS_FILE = "plan/pairs.parquet"
_REMEDY = "bring back an undamaged copy of it, or extract again into another -o, or let flowkit repair make it anew"

PLAN_SCHEMA = pa.schema(
    [
        pa.field("pair_id", pa.string(), nullable=False),
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        pa.field("frame0", pa.int64()),
        pa.field("frame1", pa.int64()),
        pa.field("frames0", pa.list_(pa.int64())),
        pa.field("frames1", pa.list_(pa.int64())),
        pa.field("part", pa.int32(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("frame_base", pa.int64(), nullable=False),
    ]
)
"""Columns of plan/pairs.parquet; the last two say where the frames were when the plan was made, for pictures."""
PLANNED = PLAN_SCHEMA.names[:-2]


SURVEY_FILE = "plan/survey.parquet"
SURVEY_SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("identity", pa.string(), nullable=False),
        pa.field("frames", pa.int64()),
        pa.field("first", pa.int64()),
        pa.field("last", pa.int64()),
        pa.field("height", pa.int32()),
        pa.field("width", pa.int32()),
        pa.field("fps", pa.float64()),
        pa.field("rate", pa.string()),
        pa.field("pixel_aspect", pa.string()),
        pa.field("decoder", pa.string()),
        pa.field("error", pa.string()),
    ]
)
"""Columns of plan/survey.parquet: what was found where the frames of each clip are, when the plan was made."""


def read_run(out: Place) -> dict[str, Any]:
    """`run.json` of an output, without its checksum.

    Raises:
        OutputError: if it is missing, damaged or of a later schema version.
    """
    path = out / RUN_FILE
    try:
        run, has_checksum = read_record(path, _REMEDY)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise OutputError(f"{str(out)!r} is no output of flowkit extract: it has no {RUN_FILE}") from error
    version = run.get("schema_version")
    if version not in READABLE_VERSIONS:
        if not isinstance(version, int):
            raise damaged(path, f"schema_version is {version!r}", _REMEDY)
        raise OutputError(
            f"{str(out)!r} has shards of schema version {version}, this flowkit reads "
            f"{', '.join(map(str, READABLE_VERSIONS[:-1]))} and {READABLE_VERSIONS[-1]}; use the flowkit that wrote it"
        )
    if version > 1 and not has_checksum:
        raise damaged(path, "its SHA-256 is missing", _REMEDY)
    if version == 1:
        _require_version_1(path, run)
    return run


def require_plan(out: Place, sha256: str) -> None:
    """Raises Interrupted where the pairs of OUT's plan are no longer those of this checksum."""
    if read_run(out)["plan"]["sha256"] != sha256:
        raise Interrupted(
            f"another run has put clips behind the plan of {str(out)!r}; run the same command again to continue"
        )


def _require_version_1(path: Place, run: dict[str, Any]) -> None:
    """Version 1 has no checksum of its own: that all is there, and that the parameters have their hash, is checked."""
    expected = {
        "parameters": dict,
        "parameters_hash": str,
        "preset": str,
        "manifest_fingerprint": str,
        "versions": dict,
        "plan": dict,
    }
    plan = {"pairs": int, "units": int, "sha256": str}
    for values, kinds in ((run, expected), (run.get("plan"), plan)):
        for name, kind in kinds.items():
            if not isinstance(values, dict) or not isinstance(values.get(name), kind):
                raise damaged(path, f"{name} is missing", _REMEDY)
    if fingerprint(run["parameters"]) != run["parameters_hash"]:
        raise damaged(path, "its parameters do not have its parameters_hash", _REMEDY)


def planned_parts(run: dict[str, Any]) -> int:
    """How many parts an output of this `run.json` has once it is finished."""
    parts: int = run["plan"]["units" if run["schema_version"] == 1 else "parts"]
    return parts


def read_survey(out: Place) -> pa.Table:
    """plan/survey.parquet of an output, columns `SURVEY_SCHEMA`; an OutputError if it is missing or damaged."""
    table = read_table(out / SURVEY_FILE)
    # Pages have checksums, the footer with the names and types of the columns has none.
    if (table.schema.names, table.schema.types) != (SURVEY_SCHEMA.names, SURVEY_SCHEMA.types):
        raise OutputError(f"{out / SURVEY_FILE} is damaged: its columns are others than a survey has")
    return table


def read_plan(out: Place) -> pa.Table:
    """plan/pairs.parquet of an output, columns `PLAN_SCHEMA`; an OutputError if it is missing or damaged.

    Where retries have mended clips, its metadata says which (`METADATA_KEY`), as `run.json` does under `plan`.
    """
    table = read_table(out / PAIRS_FILE)
    metadata = table.schema.metadata
    table = table.rename_columns(["part" if name == "unit" else name for name in table.column_names])
    table = table.replace_schema_metadata(metadata)
    # As in `read_survey`; earlier versions have not all of the columns.
    planned = dict(zip(PLAN_SCHEMA.names, PLAN_SCHEMA.types, strict=True))
    if any(planned.get(field.name) != field.type for field in table.schema):
        raise OutputError(
            f"{out / PAIRS_FILE} is damaged: its columns are others than a plan has; flowkit repair {out} makes it anew"
        )
    return table
