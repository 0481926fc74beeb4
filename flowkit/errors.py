"""Errors that stop a piece of work: each is one sentence with the offending value and the remedy.

Exit codes of the commands: 0 all done; 1 done, with failed pairs; 2 bad input, parameters that do not match, or damage;
3 stopped before the end, and resumable; 70 an unexpected error, which running the same command again will not mend.
"""

from __future__ import annotations

UNEXPECTED_EXIT_CODE = 70
"""EX_SOFTWARE of sysexits.h."""


class FlowkitError(Exception):
    """A problem that the user can mend. Its text is one sentence with the offending value and the remedy."""

    exit_code = 2


class InputError(FlowkitError, ValueError):
    """An argument, manifest or parameter that cannot be used."""


class FrameError(FlowkitError):
    """A frame (or a whole clip) that cannot be read: it becomes a row of the failures table, never a guess."""


class OutputError(FlowkitError):
    """An output folder that does not fit the request, is damaged, or cannot be written."""


class Interrupted(FlowkitError):
    """A run that stopped before its end; running the same command again continues it."""

    exit_code = 3
