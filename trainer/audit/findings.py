"""What a check of the audit says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["leak", "warning", "passed", "not checked"]
ORDER: tuple[Verdict, ...] = ("leak", "warning", "not checked", "passed")


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
