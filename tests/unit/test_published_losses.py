"""Losses beside published losses: the arithmetic of each, and which fits stand beside which figure."""

import math
from pathlib import Path

import pytest
from test_report import write_cell

from nern import config as configuration
from nern.addresses import Cell
from nern.config import fingerprint
from nern.report import published
from nern.report.comparable import loss_cells
from nern.report.tables.summary import summary
from nern.resolved import fit_settings

ROOT = Path(__file__).parents[2]
CONFIG = configuration.read([ROOT / "config.yaml"])

# Typed from FRONTIER's and METHOD's accuracies, not copied from published.csv: original, reconstructed.
ACCURACIES = {
    ("cifar100", 220): [(71.37, 24.20), (71.37, 60.94), (71.37, 69.31)],
    ("cifar100", 280): [(71.37, 66.87), (71.37, 70.84), (71.37, 72.06)],
    ("cifar100", 360): [(71.35, 70.51), (71.37, 71.46)],
    ("cifar100", 400): [(71.35, 71.70)],
    ("imagenet", 700): [(69.76, 61.91), (69.76, 66.48)],
    ("imagenet", 1256): [(69.76, 68.77)],
}


def put(root, smoothing, hidden, accuracies, size, **changes):
    for seed, accuracy in enumerate(accuracies):
        cell = Cell("cifar100", "resnet56", smoothing, hidden, "base", seed)
        settings = fingerprint(fit_settings(CONFIG, cell))
        sizes = {"predictor_bytes": size, "permutation_bytes": 0, "total_bytes": size}
        sizes |= {"learnable_bytes": 4 * size, "ratio": 0.25}
        write_cell(root, cell, accuracy=accuracy, fingerprint=settings, **sizes, **changes)


def rows(root):
    data, document = summary(CONFIG, root)
    assert document.grids[1].title == "Losses against published losses"
    return data[data["KiB"].notna()]


@pytest.mark.parametrize(("about", "pairs"), ACCURACIES.items())
def test_a_published_loss_is_the_difference_of_two_published_accuracies(about, pairs):
    found = [p.low for p in published.losses() if (p.task, p.hidden) == about]
    assert sorted(found) == sorted(round(original - accuracy, 2) for original, accuracy in pairs)


def test_budgets_are_the_bytes_of_the_papers_predictor_or_those_that_the_source_says():
    budgets = {(p.network, p.hidden): p.budget for p in published.losses() if p.task != "imagenet"}
    assert budgets["resnet56", 220] == 803_476
    assert budgets["resnet56", 280] == 1_224_196
    assert budgets["resnet56", 360] == 1_919_556
    # 5.0 times fewer than the convolutions' 32-bit weights: 267,696 and 848,304 of them
    assert budgets["resnet20", None] == math.floor(4 * 267_696 / 5)
    assert budgets["resnet56", None] == math.floor(4 * 848_304 / 5)


def test_every_loss_that_is_not_from_the_authors_says_second_hand():
    for figure in published.losses():
        assert figure.source.startswith("README of the authors' code") or "second-hand" in figure.source
        assert figure.kind == "lost" and figure.unit == "points"


def test_any_protocol_counts_and_the_largest_predictor_within_the_bytes_stands_for_it(tmp_path):
    for hidden, size in ((320, 900_000), (360, 1_000_000), (400, 1_300_000)):
        put(tmp_path, "cross-filter", hidden, [70.0, 71.0], size, original_accuracy=72.63)
    data = rows(tmp_path).set_index("what")
    at_280 = data.loc["cifar100 resnet56 h 280: decoupled, L_KD alone in phase 2"]
    assert (at_280["h"], at_280["n"], at_280["original"]) == (360, 2, "72.63")
    # 72.63 − 70.5; t(1) · s / √2 = 12.7062 · 0.5
    assert at_280["here"] == "+2.13 ± 6.35"
    assert (at_280["published"], at_280["difference"]) == ("+0.53", "+1.60")
    assert data.loc["cifar100 resnet56 h 220: L_recon alone"]["protocol"] == "—"  # none is that small


def test_one_seed_has_no_interval_and_protocols_stand_side_by_side(tmp_path):
    for smoothing in ("in-filter", "none"):
        put(tmp_path, smoothing, 360, [70.0], 1_919_556)
    data = rows(tmp_path)
    part = data[data["what"] == "cifar100 resnet56 h 360: NeRN, cross-filter"]
    assert part["order"].tolist() == ["no permutation", "in-filter"]
    assert (part["n"] == 1).all() and not part["here"].str.contains("±").any()


def test_a_protocol_that_is_called_base_and_is_another_says_so(tmp_path):
    config = configuration.read([ROOT / "config.yaml"], {"protocol": {"training": {"batch": 7}}})
    cells = {"base": CONFIG, "base, changed": config}
    for wanted, each in cells.items():
        cell = Cell("cifar100", "resnet56", "cross-filter", 360, "base", 0)
        write_cell(tmp_path, cell, fingerprint=fingerprint(fit_settings(each, cell)))
        data, _ = summary(each, tmp_path)
        assert set(data["protocol"].dropna()) - {"—"} == {wanted}


def test_fits_on_other_images_stand_beside_nothing(tmp_path):
    put(tmp_path, "cross-filter", 360, [70.0], 1_919_556, test_images=509)
    assert (rows(tmp_path)["protocol"] == "—").all()


def test_another_network_of_the_name_stands_beside_nothing():
    network = {"cifar100": {"networks": {"resnet56": {"width": 64}}}}
    of = [
        {cell.task for cell in loss_cells(configuration.read([ROOT / "config.yaml"], {"tasks": t}))}
        for t in ({}, network)
    ]
    assert of == [{"cifar10", "cifar100", "imagenet"}, {"cifar10", "imagenet"}]
