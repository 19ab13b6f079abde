"""Hides what other libraries print every time and nobody here can do anything about.

Importing this module does it. Import it before Detectron2, which warns as it is imported.
"""

import logging
import warnings

__all__: list[str] = []

_WARNINGS = (
    "pkg_resources is deprecated",
    "`torch.jit.script` is deprecated",
    "torch.meshgrid: in an upcoming release",
    "The given NumPy array is not writable",
    "`broadcast_buffers` is deprecated",
)
# Logger -> how the one line starts that is hidden of it.
_LOG_LINES = {
    "torch.multiprocessing.spawn": "Terminating process",
    "torch.fx._symbolic_trace": "is_fx_tracing will return true",
    "torch.utils.cpp_extension": "No CUDA runtime is found",
    "lvis.results": "Assuming user provided the results in correct format",
}


def _hide(beginning: str):
    return lambda record: not str(record.msg).startswith(beginning)


for _message in _WARNINGS:
    warnings.filterwarnings("ignore", message=_message)
for _name, _beginning in _LOG_LINES.items():
    logging.getLogger(_name).addFilter(_hide(_beginning))
