"""Set up the logs of a job: a short console, and ``log.txt`` with everything, without colours."""

from __future__ import annotations

import logging
import sys

from detectron2.utils.collect_env import collect_env_info
from detectron2.utils.logger import setup_logger

__all__ = ["IN_FILE_ONLY", "set_up_logs"]

# ``extra`` of a record that is too long for the console.
IN_FILE_ONLY = {"in_file_only": True}
# What Detectron2 logs at length: logger -> how it begins. The traceback is printed again at the
# end, or is in words there.
_LONG = {
    "detectron2.engine.defaults": "Model:",
    "detectron2.data.build": "Distribution of instances",
    "detectron2.engine.train_loop": "Exception during training",
}


def set_up_logs(output_dir: str, rank: int = 0, world_size: int = 1) -> None:
    """Log Detectron2, fvcore and lt_det to the console (rank 0) and to ``output_dir/log.txt``.

    The file begins with the environment. The console leaves out what is long: the environment, the
    model, the histogram of classes and tracebacks, which the file has.

    Args:
        output_dir: folder of ``log.txt``, of other ranks ``log.txt.rank1`` and so on.
        rank: of this process.
        world_size: number of processes.
    """
    for name in ("fvcore", "detectron2", "lt_det"):
        # Colours are for terminals.
        logger = setup_logger(output_dir, rank, color=sys.stdout.isatty(), name=name)
        for handler in logger.handlers:
            if getattr(handler, "stream", None) in (sys.stdout, sys.__stdout__):
                handler.addFilter(_is_short)
    logger.info("Rank of current process: %d. World size: %d", rank, world_size, extra=IN_FILE_ONLY)
    logger.info("Environment info:\n%s", collect_env_info(), extra=IN_FILE_ONLY)


def _is_short(record: logging.LogRecord) -> bool:
    if getattr(record, "in_file_only", False):
        return False
    # Detectron2's formatter shortens the name of a record it has printed.
    name = record.name.replace("d2.", "detectron2.", 1)
    return not (name in _LONG and str(record.msg).startswith(_LONG[name]))
