"""Draw normal random numbers fast. The numbers for an image depend on its key and on the draw
number of the noise, not on the other images of the batch.

Each row of numbers is a separate sequence of 64-bit words from splitmix64 (Steele, Lea and Flood
2014), a mixing function of a counter. Each sequence starts at a hash of (seed, key, draw number),
so the numbers of a row do not depend on the other rows.

Each word consists of four groups of 16 bits, each of which selects one of 65,536 equally likely
values. The values are the means of the normal distribution over 65,536 intervals of equal
probability, scaled to variance 1. The error of the distribution function is below 1.6e-5, the error
of the fourth moment is 0.006 %, and no number exceeds 4.4 in absolute value.

A CPU and a GPU use the same integers and the same table, so both draw the same numbers. On one CPU
core, drawing a number takes about 1.5 ns, compared with 4.3 ns for `torch.randn` in float32, 9 ns
in bfloat16, and 10 ns for one numpy generator per row.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import SupportsIndex

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from robustbook.attacks.noise import mix, starts

_GAMMA = 0x9E3779B97F4A7C15
_MIXES = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))
_UNSIGNED = tuple((np.uint64(shift), np.uint64(factor)) for shift, factor in _MIXES)
_BLOCK = 32_768
"""The number of 64-bit words that are computed at a time on a CPU, so that they fit into its
level-2 cache.
"""


@dataclass
class Stream:
    """One sequence of normal numbers for each row, with the current position.

    ``starts``: the initial state of the random sequence of each row, see `streams`.
    ``position``: how many 64-bit words of each sequence have been used.
    """

    starts: Int[Tensor, " n"]
    position: int = 0

    def normal(self, count: int, dtype: torch.dtype) -> Float[Tensor, "n {count}"]:
        """Return the next ``count`` standard normal numbers of each row, rounded to ``dtype``."""
        words = -(-count // 4)
        if self.starts.is_cuda:
            found = on_gpu(self.starts, self.position, words, dtype)
        else:
            found = _on_cpu(self.starts, self.position, words, dtype)
        self.position += words
        return found[:, :count]


def streams(seed: int, keys: Int[Tensor, " n"], draw: SupportsIndex | Int[Tensor, " n"]) -> Stream:
    """Return a sequence of numbers for each row. The seed, the key and the draw number determine
    the sequence, which is the same on every device.
    """
    return Stream(starts(seed, keys, draw))


def fresh(rows: int) -> Stream:
    """Return new sequences for ``rows`` rows, with a seed drawn from torch's global generator."""
    return streams(int(torch.randint(2**63 - 1, ())), torch.arange(rows), 0)


def _on_cpu(starts: Tensor, position: int, words: int, dtype: torch.dtype) -> Float[Tensor, "n m"]:
    """Return normal numbers computed by numpy on a CPU. Unsigned integers are twice as fast in
    numpy as in torch.
    """
    begin: NDArray[np.uint64] = starts.numpy().view(np.uint64)[:, None]
    counter, table = _counter(position, words), values(dtype, "cpu")
    found = torch.empty(len(begin), words * 4, dtype=dtype)
    rows = max(1, _BLOCK // max(1, words))
    bits, shifted = (np.empty((min(rows, len(begin)), words), np.uint64) for _ in range(2))
    places = torch.empty(bits.size * 4, dtype=torch.int32)
    for at in range(0, len(begin), rows):
        block, spare = bits[: len(begin) - at], shifted[: len(begin) - at]
        np.add(begin[at : at + rows], counter, out=block)
        for shift, factor in _UNSIGNED:
            np.right_shift(block, shift, out=spare)
            np.bitwise_xor(block, spare, out=block)
            if factor != 1:
                np.multiply(block, factor, out=block)
        here = places[: block.size * 4]
        here.copy_(torch.from_numpy(block.reshape(-1).view(np.uint16)))
        torch.index_select(table, 0, here, out=found[at : at + rows].view(-1))
    return found


@lru_cache(64)
def _counter(position: int, words: int) -> NDArray[np.uint64]:
    counter = np.arange(position + 1, position + words + 1, dtype=np.uint64)
    return counter * np.uint64(_GAMMA)


def on_gpu(starts: Tensor, position: int, words: int, dtype: torch.dtype) -> Float[Tensor, "n m"]:
    """Return the same random numbers as `_on_cpu`, computed in torch on any device."""
    counter = torch.arange(position + 1, position + words + 1, device=starts.device)
    bits = mix(starts[:, None] + counter * (_GAMMA - 2**64))
    places = bits.view(torch.uint16).to(torch.int32)
    found = values(dtype, str(starts.device)).index_select(0, places.view(-1))
    return found.view(len(starts), 4 * words)


@cache
def values(dtype: torch.dtype, device: str) -> Float[Tensor, "65536"]:
    """Return the table of 65,536 values: the means of the normal distribution between neighbouring
    65,536-quantiles, scaled to variance 1.
    """
    edges = torch.special.ndtri(torch.arange(2**16 + 1, dtype=torch.float64) / 2**16)
    density = torch.exp(-edges.square() / 2)
    means = density[:-1] - density[1:]
    means = (means - means.flip(0)) / 2  # exactly symmetric
    return (means / means.square().mean().sqrt()).to(device, dtype)
