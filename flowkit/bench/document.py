"""A benchmark's JSON: what was measured, of which software, on which machine."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import flowkit._core as _core
from flowkit.bench.timing import Measurement
from flowkit.motion.flow import thread_count
from flowkit.params import PRESETS

SCHEMA = "flowkit-bench 1"


def document(
    measured: Sequence[Measurement], absent: Mapping[str, str], *, commit: str | None = None
) -> dict[str, Any]:
    """All that is known about a run, ready for JSON.

    Args:
        absent: the peers that were left out, and why.
        commit: of the source, where there is one.
    """
    return {
        "schema": SCHEMA,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "flowkit": _core.version,
        "commit": commit,
        "simd": _core.simd_level(),
        "processor": processor(),
        "cpus": thread_count(None),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version(), "opencv": cv2.__version__, "numpy": np.__version__},
        "presets": {name: params.to_dict() for name, params in PRESETS.items()},
        "absent": dict(absent),
        "measurements": [measurement.to_dict() for measurement in measured],
    }


def processor() -> str:
    """The processor's name; with family and model where the kernel tells them, since a name may say too little."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    found = dict(reversed(re.findall(r"^(model name|cpu family|model)\s*: (.+)$", text, re.MULTILINE)))
    if "model name" not in found:
        return platform.processor() or platform.machine()
    return f"{found['model name']} (family {found.get('cpu family', '?')} model {found.get('model', '?')})"


def machine_name() -> str:
    """Names a machine's file of results, as "amd-epyc-family-26-model-2-x86-64-v4-2cpu"."""
    text = f"{processor()} {_core.simd_level()} {thread_count(None)}cpu"
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
