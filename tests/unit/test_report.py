"""Collection and tables: every cell has a row, only whole cells count, and what is printed is what was measured.

The golden files under tests/golden are written anew by: NERN_RENEW_GOLDEN=1 python -m pytest tests/unit/test_report.py
"""

import hashlib
import itertools
import json
import math
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.table import Table as RichTable

from nern import files
from nern.addresses import Cell
from nern.config import Config, fingerprint, parse, read
from nern.errors import NernError
from nern.files import exclusive
from nern.matrix import table_cells
from nern.report import published
from nern.report.cells import collect
from nern.report.cells import page as cells_page
from nern.report.comparable import by_published_protocol
from nern.report.documents.document import Column, Document, Grid, Marks, Note, Text, visible
from nern.report.documents.html import html
from nern.report.documents.latex import latex
from nern.report.documents.markdown import markdown
from nern.report.documents.render import render
from nern.report.status import matrix as status
from nern.report.status import watch
from nern.report.tables import comparison, sizes
from nern.report.tables import write as tables
from nern.report_settings import Table
from nern.resolved import fit_settings

GOLDEN = Path(__file__).parents[1] / "golden"
SHA = "0" * 64
OTHER_CODE = {"code": {"fit": "d" * 16, "evaluate": "b" * 16}, "git_commit": "e" * 40 + "-dirty"}


def predictor_bytes(hidden: int) -> int:
    """Bytes of a predictor for 3x3 kernels with 240 inputs."""
    return 4 * (241 * hidden + 3 * (hidden + 1) * hidden + 9 * (hidden + 1))


def metrics_of(cell: Cell, /, **changes: Any) -> dict[str, Any]:
    """A sound metrics file of a cell."""
    predictor, permutation, learnable = predictor_bytes(cell.hidden), 45_000, 1_081_024
    values: dict[str, Any] = {
        "cell": cell.path,
        "task": cell.task,
        "network": cell.network,
        "smoothing": cell.smoothing,
        "hidden": cell.hidden,
        "variant": cell.variant,
        "seed": cell.seed,
        "original": "base",
        "original_accuracy": 91.69,
        "accuracy": 90.0 + cell.seed,
        "original_top5_accuracy": 99.7,
        "top5_accuracy": 99.5,
        "best_on_test_accuracy": 90.5 + cell.seed,
        "best_on_test_iteration": 65_000,
        "agreement": 94.0,
        "divergence": 0.041,
        "won_images": 30,
        "lost_images": 120,
        "weight_rmse": 0.025,
        "relative_error": 0.067,
        "layer_rmse": {"conv1": 0.02, "conv2": 0.03},
        "predictor_parameters": predictor // 4,
        "predictor_bytes": predictor,
        "permutation_bytes": permutation,
        "learnable_bytes": learnable,
        "original_bytes": 1_100_000,
        "total_bytes": predictor + permutation,
        "ratio": (predictor + permutation) / learnable,
        "packed_bytes": 1_100_000 * 9 // 20,
        "packed_ratio": 9 / 20,
        "iterations": 70_000,
        "test_images": 10_000,
        "device": "CPU (a processor)",
        "fit_device": "CPU (a processor)",
        "fingerprint": "f" * 16,
        "predictor_sha256": SHA,
        "code": {"fit": "a" * 16, "evaluate": "b" * 16},
        "inputs": {f"results/{cell.task}/{cell.network}/originals/base/network.safetensors": SHA},
        "versions": {"torch": "2.13.0", "python": "3.11.9"},
        "git_commit": "c" * 40,
    }
    return values | changes


def write_cell(root: Path, cell: Cell, /, **changes: Any) -> None:
    """A finished cell on disk."""
    folder, metrics = root / cell.path, metrics_of(cell, **changes)
    folder.mkdir(parents=True, exist_ok=True)
    put(folder / "metrics.json", metrics)
    write_fit(folder, metrics["fingerprint"], metrics["predictor_sha256"])


def write_fit(folder: Path, fingerprint: object = "f" * 16, predictor: object = SHA) -> None:
    """The record of a finished fit."""
    fit = {
        "fingerprint": fingerprint,
        "outputs": {"predictor.safetensors": predictor},
        "wall_seconds": 12.5,
        "device": "CPU (a processor)",
    }
    folder.mkdir(parents=True, exist_ok=True)
    put(folder / "fit.json", fit)


def write_failure(root: Path, cell: Cell, step: int = 1200) -> None:
    """A cell whose fit failed."""
    (root / cell.path).mkdir(parents=True, exist_ok=True)
    message = f"{cell.path}: the loss is not finite at iteration {step} (L_recon = nan)"
    put(root / cell.path / "failed.json", {"step": step, "message": message})


CELL = Cell("cifar10", "resnet20", "cross-filter", 160, "base", 0)
OTHER = Cell("cifar10", "resnet20", "cross-filter", 160, "base", 1)
TABLE = Table(
    title="CIFAR-10 reconstruction",
    task="cifar10",
    sizes={"resnet20": [160, 180]},
    smoothing=["in-filter", "cross-filter"],
)


def put(path: Path, value: dict[str, Any]) -> None:
    """A JSON file with a checksum that fits, as a stage writes it; what no stage can write goes without."""
    try:
        files.write_json(path, value)
    except ValueError:
        path.write_text(json.dumps(value))


def cells_of(table: Table, seeds: int = 4) -> list[Cell]:
    """The cells of a table, as `nern.matrix.table_cells` lists them."""
    config = configuration(tables={"t": table.model_dump()}, seeds=list(range(seeds)))
    return table_cells(config, "t")


NETWORK = {"architecture": "cifar-resnet", "depth": 20, "shortcut": "B"}
DEEP = {"training": {"warmup": 10_000, "losses": {"alpha": 1e-5, "beta": 1e-5}}}
TASK: dict[str, Any] = {
    "title": "CIFAR-10",
    "classes": 10,
    "images": {"source": "torchvision", "dataset": "CIFAR10"},
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "augmentation": {"padding": 4, "flip": True},
    "networks": {"resnet20": NETWORK, "resnet56": NETWORK | {"depth": 56, "protocol": DEEP}},
}


AUTHORS_2023 = {"initialization": "default", "training": {"losses": {"sums_twice": True}}}
SHIPPED = Path(__file__).parents[2] / "config.yaml"
FOLDER = {"source": "folder", "train": "a", "test": "b"}
RECONSTRUCTION: dict[str, Any] = {"training": {"losses": {"alpha": 0, "beta": 0}}}


def configuration(**changes: Any) -> Config:
    """A small configuration with every task, network and variant that the tests name."""
    values = {
        "tasks": {"cifar10": TASK, "own": TASK},
        "variants": {"base": {}, "decoupled": RECONSTRUCTION | {"distillation": {}}, "authors-2023": AUTHORS_2023},
        "tables": {"t": TABLE.model_dump()},
    }
    return parse(values | changes)


def frame_of(root: Path, table: Table, seeds: int = 4, **changes: Any) -> pd.DataFrame:
    """The long frame of a table with all cells done."""
    cells = cells_of(table, seeds)
    for cell in cells:
        write_cell(root, cell, **changes)
    return collect.collect(cells, root)


def built(frame: pd.DataFrame, table: Table = TABLE, name: str = "t", **changes: Any) -> Document:
    return tables.build(configuration(tables={name: table.model_dump()}, **changes), name, frame)


def markdown_of(frame: pd.DataFrame, table: Table = TABLE, **changes: Any) -> str:
    return render(built(frame, table, **changes))[".md"]


