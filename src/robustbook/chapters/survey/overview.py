"""The overview of the survey: what each page finds, and what each defense costs in training."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from robustbook import figures, ledger
from robustbook.chapters.published import benchmark, entries, record_of, records_of, values
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


@dataclass(frozen=True)
class Claim:
    """A claim of the post or of a cited paper, the page that tests it, the items whose target
    numbers decide it, and a function that returns our finding in sentences.
    """

    words: str
    page: str
    title: str
    items: tuple[str, ...]
    find: Callable[[], str]


def of_best(sentence: Callable[[Record], str], item: str) -> Callable[[], str]:
    """Return a function that applies a page's sentence to its best published record."""
    return lambda: sentence(record_of(f"{PAPER}/{item}"))


def of_all(sentence: Callable[[Sequence[Record]], str], item: str) -> Callable[[], str]:
    """Return a function that applies a page's sentence to all its published records."""
    return lambda: sentence(records_of(f"{PAPER}/{item}"))


CLAIMS = (
    Claim(
        "Small perturbations exist, and transfer between networks (Szegedy et al. 2013)",
        "szegedy",
        "Szegedy et al. 2013",
        ("szegedy-table-1", "szegedy-table-2", "szegedy-tables-3-4", "szegedy"),
        of_best(szegedy.answer, "szegedy"),
    ),
    Claim(
        "A loss with clean images and images of FGSM makes networks robust (Goodfellow et al. 2015)",
        "goodfellow",
        "Goodfellow's loss",
        ("goodfellow",),
        of_best(goodfellow.answer, "goodfellow"),
    ),
    Claim(
        "Training on images of PGD makes networks robust (Madry et al. 2018)",
        "madry",
        "Madry's Table 1",
        ("madry-table-1", "madry-mnist"),
        of_best(madry.answer, "madry"),
    ),
    Claim(
        "One step is enough if its start is random (Wong et al. 2020)",
        "fast",
        "Fast training",
        ("wong", "n-fgsm", "fgsm-rs"),
        of_best(fast.answer, "fast"),
    ),
    Claim(
        "Pairing or squeezing logits makes networks robust (Kannan et al. 2018)",
        "pairing",
        "Logit pairing",
        ("mosbach-mnist", "mosbach-cifar10", "engstrom"),
        of_all(pairing.answer, "pairing"),
    ),
    Claim(
        "A perturbation grows through the layers of a network",
        "post",
        "The post",
        ("blog",),
        of_best(post.answer, "post"),
    ),
    Claim(
        "Feature denoising improves adversarial training (Xie et al. 2019)",
        "denoising",
        "Feature denoising",
        ("denoise-cifar",),
        of_best(denoising.answer, "denoising"),
    ),
    Claim(
        "Random resizing and JPEG remove perturbations (Xie et al. 2018, Das et al. 2017)",
        "transformations",
        "Input transformations",
        ("transform-cifar",),
        of_best(transformations.answer, "transformations"),
    ),
    Claim(
        "Random noise gives a guarantee (Cohen et al. 2019, not in the post)",
        "certified",
        "Certified accuracy",
        ("cohen-cifar10", "cohen-theory"),
        of_all(certified.answer, "certified"),
    ),
)


def answer(_: Record) -> str:
    """Return the accuracies before and after stronger attacks: for adversarial training, for logit
    pairing, and for a transformation.
    """
    trained = record_of(f"{PAPER}/madry")
    paired = records_of(f"{PAPER}/pairing")[0]
    changed = record_of(f"{PAPER}/transformations")
    (baseline,), (strongest,) = (
        {round(pairing.at(paired, "lsq", attack), 1)} for attack in ("baseline", "strongest")
    )
    pgd, worst = (
        sum(found) / len(found)
        for found in (
            values(trained, "accuracy", source="white", attack=attack)
            for attack in ("pgd-40", "worst")
        )
    )
    oblivious = transformations.accuracy(changed, "jpeg", "fgsm")
    aware = transformations.aware(changed, "jpeg", 1)
    return (
        f"Training on images of PGD keeps {worst:.0f} % of {pgd:.0f} % under stronger attacks, on "
        f"{madry.network(trained)}. Logit squeezing falls from {baseline:.0f} % to "
        f"{strongest:.0f} %, on {pairing.title(paired)}. JPEG falls from {oblivious:.0f} % to "
        f"{aware:.0f} %, if the attack knows it."
    )


def accuracies() -> Figure:
    """Draw the accuracy under a weak and under the strongest attack, with a row per defense."""
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
    return figures.strips(shown, LOOK, "correctly classified (%)", own_rows=True)


def claims() -> Table:
    """Return the claims, our finding on each in sentences, and the counts of verdicts."""
    lines = entries(PAPER)

    def counted(items: Collection[str]) -> str:
        return ledger.counts(line for line in lines if line.item in items)

    return table(
        "What is claimed, the page that tests it, what we find, and counts of the verdicts.",
        "tab-survey-overview",
        ["Claim", "Page", "We find", "Verdicts"],
        [
            [
                claim.words,
                f"[{claim.title}](./{claim.page}.ipynb)",
                claim.find(),
                counted(claim.items),
            ]
            for claim in CLAIMS
        ],
        align="llll",
    )


def costs() -> Table:
    """Return the time of a training step with each defense, divided by that of a plain step."""
    report = benchmark("adversarial_training")
    networks = list(dict.fromkeys(row["network"] for row in report["rows"]))
    cases = list(dict.fromkeys(row["objective"] for row in report["rows"]))
    ratio = {
        (row["objective"], row["network"]): f"{row['plain_steps'] * row['ratio']:.1f}"
        for row in report["rows"]
    }
    return table(
        "Time of a training step divided by that of a plain step, for two networks on one thread "
        f"({report['processor']}).",
        "tab-survey-costs",
        ["Objective", *networks],
        [[case, *(ratio.get((case, network), "-") for network in networks)] for case in cases],
    )


def _data(record: Record) -> str:
    return "digits" if record.profile == "quick" else "CIFAR-10, narrow"
