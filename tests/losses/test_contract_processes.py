"""The contract of a loss: two processes train the classifier that one trains.

For every loss with running statistics, on fixed RoIs that the processes share out unequally.
"""

import pytest
import torch
import torch.multiprocessing as mp
from contract import VARIANTS, K, mask_of
from torch import distributed

from lt_det.class_stats import ClassStats
from lt_det.utils.distributed import sum_over_ranks, world_size

D, LR = 5, 0.5
NUM_ROIS = 12
# RoIs of rank 0 in each step: some, all, none.
SHARES = [7, 12, 0, 3, 6, 1]


def has_running_statistics(cls, hyper) -> bool:
    state = cls(K, **hyper).state_dict()
    return any(not name.startswith("class_stats.") for name in state)


STATEFUL = [variant for variant in VARIANTS if has_running_statistics(*variant.values)]


@pytest.fixture(scope="module")
def trained_by_two(tmp_path_factory):
    """The end of every training by two processes, the loss's position -> state of each rank."""
    folder = tmp_path_factory.mktemp("two")
    mp.spawn(_train_all, (str(folder), [v.values for v in STATEFUL]), nprocs=2)
    return [torch.load(folder / f"rank{rank}.pth", weights_only=True) for rank in range(2)]


def _train_all(rank, folder, variants):
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    try:
        ends = [train(cls, hyper, rank) for cls, hyper in variants]
    finally:
        distributed.destroy_process_group()
    torch.save(ends, f"{folder}/rank{rank}.pth")


def train(cls, hyper, rank=None) -> dict[str, torch.Tensor]:
    """Some SGD steps; state of the loss and the classifier's weights."""
    counts = torch.tensor([400.0, 90.0, 15.0, 2.0]).double().numpy()
    loss = cls(K, ClassStats(K, 1000, counts / 2, counts), **hyper)
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(loss.num_logits, D, dtype=torch.float64, generator=generator)
    for share in SHARES:
        features = torch.randn(NUM_ROIS, D, dtype=torch.float64, generator=generator)
        gt_classes = torch.randint(K + 1, (NUM_ROIS,), generator=generator)
        mask = mask_of(loss, gt_classes)
        rows = slice(None) if rank is None else (slice(share), slice(share, None))[rank]
        features, gt_classes = features[rows], gt_classes[rows]
        weight.requires_grad_()
        logits = features @ weight.T
        # As the predictor does: divided by the RoIs of all ranks, gradients summed over them.
        total = loss(logits, gt_classes, None if mask is None else mask[rows]).sum() / NUM_ROIS
        (gradient,) = torch.autograd.grad(total, weight)
        weight = weight.detach() - LR * sum_over_ranks(gradient)
        loss.update_state(logits.detach(), gt_classes)
    assert world_size() == (1 if rank is None else 2)
    return {"weight": weight, **loss.state_dict()}


@pytest.mark.parametrize("number", range(len(STATEFUL)), ids=[v.id for v in STATEFUL])
def test_two_processes_train_what_one_trains(number, trained_by_two):
    expected = train(*STATEFUL[number].values)
    for rank in range(2):
        actual = trained_by_two[rank][number]
        assert actual.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(actual[name], value, rtol=1e-10, atol=1e-12, msg=name)


def test_some_loss_has_running_statistics():
    names = {v.values[0].__name__ for v in STATEFUL}
    assert {"SeesawLoss", "EquilibriumLoss", "EQLv2Loss", "EFLLoss"} <= names
