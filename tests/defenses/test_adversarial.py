"""Adversarial training compared with Nayebi & Ganguli 2017, eq. (4), using our own FGSM."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustbook.attacks import fgsm
from robustbook.attacks.inner import climb
from robustbook.defenses import adversarial_training
from robustbook.networks import MLP, initialise
from robustbook.randomness import generator


def net() -> MLP:
    built = MLP((16, 8, 4), torch.relu).double()
    initialise(built, "xavier", generator(0))
    return built


def batch() -> tuple[Tensor, Tensor]:
    images = torch.rand(6, 1, 4, 4, generator=generator(1), dtype=torch.float64)
    return images, torch.randint(4, (6,), generator=generator(2))


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("alpha", [0.5, 0.3])
def test_the_terms_are_those_of_equation_4(alpha: float, clip: bool) -> None:
    """They are alpha C(x) + (1 - alpha) C(x + eps sgn grad C), and nothing else."""
    model, (images, labels) = net(), batch()
    terms = adversarial_training(model, images, labels, eps=0.1, alpha=alpha, clip=clip)
    adversarial = fgsm(model, images, labels, eps=0.1, clip=clip).images
    assert list(terms) == ["clean", "adversarial"]
    torch.testing.assert_close(terms["clean"], alpha * F.cross_entropy(model(images), labels))
    torch.testing.assert_close(
        terms["adversarial"], (1 - alpha) * F.cross_entropy(model(adversarial), labels)
    )
    moved = (adversarial < 0).any() or (adversarial > 1).any()
    assert bool(moved) is not clip  # otherwise clipping is not tested


def test_nothing_flows_through_the_adversarial_images() -> None:
    """The paper holds them fixed, so the gradient treats these images as data."""
    model, (images, labels) = net(), batch()
    weights = list(model.parameters())
    terms = adversarial_training(model, images, labels, eps=0.1)
    ours = torch.autograd.grad(sum(terms.values()), weights)
    fixed = fgsm(model, images, labels, eps=0.1, clip=False).images.detach()
    loss = 0.5 * F.cross_entropy(model(images), labels) + 0.5 * F.cross_entropy(
        model(fixed), labels
    )
    for one, other in zip(ours, torch.autograd.grad(loss, weights), strict=True):
        torch.testing.assert_close(one, other)


def test_making_the_images_leaves_no_gradient_behind() -> None:
    """Otherwise .grad would be added to the next optimiser step."""
    model, (images, labels) = net(), batch()
    kept = torch.full_like(model.layers[0].bias, 7.0)
    model.layers[0].bias.grad = kept.clone()
    adversarial_training(model, images, labels, eps=0.1)
    assert torch.equal(model.layers[0].bias.grad, kept)
    assert model.layers[0].weight.grad is None
    assert not images.requires_grad and all(p.requires_grad for p in model.parameters())


def test_alpha_1_is_plain_training() -> None:
    """This tests that the weights of the two terms are not swapped."""
    model, (images, labels) = net(), batch()
    terms = adversarial_training(model, images, labels, eps=0.1, alpha=1.0)
    weights = list(model.parameters())
    ours = torch.autograd.grad(sum(terms.values()), weights)
    plain = torch.autograd.grad(F.cross_entropy(model(images), labels), weights)
    assert terms["adversarial"].item() == 0
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one, other)


def test_a_batch_is_its_images_one_by_one() -> None:
    """A mean over the batch must not change the attack on an image."""
    model, (images, labels) = net(), batch()
    whole = adversarial_training(model, images, labels, eps=0.1)
    parts = [
        adversarial_training(model, images[i : i + 1], labels[i : i + 1], eps=0.1)
        for i in range(len(images))
    ]
    for name, value in whole.items():
        torch.testing.assert_close(value, torch.stack([part[name] for part in parts]).mean())


def normed() -> nn.Sequential:
    draws = generator(0)
    built = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Linear(8, 4))
    with torch.no_grad():
        for p in built.parameters():
            p.copy_(torch.randn(p.shape, generator=draws) + (p.ndim == 1))
        built[2].running_mean.fill_(0.3)
        built[2].running_var.fill_(2.0)
    return built.double()


@pytest.mark.parametrize("steps", [1, 3])
def test_batch_norms_are_in_evaluation_mode_while_attacking(steps: int) -> None:
    """Images are PGD's on the network in evaluation mode; the terms are computed in training mode.

    Running statistics include the clean batch and the adversarial one, and nothing else.
    """
    model, usual, (images, labels) = normed(), normed(), batch()
    options = {"eps": 0.1, "clip": True, "steps": steps, "step_size": 0.05 if steps > 1 else 0.1}
    terms = adversarial_training(model, images, labels, **options)
    adversarial = climb(usual.eval(), images, labels, **options)
    usual.train()
    clean, moved = usual(images), usual(adversarial)
    torch.testing.assert_close(terms["clean"], 0.5 * F.cross_entropy(clean, labels))
    torch.testing.assert_close(terms["adversarial"], 0.5 * F.cross_entropy(moved, labels))
    assert model.training and all(module.training for module in model.modules())
    for name, value in usual.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    assert model[2].num_batches_tracked.item() == 2


@pytest.mark.parametrize("layer", [0, 2])
def test_modes_come_back(layer: int) -> None:
    """A batch norm in evaluation mode stays so, and after an error all modes are restored."""
    model, (images, labels) = normed(), batch()
    model[layer].eval()
    before = [module.training for module in model.modules()]
    adversarial_training(model, images, labels, eps=0.1)
    assert [module.training for module in model.modules()] == before
    with pytest.raises(RuntimeError):
        adversarial_training(model, images[:, :, :2], labels, eps=0.1)
    assert [module.training for module in model.modules()] == before


def test_its_numbers_are_those_of_before() -> None:
    """One step is eps times the sign of the gradient of the summed loss, to the bit, in float32."""
    model, (images, labels) = net().float(), batch()
    images = images.float()
    terms = adversarial_training(model, images, labels, eps=0.1)
    leaf = images.clone().requires_grad_()
    total = F.cross_entropy(model(leaf), labels, reduction="sum")
    (gradient,) = torch.autograd.grad(total, leaf)
    adversarial = images + 0.1 * gradient.sign()
    assert torch.equal(terms["adversarial"], 0.5 * F.cross_entropy(model(adversarial), labels))


def test_eps_is_at_most_1_for_images_that_are_clipped() -> None:
    """Deep Defense trains on unclipped grey levels with an eps of 25.5."""
    assert adversarial_training(net(), *batch(), eps=25.5)["adversarial"].isfinite()
    with pytest.raises(ValueError, match=r"eps must be in \(0, 1\].* got 25.5; for 25.5/255 pass"):
        adversarial_training(net(), *batch(), eps=25.5, clip=True)
    with pytest.raises(ValueError, match="eps must be a finite number above 0, got -0.1"):
        adversarial_training(net(), *batch(), eps=-0.1)


def test_labels_may_be_probabilities() -> None:
    model, (images, labels) = net(), batch()
    hot = F.one_hot(labels, 4).double()
    usual = adversarial_training(model, images, labels, eps=0.1)
    for name, value in adversarial_training(model, images, hot, eps=0.1).items():
        torch.testing.assert_close(value, usual[name])
