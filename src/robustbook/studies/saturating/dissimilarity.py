"""Reproduce Figures 3 and 7 of Nayebi & Ganguli 2017: the dissimilarity of images in each layer.

In layer l, the dissimilarity of two images is the mean squared difference of their activations
phi(h^l), over the units of the layer (equation 9). The dissimilarity is computed for every two of
1000 test images, 100 of each class. In equation 9 the paper applies phi, the nonlinearity of the
hidden layers, to all layers. So for the comparison with the paper, we apply phi also to the logits
of the last layer. But the network itself applies a softmax to the logits, so the study also
measures the dissimilarity of the softmax outputs.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from robustbook.data import as_float, load
from robustbook.ledger import Record, Row
from robustbook.measures import class_means, dissimilarity, preactivations
from robustbook.networks import MLP
from robustbook.randomness import generator
from robustbook.runs import Call, Context, Done, step
from robustbook.studies import parameters
from robustbook.studies.parameters import STRICT

from .networks import train, trained
from .settings import COMPARED, compared

PAPER = "saturating"
LAYERS = ("1", "2", "3", "softmax")  # phi(h^1), phi(h^2), phi(h^3); softmax(h^3)
# Two ways to measure the last of the three layers: phi or softmax.
PHI, SOFTMAX = ("1", "2", "3"), ("1", "2", "softmax")
SIDE = 100  # a matrix is averaged over SIDE x SIDE blocks before it is drawn


@dataclass(frozen=True, config=STRICT)
class Parameters(parameters.Parameters):
    """The parameters that a reader can set on the pages of Figures 3 and 7."""

    own_seeds: ClassVar = {"quick": (0,), "paper": (0, 1, 2, 3, 4)}
    per_class: Annotated[
        int,
        Field(ge=10, le=100, multiple_of=10, description="images per class: 10, 20, ... 100"),
    ] = 100  # with profile quick 40
    near_zero: Annotated[
        float,
        Field(gt=0, le=1, description="a ratio of within to between, above 0, at most 1"),
    ] = 0.25  # "within" counts as 0 up to this fraction of "between"

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Return the thresholds 0.1, 0.5 and ``near_zero`` for the ratio of the dissimilarity
        within classes to that between classes, in ascending order, without repetition.
        """
        return tuple(sorted({0.1, self.near_zero, 0.5}))


