"""What a disk may hold after a power loss: a file system that promises what POSIX does, and no more.

- A file's data is safe up to its last sync. Of what was written later all may be there, none, a random part, or blocks
  of zeros.
- A name (made, moved or removed) is safe once its folder was synced. A later change may be there or not, each for
  itself and in any order; a rename is there as a whole or not at all.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.storm.trace import Call

BLOCK = 512
HARSH, LAX, ANY = "nothing unsynced is kept", "names are kept, data is torn", "some names are kept, data is torn"
MODES = (HARSH, LAX, ANY)


@dataclass(slots=True)
class Node:
    """A file or a folder: what is in it, and what of that is safe."""

    folder: bool = False
    now: bytearray = field(default_factory=bytearray)
    safe: bytes = b""


Change = list[tuple[str, Node | None]]
"""What one call does to names: each path and what it then stands for."""


class Disk:
    """A file system that calls are played to, from what was safe on it before."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.names: dict[str, Node] = {}
        self.safe_names: dict[str, Node] = {}
        self._pending: list[Change] = []
        self._open: dict[int, tuple[Node, str]] = {}
        if root.exists():
            for path in sorted(root.rglob("*")):
                data = b"" if path.is_dir() else path.read_bytes()
                self.names[str(path)] = Node(path.is_dir(), bytearray(data), data)
        self.safe_names.update(self.names)

    def play(self, call: Call) -> None:
        """Does what a call did."""
        if call.what == "o":
            self._open_file(call)
        elif call.what == "w":
            node = self._open[call.file][0]
            node.now.extend(bytes(max(0, call.at - len(node.now))))
            node.now[call.at : call.at + len(call.data)] = call.data
        elif call.what == "t":
            node = self._open[call.file][0]
            node.now[:] = bytes(node.now[: call.flags]).ljust(call.flags, b"\0")
        elif call.what == "s":
            self._sync(*self._open[call.file])
        elif call.what == "c":
            self._open.pop(call.file, None)
        else:
            self._rename(call)

    def state(self, mode: str, rng: np.random.Generator) -> dict[str, bytes | None]:
        """What may be on the disk if the power goes now: each path's bytes, None for a folder."""
        names = dict(self.safe_names)
        kept = [change for change in self._pending if mode == LAX or (mode == ANY and rng.random() < 0.5)]
        if mode == ANY and rng.random() < 0.3:
            rng.shuffle(kept)  # type: ignore[arg-type]
        for change in kept:
            for path, node in change:
                _set(names, path, node)
        found: dict[str, bytes | None] = {}
        for path, node in sorted(names.items()):
            parent = str(Path(path).parent)
            if parent != self.root and found.get(parent, b"") is not None:
                continue  # its folder is not there
            found[path] = None if node.folder else _torn(node, mode, rng)
        return found

    def contents(self) -> dict[str, bytes | None]:
        """What is there while the power is on."""
        return {path: None if node.folder else bytes(node.now) for path, node in self.names.items()}

    def _open_file(self, call: Call) -> None:
        node = self.names.get(call.path)
        if node is None and call.flags & os.O_CREAT:
            node = Node()
            self._change([(call.path, node)])
        if node is None:
            node = Node(folder=True)  # the root itself, or a folder above it
        elif call.flags & os.O_TRUNC:
            node.now.clear()
        self._open[call.file] = (node, call.path)

    def _sync(self, node: Node, path: str) -> None:
        if not node.folder:
            node.safe = bytes(node.now)
            return
        # Of a rename between two folders, the sync of either makes the whole safe.
        still = []
        for change in self._pending:
            if any(str(Path(name).parent) == path for name, _ in change):
                for name, entry in change:
                    _set(self.safe_names, name, entry)
            else:
                still.append(change)
        self._pending = still

    def _rename(self, call: Call) -> None:
        if call.what == "m":
            self._change([(call.path, Node(folder=True))])
        elif call.what == "u":
            self._change([(call.path, None)])
        elif call.what == "l":
            self._change([(call.to, self.names[call.path])])
        elif call.what == "r":
            moved = self.names[call.path]
            self._change([(call.path, None), (call.to, moved)])

    def _change(self, change: Change) -> None:
        for path, node in change:
            _set(self.names, path, node)
        self._pending.append(change)


def lay_out(state: dict[str, bytes | None]) -> None:
    """Makes a state real; nothing may be there yet."""
    for path, data in sorted(state.items()):
        if data is None:
            Path(path).mkdir(parents=True)
        else:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_bytes(data)


def _set(names: dict[str, Node], path: str, node: Node | None) -> None:
    if node is None:
        names.pop(path, None)
    else:
        names[path] = node


def _torn(node: Node, mode: str, rng: np.random.Generator) -> bytes:
    now = bytes(node.now)
    if now == node.safe:
        return now
    choice = rng.integers(5)
    if mode == HARSH or choice == 0:
        return node.safe
    if choice == 1:
        return now[: int(rng.integers(len(now) + 1))]
    if choice == 2:
        return bytes(len(now))
    if choice == 3:
        torn = bytearray(now)
        for start in range(0, len(torn), BLOCK):
            if rng.random() < 0.5:
                end = min(start + BLOCK, len(torn))
                torn[start:end] = bytes(end - start)
        return bytes(torn)
    return now
