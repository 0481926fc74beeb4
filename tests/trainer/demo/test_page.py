"""The page of the demo: what is written on it is shown and not run."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest


def test_a_script_in_a_caption_is_shown_and_not_run() -> None:
    pytest.importorskip("jinja2")
    from trainer.demo.page import page

    hostile = """disgust, <script>alert('"')</script>"""
    html = page([(hostile, hostile)], [(hostile, "pictures/a.png")])
    assert "<script" not in html
    found: list[str | None] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            found.extend(value for name, value in attributes if name == "alt")

        def handle_data(self, data: str) -> None:
            found.append(data)

    Reader().feed(html)
    assert found.count(hostile) == 4  # two cells, a caption, and the picture's description
