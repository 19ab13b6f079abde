"""Detections gathered from two processes give the numbers of one."""

import json

import numpy as np
import pytest
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.data import MetadataCatalog
from toy_lvis import ToyLVIS, make_instances

from lt_det.evaluation.lvis_evaluator import LTLVISEvaluator
from lt_det.evaluation.matching import detections

# Equal scores in different pictures: the order in which ranks are gathered must not matter.
DETECTIONS = {
    1: [(0, 0.5, (10, 10, 20, 20))],
    2: [(0, 0.5, (0, 80, 10, 10))],
    3: [(0, 0.5, (30, 30, 20, 20)), (0, 0.5, (60, 60, 10, 10))],
}


def _toy():
    toy = ToyLVIS("r")
    for image_id in DETECTIONS:
        toy.image(image_id, negative=[1])
    toy.box(1, 1, (10, 10, 20, 20))
    toy.box(3, 1, (30, 30, 20, 20))
    return toy


def _evaluate(json_file, image_ids, **options):
    MetadataCatalog.pop("lt_det_test_ranks", None)
    MetadataCatalog.get("lt_det_test_ranks").set(json_file=json_file)
    evaluator = LTLVISEvaluator("lt_det_test_ranks", **options)
    for i in image_ids:
        instances = make_instances(DETECTIONS[i])
        evaluator.process([{"image_id": i}], [{"instances": instances}])
    return evaluator.evaluate()


def _worker(rank, world_size, folder, shares, piece_bytes):
    detections.PIECE_BYTES = piece_bytes
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world_size
    )
    results = _evaluate(f"{folder}/gt.json", shares[rank])
    with open(f"{folder}/rank{rank}.json", "w") as f:
        json.dump(results, f)
    dist.destroy_process_group()


@pytest.mark.integration
@pytest.mark.parametrize("piece_bytes", [1, detections.PIECE_BYTES], ids=["by image", "at once"])
@pytest.mark.parametrize("shares", [[[], [3, 2, 1]], [[3, 1], [2, 1]]], ids=["idle", "padded"])
def test_two_processes_equal_one(tmp_path, shares, piece_bytes):
    json_file = _toy().write(tmp_path / "gt.json")
    mp.spawn(_worker, (2, str(tmp_path), shares, piece_bytes), nprocs=2)
    expected = _evaluate(json_file, [1, 2, 3], distributed=False)
    assert 0 < expected["bbox"]["AP"] < 100
    np.testing.assert_equal(json.loads((tmp_path / "rank0.json").read_text()), expected)
    assert json.loads((tmp_path / "rank1.json").read_text()) == {}
