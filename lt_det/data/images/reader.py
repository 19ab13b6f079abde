"""Read many image files, each once, in worker processes."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence

from detectron2.utils.file_io import PathManager
from tqdm import tqdm

from lt_det.data.images.facts import ImageFacts, facts_of_bytes
from lt_det.data.images.facts_cache import FactsCache, state_of
from lt_det.data.images.worker_processes import map_in_workers, num_cores

__all__ = ["ImageReader"]

# Images after which the cache is written: an interrupted run continues there.
_SAVE_EVERY = 256


class ImageReader:
    """Decode images and remember what they hold, here and in the cache.

    Args:
        num_workers: processes; None is one a core.
    """

    def __init__(self, num_workers: int | None = None):
        self._num_workers = num_workers or num_cores()
        self._facts: dict[str, ImageFacts] = {}
        self._cache = FactsCache()

    def read(self, paths: Sequence[str]) -> list[ImageFacts]:
        """Decode images, with a progress bar on a terminal.

        Args:
            paths: files, or addresses that Detectron2's PathManager opens.

        Returns:
            Facts of each path, in order. An image that cannot be read has its ``error``.

        Raises:
            KeyboardInterrupt: soon after Ctrl-C; what was decoded stays in the cache.
            ValueError: if a worker process dies, naming the images.
        """
        unknown = [path for path in dict.fromkeys(paths) if path not in self._facts]
        states = {path: state_of(path) for path in unknown}
        for path in unknown:
            if facts := self._cache.by_path(path, states[path]):
                self._facts[path] = facts
        unknown = [path for path in unknown if path not in self._facts]
        if unknown:
            self._decode(unknown, states)
        return [self._facts[path] for path in paths]

    def _decode(self, paths: list[str], states: dict[str, str | None]) -> None:
        results = map_in_workers(_facts_of_file, paths, self._num_workers)
        rows = []
        progress = tqdm(results, "images", len(paths), unit="", leave=False, disable=None)
        try:
            for path, facts in zip(paths, progress, strict=True):
                self._facts[path] = facts
                rows.append((path, states[path], facts))
                if len(rows) >= _SAVE_EVERY:
                    self._cache.remember(rows)
                    rows = []
        finally:
            results.close()
            progress.close()
            self._cache.remember(rows)


@functools.cache
def _cache_of_worker() -> FactsCache:
    return FactsCache()


def _facts_of_file(path: str) -> ImageFacts:
    """The facts of a file, from the cache if it knows its content; run by a worker."""
    try:
        with PathManager.open(path, "rb") as file:
            content = file.read()
    except Exception as error:  # whatever the handler of an address raises
        return ImageFacts("", " ".join(str(error).split()) or type(error).__name__)
    digest = hashlib.sha256(content).hexdigest()
    return _cache_of_worker().by_digest(digest) or facts_of_bytes(content, digest)
