"""Build AlexNet and ResNet-18 for ImageNet from torchvision, with their normalisation.

Deep Defense (Yan, Guo and Zhang 2018) fine-tunes AlexNet and ResNet-18, but its code for ImageNet
is not released. According to the paper, its AlexNet is Caffe's, which has grouped convolutions and
60,965,224 parameters, and whose inputs are pixel values in 0..255 minus a mean. The AlexNet of
torchvision has no grouped convolutions and 61,100,840 parameters. In this code, norms of
perturbations are measured after the normalisation of the images. The standard deviations of the
red, green and blue channels differ by only two per cent. So the normalisation by standard
deviations changes the ratio of perturbation norm to image norm by at most two per cent.
"""

from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Literal, get_args

import safetensors.torch
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor, nn

from .prepared import Prepared

Architecture = Literal["alexnet", "resnet18"]
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's red, green and blue values in [0, 1], as in
torchvision.
"""


class Normalised(nn.Module):
    """Normalise images in [0, 1]: subtract the mean of each channel, and divide by the channel's
    standard deviation. The default means and deviations are for ImageNet.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, mean: Sequence[float] = MEAN, deviation: Sequence[float] = DEVIATION
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation)[:, None, None], persistent=False)

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
        if not images.is_floating_point():
            raise ValueError(f"images must be floats in [0, 1], got {images.dtype}")
        return (images - self.mean) / self.deviation


def imagenet_network(
    architecture: Architecture,
    *,
    weights: str = "IMAGENET1K_V1",
    classes: int = 1000,
    generator: torch.Generator | None = None,
) -> Prepared:
    """Return a network from colour images to logits.

    The batch norm layers of ResNet-18 are frozen, as in the fine-tuning by the released code of
    Deep Defense. These layers use their running statistics, and their scale and shift are buffers,
    not parameters. ResNet-18 has 11,689,512 weights, including the scale and shift of batch norm
    but not the running statistics.

    ``weights``: the name of trained weights in torchvision, the path of a state dict (a
        .safetensors file or a file of `torch.save`), or "random". Torchvision's weights are
        downloaded at first use. Random weights are drawn with ``generator`` from the normal
        distribution of He et al.; biases are then 0, and batch norm layers are initially the
        identity.
    ``classes``: number of logits; 1000 with torchvision's weights.

    Raises ValueError if the weights belong to a different architecture or to a different number of
    classes.
    """
    from torchvision import models, ops  # slow to import, and needed only here

    if architecture not in get_args(Architecture):
        known = " or ".join(get_args(Architecture))
        raise ValueError(f"architecture must be {known}, got {architecture!r}")
    if (weights == "random") != (generator is not None):
        raise ValueError(f"generator must be given only with random weights, got {weights!r}")
    extra = {"norm_layer": ops.FrozenBatchNorm2d} if architecture == "resnet18" else {}
    with torch.random.fork_rng(devices=()):  # the weights that torchvision draws are replaced
        body = models.get_model(architecture, weights=None, num_classes=classes, **extra)
    if generator is None:
        body.load_state_dict(_state(weights, architecture, body))
    else:
        for parameter in body.parameters():
            if parameter.ndim > 1:
                nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)
            else:
                nn.init.zeros_(parameter)
    return Prepared(Normalised(), body)


def _state(weights: str, architecture: str, body: nn.Module) -> dict[str, Tensor]:
    """Return the weights with the name or path ``weights``; raise ValueError unless they fit the
    architecture.
    """
    from torchvision import models

    there = {known.name: known for known in models.get_model_weights(architecture)}
    if weights in there:
        state: dict[str, Tensor] = there[weights].get_state_dict(progress=True, check_hash=True)
    elif (path := Path(weights).expanduser()).is_file():
        state = _read(path)
    else:
        names = ", ".join(there)
        raise ValueError(
            f"weights must be {names}, random or the path of a state dict, got {weights!r}"
        )
    asked = f"weights must be those of {architecture}"
    # A batch norm that is not frozen also counts its batches.
    found = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    for name, value in body.state_dict().items():
        given = tuple(found.pop(name).shape) if name in found else "missing"
        if given != tuple(value.shape):
            raise ValueError(
                f"{asked}, {name} of shape {tuple(value.shape)}, got {weights}: {given}"
            )
    if found:
        raise ValueError(f"{asked}, got {weights}, which also has {min(found)}")
    return state


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return dict(safetensors.torch.load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
        if isinstance(state, dict) and all(isinstance(value, Tensor) for value in state.values()):
            return state
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, OSError):
        pass  # torch's messages are long and advise loading untrusted files
    raise ValueError(f"weights must be a complete file with a state dict of tensors, got {path}")
