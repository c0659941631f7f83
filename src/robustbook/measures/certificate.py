"""Compute certified l2 radii of a classifier that adds normal noise to the image.

The method is from Cohen, Rosenfeld and Kolter 2019, "Certified adversarial robustness via
randomized smoothing" (arXiv 1902.02918), section 3. For each draw of the noise, a base classifier
predicts one class; the smoothed classifier predicts the most frequent class. Let the noise on the
image be N(0, sigma^2 I), and let the base classifier predict one class with probability p > 1/2.
Then the smoothed classifier predicts this class for every image whose l2 distance from the given
image is below R:

    R = sigma Phi^-1(p),

Here Phi is the distribution function of the standard normal. The base classifier may also add noise
in its layers. Then the base classifier returns each class with a probability, and the theorem also
holds for such classifiers. The probability p is replaced by the exact lower limit of Clopper and
Pearson (1934), which is computed from counts. So the certified radius R of an image is too large
with probability at most alpha.
"""

import torch
from jaxtyping import Float, Int
from scipy.special import betaincinv
from torch import Tensor

from robustbook.attacks.buffers import unchanged
from robustbook.attacks.checks import (
    check_count,
    check_images,
    check_integers,
    check_positive,
    check_range,
    described,
)
from robustbook.attacks.drawing import Drawing, drawn_logits

from .answers import check_logits

ABSTAIN = -1
"""The class that is returned if no class is certified."""


def votes(
    model: Drawing,
    images: Float[Tensor, "n *shape"],
    keys: Int[Tensor, " n"],
    *,
    draws: int,
    start: int = 0,
    box: bool = True,
) -> Int[Tensor, "n k"]:
    """Return for each image how often the model predicts each class over ``draws`` noise draws.

    ``images``: in [0, 1]; the standard deviation of the noise refers to this range.
    ``keys``: one number for each image, which determines the image's noise.
    ``start``: the draw number of the first noise draw. For adversarial images, use
        `robustbook.attacks.FRESH`, so that the attack has not used this noise.
    ``box``: whether pixels must lie in [0, 1]. With False, they may have any finite value.

    Raises ValueError if the model is not randomised, for invalid images, keys or numbers, if there
    are no images, or if logits are not finite.
    """
    if not isinstance(model, Drawing):
        raise ValueError(f"model must be a randomised model (a Drawing), got {model!r:.60}")
    check_images(images)
    if not len(images):
        raise ValueError("images must be one or more, got none")
    check_integers("keys", keys, images)
    draws, start = check_count("draws", draws), check_count("start", start, 0)
    low, high = torch.stack(images.aminmax()).tolist()
    check_range(low, high, box)
    counts = None
    with unchanged(model), torch.no_grad():
        for row, logits in drawn_logits(model, images, keys, draws, start):
            check_logits(logits)
            choice = logits.argmax(1)
            if counts is None:
                counts = choice.new_zeros(len(images), logits.shape[1])
            counts.index_put_((row, choice), torch.ones_like(choice), accumulate=True)
    assert counts is not None  # there are images and draws
    return counts


def lower_limit(
    successes: Int[Tensor, " n"], trials: int, alpha: float = 0.001
) -> Float[Tensor, " n"]:
    """Return the exact lower confidence limit of each probability of success, in float64.

    ``successes``: the number of successes in ``trials`` independent trials.
    ``alpha``: an upper bound on the probability that the returned limit lies above the true
        probability of success.

    The confidence limit is from Clopper and Pearson 1934.

    Raises ValueError for an alpha outside (0, 1), and for successes outside 0..trials.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be a probability between 0 and 1, got {alpha}")
    k = successes.cpu().double()
    if len(k) and not 0 <= float(k.min()) <= float(k.max()) <= trials:
        raise ValueError(
            f"successes must be in 0..{trials}, got {float(k.min()):g} to {float(k.max()):g}"
        )
    limits = betaincinv(k.clamp(min=1).numpy(), (trials - k + 1).numpy(), alpha)
    return torch.from_numpy(limits).masked_fill(k == 0, 0.0).to(successes.device)


def certified(
    choice: Int[Tensor, "n k"], counts: Int[Tensor, "n k"], *, sigma: float, alpha: float = 0.001
) -> tuple[Int[Tensor, " n"], Float[Tensor, " n"]]:
    """Return for each image the certified class and its certified l2 radius (Cohen et al., section
    3.2.2).

    ``choice``: how often the model predicts each class for each image, over a first set of noise
        draws. The class that was predicted most often is the one to certify.
    ``counts``: how often the model predicts each class, over a second set of noise draws that are
        all different from the first. The lower limit of the class's probability is computed from
        these counts.
    ``sigma``: standard deviation of the noise on the image, above 0.

    Row i of ``choice`` and of ``counts`` must belong to the same image. If the lower limit of the
    probability is not above 1/2, the returned class is `ABSTAIN` and the radius is 0. Raises
    ValueError for an invalid ``sigma`` or ``alpha``, if the two tensors have different shapes, or
    if ``counts`` has different numbers of noise draws for different images.
    """
    sigma = check_positive("sigma", sigma)
    for name, given in (("choice", choice), ("counts", counts)):
        whole = isinstance(given, Tensor) and given.dtype == torch.int64
        if not whole or given.ndim != 2:
            raise ValueError(
                f"{name} must be an int64 tensor of shape (images, classes), such as votes "
                f"returns, got {described(given)}"
            )
    if counts.shape != choice.shape:
        raise ValueError(
            f"counts must have the shape of choice, {tuple(choice.shape)}, "
            f"got {tuple(counts.shape)}"
        )
    trials = counts.sum(1)
    if len(trials) and bool((trials != trials[0]).any()):
        raise ValueError(f"counts must have equally many votes per image, got {trials.tolist()}")
    answer = choice.argmax(1)
    agreed = counts.gather(1, answer[:, None]).squeeze(1)
    p = lower_limit(agreed, int(trials[0]) if len(trials) else 1, alpha)
    sure = p > 0.5
    radius = sigma * torch.special.ndtri(p.clamp(0.5, 1))
    return answer.masked_fill(~sure, ABSTAIN), radius.masked_fill(~sure, 0.0)
