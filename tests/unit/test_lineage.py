"""The lineage of a result changes with whatever its stage or one before it is made by, and with nothing else."""

from pathlib import Path

import pytest

from nern import config as configuration
from nern.lineage import Lineage

FILES = [Path(__file__).parents[2] / "config.yaml"]
TASK = "results/cifar10"
ORIGINAL = f"{TASK}/resnet20/originals/base"
CELL = f"{TASK}/resnet20/cross-filter/h160/base/seed0"
PATHS = {
    "images": f"{TASK}/images/data.json",
    "original": f"{ORIGINAL}/network.safetensors",
    "order": f"{ORIGINAL}/permutation-cross-filter.npz",
    "other order": f"{ORIGINAL}/permutation-in-filter.npz",
    "compressed original": f"{ORIGINAL}/compression.json",
    "fit": f"{CELL}/fit.json",
    "metrics": f"{CELL}/metrics.json",
    "compressed": f"{CELL}/compression.json",
    "seconds": f"{CELL}/compress.json",
    "importance": f"{TASK}/resnet20/cross-filter/h160/base/seed0/importance.json",
}
OF_FIT = {"fit", "metrics", "compressed", "seconds", "importance"}
OF_ORIGINAL = OF_FIT | {"original", "order", "other order", "compressed original"}


def lineages(changes):
    lineage = Lineage(configuration.read(FILES, changes))
    return {name: lineage.of(path) for name, path in PATHS.items()}


BEFORE = lineages({})


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"tasks": {"cifar10": {"classes": 9}}}, set(PATHS)),
        ({"original": {"lr": 0.2}}, OF_ORIGINAL),
        (
            {"tasks": {"cifar10": {"networks": {"resnet20": {"cosine_for_1x1": True}}}}},
            OF_FIT | {"order", "other order"},
        ),
        ({"protocol": {"training": {"iterations": 7}}}, OF_FIT),
        ({"compression": {"predictor": {"codecs": ["float32"]}}}, {"compressed", "seconds"}),
        ({"compression": {"original": {"codecs": ["float32"]}}}, {"compressed original"}),
        ({"figures": {"weight_importance": {"layer": "conv1"}}}, {"importance"}),
        ({"figures": {"weight_importance": {"title": "T", "filters": 3}}}, set()),
        ({"tasks": {"cifar10": {"title": "T"}}}, set()),
        ({"execution": {"device": "cpu"}}, set()),
        ({"tasks": {"cifar100": {"classes": 9}}}, set()),
    ],
)
def test_a_change_reaches_what_is_made_by_it(changes, wanted):
    after = lineages(changes)
    assert {name for name in PATHS if after[name] != BEFORE[name]} == wanted


def test_cells_of_other_sizes_and_seeds_have_their_own():
    lineage = Lineage(configuration.read(FILES))
    cells = [f"{TASK}/resnet20/cross-filter/h{h}/base/seed{seed}" for h in (160, 180) for seed in (0, 1)]
    assert len({lineage.of(f"{cell}/{file}") for cell in cells for file in ("fit.json", "metrics.json")}) == 8


def test_several_results_have_a_digest_of_all():
    lineage = Lineage(configuration.read(FILES))
    both = lineage.of_all([PATHS["fit"], PATHS["images"]])
    assert both != lineage.of_all([PATHS["fit"]]) and both == lineage.of_all([PATHS["fit"], PATHS["images"]])
