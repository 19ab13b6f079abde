"""The scripts of ``tools/`` as modules."""

import importlib.util
from types import ModuleType

from paths import ROOT

TOOLS = ROOT / "tools"


def load_tool(name: str) -> ModuleType:
    """A fresh module of ``tools/<name>.py``, whose ``main`` is not run."""
    spec = importlib.util.spec_from_file_location(f"tool_{name}", TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_quiet_tool(name: str, monkeypatch) -> ModuleType:
    """The same, of a tool of lt_det.cli, without its logger, which would stay for all tests."""
    monkeypatch.setattr(f"lt_det.cli.{name}.setup_logger", lambda **options: None)
    return load_tool(name)
