"""Compute what the page on Madry et al. (2018) shows: results of adversarial training with PGD on
MNIST.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import (
    Version,
    array,
    as_printed,
    mean,
    printed,
    settings,
    values,
)
from robustbook.chapters.wording import beside, listed, spread_or, whole_percent
from robustbook.figures import LOOKS, Curve, Panel, Table, table
from robustbook.ledger import Record

from .shares import images_of

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
NATURAL = {
    "clean": "survey/madry-mnist/naturally-trained/accuracy",
    "fgsm": "survey/madry-mnist/naturally-trained/fgsm-accuracy",
}
"""For clean images and for FGSM, the id of the accuracy that the paper prints for the network
trained on clean images.
"""
MARKS = {"printed": LOOKS["none"], "ours": LOOKS["adv"]}
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
    accuracy under all strong attacks together, which is measured on fewer images.
    """
    natural, defended = (
        mean(record, "accuracy", source=source, attack="pgd-40") for source in ("natural", "white")
    )
    worst = mean(record, "accuracy", source="white", attack="worst")
    many, few = (
        images_of(record, "accuracy", source="white", attack=attack)
        for attack in ("pgd-40", "worst")
    )
    there = printed(f"{TABLE}/white-box/pgd-40-1-accuracy")
    return whole_percent(
        f"After adversarial training, {network(record)} classifies {defended:.1f} % of {many:,} "
        f"test images correctly under PGD with 40 steps ({there} % in the paper). Of the first "
        f"{few:,} of these images, it classifies {worst:.1f} % correctly under all of our strong "
        "attacks. After training on clean images instead, the network classifies "
        f"{natural:.1f} % of the {many:,} images correctly under PGD with 40 steps."
    )


def attacks(record: Record) -> Figure:
    """Draw the accuracy of the adversarially trained network A on clean images and under each
    white-box attack, beside the accuracy printed in the paper. A second panel shows the network
    trained on clean images.
    """
    _, ids = SOURCES["white"]
    defended = {"clean images": _marks(record, "white", "clean", f"{TABLE}/natural/accuracy")}
    for attack, words in ATTACKS.items():
        defended[words] = _marks(record, "white", attack, f"{TABLE}/{ids[attack]}-accuracy")
    if values(record, "accuracy", source="white", attack="autoattack"):
        defended["AutoAttack"] = _marks(record, "white", "autoattack", None)
    defended["worst of all"] = _marks(record, "white", "worst", None)
    natural = {
        words: _marks(record, "natural", attack, NATURAL.get(attack))
        for attack, (words, _) in TESTS.items()
    }
    shown = {"trained on PGD's images": defended, "trained on clean images": natural}
    figure = figures.strips(shown, MARKS, "accuracy (%)", own_rows=True)
    for axis in figure.axes:  # the same scale for both panels
        axis.set_xlim(-3, 103)
    return figure


def _marks(
    record: Record, source: str, attack: str, target: str | None
) -> dict[str, Sequence[float]]:
    there = None if target is None else printed(target)
    return {
        "printed": [] if there is None else [there],
        "ours": values(record, "accuracy", source=source, attack=attack),
    }


def printed_beside(version: Version) -> Table:
    """Return the paper's Table 1. In each row of the table, the number printed in the paper stands
    before our number.
    """
    record = version.record
    rows = [["A", "none (clean images)", *_cells(record, "white", "clean", "natural/accuracy")]]
    for source, (name, ids) in SOURCES.items():
        for attack, words in ATTACKS.items():
            if attack in ids:
                cells = _cells(record, source, attack, f"{ids[attack]}-accuracy")
                rows.append([name, words, *cells])
    worst = "worst of the attacks with restarts and Square"
    if values(record, "accuracy", source="white", attack="autoattack"):
        rows.append(["A", "AutoAttack", *_cells(record, "white", "autoattack", None)])
        worst = "worst of the attacks with restarts, Square and AutoAttack"
    rows.append(["A", worst, *_cells(record, "white", "worst", None)])
    return table(
        f"{version.heading}: accuracy in per cent of the adversarially trained network A, printed "
        "/ **ours** (range over the seeds). The attack uses the gradients of A itself, of an "
        "independently trained copy A', or of another architecture B. We used the first images of "
        "the test set. So rows with different numbers of images cannot be compared exactly.",
        f"tab-survey-madry-{version.tag}",
        ["Gradients of", "Attack", "Our images", "Accuracy"],
        rows,
        align="llrr",
    )


