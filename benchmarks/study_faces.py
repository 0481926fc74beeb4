"""Which estimate of the head's motion withstands an expression, and the pictures of docs/faces.md.

python -m benchmarks.study_faces                # prints the table
python -m benchmarks.study_faces --pictures     # and draws docs/figures/faces-*.jpg anew

Drawn faces of 224 px with a true head motion and expression; the background stands still, as behind a real head.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from flowkit.errors import FrameError
from flowkit.faces.face import Face
from flowkit.faces.fit import align, crop
from flowkit.frames.prepare import prepare, warp
from flowkit.motion.flow import tvl1_flow
from flowkit.motion.stabilise import Motion, head_motion, parse_stabilise, pixels_of, without_motion
from flowkit.pictures.canvas import blank, paste, write_picture, write_text
from flowkit.pictures.colours import flow_to_rgb
from flowkit.synthetic.faces import neutral_face
from flowkit.synthetic.looks import draw_looks
from flowkit.synthetic.motion import Field, Pose, expression, pixel_grid
from flowkit.synthetic.render import EMOTIONS, SUPERSAMPLING, Performance, digitise

SIZE = 224
FACES = range(1, 13)
FIGURES = Path(__file__).parents[1] / "docs" / "figures"
Grey = NDArray[np.uint8]
Estimate = Callable[[Grey, Grey], Motion]


@dataclass(frozen=True, slots=True, kw_only=True)
class Growing(Pose):
    """A pose of a head that also comes nearer, by `growth`."""

    growth: float = 0.0

    def backward(self, points: Field) -> Field:
        x, y = self.x + self.shift[0], self.y + self.shift[1]
        nearer = np.stack([points[0] - x, points[1] - y]) * (1 - 1 / (1 + self.growth))
        still = Pose(x=self.x, y=self.y, angle=self.angle, shift=self.shift)
        return nearer + still.backward(points - nearer)

    def part(self, share: float) -> Pose:
        return self if share == 1 else Pose()


@dataclass(frozen=True, slots=True)
class Example:
    """Two frames, and what the pose alone does to each position of the second, backwards."""

    frame0: Grey
    frame1: Grey
    pose: Growing

    def error_px(self, motion: Motion) -> float:
        """Root mean square distance of a motion from the true one, over the face."""
        rows, columns = pixels_of((0.25, 0.2, 0.5, 0.65), self.frame0.shape)
        points = pixel_grid(SIZE)[:, rows, columns][:, ::8, ::8]
        there = np.einsum("ij,j...->i...", motion[:, :2], points) + motion[:, 2][:, None, None]
        back = there - self.pose.backward(there)
        return float(np.sqrt(((back - points) ** 2).sum(axis=0).mean()))


def example(identity: int, peak_px: float, *, turns: bool) -> Example:
    """A drawn face with a shift of up to 2 px, and where it turns, of half a degree and 0.4 % at most."""
    rng = np.random.default_rng([3, identity])
    units = [units for sets in EMOTIONS.values() for units in sets][identity % 7 % 6]
    bumps = expression(units, neutral_face(identity, SIZE * SUPERSAMPLING).landmarks, SIZE, peak_px, rng)
    heading, length = rng.uniform(0, 2 * np.pi), 2.0 * np.sqrt(rng.uniform())
    pose = Growing(
        x=SIZE / 2,
        y=0.7 * SIZE,
        shift=(float(length * np.cos(heading)), float(length * np.sin(heading))),
        angle=float(np.deg2rad(rng.uniform(-0.5, 0.5))) if turns else 0.0,
        growth=float(rng.uniform(-0.004, 0.004)) if turns else 0.0,
    )
    made = Performance(identity, SIZE, bumps, pose)
    still, moved = (cv2.cvtColor(made.frame(amount, amount), cv2.COLOR_RGB2GRAY) for amount in (0.0, 1.0))
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    head = np.clip((1 - ((x - 0.5) / 0.33) ** 2 - ((y - 0.53) / 0.43) ** 2) * 8, 0, 1)
    return Example(digitise(still, 1.0, rng), digitise(head * moved + (1 - head) * still, 1.0, rng), pose)


def ecc(kind: int) -> Estimate:
    """Evangelidis and Psarakis 2008, by OpenCV, over flowkit's region `inner`; an affine one as its similarity."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    rows, columns = pixels_of(parse_stabilise("translation").region, mask.shape)
    mask[rows, columns] = 255

    def estimate(frame0: Grey, frame1: Grey) -> Motion:
        found = np.eye(2, 3, dtype=np.float32)
        cv2.findTransformECC(frame0, frame1, found, kind, (3, 300, 1e-7), mask, 5)
        centre = np.array([columns.start + columns.stop, rows.start + rows.stop]) / 2
        p, q = (found[0, 0] + found[1, 1]) / 2, (found[1, 0] - found[0, 1]) / 2
        linear = np.array([[p, -q], [q, p]], dtype=np.float64)
        return np.column_stack([linear, found[:, :2] @ centre + found[:, 2] - linear @ centre])

    return estimate


def phase_correlation(frame0: Grey, frame1: Grey) -> Motion:
    """OpenCV's, under a Hann window, over flowkit's region `inner`."""
    cut = pixels_of(parse_stabilise("translation").region, frame0.shape)
    window = cv2.createHanningWindow(frame0[cut].shape[::-1], cv2.CV_32F)
    (u, v), _ = cv2.phaseCorrelate(*(frame[cut].astype(np.float32) for frame in (frame0, frame1)), window)
    return np.array([[1, 0, u], [0, 1, v]])


