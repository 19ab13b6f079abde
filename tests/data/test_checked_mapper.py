"""Errors of the loader name the image; values that 8 bits cannot hold are warned of once."""

import logging
import re

import pytest
from detectron2.data import DatasetCatalog, DatasetMapper, MetadataCatalog
from detectron2.data.detection_utils import SizeMismatchError
from PIL import Image
from toy_coco import write_toy_coco
from toy_images import cut_to_half, write_16_bit

from lt_det.data import loaders as loaders_module
from lt_det.data.checked_mapper import CheckedMapper
from lt_det.data.datasets.coco import register_coco_format
from lt_det.data.loaders import build_test_loader, build_train_loader

NAME = "lt_det_test_checked"


@pytest.fixture
def loaders(tiny_cfg, tmp_path):
    """The image folder of a set, and functions that load all of it."""
    folder = write_toy_coco(tmp_path / "set")
    register_coco_format(NAME, folder / "annotations.json", folder / "images")
    tiny_cfg.DATASETS.TRAIN = tiny_cfg.DATASETS.TEST = (NAME,)
    tiny_cfg.MODEL.ROI_HEADS.NUM_CLASSES = 3
    tiny_cfg.INPUT.MASK_FORMAT = "bitmask"
    tiny_cfg.SOLVER.IMS_PER_BATCH = 3
    tiny_cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False

    def train(num_workers=0, mapper=None):
        tiny_cfg.DATALOADER.NUM_WORKERS = num_workers
        for _, batch in zip(range(8), build_train_loader(tiny_cfg, mapper), strict=False):
            yield from batch

    def test(num_workers=0):
        tiny_cfg.DATALOADER.NUM_WORKERS = num_workers
        for batch in build_test_loader(tiny_cfg, NAME):
            yield from batch

    yield folder / "images", {"train": train, "test": test}
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def as_jpeg_cut_to_half(path):
    Image.open(path).save(path, "JPEG")
    cut_to_half(path)


FAULTS = {
    "truncated": (as_jpeg_cut_to_half, ValueError, "truncated"),
    "no image": (lambda path: path.write_text("<html>"), ValueError, "cannot identify"),
    "missing": (lambda path: path.unlink(), FileNotFoundError, "is missing"),
    "another size": (
        lambda path: Image.new("RGB", (20, 10)).save(path),
        SizeMismatchError,
        "Mismatched image shape",
    ),
}


@pytest.mark.parametrize("which", ["train", "test"])
@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_names_the_file_in_one_line(loaders, fault, num_workers, which):
    folder, load = loaders
    damage, kind, words = FAULTS[fault]
    damage(folder / "picture 2.png")
    with pytest.raises(kind) as caught:
        list(load[which](num_workers))
    message = str(caught.value)
    assert message.startswith(f"Image {folder / 'picture 2.png'}")
    assert words in message
    assert "\n" not in message
    assert message.endswith(
        "`python tools/inspect_dataset.py NAME --images` lists all images that are broken"
    )


@pytest.mark.parametrize("num_workers", [0, 1])
def test_whatever_a_mapper_raises_names_the_file(loaders, num_workers):
    folder, load = loaders

    def mapper(record):
        return {}["a key"]

    with pytest.raises(ValueError, match=r"cannot be read or mapped: KeyError: 'a key'") as caught:
        list(load["train"](num_workers, mapper))
    assert re.match(rf"Image {folder}/picture \d+\.png", str(caught.value))


def test_a_record_without_a_file_is_named_by_its_id():
    def mapper(record):
        raise RuntimeError("no")

    with pytest.raises(ValueError, match=r"Image of image_id 7 cannot .* RuntimeError: no"):
        CheckedMapper(mapper)({"image_id": 7})


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if "8 bits" in r.getMessage()]


def test_clipped_values_are_warned_of_once_with_the_file(loaders, caplog):
    folder, load = loaders
    for number in range(11):
        write_16_bit(folder / f"picture {number}.png")
    with caplog.at_level(logging.WARNING):
        inputs = list(load["train"]())
    assert len(inputs) == 24
    (message,) = warnings(caplog)
    assert re.search(rf"Image {folder}/picture \d+\.png .*values 0 to 59900", message)


def test_evaluations_warn_once_among_themselves(loaders, caplog):
    folder, load = loaders
    write_16_bit(folder / "picture 2.png")
    loaders_module._said_in_evaluation.cache_clear()
    with caplog.at_level(logging.WARNING):
        list(load["test"]())
        list(load["test"]())
    assert len(warnings(caplog)) == 1


def test_workers_warn_once_among_themselves(tmp_path, caplog):
    """What one process has said, the others know: the same memory."""
    write_16_bit(tmp_path / "a.png")
    with caplog.at_level(logging.WARNING):
        mapper = CheckedMapper(DatasetMapper(is_train=False, augmentations=[], image_format="BGR"))
        record = {"file_name": str(tmp_path / "a.png")}
        assert mapper._is_said.is_shared()
        mapper(dict(record))
        mapper(dict(record))
    assert len(warnings(caplog)) == 1


def test_ordinary_images_and_other_mappers_are_not_warned_of(loaders, caplog):
    folder, load = loaders
    with caplog.at_level(logging.WARNING):
        list(load["train"]())
        write_16_bit(folder / "picture 2.png")
        # A mapper by others may read 16 bits.
        list(load["train"](0, lambda record: {"image": None}))
    assert warnings(caplog) == []


def test_a_mapper_of_other_files_is_left_alone(tmp_path):
    """The look at a file's values must not refuse what the mapper reads."""

    class Mapper(DatasetMapper):
        def __call__(self, record):
            return {"read": True}

    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY")
    mapper = CheckedMapper(Mapper(is_train=False, augmentations=[], image_format="BGR"))
    assert mapper({"file_name": str(tmp_path / "a.npy")}) == {"read": True}
    assert mapper({"file_name": str(tmp_path / "gone.npy")}) == {"read": True}
