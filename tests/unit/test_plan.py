"""The count of the matrix in docs/running.md is computed, and right by another count of the same configuration."""

import math
from pathlib import Path

import pytest

from nern import config as configuration
from nern import provenance
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


def test_a_task_that_is_called_a_little_like_the_papers_has_none_of_its_hours():
    tables = {"t": {"title": "T", "task": "cifar7", "sizes": {"resnet20": [8]}}}
    tasks = {"cifar7": CONFIG.tasks["cifar10"].model_dump()}
    own = configuration.read([ROOT / "config.yaml"], {"inherit": False, "tables": tables, "tasks": tasks})
    assert math.isnan(plan.plan(own).set_index("task").loc["cifar7", "hours_low"])


def test_the_paper_states_no_hours_for_another_task():
    demo = configuration.read([ROOT / "config.yaml", ROOT / "workflow/config/demo.yaml"])
    frame = plan.plan(demo).set_index("task")
    assert math.isnan(frame.loc["digits", "hours_low"])
    assert frame.loc["digits", "fits"] == len(table_cells(demo, "digits"))
    line = next(line for line in plan.render(plan.plan(demo)).splitlines() if line.startswith("| digits"))
    assert line.endswith(" — |")
    tables = {"cifar10": CONFIG.tables["cifar10"].model_dump()}
    both = configuration.read([ROOT / "config.yaml", ROOT / "workflow/config/demo.yaml"], {"tables": tables})
    lines = plan.render(plan.plan(both)).splitlines()[2:]
    assert [line.split("|")[-2].strip() for line in lines] == ["—", "72–216", "—"]
    tables |= {"cifar100": CONFIG.tables["cifar100_complete"].model_dump()}
    known = configuration.read([ROOT / "config.yaml"], {"inherit": False, "tables": tables})
    # 72 fits of CIFAR-10 and 36 of CIFAR-100, of 1 to 3 hours each
    assert plan.render(plan.plan(known)).splitlines()[-1].split()[-2] == "108–324"


TWO_PROCESSORS = """\
processor\t: 0
model name\t: A
flags\t\t: fpu avx2 avx512f

processor\t: 1
model name\t: B
flags\t\t: amx_bf16
"""


@pytest.mark.parametrize(
    ("cpuinfo", "multiplies"),
    [
        (TWO_PROCESSORS, False),
        ("flags\t\t: fpu avx512_bf16 avx512f\n", True),
        ("flags : fpu avx512f amx_bf16 amx_tile\n", True),
        ("Features\t: fp asimd bf16\n", True),
        ("Features\t: fp asimd\n", False),
        ("model name : of another system\n", None),
        (None, None),
    ],
)
def test_variants_whose_16_bits_save_nothing_here_are_named(cpuinfo, multiplies, tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "_CPUINFO", tmp_path / "cpuinfo")
    if cpuinfo is not None:
        (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert provenance.multiplies_bfloat16() is multiplies
    files = [ROOT / "config.yaml", ROOT / "workflow/config/cifar100.yaml"]
    found = plan.useless_bfloat16(configuration.read(files))
    assert ("decoupled-deep, " in found) is (multiplies is False)
    assert "decoupled-deep-float32" not in found
    assert plan.useless_bfloat16(configuration.read(files, {"execution": {"device": "cuda"}})) == ""
    assert plan.useless_bfloat16(CONFIG) == ""
    of_a_task = configuration.read(files[:1], {"tasks": {"cifar10": {"protocol": {"precision": "bfloat16"}}}})
    assert ("base, " in plan.useless_bfloat16(of_a_task)) is (multiplies is False)


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({"original": {"precision": "bfloat16"}}, ["resnet20/originals/base", "resnet56/originals/base"]),
        ({"originals": {"base": {"precision": "bfloat16"}}}, ["resnet20/originals/base", "resnet56/originals/base"]),
        (
            {"tasks": {"cifar10": {"networks": {"resnet56": {"original": {"precision": "bfloat16"}}}}}},
            ["resnet56/originals/base"],
        ),
        ({"original": {"precision": "bfloat16"}, "originals": {"base": {"weights": "/x.pt"}}}, []),  # not trained
        ({"originals": {"smooth-1e-6": {"precision": "bfloat16"}}}, []),  # in no table
    ],
)
def test_originals_that_train_in_16_bits_for_nothing_are_named(changes, paths, monkeypatch):
    monkeypatch.setattr(plan, "multiplies_bfloat16", lambda: False)
    table = {"cifar10": CONFIG.tables["cifar10"].model_dump()}
    config = configuration.read([ROOT / "config.yaml"], {"inherit": False, "tables": table} | changes)
    found = plan.useless_bfloat16(config)
    names = ", ".join(f"results/cifar10/{path}" for path in paths)
    assert bool(found) == bool(paths) and f"{names} train" in f"{found} train"
    assert "predictor_precision" not in found


def test_what_is_distilled_in_16_bits_while_coded_is_named_too(monkeypatch):
    monkeypatch.setattr(plan, "multiplies_bfloat16", lambda: False)
    changes = {"compression": {"variant": "decoupled-bfloat16"}}
    assert "It is in decoupled-bfloat16; " in plan.useless_bfloat16(configuration.read([ROOT / "config.yaml"], changes))
    changes["compression"] |= {side: {"distilled": []} for side in ("original", "predictor")}
    assert plan.useless_bfloat16(configuration.read([ROOT / "config.yaml"], changes)) == ""


def test_the_first_processor_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "_CPUINFO", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text(TWO_PROCESSORS)
    assert provenance.processor() == "A"
