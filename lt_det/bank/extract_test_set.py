"""The proposal bank of a test set: what scoring one more classifier needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.structures import Boxes, Instances
from torch import nn

from lt_det.bank.extraction import Extraction, extract, stored
from lt_det.bank.folder import BankFolder
from lt_det.bank.identity import bank_identity
from lt_det.bank.sampling import box_head_alone
from lt_det.data.loaders import test_dataset
from lt_det.modeling.find_predictors import only_predictor
from lt_det.modeling.roi_recorder import record_proposals

__all__ = ["ProposalBank", "TestPicture", "build_proposal_bank"]

_MAPS = "maps"


@dataclass(frozen=True)
class TestPicture:
    """What the frozen detector finds in a test picture.

    Args:
        index: in the test set.
        image_id: of the data set.
        size: height and width in pixels.
        features: (P, D), what reaches the classifier, float32.
        proposals: with ``proposal_boxes``, in pixels of the network's input.
        maps: the backbone's feature maps, each (1, C, H, W) float32; None where not stored.
    """

    # Not a test, whatever pytest thinks of the name.
    __test__ = False

    index: int
    image_id: int
    size: tuple[int, int]
    features: torch.Tensor
    proposals: Instances
    maps: dict[str, torch.Tensor] | None


class ProposalBank:
    """Proposals and features of a test set's pictures, in its order.

    Args:
        folder: a complete bank.
        device: where pictures go.
    """

    def __init__(self, folder: BankFolder, device: str | torch.device = "cpu"):
        self._shards = [folder.read(number) for number in range(folder.num_shards)]
        self.device = torch.device(device)

    def __len__(self) -> int:
        """Number of pictures."""
        return sum(len(shard["image_id"]) for shard in self._shards)

    def __iter__(self) -> Iterator[TestPicture]:
        """All pictures."""
        index = 0
        for shard in self._shards:
            starts = np.cumsum([0, *shard["num_rows"]])
            maps = _map_reader(shard)
            for i, image_id in enumerate(shard["image_id"].tolist()):
                yield self._picture(shard, i, index, image_id, slice(*starts[i : i + 2]), maps)
                index += 1

    def _picture(self, shard, i: int, index: int, image_id: int, rows: slice, maps) -> TestPicture:
        height, width, *input_size = shard["size"][i].tolist()
        boxes = torch.from_numpy(np.array(shard["boxes"][rows])).to(self.device)
        features = torch.from_numpy(np.array(shard["features"][rows])).to(self.device).float()
        proposals = Instances(tuple(input_size), proposal_boxes=Boxes(boxes))
        stored = {name: t.to(self.device).float() for name, t in maps(i).items()}
        return TestPicture(index, image_id, (height, width), features, proposals, stored or None)


def build_proposal_bank(
    cfg: CfgNode,
    model: nn.Module,
    dataset_name: str,
    path: str | Path,
    after_shard: Callable[[], None] = lambda: None,
) -> ProposalBank:
    """The bank of ``MODEL.WEIGHTS`` on a test set, extracted as far as it is not there.

    Proposals are those of the evaluation. With ``FEATURE_BANK.STORE_MAPS`` the backbone's feature
    maps are kept, which the mask head looks at. All ranks call it; each extracts its share.

    Args:
        cfg: a config of the detector.
        model: the detector, with the weights of ``MODEL.WEIGHTS``; nothing in it changes.
        dataset_name: a registered data set.
        path: the bank's folder.
        after_shard: see :class:`Extraction`.

    Raises:
        StaleBankError: if the folder holds a bank of other weights, data, settings or code.
        ValueError: see :func:`lt_det.bank.extract_training_set.build_feature_bank`.
    """
    only_predictor(model)
    dataset = test_dataset(cfg, dataset_name)
    keys = ("INPUT", "FEATURE_BANK.DTYPE", "FEATURE_BANK.STORE_MAPS", "FEATURE_BANK.SHARD_PICTURES")
    extraction = Extraction(
        path=Path(path),
        identity=bank_identity(cfg, [dataset_name], dataset.records, keys),
        dataset=dataset,
        picture_of=range(len(dataset)),
        forward=_forward(cfg, model),
        title=f"proposals of {dataset_name}",
        # As Detectron2 evaluates: padding beside a larger picture would change features.
        batch_size=1,
        after_shard=after_shard,
    )
    return ProposalBank(extract(cfg, model, extraction), cfg.MODEL.DEVICE)


def _forward(cfg: CfgNode, model: nn.Module):
    """A function from a mapped picture, as a batch, to its columns."""
    dtype = cfg.FEATURE_BANK.DTYPE
    predictor = only_predictor(model)
    feature_maps: list[dict[str, torch.Tensor]] = []

    def forward(batch: list[dict]) -> Iterable[dict[str, np.ndarray]]:
        model.eval()
        hook = model.backbone.register_forward_hook(lambda *args: feature_maps.append(args[2]))
        try:
            with box_head_alone(model), record_proposals(predictor) as recorded:
                model(batch)
        finally:
            hook.remove()
        ((features, (proposals,)),) = recorded
        record = batch[0]
        size = (record["height"], record["width"], *proposals.image_size)
        yield {
            "features": stored(features, dtype),
            "boxes": stored(proposals.proposal_boxes.tensor, "float32"),
            "num_rows": np.array([len(features)]),
            "image_id": np.array([record["image_id"]]),
            "size": np.array([size]),
            **_map_columns(feature_maps.pop() if cfg.FEATURE_BANK.STORE_MAPS else {}, dtype),
        }
        feature_maps.clear()

    return forward


def _map_columns(maps: dict[str, torch.Tensor], dtype: str) -> dict[str, np.ndarray]:
    """Feature maps of one picture as columns: values flat, because pictures differ in size."""
    columns = {}
    for name, feature_map in maps.items():
        columns[f"{_MAPS}_{name}"] = stored(feature_map, dtype).ravel()
        columns[f"{_MAPS}_{name}_shape"] = np.array([feature_map.shape])
    return columns


def _map_reader(shard: dict[str, np.ndarray]):
    """Inverse of :func:`_map_columns`: number in the shard -> maps."""
    names = [name[len(_MAPS) + 1 : -len("_shape")] for name in shard if name.endswith("_shape")]
    starts = {name: np.cumsum([0, *shard[f"{_MAPS}_{name}_shape"].prod(axis=1)]) for name in names}

    def read(i: int) -> dict[str, torch.Tensor]:
        maps = {}
        for name in names:
            values = shard[f"{_MAPS}_{name}"][slice(*starts[name][i : i + 2])]
            shape = shard[f"{_MAPS}_{name}_shape"][i].tolist()
            maps[name] = torch.from_numpy(np.array(values)).reshape(shape)
        return maps

    return read
