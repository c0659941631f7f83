"""One rule for every random draw: a generator seeded by a hash of (seed, purpose, ...).

A global generator is never used.
"""

import hashlib

import torch


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """Return a CPU generator that depends only on ``seed`` and on the purpose of the draw.

    Two purposes give independent streams; the same arguments give the same stream on every machine.
    """
    words = "/".join(str(word) for word in (seed, *purpose))
    digest = hashlib.sha256(words.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
