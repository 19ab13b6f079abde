"""Fixtures of the tests of reports."""

import pytest
from toy_lvis import ToyLVIS, three_images


@pytest.fixture
def toy() -> ToyLVIS:
    return three_images()
