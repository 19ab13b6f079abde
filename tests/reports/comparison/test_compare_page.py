import re
from html.parser import HTMLParser

import pytest
from fake_comparison import comparison, fail

from lt_det.pages.plot_style import Rendered
from lt_det.reports.comparison.page import comparison_page
from lt_det.reports.comparison.report import write_compare_report
from lt_det.reports.comparison.tables import class_table, scores_table

EVIL = "<script>alert('x')</script>"
PLOT = Rendered("compare_a", 'A "plot"', "What <it> shows", b"png", b"<svg/>")


@pytest.fixture
def data():
    return comparison(("control", "better", "best"), num_classes=12, seeds=(1, 2))


def page(data, plots=(PLOT,)):
    return comparison_page(data, [scores_table(data)], plots, class_table(data))


class Elements(HTMLParser):
    """Start tags with their attributes, and the text of table cells."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.cells = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, text):
        if self.cells:
            self.cells[-1] += text.strip()

    def of(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def test_every_text_of_the_data_is_escaped(data):
    data["classes"][0]["name"] = data["rows"][1]["name"] = data["title"] = EVIL
    data["classes"][1]["group"] = data["notes"][0] = EVIL
    html = page(data)
    assert EVIL not in html
    elements = Elements(html)
    assert len(elements.of("script")) == 1
    assert elements.cells.count(EVIL) >= 3


def test_values_and_their_sort_keys(data):
    for run, ap in zip(data["rows"][0]["runs"], (10.0, 13.0), strict=True):
        run["results"]["segm"]["AP"] = ap
    fail(data["rows"][1])
    html = page(data)
    assert '<td class="number" data-value="11.5">11.50 ± 2.12</td>' in html
    assert '<td class="number" data-value="0">failed</td>' in html
    assert '<td class="number" data-value="">-</td>' in html
    assert "nan" not in re.sub(r"<(style|script)>.*?</\1>|base64,\S+", "", html, flags=re.S).lower()


def test_the_page_asks_the_network_for_nothing(data):
    elements = Elements(page(data))
    sources = [attrs[key] for _, attrs in elements.tags for key in ("src", "href") if key in attrs]
    assert all(source.startswith(("data:image/svg+xml;base64,", "#")) for source in sources)
    assert not elements.of("link")
    (policy,) = (m["content"] for m in elements.of("meta") if "http-equiv" in m)
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_semantics(data):
    elements = Elements(page(data))
    assert {attrs["scope"] for attrs in elements.of("th")} == {"row", "col"}
    assert len(elements.of("caption")) == len(elements.of("table")) == 2
    assert [attrs["alt"] for attrs in elements.of("img")] == ['A "plot". What <it> shows']
    ids = [attrs["id"] for _, attrs in elements.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [attrs["href"][1:] for attrs in elements.of("a")]
    labels = [attrs["aria-labelledby"] for _, attrs in elements.tags if "aria-labelledby" in attrs]
    assert {*links, *labels, *(attrs["for"] for attrs in elements.of("label"))} <= set(ids)


def test_backticks_become_code(data):
    data["notes"] = ["`a < b`, then"]
    assert "<p><code>a &lt; b</code>, then</p>" in page(data)


@pytest.mark.integration
def test_report_writes_its_files_and_is_deterministic(data, tmp_path):
    fail(data["rows"][1], "RuntimeError: out of memory")
    text = write_compare_report(tmp_path / "a" / "b", data)
    assert write_compare_report(tmp_path / "c", data) == text
    names = ["groups", "classes", "weight_norms", "selection"]
    files = ["compare.html", "compare.md", *(f"compare_{name}.png" for name in names)]
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == sorted(files)
    for name in files:
        assert (tmp_path / "a" / "b" / name).read_bytes() == (tmp_path / "c" / name).read_bytes()
    assert (tmp_path / "c" / "compare.md").read_text(encoding="utf-8") == text
    assert text.startswith("## openmoji_quick_val\n\n`python tools/compare.py`")
    assert re.search(r"\| better +\| failed +\| RuntimeError: out of memory +\|", text)
    assert all(f"](compare_{name}.png)" in text for name in names)


def test_what_is_no_comparison_is_refused_before_a_file_is_written(data, tmp_path):
    del data["rows"][0]["runs"]
    with pytest.raises(ValueError, match=r"row 'control' lacks \['runs'\]"):
        write_compare_report(tmp_path / "new", data)
    assert not (tmp_path / "new").exists()
