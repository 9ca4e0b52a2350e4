"""From metrics files to one long frame: one row per cell of the matrix, whether it is done or not.

A number enters the frame only if its metrics file is whole, names the cell that its path names, and fits what lies
beside it. Everything else is a row with a status and the reason.
"""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeGuard

import pandas as pd
from pydantic import ValidationError

from nern import files
from nern.addresses import Cell, OriginalCell, manifest_path
from nern.config import Config
from nern.config import fingerprint as fingerprint_of
from nern.errors import NernError
from nern.provenance import then
from nern.report.cells import sources
from nern.resolved import FitSettings, fit_settings

DONE, RUNNING, FAILED, OUTDATED, MISSING = "done", "running", "failed", "outdated", "missing"

IDENTITY = {"task": str, "network": str, "smoothing": str, "hidden": int, "variant": str, "seed": int}
PERCENTS = ("original_accuracy", "accuracy", "agreement")
PERCENTS_OR_NULL = ("best_on_test_accuracy", "original_top5_accuracy", "top5_accuracy")
COUNTS = (
    "predictor_parameters",
    "predictor_bytes",
    "permutation_bytes",
    "learnable_bytes",
    "original_bytes",
    "total_bytes",
    "packed_bytes",
    "won_images",
    "lost_images",
    "iterations",
    "test_images",
)
AMOUNTS = ("divergence", "weight_rmse", "relative_error", "ratio", "packed_ratio")
TEXTS = ("original", "device", "fingerprint", "git_commit")
MAPPINGS = ("code", "versions")

LARGEST = 2**63
"""No count, size or time reaches it; a larger number in a file is a mistake, and would not fit the frame."""

COLUMNS: dict[str, str] = {
    **dict.fromkeys(("cell", "status", "message", "task", "network", "smoothing"), "str"),
    "hidden": "Int64",
    "variant": "str",
    "seed": "Int64",
    "original": "str",
    **dict.fromkeys(("original_accuracy", "accuracy", "best_on_test_accuracy"), "float64"),
    "best_on_test_iteration": "Int64",
    **dict.fromkeys(("original_top5_accuracy", "top5_accuracy", "agreement"), "float64"),
    **dict.fromkeys(("divergence", "weight_rmse", "relative_error"), "float64"),
    **dict.fromkeys(COUNTS[:-2], "Int64"),
    **dict.fromkeys(("ratio", "packed_ratio"), "float64"),
    **dict.fromkeys(("iterations", "test_images"), "Int64"),
    **dict.fromkeys(("device", "fit_device"), "str"),
    "wall_seconds": "float64",
    **dict.fromkeys(("fingerprint", "original_sha256", "code", "versions", "git_commit"), "str"),
}
"""Columns of the long frame and their types. Accuracies and agreement are in per cent, sizes in bytes. A text that is
not there is empty, a number that is not there is missing."""


def collect(cells: list[Cell], root: Path, fingerprints: Mapping[Cell, str] | None = None) -> pd.DataFrame:
    """One row per cell, in the order of `cells`, with the columns `COLUMNS`.

    Args:
        cells: the cells to look for.
        root: the folder that `results/` lies in.
        fingerprints: of the present configuration; a cell that was made with other settings is then outdated.

    Returns:
        `status` is done; running (a living process holds its folder: older numbers in it are not used); failed (its fit
        ended with an error, which `message` tells); outdated (its numbers belong to other settings, inputs or files
        than those that are there: not used); or missing.

    Raises:
        NernError: a metrics file is damaged, or belongs to another cell.
    """
    return frame_of(_rows(cells, root, fingerprints or {}))


def current(config: Config, cells: list[Cell], root: Path) -> pd.DataFrame:
    """`collect` by the present configuration: what was made with other settings, weights or images is outdated."""
    settings = {cell: fit_settings(config, cell) for cell in cells}
    rows = _rows(cells, root, {cell: fingerprint_of(each) for cell, each in settings.items()})
    originals = [OriginalCell(cell.task, cell.network, settings[cell].protocol.original) for cell in cells]
    weights = {original: sources.changed_weights(config, original, root) for original in set(originals)}
    images = {task: sources.changed_images(config, task, root) for task in {cell.task for cell in cells}}
    reasons = [weights[original] or images[original.task] for original in originals]
    return frame_of([outdated(row, reason) for row, reason in zip(rows, reasons, strict=True)])


