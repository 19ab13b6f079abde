"""A comparison: which methods, each a row of settings over one stage-1 detector.

A comparison is a YAML file (``configs/comparisons/``)::

    seeds: [1, 2, 3]
    settings: {EPOCHS: 4, SOLVER.BASE_LR: 0.4}        # of every trained row
    grid: {SOLVER.BASE_LR: [0.1, 0.4]}                # tried on dev for every trained row
    controls: [softmax control]                       # what every row is compared with
    samplings:                                        # named settings that rows may ask for
      class-aware: {DATALOADER.SAMPLER_TRAIN: ClassAwareTrainingSampler}
    rows:
      - name: softmax control
        controls: []
        samplings: ["", class-aware]                  # two rows: with and without
      - name: Balanced Softmax
        settings: {MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME: BalancedSoftmaxLoss}
      - name: NorCal
        after: stage 1                                # post-hoc: nothing trains
        settings: {TEST.CALIBRATION.NAME: NorCalCalibration}
        grid: {TEST.CALIBRATION.NOR_CAL.GAMMA: [0.3, 0.6, 1.0]}

Settings are config keys; ``EPOCHS`` stands for ``SOLVER.MAX_ITER``, ``STEPS`` and ``WARMUP_ITERS``,
which depend on the size of the data, and ``80%`` for that share of the steps. ``after`` names what
a post-hoc row starts from: ``stage 1`` or a trained row. A comparison may begin with ``_BASE_:
other.yaml``, of which it replaces keys and adds to ``settings``; with ``overrides: {glob:
settings}`` for the rows whose names match, and ``only: [globs]``, the rows that it keeps.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

__all__ = ["STAGE1", "Comparison", "Row"]

STAGE1 = "stage 1"
_BASE, _ONLY, _OVERRIDES = "_BASE_", "only", "overrides"
# Keys and the types of their values, of a comparison and of a row.
_BOTH = {"settings": dict, "grid": dict, "controls": list}
_KEYS = {**_BOTH, "seeds": list, "samplings": dict, "rows": list, _ONLY: list, _BASE: str}
_KEYS[_OVERRIDES] = dict
_ROW_KEYS = {**_BOTH, "name": str, "samplings": list, "after": str}


@dataclass(frozen=True)
class Row:
    """A method.

    Args:
        name: of the method.
        settings: config keys and values, the comparison's included.
        grid: config key -> values tried on dev, all combinations.
        controls: rows it is compared with.
        after: what a post-hoc row starts from; "" trains.
    """

    name: str
    settings: Mapping = field(default_factory=dict)
    grid: Mapping[str, Sequence] = field(default_factory=dict)
    controls: Sequence[str] = ()
    after: str = ""

    @property
    def is_trained(self) -> bool:
        """False for a post-hoc row."""
        return not self.after

    @property
    def folder(self) -> str:
        """Folder name, readable and the row's own."""
        return re.sub(r"[^A-Za-z0-9.+-]+", "_", self.name).strip("_")

    @property
    def has_choice(self) -> bool:
        """Whether hyper-parameters are chosen on dev."""
        return len(self.trials()) > 1

    def trials(self) -> list[dict]:
        """Settings to try: the combinations of the grid; one without any."""
        values = itertools.product(*self.grid.values())
        return [dict(zip(self.grid, combination, strict=True)) for combination in values]


