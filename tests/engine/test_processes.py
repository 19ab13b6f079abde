"""Several processes train what one trains."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.multiprocessing as mp
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng
from detectron2.utils.events import get_event_storage
from torch import distributed

from lt_det.engine.finite import STATE_NAME, NonFiniteLossError
from lt_det.engine.launch import launch_from_args
from lt_det.engine.trainer import LTTrainer
from lt_det.modeling import LTFastRCNNOutputLayers
from lt_det.seeding import picture_number

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
ITERATIONS = 20


@pytest.fixture
def stage_two(tiny_cfg, toy_lvis):
    """The classifier alone, on pictures with unequal numbers of RoIs, one of them without any
    object; data registered by the config, which other processes can do too."""
    tiny_cfg.DATASETS.REGISTER = [
        [toy_lvis.train, "lvis", str(toy_lvis.train_json), str(toy_lvis.image_root)]
    ]
    tiny_cfg.DATASETS.TEST = ()
    tiny_cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
    tiny_cfg.SOLVER.TRAINABLE_PARAMS = ("*cls_score*",)
    tiny_cfg.SOLVER.IMS_PER_BATCH = 4
    tiny_cfg.SOLVER.MAX_ITER = ITERATIONS
    tiny_cfg.SOLVER.BASE_LR = 0.05
    # More than there are proposals: a picture has as many RoIs as the RPN and the objects give,
    # but of the foreground only one, drawn at random.
    tiny_cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 128
    tiny_cfg.MODEL.ROI_HEADS.POSITIVE_FRACTION = 0.01
    return tiny_cfg


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


def _train(rank, cfg, output, resume, stop):
    train(cfg, output, resume, stop)


def final(output) -> dict[str, torch.Tensor]:
    return torch.load(Path(output) / "model_final.pth", weights_only=True)["model"]


def classifiers(output) -> dict[str, torch.Tensor]:
    return {name: value for name, value in final(output).items() if ".cls_score." in name}


def losses(output) -> list[float]:
    """Of every iteration, averaged over the processes."""
    return json.loads((Path(output) / "losses.json").read_text())


def predictions(output, name) -> list[tuple]:
    """Detections of all pictures: where, what and, to five digits, how sure."""
    path = Path(output) / "inference" / name / "lvis_instances_results.json"
    found = json.loads(path.read_text())
    assert found
    return sorted((d["image_id"], d["category_id"], round(d["score"], 5)) for d in found)


def assert_close(output, expected):
    values, expected_values = classifiers(output), classifiers(expected)
    assert values.keys() == expected_values.keys()
    for name, value in values.items():
        torch.testing.assert_close(value, expected_values[name], rtol=1e-5, atol=1e-5 * value.std())


@pytest.mark.parametrize(
    ("loss", "heads", "sampler"),
    [
        ("SoftmaxLoss", "LTStandardROIHeads", "TrainingSampler"),
        ("BalancedSoftmaxLoss", "LTStandardROIHeads", "ClassAwareTrainingSampler"),
        ("BalancedSigmoidLoss", "LTCascadeROIHeads", "RepeatFactorTrainingSampler"),
    ],
)
def test_two_processes_equal_one(stage_two, tmp_path, loss, heads, sampler):
    stage_two.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = loss
    stage_two.MODEL.ROI_HEADS.NAME = heads
    stage_two.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG = heads == "LTCascadeROIHeads"
    stage_two.DATALOADER.SAMPLER_TRAIN = sampler
    train(stage_two, tmp_path / "one")
    in_two_processes(_train, tmp_path, stage_two, tmp_path / "two", False, None)
    assert_close(tmp_path / "two", tmp_path / "one")
    assert len(losses(tmp_path / "two")) == ITERATIONS
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)


@pytest.mark.parametrize("first_in_two", [False, True])
def test_a_resume_may_change_the_number_of_processes(stage_two, tmp_path, first_in_two):
    train(stage_two, tmp_path / "one")
    stage_two.SOLVER.CHECKPOINT_PERIOD = 7
    for in_two, resume, stop in [(first_in_two, False, 7), (not first_in_two, True, None)]:
        job = (stage_two, tmp_path / "mixed", resume, stop)
        if in_two:
            in_two_processes(_train, tmp_path, *job)
        else:
            train(*job)
    assert len(losses(tmp_path / "mixed")) == ITERATIONS - 7
    assert_close(tmp_path / "mixed", tmp_path / "one")


def _explode_on_rank_1(rank, cfg, output):
    plain = LTFastRCNNOutputLayers.classification_loss

    def exploding(self, logits, gt_classes):
        loss = plain(self, logits, gt_classes)
        return loss * float("nan") if rank == 1 and get_event_storage().iter == 3 else loss

    LTFastRCNNOutputLayers.classification_loss = exploding
    with pytest.raises(NonFiniteLossError) as info:
        train(cfg, output)
    Path(output, f"rank{rank}.txt").write_text(str(info.value))


def test_a_loss_that_is_not_finite_on_one_rank_stops_all(stage_two, tmp_path):
    in_two_processes(_explode_on_rank_1, tmp_path, stage_two, tmp_path / "two")
    messages = [(tmp_path / "two" / f"rank{rank}.txt").read_text() for rank in range(2)]
    assert messages[0] == messages[1]
    assert "iteration 3: {'loss_cls': nan}" in messages[0]
    assert messages[0].count(".png") == 2  # the share of rank 1
    state = torch.load(tmp_path / "two" / f"{STATE_NAME}.pth", weights_only=True)
    assert state["trainer"]["iteration"] == 3


def test_all_ways_to_start_two_processes(stage_two, tmp_path, toy_lvis):
    """--num-gpus, --num-machines and torchrun, as commands that train and evaluate."""
    stage_two.SOLVER.MAX_ITER, stage_two.SOLVER.BASE_LR = 3, 1e-4
    stage_two.DATASETS.REGISTER.append(
        [toy_lvis.val, "lvis", str(toy_lvis.val_json), str(toy_lvis.image_root)]
    )
    stage_two.DATASETS.TEST = (toy_lvis.val,)
    train(stage_two, tmp_path / "one")
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
        stage_two.OUTPUT_DIR = str(tmp_path / name)
        config = tmp_path / f"{name}.yaml"
        config.write_text(stage_two.dump())
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
