"""Compute what the page on Goodfellow, Shlens and Szegedy (2015) shows: errors under FGSM, before
and after training on FGSM adversarial images.
"""

from collections.abc import Mapping
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.badges import of_page
from robustbook.chapters.published import (
    Version,
    as_printed,
    images_of,
    mean,
    of_target,
    printed,
    rows_of,
    settings,
    values,
)
from robustbook.chapters.wording import (
    beside,
    listed,
    ranges,
    seeds_in_words,
    spread_or,
    with_images,
)
from robustbook.figures import LOOKS, MISSING, Curve, Panel, Table
from robustbook.ledger import Record
from robustbook.ledger.intervals import clearly_above
from robustbook.ledger.outcomes import paired_error

TARGETS = "survey/goodfellow"
TESTS: Mapping[str, tuple[str, str]] = {
    "clean": ("clean images", "clean"),
    "fgsm": ("FGSM", "adv"),
    "pgd-40": ("PGD, 40 steps", "none"),
    "worst": ("worst of PGD, margin and Square", "distill"),
}
SAME = "fgsm on the images of pgd-40"
"""The name of FGSM in records if only the images count that PGD attacks too."""
CLAIM = f"{TARGETS}/claim/fgsm-training-not-pgd-robust"
SHORT = {"clean": "clean", "worst": "worst of three"}
"""Shorter names for the legend of the figure."""
ERRORS: Mapping[str, str] = {
    "softmax-regression/fgsm-error": "softmax regression, FGSM",
    "logistic-3-vs-7/clean-error": "3 against 7, clean images",
    "logistic-3-vs-7/fgsm-error": "3 against 7, FGSM",
    "maxout/clean-error": "maxout, clean images",
    "maxout/fgsm-error": "maxout, FGSM",
    "maxout-adversarial/clean-error": "maxout with the adversarial loss, clean images",
    "claim/adversarial-training-lowers-fgsm-error": "maxout with the adversarial loss, FGSM",
    "maxout-large/clean-error": "large maxout, clean images",
    "maxout-large-adversarial/clean-error": "large maxout with the adversarial loss, clean images",
    "maxout-large-adversarial/fgsm-error": "large maxout with the adversarial loss, FGSM",
    "noise-control/sign/fgsm-error": "maxout trained with random signs, FGSM",
    "noise-control/uniform/fgsm-error": "maxout trained with uniform noise, FGSM",
    "transfer/original-to-adversarial/error": "FGSM for maxout, on maxout with adversarial loss",
    "transfer/adversarial-to-original/error": "FGSM for maxout with adversarial loss, on maxout",
    "ensemble/fgsm-error": "ensemble of maxout networks, FGSM for the ensemble",
    "ensemble/fgsm-on-one-member-error": "ensemble of maxout networks, FGSM for one member",
}
RUBBISH: Mapping[str, str] = {
    "maxout-softmax": "maxout, softmax",
    "maxout-sigmoid": "maxout, independent sigmoids",
    "softmax-regression": "softmax regression",
}
CONFIDENCES: Mapping[str, tuple[str, str]] = {
    "softmax": ("softmax regression", "softmax-regression"),
    "maxout 1": ("maxout", "maxout"),
    "maxout-large 0.5": ("large maxout with the adversarial loss", "maxout-large-adversarial"),
}


def data(record: Record) -> str:
    """Return a description of the images on which the networks of a record (a file of stored
    results) were trained.
    """
    return {
        "quick": "the embedded digits",
        "reduced": "10,000 images of MNIST",
        "paper": "all of MNIST",
    }[record.profile]


