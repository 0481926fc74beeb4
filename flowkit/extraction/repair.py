"""Repair: what `verify` finds damaged in an output is computed again, with the output's own parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from flowkit.datasets import clips_from
from flowkit.errors import InputError, OutputError
from flowkit.extraction.disk import cube_bytes, require_room
from flowkit.extraction.engines import crew_for, open_engine
from flowkit.extraction.engines.engine import Engine
from flowkit.extraction.engines.survey import Surveyor
from flowkit.extraction.mend import UNOPENED, mended_plans
from flowkit.extraction.part import Job
from flowkit.extraction.plan import Part, PlannedPair, make_parts, parts_as_planned, require_plannable
from flowkit.extraction.rebuild import plan_of_tables, run_of_shards
from flowkit.extraction.remaining import with_sources
from flowkit.extraction.request import ExtractRequest
from flowkit.extraction.resume import (
    changed_versions,
    first_difference,
    mendable_clips,
    plan_tables,
    recorded_retries,
    survey_table,
)
from flowkit.extraction.run import in_order, no_collection
from flowkit.extraction.tally import Report, Summary, compute, require_none_kept
from flowkit.frames.survey import Survey
from flowkit.output.claim import claimed
from flowkit.output.commit import entries, is_part_name, part_file, recorded
from flowkit.output.files import is_as_written
from flowkit.output.plan_file import (
    PAIRS_FILE,
    PLANNED,
    RUN_FILE,
    SCHEMA_VERSION,
    SURVEY_FILE,
    read_plan,
    read_run,
    read_survey,
)
from flowkit.output.store import Place, place
from flowkit.output.verify import Verification, verify
from flowkit.output.writer import plain_digest, remove_superseded, write_plan
from flowkit.types import Clip

_CHECKSUMS = {PAIRS_FILE: "sha256", SURVEY_FILE: "survey_sha256"}
_UNKNOWN = ""
"""In place of a table's checksum that was lost with run.json."""


@dataclass(slots=True)
class Repair:
    """What was mended, and what `verify` says afterwards."""

    verification: Verification
    notes: list[str] = field(default_factory=list)
    """One sentence each: what was made anew, and what that could not bring back."""
    parts: list[int] = field(default_factory=list)
    """That were computed again, or for the first time."""
    removed: list[str] = field(default_factory=list)
    """Files that belonged to no part, relative to OUT."""


def repair(
    out: str | Place,
    source: str | Place | Sequence[Clip] | None = None,
    *,
    pairs: str | None = None,
    face: str | None = None,
    landmarks: str | None = None,
    frame_base: int | None = None,
    lost_as_failures: bool = False,
    accept_changes: bool = False,
    engine: str | Engine = "local",
    ray_address: str | None = None,
    workers: int | None = None,
    batch: int | None = None,
    time_limit_s: float | None = None,
    report: Report | None = None,
) -> Repair:
    """Computes again what is damaged in an output, and what is missing, and verifies it.

    Only the clips of those parts are opened. Plan, survey and `run.json` are made anew from the manifest where they are
    damaged, `run.json` with what the shards and the tables of the plan say.

    Args:
        source: the manifest or whatever OUT was extracted from; None for where run.json says that it was.
        pairs, face, landmarks, frame_base: as for `extract`, where they name files that are elsewhere now; None for
            what run.json says.
        lost_as_failures: pairs of damaged parts whose frames are gone, are others now or cannot be decoded any more
            become failure rows; else a part that would lose a computed pair keeps what it has.
        accept_changes: go on although decoders have other versions, or a table of the plan cannot be proved to be the
            old one; `run.json` records it.
        engine, ray_address, workers, batch, time_limit_s, report: as for `extract`.

    Raises:
        InputError, OutputError: if clips, boxes or parameters are not those of OUT, or frames are gone; at the end, if
            parts have kept what they had.
        Interrupted: as `extract`.
    """
    out = place(out).absolute()
    if not (out / RUN_FILE).exists() and not entries(out, "commits"):
        raise OutputError(f"{str(out)!r} is no output of flowkit extract: it has no {RUN_FILE} and no commits")
    files = {"pairs": pairs, "face": face, "landmarks": landmarks}
    source = place(source) if isinstance(source, str | Place) else source
    mending = _Mending(out, source, files, frame_base, lost_as_failures, accept_changes, batch)
    with in_order(out), claimed(out, is_ours=True) as alone:
        mending.read_run()
        options = {"workers": workers, "ray_address": ray_address, "time_limit_s": time_limit_s}
        device = mending.run["parameters"]["device"]
        chosen = open_engine(engine, device=device, **options) if isinstance(engine, str) else engine  # type: ignore[arg-type]
        with crew_for(chosen, time_limit_s) as crew:
            surveyor = Surveyor(crew, workers)
            mending.mend_plan(surveyor)
            found = verify(out)
            result = Repair(found, mending.notes)
            again = sorted(found.damaged | found.to_do)
            if again:
                parts = mending.parts(again, surveyor)
                require_room(out, cube_bytes(parts, mending.request))
                plan_sha256 = None if alone else mending.run["plan"]["sha256"]
                metadata = mending.request.metadata(mending.clips)
                job = Job(out, mending.request, metadata, plan_sha256, may_lose=lost_as_failures)
                _settled(compute(parts, {}, job, chosen, report))
                result.parts = again
        result.removed = _remove_strays(out, found)
        remove_superseded(out, recorded(out), alone)
    result.verification = verify(out) if result.parts or result.removed or found.problems else found
    return result


