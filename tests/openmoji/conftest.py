"""What tests of the generated data set share."""

import functools
import json
from pathlib import Path

import pytest

from lt_det.openmoji import plan as openmoji_plan
from lt_det.openmoji.spec import SPLITS
from lt_det.openmoji.writer import generate


@pytest.fixture(scope="session", autouse=True)
def _draw_sprites_once():
    """The font is rasterised once for all generated sets; everything else is repeated."""
    with pytest.MonkeyPatch.context() as patch:
        cached = functools.cache(openmoji_plan.load_sprites)
        patch.setattr(openmoji_plan, "load_sprites", cached)
        yield


@pytest.fixture(scope="session")
def tiny_set(tmp_path_factory) -> Path:
    """Folder of the set of ``tiny_openmoji.SPEC`` and seed 0. All tests share it, none writes."""
    from tiny_openmoji import SPEC  # skips the test where there are no drawings

    folder = tmp_path_factory.mktemp("openmoji") / "set"
    return generate(SPEC, folder, workers=2, progress=False)


@pytest.fixture(scope="session")
def tiny_contents(tiny_set) -> dict[str, dict]:
    """Its annotation files by split."""
    return {split: json.loads((tiny_set / f"{split}.json").read_text()) for split in SPLITS}
