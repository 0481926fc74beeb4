"""What a part does with faces: whether they are still there, landmarks, the head's motion between two frames."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray

from flowkit.errors import FrameError
from flowkit.extraction.decoded import DecodedPart, Frame
from flowkit.extraction.framing import Framing
from flowkit.extraction.request import ExtractRequest
from flowkit.faces.face import Face
from flowkit.faces.finding import FaceCrop, parse_face
from flowkit.faces.landmarks import Landmarks, parse_landmarks
from flowkit.faces.view import View
from flowkit.motion.landmark_flow import landmark_flow, require_some_inside
from flowkit.motion.stabilise import head_motion, mean_flow, parse_stabilise, without_motion
from flowkit.motion.strain import strain_magnitude


def face_in(number: int, frame: Frame, framing: Framing, request: ExtractRequest) -> Face | None:
    """The clip's face in one of its frames, by its detector; None without one. A FrameError where it is lost."""
    if framing.face is None:
        return None
    return _faces(request.face, request.face_digest).again(framing.face, number, frame)


def landmarks_in(
    clip_id: str, number: int, frame: Frame, cut: Frame, face: Face | None, framing: Framing, request: ExtractRequest
) -> NDArray[np.float64] | None:
    """Landmarks (k, 2) in pixels of the cut frame, None where none are asked for; a FrameError where none are found."""
    finder = _landmarks(request.landmarks, request.face, request.landmarks_digest)
    if finder is None:
        return None
    points = finder.find(View(clip_id, number, frame, cut, face, framing.mapped))
    require_some_inside(points, framing.shape)
    return points


def steady(decoded: DecodedPart, request: ExtractRequest) -> None:
    """Takes the head's motion out of the second frame of each pair that is still to be computed."""
    asked = parse_stabilise(request.stabilise)
    if asked.kind not in ("translation", "similarity"):
        return
    for i in decoded.todo():
        frame0, frame1 = decoded.frame(i, 0), decoded.frame(i, 1)
        try:
            motion = head_motion(frame0, frame1, asked)
        except FrameError as error:
            decoded.fail(i, str(error))
            continue
        decoded.steadied[i] = without_motion(frame0, frame1, motion)
        decoded.removed[i] = motion.ravel().tolist()


def finish(decoded: DecodedPart, request: ExtractRequest) -> None:
    """What is done to each computed flow once: a still region's mean is subtracted, which changes the rim of `meb`'s
    strain; landmarks get their flow.
    """
    asked = parse_stabilise(request.stabilise)
    for i, result in enumerate(decoded.results):
        if result is None or isinstance(result, str) or result.finished:
            continue
        cube, removed = result.cube, decoded.removed.get(i)
        if asked.kind == "nose":
            u, v = mean_flow(cube[:2], asked)
            moved = cube[:2].astype(np.float64) - np.array([u, v])[:, None, None]
            strain = cube[2]
            if request.strain == "meb":
                # It takes zeros to lie outside of the image: its outermost pixels depend on the mean, and no others.
                strain = strain_magnitude(moved.astype(np.float32), "meb", device="cpu", threads=1).astype(cube.dtype)
                strain[1:-1, 1:-1] = cube[2, 1:-1, 1:-1]
            cube = np.stack([*moved.astype(cube.dtype), strain])
            removed = [1.0, 0.0, u, 0.0, 1.0, v]
        pair = decoded.part.pairs[i]
        assert pair.frame0 is not None
        points = decoded.landmarks.get((pair.clip.clip_id, pair.frame0))
        flow = None if points is None else landmark_flow(cube[:2], points)
        decoded.results[i] = dataclasses.replace(
            result, cube=cube, removed=removed, landmarks=points, landmark_flow=flow, finished=True
        )


@functools.cache
def _faces(text: str, digest: str) -> FaceCrop:
    """One for all parts of a process; its threads share it."""
    found = parse_face(text)
    _require_same(found.digest, digest, text)
    return found


@functools.cache
def _landmarks(text: str, face: str, digest: str) -> Landmarks | None:
    found = parse_landmarks(text, face)
    if found is not None:
        _require_same(found.digest, digest, text)
    return found


def _require_same(here: str, planned: str, text: str) -> None:
    if here != planned:
        raise FrameError(f"{text} is not here what it was when this run was planned; give every machine the same file")
