"""From numbers to the text of a table's cells: the last step."""

import math

from nern.report.documents.document import DASH, MINUS

MIB = 2**20


def interval(mean: float, half_width: float, digits: int = 2) -> str:
    """`91.02 ± 0.31`; without an interval the mean alone; without a mean a dash."""
    if math.isnan(mean):
        return DASH
    if math.isnan(half_width):
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} ± {half_width:.{digits}f}"


def signed(value: float, digits: int = 2) -> str:
    """`+0.12` or `−0.12`; a value that rounds to 0 has no sign."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return ("+" if value > 0 else MINUS) + text


def distinct(values: list[float], digits: int) -> str:
    """Each different value once: `91.69`, or `91.69 / 92.03`; a dash for none."""
    texts = dict.fromkeys(f"{value:.{digits}f}" for value in values)
    return " / ".join(texts) or DASH


def p_value(value: float) -> str:
    """Three decimals; smaller ones are only told to be smaller."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def mebibytes(sizes: list[float], every: list[float]) -> str:
    """Each different size in MiB once.

    Args:
        sizes: in bytes.
        every: all sizes of the column, in bytes; they decide how many decimals all of its cells have.
    """
    return distinct([size / MIB for size in sizes], size_digits([size / MIB for size in every]))


def size_digits(sizes: list[float]) -> int:
    """Decimals for a column of sizes in MiB: two like the paper, three if one is below 0.1."""
    return 3 if min(sizes, default=1.0) < 0.1 else 2


def listed(items: list[str], limit: int = 12) -> str:
    """`a, b, c`; beyond `limit` items only their number follows."""
    shown = ", ".join(items[:limit])
    return shown if len(items) <= limit else f"{shown} and {len(items) - limit} more"


def seeds(numbers: list[int]) -> str:
    """`seed 2`, `seeds 0, 2` or `seeds 0–3`."""
    first, last = min(numbers), max(numbers)
    if len(numbers) == 1:
        return f"seed {first}"
    if len(numbers) > 2 and last - first == len(numbers) - 1:
        return f"seeds {first}–{last}"
    return f"seeds {', '.join(map(str, sorted(numbers)))}"
