"""What guessing scores."""

from __future__ import annotations

from scipy.stats import binom


def hits_by_chance(rows: int, classes: int = 3, outside: float = 1e-3) -> tuple[int, int]:
    """Fewest and most hits of a guesser of equally frequent classes, but for a share `outside` of all guessers."""
    low, high = binom.interval(1 - outside, rows, 1 / classes)
    return int(low), int(high)
