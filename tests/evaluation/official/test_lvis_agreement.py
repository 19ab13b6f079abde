"""The evaluator against the official API and Detectron2, on real annotations of LVIS v0.5 val.

Those of two images are in the repository (``tests/helpers/lvis_two_images.json`` says whose they
are), those of 64 on machines that have them.
"""

import copy
import json
import math
from dataclasses import fields

import numpy as np
import pycocotools.mask as mask_utils
import pytest
import torch
from detectron2.data import MetadataCatalog
from detectron2.evaluation import LVISEvaluator
from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from detectron2.structures import Boxes, Instances
from federated_problems import columns_of
from lvis import LVIS, LVISEval, LVISResults
from paths import LVIS_TWO_IMAGES, SHARED_DATA

from lt_det.evaluation.lvis_evaluator import LTLVISEvaluator
from lt_det.evaluation.matching.matches import Matches
from lt_det.evaluation.metrics.bootstrap import average_precision
from lt_det.evaluation.official.hotcoco_api import run_hotcoco_eval

VAL64 = SHARED_DATA / "lvis_val64/lvis_v0.5_val64.json"
needs_val64 = pytest.mark.skipif(not VAL64.exists(), reason=f"{VAL64} is not on this machine")
FILES = [
    pytest.param(LVIS_TWO_IMAGES, id="two images"),
    pytest.param(VAL64, id="64 images", marks=needs_val64),
]

SHARED = ("AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf")


def _decode(dataset, annotation):
    """Mask of an annotation as the API rasterises it."""
    image = next(i for i in dataset["images"] if i["id"] == annotation["image_id"])
    rles = mask_utils.frPyObjects(annotation["segmentation"], image["height"], image["width"])
    return torch.from_numpy(mask_utils.decode(mask_utils.merge(rles))).bool()


def _truth(dataset, image):
    """Ground truth of an image as detections of score 1."""
    annotations = [a for a in dataset["annotations"] if a["image_id"] == image["id"]]
    size = image["height"], image["width"]
    instances = Instances(size)
    xywh = torch.tensor([a["bbox"] for a in annotations]).reshape(-1, 4)
    instances.pred_boxes = Boxes(torch.cat([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], dim=1))
    instances.scores = torch.ones(len(annotations))
    instances.pred_classes = torch.tensor([a["category_id"] - 1 for a in annotations]).long()
    masks = [_decode(dataset, a) for a in annotations]
    instances.pred_masks = torch.stack(masks) if masks else torch.zeros(0, *size).bool()
    return instances


def _noisy(truth, image, num_false, rng):
    """Shifted ground truth and false positives, with ties, empty masks and zero-area boxes."""
    height, width = truth.image_size
    boxes, masks, classes = [], [], []
    for box, mask, c in zip(
        truth.pred_boxes.tensor.numpy(), truth.pred_masks, truth.pred_classes.tolist(), strict=True
    ):
        for _ in range(rng.integers(0, 3)):
            dx, dy = (int(v) for v in rng.normal(0, 2, 2))
            boxes.append(box + np.array([dx, dy, dx, dy]) + rng.normal(0, 1, 4))
            masks.append(torch.roll(mask, (dy, dx), (0, 1)))
            classes.append(c)
    # Class 0 is verified in no picture.
    verified = [c - 1 for c in image["neg_category_ids"]] + truth.pred_classes.tolist() + [0]
    for _ in range(num_false):
        x, y = rng.uniform(0, width - 60), rng.uniform(0, height - 60)
        w, h = rng.uniform(1, 60, 2)
        mask = torch.zeros(height, width, dtype=torch.bool)
        mask[int(y) : int(y + h), int(x) : int(x + w)] = rng.random() > 0.1
        boxes.append([x, y, x if rng.random() < 0.1 else x + w, y + h])
        masks.append(mask)
        classes.append(int(rng.choice(verified)))
    instances = Instances((height, width))
    instances.pred_boxes = Boxes(torch.tensor(np.array(boxes).reshape(-1, 4), dtype=torch.float32))
    instances.pred_classes = torch.tensor(classes).long()
    # One decimal: many ties, also between different images.
    instances.scores = torch.tensor(np.round(rng.random(len(classes)), 1), dtype=torch.float32)
    instances.pred_masks = torch.stack(masks) if masks else torch.zeros(0, height, width).bool()
    return instances


@pytest.fixture(scope="module", params=FILES)
def dataset(request):
    return json.loads(request.param.read_text())


@pytest.fixture(scope="module")
def small_dataset(dataset):
    """The same pictures with the classes that are present or known to be absent, for speed."""
    used = {a["category_id"] for a in dataset["annotations"]}
    used |= {c for i in dataset["images"] for c in i["neg_category_ids"]}
    small = {k: dataset[k] for k in ("images", "annotations", "categories")}
    small["categories"] = [c for c in dataset["categories"] if c["id"] in used | {1}]
    return copy.deepcopy(small)


@pytest.fixture(scope="module")
def noisy(small_dataset):
    """Image id -> simulated detections; one image above the cap of 300, of many one without any."""
    rng = np.random.default_rng(0)
    images = small_dataset["images"]
    out = {
        image["id"]: _noisy(_truth(small_dataset, image), image, 350 if i == 0 else 20, rng)
        for i, image in enumerate(images)
    }
    if len(images) > 2:
        out[images[1]["id"]] = out[images[1]["id"]][:0]
    return out


