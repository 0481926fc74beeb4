"""What is left open between two readings, so that the second goes on where the first has come to."""

from __future__ import annotations

import threading
from typing import Protocol


class Closing(Protocol):
    """Something that is open."""

    def close(self) -> None: ...


class Opened:
    """The place for what was read last and may be read on; threads may share it, and who takes it out has it alone."""

    def __init__(self) -> None:
        self._kept: Closing | None = None
        self._lock = threading.Lock()

    def take(self) -> Closing | None:
        """What is there, which then is not any more."""
        with self._lock:
            kept, self._kept = self._kept, None
        return kept

    def leave(self, new: Closing) -> None:
        """Leaves this open, and closes what was left before."""
        with self._lock:
            kept, self._kept = self._kept, new
        if kept is not None:
            kept.close()

    def close(self) -> None:
        """Closes what is there."""
        if (kept := self.take()) is not None:
            kept.close()
