"""What an extraction is asked for: every choice that decides the numbers in its shards, and their fingerprint."""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, get_args

import cv2

from flowkit.datasets.manifest import manifest_fingerprint
from flowkit.errors import InputError, whole
from flowkit.extraction.plans import PairPlan, parse_plan
from flowkit.faces.finding import parse_face
from flowkit.faces.fit import FaceFit, require_margin
from flowkit.faces.landmarks import parse_landmarks
from flowkit.frames.prepare import parse_size
from flowkit.motion.stabilise import parse_stabilise
from flowkit.motion.strain import StrainVariant
from flowkit.output.plan_file import SCHEMA_VERSION
from flowkit.output.store import Place
from flowkit.params import TVL1Params, params_label, resolve_params
from flowkit.types import Clip, fingerprint

CubeType = Literal["float32", "float16"]
Device = Literal["cpu", "cuda"]
BATCHES: dict[str, int] = {"cpu": 32, "cuda": 1024}
"""Pairs at once where the user does not say."""

DECODING = "grey as stored or Y of BT.601: JPEG by simplejpeg, other images by OpenCV, video by PyAV"
"""How a frame becomes grey values; change this text whenever the rule changes, and old outputs are not continued."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractRequest:
    """All that decides a run's numbers besides the manifest; plain data, the same in every worker.

    `batch` and `threads`-like choices do not change a result, so `to_dict` leaves `batch` out.
    """

    pairs: str
    """The pair plan, as `flowkit.extraction.plans.parse_plan` writes it."""
    pairs_digest: str
    """That text, or of a list of pairs what is in it, so that an edited list is another request."""
    preset: str
    """The name alone; `metadata` says with which changes."""
    params: TVL1Params
    size: tuple[int, int] | None
    """(height, width) to resize to before the flow; None keeps the face box's or the frame's."""
    face: str
    face_digest: str
    """Fingerprint of all that decides the face boxes, so that an edited file of boxes is another request."""
    face_fit: FaceFit
    face_margin: float
    """By which a face's box is grown at each edge, as a fraction of its side."""
    stabilise: str
    """As `flowkit.motion.stabilise.parse_stabilise` writes it."""
    landmarks: str
    landmarks_digest: str
    strain: StrainVariant
    dtype: CubeType
    device: Device
    batch: int
    """Pairs given to the solver at once."""
    rgb: int | None = None
    """Side of the apex frame in colour that goes into the shard, px; None for none."""

    @classmethod
    def parse(
        cls,
        *,
        pairs: str,
        preset: str | None = None,
        params: TVL1Params | Mapping[str, Any] | None = None,
        size: int | tuple[int, int] | str | None = None,
        face: str = "none",
        face_fit: str = "crop",
        face_margin: float = 0.0,
        stabilise: str = "none",
        landmarks: str = "none",
        strain: str = "standard",
        dtype: str = "float32",
        device: str = "cpu",
        batch: int | None = None,
        rgb: int | None = None,
    ) -> ExtractRequest:
        """A request from what a user writes.

        Args:
            preset: of `flowkit.PRESETS`; None for `default_preset`.
            size: a side in pixels, (height, width), or a text as `flowkit.frames.prepare.parse_size` reads it.

        Raises:
            InputError: naming the argument, its value and what it may be.
        """
        texts = {"pairs": pairs, "face": face, "face_fit": face_fit, "stabilise": stabilise, "landmarks": landmarks}
        for name, text in texts.items():
            if not isinstance(text, str):
                raise InputError(f"{name}={text!r}: give a text")
        if strain not in get_args(StrainVariant):
            raise InputError(f"strain={strain!r} is unknown; choose one of {', '.join(get_args(StrainVariant))}")
        if dtype not in get_args(CubeType):
            raise InputError(f"dtype={dtype!r} is unknown; choose one of {', '.join(get_args(CubeType))}")
        if device not in get_args(Device):
            raise InputError(f"device={device!r} is unknown; choose one of {', '.join(get_args(Device))}")
        if rgb is not None and not 16 <= (rgb := whole("rgb", rgb)) <= 1024:
            raise InputError(f"rgb={rgb}: give a side from 16 to 1024 px")
        if batch is not None and (batch := whole("batch", batch)) < 1:
            raise InputError(f"batch={batch}: give at least 1 pair")
        plan = parse_plan(pairs)
        preset = default_preset(plan) if preset is None else preset
        size = _size(size)
        _require_fit(face, face_fit, face_margin, size)
        face = _absolute(face)
        points = parse_landmarks(landmarks, face)
        return cls(
            pairs=str(plan),
            pairs_digest=plan.digest,
            preset=preset,
            params=resolve_params(preset, params),
            size=size,
            face=face,
            face_digest=parse_face(face).digest,
            face_fit=face_fit,  # type: ignore[arg-type]
            face_margin=require_margin(face_margin),
            stabilise=str(parse_stabilise(stabilise)),
            landmarks=_absolute(landmarks),
            landmarks_digest=points.digest if points else fingerprint("none"),
            strain=strain,  # type: ignore[arg-type]
            dtype=dtype,  # type: ignore[arg-type]
            device=device,  # type: ignore[arg-type]
            batch=batch or BATCHES[device],
            rgb=rgb,
        )

    def to_dict(self) -> dict[str, Any]:
        """Every parameter of the run by name, as it is hashed and written into `run.json` and each shard."""
        return {
            "flowkit": software_version(),
            "decoding": DECODING,
            "pairs": self.pairs_digest,
            "size": list(self.size) if self.size else None,
            "face": self.face.partition(":")[0],
            "face_digest": self.face_digest,
            "face_fit": self.face_fit,
            "face_margin": self.face_margin,
            "stabilise": self.stabilise,
            "landmarks": self.landmarks.partition(":")[0],
            "landmarks_digest": self.landmarks_digest,
            "device": self.device,
            "preset": self.preset,
            "tvl1": self.params.to_dict(),
            "strain": self.strain,
            "dtype": self.dtype,
            "rgb": self.rgb,
        }

    def metadata(self, clips: Sequence[Clip]) -> dict[str, Any]:
        """What made a run of this request over these clips, as it stands in `run.json` and in each shard."""
        return {
            "schema_version": SCHEMA_VERSION,
            "parameters": self.to_dict(),
            "parameters_hash": self.parameters_hash,
            "preset": params_label(self.preset, self.params),
            "manifest_fingerprint": manifest_fingerprint(clips),
            "versions": versions(),
        }

    def origin(self, source: Place | Sequence[Clip], frame_base: int | None) -> dict[str, Any]:
        """Where the clips of a run and the files of its options came from, for `flowkit repair`; the source is null
        where clips were given."""
        path = str(source.absolute()) if isinstance(source, Place) else None
        files = {"pairs": self.pairs, "face": self.face, "landmarks": self.landmarks}
        return {"source": path, "frame_base": frame_base, **files}

    @property
    def parameters_hash(self) -> str:
        """SHA-256 (hex) of `to_dict`."""
        return fingerprint(self.to_dict())


