"""Compute what the page on Madry et al. (2018) shows: results of adversarial training with PGD on
MNIST.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import Version, array, mean, printed, settings, values
from robustbook.chapters.wording import beside, spread_or
from robustbook.figures import LOOKS, Curve, Panel, Table, table
from robustbook.ledger import Record

TABLE = "survey/madry-table-1"
ATTACKS: Mapping[str, str] = {
    "fgsm": "FGSM",
    "pgd-40": "PGD, 40 steps",
    "pgd-100": "PGD, 100 steps",
    "pgd-40-restarts": "PGD, 40 steps, restarts",
    "pgd-100-restarts": "PGD, 100 steps, restarts",
    "targeted": "targeted PGD, 40 steps",
    "cw": "CW, 40 steps",
    "cw-plus": "CW+, 40 steps",
}
SOURCES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "white": (
        "A",
        {
            "fgsm": "white-box/fgsm",
            "pgd-40": "white-box/pgd-40-1",
            "pgd-100": "white-box/pgd-100-1",
            "pgd-40-restarts": "white-box/pgd-40-20",
            "pgd-100-restarts": "white-box/pgd-100-20",
            "targeted": "white-box/targeted-40",
            "cw": "white-box/cw-40",
            "cw-plus": "white-box/cw-plus-40",
        },
    ),
    "copy": (
        "A'",
        {
            "fgsm": "black-box/copy-fgsm",
            "pgd-40": "black-box/copy-pgd-40",
            "pgd-100-restarts": "black-box/copy-pgd-100-20",
            "cw": "black-box/copy-cw",
            "cw-plus": "black-box/copy-cw-plus",
        },
    ),
    "other": (
        "B",
        {
            "fgsm": "black-box/b-fgsm",
            "pgd-40": "black-box/b-pgd-40",
            "cw-plus": "black-box/b-cw-plus",
        },
    ),
}
"""For each network whose gradients the attacks use, and for each of these attacks, the id of the
accuracy that the paper prints.
"""
TESTS: Mapping[str, tuple[str, str]] = {
    "clean": ("clean images", "clean"),
    "fgsm": ("FGSM", "adv"),
    "pgd-40": ("PGD, 40 steps", "none"),
}
TRAININGS = {"natural": "on clean images", "fgsm": "on FGSM's images", "pgd": "on PGD's images"}


def network(record: Record) -> str:
    """Return the network and the data of a record (a file of stored results) as text, such as
    Madry's network on MNIST.
    """
    if record.profile == "paper":
        return "Madry's network on MNIST"
    data = "the embedded digits" if record.profile == "quick" else "MNIST"
    return f"a narrow version of Madry's network on {data}"


def answer(record: Record) -> str:
    """Return sentences that compare two accuracies under PGD: after adversarial training, and after
    training on clean images. For the adversarially trained network, the sentences also state the
    accuracy under all strong attacks together.
    """
    natural, defended = (
        mean(record, "accuracy", source=source, attack="pgd-40") for source in ("natural", "white")
    )
    worst = mean(record, "accuracy", source="white", attack="worst")
    there = printed(f"{TABLE}/white-box/pgd-40-1-accuracy")
    return (
        f"After adversarial training, {network(record)} classifies {defended:.1f} % of the test "
        f"images correctly under PGD with 40 steps ({there} % printed). For "
        f"{worst:.1f} % of the test images all of our strong attacks fail. After training on "
        f"clean images instead, the network classifies {natural:.1f} % correctly under PGD "
        "with 40 steps."
    )


def printed_beside(version: Version) -> Table:
    """Return the paper's Table 1. In each row of the table, the number printed in the paper stands
    before our number.
    """
    rows = [
        ["A", "none (clean images)", _cell(version.record, "white", "clean", "natural/accuracy")]
    ]
    for source, (name, ids) in SOURCES.items():
        for attack, words in ATTACKS.items():
            if attack in ids:
                rows.append(
                    [name, words, _cell(version.record, source, attack, f"{ids[attack]}-accuracy")]
                )
    worst = values(version.record, "accuracy", source="white", attack="worst")
    rows.append(["A", "worst of all attacks with restarts and Square", beside(worst, None)])
    return table(
        f"{version.heading}: accuracy in per cent of the adversarially trained network A, printed "
        "/ **ours** (range over the seeds). The attack uses the gradients of A itself, of an "
        "independently trained copy A', or of another architecture B.",
        f"tab-survey-madry-{version.tag}",
        ["Gradients of", "Attack", "Accuracy"],
        rows,
        align="llr",
    )


def natural(version: Version) -> Table:
    """Return a table of accuracies under several attacks, for the network that was trained on clean
    images.
    """
    ids = {"clean": "accuracy", "fgsm": "fgsm-accuracy"}
    return table(
        f"{version.heading}: accuracy in per cent of the network trained on clean images, printed "
        "/ **ours** (range over the seeds).",
        f"tab-survey-madry-natural-{version.tag}",
        ["Attack", "Accuracy"],
        [
            [
                words,
                beside(
                    values(version.record, "accuracy", source="natural", attack=attack),
                    printed(f"survey/madry-mnist/naturally-trained/{ids[attack]}")
                    if attack in ids
                    else None,
                ),
            ]
            for attack, (words, _) in TESTS.items()
        ],
    )


def capacity(record: Record) -> Figure:
    """Draw accuracy against the number of hidden units. There is a panel for each way of training,
    with a curve for each attack.
    """
    panels = []
    for training, words in TRAININGS.items():
        units = sorted(settings(record, "accuracy", "units", training=training))
        curves = {
            shown: _curve(record, units, look, training=training, attack=attack)
            for attack, (shown, look) in TESTS.items()
        }
        panels.append(
            Panel(
                f"trained {words}",
                "hidden units",
                "accuracy (%)",
                curves,
                {},
                log=True,
                ticks=[float(count) for count in units],
                limits=(-3.0, 103.0),
            )
        )
    return figures.lines(panels, columns=3, height=2.8)


def schedules(version: Version) -> Table:
    """Return a table of the accuracies after each schedule of adversarial training."""
    record = version.record
    told = {"short": "short", "printed": "printed, fewer steps"}
    if record.profile == "paper":
        told["printed"] = "printed"
    rows = []
    for kind, words in told.items():
        for steps in sorted(settings(record, "accuracy", "steps", schedule=kind)):
            found = [
                values(record, "accuracy", schedule=kind, steps=steps, attack=attack)
                for attack in ("clean", "pgd-40")
            ]
            rows.append([words, f"{steps:,}", *(spread_or(each, 1, missing="-") for each in found)])
    return table(
        f"{version.heading}: accuracy in per cent by the schedule of adversarial training (range "
        "over the seeds). *Printed*: PGD with 40 steps of 0.01 in each training step, learning "
        "rate 0.0001. *Short*: fewer and larger PGD steps, and a larger learning rate that falls "
        "to 0.",
        "tab-survey-madry-schedules",
        ["Schedule", "Training steps", "clean", "PGD, 40 steps"],
        rows,
    )


def starts(record: Record) -> Figure:
    """Draw the losses that PGD reaches from many random starts, with one row for each image."""
    titles = {"natural": "trained on clean images", "adversarial": "trained on PGD's images"}
    looks = {"natural": LOOKS["none"], "adversarial": LOOKS["rse"]}
    found = {
        title: {
            f"image {i + 1}": {kind: losses}
            for i, losses in enumerate(array(record, f"losses/{kind}"))
        }
        for kind, title in titles.items()
    }
    return figures.strips(found, looks, "cross entropy that PGD reaches")


def concentration(record: Record) -> str:
    """Return sentences that state how much the loss that PGD reaches on an image depends on the
    random start.
    """
    said = []
    for kind, words in (("natural", "on clean images"), ("adversarial", "on PGD's images")):
        each = array(record, f"losses/{kind}")
        width = fmean(max(losses) - min(losses) for losses in each)
        said.append(
            f"For the network trained {words}, the largest and the smallest loss that PGD reaches "
            f"on an image differ by {width:.2f} on average. The mean loss that PGD "
            f"reaches is {fmean(map(fmean, each)):.2f}."
        )
    return " ".join(said)


def fgsm_trained(record: Record) -> str:
    """Return a sentence that states two accuracies of a network trained on images of FGSM: under
    FGSM, and under PGD.
    """
    units = max(settings(record, "accuracy", "units", training="fgsm"))
    fgsm, pgd = (
        mean(record, "accuracy", units=units, training="fgsm", attack=attack)
        for attack in ("fgsm", "pgd-40")
    )
    return (
        f"The widest network that was trained on FGSM's images classifies {fgsm:.1f} % of the test "
        f"images correctly under FGSM, and {pgd:.1f} % under PGD."
    )


def _cell(record: Record, source: str, attack: str, target: str) -> str:
    return beside(
        values(record, "accuracy", source=source, attack=attack), printed(f"{TABLE}/{target}")
    )


def _curve(record: Record, units: Sequence[int], look: str, **setting: str) -> Curve:
    each = [values(record, "accuracy", units=count, **setting) for count in units]
    x = [float(count) for count in units]
    return Curve(x, [list(seed) for seed in zip(*each, strict=True)], LOOKS[look])
