"""Whether a fit is one that a published figure is about: by its settings, whatever its names are.

The paper's protocol is that of `nern.settings`, whose defaults are the paper's, with what each of its networks has of
its own: METHOD's values, which `config.yaml` ships. `nern.report.published` judges how many test images there are.
"""

from nern.addresses import Cell
from nern.config import Config, layered, recipe_of
from nern.matrix import all_cells, table_cells
from nern.report import published
from nern.resolved import network_of, original_of, protocol_of, task_of
from nern.settings import Augmentation, FolderImages, Network, Original, Protocol

PROTOCOLS = ("base", "authors-2023")
"""Variants whose accuracies the published ones are comparable with: the paper's protocol, and that of the code whose
README has them."""
CODE_OF_2023 = {"initialization": "default", "training": {"losses": {"sums_twice": True}}}
"""What the second has otherwise."""
LAMBDA_TABLE = "smoothness_regularization"
"""The table in which the best λ is looked up."""
_DEEP = {"warmup": 10_000, "losses": {"alpha": 1e-5, "beta": 1e-5}}
TRAINING: dict[tuple[str, str], dict[str, object]] = {
    ("cifar10", "resnet20"): {},
    ("cifar10", "resnet56"): _DEEP,
    ("cifar100", "resnet56"): _DEEP | {"iterations": 90_000},
    ("imagenet", "resnet18"): {
        "iterations": 160_000,
        "batch": 32,
        "warmup": 20_000,
        "losses": {"alpha": 1e-6, "beta": 1e-6},
        "sampling": {"kernels": 65_536},
    },
}
"""What the paper's networks have of their own in training."""
NETWORKS = {
    "resnet20": Network(architecture="cifar-resnet", depth=20, shortcut="B"),
    "resnet56": Network(architecture="cifar-resnet", depth=56, shortcut="B"),
    "resnet18": Network(architecture="torchvision:resnet18", learnable=[3]),
}
CLASSES = {"cifar10": 10, "cifar100": 100, "imagenet": 1000}
SIDES = {"cifar10": (32, 32), "cifar100": (32, 32), "imagenet": (224, 256)}
"""Of the images that networks see, and of test images before they are cropped: what a folder's images are scaled to."""
AUGMENTATIONS = {
    "cifar10": Augmentation(padding=4, flip=True),
    "cifar100": Augmentation(padding=4, flip=True),
    "imagenet": Augmentation(flip=True),
}
NORMALIZATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
"""ImageNet's mean and standard deviation, with CIFAR, too (METHOD)."""
ORIGINALS = {
    "cifar10": Original(),
    "cifar100": Original(epochs=300),
    "imagenet": Original(weights="torchvision:ResNet18_Weights.IMAGENET1K_V1"),
}
_FREE = {"original": "base", "evaluate_every": 0, "precision": "float32"}
"""What may differ: how the original is called, when it is tested, and whether its products are of TF32, as theirs."""


def by_published_protocol(config: Config, cell: Cell, *, regularized: bool = False) -> bool:
    """Whether a cell is fitted by the paper's protocol, or by that of its code of 2023, to an original by its recipe.

    Args:
        config: the configuration.
        cell: the cell; its variant is called as one of these protocols.
        regularized: its original may be regularized, and its variant be called anything.
    """
    named = regularized or cell.variant in PROTOCOLS
    return named and _protocol(config, cell) and _original(config, cell, regularized)


def comparable_cells(config: Config) -> list[Cell]:
    """Those cells of the matrix that a published accuracy is about, and those that the best λ is looked up in."""
    claims = {(p.task, p.network, p.smoothing, p.hidden) for p in published.figures() if p.kind == "accuracy"}
    about = [c for c in all_cells(config) if (c.task, c.network, c.smoothing, c.hidden) in claims]
    found = [cell for cell in about if cell.variant == PROTOCOLS[0] and by_published_protocol(config, cell)]
    table = table_cells(config, LAMBDA_TABLE) if LAMBDA_TABLE in config.tables else []
    found += [cell for cell in table if by_published_protocol(config, cell, regularized=True)]
    return list(dict.fromkeys(found))


def loss_cells(config: Config) -> list[Cell]:
    """Those cells, by any protocol, that a published loss can be held against: of its network and its task's images."""
    about = {(figure.task, figure.network) for figure in published.losses()}
    papers = {(task, network) for task, network in about if is_papers_network(config, task, network)}
    return [cell for cell in all_cells(config) if (cell.task, cell.network) in papers]


def is_papers_network(config: Config, task: str, network: str) -> bool:
    """Whether a network is the paper's of its name, and sees images as large and of as many classes as the paper's."""
    if (task, network) not in TRAINING or task not in config.tasks or network not in config.tasks[task].networks:
        return False
    found = task_of(config, task)
    if isinstance(found.images, FolderImages) and (found.images.size, found.images.resize) != SIDES[task]:
        return False
    theirs, ours = (_architecture(each) for each in (NETWORKS[network], network_of(config, task, network)))
    return ours == theirs and found.classes == CLASSES[task]


def is_changed(config: Config, cell: Cell) -> bool:
    """Whether a cell's variant is called as a published protocol, and is another."""
    return cell.variant in PROTOCOLS and not _protocol(config, cell)


def _protocol(config: Config, cell: Cell) -> bool:
    own = TRAINING.get((cell.task, cell.network))
    if own is None:
        return False
    wanted = Protocol.model_validate({"training": own})
    if cell.variant == PROTOCOLS[1]:
        wanted = layered("", wanted, Protocol.model_validate(CODE_OF_2023))
    found = protocol_of(config, cell)
    return found.precision != "bfloat16" and found.model_copy(update=_FREE) == wanted.model_copy(update=_FREE)


def _original(config: Config, cell: Cell, regularized: bool) -> bool:
    if not is_papers_network(config, cell.task, cell.network):
        return False
    task = task_of(config, cell.task)
    if task.augmentation != AUGMENTATIONS[cell.task] or (task.mean, task.std) != NORMALIZATION:
        return False
    recipe, theirs = recipe_of(config, cell.task, cell.network, original_of(config, cell).name), ORIGINALS[cell.task]
    if recipe.weights is not None or theirs.weights is not None:
        return recipe.weights == theirs.weights
    free = {"seed": 0, "precision": "float32"} | ({"smoothness": 0.0} if regularized else {})
    return recipe.precision != "bfloat16" and recipe.model_copy(update=free) == theirs.model_copy(update=free)


def _architecture(network: Network) -> tuple[object, ...]:
    """All that an untrained network and its kernels depend on; what is not said is as `nern.networks.zoo` takes it."""
    shape = (network.depth, network.width or 16, network.shortcut or "B")
    return network.architecture, *shape, network.learnable, network.cosine_for_1x1
