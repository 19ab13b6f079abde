"""A loss that is not finite: what it was computed from, and a state to look into."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import torch
from fvcore.common.checkpoint import Checkpointer

__all__ = ["NonFiniteLossError", "check_finite", "save_on_failure"]

_NUM_NAMED = 8
STATE_NAME = "model_before_nonfinite_loss"


class NonFiniteLossError(FloatingPointError):
    """A training step whose loss is NaN or infinite."""


def check_finite(
    losses: Mapping[str, torch.Tensor], batch: Sequence[Mapping], iteration: int
) -> None:
    """Raise before the step if a loss is not finite.

    Args:
        losses: scalars.
        batch: model inputs, for the message.
        iteration: for the message.

    Raises:
        NonFiniteLossError: naming the losses, the pictures and the classes in them.
    """
    if not losses or bool(torch.isfinite(sum(loss.detach() for loss in losses.values()))):
        return
    values = {name: loss.item() for name, loss in losses.items()}
    pictures = [str(record.get("file_name", record.get("image_id"))) for record in batch]
    classes = sorted(
        {
            int(c)
            for record in batch
            if "instances" in record
            for c in record["instances"].gt_classes
        }
    )
    more = f" and {len(pictures) - _NUM_NAMED} more" if len(pictures) > _NUM_NAMED else ""
    raise NonFiniteLossError(
        f"The loss is not finite at iteration {iteration}: {values}. Pictures: "
        f"{', '.join(pictures[:_NUM_NAMED])}{more}; classes: {classes}. Lower SOLVER.BASE_LR, "
        "lengthen SOLVER.WARMUP_ITERS or set SOLVER.CLIP_GRADIENTS; with SOLVER.AMP try "
        "PRECISION 'bfloat16'"
    )


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
