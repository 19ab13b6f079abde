"""What tests of the generated data set share."""

import functools

import pytest

from lt_det.data import openmoji_plan


@pytest.fixture(scope="session", autouse=True)
def _draw_sprites_once():
    """The font is rasterised once for all generated sets; everything else is repeated."""
    with pytest.MonkeyPatch.context() as patch:
        cached = functools.cache(openmoji_plan.load_sprites)
        patch.setattr(openmoji_plan, "load_sprites", cached)
        yield
