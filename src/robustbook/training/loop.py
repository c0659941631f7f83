"""Train a network as a `Recipe` says, and return the mean of each loss term in each epoch.

An *objective* is a function from (network, images, labels, coefficient) to named loss terms, whose
sum is minimised. In every step, the objective gets the number ``coefficient(step)``, for example an
annealed penalty weight.

Each epoch goes through the training set in a random order that depends only on (seed, epoch), or in
the original order. The augmentation of an image depends only on (seed, epoch, image), and the
random numbers of a training step depend only on (seed, step). So the weights, the buffers, the
optimiser's state and the step number are the complete state of a run. A run that is interrupted
resumes from its last checkpoint and gives bitwise the same result.

On a GPU a static training step is recorded once as a CUDA graph, which is run for every batch. The
CPU waits for the GPU only when losses are checked (every 50 steps and at the end of an epoch), and
when ``each_epoch`` or a checkpoint reads weights.
"""

import contextlib
import dataclasses
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from robustbook.arithmetic import arithmetic
from robustbook.randomness import generator
from robustbook.runs.execute import resolve_device

from .batches import Batches, Images, check_data
from .identity import described, digest, fingerprint
from .recipe import Recipe
from .state import Diverged, State, layout
from .steps import Objective, Step, graphed, plain

_LOOK_EVERY = {"cpu": 1, "cuda": 50}
"""Number of steps between two checks of the losses. On a GPU each check makes the CPU wait."""


@dataclass(frozen=True)
class Fitted:
    """``terms[name]``: the mean of the loss term ``name`` in each epoch.
    ``seconds``: the training time in seconds; for an interrupted run, the sum over all parts of the
        run.
    """

    terms: dict[str, Float[Tensor, " epochs"]]
    seconds: float


