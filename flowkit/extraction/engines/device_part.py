"""A part on both sides of its device, decoded and made into rows: what goes wrong with one clip is that clip's
failures, with the text of a part that the CPU computes.
"""

from __future__ import annotations

from collections.abc import Iterator

from flowkit.errors import InputError, Interrupted
from flowkit.extraction.decode import FrameStore, assess, decode_part
from flowkit.extraction.decoded import Computed, DecodedPart, unexpected
from flowkit.extraction.part import Job, PartRows, clip_parts, part_rows
from flowkit.extraction.plan import Part
from flowkit.extraction.request import ExtractRequest
from flowkit.extraction.steadying import finish
from flowkit.motion.flow import check_frames


def decode_for_device(part: Part, request: ExtractRequest, store: FrameStore) -> DecodedPart:
    """What `decode_part` gives; pairs of frames that the solver does not take have failed."""
    try:
        decoded = decode_part(part, request, store)
    except Interrupted:
        raise
    except Exception:  # of which clip is seen when each is decoded on its own
        decoded = _decode_apart(part, request, store)
    for i in decoded.todo():
        try:
            check_frames("frames0", decoded.frame(i, 0)[None])
        except InputError as error:
            decoded.fail(i, str(error))
    return decoded


def rows_from_device(decoded: DecodedPart, job: Job) -> PartRows:
    """The rows of a part whose every pair has its cube, or why it has none."""
    try:
        return part_rows(decoded, job.request, job.metadata)
    except Interrupted:
        raise
    except Exception:  # of which clip is seen when each is finished on its own
        results = _finish_apart(decoded, job.request)
        return part_rows(DecodedPart(decoded.part, {}, results), job.request, job.metadata)


def _decode_apart(part: Part, request: ExtractRequest, store: FrameStore) -> DecodedPart:
    whole = DecodedPart(part, {}, [])
    for clip in clip_parts(part):
        start = len(whole.results)
        try:
            alone = decode_part(clip, request, store)
        except Interrupted:
            raise
        except Exception as error:
            alone = _failed(clip, error)
        whole.frames |= alone.frames
        whole.landmarks |= alone.landmarks
        whole.steadied |= {start + i: frame for i, frame in alone.steadied.items()}
        whole.removed |= {start + i: matrix for i, matrix in alone.removed.items()}
        whole.results += alone.results
    return whole


def _finish_apart(decoded: DecodedPart, request: ExtractRequest) -> list[Computed | str | None]:
    results: list[Computed | str | None] = []
    for alone in _by_clip(decoded):
        try:
            assess(alone)
            finish(alone, request)
            results += alone.results
        except Interrupted:
            raise
        except Exception as error:
            results += _failed(alone.part, error).results
    return results


def _by_clip(decoded: DecodedPart) -> Iterator[DecodedPart]:
    """A decoded part divided into one a clip."""
    start = 0
    for clip in clip_parts(decoded.part):
        pairs = range(start, start + len(clip.pairs))
        steadied = {i - start: decoded.steadied[i] for i in pairs if i in decoded.steadied}
        removed = {i - start: decoded.removed[i] for i in pairs if i in decoded.removed}
        results = decoded.results[pairs.start : pairs.stop]
        yield DecodedPart(clip, decoded.frames, results, decoded.landmarks, steadied, removed)
        start = pairs.stop


def _failed(clip: Part, error: Exception) -> DecodedPart:
    """A clip's part whose pairs have failed, of an error that nobody foresaw."""
    failed = DecodedPart(clip, {}, [pair.error for pair in clip.pairs])
    for i in failed.todo():
        failed.fail(i, unexpected(error))
    return failed
