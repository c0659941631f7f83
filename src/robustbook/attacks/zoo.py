"""Run ZOO, the attack of Carlini and Wagner with gradients estimated from the model's outputs.

ZOO is from Chen, Zhang, Sharma, Yi and Hsieh 2017 (arXiv 1708.03999); this module implements their
algorithm 2 (ZOO-Adam). Let F be the softmax probabilities, y the label and x0 the image. In each
step, along coordinates chosen at random, Adam minimises the following function:

    || x - x0 ||^2 + c max(log F_y(x) - max_(i != y) log F_i(x) + kappa, 0),   x in [0, 1].

The derivative of the second term f along a coordinate is estimated by a symmetric difference:

    (f(x + h e_i) - f(x - h e_i)) / 2h;

The derivative of the squared distance has a closed form. Differences of log F equal differences of
logits, so the code uses logits. The two images of a symmetric difference are clipped to [0, 1], and
the difference of f is divided by the distance of the clipped images. So for a pixel at 0 or 1, the
difference is one-sided. The authors' code searches for the best c, as Carlini and Wagner do; this
code takes c as an argument. The authors' code has two more options, which this code lacks. The
first is to minimise over w, with x = (tanh(w) + 1) / 2, instead of over x. The second is to attack
large images at a low resolution first.

For a randomised model, f(x + h e_i) and f(x - h e_i) are computed with different noise. So the
variance of the estimated derivative is proportional to 1 / h^2. Averaging f over several noise
draws divides the variance by the number of draws.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .carlini_wagner import hinge_of, succeeds
from .checks import Count, Number, PerImage, check_count, check_positive, check_tolerance, prepare
from .goal import Goal
from .noise import uniform
from .norms import size
from .propagation import Model, Propagation
from .result import Adversarial, judged, nearer

_AT_ONCE = 512  # approximate number of rows in a forward pass


@torch.inference_mode(False)
def zoo(
    model: Model,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    *,
    c: PerImage,
    steps: Count = 1000,
    coordinates: Count = 128,
    h: Number = 1e-4,
    step_size: Number = 0.01,
    kappa: Number = 0.0,
    targets: Int[Tensor, " n"] | None = None,
    draws: Count = 1,
    judge: Count = 1,
    keys: Int[Tensor, " n"] | None = None,
    generator: torch.Generator | None = None,
) -> Adversarial:
    """Minimise the squared l2 distance plus c times a hinge along random coordinates, with
    derivatives estimated from the model's logits.

    ``model``: a function from images to logits (see `fgsm`); the attack does not use its gradient.
    ``images``: the clean images, in [0, 1].
    ``labels``: the true classes.
    ``c``: the weight of the hinge, above 0: one number, or one for each image.
    ``steps``: the number of Adam steps; in the paper 1000 on CIFAR-10 and 3000 on MNIST.
    ``coordinates``: how many pixels of an image change in a step; 128 in the paper. If the image
        has fewer pixels than `coordinates`, all its pixels change.
    ``h``: half the distance between the two images of a symmetric difference, in units of the pixel
        values; 1e-4 in the paper.
    ``step_size``: Adam's learning rate for pixel values; 0.01 in the paper.
    ``kappa``: by how much the highest logit of a wrong class must exceed the label's logit, 0 or
        above (see `carlini_wagner`).
    ``targets``: the target class of each image; None (default) for an untargeted attack.
    ``draws``: for a randomised model, the number of noise draws of each evaluation, over which the
        softmax probabilities are averaged. Each evaluation uses new draws.
    ``judge``: for a randomised model, the number of new noise draws in the final evaluation, as in
        `fgsm`.
    ``keys``: one number for each image, which determines the image's random coordinates and noise
        (see `fgsm`).
    ``generator``: a torch generator that gives the seed of all random numbers, as in `pgd`.

    If no iterate is adversarial, the attack returns the clean image and the distance infinity. A
    clean image on which the attack already succeeds has distance 0. The field `steps` of the result
    counts the steps of Adam. For each noise draw, a step costs one forward pass of the iterate, and
    two forward passes for each of its `coordinates`. Raises ValueError for an invalid argument, or
    a model that returns NaN.
    """
    steps, count = check_count("steps", steps), check_count("coordinates", coordinates)
    half: float = check_positive("h", h)
    rate = check_positive("step_size", step_size)
    confidence = check_tolerance("kappa", kappa)
    propagation, goal, images = prepare(
        model,
        images,
        labels,
        targets,
        keys,
        loss=hinge_of("logits", confidence, targets is not None),
        draws=draws,
        judge=judge,
        generator=generator,
    )
    limit = torch.finfo(images.dtype).eps / 4
    if half <= limit:
        raise ValueError(
            f"h must be above {limit:.3g}, because 1 - h is rounded to 1 in {images.dtype}, got "
            f"{half!r}"
        )
    weight = check_positive("c", c, images)
    weight = torch.as_tensor(weight, dtype=images.dtype, device=images.device).expand(len(images))
    keys = goal.keys
    assert keys is not None
    flat = images.flatten(1)
    count = min(count, flat.shape[1])
    x = flat.clone()
    mean, square, times = (torch.zeros_like(x) for _ in range(3))
    best, nearest = images.clone(), torch.full_like(weight, math.inf)

    def note(step: int) -> None:
        """Store the current iterate if it is adversarial and nearer to the clean image than all
        earlier adversarial iterates.
        """
        nonlocal best, nearest
        point = x.view_as(images)
        distance = size(point - images, 2.0)
        logits = propagation.logits(point, goal, step * (2 * count + 1))
        reached = succeeds(goal, logits, confidence)
        best, nearest = nearer(best, nearest, point, distance, reached)

    for step in range(steps):
        note(step)
        scores = uniform(propagation.seed, keys, step, x.shape[1], torch.float64)
        chosen = scores.topk(count).indices
        slope = differences(
            propagation, goal, x.view_as(images), chosen, half, step * (2 * count + 1) + 1
        )
        here = x.gather(1, chosen)
        gradient = 2 * (here - flat.gather(1, chosen)) - weight[:, None] * slope
        m = mean.gather(1, chosen).lerp(gradient, 0.1)
        v = square.gather(1, chosen).lerp(gradient.square(), 0.001)
        t = times.gather(1, chosen) + 1
        move = rate * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
        x = x.scatter(1, chosen, (here - move).clamp(0, 1))
        mean, square = mean.scatter(1, chosen, m), square.scatter(1, chosen, v)
        times = times.scatter(1, chosen, t)
    note(steps)
    spent = torch.full_like(goal.labels, steps)
    return judged(propagation, goal, images, best, 2.0, spent, minimal=True)


def differences(
    propagation: Propagation,
    goal: Goal,
    images: Float[Tensor, "n *shape"],
    coordinates: Int[Tensor, "n m"],
    h: float,
    first: int = 0,
) -> Float[Tensor, "n m"]:
    """Estimate the derivatives of the objective that the attack increases, by symmetric
    differences.

    ``coordinates``: indices into each flattened image.
    ``first``: the number of the first evaluation; the number of an evaluation determines its noise
        draws. For each of m coordinates, the model evaluates two images, each with new noise draws:
        the lower image of coordinate j has the number first + j, the higher one first + m + j.
    """
    n, m = coordinates.shape
    flat = images.flatten(1)
    at_once = max(_AT_ONCE // (2 * max(n, 1)), 1)
    found = []
    for start in range(0, m, at_once):
        chosen = coordinates[:, start : start + at_once].T  # (k, n)
        k = len(chosen)
        values = flat.gather(1, chosen.T).T
        ends = torch.stack([values - h, values + h]).clamp(0, 1)  # (2, k, n)
        points = flat.expand(2, k, *flat.shape).scatter(
            3, chosen.expand(2, k, n)[..., None], ends[..., None]
        )
        lower = torch.arange(start, start + k, device=images.device) + first
        numbers = torch.cat([lower, lower + m])
        whole = goal.repeated(2 * k)
        gain = whole.gain(
            propagation.logits(
                points.reshape(-1, *images.shape[1:]), whole, numbers.repeat_interleave(n)
            )
        )
        low, high = gain.view(2, k, n)
        found.append((high - low) / (ends[1] - ends[0]))
    return torch.cat(found).T