def split(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def line_of(text: str, *starts: str) -> list[str]:
    """The cells of the first line of a Markdown table whose first cells are `starts`."""
    for line in text.splitlines():
        cells = split(line)
        if line.startswith("|") and tuple(cells[: len(starts)]) == starts:
            return cells
    raise AssertionError(f"no line starts with {starts}")


class TestCollect:
    def test_a_done_cell_keeps_every_digit(self, tmp_path: Path) -> None:
        write_cell(tmp_path, CELL, accuracy=90.123456789012345)
        row = collect.collect([CELL], tmp_path).iloc[0]
        assert row["status"] == "done"
        assert row["accuracy"] == 90.123456789012345
        assert row["wall_seconds"] == 12.5
        assert row["code"] == f"evaluate {'b' * 16}, fit {'a' * 16}"
        assert row["original_sha256"] == SHA

    def test_a_fit_that_was_evaluated_later_says_what_made_it_and_what_measured_it(self, tmp_path: Path) -> None:
        write_cell(tmp_path, CELL)
        made = {"versions": {"torch": "2.12.0", "python": "3.11.9", "numba": "0.62"}, "git_commit": "9" * 40 + "-dirty"}
        fit = tmp_path / CELL.path / "fit.json"
        put(fit, files.read_json(fit) | made)
        row = collect.collect([CELL], tmp_path).iloc[0]
        assert row["versions"] == "numba 0.62, python 3.11.9, torch 2.12.0 then 2.13.0"
        assert collect.short_commits(row["git_commit"]) == f"{'9' * 12}-dirty then {'c' * 12}"
        put(fit, files.read_json(fit) | {"versions": metrics_of(CELL)["versions"], "git_commit": "c" * 40})
        row = collect.collect([CELL], tmp_path).iloc[0]
        assert (row["versions"], row["git_commit"]) == ("python 3.11.9, torch 2.13.0", "c" * 40)
        put(
            fit, files.read_json(fit) | {"versions": {"torch": "2.12.0 then 2.13.0"}}
        )  # its fit was resumed with the second
        assert collect.collect([CELL], tmp_path).iloc[0]["versions"] == "python 3.11.9, torch 2.12.0 then 2.13.0"

    def test_every_cell_has_a_row_in_order(self, tmp_path: Path) -> None:
        cells = [Cell("cifar10", "resnet20", "none", 140, "base", seed) for seed in range(4)]
        write_cell(tmp_path, cells[1])
        write_failure(tmp_path, cells[2])
        write_fit(tmp_path / cells[3].path)
        frame = collect.collect(cells, tmp_path)
        assert list(frame["cell"]) == [cell.path for cell in cells]
        assert list(frame["status"]) == ["missing", "done", "failed", "missing"]
        assert list(frame["message"]) == [
            "",
            "",
            "the loss is not finite at iteration 1200 (L_recon = nan)",
            "not evaluated",
        ]
        assert frame["accuracy"].notna().tolist() == [False, True, False, False]

    def test_no_cells_make_an_empty_frame(self, tmp_path: Path) -> None:
        assert list(collect.collect([], tmp_path).columns) == list(collect.COLUMNS)

    def test_a_failure_hides_older_metrics(self, tmp_path: Path) -> None:
        write_cell(tmp_path, CELL)
        write_failure(tmp_path, CELL)
        row = collect.collect([CELL], tmp_path).iloc[0]
        assert row["status"] == "failed"
        assert math.isnan(row["accuracy"])

    def test_a_failure_of_other_settings_is_no_failure_of_these(self, tmp_path: Path) -> None:
        config = configuration()
        write_cell(tmp_path, CELL, fingerprint=fingerprint(fit_settings(config, CELL)))
        write_failure(tmp_path, CELL)
        tried = {"as they are": "failed", "others": "done", "of before": "done"}
        values = fit_settings(config, CELL).model_dump(mode="json")
        for name, wanted in tried.items():
            changed = {"others": values | {"hidden": 7}, "of before": values | {"kernels": 3}}.get(name, values)
            put(tmp_path / CELL.path / "config.json", changed)
            assert collect.current(config, [CELL], tmp_path).iloc[0]["status"] == wanted, name

    def test_cells_that_learned_different_originals_have_no_mean(self, tmp_path: Path) -> None:
        """As gathered from two machines that trained an original each."""
        cells = [Cell("cifar10", "resnet20", "cross-filter", 160, "base", seed) for seed in range(4)]
        for cell in cells:
            sha = ("e" if cell.seed == 2 else "0") * 64
            write_cell(tmp_path, cell, inputs={"results/cifar10/resnet20/originals/base/network.safetensors": sha})
        frame = collect.collect(cells, tmp_path)
        assert list(frame["status"]) == ["done", "done", "outdated", "done"]
        assert frame["message"][2] == "learned another original than most cells here"
        assert frame["accuracy"].isna().tolist() == [False, False, True, False]

    def test_cells_of_different_images_have_no_mean(self, tmp_path: Path) -> None:
        """As gathered from two machines that prepared other test images, and imported one original."""
        network = {"results/cifar10/resnet20/originals/base/network.safetensors": SHA}
        for cell in cells_of(TABLE):
            images = {"results/cifar10/images/data.json": ("e" if cell.seed == 2 else "0") * 64}
            few = {"test_images": 509, "accuracy": 10.0} if cell.seed == 2 else {}
            write_cell(tmp_path, cell, inputs=network | images, **few)
        frame = collect.collect(cells_of(TABLE), tmp_path)
        assert list(frame["status"]) == ["done", "done", "outdated", "done"] * 4
        assert frame["message"][2] == "is of other images than most cells here"
        text = markdown_of(frame)
        assert "CIFAR-10, 10,000 test images" in text and "seed 2 outdated (is of other images" in text
        assert line_of(text, "resnet20", "1.03", "160")[5:7] == ["91.33 ± 3.79 (a)", "3"]

    def test_weights_that_were_imported_and_have_changed_count_no_more(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        network = NETWORK | {"original": {"weights": str(tmp_path / "w.pt")}}
        config = configuration(tasks={"cifar10": TASK | {"networks": {"resnet20": network}}}, tables={})
        write_cell(tmp_path, CELL, fingerprint=fingerprint(fit_settings(config, CELL)))
        imported = hashlib.sha256(b"one").hexdigest()
        folder = tmp_path / "results/cifar10/resnet20/originals/base"
        folder.mkdir(parents=True)
        put(folder / "metrics.json", {"inputs": {"weights": imported}})
        states = {None: "done", b"one": "done", b"other": "outdated"}  # what is elsewhere is kept
        for content, wanted in states.items():
            if content:
                (tmp_path / "w.pt").write_bytes(content)
            assert collect.current(config, [CELL], tmp_path).iloc[0]["status"] == wanted
        assert "w.pt has changed since" in collect.current(config, [CELL], tmp_path).iloc[0]["message"]

    def test_older_numbers_of_a_running_cell_do_not_count(self, tmp_path: Path) -> None:
        write_cell(tmp_path, CELL)
        with exclusive(tmp_path / CELL.path):
            row = collect.collect([CELL], tmp_path).iloc[0]
        assert row["status"] == "running"
        assert math.isnan(row["accuracy"])
        assert collect.collect([CELL], tmp_path)["status"].item() == "done"

    @pytest.mark.parametrize(
        ("spoil", "reason"),
        [
            (lambda folder: (folder / "fit.json").unlink(), "its fit is not finished"),
            (lambda folder: write_fit(folder, predictor="1" * 64), "fitted again since it was evaluated"),
            (lambda folder: write_fit(folder, fingerprint="e" * 16), "fitted again since it was evaluated"),
        ],
    )
    def test_metrics_that_do_not_fit_their_fit_are_outdated(self, tmp_path: Path, spoil: Any, reason: str) -> None:
        write_cell(tmp_path, CELL)
        spoil(tmp_path / CELL.path)
        row = collect.collect([CELL], tmp_path).iloc[0]
        assert (row["status"], row["message"]) == ("outdated", reason)
        assert math.isnan(row["accuracy"])

    def test_other_settings_make_a_cell_outdated(self, tmp_path: Path) -> None:
        write_cell(tmp_path, CELL)
        assert collect.collect([CELL], tmp_path, {CELL: "f" * 16})["status"].item() == "done"
        row = collect.collect([CELL], tmp_path, {CELL: "0" * 16}).iloc[0]
        assert (row["status"], row["message"]) == ("outdated", "made with other settings")

    def test_an_original_that_was_trained_again_makes_its_cells_outdated(self, tmp_path: Path) -> None:
        write_cell(tmp_path, CELL)
        original = tmp_path / "results/cifar10/resnet20/originals/base/network.safetensors"
        original.parent.mkdir(parents=True)
        original.write_bytes(b"another network")
        row = collect.collect([CELL], tmp_path).iloc[0]
        assert (row["status"], row["message"]) == ("outdated", "network.safetensors has changed since")

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"cell": OTHER.path}, "belongs to the cell"),
            ({"seed": 1}, "its seed is 1, but the path says 0"),
            ({"seed": False}, "its seed is False"),
            ({"hidden": 180}, "its hidden is 180"),
            ({"network": "resnet56"}, "its network is 'resnet56'"),
            ({"smoothing": "in-filter"}, "its smoothing is 'in-filter'"),
            ({"variant": "decoupled"}, "its variant is 'decoupled'"),
            ({"task": "own"}, "its task is 'own'"),
            ({"accuracy": "91.2"}, "accuracy must be a number from 0 to 100, not '91.2'"),
            ({"accuracy": None}, "accuracy must be a number"),
            ({"accuracy": True}, "accuracy must be a number"),
            ({"accuracy": 100.1}, "accuracy must be a number from 0 to 100"),
            ({"accuracy": -1}, "accuracy must be a number"),
            ({"best_on_test_accuracy": "x"}, "best_on_test_accuracy must be"),
            ({"best_on_test_iteration": 1.5}, "best_on_test_iteration must be"),
            ({"accuracy": 10**400}, "accuracy must be a number"),
            ({"weight_rmse": 10**400}, "weight_rmse must be"),
            ({"weight_rmse": -0.1}, "weight_rmse must be"),
            ({"layer_rmse": [0.1]}, "layer_rmse must be"),
            ({"layer_rmse": {"conv1": "0.1"}}, "layer_rmse must be"),
            ({"iterations": 70_000.0}, "iterations must be a whole number"),
            ({"iterations": -1}, "iterations must be a whole number"),
            ({"test_images": 10**400}, "test_images must be a whole number"),
            ({"learnable_bytes": 0}, "its sizes contradict"),
            ({"permutation_bytes": 1}, "its sizes contradict"),
            ({"ratio": 0.1}, "its ratio"),
            ({"packed_ratio": 0.1}, "its packed ratio"),
            ({"device": 3}, "device must be a text"),
            ({"device": "a\x00b"}, "device must be a text"),
            ({"code": "abc"}, "code must be an object"),
            ({"versions": {"torch": 2}}, "versions must be an object"),
            ({"inputs": {"network.safetensors": "abc"}}, "inputs must be an object of SHA-256"),
            ({"predictor_sha256": None}, "predictor_sha256 must be"),
        ],
    )
    def test_a_mangled_metrics_file_is_one_sentence(self, tmp_path: Path, changes: dict[str, Any], said: str) -> None:
        write_cell(tmp_path, CELL, **changes)
        with pytest.raises(NernError, match=re.escape(said)) as caught:
            collect.collect([CELL], tmp_path)
        assert str(caught.value).startswith(f"{tmp_path / CELL.path / 'metrics.json'}: ")
        assert "nern evaluate" in str(caught.value) and "\n" not in str(caught.value)

    @pytest.mark.parametrize("key", sorted(metrics_of(CELL).keys() - {"fit_device"}))
    def test_a_missing_key_is_named(self, tmp_path: Path, key: str) -> None:
        write_cell(tmp_path, CELL)
        path = tmp_path / CELL.path / "metrics.json"
        put(path, {k: v for k, v in files.read_json(path).items() if k != key})
        with pytest.raises(NernError, match=key if key != "cell" else "belongs to the cell None"):
            collect.collect([CELL], tmp_path)

    @pytest.mark.parametrize("name", ["metrics.json", "fit.json", "failed.json"])
    @pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"step": -1, "message": 3}', "\ufffe"])
    def test_broken_files_are_one_sentence(self, tmp_path: Path, name: str, text: str) -> None:
        write_cell(tmp_path, CELL)
        (tmp_path / CELL.path / name).write_text(text)
        with pytest.raises(NernError, match=name):
            collect.collect([CELL], tmp_path)

    def test_a_fit_without_its_facts_is_one_sentence(self, tmp_path: Path) -> None:
        write_cell(tmp_path, CELL)
        path = tmp_path / CELL.path / "fit.json"
        put(path, files.read_json(path) | {"wall_seconds": "long"})
        with pytest.raises(NernError, match="wall_seconds or device"):
            collect.collect([CELL], tmp_path)

    def test_the_metrics_of_another_cell_cannot_slip_in(self, tmp_path: Path) -> None:
        write_cell(tmp_path, OTHER)
        shutil.copytree(tmp_path / OTHER.path, tmp_path / CELL.path)
        with pytest.raises(NernError, match="its seed is 1, but the path says 0"):
            collect.collect([CELL, OTHER], tmp_path)


