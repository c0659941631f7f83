"""Reproduce the attack by Adam of Nayebi & Ganguli 2017 (Section 7).

Each of ten source images is attacked nine times, once with each other class as the target class:
Adam changes the image until the network predicts this class.

The paper mentions neither a bound on the perturbation nor clipping, and this study uses neither. So
it asks only whether the network finally predicts the target class, not how large the perturbation
is. The paper states no step size; for the comparison with it, we fixed 0.01 before the runs
of the page.
"""

from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

import torch

from robustbook.attacks import adam
from robustbook.ledger import Row
from robustbook.runs import Call, Context, Done, step

from .networks import test_images, train, trained
from .settings import COMPARED, TEST, mlps
from .targeted import PRECISIONS, RULES, Precision, Rule, pairs, sources

# Each factor gives one more variant in float32, with the step size multiplied and the number of
# steps divided by it.
FASTER = (3, 10)
PRINTED = 30_000_000  # the largest number of Adam's steps in the paper


@step(version=1)
def descents(
    network: Done,
    rule: Rule,
    precision: Precision,
    step_size: float,
    steps: int,
    images: int,
    *,
    context: Context,
) -> dict[str, object]:
    """Run Adam on the 90 pairs of a source image and a target class; each result has one value per
    pair.

    ``source``, ``target``: the class of the source image and the target class.
    ``found``: whether the attack succeeded.
    ``steps``: the number of Adam steps.
    ``moved``: the absolute change of the pixels by the attack, averaged over the pixels.

    The source images are chosen among ``images`` test images.
    """
    net = trained(network, context.device)
    training = network.call.arguments["training"]
    x, y = test_images(training.data, images, context.device)
    name = f"the {training.method} {training.network}"
    at, source, target = pairs(sources(net, x, y, rule, name))
    dtype = getattr(torch, precision)
    start = x[at].to(dtype)
    end = adam(
        net.to(dtype), start, source, targets=target, steps=steps, step_size=step_size, clip=False
    )
    return {
        "source": source.tolist(),
        "target": target.tolist(),
        "found": end.found.tolist(),
        "steps": end.steps.tolist(),
        "moved": (end.images - start).abs().flatten(1).mean(1).tolist(),
    }


@step(version=1)
def apart(network: Done, rule: Rule, images: int, *, context: Context) -> dict[str, object]:
    """Return how much the pixels change on average if each source image is replaced by the source
    image of the target class.

    The network then predicts the target class, so this is a baseline for the perturbations that
    Adam needs. The result ``moved`` is the median over all pairs of the absolute change, averaged
    over the pixels.
    """
    net = trained(network, context.device)
    x, y = test_images(network.call.arguments["training"].data, images, context.device)
    of_class = sources(net, x, y, rule)
    at, _, target = pairs(of_class)
    return {"moved": (x[at] - x[of_class[target]]).abs().flatten(1).mean(1).median().item()}


