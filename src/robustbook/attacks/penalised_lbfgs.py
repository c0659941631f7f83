"""Run the L-BFGS attack of the first paper on adversarial images, with a penalty on the distance.

Szegedy, Zaremba, Sutskever, Bruna, Erhan, Goodfellow and Fergus 2014, "Intriguing properties of
neural networks" (arXiv 1312.6199), section 4.1, use L-BFGS to minimise the following function of
the perturbation r:

    c |r|^2 + l(f(x + r), t),   x + r in [0, 1],

Here l is the cross entropy and t the target class. A line search chooses c. The paper asks for the
smallest c > 0 with which the attack succeeds. But a smaller c gives a larger perturbation, so this
code searches for the largest c with which the attack succeeds. The paper does not say whether the
norm is squared. This code squares it, because the squared norm has a gradient at r = 0.
"""

import math

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from .checks import (
    Count,
    Number,
    PerImage,
    check_count,
    check_positive,
    check_tolerance,
    prepare,
)
from .goal import Goal
from .lbfgs import Searches
from .losses import Loss
from .norms import size, top
from .propagation import Average, Model, Propagation
from .result import Adversarial, judged, nearer

FACTOR = 10.0
"""The factor between successive values of c, until the attack has succeeded with one value and
failed with another.
"""


@torch.inference_mode(False)
def penalised_lbfgs(
    model: Model,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    *,
    targets: Int[Tensor, " n"] | None = None,
    c: PerImage = 1.0,
    searches: Count = 10,
    steps: Count = 100,
    history: Count = 10,
    gtol: Number = 1e-5,
    ftol: Number = 1e-6,
    loss: str | Loss = "cross_entropy",
    clip: bool = True,
    draws: Count = 1,
    average: Average = "loss",
    judge: Count = 1,
    keys: Int[Tensor, " n"] | None = None,
    generator: torch.Generator | None = None,
) -> Adversarial:
    """Minimise c times the squared l2 distance plus the loss by L-BFGS, separately for each image,
    and search for the largest c with which the attack succeeds.

    ``model``: a function from images to logits (see `fgsm`).
    ``images``: the clean images, in [0, 1].
    ``labels``: the true classes.
    ``targets``: the target class of each image, as in the paper; None (default) for an untargeted
        attack, which increases the loss of the label.
    ``c``: the first value that is tried for the weight of the squared distance, above 0: one
        number, or one for each image.
    ``searches``: how many values of c are tried for each image, each time from the clean image. The
        weight c is multiplied by 10 while the attack succeeds and divided by 10 while it fails.
        Once the attack has both succeeded and failed, the next c is the geometric mean of the
        largest successful and the smallest failing c.
    ``steps``: maximum number of accepted iterates for each value of c.
    ``history``: how many recent steps L-BFGS keeps, each with its change of the gradient, as in
        `lbfgs`.
    ``gtol``: the stopping tolerance for the gradient, as in `lbfgs`.
    ``ftol``: the stopping tolerance for the decrease of the loss, as in `lbfgs`.
    ``loss``: the loss that is added to c times the squared distance, as a name or a function (see
        `fgsm`). The default is the cross entropy, as in the paper.
    ``clip``: whether iterates are clipped to [0, 1]; default True, as in the paper.
    ``draws``: for a randomised model, the number of noise draws over which the loss is averaged;
        all passes of the attack use the same draws.
    ``judge``: for a randomised model, the number of new noise draws in the final evaluation.
    ``average``: whether losses ("loss") or probabilities ("probability") are averaged over the
        noise draws.
    ``keys``: for a randomised model, one number for each image, which determines the image's noise
        (see `fgsm`).
    ``generator``: a torch generator that gives the seed of the noise, as in `fgsm`.

    The attack succeeds with a value of c if the iterate at the end of the minimisation is
    misclassified (with targets: classified as the target). The attack returns the nearest image
    with which it succeeds or, if it fails with every value of c, the clean image and the distance
    infinity. A clean image that the model already misclassifies has distance 0. The field `steps`
    of the result counts the computed gradients: for each value of c, one at the clean image and one
    for each trial step of L-BFGS. Each gradient costs a forward and a backward pass. Raises
    ValueError for an invalid argument, or a model that returns NaN.
    """
    searches, steps = check_count("searches", searches), check_count("steps", steps)
    history = check_count("history", history)
    tolerances = check_tolerance("gtol", gtol), check_tolerance("ftol", ftol)
    propagation, goal, images = prepare(
        model,
        images,
        labels,
        targets,
        keys,
        loss=loss,
        clip=clip,
        draws=draws,
        average=average,
        judge=judge,
        generator=generator,
    )
    weight = torch.as_tensor(
        check_positive("c", c, images), dtype=torch.float64, device=images.device
    ).expand(len(images))
    low, high = torch.zeros_like(weight), torch.full_like(weight, math.inf)
    reached = goal.reached(propagation.logits(images, goal))
    best, nearest = images.clone(), images.new_full((len(images),), math.inf)
    nearest = nearest.masked_fill(reached, 0)
    spent = torch.zeros_like(goal.labels)
    rows = (~reached).nonzero().squeeze(1)
    for _ in range(searches if len(rows) else 0):
        here, at = goal.rows(rows), images[rows]
        point, made = _minimised(
            propagation, here, at, weight[rows], steps, history, *tolerances, clip
        )
        spent[rows] += made
        success = here.reached(propagation.logits(point, here))
        distance = size(point - at, 2.0)
        best[rows], nearest[rows] = nearer(best[rows], nearest[rows], point, distance, success)
        low[rows] = torch.where(success, weight[rows], low[rows])
        high[rows] = torch.where(success, high[rows], weight[rows])
        weight = torch.where(high.isinf(), low * FACTOR, (low * high).sqrt())
        weight = torch.where(low == 0, high / FACTOR, weight)
    return judged(propagation, goal, images, best, 2.0, spent, minimal=True)


def _minimised(
    propagation: Propagation,
    goal: Goal,
    images: Float[Tensor, "n *shape"],
    weight: Float64[Tensor, " n"],
    steps: int,
    history: int,
    gtol: float,
    ftol: float,
    clip: bool,
) -> tuple[Float[Tensor, "n *shape"], Int[Tensor, " n"]]:
    """Minimise the penalised loss, starting at the clean images. Return the last iterates, and the
    number of gradients that were computed for each image.
    """
    last = images.clone()
    searches = _Penalised(propagation, goal, images, weight, history, gtol, ftol, clip)
    _, trials = searches.run(steps, last)
    return last, 1 + trials


class _Penalised(Searches):
    """L-BFGS searches that minimise the loss plus the penalty on the distance. Unlike `Searches`,
    these searches go on after the first adversarial image.
    """

    def __init__(
        self,
        propagation: Propagation,
        goal: Goal,
        images: Float[Tensor, "n *shape"],
        weight: Float64[Tensor, " n"],
        history: int,
        gtol: float,
        ftol: float,
        clip: bool,
    ) -> None:
        self.centre, self.weight = images.flatten(1), weight
        super().__init__(propagation, goal, images, history, gtol, ftol, clip)

    def _evaluate(
        self, x: Float[Tensor, "n d"]
    ) -> tuple[
        Float64[Tensor, " n"], Float[Tensor, "n d"], Float[Tensor, " n"], Bool[Tensor, " n"]
    ]:
        f, g, _, reached = super()._evaluate(x)
        r = x - self.centre
        f = f + self.weight * r.double().square().sum(1)
        g = g + 2 * self.weight.to(x.dtype)[:, None] * r
        return f, g, top(g), torch.zeros_like(reached)
