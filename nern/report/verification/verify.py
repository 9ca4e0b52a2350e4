"""Does everything under results/, tables/ and figures/ belong together, and to the present configuration and code?

An error is a file that is damaged or contradicts another, or a table with a number that its cells do not have. A
remark is a file of other settings, inputs or code: it is not used until its stage runs again, or kept as it is. What
lies outside of the working folder may be elsewhere: that it was not compared is a remark, too.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from nern import checkpoint, files
from nern.addresses import COMPRESSION, MANIFEST, Cell, OriginalCell, data_path
from nern.code_digest import code_digest
from nern.config import Config, fingerprint
from nern.data.current import listed, manifest_of
from nern.data.prepared import read_manifest
from nern.data.splits import SPLITS
from nern.errors import NernError
from nern.matrix import all_cells
from nern.report.cells import collect
from nern.report.frontier.points import compressed
from nern.report.verification import shown as verify_shown
from nern.report.verification.findings import Finding
from nern.resolved import data_settings, fit_settings, original_of, weights_file
from nern.stages.artifacts import load_original, load_permutation, load_predictions
from nern.stages.pack import POINTS
from nern.stages.reconstruct import load_fitted


def verify(config: Config) -> list[Finding]:
    """Everything that can be found in the working folder, images first, what is shown last."""
    cells = [cell for cell in all_cells(config) if Path(cell.path).is_dir()]
    originals = list(dict.fromkeys(original_of(config, cell) for cell in cells))
    found: list[Finding] = []
    for task in dict.fromkeys(original.task for original in originals):
        found += _images(config, task)
    digests = collect.Digests(Path())
    for original in originals:
        modes = {cell.smoothing for cell in cells if original_of(config, cell) == original}
        found += _original(config, original, modes, digests)
    for cell in cells:
        found += _cell(config, cell, digests)
    for original in originals:
        found += _compression(config, original, digests)
    for cell in cells:
        found += _compression(config, cell, digests)
    return found + list(verify_shown.verify(config)) + list(_strangers(config))


def _images(config: Config, task: str) -> Iterator[Finding]:
    folder = Path(data_path(task))
    if not (folder / MANIFEST).exists():
        yield Finding(f"{folder / MANIFEST}: is missing; run: nern prepare-data {task}", error=False)
        return
    try:
        manifest = read_manifest(folder, data_settings(config, task))
    except NernError as error:
        yield _sentence(error)
        return
    for split in SPLITS:
        path = folder / f"{split}.safetensors"
        try:
            manifest_of(config, task, split)
            if manifest.streaming:
                listed(config, task, split)
            elif files.sha256(path) != manifest.sha256[split]:
                yield Finding(f"{path}: is not the file that data.json records", error=True)
        except NernError as error:
            yield _sentence(error)


_NO_DAMAGE = ("other settings", "is missing", "another original", "is not set", "cannot be listed", "has changed since")


def _sentence(error: NernError) -> Finding:
    """A file of other settings or inputs is for its stage to make again, or lies elsewhere; all else is damage."""
    return Finding(str(error), error=not any(words in str(error) for words in _NO_DAMAGE))


def _original(config: Config, original: OriginalCell, modes: set[str], digests: collect.Digests) -> Iterator[Finding]:
    metrics = Path(original.path) / "metrics.json"
    try:
        trained = load_original(config, original)
        load_predictions(original, trained)
        recorded = files.read_json(metrics)
        if recorded.get("network_sha256") != trained.sha256:
            yield Finding(f"{metrics}: belongs to other weights than network.safetensors", error=True)
        yield from _code(str(metrics), recorded.get("code"))
        yield from _inputs(config, original, recorded.get("inputs"), digests)
    except NernError as error:
        yield _sentence(error)
        return
    for mode in sorted(modes):
        try:
            load_permutation(config, original, mode, trained)
        except NernError as error:
            yield _sentence(error)


def _inputs(config: Config, original: OriginalCell, inputs: object, digests: collect.Digests) -> Iterator[Finding]:
    """The images and the imported weights that an original was made of, against those that are there."""
    for name, digest in (inputs if isinstance(inputs, dict) else {}).items():
        file = weights_file(config, original) if name == "weights" else Path(name)
        found = digests(str(file)) if file else digest  # torchvision's weights are checked whenever they are read
        if found != digest:
            state = "has changed since" if found else "is missing"
            yield Finding(f"{original.path}/metrics.json: its input {file} {state}", error=False)


def _cell(config: Config, cell: Cell, digests: collect.Digests) -> Iterator[Finding]:
    try:
        row = collect.row(cell, digests, fingerprint(fit_settings(config, cell)))
        if row["status"] != collect.DONE:
            reason = f" ({row['message']})" if row.get("message") else ""
            yield Finding(f"{cell.path}: is {row['status']}{reason}", error=False)
            return
        load_fitted(config, cell)
        yield from _code(f"{cell.path}/metrics.json", files.read_json(Path(cell.path) / "metrics.json").get("code"))
    except NernError as error:
        yield _sentence(error)


def _compression(config: Config, target: Cell | OriginalCell, digests: collect.Digests) -> Iterator[Finding]:
    """What `compress` measured, if it did: of these files, by this code, and with the bytes that it kept."""
    path = Path(target.path) / COMPRESSION
    if not path.exists():
        return
    try:
        found = compressed(config, target, digests)
        if found is None:
            yield Finding(f"{path}: is of other settings or files; run: nern compress {target.path}", error=False)
            return
        yield from _code(str(path), found.record.get("code"))
        kept, _ = checkpoint.read_tensors(path.with_name(POINTS))
        for point in found.record["points"]:
            if point["rate"] is not None and _sha256(kept.get(point["codec"])) != point["sha256"]:
                yield Finding(f"{path.with_name(POINTS)}: {point['codec']} is not what {path.name} records", error=True)
    except NernError as error:
        yield _sentence(error)


def _sha256(data: Tensor | None) -> str:
    return "" if data is None else hashlib.sha256(data.numpy().tobytes()).hexdigest()


def _code(path: str, code: object) -> Iterator[Finding]:
    for stage, digest in (code if isinstance(code, dict) else {}).items():
        if code_digest(f"nern.stages.{stage}") != digest:
            yield Finding(f"{path}: its {stage} was run by another version of the code", error=False)


def _strangers(config: Config) -> Iterator[Finding]:
    """Fitted cells that are in no table or figure of the configuration."""
    known = {cell.path for cell in all_cells(config)}
    for path in sorted(Path("results").glob("*/*/*/h*/*/seed*")):
        if path.is_dir() and str(path) not in known:
            yield Finding(f"{path}: is no cell of the configuration", error=False)
