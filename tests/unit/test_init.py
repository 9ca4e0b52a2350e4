"""`nern init` on three colors: it writes what it found, and every mistake is a sentence that names the option."""

import builtins
import itertools
import math
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from three_colors import (
    COLORS,
    FOLDER,
    MEAN,
    MODULE,
    RESNET,
    SIDE,
    STD,
    init,
    inputs,
    resnet,
    save_untrained,
    write_folder,
)

from nern import config as configuration
from nern.addresses import OriginalCell
from nern.cli import main
from nern.init.network import near_chance
from nern.init.overlay import SHARES, Overlay, sizes_of, variant_of
from nern.matrix import check, table_cells
from nern.method.kernels import KernelLayout
from nern.resolved import original_settings, protocol_of
from nern.settings import DigitsImages, Network, PositionalEmbedding, Protocol, TableEmbedding
from nern.stages import cost

LINE = [*RESNET, *FOLDER]


def written(path="mine.yaml"):
    config = configuration.read([Path("config.yaml"), Path(path)])
    check(config)
    return config


def test_one_line_makes_an_overlay_of_what_was_found(place, capsys, trained):
    assert init(*RESNET, *FOLDER) == 0
    config, said = written(), capsys.readouterr()
    task = config.tasks["mine"]
    assert (task.classes, task.images.size, task.images.resize) == (3, SIDE, SIDE)
    assert task.mean == pytest.approx(MEAN, abs=5e-5) and task.std == pytest.approx(STD, abs=5e-5)
    assert task.networks["resnet8"].shortcut == "A"  # which no option says
    assert original_settings(config, OriginalCell("mine", "resnet8", "base")).recipe.weights == "colors.th"
    images, labels = inputs("val")
    hits = int((trained(images).argmax(1) == labels).sum())
    assert f"right on {hits} of 15 test images" in Path("mine.yaml").read_text()
    assert f"{100 * hits / 15:.1f} % of 15 test images" in said.out
    assert "27 to distill on, 15 to test on; 8×8 pixels, 3 channels; 3 classes: blue, green, red" in said.out
    assert "hardly more than by chance" not in said.err and hits > 12
    assert f"{len(table_cells(config, 'mine'))} cells" in said.out
    assert re.search(r"snakemake --cores \d+ tables/mine.md --configfile mine.yaml", said.out)


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        (["config.yaml"], "tables/mine.md --configfile mine.yaml"),
        (["config.yaml", "more.yaml"], "tables/mine.md --configfile more.yaml mine.yaml"),
        # else Snakemake would read the checkout's config.yaml, by which nothing was tried
        (["other.yaml"], "tables/mine.md --replace-workflow-config --configfile other.yaml mine.yaml"),
    ],
)
def test_the_command_reads_the_files_that_were_tried(files, wanted):
    images, network = DigitsImages(source="digits"), Network(architecture="cifar-resnet", depth=8)
    overlay = Overlay([Path(name) for name in files], Path("mine.yaml"), images, 10, network, "cpu")
    assert overlay.command().endswith(wanted)


OTHERS = {
    "parquet, by its folder": [*RESNET, "--images", "parquet:files", "--classes", "3"],
    "parquet, by patterns": [*RESNET, "--images", "parquet:files/tr*.parquet,files/val*.parquet", "--classes", "3"],
    "a folder each": [*RESNET, "--images", "folder:images/train,images/val", "--size", "8"],
    "a stream": [*RESNET, *FOLDER, "--streaming"],
    "a network of the user's": ["--weights", "other.pt", "--architecture", "my_networks:plain", *FOLDER],
    "the normalization that it was trained with": [*RESNET, *FOLDER, "--mean", *["0.5"] * 3, "--std", *["0.25"] * 3],
}


