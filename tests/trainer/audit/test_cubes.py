"""Copies of a recording and strain along wrong axes are found in cubes, and nothing in clean ones."""

import tracemalloc

import numpy as np
import pytest

from flowkit.motion.strain import strain_magnitude
from trainer.audit.cubes import near_identical, strain_axes
from trainer.data import resize, strain_of
from trainer.folds import Fold

CLASSES = ("negative", "positive", "surprise")


def test_copies_count_where_one_trains_the_other(rng):
    """Two people of one dataset with one recording are held out together where the dataset is."""
    cubes = np.array([drawn(rng) for _ in range(6)])
    cubes[2] = cubes[0]
    clips, people = list("abcdef"), ["p", "p", "q", "q", "r", "r"]
    together = [Fold(0, "A", np.array([4, 5]), np.arange(4)), Fold(1, "B", np.arange(4), np.array([4, 5]))]
    apart = [Fold(0, "p", np.array([2, 3]), np.array([0, 1])), Fold(1, "q", np.array([0, 1]), np.arange(2, 6))]
    assert near_identical(cubes, clips, people, apart).verdict == near_identical(cubes, clips, people).verdict == "leak"
    finding = near_identical(cubes, clips, people, together)
    assert (finding.verdict, finding.examples) == ("warning", ("a and c",))
    assert "none trains the other's fold" in finding.told


def test_near_identical_cubes(rng):
    cubes = rng.normal(size=(8, 3, 48, 48)).astype(np.float32)
    cubes = np.array([[np.cumsum(np.cumsum(p, 0), 1) for p in cube] for cube in cubes]).astype(np.float32)
    clips, people = [f"c{i}" for i in range(8)], list("aabbccdd")
    assert near_identical(cubes, clips, people).verdict == "passed"
    cubes[7] = 1.1 * cubes[0] + rng.normal(size=cubes[0].shape).astype(np.float32)
    assert near_identical(cubes, clips, people).examples == ("c0 and c7",)
    assert near_identical(cubes, clips, people).verdict == "leak"
    assert near_identical(cubes, clips, ["a"] * 8).verdict == "warning"


@pytest.mark.parametrize("values", [1, 40, 1 << 20])
def test_copies_are_found_wherever_the_blocks_that_are_compared_end(rng, monkeypatch, values):
    """Three clips are one; a fourth has two pairs, which may be alike."""
    monkeypatch.setattr("trainer.audit.cubes.BLOCK_VALUES", values)
    cubes = np.array([drawn(rng) for _ in range(12)])
    cubes[[5, 11]], cubes[8] = cubes[2], cubes[7]
    clips = [f"c{i}" for i in range(12)]
    clips[8] = "c7"
    found = near_identical(cubes, clips, list("abcdefghijkl"))
    assert (found.verdict, found.told[:36]) == ("leak", "3 pairs of clips of different people")
    assert found.examples == ("c2 and c5", "c2 and c11", "c5 and c11")
    found = near_identical(cubes, clips, list("aaaaaaaaaaaa"))
    assert (found.verdict, found.examples) == ("warning", ("c2 and c5", "c2 and c11", "c5 and c11"))
    found = near_identical(np.repeat(cubes[:1], 12, axis=0), clips, list("aaaaaabbbbbb"))
    assert found.examples == ("c0 and c6", "c0 and c7", "c0 and c7", "c0 and c9", "c0 and c10", "and 31 more")


def test_the_memory_of_comparing_cubes_does_not_grow_with_the_square_of_their_number(rng, monkeypatch):
    monkeypatch.setattr("trainer.audit.cubes.SIDE", 8)
    cubes = rng.normal(size=(4000, 3, 9, 9)).astype(np.float32)
    names = [str(i) for i in range(len(cubes))]
    tracemalloc.start()
    assert near_identical(cubes, names, names).verdict == "passed"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(cubes) ** 2 * 8  # one number for every two


def drawn(rng, side=64, strength=0.3):
    """A motion of its own, (3, side, side): five bumps of some tenths of a pixel."""
    y, x = np.mgrid[:side, :side] / side
    cube = np.zeros((3, side, side), dtype=np.float32)
    for row, column, u, v in zip(*rng.uniform(0.15, 0.85, (2, 5)), *rng.normal(0, strength, (2, 5)), strict=True):
        cube[:2] += np.multiply.outer([u, v], np.exp(-((x - column) ** 2 + (y - row) ** 2) / 0.02))
    return cube


