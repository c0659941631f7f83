"""Make a separate random generator for each purpose of an experiment, such as initial weights.

The seed of each generator is a hash of the experiment's seed and the purpose. Numpy's global random
generator is not used. Torch's is used in training steps, which the training loop seeds one by one,
and by randomised models that are called without the number of a draw.
"""

import hashlib

import torch


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """Return a random generator on the CPU that depends only on ``seed`` and on what its random
    numbers are used for (``purpose``).

    Generators for different purposes give independent random numbers. The same arguments give the
    same random numbers on every machine. In the purpose, the number 3 and the word "3" count as
    equal. Raises ValueError for a word with a slash, because the words are joined by slashes.
    """
    for word in purpose:
        if "/" in str(word):
            raise ValueError(f"purpose must be words without a slash, got {word!r}")
    words = "/".join(str(word) for word in (seed, *purpose))
    digest = hashlib.sha256(words.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
