"""Fixtures of the evaluation tests."""

import sys
from pathlib import Path

import pytest
from detectron2.data import MetadataCatalog

# `import toy` works however pytest was told to import test files.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def register():
    """Returns a function that registers an annotation file for this test, and gives its name."""
    names = []

    def _register(json_file, **metadata) -> str:
        name = f"lt_det_test_{len(names)}"
        names.append(name)
        MetadataCatalog.get(name).set(json_file=str(json_file), evaluator_type="lvis", **metadata)
        return name

    yield _register
    for name in names:
        MetadataCatalog.remove(name)
