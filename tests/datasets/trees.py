"""Datasets as they are downloaded, invented: annotation files in the real formats, and folders of tiny frames."""

from __future__ import annotations

import csv
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openpyxl

FRAME = cv2.imencode(".jpg", np.full((12, 16, 3), (40, 90, 160), np.uint8))[1].tobytes()
Rows = Sequence[Sequence[Any]]


def frames(folder: Path, numbers: Iterable[int], name: str = "img{}.jpg") -> Path:
    """A folder of frames of these numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / name.format(number)).write_bytes(FRAME)
    return folder


def xlsx(path: Path, sheets: Mapping[str, Rows]) -> Path:
    """A workbook; None is an empty cell, numbers are numbers."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    book.save(path)
    return path


def comma(path: Path, rows: Rows) -> Path:
    """A CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["" if cell is None else cell for cell in row] for row in rows])
    return path


def xls(path: Path, sheets: Mapping[str, Rows]) -> Path:
    """A workbook of Excel 97: BIFF8 records ([MS-XLS]) as the stream Workbook of a compound file ([MS-CFB])."""
    bodies = [_worksheet(rows) for rows in sheets.values()]
    names = [name.encode("latin-1") for name in sheets]
    head = _record(0x0809, struct.pack("<HHHHII", 0x0600, 0x0005, 0, 0, 0, 0))
    start = len(head) + sum(4 + 8 + len(name) for name in names) + 4
    globals_ = head
    for name, body in zip(names, bodies, strict=True):
        globals_ += _record(0x0085, struct.pack("<IBBBB", start, 0, 0, len(name), 0) + name)
        start += len(body)
    path.write_bytes(_compound(globals_ + _record(0x000A, b"") + b"".join(bodies)))
    return path


def _worksheet(rows: Rows) -> bytes:
    body = _record(0x0809, struct.pack("<HHHHII", 0x0600, 0x0010, 0, 0, 0, 0))
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            if isinstance(cell, str):
                text = cell.encode("utf-16-le")
                body += _record(0x0204, struct.pack("<HHHHB", i, j, 0, len(text) // 2, 1) + text)
            elif cell is not None:
                body += _record(0x0203, struct.pack("<HHHd", i, j, 0, cell))
    return body + _record(0x000A, b"")


def _record(kind: int, data: bytes) -> bytes:
    return struct.pack("<HH", kind, len(data)) + data


def _compound(stream: bytes) -> bytes:
    """A compound file of one stream: header, one sector of allocation table, one of directory, then the stream."""
    stream = stream.ljust(4096, b"\0")
    sectors = -(-len(stream) // 512)
    assert sectors < 120, "one sector of allocation table holds no more"
    table = [0xFFFFFFFD, 0xFFFFFFFE, *range(3, sectors + 2), 0xFFFFFFFE]
    table += [0xFFFFFFFF] * (128 - len(table))
    header = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16) + struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6)
    header += struct.pack("<IIIIIIIII", 0, 1, 1, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0)
    header += struct.pack("<109I", 0, *[0xFFFFFFFF] * 108)
    entries = _entry("Root Entry", 5, 1, 0xFFFFFFFE, 0) + _entry("Workbook", 2, 0xFFFFFFFF, 2, len(stream))
    return header + struct.pack("<128I", *table) + entries.ljust(512, b"\0") + stream.ljust(sectors * 512, b"\0")


def _entry(name: str, kind: int, child: int, start: int, size: int) -> bytes:
    text = (name + "\0").encode("utf-16-le")
    return struct.pack("<64sHBBIII16xI8x8xIQ", text, len(text), kind, 1, 0xFFFFFFFF, 0xFFFFFFFF, child, 0, start, size)
