"""A bilevel step in three passes through the whole detector, as BALMS's released code takes it.

Written anew and without ``higher``: the look-ahead step stays in autograd's graph, here that of the
last layer alone, which costs less than the original. What it shares with the original is the
detector in Detectron2's own training mode: in each pass the losses of the RPN, of box regression
and of the masks are computed too, though nothing they depend on trains in stage 2.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import FastRCNNOutputLayers
from detectron2.structures import Instances
from torch import nn

from lt_det.engine.bilevel.class_rates import foreground_count, roi_weights
from lt_det.losses import BoxClsLoss
from lt_det.modeling.accuracy import log_accuracy

__all__ = ["RateOutputLayers", "ThreeForwards"]


class RateOutputLayers(FastRCNNOutputLayers):
    """Detectron2's box predictor with the RoIs weighted by class rates.

    Args:
        stock: what it takes the place of.
        cls_loss: the inner loss, on K + 1 logits.
    """

    def __init__(self, stock: FastRCNNOutputLayers, cls_loss: BoxClsLoss):
        super().__init__(
            ShapeSpec(channels=stock.cls_score.in_features),
            num_classes=stock.num_classes,
            box2box_transform=stock.box2box_transform,
        )
        self.cls_loss = cls_loss
        self.outer_loss = cls_loss.plain()
        self.phi = torch.zeros(stock.num_classes, requires_grad=True)
        #: Weight and bias after the look-ahead step, of which the outer loss is computed.
        self.ahead: list[torch.Tensor] | None = None

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See :class:`FastRCNNOutputLayers`."""
        if self.ahead is None:
            return super().forward(x)
        return F.linear(x, *self.ahead), self.bbox_pred(x)

    def losses(
        self, predictions: tuple[torch.Tensor, torch.Tensor], proposals: list[Instances]
    ) -> dict[str, torch.Tensor]:
        """See :class:`FastRCNNOutputLayers`."""
        logits, deltas = predictions
        gt_classes = torch.cat([p.gt_classes for p in proposals])
        log_accuracy(self.cls_loss, logits.detach(), gt_classes)
        if self.ahead is None:
            count = foreground_count(gt_classes, self.num_classes)
            weights = roi_weights(self.phi, gt_classes, count)
            losses = weights * self.cls_loss(logits, gt_classes)
        else:
            losses = self.outer_loss(logits, gt_classes)
        boxes = torch.cat([p.proposal_boxes.tensor for p in proposals])
        targets = torch.cat(
            [(p.gt_boxes if p.has("gt_boxes") else p.proposal_boxes).tensor for p in proposals]
        )
        box_loss = self.box_reg_loss(boxes, targets, deltas, gt_classes)
        return {"loss_cls": losses.mean(), "loss_box_reg": box_loss}


class ThreeForwards:
    """The step; the training batch passes through the detector twice.

    Args:
        model: in training mode, with a :class:`RateOutputLayers` whose classifier alone trains.
        batches: of the training stream.
        meta_batches: of the meta stream.
        optimizer: SGD with momentum, of weight and bias of the classifier.
        base_lr: Adam's, on the rates.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Iterator[list[dict]],
        meta_batches: Iterator[list[dict]],
        optimizer: torch.optim.SGD,
        base_lr: float = 0.01,
    ):
        self.model = model
        self.predictor: RateOutputLayers = model.roi_heads.box_predictor
        self.adam = torch.optim.Adam([self.predictor.phi], lr=base_lr)
        self._batches, self._meta_batches = batches, meta_batches
        self._optimizer = optimizer
        self._parameters = list(self.predictor.cls_score.parameters())

    def run_step(self) -> None:
        """One step of rates and classifier."""
        batch, meta_batch = next(self._batches), next(self._meta_batches)
        self.predictor.ahead = self._look_ahead(self._loss(batch))
        outer_loss = self._loss(meta_batch)
        self.predictor.ahead = None
        self.adam.zero_grad()
        outer_loss.backward(inputs=[self.predictor.phi])
        self.adam.step()
        loss = self._loss(batch)
        self._optimizer.zero_grad()
        loss.backward(inputs=self._parameters)
        self._optimizer.step()

    def _loss(self, batch: list[dict]) -> torch.Tensor:
        return sum(self.model(batch).values())

    def _look_ahead(self, loss: torch.Tensor) -> list[torch.Tensor]:
        """Weight and bias after the optimiser's step, with a graph that leads to the rates."""
        (group,) = self._optimizer.param_groups
        gradients = torch.autograd.grad(loss, self._parameters, create_graph=True)
        ahead = []
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            step = gradient + group["weight_decay"] * parameter.detach()
            buffer = self._optimizer.state[parameter].get("momentum_buffer")
            if buffer is not None:
                step = step + group["momentum"] * buffer
            ahead.append(parameter.detach() - group["lr"] * step)
        return ahead
