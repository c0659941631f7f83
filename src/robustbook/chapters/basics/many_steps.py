"""Compute what the page on attacks with many steps shows: the paths of attacks on a network with
two inputs.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from matplotlib.figure import Figure
from torch import Tensor, nn

from robustbook import figures
from robustbook.attacks import Adversarial, carlini_wagner, ddn, deepfool, fgsm, pgd
from robustbook.chapters.wording import listed
from robustbook.figures import Paths, Plane, Table, table
from robustbook.networks import MLP, initialise
from robustbook.randomness import generator

from .networks import accuracy, apart, in_order

SIDE = 301
"""The number of grid points along each side of the unit square; neighbouring points are 1/300
apart.
"""
EPS = 0.08
STEPS = 20
STARTS = 10
PENALTY = {"c": 0.05, "steps": 150, "step_size": 0.02}
"""The options of the Carlini-Wagner attack in the figure of paths. The attack uses a single value
of c.
"""
NEAR = 1.1
"""The ratio of two distances below which they count as about the same."""
ZOOM = 0.25
"""Half the side of the square that the figure of paths shows."""


def spirals(count: int, seed: int) -> tuple[Float[Tensor, "n 2"], Int[Tensor, " n"]]:
    """Return ``count`` points in the unit square, on three noisy spiral arms. Also return for each
    point the number (0, 1 or 2) of its arm.
    """
    chance = generator(seed, "spirals")
    classes = torch.arange(count) % 3
    along = torch.rand(count, generator=chance)
    angle = 2 * math.pi * (classes / 3 + 0.55 * along)
    radius = 0.08 + 0.36 * along
    centre = 0.5 + radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    noise = 0.02 * torch.randn(count, 2, generator=chance)
    return (centre + noise).clamp(0, 1), classes


@dataclass(frozen=True)
class Study:
    """The data of the page: a network with two inputs, the test points with their classes, and the
    results of attacks on the network.

    ``regions``: the predicted class at each point of the grid, row by row from the bottom.
    ``exact``: for each norm, the distance from each test point to the nearest grid point that the
        network assigns to a class other than the test point's class.
    ``budget``: for each attack, whether each test point is still classified correctly after the
        attack with radius `EPS`. The entry for the grid search is true for a test point if no grid
        point within `EPS` of it is adversarial.
    ``minimal``: the result of each minimal-norm attack; keys are the names of the attacks.
    """

    net: nn.Module
    points: Float[Tensor, "n 2"]
    classes: Int[Tensor, " n"]
    regions: Int[Tensor, "r r"]
    exact: Mapping[float, Float[Tensor, " n"]]
    budget: Mapping[str, Bool[Tensor, " n"]]
    minimal: Mapping[str, Adversarial]


def study() -> Study:
    """Train the network, evaluate it on a grid over the plane, and run every attack of the page."""
    net, x, y = plane()
    line = torch.linspace(0, 1, SIDE)
    grid = torch.cartesian_prod(line, line)
    answers = net(grid).argmax(1)
    exact = {norm: distances(grid, answers, x, y, norm) for norm in (2.0, math.inf)}
    climb = partial(pgd, net, x, y, eps=EPS, steps=STEPS, step_size=EPS / 4)
    budget = {
        "FGSM, one step": ~fgsm(net, x, y, eps=EPS).found,
        f"PGD, {STEPS} steps from the point": ~climb(random_start=False).found,
        f"PGD, {STEPS} steps, one random start": ~climb().found,
        f"PGD, {STEPS} steps, {STARTS} random starts": ~climb(restarts=STARTS).found,
        "grid search": exact[math.inf] > EPS,
    }
    minimal = {
        "DeepFool": deepfool(net, x, y),
        "DDN": ddn(net, x, y, steps=100, scale=0.1),
        "Carlini-Wagner": carlini_wagner(net, x, y, c=0.1, steps=100, step_size=0.01, searches=6),
    }
    return Study(net, x, y, answers.view(SIDE, SIDE).T, exact, budget, minimal)


def distances(
    grid: Float[Tensor, "m 2"],
    answers: Int[Tensor, " m"],
    points: Float[Tensor, "n 2"],
    classes: Int[Tensor, " n"],
    norm: float,
) -> Float[Tensor, " n"]:
    """Return the distance from each test point to the nearest grid point that the network assigns
    to a class other than the test point's class.
    """
    found = []
    for point, own in zip(points, classes, strict=True):
        others = grid[answers != own] - point
        found.append(torch.linalg.vector_norm(others, norm, dim=1).min())
    return torch.stack(found)


class Net(nn.Module):
    """A network from points of the unit square to three logits, with two layers of 32 tanh units.

    The network first centres and scales the points, which makes training faster.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = MLP((2, 32, 32, 3), torch.tanh)
        initialise(self.body, "xavier", generator(0, "plane"))

    def forward(self, points: Float[Tensor, "n 2"]) -> Float[Tensor, "n 3"]:
        logits: Tensor = self.body(20 * (points - 0.5))
        return logits


