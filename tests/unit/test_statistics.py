"""Intervals and tests against scipy, closed forms and brute enumeration."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nern.report import statistics
from nern.report.statistics import holds, interval_over_images, mean_confidence_interval, paired_comparison

VALUES = st.floats(-100, 100, allow_subnormal=False).map(lambda x: round(x, 3))


@settings(deadline=None)
@given(st.lists(VALUES, min_size=2, max_size=12), st.floats(0.5, 0.999))
def test_interval_is_scipys(values: list[float], confidence: float) -> None:
    mean, half_width = mean_confidence_interval(values, confidence)
    scale = stats.sem(values)
    assert mean == pytest.approx(np.mean(values), abs=1e-9)
    if scale > 1e-9:
        low, high = stats.t.interval(confidence, len(values) - 1, loc=np.mean(values), scale=scale)
        assert (mean - half_width, mean + half_width) == pytest.approx((low, high), rel=1e-9, abs=1e-9)
    else:
        assert half_width == pytest.approx(0, abs=1e-6)


def test_interval_of_four_is_159_percent_of_s() -> None:
    """s of 1, 2, 3, 4 is √(5/3); the 97.5 % quantile of t with 3 degrees of freedom is 3.1824."""
    mean, half_width = mean_confidence_interval([1, 2, 3, 4])
    assert mean == 2.5
    assert half_width == pytest.approx(3.18244630528 / 2 * math.sqrt(5 / 3), rel=1e-9)
    assert half_width / math.sqrt(5 / 3) == pytest.approx(1.59, abs=0.005)


def test_one_value_has_no_interval_and_none_no_mean() -> None:
    mean, half_width = mean_confidence_interval([91.5])
    assert mean == 91.5
    assert math.isnan(half_width)
    assert all(map(math.isnan, mean_confidence_interval([])))


def test_an_interval_holds_its_ends_and_none_holds_nothing() -> None:
    mean, half_width = mean_confidence_interval([92.47999999999999] * 2)
    assert half_width == 0 and holds(mean, half_width, 92.48) and not holds(mean, half_width, 92.49)
    assert holds(1.0, 0.25, 1.25) and holds(1.0, 0.25, 0.75) and not holds(1.0, 0.25, 1.2500001)
    assert not holds(1.0, math.nan, 1.0) and not holds(math.nan, math.nan, 1.0)


@pytest.mark.parametrize("values", [[1.0, math.nan], [math.inf, 2.0]])
def test_values_that_are_not_finite_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="not finite"):
        mean_confidence_interval(values)
    with pytest.raises(ValueError, match="not finite"):
        paired_comparison(values, [0.0, 0.0])


@pytest.mark.parametrize("confidence", [0, 1, -0.5, 95])
def test_confidence_is_a_probability(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        mean_confidence_interval([1, 2], confidence)


@settings(deadline=None)
@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=9))
def test_sign_flip_is_brute_enumeration(pairs: list[tuple[float, float]]) -> None:
    first, second = [list(side) for side in zip(*pairs, strict=True)]
    # whole thousandths, so that equal sums are equal
    differences = [round(1000 * a) - round(1000 * b) for a, b in pairs]
    sums = [sum(s * d for s, d in zip(signs, differences, strict=True)) for signs in _signs(len(pairs))]
    expected = sum(abs(value) >= abs(sum(differences)) for value in sums) / len(sums)
    result = paired_comparison(first, second)
    assert result.exact
    assert result.n == len(pairs)
    assert result.p_value == pytest.approx(expected)
    assert result.mean_difference == pytest.approx(sum(differences) / 1000 / len(pairs), abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(VALUES, VALUES), min_size=2, max_size=8))
def test_sign_flip_is_scipys(pairs: list[tuple[float, float]]) -> None:
    # whole thousandths, so that equal sums are equal there, too
    differences = np.array([round(1000 * a) - round(1000 * b) for a, b in pairs], dtype=float)
    theirs = stats.permutation_test(
        (differences,), np.sum, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    )
    first, second = [list(side) for side in zip(*pairs, strict=True)]
    # scipy doubles the smaller tail, which holds a sum of 0 twice
    assert paired_comparison(first, second).p_value == pytest.approx(min(theirs.pvalue, 1))


def _signs(n: int) -> list[tuple[int, ...]]:
    return list(itertools.product((1, -1), repeat=n))


def test_four_pairs_cannot_go_below_an_eighth() -> None:
    result = paired_comparison([2, 3, 4, 6], [1, 1, 1, 1])
    assert result.p_value == 0.125
    assert result.mean_difference == 2.75
    assert result.effect_size == pytest.approx(2.75 / math.sqrt((1.75**2 + 0.75**2 + 0.25**2 + 2.25**2) / 3))


def test_drawn_patterns_come_near_the_exact_value(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(0.4, 1, 16), random.normal(0, 1, 16)
    exact = paired_comparison(first.tolist(), second.tolist())
    monkeypatch.setattr(statistics, "EXACT_UP_TO", 4)
    drawn = paired_comparison(first.tolist(), second.tolist())
    assert exact.exact and not drawn.exact
    assert drawn.p_value == pytest.approx(exact.p_value, abs=0.01)
    assert drawn == paired_comparison(first.tolist(), second.tolist()), "the same seed draws the same signs"
    assert drawn.p_value != paired_comparison(first.tolist(), second.tolist(), seed=1).p_value


def test_equal_differences_have_no_effect_size() -> None:
    assert math.isnan(paired_comparison([0.3, 0.4, 0.5], [0.2, 0.3, 0.4]).effect_size)
    assert math.isnan(paired_comparison([1.0], [0.5]).effect_size)
    nothing = paired_comparison([], [])
    assert nothing.n == 0 and math.isnan(nothing.p_value)


def test_pairs_must_be_pairs() -> None:
    with pytest.raises(ValueError, match="pairs"):
        paired_comparison([1, 2, 3], [1, 2])


@settings(deadline=None)
@given(st.integers(0, 400), st.integers(0, 400))
def test_interval_over_images_nears_scipys_paired_one_on_many_images(won: int, lost: int) -> None:
    differences = np.concatenate([np.ones(won), -np.ones(lost), np.zeros(10_000 - won - lost)])
    difference, half_width = interval_over_images(won - lost, won + lost, 10_000)
    assert difference == pytest.approx(100 * differences.mean())
    scale = math.sqrt(differences.var() / 10_000 + 1 / 10_000**2)  # one image more in a pair that differs
    assert half_width == pytest.approx(100 * stats.norm.ppf(0.975) * scale, rel=2e-3)


@pytest.mark.parametrize(("images", "rate"), [(50, 0.1), (200, 0.02), (509, 0.04)])
def test_interval_over_images_holds_its_level(images: int, rate: float) -> None:
    """Of intervals around draws from a known difference of 0 nineteen in twenty hold it; a binomial count of them."""
    random = np.random.default_rng(0)
    won, lost = (random.binomial(images, rate / 2, 4000) for _ in range(2))
    held = 0
    for gained, missed in zip(won.tolist(), lost.tolist(), strict=True):
        _, half_width = interval_over_images(gained - missed, gained + missed, images)
        center = 100 * (gained - missed) / (images + 2)
        held += abs(center) <= half_width
    assert stats.binomtest(held, 4000, 0.95, alternative="less").pvalue > 1e-3


def test_equal_networks_have_an_interval_over_images() -> None:
    """√(1 / 511²) · 1.96: half a thousand images cannot show that two networks are equal."""
    assert interval_over_images(0, 0, 509) == (0, pytest.approx(100 * 1.959964 / 511))
