"""The report in a real browser: it fits a telephone, sorts and searches, without an error."""

import io

import pytest
from browser import browse, needs_chromium
from fake_runs import NAMES, add_all, make_run
from PIL import Image

from lt_det.pages.page import Gallery, Picture
from lt_det.reports.runs.report import write_run_report

SCRIPT = """(page) => {
  const classes = page.querySelector("[data-searched]");
  return {
    rising: click(classes, "a"),
    falling: click(classes, "a"),
    images_count: click(classes, "training images"),
    unicode: find(page, " ÇATAL"),
    script: find(page, "<script>"),
    none: find(page, "no such class"),
    all: find(page, ""),
    dark: getComputedStyle(page.querySelector("img:not(.plot)")).filter,
    lazy: page.querySelector("img:not(.plot)").loading,
    alerts: page.querySelectorAll("script").length,
  };
}"""


@pytest.fixture
def jpeg():
    buffer = io.BytesIO()
    Image.new("RGB", (448, 300), "white").save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.integration
@needs_chromium
def test_report_in_a_browser(tmp_path, monkeypatch, jpeg):
    long = 70 * "long"
    for seed, name in enumerate(("a", long[:100])):
        names = (*NAMES[:3], NAMES[3], long)
        add_all(tmp_path / name, make_run(tmp_path / name, seed=seed, names=names))
    views = [("ground truth", jpeg), (long, jpeg)]
    gallery = Gallery("worst", "Worst", "", [Picture(long, views)])
    monkeypatch.setattr(
        "lt_det.reports.runs.report.class_galleries", lambda *args, **options: [gallery]
    )
    folders = [tmp_path / "a", tmp_path / long[:100]]
    write_run_report(folders, tmp_path / "report", num_replicates=20)
    html = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    with_truth = [NAMES[0], NAMES[1], NAMES[2], long]
    for found in browse(html, SCRIPT, tmp_path):
        # Numbers fall first; the class without ground truth is last in both directions.
        assert found["rising"] == ["descending", [*with_truth[::-1], "dog"]]
        assert found["falling"] == ["ascending", [*with_truth, "dog"]]
        assert found["images_count"][1] == [long, "dog", NAMES[2], NAMES[0], NAMES[1]]
        assert found["unicode"] == [[NAMES[2]], "1 of 5"]
        assert found["script"] == [[NAMES[1]], "1 of 5"]
        assert found["none"] == [[], "0 of 5"]
        assert len(found["all"][0]) == 5
        assert found["dark"] == "none"
        assert found["lazy"] == "lazy"
        assert found["alerts"] == 1
