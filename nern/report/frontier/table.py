"""A frontier as a table: a row per network and way to store its weights, and above all who wins where."""

import math

import pandas as pd

from nern.addresses import Cell, OriginalCell
from nern.compression import compression_phase, compression_points
from nern.config import Config
from nern.matrix import frontier_cells, frontier_of
from nern.report.documents import formats
from nern.report.documents.document import DASH, Column, Document, Grid, Note, Text
from nern.report.figures.frontier import picture
from nern.report.frontier.front import KIB, verdicts
from nern.report.frontier.points import PREDICTOR, WEIGHTS
from nern.report.tables.entries import NAMES
from nern.resolved import original_of, task_of

NOTES = [
    Note(
        "Bytes",
        "all that the learnable weights need, from bytes that were written, read back and decoded: coded numbers, "
        "tables (scales and centers) and the coded permutation. What all ways to store them share is not counted: "
        "normalization, classifier, other convolutions. Bits: of each learnable weight. Ratio: to 32-bit floats.",
    ),
    Note(
        "Lost",
        "the original's accuracy minus this one, in points ± half-width of the 95 % interval over the test images, "
        "paired with the original's own hits (Agresti and Min 2005): what other images would have shown. Over n seeds "
        "each image counts with its mean.",
    ),
    Note(
        "Accuracy, agreement, divergence",
        "means ± half-widths of 95 % t-intervals over n seeds. Weights themselves have n = 1 and no interval: there "
        "is one original, and those that are distilled are so by seed 0 alone, whose spread nobody has measured. "
        "Divergence: KL(original ‖ decoded) of the softmax outputs in nats, averaged over the test images. Error: "
        "‖W − Ŵ‖² / ‖W‖².",
    ),
    Note(
        "Data",
        "inputs that steps with a distillation loss saw, in all, those of a predictor's fit included; labels are never "
        "seen.",
    ),
    Note("Front", "A, D: no other way has fewer bytes and loses less accuracy, or diverges less."),
    Note(
        "Selection",
        "verdict and fronts pick rows by their numbers on these test images, which flatters those that are picked: the "
        "more rows a side has to pick from, and the fewer images there are, the more so.",
    ),
]
SIZES = {"Coded": "coded_bytes", "Tables": "table_bytes", "Permutation": "permutation_bytes"}


def document(config: Config, name: str, data: pd.DataFrame) -> Document:
    """The table of a frontier's points.

    Args:
        config: the configuration that has the frontier.
        name: of its table.
        data: its points, with their fronts (see `front.points_with_fronts`).
    """
    settings = frontier_of(config, name)
    task = task_of(config, settings.task)
    columns = [Column("Network", numeric=False), Column("Stored", numeric=False), Column("Codec", numeric=False)]
    columns += [Column("KiB"), *(Column(title, "of it (KiB)") for title in SIZES), Column("Bits"), Column("Ratio")]
    columns += [Column(f"{title}") for title in ("Accuracy (%)", "n", "Lost (points)", "Agreement (%)", "Divergence")]
    columns += [Column("Error (%)"), Column("Data", numeric=False), Column("Seconds"), Column("Front", numeric=False)]
    rows = [[Text(text) for text in _row(row)] for row in data.to_dict("records")]
    done = data[data["n"] > 0]
    notes = [Note("Verdict", sentence) for sentence in verdicts(data, settings.margin)]
    if not done.empty:
        images = " or ".join(f"{int(count):,}" for count in dict.fromkeys(done["test_images"]))
        originals = ", ".join(
            f"{network} {part['original_accuracy'].iloc[0]:.2f} %, {part['learnable_bytes'].iloc[0] / KIB:,.0f} KiB"
            for network, part in done.groupby("network", sort=False)
        )
        notes.append(Note("Originals", f"{originals}."))
        notes.append(Note("Test images", f"{images}: {task.title}" + (f" ({task.note})." if task.note else ".")))
    notes.append(Note("Distilled", distilled(config, name)))
    missing = int((data["seeds"] - data["n"]).sum())
    notes += [
        *NOTES,
        Note("Seconds", f"to make, a predictor's fit included{_devices(done)}."),
        Note("Points", f"{len(data)} rows; {missing} measurements are missing."),
    ]
    title = settings.title
    return Document(name, title, [Grid(title, columns, rows, notes, keys=2)], picture=picture(data, title))


