"""Train a network in a step, and name the tensors in the step's result."""

from typing import Any

from torch import Tensor, nn

from robustbook.runs import Context, Done
from robustbook.training import Fitted, Objective, Recipe, fit
from robustbook.training.batches import Images


def fitted(
    net: nn.Module,
    images: Tensor | Images,
    labels: Tensor,
    objective: Objective,
    recipe: Recipe,
    seed: int,
    context: Context,
    *,
    checkpoint: str = "checkpoint.safetensors",
    **options: Any,
) -> Fitted:
    """Train the network in place by `fit`, with the device and the progress report of a step.

    ``checkpoint``: the name of the checkpoint in the step's folder.
    ``options``: further keyword arguments of `fit`.
    """
    return fit(
        net,
        images,
        labels,
        objective,
        recipe,
        seed=seed,
        device=context.device,
        checkpoint=context.scratch / checkpoint,
        progress=context.progress,
        **options,
    )


def weights(net: nn.Module, prefix: str = "state") -> dict[str, Tensor]:
    """Return the weights and buffers of the network as ``prefix/<name>``."""
    return {f"{prefix}/{name}": p.detach().cpu() for name, p in net.state_dict().items()}


def history(done: Fitted) -> dict[str, Tensor]:
    """Return the mean of each loss term in each epoch as ``history/<term>``."""
    return {f"history/{name}": values for name, values in done.terms.items()}


def part(result: Done, prefix: str = "state") -> dict[str, Tensor]:
    """Return the tensors of a result that are named ``prefix/<name>``, by ``name``."""
    start = f"{prefix}/"
    return {k.removeprefix(start): v for k, v in result.tensors.items() if k.startswith(start)}
