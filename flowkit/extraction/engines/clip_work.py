"""What is done clip by clip, outside an extraction, and its orders and answers between an owner and its workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from flowkit.errors import FlowkitError, FrameError, Interrupted
from flowkit.types import Clip

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ClipWork(Generic[Result]):
    """What is done with each clip; what goes wrong with one is that clip's own."""

    do: Callable[[Clip], Result]
    """Can be pickled; each process has its own."""

    def on(self, clip: Clip) -> Result | FrameError:
        """The result, or why there is none; Interrupted if the clip is in an object store that gives no answer."""
        try:
            return self.do(clip)
        except Interrupted:  # a store that gives no answer says nothing of its clips
            raise
        except FlowkitError as error:
            return error if isinstance(error, FrameError) else FrameError(str(error))
        except Exception as error:  # one clip's trouble of any kind ends no run over the others
            return FrameError(f"unexpected {type(error).__name__}: {error}; report it")


@dataclass(frozen=True, slots=True)
class ClipOrder:
    """A clip that the work is to be done with."""

    key: int
    """Its place among all."""
    clip: Clip


@dataclass(frozen=True, slots=True)
class ClipDone(Generic[Result]):
    """What came of it."""

    key: int
    result: Result | FrameError
