"""Reproduce Figure 4 of Nayebi & Ganguli 2017: how the outputs of sigmoid MLPs change on the way
from one image to another.

A straight path leads from the most confidently classified test image of one class to that of
another. Along this path, the figure shows the length element (how much the outputs change per unit
of the path), the ten class probabilities, and the ten singular values of the Jacobian of the
logits.

The paper calls the length element "flat with sharp peaks". To test this, we measure the fraction of
the path on which it is below 1 % of its peak. The paper also says that "only one singular value
inflates". To test this, we count the singular values at the peak of the length element that are
above half of the largest one. The paper states no thresholds, so we chose 1 % and one half, and
also report others. Because "inflates" can also mean "grows", we also count which of the singular
values at the peak are more than twice as large as their own medians along the path.
"""

import math
from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Annotated, Any, ClassVar

import torch
from jaxtyping import Float, Int
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from robustbook.ledger import Record, Row
from robustbook.measures import resolve, walk
from robustbook.networks import Name
from robustbook.runs import Call, Context, Done, step
from robustbook.studies import parameters
from robustbook.studies.fitting import part
from robustbook.studies.parameters import STRICT

from .networks import Method, test_images, train, trained
from .settings import COMPARED, TEST, mlps

PAPER, ITEM = "saturating", "figure-4"
# The columns of the figure: the class at the start and the class at the end of the path.
PAIRS = ((1, 7), (3, 7), (6, 9), (0, 6))
# Thresholds as fractions of the peak; FLAT is used for the comparison with the paper.
FLAT, FLAT_OURS = (0.1, 0.01, 0.001), 0.01
# Thresholds as fractions of the largest singular value, and the one for the comparison.
LARGE, LARGE_OURS = (0.5, 0.1), 0.5
Labels = dict[str, str | float | int | bool]
DRAWN = 400  # at most so many points of each path are stored


def _pairs(value: object) -> object:
    if isinstance(value, list | tuple):
        return tuple(tuple(pair) if isinstance(pair, list) else pair for pair in value)
    return value


