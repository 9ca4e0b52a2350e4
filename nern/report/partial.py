"""What is made of half a matrix has a name of its own: under the whole's, Snakemake would take it for the whole."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from nern.report.cells.collect import DONE

log = logging.getLogger(__name__)
_SUFFIX = ".partial"
ABSENT = "absent"
"""In `attrs` of a frame that says nothing of single cells: how many of those that it is made of do not count."""


def name(whole: str) -> str:
    """What is made of half of what `whole` is made of."""
    return whole + _SUFFIX


def is_partial(file: Path) -> bool:
    """Whether a file has such a name."""
    return file.stem.endswith(_SUFFIX)


def stem(whole: str, inputs: Sequence[str], root: Path, absent: int = 0) -> str:
    """The name of a table's or figure's files: `whole`, or `whole.partial` while something is not there.

    Args:
        whole: the name of the table or figure.
        inputs: the files that the workflow makes it of.
        root: the folder that `results/` lies in.
        absent: how many of its numbers do not count, whose files may be there: outdated or failed, say.
    """
    missing = sum(not (root / path).is_file() for path in inputs)
    if missing:
        what = f"{missing} of the {len(inputs)} files that {whole} is made of are missing"
    elif absent:
        what = f"{absent} of the numbers that {whole} is made of do not count"
    else:
        return whole
    log.warning("%s: %s shows the rest", what, name(whole))
    return name(whole)


def replace(out: Path, written: str) -> None:
    """Remove what was made of half of what is written now, if that is the whole: its numbers are older."""
    for path in out.glob(f"{name(written)}.*"):
        path.unlink(missing_ok=True)


def absent(frame: pd.DataFrame) -> int:
    """How many numbers of a frame are not there: cells that are not done, or seeds of a frontier."""
    if ABSENT in frame.attrs:
        return int(frame.attrs[ABSENT])
    if "status" in frame:
        return int((frame["status"] != DONE).sum())
    return int((frame["seeds"] - frame["n"]).sum()) if "seeds" in frame else 0
