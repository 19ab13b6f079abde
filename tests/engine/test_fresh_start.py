"""One training after another in the same OUTPUT_DIR, and resumes under other settings."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from lt_det.engine.checkpoint import DamagedCheckpointError, LTCheckpointer
from lt_det.engine.fingerprint import KEPT_KEYS, KEYS, NUM_PICTURES, warn_of_differences
from lt_det.engine.trainer import LTTrainer

LATER = 4_000_000_000  # a time after any test, in seconds


@pytest.fixture
def train(tiny_cfg):
    """Returns a function that starts or resumes a training of ``max_iter`` steps."""
    tiny_cfg.DATASETS.TEST = ()
    tiny_cfg.SOLVER.CHECKPOINT_PERIOD = 2
    Path(tiny_cfg.OUTPUT_DIR).mkdir()

    def _train(max_iter=2, resume=False):
        tiny_cfg.SOLVER.MAX_ITER = max_iter
        trainer = LTTrainer(tiny_cfg)
        trainer.resume_or_load(resume=resume)
        trainer.train()
        return trainer

    return _train


@pytest.mark.integration
def test_killed_before_its_first_checkpoint_resumes_nothing_of_the_earlier_one(
    train, tiny_cfg, caplog
):
    train()
    assert "earlier training" not in caplog.text
    # A second training, that is killed before its first step.
    killed = LTTrainer(tiny_cfg)
    killed.resume_or_load(resume=False)
    assert f"OUTPUT_DIR {tiny_cfg.OUTPUT_DIR} holds checkpoints of an earlier" in caplog.text
    assert "it is not continued" in caplog.text
    output = Path(tiny_cfg.OUTPUT_DIR)
    assert (output / "last_checkpoint.previous").read_text() == "model_final.pth"
    assert (output / "model_final.pth").is_file()
    resumed = LTTrainer(tiny_cfg)
    resumed.resume_or_load(resume=True)
    assert resumed.start_iter == 0


@pytest.mark.integration
def test_an_earlier_final_model_does_not_stand_for_the_new_one(train, tiny_cfg):
    """Killed between the last periodic checkpoint and the final one."""
    train()
    tiny_cfg.SEED = 2
    train()
    output = Path(tiny_cfg.OUTPUT_DIR)
    new = torch.load(output / "model_final.pth", weights_only=True)["model"]
    torch.save({"model": {}}, output / "model_final.pth")
    (output / "last_checkpoint").write_text("model_0000001.pth")
    train(resume=True)
    final = torch.load(output / "model_final.pth", weights_only=True)["model"]
    assert final.keys() == new.keys()
    assert all(value.equal(new[name]) for name, value in final.items())


def test_a_damaged_checkpoint_does_not_give_way_to_an_earlier_trainings(tmp_path):
    checkpointer = LTCheckpointer(nn.Linear(2, 2), str(tmp_path))
    checkpointer.save("model_0000009")
    checkpointer.set_earlier_training_aside()
    assert not checkpointer.has_checkpoint()
    for name in ("model_0000001", "model_0000003"):
        checkpointer.save(name)
        os.utime(tmp_path / f"{name}.pth", (LATER, LATER))
    (tmp_path / "model_0000003.pth").write_bytes(b"")
    checkpointer.resume_or_load("", resume=True)
    assert checkpointer.resumed_from == "model_0000001.pth"
    (tmp_path / "model_0000001.pth").write_bytes(b"")
    with pytest.raises(DamagedCheckpointError):
        checkpointer.resume_or_load("", resume=True)


def test_without_an_earlier_training_nothing_is_set_aside(tmp_path, caplog):
    LTCheckpointer(nn.Linear(2, 2), str(tmp_path)).set_earlier_training_aside()
    assert not list(tmp_path.iterdir())
    assert not caplog.text


# --- other settings ----------------------------------------------------------------------------


def warnings(caplog) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]


@pytest.mark.integration
def test_a_resume_under_other_settings_warns_once_of_all(train, tiny_cfg, caplog):
    train()
    tiny_cfg.SOLVER.IMS_PER_BATCH = 1
    tiny_cfg.DATALOADER.SAMPLER_TRAIN = "ClassAwareTrainingSampler"
    tiny_cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
    train(3, resume=True)
    (message,) = [m for m in warnings(caplog) if "other settings" in m]
    for change in (
        "DATALOADER.SAMPLER_TRAIN was TrainingSampler, is ClassAwareTrainingSampler",
        "SOLVER.IMS_PER_BATCH was 2, is 1",
        f"{NUM_PICTURES} was 7, is 8",
        "It will differ from an uninterrupted one",
    ):
        assert change in message
    assert message.count(" was ") == 3


@pytest.mark.integration
def test_more_steps_or_a_list_for_a_tuple_are_no_other_settings(train, tiny_cfg, caplog):
    train()
    tiny_cfg.DATASETS.TRAIN = list(tiny_cfg.DATASETS.TRAIN)
    train(3, resume=True)
    assert not [m for m in warnings(caplog) if "other settings" in m]


@pytest.mark.integration
def test_another_seed_is_not_taken_over(train, tiny_cfg, caplog):
    train()
    tiny_cfg.SEED = 7
    assert train(3, resume=True)._trainer.seed == 1
    assert "the training's own SEED 1, not 7" in "".join(warnings(caplog))


@pytest.mark.integration
def test_checkpoints_without_a_fingerprint_resume_silently(train, tiny_cfg, caplog):
    train()
    path = Path(tiny_cfg.OUTPUT_DIR) / "model_final.pth"
    content = torch.load(path, weights_only=True)
    assert content["trainer"].pop("fingerprint_at_start") == content["trainer"]["fingerprint"]
    assert set(content["trainer"].pop("fingerprint")) == {*KEYS, *KEPT_KEYS, NUM_PICTURES}
    torch.save(content, path)
    train(3, resume=True)
    assert not [m for m in warnings(caplog) if "other settings" in m]


@pytest.mark.integration
def test_a_resume_with_other_steps_of_the_schedule_warns(train, tiny_cfg, caplog):
    train()
    tiny_cfg.SOLVER.STEPS = (1,)
    train(3, resume=True)
    (message,) = [m for m in warnings(caplog) if "other settings" in m]
    assert ": SOLVER.STEPS was (30000,), is (1,). It will differ" in message


@pytest.mark.integration
def test_a_resume_keeps_the_rate_and_says_so(train, tiny_cfg, caplog):
    train()
    tiny_cfg.SOLVER.BASE_LR = 0.5
    trainer = train(3, resume=True)
    assert trainer.optimizer.param_groups[0]["lr"] == 0.01
    assert "the checkpoint's settings: SOLVER.BASE_LR stays 0.01, not 0.5" in caplog.text
    assert not [m for m in warnings(caplog) if "other settings" in m]
    # It stays so for the resume after that.
    caplog.clear()
    train(4, resume=True)
    assert "SOLVER.BASE_LR stays 0.01, not 0.5" in caplog.text


@pytest.mark.integration
def test_once_under_another_sampler_and_back(train, tiny_cfg, caplog):
    """The second resume has the settings of the start, and is not said to be otherwise."""
    train()
    tiny_cfg.DATALOADER.SAMPLER_TRAIN = "ClassAwareTrainingSampler"
    train(3, resume=True)
    tiny_cfg.DATALOADER.SAMPLER_TRAIN = "TrainingSampler"
    caplog.clear()
    train(4, resume=True)
    (message,) = [m for m in warnings(caplog) if "other settings" in m]
    key = "DATALOADER.SAMPLER_TRAIN was ClassAwareTrainingSampler, is TrainingSampler"
    assert f"{key} again, as at the start. It will" in message


# Settings at the start, in the part that wrote the checkpoint, and now; what is said of them.
PARTS = [
    ("aaa", ""),
    ("aab", "K was a, is b. It"),
    ("aba", "K was b, is a again, as at the start. It"),
    ("abc", "K was b, is c (at the start a). It"),
    ("abb", "K was a at the start, is b. It"),
    (" ab", "K was a, is b. It"),  # of the start nothing is known
    (" aa", ""),
]


@pytest.mark.parametrize(("values", "said"), PARTS)
def test_what_is_said_of_a_setting_is_true(values, said, caplog):
    warn_of_differences(*({"K": value} if value != " " else {} for value in values))
    assert len(caplog.records) == bool(said)
    assert said in caplog.text


@pytest.mark.integration
def test_a_finished_training_has_nothing_left(train, caplog):
    train()
    assert "nothing left to train" not in caplog.text
    train(resume=True)
    assert "is finished: all 2 steps are done, and there is nothing left to train." in caplog.text


def test_a_removed_last_checkpoint_gives_way_to_the_one_before(tmp_path, caplog):
    checkpointer = LTCheckpointer(nn.Linear(2, 2), str(tmp_path))
    for name in ("model_0000001", "model_0000003", "model_0000005"):
        checkpointer.save(name)
    # Written by hand: the ones after it are no ones before.
    checkpointer.tag_last_checkpoint("model_0000004.pth")
    checkpointer.resume_or_load("", resume=True)
    assert checkpointer.resumed_from == "model_0000003.pth"
    said = f"{tmp_path}/model_0000004.pth is not there, though last_checkpoint names it. Resuming"
    assert f"{said} from the one before, {tmp_path}/model_0000003.pth." in caplog.text
    for path in tmp_path.glob("*.pth"):
        path.unlink()
    with pytest.raises(DamagedCheckpointError, match=r"0004.pth is not there.*No checkpoint in"):
        checkpointer.resume_or_load("", resume=True)
