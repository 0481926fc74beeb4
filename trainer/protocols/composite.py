"""Composite databases: people of several datasets in one pool, each held out once (CDE)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from flowkit.errors import InputError
from trainer.folds import Fold
from trainer.protocols.loso import loso

MEGC2019 = {"casme2": 145, "samm": 133, "smic": 164}
"""Clips with one of the three emotions in each dataset (See et al., MEGC 2019): 442 of 68 people."""


def cde(people: Sequence[str], datasets: Sequence[str | None]) -> list[Fold]:
    """Leave-one-person-out over the rows of at least two datasets; InputError where there is one."""
    found = sorted({name or "unnamed" for name in datasets})
    if len(found) < 2:
        raise InputError(f"the composite protocol needs at least two datasets, found {', '.join(found) or 'none'}")
    return loso(people, datasets)


def megc2019(people: Sequence[str], datasets: Sequence[str | None]) -> list[Fold]:
    """Leave-one-person-out over exactly casme2, samm and smic; InputError for any other set of datasets.

    That the numbers of clips are those of the challenge (`MEGC2019`) is not demanded; `composition` tells.
    """
    found = {megc_name(name) for name in datasets}
    if found != set(MEGC2019):
        names = ", ".join(sorted({name or "unnamed" for name in datasets}))
        raise InputError(f"megc2019 needs the datasets casme2, samm and smic, found {names}; choose with --datasets")
    return loso(people, datasets)


def megc_name(dataset: str | None) -> str:
    """A dataset's name as the challenge has it: of SMIC's parts it is the high-speed one, smic_hs or smic-hs."""
    name = (dataset or "unnamed").lower()
    return "smic" if name.replace("-", "_") in ("smic", "smic_hs") else name


def composition(datasets: Sequence[str | None], clips: Sequence[str]) -> dict[str, tuple[int, int]]:
    """For each dataset of the challenge the number of clips here and there, of rows with their dataset and clip_id."""
    here = Counter(name for name, _ in {(megc_name(name), clip) for name, clip in zip(datasets, clips, strict=True)})
    return {name: (here[name], there) for name, there in MEGC2019.items()}
