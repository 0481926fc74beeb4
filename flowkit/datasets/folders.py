"""Where the clips of a dataset lie below a root: by the names of its layout, case and padding of numbers aside."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from flowkit.errors import InputError
from flowkit.frames import is_video

DEPTH = 3
"""So many folders below the given root the layout may begin: ROOT/Cropped/sub01, ROOT/CASME2/CASME2-RAW/sub01."""


class Folders:
    """The folders and videos below a root, each folder listed once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._below: dict[str, dict[str, list[str]]] = {}

    def resolve(self, base: Path, relative: str) -> list[Path]:
        """The folders, or videos, that a relative path of a layout may mean: one where all is well.

        Each part is taken by its exact name, else by names that differ in case or in the padding of numbers only. A
        part that ends in "*" takes folders whose names go on behind it, but not with a digit.
        """
        found = [str(base)]
        for part in relative.split("/"):
            found = [os.path.join(folder, name) for folder in found for name in self._named(folder, part)]  # noqa: PTH118
        return [Path(folder) for folder in found]

    def _named(self, folder: str, part: str) -> list[str]:
        below = self._list(folder)
        if part.endswith("*"):
            start = _normal(part[:-1])
            keys = [key for key in below if key.startswith(start) and not is_video(key)]
            names = [name for key in keys for name in below[key]]
            return [name for name in names if not _normal(name)[len(start) :][:1].isdigit()]
        names = below.get(_normal(part), [])
        return [part] if part in names else names

    def _list(self, folder: str) -> dict[str, list[str]]:
        if folder not in self._below:
            names: dict[str, list[str]] = {}
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if not entry.name.startswith(".") and (entry.is_dir() or _is_video_file(entry)):
                            names.setdefault(_normal(entry.name), []).append(entry.name)
            except OSError:
                pass  # no folder, or one that may not be listed: what is in it is not found, and said to be missing
            self._below[folder] = names
        return self._below[folder]

    def bases(self, firsts: set[str]) -> Iterator[Path]:
        """The folders, at most `DEPTH` below the root, that hold one of the names with which a layout begins."""
        level = [str(self.root)]
        for _ in range(DEPTH + 1):
            deeper: list[str] = []
            for folder in level:
                below = self._list(folder)
                if any(self._named(folder, first) for first in firsts):
                    yield Path(folder)
                else:  # a layout does not begin within itself
                    deeper += [
                        os.path.join(folder, name)  # noqa: PTH118
                        for names in below.values()
                        for name in names
                    ]
            level = deeper


def place(folders: Folders, layouts: Sequence[Iterable[str]]) -> tuple[Path, int]:
    """Where below the root a dataset lies: the folder in which its layout begins, and which of its layouts it is.

    Args:
        layouts: of each layout the relative paths of all clips.

    Raises:
        InputError: where none of the clips' folders is found, or several copies of them.
    """
    found: list[tuple[int, Path, int]] = []
    for which, paths in enumerate(layouts):
        paths = list(dict.fromkeys(paths))
        firsts = {path.split("/")[0] for path in paths}
        for base in folders.bases(firsts):
            count = sum(1 for path in paths if folders.resolve(base, path))
            if count:
                found.append((count, base, which))
    if not found:
        first = next(iter(layouts[0]), "")
        raise InputError(
            f"none of the clips' folders is below {str(folders.root)!r} (the first would be "
            f"{str(folders.root / first)!r}); give the folder that holds them as ROOT"
        )
    count, base, which = max(found, key=lambda one: (one[0], -one[2]))
    rivals = {other for number, other, _ in found if 2 * number > count and other != base and not _nested(other, base)}
    if rivals:
        told = ", ".join(sorted(repr(str(folder)) for folder in {base, *rivals}))
        raise InputError(f"the clips lie in several folders ({told}); give the one that you mean as ROOT")
    return base, which


def _nested(a: Path, b: Path) -> bool:
    """Whether one lies in the other: then both are the same clips, by a longer and a shorter layout."""
    return a.is_relative_to(b) or b.is_relative_to(a)


def _is_video_file(entry: os.DirEntry[str]) -> bool:
    return is_video(entry.name) and entry.is_file()


def _normal(name: str) -> str:
    # Macs write a letter and its accent as two characters, spreadsheets as one.
    composed = unicodedata.normalize("NFC", name).casefold()
    return re.sub("[0-9]+", lambda digits: str(int(digits[0])), composed)
