"""How plots of reports look: a colour and marker per method, small panels, labels."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = [
    "CONTROL_COLOR",
    "Plot",
    "Rendered",
    "figure_of",
    "label_log",
    "look",
    "panels",
    "shorten",
    "spread",
    "subtitle",
]

# Okabe and Ito's colours that are legible on white and on black; the marker tells methods of one
# colour apart.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = "os^vDPX<>phd8H*"
CONTROL_COLOR = "#8c8c8c"

_STYLE = {
    "font.size": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.linewidth": 0.6,
    "grid.color": "#e4e4e4",
    # A "$" in a name is no mathematics.
    "text.parse_math": False,
    # Else an SVG differs between two runs.
    "svg.hashsalt": "lt_det",
}


class Plot(NamedTuple):
    """A plot and what is said about it."""

    name: str
    title: str
    caption: str
    draw: Callable[[], Figure]

    def render(self) -> Rendered:
        """Draw it; the same bytes for the same data."""
        from matplotlib import rc_context, rcParamsDefault  # lazy: draws

        # A user's own matplotlibrc would make reports differ between machines.
        defaults = {k: v for k, v in rcParamsDefault.items() if not k.startswith("backend")}
        with rc_context(defaults | _STYLE):
            figure = self.draw()
            png = _save(figure, format="png", dpi=120, metadata={"Software": None})
            figure.set_layout_engine("none")  # it is done, and takes half of the time
            metadata = {"Date": None, "Creator": None}
            svg = _save(figure, format="svg", transparent=True, metadata=metadata)
        return Rendered(self.name, self.title, self.caption, png, svg)


class Rendered(NamedTuple):
    """A drawn plot: as PNG on white, as SVG without a background."""

    name: str
    title: str
    caption: str
    png: bytes
    svg: bytes


def _save(figure: Figure, **options) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, **options)
    return buffer.getvalue()


def figure_of(width: float, height: float) -> Figure:
    """Return an empty figure, in inches, that needs neither pyplot nor a display."""
    from matplotlib.figure import Figure  # lazy: draws

    return Figure(figsize=(width, height), layout="constrained")


def look(index: int) -> dict[str, str]:
    """Return ``color`` and ``marker`` of the method at this place in the table."""
    return {"color": _COLORS[index % len(_COLORS)], "marker": _MARKERS[index % len(_MARKERS)]}


def panels(
    titles: Sequence[str], height: float, columns: int = 4, **subplots
) -> tuple[Figure, list[Axes]]:
    """Return a figure with one small titled panel per method, four a row."""
    num_columns = min(columns, len(titles))
    num_rows = -(-len(titles) // num_columns)
    figure = figure_of(max(2.5 * num_columns, 4.0), height * num_rows + 0.4)
    grid = list(figure.subplots(num_rows, num_columns, squeeze=False, **subplots).flat)
    used = grid[: len(titles)]
    for axes in grid[len(titles) :]:
        axes.remove()
    for axes in used[-num_columns:]:  # the lowest of each column, above a removed one too
        axes.tick_params(labelbottom=True)
    for axes, title in zip(used, titles, strict=True):
        axes.set_title(
            shorten(title, 26, max_lines=2), loc="left", fontsize=9, fontweight="bold", pad=15
        )
    return figure, used


def subtitle(axes: Axes, text: str) -> None:
    """Write a line in grey between a panel and its title."""
    place = {"xytext": (0, 5), "textcoords": "offset points", "xycoords": "axes fraction"}
    axes.annotate(shorten(text, 40), (0, 1), **place, fontsize=7.5, color=CONTROL_COLOR)


def label_log(axis: Axis, subs: Sequence[float]) -> None:
    """Label a logarithmic axis with plain numbers: 0.1, 1, 10 times each of ``subs``."""
    from matplotlib.ticker import LogLocator, NullLocator  # lazy: draws

    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def shorten(name: str, width: int, max_lines: int = 1) -> str:
    """Break a name into lines and cut what does not fit."""
    return "\n".join(textwrap.wrap(name, width, max_lines=max_lines, placeholder="…"))


def spread(positions: Sequence[float], gap: float, low: float, high: float) -> np.ndarray:
    """Move labels apart: the least squares solution with ``gap`` between neighbours.

    In ``z_i = y_i - i gap``, sorted, that is isotonic regression, solved by pooling neighbours.

    Args:
        positions: wanted positions, in any order.
        gap: smallest distance; less if ``low`` to ``high`` has no room for it.
        low: no label below.
        high: no label above.

    Returns:
        The positions in the order given.
    """
    positions = np.asarray(positions, dtype=float)
    order = np.argsort(positions, kind="stable")
    gap = min(gap, (high - low) / max(1, len(order) - 1))
    steps = gap * np.arange(len(order))
    pools: list[list[float]] = []
    for z in positions[order] - steps:
        pools.append([z])
        while len(pools) > 1 and np.mean(pools[-2]) > np.mean(pools[-1]):
            last = pools.pop()
            pools[-1] += last
    moved = np.concatenate([np.full(len(pool), np.mean(pool)) for pool in pools] or [[]])
    result = np.empty(len(order))
    result[order] = np.clip(moved, low, high - steps[-1] if len(order) else high) + steps
    return result
