"""A live view of the matrix: what is done, and what runs with its rate, the time left and its best accuracy."""

import contextlib
import datetime
import io
import signal
import time
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nern import files
from nern.addresses import PROGRESS, OriginalCell, parse_target
from nern.config import Config
from nern.errors import NernError
from nern.matrix import all_cells
from nern.report.documents.document import DASH
from nern.report.status.matrix import ORDER, status
from nern.resolved import original_of
from nern.terminal import say


def watch(config: Config, root: Path, every: float) -> None:
    """Show the view until the user ends it: in place on a terminal, else one below the other.

    Args:
        config: the configuration.
        root: the folder that `results/` lies in.
        every: seconds between looks.
    """
    console = Console()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the way to end it, and no mistake
    with contextlib.suppress(KeyboardInterrupt):
        if console.is_terminal:
            with Live(view(config, root), console=console, auto_refresh=False) as live:
                while True:
                    time.sleep(every)
                    live.update(view(config, root), refresh=True)
        while say(_plain(console, view(config, root)), end=""):
            time.sleep(every)


def _plain(console: Console, shown: Group) -> str:
    """The view as text for a console that is a file."""
    page = io.TextIOWrapper(io.BytesIO(), console.encoding, errors="replace")
    Console(file=page, width=console.width).print(shown)
    page.seek(0)
    return page.read()


def view(config: Config, root: Path) -> Group:
    """Counts of the matrix in one line, and a table of what runs now."""
    frame = status(config, root)
    counts = frame["status"].value_counts()
    shown = [f"{counts[state]} {state}" for state in ORDER if state in counts]
    table = Table("Running", "Done", "it/s", "Left", "Loss", "Best on test (%)", "Original (%)")
    for column in table.columns[1:]:
        column.justify = "right"
    for folder in _working(config, root):
        table.add_row(folder.removeprefix("results/"), *_progress(root, folder), _original(config, frame, folder))
    return Group(Text(", ".join(shown)), table)


def _working(config: Config, root: Path) -> list[str]:
    """The folders of originals and cells that a living process holds."""
    cells = all_cells(config)
    folders = [original.path for original in dict.fromkeys(original_of(config, cell) for cell in cells)]
    return [path for path in folders + [cell.path for cell in cells] if files.is_locked(root / path)]


def _progress(root: Path, folder: str) -> list[str]:
    try:
        found: dict[str, Any] = files.read_json(root / folder / PROGRESS)
    except NernError:  # it has not begun, or has just ended
        return [DASH] * 5
    left = datetime.timedelta(seconds=round(found["seconds_left"]))
    best, loss = found["best_on_test_accuracy"], found.get("loss")
    return [
        f"{found['done']:,} of {found['total']:,}",
        f"{found['rate']:.1f}",
        str(left),
        DASH if loss is None else f"{loss:.4g}",
        DASH if best is None else f"{best:.2f}",
    ]


def _original(config: Config, frame: pd.DataFrame, folder: str) -> str:
    """The accuracy of a cell's original, where any cell that learns the same one is done."""
    target = parse_target(folder)
    if isinstance(target, OriginalCell):
        return DASH
    original = original_of(config, target)
    same = frame[["task", "network", "original"]] == [original.task, original.network, original.name]
    known = frame[same.all(axis=1)]["original_accuracy"].dropna()
    return DASH if known.empty else f"{known.iloc[0]:.2f}"