def _devices(done: pd.DataFrame) -> str:
    """On what the seconds of the points were measured."""
    known = done["devices"].dropna() if "devices" in done else []
    names = dict.fromkeys(device for devices in known for device in str(devices).split("; ") if device)
    return f", on {formats.listed(list(names))}" if names else ", on the device that made it"


def distilled(config: Config, name: str) -> str:
    """By what the points of a frontier were distilled while they were coded: a sentence, per side and network."""
    targets: dict[str, Cell | OriginalCell] = {}
    for cell in frontier_cells(config, name):
        original = original_of(config, cell)
        targets.setdefault(f"weights of {cell.network}", original)
        targets.setdefault(f"predictors of {cell.network}", cell)
    sides: dict[str, list[str]] = {}
    for side, target in targets.items():
        if any(point.rate is not None for point in compression_points(config, target).values()):
            sides.setdefault(_phase(config, target), []).append(side)
    if not sides:
        return "nothing was distilled while it was coded."
    how = "; ".join(f"{formats.listed(each)}: {steps}" for steps, each in sides.items())
    return f"values, scales and centers are trained while they are coded. {how[0].upper()}{how[1:]}."


def _phase(config: Config, target: Cell | OriginalCell) -> str:
    """Steps, precisions and gradients by which a cell or an original is distilled while it is coded."""
    protocol, phase = compression_phase(config, target)
    inputs = "images" if protocol.inputs == "images" else "of noise"
    parts = [f"{phase.iterations:,} steps of {phase.batch} {inputs}"]
    precisions = {"network": protocol.precision}
    if isinstance(target, Cell):
        precisions["predictor"] = protocol.predictor_precision
    for precision in dict.fromkeys(precisions.values()):
        if precision != "float32":
            of = " and ".join(name for name, its in precisions.items() if its == precision)
            parts.append(f"passes of the {of} in {precision}")
    sampling = phase.sampling
    if isinstance(target, Cell) and sampling.method != "all":
        parts.append(f"gradients of {sampling.kernels:,} kernels in a step ({sampling.method})")
    return ", ".join(parts)


def _row(row: dict[str, object]) -> list[str]:
    def number(key: str) -> float:
        value = row.get(key, math.nan)
        return float(value) if isinstance(value, int | float) else math.nan

    def text(key: str, digits: int, scale: float = 1.0) -> str:
        return DASH if math.isnan(number(key)) else f"{number(key) / scale:,.{digits}f}"

    def interval(key: str, digits: int) -> str:
        return formats.interval(number(key), number(f"{key}_half_width"), digits)

    lost = DASH if math.isnan(number("lost")) else f"{formats.signed(number('lost'))} ± {number('lost_half_width'):.2f}"
    front = " ".join(letter for letter, key in (("A", "front_accuracy"), ("D", "front_divergence")) if row[key])
    return [
        str(row["network"]),
        _stored(row),
        str(row["codec"]),
        text("bytes", 1, KIB),
        *(text(key, 1, KIB) for key in SIZES.values()),
        text("bits_per_weight", 2),
        text("ratio", 3),
        interval("accuracy", 2),
        str(row["n"]),
        lost,
        interval("agreement", 2),
        interval("divergence", 4),
        text("relative_error", 2, 0.01),
        str(row["data"]),
        text("seconds", 0),
        front or DASH,
    ]


def _stored(row: dict[str, object]) -> str:
    if row["stored"] == WEIGHTS:
        return "weights"
    assert row["stored"] == PREDICTOR
    order = NAMES.get(str(row["smoothing"]), str(row["smoothing"]))
    return f"predictor, h {int(str(row['hidden']).partition('.')[0])}, {order}, {row['variant']}"
