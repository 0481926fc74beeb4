"""Small real clips for tests: folders of frames, videos, manifests, and the extraction command."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from flowkit.datasets import write_manifest
from flowkit.extraction.plan import Part, make_parts
from flowkit.extraction.remaining import with_sources
from flowkit.extraction.request import ExtractRequest
from flowkit.extraction.resume import settle_plan
from flowkit.frames.survey import survey
from flowkit.output.shard import read
from flowkit.types import Clip

FLOWKIT = (sys.executable, "-m", "flowkit.cli")


def texture(number: int, size: tuple[int, int] = (64, 64), seed: int = 0, depth: int = 8) -> NDArray[Any]:
    """Frame `number` of a smooth pattern that drifts by 0.3 px a frame to the right: (h, w) uint8 or uint16."""
    noise = np.random.default_rng(seed).random((size[0] + 16, size[1] + 16))
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    drift = np.float64([[1, 0, 0.3 * (number % 20)], [0, 1, 0]])
    moved = cv2.warpAffine(smooth, drift, None, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    frame = np.clip(moved[8:-8, 8:-8], 0, 1) * (2**depth - 1)
    return frame.round().astype(np.uint8 if depth == 8 else np.uint16)


def frame_folder(
    folder: Path,
    numbers: Sequence[int],
    *,
    size: tuple[int, int] = (64, 64),
    seed: int = 0,
    depth: int = 8,
    suffix: str = ".png",
) -> Path:
    """A folder of frames img1.png, img2.png, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        assert cv2.imwrite(str(folder / f"img{number}{suffix}"), texture(number, size, seed, depth))
    return folder


def video(path: Path, count: int, size: tuple[int, int] = (64, 64), seed: int = 0) -> Path:
    """A video of `count` frames at 25 fps."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, width=size[1], height=size[0], pix_fmt="yuv420p")
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(texture(number, size, seed), format="gray").reformat(format="yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def dataset(folder: Path, clips: int = 3, frames: int = 6, **options: Any) -> list[Clip]:
    """Annotated clips of frames 1..frames (onset 1, apex in the middle, offset last), and manifest.csv beside them."""
    made = [
        Clip(
            clip_id=f"toy/sub{i + 1:02d}/ep01",
            source=str(frame_folder(folder / f"sub{i + 1:02d}", range(1, frames + 1), seed=i, **options)),
            dataset="toy",
            subject=f"{i + 1:02d}",
            fps=200.0,
            onset=1,
            apex=frames // 2 + 1,
            offset=frames,
            emotion="happiness",
            emotion3="positive",
            au="12",
            group="a" if i % 2 else "b",
        )
        for i in range(clips)
    ]
    write_manifest(made, folder / "manifest.csv")
    return made


def start(*arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    """Starts `flowkit ...` as a process group of its own."""
    command = [*FLOWKIT, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, start_new_session=True, **pipes, **options)


def flowkit(*arguments: str | Path, **options: Any) -> tuple[int, str, str]:
    """Runs `flowkit ...`: exit code, stdout, stderr."""
    process = start(*arguments, **options)
    stdout, stderr = process.communicate(timeout=120)
    return process.returncode, stdout, stderr


class Deadly(Part):
    """A part that kills the process which receives it, until it has done so `times` times."""

    marks: Path
    times: int

    def __reduce__(self) -> Any:
        if not hasattr(self, "marks"):  # made of one, with some of its pairs
            return Part, _fields(self)
        return _receive, (self.marks, self.times, *_fields(self))


def deadly(part: Part, marks: Path, times: int) -> Deadly:
    """The part, made deadly; each death leaves a file in `marks`."""
    made = Deadly(*_fields(part))
    object.__setattr__(made, "marks", marks)
    object.__setattr__(made, "times", times)
    return made


def _fields(part: Part) -> tuple[Any, ...]:
    return tuple(getattr(part, field.name) for field in dataclasses.fields(Part))


def _receive(marks: Path, times: int, *fields: Any) -> Part:
    died = len(list(marks.iterdir()))
    if died < times:
        (marks / str(died)).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return Part(*fields)


def parts_of(clips: Sequence[Clip], request: ExtractRequest) -> list[Part]:
    """The parts of an extraction, from a survey made here."""
    surveys = survey(clips)
    return [with_sources(part, surveys) for part in make_parts(clips, request, surveys)]


def settle(out: Path, clips: Sequence[Clip], request: ExtractRequest, **options: bool) -> None:
    """Writes plan and survey into an output, or compares it with them."""
    surveys = survey(clips)
    settle_plan(out, make_parts(clips, request, surveys), surveys, request, request.metadata(clips), **options)


def shards_of(out: Path) -> dict[str, bytes]:
    """The bytes of an output's shards and failures by file name."""
    return {path.name: path.read_bytes() for folder in ("shards", "failures") for path in (out / folder).iterdir()}


def rows(out: Path) -> dict[str, Any]:
    """Cubes and all else by pair_id."""
    found = {}
    for i in range(len(read(out).paths)):
        table = read(out).shard(i)
        labels = table.drop_columns(["cube"]).to_pylist()
        found |= {
            label["pair_id"]: (label, cube.tobytes()) for label, cube in zip(labels, read(out).cubes(i), strict=True)
        }
    return found


def without_progress(stdout: str) -> str:
    """What a command printed, less the lines of progress that a slow machine sees."""
    return "".join(line for line in stdout.splitlines(keepends=True) if not re.match(r"\d+ of \d+ pairs ", line))