@pytest.mark.parametrize("case", OTHERS)
def test_images_and_networks_of_every_kind(place, case):
    save_untrained("my_networks:plain")
    assert init(*OTHERS[case]) == 0
    task = written().tasks["mine"]
    assert task.classes == 3 and task.augmentation.padding == (0 if case == "a stream" else 1)
    given = "trained with" in case
    assert task.mean == ([0.5] * 3 if given else pytest.approx(MEAN, abs=5e-5))


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("name", ["{}_noisy.parquet", "{}ing-00000-of-00002.parquet", "{}-00000-of-00001.parquet.old"])
def test_files_whose_names_only_begin_alike_are_others(place, split, name):
    shutil.copy(f"files/{split}-00000-of-00001.parquet", f"files/{name.format(split)}")
    assert init(*OTHERS["parquet, by its folder"]) == 0
    images = written().tasks["mine"].images
    assert (images.train, images.test) == tuple([f"files/{each}-00000-of-00001.parquet"] for each in ("train", "val"))


def test_torchvisions_architectures(place):
    save_untrained("torchvision:squeezenet1_1")
    arguments = ["--weights", "other.pt", "--architecture", "torchvision:squeezenet1_1", "--learnable", "3"]
    assert init(*arguments, *FOLDER, "--size", "32") == 0
    config = written()
    assert config.tasks["mine"].networks["squeezenet1_1"].learnable == [3]
    assert config.tasks["mine"].images.resize == 32


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_the_weights_say_the_shortcuts_and_the_channels(place, shortcut):
    safetensors.torch.save_file(resnet(shortcut, classes=10, channels=1).state_dict(), "gray.safetensors")
    assert init("--weights", "gray.safetensors", *RESNET[2:], "--images", "digits") == 0
    task = written().tasks["mine"]
    assert task.networks["resnet8"].shortcut == shortcut and len(task.mean) == 1 and task.classes == 10


@pytest.mark.parametrize("unit", [1, 255])
@pytest.mark.parametrize("form", [lambda n: [n] * 3, lambda n: torch.full((3, 1, 1), n), lambda n: n])
def test_what_the_weights_file_says_of_its_training_counts(place, trained, unit, form):
    facts = {"classes": list(COLORS), "mean": form(0.4 * unit), "std": form(0.3 * unit)}
    torch.save({"state_dict": trained.state_dict(), **facts}, "colors.th")
    assert init(*RESNET, *FOLDER) == 0
    assert (written().tasks["mine"].mean, written().tasks["mine"].std) == ([0.4] * 3, [0.3] * 3)


def shifted(place):
    shutil.rmtree("images")
    write_folder(place / "images", ("green", "red", "blue"))


@pytest.mark.parametrize(
    ("change", "options"),
    [(shifted, []), (lambda place: None, ["--mean", "1", "0", "1", "--std", "0.01", "0.01", "0.01"])],
    ids=["classes in another order", "another normalization"],
)
def test_an_original_that_guesses_is_told(place, caplog, change, options):
    change(place)
    assert init(*RESNET, *FOLDER, *options) == 0
    assert any("hardly more than by chance" in message and "--mean" in message for message in caplog.messages)


