"""The page in a real browser: it fits a telephone, sorts and searches, without an error."""

import json
import re
import shutil
import subprocess
from html import escape, unescape

import pytest
from fake_comparison import METHODS, comparison, fail

from lt_det.evaluation.compare_page import comparison_page
from lt_det.evaluation.compare_plots import comparison_plots
from lt_det.evaluation.compare_tables import class_table, scores_table, settings_table

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update --virtual-time-budget=5000"
).split()

# Windows have a smallest width; frames have none.
FRAME = '<iframe style="border:0;width:{0}px;height:900px" data-width="{0}" srcdoc="{1}"></iframe>'

PROBE = """
<pre id="result"></pre>
<script>
function names(table) {
  const rows = Array.from(table.tBodies[0].rows).filter((row) => !row.hidden);
  return rows.map((row) => row.cells[0].textContent);
}
function click(table, name) {
  const heading = Array.from(table.tHead.rows[0].cells).find((c) => c.textContent === name);
  heading.querySelector("button").click();
  return [heading.getAttribute("aria-sort"), names(table)];
}
function probe(frame) {
  const page = frame.contentDocument, scores = page.querySelector("table");
  const search = page.getElementById("search");
  const result = {
    width: frame.contentWindow.innerWidth, scrollWidth: page.scrollingElement.scrollWidth,
    tableWidth: scores.scrollWidth,
    images: Array.from(page.images, (i) => i.naturalWidth),
    first: click(scores, "APr mask"),
    second: click(scores, "APr mask"),
    name: click(scores, "method"),
    sorted: scores.querySelectorAll("[aria-sort]").length,
  };
  search.value = " CLASS 000";
  search.dispatchEvent(new Event("input"));
  const classes = page.querySelector("[data-searched]");
  result.found = [names(classes), page.getElementById("found").textContent];
  return result;
}
addEventListener("load", () => {
  const frames = Array.from(document.querySelectorAll("iframe"));
  document.getElementById("result").textContent = JSON.stringify(frames.map(probe));
});
</script>
"""


def browse(path, profile):
    """Returns the document after its scripts."""
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "--dump-dom", f"file://{path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.integration
@pytest.mark.skipif(shutil.which(CHROMIUM) is None, reason=f"{CHROMIUM} is not installed")
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
    frames = "".join(FRAME.format(width, escape(html)) for width in (360, 1280))
    (tmp_path / "probe.html").write_text(f"<!DOCTYPE html>{frames}{PROBE}", encoding="utf-8")
    document = browse(tmp_path / "probe.html", tmp_path / "profile")
    results = json.loads(unescape(re.search(r'<pre id="result">(.+?)</pre>', document)[1]))
    assert [result["width"] for result in results] == [360, 1280]
    for result in results:
        assert result["scrollWidth"] <= result["width"]
        assert min(result["images"]) > 0
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
