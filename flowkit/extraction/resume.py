"""The plan and the survey in an output: written into a new one, compared with those of an older one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from flowkit.errors import Interrupted, OutputError
from flowkit.extraction.mend import Retry, mended_plans, trim_commits
from flowkit.extraction.plan import Part
from flowkit.extraction.request import DECIDING, ExtractRequest
from flowkit.faces.finding import parse_face
from flowkit.frames.survey import Survey
from flowkit.output.commit import finished
from flowkit.output.files import is_as_written
from flowkit.output.parquet import METADATA_KEY, read_table
from flowkit.output.plan_file import (
    PAIRS_FILE,
    PLAN_SCHEMA,
    PLANNED,
    RUN_FILE,
    SCHEMA_VERSION,
    SURVEY_FILE,
    SURVEY_SCHEMA,
    planned_parts,
    read_plan,
    read_run,
    read_survey,
)
from flowkit.output.shard import expected_of
from flowkit.output.store import Place
from flowkit.output.writer import mark_several, plain_digest, write_plan

_RATES = {True: "variable", False: "constant", None: None}
_COMPARED = PLANNED[1:]
"""Without pair_id, which follows from the others and takes longer to make than all of them."""

Change = dict[str, Any]
"""What is no longer as it was when the plan was made: {"what", "then", "now"}, of a clip with the survey's "column"."""


@dataclass(frozen=True, slots=True)
class Continued:
    """How a plan made anew goes on with that of an output."""

    run: dict[str, Any]
    """`run.json` as it is there."""
    plans: list[list[Part]]
    """The last is the output's plan; those before it as in `mended_plans`."""
    mended: list[Retry]
    """Each retry that has mended clips, this one among them."""
    replaces: bool
    """Whether the output's pairs are still those of the plan before the last."""
    changes: list[Change]


def settle_plan(
    out: Place,
    parts: Sequence[Part],
    surveys: Mapping[str, Survey],
    request: ExtractRequest,
    metadata: dict[str, Any],
    origin: dict[str, Any] | None = None,
    *,
    accept_changes: bool = False,
    retry_failed: bool = False,
    alone: bool = True,
) -> tuple[list[Part], str]:
    """Writes plan and survey into a new output, or makes sure that an older one was planned alike, from the same
    frames and with the same decoders.

    Args:
        parts: of these clips, as if OUT were new.
        origin: where clips and boxes came from, which `run.json` of a new output records.
        accept_changes: go on with changed frames or decoders, and record that in `run.json`.
        retry_failed: changes of clips with failed pairs are accepted, since mending those is what a retry is for, but
            not that a clip cannot be opened or read any more; the pairs of clips that could not be then, or whose face
            was not found, and can be now, go behind the plan where it does not fit them.
        alone: no other run can be writing to OUT. One that is at parts of a plan that is replaced here commits none of
            them, and from now on touches no file of another's.

    Returns:
        The parts of OUT's plan, and the SHA-256 of its pairs.

    Raises:
        OutputError: naming what differs, if OUT was made with other parameters, another manifest or other frames.
        Interrupted: if OUT cannot be written.
    """
    while not (out / RUN_FILE).exists():
        tables = plan_tables(parts, surveys)
        run = metadata | {"origin": origin or {}, "plan": {"pairs": tables[PAIRS_FILE].num_rows, "parts": len(parts)}}
        if write_plan(out, tables, run, new=True):  # else another run has been faster, and has perhaps planned the same
            return [*parts], read_run(out)["plan"]["sha256"]
    how = {"accept_changes": accept_changes, "retry_failed": retry_failed}
    found = compare_plan(out, parts, surveys, request, metadata, **how)
    if found.changes or found.replaces:
        tables = {SURVEY_FILE: survey_table(surveys)}
        run = found.run | {"versions": metadata["versions"]}
        run["accepted_changes"] = [*run.get("accepted_changes", []), *found.changes]
        if found.replaces:
            tables = plan_tables(found.plans[-1], surveys, found.mended)
            counts = {"pairs": tables[PAIRS_FILE].num_rows, "parts": len(found.plans[-1])}
            run["plan"] = run["plan"] | counts | retries_recorded(found.mended)
            if not alone:
                mark_several(out)
        write_plan(out, tables, run, mended=found.replaces)
    trim_commits(out, found.plans)
    return found.plans[-1], plain_digest(tables[PAIRS_FILE]) if found.replaces else found.run["plan"]["sha256"]


