"""One self-contained HTML page of a comparison: sortable tables, plots inlined, no network."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from lt_det.evaluation.compare_style import Rendered
from lt_det.evaluation.compare_tables import Table
from lt_det.evaluation.comparison import Comparison

__all__ = ["comparison_page"]


def comparison_page(
    data: Comparison, tables: Sequence[Table], plots: Sequence[Rendered], classes: Table
) -> str:
    """Render the page. Every text of the data is escaped.

    Args:
        data: the comparison, for its title and notes.
        tables: shown in full.
        plots: inlined as SVG; the style inverts them on a dark page.
        classes: a long table, shown in a box of its own height, with a search by its first column.

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
    template = environment.get_template("compare_page.html")
    return template.render(data=data, tables=tables, plots=plots, classes=classes)


def _code(text: str) -> Markup:
    """Escape a line; what stands between backticks becomes code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _sort_key(value: float) -> str:
    """A number for the page's script; nothing for NaN, which sorts last."""
    return "" if value != value else repr(value)


def _data_uri(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")
