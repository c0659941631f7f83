"""Time the Carlini-Wagner attack of all libraries in one interleaved run, after checking its
results.

The module `benchmarks.carlini_wagner` runs this module in the environment that has the libraries.
All libraries use Adam with the same step sizes, the same constant c and the same number of searches
over c. A library that can stop early does so.
"""

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from robustbook.attacks import carlini_wagner

from .contest import OURS, Counted, digits, floor, interleaved, ratio, run, timed
from .rivals import classifier_of_art

Job = Callable[[Tensor, Tensor], Tensor]
SLOW, FEW = 10, 10
"""If a library takes over SLOW times as long as ours, it is timed only once, on the first FEW
images.
"""


def ours(
    model: nn.Module, c: float, searches: int, steps: int, step_size: float, abandon: bool = True
) -> Job:
    def job(images: Tensor, labels: Tensor) -> Tensor:
        return carlini_wagner(
            model,
            images,
            labels,
            c=c,
            steps=steps,
            step_size=step_size,
            searches=searches,
            abandon=abandon,
        ).images

    return job


def of_foolbox(model: nn.Module, c: float, searches: int, steps: int, step_size: float) -> Job:
    import foolbox

    theirs = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=searches, steps=steps, stepsize=step_size, initial_const=c
    )
    return lambda images, labels: attack(theirs, images, labels, epsilons=None)[0]


def of_adv_lib(model: nn.Module, c: float, searches: int, steps: int, step_size: float) -> Job:
    from adv_lib.attacks.carlini_wagner import carlini_wagner_l2

    return partial(
        carlini_wagner_l2,
        model,
        binary_search_steps=searches,
        max_iterations=steps,
        learning_rate=step_size,
        initial_const=c,
    )


def of_art(model: nn.Module, c: float, searches: int, steps: int, step_size: float) -> Job:
    from art.attacks.evasion import CarliniL2Method

    theirs = classifier_of_art(model)

    def attack(images: Tensor, labels: Tensor) -> Tensor:
        made = CarliniL2Method(
            theirs,
            learning_rate=step_size,
            binary_search_steps=searches,
            max_iter=steps,
            initial_const=c,
            batch_size=len(images),
            verbose=False,
        )
        return torch.from_numpy(made.generate(images.numpy(), y=labels.numpy()))

    return attack


def of_torchattacks(model: nn.Module, c: float, searches: int, steps: int, step_size: float) -> Job:
    """Return the attack of torchattacks, which has no search over c."""
    import torchattacks

    if searches > 1:
        raise ValueError("has no search over c")
    return torchattacks.CW(model, c=c, kappa=0, steps=steps, lr=step_size)  # type: ignore[no-any-return]


def of_cleverhans(model: nn.Module, c: float, searches: int, steps: int, step_size: float) -> Job:
    from cleverhans.torch.attacks.carlini_wagner_l2 import carlini_wagner_l2

    def attack(images: Tensor, labels: Tensor) -> Tensor:
        found: Tensor = carlini_wagner_l2(
            model,
            images,
            10,
            y=labels,
            lr=step_size,
            binary_search_steps=searches,
            max_iterations=steps,
            initial_const=c,
        )
        return found

    return attack


JOBS: dict[str, Callable[[nn.Module, float, int, int, float], Job]] = {
    OURS: ours,
    "robustbook, all steps": partial(ours, abandon=False),
    "foolbox": of_foolbox,
    "adv-lib": of_adv_lib,
    "torchattacks": of_torchattacks,
    "cleverhans": of_cleverhans,
    "adversarial-robustness-toolbox": of_art,
}


def contest(
    model: nn.Module, images: Tensor, labels: Tensor, step_sizes: Sequence[float], **given: Any
) -> list[dict[str, Any]]:
    """Return one row per step size and library, with the numbers of `_of_step_size`, whose other
    arguments are ``given``.
    """
    return [
        {"step_size": step_size, **row}
        for step_size in step_sizes
        for row in _of_step_size(model, images, labels, step_size=step_size, **given)
    ]


def _of_step_size(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    c: float,
    searches: int,
    steps: int,
    step_size: float,
    rounds: int,
) -> list[dict[str, Any]]:
    """Return one row per library: its success rate, mean distance, passes through the network and
    seconds, and the ratios of its time to other times. A black image counts as a failed attack.
    """
    rows: list[dict[str, Any]] = []
    measures: dict[str, Callable[[], float]] = {}
    own = 0.0
    for name, make in JOBS.items():
        row: dict[str, Any] = {"library": name}
        rows.append(row)
        try:
            few = slice(FEW)
            made = partial(make, c=c, searches=searches, steps=steps, step_size=step_size)
            began = time.perf_counter()
            made(model)(images[few], labels[few])
            taken = time.perf_counter() - began
            own = own or taken
            slow = taken > SLOW * own
            x, y = (images[few], labels[few]) if slow else (images, labels)
            counted = Counted(model).eval()
            found = made(counted)(x, y).detach()
        except Exception as error:  # if a library fails, its error is the result
            row["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        with torch.no_grad():
            right = model(x).argmax(1) == y
            # If foolbox finds no adversarial image, it returns a black image.
            fooled = (model(found).argmax(1) != y) & found.flatten(1).any(1)
        sizes = (found - x).flatten(1).norm(dim=1)
        row["fooled"] = 100 * float(fooled.double().mean())
        row["mean_distance"] = digits(float(sizes[right & fooled].mean()))
        row["forwards_per_image"] = counted.forwards / len(x)
        row["backwards_per_image"] = counted.backwards / len(x)
        if slow:
            row |= {"images": FEW, "seconds_per_1000": digits(1000 / FEW * taken)}
            row["ratio_to_ours"] = digits(taken / own)
        else:
            measures[name] = partial(timed, partial(made(model), x, y))
    counts, n = rows[0], len(images)
    seconds = interleaved(
        {**measures, "floor": partial(floor, model, images, labels, counts)}, rounds
    )
    for row in rows:
        if (name := row["library"]) in measures:
            row["seconds_per_1000"] = digits(1000 / n * median(seconds[name]))
            row["ratio_to_ours"] = ratio(seconds[name], seconds[OURS])
            row["ratio_to_floor"] = ratio(seconds[name], seconds["floor"])
    return rows


if __name__ == "__main__":
    run("carlini_wagner", contest, sys.argv[1])
