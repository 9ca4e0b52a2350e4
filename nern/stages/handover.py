"""The metrics that a fit's process hands over to stage `evaluate`.

Starting torch takes longer than evaluating a small network. So `nern fit` evaluates what it wrote while all is at
hand, and `nern evaluate` accepts that, once, if nothing that it was made of has changed. Nothing here imports torch.
"""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from nern import files
from nern.addresses import Cell, manifest_path
from nern.code_digest import code_digest
from nern.config import Config, fingerprint
from nern.errors import NernError
from nern.provenance import git_commit, versions
from nern.resolved import fit_settings, original_of

log = logging.getLogger(__name__)
NAME = "evaluation.json"


def offer(config: Config, cell: Cell, metrics: dict[str, Any]) -> None:
    """Leave the metrics of a fit that was evaluated where it was made."""
    files.write_json(Path(cell.path) / NAME, {"key": _key(config, cell), "metrics": metrics})


def accept(config: Config, cell: Cell) -> bool:
    """Make `metrics.json` of what was handed over; False if there is nothing, or anything has changed since."""
    offered = Path(cell.path) / NAME
    if not offered.exists():
        return False
    try:
        content = files.read_json(offered)
        same: bool = content["key"] == _key(config, cell)
    except NernError as error:
        log.warning("%s; it is evaluated anew", error)
        same = False
    if same:
        files.write_json(Path(cell.path) / "metrics.json", content["metrics"])
        log.info("%s: %.2f %%, as its fit handed over", cell.path, content["metrics"]["accuracy"])
    offered.unlink()
    return same


def _key(config: Config, cell: Cell) -> str:
    """Digest of all that decides the bytes of `metrics.json`; NernError if a file is missing."""
    folder, original = Path(cell.path), original_of(config, cell)
    made_of = [
        *(folder / name for name in ("fit.json", "predictor.safetensors", "history.csv")),
        *(Path(original.path) / name for name in ("network.safetensors", "predictions.safetensors")),
        Path(original.permutation(cell.smoothing)),
        Path(manifest_path(cell.task)),
    ]
    decides = [
        fingerprint(fit_settings(config, cell)),
        config.execution.device,
        code_digest("nern.stages.evaluate"),
        git_commit(),
        *versions().values(),
        *(files.sha256(path) for path in made_of),
    ]
    return hashlib.sha256(json.dumps(decides).encode()).hexdigest()
