"""Adaptive class suppression loss (ACSL)."""

from __future__ import annotations

import torch

from lt_det.losses.base import BOX_CLS_LOSS_REGISTRY
from lt_det.losses.sigmoid.links import LINKS
from lt_det.losses.sigmoid.plain import SigmoidLoss
from lt_det.losses.weighted_rows import round_at_random
from lt_det.registry import MethodCard

__all__ = ["ACSLLoss"]


@BOX_CLS_LOSS_REGISTRY.register()
class ACSLLoss(SigmoidLoss):
    """A foreground RoI is a negative of the classes alone that it is confused with.

    Wang et al., "Adaptive Class Suppression Loss for Long-Tail Object Detection", CVPR 2021, arXiv
    2104.00885: Omega_ij = 1 for the RoI's own class and where g(z_ij) >= xi, else 0. For background
    RoIs scores decide nothing, as in the released code (one of its comments says they do): they are
    negatives of frequent classes, and a share of them, drawn at random for each group, of common
    and of rare ones. It is drawn from the background of each process; its size is rounded at
    random (the released code rounds down). As published the classifier alone trains, in a second
    stage that begins with the softmax classifier of the first, and the background column is dropped
    at test.

    Args:
        num_classes: see :class:`BoxClsLoss`.
        class_stats: see :class:`BoxClsLoss`; required in training.
        min_score: xi.
        background_shares: of background RoIs, for rare, common and frequent classes.
        group_thresholds: rare <= first < common <= second < frequent, in images.
        objectness: see :class:`SigmoidLoss`.
        kwargs: see :class:`SigmoidLoss`.

    Raises:
        ValueError: if a parameter has no meaning.
    """

    corrects_imbalance = True
    CARD = MethodCard(
        paper="Wang et al., Adaptive Class Suppression Loss, CVPR 2021",
        arxiv="2104.00885",
        equation=(
            "sigmoid with a background column, Omega_ij = [t_ij = 1 or g(z_ij) >= xi] on "
            "foreground RoIs; 1 %, 10 % and 100 % of the background for rare, common, frequent"
        ),
        released="The defaults; stage 2 begins with the softmax classifier of stage 1.",
        cost="a comparison, a mask and a weight an element",
        use_when="Stage 2 of a sigmoid or softmax detector, the classifier alone.",
    )

    def __init__(
        self,
        num_classes,
        class_stats=None,
        *,
        min_score: float = 0.7,
        background_shares: tuple[float, float, float] = (0.01, 0.1, 1.0),
        group_thresholds: tuple[int, int] = (10, 100),
        objectness: str = "train",
        **kwargs,
    ):
        super().__init__(num_classes, class_stats, objectness=objectness, **kwargs)
        if not 0 < min_score < 1:
            raise ValueError(f"Expected `min_score` to be in (0, 1), but got {min_score}")
        background_shares, group_thresholds = tuple(background_shares), tuple(group_thresholds)
        if len(background_shares) != 3 or not all(0 <= s <= 1 for s in background_shares):
            raise ValueError(
                f"Expected `background_shares` to be three in [0, 1], but got {background_shares}"
            )
        if len(group_thresholds) != 2 or not 0 < group_thresholds[0] < group_thresholds[1]:
            raise ValueError(
                "Expected `group_thresholds` to be two increasing counts above 0, but got "
                f"{group_thresholds}"
            )
        self.min_score = min_score
        self.background_shares = background_shares
        self.group_thresholds = group_thresholds

    def draw_mask(self, gt_classes, known_negatives=None, weights=None):
        """Which elements count, bool (R, C), as far as scores do not decide."""
        mask = super().draw_mask(gt_classes, known_negatives, weights)
        counts = self.require_class_stats().image_count
        group = torch.bucketize(counts, counts.new_tensor(self.group_thresholds))
        background = (gt_classes == self.num_classes).nonzero().flatten()
        of_group = torch.ones(3, len(gt_classes), dtype=torch.bool, device=group.device)
        # Rows of any weight are kept with equal probability, so each RoI behind them is.
        num_kept = round_at_random(len(background) * torch.tensor(self.background_shares))
        for number, kept in enumerate(num_kept.int().tolist()):
            # On CPU, where the draw is the same for every device.
            order = torch.randperm(len(background)).to(group.device)
            of_group[number, background[order[kept:]]] = False
        kept = self.with_background(of_group[group].T)
        return kept if mask is None else kept & mask

    def element_weight(self, logits, targets, gt_classes):
        """Omega by the scores, a constant."""
        # A logit's comparison is a probability's: both links are increasing.
        confused = logits >= LINKS[self.link].logit(self.min_score)
        background = (gt_classes == self.num_classes).unsqueeze(1)
        return targets.masked_fill(confused | background, 1)
