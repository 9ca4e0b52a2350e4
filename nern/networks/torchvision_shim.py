"""The one place that imports torchvision.

A torchvision whose compiled operators do not fit the installed torch (a CUDA build beside a CPU build) fails at import,
because it registers fake versions of operators that are not there. No network here uses them: they are declared first.
"""

import contextlib
import importlib
from types import ModuleType

import torch

_OPERATORS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_library: torch.library.Library | None = None


def import_torchvision(module: str = "torchvision") -> ModuleType:
    """Torchvision, or one of its modules; its missing operators are declared only if a plain import fails."""
    global _library
    with contextlib.suppress(RuntimeError):
        return importlib.import_module(module)
    if _library is None:
        _library = torch.library.Library("torchvision", "FRAGMENT")
        for name, signature in _OPERATORS.items():
            with contextlib.suppress(RuntimeError):  # already there
                _library.define(name + signature)
    return importlib.import_module(module)