def answer(record: Record) -> str:
    """Return a sentence that states two errors after training with the adversarial loss: under FGSM
    and under PGD. The verdicts of the page follow, and in how many runs a claim holds that is ours
    and not the paper's.
    """
    fgsm, pgd = (
        mean(record, "error", network="maxout 0.5", attack=attack) for attack in ("fgsm", "pgd-40")
    )
    there = printed(f"{TARGETS}/maxout-large-adversarial/fgsm-error")
    badges = of_page(
        "survey/goodfellow",
        {
            "lower error under FGSM": "/claim/adversarial-training-.*-fgsm",
            "on clean images": "/claim/adversarial-training-.*-clean",
            "": "/claim/fgsm-training-",
            "others": "",
        },
    )
    return (
        f"A maxout network trained this way has an error of {fgsm:.1f} % under FGSM "
        f"({there} % in the paper, for a larger network) and {pgd:.1f} % under PGD. {badges}; "
        f"*larger under PGD (our own claim)*: {_held(record)}"
    )


def _held(record: Record) -> str:
    """Return in how many runs the error is clearly larger under PGD than under FGSM."""
    holds = [bool(row.holds) for row in record.rows if row.target == CLAIM]
    return f"in {sum(holds)} of {len(holds)} runs"


def clean(record: Record) -> str:
    """Return sentences that compare clean errors after training with the adversarial loss and after
    training on clean images alone: at alpha 0.5, as in the paper, and at the best other alpha.
    """
    found = {
        float(network.split()[1]): values(record, "error", network=network, attack="clean")
        for network in settings(record, "error", "network", attack="worst")
        if network.startswith("maxout ")
    }
    alone, paper = found.pop(1.0), found.pop(0.5)
    best = min(found, key=lambda alpha: fmean(found[alpha]))
    lower = {
        alpha: sum(a < b for a, b in zip(errors, alone, strict=True))
        for alpha, errors in ((0.5, paper), (best, found[best]))
    }
    after, before = (
        printed(f"{TARGETS}/{name}/clean-error") for name in ("maxout-adversarial", "maxout")
    )
    word = "Yes" if fmean(paper) < fmean(alone) else "No"
    return (
        f"{word}, at the paper's alpha of 0.5: the clean error is {fmean(paper):.2f} % with the "
        f"adversarial loss and {fmean(alone):.2f} % without ({after} and {before} % in the paper). "
        f"It is lower for {lower[0.5]} of {len(paper)} seeds. At alpha {best:g} it is "
        f"{fmean(found[best]):.2f} %, and lower for {lower[best]} of {len(paper)} seeds. But this "
        "is the best of our alphas, and we did not choose it before the runs."
    )


def lowered(record: Record) -> str:
    """Return sentences that compare two errors under FGSM: after training on clean images alone,
    and after training with the adversarial loss, on clean and on FGSM adversarial images. The
    sentences also state the error under PGD after training with the adversarial loss.
    """
    plain, trained, pgd = (
        mean(record, "error", network=network, attack=attack)
        for network, attack in (
            ("maxout 1", "fgsm"),
            ("maxout 0.5", "fgsm"),
            ("maxout 0.5", "pgd-40"),
        )
    )
    many, few = (
        images_of(record, "error", network="maxout 0.5", attack=attack)
        for attack in ("fgsm", "pgd-40")
    )
    there = printed(f"{TARGETS}/maxout/fgsm-error")
    then = printed(f"{TARGETS}/maxout-large-adversarial/fgsm-error")
    return (
        f"Under FGSM on {many:,} test images, the error of a maxout network is {plain:.1f} % after "
        f"training on clean images alone ({there} % in the paper). After training on both, it is "
        f"{trained:.1f} % ({then} % in the paper, for a larger network). But under PGD with "
        f"40 steps, training on both leaves an error of {pgd:.1f} %, on the first {few:,} of these "
        f"images. The networks were trained on {data(record)} "
        f"({seeds_in_words(len(record.seeds))})."
    )


