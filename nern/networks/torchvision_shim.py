"""The one place that lets torchvision be imported.

A torchvision whose compiled operators do not fit the installed torch (a CUDA build beside a CPU build) fails at import,
because it registers fake versions of operators that are not there. No network here uses them: they are declared first.
"""

import contextlib
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import TypeVar

import torch

_OPERATORS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_library: torch.library.Library | None = None
Made = TypeVar("Made")


def with_torchvision(make: Callable[[], Made]) -> Made:
    """What `make` makes; if it stumbles over operators that torchvision lacks, they are declared and it runs again."""
    global _library
    try:
        return make()
    except RuntimeError as error:
        if _library is not None or "torchvision::" not in str(error):
            raise
    _library = torch.library.Library("torchvision", "FRAGMENT")
    for name, signature in _OPERATORS.items():
        with contextlib.suppress(RuntimeError):  # already there
            _library.define(name + signature)
    return make()


def import_torchvision(module: str = "torchvision") -> ModuleType:
    """Torchvision, or one of its modules."""
    return with_torchvision(lambda: importlib.import_module(module))
