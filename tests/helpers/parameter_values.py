"""The tables of the contract tests: for every parameter of a registered class other values."""

from collections.abc import Mapping
from typing import Any

from lt_det.registry import hyper_parameters


def own(registry) -> list[type]:
    """lt_det's classes of a registry, by name: other tests may have registered theirs."""
    classes = (cls for _, cls in registry if cls.__module__.startswith("lt_det."))
    return sorted(classes, key=lambda cls: cls.__name__)


def values(cls: type, table: Mapping[str, Mapping], where: str) -> dict[str, tuple[Any, list]]:
    """The row of a class: parameter -> (another value than the default, values without meaning).

    Args:
        cls: the class.
        table: class name -> row; a class without parameters needs none.
        where: name and file of the table, for the message.
    """
    row, parameters = table.get(cls.__name__, {}), hyper_parameters(cls)
    missing = [name for name in parameters if name not in row]
    assert not missing, (
        f"add {missing} of {cls.__name__} to {where}: parameter -> (another value than the "
        "default, [values that raise ValueError])"
    )
    unknown = [name for name in row if name not in parameters]
    assert not unknown, f"{where} has {unknown}, which {cls.__name__} does not take"
    # Of a bool there are none.
    unchecked = [
        n for n, (_, bad) in row.items() if not bad and not isinstance(parameters[n], bool)
    ]
    assert not unchecked, f"add values that {cls.__name__} refuses to {where}: {unchecked}"
    return dict(row)
