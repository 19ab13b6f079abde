"""Says what is wrong when Detectron2, torch or torchvision are missing or do not fit.

``python -m lt_det.utils.compat`` prints the problem and exits with 1, or prints nothing.
"""

import importlib
import inspect
import sys
from collections.abc import Callable
from importlib import metadata
from types import ModuleType
from typing import Any

__all__ = ["check_detectron2", "check_torchvision", "missing_features"]

Importer = Callable[[str], ModuleType]

_INSTALL_ADVICE = (
    "Install Detectron2's main of 2024 or later "
    "(`pip install --no-build-isolation git+https://github.com/facebookresearch/detectron2.git`), "
    "or its PyPI build, sal-detectron2 0.7.2, as tools/setup_env.sh does; "
    "in a checkout of lt_det `make setup` does it all."
)

# What lt_det builds on and the 2021 tag v0.6 lacks. `__version__` cannot tell: both say "0.6".
_CONFIG_KEYS = (
    "DATALOADER.REPEAT_SQRT",
    "MODEL.ROI_BOX_HEAD.USE_FED_LOSS",
    "MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE",
)
_PREDICTOR_PARAMETERS = ("use_fed_loss", "use_sigmoid_ce")


def missing_features(cfg: Any, box_predictor: Callable[..., Any]) -> list[str]:
    """Lists what a Detectron2 lacks of the features that lt_det needs.

    Args:
        cfg: Detectron2's default config, or any tree of attributes.
        box_predictor: its ``FastRCNNOutputLayers``.

    Returns:
        Names of absent config keys and constructor parameters; empty for a supported Detectron2.
    """
    missing = [f"config key {key}" for key in _CONFIG_KEYS if not _has_key(cfg, key)]
    accepted = inspect.signature(box_predictor).parameters
    missing += [
        f"FastRCNNOutputLayers({name}=)" for name in _PREDICTOR_PARAMETERS if name not in accepted
    ]
    return missing


def check_torchvision(import_module: Importer = importlib.import_module) -> None:
    """Checks that torch and torchvision are there and belong together.

    Args:
        import_module: the import function; tests pass their own.

    Raises:
        ImportError: if one is missing, or if torchvision's operators do not load into this torch.
    """
    for name in ("torch", "torchvision"):
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            raise ImportError(
                f"lt_det needs torch and torchvision, but there is no module {error.name!r}. "
                "Install a matching pair from one place: `pip install torch torchvision`."
            ) from error
        except (ImportError, OSError, RuntimeError) as error:
            # A torchvision built for another torch: "operator torchvision::nms does not exist".
            raise ImportError(
                f"{name} fails at import: {error}. Usually torch {_version('torch')} and "
                f"torchvision {_version('torchvision')} do not belong together: reinstall both "
                "from one place, `pip install --force-reinstall torch torchvision`."
            ) from error


def check_detectron2(import_module: Importer = importlib.import_module) -> None:
    """Checks that the installed Detectron2 is one that lt_det works with.

    Args:
        import_module: the import function; tests pass their own.

    Raises:
        ImportError: if Detectron2, torch or torchvision are missing or do not import, or if
            Detectron2 is too old; the message says what to do.
    """
    check_torchvision(import_module)
    try:
        get_cfg = import_module("detectron2.config").get_cfg
        fast_rcnn = import_module("detectron2.modeling.roi_heads.fast_rcnn")
    except ModuleNotFoundError as error:
        raise ImportError(_describe_missing_module(error.name or str(error))) from error
    except (ImportError, AttributeError, OSError, RuntimeError) as error:
        # The 2021 tag on today's Pillow or NumPy ends here: PIL.Image.LINEAR, np.bool are gone.
        raise ImportError(
            f"the installed Detectron2 does not import: {type(error).__name__}: {error}. It is too "
            f"old for today's NumPy and Pillow, or was built for another torch. {_INSTALL_ADVICE}"
        ) from error
    missing = missing_features(get_cfg(), fast_rcnn.FastRCNNOutputLayers)
    if missing:
        raise ImportError(
            f"the installed Detectron2 is too old, it lacks: {', '.join(missing)}. (Its version "
            f"number is no help: the 2021 tag and main both say 0.6.) {_INSTALL_ADVICE}"
        )


def _describe_missing_module(name: str) -> str:
    """Tells a missing Detectron2 from one whose own dependency is missing."""
    if name.split(".")[0] == "detectron2":
        return f"lt_det needs Detectron2, but there is no module {name!r}. {_INSTALL_ADVICE}"
    return (
        f"Detectron2 is installed, but the module {name!r} that it needs is not: install that "
        "package (`make setup` in a checkout of lt_det installs all of them)."
    )


def _has_key(cfg: Any, key: str) -> bool:
    """Whether ``cfg`` has the dotted ``key``."""
    node = cfg
    for name in key.split("."):
        if not hasattr(node, name):
            return False
        node = getattr(node, name)
    return True


def _version(package: str) -> str:
    """Returns the installed version without importing the (possibly broken) package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(unknown version)"


def _main() -> int:
    """Prints the problem, if there is one, and returns the exit status."""
    try:
        check_detectron2()
    except ImportError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
