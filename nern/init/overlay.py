"""The overlay that `nern init` writes. It is written as text, and every check reads that text."""

import bisect
import functools
import re
import shlex
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import torch
import yaml

from nern.addresses import Cell, OriginalCell
from nern.config import Config, read
from nern.errors import NernError
from nern.matrix import COMPUTED_TABLES
from nern.method.kernels import KernelLayout
from nern.method.predictor import predictor_of
from nern.provenance import cores
from nern.settings import FolderImages, Images, Network, Protocol, Settings

SHARES = (0.3, 0.4, 0.5)
"""Of the learnable weights' bytes: the sizes of the predictors."""
VARIANTS = ((50_000, "decoupled-reordered"), (200_000, "decoupled-deep-float32-reordered"))
"""Up to so many kernels this variant: ResNet20 has 30,000, and ResNet56, which needs smaller steps, 94,000."""
LARGER = "decoupled-table-long"
"""Above, where passes of all kernels take long, for gradients in a step or for another order."""
_MODE = "cross-filter"
"""The only order that kernels which change places can be stored in."""


@dataclass(frozen=True)
class Overlay:
    """What is known of it so far.

    Attributes:
        files: the configuration files that come before it.
        path: where it will be written.
        images: of the task.
        classes: of the task.
        network: the architecture, with the weights to import.
        device: where to run.
        mean: a number a channel.
        std: a number a channel.
        moments: where mean and deviation come from.
        original: what the network is worth.
        variant: the protocol of the fits.
        sizes: hidden sizes of the predictors.
        shares: what each of them takes of the bytes of the learned weights, in per cent.
        side: of the images, in pixels.
    """

    files: list[Path]
    path: Path
    images: Images
    classes: int
    network: Network
    device: str
    mean: list[float] = field(default_factory=lambda: [0.5] * 3)
    std: list[float] = field(default_factory=lambda: [0.5] * 3)
    moments: str = ""
    original: str = ""
    variant: str = "decoupled-reordered"
    sizes: list[int] = field(default_factory=lambda: [1])
    shares: list[int] = field(default_factory=list)
    side: int = 0

    @property
    def name(self) -> str:
        """Of the task, the table and the frontier."""
        return name_of(self.path)

    @property
    def network_name(self) -> str:
        """ResNet's with its depth, others' by their architecture."""
        _, _, name = self.network.architecture.partition(":")
        return re.sub(r"[^A-Za-z0-9._-]+|^[^A-Za-z0-9]+", "", name) or f"resnet{self.network.depth}"

    @property
    def cell(self) -> OriginalCell:
        """The original."""
        return OriginalCell(self.name, self.network_name, "base")

    def fit(self, config: Config) -> Cell:
        """A cell of the size in the middle."""
        hidden = self.sizes[len(self.sizes) // 2]
        return Cell(self.name, self.network_name, _MODE, hidden, self.variant, config.seeds[0])

    def config(self) -> Config:
        """The whole configuration as it will be read; NernError if a setting is wrong."""
        return read(self.files, yaml.safe_load(self.text()))

    def command(self) -> str:
        """What makes the table: Snakemake reads the checkout's config.yaml first, unless it is told not to."""
        first, *others = self.files
        replaced = first.resolve() != Path("config.yaml").resolve()
        overlays = shlex.join(map(str, [*([first] if replaced else []), *others, self.path]))
        option = " --replace-workflow-config" * replaced
        return f"snakemake --cores {cores()} tables/{self.name}.md{option} --configfile {overlays}"

    def text(self) -> str:
        """The file."""
        # the paper's code pads 32 pixels by 4; streams are cropped at random areas instead
        streams = isinstance(self.images, FolderImages) and self.images.streaming
        augmentation = {"padding": 0 if streams else self.side // 8, "flip": len(self.mean) == 3}
        shares = " and ".join(", ".join(map(str, self.shares)).rsplit(", ", 1))
        name = _flow(self.name)  # in quotes where YAML would read a number or a truth value
        return f"""\
# {self.name}: a trained network, its images, and the table that compares predictors of it.
#   {self.command()}
# What they are worth at equal bytes (docs/frontier.md) is tables/frontier_{self.name}.md.
# Written and tried by `nern init`. What is not here is as in config.yaml; `nern schema` prints every key.
inherit: false # this table and this frontier alone, not the paper's
execution:
  device: {_flow(self.device)} # where to run; changing it reruns nothing

tasks:
  {name}:
    title: {name} # what tables call the images
    classes: {self.classes}
    images:
{_block(self.images)}
    mean: {_flow(self.mean)} # {self.moments}
    std: {_flow(self.std)}
    # of the images that a predictor is distilled on; flip: false where a mirrored image is another thing
    augmentation: {_flow(augmentation)}
    networks:
      {_flow(self.network_name)}: # {self.original}
{_block(self.network, 8)}

tables:
  {name}:
    title: {_flow(f"{self.network_name}, reconstructed")}
    task: {name}
    sizes: {_flow({self.network_name: self.sizes})} # {shares} % of the bytes of the weights that are learned
    smoothing: [{_MODE}] # or in-filter, of fewer bytes; none needs a variant that does not reorder kernels
    variants: {_flow([self.variant])} # the paper's own protocol is base, of 70,000 iterations

frontiers:
  {name}:
    title: {_flow(f"{self.network_name}, accuracy and divergence against bytes")}
    task: {name}
    sizes: {_flow({self.network_name: self.sizes})}
    variants: {_flow([self.variant])}
"""


def _block(settings: Settings, indent: int = 6) -> str:
    """What was set, a key a line."""
    said = settings.model_dump(mode="json", exclude_unset=True)
    text: str = yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=10**6)
    return textwrap.indent(text.rstrip(), " " * indent)


def _flow(value: object) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6)
    return text.removesuffix("...\n").strip()


