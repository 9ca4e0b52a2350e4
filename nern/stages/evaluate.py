"""Stage `evaluate`: rebuild the network from a predictor and measure it (paper, section 4).

Every file is checked against what the fit recorded (`nern.stages.reconstruct`).
"""

import logging
import math
from pathlib import Path
from typing import Any

from torch import Tensor

from nern import files
from nern.addresses import Cell
from nern.config import Config, fingerprint
from nern.data.batches import TestBatches
from nern.resolved import original_of
from nern.stages import history
from nern.stages.accuracy import TEST_BATCH, predict
from nern.stages.artifacts import TrainedOriginal, load_predictions, rebuild
from nern.stages.pack import exact, packed
from nern.stages.reconstruct import load_fitted
from nern.stages.runtime import device_name, provenance, start_in_pieces
from nern.stages.subjects import predictor_of_cell

log = logging.getLogger(__name__)
FLOAT_BYTES = 4


def run(config: Config, cell: Cell) -> None:
    """Write the cell's `metrics.json`.

    Raises:
        NernError: as `measure`.
    """
    metrics = measure(config, cell, config.execution.threads.evaluate)
    files.write_json(Path(cell.path) / "metrics.json", metrics)


def measure(config: Config, cell: Cell, threads: int) -> dict[str, Any]:
    """The content of a cell's `metrics.json`: equal inputs give equal bytes, with any number of threads.

    Raises:
        NernError: a file is missing or damaged, or is not the one that the fit was made with, or logits are not finite.
    """
    device, workers = start_in_pieces(config.execution, threads)
    fitted = load_fitted(config, cell)
    original, original_cell = fitted.original, original_of(config, cell)
    weights = fitted.weights(device, workers)
    errors = _layer_rmse(original, weights)
    rmse = math.sqrt(
        sum(error**2 * weight.numel() for error, weight in zip(errors.values(), weights, strict=True))
        / fitted.layout.parameters
    )
    lost = relative_error(original.weights, weights)  # now: these are the network's own, and written over below
    before = load_predictions(original_cell, original)
    subject = predictor_of_cell(fitted, cell, original_cell)
    packed_bytes = len(packed(subject, *exact(subject)))
    module = original.module.to(device)
    original_bytes = sum(value.numel() * value.element_size() for value in module.state_dict().values())
    rebuild(module, original.layers, weights)
    tests = TestBatches(config, cell.task, batch=TEST_BATCH, device=device, channels_last=True)
    after = predict(module, tests, workers, cell.path)

    best = history.best_on_test(Path(cell.path) / "history.csv")
    parameters = sum(parameter.numel() for parameter in fitted.predictor.parameters())
    learnable_bytes = fitted.layout.parameters * FLOAT_BYTES
    permutation_bytes = math.ceil(fitted.permutation.overhead_bits / 8)
    total = parameters * FLOAT_BYTES + permutation_bytes
    metrics: dict[str, Any] = {
        "cell": cell.path,
        "task": cell.task,
        "network": cell.network,
        "smoothing": cell.smoothing,
        "hidden": cell.hidden,
        "variant": cell.variant,
        "seed": cell.seed,
        "original": original_cell.name,
        "original_accuracy": before.top(1),
        "original_top5_accuracy": before.top(5),
        "top5_accuracy": after.top(5),
        "best_on_test_accuracy": best[0] if best else None,
        "best_on_test_iteration": best[1] if best else None,
        **after.against(before),
        "weight_rmse": rmse,
        "relative_error": lost,
        "layer_rmse": errors,
        "predictor_parameters": parameters,
        "predictor_bytes": parameters * FLOAT_BYTES,
        "permutation_bytes": permutation_bytes,
        "learnable_bytes": learnable_bytes,
        "original_bytes": original_bytes,
        "total_bytes": total,
        "ratio": total / learnable_bytes,
        "packed_bytes": packed_bytes,
        "packed_ratio": packed_bytes / original_bytes,
        "iterations": fitted.record["iterations"],
        "test_images": len(after.labels),
        "device": device_name(device),
        "fit_device": fitted.record["device"],
        "fingerprint": fingerprint(fitted.settings),
        "predictor_sha256": fitted.record["outputs"]["predictor.safetensors"],
    }
    facts = provenance("evaluate", fitted.record["inputs"])
    facts["code"] |= fitted.record["code"]
    log.info(
        "%s: %.2f %% (original %.2f %%), agreement %.2f %%, divergence %.4f, weight RMSE %.5f",
        cell.path,
        *(metrics[name] for name in ("accuracy", "original_accuracy", "agreement", "divergence", "weight_rmse")),
    )
    return metrics | facts


def relative_error(original: list[Tensor], ours: list[Tensor]) -> float:
    """‖W − Ŵ‖² / ‖W‖² over all learnable weights; 0 if there is nothing but zeros to learn, and it is learned."""
    pairs = [(theirs.double(), mine.double()) for theirs, mine in zip(original, ours, strict=True)]
    error = sum((theirs - mine).square().sum().item() for theirs, mine in pairs)
    whole = sum(theirs.square().sum().item() for theirs, _ in pairs)
    return error / whole if whole else error


def _layer_rmse(original: TrainedOriginal, weights: list[Tensor]) -> dict[str, float]:
    pairs = zip(original.layers, original.weights, weights, strict=True)
    return {name: (ours - theirs).square().mean().sqrt().item() for name, theirs, ours in pairs}
