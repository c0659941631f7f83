"""Pre-activations and dissimilarities, compared with double loops and closed forms."""

import weakref

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robustbook.measures import activity, class_means, dissimilarity, preactivations
from robustbook.networks import CNN, MLP, initialise
from robustbook.randomness import generator


def mlp() -> MLP:
    net = MLP((4, 6, 5, 3), torch.sigmoid)
    initialise(net, "normal", generator(0))
    return net


def rows(n: int, units: int) -> Tensor:
    return torch.rand(n, units, generator=generator(1))


def test_preactivations_are_the_networks_in_any_batch_size() -> None:
    """The set may be split in any way; the logits come last."""
    net, images = mlp(), rows(11, 4).reshape(11, 1, 2, 2)
    with torch.no_grad():
        expected = net.preactivations(images)
    for batch_size in (1, 4, 11, 100):
        found = preactivations(net, images, batch_size=batch_size)
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs)
            assert not ours.requires_grad
    last, first = preactivations(net, images, layers=[3, 1])
    torch.testing.assert_close(last, net(images).detach())
    torch.testing.assert_close(first, expected[0])


def test_preactivations_of_a_convolution_are_one_row_per_image() -> None:
    """Every position of every map is a unit."""
    net = CNN()
    initialise(net, "truncated", generator(0))
    (h1,) = preactivations(net, torch.zeros(2, 1, 28, 28), layers=[1])
    assert h1.shape == (2, 32 * 28 * 28)


@pytest.mark.parametrize("layer", [0, -1, 4])
def test_a_layer_that_does_not_exist_is_refused(layer: int) -> None:
    """Layers are counted from 1 as in the paper; Python's -1 would silently mean the logits."""
    with pytest.raises(ValueError, match=rf"layers must be in 1\.\.3, .*got {layer}$"):
        preactivations(mlp(), rows(2, 4), layers=[1, layer])


def test_activity_is_numpys() -> None:
    """The number of values is odd, so that there is one median."""
    h = torch.randn(9, 11, generator=generator(2)) * 3 - 1
    found, values = activity(h, (0.5, 4.0)), h.numpy()
    assert found.median == pytest.approx(np.median(values))
    assert found.median_abs == pytest.approx(np.median(abs(values)))
    expected = [np.mean(abs(values) > 0.5), np.mean(abs(values) > 4)]
    assert found.beyond == pytest.approx(expected)
    assert found.active == pytest.approx(np.mean(values > 0))


def test_a_threshold_and_zero_are_not_beyond_themselves() -> None:
    """A ReLU at exactly 0 is not active."""
    found = activity(torch.tensor([-2.0, 0.0, 2.0]), (2.0,))
    assert (found.beyond, found.active) == ((0.0,), pytest.approx(1 / 3))


def test_dissimilarity_is_a_double_loop_over_equation_9() -> None:
    """It is the mean, not the sum, over units, of squared, not absolute, differences."""
    x = rows(7, 5)
    found = dissimilarity(x)
    for a in range(7):
        for b in range(7):
            by_hand = sum((x[a, i].item() - x[b, i].item()) ** 2 for i in range(5)) / 5
            assert found[a, b].item() == pytest.approx(by_hand, rel=1e-6, abs=1e-15)


def test_dissimilarity_is_symmetric_with_a_diagonal_of_exactly_zero() -> None:
    """This also holds far from the origin, where the matrix product would lose every digit."""
    x = 1e4 + rows(40, 30)
    found = dissimilarity(x)
    assert torch.equal(found, found.T)
    assert not found.diagonal().any()
    torch.testing.assert_close(found, dissimilarity(x - 1e4))


def test_dissimilarity_follows_its_images_and_ignores_the_order_of_units() -> None:
    """Sorting the images by class only permutes rows and columns."""
    x, order = rows(12, 8), torch.randperm(12, generator=generator(3))
    torch.testing.assert_close(dissimilarity(x[order]), dissimilarity(x)[order][:, order])
    units = torch.randperm(8, generator=generator(4))
    torch.testing.assert_close(dissimilarity(x[:, units]), dissimilarity(x))


def test_dissimilarity_of_one_hot_codes() -> None:
    """Of k classes, two units differ by 1: 2/k between classes, 0 within."""
    labels = torch.tensor([0, 0, 1, 2, 2, 3])
    found = dissimilarity(nn.functional.one_hot(labels, 4).float())
    torch.testing.assert_close(found, (labels[:, None] != labels).double() * 2 / 4)
    assert class_means(found, labels) == (0, pytest.approx(0.5))


def test_dissimilarity_of_saturated_sigmoids_is_the_share_of_units_that_differ() -> None:
    """For codes of zeros and ones, eq. 9 is the Hamming distance divided by the number of units."""
    x = (rows(6, 9) > 0.5).float()
    expected = (x[:, None] != x).double().mean(2)
    torch.testing.assert_close(dissimilarity(x), expected)


def test_class_means_leave_the_diagonal_out() -> None:
    """It is zero for every network, and would make classes look tighter."""
    matrix = torch.tensor([[0.0, 4.0, 1.0], [4.0, 0.0, 3.0], [1.0, 3.0, 0.0]])
    assert class_means(matrix, torch.tensor([5, 5, 2])) == (4.0, 2.0)


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 1, 2]])
def test_class_means_need_pairs_of_both_kinds(labels: list[int]) -> None:
    """Without pairs there is no mean."""
    with pytest.raises(ValueError, match="labels must have two classes and two images of one"):
        class_means(torch.zeros(3, 3), torch.tensor(labels))


def test_only_the_layers_that_were_asked_for_are_kept() -> None:
    """Otherwise the batch size would not bound the memory."""
    net, kept = mlp(), []

    class Watched(nn.Module):
        def preactivations(self, x: Tensor) -> list[Tensor]:
            alive = sum(h() is not None for h in kept)
            hs = [h.clone() for h in net.preactivations(x)]
            kept.append(weakref.ref(hs[0]))
            assert alive <= 1  # that of the batch before
            return hs

    preactivations(Watched(), rows(12, 4), layers=[2], batch_size=2)  # type: ignore[arg-type]
