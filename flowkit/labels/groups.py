"""From ethnicities to the groups that are compared."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from flowkit.datasets.labels import GROUP_OF
from flowkit.datasets.revision import Revision
from flowkit.datasets.tables import csv_lines, csv_text
from flowkit.errors import InputError
from flowkit.labels.columns import CORRECTED, MODEL, put_labels, sources

_MAPPED = re.compile(rf"(?:{MODEL}, )?mapping .+ of ethnicity \(|[^:]*: ethnicity from .*\bgroup from ethnicity(?:,|$)")
"""The sources of a group that came from the clip's own ethnicity: by `map_groups`, or by a sheet without groups."""


def read_mapping(text: str) -> tuple[str, Mapping[str, str]]:
    """A mapping's name and content: `paper` (Khor et al., ICMEW 2025), or a CSV with the columns ethnicity and group.

    Raises:
        InputError: for a file that cannot be read, a column or cell that is missing, or an ethnicity that occurs twice.
    """
    if text == "paper":
        return "paper", GROUP_OF
    path = Path(text)
    try:
        content = csv_text(path)
    except (OSError, ValueError) as error:
        raise InputError(f"mapping {text!r} cannot be read as CSV: {error}; give a file, or paper") from error
    mapping: dict[str, str] = {}
    for where, cells in csv_lines(path, content, ("ethnicity", "group"))[1]:
        ethnicity, group = (cells.get(name, "") for name in ("ethnicity", "group"))
        if not (ethnicity and group):
            raise InputError(f"{where}: ethnicity {ethnicity!r}, group {group!r}; each line gives both")
        if ethnicity.casefold() in mapping:
            raise InputError(f"{where}: ethnicity {ethnicity!r} occurs a second time; keep one")
        mapping[ethnicity.casefold()] = group.casefold()
    if not mapping:
        raise InputError(f"{path} maps nothing; give it the columns ethnicity and group, a line each")
    return path.name, mapping


def map_groups(
    revision: Revision, name: str, mapping: Mapping[str, str], codes: Sequence[str] = ()
) -> tuple[Counter[str | None], int, int]:
    """Sets each clip's group by its ethnicity, but not one that a person has corrected.

    A clip without an ethnicity keeps the group that it has, unless that came from an ethnicity, which is gone then.

    Args:
        name: of the mapping, which becomes part of the groups' source.
        codes: what ethnicities that are written as 0, 1, 2, ... stand for, in this order; they are replaced.

    Returns:
        Clips by group, how many groups were others before, and how many stay as a person has corrected them.

    Raises:
        InputError: for an ethnicity that the mapping lacks.
    """
    if codes:
        _name_codes(revision, codes)
    ethnicities = revision.texts("ethnicity")
    unknown = Counter(e for e in ethnicities if e is not None and e.casefold() not in mapping)
    if unknown:
        most, count = unknown.most_common(1)[0]
        remedy = "say what the codes stand for (--codes)" if most.isdecimal() else f"add it to the mapping {name}"
        raise InputError(f"ethnicity {most!r} ({count} clips) has no group; {remedy}")
    grounds, said = sources(revision, "ethnicity"), [source or "" for source in sources(revision, "group")]
    corrected = [source.startswith(CORRECTED) for source in said]
    values: dict[int, str | None] = {
        i: None if ethnicity is None else mapping[ethnicity.casefold()]
        for i, ethnicity in enumerate(ethnicities)
        if not corrected[i] and (ethnicity is not None or _MAPPED.match(said[i]))
    }
    told = {i: f"{_marked(grounds[i])}mapping {name} of ethnicity ({grounds[i] or 'none'})" for i in values}
    changed = put_labels(revision, "group", values, told, who=dict.fromkeys(values, "flowkit annotate map"))
    return Counter(revision.texts("group")), changed, sum(corrected)


def _marked(source: str | None) -> str:
    """A group that rests on a guess is one, and says so first."""
    return f"{MODEL}, " if source and source.startswith(MODEL) else ""


def _name_codes(revision: Revision, codes: Sequence[str]) -> None:
    values: dict[int, str | None] = {}
    for i, ethnicity in enumerate(revision.texts("ethnicity")):
        if ethnicity is not None and ethnicity.isdecimal():
            if int(ethnicity) >= len(codes):
                clip_id = revision.clips[i].clip_id
                raise InputError(
                    f"{clip_id}: ethnicity code {ethnicity} is none of the {len(codes)} codes; name it, too"
                )
            values[i] = codes[int(ethnicity)]
    order = ", ".join(f"{i} {name}" for i, name in enumerate(codes))
    grounds = sources(revision, "ethnicity")
    told = {i: f"{grounds[i]}, codes read as {order}" for i in values}
    put_labels(revision, "ethnicity", values, told, who=dict.fromkeys(values, "flowkit annotate map"))
