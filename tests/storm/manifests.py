"""Manifests that were edited badly: one sentence and exit code 2, or rows and failure rows, and never a long wait."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.clips import frame_folder
from tests.storm.case import Broken, Outcome
from tests.storm.launcher import Launcher
from tests.storm.scene import require_accounted
from tests.storm.wreck import wreck

CPU_S = 10.0
MEMORY_BYTES = 8 << 30
HEADER = [
    "clip_id",
    "source",
    "dataset",
    "subject",
    "fps",
    "frame_base",
    "onset",
    "apex",
    "offset",
    "emotion",
    "defects",
]
CELLS = (
    *(
        "0",
        "-1",
        "1",
        "3",
        "6",
        "7",
        "1e3",
        "2.5",
        "999999999999999",
        "9223372036854775807",
        "1" * 400,
        "-0",
        "+3",
        "03",
    ),
    *("nan", "inf", "-inf", "1e308", "1e-320", "0x10", "1_000", "١٢", "½", "NULL", "None", "True"),
    *(
        "",
        " ",
        "\t",
        "\x00",
        "\x1b[31m",
        "\u202eabc",
        "\ufeff",
        "a\nb",
        "a\r",
        '"',
        "'",
        ";",
        ";;",
        ",",
        "\ud7ff",
        "é" * 9,
    ),
    *(
        "../..",
        "/",
        ".",
        "~",
        "clip0",
        "clip0/",
        "clip0/../clip1",
        "/dev/null",
        "/dev/zero",
        "/proc/self/mem",
        "http://x/y",
    ),
    *("a" * 300, "a" * 70000, "clip0\x00", "storm/s0", "storm/../..", "%s%n", "{0}", "$(true)", "=1+1"),
)
Rows = list[list[Any]]


class Editor:
    """Mutates a manifest of three clips, and extracts it."""

    def __init__(self, launcher: Launcher, folder: Path) -> None:
        self.launcher = launcher
        self.data = folder / "manifests"
        for i in range(3):
            frame_folder(self.data / f"clip{i}", range(1, 7), size=(24, 24), seed=i)

    def case(self, rng: np.random.Generator, folder: Path) -> Outcome:
        """One mutated manifest, extracted."""
        kind = str(rng.choice(["CSV", "Parquet"], p=[0.65, 0.35]))
        manifest = folder / f"manifest.{kind.lower()}"
        for i in range(3):
            (folder / f"clip{i}").symlink_to(self.data / f"clip{i}")
        what = (_write_csv if kind == "CSV" else _write_parquet)(manifest, rng)
        pairs = str(rng.choice(["onset-apex", "onset-all", "lag:1", "lag:0.1s", "onset-apex-offset"]))
        words = ("extract", manifest, "-o", folder / "out", "--pairs", pairs, "--preset", "fast", "--workers", "1")
        told = f"{manifest.name}: {what}, {pairs}"
        try:
            ended = self.launcher.run(*words, cpu_limit_s=CPU_S, limits={"RLIMIT_AS": MEMORY_BYTES})
            ending = require_accounted(folder / "out", ended)
            if any(ord(sign) < 32 and sign != "\n" for sign in ended.stderr):
                raise Broken(f"control characters reach the terminal: {ended}")
        except Broken as broken:
            shown = repr(manifest.read_bytes()[:400]) if kind == "CSV" else ""
            raise Broken(f"{told}: {broken} {shown}") from None
        return Outcome(f"{kind}: {what.split(':')[0]}", ending, told)


def _base() -> Rows:
    return [[f"storm/s{i}/c{i}", f"clip{i}", "storm", f"s{i}", 200, 1, 1, 3, 6, "happiness", "a;b"] for i in range(3)]


def _text(rows: Rows, separator: str = ",") -> str:
    return "".join(separator.join(map(str, row)) + "\n" for row in [HEADER, *rows])


def _write_csv(path: Path, rng: np.random.Generator) -> str:
    name = str(rng.choice(list(CSV_EDITS)))
    path.write_bytes(CSV_EDITS[name](_base(), rng))
    return name


def _cells(rows: Rows, rng: np.random.Generator) -> bytes:
    header = list(HEADER)
    for _ in range(rng.integers(1, 4)):
        rows[rng.integers(len(rows))][rng.integers(len(header))] = str(rng.choice(CELLS))
    return _text(rows).encode("utf-8", errors="surrogatepass")


def _quoted_cells(rows: Rows, rng: np.random.Generator) -> bytes:
    rows[rng.integers(len(rows))][rng.integers(len(HEADER))] = '"' + str(rng.choice(CELLS)).replace('"', '""') + '"'
    return _text(rows).encode("utf-8", errors="surrogatepass")


def _numbers(rows: Rows, rng: np.random.Generator) -> bytes:
    row = rows[rng.integers(len(rows))]
    for column in rng.choice([4, 5, 6, 7, 8], rng.integers(1, 4), replace=False):
        row[column] = int(rng.integers(-9, 9)) * 10 ** int(rng.integers(0, 15))
    return _text(rows).encode()


def _columns(rows: Rows, rng: np.random.Generator) -> bytes:
    lines = [list(HEADER), *rows]
    at = int(rng.integers(len(HEADER)))
    edit = int(rng.integers(4))
    for line in lines:
        if edit == 0:
            del line[at]
        elif edit == 1:
            line.insert(at, line[int(rng.integers(len(line)))] if line is not lines[0] else line[at])
        elif edit == 2 and line is lines[0]:
            line[at] = str(rng.choice(["", " ", "Clip_ID", "\ufeffclip_id", "source ", "x" * 200, "clip_id"]))
        elif edit == 3 and line is not lines[0] and rng.random() < 0.5:
            line.pop()
    return "".join(",".join(map(str, line)) + "\n" for line in lines).encode()


def _rows(rows: Rows, rng: np.random.Generator) -> bytes:
    edit = int(rng.integers(5))
    if edit == 0:
        rows.append(rows[0])
    elif edit == 1:
        rows.clear()
    elif edit == 2:
        rows = rows * 2
    elif edit == 3:
        rows += [[f"storm/n{i}", *rows[0][1:]] for i in range(2000)]
    else:
        rows.insert(1, [""] * len(HEADER))
    return _text(rows).encode()


def _separator(rows: Rows, rng: np.random.Generator) -> bytes:
    return _text(rows, str(rng.choice([";", "\t", "|", " ", ",,", ", "]))).encode()


def _encoding(rows: Rows, rng: np.random.Generator) -> bytes:
    rows[0][3] = "Zoë 王"
    encoding = str(rng.choice(["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "latin-1", "gb18030", "cp037", "utf-7"]))
    return _text(rows).encode(encoding, errors="replace")


def _line_ends(rows: Rows, rng: np.random.Generator) -> bytes:
    return _text(rows).replace("\n", str(rng.choice(["\r", "\r\n", "\n\n", "\n\r", "\v", "\u2028", ""]))).encode()


def _bytes(rows: Rows, rng: np.random.Generator) -> bytes:
    return wreck(_text(rows).encode(), rng)[1]


CSV_EDITS: dict[str, Callable[[Rows, np.random.Generator], bytes]] = {
    "cells": _cells,
    "quoted cells": _quoted_cells,
    "numbers": _numbers,
    "columns": _columns,
    "rows": _rows,
    "separator": _separator,
    "encoding": _encoding,
    "line ends": _line_ends,
    "bytes": _bytes,
}


def _write_parquet(path: Path, rng: np.random.Generator) -> str:
    columns: dict[str, Any] = dict(zip(HEADER, zip(*_base(), strict=True), strict=True))
    columns["defects"] = [["a", "b"], [], None]
    table = pa.table(columns)
    what = str(rng.choice(["bytes", "types", "values", "columns", "row groups"]))
    at = int(rng.integers(len(HEADER)))
    if what == "types":
        values = PARQUET_VALUES[rng.integers(len(PARQUET_VALUES))]
        table = table.set_column(at, HEADER[at], [values])
    elif what == "values":
        values = [str(cell) for cell in rng.choice(CELLS, 3)]
        table = table.set_column(at, HEADER[at], [pa.array(values)])
    elif what == "columns":
        table = table.drop_columns([HEADER[at]]) if rng.random() < 0.5 else table.append_column(HEADER[at], table[at])
    elif what == "row groups":
        table = pa.concat_tables([table] * 2) if rng.random() < 0.5 else table.slice(0, 0)
    pq.write_table(table, path)
    if what == "bytes":
        path.write_bytes(wreck(path.read_bytes(), rng)[1])
    return what


PARQUET_VALUES = [
    pa.nulls(3),
    pa.array([1, 2, 3]),
    pa.array([1.5, float("nan"), float("inf")]),
    pa.array([2**63, 0, 1], pa.uint64()),
    pa.array([True, False, None]),
    pa.array([b"\xff\xfe", b"", b"a"]),
    pa.array([["a"], ["b"], None]),
    pa.array([{"a": 1}, {"a": 2}, None]),
    pa.array([0, 1, 2], pa.timestamp("us")),
    pa.array(["a", "b", "a"]).dictionary_encode(),
    pa.array(["1", None, ""]),
    pa.array([1, 2, 3], pa.decimal128(5, 2)),
]
