"""Action units as coders write them: numbers with sides, intensities, alternatives and remarks (FACS).

    4+7+L10    ref(7B)+43    (R6 or R12)+R15    10A/B    14or23    12L    AD38    4(k)    R14+17+soft focus    ?

A unit is never looked for as a piece of text: "1" is in "12".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from flowkit.datasets.tables import says_nothing

_UNIT = re.compile(
    r"(?P<kind>AU|AD|M)?\s*(?P<before>[LRABT])?\s*(?P<number>[0-9]{1,2})(?![0-9])\s*(?P<behind>[LRT]?[A-E]?(?![A-Z])|[A-E][LRT](?![A-Z]))?"
    r"(?P<more>(?:\s*/\s*[A-E](?![A-Z0-9]))*)(?P<weak>\s*\(k\))?(?P<doubt>\s*\?)?",
    re.IGNORECASE,
)
_GROUP = re.compile(r"(?P<ref>ref)?\s*\((?P<inside>[^()]*)\)(?P<doubt>\s*\?)?", re.IGNORECASE)
_OR = re.compile(r"\bor\b|(?<=[0-9A-E])or(?=[0-9LRABT])|/", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ActionUnit:
    """One coded unit."""

    number: int
    side: str | None = None
    """L left, R right, A asymmetric, B bottom, T top; None where both sides move."""
    intensity: str | None = None
    """A to E; "A/B" where the coder left it between two; "k", weak, in 4DME."""
    certain: bool = True
    """False for one of several alternatives, a query or a reference."""
    kind: str = "AU"
    """AU, or AD (action descriptor) or M (movement of head or eyes), whose numbers mean something else."""


@dataclass(frozen=True, slots=True)
class Coding:
    """What a cell says: its units in order, the words that are no unit, and the raw text."""

    units: tuple[ActionUnit, ...]
    rest: tuple[str, ...]
    raw: str

    def numbers(self) -> set[int]:
        """The numbers of its action units, uncertain ones included; descriptors and head movements are none."""
        return {unit.number for unit in self.units if unit.kind == "AU"}


def parse_units(text: str | None) -> Coding:
    """The units of an annotation's cell; any text is read, and what is no unit is in `rest`.

    A letter before the number is a side; behind it L, R and T are sides and A to E intensities, as FACS writes them.
    """
    raw = text or ""
    units: list[ActionUnit] = []
    rest: list[str] = []
    if raw.strip() not in ("", "0") and not says_nothing(raw.strip()):
        for token in _split(raw):
            _read(token, units, rest, certain=True)
    return Coding(tuple(units), tuple(rest), raw)


def is_coded(text: str | None) -> bool:
    """Whether a cell says which units are shown, or that none are ("0"); a blank, "?", NULL and the like do not."""
    said = (text or "").strip()
    return said not in ("", "?") and not says_nothing(said)


def _split(text: str) -> list[str]:
    """The tokens between + and , that are not within brackets, where all brackets are closed."""
    nested = text.count("(") == text.count(")")
    tokens, depth, start = [], 0, 0
    for place, letter in enumerate(text):
        depth = max(0, depth + (letter == "(") - (letter == ")"))
        if letter in "+,;" and not (nested and depth):
            tokens.append(text[start:place])
            start = place + 1
    return [token.strip() for token in [*tokens, text[start:]] if token.strip()]


def _read(token: str, units: list[ActionUnit], rest: list[str], *, certain: bool) -> None:
    if whole := _UNIT.fullmatch(token):
        units.append(_unit(whole, certain))
        return
    if group := _GROUP.fullmatch(token):
        sure = certain and not group["ref"] and not group["doubt"]
        for inner in _split(group["inside"]):
            _read(inner, units, rest, certain=sure)
        return
    parts = [part.strip() for part in _OR.split(token)]
    if len(parts) > 1 and all(map(_UNIT.fullmatch, parts)):
        for part in parts:
            _read(part, units, rest, certain=False)
        return
    rest.append(token)


def _unit(found: re.Match[str], certain: bool) -> ActionUnit:
    side, intensity = found["before"], None
    for letter in (found["behind"] or "").upper():
        if letter in "LRT":
            side = letter
        else:
            intensity = letter
    more = re.findall("[A-E]", found["more"].upper())
    if intensity and more:
        intensity = "/".join([intensity, *more])
    return ActionUnit(
        int(found["number"]),
        side.upper() if side else None,
        "k" if found["weak"] else intensity,
        certain and not found["doubt"],
        (found["kind"] or "AU").upper(),
    )
