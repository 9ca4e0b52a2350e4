"""Floating-point precision of a network's passes: its convolutions and products, forward and backward.

What is summed, compared or updated stays in 32 bits: losses, weights and their gradients, statistics, the predictor.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from nern.settings import Precision, PredictorPrecision


@contextlib.contextmanager
def passes_in(precision: Precision, device: torch.device) -> Iterator[None]:
    """Run the passes of a network in a precision; TF32 is a GPU's, elsewhere it is float32."""
    if precision == "bfloat16":
        # of each thread; a weight enters one convolution, so there is nothing to remember
        with torch.autocast(device.type, torch.bfloat16, cache_enabled=False):
            yield
    elif precision == "tf32" and device.type == "cuda":
        # of the process, whose one thread this is on a GPU
        before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
        try:
            yield
        finally:
            torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
    else:
        yield


def predictor_dtype(precision: PredictorPrecision, weight: Tensor) -> torch.dtype:
    """Of a predictor's passes and of Muon's products, for a weight of it: float32 stands for the weight's own."""
    return torch.bfloat16 if precision == "bfloat16" else weight.dtype


def widened(values: Tensor) -> Tensor:
    """The values in 32 bits, or in as many as they have if that is more."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
