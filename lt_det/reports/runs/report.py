"""The report on output folders: ``report.md``, its plots, and one page, ``report.html``."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from lt_det.pages.page import Gallery, Section, html_page, markdown_page
from lt_det.pages.tables import Table
from lt_det.reports.runs.folder import RunFolder
from lt_det.reports.runs.methods import (
    Intervals,
    Method,
    bootstrap_methods,
    group_runs,
    main_task,
)
from lt_det.reports.runs.pictures import NoPicturesError, class_galleries
from lt_det.reports.runs.plots import run_plots
from lt_det.reports.runs.tables import (
    calibration_table,
    class_table,
    confusion_tables,
    differences_table,
    groups_table,
    headline_table,
    missing_table,
    results_tables,
    runs_table,
)
from lt_det.utils.atomic_file import atomic_text

__all__ = ["write_run_report"]

logger = logging.getLogger(__name__)


def write_run_report(
    paths: Sequence[str | os.PathLike],
    output_dir: str | os.PathLike,
    *,
    names: Sequence[str] | None = None,
    dataset: str | None = None,
    num_pictures: int = 6,
    num_replicates: int = 1000,
) -> str:
    """Write ``report.md``, ``report_*.png`` and ``report.html``, the same for the same folders.

    Args:
        paths: output folders, see :meth:`RunFolder.open`; differences are to the first.
        output_dir: created if missing.
        names: of each folder; equal names are seeds of one method.
        dataset: which one, where the folders have the results of several.
        num_pictures: classes shown on a picture, of the worst and of the best; 0 is none.
        num_replicates: of the bootstrap over pictures; 0 is no intervals.

    Returns:
        The Markdown text.

    Raises:
        FileNotFoundError: if a folder has no results.
        ValueError: if a file is broken, or the runs are of different classes, tasks or pictures.
    """
    runs = [RunFolder.open(path, dataset) for path in paths]
    methods = group_runs(runs, names)
    task = main_task(methods)
    intervals = {t: bootstrap_methods(methods, t, num_replicates) for t in runs[0].results}
    plots, missing = run_plots(methods, task, intervals[task])
    rendered = [plot.render() for plot in plots]
    galleries: list[Gallery] = []
    if num_pictures:
        try:
            galleries = class_galleries(methods, task, num_pictures)
        except NoPicturesError as error:
            missing.append((f"pictures: {error}", [method.name for method in methods]))
    has_classes = all(run.rows for run in runs)
    before, after = _tables(methods, intervals, has_classes)
    last = [table for table in (runs_table(methods), missing_table(missing)) if table.rows]
    sections: list[Section] = [*before, *rendered, *after, *galleries, *last]
    notes = [f"Of {'; '.join(method.name for method in methods)}."]
    heading = f"Report on {runs[0].dataset}" if runs[0].dataset else "Report"
    searched = class_table(methods, task) if has_classes else None
    html = html_page(heading, heading, notes, sections, searched)
    text = markdown_page(heading, notes, sections)
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    for plot in rendered:
        (folder / f"{plot.name}.png").write_bytes(plot.png)
    for name, content in (("report.md", text), ("report.html", html)):
        with atomic_text(folder / name) as file:
            file.write(content)
    number = "1 folder" if len(runs) == 1 else f"{len(runs)} folders"
    logger.info("Report on %s: %s", number, folder / "report.html")
    return text


def _tables(
    methods: Sequence[Method], intervals: dict[str, Intervals | None], has_classes: bool
) -> tuple[list[Table], list[Table]]:
    """The tables above the plots, and those below."""
    before = [headline_table(methods, task, of) for task, of in intervals.items()]
    first = methods[0].name
    before += [differences_table(task, first, of) for task, of in intervals.items() if of]
    before += [groups_table(methods[0])] if has_classes else []
    after = results_tables(methods)
    after += [calibration_table(methods, task) for task in intervals]
    after += confusion_tables(methods, main_task(methods))
    return tuple([table for table in tables if table.rows] for tables in (before, after))
