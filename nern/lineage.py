"""By what a result is made: settings, code and a user's files, of its own stage and of all before it, in one digest.

Snakemake remembers a stage that failed as one that ran, and takes what an earlier run made further down for up to date,
although what it was made of is gone. So every rule has the lineage of its inputs among its parameters. The Snakefile
imports this module, so it imports nothing heavy.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import replace

from nern.addresses import COMPRESSION, MANIFEST, RESULTS, SECONDS, Cell, OriginalCell, manifest_path, parse_target
from nern.code_digest import code_digest
from nern.compression import compression_settings
from nern.config import Config, fingerprint
from nern.data import contents
from nern.matrix import figure_settings
from nern.report_settings import ImportanceFigure
from nern.resolved import FitSettings, data_settings, fit_settings, original_settings, permutation_settings

_IMAGES = re.compile(rf"{RESULTS}/([^/]+)/images/{re.escape(MANIFEST)}")
_PERMUTATION = re.compile(r"permutation-(.+)\.npz")
_FIGURE = "weight_importance"
"""The figure whose settings say what stage `importance` measures."""


class Lineage:
    """The lineages of a configuration's results, each computed once."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.known: dict[str, str] = {}
        self.originals: dict[OriginalCell, list[str]] = {}
        self.fits: dict[Cell, FitSettings] = {}

    def of_all(self, paths: Iterable[str]) -> str:
        """The digest of several results' lineages."""
        return _digest(*(self.of(path) for path in paths))

    def of(self, path: str) -> str:
        """The digest of a result's lineage, by its path.

        Raises:
            NernError: the path is that of no result, or a name in it is unknown.
        """
        if path not in self.known:
            folder, _, file = path.rpartition("/")
            file = COMPRESSION if file == SECONDS else file  # one stage writes both
            if images := _IMAGES.fullmatch(path):
                parts = self._images(images[1])
            elif isinstance(target := parse_target(folder), OriginalCell):
                parts = self._original(target, file)
            else:
                parts = self._cell(target, file)
            self.known[path] = _digest(*parts)
        return self.known[path]

    def _images(self, task: str) -> list[str]:
        settings, sources = data_settings(self.config, task), contents.present_sources(self.config, task)
        return [fingerprint(settings), *sources, code_digest("nern.stages.prepare_data")]

    def _original(self, original: OriginalCell, file: str) -> list[str]:
        own = self._trained(original)
        if mode := _PERMUTATION.fullmatch(file):
            order = permutation_settings(self.config, original, mode[1])
            return [*own, fingerprint(order), code_digest("nern.stages.permute")]
        return own + (self._compressed(original) if file == COMPRESSION else [])

    def _trained(self, original: OriginalCell) -> list[str]:
        if original not in self.originals:
            settings = fingerprint(original_settings(self.config, original))
            weights, code = contents.present_weights(self.config, original), code_digest("nern.stages.train_original")
            images = self.of(manifest_path(original.task))
            self.originals[original] = [settings, weights, code, images]
        return self.originals[original]

    def _cell(self, cell: Cell, file: str) -> list[str]:
        own = self._fitted(cell)
        if file == COMPRESSION:
            return own + self._compressed(cell)
        if file == "metrics.json":
            return [*own, code_digest("nern.stages.evaluate")]
        if file == "importance.json":
            figure = figure_settings(self.config, _FIGURE)
            assert isinstance(figure, ImportanceFigure)
            return [*own, figure.layer, str(figure.images), code_digest("nern.stages.importance")]
        return own

    def _fitted(self, cell: Cell) -> list[str]:
        """Of cells that differ in size or seed, the settings are resolved once: a matrix has thousands."""
        alike = replace(cell, hidden=1, seed=0)
        if alike not in self.fits:
            self.fits[alike] = fit_settings(self.config, alike)
        settings = self.fits[alike].model_copy(update={"cell": cell.path, "hidden": cell.hidden, "seed": cell.seed})
        permutation = OriginalCell(cell.task, cell.network, settings.protocol.original).permutation(cell.smoothing)
        return [self.of(permutation), fingerprint(settings), code_digest("nern.stages.fit")]

    def _compressed(self, target: Cell | OriginalCell) -> list[str]:
        settings = compression_settings(self.config, target)
        return [fingerprint(settings), code_digest("nern.stages.compress")]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
