"""The command `flowkit hash`."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated

import typer

from flowkit.errors import FlowkitError, InputError


def hash_frames(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A manifest, a video, or a folder of either.")],
    manifest: Annotated[Path, typer.Option("-o", "--out", metavar="MANIFEST", help="The manifest to write.")],
) -> None:
    """Write a manifest with the SHA-256 of each clip's frames; flowkit extract then proves them before it plans.

    Example: flowkit hash manifest.csv -o hashed.csv
    """
    from flowkit.datasets.revision import Revision, require_manifest_name
    from flowkit.frames.digest import frames_sha256

    require_manifest_name(manifest)
    revision = Revision(source)
    digests, digest_of = [], functools.cache(frames_sha256)  # many clips may be of one video
    for clip in revision.clips:
        try:
            digests.append(digest_of(clip.source))
        except (FlowkitError, OSError) as error:
            raise InputError(f"{clip.clip_id}: {error}; mend the clip, or take it out of the manifest") from error
    revision.put("frames_sha256", digests)
    revision.write(manifest)
    typer.echo(f"{len(digests)} clips -> {manifest}")