def _rows(cells: list[Cell], root: Path, fingerprints: Mapping[Cell, str]) -> list[dict[str, Any]]:
    digests = Digests(root)
    return of_one_original([row(cell, digests, fingerprints.get(cell)) for cell in cells])


def outdated(row: dict[str, Any], reason: str) -> dict[str, Any]:
    """A row whose numbers do not count for a reason; as it is if there is none, or they do not count anyway."""
    if not reason or row["status"] != DONE:
        return row
    return {key: row[key] for key in ("cell", *IDENTITY)} | {"status": OUTDATED, "message": reason}


_SHARED = {
    "original_sha256": "learned another original than most cells here",
    "images_sha256": "is of other images than most cells here",
}
"""What cells of one original share: digests, and why those of another one do not count."""


def of_one_original(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each original's cells those of the same network and the same images, those of most of them.

    The others are outdated: cells that were gathered from machines which trained an original each, or prepared other
    images, have no mean.
    """
    for digest, reason in _SHARED.items():
        found: dict[tuple[str, ...], Counter[str]] = {}
        for each in rows:
            if each["status"] == DONE and each[digest]:
                found.setdefault(_original_of(each), Counter())[each[digest]] += 1
        most = {key: counts.most_common(1)[0][0] for key, counts in found.items()}
        others = [bool(sha := each.get(digest)) and sha != most.get(_original_of(each), sha) for each in rows]
        rows = [outdated(each, reason if other else "") for each, other in zip(rows, others, strict=True)]
    return rows


def _original_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    return row["task"], row["network"], row["original"]


def frame_of(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The long frame of the rows of `row`."""
    columns = {
        column: pd.Series([row.get(column, "" if kind == "str" else None) for row in rows], dtype=kind)
        for column, kind in COLUMNS.items()
    }
    return pd.DataFrame(columns)


class Digests:
    """SHA-256 of files under a root, each computed once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.known: dict[str, str | None] = {}

    def __call__(self, path: str) -> str | None:
        """The digest of a file; None if it is not there."""
        if path not in self.known:
            file = self.root / path
            self.known[path] = files.sha256(file) if file.is_file() else None
        return self.known[path]


def names_of(cell: Cell) -> dict[str, Any]:
    """The columns that a cell has by its path."""
    return {"cell": cell.path} | {name: getattr(cell, name) for name in IDENTITY}


def row(cell: Cell, digests: Digests, fingerprint: str | None) -> dict[str, Any]:
    """The row of one cell, as `collect` describes it; columns without a value are left out."""
    folder, names = digests.root / cell.path, names_of(cell)
    failed, metrics_path, fit_path = (folder / name for name in ("failed.json", "metrics.json", "fit.json"))
    if files.is_locked(folder):
        return names | {"status": RUNNING}
    if failed.exists() and _is_of(folder / "config.json", fingerprint):
        return names | {"status": FAILED, "message": _failure(failed, cell)}
    if not metrics_path.exists():
        return names | {"status": MISSING, "message": "not evaluated" if fit_path.exists() else ""}
    metrics = files.read_json(metrics_path)
    values = _checked(metrics, metrics_path, cell)
    if fingerprint not in (None, metrics["fingerprint"]):
        return names | {"status": OUTDATED, "message": "made with other settings"}
    if not fit_path.exists():
        return names | {"status": OUTDATED, "message": "its fit is not finished"}
    fit = files.read_json(fit_path)
    outputs = fit.get("outputs")
    fitted = outputs.get("predictor.safetensors") if isinstance(outputs, dict) else None
    if fit.get("fingerprint") != metrics["fingerprint"] or fitted != metrics["predictor_sha256"]:
        return names | {"status": OUTDATED, "message": "fitted again since it was evaluated"}
    changed = [path for path, sha in metrics["inputs"].items() if digests(path) not in (None, sha)]
    if changed:
        return names | {"status": OUTDATED, "message": f"{Path(changed[0]).name} has changed since"}
    return names | values | {"status": DONE} | _facts_of_fit(fit, fit_path) | _made_by(fit, metrics)


def _is_of(path: Path, fingerprint: str | None) -> bool:
    """Whether the fit that was tried last had these settings; so it is taken if nobody can say."""
    if fingerprint is None or not path.exists():
        return True
    try:
        return fingerprint_of(FitSettings.model_validate(files.read_json(path))) == fingerprint
    except ValidationError:  # settings of before
        return False


def _failure(path: Path, cell: Cell) -> str:
    """Why a fit failed, in the words of its `failed.json`."""
    failed = files.read_json(path)
    message = failed.get("message")
    if not _is_count(failed.get("step")) or not _is_text(message):
        raise NernError(f"{path}: is no record of a failure; delete it and run: nern fit {cell.path}")
    return _line(message).removeprefix(f"{cell.path}: ")


def _facts_of_fit(fit: Mapping[str, Any], path: Path) -> dict[str, Any]:
    seconds, device = fit.get("wall_seconds"), fit.get("device")
    if not _is_amount(seconds) or not _is_text(device):
        raise NernError(f"{path}: wall_seconds or device is missing or of the wrong type; run its fit again")
    return {"wall_seconds": float(seconds), "fit_device": _line(device)}


def _made_by(fit: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, str]:
    """Versions and commit of the fit, and behind them those of its evaluation where these are others."""
    before, now = (_said(record) for record in (fit, metrics))
    joined = then(before, now)
    return {
        "versions": ", ".join(f"{name} {text}" for name, text in sorted(joined["versions"].items())),
        "git_commit": joined["git_commit"],
    }


def _said(record: Mapping[str, Any]) -> dict[str, Any]:
    """The versions and the commit that a record names: of a fit's record nobody has checked that it names them."""
    versions, commit = record.get("versions"), record.get("git_commit")
    known: dict[str, str] = versions if isinstance(versions, dict) and _is_mapping(versions, _is_text) else {}
    said = {"versions": {name: _line(text) for name, text in known.items() if text}}
    return said | ({"git_commit": _line(commit)} if _is_text(commit) and commit else {})


def short_commits(text: str) -> str:
    """Commits with 12 digits each; a `-dirty` at the end of one stays."""
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{28}\b", r"\1", text)


def _line(text: str) -> str:
    """Text on one line."""
    return " ".join(text.split())


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST


def _is_amount(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < LARGEST


def _is_percent(value: object) -> bool:
    return _is_amount(value) and value <= 100


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and not re.search(r"[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]", value)


def _is_mapping(value: object, item: Callable[[object], bool]) -> bool:
    return isinstance(value, dict) and all(_is_text(key) and item(entry) for key, entry in value.items())


def _is_sha256(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None


CHECKS: dict[str, tuple[Callable[[object], bool], str]] = {
    **dict.fromkeys(PERCENTS, (_is_percent, "a number from 0 to 100")),
    **dict.fromkeys(PERCENTS_OR_NULL, (lambda v: v is None or _is_percent(v), "a number from 0 to 100, or null")),
    "best_on_test_iteration": (lambda v: v is None or _is_count(v), "a whole number, or null"),
    **dict.fromkeys(COUNTS, (_is_count, "a whole number")),
    **dict.fromkeys(AMOUNTS, (_is_amount, "a number that is not negative")),
    **dict.fromkeys(TEXTS, (_is_text, "a text")),
    **dict.fromkeys(MAPPINGS, (lambda v: _is_mapping(v, _is_text), "an object of texts")),
    "layer_rmse": (lambda v: _is_mapping(v, _is_amount), "an object of numbers that are not negative"),
    "inputs": (lambda v: _is_mapping(v, _is_sha256), "an object of SHA-256 digests"),
    "predictor_sha256": (_is_sha256, "a SHA-256 digest"),
}
"""What each key of a metrics file must hold, besides the cell's names."""


def _checked(metrics: Mapping[str, Any], path: Path, cell: Cell) -> dict[str, Any]:
    """The frame's values of a metrics file; NernError if it is not whole, not the cell's, or contradicts itself."""
    again = f"delete it and run: nern evaluate {cell.path}"
    for key, kind in IDENTITY.items():
        value = metrics.get(key)
        if type(value) is not kind or value != getattr(cell, key):
            raise NernError(f"{path}: its {key} is {value!r}, but the path says {getattr(cell, key)!r}; {again}")
    if metrics.get("cell") != cell.path:
        raise NernError(f"{path}: belongs to the cell {metrics.get('cell')!r}; {again}")
    for key, (check, wanted) in CHECKS.items():
        if key not in metrics:
            raise NernError(f"{path}: {key} is missing; {again}")
        if not check(metrics[key]):
            raise NernError(f"{path}: {key} must be {wanted}, not {str(metrics[key])[:60]!r}; {again}")
    total = metrics["predictor_bytes"] + metrics["permutation_bytes"]
    if metrics["learnable_bytes"] == 0 or metrics["total_bytes"] != total:
        raise NernError(f"{path}: its sizes contradict each other; {again}")
    if not math.isclose(metrics["ratio"], total / metrics["learnable_bytes"], rel_tol=1e-6):
        raise NernError(f"{path}: its ratio is not that of its sizes; {again}")
    if not math.isclose(metrics["packed_ratio"] * metrics["original_bytes"], metrics["packed_bytes"], rel_tol=1e-6):
        raise NernError(f"{path}: its packed ratio is not that of its sizes; {again}")
    original = OriginalCell(cell.task, cell.network, metrics["original"])
    values = {key: metrics[key] for key in COLUMNS if key in metrics and key not in IDENTITY}
    return (
        values
        | {key: _line(values[key]) for key in TEXTS}
        | {key: ", ".join(f"{name} {value}" for name, value in sorted(metrics[key].items())) for key in MAPPINGS}
        | {"original_sha256": metrics["inputs"].get(f"{original.path}/network.safetensors", "")}
        | {"images_sha256": metrics["inputs"].get(manifest_path(cell.task), "")}
    )


def csv_text(frame: pd.DataFrame) -> str:
    """A frame as text. Numbers keep all their digits."""
    text: str = frame.to_csv(index=False, lineterminator="\n")
    return text


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a frame, atomically."""
    files.write_text(path, csv_text(frame))


def read_csv(path: Path) -> pd.DataFrame:
    """The long frame of a file of `write_csv`, equal to what was written.

    Raises:
        NernError: the file is missing or holds no long frame.
    """
    again = "write it again with its table"
    try:
        text = path.read_bytes().decode()
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
        if not rows or rows[0] != list(COLUMNS) or any(len(row) != len(COLUMNS) for row in rows):
            raise ValueError("its columns are others")
        return frame_of([_parsed(dict(zip(COLUMNS, row, strict=True))) for row in rows[1:]])
    except OSError as error:
        raise NernError(f"{path}: cannot be read ({error.strerror}); {again}") from None
    except (ValueError, OverflowError, csv.Error) as error:
        raise NernError(f"{path}: holds no table of cells ({_line(str(error))}); {again}") from None


def _parsed(texts: dict[str, str]) -> dict[str, Any]:
    """A line of the file: numbers by Python, whose reading of a float is exact in every version of pandas."""
    parse: dict[str, Callable[[str], Any]] = {"str": str, "Int64": int, "float64": float}
    values = {c: parse[COLUMNS[c]](text) for c, text in texts.items() if text}
    if not all(math.isfinite(value) for value in values.values() if isinstance(value, float)):
        raise ValueError("a number in it is not finite")
    return values
