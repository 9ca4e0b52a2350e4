"""Integers in about as many bits as they hold information: a range coder, and models that are in the bytes.

The coder is the package constriction's, whose models are exact in integers of 24 bits: the same on every machine.
A sequence of integers comes with its own histogram, which is what makes the code as short as their empirical entropy.
The histogram holds the square root of each count, rounded: with a rounding error uniform in ±1/2 that costs
1/(6 ln 2) = 0.24 bits a level, at any count. Neighbors in a histogram are alike, so the differences of the roots are
coded, by a Cauchy law: most are near zero, but a level that stands out must not cost much either.
"""

import math
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nern.errors import NernError

Integers = NDArray[np.int64]

DIRECT = 2**16
"""Alphabets up to this size are coded in one piece; above, where 24 bits are coarse, in two: quotient and remainder."""
REMAINDERS = 2**8
SIZES = 2**24
"""No uniform alphabet is larger."""
LEVELS = 2**20
"""No sequence has a wider range than this: a histogram must be small enough to be held."""
WIDTHS = 2.0 ** np.arange(-8, 7)
"""Of the Cauchy law of the roots' differences; which one is coded with the histogram."""


class RangeEncoder:
    """Appends integers to one stream of bytes."""

    def __init__(self) -> None:
        self._package = _constriction()
        self._coder = self._package.stream.queue.RangeEncoder()

    def uniform(self, values: NDArray[Any], sizes: NDArray[Any]) -> None:
        """Append values [n], each any integer from 0 to its size − 1 with equal probability: log2(size) bits."""
        small = sizes <= DIRECT
        self._direct(values[small], sizes[small])
        large, wide = values[~small], sizes[~small]
        self._direct(large // REMAINDERS, -(-wide // REMAINDERS))
        self._direct(large % REMAINDERS, np.full(len(large), REMAINDERS))

    def integers(self, values: NDArray[Any]) -> None:
        """Append integers [n] of any sign; n is not stored.

        Raises:
            NernError: their range is wider than `LEVELS`.
        """
        if len(values) == 0:
            return
        lowest = int(values.min())
        above = values.astype(np.int64) - lowest
        levels = int(above.max()) + 1
        if levels > LEVELS or abs(lowest) >= SIZES // 2:
            raise NernError(f"{levels:,} levels are too many to be coded; choose a coarser codec")
        counts = np.bincount(above)
        roots = np.maximum(np.rint(np.sqrt(counts)), counts > 0).astype(np.int64)
        largest = _largest_root(len(values))
        differences = np.diff(roots, prepend=0) + largest
        width = _cheapest_width(counts, roots, differences, largest)
        self.uniform(*_fields(lowest + SIZES // 2, levels - 1, width))
        if width == 0:
            self.uniform(above, np.full(len(above), levels))
        else:
            self._modelled(differences, _cauchy(width, largest))
            self._modelled(above, _histogram(roots))

    def content(self) -> bytes:
        """The bytes of all that was appended."""
        words: bytes = self._coder.get_compressed().astype("<u4").tobytes()
        return words

    def _direct(self, values: NDArray[Any], sizes: NDArray[Any]) -> None:
        chosen = sizes > 1  # a size of one leaves nothing to say
        family = self._package.stream.model.Uniform()
        self._coder.encode(values[chosen].astype(np.int32), family, sizes[chosen].astype(np.int32))

    def _modelled(self, symbols: Integers, weights: NDArray[np.float64]) -> None:
        if len(weights) > 1:
            model = self._package.stream.model.Categorical(weights, perfect=False)
            self._coder.encode(symbols.astype(np.int32), model)


class RangeDecoder:
    """Reads integers in the order in which a `RangeEncoder` appended them. All methods raise NernError on bad data."""

    def __init__(self, data: bytes) -> None:
        self._package = _constriction()
        if len(data) % 4:
            raise _damaged()
        self._coder = self._package.stream.queue.RangeDecoder(np.frombuffer(data, "<u4").astype(np.uint32))

    def uniform(self, sizes: NDArray[Any]) -> Integers:
        """The values that were appended with these sizes."""
        small = sizes <= DIRECT
        values = np.empty(len(sizes), np.int64)
        values[small] = self._direct(sizes[small])
        quotients = self._direct(-(-sizes[~small] // REMAINDERS))
        values[~small] = quotients * REMAINDERS + self._direct(np.full(len(quotients), REMAINDERS))
        if (values >= sizes).any():
            raise _damaged()
        return values

    def integers(self, count: int) -> Integers:
        """The `count` integers that were appended together."""
        if count == 0:
            return np.zeros(0, np.int64)
        shifted, above, width = self.uniform(_fields(0, 0, 0)[1]).tolist()
        lowest, levels = shifted - SIZES // 2, above + 1
        if width == 0:
            values = self.uniform(np.full(count, levels))
        else:
            largest = _largest_root(count)
            roots = np.cumsum(self._modelled(levels, _cauchy(width, largest)) - largest)
            if roots.min() < 0 or roots.max() == 0:
                raise _damaged()
            values = self._modelled(count, _histogram(roots))
        return np.asarray(values + lowest)

    def end(self) -> None:
        """Refuse data of which something is left."""
        if not self._coder.maybe_exhausted():
            raise _damaged()

    def _direct(self, sizes: NDArray[Any]) -> Integers:
        values, chosen = np.zeros(len(sizes), np.int64), sizes > 1
        family = self._package.stream.model.Uniform()
        values[chosen] = self._checked(family, sizes[chosen].astype(np.int32))
        return values

    def _modelled(self, count: int, weights: NDArray[np.float64]) -> Integers:
        if len(weights) == 1:
            return np.zeros(count, np.int64)
        return self._checked(self._package.stream.model.Categorical(weights, perfect=False), count)

    def _checked(self, *arguments: Any) -> Integers:
        try:
            return np.asarray(self._coder.decode(*arguments), np.int64)
        except AssertionError:  # what constriction raises when no symbol fits
            raise _damaged() from None


def _constriction() -> ModuleType:
    try:
        import constriction
    except ImportError:
        raise NernError("this codec needs the package constriction; install it: pip install constriction") from None
    module: ModuleType = constriction
    return module


def _damaged() -> NernError:
    return NernError("range-coded data is damaged; write it again")


def _fields(*values: int) -> tuple[Integers, Integers]:
    """Lowest integer, levels and width of a sequence, and the number of values that each can have."""
    return np.array(values), np.array([SIZES, LEVELS, len(WIDTHS) + 1])


def _largest_root(count: int) -> int:
    return math.isqrt(count) + 1


def _histogram(roots: Integers) -> NDArray[np.float64]:
    return np.square(roots.astype(np.float64))


def _cauchy(width: int, largest: int) -> NDArray[np.float64]:
    """Weights of the differences −largest … largest; `width` counts from 1."""
    ratios = np.arange(-largest, largest + 1) / WIDTHS[width - 1]
    return np.asarray(1 / (1 + ratios * ratios))


def _cheapest_width(counts: Integers, roots: Integers, differences: Integers, largest: int) -> int:
    """The width with which histogram and integers take least, from 1; 0 if that is more than a uniform law takes."""
    laws = [_cauchy(width, largest) for width in range(1, len(WIDTHS) + 1)]
    tables = [float(-np.log2(law[differences] / law.sum()).sum()) for law in laws]
    best = int(np.argmin(tables))
    used, weights = counts > 0, _histogram(roots)
    coded = float(-(counts[used] * np.log2(weights[used] / weights.sum())).sum())
    return best + 1 if tables[best] + coded < counts.sum() * math.log2(len(counts)) else 0
