"""`nern verify`: a file that lies is found, whoever made it lie."""

import shutil
from pathlib import Path

import image_folder
import pytest
from tiny import CELL, CONFIG, ORIGINAL, checkout, nern

from nern import files
from nern.cli import main

OTHER = CELL.replace("seed0", "seed1")


@pytest.fixture
def tables(run):
    """A folder with two finished cells and a table that shows them."""
    assert nern("fit", OTHER) == 0
    assert nern("evaluate", OTHER) == 0
    edit("workflow/config/demo.yaml", "inherit: false", "inherit: true")  # the paper's tables and figures, too
    assert nern("table", "digits") == 0
    assert nern("table", "permutation_overhead") == 0
    assert nern("figure", "embedding_similarity") == 0
    assert nern("collect") == 0
    return run


def edit(path, old, new):
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new, 1))


def lying_whole():
    partial = Path("tables/digits.partial.csv").read_text()
    Path("tables/digits.csv").write_text(partial.replace(",done,", ",done,x", 1))


def lone_page():
    edit("tables/permutation_overhead.md", "%", "‰")
    Path("tables/permutation_overhead.csv").unlink()


def folder_for_page():
    Path("tables/digits.partial.md").unlink()
    Path("tables/digits.partial.md").mkdir()


def rewritten(path, **changes):
    """A change by someone who knows how the checksum is made."""
    files.write_json(Path(path), files.read_json(Path(path)) | changes)