NUMBERS = {"float64": st.floats(allow_nan=False, allow_infinity=False), "Int64": st.integers(0, 2**63 - 1)}
WORDS = st.one_of(st.text(st.characters(exclude_categories=["Cs", "Cc"])), st.sampled_from(["nan", "NA", "None", '"']))


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """Long frames of any content."""
    kinds = collect.COLUMNS.items()
    row = st.fixed_dictionaries({c: WORDS if k == "str" else st.none() | NUMBERS[k] for c, k in kinds})
    return collect.frame_of(draw(st.lists(row, max_size=3)))


class TestCsv:
    @settings(max_examples=60, deadline=None)
    @given(frames())
    def test_reads_what_was_written(self, tmp_path_factory: pytest.TempPathFactory, frame: pd.DataFrame) -> None:
        path = tmp_path_factory.mktemp("csv") / "cells.csv"
        collect.write_csv(path, frame)
        pd.testing.assert_frame_equal(collect.read_csv(path), frame, check_exact=True)

    def test_a_table_from_the_file_is_the_table(self, tmp_path: Path) -> None:
        frame = frame_of(tmp_path, TABLE, accuracy=90.1)
        collect.write_csv(tmp_path / "t.csv", frame)
        assert markdown_of(collect.read_csv(tmp_path / "t.csv")) == markdown_of(frame)

    @pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\xff\xfe", b'cell\n"'])
    def test_another_file_is_refused(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "t.csv").write_bytes(content)
        with pytest.raises(NernError, match=r"t\.csv"):
            collect.read_csv(tmp_path / "t.csv")

    def test_words_in_a_number_column_are_refused(self, tmp_path: Path) -> None:
        collect.write_csv(tmp_path / "t.csv", frame_of(tmp_path, TABLE, seeds=1))
        text = (tmp_path / "t.csv").read_text()
        (tmp_path / "t.csv").write_text(text.replace("91.69", "many"))
        with pytest.raises(NernError, match="holds no table"):
            collect.read_csv(tmp_path / "t.csv")

    def test_a_missing_file_is_one_sentence(self, tmp_path: Path) -> None:
        with pytest.raises(NernError, match="cannot be read"):
            collect.read_csv(tmp_path / "t.csv")


