import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nern.method.losses import (
    feature_distillation_loss,
    output_distillation_loss,
    reconstruction_loss,
    reconstruction_loss_text,
)


def draw(*shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes]


def test_reconstruction_is_the_root_mean_squared_error_over_all_weights():
    ours, theirs = draw((2, 3, 3, 3), (4, 2, 1, 1)), draw((2, 3, 3, 3), (4, 2, 1, 1), seed=1)
    errors = np.concatenate([(a - b).numpy().ravel() for a, b in zip(ours, theirs, strict=True)])
    assert reconstruction_loss(ours, theirs).item() == pytest.approx(np.sqrt(np.mean(errors**2)))
    assert reconstruction_loss_text(ours, theirs).item() == pytest.approx(np.linalg.norm(errors) / errors.size)


def test_feature_distillation_is_the_formula_per_sample():
    ours, theirs = draw((3, 4, 5, 5), (3, 8)), draw((3, 4, 5, 5), (3, 8), seed=1)
    wanted = 0.0
    for a, b in zip(ours, theirs, strict=True):
        for x, y in zip(a.numpy(), b.numpy(), strict=True):
            wanted += np.sum((x / (np.linalg.norm(x) + 1e-3) - y / (np.linalg.norm(y) + 1e-3)) ** 2) / 3
    assert feature_distillation_loss(ours, theirs).item() == pytest.approx(wanted)


def test_output_distillation_without_epsilon_is_torchs_kl():
    ours, theirs = draw((6, 10), (6, 10))
    wanted = F.kl_div(ours.log_softmax(1), theirs.log_softmax(1), log_target=True, reduction="batchmean")
    assert output_distillation_loss(ours, theirs, epsilon=0).item() == pytest.approx(wanted.item())


def test_output_distillation_adds_epsilon_to_the_students_probabilities():
    ours, theirs = draw((6, 10), (6, 10))
    p, q = theirs.softmax(1), ours.softmax(1)
    wanted = (p * (p.log() - (q + 1e-4).log())).sum(1).mean()
    assert output_distillation_loss(ours, theirs).item() == pytest.approx(wanted.item())


def test_equal_networks_lose_nothing():
    maps = draw((3, 4, 5, 5))
    logits = draw((6, 10))[0]
    assert feature_distillation_loss(maps, maps).item() == 0
    assert output_distillation_loss(logits, logits, epsilon=0).item() == pytest.approx(0, abs=1e-15)
