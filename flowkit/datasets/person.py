"""Who is filmed: one name for one person, whatever dataset and subject code."""

from __future__ import annotations

from flowkit.datasets.contract import Dataset

UNKNOWN = {
    frozenset({"casme", "casme2", "cas_me2", "casme3a", "casme3c", "mmew", "dfme"}): (
        "recordings of one laboratory or its neighbours (CASME II and CAS(ME)2 certainly), and no list says who took "
        "part in several: a person is a dataset's subject here, so somebody held out may be in the training part under "
        "another name"
    )
}
"""Sets of datasets of which it is not known whether people are in several."""


def person_of(dataset: Dataset, subject: str) -> str:
    """The person behind a subject code: `samm/006`, for SAMM and for SAMM Long Videos, which filmed the same people."""
    return f"{dataset.people or dataset.name}/{subject}"


def unknown_people(datasets: set[str]) -> list[str]:
    """What is not known about the people of datasets that are used together, one sentence each."""
    return [
        f"{', '.join(sorted(datasets & together))}: {what}"
        for together, what in UNKNOWN.items()
        if len(datasets & together) > 1
    ]
