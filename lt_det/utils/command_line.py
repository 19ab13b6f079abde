"""Run a command: a mistake of the user ends in one line, a mistake of ours in a traceback."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["INTERRUPTED", "USER_ERRORS", "add_debug_argument", "in_words", "run_command"]

# Exit status of a command that was stopped by Ctrl-C: 128 and the number of the signal.
INTERRUPTED = 130
USER_ERRORS = (ValueError, OSError, ImportError, FloatingPointError)
"""What bad input, missing files and missing optional packages raise."""


def add_debug_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--debug``, which shows the traceback of every error."""
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def run_command(
    tool: str,
    job: Callable[[argparse.Namespace], Any],
    args: argparse.Namespace,
    *,
    interrupted: str | Callable[[], str] = "interrupted",
    also: tuple[type[Exception], ...] = (),
) -> int:
    """Run a job and return the exit status of its command.

    Args:
        tool: name of the command, which its messages begin with.
        job: the work; an int that it returns is the exit status, anything else is 0.
        args: arguments of the job, ``debug`` among them.
        interrupted: what is printed after Ctrl-C, or a function that makes it then.
        also: further exceptions that are no mistake of ours.

    Returns:
        The job's status, 1 after an error of :data:`USER_ERRORS`, 130 after Ctrl-C.
    """
    try:
        status = job(args)
    except KeyboardInterrupt:
        # On a line of its own: terminals print ^C where the cursor is.
        words = interrupted if isinstance(interrupted, str) else interrupted()
        print(f"\n{tool}: {words}", file=sys.stderr)
        return INTERRUPTED
    except (*USER_ERRORS, *also) as error:
        if args.debug or _is_ours(error):
            raise
        sys.stdout.flush()
        print(f"{tool}: {in_words(error)}", file=sys.stderr)
        return 1
    return status if isinstance(status, int) else 0


def in_words(error: BaseException) -> str:
    """Return the message of an error, with its notes, without a traceback."""
    text = str(error) or type(error).__name__
    if "Original Traceback (most recent call last)" in text:
        # Of a process that loads images: the message comes after the last indented line.
        lines = text.rstrip().splitlines()
        start = max(number for number, line in enumerate(lines) if line.startswith("  ")) + 1
        text = "\n".join(lines[start:]).partition(": ")[2]
    return ". ".join([text, *getattr(error, "__notes__", ())])


def _is_ours(error: Exception) -> bool:
    """Whether a module or a name of lt_det itself could not be imported."""
    return isinstance(error, ImportError) and (error.name or "").partition(".")[0] == "lt_det"
