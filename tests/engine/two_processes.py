"""Trainings in one process and in two that talk by gloo, and their comparison."""

import json
from pathlib import Path

import torch
import torch.multiprocessing as mp
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng
from torch import distributed

from lt_det.engine.trainer import LTTrainer


def train(cfg, output, resume=False, stop=None):
    """Train, up to iteration ``stop`` if given."""
    cfg = cfg.clone()
    cfg.OUTPUT_DIR = str(output)
    Path(output).mkdir(exist_ok=True)
    seed_all_rng(cfg.SEED)
    trainer = LTTrainer(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.max_iter = stop or trainer.max_iter
    trainer.train()
    if comm.is_main_process():
        values, _ = zip(*trainer.storage.history("total_loss").values(), strict=True)
        (Path(output) / "losses.json").write_text(json.dumps(values))


def in_two_processes(work, folder, *args):
    """``work(rank, *args)`` in two processes that talk by gloo."""
    mp.spawn(_worker, (str(folder), work, args), nprocs=2)


def _worker(rank, folder, work, args):
    torch.set_num_threads(1)
    rendezvous = f"file://{folder}/rendezvous"
    distributed.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=2)
    try:
        work(rank, *args)
    finally:
        distributed.destroy_process_group()


def train_rank(rank, cfg, output, resume, stop):
    train(cfg, output, resume, stop)


def final(output) -> dict[str, torch.Tensor]:
    return torch.load(Path(output) / "model_final.pth", weights_only=True)["model"]


def classifiers(output) -> dict[str, torch.Tensor]:
    return {name: value for name, value in final(output).items() if ".cls_score." in name}


def losses(output) -> list[float]:
    """Of every iteration, averaged over the processes."""
    return json.loads((Path(output) / "losses.json").read_text())


def assert_close(output, expected):
    values, expected_values = classifiers(output), classifiers(expected)
    assert values.keys() == expected_values.keys()
    for name, value in values.items():
        atol = 1e-5 * value.std(correction=0)
        torch.testing.assert_close(value, expected_values[name], rtol=1e-5, atol=atol)
