"""A training that was killed and resumed ends with the weights of one that was not."""

import itertools
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.utils.env import seed_all_rng
from torch import nn

from lt_det.engine.checkpoint import DamagedCheckpointError, LTCheckpointer
from lt_det.engine.finite import STATE_NAME, NonFiniteLossError
from lt_det.engine.trainer import LTTrainer

MAX_ITER = 8


class Killed(Exception):
    """Stands for kill -9 within one process."""


def train(cfg, output, resume=False, stop_at=None, num_workers=0):
    """Train; the losses by iteration. With ``stop_at`` the process "dies" before that step."""
    cfg = cfg.clone()
    cfg.OUTPUT_DIR = str(output)
    cfg.DATALOADER.NUM_WORKERS = num_workers
    cfg.SOLVER.MAX_ITER = MAX_ITER
    cfg.DATASETS.TEST = ()
    Path(output).mkdir(exist_ok=True)
    seed_all_rng(cfg.SEED)  # as Detectron2's default_setup does: the fresh weights
    trainer = LTTrainer(cfg)
    trainer.resume_or_load(resume=resume)
    losses = {}
    run_step = trainer._trainer.run_step
    write = trainer._trainer._write_metrics

    def run_or_die():
        if trainer.iter == stop_at:
            raise Killed
        run_step()

    def note(loss_dict, *args, **kwargs):
        losses[trainer.iter] = {name: loss.item() for name, loss in loss_dict.items()}
        return write(loss_dict, *args, **kwargs)

    trainer._trainer.run_step = run_or_die
    trainer._trainer._write_metrics = note
    try:
        trainer.train()
    except Killed:
        pass
    return losses


def final(output) -> dict[str, torch.Tensor]:
    return torch.load(Path(output) / "model_final.pth", weights_only=True)["model"]


@pytest.fixture(autouse=True)
def _checkpoint_period(tiny_cfg):
    tiny_cfg.SOLVER.CHECKPOINT_PERIOD = 3


@pytest.fixture
def uninterrupted(tiny_cfg, tmp_path):
    losses = train(tiny_cfg, tmp_path / "uninterrupted")
    assert len(losses) == MAX_ITER
    return losses, final(tmp_path / "uninterrupted")


def assert_same(weights, expected):
    assert weights.keys() == expected.keys()
    for name, value in weights.items():
        assert value.equal(expected[name]), name


