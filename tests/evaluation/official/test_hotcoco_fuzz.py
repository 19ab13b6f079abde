"""hotcoco against the official API on problems that hypothesis makes, and makes small.

It looks for coincidences that random numbers seldom have: boxes, scores and ids that are equal,
neighbours or zero, lists that name a class twice or one the picture holds.
"""

import pytest
from federated_problems import CAPS, assert_equal, rle_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_lvis import ToyLVIS

pytest.importorskip("hotcoco")

SIZE = 40
SETTINGS = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

numbers = st.integers(0, 12)
boxes = st.lists(numbers, min_size=4, max_size=4).map(lambda b: [float(v) for v in b])
scores = st.sampled_from([0.0, 1e-12, 0.25, 0.25 + 2**-30, 0.5, 1.0]) | st.floats(0, 1)


@st.composite
def problems(draw, task):
    """A federated problem: the set, results and the limit per image."""
    toy = ToyLVIS("".join(draw(st.lists(st.sampled_from("rcf"), min_size=1, max_size=3))))
    ids = [category["id"] for category in toy.categories]
    lists = st.lists(st.sampled_from(ids), max_size=3)
    results = []
    for image_id in draw(st.lists(st.integers(1, 30), min_size=1, max_size=4, unique=True)):
        toy.image(image_id, SIZE, SIZE, draw(lists), draw(lists))
        for category_id, box in draw(st.lists(st.tuples(st.sampled_from(ids), boxes), max_size=5)):
            toy.box(image_id, category_id, box)
            toy.annotations[-1]["area"] = draw(st.sampled_from([box[2] * box[3], 0, 1, 1024, 1e10]))
            if draw(st.booleans()):
                toy.annotations[-1]["ignore"] = draw(st.integers(0, 1))
        found = st.tuples(st.sampled_from(ids), boxes, scores)
        for category_id, box, score in draw(st.lists(found, max_size=6)):
            shape = {"bbox": box} if task == "bbox" else {"segmentation": rle_of(box, SIZE)}
            results.append(
                {"image_id": image_id, "category_id": category_id, "score": score, **shape}
            )
    if toy.annotations:  # a file of which nothing is left is refused
        toy.box(next(iter(toy.images)), ids[0], [1.0, 1.0, 5.0, 5.0])
    return toy, results, draw(st.sampled_from(CAPS))


@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_whole_arrays_and_matches(task, tmp_path):
    @SETTINGS
    @given(problems(task))
    def check(problem):
        toy, results, cap = problem
        assert_equal(toy.write(tmp_path / "gt.json"), results, task, cap)

    check()
