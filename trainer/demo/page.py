"""The demo's page: figures and pictures in one HTML file that links to the rest by relative paths."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.templates import fill


def page(figures: Sequence[tuple[str, str]], views: Sequence[tuple[str, str]]) -> str:
    """The HTML of the page.

    Args:
        figures: rows of the table of figures, name and value.
        views: a caption and the relative path of each clip's picture.
    """
    return fill("demo.html.j2", figures=figures, views=views)
