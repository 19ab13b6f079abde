"""Output folders as training and evaluation leave them, small and made up."""

import json

import numpy as np
import torch

from lt_det.evaluation.matching.matches import Matches
from lt_det.evaluation.metrics.gradient_history import GRADIENT_RATIO_FILE, GradientHistory
from lt_det.evaluation.results import write_results

# By rising category id; the model's classes are in another order, as with a map of the data set.
NAMES = ("axe", "<script>alert('b')</script>", "çatal | 日本", "dog", "eel")
GROUPS = ("rare", "rare", "common", "frequent", "frequent")
CATEGORY_IDS = (2, 3, 5, 7, 11)
CLASS_IDS = (4, 0, 1, 3, 2)
IMAGE_COUNT = (3, 0, 40, 300, 900)
IMAGE_IDS = (1, 2, 3, 4)
# Class 3 has no ground truth.
INSTANCES = (2, 1, 3, 0, 4)
DATASET = "lt_det_fake_val"


def class_ap(seed=0):
    """AP of each class, NaN without ground truth."""
    ap = np.array([1.5, 20.25, 50.0, np.nan, 80.125])
    return ap + 0.5 * seed


def make_run(output, seed=0, names=NAMES, dataset=DATASET, tasks=("bbox", "segm"), rows=True):
    """OUTPUT_DIR with results alone; returns the evaluation's folder."""
    ap = class_ap(seed)
    results = {
        task: {"AP": float(np.nanmean(ap)), "APr": float(ap[:2].mean()), "APc": float(ap[2])}
        | {"APf": float(ap[4]), "APl": np.nan, "AP_fixed": 12.345678 + seed}
        for task in tasks
    }
    per_class = [
        {
            "class_id": CLASS_IDS[k],
            "category_id": CATEGORY_IDS[k],
            "name": names[k],
            "group": GROUPS[k],
            "train_image_count": float(IMAGE_COUNT[k]),
            "train_instance_count": 2.0 * IMAGE_COUNT[k],
            "val_instances": INSTANCES[k],
            **{f"{task}_{m}": ap[k] for task in tasks for m in ("AP", "AP50", "AR")},
        }
        for k in range(len(names))
    ]
    folder = output / "inference" / dataset
    write_results(folder, results, per_class if rows else None)
    return folder


def make_matches(image_ids=IMAGE_IDS, category_ids=CATEGORY_IDS):
    """Class 0 has a true and a false positive, class 4 an ignored one and two true ones."""
    hit, miss = np.ones((10, 1)), np.zeros((10, 1))
    none = np.zeros((10, 1))
    found = [
        (0, 0, [[0.92, 0.31], np.hstack([hit, miss]), np.hstack([none, none]), [0, 0]]),
        (1, 1, [[], np.zeros((10, 0)), np.zeros((10, 0)), [0]]),
        (0, 2, [[0.55], miss, none, [0, 0, 0]]),
        (2, 4, [[0.99, 0.5], np.hstack([hit, miss]), np.hstack([none, hit]), [0, 0]]),
        (3, 4, [[1.0], hit, none, [0, 0]]),
    ]
    found = [(i, k, [np.asarray(column) for column in columns]) for i, k, columns in found]
    return Matches.from_pairs(image_ids, category_ids, 10, found)


def add_all(output, folder, matches=None):
    """Every optional file of a run."""
    for path in folder.glob("results.json"):
        for task in json.loads(path.read_text()):
            (matches or make_matches()).save(folder / f"matches_{task}.npz")
    weight = torch.arange(1.0, 7.0)[:, None] * torch.tensor([0.6, 0.8])  # norms 1 to 6
    state = {"model": {"roi_heads.box_predictor.cls_score.weight": weight}}
    torch.save(state, output / "model_final.pth")
    (output / "class_rates.json").write_text(json.dumps({"rate": [0.1, 0.2, 0.3, 0.4, 0.5]}))
    positive = np.array([[1.0, 2, 3, 4, 0], [1, 2, 3, 4, 1]])
    GradientHistory(np.array([10, 20]), positive, np.full((2, 5), 2.0)).save(
        output / GRADIENT_RATIO_FILE
    )
    (folder / "diagnostics.json").write_text(json.dumps({"segm": DIAGNOSTICS}))


DIAGNOSTICS = {
    "calibration": {
        "rare": {
            "ece": 0.25,
            "bins": [
                {"confidence": 0.1, "precision": 0.4, "count": 3},
                {"confidence": 0.5, "precision": None, "count": 0},
                {"confidence": 0.9, "precision": 0.6, "count": 1},
            ],
        }
    },
    "error_shares": {"rare": {"Cls": 3.5, "Miss": 1.25}, "all": {"Cls": 2.0, "Loc": 0.5}},
    "confusion": [
        {"class": "axe", "into": "eel", "count": 2, "share": 0.25, "group": "rare"}
        | {"into_group": "frequent"},
        {"class": NAMES[1], "into": "dog", "count": 7, "share": 0.875, "group": "rare"},
    ],
}