def _of_two_classes(pairs: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    if len(set(pairs)) < len(pairs) or any(source == target for source, target in pairs):
        raise ValueError("repeated, or from a class to itself")
    return pairs


Digit = Annotated[int, Field(ge=0, le=9)]


@dataclass(frozen=True, config=STRICT)
class Parameters(parameters.Parameters):
    """The parameters that a reader can set on the page of Figure 4."""

    own_seeds: ClassVar = {"quick": (0,), "paper": (0, 1, 2, 3, 4)}
    points: Annotated[
        int, Field(ge=2, le=4000, description="a number of points on each path, 2 to 4000")
    ] = 400
    pairs: Annotated[
        tuple[tuple[Digit, Digit], ...],
        Field(
            min_length=1,
            description="distinct [source, target] pairs of two digits",
        ),
        BeforeValidator(_pairs),
        AfterValidator(_of_two_classes),
    ] = PAIRS


@step(version=1)
def geometry(
    network: Done, pairs: tuple[tuple[int, int], ...], points: int, images: int, *, context: Context
) -> dict[str, object]:
    """Measure how the network's outputs change along the straight path for each pair of classes, in
    float64.

    The images at both ends are chosen among ``images`` test images. Results with ``even`` in their
    names are measured at ``points`` evenly spaced points of the path. For results with ``resolved``
    in their names, points are added where the class probabilities change abruptly.

    ``rows``: the row numbers of the two images at the ends of each path.
    ``confidence``: the network's confidence for these images.
    """
    net = trained(network, context.device).double()
    x, y = test_images(network.call.arguments["training"].data, images, context.device)
    x = x.double()
    rows, confidence = most_confident(net, x, y)
    tensors: dict[str, Tensor] = {}
    for i, pair in enumerate(pairs):
        for digit in pair:
            if rows[digit] < 0:
                raise ValueError(
                    "pairs must have digits with a correctly classified test image, got "
                    f"{digit}, of which none of {int((y == digit).sum())} is classified correctly"
                )
        source, target = x[rows[pair[0]]], x[rows[pair[1]]]
        even = torch.linspace(0, 1, points, dtype=x.dtype, device=x.device)
        for grid, halvings in (("even", 0), ("resolved", 40)):
            t, gaps = resolve(net, source, target, even, halvings=halvings)
            found = walk(net, source, target, t)
            tensors |= {f"{i}/{grid}/{k}": v.cpu() for k, v in vars(found).items()}
            tensors |= {f"{i}/{grid}/t": t.cpu(), f"{i}/{grid}/gaps": gaps.cpu()}
        context.progress(i + 1, len(pairs))
    chosen = torch.tensor(pairs)
    return {**tensors, "rows": rows[chosen].tolist(), "confidence": confidence[chosen].tolist()}


@torch.no_grad()
def most_confident(
    net: nn.Module, images: Float[Tensor, "n c h w"], labels: Int[Tensor, " n"]
) -> tuple[Int[Tensor, " k"], Float[Tensor, " k"]]:
    """Return for each class the correctly classified image with the highest confidence: its row
    number and its class probability.

    A class without a correctly classified image has row -1 and probability 0. If two probabilities
    round to the same number, the image with the larger gap between its two highest logits counts as
    more confident.
    """
    logits = torch.cat([net(batch) for batch in torch.split(images, 1000)])
    own = logits.gather(1, labels[:, None])
    others = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    lead = own[:, 0] - others
    p = logits.softmax(1).gather(1, labels[:, None])[:, 0]
    rows, best = [], []
    for digit in range(logits.shape[1]):
        right = ((labels == digit) & (lead > 0)).nonzero()[:, 0]
        ranked = sorted(right.tolist(), key=lambda row: (p[row].item(), lead[row].item()))
        rows.append(ranked[-1] if ranked else -1)
        best.append(p[ranked[-1]].item() if ranked else 0.0)
    return torch.tensor(rows), torch.tensor(best, dtype=torch.float64)


def calls(p: Parameters, network: Name = "sigmoid-mlp") -> dict[tuple[Any, ...], Call]:
    """Return the computations that the study runs, as a dict with one entry per pair (method,
    seed).
    """
    size = TEST[p.profile]
    return {
        (method, seed): geometry(
            train(mlps(p.profile)[network, method], seed), p.pairs, p.points, size
        )
        for method in COMPARED
        for seed in p.seeds
    }


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the results that are compared with the paper's numbers, the results with other
    thresholds, and the curves of the first seed.
    """
    rows: list[Row] = []
    curves: dict[str, list[Any]] = {}
    for seed in p.seeds:
        for i, pair in enumerate(p.pairs):
            apart = []
            for method in COMPARED:
                for grid in ("even", "resolved"):
                    found = path(results[method, seed], i, grid)
                    rows += readings(found, pair, method, seed, grid)
                even = path(results[method, seed], i, "even")
                if pair in PAIRS:
                    rows += _compared(even, pair, method, seed)
                apart.append(_apart(even))
                if seed == p.seeds[0]:
                    for name, curve in drawn(even).items():
                        curves.setdefault(f"{method}/{name}", []).append(curve)
            if pair in PAIRS:
                target, far = f"{_name(pair)}/length-follows-transition", max(apart)
                rows.append(Row(far, "fraction", target, seed=seed))
        if p.pairs == PAIRS:
            for method in COMPARED:
                target = f"{PAPER}/{ITEM}/grown-singular-values-{method}"
                paths = [path(results[method, seed], i, "even") for i in range(len(PAIRS))]
                rows.append(Row(fmean(map(grown, paths)), "count", target, seed=seed))
    return p.record(PAPER, ITEM, rows, curves)


def _name(pair: tuple[int, int]) -> str:
    return f"{PAPER}/{ITEM}/s{pair[0]}-t{pair[1]}"


def path(result: Done, i: int, grid: str) -> dict[str, Tensor]:
    """Return the results of ``geometry`` for the path between the classes of pair number ``i``."""
    return part(result, f"{i}/{grid}")


def readings(
    found: Mapping[str, Tensor], pair: tuple[int, int], method: Method, seed: int, grid: str
) -> Iterator[Row]:
    """Yield all measurements on one path. Among them are the peak of the length element, the flat
    fraction for each threshold in `FLAT`, and the number of large singular values for each
    threshold in `LARGE`.
    """
    labels: Labels = {"start": pair[0], "end": pair[1], "method": method, "grid": grid}
    length, values, t = found["length"], found["singular_values"], found["t"]
    peak = length.argmax()
    for threshold in FLAT:
        setting = {**labels, "threshold": threshold}
        yield Row(flat(found, threshold), "fraction", None, "flat share", seed, setting=setting)
    for threshold in LARGE:
        setting = {**labels, "threshold": threshold}
        count = large(found, threshold)
        yield Row(count, "count", None, "large singular values", seed, setting=setting)
    of_path = (values[peak, 0] / values[:, 0].max()).item()
    yield Row(of_path, "fraction", None, "largest at peak", seed, setting=labels)
    yield Row(grown(found), "count", None, "inflated singular values", seed, setting=labels)
    yield Row(_apart(found), "fraction", None, "apart", seed, setting=labels)
    yield Row(length[peak].item(), "none", None, "peak", seed, setting=labels)
    yield Row(found["gaps"].sum().item() / math.pi, "none", None, "crossings", seed, setting=labels)
    yield Row(len(t), "count", None, "points", seed, setting=labels)


def _compared(
    found: Mapping[str, Tensor], pair: tuple[int, int], method: Method, seed: int
) -> Iterator[Row]:
    """Yield the two measurements on one path that are compared with the paper's claims."""
    start = _name(pair)
    yield Row(flat(found, FLAT_OURS), "fraction", f"{start}/flat-share-{method}", seed=seed)
    yield Row(large(found, LARGE_OURS), "count", f"{start}/singular-values-{method}", seed=seed)


def flat(found: Mapping[str, Tensor], threshold: float) -> float:
    """Return the fraction of a path on which the length element is below ``threshold`` times its
    peak.
    """
    length, t = found["length"], found["t"]
    return torch.trapezoid((length < threshold * length.max()).to(t.dtype), t).item()


def large(found: Mapping[str, Tensor], threshold: float) -> int:
    """Return how many singular values at the peak of the length element exceed ``threshold`` times
    the largest singular value there.
    """
    at_peak = found["singular_values"][found["length"].argmax()]
    return int((at_peak > threshold * at_peak[0]).sum())


def grown(found: Mapping[str, Tensor]) -> int:
    """At the peak of the length element, count the singular values that are more than twice as
    large as their own medians along the path.
    """
    values = found["singular_values"]
    return int((values[found["length"].argmax()] > 2 * values.median(0).values).sum())


def _apart(found: Mapping[str, Tensor]) -> float:
    """Return how far the peak of the length element is from the point where the class probabilities
    change most steeply, as a fraction of the path.

    Both quantities are norms of the same derivative, so a small distance is weak evidence.
    Moreover, the probabilities may change faster between two of the measured points than at any of
    these points.
    """
    peaks = found["t"][torch.stack([found["length"].argmax(), found["change"].argmax()])]
    return abs(peaks[1] - peaks[0]).item()


def drawn(found: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return at most DRAWN points of a path.

    Of each section of equally many points, only the one with the largest length element is kept, so
    that no peak is lost.
    """
    stretches = torch.arange(len(found["t"])).chunk(DRAWN)
    kept = torch.stack([stretch[found["length"][stretch].argmax()] for stretch in stretches])
    return {
        "t": found["t"][kept].round(decimals=4).tolist(),
        "length": _to_a_thousandth(found["length"][kept]).tolist(),
        "probabilities": found["probabilities"][kept].T.round(decimals=3).tolist(),
        "singular": _to_a_thousandth(found["singular_values"][kept].T).tolist(),
    }


def _to_a_thousandth(values: Tensor) -> Tensor:
    """Return the values rounded to about a thousandth of the largest value."""
    return values.round(decimals=3 - math.floor(math.log10(values.max().item())))
