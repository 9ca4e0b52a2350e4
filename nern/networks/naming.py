"""From the names of a checkpoint to those of a network: prefixes of wrappers, synonyms, averages beside the weights."""

import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping

from torch import Tensor

from nern.errors import NernError

log = logging.getLogger(__name__)

_SYNONYMS = (
    # what other CIFAR ResNets call fc and downsample
    (re.compile(r"(^|\.)linear\."), r"\1fc."),
    (re.compile(r"\.shortcut\."), r".downsample."),
    # what torchvision's DenseNets were called when their weights were published
    (re.compile(r"\.(norm|conv)\.([12])\."), r".\1\2."),
)
_BESIDE = ("n_averaged", "total_ops", "total_params")
"""What torch's AveragedModel and the counter thop leave among the weights."""
_AVERAGES = {"ema", "swa", "average", "averaged", "shadow"}


def the_one(names: Iterable[str], where: str) -> str:
    """Which of several networks in a file is taken: the one that is no moving average, which is said.

    Raises:
        NernError: there are two of them.
    """
    found = list(names)
    plain = [name for name in found if not _AVERAGES & set(re.split(r"[._]", name.lower()))] or found
    shown = " and ".join(_shown(name) for name in found)
    if len(plain) > 1:
        raise NernError(f"{where}: holds several networks ({shown}); save the state_dict() of the one that is meant")
    if len(found) > 1:
        log.warning("%s: holds %s; %s is taken", where, shown, _shown(plain[0]))
    return plain[0]


def named_as(wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """The tensors of a checkpoint by a network's own names; what the network does not know keeps its name.

    Args:
        wanted: the network's state dict.
        tensors: the checkpoint's.
        where: the file, for messages.

    Raises:
        NernError: there are two names for one tensor, or two networks.
    """
    names = [name for name in tensors if name in wanted or name.rpartition(".")[2] not in _BESIDE]
    networks = _networks(wanted, names)
    prefix = the_one(networks, where) if networks else _common_prefix(wanted, names)
    others = tuple(other for other in networks if other not in ("", prefix))
    taken: dict[str, str] = {}
    for name in names:
        if name.startswith(others):
            continue
        ours = _renamed(name.removeprefix(prefix), wanted) if name.startswith(prefix) else name
        if ours in taken:
            raise NernError(f"{where}: holds both {taken[ours]} and {name}, which are {ours} here; remove one")
        taken[ours] = name
    return {ours: tensors[theirs] for ours, theirs in taken.items()}


def _networks(wanted: Mapping[str, Tensor], names: list[str]) -> list[str]:
    """The prefixes behind which a checkpoint has all that a network needs."""
    # checkpoints older than PyTorch 0.4.1 do not count batches
    needed = {name for name in wanted if not name.endswith("num_batches_tracked")}
    counts = Counter(name[:end] for name in names for end in _ends(name))
    return [
        prefix
        for prefix, count in counts.items()
        if count >= len(needed)
        and needed <= {_renamed(name.removeprefix(prefix), wanted) for name in names if name.startswith(prefix)}
    ]


def _ends(name: str) -> list[int]:
    """Where the prefixes of a name end: before its first part, and behind each dot."""
    return [0] + [dot.end() for dot in re.finditer(r"\.", name)]


def _common_prefix(wanted: Mapping[str, Tensor], names: list[str]) -> str:
    """What all names begin with, up to a dot, unless the network's do so, too: so a misfit is told without it."""
    common = os.path.commonprefix(names)  # noqa: RUF071 - of characters: a part may end in the middle
    common = common[: common.rfind(".") + 1]
    return "" if any(name.startswith(common.partition(".")[0]) for name in wanted) else common


def _renamed(name: str, wanted: Mapping[str, Tensor]) -> str:
    if name in wanted:
        return name
    for theirs, ours in _SYNONYMS:
        if (other := theirs.sub(ours, name)) in wanted:
            return other
    return name


def _shown(prefix: str) -> str:
    return prefix.removesuffix(".") or "names without a prefix"
