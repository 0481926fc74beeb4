"""The record that trace.c makes of a run: every call that changed a file below a folder, in order."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

_HEAD = struct.Struct("<c7x3q4I")


@dataclass(frozen=True, slots=True)
class Call:
    """One call.

    what: "o"pen, "w"rite, "s"ync, "t"runcate, "c"lose of an open `file`; "r"ename, "l"ink, "u"nlink, "m"ake a folder
        of `path`.
    at: where `data` was written; `flags` of an open, or the length after a truncation.
    """

    what: str
    file: int
    at: int
    flags: int
    path: str
    to: str
    data: bytes


def build_recorder(folder: Path) -> Path:
    """Compiles trace.c; the library to preload."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise RuntimeError("power losses need a C compiler to record system calls; install gcc, or set CC")
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / "trace.so"
    source = Path(__file__).with_name("trace.c")
    command = (compiler, "-O1", "-shared", "-fPIC", "-pthread", "-o", str(library), str(source), "-ldl")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{source.name} does not compile: {done.stderr}")
    return library


def read_trace(path: Path) -> list[Call]:
    """All calls of a trace."""
    data, at, calls = path.read_bytes(), 0, []
    while at < len(data):
        what, file, where, flags, first, second, size, _ = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        texts = data[at : at + first].decode(), data[at + first : at + first + second].decode()
        at += first + second
        calls.append(Call(what.decode(), file, where, flags, *texts, data[at : at + size]))
        at += size
    return calls
