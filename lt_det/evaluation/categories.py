"""One row a class, and what callers say of classes, in the API's order of category ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lt_det.class_stats import GROUP_NAMES

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

    @classmethod
    def of(
        cls,
        json_file: str,
        categories: Mapping[int, Mapping],
        metadata: Any,
        is_registered: bool,
    ) -> Classes:
        """Those of an annotation file.

        Args:
            json_file: the file.
            categories: id -> category.
            metadata: of the data set.
            is_registered: without ``thing_dataset_id_to_contiguous_id``, a class is category id - 1
                in a registered set, as in Detectron2's own LVIS sets, else the id's position.
        """
        ids = sorted(categories)
        id_map = metadata.get("thing_dataset_id_to_contiguous_id")
        if id_map is None:
            id_map = {i: i - 1 if is_registered else n for n, i in enumerate(ids)}
        class_of = [id_map.get(i) for i in ids]
        names = [categories[i].get("name", str(i)) for i in ids]
        if (known := metadata.get("thing_classes")) is not None:
            names = [n if c is None else known[c] for n, c in zip(names, class_of, strict=True)]
        return cls(json_file, ids, class_of, names)

    @cached_property
    def category_of(self) -> dict[int, int]:
        """Contiguous class -> category id, of the classes that the file has."""
        pairs = zip(self.class_of, self.category_ids, strict=True)
        return {c: i for c, i in pairs if c is not None}

    def check_known(self, image_id: int, classes: np.ndarray) -> None:
        """Refuse detections of classes [N] that the file does not have.

        Raises:
            ValueError: naming them.
        """
        known = self.category_of
        unknown = set(classes.tolist()) - known.keys()
        if unknown:
            raise ValueError(
                f"image {image_id}: predicted classes {sorted(unknown)[:5]} have no category in "
                f"'{self.json_file}', which has {len(known)}. Check MODEL.ROI_HEADS.NUM_CLASSES "
                "and the data set's metadata."
            )

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
