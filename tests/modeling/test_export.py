"""Test-time augmentation and tracing work with our heads as with Detectron2's."""

import pytest
import torch
from detectron2.export import TracingAdapter
from detectron2.modeling import GeneralizedRCNNWithTTA, build_model
from detectron2.structures import Instances

HEADS = {"LTStandardROIHeads": "StandardROIHeads", "LTCascadeROIHeads": "CascadeROIHeads"}


@pytest.fixture(params=HEADS)
def models(request, tiny_cfg):
    """Ours and stock, with the same weights."""
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG = True
    tiny_cfg.MODEL.ROI_HEADS.NAME = request.param
    torch.manual_seed(0)
    ours = build_model(tiny_cfg).eval()
    for name, parameter in ours.named_parameters():
        if "cls_score.weight" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    other = tiny_cfg.clone()
    other.MODEL.ROI_HEADS.NAME = HEADS[request.param]
    stock = build_model(other).eval()
    stock.load_state_dict(ours.state_dict(), strict=False)
    return ours, stock


@pytest.fixture
def image():
    return torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)


@pytest.mark.integration
def test_test_time_augmentation_as_in_detectron2(models, tiny_cfg, image):
    tiny_cfg.TEST.AUG.ENABLED = True
    tiny_cfg.TEST.AUG.MIN_SIZES, tiny_cfg.TEST.AUG.MAX_SIZE = (48, 64), 64
    inputs = [{"image": image, "height": 64, "width": 64}]
    with torch.no_grad():
        ours, stock = (
            GeneralizedRCNNWithTTA(tiny_cfg, model)(inputs)[0]["instances"] for model in models
        )
    assert len(ours)
    assert ours.scores.equal(stock.scores)
    assert ours.pred_boxes.tensor.equal(stock.pred_boxes.tensor)
    assert ours.pred_masks.equal(stock.pred_masks)


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_traced_model_detects_the_same(models, image):
    def inference(model, inputs):
        return [{"instances": model.inference(inputs, do_postprocess=False)[0]}]

    model = models[0]
    adapter = TracingAdapter(model, [{"image": image}], inference)
    with torch.no_grad():
        traced = torch.jit.trace(adapter, (image,))
        other = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)
        expected = model.inference([{"image": other}], do_postprocess=False)[0]
        found = adapter.outputs_schema(traced(other))[0]["instances"]
    assert isinstance(found, Instances)
    assert len(expected)
    torch.testing.assert_close(found.scores, expected.scores)
    torch.testing.assert_close(found.pred_boxes.tensor, expected.pred_boxes.tensor)
    torch.testing.assert_close(found.pred_masks, expected.pred_masks)
