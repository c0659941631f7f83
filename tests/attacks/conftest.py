"""Models with known weights, and one that counts what passes through it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def generator() -> torch.Generator:
    return seeded(0)


@pytest.fixture
def make_images() -> Callable[..., tuple[Tensor, Tensor]]:
    """Images whose pixels are partly at the edges of the box, and labels of 5 classes."""

    def make(n: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
        draw = torch.rand(n, 2, 6, 6, generator=seeded(1), dtype=torch.float64)
        images = (1.4 * draw - 0.2).clamp(0, 1).to(dtype)
        return images, torch.randint(5, (n,), generator=seeded(2))

    return make


@pytest.fixture
def make_linear() -> Callable[..., nn.Module]:
    """Logits w x + b, weights normal with sd 1."""

    def make(classes: int = 5, pixels: int = 72, dtype: torch.dtype = torch.float64) -> nn.Module:
        linear = nn.Linear(pixels, classes, dtype=dtype)
        with torch.no_grad():
            for parameter in linear.parameters():
                parameter.normal_(generator=seeded(3))
        return nn.Sequential(nn.Flatten(), linear)

    return make


@pytest.fixture
def make_curved() -> Callable[..., nn.Module]:
    """A small smooth convolutional network, 5 classes."""

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
    """Counts the images that pass forwards, and whose gradients come back, by itself."""

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