def fit(
    net: nn.Module,
    images: UInt8[Tensor, "n c h w"] | Float[Tensor, "n c h w"] | Images,
    labels: Int[Tensor, " n"] | Float[Tensor, "n k"],
    objective: Objective,
    recipe: Recipe,
    *,
    seed: int,
    coefficient: Callable[[int], float] = lambda step: 0.0,
    rates: Mapping[str, float] | None = None,
    retract: Callable[[Mapping[str, Tensor]], None] | None = None,
    each_epoch: Callable[[int, Mapping[str, Tensor]], None] | None = None,
    shuffle: bool = True,
    static: bool = True,
    device: str | torch.device = "cpu",
    checkpoint: Path | str | None = None,
    every: float = 60.0,
    identity: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Fitted:
    """Train the network ``net`` in place.

    ``net``: the network to train; parameters with ``requires_grad`` False do not change.
    ``images``: the training images as bytes or as floats. Bytes are scaled to [0, 1] batch by batch
        on ``device``; floats are not scaled. The recipe's augmentation pads images with zeros
        before their pixel values are scaled.
    ``labels``: the classes, or for each image the probabilities of the classes.
    ``seed``: a number that determines the order of the images, their augmentation, and the random
        numbers of each training step.
    ``rates``: a dictionary from parameter names to the factors by which their learning rates are
        multiplied; all other parameters have the factor 1.
    ``retract``: a function that is called after each step with a dictionary from parameter names to
        weights. It changes the weights in place, for example to project them onto a set.
    ``each_epoch``: a function that is called after each complete epoch with the number of completed
        epochs and the ``state_dict`` (weights and buffers). Copy the tensors that you want to keep,
        because training changes them in place. If a resumed run repeats an epoch, it calls
        ``each_epoch`` again for this epoch.
    ``shuffle``: whether each epoch has a new random order. With ``shuffle`` False, images keep
        their order in every epoch.
    ``static``: whether a training step has the same operations for every batch, with all random
        numbers drawn on ``device``. Such a step is captured as a CUDA graph on a GPU. Use False if
        the operations of the objective depend on the data, or if it draws random numbers on the
        CPU.
    ``checkpoint``: the file to which the state is written about every ``every`` seconds. If the
        file exists, the run resumes from it. Raises ValueError if the file is from a run with
        another network, other initial weights, or another recipe, ``seed``, ``shuffle``, ``rates``,
        objective, ``coefficient``, ``retract`` or data set. A damaged checkpoint is renamed, and a
        warning is given.
    ``identity``: a description of the objective, which is stored in the checkpoint; by default,
        `described` makes it from the code and the closure of the objective.
    ``progress``: a function that is called about once a second with the number of completed steps
        and the number of all steps.

    Before each step, torch's global generators are seeded by (seed, step), because dropout layers
    draw random numbers from them. At the end of training, the generators get back their earlier
    state.

    Raises ``Diverged`` if a loss term, a weight or a buffer becomes NaN or infinite. On a GPU, the
    error message gives the step at which the divergence was detected, which can be later than the
    divergence.

    On a CPU, numbers with absolute values below 1.2e-38 are flushed to zero during training.
    Saturated networks have such gradients, and arithmetic with these numbers takes up to four times
    as long. Flushing works in one thread only, so training on a CPU uses one thread (see
    `arithmetic`). All arithmetic settings are restored at the end of training.

    After training, the network is in evaluation mode. If training stops with an error, each module
    of the network gets back its earlier mode (training or evaluation).
    """
    check_data(images, labels)
    if len(images) < recipe.batch_size:
        raise ValueError(
            f"batch_size must be at most {len(images)} images, got {recipe.batch_size}"
        )
    if not callable(coefficient):
        raise ValueError(f"coefficient must be a function of the step, got {coefficient!r}")
    device = resolve_device(str(device))
    number = torch.float32
    if isinstance(images, Tensor) and images.is_floating_point():
        number = images.dtype
    for dtype in (p.dtype for p in net.parameters()):
        if number != dtype and torch.float64 in (number, dtype):
            raise ValueError(
                f"net must have the dtype of the batches, {number}, got {dtype}; float images keep "
                "their dtype, and bytes become float32"
            )
    if checkpoint is not None:
        checkpoint = Path(checkpoint)
        if checkpoint.is_dir():
            raise ValueError(f"checkpoint must be a file, got the folder {checkpoint}")
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        names = {
            "recipe": described(dataclasses.asdict(recipe)),
            "seeds": [described(seed)],
            "shuffle": shuffle,
            "rates": described(dict(rates or {})),
            "objective": described(objective) if identity is None else identity,
            "coefficient": described(coefficient),
            "retract": described(retract),
            "data": fingerprint(images, labels),
            "initial weights": [_weights(net)],
        }
    else:
        names = {}  # only a checkpoint contains these descriptions
    net.to(device)
    if isinstance(images, Tensor):
        images = images.to(device)
    batches = Batches(images, labels.to(device), recipe, seed, shuffle)
    cuda = torch.device(device).type == "cuda"
    look = _LOOK_EVERY["cuda" if cuda else "cpu"]
    # Only the forward pass uses bfloat16.
    precision = "tf32" if recipe.precision == "tf32" else "float32"
    with (
        arithmetic(device, precision, flush=not cuda),
        layout(net, recipe.channels_last),
        _own_draws(device) as reseed,
        _restored_after_errors(net),
    ):
        state = State(net, recipe, rates or {}, names)
        if checkpoint is not None and checkpoint.exists():
            state.load(checkpoint)
        net.train()
        if state.step == recipe.steps:
            pass
        elif static and cuda:
            compute = graphed(objective, state, *batches.at(state.step))
        else:
            compute = plain(objective, state)
        saved = told = began = time.monotonic()
        while state.step < recipe.steps:
            reseed(state.step, seed)
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
            state.running = state.running + values
            state.step += 1
            ended = state.step % batches.per_epoch == 0 or state.step == recipe.steps
            if ended or state.step % look == 0:
                _refuse_nonfinite(state)
            if ended:
                state.history.append(state.running / ((state.step - 1) % batches.per_epoch + 1))
                state.running = torch.zeros_like(state.running)
            if each_epoch is not None and state.step % batches.per_epoch == 0:
                each_epoch(state.step // batches.per_epoch, net.state_dict())
            now = time.monotonic()
            if progress is not None and now - told > 1:
                told = now
                progress(state.step, recipe.steps)
            if checkpoint is not None and now - saved > every:
                _refuse_nonfinite(state)
                state.refuse_nonfinite()
                state.save(checkpoint, now - began)
                saved = now
        seconds = state.seconds + time.monotonic() - began
        state.refuse_nonfinite()
        if checkpoint is not None:
            state.save(checkpoint, time.monotonic() - began)
        for p in state.weights.values():
            p.grad = None
    net.eval()
    history = torch.stack(state.history).cpu()  # (epochs, terms)
    return Fitted({name: history[:, i] for i, name in enumerate(state.names)}, seconds)


@contextlib.contextmanager
def _restored_after_errors(net: nn.Module) -> Iterator[None]:
    """If training stops with an error, give each module its former mode (training or evaluation),
    and remove the gradients.
    """
    modes = [(module, module.training) for module in net.modules()]
    try:
        yield
    except BaseException:  # also for Ctrl-C
        for module, training in modes:
            module.training = training
        net.zero_grad()
        raise


@contextlib.contextmanager
def _own_draws(device: str | torch.device) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that gets a step number and a seed, and seeds torch's global generators by
    both. Layers such as dropout can draw only from these generators. When the context ends, restore
    their former state.
    """
    place = torch.device(device)
    cuda = [place] if place.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        generators = [torch.default_generator]
        if cuda:
            index = torch.cuda.current_device() if place.index is None else place.index
            generators.append(torch.cuda.default_generators[index])

        def begin(step: int, seed: int) -> None:
            for own in generators:
                own.manual_seed(generator(seed, "step", step).initial_seed())

        yield begin


def _weights(net: nn.Module) -> str:
    """Return a hash of the parameters and buffers."""
    return digest(dict([*net.named_parameters(), *net.named_buffers()]))


def _located(step: int, compute: Step, *arguments: Any) -> Tensor:
    """Make one training step and return its loss terms. If `Diverged` is raised, add the step
    number to the error message. Raise ValueError if torch's cross entropy reports that a label is
    too large; torch reports this only on a CPU.
    """
    try:
        return compute(*arguments)
    except Diverged as error:
        raise Diverged(f"at step {step}, {error}; the last good checkpoint is kept") from None
    except IndexError as error:
        if wrong := re.fullmatch(r"Target (-?\d+) is out of bounds\.", str(error)):
            raise ValueError(
                "labels must be class numbers below the number of logits of the network, "
                f"got {wrong[1]}"
            ) from error
        raise


def _refuse_nonfinite(state: State) -> None:
    """Raise `Diverged` if a loss term of the current epoch was NaN or infinite. Their sums keep
    this, also from steps whose own terms were not looked at.
    """
    values = state.running
    if not bool(values.isfinite().all()):
        term = int((~values.isfinite()).nonzero()[0])
        raise Diverged(
            f"{state.names[term]} became {values[term].item()} at step {state.step - 1}; "
            "the last good checkpoint is kept"
        )
