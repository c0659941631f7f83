"""Compute what the overview of the survey shows: the finding of each page, and the factor by which
each defense slows down training.
"""

from dataclasses import dataclass

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.claims import Claim, claims_table, of_all, of_best
from robustbook.chapters.published import benchmark, mean, record_of, records_of, values
from robustbook.figures import LOOKS, Table, table
from robustbook.ledger import Record

from . import (
    certified,
    denoising,
    fast,
    goodfellow,
    madry,
    pairing,
    post,
    szegedy,
    transformations,
)

PAPER = "survey"
WEAK, STRONG = "weak attack", "strongest attack"
LOOK = {WEAK: LOOKS["none"], STRONG: LOOKS["adv"]}


CLAIMS = (
    Claim(
        "Small perturbations fool networks, and transfer between them (Szegedy et al. 2013)",
        "szegedy",
        ("szegedy-table-1", "szegedy-table-2", "szegedy-tables-3-4", "szegedy"),
        of_best(szegedy.answer, f"{PAPER}/szegedy"),
        "Szegedy et al. 2013",
    ),
    Claim(
        "Training on clean images and FGSM's images makes networks robust (Goodfellow et al. 2015)",
        "goodfellow",
        ("goodfellow",),
        of_best(goodfellow.answer, f"{PAPER}/goodfellow"),
        "Goodfellow's loss",
    ),
    Claim(
        "Training on images of PGD makes networks robust (Madry et al. 2018)",
        "madry",
        ("madry-table-1", "madry-mnist"),
        of_best(madry.answer, f"{PAPER}/madry"),
        "Madry's Table 1",
    ),
    Claim(
        "One FGSM step from a random start is enough in training (Wong et al. 2020)",
        "fast",
        ("wong", "n-fgsm", "fgsm-rs"),
        of_best(fast.answer, f"{PAPER}/fast"),
        "Fast training",
    ),
    Claim(
        "Pairing or squeezing logits makes networks robust (Kannan et al. 2018)",
        "pairing",
        ("mosbach-mnist", "mosbach-cifar10", "engstrom"),
        of_all(pairing.answer, f"{PAPER}/pairing"),
        "Logit pairing",
    ),
    Claim(
        "A perturbation grows through the layers of a network",
        "post",
        ("blog",),
        of_best(post.answer, f"{PAPER}/post"),
        "The post",
    ),
    Claim(
        "Feature denoising improves adversarial training (Xie et al. 2019)",
        "denoising",
        ("denoise-cifar",),
        of_best(denoising.answer, f"{PAPER}/denoising"),
        "Feature denoising",
    ),
    Claim(
        "Random resizing and JPEG remove perturbations (Xie et al. 2018, Das et al. 2017)",
        "transformations",
        ("transform-cifar",),
        of_best(transformations.answer, f"{PAPER}/transformations"),
        "Input transformations",
    ),
    Claim(
        "Random noise gives a proof of robustness (Cohen et al. 2019, not in the post)",
        "certified",
        ("cohen-cifar10", "cohen-theory"),
        of_all(certified.answer, f"{PAPER}/certified"),
        "Certified accuracy",
    ),
)


@dataclass(frozen=True)
class Kept:
    """The accuracies in per cent of one network with a defense, under a weak attack and under a
    strong attack. The field ``network`` contains the name of the network and of its data.
    """

    weak: float
    strong: float
    network: str


def kept() -> dict[str, Kept]:
    """Return for each of three defenses the accuracies of a network with this defense, under a weak
    attack and under a strong attack. The keys of the dict are the defenses: ``pgd`` (training on
    images of PGD), ``squeezing`` (logit squeezing) and ``jpeg`` (JPEG compression).
    """
    trained = record_of(f"{PAPER}/madry")
    paired = records_of(f"{PAPER}/pairing")[0]
    changed = record_of(f"{PAPER}/transformations")
    pgd, worst = (
        mean(trained, "accuracy", source="white", attack=attack) for attack in ("pgd-40", "worst")
    )
    baseline, strongest = (pairing.at(paired, "lsq", kind) for kind in ("baseline", "strongest"))
    unaware = transformations.accuracy(changed, "jpeg", "fgsm")
    aware = transformations.aware(changed, "jpeg", 1)
    return {
        "pgd": Kept(pgd, worst, madry.network(trained)),
        "squeezing": Kept(baseline, strongest, pairing.title(paired)),
        "jpeg": Kept(unaware, aware, transformations.network(changed)),
    }


