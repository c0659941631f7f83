"""A view changes gradients but never an answer of the network."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from robustbook.attacks import fgsm
from robustbook.defenses import noisy
from robustbook.measures import Attack, bypassed, preactivations, rescaled, softened, survival
from robustbook.networks import CNN, MLP, Prepared, initialise
from robustbook.randomness import generator


def images(n: int = 5, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(n, 1, 2, 2, generator=generator(0), dtype=dtype)


def mlp(activation: Callable[[Tensor], Tensor]) -> MLP:
    net = MLP((4, 6, 3), activation).double()
    initialise(net, "normal", generator(0))
    return net


def test_rescaled_divides_the_logits_and_changes_no_answer() -> None:
    """Otherwise another classifier would be attacked than is judged."""
    net, x = mlp(torch.relu), images()
    view = rescaled(net, 37.0)
    torch.testing.assert_close(view(x), net(x) / 37)
    assert torch.equal(view(x).argmax(1), net(x).argmax(1))


@pytest.mark.parametrize("activation", [torch.sigmoid, torch.relu])
def test_softened_has_the_same_outputs_bit_by_bit(activation: Callable[[Tensor], Tensor]) -> None:
    """It shares the weights and does not change the network."""
    net, x = mlp(activation), images()
    soft = softened(net, 10.0)
    assert torch.equal(soft(x), net(x))
    assert net.activation is activation
    for p, q in zip(soft.parameters(), net.parameters(), strict=True):
        assert p is q


@pytest.mark.parametrize("softness", [1.0, 10.0])
@pytest.mark.parametrize("activation", [torch.sigmoid, torch.relu])
def test_softened_takes_the_slope_of_a_softer_unit(
    activation: Callable[[Tensor], Tensor], softness: float
) -> None:
    """For a sigmoid the derivative is s(1 - s)/softness with s = sigma(h/softness).

    This is the slope of sigma(h/softness). For a ReLU it is s, the slope of a softplus. The test
    computes both layers by hand.
    """
    net, x = mlp(activation), images().requires_grad_()
    (ours,) = torch.autograd.grad(softened(net, softness)(x)[:, 0].sum(), x)
    h = net.preactivations(x)[0].detach()
    s = torch.sigmoid(h / softness)
    slope = s * (1 - s) / softness if activation is torch.sigmoid else s
    first, last = net.layers
    by_hand = (last.weight[0] * slope) @ first.weight
    torch.testing.assert_close(ours.flatten(1), by_hand.detach())


def test_a_softness_of_1_is_the_sigmoid_itself() -> None:
    """Here the closed form above can be checked in another way."""
    net, x = mlp(torch.sigmoid), images().requires_grad_()
    (soft,) = torch.autograd.grad(softened(net, 1.0)(x).sum(), x)
    (own,) = torch.autograd.grad(net(x).sum(), x)
    torch.testing.assert_close(soft, own)


def test_the_cnn_can_be_softened() -> None:
    """Gradients are not zero where every ReLU is inactive."""
    net = CNN()
    initialise(net, "truncated", generator(0))
    with torch.no_grad():
        net.hidden.bias.fill_(-1e3)
    x = torch.rand(1, 1, 28, 28, generator=generator(0)).requires_grad_()
    (dead,) = torch.autograd.grad(net(x)[:, 0].sum(), x)
    (alive,) = torch.autograd.grad(softened(net, 1e3)(x)[:, 0].sum(), x)
    assert (dead == 0).all() and (alive != 0).any()


def test_other_activations_are_refused() -> None:
    """Their softer form is not defined here, and they would keep their own slope unnoticed."""
    for net in (mlp(torch.tanh), nn.Linear(2, 2)):
        with pytest.raises(ValueError, match="net must have a sigmoid or ReLU activation"):
            softened(net, 2.0)
    with pytest.raises(ValueError, match="net must be an nn.Module to soften, got function"):
        softened(lambda x: x, 2.0)
    for number in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="softness must be a finite number above 0"):
            softened(mlp(torch.relu), number)
        with pytest.raises(ValueError, match="by must be a finite number above 0"):
            rescaled(mlp(torch.relu), number)


@pytest.mark.parametrize("activation", [torch.sigmoid, torch.relu])
def test_bypassed_has_the_same_outputs_and_leaves_out_one_slope(
    activation: Callable[[Tensor], Tensor],
) -> None:
    """The last hidden layer's slope is left out: W3 W2 D1 W1, with D1 the first layer's own
    slopes.
    """
    net = MLP((4, 6, 5, 3), activation).double()
    initialise(net, "normal", generator(0))
    view, x = bypassed(net), images().requires_grad_()
    assert torch.equal(view(x), net(x))
    (ours,) = torch.autograd.grad(view(x)[:, 0].sum(), x)
    h = net.preactivations(x)[0].detach().requires_grad_()
    (slope,) = torch.autograd.grad(activation(h).sum(), h)
    first, second, last = net.layers
    by_hand = ((last.weight[0] @ second.weight) * slope) @ first.weight
    torch.testing.assert_close(ours.flatten(1), by_hand.detach())


def test_bypassed_finds_the_readout_of_the_cnn() -> None:
    """There is a gradient where every hidden unit is inactive; the view converts to float64 and
    back.
    """
    net = CNN()
    initialise(net, "truncated", generator(0))
    with torch.no_grad():
        net.hidden.bias.fill_(-1e3)
    x = torch.rand(2, 1, 28, 28, generator=generator(0)).requires_grad_()
    view = bypassed(net)
    assert torch.equal(view(x), net(x))
    (dead,) = torch.autograd.grad(net(x)[:, 0].sum(), x)
    (alive,) = torch.autograd.grad(view(x)[:, 0].sum(), x)
    assert (dead == 0).all() and (alive != 0).any()
    assert {id(p) for p in view.parameters()} == {id(p) for p in net.parameters()}


def test_a_network_without_hidden_layers_to_bypass_is_refused() -> None:
    with pytest.raises(ValueError, match="net must have preactivations and an activation"):
        bypassed(nn.Linear(2, 2))
    without = mlp(torch.relu)
    del without.activation
    half = nn.Linear(2, 2)
    half.activation = torch.relu  # type: ignore[assignment]
    for net in (without, half):
        with pytest.raises(ValueError, match="net must have preactivations and an activation"):
            bypassed(net)


def block(unit: Callable[[], nn.Module]) -> nn.Sequential:
    """Return a batch norm, one nonlinearity under two names, and a nested one."""
    shared = unit()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 3, 2),
            nn.BatchNorm2d(3),
            shared,
            nn.Sequential(nn.Flatten(), nn.Linear(3, 4), unit()),
            shared,
            nn.Linear(4, 3),
        ).double()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("unit", [nn.ReLU, nn.Sigmoid, lambda: nn.ReLU(inplace=True)])
def test_layers_of_a_batch_norm_network_are_softened(
    unit: Callable[[], nn.Module], training: bool
) -> None:
    """All are softened; outputs in both modes, running statistics and weights are the same."""
    net, x = block(unit).train(training), images(8).requires_grad_()
    soft, twin = softened(net, 10.0), block(unit).train(training)
    twin.load_state_dict(net.state_dict())
    assert torch.equal(soft(x), twin(x))
    for name, value in twin.state_dict().items():
        assert torch.equal(value, net.state_dict()[name]), name
    assert all(p is q for p, q in zip(soft.parameters(), net.parameters(), strict=True))
    kinds = (nn.ReLU, nn.Sigmoid)
    assert sum(isinstance(part, kinds) for part in net) == 2 and soft.training == training
    assert not any(isinstance(part, kinds) for part in soft.modules())
    assert "softness=10" in repr(soft) and "softness" not in repr(net)
    if unit is nn.ReLU:
        with torch.no_grad():
            net[0].bias.fill_(-1e3)
            net[1].bias.fill_(-1e3)
        assert not torch.autograd.grad(net(x)[:, 0].sum(), x)[0].any()
        assert torch.autograd.grad(softened(net, 1e3)(x)[:, 0].sum(), x)[0].any()


def test_a_view_of_a_prepared_network_softens_its_body() -> None:
    net, x = Prepared(nn.Identity(), mlp(torch.relu)), images()
    soft = softened(net, 10.0)
    assert torch.equal(soft(x), net(x)) and net.body.activation is torch.relu
    assert soft.body.activation is not torch.relu


def test_the_views_of_a_plain_callable() -> None:
    """It can be rescaled; the other views need its layers."""
    net, x = mlp(torch.relu), images()
    assert torch.equal(rescaled(lambda x: net(x), 2.0)(x), net(x) / 2)
    with pytest.raises(ValueError, match="net must have preactivations"):
        bypassed(lambda x: net(x))
    labels = net(x).argmax(1)
    found = survival(lambda x: net(x), x, labels, Attack("fgsm", precision="float64", rescale=True))
    assert torch.equal(
        found.correct,
        survival(net, x, labels, Attack("fgsm", precision="float64", rescale=True)).correct,
    )


def test_a_bypass_that_would_change_answers_is_refused() -> None:
    """It is an error if a batch norm follows the last nonlinearity, or a layer the read-out.

    The view's logits would be those of another network.
    """

    class Normed(MLP):
        def __init__(self) -> None:
            super().__init__((4, 6, 3), torch.relu)
            initialise(self, "normal", generator(0))
            self.norm = nn.BatchNorm1d(6)

        def preactivations(self, images: Tensor) -> list[Tensor]:
            h = self.layers[0](images.flatten(1))
            return [h, self.layers[1](self.activation(self.norm(h)))]

    class Extra(MLP):
        def __init__(self) -> None:
            super().__init__((4, 6, 3), torch.relu)
            initialise(self, "normal", generator(0))
            self.extra = nn.Linear(6, 3)

    x = images(dtype=torch.float32)
    for net in (Normed(), Extra()):
        view = bypassed(net)
        for _ in range(2):
            with pytest.raises(
                ValueError, match="net must compute its logits from its last hidden"
            ):
                view(x)
    assert len(preactivations(Normed(), x)) == 2


@pytest.mark.parametrize("drawing", [False, True])
def test_a_rescaled_network_in_training_mode_keeps_its_running_statistics(drawing: bool) -> None:
    """An attack finds the batch norms in it, as in the network itself."""
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 3))
    x, y = torch.rand(4, 1, 4, 4, generator=generator(0)), torch.arange(4) % 3
    model = rescaled(noisy(net).train() if drawing else net.train(), 2.0)
    buffers = dict(model.named_buffers())
    before = {name: buffer.clone() for name, buffer in buffers.items()}
    assert len(before) == 3
    fgsm(model, x, y, eps=0.1)
    assert all(torch.equal(buffers[name], kept) for name, kept in before.items())
