"""Start the processes of a training: by ``--num-gpus``, or take torchrun's."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

import torch
from detectron2.engine import launch
from detectron2.utils import comm
from torch import distributed

__all__ = ["launch_from_args"]


def launch_from_args(main: Callable[[argparse.Namespace], Any], args: argparse.Namespace) -> None:
    """Run ``main(args)`` in every process that Detectron2's arguments, or torchrun, ask for.

    On a machine without GPU ``--num-gpus`` counts processes, which talk by gloo.

    Args:
        main: the job of one process.
        args: of Detectron2's ``default_argument_parser``.

    Raises:
        ValueError: if both torchrun and ``--num-gpus`` or ``--num-machines`` start processes, or
            there are fewer GPUs than asked for.
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
    launch(
        _run if num_processes > 1 else main,
        args.num_gpus,
        num_machines=args.num_machines,
        machine_rank=args.machine_rank,
        dist_url=args.dist_url,
        args=(main, args) if num_processes > 1 else (args,),
    )


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
