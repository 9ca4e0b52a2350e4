"""The notes below a table: what its numbers are, where they come from, and what is not there."""

from collections.abc import Iterable

import pandas as pd

from nern.report import formats, published
from nern.report.collect import DONE, FAILED, MISSING, OUTDATED
from nern.report.entries import Entries, Entry

INSIDE = "The published value lies inside the interval."


def absence(entry: Entry) -> str:
    """Which seeds of an entry are not in its mean, and why."""
    parts = []
    for (status, message), part in entry.absent.groupby(["status", "message"], sort=False):
        parts.append(f"{formats.seeds([int(s) for s in part['seed']])} {status}" + (f" ({message})" if message else ""))
    return ("Not in the mean: " if entry.n else "No cell: ") + "; ".join(parts) + "."


def general(frame: pd.DataFrame, entries: Entries) -> list[str]:
    """The notes that concern the whole table.

    Args:
        frame: the table's long frame.
        entries: the same, by row and column group.
    """
    done = frame[frame["status"] == DONE]
    if done.empty:
        return [_count(frame)]
    return [
        "Accuracy: of the reconstructed network on the test images, at the last iterate; no checkpoint is selected.",
        _interval(entries),
        _data(done),
        _protocol(done),
        _published(done, entries),
        "Sizes: MiB (2²⁰ bytes) of 32-bit floats, which the paper calls MB. Learnable weights are those of the "
        "convolutions that the predictor stands for; the predictor's size is without the permutation.",
        *_code(done),
        _count(frame),
    ]


def _interval(entries: Entries) -> str:
    text = (
        "mean ± half-width of the 95 % confidence interval over n seeds (Student t, sample standard deviation). "
        "The seeds vary the fit; all of them learn the same original."
    )
    return text + " One seed gives no interval." * any(entry.n == 1 for entry in entries)


def _data(done: pd.DataFrame) -> str:
    parts = []
    for (data, note, images), _ in done.groupby(["data", "data_note", "test_images"], sort=False):
        parts.append(f"{data}, {images:,} test images" + (f" ({note})" if note else ""))
    return f"Data: {'; '.join(parts)}."


def _protocol(done: pd.DataFrame) -> str:
    parts = []
    for variant, part in done.groupby("variant", sort=False):
        iterations = sorted({int(n) for n in part["iterations"]})
        parts.append(f"{variant} ({' or '.join(f'{n:,}' for n in iterations)} iterations)")
    return f"Protocol: {', '.join(parts)}. Fitted on: {'; '.join(_distinct(done['fit_device']))}."


def _published(done: pd.DataFrame, entries: Entries) -> str:
    shown = [entry for entry in entries if entry.published is not None]
    if not shown:
        return "Published: the paper has no figure for these cells."
    task = str(done["task"].iloc[0])
    figures = [published.accuracy(task, e.network, e.smoothing, e.hidden, e.variant) for e in shown]
    sources = _distinct(figure.source for figure in figures if figure is not None)
    originals = {network: published.original_accuracy(task, network) for network in _distinct(done["network"])}
    of_originals = [f"{network} {figure.low:.2f} %" for network, figure in originals.items() if figure]
    return f"Published: {'; '.join(sources)}. Published originals: {', '.join(of_originals)}."


def _code(done: pd.DataFrame) -> list[str]:
    """One note on the code that made the numbers; if it is not the same for all cells, one for each version."""
    versions = sorted(done.groupby(["code", "versions"], sort=False), key=lambda item: -len(item[1]))
    texts = []
    for (code, packages), part in versions:
        commits = ", ".join(commit[:12] + commit[40:] for commit in _distinct(part["git_commit"]))
        texts.append(f"{code}; commit {commits}; {packages}")
    if len(texts) == 1:
        return [f"Code: {texts[0]}."]
    notes = [f"The cells come from {len(texts)} versions of the code. Most: {texts[0]}."]
    for text, (_, part) in zip(texts[1:], versions[1:], strict=True):
        notes.append(f"{formats.listed(_short(part))}: {text}.")
    return notes


def _short(part: pd.DataFrame) -> list[str]:
    return [cell.split("/", 2)[2] for cell in part["cell"]]


def _count(frame: pd.DataFrame) -> str:
    counts = frame["status"].value_counts()
    rest = [f"{counts[status]} {status}" for status in (FAILED, OUTDATED, MISSING) if counts.get(status)]
    return f"{counts.get(DONE, 0)} of {len(frame)} cells are done" + (f", {', '.join(rest)}" if rest else "") + "."


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
