"""Run the Adam attack: minimise a loss over an image's pixels until the attack succeeds.

The attack applies algorithm 1 of Kingma and Ba 2015, "Adam: a method for stochastic optimization"
(arXiv 1412.6980), to the pixels of each image. Let g be the gradient of the loss, a the step size,
and b1 and b2 the decay rates. Step t of the attack updates the moments m and v and each pixel x:

    m <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g^2,
    x <- x - a (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon).

Nayebi and Ganguli 2017 (arXiv 1703.09202), section 7, use this attack with a target class.
They mention neither a bound on the distance nor clipping; this code clips iterates to [0, 1] by
default.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .checks import (
    Count,
    Number,
    PerImage,
    check_count,
    check_momentum,
    check_positive,
    pick,
    prepare,
)
from .losses import Loss
from .norms import per_image
from .propagation import LOOK_EVERY, Average, Model
from .result import Adversarial, judged


@torch.inference_mode(False)
def adam(
    model: Model,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    *,
    targets: Int[Tensor, " n"] | None = None,
    steps: Count,
    step_size: PerImage = 0.01,
    betas: tuple[Number, Number] = (0.9, 0.999),
    epsilon: Number = 1e-8,
    loss: str | Loss = "cross_entropy",
    clip: bool = True,
    draws: Count = 1,
    average: Average = "loss",
    judge: Count = 1,
    keys: Int[Tensor, " n"] | None = None,
    generator: torch.Generator | None = None,
) -> Adversarial:
    """Minimise the loss of each image until the attack succeeds or all steps are used.

    The attack neither bounds nor minimises the distance. It returns the first iterate on which it
    succeeds. If it never succeeds, it returns the last iterate, and `found` is False in the result.
    So the l2 distance in the result says only how far the attack moved the image; this distance
    does not measure the network's robustness.

    ``model``: a function from images to logits (see `fgsm`).
    ``images``: the clean images, in [0, 1].
    ``labels``: the true classes.
    ``loss``: the loss, as a name or a function (see `fgsm`); the default is the cross entropy.
    ``targets``: the target class of each image; None (default) for an untargeted attack.
    ``steps``: maximum number of updates, 1 or more.
    ``step_size``: Adam's learning rate for pixels in [0, 1], one number or one for each image. The
        default is 0.01, which is our choice, because the paper states no learning rate.
    ``betas``: decay rates of the two moments, each in [0, 1); default (0.9, 0.999), as proposed by
        Adam's authors.
    ``epsilon``: the number that is added to the square root of the second moment; default 1e-8, as
        proposed by Adam's authors. In a saturated network, the gradient can be far smaller than
        epsilon. Then a pixel moves by only step_size * gradient / epsilon, and the attack hardly
        changes the image.
    ``clip``: whether iterates are clipped to [0, 1]; default True, our choice.
    ``draws``: for a randomised model, the number of noise draws over which each gradient is
        averaged. Each step uses new draws, which also decide whether the attack has succeeded.
    ``judge``: for a randomised model, the number of new noise draws in the final evaluation.
    ``average``: whether losses ("loss") or probabilities ("probability") are averaged over the
        noise draws.
    ``keys``: for a randomised model, one number for each image, which determines the image's noise
        (see `fgsm`).
    ``generator``: a torch generator that gives the seed of the noise, as in `fgsm`.

    If the attack already succeeds on the clean image, it returns this image after 0 steps. Each
    step costs a forward and a backward pass of all images on which the attack has not succeeded
    yet. Success is checked at the start of the next step. So if the attack succeeds after k steps,
    and k is below `steps`, the image costs k + 1 forward and backward passes. The final evaluation
    costs a forward pass of all images. On a GPU, images on which the attack has succeeded are
    removed only every 10 steps, because each removal makes the CPU wait for the GPU. Raises
    ValueError for an invalid argument, or a model that returns NaN.
    """
    steps = check_count("steps", steps)
    betas, epsilon = check_momentum("betas", betas), check_positive("epsilon", epsilon)
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
    rate, aim = check_positive("step_size", step_size, images), goal

    adversarial = images.clone()
    spent = torch.zeros_like(goal.labels)
    # The images on which the attack has not succeeded yet.
    rows = torch.arange(len(images), device=images.device)
    iterate, first, second = images.clone(), torch.zeros_like(images), torch.zeros_like(images)
    done = torch.zeros_like(goal.labels, dtype=torch.bool)
    every = LOOK_EVERY.get(images.device.type, 10)
    for step in range(1, steps + 1):
        logits, _, gain = propagation.both(iterate, aim, step)
        done |= aim.reached(logits)
        first.lerp_(gain, 1 - betas[0])  # the gain is minus the loss, so the step is added below
        second.mul_(betas[1]).addcmul_(gain, gain, value=1 - betas[1])
        root = (second.sqrt() / (1 - betas[1] ** step) ** 0.5).add_(epsilon)
        length = rate / (1 - betas[0] ** step)
        if isinstance(length, Tensor):
            moved = torch.addcdiv(iterate, per_image(length, iterate) * first, root)
        else:
            moved = torch.addcdiv(iterate, first, root, value=length)
        if clip:
            moved.clamp_(0, 1)
        iterate = torch.where(per_image(done, iterate), iterate, moved)
        spent[rows] += ~done
        if step % every == 0 and bool(done.any()):
            adversarial[rows] = iterate
            stay = (~done).nonzero().squeeze(1)
            rows, done, aim, rate = rows[stay], done[stay], aim.rows(stay), pick(rate, stay)
            iterate, first, second = iterate[stay], first[stay], second[stay]
            if not len(rows):
                break
    adversarial[rows] = iterate

    return judged(propagation, goal, images, adversarial, 2.0, spent)
