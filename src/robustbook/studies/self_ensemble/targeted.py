"""Run the targeted attack of Table 3 and Figure 7 of Random Self-Ensemble.

The released program (`gallery.py`) minimises the squared l2 distance plus c = 100 times a hinge
loss for the target class. It makes 1,000 steps of Adam with learning rate 0.01 and one noise draw
per step. The program does not clip images to [0, 1], and always keeps the last iterate, even if the
attack fails.
"""

import torch

from robustbook.attacks.carlini_wagner import RANDOM_SELF_ENSEMBLE, carlini_wagner
from robustbook.runs import Context, Done, step

from .attack import probabilities, test_images
from .networks import trained


@step(version=1)
def targeted(
    network: Done,
    c: float,
    image: int,
    steps: int,
    draws: int,
    step_size: float = 1e-2,
    *,
    context: Context,
) -> dict[str, object]:
    """Attack one test image towards each of the nine other classes.

    ``classes``: the target classes, shape (9,).
    ``change``: the perturbation for each target class, shape (9, 3, height, width).
    ``image``: the clean image.
    ``reached``: for each target class, whether the attacked image is classified as this class with
        ``draws`` noise draws.
    ``right``: whether the clean image is classified correctly with ``draws`` noise draws.

    The noise depends on the position of the image in the test set and on the target class.
    """
    net = trained(network, context.device)
    for p in net.parameters():
        p.requires_grad_(False)
    x, y, keys = test_images(network, image, 1, context.device)
    logits = probabilities(net, x, keys, draws)
    classes = torch.arange(logits.shape[1], device=x.device)
    classes = classes[classes != y]
    n = len(classes)
    start = x.expand(n, *x.shape[1:]).contiguous()
    own = keys * logits.shape[1] + classes
    found = carlini_wagner(
        net,
        start,
        y.expand(n),
        c=c,
        steps=steps,
        step_size=step_size,
        targets=classes,
        preset=RANDOM_SELF_ENSEMBLE,
        clip=False,
        keys=own,
    ).images
    reached = probabilities(net, found, own, draws).argmax(1) == classes
    return {
        "classes": classes.cpu(),
        "image": x[0].cpu(),
        "change": (found - start).cpu(),
        "reached": reached.cpu(),
        "right": (logits.argmax(1) == y).cpu(),
        "label": int(y),
    }
