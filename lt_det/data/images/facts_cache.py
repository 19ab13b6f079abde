"""What image files hold, remembered in one database of ``$LT_DET_CACHE``.

Facts are kept by the digest of a file's bytes, so that a copy or a moved file is not decoded again.
The digest is kept by the file's path and state (:mod:`lt_det.utils.file_digest`), so that a file
that was left alone is not even read. Other code or another Pillow has a database of its own.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sqlite3
from collections.abc import Iterable

import msgspec
import PIL

from lt_det.data.images.facts import ImageFacts
from lt_det.utils.cache_folder import cache_folder
from lt_det.utils.code_digest import code_digest
from lt_det.utils.file_digest import file_state, is_settled

__all__ = ["FactsCache", "state_of"]

_TABLES = """
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, state TEXT, digest TEXT);
CREATE TABLE IF NOT EXISTS facts (digest TEXT PRIMARY KEY, facts BLOB);
"""
_BUSY_S = 10.0


def state_of(path: str) -> str | None:
    """Describe a file of this machine by its path, size, inode and times; None for others."""
    try:
        state = file_state(os.path.abspath(path))
    except OSError:
        return None
    return json.dumps(state) if is_settled(state) else None


class FactsCache:
    """A database of facts. Whoever cannot read or write it decodes the images again."""

    def by_path(self, path: str, state: str | None) -> ImageFacts | None:
        """Find the facts of a file that has not changed."""
        if state is None:
            return None
        query = "SELECT facts FROM files JOIN facts USING (digest) WHERE path = ? AND state = ?"
        return self._find(query, (os.path.abspath(path), state))

    def by_digest(self, digest: str) -> ImageFacts | None:
        """Find the facts of a file's content."""
        return self._find("SELECT facts FROM facts WHERE digest = ?", (digest,))

    def remember(self, rows: Iterable[tuple[str, str | None, ImageFacts]]) -> None:
        """Keep path, state (None: the file may change unseen) and facts of files."""
        if self._database is None:
            return
        known = [(path, state, facts) for path, state, facts in rows if facts.digest]
        with contextlib.suppress(sqlite3.Error), self._database as database:
            database.executemany(
                "INSERT OR REPLACE INTO facts VALUES (?, ?)",
                [(facts.digest, msgspec.msgpack.encode(facts)) for _, _, facts in known],
            )
            database.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?)",
                [(os.path.abspath(p), state, f.digest) for p, state, f in known if state],
            )

    def _find(self, query: str, values: tuple) -> ImageFacts | None:
        if self._database is None:
            return None
        try:
            row = self._database.execute(query, values).fetchone()
            return row and msgspec.msgpack.decode(row[0], type=ImageFacts)
        except (sqlite3.Error, msgspec.DecodeError):  # a damaged one is as good as none
            return None

    @functools.cached_property
    def _database(self) -> sqlite3.Connection | None:
        folder = cache_folder("images")
        if folder is None:
            return None
        version = f"{code_digest('lt_det.data.images.facts')}-pillow-{PIL.__version__}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(folder / f"facts-{version}.sqlite", timeout=_BUSY_S)
            database.executescript(_TABLES)
        except (OSError, sqlite3.Error):
            return None
        return database
