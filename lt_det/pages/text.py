"""How numbers read: percents, seeds, differences with their intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from tabulate import tabulate

__all__ = [
    "METHOD_METRICS",
    "TASK_NAMES",
    "differences_table",
    "excludes_zero",
    "format_difference",
    "format_percent",
    "format_seeds",
]

METHOD_METRICS = ("AP", "APr", "APc", "APf")
TASK_NAMES = {"bbox": "box", "segm": "mask"}


def format_percent(value: float) -> str:
    """Format two digits, NaN as ``-``."""
    return "-" if math.isnan(value) else f"{value:.2f}"


def format_seeds(values: Sequence[float]) -> str:
    """Format ``mean ± standard deviation`` over training seeds; the mean alone of one seed."""
    mean = float(np.mean(values))
    if len(values) < 2 or math.isnan(mean):
        return format_percent(mean)
    return f"{mean:.2f} ± {np.std(values, ddof=1):.2f}"


def differences_table(rows: Sequence[Mapping]) -> str:
    """Markdown of ``[{"method", "control", "AP": {"mean", "lo", "hi"}, ...}]``."""
    table = [
        [row["method"], row["control"], *(_cell(row[m]) for m in METHOD_METRICS)] for row in rows
    ]
    headers = ("method", "minus", *METHOD_METRICS)
    return tabulate(table, headers, tablefmt="pipe", disable_numparse=True)


def format_difference(difference: Mapping[str, float]) -> str:
    """Format ``+1.2 [+0.3, +2.0]``; ``-`` without ground truth."""
    if np.isnan(difference["mean"]):
        return "-"
    return f"{difference['mean']:+.1f} [{difference['lo']:+.1f}, {difference['hi']:+.1f}]"


def excludes_zero(difference: Mapping[str, float]) -> bool:
    """Say whether the interval lies on one side of zero; not of NaN."""
    return difference["lo"] > 0 or difference["hi"] < 0


def _cell(difference: Mapping[str, float]) -> str:
    """An interval that excludes zero is bold."""
    text = format_difference(difference)
    return f"**{text}**" if excludes_zero(difference) else text
