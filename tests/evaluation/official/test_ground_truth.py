"""Masks that would stop the official APIs in the midst of an evaluation."""

import pytest
from toy_lvis import ToyLVIS, make_instances

from lt_det.evaluation.lvis_evaluator import LTLVISEvaluator
from lt_det.evaluation.official.ground_truth import check_masks

GOOD, LINE = [10, 10, 30, 10, 30, 30], [10, 10, 30, 30]


@pytest.mark.parametrize(
    "segmentation",
    [
        None,
        [],
        [[]],
        "mask.png",
        [1, 1, 2, 2, 3, 3],
        [LINE],
        [LINE, GOOD],
        [GOOD, [10, 10, 30, 10, 30, float("nan")]],
        {"size": [100, 100]},
    ],
)
def test_what_pycocotools_cannot_read_is_named(segmentation):
    annotations = [{"id": 1, "segmentation": [GOOD]}, {"id": 7, "segmentation": segmentation}]
    with pytest.raises(ValueError, match=r"'a\.json': pycocotools cannot read .* annotation 7, "):
        check_masks(annotations, "a.json")


@pytest.mark.parametrize("segmentation", [[GOOD, LINE], {"size": [9, 9], "counts": "Q3"}])
def test_what_pycocotools_reads_passes(segmentation):
    check_masks([{"id": 7, "segmentation": segmentation}], "a.json")


@pytest.mark.parametrize("masks", [False, True])
def test_only_evaluating_masks_asks_for_them(register, tmp_path, masks):
    toy = ToyLVIS("r")
    toy.image(1)
    toy.box(1, 1, (10, 10, 20, 20))
    toy.annotations[0]["segmentation"] = [LINE]
    evaluator = LTLVISEvaluator(register(toy.write(tmp_path / "gt.json")))
    outputs = make_instances([(0, 0.9, (10, 10, 20, 20))], masks=masks)
    evaluator.process([{"image_id": 1}], [{"instances": outputs}])
    if masks:
        with pytest.raises(ValueError, match=r"annotation 1, .*MODEL\.MASK_ON False"):
            evaluator.evaluate()
    else:
        assert evaluator.evaluate()["bbox"]["AP50"] == pytest.approx(100)
