"""Harm to the files of an output, for tests."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from flowkit.output.record import read_record, sealed


def flip_a_bit(path: Path, at: float = 0.5, bit: int = 1) -> None:
    """Flips one bit of the byte at this share of the file."""
    data = bytearray(path.read_bytes())
    data[math.floor(len(data) * at)] ^= bit
    path.write_bytes(data)


def reseal(path: Path, **changes: Any) -> None:
    """Changes values of a record, and its checksum with them: what only a fault of the writer would leave."""
    values, _ = read_record(path, "")
    path.write_text(sealed(values | changes))


def without_checksum(path: Path, **changes: Any) -> None:
    """Changes values of a record and leaves its checksum out, as records of schema version 1 have none."""
    values, _ = read_record(path, "")
    path.write_text(json.dumps(values | changes))


def rename_a_column(path: Path, name: str) -> None:
    """Flips a bit of a column's name in a Parquet file's footer, which has no checksum as pages have."""
    content = bytearray(path.read_bytes())
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    content[content.index(name.encode(), footer)] ^= 1
    path.write_bytes(content)
