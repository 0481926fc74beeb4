"""What can go wrong with one clip while its frames are read: sources that do it, in whichever process reads them."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowkit.extraction.plan import Part
from flowkit.output.verify import verify
from flowkit.output.writer import remove_temporary


@dataclass
class Faulty:
    """A source of frames that begins each reading with a fault."""

    source: Any
    fault: Callable[[], None]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.source, name)

    def only(self, numbers: Any) -> Faulty:
        return Faulty(self.source.only(numbers), self.fault)

    def read(self, numbers: Any, **options: Any) -> Any:
        self.fault()
        return self.source.read(numbers, **options)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang() -> None:
    time.sleep(3600)


def refuse() -> None:
    raise PermissionError(13, "Permission denied")


def exhaust() -> None:
    raise MemoryError


def surprise() -> None:
    raise ZeroDivisionError("division by zero\nin two lines")


def with_fault(part: Part, clip_id: str, fault: Callable[[], None]) -> Part:
    """The part, whose clip of this id has the fault."""
    sources = part.sources | {clip_id: Faulty(part.sources[clip_id], fault)}
    return dataclasses.replace(part, sources=sources)


def is_sound(out: Path) -> bool:
    """Whether an output is whole once what killed workers were writing is removed, as `extract` does at its end."""
    remove_temporary(out, alone=True)
    return verify(out).ok
