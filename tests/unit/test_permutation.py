"""The greedy paths against brute force and closed forms, by the pairwise comparison and by the compiled walk."""

import subprocess
import sys
from contextlib import AbstractContextManager
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor
from torch.nn.functional import cosine_similarity

from nern.errors import NernError
from nern.method import permutation
from nern.method.permutation import (
    cross_filter_permutation,
    greedy_path,
    in_filter_order,
    in_filter_permutation,
    overhead_bits,
)


def greedy_path_brute_force(vectors: Tensor, metric: str) -> list[int]:
    """The definition: every distance from every point of the path, summed in the order of the dimensions."""
    points = vectors.double().numpy()
    zero = np.zeros(len(points), bool)
    if metric == "cosine":
        squares = np.zeros(len(points))
        for column in points.T:
            squares += column**2
        zero = squares == 0
        points = points / np.where(zero, 1, np.sqrt(squares))[:, None]
    path = [0]
    while len(path) < len(points):
        distances = np.zeros(len(points))
        for column in points.T:
            distances += (column - column[path[-1]]) ** 2
        if zero[path[-1]]:
            distances[:] = 2
        distances[zero] = 2
        distances[path] = np.inf
        path.append(int(distances.argmin()))
    return path


def compiled() -> AbstractContextManager[int]:
    """Compiled code, however few vectors there are."""
    return mock.patch.object(permutation, "PAIRWISE_LIMIT", 0)


def plain() -> AbstractContextManager[int]:
    """Every pair compared, however many vectors there are."""
    return mock.patch.object(permutation, "PAIRWISE_LIMIT", 2**40)


def walked_path(vectors: Tensor, metric: str) -> Tensor:
    with compiled():
        return greedy_path(vectors, metric)


def pairwise_path(vectors: Tensor, metric: str) -> Tensor:
    with plain():
        return greedy_path(vectors, metric)


WAYS = [walked_path, pairwise_path]


def gaussian(n: int, d: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(n + d))


