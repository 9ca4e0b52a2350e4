"""The notes below a table: what its numbers are, where they come from, and what is not there."""

from collections.abc import Collection, Iterable, Mapping

import pandas as pd

from nern.distilling import network_steps
from nern.report import published
from nern.report.cells.collect import DONE, FAILED, MISSING, OUTDATED, RUNNING, short_commits
from nern.report.documents import formats
from nern.report.documents.document import Note
from nern.report.tables.entries import Entries, Entry
from nern.settings import PositionalEmbedding, Protocol, Task

INSIDE = "The published value lies inside the interval."
SELECTED = (
    "Their code keeps the checkpoint that is best on the test images, which flatters it; of a fit here that is "
    "best-on-test, below, and the difference is that of the last iterate."
)


def beyond(protocol: Protocol) -> str:
    """Why a protocol must not be taken for the paper's or one of its ablations; empty if it may."""
    reasons = []
    first, second = protocol.training, protocol.distillation
    if second is not None:
        decoupled = first.iterations > 0 and not network_steps(protocol, first) and network_steps(protocol, second) > 0
        short = "short " if second.iterations < first.iterations else ""
        phases = f"reconstruction first, then a {short}distillation (Choi et al. 2024)" if decoupled else "two phases"
        reasons.append(f"{phases}: not the paper's protocol")
    elif first.optimizer.name != "ranger":
        reasons.append(f"by {first.optimizer.name.capitalize()}: not the paper's optimizer")
    elif first.optimizer.adabelief:
        reasons.append("by RangerAdaBelief: not the paper's optimizer")
    if protocol.embedding.kind != "positional":
        reasons.append("a learned vector for each index: not the paper's embedding")
    elif protocol.embedding.normalized:
        reasons.append("normalized coordinates: not the paper's embedding")
    elif protocol.embedding != PositionalEmbedding():
        reasons.append(
            f"{protocol.embedding.levels} levels of base {protocol.embedding.base:g}: not the code's embedding"
        )
    if protocol.activation != "relu":
        reasons.append(f"{protocol.activation.upper()} between the predictor's layers: not the paper's ReLU")
    if protocol.reorders:
        reasons.append("kernels change places while they are learned: not the paper's order")
    passes = {"networks": protocol.precision, "the predictor": protocol.predictor_precision}
    if narrow := [of for of, precision in passes.items() if precision == "bfloat16"]:
        reasons.append(f"{' and '.join(narrow)} in bfloat16: not the paper's precision")
    return "; ".join(reasons)


def absence(entry: Entry) -> str:
    """Which seeds of an entry are not in its mean, and why."""
    parts = []
    for (status, message), part in entry.absent.groupby(["status", "message"], sort=False):
        parts.append(f"{formats.seeds([int(s) for s in part['seed']])} {status}" + (f" ({message})" if message else ""))
    return ("Not in the mean: " if entry.n else "No value: ") + "; ".join(parts) + "."


class Code:
    """The versions of code and packages that the cells of a table come from, the one with the most cells first."""

    def __init__(self, frame: pd.DataFrame) -> None:
        """Count them.

        Args:
            frame: the table's long frame.
        """
        done = frame[frame["status"] == DONE]
        parts = sorted(done.groupby(["code", "versions"], sort=False), key=lambda item: -len(item[1]))
        self.versions = {version: f"{version[0]}; {_commits(part)}; {version[1]}" for version, part in parts}

    def others(self, entry: Entry) -> list[str]:
        """A note for each version, besides the one of most cells, that cells of the entry come from."""
        found = set(zip(entry.done["code"], entry.done["versions"], strict=True))
        return [
            f"From another version of the code, in whole or in part: {text}."
            for version, text in list(self.versions.items())[1:]
            if version in found
        ]

    def note(self) -> Note:
        """The version that all cells come from, or most of them."""
        texts = list(self.versions.values())
        start = "" if len(texts) == 1 else f"the cells come from {len(texts)} versions; unless marked: "
        return Note("Code", f"{start}{texts[0]}.")


def _commits(part: pd.DataFrame) -> str:
    """The short commits of some cells."""
    commits = [short_commits(commit) for commit in _distinct(part["git_commit"])]
    return f"{'commit' if len(commits) == 1 else 'commits'} {formats.listed(commits)}"


