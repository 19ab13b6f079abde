"""lt_det: a Detectron2 extension for long-tailed instance segmentation.

Importing this package (or ``lt_det.losses``) imports neither Detectron2 nor torchvision.
"""

__version__ = "0.1.0"
