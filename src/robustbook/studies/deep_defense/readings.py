"""Measure a network of Deep Defense: its robustness rho_2 with DeepFool, and its accuracy under FGS
at multiples of eps_ref.
"""

import torch

from robustbook.attacks import deepfool
from robustbook.measures import accuracy_along, eps_leaving, gradient_signs, logits_of, predict
from robustbook.runs import Context, Done, step

from .methods import released
from .networks import model_of, trained
from .sets import box, numbers

SHARES = (0.2, 0.5, 1.0)
PIECE = 500


@step(version=1)
def read(
    network: Done, images: int, epoch: int | None = None, *, context: Context
) -> dict[str, object]:
    """Measure the accuracy, and the perturbations that the released code's DeepFool finds, on
    evenly spaced test images.

    ``accuracy``: the accuracy on clean images, in percent.
    ``rho``: the mean ratio of the perturbation's norm to the image's norm, both after
        preprocessing, including images that are misclassified without any attack.
    ``iterations``: the mean number of DeepFool steps.
    ``unfooled``: the percentage of images whose predicted class DeepFool did not change.

    ``ratio``: for each image, the perturbation's norm divided by the image's norm.
    ``right``: for each image, whether the clean image is classified correctly.
    ``confidence``: for each image, the highest class probability of the perturbed image.

    The network is measured after the epoch ``epoch`` of fine-tuning; with None, after all epochs.
    """
    data = model_of(network).data
    net = trained(network, context.device, epoch)
    x, y = (t.to(context.device) for t in numbers(data, "test", images))
    ratios, right, spent, confidence, before, after = [], [], [], [], [], []
    for i, (points, labels) in enumerate(
        zip(torch.split(x, PIECE), torch.split(y, PIECE), strict=True)
    ):
        found = deepfool(net, points, labels, preset=released(data))
        clean, fooled = logits_of(net, points), logits_of(net, found.images)
        ratios.append(found.distance / points.flatten(1).norm(dim=1))
        right.append(clean.argmax(1) == labels)
        before.append(clean.argmax(1))
        after.append(fooled.argmax(1))
        confidence.append(fooled.softmax(1).amax(1))
        spent.append(found.steps)
        context.progress((i + 1) * PIECE, images)
    ratio = torch.cat(ratios).double()
    still = torch.cat(before) == torch.cat(after)
    return {
        "accuracy": 100 * torch.cat(right).double().mean().item(),
        "rho": ratio.mean().item(),
        "iterations": torch.cat(spent).double().mean().item(),
        "unfooled": 100 * still.double().mean().item(),
        "ratio": ratio.float().cpu(),
        "right": torch.cat(right).cpu(),
        "confidence": torch.cat(confidence).cpu(),
    }


@step(version=1)
def scale(network: Done, images: int, *, context: Context) -> dict[str, object]:
    """Return eps_ref, the eps at which the network's accuracy under FGS is 50 %, in units of the
    preprocessed images.

    ``eps``: eps_ref for FGS without clipping.
    ``clipped``: eps_ref for FGS with clipping to the range of each pixel; missing for colour
        images, whose preprocessed pixels have no fixed range.
    """
    net = trained(network, context.device)
    data = model_of(network).data
    x, y = (t.to(context.device) for t in numbers(data, "test", images))
    signs = gradient_signs(net, x, y)
    found: dict[str, object] = {"eps": eps_leaving(net, x, y, signs)}
    limits = box(data, context.device)
    if limits is not None:
        found["clipped"] = eps_leaving(net, x, y, signs, limits)
    return found


@step(version=1)
def under_fgs(network: Done, scale: Done, images: int, *, context: Context) -> dict[str, object]:
    """Return the accuracy in percent under FGS at 0.2, 0.5 and 1 times eps_ref.

    ``plain``: with the gradient of the loss for the true label, without clipping.
    ``predicted``: with the gradient of the loss for the predicted class.
    ``clipped``: like ``plain``, but with clipping to the range of each pixel, and with the eps_ref
        for FGS with this clipping. It is missing for colour images, whose preprocessed pixels have
        no fixed range.
    """
    net = trained(network, context.device)
    data = model_of(network).data
    x, y = (t.to(context.device) for t in numbers(data, "test", images))
    answers = predict(net, x, PIECE)
    signs = gradient_signs(net, x, y)
    guessed = gradient_signs(net, x, answers)
    eps = scale.values["eps"]
    found = {
        "plain": [accuracy_along(net, x, y, signs, share * eps) for share in SHARES],
        "predicted": [accuracy_along(net, x, y, guessed, share * eps) for share in SHARES],
    }
    limits = box(data, context.device)
    if limits is not None:
        wide = scale.values["clipped"]
        found["clipped"] = [
            accuracy_along(net, x, y, signs, share * wide, limits) for share in SHARES
        ]
    return dict(found)
