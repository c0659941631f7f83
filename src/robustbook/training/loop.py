"""The one training loop: networks and a recipe in, weights and each loss term's history out.

- An *objective* maps (network, images, labels, coefficient) to named loss terms; their sum is
  minimised.
- ``coefficient(step)`` is asked before every step: an annealed penalty weight is a function of the
  step.
- Batches are permutations of the training set, one per epoch, drawn from (seed, epoch) alone, or
  the set as it lies; an image's augmentation is drawn from (seed, epoch, image), and what is drawn
  inside a step from (seed, step). So the state of a run is its weights, its buffers, its optimiser
  and its step number: a run killed at any instant goes on from the last checkpoint to the bit-same
  end.
- Networks of one shape can be trained side by side as a batch axis (``torch.func``): the same
  result as one by one up to rounding, faster where small kernels leave a device idle. On a GPU the
  step is replayed as a CUDA graph.
- On a GPU the host waits for the device every 50 steps, when losses are looked at, and where
  ``each_epoch`` or a checkpoint reads weights; at no other place of this loop.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from robustbook.arithmetic import arithmetic
from robustbook.randomness import generator

from .batches import Batches, Images
from .identity import described, fingerprint
from .recipe import Recipe
from .state import Diverged, State, layout
from .steps import Lift, Objective, Step, graphed, plain


@dataclass(frozen=True)
class Fitted:
    """``terms[name]`` is each loss term's mean over each epoch, one column per network; ``seconds``
    is the time spent, over all sessions of a resumed run."""

    terms: dict[str, Float[Tensor, "epochs networks"]]
    seconds: float


def fit(
    networks: Sequence[nn.Module],
    images: UInt8[Tensor, "n c h w"] | Float[Tensor, "n c h w"] | Images,
    labels: Int[Tensor, " n"] | Float[Tensor, "n k"],
    objective: Objective,
    recipe: Recipe,
    *,
    seeds: Sequence[int],
    coefficient: Callable[[int], float] = lambda step: 0.0,
    rates: Mapping[str, float] | None = None,
    retract: Callable[[Mapping[str, Tensor]], None] | None = None,
    each_epoch: Callable[[int, Mapping[str, Tensor]], None] | None = None,
    shuffle: bool = True,
    static: bool = True,
    device: str | torch.device = "cpu",
    checkpoint: Path | None = None,
    every: float = 60.0,
    identity: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Fitted:
    """Train ``networks`` in place, the i-th on batches in the order of ``seeds[i]``.

    networks: parameters with ``requires_grad`` False stay as they are. Buffers that change, such as
        a batch norm's running statistics, are trained with one network and refused with several.
    images: bytes, which become [0, 1] batch by batch on ``device``, or numbers, taken as they are.
        The recipe's augmentation pads with zeros in these numbers.
    labels: the classes, or for each image the probabilities of the classes.
    rates: what the learning rate of a parameter of this name is multiplied by; 1 for the others.
    retract: changes the trained weights of this name in place after each step, to bring them back
        to a set or nearer to it.
    each_epoch: given the number of epochs done and what the network's ``state_dict`` holds (weights
        and buffers; with several networks a first axis for the network) after each whole epoch,
        again for one that a resumed run repeats. To keep a tensor, copy it.
    shuffle: whether each epoch has an order of its own. False: batches are the images as they lie.
    static: whether a step does the same operations whatever the batch, with all draws on
        ``device``. Then a GPU captures it as a graph. False for objectives with a search in them or
        that draw on the host; then only one network is accepted.
    checkpoint: a file written about every ``every`` seconds; where it exists the run goes on from
        it. One of another network, recipe, order, objective or data is refused, a damaged one is
        set aside with a warning.
    identity: what the checkpoint calls the objective; None: its name, its constants, and what it
        takes from around it.
    progress: called with (steps done, steps) about once a second.

    For each step torch's own generators are seeded by (seed, step), for dropout and the like; they
    are put back at the end. Several networks may draw nothing.

    Raises ``Diverged`` with the step, the term and its value; on a GPU the step when it was seen.

    Numbers below 1.2e-38 are flushed to zero while training on a CPU: saturated networks have such
    gradients, and arithmetic with them is up to four times slower. All settings of the arithmetic
    are as before when this returns.
    """
    if len(networks) != len(seeds) or not networks:
        raise ValueError(
            f"seeds must name one seed per network, got {len(seeds)} for {len(networks)}"
        )
    if len(networks) > 1 and not static:
        raise ValueError(f"networks must be one where static is False, got {len(networks)}")
    if len(networks) > 1 and recipe.channels_last:
        raise ValueError(f"networks must be one where channels_last is True, got {len(networks)}")
    if len(images) != len(labels):
        raise ValueError(f"labels must be one per image, got {len(labels)} for {len(images)}")
    if len(images) < recipe.batch_size:
        raise ValueError(
            f"batch_size must be at most {len(images)} images, got {recipe.batch_size}"
        )
    names = {
        "recipe": dataclasses.asdict(recipe),
        "seeds": list(seeds),
        "shuffle": shuffle,
        "rates": dict(rates or {}),
        "objective": described(objective) if identity is None else identity,
        "data": fingerprint(images, labels) if checkpoint is not None else None,
    }
    for net in networks:
        net.to(device).train()
    if isinstance(images, Tensor):
        images = images.to(device)
    batches = Batches(images, labels.to(device), recipe, seeds, shuffle)
    cuda = torch.device(device).type == "cuda"
    look = 50 if cuda else 1  # looking at a number on the host makes a GPU wait
    precision = "tf32" if recipe.precision == "tf32" else "float32"  # but of the forward pass
    with (
        arithmetic(device, precision, flush=not cuda),
        layout(networks, recipe.channels_last),
        _own_draws(seeds[0], device) as seed,
    ):
        lift = Lift(networks[0], objective)
        state = State(networks, recipe, rates or {}, names)
        state.refuse_unlike_buffers()
        if checkpoint is not None and checkpoint.exists():
            state.load(checkpoint)
        if state.step == recipe.steps:
            pass
        elif static and cuda:
            compute = graphed(lift, state, len(networks), *batches.at(state.step))
        else:
            compute = plain(lift, state, len(networks))
        first, began = state.step, time.monotonic()
        saved = told = began
        while state.step < recipe.steps:
            seed(state.step)
            values = _located(
                state.step,
                compute,
                *batches.at(state.step),
                coefficient(state.step),
                recipe.lr_at(state.step),
            )
            if retract is not None:
                with torch.no_grad():
                    retract(state.weights)
            state.names = lift.names
            if state.step == first:
                state.refuse_unlike_buffers()
            state.running = state.running + values
            state.step += 1
            if state.step % look == 0 or state.step == recipe.steps:
                _refuse_nonfinite(state, values)
            if state.step % batches.per_epoch == 0 or state.step == recipe.steps:
                state.history.append(state.running / ((state.step - 1) % batches.per_epoch + 1))
                state.running = torch.zeros_like(state.running)
            if each_epoch is not None and state.step % batches.per_epoch == 0:
                _refuse_nonfinite(state, values)
                each_epoch(state.step // batches.per_epoch, state.whole())
            now = time.monotonic()
            if progress is not None and now - told > 1:
                told = now
                progress(state.step, recipe.steps)
            if checkpoint is not None and now - saved > every:
                _refuse_nonfinite(state, values)
                state.refuse_nonfinite()
                state.save(checkpoint, now - began)
                saved = now
        seconds = state.seconds + time.monotonic() - began
        state.refuse_nonfinite()
        if checkpoint is not None:
            state.save(checkpoint, time.monotonic() - began)
        state.unstack()
    for net in networks:
        net.eval()
    history = torch.stack(state.history).cpu()  # (epochs, terms, networks)
    return Fitted({name: history[:, i] for i, name in enumerate(state.names)}, seconds)


@contextlib.contextmanager
def _own_draws(seed: int, device: str | torch.device) -> Iterator[Callable[[int], None]]:
    """A function that makes torch's own generators those of (seed, step); afterwards they are as
    before. Layers such as dropout can draw from no others."""
    place = torch.device(device)
    cuda = [place] if place.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        generators = [torch.default_generator]
        if cuda:
            index = torch.cuda.current_device() if place.index is None else place.index
            generators.append(torch.cuda.default_generators[index])

        def begin(step: int) -> None:
            for own in generators:
                own.manual_seed(generator(seed, "step", step).initial_seed())

        yield begin


def _located(step: int, compute: Step, *arguments: Any) -> Tensor:
    """The step's values; a loss that refuses its own numbers does not know which step it is."""
    try:
        return compute(*arguments)
    except Diverged as error:
        raise Diverged(f"at step {step}, {error}; the last good checkpoint is kept") from None


def _refuse_nonfinite(state: State, values: Tensor) -> None:
    if not bool(values.isfinite().all()):
        term, network = (~values.isfinite()).nonzero()[0].tolist()
        raise Diverged(
            f"{state.names[term]} became {values[term, network].item()} at step {state.step - 1} "
            f"(network {network} of {values.shape[1]}); the last good checkpoint is kept"
        )
