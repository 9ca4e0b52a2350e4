"""Where each artifact lies: the folders of cells, originals and images, and the files in them that several stages know.

A path is an address and nothing else: every setting of a cell is found by its names in the configuration.
"""

import re
from dataclasses import dataclass

from nern.errors import NernError

RESULTS = "results"
COMPRESSION, SECONDS = "compression.json", "compress.json"
"""What stage `compress` measured of a cell or an original, and how long it took: in the folder of either."""
PROGRESS = "progress.json"
"""How far the stage is that works in a folder. Only there while it runs, or after it was killed."""
MANIFEST = "data.json"
"""What the prepared images of a task are: in their folder."""
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_CELL = re.compile(
    rf"{RESULTS}/(?P<task>{_NAME})/(?P<network>{_NAME})/(?P<smoothing>none|in-filter|cross-filter)"
    rf"/h(?P<hidden>[1-9][0-9]{{0,8}})/(?P<variant>{_NAME})/seed(?P<seed>0|[1-9][0-9]{{0,8}})"
)
_ORIGINAL = re.compile(rf"{RESULTS}/(?P<task>{_NAME})/(?P<network>{_NAME})/originals/(?P<name>{_NAME})")


@dataclass(frozen=True, order=True)
class OriginalCell:
    """One original network: `results/<task>/<network>/originals/<name>/`."""

    task: str
    network: str
    name: str

    @property
    def path(self) -> str:
        """The folder of its files."""
        return f"{RESULTS}/{self.task}/{self.network}/originals/{self.name}"

    def permutation(self, mode: str) -> str:
        """The file of its permutation for one smoothing mode."""
        return f"{self.path}/permutation-{mode}.npz"

    @classmethod
    def parse(cls, path: str) -> "OriginalCell":
        """The original of a path; NernError if the path is none."""
        match = _ORIGINAL.fullmatch(path.removesuffix("/"))
        if match is None:
            raise NernError(f"{path!r} is no path of an original; it reads results/<task>/<network>/originals/<name>")
        return cls(**match.groupdict())


@dataclass(frozen=True, order=True)
class Cell:
    """One fit of one predictor: `results/<task>/<network>/<smoothing>/h<hidden>/<variant>/seed<k>/`."""

    task: str
    network: str
    smoothing: str
    hidden: int
    variant: str
    seed: int

    @property
    def path(self) -> str:
        """The folder of its files."""
        return f"{RESULTS}/{self.task}/{self.network}/{self.smoothing}/h{self.hidden}/{self.variant}/seed{self.seed}"

    @classmethod
    def parse(cls, path: str) -> "Cell":
        """The cell of a path (its folder, or a file in it); NernError if the path is none."""
        folder = re.sub(r"/[a-z]+\.(json|csv|safetensors)$", "", path.removesuffix("/"))
        match = _CELL.fullmatch(folder)
        if match is None:
            raise NernError(
                f"{path!r} is no path of a cell; it reads "
                "results/<task>/<network>/<none|in-filter|cross-filter>/h<hidden>/<variant>/seed<k>"
            )
        names = match.groupdict()
        return cls(
            task=names["task"],
            network=names["network"],
            smoothing=names["smoothing"],
            hidden=int(names["hidden"]),
            variant=names["variant"],
            seed=int(names["seed"]),
        )


def parse_target(path: str) -> Cell | OriginalCell:
    """The cell or original of a path; NernError if it is neither."""
    return OriginalCell.parse(path) if path.split("/")[3:4] == ["originals"] else Cell.parse(path)


def data_path(task: str) -> str:
    """The folder of a task's prepared images."""
    return f"{RESULTS}/{task}/images"


def manifest_path(task: str) -> str:
    """The manifest of a task's prepared images."""
    return f"{data_path(task)}/{MANIFEST}"
