"""Why pairs have failed, told in a few lines."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import islice

from flowkit.errors import OutputError
from flowkit.output.commit import Commit
from flowkit.output.parquet import read_table
from flowkit.output.shard import expected_of
from flowkit.output.store import Place

MOST_REASONS = 5
MOST_FILES = 200
"""Files of failures that are read: where more parts have failures, those of the others go uncounted."""
_VARYING = re.compile(r"(?:/[^\s:;,()]+)+|[0-9]+")


def frequent_reasons(out: Place, commits: Iterable[Commit]) -> tuple[tuple[str, int], ...]:
    """The most frequent reasons in the failures of these parts, each with its number of pairs.

    A reason is an error without its clip's id. Errors that differ in paths and numbers alone are one reason, told as
    the first of them is.
    """
    counts: Counter[str] = Counter()
    told: dict[str, str] = {}
    for commit in islice((commit for commit in commits if commit.failed), MOST_FILES):
        file = commit.file("failures")
        if file is None:
            continue
        try:
            table = read_table(out / file.name, ["clip_id", "error"], expected_of(commit, file))
        except OutputError:  # to say so is for `flowkit verify`; this is a summary
            continue
        for clip_id, error in zip(table["clip_id"].to_pylist(), table["error"].to_pylist(), strict=True):
            reason = error.removeprefix(f"{clip_id}: ")
            kind = _VARYING.sub("#", reason)
            counts[kind] += 1
            told.setdefault(kind, reason)
    return tuple((told[kind], count) for kind, count in counts.most_common(MOST_REASONS))
