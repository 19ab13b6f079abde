"""The report of a comparison: ``compare.md``, its plots, and one page, ``compare.html``."""

from __future__ import annotations

from pathlib import Path

from lt_det.pages.page import markdown_page
from lt_det.pages.tables import Table
from lt_det.reports.comparison.content import Comparison, check_comparison
from lt_det.reports.comparison.page import comparison_page
from lt_det.reports.comparison.plots import comparison_plots
from lt_det.reports.comparison.summary import summary_table
from lt_det.reports.comparison.tables import (
    class_table,
    differences_tables,
    failures_table,
    scores_table,
    settings_table,
)
from lt_det.utils.atomic_file import atomic_text

__all__ = ["write_compare_report"]


def write_compare_report(folder: str | Path, data: Comparison) -> str:
    """Write ``compare.md``, ``compare_*.png`` and ``compare.html``, the same for the same data.

    Args:
        folder: created if missing.
        data: content of ``compare.json``, see :mod:`lt_det.reports.comparison.content`.

    Returns:
        The Markdown text.

    Raises:
        ValueError: if the data is not a comparison.
    """
    check_comparison(data)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    plots = [plot.render() for plot in comparison_plots(data)]
    for plot in plots:
        (folder / f"{plot.name}.png").write_bytes(plot.png)
    tables = _tables(data)
    text = markdown_page(data["title"], data["notes"], [*tables, *plots])
    html = comparison_page(data, tables, plots, class_table(data))
    for name, content in (("compare.md", text), ("compare.html", html)):
        with atomic_text(folder / name) as file:
            file.write(content)
    return text


def _tables(data: Comparison) -> list[Table]:
    tables = [summary_table(data), scores_table(data), failures_table(data)]
    tables += [*differences_tables(data), settings_table(data)]
    return [table for table in tables if table.rows]
