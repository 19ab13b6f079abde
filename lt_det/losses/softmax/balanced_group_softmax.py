"""Balanced Group Softmax (BAGS): a softmax among classes of similar counts."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from lt_det.losses.base import BOX_CLS_LOSS_REGISTRY, BoxClsLoss
from lt_det.losses.prior import check_count_type
from lt_det.losses.weighted_rows import ones_or, round_at_random
from lt_det.registry import MethodCard
from lt_det.utils.distributed import sum_over_ranks

__all__ = ["BalancedGroupSoftmaxLoss"]


@BOX_CLS_LOSS_REGISTRY.register()
class BalancedGroupSoftmaxLoss(BoxClsLoss):
    r"""The sum over groups of the mean cross-entropy inside each; classes compete with their like.

    Li et al., "Overcoming Classifier Imbalance for Long-tail Object Detection with Balanced Group
    Softmax", CVPR 2020, arXiv 2006.10408. Groups are bins of training counts; each has a logit
    "others" beside its classes', and background against foreground is one group more. A group's
    loss is the mean over all of its RoIs and ``others_ratio`` times as many of the other RoIs,
    drawn at random (a fraction of an RoI is rounded at random, by the released code down); 0
    without any of its own. In training the classifier alone starts anew.

    The (R, C) logits, with G groups, are those of the K classes, of background, of foreground, and
    of "others" in each group. C = K + 2 + G does not depend on the class statistics, which may come
    from a checkpoint that is loaded into the layer: the group of a class is looked up when it is
    used. (The released code builds its layer from them.) A group without a class has no loss, and
    its logit is never read.

    Over several ranks the mean of a group is that over the RoIs of all, which the released code
    computes rank by rank.

    Args:
        num_classes: see :class:`BoxClsLoss`.
        class_stats: see :class:`BoxClsLoss`; required to train and to predict.
        thresholds: where the counts of the next group begin; () is a single group.
        others_ratio: beta.
        count_type: "instance" (the paper's) or "image".

    Raises:
        ValueError: if an option has no meaning.
    """

    corrects_imbalance = True
    CARD = MethodCard(
        paper="Li et al., Balanced Group Softmax, CVPR 2020",
        arxiv="2006.10408",
        equation="sum over groups of counts of the mean cross-entropy in each",
        released="The mean of a group is taken rank by rank.",
        cost=(
            "2.9 times cross-entropy on CPU: columns are selected by group; a random draw of the "
            "groups' others"
        ),
        use_when="Stage 2 with CLASSIFIER.REINIT, where classes of very different counts compete.",
    )

    def __init__(
        self,
        num_classes,
        class_stats=None,
        *,
        thresholds: tuple[int, ...] = (10, 100, 1000),
        others_ratio: float = 8.0,
        count_type: str = "instance",
    ):
        super().__init__(num_classes, class_stats)
        thresholds = tuple(thresholds)
        if any(high <= low for low, high in zip((0, *thresholds), thresholds, strict=False)):
            raise ValueError(
                f"Expected `thresholds` to be increasing counts above 0, but got {thresholds}"
            )
        if not (math.isfinite(others_ratio) and others_ratio >= 0):
            raise ValueError(
                f"Expected `others_ratio` to be finite and >= 0, but got {others_ratio}"
            )
        self.thresholds = thresholds
        self.others_ratio = others_ratio
        self.count_type = check_count_type(count_type)

    @property
    def num_groups(self) -> int:
        """G, empty ones included, without that of background and foreground."""
        return len(self.thresholds) + 1

    @property
    def num_logits(self) -> int:
        """K + 2 + G."""
        return self.num_classes + 2 + self.num_groups

    def group_of_class(self) -> torch.Tensor:
        """The group of each class, (K,), from 0 for the smallest counts."""
        count = self.require_class_stats().count(self.count_type)
        return torch.bucketize(count, count.new_tensor(self.thresholds), right=True)

    def draw_mask(self, gt_classes, known_negatives=None, weights=None):
        """Weights (R, C), of a group in the column of its "others"; 1 in all other columns.

        The number of RoIs over the number in the group's mean; 0 where a RoI is not drawn. Rows
        of any weight are drawn with equal probability, so that each RoI that they stand for is.
        """
        group = F.pad(self.group_of_class(), (0, 1), value=-1)[gt_classes]
        own = group.unsqueeze(1) == torch.arange(self.num_groups, device=group.device)
        number = ones_or(weights, gt_classes)
        num_own = number @ own.double()
        num_others = number.sum() - num_own
        wanted = torch.minimum(self.others_ratio * num_own, num_others)
        keep = own | self._drawn(own, wanted, num_others)
        total = sum_over_ranks(torch.cat([number.sum().unsqueeze(0), num_own + wanted]))
        weight = keep * torch.where(total[1:] > 0, total[0] / total[1:], 0.0)
        return F.pad(weight, (self.num_classes + 2, 0), value=1.0)

    def _drawn(self, own: torch.Tensor, wanted: torch.Tensor, num_others: torch.Tensor):
        """Draw the rows of other groups, bool (R, G): ``wanted`` (G,) of ``num_others`` RoIs."""
        # RoIs to rows; the fraction first, which is exactly 1 where every row is one RoI.
        rows_per_roi = (~own).sum(dim=0) / num_others.clamp(min=torch.finfo(torch.float64).tiny)
        num_rows = round_at_random(wanted * rows_per_roi).to(own.device)
        # On CPU, where the draw is the same for every device.
        random = torch.rand(own.shape).to(own.device)
        place = random.masked_fill(own, math.inf).argsort(dim=0).argsort(dim=0)
        return ~own & (place < num_rows)

    def forward(self, logits, gt_classes, mask=None):
        """See :meth:`BoxClsLoss.forward`. Without a mask each RoI is in every group's mean."""
        foreground = (gt_classes < self.num_classes).long()
        loss = F.cross_entropy(self._two_logits(logits), foreground, reduction="none")
        for group, classes, group_logits in self._groups(logits):
            # Of a class its place in the group, of all others and background the place of "others".
            place = torch.full((self.num_classes + 1,), len(classes), device=classes.device)
            place[classes] = torch.arange(len(classes), device=classes.device)
            inside = F.cross_entropy(group_logits, place[gt_classes], reduction="none")
            others = self.num_classes + 2 + group
            loss = loss + (inside if mask is None else mask[:, others].to(inside) * inside)
        return loss

    def predict_probs(self, logits):
        """p_j = softmax of its group (j) times p(foreground), and p(background), (R, K + 1).

        The K + 1 do not sum to 1: every group keeps what it gives to "others".
        """
        background, foreground = self._two_logits(logits).softmax(dim=1).split(1, dim=1)
        probs = torch.cat([torch.zeros_like(logits[:, : self.num_classes]), background], dim=1)
        for _, classes, group_logits in self._groups(logits):
            inside = group_logits.softmax(dim=1)[:, :-1]
            probs = probs.index_copy(1, classes, inside * foreground)
        return probs

    def _groups(self, logits: torch.Tensor):
        """Groups that are not empty: number, classes, and logits of these and, last, of others."""
        group_of_class = self.group_of_class()
        groups = [(group_of_class == group).nonzero().flatten() for group in range(self.num_groups)]
        used = [(group, classes) for group, classes in enumerate(groups) if len(classes)]
        columns = [F.pad(classes, (0, 1), value=self.num_classes + 2 + g) for g, classes in used]
        # One selection for all: each alone would have a gradient of the size of all logits.
        selected = logits.index_select(1, torch.cat(columns))
        parts = selected.split([len(column) for column in columns], dim=1)
        for (group, classes), part in zip(used, parts, strict=True):
            yield group, classes, part

    def _two_logits(self, logits: torch.Tensor) -> torch.Tensor:
        """Of background and of foreground, (R, 2)."""
        return logits[:, self.num_classes : self.num_classes + 2]
