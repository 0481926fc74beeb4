"""A case of the storm: what was done, how it ended, and whether that is what the docs promise."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

Fault = TypeVar("Fault")


class Broken(Exception):
    """A promise that was not kept; its text says which, and what was seen."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case ended that kept every promise."""

    group: str
    """The table's row: what was done."""
    ending: str
    """The table counts these."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """A line of the journal."""

    kind: str
    index: int
    group: str
    ending: str
    broken: str
    """The promise that was not kept, or empty."""
    detail: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def drawn(rng: np.random.Generator, faults: Mapping[str, tuple[float, Fault]]) -> Fault:
    """One of the faults, each of which stands with its share of all cases."""
    return faults[str(rng.choice(list(faults), p=[share for share, _ in faults.values()]))][1]


def rng_of(seed: int, kind: str, index: int) -> np.random.Generator:
    """The case's own random numbers: it is the same whichever cases ran before it."""
    return np.random.default_rng([seed, zlib.crc32(kind.encode()), index])