def compare_plan(
    out: Place,
    parts: Sequence[Part],
    surveys: Mapping[str, Survey],
    request: ExtractRequest,
    metadata: dict[str, Any],
    *,
    accept_changes: bool = False,
    retry_failed: bool = False,
) -> Continued:
    """What `settle_plan` finds in an output that has a plan; arguments and errors are the same, nothing is written."""
    run, surveyed = read_run(out), survey_table(surveys)
    _require_same_request(out, run, metadata)
    mendable = mendable_clips(out, run, surveyed)
    plans, mended, replaces = _same_pairs(out, run, parts, surveyed, request, mendable, retry_failed)
    changes = [*changed_versions(run, metadata), *_changed_clips(out, run, surveyed)]
    if not accept_changes:
        accepted: set[str] = set()
        if retry_failed:
            now_mended = {*mendable, *(mended[-1] if replaces else ())}
            accepted = {*_clips_with_failures(out), *now_mended, SURVEY_FILE} - _gone_clips(out, run, surveyed)
        _refuse(out, changes, accepted)
    return Continued(run, plans, mended, replaces, changes)


def parts_planned_alike(out: Place, surveys: Mapping[str, Survey], metadata: dict[str, Any]) -> int | None:
    """How many parts OUT's plan has, if it is whole and was made of just this, so that making it again would only give
    the same; None otherwise.
    """
    if not (out / RUN_FILE).exists():
        return None
    run = read_run(out)
    same_request = all(run.get(name) == value for name, value in metadata.items())
    if not same_request or "mended" in run["plan"] or not is_as_written(out / PAIRS_FILE, run["plan"]["sha256"]):
        return None
    return None if any(_changed_clips(out, run, survey_table(surveys))) else planned_parts(run)


def require_settled(out: Place) -> None:
    """Raises Interrupted where another run has written its plan between this one's tables and `run.json`."""
    plan = read_run(out)["plan"]
    for name, checksum in ((PAIRS_FILE, plan["sha256"]), (SURVEY_FILE, plan["survey_sha256"])):
        if not is_as_written(out / name, checksum):
            raise Interrupted(
                f"{name} of {str(out)!r} is not the one of its {RUN_FILE}, perhaps because another run has planned at "
                f"the same moment; run flowkit repair {out}, and then the same command again"
            )


def plan_tables(
    parts: Sequence[Part], surveys: Mapping[str, Survey], mended: Sequence[Retry] = ()
) -> dict[str, pa.Table]:
    """The tables of a plan, by their names relative to OUT; that of the pairs says which retries have mended clips."""
    pairs = _with_ids(_plan_table(parts), parts)
    if mended:
        pairs = pairs.replace_schema_metadata({METADATA_KEY: json.dumps(retries_recorded(mended))})
    return {PAIRS_FILE: pairs, SURVEY_FILE: survey_table(surveys)}


def _with_ids(pairs: pa.Table, parts: Sequence[Part]) -> pa.Table:
    field = PLAN_SCHEMA.field("pair_id")
    return pairs.add_column(0, field, pa.array([pair.pair_id for part in parts for pair in part.pairs], field.type))


def _clips_with_failures(out: Place) -> set[str]:
    # Of sound parts: one that is damaged is computed again in any case.
    found: set[str] = set()
    for commit in finished(out).values():
        if file := commit.file("failures"):
            with suppress(OutputError):
                found |= {*read_table(out / file.name, ["clip_id"], expected_of(commit, file))["clip_id"].to_pylist()}
    return found


def _refuse(out: Place, changes: Sequence[Change], accepted: set[str]) -> None:
    refused = [change for change in changes if change["what"] not in accepted]
    if refused:
        others = f" (and {len(refused) - 1} more changes)" if len(refused) > 1 else ""
        retry = "" if accepted else " (--retry-failed, where failed pairs were mended)"
        raise OutputError(
            f"{str(out)!r} was begun with something else: {_told(refused[0])}{others}; bring that back, give another "
            f"-o, or go on with --accept-changes, which is recorded{retry}"
        )


def _require_same_request(out: Place, run: dict[str, Any], metadata: dict[str, Any]) -> None:
    if run["schema_version"] != SCHEMA_VERSION:
        raise OutputError(
            f"{str(out)!r} was written by flowkit {run['versions']['flowkit']}, whose outputs this one reads but does "
            "not continue; give another -o"
        )
    if difference := first_difference(run["parameters"], metadata["parameters"]):
        name, there, here = difference
        raise OutputError(
            f"{str(out)!r} was made with {name}={there!r}, this run asks for {name}={here!r}; give another -o"
        )
    if run["manifest_fingerprint"] != metadata["manifest_fingerprint"]:
        raise OutputError(
            f"{str(out)!r} was made from another manifest (fingerprint {run['manifest_fingerprint'][:12]}, this one "
            f"has {metadata['manifest_fingerprint'][:12]}); give another -o"
        )


