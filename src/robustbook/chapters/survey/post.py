"""Compute what the page on the blog post shows: our versions of the post's two pictures of feature
maps, and tests of the post's claims.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from robustbook import figures
from robustbook.chapters.badges import of_page
from robustbook.chapters.published import (
    Version,
    images_of,
    mean,
    of_target,
    printed,
    values,
)
from robustbook.chapters.wording import listed, ranges, spread
from robustbook.figures import LOOKS, MISSING, Curve, Map, Panel, Table
from robustbook.ledger import Record
from robustbook.ledger.intervals import clearly_differ
from robustbook.studies.survey.sizes import DENOISING

from .denoising import network, training_in_words

LAYERS: Mapping[str, str] = {
    "images": "image",
    "stage1": "1",
    "stage2": "2",
    "stage3": "3",
    "stage4": "4",
}
TRAININGS: Mapping[str, str] = {
    "standard": "trained on clean images",
    "adversarial": "adversarial training",
}
PERTURBATIONS: Mapping[str, str] = {"attack": "PGD", "random": "random signs of the same size"}
CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck".split()
WINNER = "survey/denoise-imagenet/abstract/caad-2018-accuracy"


def noise(record: Record, training: str, layer: str, perturbation: str = "attack") -> float:
    """Return the relative noise of a layer's feature maps, as the mean over images and seeds."""
    return mean(record, "relative noise", training=training, layer=layer, perturbation=perturbation)


def answer(record: Record) -> str:
    """Return a sentence that states how much more the attack changes the last feature maps of a
    network than random signs do: after training on clean images, and after adversarial training.
    Both numbers compare two perturbations of one network. The verdicts of the page follow.
    """
    clean, adversarial = (times_random(record, training) for training in TRAININGS)
    badges = of_page(
        "survey/post",
        {"noise in the feature maps": "/figure-1/", "other attacks, clean accuracy": "/claim/"},
    )
    seeds = len(record.seeds)
    networks = "one network each" if seeds == 1 else f"{seeds} networks each"
    return (
        f"After training on clean images, PGD changes the last feature maps {clean:.1f} times as "
        f"much as random signs, and after {_inner(record)} adversarial training "
        f"{adversarial:.1f} times: {'no' if adversarial >= clean else 'a'} reduction ({networks}). "
        f"{badges}"
    )


def _inner(record: Record) -> str:
    """Return the number of attack steps in a step of adversarial training, as an adjective."""
    steps = DENOISING[record.profile].inner
    return "one-step" if steps == 1 else f"{steps}-step"


def measured(record: Record) -> str:
    """Return sentences that state the numbers behind the first two rows of the verdicts."""
    start, end = (noise(record, "standard", layer) for layer in ("images", "stage4"))
    clean, adversarial = (100 * noise(record, training, "stage4") for training in TRAININGS)
    return (
        "The first row of the closed table is about the network trained on clean images: the "
        f"relative noise of its last feature maps is {end / start:.1f} times that of the image. "
        "The second row compares two networks: the relative noise of the last feature maps is "
        f"{adversarial:.0f} % after adversarial training, and {clean:.0f} % after training on "
        "clean images. The answer above does not compare two networks in this way (see *Limits of "
        "the relative noise*)."
    )


def times_random(record: Record, training: str, layer: str = "stage4") -> float:
    """Return how many times as much the attack changes the feature maps of a layer as random signs
    of the same size do: the quotient of two means over the images. For each image, both are divided
    by the same norm of the feature maps, so this norm hardly matters.
    """
    attack, random = (noise(record, training, layer, kind) for kind in PERTURBATIONS)
    return attack / random


def through_layers(record: Record) -> list[float]:
    """Return `times_random` for the image and after each stage of the network trained on clean
    images.
    """
    return [times_random(record, "standard", layer) for layer in LAYERS]


def growing_in_words(record: Record) -> str:
    """Return a sentence without a full stop that states by how much the attack changes the image
    and the last feature maps, in units of the change by random signs.
    """
    first, *_, last = through_layers(record)
    each = "one network" if len(record.seeds) == 1 else f"mean of {len(record.seeds)} networks"
    return (
        f"The attack's change, divided by that of random signs, is {first:.1f} in the image and "
        f"{last:.1f} in the last feature maps ({each})"
    )


def sizes(record: Record) -> str:
    """Return sentences that state the width of the networks and how they were trained."""
    return f"All networks have {training_in_words(record)}."


