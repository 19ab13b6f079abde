"""A bank on disk: numbered shards of arrays, checksummed, and a manifest of what they depend on.

    bank/manifest.json              identity, number of shards
    bank/shard_00000/<column>.npy   arrays, read by memory mapping
    bank/shard_00000/checksums.json SHA-256 of each column, and of the manifest's identity

A shard appears whole or not at all, so writing goes on where it was stopped. Shards do not know of
each other: any process may write any of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lt_det.utils.atomic_file import atomic_text

__all__ = ["BankFolder", "StaleBankError"]

_MANIFEST, _CHECKSUMS = "manifest.json", "checksums.json"
# What a process leaves that was killed at the bank's first moment, see atomic_text.
_BEING_WRITTEN = f"{_MANIFEST}.partial"
# Differences that an error lists; a bank of another model differs in hundreds.
_NUM_LISTED = 5


class StaleBankError(ValueError):
    """A bank was made from something else than what is asked for."""


class BankFolder:
    """A bank's files.

    Args:
        path: folder; made when the bank is begun.
        identity: what the bank depends on, flat: name -> plain value.
        num_shards: how many there are to be.

    Raises:
        StaleBankError: if the folder holds a bank of another identity.
        ValueError: if it holds something else, or a manifest that cannot be read.
    """

    def __init__(self, path: str | Path, identity: Mapping, num_shards: int):
        self.path = Path(path)
        # As it is read back, to be comparable.
        self.identity = json.loads(json.dumps({**identity, "num_shards": num_shards}))
        self.num_shards = num_shards
        self._check_manifest()

    def begin(self) -> list[int]:
        """Write the manifest if there is none; returns the shards that are missing."""
        if not (self.path / _MANIFEST).is_file():
            self.path.mkdir(parents=True, exist_ok=True)
            with atomic_text(self.path / _MANIFEST) as file:
                json.dump(self.identity, file, indent=1)
        return self.missing()

    def missing(self) -> list[int]:
        """Numbers of the shards that are not there."""
        return [n for n in range(self.num_shards) if not self._shard(n).is_dir()]

    def write(self, number: int, columns: Mapping[str, np.ndarray]) -> None:
        """Write a shard, whole or not at all."""
        partial = self.path / f".partial_{number:05d}_{os.getpid()}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            for name, column in columns.items():
                np.save(partial / f"{name}.npy", column)
            checksums = {f"{name}.npy": _sha256(partial / f"{name}.npy") for name in columns}
            with open(partial / _CHECKSUMS, "w", encoding="utf-8") as file:
                json.dump({"identity": self._identity_digest(), **checksums}, file, indent=1)
            partial.rename(self._shard(number))
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def remove_leftovers(self) -> None:
        """Delete what killed writers left."""
        for partial in self.path.glob(".partial_*"):
            shutil.rmtree(partial, ignore_errors=True)

    def read(self, number: int) -> dict[str, np.ndarray]:
        """The columns of a shard, mapped into memory: only what is looked at is read."""
        paths = sorted(self._shard(number).glob("*.npy"))
        return {path.stem: np.load(path, mmap_mode="r") for path in paths}

    def verify(self) -> None:
        """Compare every file with its checksum.

        Raises:
            ValueError: naming a shard that is missing, damaged or another bank's.
        """
        size = self.num_bytes()
        with tqdm(
            total=size, desc=f"checking {self.path.name}", unit="B", unit_scale=True, leave=False
        ) as progress:
            for number in range(self.num_shards):
                self._verify(self._shard(number), progress)

    def num_bytes(self) -> int:
        """Size of all shards."""
        return sum(path.stat().st_size for path in self.path.glob("shard_*/*.npy"))

    def _verify(self, shard: Path, progress: tqdm) -> None:
        advice = f"remove {shard} and run again: this shard alone is made anew"
        try:
            checksums = json.loads((shard / _CHECKSUMS).read_text())
        except (OSError, ValueError) as error:
            raise ValueError(f"{shard} has no readable {_CHECKSUMS}: {advice}") from error
        if checksums.pop("identity", None) != self._identity_digest():
            raise ValueError(f"{shard} belongs to another bank: {advice}")
        for name, expected in checksums.items():
            path = shard / name
            if not path.is_file() or _sha256(path) != expected:
                raise ValueError(f"{path} is damaged or missing (its checksum differs): {advice}")
            progress.update(path.stat().st_size)

    def _check_manifest(self) -> None:
        manifest = self.path / _MANIFEST
        if not manifest.is_file():
            if self.path.exists() and {p.name for p in self.path.iterdir()} - {_BEING_WRITTEN}:
                raise ValueError(f"{self.path} is no feature bank and not empty: name another")
            return
        try:
            found = json.loads(manifest.read_text())
        except ValueError as error:
            raise ValueError(f"{manifest} cannot be read ({error}): remove {self.path}") from error
        different = [
            name
            for name in {**found, **self.identity}
            if found.get(name, _ABSENT) != self.identity.get(name, _ABSENT)
        ]
        if different:
            raise StaleBankError(
                f"The bank {self.path} was made from something else: "
                f"{_listed(different, found, self.identity)}. Remove it, with all that "
                "was made from it, or name another folder"
            )

    def _identity_digest(self) -> str:
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()

    def _shard(self, number: int) -> Path:
        return self.path / f"shard_{number:05d}"


_ABSENT = "(absent)"


def _listed(names: Iterable[str], found: Mapping, wanted: Mapping) -> str:
    names = list(names)
    parts = [
        f"{name} is {found.get(name, _ABSENT)!r} there and {wanted.get(name, _ABSENT)!r} here"
        for name in names[:_NUM_LISTED]
    ]
    more = len(names) - _NUM_LISTED
    return "; ".join(parts) + (f"; and {more} more" if more > 0 else "")


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
