"""Records of an output: JSON files that carry their own checksum, `sha256`, over the canonical JSON of all the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flowkit.errors import OutputError
from flowkit.output.files import put_text
from flowkit.output.store import Place
from flowkit.types import fingerprint

CHECKSUM = "sha256"


def sealed(values: Mapping[str, Any]) -> str:
    """The text of a record that holds these values and their checksum."""
    return json.dumps({**values, CHECKSUM: fingerprint(dict(values))}, indent=1) + "\n"


def put_record(path: Place, values: Mapping[str, Any]) -> None:
    """Writes a record whole or not at all; raises as `flowkit.output.files.put`."""
    put_text(path, sealed(values))


def read_record(path: Place, remedy: str) -> tuple[dict[str, Any], bool]:
    """A record's values without its checksum, and whether it had one; the records of schema version 1 have none.

    Args:
        remedy: what the user is to do where the record is damaged; ends the sentence of the error.

    Raises:
        FileNotFoundError, NotADirectoryError: if there is no such file.
        OutputError: if it cannot be read, is no JSON object, or does not have its checksum.
    """
    return unsealed(path, record_text(path, remedy), remedy)


def record_text(path: Place, remedy: str) -> str:
    """A record as it was written; raises as `read_record`."""
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise OutputError(f"{path} cannot be read ({error.strerror}); {remedy}") from error
    except ValueError as error:
        raise damaged(path, str(error) or type(error).__name__, remedy) from error


def unsealed(path: Place, text: str, remedy: str) -> tuple[dict[str, Any], bool]:
    """The same of a record whose text has been read."""
    try:
        values: dict[str, Any] = json.loads(text)
        checksum = values.pop(CHECKSUM, None)
        as_written = checksum is None or fingerprint(values) == checksum
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(path, str(error) or type(error).__name__, remedy) from error
    if not as_written:
        raise damaged(path, "its SHA-256 differs", remedy)
    return values, checksum is not None


def damaged(path: Place, reason: str, remedy: str) -> OutputError:
    """The error of a record that is not as it was written; a reason of several lines becomes one."""
    return OutputError(f"{path} is damaged ({' '.join(reason.split())}); {remedy}")
