"""Several processes train what one trains."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from detectron2.utils.events import get_event_storage
from paths import ROOT
from torch import distributed
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException
from two_processes import assert_close, in_two_processes, losses, train, train_rank

from lt_det.engine.finite import STATE_NAME, NonFiniteLossError
from lt_det.engine.launch import _errors_of_processes, _run_started, launch_from_args
from lt_det.modeling import LTFastRCNNOutputLayers
from lt_det.utils.seeding import picture_number

pytestmark = pytest.mark.integration


def predictions(output, name) -> list[tuple]:
    """Detections of all pictures: where, what and, to five digits, how sure."""
    path = Path(output) / "inference" / name / "lvis_instances_results.json"
    found = json.loads(path.read_text())
    assert found
    return sorted((d["image_id"], d["category_id"], round(d["score"], 5)) for d in found)


@pytest.mark.parametrize(
    ("loss", "heads", "sampler"),
    [
        ("SoftmaxLoss", "LTStandardROIHeads", "TrainingSampler"),
        ("BalancedSoftmaxLoss", "LTStandardROIHeads", "ClassAwareTrainingSampler"),
        ("BalancedSigmoidLoss", "LTCascadeROIHeads", "RepeatFactorTrainingSampler"),
    ],
)
def test_two_processes_equal_one(unequal_stage_two, tmp_path, loss, heads, sampler):
    unequal_stage_two.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = loss
    unequal_stage_two.MODEL.ROI_HEADS.NAME = heads
    unequal_stage_two.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG = heads == "LTCascadeROIHeads"
    unequal_stage_two.DATALOADER.SAMPLER_TRAIN = sampler
    train(unequal_stage_two, tmp_path / "one")
    in_two_processes(train_rank, tmp_path, unequal_stage_two, tmp_path / "two", False, None)
    assert_close(tmp_path / "two", tmp_path / "one")
    assert len(losses(tmp_path / "two")) == unequal_stage_two.SOLVER.MAX_ITER
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)


@pytest.mark.parametrize("first_in_two", [False, True])
def test_a_resume_may_change_the_number_of_processes(unequal_stage_two, tmp_path, first_in_two):
    train(unequal_stage_two, tmp_path / "one")
    unequal_stage_two.SOLVER.CHECKPOINT_PERIOD = 7
    for in_two, resume, stop in [(first_in_two, False, 7), (not first_in_two, True, None)]:
        job = (unequal_stage_two, tmp_path / "mixed", resume, stop)
        if in_two:
            in_two_processes(train_rank, tmp_path, *job)
        else:
            train(*job)
    assert len(losses(tmp_path / "mixed")) == unequal_stage_two.SOLVER.MAX_ITER - 7
    assert_close(tmp_path / "mixed", tmp_path / "one")


def _explode_on_rank_1(rank, cfg, output):
    plain = LTFastRCNNOutputLayers.classification_loss

    def exploding(self, *args, **kwargs):
        loss = plain(self, *args, **kwargs)
        return loss * float("nan") if rank == 1 and get_event_storage().iter == 3 else loss

    LTFastRCNNOutputLayers.classification_loss = exploding
    with pytest.raises(NonFiniteLossError) as info:
        train(cfg, output)
    Path(output, f"rank{rank}.txt").write_text(str(info.value))


def test_a_loss_that_is_not_finite_on_one_rank_stops_all(unequal_stage_two, tmp_path):
    in_two_processes(_explode_on_rank_1, tmp_path, unequal_stage_two, tmp_path / "two")
    messages = [(tmp_path / "two" / f"rank{rank}.txt").read_text() for rank in range(2)]
    assert messages[0] == messages[1]
    assert "iteration 3: {'loss_cls': nan}" in messages[0]
    assert messages[0].count(".png") == 2  # the share of rank 1
    state = torch.load(tmp_path / "two" / f"{STATE_NAME}.pth", weights_only=True)
    assert state["trainer"]["iteration"] == 3


def test_all_ways_to_start_two_processes(unequal_stage_two, tmp_path, toy_lvis):
    """--num-gpus, --num-machines and torchrun, as commands that train and evaluate."""
    unequal_stage_two.SOLVER.MAX_ITER, unequal_stage_two.SOLVER.BASE_LR = 3, 1e-4
    unequal_stage_two.DATASETS.REGISTER.append(
        [toy_lvis.val, "lvis", str(toy_lvis.val_json), str(toy_lvis.image_root)]
    )
    unequal_stage_two.DATASETS.TEST = (toy_lvis.val,)
    unequal_stage_two.TEST.SAVE_PREDICTIONS = True
    train(unequal_stage_two, tmp_path / "one")
    expected = predictions(tmp_path / "one", toy_lvis.val)
    python, tool = [sys.executable], [ROOT / "tools" / "train_net.py"]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    machines = ["--num-gpus", "1", "--num-machines", "2", "--dist-url", _free_address()]
    ways = {
        "num_gpus": [[*python, *tool, "--num-gpus", "2", "--dist-url", "auto"]],
        "torchrun": [[*python, *torchrun, *tool]],
        "machines": [[*python, *tool, *machines, "--machine-rank", str(i)] for i in range(2)],
    }
    for name, commands in ways.items():
        unequal_stage_two.OUTPUT_DIR = str(tmp_path / name)
        config = tmp_path / f"{name}.yaml"
        config.write_text(unequal_stage_two.dump())
        processes = [
            subprocess.Popen(
                [*command, "--config-file", config],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for command in commands
        ]
        assert [process.wait(timeout=300) for process in processes] == [0] * len(commands), name
        assert_close(tmp_path / name, tmp_path / "one")
        assert predictions(tmp_path / name, toy_lvis.val) == expected
        log = (tmp_path / name / "log.txt").read_text()
        assert "Rank of current process: 0. World size: 2" in log


def _free_address() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{found.getsockname()[1]}"


def test_torchrun_and_num_gpus_together_are_refused(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    args = SimpleNamespace(num_gpus=2, num_machines=1)
    with pytest.raises(ValueError, match="torchrun starts the processes already: leave out"):
        launch_from_args(None, args)


def test_more_gpus_than_there_are_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    args = SimpleNamespace(num_gpus=4, num_machines=1)
    with pytest.raises(ValueError, match="--num-gpus is 4, but this machine has 2"):
        launch_from_args(None, args)


def test_picture_numbers_are_of_the_id_or_the_file():
    numbers = [
        picture_number(record)
        for record in (
            {"image_id": 7, "file_name": "a.png"},
            {"image_id": 8, "file_name": "a.png"},
            {"file_name": "a.png"},
            {"file_name": "b.png"},
        )
    ]
    assert len(set(numbers)) == 4
    assert picture_number({"image_id": 7}) == numbers[0]


@pytest.mark.parametrize(
    ("ends", "error", "message"),
    [
        (ProcessExitedException("", 0, 1, 1), ValueError, "^val.json is broken$"),
        (ProcessRaisedException("-- Process 1 ...", 1, 2), ValueError, "^val.json is broken$"),
    ],
)
def test_an_error_of_processes_is_that_of_the_first(tmp_path, ends, error, message):
    for rank, text in ((0, "val.json is broken"), (1, "Connection closed")):
        (tmp_path / f"rank0000{rank}.txt").write_text(text)
    with pytest.raises(error, match=message), _errors_of_processes(str(tmp_path)):
        raise ends


@pytest.mark.parametrize(
    ("ends", "error", "message"),
    [
        (ProcessExitedException("process 1 ...", 1, 2, 130), KeyboardInterrupt, "^$"),
        (
            ProcessExitedException("process 1 terminated with signal SIGKILL", 1, 2, -9, "SIGKILL"),
            ValueError,
            "with signal SIGKILL. Was the memory full",
        ),
        # A bug: the traceback of the process is the message.
        (ProcessRaisedException("TypeError", 0, 1), ProcessRaisedException, "TypeError"),
    ],
)
def test_how_processes_end_without_a_users_error(tmp_path, ends, error, message):
    with pytest.raises(error, match=message), _errors_of_processes(str(tmp_path)):
        raise ends


def _refuse(args):
    raise args.error


@pytest.mark.parametrize("debug", [False, True])
def test_a_process_leaves_its_message(tmp_path, monkeypatch, debug):
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: None)
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    args = SimpleNamespace(debug=debug, error=ValueError("val.json is broken"))
    with pytest.raises(ValueError if debug else SystemExit) as info:
        _run_started(_refuse, args, str(tmp_path))
    left = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert left == ({} if debug else {"rank00000.txt": "val.json is broken"})
    assert debug or info.value.code == 1
    args.error = TypeError("a bug")
    with pytest.raises(TypeError):
        _run_started(_refuse, args, str(tmp_path))
    args.error = KeyboardInterrupt()
    with pytest.raises(SystemExit) as info:
        _run_started(_refuse, args, str(tmp_path))
    assert info.value.code == 130
