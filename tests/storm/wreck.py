"""Damages to the bytes of a file."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Damage = Callable[[bytes, np.random.Generator], bytes]


def flip_bit(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    changed[rng.integers(len(changed))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def flip_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    changed = np.frombuffer(data, np.uint8).copy()
    where = rng.integers(len(changed), size=int(rng.integers(2, 20)))
    changed[where] = rng.integers(256, size=len(where))
    return changed.tobytes()


def zero_block(data: bytes, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(len(data)))
    length = min(int(rng.choice([1, 16, 512, 4096])), len(data) - start)
    return data[:start] + bytes(length) + data[start + length :]


def truncate(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(1, max(2, len(data))))]


def empty(data: bytes, rng: np.random.Generator) -> bytes:
    return b""


def lengthen(data: bytes, rng: np.random.Generator) -> bytes:
    return data + rng.bytes(int(rng.integers(1, 200)))


def cut_out(data: bytes, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(len(data)))
    return data[:start] + data[start + int(rng.integers(1, 64)) :]


def repeat_block(data: bytes, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(len(data)))
    block = data[start : start + int(rng.integers(1, 512))]
    return data[:start] + block + data[start:]


DAMAGES: dict[str, Damage] = {
    "a flipped bit": flip_bit,
    "changed bytes": flip_bytes,
    "a zeroed block": zero_block,
    "truncated": truncate,
    "emptied": empty,
    "bytes added": lengthen,
    "bytes cut out": cut_out,
    "a block repeated": repeat_block,
}


def wreck(data: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """The name of a damage, and the damaged bytes, which are others than before; `data` must not be empty."""
    while True:
        name = str(rng.choice(list(DAMAGES)))
        changed = DAMAGES[name](data, rng)
        if changed != data:
            return name, changed
