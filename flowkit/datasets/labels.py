"""Ethnicity, group, age and gender from the columns that a lab has added to a sheet, with their source."""

from __future__ import annotations

from typing import Any

from flowkit.datasets.contract import Row, plain
from flowkit.datasets.tables import says_nothing

RACES = ("white", "black", "asian", "indian", "others")
"""What the codes 0 to 4 of a column Race stand for in the annotated sheets."""
GROUP_OF = {"white": "non_asian", "black": "non_asian", "asian": "asian", "indian": "asian", "others": "asian"}
"""The two groups of the joint CASME II and SAMM set; both "asian" codes are in one, whichever of them is which."""
_GROUPS = {"asian": "asian", "nonasian": "non_asian"}
_GENDERS = {"m": "male", "male": "male", "f": "female", "female": "female"}


def labels_of(row: Row) -> dict[str, Any]:
    """The labels that the row's own columns give, by field of `Clip`, and `label_source`, which says where they stand.

    A code or group that is none becomes a defect of the row, and no label. Nothing is guessed from other rows.
    """
    ethnicity, from_race = _ethnicity(row)
    group = _group(row)
    labels: dict[str, Any] = {"ethnicity": ethnicity, "group": group or GROUP_OF.get(ethnicity or "")}
    if group and ethnicity and group != GROUP_OF.get(ethnicity, group):
        row.note("group", f"the group is not that of {ethnicity}", "both are kept as they are written")
    labels["age"] = _said(row, "age")
    gender = _said(row, "gender")
    labels["gender"] = _GENDERS.get(plain(gender), gender) if gender else None
    source = {
        "ethnicity": _place(row, "race" if from_race else "ethnicity"),
        "group": _place(row, "group") if group else "ethnicity",
        "age": _place(row, "age"),
        "gender": _place(row, "gender"),
    }
    told = [f"{name} from {source[name]}" for name, value in labels.items() if value is not None]
    labels["label_source"] = f"{row.sheet.path.name}: {', '.join(told)}" if told else None
    return labels


def _place(row: Row, name: str) -> str:
    """Where a field stands, for people."""
    return f"the repair of {row.repaired[name]}" if name in row.repaired else f"column {row.columns.get(name)}"


def _ethnicity(row: Row) -> tuple[str | None, bool]:
    """The ethnicity, and whether it is from the column Race, before which only a repaired ethnicity goes."""
    code = _said(row, "race")
    if code is not None and "ethnicity" in row.repaired:
        if "race" in row.repaired:
            row.overridden("race", "the ethnicity is repaired, too")
        code = None
    if code is None:
        said = _said(row, "ethnicity")
        return (said.casefold() if said else None), False
    if code.isdecimal() and int(code) < len(RACES):
        return RACES[int(code)], True
    if code.casefold() in RACES:
        return code.casefold(), True
    row.note("race", f"none of the codes 0 to {len(RACES) - 1}", "no ethnicity is given to the clip", failed=True)
    return None, True


def _group(row: Row) -> str | None:
    said = _said(row, "group")
    if said is None or plain(said) in _GROUPS:
        return _GROUPS[plain(said)] if said else None
    row.note("group", "neither Asian nor Non-Asian", "no group is taken from it", failed=True)
    return None


def _said(row: Row, name: str) -> str | None:
    text = row.texts.get(name, "")
    return None if not text or says_nothing(text) else text
