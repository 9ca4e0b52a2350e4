"""Bits by hand, and there and back."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nern.method import bits


def test_flags_by_hand():
    # 1 + 4 = 5; one flag in the second byte
    assert bits.pack_flags(torch.tensor([1, 0, 1, 0, 0, 0, 0, 0, 1]).bool()).tolist() == [5, 1]


def test_integers_by_hand():
    # three bits each, lowest first: 110 101 000 → 1·1 + 1·2 + 1·8 + 1·32 = 43, and one more bit, 0
    assert bits.pack_integers(torch.tensor([3, 5, 0]), 8).tolist() == [43, 0]


@pytest.mark.parametrize(("count", "width"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (262_144, 18), (262_145, 19)])
def test_widths(count, width):
    assert bits.width(count) == width


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n - 1), max_size=50))))
def test_integers_come_back_in_the_fewest_whole_bytes(drawn):
    count, values = drawn
    packed = bits.pack_integers(torch.tensor(values, dtype=torch.int64), count)
    assert len(packed) == math.ceil(len(values) * bits.width(count) / 8)
    assert bits.unpack_integers(packed, count, len(values)).tolist() == values
