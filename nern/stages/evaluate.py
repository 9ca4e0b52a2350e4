"""Stage `evaluate`: rebuild the network from a predictor and measure it (paper, section 4).

The reconstructed network is predictor + permutation + the original's other parameters. Every file is checked against
what the fit recorded, so that a swapped predictor or a retrained original cannot pass for the cell's.
"""

import logging
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nern import checkpoint
from nern.config import Config, fingerprint
from nern.data.batches import TestBatches
from nern.data.prepared import read_manifest
from nern.errors import NernError
from nern.matrix import Cell, FitSettings, data_path, fit_settings, original_of, task_of
from nern.method.embedding import kernel_coordinates
from nern.method.kernels import KernelLayout
from nern.method.predictor import Predictor
from nern.method.workers import Workers
from nern.stages import history
from nern.stages.accuracy import TEST_BATCH, predict
from nern.stages.artifacts import TrainedOriginal, load_original, load_permutation, load_predictions, rebuild
from nern.stages.runtime import device_name, provenance, start_in_pieces

log = logging.getLogger(__name__)
FLOAT_BYTES = 4
PIECE = 2**14
"""Coordinates that a predictor is given at once."""


def run(config: Config, cell: Cell) -> None:
    """Write the cell's `metrics.json`: equal inputs give equal bytes.

    Raises:
        NernError: a file is missing or damaged, or is not the one that the fit was made with.
    """
    settings, folder = fit_settings(config, cell), Path(cell.path)
    device, workers = start_in_pieces(config.execution, config.execution.threads.evaluate)
    fitted = _checked_fit(folder, settings)
    original_cell = original_of(config, cell)
    original = load_original(config, original_cell)
    permutation = load_permutation(config, original_cell, cell.smoothing, original)
    _require_recorded(folder, fitted, {original.sha256, permutation.sha256})

    layout = KernelLayout(original.shapes, permutation.orders)
    predictor = _load_predictor(folder, settings, layout.kernel_size)
    coordinates = kernel_coordinates([s[:2] for s in layout.shapes], normalized=settings.protocol.embedding.normalized)
    weights = layout.weights(_predicted(predictor.to(device), coordinates.to(device), workers).cpu())
    errors = _layer_rmse(original, weights)
    rmse = math.sqrt(
        sum(error**2 * weight.numel() for error, weight in zip(errors.values(), weights, strict=True))
        / layout.parameters
    )
    before = load_predictions(original_cell, original)
    module = original.module.to(device)
    other_bytes = sum(value.numel() * value.element_size() for value in module.state_dict().values())
    rebuild(module, original.layers, weights)
    tests = TestBatches(config, cell.task, batch=TEST_BATCH, device=device, channels_last=True)
    after = predict(module, tests, workers)

    best = history.best_on_test(folder / "history.csv")
    parameters = sum(parameter.numel() for parameter in predictor.parameters())
    learnable_bytes = layout.parameters * FLOAT_BYTES
    permutation_bytes = math.ceil(permutation.overhead_bits / 8)
    total = parameters * FLOAT_BYTES + permutation_bytes
    task = task_of(config, cell.task)
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
        "accuracy": after.top(1),
        "original_top5_accuracy": before.top(5),
        "top5_accuracy": after.top(5),
        "best_on_test_accuracy": best[0] if best else None,
        "best_on_test_iteration": best[1] if best else None,
        "agreement": after.agreement(before),
        "weight_rmse": rmse,
        "layer_rmse": errors,
        "predictor_parameters": parameters,
        "predictor_bytes": parameters * FLOAT_BYTES,
        "permutation_bytes": permutation_bytes,
        "learnable_bytes": learnable_bytes,
        "original_bytes": other_bytes,
        "total_bytes": total,
        "ratio": total / learnable_bytes,
        "iterations": fitted["iterations"],
        "test_images": len(after.labels),
        "data": read_manifest(Path(data_path(cell.task))).title,
        "data_note": task.note,
        "device": device_name(device),
        "fit_device": fitted["device"],
        "fingerprint": fingerprint(settings),
        "predictor_sha256": fitted["outputs"]["predictor.safetensors"],
    }
    facts = provenance("evaluate", fitted["inputs"])
    facts["code"] |= fitted["code"]
    checkpoint.write_json(folder / "metrics.json", metrics | facts)
    log.info(
        "%s: %.2f %% (original %.2f %%), agreement %.2f %%, weight RMSE %.5f",
        cell.path,
        metrics["accuracy"],
        metrics["original_accuracy"],
        metrics["agreement"],
        rmse,
    )


def _checked_fit(folder: Path, settings: FitSettings) -> dict[str, Any]:
    """`fit.json`, if it and the files that it names belong to the settings."""
    path, again = folder / "fit.json", f"run: nern fit {folder}"
    if not path.exists():
        raise NernError(f"{path}: is missing; {again}")
    fitted = checkpoint.read_json(path)
    try:
        recorded = dict(fitted["outputs"])
        known = fitted["fingerprint"], dict(fitted["inputs"]), fitted["iterations"], fitted["device"], fitted["code"]
    except (KeyError, TypeError, ValueError):
        raise NernError(f"{path}: is no record of a fit; {again}") from None
    if known[0] != fingerprint(settings):
        raise NernError(f"{path}: was made with other settings than the configuration's; {again}")
    for name in ("predictor.safetensors", "history.csv"):
        if recorded.get(name) != checkpoint.sha256(folder / name):
            raise NernError(f"{folder / name}: is not the file that {path.name} records; {again}")
    return fitted


def _require_recorded(folder: Path, fitted: dict[str, Any], digests: set[str]) -> None:
    if not digests <= set(fitted["inputs"].values()):
        raise NernError(
            f"{folder}: was fitted to another original or permutation than those that now lie there; "
            f"run: nern fit {folder}"
        )


def _load_predictor(folder: Path, settings: FitSettings, kernel_size: int) -> Predictor:
    path, embedding = folder / "predictor.safetensors", settings.protocol.embedding
    tensors, _ = checkpoint.read_tensors(path)
    predictor = Predictor(settings.hidden, kernel_size=kernel_size, levels=embedding.levels, base=embedding.base)
    try:
        predictor.load_state_dict(tensors)
    except RuntimeError as error:
        line = " ".join(str(error).split())
        raise NernError(f"{path}: does not fit the cell's predictor ({line}); run: nern fit {folder}") from None
    return predictor


def _predicted(predictor: Predictor, coordinates: Tensor, workers: Workers) -> Tensor:
    """All kernels [n, k²] by the predictor's definition, not by the factored table that it was trained with."""

    @torch.no_grad()  # of each thread
    def of_piece(piece: Tensor) -> Tensor:
        return predictor(piece)  # type: ignore[no-any-return]

    return torch.cat(workers.map(of_piece, coordinates.split(PIECE)))


def _layer_rmse(original: TrainedOriginal, weights: list[Tensor]) -> dict[str, float]:
    pairs = zip(original.layers, original.weights, weights, strict=True)
    return {name: (ours - theirs).square().mean().sqrt().item() for name, theirs, ours in pairs}
