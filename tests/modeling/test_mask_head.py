"""The normalised mask predictor: its formula, its limits, and a head that is Detectron2's else."""

import math

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.modeling.roi_heads.mask_head import build_mask_head
from detectron2.utils.events import EventStorage

from lt_det.config import add_lt_det_config
from lt_det.data.loaders import build_train_loader
from lt_det.modeling.mask_head import NormedConv2d

NORMED = "NormedMaskRCNNConvUpsampleHead"


def conv_of(weight, bias, **options):
    conv = NormedConv2d(weight.shape[1], len(weight), 1, **options).to(weight)
    with torch.no_grad():
        conv.weight.copy_(weight)
        conv.bias.copy_(bias)
    return conv


def test_by_hand():
    weight = torch.tensor([[3.0, 4.0], [0.0, 2.0]])[:, :, None, None]
    conv = conv_of(weight, torch.tensor([0.5, -1.0]))
    x = torch.tensor([[1.0, 0.0], [6.0, 8.0]])[:, :, None, None]
    # Cosines 3/5 and 0; 1 and 8/10.
    expected = [[20 * 0.6 + 0.5, -1.0], [20.5, 20 * 0.8 - 1]]
    torch.testing.assert_close(conv(x)[..., 0, 0], torch.tensor(expected), rtol=1e-5, atol=1e-5)


def test_a_power_by_hand():
    weight = torch.tensor([[3.0, 4.0]])[:, :, None, None]
    conv = conv_of(weight, torch.zeros(1), temperature=2.0, power=0.5)
    x = torch.tensor([[6.0, 8.0]])[:, :, None, None]
    assert conv(x).item() == pytest.approx(2 * (18 + 32) / math.sqrt(5 * 10), rel=1e-5)


def test_without_power_it_is_a_plain_convolution():
    torch.manual_seed(0)
    conv = NormedConv2d(3, 5, 1, temperature=1.0, power=0.0)
    x = torch.randn(2, 3, 4, 4)
    plain = torch.nn.functional.conv2d(x, conv.weight, conv.bias)
    torch.testing.assert_close(conv(x), plain, rtol=1e-5, atol=1e-5)


def test_lengths_do_not_matter():
    conv = NormedConv2d(3, 5, 1)
    x = torch.randn(2, 3, 4, 4)
    before = conv(x)
    with torch.no_grad():
        conv.weight *= torch.tensor([0.1, 1, 10, 100, 1000])[:, None, None, None]
    torch.testing.assert_close(conv(7 * x), before, rtol=1e-4, atol=1e-4)


def test_gradients_in_float64():
    torch.manual_seed(0)
    conv = NormedConv2d(3, 2, 1).double()
    x = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(conv, x)


def test_features_of_zero_are_harmless():
    """As after a ReLU: no direction, so the bias alone, and finite gradients."""
    conv = NormedConv2d(3, 2, 1)
    raw = torch.full((1, 3, 2, 2), -1.0, requires_grad=True)
    result = conv(raw.relu())
    assert result.equal(conv.bias[None, :, None, None].expand_as(result))
    result.sum().backward()
    assert raw.grad.eq(0).all()
    assert conv.weight.grad.isfinite().all()


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", 0.0), ("temperature", math.inf), ("power", -1.0), ("power", math.nan)],
)
def test_values_without_meaning_are_named(name, value):
    with pytest.raises(ValueError, match=rf"`{name}`.*{value}"):
        NormedConv2d(3, 2, 1, **{name: value})


# --- the head ----------------------------------------------------------------------------------


def head_of(name, **settings):
    cfg = get_cfg()
    add_lt_det_config(cfg)
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 5
    cfg.MODEL.ROI_MASK_HEAD.NAME, cfg.MODEL.ROI_MASK_HEAD.NUM_CONV = name, 2
    cfg.MODEL.ROI_MASK_HEAD.CONV_DIM = 8
    for key, value in settings.items():
        node = cfg.MODEL.ROI_MASK_HEAD
        (node.NORMED_PREDICTOR if key in node.NORMED_PREDICTOR else node)[key] = value
    torch.manual_seed(3)
    return build_mask_head(cfg, ShapeSpec(channels=4, width=6, height=6))


@pytest.mark.parametrize("agnostic", [False, True])
def test_all_but_the_predictor_is_detectron2s(agnostic):
    ours = head_of(NORMED, CLS_AGNOSTIC_MASK=agnostic)
    stock = head_of("MaskRCNNConvUpsampleHead", CLS_AGNOSTIC_MASK=agnostic)
    assert ours.state_dict().keys() == stock.state_dict().keys()
    for name, value in stock.state_dict().items():
        assert value.equal(ours.state_dict()[name]), name
    x = torch.randn(2, 4, 6, 6)
    features = x
    for layer in list(stock)[:-1]:
        features = layer(features)
    weight, bias = stock.predictor.weight[:, :, 0, 0], stock.predictor.bias
    cosine = torch.einsum(
        "nchw,jc->njhw",
        features / (features.norm(dim=1, keepdim=True) + 1e-6),
        weight / (weight.norm(dim=1, keepdim=True) + 1e-6),
    )
    torch.testing.assert_close(
        ours.layers(x), 20 * cosine + bias[None, :, None, None], rtol=1e-4, atol=1e-5
    )


def test_keys_reach_the_predictor():
    head = head_of(NORMED, TEMPERATURE=7.0, POWER=0.5)
    assert (head.predictor.temperature, head.predictor.power) == (7.0, 0.5)


@pytest.mark.integration
@pytest.mark.parametrize("heads", ["StandardROIHeads", "LTStandardROIHeads"])
def test_trains_and_detects_under_any_heads(tiny_cfg, heads):
    tiny_cfg.MODEL.ROI_HEADS.NAME = heads
    tiny_cfg.MODEL.ROI_MASK_HEAD.NAME = NORMED
    model = build_model(tiny_cfg)
    batch = next(iter(build_train_loader(tiny_cfg)))
    with EventStorage():
        loss = model(batch)["loss_mask"]
    loss.backward()
    assert model.roi_heads.mask_head.predictor.weight.grad.abs().sum() > 0
    with torch.no_grad():
        detections = model.eval()(batch)[0]["instances"]
    assert detections.has("pred_masks")