def test_a_guess_is_near_chance_and_a_sure_network_is_not():
    guesses = np.random.default_rng(0).integers(10, size=(2000, 200))
    assert np.mean([near_chance(int(hits), 200, 10) for hits in (guesses == 0).sum(1)]) > 0.99
    for classes in (2, 10, 1000):
        assert near_chance(200 // classes, 200, classes) and not near_chance(180, 200, classes)


def test_a_terminal_is_asked_for_what_is_missing(place, monkeypatch):
    assert init(*LINE) == 0
    by_options = Path("mine.yaml").read_text()
    Path("mine.yaml").unlink()
    answers = {
        "weights": ["", "colors.th"],
        "architecture": ["cifar-resnet"],
        "depth": ["8"],
        "images": ["folder:images"],
    }
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(builtins, "input", lambda question: answers[question.split()[0]].pop(0))
    assert init("--width", "4") == 0
    assert Path("mine.yaml").read_text() == by_options


SHAPES = st.lists(st.tuples(*[st.integers(4, 64)] * 2, st.sampled_from([1, 3, 5])), min_size=2, max_size=6)


@given(SHAPES, st.sampled_from([TableEmbedding(kind="table"), PositionalEmbedding()]))
def test_sizes_are_the_largest_predictors_within_their_share(layers, embedding):
    shapes = [(filters, channels, size, size) for filters, channels, size in layers]
    layout = KernelLayout(shapes, [torch.arange(f * c) for f, c, _, _ in shapes])
    learnable, outputs = sum(f * c * k * k for f, c, k, _ in shapes), max(k * k for _, _, k, _ in shapes)
    table = isinstance(embedding, TableEmbedding)
    inputs = len(layers) + max(f for f, _, _ in layers) + max(c for _, c, _ in layers) if table else 240

    def parameters(h):
        return (inputs + 1) * h + 3 * (h + 1) * h + (h + 1) * outputs

    best = [max((h for h in range(1, 600) if parameters(h) <= share * learnable), default=1) for share in SHARES]
    assert sizes_of(Protocol(embedding=embedding), layout) == list(dict.fromkeys(best))


@pytest.mark.parametrize(
    ("kernels", "variant"),  # ResNet20 and ResNet56 for CIFAR-10, with projection shortcuts, and ResNet18's 3×3 layers
    [
        (32_304, "decoupled-reordered"),
        (96_816, "decoupled-deep-float32-reordered"),
        (1_220_608, "decoupled-table-long"),
    ],
)
def test_the_variant_suits_the_number_of_kernels(kernels, variant):
    assert variant_of(kernels) == variant
    assert variant in configuration.read([Path(__file__).parents[2] / "config.yaml"]).variants


def test_a_fit_costs_its_steps(place, monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(cost.time, "perf_counter", lambda: float(next(clock)))
    found = []
    measured = cost.fit_seconds
    monkeypatch.setattr("nern.init.run.fit_seconds", lambda *given: found.append(measured(*given)) or found[-1])
    assert init(*LINE) == 0
    config = written()
    protocol = protocol_of(config, table_cells(config, "mine")[0])
    # by this clock every step takes a second, and so does every reordering
    reorderings = math.ceil(protocol.training.iterations / protocol.training.reordering.every)
    assert found == [protocol.training.iterations + reorderings + protocol.distillation.iterations]


SMALLEST = """

def smallest(classes, in_channels):
    parts = [nn.Conv2d(in_channels, 2, {}), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, classes)]
    return nn.Sequential(*parts)
"""


@pytest.mark.parametrize(("size", "share"), [(1, 250), (3, 57)])
def test_of_a_network_too_small_for_any_predictor_that_is_said(place, caplog, size, share):
    """6 or 54 weights. With h 1 a table of 1 + 2 + 3 indices, its bias, 3 layers and the outputs are 15 or 31."""
    Path("my_networks.py").write_text(MODULE + SMALLEST.format(size))
    save_untrained("my_networks:smallest")
    assert init("--weights", "other.pt", "--architecture", "my_networks:smallest", *FOLDER) == 0
    assert written().tables["mine"].sizes == {"smallest": [1]}
    assert f"the smallest predictor takes {share} % of their bytes" in caplog.text
    assert f"# {share} % of the bytes of the weights" in Path("mine.yaml").read_text()


def test_the_overlay_is_text_that_people_can_read(place):
    assert init(*LINE) == 0
    text = Path("mine.yaml").read_text()
    assert yaml.safe_load(text)["tables"]["mine"]["sizes"]["resnet8"]
    first, second, third = map(int, re.search(r"# (\d+), (\d+) and (\d+) % of the bytes", text).groups())
    assert 20 < first <= 30 < second <= 40 < third <= 50
    assert text.count("#") > 8 and max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("name", ["2024", "no", "null", "true", "1_000", "2024-01-31", "0x1f", "4e5", "on"])
def test_an_overlay_may_have_a_name_that_yaml_reads_as_something_else(place, name):
    assert main(["init", f"{name}.yaml", *LINE]) == 0
    config, called = written(f"{name}.yaml"), name.replace("-", "_")
    assert called in config.tasks and called in config.tables and called in config.frontiers
    assert {cell.task for cell in table_cells(config, called)} == {called}
    assert config.tasks[called].title == called


@pytest.mark.parametrize("name", ["on", "no", "Null"])
def test_so_may_a_function_that_makes_a_network(place, name):
    Path("my_networks.py").write_text(f"{MODULE}\n{name} = plain\n")
    save_untrained(f"my_networks:{name}")
    assert init("--weights", "other.pt", "--architecture", f"my_networks:{name}", *FOLDER) == 0
    assert set(written().tasks["mine"].networks) == {name}
