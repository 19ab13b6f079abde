"""Classification losses of the box head, one paper a file.

Importing this package registers every loss. It needs torch and fvcore only.
"""

import importlib
import pkgutil

from lt_det.losses.base import BOX_CLS_LOSS_REGISTRY, BoxClsLoss

__all__ = ["BOX_CLS_LOSS_REGISTRY", "BoxClsLoss"]

# A new loss is one file: importing it registers its class, and its name is exported here.
for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

for _name, _cls in BOX_CLS_LOSS_REGISTRY:
    globals()[_name] = _cls
    __all__.append(_name)
