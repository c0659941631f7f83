"""Make random generators, each seeded by a hash of (seed, purpose, ...).

The global random generators of torch and numpy are never used.
"""

import hashlib

import torch


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """Return a random generator on the CPU that depends only on ``seed`` and the purpose of the
    numbers.

    Generators for different purposes give independent random numbers. The same arguments give the
    same random numbers on every machine.
    """
    words = "/".join(str(word) for word in (seed, *purpose))
    digest = hashlib.sha256(words.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
