"""What can be wrong with the inputs of the paper's other tasks and of other networks: one sentence each."""

from pathlib import Path

import image_folder
import pytest
from tiny import CELL, CONFIG, ORIGINAL

from nern.cli import main


def said(capsys, *arguments):
    """The one sentence that a command ends in."""
    capsys.readouterr()
    assert main([*arguments]) == 2
    err = capsys.readouterr().err.strip().splitlines()
    errors = [line for line in err if line.startswith(f"nern {arguments[0]}: ")]
    assert len(errors) == 1 and not any("Traceback" in line for line in err)
    return errors[0]


def test_imagenet_without_its_variable(run, capsys, monkeypatch):
    monkeypatch.delenv("IMAGENET", raising=False)
    sentence = said(capsys, "prepare-data", "imagenet", *CONFIG)
    assert "tasks.imagenet.images" in sentence and "the environment variable IMAGENET is not set" in sentence


def test_imagenet_in_a_folder_that_is_not_there(run, capsys, monkeypatch):
    monkeypatch.setenv("IMAGENET", "/nowhere/imagenet")
    assert "/nowhere/imagenet/train: cannot be listed" in said(capsys, "prepare-data", "imagenet", *CONFIG)


def test_imagenet_with_other_classes(run, capsys, monkeypatch, tmp_path):
    image_folder.write(tmp_path / "images")
    monkeypatch.setenv("IMAGENET", str(tmp_path / "images"))
    sentence = said(capsys, "prepare-data", "imagenet", *CONFIG)
    assert "1000" in sentence and "10" in sentence.replace("1000", "")
    assert not Path("results/imagenet/images/data.json").exists()


def test_a_factor_whose_original_is_not_trained(run, capsys):
    cell = CELL.replace("decoupled", "smooth-1e-6")
    original = ORIGINAL.replace("base", "smooth-1e-6")
    assert f"run: nern train-original {original}" in said(capsys, "fit", cell, *CONFIG)


def test_a_factor_that_no_original_has(run, capsys):
    Path("more.yaml").write_text("variants: {smooth-1: {original: smooth-1}}\n")
    cell = CELL.replace("decoupled", "smooth-1")
    assert "unknown original 'smooth-1'" in said(capsys, "fit", cell, *CONFIG, "more.yaml")


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        ("nn.Sequential(nn.Flatten(), nn.Linear(64, classes))", "has no Conv2d layers: there are no kernels to learn"),
        ("nn.Linear", "must accept classes and in_channels"),
        ("3", "must accept classes and in_channels"),
    ],
)
def test_a_network_without_kernels(run, capsys, monkeypatch, layers, sentence):
    body = f"lambda classes, in_channels: {layers}" if layers.startswith("nn.Seq") else layers
    name = f"odd_{abs(hash(layers))}"
    Path(f"{name}.py").write_text(f"from torch import nn\nnet = {body}\n")
    monkeypatch.syspath_prepend(str(Path.cwd()))
    Path("odd.yaml").write_text(f"tasks: {{digits: {{networks: {{odd: {{architecture: '{name}:net'}}}}}}}}\n")
    odd = ORIGINAL.replace("resnet8", "odd")
    assert sentence in said(capsys, "train-original", odd, *CONFIG, "odd.yaml")
    assert not Path(odd).exists()
