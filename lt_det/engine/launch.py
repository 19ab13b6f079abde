"""Start the processes of a training: by ``--num-gpus``, or take torchrun's."""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from detectron2.engine import launch
from detectron2.utils import comm
from torch import distributed
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from lt_det.utils.command_line import INTERRUPTED, USER_ERRORS, in_words

__all__ = ["launch_from_args"]

# After Ctrl-C, and again after it was passed on.
_SECONDS_TO_END = 5


def launch_from_args(main: Callable[[argparse.Namespace], Any], args: argparse.Namespace) -> None:
    """Run ``main(args)`` in every process that Detectron2's arguments, or torchrun, ask for.

    A user's error in one of several processes is raised here, too, with its message alone, unless
    ``args.debug`` is set. On a machine without GPU ``--num-gpus`` counts processes, which talk by
    gloo.

    Args:
        main: the job of one process.
        args: of Detectron2's ``default_argument_parser``.

    Raises:
        ValueError: if both torchrun and ``--num-gpus`` or ``--num-machines`` start processes, or
            there are fewer GPUs than asked for; of an error in a process, see above.
        KeyboardInterrupt: after Ctrl-C, when all processes have ended.
    """
    num_processes = args.num_gpus * args.num_machines
    if distributed.is_torchelastic_launched():
        if num_processes > 1:
            raise ValueError(
                f"torchrun starts the processes already: leave out --num-gpus {args.num_gpus} "
                f"--num-machines {args.num_machines}"
            )
        _run_under_torchrun(main, args)
        return
    num_gpus = torch.cuda.device_count()
    if num_processes > 1 and 0 < num_gpus < args.num_gpus:
        raise ValueError(
            f"--num-gpus is {args.num_gpus}, but this machine has {num_gpus}: lower it, or set "
            'CUDA_VISIBLE_DEVICES="" to run that many processes on CPU'
        )
    if num_processes <= 1:
        main(args)
        return
    with tempfile.TemporaryDirectory(prefix="lt_det_") as folder, _errors_of_processes(folder):
        launch(
            _run_started,
            args.num_gpus,
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            args=(main, args, folder),
        )


@contextlib.contextmanager
def _errors_of_processes(folder: str) -> Iterator[None]:
    """Raise what the processes wrote to ``folder`` instead of how they ended."""
    try:
        yield
    except KeyboardInterrupt:
        _end_processes()
        raise
    except (ProcessExitedException, ProcessRaisedException) as error:
        messages = sorted(Path(folder).glob("rank*.txt"))
        if messages:
            raise ValueError(messages[0].read_text(encoding="utf-8")) from None
        if isinstance(error, ProcessRaisedException):
            raise
        if error.exit_code in (INTERRUPTED, -signal.SIGINT):
            raise KeyboardInterrupt from None
        hint = ". Was the memory full?" if error.exit_code == -signal.SIGKILL else ""
        raise ValueError(f"{error}{hint}") from None


def _end_processes() -> None:
    """Wait for the processes, which Ctrl-C reaches as well; end those that it did not reach."""
    processes = multiprocessing.active_children()
    for end in (lambda process: None, lambda process: os.kill(process.pid, signal.SIGINT)):
        for process in processes:
            if process.is_alive():
                end(process)
        for process in processes:
            process.join(_SECONDS_TO_END / len(processes))
    for process in processes:
        process.kill()
        process.join()


def _run_started(main: Callable, args: argparse.Namespace, folder: str) -> None:
    """Run the job of a process that this module started; its error goes into ``folder``."""
    rank = comm.get_rank()
    try:
        _run(main, args)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except USER_ERRORS as error:
        if getattr(args, "debug", False):
            raise
        Path(folder, f"rank{rank:05d}.txt").write_text(in_words(error), encoding="utf-8")
        sys.exit(1)


def _run(main: Callable, args: argparse.Namespace) -> None:
    """One of several processes; they share the cores of the machine, as under torchrun."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, torch.get_num_threads() // comm.get_local_size()))
    try:
        main(args)
    finally:
        distributed.destroy_process_group()


def _run_under_torchrun(main: Callable, args: argparse.Namespace) -> None:
    """One of torchrun's processes, set up as Detectron2's ``launch`` would have done it."""
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    comm.create_local_process_group(int(os.environ["LOCAL_WORLD_SIZE"]))
    comm.synchronize()
    _run(main, args)
