"""The points of a frontier: one a way to store an original's weights, with the means over seeds where there are seeds.

A number enters only if its `compression.json` is whole, of the present configuration, and fits what lies beside it.
"""

import base64
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nern import files
from nern.addresses import COMPRESSION, SECONDS, Cell, OriginalCell
from nern.compression import compression_phase, compression_points, compression_settings
from nern.config import Config, fingerprint
from nern.distilling import network_steps
from nern.errors import NernError
from nern.matrix import frontier_cells, frontier_originals
from nern.report.cells.collect import Digests
from nern.report.cells.sources import changed_images, changed_weights
from nern.report.statistics import interval_over_images, mean_confidence_interval
from nern.resolved import original_of, protocol_of

WEIGHTS, PREDICTOR = "weights", "predictor"
"""What is stored: an original's weights themselves, or a predictor of them."""
NUMBERS = ("bytes", "coded_bytes", "table_bytes", "permutation_bytes", "accuracy", "agreement", "divergence")
MORE = ("bits_per_weight", "ratio", "relative_error")


@dataclass(frozen=True)
class Compressed:
    """What `compress` measured of one cell or original."""

    record: dict[str, Any]
    seconds: dict[str, float]
    """Of each point, the fit of a predictor included."""
    devices: tuple[str, ...] = ()
    """On which they were: of the fit and of the compression."""

    @property
    def original(self) -> tuple[str, str]:
        """The SHA-256 of the network that it is about, and which test images that one has right."""
        network = f"{self.record['original']}/network.safetensors"
        return str(self.record["inputs"].get(network, "")), str(self.record["original_hits"])

    def point(self, name: str) -> dict[str, Any]:
        """A point by its name."""
        found: dict[str, Any] = next(point for point in self.record["points"] if point["codec"] == name)
        return found

    def differences(self, name: str) -> NDArray[np.int8]:
        """[n] of each test image: 1 if it was won, −1 if lost, 0 if it is as it was."""
        count = self.record["test_images"]
        ours, theirs = (_flags(text, count) for text in (self.point(name)["hits"], self.record["original_hits"]))
        return ours - theirs


def _flags(text: str, count: int) -> NDArray[np.int8]:
    return np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=count).astype(np.int8)


def frame(config: Config, name: str, root: Path) -> pd.DataFrame:
    """One row per network and way to store its weights, in the configuration's order; what is missing has n = 0.

    Columns: network, original, stored (weights or predictor), codec, kind, distilled, smoothing, variant, hidden, n,
    seeds (how many there should be), data (what it saw besides the original), test_images, learnable_bytes,
    original_accuracy, the means of `NUMBERS` and `MORE` over the seeds; `_half_width` of accuracy, agreement and
    divergence over the seeds; lost and lost_half_width (points, over the test images); seconds and
    the devices that took them.

    Raises:
        NernError: a file is damaged, or belongs to another cell.
    """
    rows: list[dict[str, Any]] = []
    digests = Digests(root)
    changed: dict[OriginalCell, str] = {}
    learned: dict[OriginalCell, tuple[str, str]] = {}

    def measured(target: Cell | OriginalCell) -> Compressed | None:
        original = original_of(config, target) if isinstance(target, Cell) else target
        if original not in changed:
            images = changed_images(config, original.task, root)
            changed[original] = changed_weights(config, original, root) or images
        found = None if changed[original] else compressed(config, target, digests)
        if found and learned.setdefault(original, found.original) != found.original:
            raise NernError(
                f"{root / target.path / COMPRESSION}: is of another network, or on other test images, than what else "
                f"was measured of {original.path}; delete it, and run its stages again"
            )
        return found

    for original in frontier_originals(config, name):
        found = measured(original)
        names = {"network": original.network, "original": original.name, "stored": WEIGHTS, "seeds": 1}
        rows += _rows(config, original, [found] if found else [], names)
    cells: dict[tuple[str, str, str, int], list[Cell]] = {}
    for cell in frontier_cells(config, name):
        cells.setdefault((cell.network, cell.variant, cell.smoothing, cell.hidden), []).append(cell)
    for (network, variant, smoothing, hidden), seeds in cells.items():
        names = {"network": network, "original": protocol_of(config, seeds[0]).original, "stored": PREDICTOR}
        names |= {"variant": variant, "smoothing": smoothing, "hidden": hidden, "seeds": len(seeds)}
        done = [found for cell in seeds if (found := measured(cell))]
        rows += _rows(config, seeds[0], done, names)
    return pd.DataFrame(rows)


