"""What losses, classifiers, samplers and calibrators share: a name, config keys, a card.

Keyword-only parameters of a registered class **are** its config keys. A class
``BalancedSoftmaxLoss(num_classes, class_stats, *, tau=1.0)`` therefore has the node
``BALANCED_SOFTMAX`` with the key ``TAU: 1.0``, without a line written for it.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fvcore.common.registry import Registry

__all__ = [
    "MethodCard",
    "hyper_parameters",
    "import_below",
    "kwargs_from_node",
    "lookup",
    "node_name",
]


@dataclass(frozen=True, kw_only=True)
class MethodCard:
    """The row of a registered class in docs/methods.md, its class attribute ``CARD``.

    One or two short sentences a field, in Markdown; name and defaults come from the class itself.
    A class of lt_det has a card of its own: an inherited one would describe its parent.

    Attributes:
        paper: authors, short title, venue and year; "" for what no paper is about.
        arxiv: its number, "" if there is none.
        equation: the formula in the names of the docstrings, as plain text.
        released: what the released code does differently, and the option that reaches it.
        cost: time, memory and state beside the plain counterpart.
        use_when: when to choose it.
    """

    paper: str = ""
    arxiv: str = ""
    equation: str
    released: str = ""
    cost: str
    use_when: str


def import_below(package: str, path: Iterable[str]) -> None:
    """Import every module below a package, so that a file that is put there registers its class.

    Args:
        package: its name, the ``__name__`` of the caller.
        path: its ``__path__``.
    """
    for module in pkgutil.walk_packages(path, f"{package}."):
        importlib.import_module(module.name)


def lookup(registry: Registry, name: str, key: str, others: Iterable[str] = ()) -> type:
    """The class registered as ``name``.

    Args:
        registry: where to look.
        name: a registered name.
        key: the config key, for the message.
        others: names that are known elsewhere, for the message.

    Raises:
        ValueError: naming the config key and the names that exist.
    """
    if name not in registry:
        known = ", ".join([*names(registry), *others])
        raise ValueError(
            f"Unknown {key} {name!r}. Registered: {known}. A class of your own has to be imported "
            "before add_lt_det_config(cfg): docs/add-a-method.md"
        )
    return registry.get(name)


def names(registry: Registry) -> list[str]:
    """Registered names, sorted."""
    return sorted(name for name, _ in registry)


def node_name(cls: type, suffix: str) -> str:
    """UPPER_SNAKE class name without ``suffix``: BalancedSoftmaxLoss -> BALANCED_SOFTMAX."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__.removesuffix(suffix)).upper()


def hyper_parameters(cls: type) -> dict[str, Any]:
    """Keyword-only constructor parameters of ``cls`` with their defaults.

    Where a constructor takes ``**kwargs`` it hands them on: those of the next class in line (the
    method resolution order) follow, and so on. The first class that names a parameter says its
    default.

    Raises:
        ValueError: if a parameter has no default, because a config key needs one.
    """
    hyper = {}
    for base in (base for base in cls.__mro__ if "__init__" in vars(base)):
        parameters = inspect.signature(base.__init__).parameters.values()
        own = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        hyper = hyper | {name: default for name, default in own.items() if name not in hyper}
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):
            break
    without = [name for name, default in hyper.items() if default is inspect.Parameter.empty]
    if without:
        raise ValueError(f"{cls.__name__}: hyper-parameters {without} need default values")
    return hyper


def kwargs_from_node(parent: Mapping[str, Any], cls: type, suffix: str) -> dict[str, Any]:
    """Constructor arguments of ``cls`` from its node below ``parent``.

    Raises:
        ValueError: if ``cls`` was registered after the node's siblings were made.
    """
    node = node_name(cls, suffix)
    if node not in parent:
        raise ValueError(
            f"{cls.__name__} has no config node {node}: register it before add_lt_det_config(cfg)"
        )
    return {name: parent[node][name.upper()] for name in hyper_parameters(cls)}
