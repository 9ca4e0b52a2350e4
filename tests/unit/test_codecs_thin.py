"""Sparse and low-rank codes against sorting, brute force and numpy's products."""

import itertools
import math

import numpy as np
import pytest
from codec_cases import network, relative_error, shapes_of
from hypothesis import given
from hypothesis import strategies as st

from nern.codecs.low_rank import LowRank, best_ranks
from nern.codecs.sparse import Sparse, prune
from nern.errors import NernError


def matrices():
    return {name: array for name, array in network().items() if array.ndim >= 2}


def together(arrays):
    return np.concatenate([array.ravel() for array in arrays.values()])


@given(st.floats(0, 1))
def test_the_smallest_weights_of_all_matrices_together_become_zero(sparsity):
    before, after = together(matrices()), together(prune(matrices(), sparsity))
    smallest = sorted(range(len(before)), key=lambda index: abs(before[index]))[: round(sparsity * len(before))]
    wanted = before.copy()
    wanted[smallest] = 0
    assert np.array_equal(after, wanted)


@pytest.mark.parametrize("sparsity", [0.25, 0.7])
def test_ties_go_by_position_among_many(sparsity):
    weights = np.random.default_rng(0).choice([-2.0, -1.0, 1.0, 2.0], 2000).astype(np.float32)
    smallest = sorted(range(2000), key=lambda index: (abs(weights[index]), index))[: round(sparsity * 2000)]
    wanted = weights.copy()
    wanted[smallest] = 0
    assert np.array_equal(prune({"w": weights.reshape(40, 50)}, sparsity)["w"].ravel(), wanted)


def test_ties_go_by_position():
    pruned = prune({"a": np.array([[1.0, -1.0]], np.float32), "b": np.array([[1.0, 0.5]], np.float32)}, 0.5)
    assert pruned["a"].tolist() == [[0.0, -1.0]] and pruned["b"].tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("sparsity", [0, 0.3, 0.9, 1])
def test_sparse_weights_of_32_bits_are_exact_and_vectors_stay(sparsity):
    arrays, codec = network(), Sparse(kind="sparse", sparsity=sparsity)
    decoded = codec.decode(codec.encode(arrays), shapes_of(arrays))
    assert all(np.array_equal(decoded[name], array) for name, array in prune(matrices(), sparsity).items())
    assert all(np.array_equal(decoded[name], arrays[name]) for name in ("bias", "gain"))


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("sparsity", [0, 0.5, 0.9, 0.99])
def test_a_mask_takes_its_entropy_and_a_weight_its_bits(sparsity, bits):
    arrays = matrices()
    data = Sparse(kind="sparse", sparsity=sparsity, bits=bits).encode(arrays)
    ideal = 0.0
    for array in prune(arrays, sparsity).values():
        share = np.count_nonzero(array) / array.size
        ideal -= array.size * sum(p * math.log2(p) for p in (share, 1 - share) if p) / 8
        ideal += np.count_nonzero(array) * bits / 8
    assert ideal <= len(data) <= 1.01 * ideal + 32 * len(arrays)


@pytest.mark.parametrize("bits", range(2, 9))
def test_zeros_stay_zero_in_sparse_weights_of_few_bits(bits):
    arrays, codec = matrices(), Sparse(kind="sparse", sparsity=0.6, bits=bits)
    decoded = codec.decode(codec.encode(arrays), shapes_of(arrays))
    assert not any(decoded[name][array == 0].any() for name, array in prune(arrays, 0.6).items())


def test_full_rank_is_lossless_to_rounding():
    codec, arrays = LowRank(kind="low-rank", ratio=2), matrices()
    decoded = codec.decode(codec.encode(arrays), shapes_of(arrays))
    assert relative_error(arrays, decoded) < (2**-10) ** 2  # float16 has 11 bits


def test_a_matrix_of_low_rank_is_lossless_to_rounding():
    generator = np.random.default_rng(0)
    matrix = (generator.standard_normal((64, 3)) @ generator.standard_normal((3, 90))).astype(np.float32)
    codec = LowRank(kind="low-rank", ratio=0.1)
    assert relative_error({"w": matrix}, codec.decode(codec.encode({"w": matrix}), {"w": (64, 90)})) < (2**-10) ** 2


@pytest.mark.parametrize("ratio", [0.15, 0.2, 0.4, 1])
def test_the_error_is_the_energy_of_the_singular_values_that_are_left_out(ratio):
    codec, arrays = LowRank(kind="low-rank", ratio=ratio), matrices()
    data = codec.encode(arrays)
    assert len(data) <= ratio * sum(array.nbytes for array in arrays.values())
    decoded = codec.decode(data, shapes_of(arrays))
    for name, array in arrays.items():
        rank = np.linalg.matrix_rank(decoded[name].reshape(len(array), -1).astype(np.float64), tol=1e-4)
        left_out = np.linalg.svd(array.reshape(len(array), -1).astype(np.float64), compute_uv=False)[rank:]
        error = np.square(array.astype(np.float64) - decoded[name]).sum()
        assert error == pytest.approx(np.square(left_out).sum(), rel=0.01, abs=1e-5 * float(np.square(array).sum()))


@given(st.lists(st.lists(st.floats(0.1, 10), min_size=1, max_size=3), min_size=1, max_size=3), st.integers(0, 12))
def test_ranks_of_one_price_keep_the_most_energy_that_fits(drawn, more):
    values = {str(number): np.sort(np.array(singular))[::-1] for number, singular in enumerate(drawn)}
    budget = 7 * (len(values) + more)
    ranks = best_ranks(values, dict.fromkeys(values, 7), budget)

    def energy(chosen):
        return sum(np.square(singular[:rank]).sum() for singular, rank in zip(values.values(), chosen, strict=True))

    every = itertools.product(*(range(1, len(singular) + 1) for singular in values.values()))
    assert energy(ranks.values()) == pytest.approx(max(energy(r) for r in every if 7 * sum(r) <= budget))


def test_a_budget_that_nothing_meets_is_refused():
    with pytest.raises(NernError, match="choose a larger ratio"):
        LowRank(kind="low-rank", ratio=0.01).encode(matrices())
