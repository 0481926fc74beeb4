"""What a check of the audit says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["leak", "slip", "warning", "passed", "not checked"]
"""leak: held-out people had a part in what predicts them. slip: features, labels or the network are not what they are
said to be."""
ORDER: tuple[Verdict, ...] = ("leak", "slip", "warning", "not checked", "passed")


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


def shortened(names: list[str], most: int = 5) -> tuple[str, ...]:
    """The first few names, and how many more there are."""
    more = (f"and {len(names) - most} more",) if len(names) > most else ()
    return (*names[:most], *more)