def plane() -> tuple[nn.Module, Float[Tensor, "n 2"], Int[Tensor, " n"]]:
    """Return a trained network of two inputs, and 90 test points with their classes.

    Training takes about a second.
    """
    net = Net()
    points, classes = spirals(300, seed=0)
    weights = list(net.parameters())
    speeds = [torch.zeros_like(weight) for weight in weights]
    for _ in range(300):  # gradient descent with momentum; importing torch.optim takes seconds
        with torch.enable_grad():
            loss = F.cross_entropy(net(points), classes)
        for weight, speed, slope in zip(
            weights, speeds, torch.autograd.grad(loss, weights), strict=True
        ):
            weight.data.sub_(0.2 * speed.mul_(0.9).add_(slope))
    return net.eval().requires_grad_(False), *spirals(90, seed=1)


@dataclass
class Recorder:
    """A model that records each point at which an attack evaluates it."""

    net: nn.Module
    asked: list[Tensor] = field(default_factory=list)

    def __call__(self, points: Float[Tensor, "n 2"]) -> Float[Tensor, "n k"]:
        self.asked.append(points.detach().clone())
        logits: Tensor = self.net(points)
        return logits


def path(
    net: nn.Module, attack: Callable[[Recorder], Adversarial], last: int | None = None
) -> Float[np.ndarray, "t 2"]:
    """Return the points at which an attack evaluates the network, in the order of the evaluations.
    The attack starts from a single point.

    If the attack evaluates a point twice in a row, the point is returned only once.

    ``last``: if given, evaluations after the first ``last`` are ignored.
    """
    recorder = Recorder(net)
    attack(recorder)
    points = torch.cat(recorder.asked[:last])
    new = torch.ones(len(points), dtype=torch.bool)
    new[1:] = (points[1:] != points[:-1]).any(1)
    return points[new].numpy()


def chosen(shown: Study) -> int:
    """Return the index of a test point with three properties: FGSM fails, Carlini-Wagner succeeds,
    and PGD succeeds from about half of its random starts.
    """
    crossed = carlini_wagner(shown.net, shown.points, shown.classes, **PENALTY).found  # type: ignore[arg-type]
    rows = (shown.budget["FGSM, one step"] & crossed).nonzero().flatten()
    each = rows.repeat_interleave(STARTS)
    found = pgd(
        shown.net,
        shown.points[each],
        shown.classes[each],
        eps=EPS,
        steps=STEPS,
        step_size=EPS / 4,
        keys=torch.arange(STARTS).repeat(len(rows)),
    ).found
    successes = found.view(-1, STARTS).sum(1)
    return int(rows[(successes - STARTS / 2).abs().argmin()])


def paths(shown: Study) -> Figure:
    """Draw the paths that four attacks take from the same test point, on a map of the network's
    decision regions. A red cross marks a path that ends at an adversarial point.
    """
    i = chosen(shown)
    x, y = shown.points[i : i + 1], shown.classes[i : i + 1]

    def climb(model: Recorder, key: int) -> Adversarial:
        keys = torch.tensor([key])  # the random start belongs to the key
        return pgd(model, x, y, eps=EPS, steps=STEPS, step_size=EPS / 4, keys=keys)

    def penalise(model: Recorder) -> Adversarial:
        return carlini_wagner(model, x, y, **PENALTY)  # type: ignore[arg-type]

    starts = [path(shown.net, partial(climb, key=k), STEPS + 1) for k in range(STARTS)]
    panels = {
        "FGSM: one step": Paths([path(shown.net, lambda model: fgsm(model, x, y, eps=EPS))], EPS),
        f"PGD: {STARTS} random starts": Paths(starts, EPS),
        "DeepFool": Paths([path(shown.net, lambda model: deepfool(model, x, y))]),
        "Carlini-Wagner": Paths([path(shown.net, penalise, int(PENALTY["steps"]) + 1)]),
    }
    of = Plane(shown.regions.numpy(), shown.points.numpy(), shown.classes.numpy())
    figure = figures.plane(of, panels, (float(x[0, 0]), float(x[0, 1])), ZOOM)
    for axis, attack in zip(figure.axes, panels.values(), strict=False):
        ends = torch.from_numpy(np.stack([way[-1] for way in attack.ways]))
        for end, said in zip(ends, shown.net(ends).argmax(1), strict=True):
            if said != y:  # a success is drawn again, in red, over the black cross
                axis.plot(
                    *end.tolist(), "X", color="#C00020", markersize=9, markeredgecolor="white"
                )
    return figure


def answer(shown: Study) -> str:
    """Return a sentence that states the accuracy under PGD with restarts, and under FGSM. It says
    whether PGD clearly succeeds on more points than FGSM, with restarts and with a single run. It
    also names the attacks whose distance is, in the median, less than `NEAR` times that of the grid
    search.
    """
    first, *single, restarted, _ = shown.budget.values()
    near = [name for name in shown.minimal if _ratio(shown, name).median() < NEAR]
    start = "Restarts do" if _better(first, restarted) else "Restarts not clearly"
    alone = "do too" if any(_better(first, each) for each in single) else "not clearly"
    return (
        f"**Answer.** {start}, more steps alone {alone}: PGD with restarts leaves "
        f"{accuracy(restarted):.0f} % of the points correct, FGSM "
        f"{accuracy(first):.0f} %; {listed(near) or 'no attack'} usually "
        f"{'comes' if len(near) < 2 else 'come'} close to the nearest adversarial point."
    )


