"""Draw random numbers that depend on the key of an image, not on its position in a batch.

A key is a number that identifies an image. Random number j of an image is a hash of (seed, key,
stream, j), where the caller chooses the number of the stream. So the random numbers of an image
depend neither on the other images of the batch nor on their order. A CPU and a GPU give the same
numbers up to rounding. `uniform` and `in_ball` use splitmix64 (Steele, Lea and Flood 2014, "Fast
splittable pseudorandom number generators"). This generator multiplies a counter by an odd constant
and applies a mixing function. Each image has its own sequence, whose start depends on its key.

The function `normal` must be fast, because it draws the noise of a randomised model
(`robustbook.defenses.smoothed`) in every forward pass. Here too, the sequence for an image starts
at a hash of the image's key. After that, `normal` computes only one 32-bit hash for every two
numbers.
"""

import math
import operator
from typing import SupportsIndex

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .norms import per_image, size

# The constants of splitmix64 as signed 64-bit numbers: torch multiplies int64 modulo 2**64.
_GAMMA = 0x9E3779B97F4A7C15 - 2**64
_MIX_1 = 0xBF58476D1CE4E5B9 - 2**64
_MIX_2 = 0x94D049BB133111EB - 2**64
# Constants of MurmurHash3's 32-bit finaliser, and an odd constant for the angle.
_MIX32_1 = 0x85EBCA6B - 2**32
_MIX32_2 = 0xC2B2AE35 - 2**32
_ANGLE = 0x9E3779B1 - 2**32
_PAIRS_AT_ONCE = 2**17  # pairs that a CPU computes at a time, to fit its cache


def seed_from(generator: torch.Generator | None) -> int:
    """Return a seed for one attack: a number drawn from the generator, or 0 if the generator is
    None.
    """
    if generator is None:
        return 0
    draw = torch.randint(2**63 - 1, (), generator=generator, device=generator.device)
    return int(draw)


def uniform(
    seed: int,
    keys: Int[Tensor, " n"],
    stream: SupportsIndex | Int[Tensor, " n"],
    count: int,
    dtype: torch.dtype,
) -> Float[Tensor, "n {count}"]:
    """Return `count` uniform numbers in [0, 1) for each key. The argument `stream` is one number
    for all keys, or one number for each key.

    Float64 numbers have 53 random bits. Numbers of other dtypes use only the first 24 of the 53
    bits.
    """
    start = starts(seed, keys, stream)
    counter = torch.arange(1, count + 1, device=keys.device)
    bits = mix(start[:, None] + counter * _GAMMA)
    digits, exact = (53, torch.float64) if dtype == torch.float64 else (24, torch.float32)
    return (_shift(bits, 64 - digits).to(exact) * 2.0**-digits).to(dtype)


def in_ball(
    seed: int, keys: Int[Tensor, " n"], stream: int, like: Float[Tensor, "n *shape"], norm: float
) -> Float[Tensor, "n *shape"]:
    """Return for each image a random vector, uniform in the unit ball of the norm (inf or 2)."""
    pixels = like.shape[1:].numel()
    if norm == math.inf:
        draw = 2 * uniform(seed, keys, stream, pixels, like.dtype) - 1
        return draw.view_as(like)
    # A Gaussian direction (Box and Muller 1958), and a radius with density proportional to r^(d-1).
    draw = uniform(seed, keys, stream, 2 * pixels + 1, like.dtype)
    radius = (-2 * torch.log1p(-draw[:, :pixels])).sqrt()
    normal = radius * torch.cos(2 * math.pi * draw[:, pixels:-1])
    unit = normal / per_image(size(normal, 2.0), normal)
    return (unit * draw[:, -1:] ** (1 / pixels)).view_as(like)