def growth(record: Record) -> Figure:
    """Draw the relative noise in the image, and in the feature maps after each stage of the
    network. Each way of training has a panel with two curves: for the attack, and for random signs
    of the same size.
    """
    looks = {"attack": LOOKS["adv"], "random": LOOKS["none"]}
    panels = []
    for training, words in TRAININGS.items():
        curves = {}
        for perturbation, told in PERTURBATIONS.items():
            of = [
                values(
                    record,
                    "relative noise",
                    training=training,
                    perturbation=perturbation,
                    layer=layer,
                )
                for layer in LAYERS
            ]
            seeds = [list(each) for each in zip(*of, strict=True)]
            curves[told] = Curve([float(i) for i in range(len(LAYERS))], seeds, looks[perturbation])
        panels.append(Panel(words, "stage (0: the image)", "relative noise", curves, {}))
    return figures.lines(panels, columns=2, height=2.8, share_y=True)


def first_picture(record: Record) -> Figure:
    """Draw a feature map of a clean image and of the same image after the attack, with a row for
    each way of training.
    """
    rows = []
    for i in range(_images(record)):
        for training, words in TRAININGS.items():
            shown = [
                *_photographs(record, "standard", i, ("clean",)),
                *_photographs(record, training, i, ("attacked",)),
                *_pair(record, training, i, ("clean", "attacked"), "stage"),
            ]
            rows.append((words.replace(" on", "\non").replace(" training", "\ntraining"), shown))
    return figures.maps(rows)


def second_picture(record: Record) -> Figure:
    """Draw a feature map of an attacked image before and after a denoising block."""
    rows = []
    for i in range(_images(record)):
        maps = [
            Map(_array(record, f"denoised/attacked/{where}")[i], words)
            for where, words in (("before", "before the block"), ("stage", "after the block"))
        ]
        rows.append(("", [*_photographs(record, "denoised", i, ("attacked",)), *maps]))
    return figures.maps(rows)


def _images(record: Record) -> int:
    return len(record.arrays["standard/label"])


def _array(record: Record, name: str) -> NDArray[Any]:
    return np.array(record.arrays[name])


def _photographs(record: Record, net: str, image: int, names: Sequence[str]) -> list[Map]:
    """Return pictures of an image before and after the attack. The title of an attacked image is
    the class that the network predicts for it.
    """
    classes = [str(i) for i in range(10)] if record.profile == "quick" else CIFAR10
    shown = []
    for name in names:
        key = "label" if name == "clean" else "predicted"
        words = classes[record.arrays[f"{net}/{key}"][image]]
        pixels = _array(record, f"{net}/{name}")[image].astype(np.uint8)
        shown.append(Map(pixels, words if name == "clean" else f"attacked: {words}"))
    return shown


def _pair(record: Record, net: str, image: int, names: Sequence[str], where: str) -> list[Map]:
    return [Map(_array(record, f"{net}/{name}/{where}")[image], name) for name in names]


def noises(version: Version) -> Table:
    """Return a table of the relative noise at the image and after each stage."""
    record = version.record
    rows = [
        [
            f"{TRAININGS[training]}, {PERTURBATIONS[perturbation]}",
            *(
                spread(
                    values(
                        record,
                        "relative noise",
                        training=training,
                        perturbation=perturbation,
                        layer=layer,
                    ),
                    2,
                )
                for layer in LAYERS
            ),
        ]
        for training in TRAININGS
        for perturbation in PERTURBATIONS
    ]
    return version.table(
        f": relative noise at the image and after each stage of {network(record)}, mean over test "
        f"images{ranges(record)}.",
        "survey-post-noise",
        ["Network and perturbation", "image", *(f"stage {i}" for i in range(1, 5))],
        rows,
    )


def caveats(version: Version) -> Table:
    """Return a table of the accuracies on clean images, under the attack in the l-infinity norm,
    and under the attack in the l2 norm.
    """
    record = version.record
    rows = []
    for training, words in (
        *TRAININGS.items(),
        ("l2", "adversarial training in the l2 norm"),
    ):
        cells = [
            values(record, "accuracy", training=training, attack=attack)
            for attack in ("clean", "linf", "l2")
        ]
        rows.append([words, *(spread(each) if each else MISSING for each in cells)])
    return version.table(
        f": accuracy in per cent of {network(record)}{ranges(record)}, on clean images and under "
        "PGD in two norms. The l2 attack has radius 0.5.",
        "survey-post-caveats",
        ["Training", "clean", "l-infinity", "l2"],
        rows,
    )


def random_against_attack(record: Record) -> str:
    """Return sentences that state by how many per cent the attack and random signs change the last
    feature maps, after each way of training, and the ratios of these changes.
    """
    ratios = [f"{times_random(record, training):.1f}" for training in TRAININGS]
    each = (
        "one network for each training" if len(record.seeds) == 1 else f"{len(record.seeds)} seeds"
    )
    (attack, random), (later, less) = (
        [100 * noise(record, training, "stage4", kind) for kind in PERTURBATIONS]
        for training in TRAININGS
    )
    return (
        f"After training on clean images, the attack changes the last feature maps by {attack:.0f} "
        f"% of their norm, and random signs change them by {random:.0f} %. After adversarial "
        f"training, the attack changes them by {later:.0f} %, and random signs by {less:.0f} %. "
        f"The ratios are {' and '.join(ratios)}, for {network(record)} ({each})."
    )


