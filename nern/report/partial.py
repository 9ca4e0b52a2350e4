"""What is made of half a matrix has a name of its own: under the whole's, Snakemake would take it for the whole."""

import logging
from collections.abc import Sequence
from pathlib import Path

log = logging.getLogger(__name__)
_SUFFIX = ".partial"


def name(whole: str) -> str:
    """What is made of half of what `whole` is made of."""
    return whole + _SUFFIX


def is_partial(file: Path) -> bool:
    """Whether a file has such a name."""
    return file.stem.endswith(_SUFFIX)


def stem(whole: str, inputs: Sequence[str], root: Path) -> str:
    """The name of a table's or figure's files: `whole`, or `whole.partial` while a file that it is made of is missing.

    Args:
        whole: the name of the table or figure.
        inputs: the files that the workflow makes it of.
        root: the folder that `results/` lies in.
    """
    missing = sum(not (root / path).is_file() for path in inputs)
    if not missing:
        return whole
    log.warning(
        "%d of the %d files that %s is made of are missing: %s shows the rest", missing, len(inputs), whole, name(whole)
    )
    return name(whole)