def natural(version: Version) -> Table:
    """Return a table of accuracies under several attacks, for the network that was trained on clean
    images.
    """
    record = version.record
    rows = []
    for attack, (words, _) in TESTS.items():
        target = NATURAL.get(attack)
        found = values(record, "accuracy", source="natural", attack=attack)
        rows.append([words, beside(found, as_printed(target) if target else None)])
    images = images_of(record, "accuracy", source="natural")
    return table(
        f"{version.heading}: accuracy in per cent of the network trained on clean images, printed "
        f"/ **ours** (range over the seeds), on the first {images:,} test images.",
        f"tab-survey-madry-natural-{version.tag}",
        ["Attack", "Accuracy"],
        rows,
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


def with_widths(versions: Sequence[Version]) -> Record:
    """Return the best record that has networks of several widths."""
    return next(v.record for v in versions if settings(v.record, "accuracy", "units"))


def schedules(version: Version) -> Table:
    """Return a table of the accuracies after each schedule of adversarial training."""
    record = version.record
    told = {
        "short": "short",
        "rising": "short, rising radius",
        "constant": "short, constant radius",
        "printed": "printed",
    }
    if record.profile != "paper":
        told["printed"] = "printed, fewer steps"
    rows = []
    for kind, words in told.items():
        for steps in sorted(settings(record, "accuracy", "steps", schedule=kind)):
            found = [
                values(record, "accuracy", schedule=kind, steps=steps, attack=attack)
                for attack in ("clean", "pgd-40")
            ]
            rows.append([words, f"{steps:,}", *(spread_or(each, 1, missing="-") for each in found)])
    return table(
        f"{version.heading}: accuracy in per cent after each schedule of adversarial training "
        "(range over the seeds). *Printed*: PGD with 40 steps of 0.01 in each training step, "
        "learning rate 0.0001. *Short*: fewer and larger PGD steps, and a larger learning rate "
        "that falls to 0. *Rising radius*: the radius rises from 0 over the first two fifths of "
        "the training.",
        f"tab-survey-madry-schedules-{version.tag}",
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
    """Return sentences that answer whether PGD reaches similar losses from all random starts. For
    each network, they compare the range of the losses on one image, averaged over the images, with
    the range of the images' mean losses.
    """
    said, smaller = [], []
    for kind, words in (("adversarial", "on PGD's images"), ("natural", "on clean images")):
        each = array(record, f"losses/{kind}")
        within = fmean(max(losses) - min(losses) for losses in each)
        means = [fmean(losses) for losses in each]
        smaller.append(within < max(means) - min(means))
        said.append(
            f"On the network trained {words}, the losses on one image differ by at most "
            f"{within:.2f} on average, and the mean losses of the images lie between "
            f"{min(means):.2f} and {max(means):.2f}."
        )
    head = "Yes: the losses on one image lie closer together than the mean losses of the images."
    if not any(smaller):
        head = "No: the losses on one image lie as far apart as the mean losses of the images."
    elif not all(smaller):
        names = ("trained on PGD's images", "trained on clean images")
        head = f"Only on the network {names[smaller.index(True)]}."
    return " ".join([head, *said])


def fgsm_trained(record: Record) -> str:
    """Return sentences on the networks of each width that were trained on images of FGSM: their
    accuracies on clean images, under FGSM, and under PGD. They also state the widths at which these
    networks are better under PGD than networks trained on PGD's images, and the widths with signs
    of label leaking.
    """
    units = _units(record, "fgsm")
    clean, fgsm, pgd = (_by_width(record, "fgsm", attack) for attack in TESTS)
    other = _by_width(record, "pgd", "pgd-40")
    better = [u for u, own, there in zip(units, pgd, other, strict=True) if own > there]
    leak = [u for u, before, after in zip(units, clean, fgsm, strict=True) if after > before]
    told = (
        f"With {listed(units)} hidden units, the networks trained on FGSM's images have accuracies "
        f"of {_told(fgsm)} % under FGSM, but of {_told(pgd)} % under PGD (clean images: "
        f"{_told(clean)} %)."
    )
    if better:
        told += (
            f" With {listed(better)} units, training on FGSM's images gives a higher accuracy "
            "under PGD than training on PGD's images with the same number of training steps."
        )
    if leak:
        told += (
            f" With {listed(leak)} units, the accuracy under FGSM is higher than the accuracy on "
            "clean images, which shows label leaking."
        )
    return told


def capacity_in_words(record: Record) -> str:
    """Return sentences that state the accuracies of the networks of each width that were trained on
    PGD's images, and whether the accuracy under PGD rises with the width.
    """
    units = _units(record, "pgd")
    clean, _, pgd = (_by_width(record, "pgd", attack) for attack in TESTS)
    seeds = len(record.seeds)
    runs = "one network" if seeds == 1 else f"{seeds} networks"
    trend = (
        "The accuracy under PGD rises with the width"
        if pgd == sorted(pgd) and pgd[0] < pgd[-1]
        else "The accuracy under PGD does not rise with every increase of the width"
    )
    return (
        f"With {listed(units)} hidden units, the networks trained on PGD's images have accuracies "
        f"of {_told(pgd)} % under PGD (clean images: {_told(clean)} %). "
        f"{trend}, and there is only {runs} of each width. So the figure "
        f"{'cannot confirm' if seeds == 1 else 'only suggests'} the paper's statement that "
        "training on PGD's images needs wide networks."
    )


def _units(record: Record, training: str) -> list[int]:
    return sorted(settings(record, "accuracy", "units", training=training))


def _by_width(record: Record, training: str, attack: str) -> list[float]:
    return [
        mean(record, "accuracy", units=units, training=training, attack=attack)
        for units in _units(record, training)
    ]


def _told(percents: Sequence[float]) -> str:
    return listed([f"{percent:.1f}" for percent in percents])


def _cells(record: Record, source: str, attack: str, target: str | None) -> list[str]:
    """Return two table cells: our number of test images, and the printed accuracy beside ours."""
    images = images_of(record, "accuracy", source=source, attack=attack)
    found = values(record, "accuracy", source=source, attack=attack)
    return [f"{images:,}", beside(found, as_printed(f"{TABLE}/{target}") if target else None)]


def _curve(record: Record, units: Sequence[int], look: str, **setting: str) -> Curve:
    each = [values(record, "accuracy", units=count, **setting) for count in units]
    x = [float(count) for count in units]
    return Curve(x, [list(seed) for seed in zip(*each, strict=True)], LOOKS[look])
