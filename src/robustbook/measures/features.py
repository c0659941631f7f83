"""Measure how much a perturbation of the images changes the feature maps of each layer.

For an image x and the perturbed image x', the relative noise of layer l is ||h_l(x') - h_l(x)|| /
||h_l(x)|| with the Euclidean norm. Xie et al. 2019 show pictures of noisy feature maps, but do not
measure the noise.
"""

import contextlib
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustbook.attacks.buffers import unchanged


@torch.no_grad()
def feature_maps(
    net: nn.Module, images: Float[Tensor, "n *shape"], layers: Sequence[str]
) -> dict[str, Float[Tensor, "n ..."]]:
    """Return a dictionary with the output (feature map) of each submodule that ``layers`` names.

    ``net``: the network, in evaluation mode.
    ``images``: the input of the network.
    ``layers``: names of submodules.

    Raises ValueError for a submodule that ``net`` does not have or does not call, and for feature
    maps with NaN or infinity.
    """
    with unchanged(net), _outputs(net, layers) as found:
        net(images.clone())  # a network may change its input in place
    for name in layers:
        if name not in found:
            raise ValueError(f"layers must name submodules that the network calls, got {name!r}")
        if not bool(found[name].isfinite().all()):
            raise ValueError(f"feature maps must be finite, got NaN or infinity after {name}")
    return {name: found[name] for name in layers}


@torch.no_grad()
def feature_noise(
    net: nn.Module,
    images: Float[Tensor, "n *shape"],
    perturbed: Float[Tensor, "n *shape"],
    layers: Sequence[str],
) -> dict[str, Float[Tensor, " n"]]:
    """Return the relative noise of each image at the input and in the output of each named
    submodule.

    In the returned dictionary, the relative noise at the input has the name ``images``.

    ``net``: the network, in evaluation mode.
    ``images``: the clean images.
    ``perturbed``: the perturbed images.
    ``layers``: names of submodules.

    Raises ValueError for a submodule that ``net`` does not have or does not call, and if ``images``
    and ``perturbed`` differ in shape. Raises ValueError too if the output of a layer is 0
    everywhere for a clean image.
    """
    if perturbed.shape != images.shape:
        raise ValueError(
            f"perturbed must have the shape of images, {tuple(images.shape)}, "
            f"got {tuple(perturbed.shape)}"
        )
    clean = {"images": images, **feature_maps(net, images, layers)}
    moved = {"images": perturbed, **feature_maps(net, perturbed, layers)}
    noise = {}
    for name, features in clean.items():
        size = features.flatten(1).norm(dim=1)
        if not bool((size > 0).all()):
            raise ValueError(f"feature maps must not be 0 everywhere, got 0 after {name}")
        noise[name] = (moved[name] - features).flatten(1).norm(dim=1) / size
    return noise


@contextlib.contextmanager
def _outputs(net: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Return a context in which each forward pass writes the outputs of the named layers to a
    dictionary.
    """
    known = dict(net.named_modules())
    for name in layers:
        if name not in known:
            raise ValueError(f"layers must name submodules of the network, got {name!r}")
    found: dict[str, Tensor] = {}
    hooks = []
    for name in layers:

        def keep(_: nn.Module, __: object, output: Tensor, name: str = name) -> None:
            found[name] = output.clone()  # a later layer may change it in place

        hooks.append(known[name].register_forward_hook(keep))
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