def sweep(record: Record) -> Figure:
    """Draw the error against alpha, the weight of the clean loss, with a curve for each attack: the
    mean over the seeds in a band of their range. The legend has the number of test images in
    brackets. Without results for the maxout network, the large one is drawn.
    """
    there = settings(record, "error", "network", attack="worst")
    name = "maxout" if "maxout 0.5" in there else "maxout-large"
    alphas = sorted(float(network.split()[1]) for network in there if network.split()[0] == name)
    curves = {
        f"{SHORT.get(attack, words)} ({_images(record, attack, name):,})": Curve(
            alphas, _errors(record, alphas, attack, name), LOOKS[look]
        )
        for attack, (words, look) in TESTS.items()
    }
    panel = Panel(
        "" if name == "maxout" else "large maxout",
        "alpha, the weight of the clean loss",
        "error (%)",
        curves,
        {},
    )
    return figures.lines([panel], columns=1, height=3.2)


def _heading(record: Record, attack: str) -> str:
    """Return the name of an attack with the number of test images on which it was run."""
    words, _ = TESTS[attack]
    return with_images(words.removesuffix(" images"), _images(record, attack))


def _images(record: Record, attack: str, name: str = "maxout") -> int:
    """Return the number of test images of the maxout networks under an attack."""
    return images_of(record, "error", network=f"{name} 0.5", attack=attack)


def _errors(record: Record, alphas: list[float], attack: str, name: str) -> list[list[float]]:
    """Return for each seed the errors under an attack, for several values of alpha."""
    found = [
        values(record, "error", network=f"{name} {alpha:g}", attack=attack) for alpha in alphas
    ]
    return [list(each) for each in zip(*found, strict=True)]


def printed_beside(version: Version) -> Table:
    """Return a table of the errors of networks on clean and on adversarial images. In every cell of
    the table, the number printed in the paper stands before our number.
    """
    rows = []
    for target, words in ERRORS.items():
        wanted = f"{TARGETS}/{target}"
        ours, theirs = of_target(version.record, wanted), as_printed(wanted)
        if ours or theirs is not None:
            images = {row.images for row in version.record.rows if row.target == wanted}
            rows.append([words, beside(ours, theirs), ", ".join(f"{n:,}" for n in images if n)])
    return version.table(
        f": error in per cent, printed / **ours**{ranges(version.record)}. A number alone is "
        "ours; a dash stands for a network that we did not train. FGSM has a radius of 0.25 and "
        "does not clip images. In networks with the adversarial loss, alpha is 0.5.",
        "survey-goodfellow",
        ["Network and images", "Error", "Test images"],
        rows,
    )


def confidences(version: Version) -> Table:
    """Return a table of the mean confidence of each network on those images that the network
    misclassifies under FGSM.
    """
    rows = [
        [
            words,
            beside(
                values(version.record, "confidence", network=network, attack="fgsm"),
                as_printed(f"{TARGETS}/{name}/fgsm-confidence"),
            ),
        ]
        for network, (words, name) in CONFIDENCES.items()
    ]
    return version.table(
        ": mean probability in per cent of the predicted class on the images that are "
        f"misclassified under FGSM, printed / **ours**{ranges(version.record)}.",
        "survey-goodfellow-confidence",
        ["Network", "Confidence"],
        rows,
    )


def rubbish(version: Version) -> Table:
    """Return a table of how often networks give some class a probability above one half, on images
    that are pure noise. There is one row for each network.
    """
    rows = [
        [
            words,
            beside(
                of_target(version.record, f"{TARGETS}/rubbish/{name}/error"),
                as_printed(f"{TARGETS}/rubbish/{name}/error"),
            ),
        ]
        for name, words in RUBBISH.items()
    ]
    images = images_of(version.record, "error", rubbish="maxout-softmax")
    return version.table(
        f": percentage of {images:,} images of Gaussian noise (mean 0, standard deviation 1) for "
        "which some class has a probability above one half, printed / "
        f"**ours**{ranges(version.record)}.",
        "survey-goodfellow-rubbish",
        ["Network", "Classified as a digit"],
        rows,
    )