def name_of(path: Path) -> str:
    """The name that a file gives its task, its table and its frontier; NernError if there is none in it."""
    name = re.sub(r"[^a-z0-9]+", "_", path.stem.lower()).strip("_")[:64]
    if path.suffix not in (".yaml", ".yml") or not name:
        raise NernError(f"{path}: the overlay's name becomes the table's; write letters and digits, then .yaml")
    return name


def check_free(path: Path, config: Config) -> None:
    """Nothing may be overwritten: no file, and no setting of that name.

    Raises:
        NernError: something is there.
    """
    if path.exists() or path.is_symlink():
        raise NernError(f"{path}: exists, and nothing is overwritten; choose another name, or remove it first")
    if not path.parent.is_dir():
        raise NernError(f"{path}: there is no folder {path.parent}; make it first")
    name = name_of(path)
    if name in {*config.tasks, *config.tables, *config.frontiers, *COMPUTED_TABLES}:
        raise NernError(f"{path}: the configuration has a task or a table {name} already; choose another name")


def variant_of(kernels: int) -> str:
    """The variant that suits a network of so many kernels."""
    return next((name for most, name in VARIANTS if kernels <= most), LARGER)


def parameters_of(protocol: Protocol, layout: KernelLayout, hidden: int) -> int:
    """How many parameters a predictor of this hidden size has."""
    with torch.device("meta"):
        predictor = predictor_of(protocol.embedding, protocol.activation, hidden, layout)
    return sum(parameter.numel() for parameter in predictor.parameters())


def sizes_of(protocol: Protocol, layout: KernelLayout) -> list[int]:
    """The hidden sizes whose predictors have the largest number of parameters within each of `SHARES`; 1 at least."""
    budgets = [share * layout.parameters for share in SHARES]
    counted = functools.partial(parameters_of, protocol, layout)
    found = [bisect.bisect_right(range(1, 2**15), budget, key=counted) for budget in budgets]
    return list(dict.fromkeys(max(1, size) for size in found))
