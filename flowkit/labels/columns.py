"""The columns of a label in a manifest: its value, who says so, what it was before.

A label's `..._source` begins with `MODEL` where it rests on a model's guesses, and with `CORRECTED` where a person has
set it, or has taken it away; anything else is as an annotation gave it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from flowkit.datasets.revision import Revision
from flowkit.errors import InputError

LABELS = ("ethnicity", "group", "age", "gender")
MODEL = "model guess"
CORRECTED = "corrected"
UNSAID = "the manifest, which does not say from where"
_WITHIN = re.compile(rf"; (?=(?:{'|'.join(LABELS)}): )")


def require_label(name: str) -> None:
    """An InputError for a column that is no label."""
    if name not in LABELS:
        raise InputError(f"column {name!r} is no label; choose {', '.join(LABELS)}")


def sources(revision: Revision, label: str) -> list[str | None]:
    """Of each clip who says its label, or has taken it away; None for a clip of whose label nobody has said anything.

    A label that has no source of its own has that of `label_source`, which is of all the clip's labels: it is all that
    shards keep.
    """
    shared = revision.texts("label_source")
    own = revision.texts(f"{label}_source")
    return [
        _source(value, one, all_ or "", label)
        for value, one, all_ in zip(revision.texts(label), own, shared, strict=True)
    ]


def put_labels(
    revision: Revision,
    label: str,
    values: Mapping[int, str | None],
    told: Mapping[int, str],
    *,
    first: bool = False,
    **why: Mapping[int, str],
) -> int:
    """Sets the label of some clips with its source, and keeps what was there before in the column `..._changes`.

    Args:
        values: by the clip's place in the manifest.
        told: the source of each; of a label that is taken away it stays only where a person has done it.
        first: whether a label where there was none stands in that column, too, and not in its source alone.
        why: more that a change says, such as `who`, by place.

    Returns:
        How many clips had another label before; those that had none are not counted.

    Raises:
        InputError: for a cell of changes that is not what we write.
    """
    said = {name: sources(revision, name) for name in LABELS}
    olds, current = revision.texts(label), list(revision.texts(label))
    changes, known = revision.texts(f"{label}_changes"), _changes(revision, label)
    changed = 0
    for i, value in values.items():
        old = olds[i]
        current[i] = value
        changed += old is not None and old != value
        if old != value and (first or old is not None):
            entry: dict[str, Any] = {"from": old, "from_source": said[label][i], "to": value, "to_source": told[i]}
            entry |= {name: texts[i] for name, texts in why.items()}
            changes[i] = json.dumps([*known[i], entry], ensure_ascii=False)
        said[label][i] = _source(value, told[i], "", label)
    revision.put(label, current)
    revision.put(f"{label}_changes", changes)
    for name in LABELS:
        revision.put(f"{name}_source", said[name])
    revision.put("label_source", [_joined(revision, said, i) for i in range(len(current))])
    return changed


def changes_of(revision: Revision, label: str) -> list[tuple[str, dict[str, Any]]]:
    """(clip_id, change) of all changes, in the clips' order; an InputError for a cell that is not what we write."""
    each = zip(revision.clips, _changes(revision, label), strict=True)
    return [(clip.clip_id, change) for clip, changes in each for change in changes]


def _changes(revision: Revision, label: str) -> list[list[dict[str, Any]]]:
    """The changes of each clip; an InputError as `changes_of`."""
    found = []
    for clip, cell in zip(revision.clips, revision.texts(f"{label}_changes"), strict=True):
        try:
            found.append([dict(entry) for entry in json.loads(cell or "[]")])
        except (ValueError, TypeError) as error:
            raise InputError(
                f"{revision.source}, clip {clip.clip_id!r}: {label}_changes is {(cell or '')[:60]!r}, no list of "
                "changes; restore or empty the cell"
            ) from error
    return found


def _source(value: str | None, own: str | None, shared: str, label: str) -> str | None:
    """Who says a clip's label, by its own source, else by its part of `label_source`, else by all of that."""
    parts = _parts(shared)
    source = own or parts.get(label)
    if value is None:
        return source if source and source.startswith(CORRECTED) else None
    return source or ("" if parts else shared) or UNSAID


def _parts(shared: str) -> dict[str, str]:
    """What `_joined` made, by label; nothing where a `label_source` is another text."""
    first, *parts = re.split(rf"(?:^|; )({'|'.join(LABELS)}): ", shared)
    return {} if first else dict(zip(parts[::2], parts[1::2], strict=True))


def _joined(revision: Revision, said: Mapping[str, list[str | None]], i: int) -> str | None:
    """All sources of a clip's labels in one text, as shards have it; what would begin a part within one does not."""
    parts = ((name, text) for name, texts in said.items() if (text := texts[i]) is not None)
    return "; ".join(f"{name}: {_WITHIN.sub(', ', text)}" for name, text in parts) or None