def _better(one: Bool[Tensor, " n"], other: Bool[Tensor, " n"]) -> bool:
    """Return whether the second attack clearly succeeds on more points than the first."""
    more, fewer = apart(one, other)
    return more > fewer and in_order((more, fewer))


def each_attack(shown: Study) -> str:
    """Return sentences that state the accuracy under five attacks: one step of FGSM, PGD from the
    test point itself, from one random start and from several random starts, and an exhaustive
    search over a grid of perturbations. They also state how far away the nearest adversarial point
    is, by attacks that look for it.
    """
    one, point, start, starts, truth = (accuracy(right) for right in shown.budget.values())
    ratios = {name: _ratio(shown, name).median().item() for name in shown.minimal}
    return (
        f"Within the l-infinity radius {EPS:g}, one step of FGSM leaves {one:.0f} % of "
        f"{len(shown.points)} points correctly classified. PGD with {STEPS} steps leaves "
        f"{point:.0f} % from the point itself, {start:.0f} % from one random start, and "
        f"{starts:.0f} % with {STARTS} random starts. A search of all points of a fine grid leaves "
        f"{truth:.0f} %. Attacks that look for the nearest adversarial point find, in the median, "
        f"{ratios['DeepFool']:.1f} (DeepFool) and {ratios['Carlini-Wagner']:.1f} times "
        "(Carlini-Wagner) the distance that this search finds."
    )


def restarted(shown: Study) -> str:
    """Return sentences that compare PGD from several random starts with PGD from one random
    start.
    """
    *_, start, starts, _ = shown.budget.values()
    found, lost = apart(start, starts)
    return (
        f"PGD with one random start fails on {int(start.sum())} of {len(start)} points. With "
        f"{STARTS} random starts, which include this one, it succeeds on {found} of these points, "
        f"and fails on {lost} of the others."
    )


def compared(shown: Study) -> str:
    """Return sentences that compare one step (FGSM) with many steps (PGD) on each test point. PGD
    starts at the test point itself, at one random start, or at several random starts.
    """
    one, *many, _ = shown.budget.values()
    point, start, starts = (
        f"PGD succeeds and FGSM fails on {more} of the points, and the reverse on {fewer}. "
        f"The difference {'is clear' if in_order((more, fewer)) else 'may be chance'}."
        for more, fewer in (apart(one, right) for right in many)
    )
    return (
        "We also compare PGD with one step of FGSM, point by point. A sign test at the level "
        "5 % decides whether a difference is clear.\n\n"
        f"- *PGD from the point itself*: {point}\n"
        f"- *PGD with one random start*: {start}\n"
        f"- *PGD with {STARTS} random starts*: {starts}"
    )


def budget_table(shown: Study) -> Table:
    """Return a table of the accuracy under each attack with radius eps, and under an exhaustive
    search over a grid of perturbations.
    """
    rows = [[name, f"{accuracy(right):.0f}"] for name, right in shown.budget.items()]
    return table(
        f"Percentage of {len(shown.points)} test points that are still classified correctly after "
        f"each attack with the l-infinity radius {EPS:g}. The grid search tries all points within "
        f"this radius on a grid with spacing 1/{SIDE - 1}.",
        "tab-many-steps-budget",
        ["Attack", "Correct"],
        rows,
    )


def minimal_table(shown: Study) -> Table:
    """Return a table of the distances that minimal-norm attacks find. The table also shows these
    distances divided by those that the grid search finds.
    """
    rows = []
    for name, result in shown.minimal.items():
        ratio = _ratio(shown, name)
        rows.append(
            [
                name,
                f"{result.distance.median():.3f}",
                f"{ratio.median():.1f}",
                f"{ratio.max():.1f}",
                f"{result.backwards / len(shown.points):.0f}",
            ]
        )
    rows.append(["grid search", f"{shown.exact[2.0].median():.3f}", "1", "1", "0"])
    return table(
        "Distances that minimal-norm attacks find. *Distance*: the l2 distance to the adversarial "
        "point that the attack finds (median over the test points). *Ratio*: this distance "
        "divided by the distance to the nearest adversarial grid point. The ratio may lie below "
        "1, because an adversarial point between grid points may be nearer. "
        "*Gradients*: the number of gradients per test point.",
        "tab-many-steps-minimal",
        ["Attack", "Distance", "Ratio, median", "Ratio, largest", "Gradients"],
        rows,
    )


def _ratio(shown: Study, name: str) -> Float[Tensor, " n"]:
    """Return, for test points, the distance that an attack finds divided by the distance that the
    grid search finds. The result leaves out two kinds of points: those on which the attack fails,
    and those for which the grid search finds a distance of at most two grid spacings.
    """
    result, exact = shown.minimal[name], shown.exact[2.0]
    rows = result.found & (exact > 2 / (SIDE - 1))
    return result.distance[rows] / exact[rows]
