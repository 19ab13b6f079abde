"""Where figures come from: what somebody needs to repeat them."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

__all__ = ["commit", "provenance"]


def provenance(seeds: Sequence[int]) -> str:
    """A sentence of Markdown: this process's command, commit, machine and seeds."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"`{shlex.join([Path(sys.executable).name, *sys.argv])}`, commit {commit()}, "
        f"{platform.machine()} with {os.cpu_count()} cores, {device}, seeds "
        f"{', '.join(map(str, seeds))}."
    )


def commit() -> str:
    """lt_det's commit; "unknown" outside a checkout or without git."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()
