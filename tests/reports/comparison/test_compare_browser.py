"""The page in a real browser: it fits a telephone, sorts and searches, without an error."""

import pytest
from browser import browse, needs_chromium
from fake_comparison import METHODS, comparison, fail

from lt_det.reports.comparison.page import comparison_page
from lt_det.reports.comparison.plots import comparison_plots
from lt_det.reports.comparison.tables import class_table, scores_table, settings_table

SCRIPT = """(page) => {
  const scores = page.querySelector("table");
  return {
    tableWidth: scores.scrollWidth,
    first: click(scores, "APr mask"),
    second: click(scores, "APr mask"),
    name: click(scores, "method"),
    sorted: scores.querySelectorAll("[aria-sort]").length,
    found: find(page, " CLASS 000"),
  };
}"""


@pytest.mark.integration
@needs_chromium
def test_page_in_a_browser(tmp_path):
    data = comparison(METHODS[:5], num_classes=30)
    values = {"softmax control": 5.0, "softmax, class-aware": 40.0, "logit adjustment": 9.5}
    for row in data["rows"]:
        for run in row["runs"]:
            run["results"]["segm"]["APr"] = values.get(row["name"])
    data["stage1"]["results"]["segm"]["APr"] = 100.0
    fail(data["rows"][2])
    data["rows"][4]["name"] = "A" + 60 * "very"
    plots = [plot.render() for plot in comparison_plots(data)[-1:]]
    html = comparison_page(
        data, [scores_table(data), settings_table(data)], plots, class_table(data)
    )
    results = browse(html, SCRIPT, tmp_path)
    for result in results:
        order = ["stage 1", "softmax, class-aware", "logit adjustment", "softmax control"]
        without = ["Balanced Softmax", data["rows"][4]["name"]]
        assert result["first"][0] == "descending"
        assert result["first"][1][:4] == order
        assert result["second"][0] == "ascending"
        assert result["second"][1][:4] == order[::-1]
        assert sorted(result["first"][1][4:]) == sorted(result["second"][1][4:]) == sorted(without)
        assert result["name"] == ["ascending", sorted([*order, *without], key=str.lower)]
        assert result["sorted"] == 1
        assert result["found"] == [[f"class {k:04d}" for k in range(10)], "10 of 30"]
    assert results[0]["tableWidth"] > 360
