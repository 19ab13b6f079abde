"""What a training of two stages leaves: its weights, what of them changed, its metrics."""

import json
from pathlib import Path

import torch

CLS_SCORE = {f"roi_heads.box_predictor.cls_score.{name}" for name in ("weight", "bias")}
STATISTICS = "roi_heads.box_predictor.cls_loss.class_stats."


def last_model(output_dir) -> dict:
    return torch.load(Path(output_dir) / "model_final.pth", weights_only=False)["model"]


def changed(before: dict, after: dict) -> set:
    assert before.keys() == after.keys()
    return {name for name, value in after.items() if not value.equal(before[name])}


def iterations(output_dir) -> list[int]:
    """Iterations in metrics.json, where every line of training has a total_loss."""
    lines = (Path(output_dir) / "metrics.json").read_text().splitlines()
    return [entry["iteration"] for entry in map(json.loads, lines) if "total_loss" in entry]
