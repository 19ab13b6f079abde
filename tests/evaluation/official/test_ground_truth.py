"""Masks that an evaluation needs and a file lacks; files that are left to the judgement."""

import pytest
from toy_lvis import ToyLVIS, make_instances

from lt_det.evaluation.lvis_evaluator import LTLVISEvaluator
from lt_det.evaluation.official.ground_truth import check_masks

BOX = (10, 10, 20, 20)
LINE = [10, 10, 30, 30]


def test_missing_masks_are_named():
    annotations = [{"id": 1, "segmentation": [[1, 1, 2, 1, 2, 2]]}, {"id": 7}]
    check_masks(annotations[:1], "a.json")
    with pytest.raises(
        ValueError, match=r"'a\.json': 1 of 2 annotations .* annotation 7\. .*MASK_ON"
    ):
        check_masks(annotations, "a.json")


@pytest.mark.parametrize("masks", [False, True])
def test_only_evaluating_masks_asks_for_them(register, tmp_path, masks):
    toy = ToyLVIS("r")
    toy.image(1)
    toy.box(1, 1, BOX)
    toy.annotations[0]["segmentation"] = []
    evaluator = LTLVISEvaluator(register(toy.write(tmp_path / "gt.json")))
    outputs = make_instances([(0, 0.9, BOX)], masks=masks)
    evaluator.process([{"image_id": 1}], [{"instances": outputs}])
    if masks:
        with pytest.raises(ValueError, match=r"annotation 1\. .*MODEL\.MASK_ON False"):
            evaluator.evaluate()
    else:
        assert evaluator.evaluate()["bbox"]["AP50"] == pytest.approx(100)


def test_an_object_without_a_valid_polygon_is_no_ground_truth(register, tmp_path, caplog):
    toy = ToyLVIS("r")
    toy.image(1)
    toy.box(1, 1, BOX)
    toy.box(1, 1, (50, 50, 20, 20))
    toy.annotations[1]["segmentation"] = [LINE]
    evaluator = LTLVISEvaluator(register(toy.write(tmp_path / "gt.json")))
    evaluator.process([{"image_id": 1}], [{"instances": make_instances([(0, 0.9, BOX)])}])
    results = evaluator.evaluate()
    assert results["segm"]["AP50"] == results["bbox"]["AP50"] == pytest.approx(100)
    assert "object left out: it has no valid polygon" in caplog.text
