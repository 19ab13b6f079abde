"""Three steps of training, then evaluation: with the plain loss, ours and stock end bit-equal.

Loss values are a mean in Detectron2 and a sum over rows here, which round differently; gradients
are the same bits, and so is everything that is learned from them.
"""

import copy
import json

import numpy as np
import pytest
import torch
from detectron2.data import (
    DatasetMapper,
    build_detection_test_loader,
    get_detection_dataset_dicts,
)
from detectron2.evaluation import inference_on_dataset
from detectron2.modeling import build_model
from detectron2.utils.env import seed_all_rng
from detectron2.utils.events import EventStorage
from toy_models import (
    c4_model,
    cascade_model,
    pointrend_model,
    spread_classifier,
    user_model,
    vitdet_model,
)

from lt_det.evaluation.lvis_evaluator import PREDICTIONS_FILE, LTLVISEvaluator
from lt_det.losses import SoftmaxLoss
from lt_det.modeling import install_box_predictor
from lt_det.modeling.find_predictors import box_predictors

STEPS = 3


def by_config(stock, cfg):
    """The model that a config with our heads builds, with the stock model's weights."""
    cfg.MODEL.ROI_HEADS.NAME = "LT" + cfg.MODEL.ROI_HEADS.NAME
    ours = build_model(cfg)
    assert not ours.load_state_dict(stock.state_dict(), strict=False).unexpected_keys
    return ours


def installed(stock, cfg):
    loss = SoftmaxLoss(cfg.MODEL.ROI_HEADS.NUM_CLASSES)
    return install_box_predictor(copy.deepcopy(stock), cls_loss=loss)


# The stock model, how ours is made, and the spread of the first classifier: features of a
# ResNet-50 with fresh batch norm in eval mode are in the thousands.
CASES = {
    "Cascade": (cascade_model, by_config, 0.1),
    "C4": (c4_model, by_config, 1e-4),
    "PointRend": (pointrend_model, installed, 0.1),
    "ViTDet": (vitdet_model, installed, 0.1),
    "a user's heads": (user_model, installed, 0.1),
}


@pytest.fixture(params=CASES)
def models(request, tiny_cfg, toy_lvis):
    """Ours and stock, from the same weights."""
    build, make_ours, std = CASES[request.param]
    stock = spread_classifier(build(tiny_cfg, toy_lvis.num_classes), std)
    ours = make_ours(stock, tiny_cfg)
    assert any(box_predictors(ours))
    assert not any(box_predictors(stock))
    return ours, stock


def train(model, cfg, records) -> list[dict[str, float]]:
    """SGD steps on two pictures each; the losses of every step."""
    mapper = DatasetMapper(cfg, is_train=True)
    optimizer = torch.optim.SGD(model.train().parameters(), lr=1e-3, momentum=0.9)
    history = []
    for step in range(STEPS):
        seed_all_rng(step + 1)  # augmentation and the sampling of RoIs
        with EventStorage():
            losses = model([mapper(record) for record in records[2 * step : 2 * step + 2]])
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        history.append({name: loss.item() for name, loss in losses.items()})
    return history


def evaluate(model, cfg, dataset_name, output_dir) -> tuple[list[dict], dict]:
    """Detections and results by Detectron2's loop and our evaluator."""
    loader = build_detection_test_loader(
        get_detection_dataset_dicts([dataset_name], filter_empty=False),
        mapper=DatasetMapper(cfg, is_train=False),
    )
    evaluator = LTLVISEvaluator(dataset_name, output_dir=str(output_dir), save_predictions=True)
    results = inference_on_dataset(model, loader, evaluator)
    return json.loads((output_dir / PREDICTIONS_FILE).read_text()), results


@pytest.mark.integration
def test_trained_and_evaluated_as_stock(models, tiny_cfg, toy_lvis, tmp_path):
    ours, stock = models
    before = {name: value.clone() for name, value in stock.state_dict().items()}
    records = get_detection_dataset_dicts([toy_lvis.train])
    for our_losses, stock_losses in zip(
        *(train(model, tiny_cfg, records) for model in models), strict=True
    ):
        assert our_losses == pytest.approx(stock_losses, rel=1e-6)
    our_state, stock_state = ours.state_dict(), stock.state_dict()
    assert all(".cls_loss." in name for name in our_state.keys() - stock_state.keys())
    for name, value in stock_state.items():
        assert our_state[name].equal(value), name
        assert value.isfinite().all(), name
    trained = [
        name for name, _ in stock.named_parameters() if not before[name].equal(our_state[name])
    ]
    assert any("cls_score.weight" in name for name in trained)
    assert any("backbone" in name for name in trained)

    detections, results = evaluate(ours, tiny_cfg, toy_lvis.val, tmp_path / "ours")
    expected = evaluate(stock, tiny_cfg, toy_lvis.val, tmp_path / "stock")
    assert len(detections) > 8
    assert detections == expected[0]
    assert set(results) == {"bbox", "segm"}
    np.testing.assert_equal(results, expected[1])
