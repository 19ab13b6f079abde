"""Groups of classes: rare, common and frequent, and any others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from lt_det.class_stats import GROUP_NAMES

__all__ = ["ClassGroups"]


@dataclass(frozen=True)
class ClassGroups:
    """Groups of K classes.

    Attributes:
        frequency: index into `GROUP_NAMES` of each class, -1 for none [K].
        others: name -> whether each class is in the group [K].
    """

    frequency: np.ndarray
    others: Mapping[str, np.ndarray] = field(default_factory=dict)

    def by_suffix(self) -> dict[str, np.ndarray]:
        """What a result key appends to its metric -> members [K]; ``""`` is all classes."""
        groups = {name[0]: self.frequency == g for g, name in enumerate(GROUP_NAMES)}
        others = {f"_{name}": members for name, members in self.others.items()}
        return {"": np.ones(len(self.frequency), dtype=bool)} | groups | others

    def by_name(self) -> dict[str, np.ndarray]:
        """Name -> members [K] of ``"all"`` and the groups that have any."""
        groups = {name: self.frequency == g for g, name in enumerate(GROUP_NAMES)} | self.others
        present = {name: members for name, members in groups.items() if members.any()}
        return {"all": np.ones(len(self.frequency), dtype=bool)} | present

    def partition(self) -> dict[str, np.ndarray]:
        """`by_name` of groups of which no class is in two: the frequencies, or else the others."""
        known = [name for name in GROUP_NAMES if name in self.by_name()]
        return {name: self.by_name()[name] for name in known or self.others}
