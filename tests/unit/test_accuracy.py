"""How near two networks' predictions are: against scipy's relative entropy, closed forms and counts."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import rel_entr, softmax

from nern.addresses import OriginalCell
from nern.errors import NernError
from nern.method.workers import Workers
from nern.stages.accuracy import Predictions, predict
from nern.stages.artifacts import TrainedOriginal, load_predictions, write_predictions


def predictions(logits: torch.Tensor, labels: torch.Tensor | None = None) -> Predictions:
    """What a network with these logits says; right everywhere unless labels are given."""
    classes = logits.sort(dim=1, descending=True, stable=True).indices[:, :5]
    return Predictions(classes, classes[:, 0] if labels is None else labels, torch.log_softmax(logits, dim=1))


def drawn(seed: int, images: int, classes: int, scale: float) -> torch.Tensor:
    return scale * torch.randn(images, classes, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.integers(1, 2100), st.integers(2, 12), st.floats(0.1, 20))
def test_divergence_is_scipys_relative_entropy(seed: int, images: int, classes: int, scale: float) -> None:
    ours, theirs = drawn(seed, images, classes, scale), drawn(seed + 1, images, classes, scale)
    p, q = (softmax(logits.double().numpy(), axis=1) for logits in (theirs, ours))
    wanted = rel_entr(p, q).sum(axis=1).mean()
    assert predictions(ours).divergence(predictions(theirs)) == pytest.approx(wanted, rel=1e-5, abs=1e-9)


def test_divergence_of_a_coin_is_that_of_the_formula() -> None:
    theirs = torch.tensor([[0.75, 0.25]]).log()
    ours = torch.tensor([[0.5, 0.5]]).log()
    wanted = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert predictions(ours).divergence(predictions(theirs)) == pytest.approx(wanted, rel=1e-6)


def test_a_network_does_not_diverge_from_itself_and_an_impossible_class_is_finite() -> None:
    logits = torch.tensor([[1000.0, 0.0], [0.0, -1000.0]])
    assert predictions(logits).divergence(predictions(logits)) == 0
    assert math.isfinite(predictions(-logits).divergence(predictions(logits)))


def test_a_class_without_probability_is_stored_as_one(tmp_path, monkeypatch) -> None:
    """The logarithm of such a probability was −∞ in 16 bits, and any divergence from it no number."""
    monkeypatch.chdir(tmp_path)
    logits = torch.tensor([[1e5, 0.0], [0.0, 1e30]])
    cell, original = OriginalCell("t", "n", "base"), TrainedOriginal(torch.nn.Identity(), [], "digest")
    write_predictions(cell, predictions(logits), "digest")
    stored = load_predictions(cell, original)
    assert predictions(logits).divergence(stored) == 0
    ours = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    wanted = predictions(ours).divergence(predictions(logits))
    assert predictions(ours).divergence(stored) == pytest.approx(wanted, rel=1e-6)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.integers(2, 1000), st.floats(0.5, 15))
def test_sixteen_bits_of_the_original_change_a_divergence_little(seed: int, classes: int, scale: float) -> None:
    """By half the square of their resolution times E[(log p)²], and by a share of the divergence itself."""
    theirs = drawn(seed, 200, classes, scale)
    ours = theirs + drawn(seed + 1, 200, classes, scale / 20)
    original = predictions(theirs)
    stored = Predictions(original.classes, original.labels, original.log_probabilities.half())
    exact = predictions(ours).divergence(original)
    square = (original.log_probabilities.exp() * original.log_probabilities.square()).sum(1).mean().item()
    first_order = 2**-11 * math.sqrt(2 * exact * square)  # Cauchy-Schwarz over the classes
    bound = 2**-22 * square + 2 * first_order
    assert abs(predictions(ours).divergence(stored) - exact) <= bound


def test_images_won_and_lost_are_counted() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    original = predictions(torch.tensor([[2.0, 0], [2, 0], [2, 0], [0, 2]]), labels)  # right, right, wrong, right
    ours = predictions(torch.tensor([[2.0, 0], [0, 2], [0, 2], [0, 2]]), labels)  # right, wrong, right, right
    found = ours.against(original)
    assert (found["won_images"], found["lost_images"]) == (1, 1)
    assert (found["accuracy"], found["agreement"]) == (75, 50)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_network_whose_logits_are_not_finite_has_no_accuracy(value: float, threads: int) -> None:
    logits = drawn(0, 7, 3, 1)
    batches = list(zip(logits.split(3), torch.zeros(7, dtype=torch.int64).split(3), strict=True))
    said = predict(torch.nn.Identity(), batches, Workers(threads), "n")
    assert said.top(1) == pytest.approx(100 * (logits.argmax(1) == 0).float().mean().item())
    logits[4, 1] = value
    with pytest.raises(NernError, match=r"^n: its logits of 1 of 7 test images are NaN or infinite; look for"):
        predict(torch.nn.Identity(), batches, Workers(threads), "n")
