"""A digest of the code that something stored depends on."""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

__all__ = ["code_digest", "code_files"]

_ROOT = Path(__file__).parents[2]


@functools.cache
def code_digest(*modules: str, without: tuple[str, ...] = ()) -> str:
    """Digest the source of modules and of all that they import, see :func:`code_files`.

    Returns:
        16 hexadecimal digits of SHA-256.
    """
    digest = hashlib.sha256()
    for name, path in code_files(*modules, without=without).items():
        digest.update(f"{name}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def code_files(*modules: str, without: tuple[str, ...] = ()) -> dict[str, Path]:
    """Find the files of modules and of all in their package that they import, directly or not.

    Imports are read from the source, wherever in a file they stand, so that a new file that
    matters cannot be forgotten.

    Args:
        modules: full names, such as ``lt_det.data.datasets.coco``.
        without: modules and packages that are left out, with what they alone import. Leaving one
            out by mistake lets stored results grow stale; keeping one in costs time alone.

    Returns:
        Name -> file, sorted by name.

    Raises:
        ModuleNotFoundError: if there is no module of a name.
    """
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in found or any(f"{name}.".startswith(f"{left}.") for left in without):
            continue
        path = _file_of(name)
        if path is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        found[name] = path
        waiting += _imported(name, path)
    return dict(sorted(found.items()))


def _imported(name: str, path: Path) -> Iterator[str]:
    """Modules of the same package that a file imports."""
    package = name.partition(".")[0]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # A name may be a module of the package or something that a module defines.
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (n for n in names if n.partition(".")[0] == package and _file_of(n))


@functools.cache
def _file_of(name: str) -> Path | None:
    path = _ROOT.joinpath(*name.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None