@pytest.mark.integration
@pytest.mark.parametrize(("stop_at", "num_workers"), [(1, 0), (4, 2), (6, 2), (7, 0)])
def test_resumed_equals_uninterrupted(tiny_cfg, tmp_path, uninterrupted, stop_at, num_workers):
    losses, weights = uninterrupted
    output = tmp_path / "killed"
    first = train(tiny_cfg, output, stop_at=stop_at, num_workers=num_workers)
    assert list(first) == list(range(stop_at))
    second = train(tiny_cfg, output, resume=True, num_workers=num_workers)
    assert min(second) == 3 * (stop_at // 3)  # from the last checkpoint on
    assert first | second == losses
    assert_same(final(output), weights)


@pytest.mark.integration
def test_killed_before_the_final_checkpoint_alone_was_written(tiny_cfg, tmp_path, uninterrupted):
    output = tmp_path / "killed"
    tiny_cfg.SOLVER.CHECKPOINT_PERIOD = MAX_ITER
    train(tiny_cfg, output)
    before = torch.load(output / "model_final.pth", weights_only=True)
    (output / "model_final.pth").unlink()
    (output / "last_checkpoint").write_text("model_0000007.pth")
    assert train(tiny_cfg, output, resume=True) == {}
    assert_same(final(output), uninterrupted[1])
    after = torch.load(output / "model_final.pth", weights_only=True)
    assert after["iteration"] == before["iteration"] == MAX_ITER - 1
    assert after["trainer"]["iteration"] == before["trainer"]["iteration"]


@pytest.mark.integration
def test_a_drawn_seed_is_kept(tiny_cfg, tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.seed_all_rng", lambda seed: None)
    tiny_cfg.SEED = -1
    output = tmp_path / "killed"
    first = train(tiny_cfg, output, stop_at=5)
    second = train(tiny_cfg, output, resume=True)
    assert {i: second[i] for i in (3, 4)} == {i: first[i] for i in (3, 4)}


@pytest.mark.integration
def test_a_damaged_last_checkpoint_gives_way_to_the_one_before(
    tiny_cfg, tmp_path, uninterrupted, caplog
):
    output = tmp_path / "killed"
    train(tiny_cfg, output, stop_at=7)
    last = output / "model_0000005.pth"
    last.write_bytes(last.read_bytes()[:1000])
    losses = train(tiny_cfg, output, resume=True)
    assert min(losses) == 3
    assert "model_0000005.pth is damaged" in caplog.text
    assert_same(final(output), uninterrupted[1])


@pytest.mark.integration
def test_a_loss_that_is_not_finite_is_named_and_leaves_a_state(tiny_cfg, tmp_path, monkeypatch):
    output = tmp_path / "output"
    cfg = tiny_cfg.clone()
    count = itertools.count()
    from lt_det.modeling import LTFastRCNNOutputLayers

    plain = LTFastRCNNOutputLayers.classification_loss

    def exploding(self, *args, **kwargs):
        loss = plain(self, *args, **kwargs)
        return loss * float("nan") if next(count) == 4 else loss

    monkeypatch.setattr(LTFastRCNNOutputLayers, "classification_loss", exploding)
    with pytest.raises(NonFiniteLossError, match=r"iteration 4: .*'loss_cls': nan.*\.png") as info:
        train(cfg, output)
    assert "classes: [" in str(info.value)
    assert f"{STATE_NAME}.pth" in info.value.__notes__[0]
    state = torch.load(output / f"{STATE_NAME}.pth", weights_only=True)
    assert state["trainer"]["iteration"] == 4
    assert all(value.isfinite().all() for value in state["model"].values())
    # A resume goes on from the last good checkpoint.
    assert (output / "last_checkpoint").read_text() == "model_0000002.pth"


# --- checkpoint files --------------------------------------------------------------------------


@pytest.fixture
def checkpointer(tmp_path):
    return LTCheckpointer(nn.Linear(2, 2), str(tmp_path))


def test_a_write_that_fails_leaves_the_old_file(checkpointer, tmp_path, monkeypatch):
    checkpointer.save("model_0000001")
    before = (tmp_path / "model_0000001.pth").read_bytes()

    def full_disk(data, path):
        Path(path).write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        checkpointer.save("model_0000001")
    assert (tmp_path / "model_0000001.pth").read_bytes() == before
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000001.pth"


def test_nothing_readable_is_an_error(checkpointer, tmp_path):
    checkpointer.save("model_0000001")
    (tmp_path / "model_0000001.pth").write_bytes(b"")
    with pytest.raises(DamagedCheckpointError, match=r"No checkpoint in .* remove the folder"):
        checkpointer.resume_or_load("", resume=True)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


@pytest.mark.parametrize("suffix", ["pth", "pkl"])
def test_a_file_that_wants_to_run_code_is_refused(checkpointer, tmp_path, monkeypatch, suffix):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"evil.{suffix}"
    content = {"model": checkpointer.model.state_dict(), "__author__": "me", "extra": Evil()}
    if suffix == "pth":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match="LT_DET_ALLOW_UNSAFE_CHECKPOINTS=1"):
        checkpointer.load(str(path))
    assert not (tmp_path / "pwned").exists()
    monkeypatch.setenv("LT_DET_ALLOW_UNSAFE_CHECKPOINTS", "1")
    LTCheckpointer(nn.Linear(2, 2), str(tmp_path)).load(str(path))
    assert (tmp_path / "pwned").is_dir()


@pytest.mark.parametrize("protocol", [2, 4])
def test_model_zoo_pickles_of_arrays_are_read(checkpointer, tmp_path, protocol):
    weights = {"weight": np.arange(4, dtype=np.float32).reshape(2, 2), "bias": np.ones(2)}
    content = {"model": weights, "__author__": "zoo", "number": np.float64(3.5)}
    path = tmp_path / "zoo.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    checkpointer.load(str(path))
    assert checkpointer.model.weight.tolist() == [[0, 1], [2, 3]]


def test_metrics_are_plain_json_after_a_resume(tiny_cfg, tmp_path):
    output = tmp_path / "killed"
    train(tiny_cfg, output, stop_at=5)
    train(tiny_cfg, output, resume=True)
    lines = (output / "metrics.json").read_text().splitlines()
    assert all(json.loads(line)["iteration"] < MAX_ITER for line in lines)
