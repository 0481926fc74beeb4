"""How well keyframes are found, and how head motion harms it: the figures of docs/keyframes.md.

python -m benchmarks.study_keyframes [--clips N]

The demo's clips have nine frames, of which a guess in the middle is right within two. So clips of 41 frames are made,
too, by the demo's own code: the same faces, expressions, noise and peaks of 0.2 to 2 px, the apex anywhere from frame
11 to 31, and a head that shifts and turns steadily over the clip, by none, by as much as the demo's, and by more.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from flowkit.cpus import available_cpus
from flowkit.datasets import read_manifest
from flowkit.keyframes.metrics import METRICS
from flowkit.keyframes.reselect import Reselected, Rule, reselect
from flowkit.keyframes.spot import SpotRule, Spotted, activity, peak, spot
from flowkit.synthetic.dataset import make_dataset
from flowkit.synthetic.difficulty import DIFFICULTIES
from flowkit.synthetic.faces import neutral_face
from flowkit.synthetic.motion import expression, head_pose
from flowkit.synthetic.render import EMOTIONS, JPEG_QUALITY, SUPERSAMPLING, Performance, digitise
from tests.planted import APEX, OFFSET, ONSET, annotated, planted

EASY = DIFFICULTIES["easy"]
SIZE = 128
FRAMES = 41
APEXES = (11, 31)
HEADS = ((0.0, 0.0), (0.3, 0.15), (1.0, 0.5), (3.0, 1.5))
"""Of each condition: the largest shift (px) and turn (degrees) of the head between onset and offset."""
RULES = ("similarity", "none")


def main() -> None:
    """Prints two tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=48, help="of each condition of the second table")
    count = parser.parse_args().clips
    _reselection()
    _spotting(count)


def _reselection() -> None:
    """Every annotation that is off by up to three frames inwards, of one clip whose keyframes are planted."""
    print("| head drifts by | noise, grey levels | metric | all three exact | all within a frame | mean gain |")
    print("|---|---|---|---|---|---|")
    off = list(itertools.product(range(4), repeat=3))
    for drift_px, noise in itertools.product((0.0, 1.0, 4.0), (0.0, 1.0)):
        with tempfile.TemporaryDirectory() as folder:
            source = planted(Path(folder) / "clip", drift_px=drift_px, noise=noise)
            clips = [annotated(source, ONSET - i, APEX + j, OFFSET + k) for i, j, k in off]
            for metric in METRICS:
                found = reselect(clips, Rule(metric=metric), workers=available_cpus())
                good = [new for new in found if isinstance(new, Reselected)]
                moves = np.array([(n.onset - ONSET, n.apex - APEX, (n.offset or 0) - OFFSET) for n in good])
                exact, near = ((np.abs(moves) <= most).all(axis=1).sum() for most in (0, 1))
                gain = np.mean([new.gain for new in good])
                cells = [f"{drift_px:g} px", f"{noise:g}", metric, f"{exact} of {len(off)}", f"{near}", f"{gain:.3f}"]
                print(f"| {' | '.join(cells)} |", flush=True)
    print()


def _spotting(count: int) -> None:
    print("| clips | head taken out | exact | within 1 | within 2 | within 5 % | confidence: right within 2, and not |")
    print("|---|---|---|---|---|---|---|")
    _demo()
    for shift_px, degrees in HEADS:
        found: dict[str, list[tuple[Spotted, int]]] = {head: [] for head in RULES}
        for number in range(count):
            frames, apex = _clip(number, shift_px, degrees)
            for head in RULES:
                motion, strain = activity(iter(frames), SpotRule(head=head))
                found[head].append((peak(range(2, FRAMES + 1), motion, strain), apex))
        what = f"{count}, of {FRAMES} frames, head {shift_px:g} px and {degrees:g} degrees"
        for head in RULES:
            _row(what, head, found[head], FRAMES)


def _demo() -> None:
    for difficulty in ("hard", "easy"):
        with tempfile.TemporaryDirectory() as folder:
            clips = read_manifest(make_dataset(Path(folder), difficulty=difficulty))
            for head in RULES:
                found = spot(clips, SpotRule(head=head), workers=available_cpus())
                pairs = [
                    (new, clip.apex or 0) for new, clip in zip(found, clips, strict=True) if isinstance(new, Spotted)
                ]
                _row(f"the demo's {len(clips)}, of 9 frames{', easy' * (difficulty == 'easy')}", head, pairs, 9)


def _clip(number: int, shift_px: float, degrees: float) -> tuple[list[tuple[int, NDArray[Any]]], int]:
    """The frames of a clip, by number from 1, and its apex; all but the head is the same in each condition."""
    rng = np.random.default_rng([13, number])
    identity = number % 8
    emotion = list(EMOTIONS)[number // 8 % 3]
    units = EMOTIONS[emotion][rng.integers(len(EMOTIONS[emotion]))]
    landmarks = neutral_face(identity, SIZE * SUPERSAMPLING).landmarks
    bumps = expression(units, landmarks, SIZE, float(np.exp(rng.uniform(*np.log(EASY.peak_px)))), rng)
    apex = int(rng.integers(APEXES[0], APEXES[1] + 1))
    performance = Performance(identity, SIZE, bumps, head_pose(SIZE, shift_px, degrees, rng))
    return list(_frames(performance, apex, rng)), apex


def _frames(performance: Performance, apex: int, rng: np.random.Generator) -> Iterator[tuple[int, NDArray[Any]]]:
    for frame in range(1, FRAMES + 1):
        share = (frame - 1) / (apex - 1) if frame <= apex else (FRAMES - frame) / (FRAMES - apex)
        amplitude = float(np.sin(0.5 * np.pi * share) ** 2)
        grey = cv2.cvtColor(performance.frame(amplitude, (frame - 1) / (FRAMES - 1)), cv2.COLOR_RGB2GRAY)
        coded = simplejpeg.encode_jpeg(digitise(grey, EASY.noise, rng)[..., None], JPEG_QUALITY, "GRAY", "GRAY")
        yield frame, simplejpeg.decode_jpeg(coded, "GRAY")[..., 0]


def _row(what: str, head: str, found: list[tuple[Spotted, int]], frames: int) -> None:
    off = np.array([abs(new.apex - apex) for new, apex in found])
    confidence = np.array([new.confidence for new, _ in found])
    shares = [100 * np.mean(off <= most) for most in (0, 1, 2, 0.05 * frames)]
    right = off <= 2
    told = [f"{np.median(confidence[some]):.2f}" if some.any() else "none" for some in (right, ~right)]
    cells = [what, head, *(f"{share:.0f} %" for share in shares), ", ".join(told)]
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