def default_pairs(clips: Sequence[Clip]) -> str:
    """The pair plan where none is asked for."""
    return "onset-apex" if any(clip.apex is not None for clip in clips) else "lag:1"


def default_preset(plan: PairPlan) -> str:
    """The preset where none is asked for: one for averages where the plan has phases."""
    return "micro-phases" if plan.phases else "micro"


DECIDING = ("av", "simplejpeg", "opencv")
"""Packages whose version may decide a frame's grey values."""


def software_version() -> str:
    return _installed("flowkit-mer")


def versions() -> dict[str, str]:
    """Versions of all that takes part in making a cube."""
    packages = {}
    for name in ("numpy", "pyarrow", "av", "simplejpeg"):
        with suppress(importlib.metadata.PackageNotFoundError):  # a decoder that is not there decodes nothing
            packages[name] = _installed(name)
    return {"flowkit": software_version(), **packages, "opencv": cv2.__version__}


@functools.cache
def _installed(package: str) -> str:
    """Its version, looked up once a process: every part notes them all, and to parse them takes five milliseconds."""
    return importlib.metadata.version(package)


def _size(size: int | tuple[int, int] | str | None) -> tuple[int, int] | None:
    match size:
        case None:
            return None
        case Integral():
            return parse_size(str(size))
        case str():
            return parse_size(size)
        case (Integral() as height, Integral() as width):
            return parse_size(f"{width}x{height}")
    raise InputError(f"size={size!r}: give a number of pixels or (height, width)")


def _require_fit(face: str, face_fit: str, face_margin: float, size: tuple[int, int] | None) -> None:
    if face_fit not in get_args(FaceFit):
        raise InputError(f"face_fit={face_fit!r} is unknown; choose one of {', '.join(get_args(FaceFit))}")
    if not isinstance(face_margin, Real):
        raise InputError(f"face_margin={face_margin!r}: give a number")
    if face == "none" and (face_fit != "crop" or face_margin):
        raise InputError(
            f"face_fit={face_fit!r}, face_margin={face_margin:g}: without a face there is nothing to fit; give --face"
        )
    if face_fit == "align" and size is not None and size[0] != size[1]:
        raise InputError(f"size={size[1]}x{size[0]}: aligned faces are squares; give one number")


def _absolute(text: str) -> str:
    """A worker may run in another folder, so a file is named by its absolute path; a plug-in's argument may be none."""
    kind, _, rest = text.partition(":")
    return f"{kind}:{Path(rest).absolute()}" if rest and Path(rest).exists() else text