def test_the_same_turn_of_the_head_makes_no_copies(rng):
    """As in a study where all look up: the turn is much the larger motion, and what is shown is everybody's own."""
    y, x = np.mgrid[:64, :64] - 31.5
    turn = np.deg2rad(3) * np.stack([-y, x, np.zeros_like(x)])
    cubes = np.array([drawn(rng, strength=0.15) + turn * rng.uniform(0.95, 1.05) for _ in range(12)], dtype=np.float32)
    cubes[:, :2] += rng.normal(0, 0.01, cubes[:, :2].shape)
    clips, people = [f"c{i}" for i in range(12)], [f"p{i}" for i in range(12)]
    assert near_identical(cubes, clips, people).verdict == "passed"
    cubes[11] = cubes[0]
    cubes[11, :2] += rng.normal(0, 0.01, cubes[11, :2].shape)
    assert near_identical(cubes, clips, people).examples == ("c0 and c11",)


@pytest.mark.parametrize("change", ["noise", "cropped", "larger"])
def test_copies_that_were_worked_on_are_found(rng, change):
    whole = np.array([drawn(rng, side=96) for _ in range(6)])
    cubes = whole[:, :, 2:-2, 2:-2].copy()
    match change:
        case "noise":
            cubes[5] = cubes[0] + rng.normal(0, 0.03, cubes[0].shape)
        case "cropped":
            cubes[5] = whole[0, :, 3:-1, 1:-3]
        case "larger":
            cubes[5] = 1.08 * cubes[0]
    assert near_identical(cubes, list("abcdef"), list("ABCDEF")).examples == ("a and f",)
    cubes[5] = 2 * cubes[0]  # as strong again: another motion
    assert near_identical(cubes, list("abcdef"), list("ABCDEF")).verdict == "passed"


def test_strain_along_the_wrong_axes(rng):
    flows = rng.normal(size=(4, 2, 32, 32))
    flows = np.cumsum(np.cumsum(flows, axis=2), axis=3).astype(np.float32)
    right, swapped = (
        np.stack([np.stack([*flow, strain_of(flow, swapped=way)]) for flow in flows]) for way in (False, True)
    )
    assert strain_axes(right).verdict == "passed"
    assert strain_axes(swapped).verdict == "slip"
    noise = np.concatenate([flows, rng.random((4, 1, 32, 32), dtype=np.float32)], axis=1)
    assert strain_axes(noise).verdict == "not checked"
    assert strain_axes(np.zeros_like(noise)).verdict == "not checked"


@pytest.mark.parametrize("height", [24, 48, 96])
@pytest.mark.parametrize("swapped", [False, True])
def test_strain_of_cubes_that_had_another_aspect_ratio(rng, height, swapped):
    """It keeps the values of the grid before, where u and v changed by other lengths from pixel to pixel."""
    flows = [resize(drawn(rng, side=96), (height, 96))[:2] for _ in range(6)]
    cubes = np.array([resize(np.stack([*flow, strain_of(flow, swapped=swapped)]), (32, 32)) for flow in flows])
    assert strain_axes(cubes, [(height, 96)]).verdict == ("slip" if swapped else "passed")
    assert strain_axes(cubes, [(height, 96), (height * 2, 96)]).verdict == "not checked"


def test_strain_that_is_alike_either_way_tells_nothing(rng):
    y, x = np.mgrid[:32, :32] / 32
    wave = np.stack([np.sin(5 * (x + y))] * 2).astype(np.float32)
    noise = rng.normal(0, 0.01, (32, 32)).astype(np.float32)
    found = strain_axes(np.stack([*wave, strain_of(wave) + noise])[None])
    assert found.verdict == "not checked"
    assert found.told.endswith(": too alike to tell")


@pytest.mark.parametrize(("variant", "verdict"), [("standard", "passed"), ("meb", "slip")])
def test_the_strain_that_meb_has_is_known_by_its_axes(rng, variant, verdict):
    """It takes zeros to lie outside of the image, and so is largest at the edge wherever a head has moved."""
    flows = np.array([2 + drawn(rng)[:2] for _ in range(6)], dtype=np.float32)
    strain = strain_magnitude(flows, variant, device="cpu")
    assert strain_axes(np.concatenate([flows, strain[:, None]], axis=1)).verdict == verdict
