"""What a cell leaves this project as: a state dict, one packed file, a picture."""

import json
import math
from pathlib import Path

import pytest
import safetensors.torch
import torch
import yaml
from tiny import CELL, CONFIG, ORIGINAL, nern

from nern import checkpoint, files
from nern import config as configuration
from nern.addresses import Cell
from nern.cli import main
from nern.method.permutation import overhead_bits
from nern.networks.cifar_resnet import CifarResNet
from nern.networks.zoo import build
from nern.stages.accuracy import predict
from nern.stages.reconstruct import load_fitted
from nern.stages.unpack import _in_order

MODES = ("none", "in-filter", "cross-filter")
OTHERS = [
    ("decoupled-gelu", "cross-filter"),
    ("decoupled-reordered", "cross-filter"),
    ("decoupled-reordered", "in-filter"),
]


def metrics(cell=CELL):
    return json.loads(Path(cell, "metrics.json").read_text())


def resnet8(tensors):
    network = CifarResNet(8, classes=10, in_channels=1, width=8)
    network.load_state_dict(tensors, strict=True)
    return network.eval()


def accuracy(network):
    from nern.data.batches import TestBatches
    from nern.method.workers import Workers

    config = configuration.read([Path(name) for name in CONFIG[1:]])
    tests = TestBatches(config, "digits", batch=500, device=torch.device("cpu"), channels_last=True)
    return predict(network, tests, Workers(), "n").top(1)


@pytest.mark.parametrize(
    ("variant", "mode"), [*((each, mode) for each in ("decoupled", "decoupled-table") for mode in MODES), *OTHERS]
)
def test_a_packed_network_is_the_evaluated_one_exactly(run, variant, mode):
    cell = CELL.replace("cross-filter", mode).replace("decoupled", variant)
    if cell != CELL:
        assert nern("permute", ORIGINAL, "--mode", mode) == 0
        assert nern("fit", cell) == 0
        assert nern("evaluate", cell) == 0
    assert nern("export", cell, "exported.safetensors") == 0
    assert nern("pack", cell, "cell.nern") == 0
    assert nern_unpack("cell.nern", "unpacked.safetensors") == 0
    exported = safetensors.torch.load_file("exported.safetensors")
    unpacked = safetensors.torch.load_file("unpacked.safetensors")
    assert exported.keys() == unpacked.keys()
    assert all(torch.equal(exported[name], unpacked[name]) for name in exported)
    assert accuracy(resnet8(unpacked)) == metrics(cell)["accuracy"]
    assert Path("cell.nern").stat().st_size == metrics(cell)["packed_bytes"]


def nern_unpack(*arguments):
    from nern.cli import main

    return main(["unpack", *arguments])


def bits(values, count):
    """Integers in as many bits as one below `count` needs, the lowest first, eight bits a byte."""
    width = math.ceil(math.log2(count))
    flags = [value >> bit & 1 for value in values for bit in range(width)]
    flags += [0] * (-len(flags) % 8)
    packed = [sum(flag << bit for bit, flag in enumerate(flags[i : i + 8])) for i in range(0, len(flags), 8)]
    return torch.tensor(packed, dtype=torch.uint8)


def test_a_predictor_without_the_order_that_its_fit_made_is_refused(run, capsys):
    cell = CELL.replace("decoupled", "decoupled-reordered")
    assert nern("fit", cell) == 0
    path, record = Path(cell, "predictor.safetensors"), Path(cell, "fit.json")
    tensors, metadata = checkpoint.read_tensors(path)
    plain = {name: tensor for name, tensor in tensors.items() if not name.startswith("order.")}
    for changed, sentence in (
        (plain, f"{path}: has orders of 0 layers, and its network 9; run: nern fit {cell}"),
        (
            tensors | {"order.1": tensors["order.1"] * 0},
            f"{path}: the order of layer 1 is no permutation of its",
        ),
        (plain | {"order.0": tensors["order.0"]}, f"{path}: has orders of 1 layers, and its network 9; run"),
    ):
        checkpoint.write_tensors(path, changed, metadata)
        said = files.read_json(record)
        said["outputs"]["predictor.safetensors"] = files.sha256(path)
        files.write_json(record, said)
        capsys.readouterr()
        assert nern("evaluate", cell) == 2
        assert sentence in capsys.readouterr().err


