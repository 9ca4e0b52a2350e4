"""`history.csv`: the losses of a fit over its iterations, and its accuracies on the test images along the way."""

from pathlib import Path

from nern import files
from nern.errors import NernError

COLUMNS = ("iteration", "phase", "lr", "reconstruction", "output", "features", "test_accuracy")
Row = list[float | int | str | None]


def write(path: Path, rows: list[Row]) -> None:
    """Write the rows; a float is written so that it reads back equal, what was not computed is empty."""
    lines = [",".join(COLUMNS)]
    lines += [",".join("" if value is None else str(value) for value in row) for row in rows]
    files.write_text(path, "\n".join(lines) + "\n")


def best_on_test(path: Path) -> tuple[float, int] | None:
    """The best accuracy on the test images along the way, in per cent, and its iteration; None if none was taken.

    A selection on the test set: the authors' code picks its checkpoint so. Reported under that name, never as headline.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = [line.split(",") for line in lines[1:]]
        if tuple(lines[0].split(",")) != COLUMNS:
            raise ValueError("unexpected columns")
        tested = [(float(row[6]), -int(row[0])) for row in rows if row[6]]
    except (OSError, ValueError, IndexError) as error:
        raise NernError(f"{path}: is no history of a fit ({error}); run its fit again") from None
    if not tested:
        return None
    accuracy, iteration = max(tested)  # the first of equals: the smallest iteration
    return accuracy, -iteration
