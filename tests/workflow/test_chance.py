"""A user's network that draws numbers while it is trained."""

from pathlib import Path

import pytest
import torch
import yaml
from tiny import CONFIG, ORIGINAL, nern

from nern.cli import main
from nern.stages import train_original

DROPPING = """
from torch import nn


def build(classes, in_channels):
    parts = [nn.Conv2d(in_channels, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5)]
    return nn.Sequential(*parts, nn.Linear(8, classes))
"""
TRAINED = ORIGINAL.replace("resnet8", "dropping")
NAMES = ("network.safetensors", "predictions.safetensors", "metrics.json")


@pytest.fixture
def dropping(run, monkeypatch):
    Path("dropping.py").write_text(DROPPING)
    monkeypatch.syspath_prepend(str(run))
    settings = yaml.safe_load(Path("tiny.yaml").read_text())
    settings["tasks"]["digits"]["networks"] = {"dropping": {"architecture": "dropping:build"}}
    Path("tiny.yaml").write_text(yaml.safe_dump(settings))


def trained():
    """The bytes of the original, whatever was drawn before."""
    assert nern("train-original", TRAINED) == 0
    found = {name: Path(TRAINED, name).read_bytes() for name in NAMES}
    for name in NAMES:
        Path(TRAINED, name).unlink()
    return found


def test_dropout_is_drawn_anew_by_no_other_state_than_the_seed(dropping):
    wanted, before = trained(), torch.get_rng_state()
    torch.rand(100)
    assert trained() == wanted
    torch.set_rng_state(before)
    assert nern("train-original", TRAINED) == 0
    assert torch.equal(torch.get_rng_state(), before)  # nothing that is drawn later changes
    Path("other.yaml").write_text("tasks: {digits: {original: {seed: 1}}}\n")
    assert main(["train-original", TRAINED, *CONFIG, "other.yaml"]) == 0
    assert Path(TRAINED, "network.safetensors").read_bytes() != wanted["network.safetensors"]


def test_a_training_with_dropout_that_ends_early_goes_on_to_the_same_bytes(dropping, monkeypatch):
    wanted, plain, steps = trained(), train_original.descend, 0

    def descend(*arguments):
        nonlocal steps
        steps += 1
        if steps == 20:
            raise KeyboardInterrupt
        return plain(*arguments)

    monkeypatch.setattr(train_original, "descend", descend)
    Path("often.yaml").write_text("execution: {save_every: 0.000001}\n")
    main(["train-original", TRAINED, *CONFIG, "often.yaml"])
    assert not Path(TRAINED, "network.safetensors").exists() and list(Path(TRAINED).glob("state*"))
    torch.rand(100)
    assert trained() == wanted
