"""Collection and tables: every cell has a row, only whole cells count, and what is printed is what was measured."""

import json
from pathlib import Path
from typing import Any

from nern.matrix import Cell

SHA = "0" * 64


def metrics_of(cell: Cell, **changes: Any) -> dict[str, Any]:
    """A sound metrics file of a cell."""
    values: dict[str, Any] = {
        "cell": cell.path,
        "task": cell.task,
        "network": cell.network,
        "smoothing": cell.smoothing,
        "hidden": cell.hidden,
        "variant": cell.variant,
        "seed": cell.seed,
        "original": "base",
        "original_accuracy": 91.69,
        "accuracy": 90.0 + cell.seed,
        "original_top5_accuracy": 99.7,
        "top5_accuracy": 99.5,
        "best_on_test_accuracy": 90.5 + cell.seed,
        "best_on_test_iteration": 65_000,
        "agreement": 94.0,
        "weight_rmse": 0.025,
        "layer_rmse": {"conv1": 0.02, "conv2": 0.03},
        "predictor_parameters": 94_229,
        "predictor_bytes": 376_916,
        "permutation_bytes": 45_000,
        "learnable_bytes": 1_080_000,
        "original_bytes": 1_100_000,
        "total_bytes": 421_916,
        "ratio": 421_916 / 1_080_000,
        "iterations": 70_000,
        "test_images": 10_000,
        "data": "CIFAR-10",
        "data_note": "",
        "device": "CPU (a processor)",
        "fit_device": "CPU (a processor)",
        "fingerprint": "f" * 16,
        "predictor_sha256": SHA,
        "code": {"fit": "a" * 16, "evaluate": "b" * 16},
        "inputs": {f"results/{cell.task}/{cell.network}/originals/base/network.safetensors": SHA},
        "versions": {"torch": "2.13.0", "python": "3.11.9"},
        "git_commit": "c" * 40,
    }
    return values | changes


def write_cell(root: Path, cell: Cell, **changes: Any) -> None:
    """A finished cell on disk."""
    folder, metrics = root / cell.path, metrics_of(cell, **changes)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    fit = {
        "cell": cell.path,
        "fingerprint": metrics["fingerprint"],
        "outputs": {"predictor.safetensors": metrics["predictor_sha256"]},
        "wall_seconds": 12.5,
        "device": "CPU (a processor)",
    }
    (folder / "fit.json").write_text(json.dumps(fit))
