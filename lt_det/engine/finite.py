"""A loss that is not finite: what it was computed from, and a state to look into."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import torch
from detectron2.utils import comm
from fvcore.common.checkpoint import Checkpointer

from lt_det.utils.distributed import sum_over_ranks

__all__ = ["NonFiniteLossError", "check_finite", "save_on_failure"]

_NUM_NAMED = 8
STATE_NAME = "model_before_nonfinite_loss"


class NonFiniteLossError(FloatingPointError):
    """A training step whose loss is NaN or infinite."""


def check_finite(
    losses: Mapping[str, torch.Tensor], batch: Sequence[Mapping], iteration: int
) -> None:
    """Raise before the step, on all ranks, if a loss of any is not finite.

    Args:
        losses: scalars.
        batch: model inputs, for the message.
        iteration: for the message.

    Raises:
        NonFiniteLossError: naming the losses, the pictures and the classes in them.
    """
    if not losses:
        return
    finite = torch.isfinite(sum(loss.detach() for loss in losses.values()))
    failed = 1 - finite.float()
    if not sum_over_ranks(failed):
        return
    # Every rank stops, not just one while the others wait for it.
    reports = comm.all_gather(_report(losses, batch) if failed else "")
    raise NonFiniteLossError(
        f"The loss is not finite at iteration {iteration}: {'; '.join(filter(None, reports))}. "
        "Lower SOLVER.BASE_LR, lengthen SOLVER.WARMUP_ITERS or set SOLVER.CLIP_GRADIENTS; with "
        "SOLVER.AMP try PRECISION 'bfloat16'"
    )


def _report(losses: Mapping[str, torch.Tensor], batch: Sequence[Mapping]) -> str:
    """Losses, pictures and classes of this rank."""
    values = {name: loss.item() for name, loss in losses.items()}
    pictures = [str(record.get("file_name", record.get("image_id"))) for record in batch]
    more = f" and {len(pictures) - _NUM_NAMED} more" if len(pictures) > _NUM_NAMED else ""
    instances = [record["instances"] for record in batch if "instances" in record]
    classes = sorted({int(c) for found in instances for c in found.gt_classes})
    return f"{values}. Pictures: {', '.join(pictures[:_NUM_NAMED])}{more}; classes: {classes}"


@contextlib.contextmanager
def save_on_failure(checkpointer: Checkpointer) -> Iterator[None]:
    """Save the state before the failing step as ``model_before_nonfinite_loss.pth``.

    The last checkpoint stays the last one: from this state every resume would fail again.
    """
    try:
        yield
    except NonFiniteLossError as error:
        last = checkpointer.get_checkpoint_file() if checkpointer.has_checkpoint() else ""
        checkpointer.save(STATE_NAME)
        if last:
            checkpointer.tag_last_checkpoint(last.rsplit("/", 1)[-1])
        error.add_note(f"State before this step: {checkpointer.save_dir}/{STATE_NAME}.pth")
        raise