def answer(_: Record) -> str:
    """Return sentences that state, for each of three defenses, the accuracy under a weak attack and
    the accuracy under a strong attack.
    """
    found = kept()
    pgd, squeezing, jpeg = found["pgd"], found["squeezing"], found["jpeg"]
    return (
        f"After training on images of PGD, {pgd.network} classifies {pgd.weak:.0f} % of the images "
        f"correctly under PGD. For {pgd.strong:.0f} % of the images, all of our strong attacks "
        f"fail. After training with logit squeezing, the accuracy of {squeezing.network} falls "
        f"from {squeezing.weak:.0f} % to {squeezing.strong:.0f} % under stronger attacks. Behind "
        f"JPEG, the accuracy of {jpeg.network} is {jpeg.weak:.0f} % under an attack that does not "
        f"know JPEG, and {jpeg.strong:.0f} % under an attack that knows JPEG."
    )


def finding() -> str:
    """Return a sentence for the landing page that states how far the accuracies with three defenses
    fall under stronger attacks.
    """
    found = kept()
    pgd, squeezing, jpeg = found["pgd"], found["squeezing"], found["jpeg"]
    return (
        f"If the attack becomes stronger, the accuracy falls from {pgd.weak:.0f} % to "
        f"{pgd.strong:.0f} % after training on images of PGD, from {squeezing.weak:.0f} % to "
        f"{squeezing.strong:.0f} % with logit squeezing, and from {jpeg.weak:.0f} % to "
        f"{jpeg.strong:.0f} % behind JPEG, on different small networks."
    )


def accuracies() -> Figure:
    """Draw the accuracy under a weak attack and under the strongest attack, with one row for each
    defense.
    """
    paired = records_of(f"{PAPER}/pairing")[0]
    changed = record_of(f"{PAPER}/transformations")
    trained = {
        words: {
            WEAK: values(paired, "accuracy", network=method, attack="baseline"),
            STRONG: values(paired, "accuracy", network=method, attack="strongest"),
        }
        for method, words in pairing.METHODS.items()
        if method in pairing.methods(paired)
    }
    fronts = {}
    for name in transformations.SHOWN:
        k = transformations.draws(changed)[-1] if name == "resize-pad" else 1
        fronts[transformations.FRONTS[name]] = {
            WEAK: values(changed, "accuracy", front=name, attack="fgsm"),
            STRONG: values(
                changed, "accuracy", front=name, attack=transformations.AWARE, averaged=k
            ),
        }
    shown = {
        f"training: {pairing.heading(paired)}": trained,
        f"transformations: {_data(changed)}": fronts,
    }
    figure = figures.strips(shown, LOOK, "correctly classified (%)", own_rows=True)
    for axis in figure.axes:  # the same scale for both panels
        axis.set_xlim(-3, 103)
    return figure


def claims() -> Table:
    """Return a table with one row for each claim of a paper. The columns are the claim, the page
    that tests the claim, our finding, and the counts of the verdicts.
    """
    caption = (
        "Each claim, the page that tests it, our finding, and the number of verdicts of each kind."
    )
    return claims_table(PAPER, caption, "tab-survey-overview", CLAIMS)


def costs() -> Table:
    """Return a table of the time of a training step with each defense, divided by the time of a
    training step on clean images.
    """
    report = benchmark("adversarial_training")
    networks = list(dict.fromkeys(row["network"] for row in report["rows"]))
    cases = list(dict.fromkeys(row["objective"] for row in report["rows"]))
    ratio = {
        (row["objective"], row["network"]): f"{row['plain_steps'] * row['ratio']:.1f}"
        for row in report["rows"]
    }
    return table(
        "Time of a training step divided by the time of a training step on clean images, for two "
        f"networks on one thread ({report['processor']}).",
        "tab-survey-costs",
        ["Objective", *networks],
        [[case, *(ratio.get((case, network), "-") for network in networks)] for case in cases],
    )


def _data(record: Record) -> str:
    return "digits" if record.profile == "quick" else "CIFAR-10, narrow"
