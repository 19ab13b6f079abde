"""How the hyper-parameters of each method were chosen: AP against their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lt_det.pages.plot_style import look, panels, spread, subtitle
from lt_det.reports.comparison.content import Comparison, Row, number
from lt_det.reports.comparison.tables import value_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_selection", "selection_lines"]

Settings = Mapping[str, Any]

_STYLES = ("-", "--", ":", "-.")
_MAX_TICKS = 6


def draw_selection(data: Comparison) -> Figure:
    """Draw a panel per method that had a choice."""
    places = {row["name"]: place for place, row in enumerate(data["rows"])}
    rows = [row for row in data["rows"] if row["selection"] and row["selection"]["trials"]]
    figure, grid = panels([row["name"] for row in rows], 2.1)
    for axes, row in zip(grid, rows, strict=True):
        _draw_row(axes, row, look(places[row["name"]])["color"])
    figure.supylabel(f"AP on {data['dev'] or 'the set to choose on'}", fontsize=9)
    return figure


def selection_lines(trials: Sequence[Mapping]) -> tuple[list, dict[str, dict[int, float]]]:
    """Arrange trials as lines over the values of their first hyper-parameter.

    Args:
        trials: ``{"settings": {key: value}, "AP": percent}`` each.

    Returns:
        The values in order, and for each setting of the other hyper-parameters, as text, the
        place of a value -> AP. Trials without settings stand side by side, in their order.
    """
    key = next(iter(trials[0]["settings"]), None)
    if key is None:
        return list(range(1, len(trials) + 1)), {
            "": {i: number(t["AP"]) for i, t in enumerate(trials)}
        }
    values = _in_order([trial["settings"].get(key) for trial in trials])
    lines: dict[str, dict[int, float]] = {}
    for trial in trials:
        line = lines.setdefault(_others(trial["settings"], key), {})
        line[values.index(trial["settings"].get(key))] = number(trial["AP"])
    return values, lines


def _draw_row(axes: Axes, row: Row, color: str) -> None:
    trials, chosen = row["selection"]["trials"], row["selection"]["chosen"]
    values, lines = selection_lines(trials)
    for i, line in enumerate(lines.values()):
        places = sorted(line)
        style = _STYLES[i % len(_STYLES)]
        axes.plot(places, [line[p] for p in places], style, color=color, marker="o", ms=3, lw=1.3)
    labelled = range(0, len(values), -(-len(values) // _MAX_TICKS))
    axes.set_xticks(labelled, [value_text(values[i]) for i in labelled], fontsize=7.5)
    axes.set_xlabel(_short_key(next(iter(trials[0]["settings"]), "trial")), fontsize=8)
    axes.margins(x=0.08, y=0.15)
    subtitle(axes, f"chosen: {_others(chosen, None) or '-'}")
    _ring(axes, values, lines, chosen, trials)
    if len(lines) > 1:
        _name_lines(axes, lines, color)


def _ring(axes: Axes, values: list, lines: Mapping, chosen: Settings, trials: Sequence) -> None:
    """Mark the chosen trial, if it is one of them."""
    if not any(trial["settings"] == chosen for trial in trials) or not chosen:
        return
    key = next(iter(trials[0]["settings"]))
    place = values.index(chosen[key])
    ring = {"marker": "o", "ms": 10, "mfc": "none", "mec": "#d62728", "mew": 1.8}
    axes.plot(place, lines[_others(chosen, key)][place], zorder=4, **ring)


def _name_lines(axes: Axes, lines: Mapping[str, Mapping[int, float]], color: str) -> None:
    """Write each line's setting, with a sample of the line, at its right end."""
    low, high = axes.get_ylim()
    ends = np.nan_to_num([(line[max(line)] - low) / (high - low) for line in lines.values()])
    for i, (text, y) in enumerate(zip(lines, spread(ends, 0.12, 0.0, 1.0), strict=True)):
        sample = {"transform": axes.transAxes, "clip_on": False, "color": color, "lw": 1.3}
        axes.plot([1.02, 1.11], [y, y], _STYLES[i % len(_STYLES)], **sample)
        axes.text(1.13, y, text, transform=axes.transAxes, fontsize=7.5, va="center")


def _in_order(values: Sequence) -> list:
    """Return each value once: numbers by size, others as they come."""
    unique = [v for i, v in enumerate(values) if v not in values[:i]]
    numeric = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in unique)
    return sorted(unique) if numeric else unique


def _others(settings: Settings, key: str | None) -> str:
    """Format the settings but one."""
    return ", ".join(f"{_short_key(k)} {value_text(v)}" for k, v in settings.items() if k != key)


def _short_key(key: str) -> str:
    return key.rsplit(".", 1)[-1]
