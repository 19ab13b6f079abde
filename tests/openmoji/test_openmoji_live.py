"""Pictures composed when they are read are those of the written set, for whoever reads them."""

import dataclasses
import json

import numpy as np
import pytest
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, DatasetMapper, MetadataCatalog
from detectron2.data.detection_utils import read_image
from detectron2.utils.file_io import PathManager
from tiny_openmoji import SPEC

from lt_det.config import add_lt_det_config
from lt_det.data.images.reader import ImageReader
from lt_det.data.inspection.file_faults import find_faults
from lt_det.data.inspection.image_checks import find_image_faults
from lt_det.openmoji.index import LiveSet
from lt_det.openmoji.live import PREFIX
from lt_det.openmoji.register import register_all_openmoji, register_openmoji
from lt_det.openmoji.spec import PRESETS, SPLITS, OpenMojiSpec
from lt_det.openmoji.writer import generate

SEED = 3
# Pictures of the size and crowd of `quick`.
QUICK = dataclasses.replace(
    PRESETS["quick"](),
    min_filling=0.7,
    num_classes=8,
    num_train=5,
    num_dev=1,
    num_val=1,
    num_val_uniform=1,
    min_rare_instances=1,
)


def both(folder, spec):
    """Roots of a written set and of a live one."""
    options = {"seed": SEED, "workers": 1, "progress": False}
    return (
        generate(spec, folder / "written", **options),
        generate(spec, folder / "live", live=True, **options),
    )


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    return both(tmp_path_factory.mktemp("openmoji"), SPEC)


@pytest.fixture(scope="module")
def names(roots):
    """The sets as registered: prefix of the written one, prefix of the live one."""
    prefixes = ("test_written", "test_live")
    for prefix, root, live in zip(prefixes, roots, (False, True), strict=True):
        register_openmoji(root, prefix, live)
    yield prefixes
    for name in (f"{prefix}_{split}" for prefix in prefixes for split in SPLITS):
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def assert_same_pictures(written, live):
    files = sorted(path.relative_to(written).as_posix() for path in written.glob("*/*.png"))
    assert len(files) > len(SPLITS)
    for file in files:
        expected = read_image(str(written / file), format="RGB")
        assert np.array_equal(read_image(f"{PREFIX}{live}/{file}", format="RGB"), expected)


def test_every_picture_of_every_split_is_that_of_the_written_set(roots):
    assert_same_pictures(*roots)


def test_pictures_of_the_quick_set_are_too(tmp_path):
    assert_same_pictures(*both(tmp_path, QUICK))


def test_annotation_files_and_sheets_are_the_same_bytes_and_there_is_no_picture(roots):
    written, live = roots
    same = {f"{split}.json" for split in SPLITS}
    same |= {"ATTRIBUTION.txt", "contact_sheet.png", "families.png"}
    for name in same:
        assert (live / name).read_bytes() == (written / name).read_bytes(), name
    # Nothing else but the index, and the spec that tells the two kinds apart.
    assert {path.name for path in live.iterdir()} == same | {"pictures.json", "spec.json"}


def test_a_mapper_makes_the_same_training_input(names):
    cfg = get_cfg()
    add_lt_det_config(cfg)
    cfg.MODEL.MASK_ON = True
    cfg.INPUT.MASK_FORMAT = "bitmask"
    cfg.INPUT.MIN_SIZE_TRAIN = (64,)
    cfg.INPUT.RANDOM_FLIP = "none"
    mapper = DatasetMapper(cfg, is_train=True)
    written, live = (DatasetCatalog.get(f"{prefix}_train") for prefix in names)
    assert len(written) == len(live) > 0
    for a, b in zip(written[:5], live[:5], strict=True):
        a, b = mapper(a), mapper(b)
        assert a["image"].equal(b["image"])
        assert a["instances"].gt_masks.tensor.equal(b["instances"].gt_masks.tensor)
        assert a["instances"].gt_classes.equal(b["instances"].gt_classes)


def test_inspection_finds_the_pictures_and_nothing_wrong(names):
    metadata = MetadataCatalog.get(f"{names[1]}_val")
    with open(metadata.json_file) as file:
        content = json.load(file)
    assert not list(find_faults(content, metadata.image_root, is_lvis=True))
    assert not list(find_image_faults(content["images"], metadata.image_root, ImageReader()))
    content["images"][1]["file_name"] = "val/999999.png"
    (fault,) = find_faults(content, metadata.image_root, is_lvis=True)
    assert fault.kind == "picture is missing"
    content["images"][0]["width"] += 1
    (fault,) = find_image_faults(content["images"], metadata.image_root, ImageReader())
    assert "64 x 64, not 65 x 64" in fault.where


def test_presets_are_registered_in_both_kinds():
    register_all_openmoji()
    for preset in PRESETS:
        written = MetadataCatalog.get(f"openmoji_{preset}_train")
        live = MetadataCatalog.get(f"openmoji_live_{preset}_train")
        assert live.image_root == "openmoji://" + written.image_root.replace("moji_", "moji_live_")
        assert live.json_file == f"{live.image_root[len('openmoji://') :]}/train.json"


def test_what_is_there_and_what_is_not(roots):
    root = f"openmoji://{roots[1]}"
    assert PathManager.isdir(root)
    assert PathManager.isfile(f"{root}/val/000000.png")
    for missing in ("val/000999.png", "val/000000.jpg", "val/-00001.png", "test/000000.png", "x"):
        assert not PathManager.exists(f"{root}/{missing}")
        with pytest.raises(FileNotFoundError):
            PathManager.open(f"{root}/{missing}", "rb")
    assert not PathManager.exists("openmoji://nowhere/val/000000.png")
    assert not PathManager.exists("openmoji://x")
    with pytest.raises(FileNotFoundError, match=r"make_openmoji\.py --live"):
        PathManager.open(f"openmoji://{roots[0]}/train/000000.png", "rb")
    with pytest.raises(ValueError, match="'w'"):
        PathManager.open(f"{root}/val/000000.png", "w")


def test_an_index_is_not_taken_for_a_written_set(roots):
    written, live = roots
    for root, is_live in ((written, True), (live, False)):
        with pytest.raises(ValueError, match="other settings"):
            generate(SPEC, root, seed=SEED, workers=1, live=is_live)


def test_a_spec_survives_json():
    for preset in PRESETS.values():
        spec = preset()
        description = json.loads(json.dumps({"seed": 1, **dataclasses.asdict(spec)}))
        assert OpenMojiSpec.from_description(description) == spec


def test_scaling_changes_the_number_of_pictures_alone():
    spec = OpenMojiSpec(num_train=100, num_dev=3, num_val=10, num_val_uniform=0)
    assert spec.scaled(0.1) == dataclasses.replace(spec, num_train=10, num_dev=1, num_val=1)
    assert spec.scaled(1.0) == spec
    for factor in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="`scale`"):
            spec.scaled(factor)


def test_the_seed_decides_the_pictures(roots, tmp_path):
    other = generate(SPEC, tmp_path / "other", seed=SEED + 1, workers=1, progress=False, live=True)
    mine, theirs = (np.asarray(LiveSet(r).compose("train/000000.png")) for r in (roots[1], other))
    assert not np.array_equal(mine, theirs)
