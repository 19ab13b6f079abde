"""A whole comparison."""

import json

import pytest

pytestmark = pytest.mark.integration


@pytest.fixture
def data(finished):
    return json.loads((finished.output / "compare.json").read_text())


def test_try(finished, data):
    print((finished.output / "compare.md").read_text())
    print(json.dumps(data)[:3000])
    print(
        sorted(
            str(p.relative_to(finished.output)) for p in finished.output.rglob("*") if p.is_file()
        )
    )
