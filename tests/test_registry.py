"""Config keys from constructors."""

import pytest

from lt_det.registry import hyper_parameters


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