def sample(data: str, per_class: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return random test images in [0, 1], ``per_class`` of each class and sorted by class, and
    their labels.

    The choice depends only on the seed, so all networks with the same seed are measured on the same
    images.
    """
    test, chance = load(data, "test"), generator(seed, "dissimilarity")
    rows = []
    for label in range(test.classes):
        of_class = (test.labels == label).nonzero()[:, 0]
        rows.append(of_class[torch.randperm(len(of_class), generator=chance)[:per_class]])
    chosen = torch.cat(rows)
    return as_float(test.images[chosen]), test.labels[chosen]


@step(version=1)
def dissimilarities(network: Done, per_class: int, *, context: Context) -> dict[str, object]:
    """Measure the dissimilarity of images in one network, for each of the layers in ``LAYERS``.

    ``within``: the mean dissimilarity of two images of the same class.
    ``between``: the mean dissimilarity of two images of different classes.
    ``matrices``: the dissimilarity matrices for the figure, averaged over blocks to ``SIDE`` rows
        and columns.
    """
    net = trained(network, context.device)
    assert isinstance(net, MLP)
    arguments = network.call.arguments
    images, labels = sample(arguments["training"].data, per_class, arguments["seed"])
    labels = labels.to(context.device)
    hs = preactivations(net, images.to(context.device))
    # We use float64, because in float32 the softmax of such large logits is exactly 0 or 1.
    seen = [net.activation(h.double()) for h in hs] + [hs[-1].double().softmax(1)]
    matrices = [dissimilarity(activations) for activations in seen]
    means = [class_means(matrix, labels) for matrix in matrices]
    blocks = F.avg_pool2d(torch.stack(matrices)[:, None], len(labels) // SIDE)
    return {
        "within": [within for within, _ in means],
        "between": [between for _, between in means],
        "matrices": blocks[:, 0].cpu(),
    }


def calls(network: str, p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the computations that the study runs, as a dict with one entry per pair (method,
    seed).
    """
    size = min(p.per_class, 40) if p.profile == "quick" else p.per_class
    return {
        (method, seed): dissimilarities(train(training, seed), size)
        for seed in p.seeds
        for (of, method), training in compared(p.profile, seed).items()
        if of == network
    }


def condense(item: str, p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the tests of the paper's two patterns, the mean dissimilarities in each layer, and the
    dissimilarity matrices of the first seed.

    A dissimilarity matrix is symmetric, so only the entries on and below its diagonal are stored,
    row by row.
    """
    rows: list[Row] = []
    arrays: dict[str, object] = {}
    lower = torch.tril_indices(SIDE, SIDE)
    for (method, seed), done in results.items():
        rows += _layers(item, method, seed, done.values)
        if seed == p.seeds[0] and method in COMPARED:
            for layer, matrix in zip(LAYERS, done.tensors["matrices"], strict=True):
                half = matrix[lower[0], lower[1]].tolist()
                arrays[f"matrix/{method}/{layer}"] = [float(f"{value:.4g}") for value in half]
    for seed in p.seeds:
        rows += _claims(item, p, seed, {m: results[m, seed].values for m in COMPARED})
    return p.record(PAPER, item, rows, arrays)


def _over(a: float, b: float) -> float:
    """Return a / b, or 1 if b is 0. For example, b is 0 if a layer gives the same output for all
    images.
    """
    return a / b if b else 1.0


def _layers(item: str, method: str, seed: int, values: Mapping[str, Any]) -> Iterator[Row]:
    for layer, within, between in zip(LAYERS, values["within"], values["between"], strict=True):
        setting: dict[str, str | float | int | bool] = {"method": method, "layer": layer}
        judged = method in COMPARED and layer in PHI
        target = f"{PAPER}/{item}/layer-{layer}/between-{method}" if judged else None
        ratio = _over(within, between)
        yield Row(between, "none", target, "between", seed, setting=setting)
        yield Row(within, "none", None, "within", seed, setting=setting)
        yield Row(ratio, "ratio", None, "within over between", seed, setting=setting)


def _claims(
    item: str, p: Parameters, seed: int, values: Mapping[str, Mapping[str, Any]]
) -> Iterator[Row]:
    """Yield the tests of the paper's two patterns, once with phi and once with the softmax in the
    last layer.

    The first pattern is that the dissimilarity within classes is near zero, compared with that
    between classes. The second pattern is that the dissimilarity grows with the depth of the layer.
    """
    between, ratio = {}, {}
    for method, of in values.items():
        pairs = zip(of["within"], of["between"], strict=True)
        between[method] = dict(zip(LAYERS, of["between"], strict=True))
        ratio[method] = dict(zip(LAYERS, (_over(*pair) for pair in pairs), strict=True))
    for readout, layers in (("phi", PHI), ("softmax", SOFTMAX)):
        largest = max(ratio[method][layer] for method in COMPARED for layer in layers)
        for threshold in p.thresholds:
            main = readout == "phi" and threshold == p.near_zero
            yield Row(
                largest,
                "ratio",
                f"{PAPER}/{item}/within-near-zero" if main else None,
                "within near zero",
                seed,
                holds=largest <= threshold,
                setting={"readout": readout, "threshold": threshold},
            )
        for method in COMPARED:
            # The smallest ratio of a layer's dissimilarity to the previous layer's; it is above 1
            # if every layer increases the dissimilarity.
            steps = list(pairwise(layers))
            growth = {
                "between": min(_over(between[method][b], between[method][a]) for a, b in steps),
                "between over within": min(
                    _over(ratio[method][a], ratio[method][b]) for a, b in steps
                ),
            }
            for measure, factor in growth.items():
                main = (readout, method, measure) == ("phi", "saturated", "between")
                yield Row(
                    factor,
                    "none",
                    f"{PAPER}/{item}/grows-with-depth" if main else None,
                    "grows with depth",
                    seed,
                    holds=factor > 1,
                    setting={"readout": readout, "method": method, "measure": measure},
                )
