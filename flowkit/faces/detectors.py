"""Which detectors there are: those of flowkit, and plug-ins that installed packages announce by entry point.

A plug-in's package has, in its pyproject.toml,

    [project.entry-points."flowkit.face_detectors"]
    mine = "package.module:make"

where `make(argument)` gets what the user wrote behind `--face mine:` ("" where nothing), and gives a `FaceDetector`.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path

from flowkit.errors import FlowkitError, InputError
from flowkit.faces.cascade import Cascade
from flowkit.faces.face import FaceDetector
from flowkit.faces.yunet import YuNet

GROUP = "flowkit.face_detectors"
Maker = Callable[[str], FaceDetector]


def _yunet(argument: str) -> FaceDetector:
    if not argument:
        raise InputError("--face yunet needs its model file, as yunet:face_detection_yunet_2023mar.onnx")
    return YuNet(Path(argument))


def _haar(argument: str) -> FaceDetector:
    return Cascade(Path(argument) if argument else None)


BUILT_IN: dict[str, Maker] = {"yunet": _yunet, "haar": _haar}


def detector_names() -> list[str]:
    """The names of all detectors that are installed."""
    return sorted({*BUILT_IN, *importlib.metadata.entry_points(group=GROUP).names})


def make_detector(name: str, argument: str) -> FaceDetector:
    """The detector of a name.

    Raises:
        InputError: for an unknown name, one that two packages claim, a plug-in that cannot be loaded, and as makers do.
    """
    found = importlib.metadata.entry_points(group=GROUP, name=name)
    claims = [f"{point.value} of {point.dist.name if point.dist else 'a package'}" for point in found]
    if len(found) + (name in BUILT_IN) > 1:
        also = ["flowkit itself"] if name in BUILT_IN else []
        raise InputError(f"face detector {name!r} is claimed by {', '.join(also + claims)}; uninstall all but one")
    if name in BUILT_IN:
        return BUILT_IN[name](argument)
    if not found:
        raise InputError(f"face detector {name!r} is not installed; there are {', '.join(detector_names())}")
    try:
        made: FaceDetector = next(iter(found)).load()(argument)
        _ = made.digest, made.sure, made.faint, made.detect
    except FlowkitError:
        raise
    except Exception as error:
        raise InputError(
            f"face detector {name!r} ({claims[0]}) cannot be used: {type(error).__name__}: {error}; mend it, or "
            "uninstall it"
        ) from error
    return made
