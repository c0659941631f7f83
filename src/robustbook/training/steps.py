"""Make one optimiser step, directly or as a recorded CUDA graph."""

import contextlib
import warnings
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from robustbook.arithmetic import arithmetic

from .state import State

Objective = Callable[[nn.Module, Tensor, Tensor, Tensor], Mapping[str, Tensor]]
Step = Callable[[Tensor, Tensor, float, float], Tensor]
"""A function from images, labels, coefficient and learning rate to the loss terms."""


def plain(objective: Objective, state: State) -> Step:
    """Return a function that makes one optimiser step."""
    compute = _update(objective, state)

    def step(images: Tensor, labels: Tensor, coefficient: float, lr: float) -> Tensor:
        state.set_lr(lr)
        return compute(images, labels, torch.tensor(coefficient))

    return step


def _update(objective: Objective, state: State) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return a function that makes one optimiser step at the current learning rate."""
    parameters = list(state.weights.values())

    def compute(images: Tensor, labels: Tensor, coefficient: Tensor) -> Tensor:
        # The backward pass is outside autocast; it uses the number formats of the forward pass.
        with torch.enable_grad():
            with _lowered(state.recipe.precision, images.device):
                values = _values(objective, state, images, labels, coefficient)
            total = values.sum()
        if not values.requires_grad:
            raise ValueError(
                "objective must return terms that depend on the trained weights through autograd, "
                f"got {', '.join(state.names)}, which do not"
            )
        gradients = torch.autograd.grad(total, parameters, allow_unused=True)
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g if g is None else _laid_out_as(p, g)
        state.optimizer.step()
        return values.detach()

    return compute


def _values(
    objective: Objective, state: State, images: Tensor, labels: Tensor, coefficient: Tensor
) -> Tensor:
    """Return the loss terms as one tensor; their names are stored in the state."""
    terms = objective(state.net, images, labels, coefficient)
    if not isinstance(terms, Mapping) or not terms:
        found = "an empty dict" if terms == {} else type(terms).__name__
        raise ValueError(f"objective must return a dict of named terms, got {found}")
    for name, term in terms.items():
        if not isinstance(term, Tensor):
            raise ValueError(
                f"objective must return terms that are tensors, got {name} of type "
                f"{type(term).__name__}"
            )
        if term.ndim:
            raise ValueError(
                "objective must return terms that are single numbers, such as means over the "
                f"batch, got {name} of shape {tuple(term.shape)}"
            )
    state.names = list(terms)
    return torch.stack(list(terms.values()))


def _laid_out_as(p: Tensor, g: Tensor) -> Tensor:
    """Return the gradient in the memory format of the weight, because fused optimisers ignore
    strides.
    """
    return g if g.stride() == p.stride() else torch.empty_like(p).copy_(g)


def _lowered(precision: str, device: torch.device) -> contextlib.AbstractContextManager[object]:
    if precision != "bfloat16":
        return contextlib.nullcontext()
    return arithmetic(device, precision, flush=device.type == "cpu")


def graphed(objective: Objective, state: State, x: Tensor, y: Tensor) -> Step:
    """Return a function that makes one optimiser step by running a captured CUDA graph. The graph
    launches the GPU's kernels faster than separate calls.

    Before the graph is captured, three warm-up steps change the weights, the buffers and the
    optimiser's state; all of these are restored afterwards. The graph draws its random numbers from
    torch's global generator of the device, which is seeded before each run of the graph.
    """
    compute = _update(objective, state)
    x, y = x.clone(), y.clone()
    c = torch.zeros((), device=x.device)
    changing = [*state.weights.values(), *state.net.buffers()]
    keep = [p.detach().clone() for p in changing]
    slots = [
        {k: v.clone() if isinstance(v, Tensor) else v for k, v in state.optimizer.state[p].items()}
        for p in state.weights.values()
    ]
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(x.device), warnings.catch_warnings():
        # Adam warns about capturable optimisers that step outside a graph, as the warm-up does.
        warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                compute(x, y, c)
        torch.cuda.current_stream().wait_stream(stream)
        with torch.cuda.graph(graph, stream=stream):
            values = compute(x, y, c)
    with torch.no_grad():
        for p, kept in zip(changing, keep, strict=True):
            p.copy_(kept)
        for p, slot in zip(state.weights.values(), slots, strict=True):
            for name, value in state.optimizer.state[p].items():
                if isinstance(value, Tensor):
                    value.copy_(slot[name]) if name in slot else value.zero_()

    def replay(images: Tensor, labels: Tensor, coefficient: float, lr: float) -> Tensor:
        x.copy_(images)
        y.copy_(labels)
        c.fill_(coefficient)
        state.set_lr(lr)
        graph.replay()
        return values.clone()

    return replay
