"""Config keys from constructors; registered classes are found and exported."""

import importlib

import pytest
from detectron2.modeling import ROI_HEADS_REGISTRY, ROI_MASK_HEAD_REGISTRY
from fvcore.common.registry import Registry

import lt_det.data.samplers
import lt_det.losses
import lt_det.modeling
from lt_det.data.samplers import TRAIN_SAMPLER_REGISTRY
from lt_det.losses import BOX_CLS_LOSS_REGISTRY
from lt_det.modeling import (
    CALIBRATION_REGISTRY,
    CLASSIFIER_REGISTRY,
    FEATURE_AUGMENTATION_REGISTRY,
)
from lt_det.registry import hyper_parameters, import_below, lookup


class Link:
    def __init__(self, size, *, prior=0.5, column=False):
        pass


class Weighted(Link):
    def __init__(self, size, *, rho=0.8, prior=0.25, **kwargs):
        super().__init__(size, prior=prior, **kwargs)


class Other:
    def __init__(self, *, never=1):
        pass


def test_kwargs_lead_to_the_next_class_and_the_first_default_holds():
    assert hyper_parameters(Weighted) == {"rho": 0.8, "prior": 0.25, "column": False}


def test_a_class_without_a_constructor_has_those_of_the_next():
    class Combined(Weighted, Other):
        pass

    assert hyper_parameters(Combined) == hyper_parameters(Weighted)


def test_without_kwargs_no_further_class_is_asked():
    class Closed(Weighted):
        def __init__(self, size, *, tau=1.0):
            super().__init__(size)

    assert hyper_parameters(Closed) == {"tau": 1.0}
    assert hyper_parameters(Link) == {"prior": 0.5, "column": False}


def test_a_parameter_without_a_default_is_named():
    class Needs(Link):
        def __init__(self, size, *, gamma, **kwargs):
            super().__init__(size, **kwargs)

    with pytest.raises(ValueError, match=r"Needs.*\['gamma'\]"):
        hyper_parameters(Needs)


def test_an_unknown_name_says_what_is_known_and_how_ones_own_get_there():
    registry = Registry("TOY")
    registry.register(Other)
    assert lookup(registry, "Other", "KEY") is Other
    expected = r"Unknown KEY 'Mine'. Registered: Other, Theirs.*imported before add_lt_det_config"
    with pytest.raises(ValueError, match=expected):
        lookup(registry, "Mine", "KEY", others=["Theirs"])


def test_every_file_of_a_package_registers_its_class(tmp_path, monkeypatch):
    package = tmp_path / "toy_methods"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "base.py").write_text(
        "from fvcore.common.registry import Registry\nREGISTRY = Registry('TOY')\n"
    )
    (package / "inner" / "__init__.py").write_text("")
    for file, cls in (("a_method.py", "AMethod"), ("inner/another.py", "Another")):
        (package / file).write_text(
            f"from toy_methods.base import REGISTRY\n@REGISTRY.register()\nclass {cls}: pass\n"
        )
    monkeypatch.syspath_prepend(tmp_path)
    registry = importlib.import_module("toy_methods.base").REGISTRY
    import_below("toy_methods", [str(package)])
    assert [name for name, _ in registry] == ["AMethod", "Another"]


OWN = [
    (package, cls)
    for package, registry in (
        (lt_det.losses, BOX_CLS_LOSS_REGISTRY),
        (lt_det.modeling, CLASSIFIER_REGISTRY),
        (lt_det.modeling, FEATURE_AUGMENTATION_REGISTRY),
        (lt_det.modeling, CALIBRATION_REGISTRY),
        (lt_det.modeling, ROI_HEADS_REGISTRY),
        (lt_det.modeling, ROI_MASK_HEAD_REGISTRY),
        (lt_det.data.samplers, TRAIN_SAMPLER_REGISTRY),
    )
    for _, cls in registry
    if cls.__module__.startswith("lt_det.")
]


@pytest.mark.parametrize(("package", "cls"), OWN, ids=[cls.__name__ for _, cls in OWN])
def test_every_registered_class_is_exported_by_name(package, cls):
    name, path = cls.__name__, package.__name__.replace(".", "/")
    is_exported = name in package.__all__ and getattr(package, name) is cls
    assert is_exported, f"export {name} in {path}/__init__.py"


def test_there_are_classes_of_every_kind():
    assert len(OWN) > 35
    assert {package for package, _ in OWN} == {lt_det.losses, lt_det.modeling, lt_det.data.samplers}