def _same_pairs(
    out: Place,
    run: dict[str, Any],
    parts: Sequence[Part],
    surveyed: pa.Table,
    request: ExtractRequest,
    mendable: Retry,
    retry_failed: bool,
) -> tuple[list[list[Part]], list[Retry], bool]:
    """The first three of `Continued`; an OutputError if OUT has other pairs."""
    # Frames that were moved as a whole are still the same frames.
    there = read_plan(out).select(_COMPARED)
    mended = recorded_retries(run)
    plans = mended_plans(parts, request, mended)
    if there.equals(here := _plan_table(plans[-1]).select(_COMPARED)):
        return plans, mended, False
    hint = ""
    for faceless in _perhaps_faceless(out, run, surveyed, request, there):
        mended = _with_this(out, run, {**mendable, **faceless})
        plans = mended_plans(parts, request, mended)
        if len(plans) < 2 or not there.equals(_plan_table(plans[-2]).select(_COMPARED)):
            continue
        if retry_failed:
            return plans, mended, True
        clip_id, was_opened = next(iter(mended[-1].items()))
        what = "had no face" if clip_id in faceless else f"could not be {'read' if was_opened else 'opened'}"
        hint = f"; clip {clip_id!r} {what} then, and --retry-failed mends that"
        break
    raise OutputError(
        f"{str(out)!r} was planned from other frames ({_first_change(there, here)}); "
        f"bring the frames back, or give another -o{hint}"
    )


def recorded_retries(run: dict[str, Any]) -> list[Retry]:
    """The retries that `run.json` says have mended clips."""
    mended = run.get("plan", {}).get("mended", [])
    unread = run.get("plan", {}).get("unread", [[]] * len(mended))
    return [{clip_id: clip_id in read for clip_id in all_} for all_, read in zip(mended, unread, strict=True)]


def retries_recorded(mended: Sequence[Retry]) -> dict[str, list[list[str]]]:
    """What `run.json` says of retries; `unread` only where there is such a clip."""
    unread = [[clip_id for clip_id, opened in retry.items() if opened] for retry in mended]
    return {"mended": [[*retry] for retry in mended]} | ({"unread": unread} if any(unread) else {})


def _with_this(out: Place, run: dict[str, Any], mendable: Retry) -> list[Retry]:
    """The retries that `run.json` has, and with them this one, which mends these clips."""
    mended = recorded_retries(run)
    if mended and not is_as_written(out / PAIRS_FILE, run["plan"]["sha256"]):
        # A run that was killed while it mended the plan has left the earlier pairs with the later run.json.
        return [*mended[:-1], {**mended[-1], **mendable}]
    return [*mended, mendable] if mendable else mended


def mendable_clips(out: Place, run: dict[str, Any], here: pa.Table) -> Retry:
    """The clips that could not be opened or read when the plan was made, and can be now, by the survey of then."""
    return {
        now["clip_id"]: bool(then["identity"])
        for then, now in _changed_rows(out, run, here)
        if (now["identity"] and not then["identity"]) or (now["height"] and not then["height"])
    }


def _gone_clips(out: Place, run: dict[str, Any], here: pa.Table) -> set[str]:
    """The clips that could be opened or read when the plan was made, and cannot be now."""
    return {
        now["clip_id"]
        for then, now in _changed_rows(out, run, here)
        if (then["identity"] and not now["identity"]) or (then["height"] and not now["height"])
    }


def _perhaps_faceless(
    out: Place, run: dict[str, Any], here: pa.Table, request: ExtractRequest, there: pa.Table
) -> Iterator[Retry]:
    """None, and the clips that could be read, have changed and have no computed pair, as one without a face has not.

    Whether they had none is seen by the plan (`there`), in which the size of their cubes was not known then.
    """
    yield {}
    if not parse_face(request.face).watches:
        return
    found = {now["clip_id"] for then, now in _changed_rows(out, run, here) if then["height"] and now["height"]}
    planned = there.filter(pc.is_in(there["clip_id"], pa.array(sorted(found), pa.string())))
    commits = finished(out)
    for part in planned["part"].unique().to_pylist():
        if part in commits and (file := commits[part].file("shards")):
            found -= {
                *read_table(out / file.name, ["clip_id"], expected_of(commits[part], file))["clip_id"].to_pylist()
            }
    if found:
        yield dict.fromkeys(sorted(found), True)


