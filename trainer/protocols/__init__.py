"""Protocols: how the rows of a run are divided into folds.

Each is a function of the rows' people and datasets alone. No protocol looks at cubes, emotions or groups, so nothing
about a held-out person but being there decides what a fold trains on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from flowkit.errors import InputError
from trainer.folds import Fold
from trainer.protocols.composite import cde, megc2019
from trainer.protocols.cross import hde, leave_dataset_out
from trainer.protocols.kfold import kfold
from trainer.protocols.loso import loso, loso_per_dataset

Datasets = Sequence[str | None]
PROTOCOLS: Mapping[str, Callable[[Sequence[str], Datasets], list[Fold]]] = {
    "loso": loso,
    "cde": cde,
    "loso-per-dataset": loso_per_dataset,
    "hde": hde,
    "megc2019": megc2019,
    "cd6me": leave_dataset_out,
}
NAMES = (*PROTOCOLS, "kfold:K")


def split(protocol: str, people: Sequence[str], datasets: Datasets, seed: int = 0) -> list[Fold]:
    """The folds of a protocol by name, in a fixed order, whatever the order of the rows.

    Args:
        people: each row's person, as `trainer.folds.people` names them.
        datasets: each row's dataset.
        seed: which people go together in `kfold:K`; the others do not depend on it.

    Raises:
        InputError: for an unknown name, and for rows that the protocol cannot divide.
    """
    if len(datasets) != len(people):
        raise InputError(f"{len(datasets)} datasets for {len(people)} people: give one of each a row")
    kind, _, number = protocol.partition(":")
    if kind == "kfold" and number.isdecimal():
        return kfold(people, int(number), seed)
    if protocol not in PROTOCOLS:
        raise InputError(f"protocol={protocol!r} is unknown; choose one of {', '.join(NAMES)}")
    return PROTOCOLS[protocol](people, datasets)
