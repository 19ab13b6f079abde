"""The classes of every picture, without a Python object a picture.

LVIS v1 has 1.27 million annotations in 100,170 pictures. As a set of tuples, or a list a picture,
its classes took seconds and over 100 MiB; as two arrays they take 0.3 s and 10 MiB.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np

__all__ = ["ClassLists"]


class ClassLists(Sequence):
    """The distinct classes of every picture, a read-only sequence of lists.

    Args:
        class_ids: (P,) int64, the classes of picture 0, then those of picture 1, ...
        lengths: (N,) int64, number of classes of every picture; they sum to P.
    """

    def __init__(self, class_ids: np.ndarray, lengths: np.ndarray):
        self.class_ids = class_ids
        self.lengths = lengths
        self._ends = lengths.cumsum()

    @classmethod
    def of(cls, lists: Sequence[Collection[int]]) -> ClassLists:
        """From lists in the same order; itself if it is one."""
        return lists if isinstance(lists, cls) else cls._collect(lists, len(lists))

    @classmethod
    def from_dicts(cls, dataset_dicts: Sequence[Mapping]) -> ClassLists:
        """From Detectron2's records: classes in increasing order, crowd regions left out."""
        lists = (
            sorted({a["category_id"] for a in record["annotations"] if not a.get("iscrowd", 0)})
            for record in dataset_dicts
        )
        return cls._collect(lists, len(dataset_dicts))

    @classmethod
    def _collect(cls, lists: Iterable[Collection[int]], number: int) -> ClassLists:
        lengths = np.zeros(number, dtype=np.int64)

        def flat() -> Iterator[int]:
            for index, classes in enumerate(lists):
                lengths[index] = len(classes)
                yield from classes

        return cls(np.fromiter(flat(), dtype=np.int64), lengths)

    def __len__(self) -> int:
        """N."""
        return len(self.lengths)

    def __getitem__(self, index: int) -> list[int]:
        """The classes of one picture."""
        end = int(self._ends[index])
        return self.class_ids[end - int(self.lengths[index]) : end].tolist()

    @property
    def images(self) -> np.ndarray:
        """The picture of each of ``class_ids``, (P,)."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def select(self, images: np.ndarray) -> ClassLists:
        """The lists of some pictures, in increasing order of their indices.

        Args:
            images: (M,) indices, increasing.
        """
        chosen = np.zeros(len(self), dtype=bool)
        chosen[images] = True
        return ClassLists(self.class_ids[np.repeat(chosen, self.lengths)], self.lengths[images])
