"""The document that lists what is said about bad annotation and results files.

python tests/helpers/bad_input.py    writes docs/bad-input.md
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from bad_files import BAD, BAD_FOR_A_CONFIG, expected_faults, faults_of, good_content
from bad_results import BAD_RESULTS, faults_of_results
from paths import ROOT
from toy_coco import write_toy_coco

from lt_det.data.datasets.judged_file import read_annotation_file
from lt_det.data.inspection.file_faults import find_faults
from lt_det.data.inspection.requirements import Needs

DOCUMENT = ROOT / "docs" / "bad-input.md"
HEADER = """# Bad input, and what is said about it

<!-- Written by `python tests/helpers/bad_input.py`; a test compares. -->

`python tools/inspect_dataset.py NAME --config-file CONFIG` searches an annotation file to its end
and lists all faults at once, each with its number and up to three examples. "LVIS" marks what is
asked of LVIS-format files only, "config" what depends on the config.

Training does not search the file to its end. It leaves out objects without a valid polygon or with
a box that has no area inside the picture, warns of their number once, and counts classes without
them. A broken entry stops it before the first step, with the file's name; pictures and compressed
RLE are read when their turn comes. The official evaluation reads the file by itself: to it, what
training leaves out is ground truth still, and a mask that pycocotools cannot read is named.
"""
RESULTS_HEADER = """
## Results files

`python tools/evaluate.py` searches a results file to its end before it evaluates; entry 0 is the
first.
"""

# Files that cannot be searched: text, or None for no file.
UNREADABLE = {
    "missing file": None,
    "empty file": "",
    "truncated file": '{"images": [',
    "a list": "[]",
    "no section of images": '{"annotations": [], "categories": []}',
}


def document() -> str:
    """The text of docs/bad-input.md, with paths shortened to "..."."""
    with tempfile.TemporaryDirectory() as root:
        folder = write_toy_coco(Path(root) / "set")
        faults = _table(("input", "fault", "such as"), _fault_rows(folder))
        unreadable = _table(("file", "message"), _unreadable_rows(Path(root)))
        results = _table(("input", "fault", "such as"), _result_rows())
        text = (
            f"{HEADER}\n{faults}\nA file that cannot be searched:\n\n{unreadable}"
            f"{RESULTS_HEADER}\n{results}"
        )
        return text.replace(str(folder), "...").replace(root, "...")


def _fault_rows(folder: Path) -> Iterator[tuple[str, ...]]:
    for name, (change, *_) in BAD.items():
        content = good_content(folder)
        change(content)
        fault, *_ = expected_faults(name, faults_of(content, folder, needs=Needs()))
        is_asked_of_coco = fault in faults_of(content, folder, needs=Needs(), is_lvis=False)
        yield name if is_asked_of_coco else f"{name} (LVIS)", *fault
    for name, (change, needs, *_) in BAD_FOR_A_CONFIG.items():
        content = good_content(folder)
        change(content)
        fault, *_ = expected_faults(name, faults_of(content, folder, needs=needs))
        yield f"{name} (config)", *fault
    (fault,) = find_faults(good_content(folder), str(folder / "gone"))
    yield "missing folder of pictures", *fault


def _result_rows() -> Iterator[tuple[str, ...]]:
    for name, (bad, *_) in BAD_RESULTS.items():
        (fault,) = faults_of_results(bad)
        yield name, *fault


def _unreadable_rows(folder: Path) -> Iterator[tuple[str, str]]:
    for name, text in UNREADABLE.items():
        path = folder / "annotations.json"
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
        try:
            read_annotation_file(str(path))
        except (FileNotFoundError, ValueError) as error:
            yield name, str(error)


def _table(headers: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    DOCUMENT.write_text(document())
