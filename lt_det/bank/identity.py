"""What the features of a bank depend on: the checkpoint, the data, the settings, the code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.utils.file_io import PathManager

from lt_det.utils.code_digest import code_digest

__all__ = ["bank_identity", "content_of", "sha256_of_file"]

# What computes and stores the features.
_EXTRACTION = ("lt_det.bank.extract_training_set", "lt_det.bank.extract_test_set")
# Code that does not reach the features, as the keys below: what is chosen after the extraction.
_OTHER_CODE = (
    "lt_det.losses",
    "lt_det.modeling.classifiers",
    "lt_det.modeling.calibrations",
    "lt_det.modeling.feature_augmentations",
    "lt_det.data.samplers",
)
# Keys that do not reach the features: the classifier's own, and where things are.
_OTHER = (
    "MODEL.WEIGHTS",
    "MODEL.DEVICE",
    "MODEL.ROI_BOX_HEAD.CLS_LOSS",
    "MODEL.ROI_BOX_HEAD.CLASSIFIER",
    "MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION",
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST",
    "MODEL.ROI_HEADS.NMS_THRESH_TEST",
    "FEATURE_BANK.ROI_SAMPLER",
)


def bank_identity(
    cfg: CfgNode, dataset_names: Sequence[str], records: Sequence[Mapping], keys: Iterable[str]
) -> dict:
    """Names and values, flat and comparable, for a manifest.

    Args:
        cfg: the config; ``MODEL``, but for the classifier, always counts.
        dataset_names: the data.
        records: their records.
        keys: further nodes and keys of ``cfg`` that count.
    """
    values = {
        "checkpoint": sha256_of_file(cfg.MODEL.WEIGHTS),
        "data": ", ".join(dataset_names),
        "num_pictures": len(records),
        "data_content": content_of(dataset_names, records),
        "code": code_digest(*_EXTRACTION, without=_OTHER_CODE),
        "torch": torch.__version__,
    }
    for key in ("MODEL", *keys):
        values |= dict(_flat(key, _node(cfg, key)))
    return values


def sha256_of_file(path: str) -> str:
    """Digest of a local or remote file."""
    with open(PathManager.get_local_path(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_of(dataset_names: Sequence[str], records: Sequence[Mapping]) -> str:
    """Digest of the annotation files; of the records, where a set has no file of its own."""
    metadata = [MetadataCatalog.get(name) for name in dataset_names]
    if all(data.get("is_whole_json_file", False) for data in metadata):
        return " ".join(sha256_of_file(data.json_file) for data in metadata)
    digest = hashlib.sha256()
    for record in records:
        digest.update(json.dumps(record, default=str, sort_keys=True).encode())
    return digest.hexdigest()


def _node(cfg: CfgNode, key: str):
    for part in key.split("."):
        cfg = cfg[part]
    return cfg


def _flat(key: str, value) -> Iterator[tuple[str, object]]:
    if key in _OTHER:
        return
    if isinstance(value, Mapping):
        for name, child in value.items():
            yield from _flat(f"{key}.{name}", child)
    else:
        yield key, value
