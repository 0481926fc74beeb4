"""The command `flowkit hash`."""

from __future__ import annotations

import dataclasses
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
    from flowkit.datasets import clips_from, unused_columns, write_manifest
    from flowkit.datasets.tables import TABLE_SUFFIXES
    from flowkit.frames.digest import frames_sha256

    if manifest.suffix.lower() not in TABLE_SUFFIXES:
        raise InputError(f"manifest {str(manifest)!r}: its name must end in {' or '.join(TABLE_SUFFIXES)}")
    hashed = []
    for clip in clips_from(source):
        try:
            digest = frames_sha256(clip.source)
        except (FlowkitError, OSError) as error:
            raise InputError(f"{clip.clip_id}: {error}; mend the clip, or take it out of the manifest") from error
        hashed.append(dataclasses.replace(clip, frames_sha256=digest))
    write_manifest(hashed, manifest)
    if source.suffix.lower() in TABLE_SUFFIXES and (own := unused_columns(source)):
        typer.echo(f"flowkit: not copied, since flowkit does not use them: the columns {', '.join(own)}", err=True)
    typer.echo(f"{len(hashed)} clips -> {manifest}")