def unseen_is_weaker(record: Record) -> bool:
    """Return whether our l2 attack leaves at least as many images correct as the attack used in the
    l-infinity training. Then it cannot show a weakness against attacks that were not used.
    """
    accuracies = both_attacks(record, "adversarial")
    return accuracies["l2"] >= accuracies["linf"]


def both_attacks(record: Record, training: str) -> dict[str, float]:
    """Return the accuracies in per cent under the l-infinity and under the l2 attack."""
    return {
        attack: mean(record, "accuracy", training=training, attack=attack)
        for attack in ("linf", "l2")
    }


def unseen(record: Record) -> str:
    """Return sentences that state the accuracies under both attacks, after adversarial training in
    the l-infinity norm and in l2. For each attack that was not used in a training, the sentences
    say what the run shows.
    """
    linf, l2 = (both_attacks(record, training) for training in ("adversarial", "l2"))
    images = images_of(record, "accuracy", training="l2", attack="l2")
    if unseen_is_weaker(record):
        told = (
            "So our l2 attack is weaker than the attack used in l-infinity training, and this run "
            "cannot test the statement with it."
        )
        if not clearly_differ(linf["l2"], l2["l2"], images):
            told += (
                f" The closed table says *does not hold*: {linf['l2']:.1f} and {l2['l2']:.1f} % do "
                f"not differ by more than the sampling error of {images} images."
            )
    else:
        told = f"Under the l2 attack, {_difference(linf['l2'], l2['l2'], images)}."
    return (
        f"After training with l-infinity attacks, {linf['linf']:.1f} % of {images} test images are "
        f"classified correctly under the l-infinity attack, and {linf['l2']:.1f} % under the l2 "
        f"attack. After training with l2 attacks, these are {l2['linf']:.1f} and {l2['l2']:.1f} %. "
        f"{told} Under the l-infinity attack, {_difference(l2['linf'], linf['linf'], images)}."
    )


def _difference(unseen: float, seen: float, images: int) -> str:
    """Return words on the accuracies under an attack that was not used in training, and under the
    same attack if it was used.
    """
    if clearly_differ(unseen, seen, images):
        return (
            f"the network not trained with it is clearly {'worse' if unseen < seen else 'better'}"
        )
    return "the two networks cannot be told apart"


def clean_drop(record: Record) -> str:
    """Return a sentence that states by how many percentage points the accuracy on clean images is
    lower or higher after adversarial training.
    """
    there, here = (
        fmean(values(record, "accuracy", training=training, attack="clean"))
        for training in TRAININGS
    )
    images = images_of(record, "accuracy", training="adversarial", attack="clean")
    return (
        f"The accuracy on clean images is {there:.1f} % after training on clean images, and "
        f"{here:.1f} % after adversarial training. This is {abs(here - there):.1f} percentage "
        f"points {'less' if here < there else 'more'} ({images:,} test images)."
    )


def winner(_: Record) -> str:
    """Return a sentence that states the accuracy that the paper prints for the winner of the
    competition CAAD 2018.
    """
    return (
        f"For this network, the paper prints an accuracy of {printed(WINNER):g} % on a secret test "
        "set similar to ImageNet, against 48 attackers (defense track)."
    )


def grew(record: Record) -> str:
    """Return sentences that state by how much the attack changes the image and the feature maps
    after each stage, in units of the change by random signs, and the relative noise. The sentences
    also name the stages at which each of them falls.
    """
    factor = fmean(of_target(record, "survey/blog/figure-1/noise-grows-with-depth"))
    ratios = through_layers(record)
    found = [noise(record, "standard", layer) for layer in LAYERS]
    return (
        "After training on clean images, the attack's change divided by that of random signs is "
        f"{ratios[0]:.1f} in the image, and {listed([f'{each:.1f}' for each in ratios[1:]])} after "
        f"stages 1 to {len(ratios) - 1}: {_falls(ratios)}. The relative noise after the last stage "
        f"is {factor:.1f} times that of the image: {_falls(found)}."
    )


def _falls(found: Sequence[float]) -> str:
    """Return words that say whether a number grows at every stage, or at which it falls."""
    pairs = zip(list(LAYERS.values())[1:], found, found[1:], strict=False)
    falls = [number for number, before, after in pairs if after <= before]
    return f"it does not grow at stage {listed(falls)}" if falls else "it grows at every stage"
