"""AlexNet and ResNet-18: torchvision's functions, parameter counts, and errors for other
weights.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from robustbook.networks import GreyLevels, Normalised, fc500_150_10_bn, imagenet_network
from robustbook.randomness import generator

BUILT: dict[str, Any] = {
    name: imagenet_network(name, weights="random", generator=generator(0))  # type: ignore[arg-type]
    for name in ("alexnet", "resnet18")
}


def test_the_numbers_are_counted() -> None:
    """Count AlexNet's parameters; for ResNet-18 also the frozen scale and shift, but no
    statistics.
    """
    alexnet, resnet = BUILT["alexnet"].body, BUILT["resnet18"].body
    assert sum(p.numel() for p in alexnet.parameters()) == 61_100_840
    held = {k: v.numel() for k, v in resnet.state_dict().items() if "running" not in k}
    assert sum(held.values()) == 11_689_512
    frozen = [m for m in resnet.modules() if type(m).__name__ == "FrozenBatchNorm2d"]
    shift = sum(m.weight.numel() + m.bias.numel() for m in frozen)
    assert sum(p.numel() for p in resnet.parameters()) == 11_689_512 - shift
    assert len(frozen) == 20


def test_the_mlp_with_batch_norm_is_counted() -> None:
    """It is the released code's MLPBN; each norm comes before its ReLU."""
    net = fc500_150_10_bn(GreyLevels(torch.zeros(1, 28, 28)), generator(0))
    assert sum(p.numel() for p in net.parameters()) == 470_460
    kinds = [type(layer).__name__ for layer in net.body]
    assert kinds == ["Flatten", *["Linear", "BatchNorm1d", "ReLU"] * 2, "Linear"]
    net.eval()
    assert net(torch.rand(2, 1, 28, 28, generator=generator(1))).shape == (2, 10)


def test_normalisation_is_the_one_of_torchvisions_weights() -> None:
    """The input is pixels in [0, 1], so the network is attacked as an image classifier."""
    expected = models.AlexNet_Weights.IMAGENET1K_V1.transforms()
    images = torch.rand(2, 3, 4, 4, generator=generator(0))
    mean, std = (torch.tensor(v)[:, None, None] for v in (expected.mean, expected.std))
    torch.testing.assert_close(Normalised()(images), (images - mean) / std)
    assert not Normalised().state_dict()


def test_frozen_norms_compute_what_torchvisions_network_does(tmp_path: Path) -> None:
    """Weights come from a file of the usual network, with its counters; training mode agrees
    too.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        usual = models.resnet18(weights=None, num_classes=7)
    for layer in usual.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values in (layer.weight.data, layer.running_var, layer.bias.data):
                assert values is not None
                values.uniform_(0.5, 1.5, generator=generator(1))
            assert layer.running_mean is not None
            layer.running_mean.normal_(generator=generator(2))
    usual.eval()
    torch.save(usual.state_dict(), tmp_path / "resnet.pth")
    ours = imagenet_network("resnet18", weights=str(tmp_path / "resnet.pth"), classes=7)
    images = torch.rand(2, 3, 64, 64, generator=generator(3))
    torch.testing.assert_close(ours.train()(images), usual(Normalised()(images)))


def test_random_weights_are_the_generators_alone() -> None:
    """The standard deviation is He et al.'s, sqrt(2 / inputs), so that activations survive 18
    layers.
    """
    before = torch.get_rng_state()
    same = imagenet_network("resnet18", weights="random", generator=generator(0)).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    state = BUILT["resnet18"].state_dict()
    assert all(torch.equal(value, same[name]) for name, value in state.items())
    weight = state["body.layer4.1.conv2.weight"]
    assert weight.std().item() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)
    with torch.no_grad():
        logits = BUILT["resnet18"](torch.rand(4, 3, 64, 64, generator=generator(1)))
    assert logits.isfinite().all() and logits.std() > 0.1


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    """The error is one sentence that names a layer, before any computation."""
    state = BUILT["resnet18"].body.state_dict()
    save_file(state, tmp_path / "resnet.safetensors")
    file = str(tmp_path / "resnet.safetensors")
    with pytest.raises(ValueError, match=r"those of alexnet, features\.0\.weight .*: missing$"):
        imagenet_network("alexnet", weights=file)
    with pytest.raises(ValueError, match=r"fc\.weight of shape \(10, 512\), .*: \(1000, 512\)$"):
        imagenet_network("resnet18", weights=file, classes=10)
    torch.save({**state, "extra": torch.zeros(1)}, tmp_path / "more.pth")
    with pytest.raises(ValueError, match=r"got .*more\.pth, which also has extra$"):
        imagenet_network("resnet18", weights=str(tmp_path / "more.pth"))
    (tmp_path / "text.pth").write_text("weights")
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "run.pth")
    for name in ("text.pth", "run.pth"):
        with pytest.raises(
            ValueError,
            match=rf"^weights must be a complete file .*, got .*{name}$",
        ):
            imagenet_network("resnet18", weights=str(tmp_path / name))
    with pytest.raises(ValueError, match="weights must be IMAGENET1K_V1, random or the path of a"):
        imagenet_network("resnet18", weights="IMAGENET")
    with pytest.raises(ValueError, match="generator must be given only with random weights"):
        imagenet_network("alexnet", weights="random")
