"""Models with known weights, randomised models, and a model that counts its passes."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from robustbook.attacks import cross_entropy
from robustbook.attacks.noise import normal


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def generator() -> torch.Generator:
    return seeded(0)


@pytest.fixture
def make_images() -> Callable[..., tuple[Tensor, Tensor]]:
    """Return images with some pixels at 0 or 1, and labels of 5 classes."""

    def make(n: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
        draw = torch.rand(n, 2, 6, 6, generator=seeded(1), dtype=torch.float64)
        images = (1.4 * draw - 0.2).clamp(0, 1).to(dtype)
        return images, torch.randint(5, (n,), generator=seeded(2))

    return make


@pytest.fixture
def make_linear() -> Callable[..., nn.Module]:
    """Return a model with logits w x + b and weights drawn from N(0, 1)."""

    def make(classes: int = 5, pixels: int = 72, dtype: torch.dtype = torch.float64) -> nn.Module:
        linear = nn.Linear(pixels, classes, dtype=dtype)
        with torch.no_grad():
            for parameter in linear.parameters():
                parameter.normal_(generator=seeded(3))
        return nn.Sequential(nn.Flatten(), linear)

    return make


@pytest.fixture
def make_curved() -> Callable[..., nn.Module]:
    """Return a small smooth convolutional network with 5 classes."""

    def make(dtype: torch.dtype = torch.float64) -> nn.Module:
        network = nn.Sequential(
            nn.Conv2d(2, 6, 3), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(24, 5)
        )
        generator = seeded(4)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        return network.to(dtype)

    return make


class Counting(nn.Module):
    """A model that counts the images in its forward passes, and those in its backward passes."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.forwards = 0
        self.backwards = 0

    def forward(self, images: Tensor) -> Tensor:
        self.forwards += len(images)
        logits: Tensor = self.inner(images)
        if logits.requires_grad:
            logits.register_hook(self._count_backward)
        return logits

    def _count_backward(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)


@pytest.fixture
def counting() -> type[Counting]:
    return Counting


class Noisy:
    """A network with normal noise on its images, numbered by key and draw; it records its calls."""

    def __init__(self, inner: nn.Module, scale: float = 0.1) -> None:
        self.inner, self.scale = inner, scale
        self.asked: list[list[tuple[int, int]]] = []  # pairs of key and draw for each pass

    def at(self, keys: Tensor, draw: int | Tensor) -> Callable[[Tensor], Tensor]:
        draws = draw.tolist() if isinstance(draw, Tensor) else [draw] * len(keys)
        self.asked.append(list(zip(keys.tolist(), draws, strict=True)))

        def forward(images: Tensor) -> Tensor:
            noise = normal(7, keys, draw, tuple(images.shape[1:]), images.dtype)
            logits: Tensor = self.inner(images + self.scale * noise)
            return logits

        return forward


@pytest.fixture
def noisy() -> type[Noisy]:
    return Noisy


class Parity:
    """Two networks: the first answers even draws, the second odd ones."""

    def __init__(self, even: nn.Module, odd: nn.Module) -> None:
        self.even, self.odd, self.calls = even, odd, 0

    def at(self, keys: Tensor, draw: int | Tensor) -> Callable[[Tensor], Tensor]:
        odd = torch.as_tensor(draw).expand(len(keys)) % 2 == 1
        return lambda images: torch.where(odd[:, None], self.odd(images), self.even(images))

    def by_turns(self, images: Tensor) -> Tensor:
        """Return a model that alternates between the networks by itself, so its noise has no
        key.
        """
        self.calls += 1
        logits: Tensor = (self.even if self.calls % 2 else self.odd)(images)
        return logits

    def mean(self, images: Tensor) -> Tensor:
        """Return a deterministic model whose logits are the logarithm of the mean probabilities.

        It also returns the logits of both networks for `mean_loss`, lowered so that they never
        decide.
        """
        both = [self.even(images), self.odd(images)]
        probability = sum(logits.softmax(1) for logits in both) / 2
        return torch.cat([probability.log(), *(logits - 1000 for logits in both)], 1)

    @staticmethod
    def mean_loss(logits: Tensor, labels: Tensor) -> Tensor:
        return sum(cross_entropy(one, labels) for one in logits[:, 5:].split(5, 1)) / 2


@pytest.fixture
def make_parity(make_curved: Callable[..., nn.Module]) -> Callable[[], Parity]:
    def make() -> Parity:
        odd = make_curved()
        with torch.no_grad():
            for parameter in odd.parameters():
                parameter.add_(0.5 * torch.randn(parameter.shape, generator=seeded(8)))
        return Parity(make_curved(), odd)

    return make
