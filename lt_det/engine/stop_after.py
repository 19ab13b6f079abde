"""Stop a training early, on a whole step: after some minutes, or by Ctrl-C."""

from __future__ import annotations

import contextlib
import logging
import time

from detectron2.engine import HookBase
from detectron2.utils import comm

from lt_det.utils.interrupt import deferred_interrupt

__all__ = ["UNFINISHED", "StopAfter", "StopOnInterrupt"]

logger = logging.getLogger(__name__)
# Exit status of a command that stopped with more to do: EX_TEMPFAIL of sysexits.h, "try again".
UNFINISHED = 75


class StopAfter(HookBase):
    """Save a checkpoint and leave with exit status :data:`UNFINISHED` when the time is up.

    Time counts from construction, and at least one step is done. A training that is resumed goes on
    as if it had not stopped.

    Args:
        minutes: until the first step that is the last one of this slice.

    Raises:
        ValueError: if ``minutes`` is not above 0, or several processes train, of which one cannot
            tell the others.
    """

    def __init__(self, minutes: float):
        if not minutes > 0:
            raise ValueError(f"Expected --minutes to be above 0, but got {minutes}")
        if comm.get_world_size() > 1:
            raise ValueError(
                f"--minutes is for a training in one process, but there are {comm.get_world_size()}"
            )
        self._minutes = minutes
        self._end = time.monotonic() + 60 * minutes

    def after_step(self) -> None:
        """Stop here if the time is up, unless this step was the last one anyway.

        Raises:
            SystemExit: with status :data:`UNFINISHED`.
        """
        trainer = self.trainer
        done = trainer.iter + 1
        if time.monotonic() < self._end or done >= trainer.max_iter:
            return
        trainer.checkpointer.save(f"model_{trainer.iter:07d}", iteration=trainer.iter)
        logger.info(
            "Stopped after %g minutes with %d of %d steps done: --resume goes on",
            self._minutes,
            done,
            trainer.max_iter,
        )
        raise SystemExit(UNFINISHED)


class StopOnInterrupt(HookBase):
    """Let the step end in which Ctrl-C comes, save a checkpoint, and stop.

    A resume goes on from that step, and ends with the weights of a training that was not stopped.
    A second Ctrl-C stops at once. Between the steps, as in an evaluation, the first one does. For
    trainings in one process: of several, each would stop at another step.
    """

    def __init__(self):
        self._step = contextlib.ExitStack()
        self._is_interrupted = False

    def before_step(self) -> None:
        """Hold Ctrl-C back."""
        self._step.enter_context(deferred_interrupt())

    def after_step(self) -> None:
        """Save and stop if Ctrl-C came.

        Raises:
            KeyboardInterrupt: then.
        """
        try:
            self._step.close()
        except KeyboardInterrupt:
            self._is_interrupted = True
            trainer = self.trainer
            if trainer.iter + 1 < trainer.max_iter:
                # After the last step the checkpointer has just done it.
                trainer.checkpointer.save(f"model_{trainer.iter:07d}", iteration=trainer.iter)
            raise

    def after_train(self) -> None:
        """Skip the evaluation that follows the last step, too, if Ctrl-C came in that step.

        Raises:
            KeyboardInterrupt: then.
        """
        # Still open after a step that failed.
        self._step.close()
        if self._is_interrupted and self.trainer.iter + 1 >= self.trainer.max_iter:
            raise KeyboardInterrupt