def general(
    frame: pd.DataFrame,
    entries: Entries,
    code: Code,
    task: Task,
    protocols: Mapping[tuple[str, str], Protocol],
    papers: Collection[str],
) -> list[Note]:
    """The notes that concern the whole table.

    Args:
        frame: the table's long frame.
        entries: the same, by row and column group.
        code: the versions that its cells come from.
        task: its data.
        protocols: by network and variant.
        papers: those of its networks that are the paper's.
    """
    done = frame[frame["status"] == DONE]
    rules = [
        Note("Selection", "the last iterate of each fit, whatever its accuracy on the test images."),
        _interval(entries),
    ]
    if done.empty:
        return [*rules, cells(frame)]
    return [
        *rules,
        _data(done, task),
        _protocol(done, protocols, entries.names["variant"]),
        _published(done, entries, papers),
        Note(
            "Sizes",
            "32-bit floats in MiB (2²⁰ bytes), which the paper calls MB. Learnable: the weights of the convolutions "
            "that the predictor stands for. Predictor: without the permutation.",
        ),
        cells(frame),
        code.note(),
    ]


def _interval(entries: Entries) -> Note:
    text = (
        "mean ± half-width of the 95 % confidence interval over n seeds (Student t, sample standard deviation). "
        "The seeds vary the fit; all seeds of an entry learn the same original."
    )
    return Note("Interval", text + " One seed gives no interval." * any(entry.n == 1 for entry in entries))


def _data(done: pd.DataFrame, task: Task) -> Note:
    """What the configuration calls the data now: no metrics file keeps a name that has changed since."""
    counts = " or ".join(f"{images:,}" for images in dict.fromkeys(done["test_images"]))
    return Note("Data", f"{task.title}, {counts} test images" + (f" ({task.note})." if task.note else "."))


def _protocol(done: pd.DataFrame, protocols: Mapping[tuple[str, str], Protocol], labels: Mapping[str, str]) -> Note:
    """How each variant is fitted: of each network for itself, where its networks have protocols of their own."""
    variants: dict[str, list[str]] = {}
    for variant, fits in done.groupby("variant", sort=False):
        facts: dict[str, list[str]] = {}
        for network, part in fits.groupby("network", sort=False):
            iterations = " or ".join(f"{n:,}" for n in sorted({int(n) for n in part["iterations"]}))
            parts = [f"{iterations} iterations", beyond(protocols[str(network), str(variant)])]
            facts.setdefault("; ".join(filter(None, parts)), []).append(str(network))
        for text, networks in facts.items():
            of = f" of {' and '.join(networks)}" if len(facts) > 1 else ""
            variants.setdefault(text, []).append(labels.get(str(variant), str(variant)) + of)
    texts = [f"{formats.listed(names)} ({facts})" for facts, names in variants.items()]
    return Note("Protocol", f"{', '.join(texts)}. Fitted on {'; '.join(_distinct(done['fit_device']))}.")


def _published(done: pd.DataFrame, entries: Entries, papers: Collection[str]) -> Note:
    shown = [entry for entry in entries if entry.published is not None]
    task = str(done["task"].iloc[0])
    figures = [published.accuracy(task, e.network, e.smoothing, e.hidden) for e in shown]
    text = "; ".join(_distinct(figure.source for figure in figures if figure is not None))
    text = f"{text}. {SELECTED}" if shown else "no accuracy of the paper is comparable with these fits."
    if published.is_papers_data(task, done["test_images"]):
        ours = [network for network in _distinct(done["network"]) if network in papers]
        originals = {network: published.original_accuracy(task, network) for network in ours}
        shown_originals = [f"{network} {figure.low:.2f} %" for network, figure in originals.items() if figure]
        text += f" Published originals: {', '.join(shown_originals)}." if shown_originals else ""
    return Note("Published", text)


def cells(frame: pd.DataFrame) -> Note:
    """How many cells of a long frame are done, and what became of the others."""
    counts = frame["status"].value_counts()
    rest = [f"{counts[status]} {status}" for status in (RUNNING, FAILED, OUTDATED, MISSING) if status in counts]
    done = f"{counts.get(DONE, 0)} of {len(frame)} fits are done"
    return Note("Cells", done + "".join(f", {text}" for text in rest) + ".")


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
