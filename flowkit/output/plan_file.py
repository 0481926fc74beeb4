"""The plan of an output: `plan/run.json`, what made it, and `plan/pairs.parquet`, every planned pair."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from flowkit.errors import OutputError
from flowkit.output.parquet import read_table

SCHEMA_VERSION = 2
"""Of an output. Version 1, of flowkit 0.1, calls a part a unit and has no survey: it is read and verified, but not
continued."""
READABLE_VERSIONS = (1, SCHEMA_VERSION)

RUN_FILE = "plan/run.json"
PAIRS_FILE = "plan/pairs.parquet"

PLAN_SCHEMA = pa.schema(
    [
        pa.field("pair_id", pa.string(), nullable=False),
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        pa.field("frame0", pa.int64()),
        pa.field("frame1", pa.int64()),
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


def read_run(out: Path) -> dict[str, Any]:
    """`run.json` of an output; an OutputError if it is missing, damaged or of a later schema version."""
    path = out / RUN_FILE
    try:
        run: dict[str, Any] = json.loads(path.read_text())
        version = run["schema_version"]
    except FileNotFoundError as error:
        raise OutputError(f"{str(out)!r} is no output of flowkit extract: it has no {RUN_FILE}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{path} is damaged ({error!r}); extract again into another -o") from error
    if version not in READABLE_VERSIONS:
        raise OutputError(
            f"{str(out)!r} has shards of schema version {version}, this flowkit reads "
            f"{' and '.join(map(str, READABLE_VERSIONS))}; use the flowkit that wrote it"
        )
    return run


def read_survey(out: Path) -> pa.Table:
    """plan/survey.parquet of an output, columns `SURVEY_SCHEMA`; an OutputError if it is missing or damaged."""
    return read_table(out / SURVEY_FILE)


def read_plan(out: Path) -> pa.Table:
    """plan/pairs.parquet of an output, columns `PLAN_SCHEMA`; an OutputError if it is missing or damaged."""
    table = read_table(out / PAIRS_FILE)
    return table.rename_columns(["part" if name == "unit" else name for name in table.column_names])
