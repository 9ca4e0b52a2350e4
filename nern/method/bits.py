"""Integers of as many bits as they need, eight flags a byte: how files of the format `nern 1` hold a permutation."""

import math

import torch
from torch import Tensor

_POWERS = [1, 2, 4, 8, 16, 32, 64, 128]


def pack_flags(flags: Tensor) -> Tensor:
    """[ceil(n / 8)] uint8 of the flags [n], the last byte filled up with zeros."""
    padded = torch.cat([flags, flags.new_zeros(-len(flags) % 8)]).view(-1, 8)
    return (padded * torch.tensor(_POWERS)).sum(dim=1).to(torch.uint8)


def unpack_flags(packed: Tensor) -> Tensor:
    """The flags [8·n] of the bytes [n]."""
    return (packed.unsqueeze(1).bitwise_and(torch.tensor(_POWERS, dtype=torch.uint8)) != 0).flatten()


def width(count: int) -> int:
    """Bits that an integer from 0 to count − 1 needs: log2(count), rounded up."""
    return math.ceil(math.log2(count))


def pack_integers(values: Tensor, count: int) -> Tensor:
    """uint8 of integers [n] from 0 to count − 1, each in `width(count)` bits."""
    shifts = torch.arange(width(count))
    return pack_flags((values.unsqueeze(1) >> shifts).bitwise_and(1).bool().flatten())


def unpack_integers(packed: Tensor, count: int, length: int) -> Tensor:
    """The `length` integers that `pack_integers` was given."""
    bits = width(count)
    flags = unpack_flags(packed)[: length * bits].view(length, bits)
    return (flags.long() << torch.arange(bits)).sum(dim=1)
