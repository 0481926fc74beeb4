"""`run.json` made anew: from what the shards say of their run, and what the tables of the plan hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa

from flowkit.errors import OutputError
from flowkit.output.commit import FileRecord, recorded
from flowkit.output.files import is_as_written, sha256_of
from flowkit.output.parquet import METADATA_KEY, read_schema, read_table
from flowkit.output.plan_file import PAIRS_FILE, RUN_FILE, SURVEY_FILE, read_plan, read_survey
from flowkit.output.shard import expected_of
from flowkit.output.store import Place
from flowkit.types import Clip


def run_of_shards(out: Place) -> dict[str, Any]:
    """What the sound files of an output say of the run that made them: `run.json` but for the plan."""
    for _, commit in sorted(recorded(out).items(), reverse=True):
        for file in commit.files:
            if (said := _said(out, file)) and said["parameters_hash"] == commit.parameters_hash:
                return {name: value for name, value in said.items() if name not in ("part", "decoders", "worker")}
    raise OutputError(
        f"{out / RUN_FILE} is damaged and no part is sound that would say what was in it; extract into another -o"
    )


def plan_of_tables(out: Place, clips: Sequence[Clip]) -> dict[str, Any]:
    """What `run.json` says under `plan`, as far as a table can be read and is that of the output: the pairs have all
    that is computed, in the parts that have it; the survey has these clips.
    """
    plan: dict[str, Any] = {}
    with suppress(OutputError, ValueError):
        pairs = read_plan(out)
        parts = _parts(pairs)
        if [*parts] == [*range(len(parts))] and _has_computed(out, parts):
            plan = {"pairs": pairs.num_rows, "parts": len(parts), "sha256": sha256_of(out / PAIRS_FILE)}
            plan |= json.loads((pairs.schema.metadata or {}).get(METADATA_KEY, b"{}"))
    with suppress(OutputError):
        if read_survey(out)["clip_id"].to_pylist() == [clip.clip_id for clip in clips]:
            plan["survey_sha256"] = sha256_of(out / SURVEY_FILE)
    return plan


def _parts(pairs: pa.Table) -> dict[int, set[str]]:
    """The pair ids of each planned part."""
    parts: dict[int, set[str]] = {}
    for pair_id, part in zip(pairs["pair_id"].to_pylist(), pairs["part"].to_pylist(), strict=True):
        parts.setdefault(part, set()).add(pair_id)
    return parts


def _has_computed(out: Place, parts: dict[int, set[str]]) -> bool:
    """Whether every pair in a shard that can be read is planned in the shard's part."""
    for commit in recorded(out).values():
        if file := commit.file("shards"):
            with suppress(OutputError, ValueError):  # it is damaged, and proves nothing
                shard = read_table(out / file.name, ["pair_id"], expected_of(commit, file))
                if not {*shard["pair_id"].to_pylist()} <= parts.get(commit.part, set()):
                    return False
    return True


def _said(out: Place, file: FileRecord) -> dict[str, Any] | None:
    if not is_as_written(out / file.name, file.sha256):
        return None
    said: dict[str, Any] = json.loads(read_schema(out / file.name).metadata[METADATA_KEY])
    return said
