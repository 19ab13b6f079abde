"""Config keys with their defaults and owners, as text."""

from __future__ import annotations

import difflib
import fnmatch
import importlib
import inspect
import textwrap
from collections.abc import Iterator

from lt_det.config.keys import KEYS, Key
from lt_det.config.method_nodes import METHOD_NODES
from lt_det.registry import hyper_parameters, node_name

__all__ = ["all_keys", "format_keys", "owner_of"]


def all_keys() -> list[Key]:
    """List lt_det's keys, those of the registered classes included, sorted by name."""
    return sorted([*KEYS, *_keys_of_methods()])


def format_keys(glob: str = "*") -> str:
    """Print keys: ``NAME = default``, its meaning, its owner and what the owner says of itself.

    Args:
        glob: of key names (fnmatch), whatever the case; one without ``*`` finds the names that
            hold it.

    Raises:
        ValueError: if no key matches, with the names that are nearest.
    """
    pattern = glob.upper() if "*" in glob else f"*{glob.upper()}*"
    keys = [key for key in all_keys() if fnmatch.fnmatchcase(key.name, pattern)]
    if not keys:
        raise ValueError(f"No key of lt_det matches {glob!r}. {_nearest(glob)}")
    return "\n\n".join(map(_format, keys))


def owner_of(key: Key) -> object:
    """Import the class or function that reads a key."""
    module, _, name = key.owner.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _keys_of_methods() -> Iterator[Key]:
    for methods in METHOD_NODES:
        for _, cls in methods.registry:
            node = f"{methods.parent}.{node_name(cls, methods.suffix)}"
            text = f"With {methods.choice} {cls.__name__!r}."
            owner = f"{cls.__module__}.{cls.__qualname__}"
            for name, default in hyper_parameters(cls).items():
                yield Key(f"{node}.{name.upper()}", default, owner, text)


def _format(key: Key) -> str:
    says = (inspect.getdoc(owner_of(key)) or "").split("\n\n")[0]
    lines = [key.text, f"{key.owner}: {' '.join(says.split())}"]
    indent = " " * 4
    wrapped = [
        textwrap.fill(line, 100, initial_indent=indent, subsequent_indent=indent) for line in lines
    ]
    return "\n".join([f"{key.name} = {key.default!r}", *wrapped])


def _nearest(glob: str) -> str:
    """A sentence with the names whose last words are most like a pattern."""
    last_words = {key.name.rpartition(".")[2]: key.name for key in all_keys()}
    word = glob.strip("*").rpartition(".")[2].upper()
    close = difflib.get_close_matches(word, last_words, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {', '.join(last_words[name] for name in close)}?"
    return "python -m lt_det.config prints all"