def normal(
    seed: int,
    keys: Int[Tensor, " n"],
    draws: SupportsIndex | Int[Tensor, " n"],
    shape: tuple[int, ...],
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "n ..."]:
    """Return standard normal numbers: one array of the given shape for each key.

    ``draws``: the number that selects the noise draw: one number for all keys, or one for each key.
    ``dtype``: the type of the returned numbers. Float64 numbers are computed in float64, all others
        in float32, from the same random bits.

    The numbers are computed in pairs. The hash of (seed, key, draw) has 64 bits, which are split
    into two 32-bit words a and b. For the pair with index j, the finaliser of MurmurHash3, without
    its last xor-shift, mixes a + j into a hash h. The word b is added before the second
    multiplication of the finaliser. The method of Box and Muller (1958) turns h into a radius and
    an angle. The radius is sqrt(-2 log u), where the lower 31 bits of h give u in (0, 1). The angle
    is pi / 2^31 times the 32-bit product of h and an odd number. The radius times the cosine of the
    angle goes to the first half of the array, the radius times the sine to the second half. No
    number has an absolute value above 6.7.
    """
    count = math.prod(shape)
    half = (count + 1) // 2
    exact = torch.float64 if dtype == torch.float64 else torch.float32
    words = starts(seed, keys, draws).view(torch.int32).view(-1, 2)
    place = torch.arange(half, dtype=torch.int32, device=keys.device)
    numbers = torch.empty(len(keys), 2 * half, dtype=exact, device=keys.device)
    rows = max(len(keys) if keys.is_cuda else _PAIRS_AT_ONCE // max(half, 1), 1)
    for some, out in zip(torch.split(words, rows), torch.split(numbers, rows), strict=True):
        _box_muller(place + some[:, :1], some[:, 1:], out)
    return numbers[:, :count].reshape(-1, *shape).to(dtype)


def _box_muller(bits: Tensor, word: Tensor, out: Tensor) -> None:
    """Write two normal numbers for each hash to `out`. The function works in place on `bits`,
    because copies would double the run time.
    """
    half = bits.shape[1]
    spare = (bits >> 16).bitwise_and_(0xFFFF)
    bits.bitwise_xor_(spare).mul_(_MIX32_1)
    torch.bitwise_right_shift(bits, 13, out=spare)
    bits.bitwise_xor_(spare.bitwise_and_(0x7FFFF)).add_(word).mul_(_MIX32_2)
    torch.mul(bits, _ANGLE, out=spare)
    radius = bits.bitwise_and_(0x7FFFFFFF).to(out.dtype)
    radius.add_(0.5).mul_(2.0**-31).log_().mul_(-2).sqrt_()
    angle = spare.to(out.dtype).mul_(math.pi * 2.0**-31)
    torch.mul(angle.cos(), radius, out=out[:, :half])
    torch.mul(angle.sin_(), radius, out=out[:, half:])


def starts(seed: int, keys: Int[Tensor, " n"], stream: SupportsIndex | Tensor) -> Int[Tensor, " n"]:
    """Return the initial state of each row's sequence of random numbers."""
    keys = keys.long()
    stream = stream.long() if isinstance(stream, Tensor) else operator.index(stream)
    # Python integers do not overflow, but the integers of a tensor wrap around.
    state = stream * _GAMMA + _mixed(seed)
    if isinstance(state, int):
        return mix(keys * _GAMMA + _mixed(state))
    return mix(keys * _GAMMA + mix(state))


def _mixed(state: int) -> int:
    """Apply the mixing function to a Python integer, so that no number is copied to the device."""
    state %= 2**64
    state = (state ^ state >> 30) * _MIX_1 % 2**64
    state = (state ^ state >> 27) * _MIX_2 % 2**64
    return _signed(state ^ state >> 31)


def _signed(state: int) -> int:
    """Return the signed 64-bit integer that has the same bits as ``state``."""
    return (state + 2**63) % 2**64 - 2**63


def mix(bits: Tensor) -> Tensor:
    """Apply splitmix64's mixing function, a bijection of 64-bit integers."""
    bits = (bits ^ _shift(bits, 30)) * _MIX_1
    bits = (bits ^ _shift(bits, 27)) * _MIX_2
    return bits ^ _shift(bits, 31)


def _shift(bits: Tensor, places: int) -> Tensor:
    """Shift bits to the right and fill with zeros, because torch's shift fills with the sign
    bit.
    """
    return (bits >> places) & ((1 << (64 - places)) - 1)
