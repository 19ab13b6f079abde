"""A study: rows of settings, trained by one recipe over seeds, evaluated and compared.

A study is a YAML file (``configs/<Dataset-Task>/studies/``)::

    data: {preset: quick, seed: 0}             # arguments of tools/make_openmoji.py
    test: [openmoji_quick_val]                 # what is reported
    seeds: [1, 2, 3]                           # SEED of stage 1 and of its stage 2
    stage1: {softmax: ../mask_rcnn_small_softmax.yaml}
    rows:                                      # stage 2, or without `stage1` end to end
      - {name: softmax control, config: ../..., stage1: softmax}
      - {name: Balanced Softmax, config: ../..., stage1: softmax, controls: [softmax control]}
    opts: [KEY, VALUE]                         # optional, for all runs; stage1_opts for stage 1
    bank: {num_views: 2}                       # optional: stage 2 on stored RoI features
    select: {...}                              # optional, needs a bank: see
                                               # ``tools/train_classifier.py``
    compare: {stage1: softmax, comparison: ../comparisons/quick.yaml, dev: openmoji_quick_dev}
                                               # optional: ends with ``tools/compare.py``
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

__all__ = ["Row", "Study", "seed_folder"]


@dataclass(frozen=True)
class Row:
    """One method: a config, what it starts from and the rows it is compared with.

    Args:
        name: of the method.
        config: file of its config.
        stage1: name of the stage 1 that its stage 2 starts from; "" trains from scratch.
        controls: rows it is compared with.
    """

    name: str
    config: str
    stage1: str = ""
    controls: Sequence[str] = ()

    @property
    def folder(self) -> str:
        """Folder name: the config's, which says model and method."""
        return Path(self.config).stem


@dataclass(frozen=True)
class Study:
    """A study's settings; see the module's docstring.

    Raises:
        ValueError: if a row refers to a stage 1 or control that does not exist, or a selection has
            no feature bank.
    """

    data: dict
    test: Sequence[str]
    seeds: Sequence[int]
    stage1: dict[str, str]
    rows: Sequence[Row]
    bank: dict = field(default_factory=dict)
    select: dict = field(default_factory=dict)
    compare: dict = field(default_factory=dict)
    opts: Sequence[str] = ()
    stage1_opts: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check references between parts."""
        if self.select and not self.bank:
            raise ValueError("Study: `select` needs a `bank`, such as {num_views: 2}")
        if self.compare and set(self.compare) != {"stage1", "comparison", "dev"}:
            raise ValueError(
                "Study: expected `compare` to have the keys stage1, comparison and dev, but got "
                f"{sorted(self.compare)}"
            )
        if self.compare and self.compare["stage1"] not in self.stage1:
            raise ValueError(
                f"Study: `compare` stage1 {self.compare['stage1']!r} is not one of "
                f"{sorted(self.stage1)}"
            )
        names = {row.name for row in self.rows}
        for row in self.rows:
            if row.stage1 and row.stage1 not in self.stage1:
                raise ValueError(
                    f"Study row {row.name!r}: stage1 {row.stage1!r} is not one of "
                    f"{sorted(self.stage1)}"
                )
            unknown = set(row.controls) - names
            if unknown:
                raise ValueError(f"Study row {row.name!r}: unknown controls {sorted(unknown)}")

    @classmethod
    def load(cls, path: str | Path) -> Study:
        """Read a study; its config files are relative to it.

        Raises:
            FileNotFoundError: if the study or one of its configs does not exist.
            ValueError: if a key is unknown or missing.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"Study file not found: {path}")
        values = yaml.safe_load(path.read_text())

        def config_path(name: str) -> str:
            config = (path.parent / name).resolve()
            if not config.is_file():
                raise FileNotFoundError(f"{path}: config file not found: {config}")
            return str(config)

        try:
            stage1 = {
                name: config_path(config) for name, config in values.pop("stage1", {}).items()
            }
            rows = [
                Row(**{**row, "config": config_path(row["config"])})
                for row in values.pop("rows", ())
            ]
            compare = values.get("compare", {})
            if "comparison" in compare:
                compare["comparison"] = config_path(compare["comparison"])
            return cls(stage1=stage1, rows=rows, **values)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} is not a study file: {error}") from error


def seed_folder(output_dir: str | Path, name: str, seed: int) -> Path:
    """Folder of one run."""
    return Path(output_dir) / name / f"seed{seed}"
