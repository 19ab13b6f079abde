"""One row a class, and what callers say of classes, in the API's order of category ids."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lt_det.evaluation.group_metrics import GROUP_NAMES

__all__ = ["Classes"]


@dataclass(frozen=True)
class Classes:
    """The categories of an annotation file, by rising id [K].

    Args:
        json_file: the file, for messages.
        category_ids: ids.
        class_of: the contiguous class of each, None for a category that is not the model's.
        names: names.
    """

    json_file: str
    category_ids: Sequence[int]
    class_of: Sequence[int | None]
    names: Sequence[str]

    def groups(self, groups: np.ndarray) -> np.ndarray:
        """Group index of each category [K], from those of the classes [C]; -1 for none.

        Raises:
            ValueError: if `groups` has another length or other values.
        """
        groups = self.check("groups", groups)
        if not np.isin(groups, [-1, 0, 1, 2]).all():
            raise ValueError(
                f"groups must be 0 rare, 1 common, 2 frequent or -1 none, got {np.unique(groups)}."
            )
        return np.array([-1 if c is None else groups[c] for c in self.class_of], dtype=np.int64)

    def train_counts(self, class_stats: Any) -> dict[str, np.ndarray | None]:
        """Columns of a training `ClassStats`, each [C]; None without any.

        Raises:
            ValueError: if they are of another number of classes.
        """
        names = ("image_count", "instance_count")
        if class_stats is None:
            return {f"train_{n}": None for n in names}
        return {
            f"train_{n}": self.check(f"class_stats.{n}", getattr(class_stats, n)) for n in names
        }

    def check(self, name: str, values: Any) -> np.ndarray:
        """`values` as an array [C].

        Raises:
            ValueError: naming them, if there is another number.
        """
        values = np.asarray(values)
        expected = max(c for c in self.class_of if c is not None) + 1
        if values.shape != (expected,):
            raise ValueError(
                f"{name} must hold one value per class [{expected}], got shape {values.shape}: "
                f"'{self.json_file}' has {expected} categories, the training set had another "
                "number. Give both files the same categories, those without an annotation too."
            )
        return values

    def rows(
        self,
        groups: np.ndarray,
        train_counts: Mapping[str, np.ndarray | None],
        instances: np.ndarray,
        columns: Mapping[str, Mapping[str, np.ndarray]],
    ) -> list[dict[str, Any]]:
        """The rows of ``per_class.csv``.

        Args:
            groups: group index of each category [K].
            train_counts: see `train_counts`.
            instances: ground truths of each category [K].
            columns: task -> metric -> value of each category [K].
        """
        rows = []
        for k, (category_id, c) in enumerate(zip(self.category_ids, self.class_of, strict=True)):
            row = {
                "class_id": c,
                "category_id": category_id,
                "name": self.names[k],
                "group": GROUP_NAMES[groups[k]] if groups[k] >= 0 else "",
            }
            for name, counts in train_counts.items():
                row[name] = None if c is None or counts is None else counts[c].item()
            row["val_instances"] = int(instances[k])
            for task, metrics in columns.items():
                row |= {f"{task}_{name}": float(values[k]) for name, values in metrics.items()}
            rows.append(row)
        return rows
