"""The quality of a computed pair as an output holds it: its column, and a summary of many with named limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

NAMES = ("residual", "noise", "brightness", "gain", "left", "scatter_px")
QUALITY = pa.struct([pa.field(name, pa.float32(), nullable=False) for name in NAMES])
"""The type of a shard's column `quality`; docs/shards.md says what each is."""

Column = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Limit:
    """From where on a pair is worth a look, and how far from the ideal each of a column's values is."""

    most: float
    told: str
    """What lies beyond it, for people."""
    size: Callable[[Column], Column] = np.abs


LIMITS: Mapping[str, Limit] = {
    "residual": Limit(5.0, "residual above 5 grey levels"),
    "noise": Limit(4.0, "noise above 4 grey levels"),
    "brightness": Limit(3.0, "brightness changed by more than 3 grey levels"),
    "gain": Limit(0.02, "gain changed by more than 2 %", lambda gain: np.abs(gain - 1)),
    "left": Limit(0.05, "more than 5 % of the pixels left"),
    "scatter_px": Limit(0.05, "scatter above 0.05 px"),
}
"""The limits that `flowkit verify` counts by: beyond them a motion of 0.2 px is hardly to be told from its error."""


@dataclass(slots=True)
class QualitySummary:
    """Median, worst and how many lie beyond each limit, of the rows that were added."""

    rows: int = 0
    _columns: dict[str, list[Column]] = field(default_factory=lambda: {name: [] for name in NAMES})

    def add(self, column: pa.ChunkedArray) -> None:
        """Adds a shard's column; rows without a quality count for nothing."""
        array = column.combine_chunks().drop_null()
        self.rows += len(array)
        for name in NAMES:
            self._columns[name].append(array.field(name).to_numpy(zero_copy_only=False))

    def lines(self) -> list[str]:
        """The summary for people, a line for the values and one for each limit that rows lie beyond."""
        if not self.rows:
            return []
        values = {name: np.concatenate(self._columns[name]) for name in NAMES}
        told = [_told(name, values[name]) for name in ("residual", "noise", "brightness")]
        beyond = {name: int((limit.size(values[name]) > limit.most).sum()) for name, limit in LIMITS.items()}
        return [
            f"quality, median (worst): {', '.join(told)} grey levels",
            *(f"{count} of {self.rows} pairs: {LIMITS[name].told}" for name, count in beyond.items() if count),
        ]


def _told(name: str, values: Column) -> str:
    worst = values[np.argmax(LIMITS[name].size(values))]
    return f"{name} {np.median(values):.2f} ({worst:.2f})"


def quality_line(quality: Mapping[str, Any]) -> str:
    """One pair's quality for people."""
    return "   ".join(
        [
            f"residual {quality['residual']:.2f}",
            f"noise {quality['noise']:.2f}",
            f"brightness {quality['brightness']:+.2f}",
            f"gain {quality['gain']:.3f}",
            f"left {100 * quality['left']:.1f} %",
            f"scatter {quality['scatter_px']:.4f} px",
        ]
    )
