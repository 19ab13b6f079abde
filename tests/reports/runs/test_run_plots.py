import numpy as np
import pytest
from fake_runs import add_all, make_matches, make_run

from lt_det.evaluation.metrics.gradient_history import GradientHistory
from lt_det.reports.runs.class_plots import draw_by_frequency, draw_gradient_ratio, group_colors
from lt_det.reports.runs.folder import RunFolder
from lt_det.reports.runs.methods import Method, bootstrap_methods, group_runs
from lt_det.reports.runs.plots import draw_differences, draw_groups, run_plots
from lt_det.reports.runs.score_plots import (
    draw_errors,
    draw_reliability,
    draw_scores,
    score_counts,
)


@pytest.fixture
def methods(tmp_path):
    for seed, name in enumerate("ab"):
        add_all(tmp_path / name, make_run(tmp_path / name, seed=seed))
    return group_runs([RunFolder.open(tmp_path / name) for name in "ab"])


def names(plots):
    return [plot.name.removeprefix("report_") for plot in plots]


ALL = ["groups", "differences", "classes", "weight_norms", "gradient_ratio", "class_rates"]
ALL += ["scores", "reliability", "errors"]


@pytest.mark.integration
def test_every_plot_is_drawn(methods):
    plots, missing = run_plots(methods, "segm", bootstrap_methods(methods, "segm", 20))
    assert (names(plots), missing) == (ALL, [])
    for plot in plots:
        assert plot.render().png.startswith(b"\x89PNG")


def test_plots_without_data_are_left_out_and_named(methods, tmp_path):
    make_run(tmp_path / "c")
    bare = Method("bare", [RunFolder.open(tmp_path / "c")])
    plots, missing = run_plots([bare], "segm", None)
    assert names(plots) == ["groups", "classes"]
    assert [(what.split(" (")[0], of) for what, of in missing] == [
        ("norms of one linear classifier", ["bare"]),
        ("gradients", ["bare"]),
        ("learned rates", ["bare"]),
        ("scores", ["bare"]),
        ("calibration", ["bare"]),
        ("kinds of errors", ["bare"]),
    ]
    plots, missing = run_plots([methods[0], bare], "segm", None)
    assert names(plots) == [name for name in ALL if name != "differences"]
    assert [of for _, of in missing] == 6 * [["bare"]]
    # Boxes have no diagnostics here.
    assert names(run_plots(methods, "bbox", None)[0])[-1] == "scores"


def test_group_means_and_dots_by_frequency(methods):
    """Class 1 has no training image, class 3 no ground truth: neither is drawn."""
    method = methods[0]
    (axes,) = draw_by_frequency([method], [method.mean("segm_AP")], "AP").axes
    (dots,) = axes.collections
    np.testing.assert_allclose(dots.get_offsets(), [[3, 1.5], [40, 50], [900, 80.125]])
    means = [axes.lines[i].get_ydata()[0] for i in (-3, -2, -1)]
    assert means == [1.5, 50.0, 80.125]
    caption = run_plots([method], "segm", None)[0][1].caption
    assert caption.endswith("1 classes without a training image are not drawn.")


def test_gradient_ratio_is_the_groups_median(methods):
    positive = np.array([[1.0, 3, 0, 8, 2], [2.0, 3, 4, 8, 2]])
    sums = GradientHistory(np.array([5, 9]), positive, np.full((2, 5), 2.0))
    methods[0].first.__dict__["gradient_sums"] = sums
    (axes,) = draw_gradient_ratio(methods[:1]).axes
    rare, common, frequent = (line.get_ydata() for line in axes.lines[:3])
    np.testing.assert_allclose(rare, [1.0, (0.75 + 1.5) / 2])  # of 0.5, 1.5, then of 0.75, 1.5
    np.testing.assert_allclose(common, [np.nan, 1.0])  # no gradient yet is not drawn on a log scale
    np.testing.assert_allclose(frequent, [2.5, 2.5])
    assert axes.lines[0].get_xdata().tolist() == [5, 9]


def test_scores_of_true_and_false_positives_by_hand():
    counts = score_counts(make_matches(), np.array([0, 0, 1, 2, 2]))
    found = {name: [np.flatnonzero(c).tolist() for c in hits] for name, hits in counts.items()}
    assert found == {"rare": [[18], [6]], "common": [[], [11]], "frequent": [[19], []]}
    assert counts["frequent"][0][19] == 2  # 0.99 and 1.0; the one at 0.5 is ignored
    assert list(score_counts(make_matches(), np.array([-1, -1, 1, 1, 1]))) == ["common"]


def test_scores_have_a_panel_for_each_group(methods):
    figure = draw_scores(methods, "segm")
    assert [axes.texts[0].get_text() for axes in figure.axes][:3] == [
        "rare: 1 true, 1 false",
        "common: 0 true, 1 false",
        "frequent: 2 true, 0 false",
    ]
    assert len(figure.axes) == 6


def test_reliability_leaves_out_empty_bins(methods):
    axes = draw_reliability(methods, "segm").axes[0]
    np.testing.assert_allclose(axes.lines[1].get_xydata(), [[0.1, 0.4], [0.9, 0.6]])


def test_errors_have_a_bar_for_each_kind_and_group(methods):
    axes = draw_errors(methods, "segm").axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["Cls", "Miss", "Loc"]
    assert [bar.get_height() for bar in axes.patches] == [3.5, 1.25, 0, 2.0, 0, 0.5]
    assert [t.get_text() for t in axes.figure.legends[0].get_texts()] == ["rare", "all"]


def test_bars_and_differences_are_the_results(methods):
    intervals = bootstrap_methods(methods, "segm", 20)
    axes = draw_groups(methods, "segm", intervals).axes[0]
    heights = [bar.get_height() for bar in axes.patches]
    metrics = ("AP", "APr", "APc", "APf")
    assert heights == [m.values("segm", name)[0] for m in methods for name in metrics]
    axes = draw_differences(intervals).axes[0]
    dots = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert dots == [intervals.differences["b"][name]["mean"] for name in metrics]


def test_groups_of_any_name_have_colors_of_their_own():
    colors = group_colors(["rare", "all", "small", "large", "rare"])
    assert list(colors) == ["rare", "all", "small", "large"]
    assert len(set(colors.values())) == 4
