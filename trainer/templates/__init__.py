"""The pages that a reader opens in a browser: templates for what they look like, filled with what others found."""

from __future__ import annotations

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

# Names come from manifests and may hold anything: everything is escaped, and a template that asks for what it was not
# given is an error, not a gap in a page.
_PAGES = Environment(
    # What all pages share, the base, is flowkit's.
    loader=ChoiceLoader([PackageLoader("trainer", "templates"), PackageLoader("flowkit.pages", "templates")]),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def fill(template: str, **content: object) -> str:
    """The HTML of a page: a template of this folder, filled with plain data.

    Raises jinja2.UndefinedError where the template names something that `content` lacks.
    """
    return _PAGES.get_template(template).render(**content)
