"""Every mistake of a user of `nern init` is one sentence that names the option; nothing is written, or overwritten."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from three_colors import FOLDER, RESNET, init, resnet, save_untrained

from nern.cli import main


def broken(place):
    (place / "images/train/red/20.png").write_bytes(b"no image")


def emptied(place):
    shutil.rmtree("images/train/red")
    Path("images/train/red").mkdir()


def without_classes(place):
    shutil.rmtree("images/train")
    Path("images/train").mkdir()


def nothing(place):
    pass


def copied(*names):
    """Further files beside the parquet file of training images."""
    return lambda place: [shutil.copy("files/train-00000-of-00001.parquet", f"files/{name}.parquet") for name in names]


def saved(network):
    return lambda place: torch.save(network.state_dict(), "colors.th")


def replaced(arguments, **changes):
    """The arguments with other values of some options."""
    pairs = dict(zip(arguments[::2], arguments[1::2], strict=True))
    return [word for pair in (pairs | {f"--{name}": value for name, value in changes.items()}).items() for word in pair]


def with_a_variance_below_zero(place):
    network = resnet()
    network.bn1.running_var.fill_(-1)
    torch.save(network.state_dict(), "colors.th")


LINE = RESNET + FOLDER
MISTAKES = {
    "no weights": (nothing, LINE[2:], "--weights is missing"),
    "no depth": (nothing, RESNET[:4] + FOLDER, "--depth is missing"),
    "no images": (nothing, RESNET, "--images is missing: folder:PATH"),
    "weights that are not there": (nothing, replaced(LINE, weights="no.th"), "--weights: no.th: there is no such file"),
    "a variable that is not set": (
        nothing,
        replaced(LINE, weights="$NOT_SET/a.th"),
        "--weights: .* NOT_SET is not set",
    ),
    "weights that are none": (nothing, replaced(LINE, weights="config.yaml"), "--weights: config.yaml: is"),
    "unknown weights": (nothing, replaced(LINE, weights="torchvision:X"), "--weights: unknown weights 'X'"),
    "weights of another network": (saved(resnet(depth=14)), LINE, "--weights: colors.th: does not fit CifarResNet"),
    "wrong depth": (nothing, replaced(LINE, depth="14"), "--weights: colors.th: does not fit CifarResNet: it lacks"),
    "no depth of a ResNet": (nothing, replaced(LINE, depth="9"), "--depth: depth 9 is none of a CIFAR ResNet"),
    "wrong width": (nothing, replaced(LINE, width="5"), "--weights: colors.th: .* check depth, width and classes"),
    "wrong shortcut": (nothing, [*LINE, "--shortcut", "B"], "--weights: .* set shortcut: A"),
    "unknown architecture": (
        nothing,
        ["--weights", "colors.th", "--architecture", "resnet", *FOLDER],
        "--architecture: unknown architecture 'resnet'",
    ),
    "a depth of another architecture": (
        nothing,
        replaced(LINE, architecture="my_networks:plain"),
        "--architecture: .* takes no depth",
    ),
    "a module that is not there": (
        nothing,
        ["--weights", "colors.th", "--architecture", "no_module:net", *FOLDER],
        "--architecture: .*no_module",
    ),
    "classes of other weights": (saved(resnet(classes=4)), LINE, "--weights: colors.th: fc.weight has shape"),
    "a variance below zero": (with_a_variance_below_zero, LINE, "--weights: colors.th: its logits of 15 of 15 test"),
    "wrong classes": (nothing, [*LINE, "--classes", "4"], "--images.*3 class folders, but the task has 4|--weights"),
    "classes that nobody says": (nothing, replaced(LINE, images="parquet:files"), "--classes is missing"),
    "too few classes": (
        saved(resnet(classes=2)),
        [*replaced(LINE, images="parquet:files"), "--classes", "2"],
        "--images: .* label 2 at image",
    ),
    "unknown source": (nothing, replaced(LINE, images="zip:images"), "--images zip:images: write folder:PATH"),
    "no source": (nothing, replaced(LINE, images="images"), "--images images: write folder:PATH"),
    "unknown data set": (nothing, replaced(LINE, images="torchvision:CIFAR1"), "--images: Input should be 'CIFAR10'"),
    "no folder": (nothing, replaced(LINE, images="folder:no"), "--images folder:no: holds no train beside test"),
    "no folders": (nothing, replaced(LINE, images="folder:no,images/val"), "--images.train: no: cannot be listed"),
    "no files": (nothing, replaced(LINE, images="parquet:files/a*,files/b*"), "--images .* no file files/a"),
    "the same folder for both": (
        nothing,
        replaced(LINE, images="folder:images/train,images/val/../train"),
        "--images.test: .*train/blue is read already, as blue of --images.train; .*no network is tested on training",
    ),
    "a file for both": (
        nothing,
        [*replaced(LINE, images="parquet:files/train*,files/train*"), "--classes", "3"],
        "--images.test: files/train-00000-of-00001.parquet is read already, in --images.train; name each file once",
    ),
    "parts of an older copy": (
        copied("train-00000-of-00002", "train-00001-of-00002"),
        replaced(LINE, images="parquet:files"),
        "--images parquet:.*train-00000-of-00001.*-of-00002.* are not the parts of one set of images",
    ),
    "parts of a set by the same names": (
        copied("train-00000-of-00001-a1b2"),
        replaced(LINE, images="parquet:files"),
        "--images .* are not the parts of one set of images, each once",
    ),
    "a part that is missing": (
        copied("test-00001-of-00002"),
        replaced(LINE, images="parquet:files"),
        "--images .*files/test-.* stands for test-00001-of-00002.parquet, which are not the parts",
    ),
    "noisy images beside the parts": (
        copied("train-noisy"),
        replaced(LINE, images="parquet:files"),
        "--images .* stands for train-00000-of-00001.parquet, train-noisy.parquet, which are not",
    ),
    "the whole beside its parts": (
        copied("train"),
        replaced(LINE, images="parquet:files"),
        "--images parquet:files: holds train.parquet beside train-.*.parquet; name those that are meant",
    ),
    "files of other names": (
        lambda place: shutil.move("files/train-00000-of-00001.parquet", "files/train_noisy.parquet"),
        replaced(LINE, images="parquet:files"),
        "--images parquet:files: holds no train.parquet or train-.*.parquet beside test.parquet or test-.*; name both",
    ),
    "no column": (
        nothing,
        [*replaced(LINE, images="parquet:files"), "--classes", "3", "--label-column", "fine"],
        "--images.* no column 'fine'",
    ),
    "a folder without classes": (without_classes, LINE, "--images.train: .*has no sub-folders"),
    "an empty class": (emptied, LINE, "--images.train: .*red: holds no images"),
    "a broken image": (broken, [*LINE, "--size", "8"], "--images: .*20.png: cannot be decoded"),
    "a broken first image": (broken, LINE, "--images: .*20.png: cannot be decoded"),
    "a size of parquet files": (nothing, [*replaced(LINE, images="parquet:files"), "--size", "8"], "--size: does not"),
    "a crop larger than the image": (nothing, [*LINE, "--size", "9", "--resize", "8"], "--images: size 9 does not fit"),
    "mean alone": (nothing, [*LINE, "--mean", "0.5", "0.5", "0.5"], "--mean, --std: give both"),
    "a deviation of bytes": (
        nothing,
        [*LINE, "--mean", *["0"] * 3, "--std", *["255"] * 3],
        r"--std: .*divide both by 255",
    ),
    "a mean of bytes": (nothing, [*LINE, "--mean", *["127"] * 3, "--std", *["60"] * 3], "--mean: .*divide both by 255"),
    "no deviation": (nothing, [*LINE, "--mean", *["0.5"] * 3, "--std", *["0"] * 3], "--mean, --std: .*greater than 0"),
    "a channel too few": (nothing, [*LINE, "--mean", "0.5", "--std", "0.5"], "--weights: .*conv1.weight has shape"),
    "an unknown device": (nothing, [*LINE, "--device", "gpu"], "--device: "),
    "kernels that are not there": (
        nothing,
        [*LINE, "--learnable", "7"],
        "--architecture: .*no convolutions of the sizes",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_a_sentence_that_names_the_option(place, capsys, case):
    change, arguments, sentence = MISTAKES[case]
    change(place)
    assert init(*arguments) == 2
    said = capsys.readouterr()
    assert re.search(f"^nern init: {sentence}", said.err, re.MULTILINE), said.err
    assert "Traceback" not in said.err and said.out == "" and not Path("mine.yaml").exists()


@pytest.mark.parametrize(("name", "sentence"), [("straight", "no feature maps"), ("branching", "cannot be traced")])
def test_a_network_that_cannot_be_learned_is_refused(place, capsys, name, sentence):
    save_untrained(f"my_networks:{name}")
    assert init("--weights", "other.pt", "--architecture", f"my_networks:{name}", *FOLDER) == 2
    assert re.search(f"--architecture: .*{sentence}", capsys.readouterr().err)


def test_mean_and_classes_that_the_weights_contradict_are_refused(place, capsys, trained):
    facts = {"classes": ["red", "green", "blue"], "mean": [0.4, 0.4, 0.4], "std": [0.3, 0.3, 0.3]}
    torch.save({"state_dict": trained.state_dict(), **facts}, "colors.th")
    assert init(*LINE) == 2
    assert "its class 0 is 'red', but the task's is 'blue'" in capsys.readouterr().err
    assert init(*LINE, "--mean", *["0.5"] * 3, "--std", *["0.5"] * 3) == 2
    assert "was trained with mean [0.4, 0.4, 0.4]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("mine.yaml", "exists, and nothing is overwritten"),
        ("no/mine.yaml", "there is no folder no"),
        ("mine.th", "write letters and digits, then .yaml"),
        ("-.yaml", "the following arguments|write letters"),
        ("cifar10.yaml", "has a task or a table cifar10 already"),
        ("summary.yaml", "has a task or a table summary already"),
    ],
)
def test_nothing_is_overwritten(place, capsys, name, sentence):
    Path("mine.yaml").write_text("seeds: [0]\n")
    assert main(["init", *LINE, "--", name]) == 2
    assert re.search(sentence, capsys.readouterr().err)
    assert Path("mine.yaml").read_text() == "seeds: [0]\n"
