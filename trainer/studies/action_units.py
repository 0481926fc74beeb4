"""Which action units go with which group, within each emotion: counted by parsed units, tested by person.

Khor et al. (ICMEW 2025) look for a unit as a piece of text, by which AU 1 is also in "12", and test with chi-squared
over clips, as if the clips of one person were so many people. `substring` counts as they do. Here groups are permuted
over people, who keep all their clips, and p is corrected for the number of tests (Holm, 1979).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import chi2_contingency

from flowkit.datasets.action_units import is_coded, parse_units
from flowkit.errors import InputError

Present = Callable[[str | None, int], bool]
PERMUTATIONS = 5000


def parsed(text: str | None, unit: int) -> bool:
    """Whether an annotation names the unit, read by the grammar of action units."""
    return unit in parse_units(text).numbers()


def substring(text: str | None, unit: int) -> bool:
    """The slip of the released code: whether the digits stand anywhere in the text."""
    return str(unit) in (text or "")


def unit_by_group(
    au: Sequence[str | None],
    emotion: Sequence[str],
    person: NDArray[np.str_],
    first_group: NDArray[np.bool_],
    units: Sequence[int],
    *,
    present: Present = parsed,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> pa.Table:
    """A row for each emotion and unit that at least one of its clips shows.

    A clip whose units are not coded (None, blank, ?, NULL) may show any, and is left out.

    Args:
        au, emotion, person, first_group: (n,), a clip each; a person is of one group.

    Returns:
        Columns emotion, au; first and second, clips with the unit; of_first and of_second, clips; p_people, two-sided,
        of the difference of the groups' mean share a person, with groups permuted over people; p_holm; p_clips,
        chi-squared with clips taken for independent, as the paper has it, null where a margin is empty.

    Raises:
        InputError: where the columns are not equally long.
    """
    if not len(au) == len(emotion) == len(person) == len(first_group):
        raise InputError(f"{len(au)} au, {len(emotion)} emotions, {len(person)} people: give one of each a clip")
    annotated = np.array([is_coded(text) for text in au])
    lines = []
    for name in sorted(set(emotion)):
        rows = np.array([each == name for each in emotion]) & annotated
        for unit in units:
            shown = np.array([present(text, unit) for text in au]) & rows
            if shown.any():
                lines.append(_line(name, unit, shown[rows], person[rows], first_group[rows], permutations, seed))
    for line, corrected in zip(lines, _holm([float(line["p_people"]) for line in lines]), strict=True):
        line["p_holm"] = corrected
    order = ("emotion", "au", "first", "of_first", "second", "of_second", "p_people", "p_holm", "p_clips")
    return pa.Table.from_pylist([{key: line[key] for key in order} for line in lines])


def _line(
    emotion: str,
    unit: int,
    shown: NDArray[np.bool_],
    person: NDArray[np.str_],
    first: NDArray[np.bool_],
    permutations: int,
    seed: int,
) -> dict[str, Any]:
    people, owner = np.unique(person, return_inverse=True)
    share = np.bincount(owner, weights=shown) / np.bincount(owner)
    of_first = np.zeros(len(people), dtype=bool)
    of_first[owner] = first
    counts = np.array([[shown[first].sum(), (~shown[first]).sum()], [shown[~first].sum(), (~shown[~first]).sum()]])
    full = bool((counts.sum(axis=0) > 0).all() and (counts.sum(axis=1) > 0).all())
    return {
        "emotion": emotion,
        "au": unit,
        "first": int(counts[0, 0]),
        "of_first": int(counts[0].sum()),
        "second": int(counts[1, 0]),
        "of_second": int(counts[1].sum()),
        "p_people": _permuted(share, of_first, permutations, seed),
        "p_clips": float(chi2_contingency(counts).pvalue) if full else None,
    }


def _permuted(share: NDArray[np.float64], of_first: NDArray[np.bool_], permutations: int, seed: int) -> float:
    """Two-sided p of the difference of mean shares, with the groups permuted over the people; 1 for a lone group."""
    if of_first.all() or not of_first.any():
        return 1.0
    observed = abs(share[of_first].mean() - share[~of_first].mean())
    generator = np.random.default_rng(seed)
    orders = generator.permuted(np.tile(of_first, (permutations, 1)), axis=1)
    firsts = of_first.sum()
    sums = orders @ share
    differences = np.abs(sums / firsts - (share.sum() - sums) / (len(share) - firsts))
    return float(((differences >= observed - 1e-12).sum() + 1) / (permutations + 1))


def _holm(ps: Sequence[float]) -> list[float]:
    """p-values after Holm's step-down correction, in the order given."""
    corrected = [0.0] * len(ps)
    highest = 0.0
    for rank, i in enumerate(sorted(range(len(ps)), key=lambda k: ps[k])):
        highest = max(highest, min(1.0, ps[i] * (len(ps) - rank)))
        corrected[i] = highest
    return corrected