@dataclass(frozen=True)
class Comparison:
    """The rows and seeds of a comparison.

    Raises:
        ValueError: if names or seeds are not unique, or a name refers to a row that does not exist.
    """

    rows: Sequence[Row]
    seeds: Sequence[int]

    def __post_init__(self) -> None:
        """Check names and references."""
        names = [row.name for row in self.rows]
        _check(len(names) > 0, "it has no rows")
        _check(len(self.seeds) > 0, "it has no seeds")
        is_number = all(type(seed) is int and seed >= 0 for seed in self.seeds)
        _check(is_number, f"expected seeds to be numbers from 0, but got {list(self.seeds)}")
        _check(len(set(self.seeds)) == len(self.seeds), f"seeds are not unique: {self.seeds}")
        folders = [row.folder for row in self.rows]
        for row in self.rows:
            _check(row.folder != "", f"row name {row.name!r} has no letter or digit")
            _check(row.folder != Row(STAGE1).folder, f"row name {row.name!r}: stage 1 has it")
        twice = sorted({n for n, f in zip(names, folders, strict=True) if folders.count(f) > 1})
        _check(not twice, f"row names are not unique: {twice}")
        trained = {row.name for row in self.rows if row.is_trained}
        for row in self.rows:
            unknown = set(row.controls) - set(names) - {STAGE1}
            _check(not unknown, f"row {row.name!r}: unknown controls {sorted(unknown)}")
            known = row.is_trained or row.after == STAGE1 or row.after in trained
            _check(known, f"row {row.name!r}: `after` {row.after!r} is no trained row")

    def select(self, globs: Sequence[str]) -> Comparison:
        """The rows whose names match, with the controls and starts that they need.

        Raises:
            ValueError: if a glob matches nothing.
        """
        names = [row.name for row in self.rows]
        for glob in globs:
            _check(
                any(fnmatchcase(name, glob) for name in names),
                f"--rows {glob!r} matches none of {names}",
            )
        wanted = {name for name in names if any(fnmatchcase(name, glob) for glob in globs)}
        needs = {row.name: {*row.controls, row.after} & set(names) for row in self.rows}
        while more := set().union(*(needs[name] for name in wanted)) - wanted:
            wanted |= more
        return Comparison([row for row in self.rows if row.name in wanted], self.seeds)

    @classmethod
    def load(cls, path: str | Path) -> Comparison:
        """Read a comparison.

        Raises:
            FileNotFoundError: if the file does not exist.
            ValueError: if it is no comparison.
        """
        values = _read(Path(path))
        with _naming(path):
            missing = sorted({"rows", "seeds"} - set(values))
            _check(not missing, f"missing keys {missing}")
            comparison = cls(list(_rows(values)), values["seeds"])
            return comparison.select(values[_ONLY]) if _ONLY in values else comparison


@contextlib.contextmanager
def _naming(path: str | Path) -> Iterator[None]:
    """Inside, errors name the file."""
    try:
        yield
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path} is not a comparison: {error}") from error


def _read(path: Path) -> dict:
    """The values of a file over those of its base."""
    if not path.is_file():
        raise FileNotFoundError(f"Comparison file not found: {path}")
    with _naming(path):
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        _check(isinstance(values, dict), "it is no mapping")
        _check_keys(values, _KEYS, "")
    if _BASE not in values:
        return values
    base = _read(path.parent / values.pop(_BASE))
    settings = {**base.get("settings", {}), **values.pop("settings", {})}
    return {**base, **values, "settings": settings}


def _overrides(values: Mapping, name: str) -> dict:
    """Settings for the row of that name alone."""
    settings = {}
    for glob, of_glob in values.get(_OVERRIDES, {}).items():
        _check(isinstance(of_glob, dict), f"{_OVERRIDES} {glob!r} has no settings, but {of_glob!r}")
        if fnmatchcase(name, glob):
            settings |= of_glob
    return settings


def _rows(values: Mapping) -> Iterator[Row]:
    samplings = {"": {}, **values.get("samplings", {})}
    for row in values["rows"]:
        _check(isinstance(row, dict), f"row {row!r} is no mapping")
        _check("name" in row, f"row {row!r} has no name")
        where = f"row {row['name']!r}: "
        _check_keys(row, _ROW_KEYS, where)
        after = row.get("after", "")
        common = {} if after else values.get("settings", {})
        grid = {**({} if after else values.get("grid", {})), **row.get("grid", {})}
        for key, tried in grid.items():
            good = isinstance(tried, list) and len(tried) > 0
            _check(good, f"{where}expected grid {key} to be a list of values, but got {tried!r}")
        for sampling in row.get("samplings", [""]):
            _check(sampling in samplings, f"{where}unknown sampling {sampling!r}")
            name = f"{row['name']}, {sampling}" if sampling else row["name"]
            settings = {**common, **samplings[sampling], **row.get("settings", {})}
            yield Row(
                name=name,
                settings={**settings, **_overrides(values, name)},
                grid=grid,
                # Nothing is its own control.
                controls=[c for c in row.get("controls", values.get("controls", [])) if c != name],
                after=after,
            )


def _check_keys(values: Mapping, types: Mapping[str, type], where: str) -> None:
    unknown = sorted(map(str, set(values) - set(types)))
    _check(not unknown, f"{where}unknown keys {unknown}")
    for key, value in values.items():
        name = {dict: "a mapping", list: "a list", str: "a text"}[types[key]]
        _check(isinstance(value, types[key]), f"{where}expected {key} to be {name}, got {value!r}")


def _check(good: bool, message: str) -> None:
    if not good:
        raise ValueError(message)
