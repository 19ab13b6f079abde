"""Config keys from constructors."""

import importlib

import pytest
from fvcore.common.registry import Registry

from lt_det.registry import hyper_parameters, lookup, registered_below


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
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "base.py").write_text(
        "from fvcore.common.registry import Registry\nREGISTRY = Registry('TOY')\n"
    )
    (package / "a_method.py").write_text(
        "from toy_methods.base import REGISTRY\n"
        "@REGISTRY.register()\nclass AMethod: pass\n"
        "@REGISTRY.register()\nclass Guest: __module__ = 'elsewhere'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    registry = importlib.import_module("toy_methods.base").REGISTRY
    found = registered_below("toy_methods", [str(package)], registry)
    assert list(found) == ["AMethod"]
    assert found["AMethod"] is registry.get("AMethod")
