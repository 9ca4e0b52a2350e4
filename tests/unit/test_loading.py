import os

import pytest
import safetensors.torch
import torch

from nern.errors import NernError
from nern.networks.cifar_resnet import CifarResNet
from nern.networks.loading import load_weights, read_state_dict


def small(shortcut="B", classes=4):
    torch.manual_seed(0)
    return CifarResNet(8, classes=classes, width=4, shortcut=shortcut)


def renamed(tensors):
    return {
        "module." + name.replace("fc.", "linear.").replace(".downsample.", ".shortcut."): value
        for name, value in tensors.items()
        if not name.endswith("num_batches_tracked")
    }


@pytest.mark.parametrize("suffix", [".th", ".pt", ".safetensors"])
@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_other_names_wrappers_and_prefixes_are_understood(tmp_path, suffix, shortcut):
    source, target = small(shortcut), small(shortcut)
    for parameter in target.parameters():
        torch.nn.init.zeros_(parameter)
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        safetensors.torch.save_file(renamed(source.state_dict()), path)
    else:
        torch.save({"state_dict": renamed(source.state_dict()), "best_prec1": 91.0}, path)
    load_weights(target, read_state_dict(path), str(path))
    for ours, theirs in zip(target.parameters(), source.parameters(), strict=True):
        assert torch.equal(ours, theirs)


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def truncated(path):
    torch.save(small().state_dict(), path)
    path.write_bytes(path.read_bytes()[:2000])


WRITERS = {
    "missing": lambda path: None,
    "folder": lambda path: path.mkdir(),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no weights"),
    "truncated": truncated,
    "runs code": lambda path: torch.save({"state_dict": Harmful(path.parent / "executed")}, path),
    "a tensor": lambda path: torch.save(torch.ones(3), path),
    "no tensors": lambda path: torch.save({"epoch": 3}, path),
    "empty dict": lambda path: torch.save({}, path),
}


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("writer", WRITERS)
def test_unusable_files_are_one_sentence_and_run_nothing(tmp_path, writer, suffix):
    path = tmp_path / f"weights{suffix}"
    WRITERS[writer](path)
    with pytest.raises(NernError) as caught:
        read_state_dict(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "executed").exists()


def without(tensors, name):
    return {key: value for key, value in tensors.items() if key != name}


MISFITS = {
    "missing": (lambda t: without(t, "conv1.weight"), "lacks conv1.weight"),
    "unexpected": (lambda t: t | {"extra": torch.ones(1)}, "has extra"),
    "shape": (lambda t: t | {"conv1.weight": torch.ones(4, 3, 5, 5)}, "has shape"),
    "NaN": (lambda t: t | {"conv1.weight": t["conv1.weight"] * float("nan")}, "NaN or infinity"),
    "classes": (lambda t: small(classes=7).state_dict(), "fc.weight has shape"),
    "no projections": (lambda t: small("A").state_dict(), "shortcut: A"),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_what_does_not_fit_is_one_sentence_and_changes_nothing(misfit):
    change, sentence = MISFITS[misfit]
    network = small()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(NernError, match=sentence) as caught:
        load_weights(network, change(network.state_dict()), "weights.pt")
    assert str(caught.value).startswith("weights.pt: ")
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
