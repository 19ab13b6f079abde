"""Checkpoint loading that does not pass over a classifier of another width in silence."""

from __future__ import annotations

from detectron2.checkpoint import DetectionCheckpointer

from lt_det.modeling.box_predictor import LTFastRCNNOutputLayers

__all__ = ["LTCheckpointer"]


class LTCheckpointer(DetectionCheckpointer):
    """Detectron2's checkpointer, with an error where the classifier does not fit.

    fvcore logs "Skip loading" for a parameter of another shape and leaves it random; a detector
    with a random classifier evaluates to zero AP without another word.
    """

    # Set while a fresh classifier is wanted: CLASSIFIER.REINIT at the start of a training.
    allow_other_classifier = False

    def _load_model(self, checkpoint):
        incompatible = super()._load_model(checkpoint)
        if self.allow_other_classifier:
            return incompatible
        classifiers = {
            f"{name}.cls_score."
            for name, module in self.model.named_modules()
            if isinstance(module, LTFastRCNNOutputLayers)
        }
        for key, in_checkpoint, in_model in incompatible.incorrect_shapes:
            if any(prefix in f".{key}" or key.startswith(prefix) for prefix in classifiers):
                raise ValueError(
                    f"The checkpoint's {key} has shape {in_checkpoint}, the model's {in_model}. "
                    "If the classifier is to start anew, set "
                    "MODEL.ROI_BOX_HEAD.CLASSIFIER.REINIT True (training only). If the number of "
                    "classes differs, check MODEL.ROI_HEADS.NUM_CLASSES. If the checkpoint is of "
                    "Detectron2's USE_SIGMOID_CE, set CLS_LOSS.<sigmoid loss>.BACKGROUND_COLUMN "
                    "True"
                )
        return incompatible
