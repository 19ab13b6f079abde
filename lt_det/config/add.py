"""``add_lt_det_config(cfg)``: registers everything and adds every key."""

from __future__ import annotations

from typing import Any

from detectron2.config import CfgNode
from fvcore.common.registry import Registry

from lt_det.config.keys import KEYS
from lt_det.config.method_nodes import METHOD_NODES
from lt_det.data.datasets.lvis_builtin import extend_lvis_metadata
from lt_det.registry import hyper_parameters, node_name
from lt_det.utils.compat import check_detectron2

__all__ = ["add_lt_det_config"]

# Parameters of registered classes that had another name in an earlier version.
RENAMED = {
    "VERIFIED_ONLY": "ONLY_KNOWN_NEGATIVES",
    "KEEP_VERIFIED": "KEEP_KNOWN_NEGATIVES",
}


def add_lt_det_config(cfg: CfgNode) -> None:
    """Add lt_det's keys to a config from ``detectron2.config.get_cfg()``.

    Their defaults leave Detectron2 as it is. Classes registered outside lt_det before this call
    get their keys too.

    Raises:
        ImportError: if the installed Detectron2 is too old.
        ValueError: if a registered class would take the place of another one's keys.
    """
    check_detectron2()
    extend_lvis_metadata()
    for key in KEYS:
        _add(cfg, key.name, key.default)
    for methods in METHOD_NODES:
        _add_nodes(_node(cfg, methods.parent), methods.registry, methods.suffix)
        _refuse_old_names(cfg, methods.parent)


def _add(cfg: CfgNode, name: str, default: Any) -> None:
    *parents, last = name.split(".")
    _node(cfg, ".".join(parents))[last] = default


def _node(cfg: CfgNode, name: str) -> CfgNode:
    """The node of a name, made where it is not there."""
    for part in name.split("."):
        if part not in cfg:
            cfg[part] = CfgNode()
        cfg = cfg[part]
    return cfg


def _add_nodes(parent: CfgNode, registry: Registry, suffix: str) -> None:
    owners = {key: "a key" for key, value in parent.items() if not isinstance(value, CfgNode)}
    for _, cls in registry:
        node = node_name(cls, suffix)
        if node in owners:
            raise ValueError(
                f"{cls.__name__} would have its parameters below {node}, where {owners[node]} is "
                "already: rename the class"
            )
        owners[node] = cls.__name__
        keys = {name.upper(): default for name, default in hyper_parameters(cls).items()}
        parent[node] = CfgNode(keys)


def _refuse_old_names(cfg: CfgNode, methods: str) -> None:
    """Let yacs name the new key where a config of an earlier version has an old one."""
    for node, keys in _node(cfg, methods).items():
        for old, new in RENAMED.items():
            if isinstance(keys, CfgNode) and new in keys:
                cfg.register_renamed_key(f"{methods}.{node}.{old}", f"{methods}.{node}.{new}")
