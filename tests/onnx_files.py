"""Small ONNX networks for tests, written byte by byte: one needs no package for a dozen protobuf fields."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FLOAT, _INT64 = 1, 7


def node(op: str, inputs: Sequence[str], output: str, **attributes: Sequence[int]) -> bytes:
    """A NodeProto; attributes are lists of whole numbers."""
    body = b"".join(_text(1, name) for name in inputs) + _text(2, output) + _text(3, output) + _text(4, op)
    for name, values in attributes.items():
        body += _field(5, _text(1, name) + b"".join(_number(8, value) for value in values) + _number(20, 7))
    return body


def model(
    shape: Sequence[int], nodes: Sequence[bytes], weights: dict[str, NDArray[Any]], outputs: dict[str, Sequence[int]]
) -> bytes:
    """A ModelProto with one float32 "input" of a shape, weights as float32 or int64, and outputs with their shapes."""
    graph = b"".join(_field(1, one) for one in nodes) + _text(2, "test")
    graph += b"".join(_field(5, _tensor(name, array)) for name, array in weights.items())
    graph += _field(11, _value("input", shape)) + b"".join(
        _field(12, _value(name, sides)) for name, sides in outputs.items()
    )
    return _number(1, 8) + _field(7, graph) + _field(8, _text(1, "") + _number(2, 13))


def _tensor(name: str, array: NDArray[Any]) -> bytes:
    kind = _INT64 if array.dtype == np.int64 else _FLOAT
    data = array.tobytes() if kind == _INT64 else array.astype(np.float32).tobytes()
    return b"".join(_number(1, side) for side in array.shape) + _number(2, kind) + _text(8, name) + _field(9, data)


def _value(name: str, shape: Sequence[int]) -> bytes:
    sides = b"".join(_field(1, _number(1, side)) for side in shape)
    return _text(1, name) + _field(2, _field(1, _number(1, _FLOAT) + (_field(2, sides))))


def _number(tag: int, value: int) -> bytes:
    return _varint(tag << 3) + _varint(value)


def _text(tag: int, text: str) -> bytes:
    return _field(tag, text.encode())


def _field(tag: int, body: bytes) -> bytes:
    return _varint(tag << 3 | 2) + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += struct.pack("B", value & 127 | 128)
        value >>= 7
    return out + struct.pack("B", value)