def clustered(n: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(40, 9, generator=generator)
    chosen = centers[torch.randint(40, (n,), generator=generator)]
    return chosen + 0.01 * torch.randn(n, 9, generator=generator)


def quantized(n: int, d: int, levels: int) -> Tensor:
    """Small integers: duplicates, zero vectors and ties at every distance."""
    return torch.randint(-levels, levels + 1, (n, d), generator=torch.Generator().manual_seed(n)).float()


INPUTS = {
    "one": gaussian(1, 9),
    "two": gaussian(2, 9),
    "few": gaussian(33, 9),
    "several-levels": gaussian(1500, 9),
    "clustered": clustered(2000),
    "duplicates": quantized(2000, 3, 2),
    "ties": quantized(1500, 6, 2),
    "long": gaussian(300, 49),
    "numbers": gaussian(1500, 1),
    "duplicate-numbers": quantized(1500, 1, 200),
    "zeros": torch.zeros(50, 4),
    "one-zero": torch.cat([gaussian(40, 2), torch.zeros(1, 2), gaussian(30, 2)]),
    "half-zeros": gaussian(400, 9) * (torch.arange(400) % 2)[:, None],
    # Many numbers at the same computed distance from 1, though not from each other.
    "absorbed": torch.cat([torch.tensor([1.0]), 1e-20 * gaussian(200, 1)[:, 0], torch.tensor([1.5])])[:, None],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("name", INPUTS)
def test_path_is_that_of_brute_force(name, metric, way):
    assert way(INPUTS[name], metric).tolist() == greedy_path_brute_force(INPUTS[name], metric)


@pytest.mark.parametrize("way", WAYS)
@given(
    vectors=hnp.arrays(np.float32, st.tuples(st.integers(1, 50), st.integers(1, 4)), elements=st.integers(-2, 2)),
    metric=st.sampled_from(["cosine", "l2"]),
)
@settings(max_examples=150, deadline=None)
def test_path_is_that_of_brute_force_whatever_ties(way, vectors, metric):
    assert way(torch.from_numpy(vectors), metric).tolist() == greedy_path_brute_force(torch.from_numpy(vectors), metric)


@pytest.mark.parametrize("way", WAYS)
class TestClosedForms:
    def test_numbers(self, way):
        assert way(torch.tensor([[0.0], [5.0], [1.0], [-2.0], [9.0]]), "l2").tolist() == [0, 2, 3, 1, 4]

    def test_directions_whatever_their_lengths(self, way):
        angles, lengths = torch.tensor([0.0, 90.0, 30.0, 50.0, -80.0]).deg2rad(), torch.tensor([1.0, 100, 1e-3, 7, 1])
        vectors = lengths[:, None] * torch.stack([angles.cos(), angles.sin()], dim=1)
        assert way(vectors, "cosine").tolist() == [0, 2, 3, 1, 4]

    def test_ties_go_to_the_lowest_index(self, way):
        assert way(torch.tensor([[0.0], [1.0], [-1.0], [1.0]]), "l2").tolist() == [0, 1, 3, 2]
        assert way(torch.tensor([[0.0], [-1.0], [1.0], [1.0]]), "l2").tolist() == [0, 1, 2, 3]

    def test_a_factor_of_two_is_a_tie(self, way):
        vector = torch.tensor([0.3, -0.7, 0.1])
        vectors = torch.stack([vector, 4 * vector, -vector, vector, vector / 8])
        assert way(vectors, "cosine").tolist() == [0, 1, 3, 4, 2]

    def test_numbers_of_one_sign_are_parallel(self, way):
        numbers = torch.tensor([[0.3], [-0.1], [7.7], [-2.3], [1e-30]])
        assert way(numbers, "cosine").tolist() == [0, 2, 4, 1, 3]

    def test_a_zero_vector_is_at_a_right_angle_to_all(self, way):
        vectors = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, 0.0], [1.0, 0.1]])
        assert way(vectors, "cosine").tolist() == [0, 5, 2, 1, 3, 4]

    @pytest.mark.parametrize("metric", ["cosine", "l2"])
    @pytest.mark.parametrize("exponent", [-1000, -140, 600, 1000])
    def test_scale_does_not_matter(self, way, metric, exponent):
        vectors = gaussian(60, 3).double()
        assert torch.equal(way(vectors * 2.0**exponent, metric), way(vectors, metric))

    def test_differences_whose_square_is_zero_do_not_count(self, way):
        numbers = torch.tensor([[1.0], [1e-200], [2e-200], [1e-200]], dtype=torch.float64)
        assert way(numbers, "l2").tolist() == [0, 1, 2, 3]


@given(hnp.arrays(np.float32, st.tuples(st.integers(0, 30), st.just(2)), elements=st.floats(-1, 1, width=32)))
@settings(deadline=None)
def test_path_is_a_permutation(vectors):
    for metric in ("cosine", "l2"):
        assert sorted(greedy_path(torch.from_numpy(vectors), metric).tolist()) == list(range(len(vectors)))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_bad_numbers_are_refused(bad):
    with pytest.raises(NernError):
        greedy_path(torch.tensor([[1.0], [bad]]), "l2")


def test_unknown_metric_is_refused():
    with pytest.raises(ValueError, match="manhattan"):
        greedy_path(torch.ones(2, 2), "manhattan")


def test_half_precision_and_gradients_do_no_harm():
    weight = gaussian(12, 9).half().requires_grad_()
    assert greedy_path(weight, "cosine").tolist() == greedy_path_brute_force(weight.detach(), "cosine")


@pytest.mark.parametrize("shape", [(5, 7, 3, 3), (40, 30, 3, 3), (6, 1, 5, 5), (4, 3, 1, 7), (1, 9, 3, 3)])
def test_cross_filter_compares_by_cosine(shape):
    weight = gaussian(shape[0] * shape[1], shape[2] * shape[3])
    expected = greedy_path_brute_force(weight, "cosine")
    assert cross_filter_permutation(weight.reshape(shape)).tolist() == expected


