"""Gradients that push a class's logit up and down over a training, and their file."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass

import numpy as np

from lt_det.utils.atomic_file import atomic_text

__all__ = ["GRADIENT_RATIO_FILE", "GradientHistory"]

# In OUTPUT_DIR.
GRADIENT_RATIO_FILE = "gradient_ratio.csv"
_COLUMNS = ("iteration", "class_id", "positive", "negative", "ratio")


@dataclass(frozen=True)
class GradientHistory:
    """Sums of |dL/dz_j| of each class j, one row a period of the training.

    Attributes:
        iteration: steps done at the end of each period [T], rising.
        positive: over RoIs of class j, in the period [T, K].
        negative: over all other RoIs, background included, in the period [T, K].
    """

    iteration: np.ndarray
    positive: np.ndarray
    negative: np.ndarray

    def ratio(self) -> np.ndarray:
        """Positive over negative since the training began [T, K]; NaN without a negative.

        The g_j of Tan et al., "Equalization Loss v2: A New Gradient Balance Approach for
        Long-tailed Object Detection", CVPR 2021, arXiv 2012.08548, which starts at 100 in the
        released code, here at nothing. 1 is balance; a class near 0 is pushed down alone.
        """
        positive, negative = (np.cumsum(x, axis=0) for x in (self.positive, self.negative))
        return np.divide(
            positive, negative, out=np.full(positive.shape, np.nan), where=negative > 0
        )

    def save(self, path: str | os.PathLike) -> None:
        """Write a CSV file with a row for each period and class, atomically.

        Its ``ratio`` is that since the training began, as of :meth:`ratio`.
        """
        columns = (self.positive, self.negative, self.ratio())
        with atomic_text(path) as file:
            writer = csv.writer(file)
            writer.writerow(_COLUMNS)
            for t, iteration in enumerate(self.iteration.tolist()):
                rows = (column[t].tolist() for column in columns)
                for class_id, values in enumerate(zip(*rows, strict=True)):
                    cells = ["" if v != v else repr(v) for v in values]
                    writer.writerow([iteration, class_id, *cells])

    @classmethod
    def load(cls, path: str | os.PathLike) -> GradientHistory:
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is another file, or not every period has every class.
        """
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        try:
            table = np.array([[float(row[name]) for name in _COLUMNS[:4]] for row in rows])
            iteration, first = np.unique(table[:, 0].astype(np.int64), return_index=True)
            shape = (len(iteration), -1)
            classes = table[:, 1].reshape(shape)
            if not (np.diff(first) > 0).all() or (classes != np.arange(classes.shape[1])).any():
                raise ValueError("not every period has the same classes, in their order")
            return cls(iteration, table[:, 2].reshape(shape), table[:, 3].reshape(shape))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ValueError(
                f"'{path}' is not a {GRADIENT_RATIO_FILE}, which a training with "
                f"SOLVER.GRADIENT_RATIO.PERIOD above 0 writes: {error}"
            ) from error