def _settled(summary: Summary) -> None:
    assert summary.parts_done == summary.parts, summary
    require_none_kept(
        summary, "bring the frames back as they were, or have the pairs become failure rows by --lost-as-failures"
    )


def _remove_strays(out: Place, found: Verification) -> list[str]:
    """Removes files that are called as a part's are and belong to none; what has another name is the user's, and a
    committed part that is not planned stays where a file of it is as it was written.
    """
    strays = {f"{path.parent.name}/{path.name}": path for path in found.strays}
    for commit in recorded(out).values():
        names = {part_file("commits", commit.part), *(file.name for file in commit.files)}
        if names & strays.keys() and any(is_as_written(out / file.name, file.sha256) for file in commit.files):
            strays = {name: path for name, path in strays.items() if name not in names}
    removed = [name for name, path in strays.items() if is_part_name(name) and path.is_file()]
    for name in removed:
        strays[name].unlink()
    return removed


class _Mending:
    """One repair: the clips and the request are read when something needs them."""

    def __init__(
        self,
        out: Place,
        source: Place | Sequence[Clip] | None,
        files: Mapping[str, str | None],
        frame_base: int | None,
        lost_as_failures: bool,
        accept_changes: bool,
        batch: int | None,
    ) -> None:
        self.out, self.notes = out, list[str]()
        self._source, self._files, self._frame_base, self._batch = source, files, frame_base, batch
        self._lost_as_failures, self._accept_changes = lost_as_failures, accept_changes
        self.run: dict[str, Any] = {}
        self._rebuilt = False
        self._asked: tuple[list[Clip], ExtractRequest] | None = None

    @property
    def clips(self) -> list[Clip]:
        """All clips of the output."""
        return self._ask()[0]

    @property
    def request(self) -> ExtractRequest:
        """The request that made the output."""
        return self._ask()[1]

    def read_run(self) -> None:
        """`run.json`, or what the shards say of it, without the plan."""
        try:
            self.run = read_run(self.out)
        except OutputError as error:
            if self._source is None:
                raise OutputError(
                    f"{error}; for that give SOURCE too, as flowkit repair {self.out} SOURCE: where the clips were "
                    "went with it"
                ) from error
            self.run, self._rebuilt = run_of_shards(self.out), True
        if self.run["schema_version"] != SCHEMA_VERSION:
            raise OutputError(
                f"{str(self.out)!r} was written by flowkit {self.run['versions']['flowkit']}, whose outputs this one "
                "reads but does not mend; repair it with that version"
            )

    def mend_plan(self, surveyor: Surveyor) -> None:
        """Makes pairs, survey and `run.json` anew where they are not as they were written."""
        if self._rebuilt:
            self.run["plan"] = plan_of_tables(self.out, self.clips)
        checksums = dict.fromkeys(_CHECKSUMS.values(), _UNKNOWN) | self.run["plan"]
        harmed = [name for name, key in _CHECKSUMS.items() if not is_as_written(self.out / name, checksums[key])]
        if not harmed and not self._rebuilt:
            return
        tables = self._tables_anew(harmed, checksums, surveyor) if harmed else {}
        counts = {name: self.run["plan"][name] for name in ("pairs", "parts")}
        write_plan(self.out, {name: tables[name] for name in harmed}, self.run | {"plan": counts | checksums})
        self.run = read_run(self.out)
        made = [RUN_FILE, *harmed] if self._rebuilt else harmed
        self.notes.append(f"{', '.join(made)} made anew from the manifest")
        if self._rebuilt:
            self.notes.append(f"changes that an earlier {RUN_FILE} had recorded as accepted, if any, are gone with it")

    def _tables_anew(
        self, harmed: Sequence[str], checksums: Mapping[str, str], surveyor: Surveyor
    ) -> dict[str, pa.Table]:
        """The tables of the plan as the clips give them, if these are proved to be those that were lost."""
        clips, request = self._ask()
        surveys = surveyor.survey(clips)
        # What could not be opened then is planned as it was, although it can be now.
        mendable = mendable_clips(self.out, self.run, survey_table(surveys))
        surveys |= {clip_id: UNOPENED for clip_id, opened in mendable.items() if not opened}
        retries = recorded_retries(self.run)
        require_plannable(clips, request)
        faces, surveys = surveyor.faces(clips, surveys, request)
        parts = mended_plans(make_parts(clips, request, surveys, faces), request, retries)[-1]
        tables = plan_tables(parts, surveys, retries)
        if harmed != [PAIRS_FILE] or plain_digest(tables[PAIRS_FILE]) != checksums[_CHECKSUMS[PAIRS_FILE]]:
            self._require_old_survey(tables[SURVEY_FILE], checksums[_CHECKSUMS[SURVEY_FILE]], harmed[-1])
        counts = {"pairs": tables[PAIRS_FILE].num_rows, "parts": len(parts)}
        planned = counts | {name: self.run["plan"][name] for name in counts if name in self.run["plan"]}
        if counts != planned:
            raise OutputError(
                f"{', '.join(harmed)} cannot be made anew: {planned['pairs']} pairs in {planned['parts']} parts were "
                f"planned, and {counts['pairs']} in {counts['parts']} would be now; bring the frames back as they were"
            )
        self.run["plan"] |= counts
        return tables

    def parts(self, numbers: Sequence[int], surveyor: Surveyor) -> list[Part]:
        """Those parts, as they were planned."""
        rows = read_plan(self.out).select([*PLANNED[1:]]).to_pylist()
        wanted = set(numbers)
        planned: dict[int, list[PlannedPair]] = {number: [] for number in numbers}
        for row in rows:
            if row["part"] in wanted:
                sides = (row["frame0"], row["frame1"], _phase(row["frames0"]), _phase(row["frames1"]))
                planned[row["part"]].append((row["clip_id"], row["role"], *sides))
        clips = {clip.clip_id: clip for clip in self.clips}
        needed = {pair[0] for pairs in planned.values() for pair in pairs}
        with no_collection():
            surveys = surveyor.survey([clip for clip_id, clip in clips.items() if clip_id in needed])
            lost = self._lost(surveys)
        if lost and not self._lost_as_failures:
            (clip_id, reason), *others = lost.items()
            more = f" (and {len(others)} more clips)" if others else ""
            raise OutputError(
                f"clip {clip_id!r} of a damaged part: {reason}{more}; bring the frames back, or have its pairs become "
                "failure rows by --lost-as-failures"
            )
        self._note_versions()
        found = [clip for clip_id, clip in clips.items() if clip_id in needed and clip_id not in lost]
        faces, surveys = surveyor.faces(found, surveys, self.request)
        parts = parts_as_planned(planned, clips, self.request, surveys, lost, faces)
        return [with_sources(part, surveys) for part in parts]

    def _ask(self) -> tuple[list[Clip], ExtractRequest]:
        if self._asked is None:
            self._asked = self._read_clips(), self._read_request()
            clips, request = self._asked
            metadata = request.metadata(clips)
            if difference := first_difference(self.run["parameters"], metadata["parameters"]):
                name, there, here = difference
                raise OutputError(
                    f"{str(self.out)!r} was made with {name}={there!r}, and a repair would have {here!r}; use what it "
                    "was made with"
                )
            if self.run["manifest_fingerprint"] != metadata["manifest_fingerprint"]:
                raise OutputError(
                    f"{str(self.out)!r} was made from another manifest (fingerprint "
                    f"{self.run['manifest_fingerprint'][:12]}, this one has {metadata['manifest_fingerprint'][:12]}); "
                    f"give that one as flowkit repair {self.out} SOURCE"
                )
            if self._rebuilt:  # in the order in which a run writes it
                same = self.run["versions"] == metadata["versions"]
                origin = request.origin(self._source or (), self._frame_base)
                self.run = metadata | ({} if same else {"versions": self.run["versions"]}) | {"origin": origin}
        return self._asked

    def _read_clips(self) -> list[Clip]:
        origin = self.run.get("origin", {})
        source = self._source
        if source is None and origin.get("source") is not None:
            source = place(origin["source"])
        frame_base = self._frame_base
        if frame_base is None and isinstance(source, Place):  # clips have their own
            frame_base = origin.get("frame_base")
        if source is None:
            raise InputError(
                f"{str(self.out)!r} does not say from where it was extracted; give that as flowkit repair {self.out} "
                "SOURCE"
            )
        if isinstance(source, Place) and not source.exists():
            raise InputError(
                f"{str(source)!r}, from which {str(self.out)!r} was extracted, is not there; bring it back, or say "
                f"where it is now as flowkit repair {self.out} SOURCE"
            )
        with no_collection():
            return clips_from(source, frame_base=frame_base, require_sources=not self._lost_as_failures)

    def _read_request(self) -> ExtractRequest:
        parameters, origin = self.run["parameters"], self.run.get("origin", {})
        texts = {
            name: self._files[name] or origin.get(name) or parameters[name] for name in ("pairs", "face", "landmarks")
        }
        for name in ("face", "landmarks"):
            if parameters[name] != texts[name].partition(":")[0]:
                raise InputError(
                    f"{str(self.out)!r} was made with --{name} {parameters[name]}, and this is {texts[name]!r}; give "
                    "what it was made with"
                )
        return ExtractRequest.parse(
            **texts,
            preset=parameters["preset"],
            params=parameters["tvl1"],
            size=tuple(parameters["size"]) if parameters["size"] else None,
            face_fit=parameters["face_fit"],
            face_margin=parameters["face_margin"],
            stabilise=parameters["stabilise"],
            strain=parameters["strain"],
            dtype=parameters["dtype"],
            rgb=parameters["rgb"],
            device=parameters["device"],
            batch=self._batch,
        )

    def _require_old_survey(self, here: Any, checksum: str, made: str) -> None:
        """That the frames are those of the plan: by the survey's checksum, or where that is lost, by the survey.

        Args:
            made: the table that is made anew of them.
        """
        if plain_digest(here) == checksum:
            return
        sound = checksum == _UNKNOWN or is_as_written(self.out / SURVEY_FILE, checksum)
        with suppress(OutputError):
            if sound and read_survey(self.out).equals(here):
                return
        told = f"{made} made anew is not provably the one that was lost"
        if not self._accept_changes:
            raise OutputError(
                f"{told}: frames, decoders or the version of pyarrow may be others; bring them back, or go on with "
                "--accept-changes, which is recorded"
            )
        self._record([{"what": made, "then": "as it was written", "now": "made anew"}])
        self.notes.append(told)

    def _lost(self, surveys: Mapping[str, Survey]) -> dict[str, str]:
        """Clips whose frames are gone or others, with the reason; those that never could be read are not among them."""
        then = {row["clip_id"]: row for row in read_survey(self.out).to_pylist()}
        lost = {}
        for row in survey_table(surveys).to_pylist():
            clip_id = row["clip_id"]
            same = row["identity"] == then[clip_id]["identity"]
            if same and row["error"] == then[clip_id]["error"]:
                continue
            if gone := surveys[clip_id].error:
                lost[clip_id] = f"its frames are gone ({gone})"
            elif same:
                lost[clip_id] = "it could not be read when it was planned, and can be now"
            else:
                lost[clip_id] = "its frames are others than when it was planned"
        return lost

    def _note_versions(self) -> None:
        changes = list(changed_versions(self.run, {"versions": self.request.metadata([])["versions"]}))
        if not changes:
            return
        told = ", ".join(f"{change['what']} was {change['then']} and is {change['now']}" for change in changes)
        if not self._accept_changes:
            raise OutputError(
                f"{told}: frames may be decoded to other values than those of the sound parts; install what was there, "
                "or go on with --accept-changes, which is recorded"
            )
        self._record(changes)
        self.run["versions"] = self.request.metadata([])["versions"]
        write_plan(self.out, {}, self.run)

    def _record(self, changes: Sequence[Mapping[str, Any]]) -> None:
        self.run["accepted_changes"] = [*self.run.get("accepted_changes", []), *changes]


def _phase(frames: list[int] | None) -> tuple[int, ...] | None:
    return None if frames is None else tuple(frames)