@pytest.fixture(scope="module")
def name(small_dataset, tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "gt.json"
    path.write_text(json.dumps(small_dataset))
    name = "lt_det_test_val64_small"
    # Without an id map both evaluators take category id - 1 as the class.
    MetadataCatalog.get(name).set(json_file=str(path), evaluator_type="lvis")
    yield name
    MetadataCatalog.remove(name)


@pytest.fixture(scope="module")
def ours(name, noisy):
    evaluator = LTLVISEvaluator(name)
    for image_id, instances in noisy.items():
        evaluator.process([{"image_id": image_id}], [{"instances": instances}])
    return evaluator, evaluator.evaluate()


def test_ground_truth_as_detections_is_ap_100(small_dataset, name):
    """Of a group without an object there is none."""
    evaluator = LTLVISEvaluator(name)
    for image in small_dataset["images"]:
        evaluator.process(
            [{"image_id": image["id"]}], [{"instances": _truth(small_dataset, image)}]
        )
    results = evaluator.evaluate()
    present = {a["category_id"] for a in small_dataset["annotations"]}
    groups = {c["frequency"] for c in small_dataset["categories"] if c["id"] in present}
    assert {"r", "f"} <= groups
    for task in ("bbox", "segm"):
        for metric in ("AP", "AP50", "AP75", "AR", *(f"AP{group}" for group in groups)):
            assert results[task][metric] == pytest.approx(100, abs=1e-9), (task, metric)


@needs_val64
def test_ground_truth_as_detections_is_ap_100_in_every_group(register):
    dataset = json.loads(VAL64.read_text())
    evaluator = LTLVISEvaluator(register(VAL64))
    for image in dataset["images"]:
        evaluator.process(
            [image | {"image_id": image["id"]}], [{"instances": _truth(dataset, image)}]
        )
    results = evaluator.evaluate()
    for task in ("bbox", "segm"):
        for metric in ("AP", "AP50", "AP75", "APr", "APc", "APf", "AR"):
            assert results[task][metric] == pytest.approx(100, abs=1e-9), (task, metric)


@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_equal_to_the_official_api_bit_for_bit(ours, noisy, name, task):
    results = []
    for image_id, instances in noisy.items():
        for result in instances_to_coco_json(instances, image_id):
            result["category_id"] += 1
            if task == "segm":
                del result["bbox"]
            results.append(result)
    ground_truth = LVIS(MetadataCatalog.get(name).json_file)
    official = LVISEval(ground_truth, LVISResults(ground_truth, copy.deepcopy(results)), task)
    official.run()
    metrics = ours[1][task]
    assert 5 < metrics["AP"] < 95
    for key, value in official.get_results().items():
        got = metrics[key.removesuffix("@300")]
        assert (math.isnan(got) and value == -1) or got == float(value * 100), key
    by_class = official.eval["precision"][:, :, :, 0].mean(axis=(0, 1)) * 100
    by_class[by_class < 0] = np.nan
    rows = ours[0].per_class
    np.testing.assert_array_equal([row[f"{task}_AP"] for row in rows], by_class)
    bootstrap = average_precision(ours[0].matches[task])
    np.testing.assert_allclose(bootstrap, by_class, rtol=0, atol=1e-11)
    _assert_equal_to_hotcoco(official, ground_truth, results, task)


def _assert_equal_to_hotcoco(official, ground_truth, results, task):
    """All cells of the arrays and all matches."""
    pytest.importorskip("hotcoco")
    evaluation, matches = run_hotcoco_eval(
        ground_truth, columns_of(results, ground_truth, task), task
    )
    np.testing.assert_array_equal(evaluation.precision, official.eval["precision"])
    np.testing.assert_array_equal(evaluation.recall, official.eval["recall"])
    expected = Matches.from_lvis_eval(official)
    for field in fields(Matches):
        np.testing.assert_array_equal(
            getattr(matches, field.name), getattr(expected, field.name), err_msg=field.name
        )


def test_equal_to_detectron2_bit_for_bit(ours, noisy, name):
    theirs = LVISEvaluator(name, distributed=False)
    theirs.reset()
    for image_id, instances in noisy.items():
        theirs.process([{"image_id": image_id}], [{"instances": instances}])
    expected = theirs.evaluate()
    for task in ("bbox", "segm"):
        for key in SHARED:
            got = ours[1][task][key]
            assert (math.isnan(got) and expected[task][key] == -100) or got == expected[task][key]


def test_simulated_detections_hold_the_hard_cases(ours, noisy):
    matches = ours[0].matches["bbox"]
    image_class_score = np.stack([matches.image_index, matches.class_index, matches.score])
    assert len(np.unique(image_class_score[1:], axis=1).T) < len(matches.score)
    assert matches.ignored.any()
    assert any((i.pred_masks.flatten(1).sum(1) == 0).any() for i in noisy.values())
    assert any((i.pred_boxes.area() == 0).any() for i in noisy.values())
    assert (min(len(i) for i in noisy.values()) == 0) == (len(noisy) > 2)
    assert max(len(i) for i in noisy.values()) > 300
