"""The page of an index: what there is, what is odd, and how a clip of each dataset looks, in one HTML file.

It shows a frame of the user's own data, so it is as confidential as they are, and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from flowkit import pages
from flowkit.datasets.defects import Defect
from flowkit.datasets.summary import kinds, summarise
from flowkit.errors import FlowkitError
from flowkit.frames import open_source
from flowkit.pages import data_uri, fill
from flowkit.types import Clip

PICTURE_PX = 192
SHOWN_DEFECTS = 500
_TRIED_CLIPS = 5


def write_page(
    path: Path,
    clips: Sequence[Clip],
    defects: Sequence[Defect],
    *,
    title: str,
    notes: Sequence[str] = (),
    differences: Sequence[str] | None = None,
) -> None:
    """Writes the page.

    Args:
        path: of the HTML file, which is replaced.
        clips: all that are in the manifest.
        defects: the table beside it; the page shows the failed ones first, at most `SHOWN_DEFECTS`.
        title: its heading.
        notes: sentences about the whole.
        differences: of a composite, the published counts that are not met; None where nothing is published.

    Raises:
        OutputError: if it cannot be written.
    """
    datasets = [
        (one, picture([clip for clip in clips if str(clip.dataset) == one.dataset])) for one in summarise(clips)
    ]
    html = fill(
        "datasets.html.j2",
        title=title,
        datasets=datasets,
        notes=notes,
        differences=differences,
        kinds=kinds(defects),
        defects=sorted(defects, key=lambda one: not one.failed)[:SHOWN_DEFECTS],
        total=len(defects),
        failed=sum(one.failed for one in defects),
    )
    pages.write_page(path, html)


def picture(clips: Sequence[Clip]) -> tuple[str, str] | None:
    """A frame of the first clip that can be read: its caption and a JPEG as data URI; None where none of a few can."""
    for clip in clips[:_TRIED_CLIPS]:
        try:
            source = open_source(clip.source, frame_base=clip.frame_base)
            number = clip.apex if clip.apex is not None else clip.onset if clip.onset is not None else source.first
            _, frame = next(iter(source.read([number], colour=True)))
        except (FlowkitError, OSError, StopIteration):
            continue
        if isinstance(frame, np.ndarray):
            height = round(PICTURE_PX * frame.shape[0] / frame.shape[1])
            small = cv2.resize(frame, (PICTURE_PX, max(1, height)), interpolation=cv2.INTER_AREA)
            _, data = cv2.imencode(".jpg", np.ascontiguousarray(small[:, :, ::-1]))
            return f"{clip.clip_id}, frame {number}", data_uri("image/jpeg", data.tobytes())
    return None
