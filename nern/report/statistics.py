"""The statistics of all tables: intervals over seeds and over test images, and methods compared, paired by seed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from nern.seeding import derive

EXACT_UP_TO = 20
"""Pairs up to which all 2^n sign patterns are counted (2^20 sums: 8 MB and some milliseconds)."""
DRAWS = 100_000
"""Sign patterns drawn beyond that: the standard error of a p of 0.05 is then 0.0007."""
ROUNDING = 1e-9
"""Two numbers that differ by less, relative to their size (sums: to the sum of the absolute terms), count as equal."""


def mean_confidence_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """The mean of n independent values and the half-width of its confidence interval.

    Estimator: Student's t with n - 1 degrees of freedom, t · s / √n, where s is the sample standard deviation
    (divisor n - 1). It assumes that the values are about normally distributed. With n = 4 and 95 % it is 1.59 · s.

    Args:
        values: n numbers, one a seed.
        confidence: of the two-sided interval, between 0 and 1.

    Returns:
        Mean and half-width, in the unit of the values. n = 1 has no interval: its half-width is NaN. n = 0: both NaN.

    Raises:
        ValueError: a value is not finite, or the confidence is no probability.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    sample = np.asarray(values, dtype=np.float64)
    if not np.isfinite(sample).all():
        raise ValueError("a mean of values that are not finite was asked for")
    n = len(sample)
    if n == 0:
        return math.nan, math.nan
    if n == 1:
        return float(sample[0]), math.nan
    quantile = float(stats.t.ppf((1 + confidence) / 2, df=n - 1))
    return float(sample.mean()), quantile * float(sample.std(ddof=1)) / math.sqrt(n)


def holds(mean: float, half_width: float, value: float) -> bool:
    """Whether an interval holds a value, its ends included, whatever the mean's rounding; none (NaN) holds nothing."""
    return abs(mean - value) <= half_width + ROUNDING * abs(value)


def interval_over_images(total: float, squares: float, images: int, confidence: float = 0.95) -> tuple[float, float]:
    """The difference of two networks' accuracies on the same images, and the half-width of its interval, in points.

    Each image has a difference of hits: +1 won, −1 lost, 0 the same; averaged over seeds, anything in between. Wald's
    interval for paired proportions with one image more won or lost and one more the same, shared out evenly (Agresti
    and Min 2005): it holds its level on few images, and two networks that never differ still have an interval. It says
    what other images of the same kind would have shown, where the interval over seeds says what other fits would.

    Args:
        total: the sum of the differences: won − lost.
        squares: the sum of their squares: won + lost.
        images: how many there are, at least 1.
        confidence: of the two-sided interval, between 0 and 1.

    Returns:
        The difference itself, 100·total/images, and the half-width of the interval, whose center is a little nearer 0.
    """
    count = images + 2
    variance = (squares + 1 - total**2 / count) / count**2
    quantile = float(stats.norm.ppf((1 + confidence) / 2))
    return 100 * total / images, 100 * quantile * math.sqrt(variance)


@dataclass(frozen=True)
class PairedComparison:
    """What the differences of n pairs say."""

    n: int
    mean_difference: float
    effect_size: float
    """Cohen's d_z: mean of the differences over their sample standard deviation; NaN if that is 0 or n < 2."""
    p_value: float
    exact: bool
    """Whether all 2^n sign patterns were counted, or DRAWS of them drawn."""


def paired_comparison(first: Sequence[float], second: Sequence[float], *, seed: int = 0) -> PairedComparison:
    """Compare `first` to `second`, pair by pair, with a two-sided sign-flip permutation test of the mean difference.

    Assumptions: the pairs are independent, and if the two methods are equally good, each difference is as likely to
    have one sign as the other. Nothing is assumed about the shape of the distribution. With n pairs p cannot be
    smaller than 2 / 2^n (0.125 for 4), so pairs are pooled over cells.

    Args:
        first: n numbers; entry i shares everything but the method with entry i of `second`.
        second: n numbers.
        seed: of the drawn sign patterns, where there are more than 2^EXACT_UP_TO.

    Raises:
        ValueError: the lengths differ, or a value is not finite.
    """
    if len(first) != len(second):
        raise ValueError(f"pairs are needed: {len(first)} values against {len(second)}")
    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    if not np.isfinite(differences).all():
        raise ValueError("a comparison of values that are not finite was asked for")
    n = len(differences)
    if n == 0:
        return PairedComparison(0, math.nan, math.nan, math.nan, True)
    mean = float(differences.mean())
    spread = float(differences.std(ddof=1)) if n > 1 else 0.0
    # equal differences have a spread of rounding errors only
    effect = mean / spread if spread > ROUNDING * float(np.abs(differences).max()) else math.nan
    exact = n <= EXACT_UP_TO
    p_value = _all_patterns(differences) if exact else _drawn_patterns(differences, seed)
    return PairedComparison(n, mean, effect, p_value, exact)


def _as_extreme(sums: npt.NDArray[np.float64], differences: npt.NDArray[np.float64]) -> int:
    """How many sums are at least as far from 0 as the observed one."""
    threshold = abs(differences.sum()) - ROUNDING * np.abs(differences).sum()
    return int((np.abs(sums) >= threshold).sum())


def _all_patterns(differences: npt.NDArray[np.float64]) -> float:
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    return _as_extreme(sums, differences) / len(sums)


def _drawn_patterns(differences: npt.NDArray[np.float64], seed: int) -> float:
    """The observed pattern counts as one of the drawn ones, so that p is never 0 (Phipson and Smyth 2010)."""
    random = np.random.default_rng(derive(seed, "sign-flip"))
    extreme = 0
    for _ in range(100):
        signs = random.integers(0, 2, (DRAWS // 100, len(differences))) * 2 - 1
        extreme += _as_extreme(signs @ differences, differences)
    return (1 + extreme) / (1 + DRAWS)
