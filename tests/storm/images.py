"""Damaged images and videos: each ends as rows, as failure rows or in one sentence, and never hangs."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from flowkit.datasets.manifest import SCHEMA
from flowkit.output.shard import read
from tests.clips import texture
from tests.storm.case import Broken, Outcome
from tests.storm.launcher import Launcher
from tests.storm.scene import require_accounted
from tests.storm.wreck import wreck

CPU_S = 20.0
FRAMES = 5
IMAGES: dict[str, tuple[str, int, tuple[int, ...]]] = {
    "JPEG": (".jpg", 8, ()),
    "PNG": (".png", 8, ()),
    "PNG, 16 bit": (".png", 16, ()),
    "BMP": (".bmp", 8, ()),
    "TIFF": (".tif", 8, (cv2.IMWRITE_TIFF_COMPRESSION, 1)),
    "TIFF, LZW": (".tif", 8, (cv2.IMWRITE_TIFF_COMPRESSION, 5)),
}
VIDEOS = {
    "mp4": ("libx264", {"g": "4"}),
    "mkv": ("libx264", {"g": "4"}),
    "webm": ("libvpx-vp9", {"g": "4", "deadline": "realtime", "cpu-used": "8"}),
    "avi": ("mpeg4", {"g": "4"}),
    "mpg": ("mpeg2video", {"g": "4"}),
}
CHECKED = ("PNG", "PNG, 16 bit")
"""Formats with checksums: no damage to their pixels is silent."""
HASH_COLUMN = next((name for name in SCHEMA.names if name == "frames_sha256"), None)
"""The manifest's column for the SHA-256 of a source, with which damages are found that a format cannot show."""


@dataclass(frozen=True, slots=True)
class Medium:
    """An undamaged clip, and its rows."""

    name: str
    source: Path
    rows: dict[str, bytes]

    @property
    def files(self) -> list[Path]:
        return sorted(self.source.iterdir()) if self.source.is_dir() else [self.source]


class Spoiler:
    """Damages one file of a clip, and extracts it."""

    def __init__(self, launcher: Launcher, folder: Path) -> None:
        self.launcher = launcher
        self.folder = folder
        self._media: dict[str, Medium] = {}

    def case(self, rng: np.random.Generator, folder: Path) -> Outcome:
        """One damaged image or video, extracted."""
        medium = self._medium(str(rng.choice([*IMAGES, *VIDEOS], p=_shares())))
        source = folder / medium.source.name
        if medium.source.is_dir():
            shutil.copytree(medium.source, source)
        else:
            shutil.copy(medium.source, source)
        damaged = source / str(rng.choice([file.name for file in medium.files])) if source.is_dir() else source
        what, changed = wreck(damaged.read_bytes(), rng)
        damaged.write_bytes(changed)
        hashed = HASH_COLUMN is not None and rng.random() < 0.5
        told = f"{medium.name}: {damaged.name} {what}{', with its hash' if hashed else ''}"
        try:
            ending = self._extracted(medium, source, folder, hashed)
        except Broken as broken:
            kept = self.folder / "kept" / folder.name
            shutil.copytree(folder, kept, dirs_exist_ok=True)
            raise Broken(f"{told}: {broken}; kept in {kept}") from None
        return Outcome(medium.name + (", hash in the manifest" if hashed else ""), ending, told)

    def _extracted(self, medium: Medium, source: Path, folder: Path, hashed: bool) -> str:
        what = source
        if hashed:
            what = folder / "manifest.csv"
            what.write_text(f"clip_id,source,{HASH_COLUMN}\nclip,{source.name},{hash_of(medium)}\n")
        ended = self.launcher.run(*_command(what, folder / "out"), cpu_limit_s=CPU_S)
        ending = require_accounted(folder / "out", ended)
        if ended.code:
            return ending
        if hashed:
            raise Broken(f"a damage is not found although the manifest has the hash: {ended}")
        if _rows(folder / "out") == medium.rows:
            return "the same rows, 0"
        if medium.name in CHECKED:
            raise Broken(f"other rows in silence: {ended}")
        return "other rows, which the format cannot show, 0"

    def _medium(self, name: str) -> Medium:
        if name not in self._media:
            folder = self.folder / "media" / name.replace(", ", "-")
            folder.mkdir(parents=True)
            source = _image_folder(folder / "clip", *IMAGES[name]) if name in IMAGES else _video(folder, name)
            ended = self.launcher.run(*_command(source, folder / "out"))
            if ended.code != 0:
                raise RuntimeError(f"{source} cannot be extracted undamaged: {ended}")
            self._media[name] = Medium(name, source, _rows(folder / "out"))
        return self._media[name]


def hash_of(medium: Medium) -> str:
    """What the manifest's column says of an undamaged clip: docs/manifest.md."""
    digests = [(hashlib.sha256(file.read_bytes()).hexdigest(), file.name) for file in medium.files]
    if not medium.source.is_dir():
        return digests[0][0]
    return hashlib.sha256("".join(f"{digest}  {name}\n" for digest, name in digests).encode()).hexdigest()


def _shares() -> list[float]:
    """Half of the cases are images."""
    return [0.5 / len(IMAGES)] * len(IMAGES) + [0.5 / len(VIDEOS)] * len(VIDEOS)


def _command(source: Path, out: Path) -> tuple[str | Path, ...]:
    return ("extract", source, "-o", out, "--pairs", "lag:1", "--preset", "fast", "--workers", "1")


def _rows(out: Path) -> dict[str, bytes]:
    """Cubes by role and frames: a clip's name depends on where it stands."""
    shards = read(out)
    rows: dict[str, Any] = {}
    for i in range(len(shards.paths)):
        labels = shards.shard(i, ["frame0", "frame1"]).to_pylist()
        cubes = shards.cubes(i)
        rows |= {f"{row['frame0']}-{row['frame1']}": cube.tobytes() for row, cube in zip(labels, cubes, strict=True)}
    return rows


def _image_folder(folder: Path, suffix: str, depth: int, options: tuple[int, ...]) -> Path:
    folder.mkdir()
    for number in range(1, FRAMES + 1):
        assert cv2.imwrite(str(folder / f"img{number}{suffix}"), texture(number, (32, 32), depth=depth), options)
    return folder


def _video(folder: Path, container: str) -> Path:
    codec, options = VIDEOS[container]
    path = folder / f"clip.{container}"
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=25, width=48, height=32, pix_fmt="yuv420p", options=options)
        for number in range(3 * FRAMES):
            picture = av.VideoFrame.from_ndarray(texture(number, (32, 48)), format="gray")
            file.mux(stream.encode(picture.reformat(format="yuv420p")))
        file.mux(stream.encode())
    return path
