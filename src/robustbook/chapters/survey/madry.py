"""Compute what the page on Madry et al. (2018) shows: results of adversarial training with PGD on
MNIST.
"""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters import pairs
from robustbook.chapters.badges import of_page
from robustbook.chapters.published import (
    Version,
    array,
    as_printed,
    images_of,
    mean,
    printed,
    record_of,
    rows_of,
    settings,
    tolerance,
    values,
)
from robustbook.chapters.wording import beside, from_to, listed, ranges, spread_or
from robustbook.figures import LOOKS, MISSING, Curve, Panel, Table
from robustbook.ledger import Record

from . import fast
from .pairing import GUESSING

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
OTHERS: Mapping[str, str] = {
    "margin-100-restarts": "PGD on the margin, 100 steps, restarts",
    "square": "Square",
}
"""Our strong attacks on A that are not in the paper's Table 1."""
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
SCHEDULES: Mapping[str, str] = {
    "short": "short",
    "rising": "short, rising radius",
    "constant": "short, constant radius",
    "printed": "printed",
}
REACHED: Mapping[str, tuple[str, str]] = {
    "clean": ("clean images", f"{TABLE}/natural/accuracy"),
    "pgd-40": ("PGD, 40 steps", f"{TABLE}/white-box/pgd-40-1-accuracy"),
}
"""The tests of a training schedule, each with the id of the accuracy that the paper prints."""
STEP: Mapping[str, tuple[int, int]] = {"quick": (50, 3), "reduced": (100, 5), "paper": (100, 7)}
"""For the training of network A, the number of images in a training step, and the number of PGD
steps in it, by profile. The record does not contain these numbers; a test compares them with the
study.
"""
PRINTED_PASSES = 100_000 * 50 * 41
"""The number of forward and backward passes in the paper's training: the product of the number of
training steps, the number of images in a step, and one more than the number of PGD steps.
"""
TRAININGS = {"natural": "on clean images", "fgsm": "with FGSM", "pgd": "with PGD"}


def network(record: Record) -> str:
    """Return the network and the data of a record (a file of stored results) as text, such as
    Madry's network on MNIST.
    """
    if record.profile == "paper":
        return "Madry's network on MNIST"
    data = "the embedded digits" if record.profile == "quick" else "MNIST"
    return f"a narrow version of Madry's network on {data}"


def answer(record: Record) -> str:
    """Return a sentence that states the accuracy of the adversarially trained network under PGD,
    and that of the network with the longest training by the same schedule, if there is one. The
    verdicts of the page follow.
    """
    there = printed(f"{TABLE}/white-box/pgd-40-1-accuracy")
    badges = of_page(
        "survey/madry",
        {
            "trained with PGD": "/madry-table-1/",
            "trained on clean images": "/naturally-trained/",
        },
    )
    lead = "With the paper's training"
    if effort(record) < 1:
        lead = "Trained far more briefly than in the paper"
    return (
        f"{lead}, {network(record)} has an accuracy of "
        f"{mean(record, 'accuracy', source='white', attack='pgd-40'):.1f} % under PGD"
        f"{_longer(record)} ({there} % in the paper). {badges}"
    )


def _longer(record: Record) -> str:
    """Return words on the accuracy under PGD after the longest training by the schedule of network
    A, or "" if no training is longer.
    """
    main, *_ = settings(record, "accuracy", "steps")
    kind, *_ = settings(record, "accuracy", "schedule", steps=main)
    most = max(settings(record, "accuracy", "steps", schedule=kind))
    if most <= main:
        return ""
    times = "twice" if most == 2 * main else f"{most / main:.2g} times"
    found = mean(record, "accuracy", schedule=kind, steps=most, attack="pgd-40")
    return f", and {found:.1f} % after {times} the training steps"


def defended(record: Record) -> str:
    """Return sentences that compare two accuracies under PGD: after adversarial training, and after
    training on clean images. For the adversarially trained network, the sentences also state the
    accuracy under all strong attacks together, which is measured on fewer images.
    """
    natural, trained = (
        mean(record, "accuracy", source=source, attack="pgd-40") for source in ("natural", "white")
    )
    worst = mean(record, "accuracy", source="white", attack="worst")
    many, few = (
        images_of(record, "accuracy", source="white", attack=attack)
        for attack in ("pgd-40", "worst")
    )
    first, same = f"the first {few:,} of these images", on_first(record, few, "pgd-40")
    under_pgd = f"{fmean(same):.1f} % under PGD with 40 steps, and " if same else ""
    if same and fmean(same) > trained:
        first += ", which are easier,"
    share = effort(record)
    shorter = (
        f" Our adversarial training has only {100 * share:.1g} % of the paper's forward and "
        "backward passes."
        if share < 1
        else ""
    )
    return (
        f"After adversarial training, {network(record)} classifies {trained:.1f} % of {many:,} "
        f"test images correctly under PGD with 40 steps. On {first} it is {under_pgd}"
        f"{worst:.1f} % under all of our strong attacks. After training on clean images "
        f"instead, the network classifies {natural:.1f} % of the {many:,} images correctly under "
        f"PGD with 40 steps.{shorter}"
    )


