"""What is made of half a matrix has a name of its own: under the whole's, Snakemake would take it for the whole."""

import logging
from collections.abc import Sequence
from pathlib import Path

log = logging.getLogger(__name__)


def stem(name: str, inputs: Sequence[str], root: Path) -> str:
    """The name of a table's or figure's files: `name`, or `name.partial` while a file that it is made of is missing.

    Args:
        name: of the table or figure.
        inputs: the files that the workflow makes it of.
        root: the folder that `results/` lies in.
    """
    missing = sum(not (root / path).is_file() for path in inputs)
    if not missing:
        return name
    log.warning(
        "%d of the %d files that %s is made of are missing: %s.partial shows the rest", missing, len(inputs), name, name
    )
    return f"{name}.partial"
