"""Stage `compress`: what an original's weights, or a cell's predictor, are worth at how many bytes.

For each codec the tensors become bytes, the bytes become tensors, and the network that these stand for is measured.
Some are also distilled while they are coded (`nern.stages.coded`). All that the learnable weights need is counted:
coded tensors with their scales, codebooks and models, and a cell's coded permutation.
"""

import base64
import hashlib
import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nern import checkpoint, files
from nern.addresses import COMPRESSION, Cell, OriginalCell, manifest_path
from nern.compression import Point, compression_points, compression_settings
from nern.config import Config, fingerprint
from nern.data.batches import TestBatches
from nern.method.workers import Workers
from nern.stages.accuracy import TEST_BATCH, Predictions, predict
from nern.stages.artifacts import load_predictions, rebuild
from nern.stages.coded import Distilled
from nern.stages.evaluate import FLOAT_BYTES, relative_error
from nern.stages.pack import POINTS, tensor_of
from nern.stages.runtime import device_name, provenance, start_in_pieces
from nern.stages.subjects import Subject, subject_of

log = logging.getLogger(__name__)
RECORD = "compress.json"
"""What differs from run to run: seconds."""


def run(config: Config, target: Cell | OriginalCell) -> None:
    """Write `compression.json`, `compressed.safetensors` and `compress.json` beside a cell's or original's other files.

    Raises:
        NernError: a file is missing, damaged or of other settings, a codec cannot store the tensors, or what it stores
            makes a network whose logits are not finite.
    """
    points = compression_points(config, target)
    device, workers = start_in_pieces(config.execution, config.execution.threads.evaluate)
    folder = Path(target.path)
    work = folder / ".compress"
    with files.exclusive(work):
        subject = subject_of(config, target)
        compressing = Compressing(config, target, subject, device, workers)
        done = Done(work / "points.json", compressing.key)
        for name, point in points.items():
            if name not in done.points:
                done.add(name, *compressing.point(name, point, work))
                checkpoint.State(work, "").clear()  # not before its bytes are kept
            shown = done.points[name]
            values = (shown[key] for key in ("bytes", "accuracy", "divergence"))
            log.info("%s: %s: %d bytes, %.2f %%, divergence %.4f", target.path, name, *values)
        coded = {name: tensor_of(data) for name, data in done.coded.items()}
        checkpoint.write_tensors(folder / POINTS, coded, {"fingerprint": compressing.fingerprint})
        files.write_json(folder / RECORD, {"seconds": done.seconds, "device": device_name(device)})
        files.write_json(folder / COMPRESSION, compressing.record([done.points[name] for name in points]))
        done.path.unlink(missing_ok=True)  # without points there is none


class Done:
    """The points that are finished while others are not, on disk."""

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key
        self.points: dict[str, dict[str, Any]] = {}
        self.seconds: dict[str, float] = {}
        self.coded: dict[str, bytes] = {}
        if path.exists():
            known = files.read_json(path)
            if known["key"] == key:
                self.points, self.seconds = known["points"], known["seconds"]
                self.coded = {name: base64.b64decode(text) for name, text in known["coded"].items()}

    def add(self, name: str, point: dict[str, Any], seconds: float, coded: bytes | None) -> None:
        """Keep a point, and its bytes if they cannot be had again without training."""
        self.points[name], self.seconds[name] = point, round(seconds, 3)
        if coded is not None:
            self.coded[name] = coded
        texts = {name: base64.b64encode(data).decode() for name, data in self.coded.items()}
        content = {"key": self.key, "points": self.points, "seconds": self.seconds, "coded": texts}
        files.write_json(self.path, content)


class Compressing:
    """One cell or original, its test images, and how a way to store it is measured."""

    def __init__(
        self,
        config: Config,
        target: Cell | OriginalCell,
        subject: Subject,
        device: torch.device,
        workers: Workers,
    ) -> None:
        self.config, self.target, self.subject = config, target, subject
        self.device, self.workers = device, workers
        self.fingerprint = fingerprint(compression_settings(config, target))
        self.original: list[Tensor] = [weight.clone() for weight in subject.original.weights]
        self.count = sum(weight.numel() for weight in self.original)
        self.before: Predictions = load_predictions(subject.original_cell, subject.original)
        self.module = subject.original.module.to(device)
        self.tests = TestBatches(config, target.task, batch=TEST_BATCH, device=device, channels_last=True)
        self.inputs = subject.inputs | {
            path: files.sha256(Path(path))
            for path in (manifest_path(target.task), f"{subject.original_cell.path}/predictions.safetensors")
        }
        self._distilled: Distilled | None = None
        self.code = provenance("compress", self.inputs)
        self.key = hashlib.sha256(
            json.dumps([self.fingerprint, device.type, self.code], sort_keys=True).encode()
        ).hexdigest()

    def point(self, name: str, point: Point, work: Path) -> tuple[dict[str, Any], float, bytes | None]:
        """What a point is worth, the seconds that it took to make, and its bytes if they took a training."""
        started, before = time.monotonic(), 0.0
        if point.rate is None:
            data = point.codec.encode(self.subject.arrays)
        else:
            # the teacher must see the original, whatever was measured last
            rebuild(self.module, self.subject.original.layers, self.original)
            self._distilled = self._distilled or Distilled(
                self.config, self.target, self.subject, self.device, self.workers, self.key
            )
            data, before = self._distilled.encode(name, point, work)
        seconds = before + time.monotonic() - started
        weights = self.subject.weights(point.codec.decode(data, self.subject.shapes), self.device, self.workers)
        rebuild(self.module, self.subject.original.layers, weights)
        after = predict(self.module, self.tests, self.workers, f"{self.target.path}, {name}")
        permutation = len(self.subject.permutation)
        total = len(data) + permutation
        measured: dict[str, Any] = {
            "codec": name,
            "kind": point.codec.kind,
            "rate": point.rate,
            "bytes": total,
            "coded_bytes": len(data),
            "table_bytes": point.codec.table_bytes(data, self.subject.shapes),
            "permutation_bytes": permutation,
            "bits_per_weight": 8 * total / self.count,
            "ratio": total / (FLOAT_BYTES * self.count),
            **after.against(self.before),
            "relative_error": relative_error(self.original, weights),
            "hits": flags(after.hits),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        return measured, seconds, None if point.rate is None else data

    def record(self, points: list[dict[str, Any]]) -> dict[str, Any]:
        """The content of `compression.json`: equal inputs give equal bytes, with any number of threads."""
        return {
            "path": self.target.path,
            "original": self.subject.original_cell.path,
            "original_accuracy": self.before.top(1),
            "original_hits": flags(self.before.hits),
            "test_images": len(self.before.labels),
            "learnable_parameters": self.count,
            "fingerprint": self.fingerprint,
            "device": device_name(self.device),
            "points": points,
        } | self.code


def flags(hits: Tensor) -> str:
    """Flags [n] as text: eight a byte, the first highest, in base 64."""
    return base64.b64encode(np.packbits(hits.numpy()).tobytes()).decode()