def _rows(
    config: Config, target: Cell | OriginalCell, done: list[Compressed], names: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    for name, point in compression_points(config, target).items():
        row = names | {"codec": name, "kind": point.codec.kind, "distilled": point.rate is not None, "n": len(done)}
        row["data"] = _data(config, target, point.rate is not None)
        yield row | (_values(name, done) if done else {})


def _values(name: str, done: list[Compressed]) -> dict[str, Any]:
    points = [each.point(name) for each in done]
    values: dict[str, Any] = {key: float(np.mean([point[key] for point in points])) for key in (*NUMBERS, *MORE)}
    for key in ("accuracy", "agreement", "divergence"):
        values[f"{key}_half_width"] = mean_confidence_interval([point[key] for point in points])[1]
    record = done[0].record
    # whole numbers until the last: of thirds two equal losses would differ by roundings, and both be on the front
    differences, n = np.sum([each.differences(name) for each in done], axis=0, dtype=np.int64), len(done)
    sums = int(differences.sum()) / n, int(np.square(differences).sum()) / n**2
    won, half_width = interval_over_images(*sums, record["test_images"])
    return values | {
        "lost": -won,
        "lost_half_width": half_width,
        "seconds": float(np.mean([each.seconds[name] for each in done])),
        "devices": "; ".join(dict.fromkeys(device for each in done for device in each.devices)),
        "test_images": record["test_images"],
        "learnable_bytes": 4 * record["learnable_parameters"],
        "original_accuracy": record["original_accuracy"],
    }


def _data(config: Config, target: Cell | OriginalCell, distilled: bool) -> str:
    """What a point saw besides the original: what its steps ran the network on, and how many there were."""
    steps: dict[str, int] = {}
    if isinstance(target, Cell):
        protocol = protocol_of(config, target)
        for phase in filter(None, (protocol.training, protocol.distillation)):
            if seen := network_steps(protocol, phase):
                steps[protocol.inputs] = steps.get(protocol.inputs, 0) + seen * phase.batch
    if distilled:
        protocol, phase = compression_phase(config, target)
        if seen := network_steps(protocol, phase):
            steps[protocol.inputs] = steps.get(protocol.inputs, 0) + seen * phase.batch
    return ", ".join(f"{n:,} {'images' if kind == 'images' else 'of noise'}" for kind, n in steps.items()) or "none"


def compressed(config: Config, target: Cell | OriginalCell, digests: Digests) -> Compressed | None:
    """What is known of a cell or original; None where there is nothing, or what there is belongs to other settings.

    Args:
        config: the configuration.
        target: the cell or the original.
        digests: of the files under the folder that `results/` lies in.

    Raises:
        NernError: the file is damaged, or another's.
    """
    root = digests.root
    path = root / target.path / COMPRESSION
    if not path.exists():
        return None
    record, again = files.read_json(path), f"delete it and run: nern compress {target.path}"
    if record.get("path") != target.path:
        raise NernError(f"{path}: belongs to {record.get('path')!r}; {again}")
    if record.get("fingerprint") != fingerprint(compression_settings(config, target)):
        return None
    inputs = record.get("inputs")
    if not isinstance(inputs, dict) or any(digests(name) not in (None, sha) for name, sha in inputs.items()):
        return None
    _check(record, path, again)
    took = files.read_json(root / target.path / SECONDS)
    fit = files.read_json(root / target.path / "fit.json") if isinstance(target, Cell) else {"wall_seconds": 0}
    try:
        before = float(fit["wall_seconds"])
        seconds = {point["codec"]: before + float(took["seconds"][point["codec"]]) for point in record["points"]}
    except (KeyError, TypeError, ValueError):
        raise NernError(f"{root / target.path / SECONDS}: is not of the points of {path.name}; {again}") from None
    devices = [str(made["device"]) for made in (fit, took) if made.get("device")]
    return Compressed(record, seconds, tuple(dict.fromkeys(devices)))


def _check(record: dict[str, Any], path: Path, again: str) -> None:
    """Refuse a record that is not whole, or contradicts itself."""
    try:
        weights, images = record["learnable_parameters"], record["test_images"]
        for point in record["points"]:
            numbers = [float(point[key]) for key in (*NUMBERS, *MORE)]
            if not all(math.isfinite(number) and number >= 0 for number in numbers):
                raise ValueError(f"{point['codec']} has a number that is none")
            if point["bytes"] != point["coded_bytes"] + point["permutation_bytes"]:
                raise ValueError(f"the sizes of {point['codec']} contradict each other")
            if not math.isclose(point["bits_per_weight"] * weights, 8 * point["bytes"], rel_tol=1e-6):
                raise ValueError(f"the bits of {point['codec']} are not those of its bytes")
            hits = _flags(point["hits"], images)
            if not math.isclose(100 * hits.mean(), point["accuracy"], abs_tol=1e-6):
                raise ValueError(f"the accuracy of {point['codec']} is not that of its hits")
    except (KeyError, TypeError, ValueError) as error:
        raise NernError(f"{path}: is no sound record ({error}); {again}") from None
