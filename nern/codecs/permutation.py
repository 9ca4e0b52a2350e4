"""Permutations in nearly log2(n!) bits, exactly.

A permutation of n is n − 1 draws (Fisher and Yates). Position i runs down from n − 1 to 1; at each, the entry is
swapped with that of a position j_i ≤ i. All i + 1 values of j_i are equally likely: a range coder takes log2(i + 1)
bits for one, and log2(n!) for all. An in-filter order is a permutation of the filters and one of the channels of each:
log2(F!) + F · log2(C!) bits.
"""

import math

import numpy as np
from numpy.typing import NDArray

from nern.codecs.range_coding import SIZES, Integers, RangeDecoder, RangeEncoder
from nern.codecs.streams import seal, unseal
from nern.errors import NernError


def encode_orders(orders: list[NDArray[np.int64]]) -> bytes:
    """The bytes of permutations, each of 0 … n − 1 for an n of its own, up to 2^24.

    Raises:
        NernError: one is no permutation, or longer.
    """
    encoder = RangeEncoder()
    for number, order in enumerate(orders):
        if not np.array_equal(np.sort(order), np.arange(len(order))):
            raise NernError(f"order {number} is no permutation of its {len(order):,} entries; make it again")
        if len(order) > SIZES:
            raise NernError(f"order {number} has {len(order):,} entries; at most {SIZES:,} can be coded")
        encoder.uniform(_draws(order), _alphabets(len(order)))
    return seal(encoder.content(), _about([len(order) for order in orders]))


def decode_orders(data: bytes, counts: list[int]) -> list[Integers]:
    """The permutations that `encode_orders` was given, of these lengths.

    Raises:
        NernError: the data is damaged, or of other lengths.
    """
    _check_claim(data, sum(map(_bits, counts)))
    reader = unseal(data, _about(counts))
    decoder = RangeDecoder(reader.rest())
    orders = [_permutation(decoder.uniform(_alphabets(count)), count) for count in counts]
    decoder.end()
    return orders


def encode_in_filter_orders(orders: list[NDArray[np.int64]], shapes: list[tuple[int, int]]) -> bytes:
    """The bytes of in-filter orders [F·C] of layers (F, C), as `nern.method.permutation.in_filter_order` makes them.

    Raises:
        NernError: an order does not keep its filters together, or as `encode_orders`.
    """
    parts: list[NDArray[np.int64]] = []
    for order, (filters, channels) in zip(orders, shapes, strict=True):
        if len(order) != filters * channels or not np.array_equal(order, _joined(_parts(order, filters, channels))):
            raise NernError("an in-filter order must keep the kernels of each filter together; make it again")
        parts += _parts(order, filters, channels)
    return encode_orders(parts)


def decode_in_filter_orders(data: bytes, shapes: list[tuple[int, int]]) -> list[Integers]:
    """The orders that `encode_in_filter_orders` was given, of layers (F, C); NernError as `decode_orders`."""
    _check_claim(data, sum(_bits(filters) + filters * _bits(channels) for filters, channels in shapes))
    parts = iter(decode_orders(data, [n for filters, channels in shapes for n in (filters, *[channels] * filters)]))
    return [_joined([next(parts) for _ in range(1 + filters)]) for filters, _ in shapes]


def _bits(count: int) -> float:
    """log2(n!)."""
    if type(count) is not int or not 0 <= count <= SIZES:
        raise NernError(f"no order of {count} entries can be coded; write the coded orders again")
    return math.lgamma(count + 1) / math.log(2)


def _check_claim(data: bytes, bits: float) -> None:
    if bits > 4 * 8 * len(data):  # a draw of the last position is cheaper than others, at most by half its bits
        raise NernError(f"{len(data):,} bytes cannot hold orders of {bits:,.0f} bits; write the coded orders again")


def _about(counts: list[int]) -> str:
    return f"orders {counts}"


def _alphabets(count: int) -> Integers:
    """Sizes of the alphabets of the draws, from the last position to the second."""
    return np.arange(count, 1, -1)


def _draws(order: NDArray[np.int64]) -> Integers:
    """The draws [n − 1] whose swaps turn 0 … n − 1 into a permutation, from the last position to the second."""
    entries = list(range(len(order)))
    places = list(range(len(order)))  # where each entry is
    draws = []
    for position, entry in zip(range(len(order) - 1, 0, -1), order[:0:-1].tolist(), strict=True):
        place, moved = places[entry], entries[position]
        draws.append(place)
        entries[place], places[moved] = moved, place
    return np.array(draws, np.int64)


def _permutation(draws: Integers, count: int) -> Integers:
    entries = list(range(count))
    for position, place in zip(range(len(draws), 0, -1), draws.tolist(), strict=True):
        entries[position], entries[place] = entries[place], entries[position]
    return np.array(entries, np.int64)


def _parts(order: NDArray[np.int64], filters: int, channels: int) -> list[NDArray[np.int64]]:
    """The filter at each place, and of each filter, in that order, the channel at each place."""
    grid = order.reshape(filters, channels)
    return [grid[:, 0] // channels, *(grid % channels)]


def _joined(parts: list[NDArray[np.int64]]) -> Integers:
    filters, *channels = parts
    placed = [filter_ * len(order) + order for filter_, order in zip(filters, channels, strict=True)]
    return np.concatenate([np.zeros(0, np.int64), *placed])
