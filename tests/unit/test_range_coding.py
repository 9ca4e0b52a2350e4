"""The range coder there and back, and its size against the empirical entropy and log2 of alphabets."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nern.codecs.entropy import EntropyCoded
from nern.codecs.range_coding import LEVELS, RangeDecoder, RangeEncoder
from nern.errors import NernError


def entropy_bytes(values):
    """n times the entropy of the relative frequencies, in bytes."""
    counts = np.unique(values, return_counts=True)[1]
    return -float((counts * np.log2(counts / counts.sum())).sum()) / 8


def coded(*sequences):
    encoder = RangeEncoder()
    for sequence in sequences:
        encoder.integers(np.asarray(sequence))
    return encoder.content()


@given(st.lists(st.lists(st.integers(-(2**19), 2**19 - 1), max_size=30), max_size=4))
def test_integers_come_back(sequences):
    decoder = RangeDecoder(coded(*(np.array(sequence, np.int64) for sequence in sequences)))
    assert [decoder.integers(len(sequence)).tolist() for sequence in sequences] == sequences
    decoder.end()


@given(st.lists(st.integers(1, 2**24).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))), max_size=50))
def test_uniform_values_come_back(drawn):
    values = np.array([value for value, _ in drawn], np.int64)
    sizes = np.array([size for _, size in drawn], np.int64)
    encoder = RangeEncoder()
    encoder.uniform(values, sizes)
    decoder = RangeDecoder(encoder.content())
    assert np.array_equal(decoder.uniform(sizes), values)
    decoder.end()
    assert len(encoder.content()) <= sum(math.log2(size) * 1.001 for _, size in drawn) / 8 + 8


@pytest.mark.parametrize("size", [3, 40_000, 2**16, 2**16 + 1, 12_000_000, 2**24])
def test_uniform_values_take_the_logarithm_of_their_alphabet(size):
    values, sizes = np.random.default_rng(0).integers(0, size, 4096), np.full(4096, size)
    encoder = RangeEncoder()
    encoder.uniform(values, sizes)
    assert len(encoder.content()) <= 1.002 * 4096 * math.log2(size) / 8 + 8


def test_integers_of_a_wide_range_take_no_histogram():
    values = np.random.default_rng(0).permutation(2**18)[:300]
    assert len(coded(values)) <= 300 * 18 / 8 + 16


SAMPLES = {
    "Gaussian": lambda draw, n: np.rint(draw.standard_normal(n) * 4),
    "wide Gaussian": lambda draw, n: np.rint(draw.standard_normal(n) * 20),
    "heavy tails": lambda draw, n: np.rint(draw.standard_t(2, n) * 3),
    "Laplace": lambda draw, n: np.rint(draw.laplace(size=n) * 0.4),
    "uniform": lambda draw, n: draw.integers(-16, 16, n),
    "every second level": lambda draw, n: 2 * draw.integers(-8, 8, n),
    "nearly all zeros": lambda draw, n: draw.random(n) < 0.01,
    "one value": lambda draw, n: np.full(n, 7),
    "one far away": lambda draw, n: np.concatenate([[3000], np.zeros(n - 1)]),
    "unordered frequencies": lambda draw, n: draw.choice(64, n, p=draw.dirichlet(np.full(64, 0.3))),
}


@pytest.mark.parametrize("count", [1, 30, 432, 5_000, 200_000])
@pytest.mark.parametrize("kind", SAMPLES)
def test_integers_take_their_empirical_entropy(kind, count):
    values = SAMPLES[kind](np.random.default_rng(count), count).astype(np.int64)
    data = coded(values)
    assert np.array_equal(RangeDecoder(data).integers(count), values)
    assert len(data) <= 1.01 * entropy_bytes(values) + 64


def test_integers_are_coded_as_briefly_as_by_their_own_frequencies():
    # brute force: −Σ log2 p over the sequence, with p the frequencies that the decoder will have
    values = np.random.default_rng(0).integers(0, 4, 10_000) * np.random.default_rng(1).integers(0, 2, 10_000)
    counts = [sum(int(v) == level for v in values) for level in range(4)]
    roots = [round(math.sqrt(count)) for count in counts]
    bits = -sum(math.log2(roots[v] ** 2 / sum(r * r for r in roots)) for v in values.tolist())
    assert bits / 8 <= len(coded(values)) <= bits / 8 + 24


@pytest.mark.parametrize("step", [0.05, 0.25, 1.0, 3.0])
@pytest.mark.parametrize("law", ["standard_normal", "laplace", "cauchy", "uniform"])
def test_an_entropy_coded_matrix_takes_the_empirical_entropy_of_its_integers(step, law):
    generator = np.random.default_rng(0)
    draw = getattr(generator, law.replace("cauchy", "standard_cauchy"))
    shapes = [(16, 3, 3, 3), (32, 16, 3, 3), (64, 64, 3, 3), (10, 64)]
    matrices = {str(n): np.clip(draw(size=shape), -100, 100).astype(np.float32) for n, shape in enumerate(shapes)}
    codec = EntropyCoded(kind="entropy-coded", step=step)
    entropy = sum(entropy_bytes(codec.integers(m, codec.scales(m))) for m in matrices.values())
    assert len(codec.encode(matrices)) <= 1.01 * entropy + 64 * len(matrices)


def test_a_range_that_is_too_wide_is_refused():
    with pytest.raises(NernError, match="choose a coarser codec"):
        coded([0, LEVELS])


@given(st.binary(max_size=64), st.integers(0, 2000))
def test_bytes_that_nobody_coded_are_refused_or_are_integers(data, count):
    try:
        assert len(RangeDecoder(data).integers(count)) == count
    except NernError as error:
        assert "write it again" in str(error)
