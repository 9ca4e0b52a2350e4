"""What the matrix costs is counted right, whatever a step takes; no test here looks at a clock."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nern import config as configuration
from nern.addresses import Cell
from nern.cli import main
from nern.config import Config
from nern.errors import NernError
from nern.matrix import all_cells, table_cells
from nern.method.training import PredictorStep, StepLosses
from nern.method.workers import Workers
from nern.report.status import cost
from nern.stages import cost as measuring

ROOT = Path(__file__).parents[2]
CONFIG = configuration.read([ROOT / "config.yaml"])
DEMO = configuration.read([ROOT / "config.yaml", ROOT / "workflow/config/demo.yaml"])
CELL = Cell("digits", "resnet8", "none", 8, "own", 0)


def with_variant(**settings: object) -> Config:
    values = DEMO.model_dump(exclude_unset=True)
    values["variants"]["own"] = settings
    return configuration.parse(values)


@given(
    warmup=st.integers(0, 9),
    first=st.integers(0, 9),
    second=st.none() | st.integers(0, 9),
    weight=st.booleans(),
    every=st.none() | st.integers(1, 4),
)
def test_a_fits_seconds_are_its_steps_of_either_kind_times_their_seconds(warmup, first, second, weight, every):
    """3 s without the network, 5 s with it, and 7 s where kernels change places, by a clock that only these move."""
    losses = {"alpha": 1, "beta": 0} if weight else {"alpha": 0, "beta": 0}
    phase = {"batch": 2, "losses": losses, "sampling": {"kernels": 10}}
    distillation = None if second is None else phase | {"iterations": second}
    own = {"iterations": first, "warmup": warmup, "reordering": every and {"every": every}}
    config = with_variant(training=phase | own, distillation=distillation)
    clock = [0.0]

    def taking(seconds: float):
        def step(*_: object) -> StepLosses:
            clock[0] += seconds
            return StepLosses(torch.zeros(()))

        return step

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PredictorStep, "reconstruct", taking(3))
        patch.setattr(PredictorStep, "distill", taking(5))
        patch.setattr(PredictorStep, "reorder", taking(7))
        patch.setattr(measuring.PredictorOptimizer, "step", lambda self, lr: None)
        patch.setattr(measuring.time, "perf_counter", lambda: clock[0])
        original = measuring.untrained(config, CELL)
        found = measuring.fit_seconds(config, CELL, original, (1, 8, 8), torch.device("cpu"), Workers())
    distilling = (max(first - warmup, 0) + (second or 0)) * weight
    reordering = len(range(0, first, every)) if every else 0
    assert found == 5 * distilling + 3 * (first + (second or 0) - distilling) + 7 * reordering


def test_a_step_of_every_kind_can_be_timed():
    for precision in ("float32", "bfloat16"):
        phase = {"batch": 2, "iterations": 3, "warmup": 1, "sampling": {"kernels": 10}}
        config = with_variant(training=phase, precision=precision)
        original = measuring.untrained(config, CELL)
        assert measuring.fit_seconds(config, CELL, original, (1, 8, 8), torch.device("cpu"), Workers(2)) > 0


def test_cells_of_one_kind_are_measured_once():
    """Seeds, orders, originals and inputs make no difference; sizes, networks, losses and samples do."""
    asked: list[Cell] = []
    cells = all_cells(CONFIG)
    hours = cost.hours_of(CONFIG, cells, lambda cell: asked.append(cell) or 3600.0 * cell.hidden)
    assert list(hours) == cells and all(found == cell.hidden for cell, found in hours.items())
    kinds = {(c.task, c.network, c.hidden, c.variant) for c in cells}
    same = {variant for variant in CONFIG.variants if variant.startswith("smooth-")} | {"noise-inputs"}
    assert len(asked) == len({(*names, "base" if variant in same else variant) for *names, variant in kinds})


@pytest.mark.parametrize(
    ("settings", "same"),
    [
        ({"original": "smooth-1e-5"}, True),
        ({"inputs": "uniform"}, True),
        ({"evaluate_every": 7}, True),
        ({"precision": "bfloat16"}, False),
        ({"training": {"batch": 7}}, False),
        ({"training": {"reordering": {}}}, False),
        ({"embedding": {"kind": "table"}}, False),
    ],
)
def test_what_makes_another_kind(settings, same):
    plain, other = (cost.kind_of(with_variant(**each), CELL) for each in ({}, settings))
    assert (plain == other) is same


def test_the_hours_of_a_table_are_those_of_its_fits_and_what_is_done_is_not_missing():
    cells = table_cells(CONFIG, "cifar10")
    done, hours = {cells[0].path, cells[5].path}, dict.fromkeys(cells, 0.25)
    line = cost.sums({"cifar10": cells}, hours, done).splitlines()[-1]
    assert [part.strip() for part in line.strip("|").split("|")] == ["cifar10", "72", "18", "70", "17.5", "72–216"]


def test_each_line_of_the_fits_names_another_kind_of_fit():
    cells = table_cells(CONFIG, "cifar10")
    lines = cost.fits(dict.fromkeys(cells, 12.345)).splitlines()[2:]
    assert len(lines) == 6
    assert [part.strip() for part in lines[0].strip("|").split("|")] == [
        "cifar10",
        "resnet20",
        "140",
        "base",
        "12.3",
        "1–3",
    ]


def test_the_size_of_images_is_known_from_their_source_or_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shapes = {task: measuring.image_shape(DEMO, task) for task in DEMO.tasks}
    assert shapes == {"cifar10": (3, 32, 32), "cifar100": (3, 32, 32), "imagenet": (3, 224, 224), "digits": (1, 8, 8)}
    laptop = configuration.read([ROOT / "config.yaml", ROOT / "workflow/config/laptop.yaml"])
    with pytest.raises(NernError, match="run: nern prepare-data cifar10-laptop"):
        measuring.image_shape(laptop, "cifar10-laptop")


@pytest.mark.parametrize("name", ["cifar11", "conv_sizes", ""])
def test_a_table_without_fits_is_refused_before_anything_is_timed(monkeypatch, name):
    monkeypatch.setattr(cost, "timer", None)
    with pytest.raises(NernError, match=r"unknown table .* those with fits are cifar10, .*frontier_imagenet, all"):
        cost.measured(CONFIG, ROOT, name)


def test_the_command_prints_both_tables_and_says_what_was_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cost, "timer", lambda config, device, workers: lambda cell: 3600.0 * cell.hidden)
    files = [str(ROOT / "config.yaml"), str(ROOT / "workflow/config/demo.yaml")]
    assert main(["plan", "--measure", "digits", "--config", *files]) == 0
    printed = capsys.readouterr().out
    assert "| digits | resnet8 | 35     | decoupled |         35 |" in printed
    assert f"| digits |   24 | {12 * (35 + 45):>10} |" in printed
    assert "iterations alone" in printed and "what is distilled while coded" in printed
