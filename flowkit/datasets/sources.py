"""The clips that a user's SOURCE stands for: a manifest, a video, a folder of frames or of either."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from numbers import Real
from pathlib import Path
from typing import Any

from flowkit.datasets.manifest import absolute_path, clips_in
from flowkit.datasets.tables import TABLE_SUFFIXES, require_clip_id
from flowkit.errors import InputError, whole
from flowkit.frames import VIDEO_SUFFIXES, is_video
from flowkit.frames.folder import IMAGE_SUFFIXES
from flowkit.output.store import Place, StorePath, require_utf8
from flowkit.types import Clip


def clips_from(
    source: Place | Sequence[Clip], *, frame_base: int | None = None, require_sources: bool = True
) -> list[Clip]:
    """The clips that a user's SOURCE stands for, or those given.

    - a manifest: its rows;
    - a video: one clip, named by the file, suffix included, as it would be in a folder;
    - a folder that directly holds images with a number in their names: one clip, named by the folder;
    - any other folder: one clip for each video and each folder of frames below it, in natural order, named by its
      path in there (a video's with its suffix, so that a.mp4 and a.mov stay apart). Hidden entries are skipped, and so
      are links that cannot be followed, but for one with the name of a video, which is a clip whose pairs fail; so is
      a folder that holds nothing but such links with the names of frames.

    Args:
        frame_base: number of a video's first frame, 0 unless given. A manifest says its own, and so do the frames of a
            folder.
        require_sources: as for `flowkit.datasets.read_manifest`.

    Raises:
        InputError: where there is nothing of the kind or it cannot be read, a folder holds numbered images and, at any
            depth, another clip, a name cannot be a clip_id, there is no video for `frame_base`, or a given clip is none
            or has a value that a manifest could not have.
    """
    if not isinstance(source, Place):
        if frame_base is not None:
            raise InputError(f"frame_base={frame_base}: clips have their own; set it in each Clip")
        return [_given(number, clip) for number, clip in enumerate(source)]
    frame_base = None if frame_base is None else whole("frame_base", frame_base)
    try:
        if isinstance(source, StorePath):
            clips = _clips_in_store(source, frame_base, require_sources)
        else:
            source = absolute_path(source)
            clips = _clips_from(source, frame_base, require_sources)
    except OSError as error:
        raise InputError(f"{str(source)!r} cannot be read: {error.strerror or error}") from error
    for clip in clips:
        require_clip_id(str(source), clip.clip_id)
    return clips


def _given(number: int, clip: object) -> Clip:
    """A clip that was made in Python, with plain numbers and texts."""
    if not isinstance(clip, Clip):
        raise InputError(f"clip {number} is {clip!r}; give one path, or clips as flowkit.Clip")
    if not isinstance(clip.clip_id, str):
        raise InputError(f"clip {number}: clip_id={clip.clip_id!r} is no text; give each clip its own")
    require_clip_id(f"clip {number}", clip.clip_id)
    changes: dict[str, Any] = {}
    if isinstance(clip.source, Path):
        changes["source"] = str(clip.source)
    for name in _TEXTS:
        value = changes.get(name, getattr(clip, name))
        if not isinstance(value, str) and (value is not None or name == "source"):
            raise InputError(f"clip {clip.clip_id!r}: {name}={value!r} is no text; give it as one")
    for name in _NUMBERS:
        value = getattr(clip, name)
        if value is not None and type(value) is not int:
            changes[name] = whole(f"clip {clip.clip_id!r}: {name}", value)
    if clip.fps is not None:
        if not isinstance(clip.fps, Real) or not 0 < clip.fps < math.inf:
            raise InputError(f"clip {clip.clip_id!r}: fps={clip.fps!r} must be a number above 0; or None if unknown")
        if type(clip.fps) not in (int, float):
            changes["fps"] = float(clip.fps)
    return dataclasses.replace(clip, **changes) if changes else clip


_TEXTS = [field.name for field in dataclasses.fields(Clip) if str(field.type).startswith("str")]
_NUMBERS = ("frame_base", "onset", "apex", "offset", "sheet_row")


def _clips_from(source: Path, frame_base: int | None, require_sources: bool) -> list[Clip]:
    if "\0" in str(source):
        raise InputError(f"{str(source)!r} has a NUL character, which no path has; leave it out")
    require_utf8(source)
    if frame_base is not None and frame_base < 0:
        raise InputError(f"frame_base={frame_base} must be 0 or above")
    if source.is_dir():
        found = list(_sources_below(source))
        if not found:
            raise InputError(f"{str(source)!r} holds neither videos nor numbered images ({', '.join(IMAGE_SUFFIXES)})")
        names = [item.relative_to(source).as_posix() if item != source else source.name for item in found]
    elif source.suffix.lower() in TABLE_SUFFIXES:
        if frame_base is not None:
            raise InputError(f"frame_base={frame_base}: {source.name} is a manifest; set it in its column frame_base")
        return clips_in(source, require_sources=require_sources)
    elif not source.exists():
        raise InputError(f"{str(source)!r} does not exist; give a manifest, a video or a folder")
    elif is_video(source):
        found, names = [source], [source.name]
    else:
        raise InputError(
            f"{str(source)!r} is no manifest (.parquet, .csv), no video ({', '.join(VIDEO_SUFFIXES)}) and no folder; "
            "give one, or rename it"
        )
    if frame_base is not None and all(item.is_dir() for item in found):
        raise InputError(
            f"frame_base={frame_base}: {source.name} has no video, and frames carry their own numbers; leave it out"
        )
    return [
        Clip(clip_id=name, source=str(item), frame_base=0 if item.is_dir() else frame_base or 0)
        for name, item in zip(names, found, strict=True)
    ]


def _clips_in_store(source: StorePath, frame_base: int | None, require_sources: bool) -> list[Clip]:
    """The same of what is in an object store, where a folder is what blobs' names begin with."""
    if source.suffix.lower() in TABLE_SUFFIXES:
        if frame_base is not None:
            raise InputError(f"frame_base={frame_base}: {source.name} is a manifest; set it in its column frame_base")
        return clips_in(source, require_sources=require_sources)
    if frame_base is not None and frame_base < 0:
        raise InputError(f"frame_base={frame_base} must be 0 or above")
    if is_video(source):
        return [Clip(clip_id=source.name, source=str(source), frame_base=frame_base or 0)]
    found = list(_stored_below(source))
    if not found:
        raise InputError(
            f"{str(source)!r} does not exist, or holds neither videos nor numbered images ({', '.join(IMAGE_SUFFIXES)})"
        )
    if frame_base is not None and not any(map(is_video, found)):
        raise InputError(
            f"frame_base={frame_base}: {source.name} has no video, and frames carry their own numbers; leave it out"
        )
    return [
        Clip(
            clip_id=item.relative_to(source).as_posix() if item != source else source.name,
            source=str(item),
            frame_base=frame_base or 0 if is_video(item) else 0,
        )
        for item in found
    ]


def _stored_below(folder: StorePath) -> Iterator[StorePath]:
    """As `_sources_below`."""
    folders, blobs = folder.listing()
    blobs = [blob for blob in blobs if not blob.name.startswith(".")]
    within = [path for path in folders if not path.name.startswith(".")]
    below = chain.from_iterable(
        _stored_below(path) if path in within else [path]
        for path in sorted([*within, *filter(is_video, blobs)], key=lambda path: _natural(path.name))
    )
    if frame := next(filter(_is_frame, blobs), None):
        _require_alone(folder, frame, next(below, None))
        yield folder
    else:
        yield from below


def _require_alone(folder: Place, frame: Place, other: Place | None) -> None:
    """An InputError where a folder of frames holds another clip, too: which of them are meant, only the user knows."""
    if other is not None:
        raise InputError(
            f"{str(folder)!r} holds numbered images ({frame.name}) and another clip "
            f"({str(other).removeprefix(f'{folder}/')}); put them into folders of their own, or give a manifest"
        )


def _sources_below(folder: Path, top: bool = True) -> Iterator[Path]:
    """The folder itself if it holds frames, else the videos and folders of frames below it, in natural order."""
    try:
        scan = os.scandir(folder)
    except OSError:
        if top:
            raise
        yield folder  # a clip, whose pairs fail with the reason
        return
    with scan:
        entries = sorted((entry for entry in scan if not entry.name.startswith(".")), key=lambda e: _natural(e.name))
    kinds = {Path(entry.path): _kind(entry) for entry in entries}
    within = {path: kind for path, kind in kinds.items() if kind == "folder" or (kind and is_video(path))}
    here = Path(os.path.realpath(folder))
    below = chain.from_iterable(
        _sources_below(path, top=False) if kind == "folder" else [path]
        for path, kind in within.items()
        # A link to a folder above would lead round for ever.
        if kind != "folder" or not here.is_relative_to(os.path.realpath(path))
    )
    if frame := next((path for path, kind in kinds.items() if kind == "file" and _is_frame(path)), None):
        _require_alone(folder, frame, next(below, None))
        yield folder
    elif not within and any(kind == "lost" and _is_frame(path) for path, kind in kinds.items()):
        yield folder
    else:
        yield from below


def _kind(entry: os.DirEntry[str]) -> str | None:
    """`folder`, `file`, or `lost` for a link that cannot be followed; None for a pipe and the like."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
    except OSError:
        return "lost"
    return "lost" if entry.is_symlink() else None


def _is_frame(file: Place) -> bool:
    return file.suffix.lower() in IMAGE_SUFFIXES and re.search("[0-9]", file.stem) is not None


def _natural(name: str) -> tuple[list[int | str], str]:
    """A sort key under which 2 comes before 10, and equal numbers fall back on the text."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name
