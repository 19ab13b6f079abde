"""The document that lists what is said about bad annotation and results files.

python tests/helpers/bad_input.py    writes docs/bad-input.md
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from bad_files import (
    BAD,
    BAD_FOR_A_CONFIG,
    expected_faults,
    faults_of,
    good_content,
    set_first,
)
from bad_results import BAD_RESULTS, faults_of_results
from odd_files import ODD, notes_of
from paths import ROOT
from toy_coco import write_toy_coco

from lt_det.data.datasets.judged_file import read_annotation_file
from lt_det.data.inspection.file_faults import find_faults
from lt_det.data.inspection.requirements import Needs
from lt_det.data.judgement.judge import judge

DOCUMENT = ROOT / "docs" / "bad-input.md"
HEADER = """# Bad and odd input, and what is said about it

<!-- Written by `python tests/helpers/bad_input.py`; a test compares. -->

One judgement (`lt_det/data/judgement/`) says what a COCO- or LVIS-format file means, and every
tool takes it: `tools/inspect_dataset.py`, training, class statistics, both evaluators and
`tools/evaluate.py`.

- A **fault** has no safe reading. Every tool refuses the file with the same list, before any
  work.
- A **note** was read in the one safe way there is. Every tool reads it so and says it once.

An object *counts* if it is no crowd and not ignored, its box has an area inside the image, and
its mask, if it has one, is valid. Training, statistics and evaluation count the same objects:
what is left out is left out everywhere. So the numbers are those of the official API on the file
**as it is judged**, which `python tools/inspect_dataset.py NAME --write FILE` writes. On the file
as it is, the official API would count left-out objects as never found.

`python tools/inspect_dataset.py NAME --config-file CONFIG` searches a file to its end and lists
all faults at once, each with its number and up to three examples; without faults it lists the
notes. "LVIS" marks what is asked of LVIS-format files only, "config" what depends on the config.

`ignore`: in the LVIS format an ignored object is neither a miss nor a false positive, as in the
LVIS API, and is not trained on. pycocotools does not read `ignore`, so in the COCO format it is a
fault, unless `--ignore crowd` (in a config `DATASETS.IGNORE crowd`) says that such objects are
crowds.

Text files may be UTF-8 with or without a byte-order mark, UTF-16 or UTF-32 with one.

## Faults
"""
ODD_HEADER = """
## Notes

| input | note | such as |
| --- | --- | --- |
"""
RESULTS_HEADER = """
## Results files

`python tools/evaluate.py` searches a results file to its end before it evaluates; entry 0 is the
first.
"""

# Files that cannot be searched: text or bytes, or None for no file.
UNREADABLE = {
    "missing file": None,
    "empty file": "",
    "Latin-1 text": b'{"images": "\xe4"}',
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
        notes = "".join(f"| {' | '.join(row)} |\n" for row in _note_rows(folder))
        results = _table(("input", "fault", "such as"), _result_rows())
        text = (
            f"{HEADER}\n{faults}\nA file that cannot be searched:\n\n{unreadable}"
            f"{ODD_HEADER}{notes}{RESULTS_HEADER}\n{results}"
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


def _note_rows(folder: Path) -> Iterator[tuple[str, ...]]:
    for name, (change, kind, _) in ODD.items():
        content = good_content(folder)
        change(content)
        note = next(n for n in notes_of(content, is_lvis="LVIS" in name) if kind in n.kind)
        yield name, note.kind, note.examples[0]
    content = good_content(folder)
    set_first("ignore", 1)(content)
    for note in judge(content, "coco", ignore="crowd").notes:
        yield "ignore 1 with --ignore crowd", note.kind, note.examples[0]


def _result_rows() -> Iterator[tuple[str, ...]]:
    for name, (bad, *_) in BAD_RESULTS.items():
        (fault,) = faults_of_results(bad)
        yield name, *fault


def _unreadable_rows(folder: Path) -> Iterator[tuple[str, str]]:
    for name, text in UNREADABLE.items():
        path = folder / "annotations.json"
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        try:
            read_annotation_file(str(path))
        except (FileNotFoundError, ValueError) as error:
            yield name, str(error)


def _table(headers: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    DOCUMENT.write_text(document())