def test_cross_filter_compares_1x1_by_l2_unless_told():
    weight = gaussian(60, 1)
    assert cross_filter_permutation(weight.reshape(6, 10, 1, 1)).tolist() == greedy_path_brute_force(weight, "l2")
    cosine = cross_filter_permutation(weight.reshape(6, 10, 1, 1), cosine_for_1x1=True)
    assert cosine.tolist() == greedy_path_brute_force(weight, "cosine")


def in_filter_brute_force(weight: Tensor, cosine: bool) -> tuple[list[int], list[list[int]]]:
    """The definition in loops, by the distances themselves."""
    channels = [greedy_path_brute_force(kernels.flatten(1), "cosine" if cosine else "l2") for kernels in weight]

    def distance(a: int, b: int) -> float:
        pairs = zip(weight[a][channels[a]].double(), weight[b][channels[b]].double(), strict=True)
        if cosine:
            return sum(1 - cosine_similarity(p.flatten(), q.flatten(), dim=0, eps=1e-300).item() for p, q in pairs)
        return sum((p - q).norm().item() for p, q in pairs)

    filters = [0]
    while len(filters) < len(weight):
        left = sorted(set(range(len(weight))) - set(filters))
        filters.append(min(left, key=lambda f: distance(filters[-1], f)))
    return filters, channels


@pytest.mark.parametrize("shape", [(7, 5, 3, 3), (12, 1, 3, 3), (6, 4, 1, 5), (9, 8, 1, 1), (1, 4, 3, 3)])
@pytest.mark.parametrize("cosine_for_1x1", [False, True])
@pytest.mark.parametrize("way", [compiled, plain])
def test_in_filter_is_that_of_brute_force(way, shape, cosine_for_1x1):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    weight[-1, -1] = 0  # a zero kernel takes part like any other
    with way():
        filters, channels = in_filter_permutation(weight, cosine_for_1x1=cosine_for_1x1)
    expected = in_filter_brute_force(weight, cosine_for_1x1 or shape[2:] != (1, 1))
    assert (filters.tolist(), channels.tolist()) == expected


def test_large_filters_are_those_of_every_pair():
    weight = quantized(40 * 50, 9, 2).reshape(40, 50, 3, 3)
    with compiled():
        walked = in_filter_permutation(weight)
    with plain():
        pairwise = in_filter_permutation(weight)
    assert torch.equal(walked[0], pairwise[0])
    assert torch.equal(walked[1], pairwise[1])


def test_equal_filters_follow_each_other_by_index():
    first, second = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(2))
    filters, channels = in_filter_permutation(torch.stack([first, second, second, first, first]))
    assert filters.tolist() == [0, 3, 4, 1, 2]
    assert torch.equal(channels[0], channels[4])


def test_in_filter_order_names_the_kernel_at_each_position():
    filters, channels = in_filter_permutation(torch.randn(5, 4, 3, 3, generator=torch.Generator().manual_seed(3)))
    order = in_filter_order(filters, channels).reshape(5, 4)
    for f in range(5):
        for c in range(4):
            assert order[f, c] == filters[f] * 4 + channels[filters[f], c]
    assert sorted(order.flatten().tolist()) == list(range(20))


def test_overhead_is_that_of_the_formulas():
    assert overhead_bits("cross-filter", 16, 8) == 128 * (4 + 3)
    assert overhead_bits("in-filter", 16, 8) == 128 * 3 + 16 * 4
    assert overhead_bits("none", 16, 8) == 0
    assert overhead_bits("in-filter", 32, 1) == 32 * 5
    with pytest.raises(ValueError, match="sideways"):
        overhead_bits("sideways", 16, 8)


def test_small_layers_do_not_load_numba():
    code = (
        "import sys, torch; from nern.method.permutation import cross_filter_permutation\n"
        "cross_filter_permutation(torch.rand(16, 16, 3, 3)); sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
