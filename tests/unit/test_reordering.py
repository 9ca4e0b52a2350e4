"""Kernels that change places in their layer: exact within a cell, never worse, and the same network all along."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_training import RECONSTRUCTION, Problem, sample_of

from nern.method import reordering
from nern.method.reordering import better_places, better_places_in_filters


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def distance(kernels, predicted):
    return (kernels.double() - predicted.double()).square().sum().item()


@given(st.integers(0, 2**31), st.integers(1, 6))
def test_a_cell_is_ordered_as_brute_force_orders_it(seed, count):
    kernels, predicted = torch.randn(2, count, 9, generator=stream(seed))
    places = better_places(kernels, predicted, 1, stream())
    assert places.sort().values.tolist() == list(range(count))
    least = min(distance(kernels[list(order)], predicted) for order in itertools.permutations(range(count)))
    assert distance(kernels[places], predicted) == pytest.approx(least, abs=1e-9)


@settings(deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 400), st.integers(1, 3))
def test_the_order_of_a_layer_is_a_permutation_and_fits_no_worse(seed, count, rounds):
    kernels, predicted = torch.randn(2, count, 4, generator=stream(seed))
    places = better_places(kernels, predicted, rounds, stream(seed + 1))
    assert places.sort().values.tolist() == list(range(count))
    assert distance(kernels[places], predicted) <= distance(kernels, predicted) * (1 + 1e-12)


def test_kernels_that_were_shuffled_among_their_likes_find_back():
    """On a line, predictions are what stood there before neighbors changed places."""
    line = torch.arange(1000.0)[:, None] * torch.ones(3)
    near = torch.argsort(torch.arange(1000.0) + 4 * torch.rand(1000, generator=stream()))
    assert not torch.equal(near, torch.arange(1000))
    places = better_places(line[near], line, 3, stream(1))
    assert torch.equal(line[near][places], line)


def test_more_rounds_find_more_exchanges():
    kernels, predicted = torch.randn(2, 2000, 9, generator=stream())
    left = [distance(kernels[better_places(kernels, predicted, rounds, stream(1))], predicted) for rounds in (1, 4, 16)]
    assert distance(kernels, predicted) > left[0] > left[1] > left[2]


def test_cells_are_small_and_cover_a_layer_once():
    points = torch.randn(1000, 9, dtype=torch.float64, generator=stream()).numpy()
    cells = reordering._cells(points, torch.arange(1000).numpy(), stream(1))
    assert sorted(index for cell in cells for index in cell.tolist()) == list(range(1000))
    assert max(map(len, cells)) <= reordering.CELL


def grid_of(places, filters):
    """[F, C] the filter and [F, C] the channel that stand at each place."""
    channels = len(places) // filters
    return (places // channels).view(filters, channels), (places % channels).view(filters, channels)


@settings(deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 80), st.integers(1, 3))
def test_an_in_filter_order_keeps_filters_together_and_fits_no_worse(seed, filters, channels, rounds):
    kernels, predicted = torch.randn(2, filters * channels, 4, generator=stream(seed))
    places = better_places_in_filters(kernels, predicted, filters, rounds, stream(seed + 1))
    moved, within = grid_of(places, filters)
    assert moved[:, 0].sort().values.tolist() == list(range(filters))
    assert torch.equal(moved, moved[:, :1].expand_as(moved))
    assert torch.equal(within.sort(dim=1).values, torch.arange(channels).expand_as(within))
    assert distance(kernels[places], predicted) <= distance(kernels, predicted) * (1 + 1e-12)


@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(1, 4))
def test_filters_and_then_their_kernels_are_ordered_as_brute_force_orders_them(seed, filters, channels):
    kernels, predicted = torch.randn(2, filters, channels, 9, generator=stream(seed))
    moved, within = grid_of(
        better_places_in_filters(kernels.flatten(0, 1), predicted.flatten(0, 1), filters, 1, stream()), filters
    )
    by_distance = [(distance(kernels[list(p)], predicted), p) for p in itertools.permutations(range(filters))]
    assert min(by_distance)[1] == tuple(moved[:, 0].tolist())
    for place, filter_ in enumerate(moved[:, 0]):
        ours = [kernels[filter_][list(p)] for p in itertools.permutations(range(channels))]
        least = min(distance(kernel, predicted[place]) for kernel in ours)
        assert distance(kernels[filter_][within[place]], predicted[place]) == pytest.approx(least, abs=1e-9)


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("double")
class TestStep:
    def test_it_lowers_the_loss_and_keeps_the_network(self):
        problem = Problem()
        step, before = problem.step, problem.layout.weights(problem.target)
        losses = step.reconstruct(sample_of(problem), RECONSTRUCTION)
        step.reorder("cross-filter", 2, 0, "fit/training", 0)
        after = step.reconstruct(sample_of(problem), RECONSTRUCTION)
        assert after.reconstruction < losses.reconstruction
        for one, other in zip(before, step.layout.weights(step.target), strict=True):
            assert torch.equal(one, other)
        wanted = (step.passes.predict() - step.target) * step.mask
        torch.testing.assert_close(step.errors, wanted.square().sum(1))

    def test_each_layer_keeps_its_own_kernels(self):
        problem = Problem()
        before = problem.layout.orders
        problem.step.reorder("cross-filter", 2, 0, "fit/training", 0)
        after = problem.step.layout.orders
        assert any(not torch.equal(one, other) for one, other in zip(before, after, strict=True))
        for one, other in zip(before, after, strict=True):
            assert torch.equal(one.sort().values, other.sort().values)

    def test_gradients_after_it_are_those_of_a_fit_that_began_in_that_order(self):
        problem = Problem()
        problem.step.reorder("cross-filter", 2, 0, "fit/training", 0)
        problem.layout, problem.target = problem.step.layout, problem.step.target
        sample = sample_of(problem)
        problem.step.reconstruct(sample, RECONSTRUCTION)
        ours = problem.gradients()
        for one, other in zip(ours, problem.oracle(sample.indices, RECONSTRUCTION), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)

    def test_the_number_of_threads_is_of_no_account(self):
        orders = []
        for threads in (1, 3):
            problem = Problem(threads=threads)
            problem.step.reorder("cross-filter", 2, 7, "fit/training", 50)
            orders.append(problem.step.layout.orders)
        assert all(torch.equal(one, other) for one, other in zip(*orders, strict=True))

    def test_predictions_that_are_not_finite_change_nothing(self):
        problem = Problem()
        with torch.no_grad():
            problem.predictor.linears[-1].bias[0] = torch.nan
        before = problem.step.layout
        problem.step.reorder("cross-filter", 2, 0, "fit/training", 0)
        assert problem.step.layout is before
