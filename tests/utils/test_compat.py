from types import ModuleType, SimpleNamespace

import pytest

from lt_det.utils.compat import check_detectron2, check_torchvision, missing_features


def _importer(**found):
    """An import function over the given modules; an exception in place of a module is raised."""

    def import_module(name: str):
        value = found.get(name.replace(".", "_"))
        if value is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if isinstance(value, Exception):
            raise value
        return value

    return import_module


def _config(*, repeat_sqrt: bool = True, sigmoid: bool = True) -> SimpleNamespace:
    head = {"USE_FED_LOSS": False, "USE_SIGMOID_CE": False} if sigmoid else {}
    loader = {"REPEAT_SQRT": True} if repeat_sqrt else {}
    return SimpleNamespace(
        DATALOADER=SimpleNamespace(**loader),
        MODEL=SimpleNamespace(ROI_BOX_HEAD=SimpleNamespace(**head)),
    )


class _NewPredictor:
    def __init__(self, input_shape, *, use_fed_loss=False, use_sigmoid_ce=False):
        pass


class _OldPredictor:
    def __init__(self, input_shape, *, loss_weight=1.0):
        pass


TORCH = {"torch": ModuleType("torch"), "torchvision": ModuleType("torchvision")}


def test_installed_detectron2_is_supported():
    check_detectron2()


def test_complete_features_miss_nothing():
    assert missing_features(_config(), _NewPredictor) == []


def test_the_2021_tag_misses_everything_by_name():
    missing = missing_features(_config(repeat_sqrt=False, sigmoid=False), _OldPredictor)
    assert missing == [
        "config key DATALOADER.REPEAT_SQRT",
        "config key MODEL.ROI_BOX_HEAD.USE_FED_LOSS",
        "config key MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE",
        "FastRCNNOutputLayers(use_fed_loss=)",
        "FastRCNNOutputLayers(use_sigmoid_ce=)",
    ]


def test_a_config_without_the_parent_node_is_not_an_error():
    assert len(missing_features(SimpleNamespace(), _NewPredictor)) == 3


def test_missing_detectron2_says_how_to_install_it():
    with pytest.raises(ImportError, match=r"needs Detectron2.*sal-detectron2.*make setup"):
        check_detectron2(_importer(**TORCH))


def test_old_detectron2_is_refused_whatever_its_version_says():
    old = {
        "detectron2_config": SimpleNamespace(get_cfg=lambda: _config(sigmoid=False)),
        "detectron2_modeling_roi_heads_fast_rcnn": SimpleNamespace(
            FastRCNNOutputLayers=_OldPredictor
        ),
    }
    with pytest.raises(ImportError, match=r"too old.*USE_FED_LOSS.*main of 2024"):
        check_detectron2(_importer(**TORCH, **old))


def test_old_detectron2_that_breaks_at_import_is_explained():
    broken = AttributeError("module 'PIL.Image' has no attribute 'LINEAR'")
    with pytest.raises(ImportError, match=r"LINEAR.*too old for today's NumPy and Pillow"):
        check_detectron2(_importer(**TORCH, detectron2_config=broken))


def test_missing_dependency_of_detectron2_is_not_called_a_missing_detectron2():
    broken = ModuleNotFoundError("No module named 'omegaconf'", name="omegaconf")
    with pytest.raises(ImportError, match="Detectron2 is installed, but the module 'omegaconf'"):
        check_detectron2(_importer(**TORCH, detectron2_config=broken))


def test_mismatched_torchvision_is_explained():
    mismatch = RuntimeError("operator torchvision::nms does not exist")
    with pytest.raises(ImportError, match=r"torchvision::nms.*do not belong together"):
        check_torchvision(_importer(torch=TORCH["torch"], torchvision=mismatch))


@pytest.mark.parametrize("name", ["torch", "torchvision"])
def test_missing_torch_or_torchvision_is_named(name):
    present = {key: module for key, module in TORCH.items() if key != name}
    with pytest.raises(ImportError, match=f"no module '{name}'"):
        check_torchvision(_importer(**present))


def test_the_cause_stays_in_the_traceback():
    with pytest.raises(ImportError) as info:
        check_detectron2(_importer(**TORCH))
    assert isinstance(info.value.__cause__, ModuleNotFoundError)
