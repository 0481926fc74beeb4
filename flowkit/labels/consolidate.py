"""One label a person: the majority of what their clips say, with the votes and the ties in sight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from flowkit.datasets.filmed import filmed_in
from flowkit.datasets.revision import Revision
from flowkit.errors import InputError
from flowkit.labels.columns import CORRECTED, MODEL, put_labels, sources

TIES = ("leave", "probability")
BASES = ("corrected", "given", "guess")
"""What is voted on, the first that a person's clips have: a person's correction outweighs an annotation, and an
annotation a model's guess."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person's clips say."""

    person: str
    clips: int
    basis: str | None
    """One of `BASES`; None where nothing is said."""
    votes: tuple[tuple[str, int], ...]
    """Labels, the most frequent first, with how many clips say so."""
    label: str | None
    """None for a tie that is left, and where nothing is said."""

    @property
    def tied(self) -> bool:
        """Whether the most frequent label is not alone."""
        return len(self.votes) > 1 and self.votes[0][1] == self.votes[1][1]

    @property
    def text(self) -> str:
        """The votes, as manifests keep them."""
        return ("tie: " if self.tied else "") + ", ".join(f"{label} {count}" for label, count in self.votes)


def consolidate(revision: Revision, label: str, ties: str = "leave") -> tuple[list[Verdict], int]:
    """Gives all clips of a person the label that most of them have, in lower case.

    Where the votes are equal the clips keep what they have, unless `ties` is `probability`: then the label whose
    guesses are more probable together, among guesses only. A clip whose label a person has taken away stays without
    one, and has no vote.

    Returns:
        The verdicts, in the order in which people first occur, and how many labels were others before.

    Raises:
        InputError: for another word for ties.
    """
    if ties not in TIES:
        raise InputError(f"ties {ties!r} is unknown; choose {', '.join(TIES)}")
    people: dict[str, list[int]] = {}
    for i, clip in enumerate(revision.clips):
        people.setdefault(filmed_in(clip), []).append(i)
    written, guesses = revision.texts(label), revision.texts(f"{label}_guess")
    said = [text and text.casefold() for text in written]
    labelled, guessed = sources(revision, label), revision.texts(f"{label}_guess_source")
    probable = revision.column(f"{label}_guess_probability")
    values: dict[int, str | None] = {}
    told: dict[int, str] = {}
    verdicts = []
    for person, places in people.items():
        voting = [i for i in places if said[i] is not None or labelled[i] is None]
        basis, voices = _voices(voting, said, labelled, guesses)
        verdict = _verdict(person, len(places), basis, voices, ties, probable)
        verdicts.append(verdict)
        if verdict.label is None:
            continue
        agreeing = [i for i, voice in voices.items() if voice == verdict.label]
        texts = guessed if basis == "guess" else labelled
        grounds = " | ".join(sorted({texts[i] or "" for i in agreeing}))
        for i in voting:
            if basis == "guess" or written[i] != verdict.label:
                values[i] = verdict.label
                told[i] = _source(basis, len(agreeing), len(places), verdict.tied, grounds)
    who = dict.fromkeys(values, "flowkit annotate consolidate")
    changed = put_labels(revision, label, values, told, who=who)
    texts_of = {verdict.person: verdict.text or None for verdict in verdicts}
    revision.put(f"{label}_votes", [texts_of[filmed_in(clip)] for clip in revision.clips])
    return verdicts, changed


def _voices(
    places: Sequence[int],
    said: Sequence[str | None],
    labelled: Sequence[str | None],
    guesses: Sequence[str | None],
) -> tuple[str | None, dict[int, str]]:
    """On what basis is voted, and what the clips say, by place."""
    given = {i: value for i in places if (value := said[i]) is not None and not _begins(labelled[i], MODEL)}
    corrected = {i: value for i, value in given.items() if _begins(labelled[i], CORRECTED)}
    guess = {i: value for i in places if (value := guesses[i]) is not None}
    return next(
        ((basis, some) for basis, some in zip(BASES, (corrected, given, guess), strict=True) if some), (None, {})
    )


def _verdict(
    person: str,
    clips: int,
    basis: str | None,
    voices: dict[int, str],
    ties: str,
    probable: Sequence[float | None],
) -> Verdict:
    votes = sorted(Counter(voices.values()).items(), key=lambda vote: (-vote[1], vote[0]))
    verdict = Verdict(person, clips, basis, tuple(votes), votes[0][0] if votes else None)
    if not verdict.tied:
        return verdict
    label = None
    if ties == "probability" and basis == "guess":
        rivals = [name for name, count in votes if count == votes[0][1]]
        sums = {name: sum(probable[i] or 0.0 for i, voice in voices.items() if voice == name) for name in rivals}
        best = [name for name in rivals if sums[name] == max(sums.values())]
        label = best[0] if len(best) == 1 else None
    return Verdict(person, clips, basis, tuple(votes), label)


def _source(basis: str | None, agreeing: int, clips: int, tied: bool, grounds: str) -> str:
    by = "more probable of a tie" if tied else "majority"
    begins = {"guess": f"{MODEL}, ", "corrected": f"{CORRECTED}, "}.get(basis or "", "")
    return f"{begins}{by}, {agreeing} of {clips} clips of the person: {grounds}"


def _begins(text: str | None, word: str) -> bool:
    return text is not None and text.startswith(word)
