import itertools

import numpy as np
import pytest
from fake_comparison import METHODS, comparison, fail

from lt_det.reports.comparison.class_plots import draw_class_ap, draw_weight_norms
from lt_det.reports.comparison.groups_plot import draw_groups, group_points
from lt_det.reports.comparison.plots import comparison_plots
from lt_det.reports.comparison.selection_plot import draw_selection, selection_lines


@pytest.fixture
def data():
    return comparison(("control", "better", "best"), num_classes=12, seeds=(1, 2))


def test_points_are_stage_1_and_the_finished_rows_with_both_metrics(data):
    fail(data["rows"][2])
    for run, frequent in zip(data["rows"][1]["runs"], (50.0, 54.0), strict=True):
        run["results"]["segm"] |= {"APr": 10.0, "APf": frequent}
    points = group_points(data)
    assert [point.name for point in points] == ["stage 1", "control", "better"]
    assert [point.is_control for point in points] == [False, True, False]
    np.testing.assert_allclose(points[2].mean, [52.0, 10.0])
    np.testing.assert_allclose(points[2].deviation, [8**0.5, 0.0])
    data["rows"][1]["runs"][0]["results"]["segm"]["APr"] = None
    assert [point.name for point in group_points(data)] == ["stage 1", "control"]


def test_every_point_is_named_beside_the_axes(data):
    texts = [text.get_text() for text in draw_groups(data).axes[0].texts]
    assert sorted(filter(None, texts)) == ["best", "better", "control", "stage 1"]


def test_class_panels_show_the_method_over_its_control(data):
    figure = draw_class_ap(data)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["control", "better", "best"]
    grey = [axes.texts[0].get_text() for axes in figure.axes]
    assert grey == ["grey: stage 1", "grey: control", "grey: control"]
    assert {len(axes.collections) for axes in figure.axes} == {2}
    data["rows"][2]["controls"] = ["stage 1", "control"]
    assert draw_class_ap(data).axes[2].texts[0].get_text() == "grey: stage 1"
    many = draw_class_ap(comparison(("control",), num_classes=400, seeds=(1,)))
    assert not many.axes[0].collections


def test_norms_are_sorted_by_frequency(data):
    for count, entry in enumerate(data["classes"], start=1):
        entry["train_image_count"] = count
    norms = np.arange(1.0, 13.0)
    data["stage1_weight_norms"] = norms.tolist()
    del data["rows"][0]["runs"][1]
    data["rows"][0]["runs"][0]["weight_norms"] = (1 / norms).tolist()
    before, after = draw_weight_norms(data).axes[0].lines
    np.testing.assert_array_equal(before.get_ydata(), norms[::-1])
    np.testing.assert_array_equal(after.get_ydata(), 1 / norms[::-1])


def test_selection_has_a_line_per_value_of_the_second_parameter():
    grid = itertools.product((0.4, 0.1), (1, 2))
    trials = [{"settings": {"A.LR": a, "B.TAU": b}, "AP": a + b} for a, b in grid]
    trials[0]["AP"] = None
    values, lines = selection_lines(trials)
    assert values == [0.1, 0.4]
    assert lines == {
        "TAU 1": {0: 1.1, 1: pytest.approx(np.nan, nan_ok=True)},
        "TAU 2": {0: 2.1, 1: 2.4},
    }


def test_selection_takes_names_and_no_names_at_all():
    trials = [{"settings": {"NAME": name}, "AP": 1.0} for name in ("b", "a")]
    assert selection_lines(trials) == (["b", "a"], {"": {0: 1.0, 1: 1.0}})
    assert selection_lines([{"settings": {}, "AP": 3.0}]) == ([1], {"": {0: 3.0}})


def test_selection_rings_the_chosen_trial(data):
    trials = [{"settings": {"LR": lr, "TAU": 1.0}, "AP": ap} for lr, ap in ((0.1, 5.0), (0.2, 9.0))]
    for row in data["rows"]:
        row["selection"] = {"trials": trials, "chosen": {"LR": 0.2, "TAU": 1.0}}
    data["rows"][1]["selection"] = None
    figure = draw_selection(data)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["control", "best"]
    ring = figure.axes[0].lines[-1]
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (1, 9.0)


def test_plots_without_data_are_left_out(data):
    def names():
        return [plot.name.removeprefix("compare_") for plot in comparison_plots(data)]

    assert names() == ["groups", "classes", "weight_norms", "selection"]
    for row in data["rows"]:
        row["selection"] = None
        for run in row["runs"]:
            run["weight_norms"] = None
    assert names() == ["groups", "classes"]
    for row in data["rows"]:
        fail(row)
    assert names() == []


def test_classes_without_a_training_image_are_counted(data):
    data["classes"][3]["train_image_count"] = 0
    (plot,) = (p for p in comparison_plots(data) if p.name == "compare_classes")
    assert "1 classes without a training image are not drawn" in plot.caption


@pytest.mark.integration
def test_plots_are_the_same_bytes_whatever_the_users_style():
    import matplotlib

    plot = comparison_plots(comparison(METHODS[:2], num_classes=9, seeds=(1,)))[0]
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black"}):
        first = plot.render()
    assert first == plot.render()
    assert first.png.startswith(b"\x89PNG")
    assert b"<svg" in first.svg
