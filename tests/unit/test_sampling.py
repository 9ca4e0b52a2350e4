import pytest
import torch

from nern.method.sampling import Sampler

LAYERS = [5, 30, 65]
NORMS = torch.linspace(0.1, 3, 100)


def sampler(method, count=20, probability=0.8, norms=NORMS, seed=3):
    return Sampler(method, count, layers=LAYERS, norms=norms, uniform_probability=probability, seed=seed)


def test_uniform_draws_distinct_kernels_equally_often():
    drawn = [sampler("uniform").draw(step).indices for step in range(1500)]
    assert all(len(set(indices.tolist())) == 20 for indices in drawn)
    counts = torch.bincount(torch.cat(drawn), minlength=100).double()
    # each count is binomial(1500, 0.2): mean 300, standard deviation 15.5
    assert (counts - 300).abs().max() < 5 * 15.5


def test_layer_draws_from_one_layer_and_every_layer_comes():
    owners = torch.repeat_interleave(torch.arange(3), torch.tensor(LAYERS))
    seen = set()
    for step in range(60):
        indices = sampler("layer").draw(step).indices
        layers = set(owners[indices].tolist())
        assert len(layers) == 1
        layer = layers.pop()
        assert len(set(indices.tolist())) == min(20, LAYERS[layer])
        seen.add(layer)
    assert seen == {0, 1, 2}


def test_magnitude_steps_draw_in_proportion_to_the_norms():
    draws = sampler("magnitude", probability=0.0)
    counts = torch.zeros(100)
    for step in range(3000):
        counts += torch.bincount(draws.draw(step).indices, minlength=100)
    wanted = 60_000 * NORMS / NORMS.sum()
    assert ((counts - wanted).abs() < 5 * wanted.sqrt()).all()


def test_copies_of_a_kernel_share_one_gradient():
    sample = sampler("magnitude", probability=0.0).draw(0)
    assert len(set(sample.indices.tolist())) < 20  # 20 of 100 with replacement: a copy is near certain
    totals = torch.zeros(100).index_add_(0, sample.indices, sample.weights)
    torch.testing.assert_close(totals[totals > 0], torch.ones(int((totals > 0).sum())))


def test_magnitude_is_uniform_in_its_share_of_steps():
    draws = sampler("magnitude")
    uniform = sum(draws.draw(step).weights is None for step in range(2000))
    assert abs(uniform - 1600) < 5 * (2000 * 0.8 * 0.2) ** 0.5


def test_zero_kernels_are_never_drawn_by_magnitude():
    norms = NORMS.clone()
    norms[::2] = 0
    draws = sampler("magnitude", probability=0.0, norms=norms)
    assert all((norms[draws.draw(step).indices] > 0).all() for step in range(200))


def test_a_network_of_zeros_is_drawn_uniformly():
    assert sampler("magnitude", probability=0.0, norms=torch.zeros(100)).draw(0).weights is None


@pytest.mark.parametrize("method", ["uniform", "magnitude", "layer"])
def test_a_draw_depends_on_seed_and_step_alone(method):
    forward, backward = sampler(method), sampler(method)
    one = [forward.draw(step).indices.tolist() for step in range(8)]
    other = [backward.draw(step).indices.tolist() for step in reversed(range(8))]
    assert one == other[::-1]
    assert one != [sampler(method, seed=4).draw(step).indices.tolist() for step in range(8)]


def test_all_and_more_than_all_take_every_kernel_once():
    for draws in (sampler("all"), sampler("uniform", count=1000)):
        assert draws.draw(0).indices.tolist() == list(range(100))