def on_first(record: Record, images: int, attack: str, source: str = "white") -> list[float]:
    """Return the accuracies in per cent on the first ``images`` test images, one for each seed.
    Leave out rows for more images that do not say which images count.
    """
    return [
        float(row.value) if row.images == images else float(100 * row.each[:images].mean())
        for row in rows_of(record, "accuracy", source=source, attack=attack)
        if row.images == images or row.outcomes
    ]


def effort(record: Record) -> float:
    """Return the number of forward and backward passes in the training of network A, divided by
    that of the paper's training.
    """
    if record.parameters.get("schedule") == "printed":
        return 1.0
    steps: int = settings(record, "accuracy", "steps")[0]
    images, inner = STEP[record.profile]
    return steps * images * (inner + 1) / PRINTED_PASSES


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
    shown = {"trained with PGD": defended, "trained on clean images": natural}
    figure = figures.strips(
        shown, figures.BESIDE, "accuracy (%)", own_rows=True, hollow=figures.HOLLOW
    )
    for axis in figure.axes:  # the same scale for both panels
        axis.set_xlim(-3, 103)
    return figure


def _marks(
    record: Record, source: str, attack: str, target: str | None
) -> dict[str, Sequence[float]]:
    # The embedded digits are not MNIST, so no printed number stands beside them.
    there = None if target is None or record.profile == "quick" else printed(target)
    return {
        "ours": values(record, "accuracy", source=source, attack=attack),
        "printed": [] if there is None else [there],
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
    for attack, words in OTHERS.items():
        if values(record, "accuracy", source="white", attack=attack):
            rows.append(["A", words, *_cells(record, "white", attack, None)])
    worst = "worst of the attacks with restarts and Square"
    if values(record, "accuracy", source="white", attack="autoattack"):
        rows.append(["A", "AutoAttack", *_cells(record, "white", "autoattack", None)])
        worst = "worst of the attacks with restarts, Square and AutoAttack"
    rows.append(["A", worst, *_cells(record, "white", "worst", None)])
    few = images_of(record, "accuracy", source="white", attack="worst")
    return version.table(
        ": accuracy in per cent of the adversarially trained network A, printed / "
        f"**ours**{ranges(record)}. The attack uses the gradients of A itself, of an "
        "independently trained copy A', or of another architecture B. We used the first images of "
        f"the test set. The last column is our accuracy on the first {few:,} images, so its rows "
        "can be compared. In the last row, an image counts as correct only if all attacks of this "
        "row fail.",
        "survey-madry",
        ["Gradients of", "Attack", "Our images", "Accuracy", f"First {few:,} images"],
        rows,
        align="llrrr",
    )


def natural(version: Version) -> Table:
    """Return a table of accuracies under several attacks, for the network that was trained on clean
    images.
    """
    rows = []
    for attack, (words, _) in TESTS.items():
        target = NATURAL.get(attack)
        found = values(version.record, "accuracy", source="natural", attack=attack)
        rows.append([words, beside(found, as_printed(target) if target else None)])
    images = images_of(version.record, "accuracy", source="natural")
    return version.table(
        ": accuracy in per cent of the network trained on clean images, printed / "
        f"**ours**{ranges(version.record)}, on the first {images:,} test images.",
        "survey-madry-natural",
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
    rows = []
    for kind, words in _schedules(record).items():
        for steps in sorted(settings(record, "accuracy", "steps", schedule=kind)):
            found = [
                values(record, "accuracy", schedule=kind, steps=steps, attack=attack)
                for attack in ("clean", "pgd-40")
            ]
            rows.append(
                [words, f"{steps:,}", *(spread_or(each, 1, missing=MISSING) for each in found)]
            )
    return version.table(
        f": accuracy in per cent after each schedule of adversarial training{ranges(record)}. "
        f"{_explained(record)}",
        "survey-madry-schedules",
        ["Schedule", "Training steps", "clean", "PGD, 40 steps"],
        rows,
    )


def _explained(record: Record) -> str:
    """Return sentences that explain the names of the training schedules in a record."""
    kinds = _schedules(record)
    told = {
        "*Printed*: PGD with 40 steps of 0.01 in each training step, learning rate 0.0001.": (
            "printed" in kinds
        ),
        "*Short*: fewer and larger PGD steps, and a larger learning rate that falls to 0.": (
            any(kind != "printed" for kind in kinds)
        ),
        "*Rising radius*: the radius rises from 0 over the first two fifths of the training.": (
            "rising" in kinds
        ),
    }
    return " ".join(words for words, shown in told.items() if shown)


def _schedules(record: Record) -> dict[str, str]:
    """Return the names of the training schedules in a record, in words."""
    told = dict(SCHEDULES)
    if record.profile != "paper":
        told["printed"] = "printed, fewer steps"
    return {k: told[k] for k in told if settings(record, "accuracy", "steps", schedule=k)}


def shortest(record: Record) -> str:
    """Return a sentence that names the shortest training schedule that reaches the printed
    accuracies, on clean images and under PGD, up to their tolerances. If there is none, return
    sentences that state how near the longest schedule comes.
    """
    kinds = settings(record, "accuracy", "schedule")
    every = sorted(
        (steps, kind)
        for kind in kinds
        for steps in settings(record, "accuracy", "steps", schedule=kind)
    )
    there = {attack: float(printed(target) or 0) for attack, (_, target) in REACHED.items()}
    ours = {
        (steps, kind): {
            attack: mean(record, "accuracy", schedule=kind, steps=steps, attack=attack)
            for attack in REACHED
        }
        for steps, kind in every
    }
    reached = [
        key
        for key, own in ours.items()
        if all(own[a] >= there[a] - tolerance(target) for a, (_, target) in REACHED.items())
    ]
    names = _schedules(record)
    if reached:
        steps, kind = reached[0]
        return (
            "The shortest schedule with which both accuracies reach the printed ones, up to the "
            f"tolerances, is *{names[kind]}* with {steps:,} training steps."
        )
    steps, kind = every[-1]
    told = listed(
        f"{there[a] - ours[steps, kind][a]:.1f} points "
        f"({'clean images' if a == 'clean' else 'PGD with 40 steps'})"
        for a in REACHED
    )
    return (
        "We did not find how many steps are needed. After the longest of our schedules "
        f"(*{names[kind]}*, {steps:,} training steps), the accuracies are below the printed ones "
        f"by {told}."
    )


def later_standard(record: Record) -> str:
    """Return sentences that say that AutoAttack was not run on network A, and what it leaves of
    another network trained with PGD; "" if AutoAttack was run.
    """
    if values(record, "accuracy", source="white", attack="autoattack"):
        return ""
    other = record_of("survey/fast")
    of = {"set": "mnist", "eps": fast.main_radius(other), "method": "pgd", "attack": "autoattack"}
    return (
        "AutoAttack, the usual test since 2020, was not run on this network. On the page [Fast "
        f"training](./fast.ipynb), another network trained with PGD has an accuracy of "
        f"{mean(other, 'accuracy', **of):.1f} % under AutoAttack."
    )


def masking(record: Record) -> str:
    """Return sentences that compare the accuracies under the Square attack, which uses no gradient,
    and under PGD with restarts, on the same images. If Square leaves clearly fewer images correct,
    this is a sign of gradient masking.
    """
    square, pgd, margin = (
        mean(record, "accuracy", source="white", attack=attack)
        for attack in ("square", "pgd-100-restarts", "margin-100-restarts")
    )
    images = images_of(record, "accuracy", source="white", attack="square")
    told = (
        f"On the same {images:,} images, {square:.1f} % are classified correctly under Square, "
        f"{pgd:.1f} % under PGD with 100 steps and restarts, and {margin:.1f} % under PGD with the "
        "margin as loss, otherwise the same. Square uses no gradient. "
    )
    if square < min(pgd, margin):
        fewer = (min(pgd, margin) - square) * images / 100
        of = min(("pgd-100-restarts", pgd), ("margin-100-restarts", margin), key=itemgetter(1))[0]
        rows = (
            rows_of(record, "accuracy", source="white", attack=attack) for attack in (of, "square")
        )
        sign = "a" if pairs.ordered(*rows) else "too small to be a"
        told += (
            "It leaves fewer images correct than PGD, so PGD does not find all adversarial images. "
            f"The difference is {fewer:.3g} of {images:,} images, {sign} sign of gradient masking."
        )
    else:
        told += "It leaves no fewer images correct, so it gives no sign of gradient masking."
    return told


def starts(record: Record) -> Figure:
    """Draw the losses that PGD reaches from many random starts, with one row for each image."""
    titles = {"natural": "trained on clean images", "adversarial": "trained with PGD"}
    found = {
        title: {
            f"image {i + 1}": {"losses": losses}
            for i, losses in enumerate(array(record, f"losses/{kind}"))
        }
        for kind, title in titles.items()
    }
    return figures.strips(found, {"losses": LOOKS["none"]}, "cross entropy that PGD reaches")


def concentration(record: Record) -> str:
    """Return sentences that say on which network PGD reaches more similar losses from its random
    starts, by two measures. Both divide the range of the losses on one image: the first by the
    range of the images' mean losses, and the second by the mean loss of the image itself.
    """
    both = []
    for kind in ("adversarial", "natural"):
        each = array(record, f"losses/{kind}")
        ranges_ = [max(losses) - min(losses) for losses in each]
        means = [fmean(losses) for losses in each]
        ratio = fmean(ranges_) / (max(means) - min(means))
        own = [100 * range_ / middle for range_, middle in zip(ranges_, means, strict=True)]
        both.append((ratio, own))
    (ratio, own), (ratio_natural, own_natural) = both
    names = {True: "training with PGD", False: "training on clean images"}
    one, two = names[ratio < ratio_natural], names[fmean(own) < fmean(own_natural)]
    end = f"So by both measures, the losses are more similar after {one}."
    if one != two:
        end = (
            "So the two measures disagree: by the first, the losses are more similar after "
            f"{one}, and by the second, after {two}."
        )
    return (
        "First measure: the mean range of the losses on one image, divided by the range of the "
        f"images' mean losses. It is {ratio:.2f} after {names[True]} and {ratio_natural:.2f} after "
        f"{names[False]}. Second measure: the range of the losses on one image, divided by their "
        f"mean. It is {from_to(own, '.0f')} % after {names[True]} and "
        f"{from_to(own_natural, '.0f')} % after {names[False]}. {end} From {len(each)} images, we "
        "draw no conclusion."
    )


def fgsm_trained(record: Record) -> str:
    """Return sentences on the networks of each width that were trained with FGSM: the widths at
    which they are below guessing under PGD, and their accuracies on clean images, under FGSM, and
    under PGD. They also state the widths at which these networks are better under PGD than networks
    trained with PGD, and the widths with signs of label leaking.
    """
    units = _units(record, "fgsm")
    clean, fgsm, pgd = (_by_width(record, "fgsm", attack) for attack in TESTS)
    other = _by_width(record, "pgd", "pgd-40")
    better = [u for u, own, there in zip(units, pgd, other, strict=True) if own > there]
    leak = [u for u, before, after in zip(units, clean, fgsm, strict=True) if after > before]
    low = {u: own for u, own in zip(units, pgd, strict=True) if own < GUESSING}
    lead = ""
    if low:
        highest = max(low.values())
        lead = (
            f"Not with {listed(low)} units: there, the accuracy under PGD is "
            f"{'at most ' * (highest > 0)}{highest:.1f} %. "
        )
    told = (
        f"{lead}With {listed(units)} hidden units, the networks trained with FGSM have accuracies "
        f"of {_told(fgsm)} % under FGSM, but of {_told(pgd)} % under PGD (clean images: "
        f"{_told(clean)} %)."
    )
    if better:
        told += (
            f" With {listed(better)} units, training with FGSM gives a higher accuracy under PGD "
            "than training with PGD, for the same number of training steps."
        )
        told += " But this is one network of each kind." * (len(record.seeds) == 1)
    if leak:
        told += (
            f" With {listed(leak)} units, the accuracy under FGSM is higher than the accuracy on "
            "clean images, a sign of label leaking."
        )
    return told


def capacity_in_words(record: Record) -> str:
    """Return sentences that state the accuracies of the networks of each width that were trained
    with PGD, and whether the accuracy under PGD rises with the width.
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
        f"With {listed(units)} hidden units, the networks trained with PGD have accuracies "
        f"of {_told(pgd)} % under PGD (clean images: {_told(clean)} %). "
        f"{trend}, and there is only {runs} of each width. So the figure "
        f"{'cannot confirm' if seeds == 1 else 'only suggests'} the paper's statement that "
        "training with PGD needs wide networks."
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
    """Return three table cells: our number of test images, the printed accuracy beside ours, and
    our accuracy on the images on which all attacks were run.
    """
    images = images_of(record, "accuracy", source=source, attack=attack)
    found = values(record, "accuracy", source=source, attack=attack)
    few = images_of(record, "accuracy", source="white", attack="worst")
    return [
        f"{images:,}",
        beside(found, as_printed(f"{TABLE}/{target}") if target else None),
        spread_or(on_first(record, few, attack, source), missing=MISSING),
    ]


def _curve(record: Record, units: Sequence[int], look: str, **setting: str) -> Curve:
    each = [values(record, "accuracy", units=count, **setting) for count in units]
    x = [float(count) for count in units]
    return Curve(x, [list(seed) for seed in zip(*each, strict=True)], LOOKS[look])
