"""Pages that a reader opens in a browser: templates for what they look like, filled with what others found."""

from __future__ import annotations

import base64
import functools
from pathlib import Path
from typing import TYPE_CHECKING

from flowkit.errors import OutputError
from flowkit.output.files import write_whole

if TYPE_CHECKING:
    from jinja2 import Environment


@functools.cache
def _pages() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # Names come from manifests and may hold anything: everything is escaped, and a template that asks for what it was
    # not given is an error, not a gap in a page.
    return Environment(
        loader=PackageLoader("flowkit.pages", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def fill(template: str, **content: object) -> str:
    """The HTML of a page: a template of this room, filled with plain data; one file that loads nothing from elsewhere.

    Raises jinja2.UndefinedError where the template names something that `content` lacks.
    """
    return _pages().get_template(template).render(**content)


def write_page(path: Path, html: str) -> None:
    """Writes a page whole or not at all; raises OutputError if it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda temporary: _write_text(temporary, html))
    except OSError as error:
        raise OutputError(f"page {str(path)!r} cannot be written: {error}") from error


def data_uri(kind: str, data: bytes) -> str:
    """Bytes as the source of an image within the page; `kind` as in "image/jpeg"."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
