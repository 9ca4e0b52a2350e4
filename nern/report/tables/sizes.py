"""Two tables that need no training: shares of convolutions (table 8) and what permutations cost (table 9).

The share is that of all parameters. The overhead of a permutation is the bits of section 3.3's formulas, relative to
the bits of the weights that it orders: 32 for each learnable weight. This is the reading by which the paper's networks
lie in the published ranges.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pandas as pd
import torch
from torch import nn

from nern.method.permutation import overhead_bits
from nern.networks.learnable import learnable_layers
from nern.networks.zoo import build
from nern.report import published
from nern.report.documents import formats
from nern.report.documents.document import DASH, Column, Document, Grid, Marks, Note, Text

FIRST_COLUMNS = [Column("For", numeric=False), Column("Network", numeric=False)]
CLASSES = {"cifar10": 10, "imagenet": 1000}
WEIGHT_BITS = 32


@dataclass(frozen=True)
class Standard:
    """A standard ResNet, and whether it is one of the paper's three."""

    name: str
    task: str
    learnable: Literal["all"] | list[int]
    shortcut: Literal["A", "B"] | None = None
    papers: bool = False

    @property
    def family(self) -> str:
        """What it shares with its neighbors in a table."""
        return "ImageNet" if self.shortcut is None else f"CIFAR-10, option {self.shortcut}"

    def build(self) -> nn.Module:
        """The network, without memory for its parameters."""
        with torch.device("meta"):
            if self.shortcut is None:
                return build(f"torchvision:{self.name}", classes=CLASSES[self.task])
            depth = int(self.name.removeprefix("resnet"))
            return build("cifar-resnet", classes=CLASSES[self.task], depth=depth, shortcut=self.shortcut)


NETWORKS = [
    Standard("resnet20", "cifar10", "all", "B", papers=True),
    Standard("resnet32", "cifar10", "all", "B"),
    Standard("resnet44", "cifar10", "all", "B"),
    Standard("resnet56", "cifar10", "all", "B", papers=True),
    Standard("resnet110", "cifar10", "all", "B"),
    Standard("resnet20", "cifar10", "all", "A"),
    Standard("resnet56", "cifar10", "all", "A"),
    Standard("resnet18", "imagenet", [3], papers=True),
    Standard("resnet34", "imagenet", [3]),
    Standard("resnet50", "imagenet", [3]),
    Standard("resnet101", "imagenet", [3]),
    Standard("resnet152", "imagenet", [3]),
]
"""He et al. 2015's ResNets: those for CIFAR by depth, then torchvision's."""
SHORTCUTS = Note(
    "Networks",
    "the options are the shortcuts where the number of channels changes: A pads with zeros, B projects by a 1×1 "
    "convolution as the authors' code does. The ImageNet networks are torchvision's.",
)


def conv_sizes() -> tuple[pd.DataFrame, Document]:
    """Table 8: the share of convolutions in the parameters of the standard ResNets."""
    frame = pd.DataFrame([_convolutions(network) for network in NETWORKS])
    names = ("Parameters", "In convolutions", "Share (%)", "In 3×3 kernels", "Of these (%)")
    columns = [*FIRST_COLUMNS, *(Column(name) for name in names)]
    rows = []
    for row in frame.itertuples():
        every, of_size_3 = f"{row.convolutions:,}", f"{row.convolutions_3x3:,}"
        numbers = [f"{row.parameters:,}", every, f"{row.share:.2f}", of_size_3, f"{row.share_3x3:.2f}"]
        rows.append([Text(text) for text in (row.family, row.network, *numbers)])
    title = "Share of convolutions in the parameters of ResNets"
    return frame, Document("conv_sizes", title, [Grid(title, columns, rows, [SHORTCUTS], keys=1)])


def _convolutions(network: Standard) -> dict[str, object]:
    module = network.build()
    parameters = sum(parameter.numel() for parameter in module.parameters())
    kernels = [layer.weight for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    every = sum(weight.numel() for weight in kernels)
    of_size_3 = sum(weight.numel() for weight in kernels if weight.shape[2:] == (3, 3))
    return {
        "family": network.family,
        "network": network.name,
        "parameters": parameters,
        "convolutions": every,
        "share": 100 * every / parameters,
        "convolutions_3x3": of_size_3,
        "share_3x3": 100 * of_size_3 / every,
    }


def permutation_overhead() -> tuple[pd.DataFrame, Document]:
    """Table 9: what storing the permutations takes, relative to the weights that they order."""
    frame = pd.DataFrame([_overhead(network) for network in NETWORKS])
    marks, rows = Marks(), []
    columns = [*FIRST_COLUMNS, Column("Learnable (MiB)")]
    for mode in ("in-filter", "cross-filter"):
        columns += [
            Column("size (KiB)", mode, alone=f"{mode} (KiB)"),
            Column("overhead (%)", mode),
            Column("published", mode),
        ]
    for network, row in zip(NETWORKS, frame.to_dict("records"), strict=True):
        cells = [Text(network.family), Text(network.name), Text(f"{row['learnable_bytes'] / formats.MIB:.2f}")]
        for mode in ("in-filter", "cross-filter"):
            size, overhead = row[f"{mode} bits"] / 8 / 1024, row[f"{mode} overhead"]
            cells += [Text(f"{size:,.1f}"), Text(f"{overhead:.2f}"), _published(network, mode, overhead, marks)]
        rows.append(cells)
    general = [
        Note(
            "Overhead",
            "bits of the permutation in per cent of the bits of the learnable weights (32 each): all convolutions of "
            "the CIFAR networks, the 3×3 convolutions of torchvision's. In-filter: F·C·log2 C + F·log2 F bits a layer "
            "of F filters and C channels; cross-filter: F·C·(log2 F + log2 C).",
        ),
        Note("Published", "paper, section 3.3: a range for its three networks."),
        SHORTCUTS,
    ]
    title = "Size overhead of the permutations"
    return frame, Document(
        "permutation_overhead", title, [Grid(title, columns, rows, general, keys=1, marked=marks.notes)]
    )


def _overhead(network: Standard) -> dict[str, object]:
    module = network.build()
    names = learnable_layers(module, include=network.learnable)
    shapes = [tuple(module.get_parameter(f"{name}.weight").shape) for name in names]
    weights = sum(filters * channels * height * width for filters, channels, height, width in shapes)
    row: dict[str, object] = {"family": network.family, "network": network.name, "learnable_bytes": weights * 4}
    for mode in ("in-filter", "cross-filter"):
        bits = sum(overhead_bits(mode, filters, channels) for filters, channels, _, _ in shapes)
        row |= {f"{mode} bits": bits, f"{mode} overhead": 100 * bits / (WEIGHT_BITS * weights)}
    return row


def _published(network: Standard, mode: str, overhead: float, marks: Marks) -> Text:
    if not network.papers:
        return Text(DASH)
    low, high = published.permutation_overhead(mode)
    mark = marks.mark("Inside the published range." if low <= overhead <= high else "Outside the published range.")
    return Text(f"{low:g}–{high:g}", (mark,))


TABLES: dict[str, Callable[[], tuple[pd.DataFrame, Document]]] = {
    "conv_sizes": conv_sizes,
    "permutation_overhead": permutation_overhead,
}
"""The tables of this module, by name."""
