"""Coded permutations against all of them, and their size against log2(n!)."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nern.codecs import permutation as coding
from nern.codecs.streams import seal
from nern.errors import NernError
from nern.method.permutation import in_filter_order, in_filter_permutation


def factorial_bytes(count):
    return math.lgamma(count + 1) / math.log(2) / 8


@pytest.mark.parametrize("count", range(6))
def test_every_permutation_of_few_comes_back_and_has_a_code_of_its_own(count):
    codes = set()
    for order in itertools.permutations(range(count)):
        data = coding.encode_orders([np.array(order, np.int64)])
        assert coding.decode_orders(data, [count])[0].tolist() == list(order)
        assert len(data) <= factorial_bytes(count) + 16
        codes.add(data)
    assert len(codes) == math.factorial(count)


@pytest.mark.parametrize("count", [10, 100, 1000, 2**12, 2**16, 2**16 + 1, 2**17])
@pytest.mark.parametrize("kind", ["random", "as it is", "reversed"])
def test_an_order_takes_the_logarithm_of_how_many_there_are(count, kind):
    order = np.random.default_rng(count).permutation(count) if kind == "random" else np.arange(count)
    order = order[::-1].copy() if kind == "reversed" else order
    data = coding.encode_orders([order])
    assert np.array_equal(coding.decode_orders(data, [count])[0], order)
    assert len(data) <= 1.005 * factorial_bytes(count) + 16


@given(st.lists(st.integers(0, 40).flatmap(lambda n: st.permutations(range(n))), max_size=6))
def test_layers_share_one_code(drawn):
    orders = [np.array(order, np.int64) for order in drawn]
    counts = [len(order) for order in orders]
    data = coding.encode_orders(orders)
    assert [order.tolist() for order in coding.decode_orders(data, counts)] == [list(order) for order in drawn]
    assert len(data) <= 1.005 * sum(map(factorial_bytes, counts)) + 16


def test_in_filter_orders_come_back_at_the_size_of_their_parts():
    torch.manual_seed(0)
    weights = [torch.randn(shape) for shape in [(16, 3, 3, 3), (1, 4, 3, 3), (5, 1, 1, 1), (32, 48, 3, 3)]]
    orders = [in_filter_order(*in_filter_permutation(weight)).numpy() for weight in weights]
    shapes = [(weight.shape[0], weight.shape[1]) for weight in weights]
    data = coding.encode_in_filter_orders(orders, shapes)
    decoded = coding.decode_in_filter_orders(data, shapes)
    assert all(np.array_equal(found, order) for found, order in zip(decoded, orders, strict=True))
    size = sum(factorial_bytes(filters) + filters * factorial_bytes(channels) for filters, channels in shapes)
    assert len(data) <= 1.005 * size + 16 * len(shapes)


@pytest.mark.parametrize("order", [[0, 0], [1, 2], [-1, 0], [0, 2]])
def test_what_is_no_permutation_is_refused(order):
    with pytest.raises(NernError, match="order 0 is no permutation"):
        coding.encode_orders([np.array(order)])


@pytest.mark.parametrize("order", [[0, 2, 1, 3], [0, 1, 2], [0, 0, 2, 3]])
def test_an_order_across_filters_is_no_in_filter_order(order):
    with pytest.raises(NernError):
        coding.encode_in_filter_orders([np.array(order)], [(2, 2)])


def test_other_lengths_damage_and_claims_are_refused():
    order = np.random.default_rng(0).permutation(20)
    data = coding.encode_orders([order])
    cases = [
        (data, [19]),
        (data, [10, 10]),
        (data, [2**50]),
        (data, [-1]),
        (data, [2.0]),
        (data, [2**24] * 10**6),
        (b"", [20]),
    ]
    cases += [(data[:end], [20]) for end in range(len(data))]
    cases += [(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :], [20]) for at in range(len(data))]
    for content, counts in cases:
        with pytest.raises(NernError):
            coding.decode_orders(content, counts)
    for forged in ([2**22], [2**10] * 10_000):
        tracemalloc.start()
        with pytest.raises(NernError):
            coding.decode_orders(seal(b"\0" * 40_000, coding._about(forged)), forged)
        assert tracemalloc.get_traced_memory()[1] < 2**20
        tracemalloc.stop()
    for shapes in [[(2**40, 1)], [(2**20, 2**20)], [(1, 2**50)], [(4, 5)], [(-1, 5)]]:
        with pytest.raises(NernError):
            coding.decode_in_filter_orders(data, shapes)
