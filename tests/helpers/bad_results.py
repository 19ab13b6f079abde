"""Every kind of bad entry of a results file, and what must be said of it."""

import numpy as np
import pycocotools.mask as mask_utils

from lt_det.data.judgement.fault import Fault
from lt_det.evaluation.files.results_faults import find_result_faults

# The ground truth: height and width of each picture, and the categories.
SIZES = {7: (4, 6), 9: (5, 5), 11: (4, 6)}
CLASS_OF = {300: 0, 100: 1}
NAN, INFINITY = float("nan"), float("inf")


def rle(height=4, width=6):
    """Columns 1 and 2 of a mask."""
    mask = np.zeros((height, width), dtype=np.uint8, order="F")
    mask[:, 1:3] = 1
    return {"size": [height, width], "counts": mask_utils.encode(mask)["counts"].decode()}


def entry(**changes):
    good = {"image_id": 7, "category_id": 300, "score": 0.5, "bbox": [1, 0, 2, 4]}
    return {**good, "segmentation": rle(), **changes}


def without(key):
    return {k: v for k, v in entry().items() if k != key}


# A faulty entry between good ones, and the kind and the place, a pattern, that must come out of it.
BAD_RESULTS = {
    "unknown picture": (entry(image_id=8), "image_id is not in the ground truth", "8 .*as 7"),
    "picture as text": (entry(image_id="7"), "image_id is not in the ground truth", "'7'"),
    "picture as a list": (entry(image_id=[7]), "image_id is not in the ground truth", r"\[7\]"),
    "unknown class": (entry(category_id=1), "category_id is not in the ground tr", "1 .*as 300"),
    "score NaN": (entry(score=NAN), "score is no finite number", "nan"),
    "score infinite": (entry(score=-INFINITY), "score is no finite number", "-inf"),
    "score as text": (entry(score="0.5"), "score is no finite number", "'0.5'"),
    "box of NaN": (entry(bbox=[NAN, 0, 1, 1]), "bbox is no list of four finite", "nan"),
    "box of three": (entry(bbox=[0, 1, 1]), "bbox is no list of four finite", r"\[0, 1, 1\]"),
    "negative width": (entry(bbox=[3, 1, -1, 1]), "bbox has negative size", r"\[3, 1, -1, 1\]"),
    "negative height": (entry(bbox=[3, 1, 1, -9]), "bbox has negative size", r"\[3, 1, 1, -9\]"),
    "mask of another size": (
        entry(segmentation=rle(6, 4)),
        "RLE has another size than its image",
        r"\[6, 4\] not \[4, 6\]",
    ),
    "polygons": (entry(segmentation=[[0, 0, 1, 0, 1, 1]]), "segmentation is no RLE", r"\[\[0"),
    "counts that end early": (
        entry(segmentation={"size": [4, 6], "counts": [4, 8]}),
        "RLE counts do not divide the mask",
        r"\[4, 8\] for 4 x 6",
    ),
    "counts of any text": (
        entry(segmentation={"size": [4, 6], "counts": "hello world"}),
        "RLE counts cannot be read",
        "hello",
    ),
    "no size": (entry(segmentation={"counts": [24]}), "RLE lacks size or counts", ""),
    "no score": (without("score"), "entry lacks score", ""),
    "no picture": (without("image_id"), "entry lacks image_id", ""),
    "no class": (entry(category_id=None), "entry lacks category_id", ""),
    "box without mask": (without("segmentation"), "entry lacks segmentation", ""),
    "mask without box": (without("bbox"), "entry lacks bbox", ""),
    "no dictionary": (3, "entry is no dictionary", "3"),
}


def faults_of_results(bad) -> list[Fault]:
    """Faults of a list whose middle entry is bad."""
    return list(find_result_faults([entry(), bad, entry()], SIZES, CLASS_OF))
