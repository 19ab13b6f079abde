"""Merging a config file and ``KEY VALUE`` options, with errors that say which key is meant."""

from __future__ import annotations

import contextlib
import difflib
import re
import shlex
from collections.abc import Iterator, Sequence

import yaml
from detectron2.config import CfgNode
from detectron2.utils.file_io import PathManager

__all__ = ["merge_config"]

# Below these are nodes of registered classes.
_OF_METHODS = ("MODEL.ROI_BOX_HEAD.", "DATALOADER.", "TEST.CALIBRATION.")
_OTHER_TYPE = re.compile(r"with values \(.* vs\. (.*)\) for config key: ([\w.-]+)", re.DOTALL)
_UNKNOWN_KEY = re.compile(r"Non-existent (?:config )?key: ([\w.-]+)")


def merge_config(cfg: CfgNode, config_file: str | None, opts: Sequence[str]) -> None:
    """Merge a file, if any, then options.

    Args:
        cfg: the config, which is changed.
        config_file: YAML file.
        opts: key, value, key, value ...

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a key does not exist, naming near ones, or has a value of another type; if
            the last option has no value; if the file is no YAML file of keys.
    """
    if config_file and config_file.endswith(".py"):
        raise ValueError(
            f"--config-file {config_file} is a Python LazyConfig, and lt_det's tools take YAML "
            "configs. How lt_det goes into a LazyConfig is in docs/plug-in.md (Without yacs)"
        )
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
    with _naming_the_key(cfg, None):
        cfg.merge_from_list(list(opts))


@contextlib.contextmanager
def _naming_the_key(cfg: CfgNode, config_file: str | None) -> Iterator[None]:
    source = config_file or "the command line"
    try:
        yield
    except yaml.YAMLError as error:
        raise ValueError(f"{source} is not valid YAML: {' '.join(str(error).split())}") from error
    except (AttributeError, TypeError) as error:
        if config_file is None:
            raise
        # Raised by yacs for a file that holds a list, a text or nothing.
        message = f"{source} is no config: expected KEY: VALUE lines, in YAML ({error})"
        raise ValueError(message) from error
    except (AssertionError, KeyError, ValueError) as error:
        # yacs raises the first for options, the second for files.
        if (found := _OTHER_TYPE.search(str(error))) is not None:
            raise ValueError(_of_other_type(cfg, found[2], found[1], source)) from None
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


def _of_other_type(cfg: CfgNode, key: str, given: str, source: str) -> str:
    """Say what a key takes, and what was probably meant where it takes several values."""
    default = cfg
    for name in key.split("."):
        default = default[name]
    kind = type(default).__name__
    article = "an" if kind == "int" else "a"
    text = f"{key} takes {article} {kind}, such as {default!r}, but got {given}"
    if isinstance(default, tuple | list):
        value = repr(_as_tuple(given)).replace("'", '"')
        text += f". A single value needs parentheses and a comma: {key} {shlex.quote(value)}"
    return f"{text} ({source})"


def _as_tuple(text: str) -> tuple:
    """Values of a text such as ``name``, ``(name)`` or ``a,b``; whole numbers as such."""
    parts = [part.strip(" '\"") for part in text.strip("()[] ").split(",")]
    return tuple(int(part) if part.isdecimal() else part for part in parts if part)


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
