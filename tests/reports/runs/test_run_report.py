import json
import re
from html.parser import HTMLParser

import pytest
from fake_runs import DATASET, NAMES, add_all, make_run
from tool_modules import load_quiet_tool

from lt_det.reports.runs.report import write_run_report


class Tables(HTMLParser):
    """Every table as rows of cells, and all tags with their attributes."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.tables, self._in_cell = [], [], False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append([attrs.get("data-value"), ""])
            self._in_cell = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, text):
        if self._in_cell:
            self.tables[-1][-1][-1][1] += text


@pytest.fixture
def whole(tmp_path):
    folder = make_run(tmp_path / "run")
    add_all(tmp_path / "run", folder)
    return tmp_path / "run"


def report(*folders, **options):
    """The page of a report, and the folder it is in."""
    output = folders[0].parent / "report"
    write_run_report(folders, output, num_replicates=20, **options)
    return (output / "report.html").read_text(encoding="utf-8"), output


@pytest.mark.integration
def test_numbers_on_the_page_are_those_of_the_results(whole):
    results = json.loads((whole / "inference" / DATASET / "results.json").read_text())
    html, _ = report(whole)
    tables = Tables(html).tables
    ((_, *rows),) = (t for t in tables if [c for _, c in t[0]] == ["metric", "box", "mask"])
    values = {row[0][1].strip(): [value for value, _ in row[1:]] for row in rows}
    for position, task in enumerate(("bbox", "segm")):
        for metric, expected in results[task].items():
            shown = values[metric][position]
            assert (float(shown) if shown else None) == expected
    classes = Tables(html).tables[-1]
    column = [text for _, text in classes[0]].index("AP mask")
    assert [row[column][0] for row in classes[1:]] == ["1.5", "20.25", "50.0", "", "80.125"]


@pytest.mark.integration
def test_the_page_asks_the_network_for_nothing_and_escapes_names(whole):
    html, output = report(whole)
    tags = Tables(html).tags
    sources = [attrs[key] for _, attrs in tags for key in ("src", "href") if key in attrs]
    assert all(source.startswith(("data:image/svg+xml;base64,", "#")) for source in sources)
    assert not re.findall(r"url\(|@import|https?:", html)
    assert NAMES[1] not in html
    assert NAMES[2] in html
    assert [tag for tag, _ in tags].count("script") == 1
    ids = [attrs["id"] for _, attrs in tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = {attrs["href"][1:] for tag, attrs in tags if tag == "a"}
    assert links <= set(ids)
    markdown = (output / "report.md").read_text(encoding="utf-8")
    assert NAMES[1] not in markdown
    for name in re.findall(r"\]\((\S+\.png)\)", markdown):
        assert (output / name).is_file()


@pytest.mark.integration
def test_one_file_alone_makes_a_report_that_says_what_is_missing(tmp_path):
    folder = make_run(tmp_path / "run", rows=False)
    assert [path.name for path in folder.iterdir()] == ["results.json"]
    html, output = report(folder)
    assert [table[0][0][1] for table in Tables(html).tables] == [
        *("method", "method"),  # boxes and masks
        *("metric", "method", "what"),
    ]
    assert 'id="search"' not in html
    text = (output / "report.md").read_text(encoding="utf-8")
    assert "pictures: no lvis_instances_results.json, which TEST.SAVE_PREDICTIONS writes" in text
    assert "AP and training images of each class (per_class.csv)" in text


@pytest.mark.integration
def test_report_is_the_same_for_the_same_folders(whole):
    html, output = report(whole)
    files = {path.name: path.read_bytes() for path in output.iterdir()}
    assert report(whole)[0] == html
    assert {path.name: path.read_bytes() for path in output.iterdir()} == files


@pytest.fixture
def tool(monkeypatch):
    return load_quiet_tool("report", monkeypatch)


def test_tool_names_what_it_cannot_read(whole, tmp_path, tool, capsys):
    make_run(tmp_path / "third", names=(*NAMES[:4], "cat"))
    folders = [str(whole), str(tmp_path / "third")]
    assert tool.main([*folders, "--output", str(tmp_path / "report")]) == 1
    error = capsys.readouterr().err
    assert re.search(r"^report\.py: .*/run and .*/third are of different classes", error)
    assert not (tmp_path / "report").exists()


@pytest.mark.integration
def test_options_of_the_tool(whole, tmp_path, tool):
    make_run(tmp_path / "other", seed=1)
    folders = [str(whole), str(tmp_path / "other")]
    options = ["--names", "A", "A", "--dataset", DATASET, "--pictures", "0", "--replicates", "0"]
    assert tool.main([*folders, "--output", str(tmp_path / "report"), *options]) == 0
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert re.search(r"\| A +\| 38\.22 ± 0\.35 .*\| +2 \|", text)
    assert "pictures:" not in text
    assert "Paired differences" not in text
