"""Time DeepFool of all libraries in one interleaved run, after checking its results.

The module `benchmarks.deepfool` runs this module in the environment that has the libraries.
"""

import sys
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from robustbook.attacks import deepfool

from .contest import interleaved, run, timed
from .rivals import classifier_of_art

Job = Callable[[Tensor, Tensor], Tensor]


def of_foolbox(model: nn.Module) -> Job:
    import foolbox

    theirs = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.L2DeepFoolAttack()
    return lambda images, labels: attack(theirs, images, labels, epsilons=None)[0]


def of_adv_lib(model: nn.Module) -> Job:
    from adv_lib.attacks.deepfool import df

    return partial(df, model)


def of_torchattacks(model: nn.Module) -> Job:
    import torchattacks

    attack: Job = torchattacks.DeepFool(model)
    return attack


def of_art(model: nn.Module) -> Job:
    from art.attacks.evasion import DeepFool

    theirs = classifier_of_art(model)

    def attack(images: Tensor, labels: Tensor) -> Tensor:
        made = DeepFool(theirs, batch_size=len(images), verbose=False)
        return torch.from_numpy(made.generate(images.numpy()))

    return attack


def ours(model: nn.Module, **options: Any) -> Job:
    return lambda images, labels: deepfool(model, images, labels, **options).images


JOBS: dict[str, Callable[[nn.Module], Job]] = {
    "robustbook": ours,
    "robustbook, 3 candidates": partial(ours, candidates=3),
    "robustbook, free": partial(ours, preset="free"),
    "robustbook, free, 3 candidates": partial(ours, preset="free", candidates=3),
    "adv-lib": of_adv_lib,
    "robustbook as adv-lib": partial(ours, preset="adversarial_library"),
    "foolbox": of_foolbox,
    "robustbook as foolbox": partial(ours, preset="foolbox"),
    "torchattacks": of_torchattacks,
    "robustbook as torchattacks": partial(ours, preset="torchattacks"),
    "adversarial-robustness-toolbox": of_art,
    "robustbook as adversarial-robustness-toolbox": partial(ours, preset="art"),
}
SLOW = ("torchattacks", "adversarial-robustness-toolbox")  # timed once, on a tenth of the images


def contest(model: nn.Module, images: Tensor, labels: Tensor, rounds: int) -> list[dict[str, Any]]:
    """Return one row per library: the results of its attack and its seconds. Slow libraries are
    timed only once, on a tenth of the images.
    """
    rows, answers, measures = [], {}, {}
    seconds: dict[str, list[float]] = {}
    for name, make in JOBS.items():
        slow = name.removeprefix("robustbook as ") in SLOW
        x, y = (
            (images[: len(images) // 10], labels[: len(labels) // 10]) if slow else (images, labels)
        )
        row: dict[str, Any] = {"library": name, "images": len(x)}
        rows.append(row)
        try:
            job = make(model)
            answers[name] = job(x, y)
        except Exception as error:  # if a library fails, its error is the result
            row["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        with torch.no_grad():
            right = model(x).argmax(1) == y
            fooled = model(answers[name]).argmax(1) != y
        sizes = (answers[name] - x).flatten(1).norm(dim=1)
        row["fooled"] = 100 * float(fooled.double().mean())
        row["mean_distance"] = float(sizes[right & fooled].mean())
        if name.startswith("robustbook as ") and (theirs := name.removeprefix("robustbook as ")):
            if theirs in answers:
                row["largest_difference"] = float((answers[name] - answers[theirs]).abs().max())
        if slow:
            seconds[name] = [timed(partial(job, x, y))]
        else:
            measures[name] = partial(timed, partial(job, x, y))
    seconds |= interleaved(measures, rounds)
    for row in rows:
        if (name := row["library"]) in seconds:
            row["seconds_per_1000"] = 1000 / row["images"] * median(seconds[name])
            if name in measures and "adv-lib" in measures:
                pairs = zip(seconds["adv-lib"], seconds[name], strict=True)
                row["times_faster_than_adv_lib"] = median(a / b for a, b in pairs)
    return rows


if __name__ == "__main__":
    run("deepfool", contest, sys.argv[1])
