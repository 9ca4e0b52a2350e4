"""Named random streams: SHA-256 over (seed, purpose, step). Nothing in the project draws from a global generator.

A draw depends on nothing but its name, so a run that was killed draws at step k what an undisturbed run draws there.
"""

import hashlib

import torch


def derive(seed: int, purpose: str, step: int = 0) -> int:
    """A 63-bit seed for one purpose at one step; the same on every machine and in every process."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{step}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, purpose: str, step: int = 0, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator on `device` that is seeded by name."""
    return torch.Generator(device).manual_seed(derive(seed, purpose, step))