def test_an_order_that_parts_filters_is_no_in_filter_order(run, capsys):
    cell = CELL.replace("decoupled", "decoupled-reordered").replace("cross-filter", "in-filter")
    assert nern("permute", ORIGINAL, "--mode", "in-filter") == nern("fit", cell) == nern("evaluate", cell) == 0
    path, record = Path(cell, "predictor.safetensors"), Path(cell, "fit.json")
    tensors, metadata = checkpoint.read_tensors(path)
    checkpoint.write_tensors(path, tensors | {"order.1": tensors["order.1"].roll(1)}, metadata)
    said = files.read_json(record)
    said["outputs"]["predictor.safetensors"] = files.sha256(path)
    files.write_json(record, said)
    assert nern("evaluate", cell) == 2
    assert f"{path}: the order of layer 1 parts the kernels of a filter: it is not in-filter" in capsys.readouterr().err


def write_nern_1(fitted, path):
    """A file as version 0.1 wrote it."""
    plan = {"cell": CELL, "hidden": 10, "kernel_size": 3, "levels": 40, "base": 0.76, "normalized": False}
    shapes = [list(shape) for shape in fitted.layout.shapes]
    names = [f"{layer}.weight" for layer in fitted.original.layers]
    plan |= {"smoothing": fitted.settings.permutation.mode, "layers": dict(zip(names, shapes, strict=True))}
    tensors = {f"predictor.{name}": value for name, value in fitted.predictor.state_dict().items()}
    state = fitted.original.module.state_dict()
    tensors |= {f"rest.{name}": value for name, value in state.items() if name not in names}
    for layer, (order, (f, c, _, _)) in enumerate(zip(fitted.layout.orders, fitted.layout.shapes, strict=True)):
        whole = order.tolist()
        if plan["smoothing"] == "cross-filter":
            tensors[f"order.{layer}.kernels"] = bits(whole, f * c)
        elif plan["smoothing"] == "in-filter":
            tensors[f"order.{layer}.filters"] = bits([kernel // c for kernel in whole[::c]], f)
            tensors[f"order.{layer}.channels"] = bits([kernel % c for kernel in whole], c)
    checkpoint.write_tensors(Path(path), tensors, {"format": "nern 1", "plan": json.dumps(plan)})


@pytest.mark.parametrize("mode", MODES)
def test_a_file_of_the_first_format_is_unpacked(run, mode):
    cell = CELL.replace("cross-filter", mode)
    if cell != CELL:
        assert nern("permute", ORIGINAL, "--mode", mode) == 0
        assert nern("fit", cell) == 0
    config = configuration.read([Path(name) for name in CONFIG[1:]])
    write_nern_1(load_fitted(config, Cell.parse(cell)), "old.nern")
    assert nern("pack", cell, "new.nern") == 0
    assert nern_unpack("old.nern", "old.safetensors") == 0
    assert nern_unpack("new.nern", "new.safetensors") == 0
    assert Path("old.safetensors").read_bytes() == Path("new.safetensors").read_bytes()


PLAIN = """
from torch import nn


class Plain(nn.Module):
    def __init__(self, classes):
        super().__init__()
        widths = [1, 8, 8, 8, 8, 8, 8]
        parts = [each for a, b in zip(widths, widths[1:]) for each in (nn.Conv2d(a, b, 3, padding=1), nn.ReLU())]
        self.features, self.head = nn.Sequential(*parts), nn.Linear(8, classes)

    def forward(self, images):
        return self.head(self.features(images).mean(dim=(2, 3)))


def build(classes, in_channels):
    return Plain(classes)
"""


@pytest.fixture
def ten_layers(run, monkeypatch):
    """A fitted cell of a network whose layers are not in the order of their names: features.10 is behind features.2."""
    Path("plain.py").write_text(PLAIN)
    monkeypatch.syspath_prepend(str(run))
    settings = yaml.safe_load(Path("tiny.yaml").read_text())
    settings["tasks"]["digits"]["networks"] = {"plain": {"architecture": "plain:build"}}
    Path("tiny.yaml").write_text(yaml.safe_dump(settings))
    original = ORIGINAL.replace("resnet8", "plain")
    assert nern("train-original", original) == 0
    assert nern("permute", original, "--mode", "cross-filter") == 0
    cell = CELL.replace("resnet8", "plain")
    assert nern("fit", cell) == 0
    return cell


def test_layers_keep_their_order_whatever_they_are_called(ten_layers):
    """Files before `nern 3` had them by name: the predictor was asked for another layer's kernels."""
    assert nern("export", ten_layers, "exported.safetensors") == 0
    assert nern("pack", ten_layers, "cell.nern") == 0
    assert nern_unpack("cell.nern", "unpacked.safetensors") == 0
    exported, unpacked = (safetensors.torch.load_file(f"{name}.safetensors") for name in ("exported", "unpacked"))
    assert exported.keys() == unpacked.keys()
    assert all(torch.equal(exported[name], unpacked[name]) for name in exported)


def test_a_file_of_before_with_an_unknown_order_is_refused(ten_layers, capsys):
    assert nern("pack", ten_layers, "cell.nern") == 0
    tensors, metadata = checkpoint.read_tensors(Path("cell.nern"))
    plan = json.dumps(json.loads(metadata["plan"]), sort_keys=True)
    checkpoint.write_tensors(Path("before.nern"), tensors, {"format": "nern 2", "plan": plan})
    assert nern_unpack("before.nern", "x.safetensors") == 2
    assert "did not keep the order of the layers" in capsys.readouterr().err
    assert not Path("x.safetensors").exists()


@pytest.mark.parametrize("architecture", ["cifar-resnet", "torchvision:resnet101"])
def test_a_resnets_order_of_before_is_known(architecture):
    depth = {"depth": 68} if architecture == "cifar-resnet" else {}
    network = build(architecture, classes=10, **depth)
    names = [name for name, part in network.named_modules() if isinstance(part, torch.nn.Conv2d)]
    layers = {f"{name}.weight": (1, 1, 3, 3) for name in names}
    by_name = dict(sorted(layers.items()))
    assert list(by_name) != list(layers)
    assert list(_in_order(by_name)) == list(layers)


def test_a_packed_table_of_another_network_or_an_unknown_embedding_is_one_sentence(run, capsys):
    cell = CELL.replace("decoupled", "decoupled-table")
    assert nern("fit", cell) == 0
    assert nern("pack", cell, "cell.nern") == 0
    tensors, metadata = checkpoint.read_tensors(Path("cell.nern"))
    plan = json.loads(metadata["plan"])
    assert plan["predictor"]["embedding"] == {"kind": "table"}
    unknown = plan | {"predictor": plan["predictor"] | {"embedding": {"kind": "lattice"}}}
    checkpoint.write_tensors(Path("unknown.nern"), tensors, metadata | {"plan": json.dumps(unknown)})
    fewer = plan | {"layers": dict(list(plan["layers"].items())[:-1])}
    checkpoint.write_tensors(Path("other.nern"), tensors, metadata | {"plan": json.dumps(fewer)})
    for name, sentence in (("other", "coded"), ("unknown", "kind must be positional or table")):
        capsys.readouterr()
        assert nern_unpack(f"{name}.nern", "x.safetensors") == 2
        err = capsys.readouterr().err.strip().splitlines()
        assert len(err) == 1 and sentence in err[0], err
        assert not Path("x.safetensors").exists()


def test_a_file_that_says_nothing_of_the_activation_has_the_papers(run):
    """As files before 29 November 2026 do; and another activation is another network."""
    assert nern("pack", CELL, "cell.nern") == 0
    tensors, metadata = checkpoint.read_tensors(Path("cell.nern"))
    plan = json.loads(metadata["plan"])
    assert plan["predictor"].pop("activation") == "relu"
    found = {}
    for name, said in (("before", {}), ("relu", {"activation": "relu"}), ("gelu", {"activation": "gelu"})):
        text = json.dumps(plan | {"predictor": plan["predictor"] | said})
        checkpoint.write_tensors(Path(f"{name}.nern"), tensors, metadata | {"plan": text})
        assert nern_unpack(f"{name}.nern", f"{name}.safetensors") == 0
        found[name] = Path(f"{name}.safetensors").read_bytes()
    assert found["before"] == found["relu"] != found["gelu"]


def test_the_file_holds_what_it_must_and_little_else(run):
    assert nern("pack", CELL, "cell.nern") == 0
    assert nern("pack", CELL, "twin.nern") == 0
    content = Path("cell.nern").read_bytes()
    assert content == Path("twin.nern").read_bytes()
    config = configuration.read([Path(name) for name in CONFIG[1:]])
    fitted = load_fitted(config, Cell.parse(CELL))
    names = {f"{layer}.weight" for layer in fitted.original.layers}
    state = fitted.original.module.state_dict()
    rest = sum(v.numel() * v.element_size() for name, v in state.items() if name not in names)
    # of each layer log2(n!) bits, which are less than the formula's
    counts = [f * c for f, c, _, _ in fitted.layout.shapes]
    orders = sum(math.lgamma(n + 1) / math.log(2) for n in counts) / 8
    assert orders < sum(overhead_bits("cross-filter", f, c) for f, c, _, _ in fitted.layout.shapes) / 8
    header = int.from_bytes(content[:8], "little") + 8
    least = metrics()["predictor_bytes"] + orders + rest
    assert least <= len(content) - header <= least + 0.005 * orders + 16 * len(counts) + 64
    assert header < 10_000


def test_no_more_weights_are_packed_than_can_be_unpacked(run, capsys, monkeypatch):
    from nern.stages import pack

    monkeypatch.setattr(pack, "LARGEST", 18_000)  # it has more
    for path in (CELL, ORIGINAL):
        capsys.readouterr()
        assert nern("pack", path, "x.nern") == 2
        assert "learnable weights, and no packed file may" in capsys.readouterr().err
        assert not Path("x.nern").exists()


def test_damaged_and_foreign_files_are_one_sentence(run, capsys):
    assert nern("pack", CELL, "cell.nern") == 0
    good = Path("cell.nern").read_bytes()
    safetensors.torch.save_file({"a": torch.zeros(2)}, "foreign.nern")
    checkpoint.write_tensors(Path("old.nern"), {"a": torch.zeros(2)}, {"format": "nern 0"})
    Path("short.nern").write_bytes(good[:-5])
    Path("flipped.nern").write_bytes(good[:-5] + bytes([good[-5] ^ 1]) + good[-4:])
    cases = {
        ("missing.nern", "x.safetensors"): "cannot be read",
        ("foreign.nern", "x.safetensors"): "checksum",
        ("old.nern", "x.safetensors"): "has the format 'nern 0'",
        ("short.nern", "x.safetensors"): "cannot be read",
        ("flipped.nern", "x.safetensors"): "checksum",
        ("cell.nern", "x.pt"): "must end with .safetensors",
        ("cell.nern", "foreign.nern"): "must end with .safetensors",
    }
    for arguments, sentence in cases.items():
        capsys.readouterr()
        assert nern_unpack(*arguments) == 2
        err = capsys.readouterr().err.strip().splitlines()
        assert len(err) == 1 and sentence in err[0]
        assert not Path(arguments[1]).exists() or arguments[1] == "foreign.nern"
    assert nern("pack", CELL, "cell.nern") == 2
    assert "is there already" in capsys.readouterr().err


def test_a_name_that_cannot_be_taken_is_one_sentence(run, capsys):
    Path("link.nern").symlink_to("nowhere")
    cases = {
        ("pack", CELL, f"{'a' * 300}.nern"): "File name too long",
        ("export", CELL, f"{'a' * 300}.safetensors"): "File name too long",
        ("pack", CELL, "link.nern"): "is there already",
    }
    for arguments, sentence in cases.items():
        capsys.readouterr()
        assert nern(*arguments) == 2
        err = capsys.readouterr().err.strip().splitlines()
        assert len(err) == 1 and sentence in err[0]
    assert Path("link.nern").is_symlink()


def test_a_plot_of_numbers_of_another_fit_is_refused(run, capsys):
    before = Path(CELL, "metrics.json").read_text()
    Path("longer.yaml").write_text("variants: {decoupled: {training: {iterations: 21}}}\n")
    assert main(["fit", CELL, *CONFIG, "longer.yaml"]) == 0
    Path(CELL, "metrics.json").write_text(before)  # the hand-over wrote the new fit's
    assert main(["plot", CELL, *CONFIG, "longer.yaml"]) == 2
    assert "run: nern evaluate" in capsys.readouterr().err


def test_a_plot_is_the_same_twice(run, capsys):
    assert nern("plot", CELL) == 0
    first = Path(CELL, "plot.svg").read_bytes()
    assert nern("plot", CELL) == 0
    assert Path(CELL, "plot.svg").read_bytes() == first
    assert Path(CELL, "plot.png").read_bytes().startswith(b"\x89PNG")
    Path(CELL, "metrics.json").unlink()
    assert nern("plot", CELL) == 2
    assert "run: nern evaluate" in capsys.readouterr().err
