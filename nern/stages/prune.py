"""Stage `prune`: accuracy and bytes of a cell's predictor with its smallest weights set to zero (paper, figure 5a)."""

import logging
from pathlib import Path

from nern import files
from nern.config import Config, fingerprint
from nern.data.batches import TestBatches
from nern.matrix import Cell
from nern.method.pruning import pack, prune, unpack
from nern.stages.accuracy import TEST_BATCH, predict
from nern.stages.artifacts import rebuild
from nern.stages.reconstruct import load_fitted
from nern.stages.runtime import provenance, start_in_pieces

log = logging.getLogger(__name__)


def run(config: Config, cell: Cell, sparsities: list[float]) -> None:
    """Write the cell's `pruning.json`: for each sparsity the accuracy in per cent and the bytes of the packed file.

    What is measured is the predictor that was unpacked again from those bytes.

    Raises:
        NernError: a file is missing or damaged, or is not the one that the fit was made with.
    """
    device, workers = start_in_pieces(config.execution, config.execution.threads.evaluate)
    fitted = load_fitted(config, cell)
    original = fitted.original
    tests = TestBatches(config, cell.task, batch=TEST_BATCH, device=device, channels_last=True)
    module = original.module.to(device)
    whole = {name: value.cpu() for name, value in fitted.predictor.state_dict().items()}
    points = []
    for sparsity in sparsities:
        packed = pack(prune(whole, sparsity))
        fitted.predictor.load_state_dict(unpack(packed))
        rebuild(module, original.layers, fitted.weights(device, workers))
        accuracy = predict(module, tests, workers).top(1)
        points.append({"sparsity": sparsity, "accuracy": accuracy, "bytes": len(packed)})
        log.info("%s: sparsity %.2f, %.2f %%, %d bytes", cell.path, sparsity, accuracy, len(packed))
    record = {
        "cell": cell.path,
        "fingerprint": fingerprint(fitted.settings),
        "predictor_sha256": fitted.record["outputs"]["predictor.safetensors"],
        "points": points,
    }
    files.write_json(Path(cell.path) / "pruning.json", record | provenance("prune", fitted.record["inputs"]))
