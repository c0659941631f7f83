"""Compute the table of the blog post's statements, each with our finding. The findings come from
the stored results of several pages of this chapter.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from robustbook.chapters.published import (
    images_of,
    mean,
    printed,
    record_of,
    records_of,
)
from robustbook.chapters.wording import from_to, seeds_in_words
from robustbook.figures import Table, table
from robustbook.ledger.intervals import clearly_above, clearly_differ
from robustbook.studies.survey.sizes import RADIUS

from . import denoising, pairing, post, transformations

Found = tuple[str, str]
"""What became of a statement, in a few words, and our finding."""


@dataclass(frozen=True)
class Statement:
    """A statement of the post.

    ``words``: the statement, in the words of the post or close to them.
    ``page``: the name of the page that tests it, and ``title`` the text of the link.
    ``find``: a function that returns what became of the statement, and our finding.
    """

    words: str
    page: str
    title: str
    find: Callable[[], Found]


def first_training() -> Found:
    """Return what became of the statement that Szegedy et al. introduced adversarial training."""
    return "holds", (
        "They trained on clean images and pools of adversarial images and features (2013), before "
        "Goodfellow et al. (2015). This is from reading; no run can test it"
    )


def weighted_loss() -> Found:
    """Return what became of the statement that a network trained with the post's equation learns to
    classify adversarial images.
    """
    plain = mean(record_of("survey/goodfellow"), "error", network="maxout 1", attack="fgsm")
    fgsm, pgd, weak = _trained_on_fgsm()
    return "holds, for FGSM" if weak else "holds", (
        f"The error under FGSM, the attack of the training, falls from {plain:.0f} % to "
        f"{fgsm:.0f} %; under PGD, which was not used in it, it is {pgd:.0f} %. The equation is by "
        "Goodfellow et al. (2015), whom the post does not cite"
    )


def _trained_on_fgsm() -> tuple[float, float, bool]:
    """Return the errors under FGSM and under PGD after training with Goodfellow's loss, and whether
    the second is clearly larger.
    """
    record, network = record_of("survey/goodfellow"), "maxout 0.5"
    fgsm, pgd = (
        mean(record, "error", network=network, attack=attack) for attack in ("fgsm", "pgd-40")
    )
    images = images_of(record, "error", network=network, attack="pgd-40")
    return fgsm, pgd, clearly_above(pgd, fgsm, images)


def logit_pairing() -> Found:
    """Return what became of the statement that logit pairing is proposed as an improvement of
    adversarial training: whether pairing clearly changes the accuracy of our networks.
    """
    record = pairing.most_methods(records_of("survey/pairing"))
    told, clear = [], []
    for name in ("at50", "at100"):
        both = name, f"{name}-alp"
        without, paired = (pairing.at_strongest(record, each) for each in both)
        plain, clean = (pairing.at(record, each, "clean") for each in both)
        images = images_of(record, "accuracy", network=name, attack="strongest")
        if clearly_differ(paired, without, images):
            clear.append(paired > without)
        told.append(
            f"{pairing.METHODS[name]}: {paired:.0f} % with pairing and {without:.0f} % without "
            f"({clean:.1f} and {plain:.1f} % on clean images)"
        )
    result = "but a gain is not decided"
    if clear and not any(clear):
        result = "but no gain in our runs"
    elif clear and not all(clear):
        result = "with a gain and a loss in our runs"
    elif clear:
        part = " part of" * (len(clear) < len(told))
        result = f"with a gain in{part} our runs"
    return f"proposed, {result}", f"Accuracy under strong attacks after {'; after '.join(told)}"


def transformed() -> Found:
    """Return what became of the statement that transformations of the image have been introduced as
    a defense: whether they fail. At a smaller radius a transformation may protect, so the result
    names the radius.
    """
    record = record_of("survey/transformations")
    resized, jpeg = transformations.adaptive(record)
    fail = max(resized, jpeg) < transformations.BROKEN
    result = "but they fail" if fail else "and not all of them fail"
    return f"holds, {result} at {RADIUS}/255", transformations.adaptive_in_words(record)


def growing() -> Found:
    """Return what became of the statement that a perturbation grows inside the network. The attack
    is compared with random signs in each layer, because the norm of the features is arbitrary.
    """
    record = record_of("survey/post")
    found = post.through_layers(record)
    rises = all(before < after for before, after in pairwise(found))
    where = "in our small network" + "s" * (len(record.seeds) > 1)
    return f"{'holds' if rises else 'does not hold'} {where}", post.growing_in_words(record)


def less_noise() -> Found:
    """Return what became of the statement that denoising reduces the noise."""
    record = record_of("survey/denoising")
    filters, null = (
        [factor for found in denoising.noise_factors(record, names).values() for factor in found]
        for names in (denoising.FILTERS, ["null"])
    )
    return "holds" if max(filters) < 1 else "not confirmed", (
        f"After our blocks with a filter, the noise is {from_to(filters, '.2f')} times as large as "
        f"before them. After our blocks without a filter, it is {from_to(null, '.2f')} times as "
        "large"
    )


def more_accuracy() -> Found:
    """Return what became of the statement that denoising raises the accuracy under attack."""
    record = record_of("survey/denoising")
    filters = [name for name in denoising.variants(record) if name in denoising.FILTERS]
    above = [name for name in filters if denoising.difference(record, name, "baseline")[1] > 0]
    result = "holds" if len(above) == len(filters) else "holds in part" if above else "not decided"
    found = [denoising.accuracy(record, name, "pgd-20") for name in filters]
    return result, (
        f"The accuracy under PGD is {from_to(found, '.1f')} % with filters and "
        f"{denoising.accuracy(record, 'baseline', 'pgd-20'):.1f} % without blocks; {len(above)} of "
        f"{len(filters)} filters are clearly better"
    )


def winner() -> Found:
    """Return what became of the statement about the winner of a competition."""
    return "holds, with a detail missing", (
        "The winner was a ResNeXt-101 with a block after every residual block. The post names only "
        "a ResNet with 4 blocks, and not that it won the defense track. The paper "
        f"prints an accuracy of {printed(post.WINNER):g} % for the winner"
    )


def other_attacks() -> Found:
    """Return what became of the statement that adversarial training is weak against attacks that
    were not used in training: PGD after training on FGSM images, and an l2 attack. If the l2 attack
    is weaker than the attack of training, it cannot test the statement.
    """
    record = record_of("survey/post")
    linf, l2 = (post.both_attacks(record, training) for training in ("adversarial", "l2"))
    images = images_of(record, "accuracy", training="l2", attack="l2")
    weaker = post.unseen_is_weaker(record)
    other = "not tested" if weaker else _lower(linf["l2"], l2["l2"], images)
    fgsm, pgd, weak = _trained_on_fgsm()
    return f"{'holds' if weak else 'not decided'} for FGSM training; l2: {other}", (
        f"Trained on FGSM images, a network has an error of {fgsm:.0f} % under FGSM and "
        f"{pgd:.0f} % under PGD ([Goodfellow's loss](./goodfellow.ipynb)). Under our l2 attack, "
        f"the accuracy is {linf['l2']:.1f} % after training with l-infinity attacks and "
        f"{l2['l2']:.1f} % after training with l2 attacks; under the l-infinity attack it is "
        f"{linf['linf']:.1f} and {l2['linf']:.1f} %"
    )


def clean_images() -> Found:
    """Return what became of the statement that the accuracy on clean images falls, for the networks
    without blocks of the page on feature denoising, which has more seeds.
    """
    record = record_of("survey/denoising")
    plain, trained = (
        denoising.accuracy(record, "baseline", "clean", training) for training in post.TRAININGS
    )
    images = images_of(record, "accuracy", training="adversarial", attack="clean")
    return _lower(trained, plain, images), (
        f"The accuracy on clean images is {plain:.1f} % after training on clean images, and "
        f"{trained:.1f} % after adversarial training ({seeds_in_words(len(record.seeds))}, short "
        "trainings)"
    )


def _lower(one: float, other: float, images: int) -> str:
    """Return whether an accuracy is clearly lower than another one."""
    return (
        "not decided"
        if not clearly_differ(one, other, images)
        else "holds"
        if one < other
        else "does not hold"
    )


STATEMENTS = (
    Statement(
        "Adversarial training was first introduced by Szegedy et al.",
        "szegedy",
        "Szegedy et al. 2013",
        first_training,
    ),
    Statement(
        "Trained with the adversarial loss (the equation), a network learns to classify images "
        "that the chosen attack perturbs",
        "goodfellow",
        "Goodfellow's loss",
        weighted_loss,
    ),
    Statement(
        "Adversarial logit pairing is proposed as an improvement of adversarial training",
        "pairing",
        "Logit pairing",
        logit_pairing,
    ),
    Statement(
        "Transformations of the image have been introduced as a defense",
        "transformations",
        "Input transformations",
        transformed,
    ),
    Statement(
        "As the image is passed through the network, the perturbation increases",
        "post",
        "This page",
        growing,
    ),
    Statement(
        "Denoising reduces the noise substantially",
        "denoising",
        "Feature denoising",
        less_noise,
    ),
    Statement(
        "Feature denoising improves the accuracy under attack",
        "denoising",
        "Feature denoising",
        more_accuracy,
    ),
    Statement(
        "Feature denoising won first place in CAAD 2018",
        "denoising",
        "Feature denoising",
        winner,
    ),
    Statement(
        "Adversarial training is weak against attacks that were not used in it",
        "post",
        "This page",
        other_attacks,
    ),
    Statement(
        "The accuracy on unperturbed images may drop",
        "denoising",
        "Feature denoising",
        clean_images,
    ),
)
"""The statements of the post that our results can check."""


def statements() -> Table:
    """Return a table of the post's statements: what became of each, our finding, and the page that
    tests it.
    """
    rows = []
    for each in STATEMENTS:
        result, found = each.find()
        rows.append([each.words, result, found, f"[{each.title}](./{each.page}.ipynb)"])
    return table(
        "The statements of the post, what became of each, and what we find. *Not decided*: the "
        "difference may be due to the choice of the test images. *Not confirmed*: our results do "
        "not agree, but our networks are too small or too briefly trained to refute the statement. "
        "*Not tested*: our other attack is weaker than the attack of training.",
        "tab-survey-post-statements",
        ["The post says", "Result", "We find", "Page"],
        rows,
        align="llll",
    )
