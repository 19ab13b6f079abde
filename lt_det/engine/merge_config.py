"""Merging a config file and ``KEY VALUE`` options, with errors that say which key is meant."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterator, Sequence

from detectron2.config import CfgNode
from detectron2.utils.file_io import PathManager

__all__ = ["merge_config"]

# Below these are nodes of registered classes.
_OF_METHODS = ("MODEL.ROI_BOX_HEAD.", "DATALOADER.", "TEST.CALIBRATION.")
_UNKNOWN_KEY = re.compile(r"Non-existent (?:config )?key: ([\w.-]+)")


def merge_config(cfg: CfgNode, config_file: str | None, opts: Sequence[str]) -> None:
    """Merge a file, if any, then options.

    Args:
        cfg: the config, which is changed.
        config_file: YAML file.
        opts: key, value, key, value ...

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a key does not exist, naming near ones, or the last option has no value.
    """
    if len(opts) % 2:
        raise ValueError(
            f"Expected KEY VALUE pairs at the end of the command, but {opts[-1]!r} is the last of "
            f"{len(opts)}: all options that start with -- come before them"
        )
    if config_file and not PathManager.isfile(config_file):
        raise FileNotFoundError(f"Config file not found: {config_file}. configs/ has lt_det's.")
    with _naming_the_key(cfg, config_file):
        if config_file:
            cfg.merge_from_file(config_file)
    with _naming_the_key(cfg, "the command line"):
        cfg.merge_from_list(list(opts))


@contextlib.contextmanager
def _naming_the_key(cfg: CfgNode, source: str | None) -> Iterator[None]:
    try:
        yield
    except (AssertionError, KeyError) as error:
        # yacs raises the one for options, the other for files.
        found = _UNKNOWN_KEY.search(str(error))
        if found is None:
            raise
        key = found[1]
        hint = ""
        if key.startswith(_OF_METHODS):
            hint = (
                ". Keys of a class of your own are there if it is imported before "
                "add_lt_det_config(cfg): docs/add-a-method.md"
            )
        raise ValueError(f"Unknown config key {key} ({source}). {_near(key, cfg)}{hint}") from None


def _near(key: str, cfg: CfgNode) -> str:
    known = list(_keys(cfg))
    last = key.rsplit(".", 1)[-1]
    close = difflib.get_close_matches(key, known, n=3, cutoff=0.7)
    close += [k for k in known if k.rsplit(".", 1)[-1] == last and k not in close][:3]
    if close:
        return f"Near matches: {', '.join(close)}"
    return "`python -m lt_det.config` prints lt_det's keys, Detectron2's are in its documentation"


def _keys(node: CfgNode, prefix: str = "") -> Iterator[str]:
    for name, value in node.items():
        yield prefix + name
        if isinstance(value, CfgNode):
            yield from _keys(value, f"{prefix}{name}.")