def golden_frame(root: Path) -> pd.DataFrame:
    """Numbers that can be checked by hand.

    In-filter, h 160: 90, 91, 92, 93: mean 91.5, s = √(5/3), half-width 3.1824 · s / 2 = 2.05. Published 90.85: inside.
    Cross-filter, h 160: 93, 93, 94, 94: mean 93.5, s = √(1/3), half-width 3.1824 · s / 2 = 0.92. Published 91.16: out.
    In-filter, h 180: 91 alone. Cross-filter, h 180: 90 and 92: half-width 12.706 · √2 / √2 = 12.71.
    Pairs (cross-filter minus in-filter): 3, 2, 2, 1 and -1: mean 1.4, s = √2.3, d = 0.92; of the 32 sign patterns 6
    have a sum of at least 7 in absolute value (none or one of the two 1s flipped, and their mirrors): p = 0.1875.
    """
    cells = cells_of(TABLE)
    values = {
        ("in-filter", 160): [90.0, 91.0, 92.0, 93.0],
        ("cross-filter", 160): [93.0, 93.0, 94.0, 94.0],
        ("in-filter", 180): [91.0],
        ("cross-filter", 180): [90.0, 92.0],
    }
    for cell in cells:
        known = values[cell.smoothing, cell.hidden]
        if cell.seed < len(known):
            code = OTHER_CODE if (cell.smoothing, cell.hidden, cell.seed) == ("cross-filter", 180, 1) else {}
            best = known[cell.seed] + 0.5
            write_cell(root, cell, accuracy=known[cell.seed], best_on_test_accuracy=best, **code)
    write_failure(root, cells[-2])
    write_cell(root, cells[-1], fingerprint="0" * 16)
    return collect.collect(cells, root, dict.fromkeys(cells, "f" * 16))


