"""What can be compressed: the learnable weights of an original, or the predictor of a cell; and the way back."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nern.addresses import Cell, OriginalCell
from nern.codecs.permutation import encode_in_filter_orders, encode_orders
from nern.config import Config
from nern.method.kernels import KernelLayout
from nern.method.workers import Workers
from nern.resolved import original_of
from nern.stages.artifacts import TrainedOriginal, load_original, network_file
from nern.stages.reconstruct import FittedCell, load_fitted


@dataclass(frozen=True)
class Subject:
    """Named tensors, the network whose learnable weights they stand for, and what else these weights need."""

    path: str
    original_cell: OriginalCell
    original: TrainedOriginal
    inputs: dict[str, str]
    """SHA-256 of the files that it was loaded from."""
    arrays: dict[str, NDArray[np.float32]]
    """What is coded."""
    permutation: bytes
    """The coded order of the kernels; empty where there is none to store."""
    fitted: FittedCell | None
    """The cell; None for an original."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the arrays."""
        return {name: array.shape for name, array in self.arrays.items()}

    def weights(self, arrays: dict[str, NDArray[np.float32]], device: torch.device, workers: Workers) -> list[Tensor]:
        """The weights of each learnable layer, on the CPU, that decoded arrays stand for."""
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        if self.fitted is None:
            return [tensors[name] for name in self.original.layers]
        self.fitted.predictor.load_state_dict(tensors)
        return self.fitted.weights(device, workers)


def subject_of(config: Config, target: Cell | OriginalCell) -> Subject:
    """Load what is to be compressed; NernError if a file is missing, damaged, or of other settings."""
    if isinstance(target, Cell):
        return predictor_of_cell(load_fitted(config, target), target, original_of(config, target))
    original = load_original(config, target)
    weights = dict(zip(original.layers, original.weights, strict=True))
    inputs = {str(network_file(target)): original.sha256}
    return Subject(target.path, target, original, inputs, _arrays(weights), b"", None)


def predictor_of_cell(fitted: FittedCell, cell: Cell, original: OriginalCell) -> Subject:
    """The predictor of a cell that is loaded already."""
    inputs = fitted.digest | {
        str(network_file(original)): fitted.original.sha256,
        original.permutation(cell.smoothing): fitted.permutation.sha256,
    }
    arrays, permutation = _arrays(fitted.predictor.state_dict()), coded_permutation(cell.smoothing, fitted.layout)
    return Subject(cell.path, original, fitted.original, inputs, arrays, permutation, fitted)


def _arrays(tensors: dict[str, Tensor]) -> dict[str, NDArray[np.float32]]:
    # copies: the network's own weights are written over whenever a point is measured
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()}


def coded_permutation(mode: str, layout: KernelLayout) -> bytes:
    """The orders of all layers; nothing where kernels stand where they stood."""
    orders = [order.cpu().numpy() for order in layout.orders]
    if mode == "in-filter":
        return encode_in_filter_orders(orders, [shape[:2] for shape in layout.shapes])
    return encode_orders(orders) if mode == "cross-filter" else b""
