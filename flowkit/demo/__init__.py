"""A small licence-free dataset with known motion, and the tour of flowkit that it makes possible.

flowkit.demo.run(Path("demo"))                                          # as the command flowkit demo
frame0, frame1, flow = flowkit.demo.facial_pair(0, 1.0, 128, seed=1)    # one pair with its true flow
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from flowkit.demo.render import facial_pair

if TYPE_CHECKING:
    from flowkit.demo.dataset import make_dataset
    from flowkit.demo.tour import run

_MODULES = {"make_dataset": "flowkit.demo.dataset", "run": "flowkit.demo.tour"}

__all__ = ["facial_pair", "make_dataset", "run"]


def __getattr__(name: str) -> Any:
    """The dataset and the tour are imported when first asked for; a facial pair needs fewer packages."""
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