def ours(text: str) -> Estimate:
    return lambda frame0, frame1: head_motion(frame0, frame1, parse_stabilise(text))


METHODS: dict[str, Estimate] = {
    "none": lambda frame0, frame1: np.eye(2, 3),
    "phase correlation": phase_correlation,
    "ECC, translation": ecc(cv2.MOTION_TRANSLATION),
    "ECC, rigid": ecc(cv2.MOTION_EUCLIDEAN),
    "ECC, affine": ecc(cv2.MOTION_AFFINE),
    "translation:upper": ours("translation:upper"),
    "translation (inner)": ours("translation"),
    "similarity (inner)": ours("similarity"),
}


def table() -> str:
    """Mean error in pixels of each method, a column a kind of motion, as Markdown."""
    kinds = [(turns, peak) for turns in (False, True) for peak in (0.5, 2.0)]
    sets = {kind: [example(i, kind[1], turns=kind[0]) for i in FACES] for kind in kinds}
    heads = [f"{'shift and turn' if turns else 'shift'}, expression of {peak:g} px" for turns, peak in kinds]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(kinds) + 1) + "|"]
    for name, method in METHODS.items():
        cells = [_mean_error(method, sets[kind]) for kind in kinds]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _mean_error(method: Estimate, examples: list[Example]) -> str:
    errors, failed = [], 0
    for one in examples:
        try:
            errors.append(one.error_px(method(one.frame0, one.frame1)))
        except (FrameError, cv2.error):
            failed += 1
    return f"{np.mean(errors):.2f}" + (f" ({failed} failed)" if failed else "")


def draw_alignment() -> None:
    """Three drawn people, tilted and of several sizes: the frame with its square, the crop, the aligned face."""
    canvas = blank(620, 800)
    for i, (identity, tilt, side) in enumerate(((2, -14, 190), (5, 9, 150), (9, 4, 220))):
        eyes, frame = _posed(identity, np.deg2rad(tilt), side)
        face = Face(160 - 0.36 * side, 120 - 0.4 * side, 0.72 * side, 0.8 * side, eyes=eyes)
        box = crop(face, frame.shape[:2]).box
        shown = frame.copy()
        cv2.rectangle(
            shown, (box.left, box.top), (box.left + box.width - 1, box.top + box.height - 1), (220, 60, 40), 2
        )
        for x, y in eyes:
            cv2.circle(shown, (round(x), round(y)), 3, (40, 90, 220), -1)
        placed = align(face, frame.shape[:2], 176)
        assert placed.transform is not None
        aligned = warp(frame, placed.transform, placed.shape)
        x = 20 + 260 * i
        paste(canvas, cv2.resize(shown, (240, 180), interpolation=cv2.INTER_AREA), x, 36)
        paste(canvas, prepare(frame, box, (176, 176)), x, 240)
        paste(canvas, aligned, x, 436)
    for y, text in (
        (26, "frames, with the square around the face and its eyes"),
        (232, "--face-fit crop"),
        (430, "--face-fit align"),
    ):
        write_text(canvas, text, 20, y, px=13)
    write_picture(FIGURES / "faces-align.jpg", canvas)


def _posed(
    identity: int, tilt: float, side: int
) -> tuple[tuple[tuple[float, float], tuple[float, float]], NDArray[np.uint8]]:
    """The eyes of a drawn person in a frame of 240 x 320 px, and the frame."""
    looks = draw_looks(np.random.default_rng([0, identity]))
    picture = neutral_face(identity, 448).picture
    scale = side / 448
    matrix = scale * np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    move = np.array([160.0, 120.0]) - matrix @ [224, 224]
    whole = np.column_stack([matrix, move])
    small = cv2.warpAffine(picture, whole, (320, 240), flags=cv2.INTER_AREA, borderValue=(205, 205, 210))
    left, right = (matrix @ [448 * (0.5 + sign * looks.eye_dx), 448 * looks.eye_y] + move for sign in (-1, 1))
    return ((left[0], left[1]), (right[0], right[1])), np.clip(small, 0, 255).astype(np.uint8)


def draw_stabilising() -> None:
    """A smile of 1 px on a head that moves by 2: the flow as it is, without the head's motion, and the true smile."""
    identity, rng = 5, np.random.default_rng(1)
    bumps = expression(("12",), neutral_face(identity, SIZE * SUPERSAMPLING).landmarks, SIZE, 1.0, rng)
    made = Performance(identity, SIZE, bumps, Pose(shift=(1.7, -1.1)))
    frames = [digitise(cv2.cvtColor(made.frame(a, a), cv2.COLOR_RGB2GRAY), 1.0, rng) for a in (0.0, 1.0)]
    steady = without_motion(*frames, head_motion(*frames, parse_stabilise("translation")))
    flows = tvl1_flow(np.stack([frames[0]] * 2), np.stack([frames[1], steady]))
    smile = Performance(identity, SIZE, bumps, Pose()).flow(1.0, 0.0)
    canvas = blank(SIZE + 56, 4 * (SIZE + 20) + 20)
    pictures = [np.repeat(frames[0][..., None], 3, 2), *(flow_to_rgb(flow, 2.0) for flow in (*flows, smile))]
    names = ("the first frame", "flow", "--stabilise translation", "the smile alone, true")
    for i, (name, picture) in enumerate(zip(names, pictures, strict=True)):
        write_text(canvas, name, 20 + i * (SIZE + 20), 26, px=13)
        paste(canvas, picture, 20 + i * (SIZE + 20), 36)
    write_picture(FIGURES / "faces-stabilise.jpg", canvas)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", action="store_true")
    if parser.parse_args().pictures:
        draw_alignment()
        draw_stabilising()
    print(table())
