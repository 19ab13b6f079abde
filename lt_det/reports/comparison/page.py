"""One self-contained HTML page of a comparison: sortable tables, plots inlined, no network."""

from __future__ import annotations

from collections.abc import Sequence

from lt_det.pages.page import html_page
from lt_det.pages.plot_style import Rendered
from lt_det.pages.tables import Table
from lt_det.reports.comparison.content import Comparison

__all__ = ["comparison_page"]


def comparison_page(
    data: Comparison, tables: Sequence[Table], plots: Sequence[Rendered], classes: Table
) -> str:
    """Render the page, see :func:`html_page`.

    Args:
        data: the comparison, for its title and notes.
        tables: shown in full.
        plots: shown after them.
        classes: a long table that is searched.
    """
    title = f"{data['title']}: comparison of methods"
    return html_page(title, data["title"], data["notes"], [*tables, *plots], classes)
