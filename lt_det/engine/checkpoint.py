"""Checkpoints: written whole or not at all, read without running what is in them."""

from __future__ import annotations

import itertools
import logging
import os
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.utils import comm

from lt_det.engine.safe_pickle import load_arrays
from lt_det.modeling.box_predictor import LTFastRCNNOutputLayers

__all__ = ["DamagedCheckpointError", "LTCheckpointer"]

logger = logging.getLogger(__name__)
ALLOW_UNSAFE = "LT_DET_ALLOW_UNSAFE_CHECKPOINTS"


class DamagedCheckpointError(ValueError):
    """A checkpoint file that cannot be read, as after a full disk."""


class LTCheckpointer(DetectionCheckpointer):
    """Detectron2's checkpointer, for trainings that get killed and files from anywhere.

    - A file appears under its name when it is complete.
    - A resume passes over a damaged or removed last checkpoint, and says so, to the one before.
    - A training that starts anew in the folder of another is never taken for that one.
    - Files are read as tensors and plain values only. A file that wants to run code is refused,
      unless the environment variable LT_DET_ALLOW_UNSAFE_CHECKPOINTS is 1.
    - A classifier of another width raises; fvcore would log "Skip loading" and leave it random.
    """

    # Set while a fresh classifier is wanted: CLASSIFIER.REINIT at the start of a training.
    allow_other_classifier = False
    # Name of the file that a resume went on from.
    resumed_from = ""

    def save(self, name: str, **kwargs: Any) -> None:
        """See fvcore's Checkpointer; ``last_checkpoint`` names a file that is complete."""
        if not self.save_dir or not self.save_to_disk:
            return
        data = {"model": self.model.state_dict()}
        data |= {key: obj.state_dict() for key, obj in self.checkpointables.items()}
        data |= kwargs
        path = Path(self.save_dir) / f"{name}.pth"
        self.logger.info("Saving checkpoint to %s", path)
        partial = path.with_suffix(".partial")
        torch.save(data, partial)
        partial.replace(path)
        self.tag_last_checkpoint(path.name)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Write the file ``last_checkpoint``."""
        tag = Path(self.save_dir) / "last_checkpoint"
        partial = tag.with_suffix(".partial")
        partial.write_text(last_filename_basename)
        partial.replace(tag)

    def resume_or_load(self, path: str, *, resume: bool = True) -> dict[str, Any]:
        """See fvcore's Checkpointer; a damaged last checkpoint gives way to the one before.

        Raises:
            DamagedCheckpointError: if no checkpoint can be read.
        """
        if not (resume and self.has_checkpoint()):
            return self.load(path, checkpointables=[])
        candidates = [*self._newest_first()]
        for candidate, before in itertools.zip_longest(candidates, candidates[1:]):
            try:
                self.resumed_from = Path(candidate).name
                return self._load_if_there(candidate)
            except DamagedCheckpointError as error:
                damaged = error
                # Detectron2 expects it so before a load, and resets it only after a good one.
                self._parsed_url_during_load = None
                if before:
                    logger.warning("%s Resuming from the one before, %s.", error, before)
        raise DamagedCheckpointError(
            f"{damaged} No checkpoint in {self.save_dir} can be read: remove the folder to start "
            "anew"
        ) from damaged

    def _load_if_there(self, path: str) -> dict[str, Any]:
        # The main process decides for all: other machines may not have the folder.
        if "://" not in path and not comm.all_gather(os.path.isfile(path))[0]:
            raise DamagedCheckpointError(f"{path} is not there, though last_checkpoint names it.")
        return self.load(path)

    def set_earlier_training_aside(self) -> None:
        """Make the checkpoints in the folder those of an earlier training, which no resume takes.

        Its files stay; ``last_checkpoint`` becomes ``last_checkpoint.previous``. To be called on
        all ranks.
        """
        if comm.is_main_process() and self.has_checkpoint():
            last = Path(self.save_dir) / "last_checkpoint"
            logger.warning(
                "OUTPUT_DIR %s holds checkpoints of an earlier training; it is not continued "
                "(--resume would continue it). Its last one, %s, is now named in %s",
                self.save_dir,
                last.read_text().strip(),
                last.replace(self._earlier_training).name,
            )
            # Its time tells files of the earlier training from those to come.
            self._earlier_training.touch()
        comm.synchronize()

    @property
    def _earlier_training(self) -> Path:
        return Path(self.save_dir) / "last_checkpoint.previous"

    def _newest_first(self) -> Iterator[str]:
        """The last checkpoint, then those of earlier iterations of the same training."""
        last = self.get_checkpoint_file()
        yield last
        earlier = self._earlier_training
        begin = earlier.stat().st_mtime_ns if earlier.is_file() else 0
        numbered = {}
        for path in Path(self.save_dir).glob("model_*.pth"):
            match = re.fullmatch(r"model_(\d+)", path.stem)
            if match and path.stat().st_mtime_ns >= begin:
                numbered[int(match[1])] = str(path)
        of_last = re.search(r"model_(\d+)\.pth$", last)
        for number, path in sorted(numbered.items(), reverse=True):
            if path != last and (of_last is None or number < int(of_last[1])):
                yield path

    def _load_file(self, filename: str) -> dict[str, Any]:
        if filename.endswith(".pkl") and os.environ.get(ALLOW_UNSAFE) != "1":
            # Detectron2's model zoo and Caffe2 models: arrays in a pickle. Reading them here is
            # what checks them; Detectron2 converts them.
            self._refuse_if_unsafe(filename, load_arrays)
        return super()._load_file(filename)

    def _torch_load(self, filename: str) -> dict[str, Any]:
        if os.environ.get(ALLOW_UNSAFE) == "1":
            return torch.load(filename, map_location="cpu", weights_only=False)
        return self._refuse_if_unsafe(
            filename, lambda name: torch.load(name, map_location="cpu", weights_only=True)
        )

    @staticmethod
    def _refuse_if_unsafe(filename: str, load) -> Any:
        try:
            return load(filename)
        except pickle.UnpicklingError as error:
            raise ValueError(
                f"{filename} holds more than tensors and plain values, and reading it could run "
                f"code of its author ({_first_line(error)}). If you trust it, set the "
                f"environment variable {ALLOW_UNSAFE}=1"
            ) from error
        except (RuntimeError, EOFError, OSError) as error:
            raise DamagedCheckpointError(
                f"{filename} is damaged ({_first_line(error)})."
            ) from error

    def _load_model(self, checkpoint):
        incompatible = super()._load_model(checkpoint)
        if self.allow_other_classifier:
            return incompatible
        for key, in_checkpoint, in_model in incompatible.incorrect_shapes:
            if self._is_of_classifier(key):
                raise ValueError(
                    f"The checkpoint's {key} has shape {in_checkpoint}, the model's {in_model}. "
                    "If the classifier is to start anew, set "
                    "MODEL.ROI_BOX_HEAD.CLASSIFIER.REINIT True (training only). If the number of "
                    "classes differs, check MODEL.ROI_HEADS.NUM_CLASSES. If the checkpoint is of "
                    "Detectron2's USE_SIGMOID_CE, set CLS_LOSS.<sigmoid loss>.BACKGROUND_COLUMN "
                    "True"
                )
        return incompatible

    def _is_of_classifier(self, key: str) -> bool:
        return any(
            f"{name}.cls_score." in f".{key}" or key.startswith(f"{name}.cls_score.")
            for name, module in self.model.named_modules()
            if isinstance(module, LTFastRCNNOutputLayers)
        )

    def _log_incompatible_keys(self, incompatible) -> None:
        """See fvcore's Checkpointer; a classifier that starts anew is expected, and one line."""
        if self.allow_other_classifier:
            anew = [key for key in self.model.state_dict() if self._is_of_classifier(key)]
            shapes = [found for found in incompatible.incorrect_shapes if found[0] in anew]
            if shapes:
                logger.info(
                    "The classifier starts anew (CLASSIFIER.REINIT), not from the checkpoint's: %s",
                    _shapes(shapes),
                )
            incompatible = type(incompatible)(
                missing_keys=[k for k in incompatible.missing_keys if k not in anew],
                unexpected_keys=incompatible.unexpected_keys,
                incorrect_shapes=[s for s in incompatible.incorrect_shapes if s not in shapes],
            )
        super()._log_incompatible_keys(incompatible)


def _shapes(keys_and_shapes) -> str:
    return ", ".join(f"{key} {there} -> {here}" for key, there, here in keys_and_shapes)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
