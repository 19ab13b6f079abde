"""``diagnostics.json``: curves and tables of an evaluation, as a report draws them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["Diagnostics", "read_diagnostics"]

Diagnostics = Mapping[str, Mapping[str, Any]]
"""Task -> any of these parts; a number may be null::

    {"calibration": {group: {"ece": fraction,
                             "bins": [{"confidence", "precision", "count"}, ...]}},
     "error_shares": {group: {kind of error: AP50 it costs}},
     "confusion": [{"class": name, "into": name, "count", "share", "group",
                    "into_group"}, ...]}
"""

_BIN = ("confidence", "precision", "count")
_CONFUSION = ("class", "into", "count")


def read_diagnostics(path: Path) -> Diagnostics:
    """Read the file; without it, nothing.

    Raises:
        ValueError: naming the file and the part that is not as :data:`Diagnostics` says.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"'{path}' is not a JSON file: {error}") from error
    _check(content, dict, path, "the file")
    for task, parts in content.items():
        _check(parts, dict, path, task)
        for group, curve in _part(parts, "calibration", dict, path, task).items():
            where = f"{task}.calibration.{group}"
            _check(curve, dict, path, where)
            for entry in _part(curve, "bins", list, path, where):
                _check_keys(entry, _BIN, path, f"{where}.bins")
        for group, shares in _part(parts, "error_shares", dict, path, task).items():
            _check(shares, dict, path, f"{task}.error_shares.{group}")
        for entry in _part(parts, "confusion", list, path, task):
            _check_keys(entry, _CONFUSION, path, f"{task}.confusion")
    return content


def _part(parts: Mapping, key: str, kind: type, path: Path, where: str) -> Any:
    part = parts.get(key, kind())
    _check(part, kind, path, f"{where}.{key}")
    return part


def _check(value: Any, kind: type, path: Path, where: str) -> None:
    if not isinstance(value, kind):
        expected = {dict: "an object", list: "a list"}[kind]
        raise ValueError(f"'{path}': {where} is {value!r:.40}, expected {expected}.")


def _check_keys(entry: Any, keys: tuple[str, ...], path: Path, where: str) -> None:
    _check(entry, dict, path, where)
    missing = [key for key in keys if key not in entry]
    if missing:
        raise ValueError(f"'{path}': an entry of {where} lacks {missing}.")
