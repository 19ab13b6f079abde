"""The same sections as one self-contained HTML page and as Markdown: tables, plots, pictures."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from lt_det.pages.plot_style import Rendered
from lt_det.pages.tables import Table, markdown_table

__all__ = ["Gallery", "Picture", "Section", "html_page", "markdown_page"]


class Picture(NamedTuple):
    """Views of one photograph, each with its name, under one line."""

    caption: str
    jpegs: Sequence[tuple[str, bytes]]


class Gallery(NamedTuple):
    """Pictures under one heading; Markdown leaves them out."""

    name: str
    title: str
    caption: str
    pictures: Sequence[Picture]


Section = Table | Rendered | Gallery


def html_page(
    title: str,
    heading: str,
    notes: Sequence[str],
    sections: Sequence[Section],
    searched: Table | None = None,
) -> str:
    """Render a page that asks the network for nothing. Every text is escaped.

    Args:
        title: of the window.
        heading: of the page.
        notes: lines below it; what stands between backticks becomes code.
        sections: in their order. Tables are shown in full; plots are inlined as SVG, which the
            style inverts on a dark page; pictures are decoded when they come into view.
        searched: a long table, shown last in a box of its own height, with a search by its first
            column.

    Returns:
        The HTML.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"code": _code, "sort_key": _sort_key, "data_uri": _data_uri}
    template = environment.get_template("page.html")
    named = [
        (section.name if hasattr(section, "name") else f"table-{number}", section)
        for number, section in enumerate(sections, start=1)
    ]
    return template.render(
        title=title, heading=heading, notes=notes, sections=named, searched=searched
    )


def markdown_page(heading: str, notes: Sequence[str], sections: Sequence[Section]) -> str:
    """Format as Markdown, with the plots as files ``<name>.png`` beside it."""
    parts = [f"## {heading}", *notes]
    for section in sections:
        if isinstance(section, Table):
            text = [*filter(None, [section.note]), markdown_table(section)]
        elif isinstance(section, Rendered):
            text = [section.caption, f"![{section.title}]({section.name}.png)"]
        else:
            continue
        parts += [f"### {section.title}", *text]
    return "\n\n".join(parts) + "\n"


def _code(text: str) -> Markup:
    """Escape a line; what stands between backticks becomes code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _sort_key(value: float) -> str:
    """A number for the page's script; nothing for NaN, which sorts last."""
    return "" if value != value else repr(value)


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(content).decode("ascii")