def alphas(version: Version) -> Table:
    """Return a table of the errors under each attack, with one row for each value of alpha, the
    weight of the clean loss.
    """
    record = version.record
    networks = sorted(
        network
        for network in settings(record, "error", "network", attack="worst")
        if network.startswith("maxout ")
    )
    return version.table(
        ": error in per cent of maxout networks by the weight alpha of the clean "
        f"loss{ranges(record)}.",
        "survey-goodfellow-alpha",
        ["alpha", *(_heading(record, attack) for attack in TESTS)],
        [
            [
                network.split()[1],
                *(
                    spread_or(
                        values(record, "error", network=network, attack=attack), missing=MISSING
                    )
                    for attack in TESTS
                ),
            ]
            for network in networks
        ],
    )


def control(record: Record) -> str:
    """Return sentences that compare errors under FGSM after two kinds of training: on images with
    random noise, and with the adversarial loss. They begin with "No" if the error is larger after
    training with both kinds of noise, by more than the binomial error.
    """
    sign, uniform, trained = (
        mean(record, "error", network=network, attack="fgsm")
        for network in ("noise sign", "noise uniform", "maxout 0.5")
    )
    images = images_of(record, "error", network="noise sign", attack="fgsm")
    larger = [clearly_above(noise, trained, images) for noise in (sign, uniform)]
    word = "No." if all(larger) else "In part." if any(larger) else "Yes."
    return (
        f"{word} After training on images with random noise of the same size, the error under FGSM "
        f"on {images:,} test images is {sign:.1f} % (random signs) or {uniform:.1f} % (uniform "
        f"noise). After training with the adversarial loss, it is {trained:.1f} %."
    )


def strongest(record: Record) -> str:
    """Return sentences that state two errors, as means over the seeds: under FGSM alone, and under
    several strong attacks together. Under several attacks, an image counts as an error if any
    attack succeeds. As the two errors are measured on different numbers of images, the sentences
    also compare FGSM and PGD on the same images. They begin with "No" if PGD leads to a clearly
    larger error for every seed.
    """
    fgsm, worst, pgd = (
        mean(record, "error", network="maxout 0.5", attack=attack)
        for attack in ("fgsm", "worst", "pgd-40")
    )
    many, few = (
        images_of(record, "error", network="maxout 0.5", attack=attack)
        for attack in ("fgsm", "worst")
    )
    holds = [bool(row.holds) for row in record.rows if row.target == CLAIM]
    where = f", for {sum(holds)} of {len(holds)} seeds" if len(holds) > 1 else ""
    size = "at least" if any(holds) else "not"
    word = "No." if all(holds) else "Not for every seed." if any(holds) else "Yes, against PGD."
    return (
        f"{word} After training with alpha 0.5, the error is {fgsm:.1f} % under FGSM on {many:,} "
        f"test images ({seeds_in_words(len(record.seeds))}). For {worst:.1f} % of the first "
        f"{few:,} of these images, at least one of three stronger attacks succeeds: PGD with "
        "restarts on the cross entropy, PGD on the margin, or the Square attack. On the same "
        f"{few:,} images, the error under PGD with 40 steps is {pgd:.1f} %. This is {size} 10 "
        f"percentage points more than under FGSM on these images{where}.{_same_images(record)}"
    )


def _same_images(record: Record) -> str:
    """Return sentences that state how much larger the error is under PGD than under FGSM on the
    same images, for each seed with stored results for each image, with the half-width of the
    interval.
    """
    pgd, fgsm = (
        {
            row.seed: row.each
            for row in rows_of(record, "error", network="maxout 0.5", attack=attack)
            if row.outcomes
        }
        for attack in ("pgd-40", SAME)
    )
    both = [seed for seed in fgsm if seed in pgd]
    if not both:
        return ""
    more = [100 * (np.mean(pgd[seed]) - np.mean(fgsm[seed])) for seed in both]
    error = max(paired_error([pgd[seed]], [fgsm[seed]]) for seed in both)
    return (
        f" For the {len(both)} of {len(record.seeds)} seeds for which we stored the result on each "
        f"image, it is {listed(f'{each:.1f}' for each in more)} points more (95 % interval: at "
        f"most {error:.1f} points to each side)."
    )
