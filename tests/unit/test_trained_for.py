"""Weights that say what they were trained for are not used for something else."""

import pytest
import safetensors.torch
import torch

from nern.errors import NernError
from nern.networks.trained_for import TrainedFor, check, said_by_file, said_by_torchvision

STATE = {"weight": torch.ones(2)}
TEXT_ORDER = [str(n) for n in (0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9)]
NUMBERS = [str(n) for n in range(12)]
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


@pytest.mark.parametrize(
    "beside",
    [
        {"classes": NUMBERS},
        {"class_names": tuple(NUMBERS)},
        {"class_to_idx": {name: int(name) for name in reversed(NUMBERS)}},
        {"idx_to_class": {int(name): name for name in reversed(NUMBERS)}},
        {"names": dict(enumerate(NUMBERS)), "mean": [0.5], "std": torch.tensor([0.25])},
    ],
)
def test_what_a_checkpoint_says_of_its_classes_is_read_in_the_order_of_its_outputs(tmp_path, beside):
    torch.save({"state_dict": STATE} | beside, tmp_path / "w.pt")
    said = said_by_file(tmp_path / "w.pt")
    assert said.classes == NUMBERS
    assert (said.mean, said.std) == (([0.5], [0.25]) if "mean" in beside else ([], []))


@pytest.mark.parametrize(
    "beside",
    [
        {},
        {"classes": 12},
        {"classes": {"a": "b"}},
        {"mean": "0.5", "std": [None]},
        {"mean": [0.5, float("nan")], "std": [float("inf")]},
        {"mean": torch.tensor([0.5]), "std": torch.tensor([0.25])},  # of a network that normalizes its images itself
    ],
)
def test_a_file_that_says_nothing_says_nothing(tmp_path, beside):
    torch.save(STATE | beside, tmp_path / "w.pt")
    safetensors.torch.save_file(STATE, tmp_path / "w.safetensors")
    for name in ("w.pt", "w.safetensors"):
        assert said_by_file(tmp_path / name) == TrainedFor([], [], [])


@pytest.mark.parametrize("suffix", [".pt", ".th", ".safetensors", ""])
@pytest.mark.parametrize("is_safetensors", [False, True])
def test_a_checkpoint_is_known_by_its_content_whatever_its_name(tmp_path, suffix, is_safetensors):
    path = tmp_path / f"w{suffix}"
    if is_safetensors:
        safetensors.torch.save_file(STATE, path)
    else:
        torch.save({"state_dict": STATE, "mean": [0.5], "std": [0.25]}, path)
    assert said_by_file(path) == (TrainedFor([], [], []) if is_safetensors else TrainedFor([], [0.5], [0.25]))


@pytest.mark.parametrize(
    ("mean", "std", "wanted"),
    [
        ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375], (IMAGENET["mean"], [0.229, 0.224, 0.225])),
        ([127.5], [255], ([0.5], [1])),
        ([0.0], [255.0], ([0], [1])),
        ([0.9], [0.2], ([0.9], [0.2])),
        ([1.0], [1.0], ([1], [1])),
        ([32767.5], [16000.0], ([], [])),
    ],
)
def test_a_mean_of_bytes_is_one_of_pixels_from_0_to_1(tmp_path, mean, std, wanted):
    torch.save({"state_dict": STATE, "mean": mean, "std": torch.tensor(std)}, tmp_path / "w.pt")
    said = said_by_file(tmp_path / "w.pt")
    assert said.mean == pytest.approx(wanted[0]) and said.std == pytest.approx(wanted[1])


@pytest.mark.parametrize(
    ("mean", "wanted"),
    [
        (torch.tensor(IMAGENET["mean"]).view(3, 1, 1), IMAGENET["mean"]),
        (torch.tensor(IMAGENET["mean"]).view(1, 3, 1, 1), IMAGENET["mean"]),
        (0.1307, [0.1307]),
        (torch.tensor(0.1307), [0.1307]),
        (torch.tensor([[0.1307]]), [0.1307]),
        (torch.rand(3, 2), []),
        (torch.zeros(0), []),
        (torch.tensor(float("nan")), []),
        (torch.tensor([0.1 + 1j]), []),
    ],
)
def test_a_mean_is_read_in_the_shape_that_images_are_normalized_by(tmp_path, mean, wanted):
    torch.save({"state_dict": STATE, "mean": mean}, tmp_path / "w.pt")
    assert said_by_file(tmp_path / "w.pt").mean == pytest.approx(wanted)


@pytest.mark.parametrize("prefixes", [("checkpoint",), ("best", "ema"), ("run", "best", "ema")])
def test_what_lies_beside_the_state_dict_is_read_however_deep_that_is(tmp_path, prefixes):
    content = {"model": STATE, "classes": NUMBERS, "mean": [0.5], "std": [0.25]}
    for prefix in prefixes:
        content = {prefix: content, "epoch": 3, "scores": {"mean": [0.9], "std": [0.1], "folds": 5}}
    torch.save(content, tmp_path / "w.pt")
    assert said_by_file(tmp_path / "w.pt") == TrainedFor(NUMBERS, [0.5], [0.25])


def test_one_number_is_that_of_all_channels():
    checked(TrainedFor([], [0.5], [0.25]), mean=[0.5, 0.5, 0.5], std=[0.25, 0.25, 0.25])
    with pytest.raises(NernError, match=r"was trained with mean \[0.5, 0.5, 0.5\], but the task has \[0.5, 0.5, 0.4\]"):
        checked(TrainedFor([], [0.5], [0.25]), mean=[0.5, 0.5, 0.4], std=[0.25, 0.25, 0.25])


def test_torchvision_says_it_of_its_own():
    said = said_by_torchvision("ResNet18_Weights.IMAGENET1K_V1")
    assert len(said.classes) == 1000 and {"mean": said.mean, "std": said.std} == IMAGENET


def checked(said, **task):
    check(said, **({"classes": TEXT_ORDER, "mean": [0.5], "std": [0.25], "where": "w.pt"} | task))


def test_another_order_of_the_same_classes_is_refused():
    with pytest.raises(NernError, match=r"w\.pt: its class 2 is '2', but the task's is '10'.*leading zeros") as caught:
        checked(TrainedFor(NUMBERS, [], []))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("theirs", [[], TEXT_ORDER, ["cat", "dog"], [f"class {n}" for n in NUMBERS]])
def test_the_same_order_is_taken_and_other_names_say_nothing(theirs):
    checked(TrainedFor(theirs, [], []))


@pytest.mark.parametrize(
    ("key", "ours", "right"),
    [
        ("mean", [0.485, 0.456, 0.406], True),
        ("mean", [0.49, 0.46, 0.41], True),
        ("mean", [0.5, 0.5, 0.5], False),
        ("mean", [0.406, 0.456, 0.485], False),
        ("mean", [0.485], False),
        ("std", [0.23, 0.22, 0.22], True),
        ("std", [0.5, 0.5, 0.5], False),
        ("std", [1.0, 1.0, 1.0], False),
    ],
)
def test_other_means_than_the_weights_were_trained_with_are_refused(key, ours, right):
    said = TrainedFor([], IMAGENET["mean"], IMAGENET["std"])
    task = IMAGENET | {key: ours}
    if right:
        checked(said, **task)
        return
    with pytest.raises(NernError, match=rf"w\.pt: was trained with {key} .* but the task has .*; set it to that"):
        checked(said, **task)
