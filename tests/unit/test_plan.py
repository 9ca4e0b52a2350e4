"""The count of the matrix in docs/running.md is computed, and right by another count of the same configuration."""

import math
from pathlib import Path

from nern import config as configuration
from nern.matrix import all_cells, table_cells
from nern.report.status import plan

ROOT = Path(__file__).parents[2]
CONFIG = configuration.read([ROOT / "config.yaml"])


def test_the_page_shows_the_plan():
    assert plan.render(plan.plan(CONFIG)) in (ROOT / "docs/running.md").read_text(encoding="utf-8")


def test_counts_and_hours():
    frame = plan.plan(CONFIG).set_index("task")
    assert frame["fits"].sum() == len(set(all_cells(CONFIG)))
    # of CIFAR-100 there is ResNet56 alone: one original, h 320, 360, 400 in three modes
    assert frame.loc["cifar100"].to_list() == [1, 3, 3 * 3 * 4, 36.0, 108.0]
    # ImageNet's, beyond in-filter and cross-filter at four sizes: two samplings more of table 7
    assert frame.loc["imagenet", "fits"] == (2 * 4 + 2) * 4
    assert frame.loc["imagenet", "hours_high"] == 30 * frame.loc["imagenet", "fits"]


def test_the_paper_states_no_hours_for_another_task():
    demo = configuration.read([ROOT / "config.yaml", ROOT / "workflow/config/demo.yaml"])
    frame = plan.plan(demo).set_index("task")
    assert math.isnan(frame.loc["digits", "hours_low"])
    assert frame.loc["digits", "fits"] == len(table_cells(demo, "digits"))
    line = next(line for line in plan.render(plan.plan(demo)).splitlines() if line.startswith("| digits"))
    assert line.endswith(" — |")
