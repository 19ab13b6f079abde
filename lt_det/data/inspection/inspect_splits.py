"""Inspect a data set together with the splits that belong to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.file_io import PathManager

from lt_det.data.datasets.known_names import near_matches
from lt_det.data.images.reader import ImageReader
from lt_det.data.inspection.image_checks import paths_of_images
from lt_det.data.inspection.inspection import check_dataset, describe_dataset
from lt_det.data.inspection.requirements import Needs
from lt_det.data.judgement.judge import Judgement
from lt_det.data.judgement.read import read_content
from lt_det.data.splits.duplicates import describe_duplicates, find_duplicates
from lt_det.data.splits.evaluation_groups import groups_of_evaluation
from lt_det.data.splits.split_comparison import compare_splits
from lt_det.data.splits.splits import Split, join_splits, load_split, split_of_test_set

__all__ = ["JudgedFile", "Outcome", "SplitNames", "SplitsInspection"]


class Outcome(NamedTuple):
    """What one part of an inspection found.

    Args:
        text: what is to be printed.
        is_error: whether it is a list of faults or another error.
    """

    text: str
    is_error: bool = False


class JudgedFile(NamedTuple):
    """How the files are judged, and where the data set's is written.

    Args:
        ignore: see :func:`lt_det.data.inspection.inspection.check_dataset`.
        path: where the judged file of the data set is written; None writes none.
    """

    ignore: str | None = None
    path: str | None = None


class SplitNames(NamedTuple):
    """A data set and the splits it is compared with, by registered names.

    Args:
        subject: the data set.
        training: the training sets, which are used as one; () if they are unknown.
        validation: the sets to compare with them.
    """

    subject: str
    training: tuple[str, ...]
    validation: tuple[str, ...]

    @classmethod
    def of(cls, subject: str, cfg: CfgNode, validation: Sequence[str] = ()) -> SplitNames:
        """Take the splits of a config, unless validation sets are given.

        A set of ``DATASETS.TRAIN`` is compared with those of ``DATASETS.TEST``, and the other way
        round.
        """
        if validation:
            return cls(subject, (subject,), tuple(dict.fromkeys(validation)))
        training, tests = tuple(cfg.DATASETS.TRAIN), tuple(dict.fromkeys(cfg.DATASETS.TEST))
        if subject in training:
            return cls(subject, training, tests)
        return cls(subject, training, (subject,)) if subject in tests else cls(subject, (), ())

    @property
    def all(self) -> tuple[str, ...]:
        """Every name once, the training sets first."""
        return tuple(dict.fromkeys((*self.training, *self.validation, self.subject)))


class SplitsInspection:
    """One inspection of a data set and its splits.

    Args:
        names: which data sets.
        thresholds: name -> image counts that end the rare and the common group, or None; see
            :func:`lt_det.data.inspection.inspection.inspect_dataset`.
        needs: name -> what the set is for, or None.
        images: decodes every image of all splits; None decodes none.
        judged: how the files are judged; None is as they are registered.
    """

    def __init__(
        self,
        names: SplitNames,
        thresholds: Callable[[str], tuple[int, int] | None],
        needs: Callable[[str], Needs | None],
        images: ImageReader | None = None,
        judged: JudgedFile | None = None,
    ):
        self._names = names
        self._thresholds = thresholds
        self._needs = needs
        self._images = images
        self._judged = judged or JudgedFile()
        # Of the sets that were checked and have no fault.
        self._judgements: dict[str, Judgement | None] = {}
        self._training: Split | None = None

    def run(self, output_dir: str | Path | None) -> Iterator[Outcome]:
        """Check all splits, summarise the data set, compare the splits and their images.

        Args:
            output_dir: folder for the plot of the data set; None draws none.

        Yields:
            Each part when it is done. An error of one split leaves the others to be inspected.
        """
        subject, training, validation = self._names
        for name in self._names.all:
            yield from _outcome(lambda name=name: self._check(name))
        if training and self._are_good(training):
            yield from _outcome(self._load_training)
        if subject in self._judgements:
            yield from _outcome(lambda: self._describe(output_dir))
        for name in validation:
            if self._training is not None and name in self._judgements:
                yield from _outcome(lambda name=name: self._compare(name))
        if self._images is not None:
            yield from _outcome(self._find_duplicates)

    def _are_good(self, names: Sequence[str]) -> bool:
        return all(name in self._judgements for name in names)

    def _check(self, name: str) -> None:
        if name not in DatasetCatalog.list():
            raise ValueError(
                f"Data set {name!r} of the config's DATASETS.TRAIN or TEST is not registered: name "
                f"it in DATASETS.REGISTER. {near_matches(name)}"
            )
        self._judgements[name] = check_dataset(
            name, self._needs(name), self._images, self._judged.ignore
        )

    def _load_training(self) -> None:
        self._training = join_splits([self._split(name) for name in self._names.training])

    def _split(self, name: str) -> Split:
        content = self._content(name)
        is_test_set = content is not None and not content["annotations"]
        if is_test_set:
            return split_of_test_set(name, content, _image_files(name))
        return load_split(name)

    def _describe(self, output_dir: str | Path | None) -> str:
        name = self._names.subject
        training = None if name in self._names.training else self._training
        return describe_dataset(
            name,
            self._judgements[name],
            output_dir,
            self._thresholds(name),
            training,
            *self._judged,
        )

    def _compare(self, name: str) -> str:
        content = self._content(name)
        groups = groups_of_evaluation(name, content, self._thresholds(name), self._training)
        return compare_splits(self._training, self._split(name), groups)

    def _content(self, name: str) -> Mapping | None:
        judgement = self._judgements[name]
        return None if judgement is None else judgement.content

    def _find_duplicates(self) -> str | None:
        files = {name: _image_files(name) for name in self._names.all}
        if not any(files.values()):
            return None
        found = find_duplicates(files, self._images)
        return describe_duplicates(found, list(files))


def _outcome(part: Callable[[], str | None]) -> Iterator[Outcome]:
    """What a part returns, if it is text, or raises."""
    try:
        text = part()
    except (FileNotFoundError, ValueError) as error:
        yield Outcome(str(error), is_error=True)
    else:
        if text is not None:
            yield Outcome(text)


def _image_files(name: str) -> list[str]:
    """Paths of the images of a file that may have faults."""
    metadata = MetadataCatalog.get(name)
    if metadata.get("evaluator_type") not in ("coco", "lvis"):
        return []
    content, _ = read_content(PathManager.get_local_path(metadata.json_file))
    images = content["images"]
    images = images if isinstance(images, list) else []
    return [path for path, _ in paths_of_images(images, metadata.image_root)]