def settings(step_size: float, steps: int) -> list[tuple[Precision, float, int]]:
    """Return a triple (precision, step size, number of steps) for each variant of Adam; the first
    is compared with the paper.
    """
    faster = [(round(step_size * times, 6), max(1, steps // times)) for times in FASTER]
    return [
        *((precision, step_size, steps) for precision in PRECISIONS),
        *(("float32", size, fewer) for size, fewer in faster),
    ]


def calls(
    profile: str, seeds: tuple[int, ...], step_size: float, steps: int
) -> dict[tuple[Any, ...], Call]:
    """Return the computations that the study runs, as a dict whose keys are tuples.

    An attack has the key ("descents", method, rule, precision, step size, seed), and the baseline
    without an attack ("apart", method, rule, seed).
    """
    networks, images = mlps(profile), TEST[profile]
    swapped = {
        ("apart", method, rule, seed): apart(
            train(networks["sigmoid-mlp", method], seed), rule, images
        )
        for method in COMPARED
        for rule in RULES
        for seed in seeds
    }
    return swapped | {
        ("descents", method, rule, precision, size, seed): descents(
            train(networks["sigmoid-mlp", method], seed), rule, precision, size, most, images
        )
        for method in COMPARED
        for rule in RULES
        for precision, size, most in settings(step_size, steps)
        for seed in seeds
    }


def rows(
    results: Mapping[tuple[Any, ...], Done], seeds: tuple[int, ...], step_size: float
) -> Iterator[Row]:
    """Yield the results that test the four claims of Section 7 about Adam, and those of each
    variant of Adam on each kind of source images.
    """
    for seed in seeds:
        found = {
            key[1:-1]: done.values
            for key, done in results.items()
            if (key[0], key[-1]) == ("descents", seed)
        }
        vanilla = [found["vanilla", rule, "float32", step_size] for rule in RULES]
        saturated = [found["saturated", rule, "float32", step_size] for rule in RULES]
        main = results["descents", "saturated", RULES[0], "float32", step_size, seed]
        yield from _claims(vanilla, saturated, seed, main.call.arguments["steps"])
        for method in COMPARED:
            for rule in RULES:
                single, double = (found[method, rule, p, step_size]["found"] for p in PRECISIONS)
                differ = sum(a != b for a, b in zip(single, double, strict=True))
                where: dict[str, str | float | int | bool] = {"method": method, "rule": rule}
                yield Row(differ, "count", None, "precisions differ", seed, setting=where)
                swapped = results["apart", method, rule, seed].values["moved"]
                yield Row(swapped, "none", None, "moved, swapped", seed, setting=where)
        for (method, rule, precision, size), values in found.items():
            labels: dict[str, str | float | int | bool]
            labels = {"method": method, "rule": rule, "precision": precision, "step_size": size}
            reached = values["found"]
            yield Row(90 - sum(reached), "count", None, "failures", seed, setting=labels)
            yield Row(int(_fooled(values, 3, 7)), "count", None, "3 to 7", seed, setting=labels)
            taken = _steps(values)
            if taken:
                yield Row(median(taken), "count", None, "iterations", seed, setting=labels)
            for name, wanted in (("moved, found", True), ("moved, failed", False)):
                moved = [m for m, f in zip(values["moved"], reached, strict=True) if f is wanted]
                if moved:
                    yield Row(median(moved), "none", None, name, seed, setting=labels)


def _claims(
    vanilla: list[dict[str, Any]], saturated: list[dict[str, Any]], seed: int, most: int
) -> Iterator[Row]:
    """Yield the results that test the paper's claims about Adam. Except for the number of failures,
    each result is for the least and the most confident source images together.

    The paper starts from the image on which the network is "either least or most confident", and
    does not say from which of them Adam fails. So on the saturated network, we count the failures
    for each kind of source images, and take the smaller number. An attack that fails within
    ``most`` steps may succeed within the paper's larger number of steps, so the count is measured
    in another setting than the paper's.
    """
    target = "saturating/text-7/adam"
    taken = [n for values in vanilla for n in _steps(values)]
    reached = [f for values in vanilla for f in values["found"]]
    if taken:
        yield Row(median(taken), "count", f"{target}/vanilla-iterations", seed=seed)
    share = sum(reached) / len(reached)
    yield Row(share, "fraction", f"{target}/vanilla-success", seed=seed)
    fooled = any(_fooled(values, 3, 7) for values in saturated)
    yield Row(int(fooled), "count", f"{target}/saturated-3-to-7", seed=seed)
    failures = min(90 - sum(values["found"]) for values in saturated)
    differs = f"at most {most:,} steps of Adam for each pair, the paper up to {PRINTED:,}"
    yield Row(failures, "count", f"{target}/saturated-failures", seed=seed, differs=differs)


def _steps(values: Mapping[str, Any]) -> list[int]:
    """Return the number of steps for each pair on which Adam reached the target class."""
    return [n for n, found in zip(values["steps"], values["found"], strict=True) if found]


def _fooled(values: Mapping[str, Any], source: int, target: int) -> bool:
    of = list(zip(values["source"], values["target"], strict=True))
    return bool(values["found"][of.index((source, target))])