LIES = {
    "metrics edited by hand": (lambda: edit(f"{CELL}/metrics.json", '"accuracy": ', '"accuracy": 1'), "checksum"),
    "metrics forged": (lambda: rewritten(f"{CELL}/metrics.json", accuracy=99.5), "are not those of its metrics.json"),
    "predictor swapped": (
        lambda: shutil.copy(f"{OTHER}/predictor.safetensors", f"{CELL}/predictor.safetensors"),
        "is not the file that fit.json records",
    ),
    "history edited": (lambda: edit(f"{CELL}/history.csv", "training", "trained"), "is not the file that"),
    "original's metrics of other weights": (
        lambda: rewritten(f"{ORIGINAL}/metrics.json", network_sha256="0" * 64),
        "belongs to other weights",
    ),
    "images exchanged": (
        lambda: Path("results/digits/images/test.safetensors").write_bytes(b"x"),
        "is not the file that data.json records",
    ),
    "table's numbers edited": (
        lambda: edit("tables/digits.partial.csv", ",done,", ",done,x"),
        "are not those of its metrics",
    ),
    "whole table's numbers edited": (lying_whole, "tables/digits.csv: the numbers of"),
    "table's page edited": (
        lambda: edit("tables/digits.partial.md", "Digits", "Better digits"),
        "does not say what digits.partial.csv",
    ),
    "table's page is another's": (
        lambda: edit("tables/digits.partial.tex", r"\toprule", r"\midrule"),
        "does not say what",
    ),
    "computed table edited": (
        lambda: edit("tables/permutation_overhead.csv", "resnet", "resmet"),
        "tables/permutation_overhead.csv: is not what",
    ),
    "computed table's page edited": (
        lambda: edit("tables/permutation_overhead.md", "%", "‰"),
        "tables/permutation_overhead.md: is not what",
    ),
    "figure's data edited": (
        lambda: edit("figures/embedding_similarity.csv", "0.", "1."),
        "figures/embedding_similarity.csv: is not what",
    ),
    "list of cells edited": (
        lambda: edit("results/cells.partial.csv", ",done,", ",done,x"),
        "results/cells.partial.csv: the numbers of",
    ),
    "page of cells edited": (
        lambda: edit("results/cells.partial.html", CELL.removeprefix("results/"), "another"),
        "does not say what cells.partial.csv",
    ),
    "page without its numbers": (
        lone_page,
        "tables/permutation_overhead.md: was not compared, for permutation_overhead.csv",
    ),
    "picture without its numbers": (
        lambda: Path("figures/embedding_similarity.csv").unlink(),
        "figures/embedding_similarity.svg: was not compared, for embedding_similarity.csv is gone",
    ),
    "page that is no text": (
        lambda: Path("tables/permutation_overhead.md").write_bytes(b"\xff"),
        "tables/permutation_overhead.md: is not what",
    ),
    "page that is a folder": (folder_for_page, "tables/digits.partial.md: does not say what"),
    "a cell of the table is gone": (lambda: Path(f"{CELL}/metrics.json").unlink(), "are not those of its metrics"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_found(tables, capsys, lie):
    change, sentence = LIES[lie]
    change()
    assert nern("verify") == 1
    errors = [line for line in capsys.readouterr().out.splitlines() if line.startswith("error: ")]
    assert any(sentence in line for line in errors), errors


def test_a_sound_folder_has_no_errors(tables, capsys):
    assert nern("verify") == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("0 errors")


def test_half_a_summary_that_more_cells_have_overtaken_is_a_remark(tables, capsys):
    assert nern("table", "summary") == 0
    edit("tables/summary.partial.csv", "\n", "\nfewer,")
    capsys.readouterr()
    assert nern("verify") == 0
    assert "remark: tables/summary.partial.csv: is not what its cells say now" in capsys.readouterr().out


def test_a_table_that_the_configuration_had_before_is_a_remark(tables, capsys):
    Path("tables/before.md").write_text("93.00 %")
    capsys.readouterr()
    assert nern("verify") == 0
    assert "remark: tables/before.md: is no table of the configuration, and was not compared" in capsys.readouterr().out


def test_a_stage_that_found_no_inputs_has_left_no_error(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(checkout(tmp_path))
    assert nern("fit", CELL) == 2
    assert nern("verify") == 0
    assert "results/digits/images/data.json: is missing; run: nern prepare-data digits" in capsys.readouterr().out


def test_what_is_of_other_settings_is_a_remark(tables, capsys):
    Path("other.yaml").write_text(
        "variants: {decoupled: {training: {iterations: 21}}}\ntables: {digits: {title: New}}\n"
    )
    for page in [*Path("tables").glob("digits.*"), *Path("results").glob("cells.*")]:
        page.unlink()
    assert main(["verify", *CONFIG, "other.yaml"]) == 0
    assert "made with other settings" in capsys.readouterr().out


OWN_NET = """
from torch import nn


def net(classes, in_channels):
    layers = [nn.Conv2d(in_channels, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, classes))
"""
OWN = """
tasks:
  digits:
    networks: {resnet8: {architecture: "net_of_test_verify:net", depth: null, width: null, shortcut: null}}
"""


def test_an_own_architecture_that_changed_is_named(run, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(run))
    Path("net_of_test_verify.py").write_text(OWN_NET)
    Path("own.yaml").write_text(OWN)
    named = [*CONFIG, "own.yaml"]
    assert main(["train-original", ORIGINAL, *named]) == 0
    assert main(["permute", ORIGINAL, "--mode", "cross-filter", *named]) == 0
    for command in ("fit", "evaluate"):
        assert main([command, CELL, *named]) == 0
    assert main(["status", *named]) == 0
    assert "outdated" not in capsys.readouterr().out
    edit("net_of_test_verify.py", "nn.ReLU()", "nn.Tanh()")
    assert main(["status", *named]) == 0
    assert "outdated: made with other settings" in capsys.readouterr().out
    assert main(["verify", *named]) == 0
    found = capsys.readouterr().out
    assert f"remark: {ORIGINAL}/network.safetensors: was made with other settings" in found
    assert f"remark: {CELL}: is outdated" in found


STREAMED = """
tasks:
  digits:
    images: {source: folder, train: $DIGITS/train, test: $DIGITS/val, streaming: true, size: 32, resize: 36}
    mean: [0.5, 0.5, 0.5]
    std: [0.25, 0.25, 0.25]
"""


@pytest.mark.parametrize("streaming", ["true", "false"])
def test_a_folder_that_changed_is_found(run, monkeypatch, capsys, streaming):
    image_folder.write(run / "images")
    monkeypatch.setenv("DIGITS", str(run / "images"))
    Path("streamed.yaml").write_text(STREAMED.replace("streaming: true", f"streaming: {streaming}"))
    named = [*CONFIG, "streamed.yaml"]
    assert main(["prepare-data", "digits", *named]) == 0
    assert main(["verify", *named]) == 0
    assert "digits.images" not in capsys.readouterr().out
    image = run / "images/val/digit-3/0.png"
    image.write_bytes(image.read_bytes() + b"x")
    assert main(["verify", *named]) == 1
    error = f"error: tasks.digits.images.test: {run}/images/val does not hold"
    assert error in capsys.readouterr().out
    # a stage that is run by hand says so, too
    assert main(["train-original", ORIGINAL, *named]) == 2
    assert "does not hold the 30 images that were prepared; restore them" in capsys.readouterr().err
    # verified where the images are not; those that are decoded where they lie, with a remark
    for folder in ("/nowhere", None):
        monkeypatch.setenv("DIGITS", folder) if folder else monkeypatch.delenv("DIGITS")
        assert main(["verify", *named]) == 0
        assert ("remark: tasks.digits.images.test: " in capsys.readouterr().out) is (streaming == "true")


def test_imported_weights_that_changed_are_named(run, monkeypatch, capsys):
    weights, named = run / "mine.safetensors", [*CONFIG, "mine.yaml"]
    shutil.copy(f"{ORIGINAL}/network.safetensors", weights)
    monkeypatch.setenv("MINE", str(weights))
    Path("mine.yaml").write_text("originals: {base: {weights: $MINE}}\n")
    assert main(["train-original", ORIGINAL, *named]) == 0

    def found():
        capsys.readouterr()
        assert main(["verify", *named]) == 0
        return capsys.readouterr().out

    assert str(weights) not in found()
    weights.write_bytes(b"others")
    assert f"remark: {ORIGINAL}/metrics.json: its input {weights} has changed since" in found()
    # a stage that is run by hand says so, too
    assert main(["permute", ORIGINAL, "--mode", "none", *named]) == 2
    assert f"{weights} has changed since; run: nern train-original" in capsys.readouterr().err
    # verified where the weights are not
    weights.unlink()
    assert f"remark: {ORIGINAL}/metrics.json: its input {weights} is missing" in found()
    monkeypatch.delenv("MINE")
    assert f"remark: {ORIGINAL}/metrics.json: its input $MINE is missing" in found()


def test_an_original_of_other_images_is_named(run, capsys):
    edit("results/digits/images/data.json", "{", "{ ")
    assert nern("verify") == 0
    assert f"{ORIGINAL}/metrics.json: its input results/digits/images/data.json has changed" in capsys.readouterr().out
