"""Values come back as they were: by `repr`, which tells 1 from 1.0, True and -0.0."""

import math
import random
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_det.data.cache.value_columns import (
    MISSING,
    NotRepresentableError,
    Numbers,
    Values,
    numbers_to_arrays,
    values_to_arrays,
)

NAN = float("nan")


# What json.load may return.
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def any_float(rng: random.Random) -> float:
    number = struct.unpack("<d", rng.randbytes(8))[0]
    return 0.5 if math.isnan(number) else number


DRAWS = {
    "hundredths": lambda rng: round(rng.uniform(-700, 700), 2),
    "floats": any_float,
    "ints": lambda rng: rng.randrange(-(2**53), 2**53),
    "mixed": lambda rng: rng.choice((3, 3.0, -0.0, 0, 2.5, 0.1 + 0.2, rng.randrange(999), NAN)),
}


@pytest.mark.parametrize("number", [0, 1, 9, 100])
@pytest.mark.parametrize("draw", DRAWS)
def test_numbers_come_back(draw, number):
    rng = random.Random(number)
    numbers = [DRAWS[draw](rng) for _ in range(number)]
    kept = Numbers(numbers_to_arrays(iter(numbers)))
    assert repr(kept.part(0, number)) == repr(numbers)
    for _ in range(20):
        start, end = sorted(rng.randrange(number + 1) for _ in range(2))
        assert repr(kept.part(start, end)) == repr(numbers[start:end])


@settings(deadline=None)
@given(st.lists(st.floats() | st.integers(-(2**53), 2**53)))
def test_any_numbers_come_back(numbers):
    kept = Numbers(numbers_to_arrays(iter(numbers)))
    assert repr(kept.part(0, len(numbers))) == repr(numbers)


@settings(deadline=None)
@given(st.lists(json_values | st.just(MISSING)) | st.lists(st.integers()))
def test_any_values_come_back(values):
    kept = Values(values_to_arrays(values))
    assert repr(kept.part(0, len(values))) == repr(values)


def test_millions_of_numbers_are_kept_block_by_block():
    blocks = [[0.07, 5] * 40_000, [0.125] * 3, [7.25, 8] * 40_000]
    for number in range(4):
        numbers = [value for block in blocks[:number] for value in block]
        arrays = numbers_to_arrays(iter(numbers))
        assert arrays["values"].dtype == (np.float64 if number > 1 else np.int32)
        assert repr(Numbers(arrays).part(0, len(numbers))) == repr(numbers)


def test_two_decimals_take_four_bytes():
    arrays = numbers_to_arrays([0.07, 640.0, 123.45, 3])
    assert arrays["values"].dtype == np.int32
    assert arrays["values"].tolist() == [7, 64000, 12345, 300]
    assert len(numbers_to_arrays([0.07])["is_int"]) == 0
    # Hundredths of no zero's sign, of more than 32 bits, and of no number.
    for number in (-0.0, 0.075, 3e7, math.inf, NAN):
        assert numbers_to_arrays([0.07, number])["values"].dtype == np.float64


@pytest.mark.parametrize(
    "number", [True, "1.5", None, 2**53 + 1, -(2**60), 10**400, [1.0], {}, "x"]
)
@pytest.mark.parametrize("beside", [[], [1.5]])
def test_what_is_no_number_is_refused(number, beside):
    with pytest.raises(NotRepresentableError):
        numbers_to_arrays([*beside, number])


@pytest.mark.parametrize(
    "values",
    [
        [],
        [1, -128, 127],
        [1, 128],
        [-(2**31), 2**31 - 1],
        [2**63 - 1, -(2**63)],
        [2**63],
        [1, True],
        [1, 2.0],
        ["a.jpg", "ä/\ud800\n", ""],
        [[], [3, 4], [3.0]],
        [None, NAN, math.inf, {"a": [1, {"b": None}]}, False],
        [1, MISSING, 0],
        [MISSING],
    ],
)
def test_values_come_back(values):
    kept = Values(values_to_arrays(values))
    assert repr(kept.part(0, len(values))) == repr(values)
    for row, value in enumerate(values):
        assert repr(kept[row]) == repr(value)


def test_integers_take_as_few_bytes_as_they_need():
    widths = [values_to_arrays([high])["ints"].itemsize for high in (127, 128, 2**15, 2**31)]
    assert widths == [1, 2, 4, 8]


@pytest.mark.parametrize("value", [b"x", object(), {1, 2}])
def test_what_json_does_not_hold_is_refused(value):
    with pytest.raises(NotRepresentableError):
        values_to_arrays([value])
