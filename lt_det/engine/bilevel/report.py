"""Learned class rates: logged by group in training, drawn against class frequency at its end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import nn

from lt_det.class_stats import GROUP_NAMES, ClassStats
from lt_det.engine.bilevel.step import MetaStep
from lt_det.modeling.find_predictors import box_predictors
from lt_det.pages.class_plot import GROUP_COLORS
from lt_det.utils.atomic_file import atomic_text

__all__ = ["ClassRatesReport", "plot_class_rates"]


class ClassRatesReport(HookBase):
    """Scalars ``meta/rate_<group>``; at the end ``class_rates.json`` and ``class_rates.png``.

    Groups are those of the model's class statistics; a model without any has one mean rate.
    """

    def __init__(self, meta_step: MetaStep, model: nn.Module, cfg: CfgNode):
        self._meta_step = meta_step
        self._predictor = next(box_predictors(model))
        self._thresholds = tuple(cfg.DATASETS.GROUP_THRESHOLDS)
        self._folder = Path(cfg.OUTPUT_DIR)

    def after_step(self) -> None:
        """Log the mean rate of each group."""
        rates, stats = self._rates(), self._predictor.cls_loss.class_stats.value()
        storage = get_event_storage()
        if stats is None:
            storage.put_scalar("meta/rate", float(rates.mean()))
            return
        groups = stats.groups(self._thresholds)
        for group, name in enumerate(GROUP_NAMES):
            if (groups == group).any():
                storage.put_scalar(f"meta/rate_{name}", float(rates[groups == group].mean()))

    def after_train(self) -> None:
        """Write the files."""
        if not comm.is_main_process():
            return
        rates, stats = self._rates(), self._predictor.cls_loss.class_stats.value()
        with atomic_text(self._folder / "class_rates.json") as file:
            json.dump({"rate": rates.tolist()}, file)
        if stats is not None:
            plot_class_rates(rates, stats, self._folder / "class_rates.png", self._thresholds)

    def _rates(self) -> np.ndarray:
        return self._meta_step.phi.sigmoid().cpu().numpy()


def plot_class_rates(
    rates: np.ndarray, stats: ClassStats, path: str | Path, thresholds: tuple[int, int]
) -> None:
    """Draw learned class rates against image counts, coloured by group.

    Args:
        rates: (K,) in (0, 1); 0.5 is where they start.
        stats: of the training set. Classes without a picture are not drawn.
        path: of the picture.
        thresholds: image counts that end the rare and the common group.
    """
    # Without pyplot: training needs no display.
    from matplotlib.figure import Figure  # lazy: draws

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    groups = stats.groups(thresholds)
    for group, name in enumerate(GROUP_NAMES):
        shown = (groups == group) & (stats.image_count > 0)
        if shown.any():
            axes.scatter(
                stats.image_count[shown],
                rates[shown],
                s=14,
                color=GROUP_COLORS[name],
                label=f"{name} ({shown.sum()}), mean {rates[shown].mean():.2f}",
            )
    axes.axhline(0.5, color="0.4", linewidth=0.8, linestyle="--")
    axes.set(
        xscale="log",
        xlabel="training pictures of the class",
        ylabel="learned class rate (0.5 at the start)",
    )
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)
