"""Seed every generator of random numbers by a hash of (seed, purpose, ...).

Global random generators are never used.
"""

import hashlib

import torch


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """Return a CPU generator that depends only on ``seed`` and on the purpose of the random
    numbers.

    Different purposes give independent random numbers; the same arguments give the same random
    numbers on every machine.
    """
    words = "/".join(str(word) for word in (seed, *purpose))
    digest = hashlib.sha256(words.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