def _changed_rows(out: Place, run: dict[str, Any], here: pa.Table) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each clip's row of the survey then and now, where it is another now.

    A run that was killed while it mended the plan has left the survey of before: its clips are not among them.
    """
    try:
        there = read_survey(out)
    except OutputError:
        return
    if there.equals(here) or not there["clip_id"].equals(here["clip_id"]):
        return
    sound = is_as_written(out / SURVEY_FILE, run.get("plan", {}).get("survey_sha256", ""))
    done: Retry = {} if sound else dict(*recorded_retries(run)[-1:])
    for then, now in zip(there.to_pylist(), here.to_pylist(), strict=True):
        if then != now and now["clip_id"] not in done:
            yield then, now


def first_difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """(name, value there, value here) of the first parameter in which two requests' `to_dict` differ, or None."""
    flat_there, flat_here = dict(_flatten(there)), dict(_flatten(here))
    for name in [*flat_here, *flat_there]:
        if flat_there.get(name) != flat_here.get(name):
            return name, flat_there.get(name), flat_here.get(name)
    return None


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def changed_versions(run: dict[str, Any], metadata: dict[str, Any]) -> Iterator[Change]:
    """A change for each package that decodes and has another version than when the plan was made."""
    for name in DECIDING:
        then, now = run["versions"].get(name), metadata["versions"].get(name)
        if then != now:
            yield {"what": name, "then": then, "now": now}


def _changed_clips(out: Place, run: dict[str, Any], here: pa.Table) -> Iterator[Change]:
    """A change for each clip, in the plainest terms: its error, size, rate or decoder, else the frames themselves."""
    # A run that was killed while it recorded a change has left a survey that is not the one of run.json.
    there = read_survey(out) if is_as_written(out / SURVEY_FILE, run["plan"]["survey_sha256"]) else None
    if there is None:
        yield {"what": SURVEY_FILE, "then": "as it was written", "now": "not"}
        return
    if there.equals(here):
        return
    for then, now in zip(there.to_pylist(), here.to_pylist(), strict=True):
        differing = [name for name in SURVEY_SCHEMA.names if then[name] != now[name]]
        if differing:
            name = next((name for name in ("error", "height", "width", "fps", "frames") if name in differing), None)
            name = name or differing[0]
            yield {"what": now["clip_id"], "column": name, "then": then[name], "now": now[name]}


def _told(change: Change) -> str:
    if change.get("column") == "identity":
        return f"clip {change['what']} has other frames, by their names, sizes or content"
    if change.get("column") == "error":
        could, can = ("could not", "can") if change["then"] else ("could", "cannot")
        return f"clip {change['what']} {could} be read then, and {can} be now"
    what = f"clip {change['what']}: {change['column']}" if "column" in change else change["what"]
    return f"{what} was {change['then']} and is {change['now']}"


def _first_change(there: pa.Table, here: pa.Table) -> str:
    for old, new in zip(there.to_pylist(), here.to_pylist(), strict=False):
        if old != new:
            name = next(name for name in _COMPARED if old[name] != new[name])
            return f"clip {new['clip_id']}: {name} {old[name]} then, {new[name]} now"
    return f"{there.num_rows} pairs then, {here.num_rows} now"


def _plan_table(parts: Sequence[Part]) -> pa.Table:
    """The plan but for its first column, pair_id."""
    pairs = [pair for part in parts for pair in part.pairs]
    clips = [pair.clip for pair in pairs]
    return _table(
        [
            [clip.clip_id for clip in clips],
            [pair.role for pair in pairs],
            [pair.frame0 for pair in pairs],
            [pair.frame1 for pair in pairs],
            [pair.frames0 for pair in pairs],
            [pair.frames1 for pair in pairs],
            [part.number for part in parts for _ in part.pairs],
            [clip.source for clip in clips],
            [clip.frame_base for clip in clips],
        ],
        pa.schema(list(PLAN_SCHEMA)[1:]),
    )


def survey_table(surveys: Mapping[str, Survey]) -> pa.Table:
    """The survey of each clip, columns `SURVEY_SCHEMA`."""
    # Clips of one source share one survey, and so one row here.
    different = {id(found): found for found in surveys.values()}
    row = {key: i for i, key in enumerate(different)}
    rows = _table([*zip(*map(_survey_row, different.values()), strict=True)], pa.schema(list(SURVEY_SCHEMA)[1:]))
    clip_ids, of = pa.array(list(surveys), pa.string()), pa.array([row[id(found)] for found in surveys.values()])
    return pa.Table.from_arrays([clip_ids, *rows.take(of).columns], schema=SURVEY_SCHEMA)


def _survey_row(found: Survey) -> tuple[Any, ...]:
    source, (height, width) = found.source, found.frame_size or (None, None)
    about = (len(source.numbers()), source.first, source.last) if source else (None, None, None)
    rate = (source.fps, _RATES[source.variable]) if source else (None, None)
    aspect = source.pixel_aspect if source else None
    shape = f"{aspect.numerator}:{aspect.denominator}" if aspect else None
    # The text of an error has the path in it, which a move changes.
    error = None if found.error is None else "cannot be read"
    return (found.identity, *about, height, width, *rate, shape, source.decoder if source else None, error)


def _table(columns: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.Table:
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
