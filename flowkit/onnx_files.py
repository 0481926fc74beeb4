"""Networks of the user's in ONNX files, for onnxruntime, and the digest of all that they compute with."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from flowkit.errors import InputError

_LOCATION = re.compile(rb"\x0a\x08location\x12(?:([\x00-\x7f])|([\x80-\xff])([\x00-\x7f]))")
"""In protobuf, of a tensor that is stored elsewhere: the key "location", and how long the name that follows it is."""


def onnx_session(runtime: Any, path: Path) -> Any:
    """A network on one thread of the CPU, quiet, by `runtime`, onnxruntime's module, whose errors it raises.

    It is opened by its path: weights may be in files beside it, as torch's exporter puts them.
    """
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def onnx_digest(path: Path, content: bytes) -> str:
    """SHA-256 of a network's file, and where its weights are in files beside it, of those too.

    Raises:
        InputError: if such a file is there and cannot be read; of one that is not, `onnx_session` raises.
    """
    digest = hashlib.sha256(content)
    for name in _perhaps_weights(content):
        weights = path.parent / name
        if not weights.is_file():
            continue
        try:
            with weights.open("rb") as file:
                digest.update(f"\n{name} {hashlib.file_digest(file, 'sha256').hexdigest()}".encode())
        except OSError as error:
            raise InputError(
                f"{str(path)!r} has weights in {name!r}, which cannot be read ({error.strerror}); make it readable"
            ) from error
    return digest.hexdigest()


def _perhaps_weights(content: bytes) -> list[str]:
    """What would be the names of files beside a network with its weights; a remark called "location" looks alike."""
    names = set()
    for found in _LOCATION.finditer(content):
        short, low, high = (part[0] if part else 0 for part in found.groups())
        length = short + (low & 0x7F) + (high << 7)
        names.add(content[found.end() : found.end() + length].decode("utf-8", "replace"))
    return sorted(name for name in names if name and "\0" not in name)
