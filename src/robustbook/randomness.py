"""One rule for every draw: a generator seeded by a hash of (seed, purpose, ...), never a global
one."""

import hashlib

import torch


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A CPU generator that depends on ``seed`` and on what the draw is for, and on nothing else.

    Two purposes give independent streams; the same arguments give the same stream on every machine.
    """
    words = "/".join(str(word) for word in (seed, *purpose))
    digest = hashlib.sha256(words.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
