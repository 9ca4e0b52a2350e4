"""Stage `importance`: do filters that matter less get a larger error? (paper, figure 5b).

For one layer: the relative error of each filter, ‖W − Ŵ‖₂ / ‖W‖₂, and its mean absolute activation in the original on
real test images. The activation is the convolution's own output, before batch normalization.
"""

import logging
from pathlib import Path

import torch
from torch import Tensor, nn

from nern import files
from nern.addresses import Cell
from nern.config import Config, fingerprint
from nern.data.batches import TestBatches
from nern.errors import NernError
from nern.networks.learnable import weight_of
from nern.stages.accuracy import TEST_BATCH
from nern.stages.reconstruct import load_fitted
from nern.stages.runtime import provenance, start_in_pieces

log = logging.getLogger(__name__)


def run(config: Config, cell: Cell, layer: str, images: int) -> None:
    """Write the cell's `importance.json`: error and activation of each filter of `layer`, over the first `images`.

    Raises:
        NernError: the layer is not learned, or a file is missing, damaged or another than the fit's.
    """
    device, workers = start_in_pieces(config.execution, config.execution.threads.evaluate)
    fitted = load_fitted(config, cell)
    original = fitted.original
    if layer not in original.layers:
        known = ", ".join(original.layers[:4])
        raise NernError(f"{layer!r} is no learnable layer of {cell.network}: it has {known}, …; change `layer`")
    ours = fitted.weights(device, workers)[original.layers.index(layer)]
    theirs = weight_of(original.module, layer).detach()
    errors, norms = (weight.flatten(1).norm(dim=1).tolist() for weight in (ours - theirs, theirs))
    # a filter of zeros has none
    relative = [error / norm if norm else None for error, norm in zip(errors, norms, strict=True)]
    tests = TestBatches(config, cell.task, batch=TEST_BATCH, device=device, channels_last=True)
    activations, count = mean_activations(original.module.to(device), layer, tests, images)
    record = {
        "cell": cell.path,
        "fingerprint": fingerprint(fitted.settings),
        "layer": layer,
        "images": count,
        "relative_error": relative,
        "activation": activations.tolist(),
    }
    files.write_json(
        Path(cell.path) / "importance.json", record | provenance("importance", fitted.record["inputs"] | fitted.digest)
    )
    log.info("%s: %d filters of %s, %d images", cell.path, len(errors), layer, count)


@torch.no_grad()
def mean_activations(module: nn.Module, layer: str, tests: TestBatches, images: int) -> tuple[Tensor, int]:
    """Mean absolute output of each filter [F] of a convolution over the first images and all places; and how many."""
    total, count = torch.zeros(weight_of(module, layer).shape[0], dtype=torch.float64), 0

    def add(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        total = total + output.abs().mean(dim=(2, 3)).double().sum(dim=0).cpu()

    handle = module.get_submodule(layer).register_forward_hook(add)
    try:
        for batch, _ in tests:
            part = batch[: images - count]
            module(part)
            count += len(part)
            if count >= images:
                break
    finally:
        handle.remove()
    return total / count, count
