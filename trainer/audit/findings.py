"""What a check of the audit says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["leak", "slip", "warning", "passed", "not checked"]
"""leak: held-out people had a part in what predicts them. slip: features, labels or the network are not what they are
said to be."""
ORDER: tuple[Verdict, ...] = ("leak", "slip", "warning", "not checked", "passed")
EXAMPLES = 5
"""A finding has so many examples."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check: its verdict, one sentence with the values, and up to five examples."""

    check: str
    verdict: Verdict
    told: str
    examples: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """All by name, ready for JSON."""
        return {"check": self.check, "verdict": self.verdict, "told": self.told, "examples": list(self.examples)}


def shortened(names: list[str], of: int | None = None) -> tuple[str, ...]:
    """The first few names, and how many more there are: `of` in all, where `names` has the first of them only."""
    count = len(names) if of is None else of
    more = (f"and {count - EXAMPLES} more",) if count > EXAMPLES else ()
    return (*names[:EXAMPLES], *more)
