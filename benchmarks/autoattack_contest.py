"""Time APGD, FAB and AutoAttack of all libraries in one interleaved run, after checking results.

The module `benchmarks.autoattack` runs this module in the environment that has the libraries. All
libraries use 100 steps and one run; FAB goes to the nearest boundary of all classes. The accuracy
counts an image as correct if the attack finds no misclassified image within eps.
"""

import math
import sys
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from robustbook.attacks import apgd, autoattack, fab

from .contest import OURS, digits, interleaved, ratio, run, timed

Job = Callable[[Tensor, Tensor], Tensor]
STEPS = 100


def jobs(model: nn.Module, eps: float) -> dict[tuple[str, str], Callable[[], Job]]:
    """Return for each attack and library a function that prepares the attack."""

    def of_torchattacks(name: str, **given: Any) -> Job:
        import torchattacks

        return getattr(torchattacks, name)(model, norm="Linf", eps=eps, **given)  # type: ignore[no-any-return]

    def of_adv_lib(module: str, name: str, **given: Any) -> Job:
        from importlib import import_module

        attack = getattr(import_module(f"adv_lib.attacks.{module}"), name)
        return partial(attack, model, norm=math.inf, n_iter=STEPS, **given)

    def ours(attack: Callable[..., Any], **given: Any) -> Job:
        return lambda images, labels: attack(model, images, labels, **given).images

    return {
        ("apgd", OURS): partial(ours, apgd, eps=eps, steps=STEPS),
        ("apgd", "torchattacks"): partial(of_torchattacks, "APGD", steps=STEPS, n_restarts=1),
        ("apgd", "adv-lib"): partial(of_adv_lib, "auto_pgd", "apgd", eps=eps, loss_function="ce"),
        ("fab", OURS): partial(ours, fab, steps=STEPS),
        ("fab", "torchattacks"): partial(of_torchattacks, "FAB", steps=STEPS, n_restarts=1),
        ("fab", "adv-lib"): partial(of_adv_lib, "fast_adaptive_boundary", "fab"),
        ("autoattack", OURS): partial(ours, autoattack, eps=eps),
        ("autoattack", "torchattacks"): partial(of_torchattacks, "AutoAttack"),
    }


def contest(
    model: nn.Module, images: Tensor, labels: Tensor, eps: float, rounds: int
) -> list[dict[str, Any]]:
    """Return one row per attack and library: the accuracy under attack, the median distance of
    FAB's images, the seconds, and the ratio to our seconds.
    """
    rows: list[dict[str, Any]] = []
    for attack in ("apgd", "fab", "autoattack"):
        measures: dict[str, Callable[[], float]] = {}
        own = []
        for (kind, library), make in jobs(model, eps).items():
            if kind != attack:
                continue
            row: dict[str, Any] = {"attack": attack, "library": library}
            own.append(row)
            try:
                job = make()
                found = job(images, labels).detach()
            except Exception as error:  # if a library fails, its error is the result
                row["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
                continue
            with torch.no_grad():
                wrong = model(found).argmax(1) != labels
            sizes = (found - images).flatten(1).abs().amax(1)
            row["accuracy"] = 100 * float((~wrong | (sizes > eps + 1e-6)).double().mean())
            if attack == "fab":
                row["median_distance"] = digits(float(sizes[wrong].median()))
            measures[library] = partial(timed, partial(job, images, labels))
        seconds = interleaved(measures, rounds)
        for row in own:
            if (name := row["library"]) in measures:
                row["seconds_per_1000"] = digits(1000 / len(images) * median(seconds[name]))
                row["ratio_to_ours"] = ratio(seconds[name], seconds[OURS])
        rows += own
    return rows


if __name__ == "__main__":
    run("autoattack", contest, sys.argv[1])