@pytest.mark.parametrize("suffix", [".csv", ".md", ".tex", ".html"])
def test_golden_table(tmp_path: Path, suffix: str) -> None:
    frame = golden_frame(tmp_path)
    if suffix == ".csv":
        collect.write_csv(tmp_path / "t.csv", frame)
        text = (tmp_path / "t.csv").read_text()
    else:
        text = render(built(frame, TABLE, "cifar10"))[suffix]
    golden = GOLDEN / f"cifar10{suffix}"
    if os.environ.get("NERN_RENEW_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()


class TestTable:
    def test_entries_are_what_can_be_counted_by_hand(self, tmp_path: Path) -> None:
        text = markdown_of(golden_frame(tmp_path))
        first, second = line_of(text, "resnet20", "1.03", "160"), line_of(text, "resnet20", "1.03", "180")
        assert first[3:] == split("0.45|91.69|91.50 ± 2.05|4|90.85|+0.65 (a)|93.50 ± 0.92|4|91.16|+2.34")
        assert second[5:] == split("91.00 (b)|1|91.30|−0.30|91.00 ± 12.71 (c) (d)|2|91.50|−0.50 (a)")
        pairs = line_of(text, "cross-filter against in-filter")
        assert pairs[1:] == ["5", "+1.40", "+0.92", "0.188", "0.00", "—", "1.000", "0.0000", "—", "1.000"]

    def test_a_cell_that_is_not_done_never_enters_a_mean(self, tmp_path: Path) -> None:
        cells = cells_of(TABLE)
        for cell in cells:
            write_cell(tmp_path, cell, accuracy=10.0 if cell.seed == 3 else 90.0)
            if cell.seed == 3:
                (tmp_path / cell.path / "fit.json").unlink()
        text = markdown_of(collect.collect(cells, tmp_path))
        assert line_of(text, "resnet20", "1.03", "160")[5:7] == ["90.00 ± 0.00 (a)", "3"]
        assert "- (a) Not in the mean: seed 3 outdated (its fit is not finished)." in text

    def test_nothing_done_is_dashes_and_the_rules_stand(self, tmp_path: Path) -> None:
        text = markdown_of(collect.collect(cells_of(TABLE), tmp_path))
        assert line_of(text, "resnet20", "—", "160") == split("resnet20|—|160|—|—|— (a)|0|— (a)|0")
        assert "- (a) No value: seeds 0–3 missing." in text
        assert "0 of 16 fits are done, 16 missing" in text
        assert "**Selection**" in text and "**Interval**" in text
        assert "published" not in text.lower() and "nan" not in text

    def test_one_seed_has_no_interval_and_says_so(self, tmp_path: Path) -> None:
        text = markdown_of(frame_of(tmp_path, TABLE, seeds=1))
        assert line_of(text, "resnet20", "1.03", "160")[5:7] == ["90.00", "1"]
        assert "One seed gives no interval." in text
        assert "One seed" not in markdown_of(frame_of(tmp_path, TABLE, seeds=2))

    def test_rules_data_and_device_are_named(self, tmp_path: Path) -> None:
        note = "center crops of 224 pixels"
        text = markdown_of(frame_of(tmp_path, TABLE, iterations=1200), TABLE, tasks={"cifar10": TASK | {"note": note}})
        for words in (
            "last iterate",
            "95 % confidence interval",
            "Student t",
            f"CIFAR-10, 10,000 test images ({note})",
            "base (1,200 iterations)",
            "Fitted on CPU (a processor)",
            "README of the authors' code",
            "resnet20 91.69 %",
            "16 of 16 fits are done.",
            "selected on the test images themselves",
        ):
            assert words in text, words

    def test_code_versions_are_told_apart(self, tmp_path: Path) -> None:
        frame = frame_of(tmp_path, TABLE)
        assert f"- **Code**: evaluate {'b' * 16}, fit {'a' * 16}; commit {'c' * 12}; python" in markdown_of(frame)
        write_cell(tmp_path, CELL, **OTHER_CODE)
        text = markdown_of(collect.collect(cells_of(TABLE), tmp_path))
        assert "the cells come from 2 versions; unless marked: evaluate" in text
        mark = line_of(text, "resnet20", "1.03", "160")[9][-3:]
        assert f"- {mark} From another version of the code, in whole or in part: evaluate" in text
        assert f"fit {'d' * 16}; commit {'e' * 12}-dirty; python" in text

    def test_commits_without_a_change_of_code_are_one_version(self, tmp_path: Path) -> None:
        frame_of(tmp_path, TABLE)
        write_cell(tmp_path, CELL, git_commit="9" * 40)
        text = markdown_of(collect.collect(cells_of(TABLE), tmp_path))
        assert "versions;" not in text
        assert f"commits {'c' * 12}, {'9' * 12};" in text

    def test_without_best_on_test_there_is_a_dash(self, tmp_path: Path) -> None:
        frame = frame_of(tmp_path, TABLE, best_on_test_accuracy=None, best_on_test_iteration=None)
        assert line_of(markdown_of(frame), "resnet20", "160", "in-filter")[3] == "—"

    def test_what_is_lost_has_an_interval_over_images(self, tmp_path: Path) -> None:
        """120 lost and 30 won of 10,000: 0.90 points, and 1.96 · √(151 − 90² / 10,002) / 10,002 = 0.24."""
        text = markdown_of(frame_of(tmp_path, TABLE))
        assert line_of(text, "resnet20", "160", "in-filter")[4:7] == ["+0.90 ± 0.24", "94.00 ± 0.00", "0.0410 ± 0.0000"]

    def test_top5_is_shown_where_it_says_something(self, tmp_path: Path) -> None:
        assert "Top-5" not in markdown_of(frame_of(tmp_path, TABLE))
        assert "Top-5" in markdown_of(frame_of(tmp_path, TABLE, original_top5_accuracy=89.1, top5_accuracy=88.0))

    def test_variants_as_columns(self, tmp_path: Path) -> None:
        table = TABLE.model_copy(
            update={"variants": ["base", "decoupled"], "columns": "variant", "smoothing": ["cross-filter"]}
        )
        text = markdown_of(frame_of(tmp_path, table), table)
        header = line_of(text, "Network")
        assert header[4:] == split("Original (%)|base (%)|n|published|difference|decoupled (%)|n")
        assert "decoupled against base" in text
        text = markdown_of(frame_of(tmp_path, table), table.model_copy(update={"labels": {"base": "the paper's"}}))
        assert "- **Protocol**: the paper's (70,000 iterations), decoupled (70,000" in text

    def test_a_protocol_that_is_not_the_papers_says_so(self, tmp_path: Path) -> None:
        table = TABLE.model_copy(update={"variants": ["decoupled"]})
        text = markdown_of(frame_of(tmp_path, table), table)
        assert "decoupled (70,000 iterations; reconstruction first, then a distillation" in text
        assert "not the paper's protocol" in text and "not the paper's" not in markdown_of(frame_of(tmp_path, TABLE))
        muon, learned = {"training": {"optimizer": {"name": "muon"}}}, {"embedding": {"kind": "table"}}
        for changes, sentence in (
            (muon, "by Muon: not the paper's optimizer"),
            ({"training": {"optimizer": {"adabelief": True}}}, "by RangerAdaBelief: not the paper's optimizer"),
            (learned, "a learned vector for each index: not the paper's embedding"),
            ({"embedding": {"normalized": True}}, "normalized coordinates: not the paper's embedding"),
            ({"embedding": {"base": 1.1}}, "40 levels of base 1.1: not the code's embedding"),
            ({"activation": "gelu"}, "GELU between the predictor's layers: not the paper's ReLU"),
            ({"training": {"reordering": {}}}, "kernels change places while they are learned: not the paper's order"),
            ({"precision": "bfloat16"}, "networks in bfloat16: not the paper's precision"),
            (muon | learned, "by Muon: not the paper's optimizer; a learned vector for each index: not the paper's"),
        ):
            text = markdown_of(frame_of(tmp_path, TABLE), TABLE, variants={"base": changes})
            assert f"base (70,000 iterations; {sentence}" in text

    @pytest.mark.parametrize(
        ("changes", "decoupled"),
        [
            ({}, True),
            ({"training": {"iterations": 0, "losses": {"alpha": 0, "beta": 0}}}, False),
            ({"training": {}}, False),
            ({"training": {"losses": {"alpha": 0}}}, False),
            ({"training": {}, "distillation": {"losses": {"alpha": 0, "beta": 0}}}, False),
            ({"distillation": {"losses": {"beta": 0}}}, True),
            ({"distillation": {"iterations": 69_999}}, True),
            ({"distillation": {"iterations": 0}}, False),
            ({"distillation_gradient": False}, False),
        ],
    )
    def test_only_a_distillation_behind_a_reconstruction_is_called_so(
        self, tmp_path: Path, changes: dict[str, Any], decoupled: bool
    ) -> None:
        table = TABLE.model_copy(update={"variants": ["two"], "sizes": {"resnet20": [160]}})
        variants = {"base": {}, "two": RECONSTRUCTION | {"distillation": {}} | changes}
        config = configuration(variants=variants, tables={"t": table.model_dump()}, seeds=[0])
        for cell in table_cells(config, "t"):
            write_cell(tmp_path, cell)
        text = render(tables.build(config, "t", collect.collect(table_cells(config, "t"), tmp_path)))[".md"]
        short = "short " if "69999" in str(changes) else ""
        phases = f"reconstruction first, then a {short}distillation (Choi et al. 2024)" if decoupled else "two phases"
        assert f"two (70,000 iterations; {phases}: not the paper's protocol)" in text

    @pytest.mark.parametrize("columns", ["variant", "smoothing"])
    def test_a_variant_may_be_called_as_a_smoothing_mode_is(self, tmp_path: Path, columns: str) -> None:
        table = TABLE.model_copy(update={"variants": ["base", "none"], "smoothing": ["in-filter", "none"]})
        table = table.model_copy(update={"columns": columns, "sizes": {"resnet20": [160]}, "labels": {"base": "B"}})
        config = configuration(variants={"base": {}, "none": {}}, tables={"t": table.model_dump()}, seeds=[0, 1])
        cells = table_cells(config, "t")
        for cell in cells:
            write_cell(tmp_path, cell)
        headline, details, compared = tables.build(config, "t", collect.collect(cells, tmp_path)).grids
        orders, variants = ["in-filter", "no permutation"], ["B", "none"]
        groups, lines = (variants, orders) if columns == "variant" else (orders, variants)
        assert list(dict.fromkeys(column.group for column in headline.columns if column.group)) == groups
        other = [column.name for column in headline.columns].index("Smoothing" if columns == "variant" else "Variant")
        assert [row[other].value for row in headline.rows] == lines
        assert {(row[2].value, row[3].value) for row in details.rows} == set(itertools.product(orders, variants))
        assert [row[0].value for row in compared.rows] == [f"{groups[1]} against {groups[0]}"]

    def test_both_dimensions_get_rows(self, tmp_path: Path) -> None:
        table = TABLE.model_copy(update={"variants": ["base", "decoupled"]})
        text = markdown_of(frame_of(tmp_path, table), table)
        assert line_of(text, "Network")[5] == "Variant"
        assert line_of(text, "resnet20", "1.03", "160", "0.45", "91.69", "decoupled")[6:] == [
            *("91.50 ± 2.05", "4", "—", "—"),
            *("91.50 ± 2.05", "4", "—", "—"),
        ]

    def test_networks_with_protocols_of_their_own_are_told_apart(self, tmp_path: Path) -> None:
        """The note said of both what is true of the last one."""
        muon = NETWORK | {"protocol": {"training": {"optimizer": {"name": "muon"}}}}
        networks = {"resnet20": muon, "resnet56": NETWORK | {"depth": 56}}
        table = TABLE.model_copy(update={"sizes": {"resnet20": [160], "resnet56": [280]}})
        config = configuration(tasks={"cifar10": TASK | {"networks": networks}}, tables={"t": table.model_dump()})
        for cell in table_cells(config, "t"):
            write_cell(tmp_path, cell, iterations=70_000 if cell.network == "resnet20" else 90_000)
        text = render(tables.build(config, "t", collect.collect(table_cells(config, "t"), tmp_path)))[".md"]
        by_muon = "base of resnet20 (70,000 iterations; by Muon: not the paper's optimizer)"
        assert f"- **Protocol**: {by_muon}, base of resnet56 (90,000 iterations). Fitted on" in text

    def test_columns_with_originals_of_their_own_show_them(self, tmp_path: Path) -> None:
        table = TABLE.model_copy(
            update={"variants": ["base", "decoupled"], "columns": "variant", "smoothing": ["cross-filter"]}
        )
        frame_of(tmp_path, table)
        for cell in cells_of(table):
            if cell.variant == "decoupled":
                write_cell(tmp_path, cell, original="smooth", original_accuracy=90.5)
        text = markdown_of(collect.collect(cells_of(table), tmp_path), table)
        assert "Original (%)" not in line_of(text, "Network")
        line = line_of(text, "resnet20", "1.03", "160", "0.45")
        assert (line[4], line[9]) == ("91.69", "90.50")
        assert "Some methods learned originals of their own" in text and "share its original" not in text

    def test_methods_that_share_the_originals_of_their_lines_are_not_said_to_have_their_own(
        self, tmp_path: Path
    ) -> None:
        table = TABLE.model_copy(update={"variants": ["base", "decoupled"]})
        for cell in cells_of(table):
            write_cell(tmp_path, cell, original="base" if cell.variant == "base" else "smooth")
        text = markdown_of(collect.collect(cells_of(table), tmp_path), table)
        assert "Some methods learned originals of their own" not in text
        assert "Pairs of one network and variant share its original, and pairs of one seed" in text

    def test_small_sizes_have_three_decimals(self, tmp_path: Path) -> None:
        table = TABLE.model_copy(update={"sizes": {"resnet20": [40, 160]}})
        text = markdown_of(frame_of(tmp_path, table), table)
        assert line_of(text, "resnet20", "1.03", "40")[3] == "0.057"
        assert line_of(text, "resnet20", "1.03", "160")[3] == "0.447"

    def test_a_document_of_hostile_words_is_whole(self, tmp_path: Path) -> None:
        hostile = "<script>|a_b_|`c`*d* \\ ${}&#%~^ [e](f) 数"
        table = TABLE.model_copy(update={"title": hostile})
        task = TASK | {"title": hostile, "note": hostile}
        texts = render(built(frame_of(tmp_path, table), table, tasks={"cifar10": task}))
        assert texts[".html"].count("<script>") == 1 and "\\<script\\>" in texts[".md"]
        assert r"\$\{\}\&\#\%\textasciitilde{}\textasciicircum{}" in texts[".tex"] and "{[}U+6570]" in texts[".tex"]


def test_the_page_of_cells_says_what_made_each(tmp_path: Path) -> None:
    cells = cells_of(TABLE, 2)
    write_cell(tmp_path, cells[0], accuracy=91.5, git_commit="c" * 40 + "-dirty")
    write_failure(tmp_path, cells[1])
    page = cells_page.document(collect.collect(cells, tmp_path))
    names, rows = [column.name for column in page.grids[0].columns], page.grids[0].rows
    done, failed, missing = ({n: text.value for n, text in zip(names, row, strict=True)} for row in rows[:3])
    assert done["Cell"] == cells[0].path.removeprefix("results/") and done["Accuracy (%)"] == "91.50"
    assert (done["Settings"], done["Weights"]) == ("f" * 16, SHA[:12]) and done["Commit"] == "c" * 12 + "-dirty"
    assert "fit " + "a" * 16 in done["Code"] and "torch 2.13.0" in done["Versions"]
    assert failed["Status"] == "failed" and "not finite" in failed["Message"] and failed["Accuracy (%)"] == "—"
    assert missing["Status"] == "missing" and missing["Message"] == "—"


class TestComparison:
    def test_pairs_share_everything_but_the_method(self, tmp_path: Path) -> None:
        cells = cells_of(TABLE)
        for cell in cells:
            write_cell(tmp_path, cell, accuracy=50.0 + cell.seed + (0.25 if cell.smoothing == "cross-filter" else 0))
        frame = collect.collect(cells, tmp_path)
        result = comparison.paired(frame.sample(frac=1, random_state=0), "smoothing", "cross-filter", "in-filter")
        assert (result.n, result.mean_difference, result.p_value) == (8, 0.25, 2 / 2**8)

    def test_agreement_is_compared_like_accuracy(self, tmp_path: Path) -> None:
        cells = cells_of(TABLE)
        for cell in cells:
            crossed = cell.smoothing == "cross-filter"
            write_cell(tmp_path, cell, accuracy=90.0, agreement=50.0 + cell.seed * (2 if crossed else 1))
        grid = comparison.grid(
            collect.collect(cells, tmp_path), "smoothing", {"in-filter": "in", "cross-filter": "cross"}
        )
        assert grid is not None
        # differences 0, 1, 2, 3 twice: mean 1.5, s = √(10 / 7), and of 2⁸ sign patterns 2 · 2² with all alike
        texts = [text.value for text in grid.rows[0]]
        assert texts == [
            "cross against in",
            "8",
            "0.00",
            "—",
            "1.000",
            "+1.50",
            f"+{1.5 / math.sqrt(10 / 7):.2f}",
            "0.031",
            "0.0000",
            "—",
            "1.000",
        ]

    def test_half_a_pair_does_not_count(self, tmp_path: Path) -> None:
        frame = frame_of(tmp_path, TABLE)
        frame.loc[frame.index[0], "status"] = "missing"
        assert comparison.paired(frame, "smoothing", "cross-filter", "in-filter").n == 7


# Typed from METHOD's table, not copied from published.csv.
PUBLISHED = {
    ("cifar10", "resnet20", "in-filter", 160): 90.85,
    ("cifar10", "resnet20", "in-filter", 180): 91.30,
    ("cifar10", "resnet20", "cross-filter", 160): 91.16,
    ("cifar10", "resnet20", "cross-filter", 180): 91.50,
    ("cifar10", "resnet56", "in-filter", 280): 92.48,
    ("cifar10", "resnet56", "in-filter", 320): 92.75,
    ("cifar10", "resnet56", "cross-filter", 280): 92.54,
    ("cifar10", "resnet56", "cross-filter", 320): 92.96,
    ("cifar100", "resnet56", "cross-filter", 360): 70.51,
    ("cifar100", "resnet56", "cross-filter", 400): 71.70,
    ("imagenet", "resnet18", "cross-filter", 1256): 68.77,
}
ORIGINALS = {
    ("cifar10", "resnet20"): 91.69,
    ("cifar10", "resnet56"): 93.52,
    ("cifar100", "resnet56"): 71.35,
    ("imagenet", "resnet18"): 69.76,
}


class TestPublished:
    def test_a_published_checkpoint_was_selected_on_the_test_images(self, tmp_path: Path) -> None:
        """Beside the last iterates of fits here that is not the same thing."""
        said = "Their code keeps the checkpoint that is best on the test images, which flatters it"
        assert said in markdown_of(frame_of(tmp_path, TABLE))
        assert said not in markdown_of(frame_of(tmp_path, TABLE, test_images=509))

    def test_accuracies_are_methods_and_no_others(self) -> None:
        found = {(p.task, p.network, p.smoothing, p.hidden): p.low for p in published.figures() if p.kind == "accuracy"}
        assert found == PUBLISHED
        for (task, network, smoothing, hidden), value in PUBLISHED.items():
            figure = published.accuracy(task, network, smoothing, hidden)
            assert figure is not None and figure.low == figure.high == value

    def test_originals_are_methods_and_no_others(self) -> None:
        kind = "original_accuracy"
        assert {(p.task, p.network): p.low for p in published.figures() if p.kind == kind} == ORIGINALS
        figure = published.original_accuracy("imagenet", "resnet18")
        assert figure is not None and figure.low == 69.76

    def test_the_rest(self) -> None:
        rest = [p for p in published.figures() if not p.kind.endswith("accuracy") and p.kind != "lost"]
        assert [(p.kind, p.task, p.smoothing, p.hidden, p.low, p.high, p.unit, p.text) for p in rest] == [
            ("permutation_overhead", "", "cross-filter", None, 4, 6, "%", ""),
            ("permutation_overhead", "", "in-filter", None, 2, 3, "%", ""),
            ("best_lambda", "cifar10", "", 240, 5e-6, 5e-6, "", ""),
            ("best_lambda", "cifar10", "", 280, 1e-6, 1e-6, "", ""),
            ("fit_time", "cifar", "", None, 1, 3, "h", "one RTX 3090"),
            ("fit_time", "imagenet", "", None, 20, 30, "h", "one RTX 3090"),
            ("permutation_time", "imagenet", "cross-filter", None, None, None, "", "a few hours"),
        ]

    def test_every_figure_has_its_source(self) -> None:
        firsthand = re.compile(r"paper, section|README of the authors' code")
        assert all(firsthand.match(p.source) or "second-hand" in p.source for p in published.figures())

    @pytest.mark.parametrize(
        ("variant", "there"), [("base", True), ("authors-2023", True), ("authors-2022", False), ("decoupled", False)]
    )
    def test_only_beside_the_papers_protocol(self, variant: str, there: bool) -> None:
        """The shipped protocols are METHOD's, of every network that an accuracy is published of."""
        for task, network, smoothing, hidden in PUBLISHED:
            cell = Cell(task, network, smoothing, hidden, variant, 0)
            assert by_published_protocol(read([SHIPPED]), cell) == there

    @pytest.mark.parametrize(
        ("change", "there"),
        [
            ({"protocol": {"training": {"iterations": 100}}}, False),
            ({"protocol": {"embedding": {"kind": "table"}}}, False),
            ({"tasks": {"cifar10": {"protocol": {"training": {"losses": {"alpha": 0.01}}}}}}, False),
            ({"variants": {"base": {"activation": "gelu"}}}, False),
            ({"protocol": {"precision": "bfloat16"}}, False),
            ({"tasks": {"cifar10": {"networks": {"resnet20": {"shortcut": "A"}}}}}, False),
            ({"tasks": {"cifar10": {"networks": {"resnet20": {"original": {"weights": "mine.pt"}}}}}}, False),
            ({"original": {"epochs": 2, "milestones": [1]}}, False),
            ({"originals": {"base": {"smoothness": 1e-5}}}, False),
            ({"tasks": {"cifar10": {"augmentation": {"flip": False}}}}, False),
            ({"tasks": {"cifar10": {"std": [0.2, 0.2, 0.2]}}}, False),
            ({"tasks": {"cifar10": {"classes": 9}}}, False),
            ({"tasks": {"cifar10": {"images": FOLDER}}}, False),  # of 224 pixels
            ({"tasks": {"cifar10": {"images": FOLDER | {"size": 32, "resize": 32}}}}, True),
            ({"protocol": {"precision": "tf32"}}, True),  # theirs, where the GPU has it
            ({"protocol": {"evaluate_every": 7}}, True),
            ({"original": {"seed": 7}}, True),
        ],
    )
    def test_a_protocol_counts_by_what_it_is_and_not_by_its_name(self, change: dict[str, Any], there: bool) -> None:
        config = read([SHIPPED], change)
        assert by_published_protocol(config, Cell("cifar10", "resnet20", "cross-filter", 160, "base", 0)) == there

    def test_never_beside_what_is_called_base_and_is_another_protocol(self, tmp_path: Path) -> None:
        frame = frame_of(tmp_path, TABLE)
        assert "91.16" in markdown_of(frame)
        assert "91.16" not in markdown_of(frame, protocol={"embedding": {"kind": "table"}})

    def test_the_original_of_another_network_of_the_name_is_not_the_published_one(self, tmp_path: Path) -> None:
        frame = frame_of(tmp_path, TABLE)
        assert "Published originals: resnet20 91.69 %" in markdown_of(frame)
        wide = TASK | {"networks": {"resnet20": NETWORK | {"width": 64}}}
        assert "91.16" not in markdown_of(frame, tasks={"cifar10": wide})
        assert "Published originals" not in markdown_of(frame, tasks={"cifar10": wide})

    def test_never_beside_other_data(self, tmp_path: Path) -> None:
        own = TABLE.model_copy(update={"task": "own"})
        for table, images in ((own, 10_000), (TABLE, 1017)):
            text = markdown_of(frame_of(tmp_path, table, test_images=images), table)
            assert "90.85" not in text and "91.16" not in text
            assert "no accuracy of the paper is comparable" in text
            assert "Published originals" not in text

    def test_one_cell_on_other_data_hides_the_figure(self, tmp_path: Path) -> None:
        frame_of(tmp_path, TABLE)
        write_cell(tmp_path, CELL, test_images=1017)
        text = markdown_of(collect.collect(cells_of(TABLE), tmp_path))
        assert line_of(text, "resnet20", "1.03", "160")[11:] == ["—", "—"]
        assert line_of(text, "resnet20", "1.03", "180")[11] == "91.50"


class TestSizes:
    def test_shares_of_resnet20(self) -> None:
        """By hand: 3·16·9, six 16·16·9, 16·32·9, five 32·32·9, 32·64·9, five 64·64·9; 1x1 projections with option B."""
        frame, _ = sizes.conv_sizes()
        rows = frame.set_index(["family", "network"])
        threes = 9 * (3 * 16 + 6 * 256 + 512 + 5 * 1024 + 2048 + 5 * 4096)
        a, b = rows.loc[("CIFAR-10, option A", "resnet20")], rows.loc[("CIFAR-10, option B", "resnet20")]
        assert a["convolutions"] == a["convolutions_3x3"] == b["convolutions_3x3"] == threes == 267_696
        assert b["convolutions"] == threes + 16 * 32 + 32 * 64
        assert rows.loc[("ImageNet", "resnet18"), "parameters"] == 11_689_512
        assert rows.loc[("ImageNet", "resnet18"), "share_3x3"] > 98, "the paper: more than 98 %"

    def test_overheads_lie_in_the_papers_ranges(self) -> None:
        frame, document = sizes.permutation_overhead()
        papers = frame[[network.papers for network in sizes.NETWORKS]]
        assert list(papers["network"]) == ["resnet20", "resnet56", "resnet18"]
        assert papers["cross-filter overhead"].between(4, 6).all()
        assert papers["in-filter overhead"].between(2, 3).all()
        assert "Outside" not in render(document)[".md"]

    def test_overhead_of_resnet18_by_hand(self) -> None:
        """Its 3x3 convolutions as (count, filters, channels)."""
        layers = [(4, 64, 64), (1, 128, 64), (3, 128, 128), (1, 256, 128), (3, 256, 256), (1, 512, 256), (3, 512, 512)]
        weights = sum(n * f * c * 9 for n, f, c in layers)
        cross = sum(n * f * c * math.log2(f * c) for n, f, c in layers)
        within = sum(n * (f * c * math.log2(c) + f * math.log2(f)) for n, f, c in layers)
        row = sizes.permutation_overhead()[0].set_index("network").loc["resnet18"]
        assert row["cross-filter overhead"] == pytest.approx(100 * cross / (32 * weights))
        assert row["in-filter overhead"] == pytest.approx(100 * within / (32 * weights))

    @pytest.mark.parametrize("name", sorted(sizes.TABLES))
    def test_are_written_without_any_cell(self, tmp_path: Path, name: str) -> None:
        tables.write(configuration(), name, tmp_path, tmp_path / "tables")
        assert {path.name for path in (tmp_path / "tables").iterdir()} == {
            f"{name}{suffix}" for suffix in (".csv", ".md", ".tex", ".html")
        }


class TestWrite:
    def test_writes_four_files_from_the_cells_that_are_there(self, tmp_path: Path) -> None:
        config = configuration()
        cell = table_cells(config, "t")[0]
        write_cell(tmp_path, cell, fingerprint=fingerprint(fit_settings(config, cell)))
        write_cell(tmp_path, table_cells(config, "t")[1])
        tables.write(config, "t", tmp_path, tmp_path / "tables")
        names = sorted(p.name for p in (tmp_path / "tables").iterdir())
        assert names == ["t.partial.csv", "t.partial.html", "t.partial.md", "t.partial.tex"]
        text = (tmp_path / "tables/t.partial.md").read_text()
        assert "Not in the mean: seed 1 outdated (made with other settings); seeds 2, 3 missing." in text
        frame = collect.read_csv(tmp_path / "tables/t.partial.csv")
        assert frame["status"].value_counts().to_dict() == {"missing": 14, "done": 1, "outdated": 1}

    def test_a_summary_without_cells_that_do_not_count_is_partial(self, tmp_path: Path) -> None:
        config = configuration(tables={"t": TABLE.model_copy(update={"sizes": {"resnet20": [160]}}).model_dump()})
        for cell in table_cells(config, "t"):
            write_cell(tmp_path, cell, fingerprint=fingerprint(fit_settings(config, cell)))
        tables.write(config, "summary", tmp_path, tmp_path / "whole")
        assert (tmp_path / "whole/summary.md").exists()
        write_cell(tmp_path, table_cells(config, "t")[0])  # by other settings: all files are there
        tables.write(config, "summary", tmp_path, tmp_path / "half")
        assert {path.stem for path in (tmp_path / "half").iterdir()} == {"summary.partial"}

    def test_a_whole_takes_the_place_of_its_half(self, tmp_path: Path) -> None:
        config = configuration(tables={"t": TABLE.model_copy(update={"sizes": {"resnet20": [160]}}).model_dump()})
        for cell in table_cells(config, "t"):
            for name in ("t", "summary"):
                tables.write(config, name, tmp_path, tmp_path / "tables")
            cells_page.write(config, tmp_path, tmp_path / "results")
            write_cell(tmp_path, cell, fingerprint=fingerprint(fit_settings(config, cell)))
        assert {path.stem for path in (tmp_path / "tables").iterdir()} == {"t.partial", "summary.partial"}
        for name in ("t", "summary"):
            tables.write(config, name, tmp_path, tmp_path / "tables")
        cells_page.write(config, tmp_path, tmp_path / "results")
        assert {path.stem for path in (tmp_path / "tables").iterdir()} == {"t", "summary"}
        assert {path.name for path in (tmp_path / "results").glob("cells*")} == {"cells.csv", "cells.html"}

    def test_twice_gives_the_same_bytes(self, tmp_path: Path) -> None:
        frame_of(tmp_path, TABLE)
        for out in ("a", "b"):
            tables.write(configuration(), "t", tmp_path, tmp_path / out)
        for path in (tmp_path / "a").iterdir():
            assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()

    def test_an_unknown_table_is_one_sentence(self, tmp_path: Path) -> None:
        with pytest.raises(NernError, match=r"unknown table 'x'.*summary"):
            tables.write(configuration(), "x", tmp_path, tmp_path)


class TestStatus:
    def test_every_state_is_told(self, tmp_path: Path) -> None:
        config = configuration(seeds=[0, 1, 2, 3, 4, 5])
        cells = table_cells(config, "t")[:6]
        write_cell(tmp_path, cells[0], fingerprint=fingerprint(fit_settings(config, cells[0])), accuracy=91.234)
        write_failure(tmp_path, cells[1])
        write_cell(tmp_path, cells[2])
        write_cell(tmp_path, cells[3], accuracy="?")
        with exclusive(tmp_path / cells[4].path):
            frame = status.status(config, tmp_path)
        states = ["done", "failed", "outdated", "damaged", "running", "missing"]
        assert list(frame["status"][:6]) == states
        text = status.render(frame)
        line = next(line for line in text.splitlines() if line.startswith("cifar10/resnet20/in-filter/h160/base"))
        assert line.split()[1:] == ["91.23", "(0.0410)", *states[1:]]
        assert "in-filter/h160/base, seed 1: failed: the loss is not finite at iteration 1200" in text
        assert text.splitlines()[0].split() == ["table", "done", "running", "failed", "outdated", "damaged", "missing"]
        assert text.splitlines()[2].split() == ["t", "1", "1", "1", "1", "1", "19"]

    def test_a_reason_of_all_seeds_is_told_once(self, tmp_path: Path) -> None:
        config = configuration()
        for cell in table_cells(config, "t"):
            write_cell(tmp_path, cell)
        text = status.render(status.status(config, tmp_path))
        assert text.count("made with other settings") == 4
        assert "cifar10/resnet20/cross-filter/h180/base, seeds 0–3: outdated: made with other settings" in text

    def test_a_cell_of_two_tables_counts_in_both(self, tmp_path: Path) -> None:
        config = configuration(tables={"t": TABLE.model_dump(), "u": TABLE.model_dump()}, seeds=[0])
        frame = status.status(config, tmp_path)
        assert len(frame) == 4 and set(frame["tables"]) == {"t, u"}
        assert [line.split() for line in status.render(frame).splitlines()[2:4]] == [["t", "4"], ["u", "4"]]

    def test_a_cell_of_no_table_counts_for_its_figure(self, tmp_path: Path) -> None:
        figure = {"title": "K", "task": "own", "network": "resnet20", "hidden": 36, "variant": "base", "layer": 1}
        config = configuration(figures={"kernels": figure}, seeds=[0])
        assert "figures/kernels" in status.render(status.status(config, tmp_path)).split()

    def test_a_figure_with_a_cell_of_no_table_counts_all_of_its_cells(self, tmp_path: Path) -> None:
        figure = {"title": "F", "task": "cifar10", "network": "resnet20", "variant": "base"}
        shared, own = figure | {"hidden": 160, "smoothing": "in-filter"}, figure | {"hidden": 36}
        figures = {"meta_compression": own | {"codecs": ["c"]}, "weight_importance": own | {"layer": "conv1"}}
        figures |= {"kernels": own | {"layer": 1}, "learned_embeddings": shared}
        config = configuration(figures=figures, seeds=[0, 1, 2])
        counts = [line.split() for line in status.render(status.status(config, tmp_path)).splitlines()[2:7]]
        # of seeds 0 to 2 the kernels are of the first alone; the embeddings' cell is the table's
        wanted = {"t": "12", "figures/meta_compression": "3", "figures/weight_importance": "3", "figures/kernels": "1"}
        assert counts == [*([name, count] for name, count in wanted.items()), []]


class TestWatch:
    def test_a_running_cell_has_the_accuracy_of_its_own_original(self, tmp_path: Path) -> None:
        originals = {"base": {}, "smooth": {"smoothness": 1e-5}}
        table = TABLE.model_copy(update={"variants": ["base", "other", "smooth"], "sizes": {"resnet20": [160]}})
        table = table.model_copy(update={"smoothing": ["none"]})
        variants = {"base": {}, "other": {"evaluate_every": 7}, "smooth": {"original": "smooth"}}
        config = configuration(originals=originals, variants=variants, tables={"t": table.model_dump()}, seeds=[0, 1])
        base, _, other, _, smooth, again = table_cells(config, "t")

        def done(cell: Cell, **changes: Any) -> None:
            write_cell(tmp_path, cell, fingerprint=fingerprint(fit_settings(config, cell)), **changes)

        def shown(folder: str) -> str:
            with exclusive(tmp_path / folder):
                view = watch.view(config, tmp_path).renderables[1]
            assert isinstance(view, RichTable) and view.row_count == 1
            return str(next(iter(view.columns[-1].cells)))

        done(base, original_accuracy=91.69)
        assert [shown(cell.path) for cell in (other, smooth)] == ["91.69", "—"]
        done(again, original="smooth", original_accuracy=90.5)
        assert [shown(cell.path) for cell in (other, smooth)] == ["91.69", "90.50"]
        assert shown("results/cifar10/resnet20/originals/smooth") == "—"


def small_document(text: str) -> Document:
    columns = [Column("Name", numeric=False), Column("value (%)", "group"), Column("n", "group")]
    rows = [[Text(text), Text("1", ("a",)), Text("2")], [Text(text), Text("3"), Text(text)]]
    return Document("t", text, [Grid(text, columns, rows, [Note("Data", text)], keys=1, marked={"a": text})])


class Words(HTMLParser):
    """The text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data)


class TestRender:
    @settings(deadline=None)
    @given(WORDS.filter(lambda text: text.strip() == text and text != ""))
    def test_html_says_the_words(self, text: str) -> None:
        parser = Words()
        parser.feed(html(small_document(text)))
        parser.close()
        assert parser.words.count(visible(text)) >= 6

    @settings(deadline=None)
    @given(WORDS)
    def test_latex_is_escaped(self, text: str) -> None:
        escaped = latex(small_document(text)).split(r"\begin{table}")[1]
        plain = re.sub(r"\\[{}\\$&#_%^]", "", escaped)
        assert plain.count("{") == plain.count("}")
        assert plain.count("$") % 2 == 0 and "#" not in plain and "_" not in plain
        assert "^" not in re.sub(r"\$\^(\\circ|\\prime|{\\prime\\prime})\$", "", plain)

    @settings(deadline=None)
    @given(WORDS)
    def test_markdown_has_as_many_cells_in_each_line(self, text: str) -> None:
        lines = [x for x in markdown(small_document(text)).split("\n") if x.startswith("|")]
        assert {len(re.findall(r"(?<!\\)\|", line.replace("\\\\", ""))) for line in lines} == {4}

    def test_marks_go_on_after_z(self) -> None:
        marks = Marks()
        given = [marks.mark(str(index)) for index in range(54)]
        assert given[0] == "a" and given[25:28] == ["z", "aa", "ab"] and given[53] == "bb"
        assert marks.mark("3") == "d"

    @pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
    def test_latex_compiles_alone_and_in_a_document(self, tmp_path: Path) -> None:
        hostile = '<a> \\ {b} $c$ &#%~^_ "d" — – − ± × ² é ß 数 ½ λ α|β…\''
        documents = {
            "golden": built(golden_frame(tmp_path), TABLE, "golden"),
            "hostile": small_document(hostile),
            "bracket": small_document("[x] *y 数"),
            "letters": small_document("".join(chr(code) for code in range(0xA1, 0x250))),
            "overhead": sizes.permutation_overhead()[1],
        }
        for name, document in documents.items():
            (tmp_path / f"{name}.tex").write_text(render(document)[".tex"])
        inputs = "".join(rf"\input{{{name}}}" for name in documents)
        preamble = r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}"
        (tmp_path / "all.tex").write_text(rf"{preamble}{inputs} The end.\end{{document}}")
        for name in (*documents, "all"):
            command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", f"{name}.tex"]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120, check=False)
            assert done.returncode == 0, done.stdout[-2000:]
            assert (tmp_path / f"{name}.pdf").exists()
