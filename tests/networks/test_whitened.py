"""MatConvNet's preprocessing against its formulas, on the embedded colour images."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robustbook.data import load
from robustbook.networks import Prepared, Whitened, convnet, preprocessed, whitening
from robustbook.randomness import generator


def small(n: int, seed: int = 0) -> Tensor:
    """Return colour images of 8 x 8 pixels, means over 4 x 4 of the embedded ones: (n, 3, 8, 8)
    bytes.
    """
    images = load("scenes", "train").images[torch.randperm(2794, generator=generator(seed))[:n]]
    spread = 4 * (nn.functional.avg_pool2d(images.float(), 4) - 128) + 128
    return spread.clamp(0, 255).to(torch.uint8)


def by_hand(images: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Compute the three steps in numpy like MatConvNet's script; return input and output of step 3.

    It always uses eigenvalues of the full second moments, in float64.
    """
    z = images.flatten(1).double().numpy().T  # a column an image
    z = z - z.mean(1, keepdims=True)
    z = z - z.mean(0)
    deviations = z.std(0, ddof=1)
    z = z * (deviations.mean() / np.maximum(deviations, 40))
    values, vectors = np.linalg.eigh(z @ z.T / (z.shape[1] * 1.2))
    scale = np.sqrt(values.mean())
    divisors = np.maximum(np.sqrt(values.clip(0)), 10)
    return z.T, (vectors * (scale / divisors) @ vectors.T @ z).T


@pytest.mark.parametrize("n", [60, 191, 192, 400])
def test_the_chain_is_the_scripts(n: int) -> None:
    """With fewer images than the 192 pixel values, the other form is used."""
    images = small(n)  # come out in -1000..1000: float32 is good to some thousandths
    ours = preprocessed(whitening(images), images).flatten(1).double().numpy()
    np.testing.assert_allclose(ours, by_hand(images)[1], rtol=0, atol=0.01)


def test_the_whitened_images_have_the_stated_spectrum() -> None:
    """It is s^2 where sqrt(d) is above its floor of 10, and s^2 d / 100 below; both cases occur."""
    images = small(400)
    before, _ = by_hand(images)
    after = preprocessed(whitening(images), images).flatten(1).double().numpy()
    count = 400 * 1.2
    d, spectrum = (np.linalg.eigvalsh(z.T @ z / count) for z in (before, after))
    expected = d.mean() * np.minimum(1, d.clip(0) / 100)
    assert 5 < (d > 100).sum() < 187
    np.testing.assert_allclose(np.sort(spectrum), np.sort(expected), rtol=1e-4, atol=1e-3)


def plain(deviation: float = 50.0) -> Whitened:
    """Return the preprocessing without the third step and with mean image 0."""
    return Whitened(torch.zeros(3, 4, 4), deviation, torch.eye(48))


def test_contrast_is_made_equal() -> None:
    """Mean 0 and the deviation result, whatever was added to an image or multiplied with it."""
    images = torch.rand(5, 3, 4, 4, generator=generator(0))
    out = plain()(images).flatten(1)
    torch.testing.assert_close(out.mean(1), torch.zeros(5), rtol=0, atol=1e-4)
    torch.testing.assert_close(out.std(1), torch.full((5,), 50.0))
    torch.testing.assert_close(plain()(0.8 * images + 0.1).flatten(1), out, rtol=0, atol=1e-3)


def test_little_contrast_is_enlarged_by_no_more_than_the_floor_allows() -> None:
    """An image of standard deviation 10 gets a quarter of the common deviation."""
    images = torch.rand(5, 3, 4, 4, generator=generator(0))
    images = images - images.mean((1, 2, 3), keepdim=True)
    images = 0.5 + images * (10 / 255 / images.flatten(1).std(1))[:, None, None, None]
    out = plain()(images).flatten(1)
    torch.testing.assert_close(out.std(1), torch.full((5,), 12.5), rtol=1e-4, atol=0)
    flat = torch.full((1, 3, 4, 4), 0.5, requires_grad=True)
    out = plain()(flat)
    assert not bool(out.any())
    (slope,) = torch.autograd.grad(out[0, 0, 0, 0], flat)
    assert bool(slope.isfinite().all())  # 0 / 0 otherwise, and an attack would carry it on


def test_steps_that_do_nothing_leave_the_image() -> None:
    """The mean image is already subtracted, the deviation is already 60, and the matrix is the
    identity.
    """
    images = torch.rand(5, 3, 4, 4, generator=generator(0), dtype=torch.float64)
    grey = 255 * images.flatten(1)
    grey = grey - grey.mean(1, keepdim=True)
    grey = grey * (60 / grey.std(1, keepdim=True))
    mean = torch.rand(3, 4, 4, generator=generator(1), dtype=torch.float64)
    layer = Whitened(mean, 60.0, torch.eye(48, dtype=torch.float64))
    out = layer((grey.view_as(images) + mean) / 255)
    torch.testing.assert_close(out.flatten(1), grey)


def test_gradients_are_differences() -> None:
    """This includes the deviation, above and below its floor; attacks on pixels use this
    gradient.
    """
    images = small(60)[:3].double() / 255
    images[1] = 0.5 + (images[1] - images[1].mean()) / 20  # below
    layer = whitening(small(60)).double()
    crop = Whitened(layer.mean[:, :3, :3], layer.deviation, layer.matrix[:27, :27]).double()
    assert torch.autograd.gradcheck(crop, images[:, :, :3, :3].clone().requires_grad_())


def test_a_prepared_network_is_attackable_in_pixels() -> None:
    """Its logits have a gradient with respect to pixels, and its state contains only its
    weights.
    """
    images = load("scenes", "train").images[:30]
    net = convnet(whitening(images), generator(0), narrow=8)
    x = (images[:2].float() / 255).requires_grad_()
    (slope,) = torch.autograd.grad(net(x)[:, 0].sum(), x)
    assert bool(slope.any()) and bool(slope.isfinite().all())
    assert isinstance(net, Prepared)
    assert all(name.startswith("body.") for name in net.state_dict())
    together = preprocessed(net.preprocess, images)
    assert not together.requires_grad
    torch.testing.assert_close(net.body(together[:2]), net(x))


def test_the_set_does_not_depend_on_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    images = small(250)
    whole = whitening(images)
    monkeypatch.setattr("robustbook.networks.whitened.BATCH", 99)
    parts = whitening(images)
    assert abs(parts.deviation - whole.deviation) < 1e-4
    torch.testing.assert_close(parts.matrix, whole.matrix, rtol=0, atol=1e-4)
    assert preprocessed(parts, images).shape == (250, 3, 8, 8)


def test_wrong_shapes_are_refused_in_a_sentence() -> None:
    layer = plain()
    for shape in ((2, 3, 4, 5), (2, 1, 4, 4), (2, 4, 4, 3)):
        with pytest.raises(ValueError, match=r"images must be of shape \(n, 3, 4, 4\), got \(2, "):
            layer(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"matrix must be of shape \(48, 48\) .* got \(16, 16\)"):
        Whitened(torch.zeros(3, 4, 4), 50.0, torch.eye(16))
    for n in (0, 1):
        with pytest.raises(ValueError, match=f"images must be at least 2, got {n}"):
            whitening(torch.zeros(n, 3, 4, 4, dtype=torch.uint8))
