"""Compute what the page on Mosbach et al. (2018) shows: the accuracy of logit pairing under a
baseline attack and under stronger attacks.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import Version, array, mean, printed, settings, values
from robustbook.chapters.wording import beside, spread_or
from robustbook.figures import LOOKS, Table, table
from robustbook.ledger import Record

TARGETS = "survey/mosbach-mnist"
METHODS: Mapping[str, str] = {
    "plain": "Plain",
    "clp": "CLP",
    "lsq": "LSQ",
    "plain-alp": "Plain + ALP",
    "at50-alp": "50 % AT + ALP",
    "at50": "50 % AT",
    "at100-alp": "100 % AT + ALP",
    "at100": "100 % AT",
}
"""The rows of the paper's table for MNIST, in its order."""
ATTACKS: Mapping[str, str] = {
    "clean": "clean images",
    "baseline": "baseline attack",
    "strongest": "strongest attack",
}
_IDS = {
    "clean": "accuracy",
    "baseline": "baseline-attack-accuracy",
    "strongest": "strongest-attack-accuracy",
}
LOOK = {
    "clean images": LOOKS["clean"],
    "baseline attack": LOOKS["none"],
    "strongest attack": LOOKS["adv"],
}
FALLEN = ("clp", "lsq")
START = "one start"


def best(records: Sequence[Record]) -> list[tuple[Record, list[str]]]:
    """Return pairs: a record (a file of stored results), and the training methods for which the
    record contains results. The record with the best profile (largest size of the experiment) comes
    first.

    Records for profile ``quick`` are left out if there are records for other profiles.
    """
    real = [record for record in records if record.profile != "quick"] or list(records)
    return [(record, methods(record)) for record in real]


def methods(record: Record) -> list[str]:
    """Return the training methods for which a record contains results, in the order of the paper's
    table.
    """
    there = settings(record, "accuracy", "network")
    return [method for method in METHODS if method in there]


def title(record: Record) -> str:
    """Return the network and the data of a record as text, such as the paper's network on MNIST."""
    return {
        "paper": "the paper's network on MNIST",
        "reduced": "a network with a quarter of the paper's widths on MNIST",
        "quick": "a network with an eighth of the paper's widths on the embedded digits",
    }[record.profile]


def heading(record: Record) -> str:
    """Return a short title for the panel of a figure that shows the results in a record."""
    return {"paper": "MNIST", "reduced": "MNIST, narrow", "quick": "digits, narrow"}[record.profile]


def answer(records: Sequence[Record]) -> str:
    """Return a sentence for each of two methods, clean logit pairing and logit squeezing. Each
    sentence states the accuracies under the baseline attack and under the strongest attack.
    """
    record = next((each for each, there in best(records) if set(FALLEN) <= set(there)), records[0])
    told = []
    for method in (m for m in FALLEN if m in methods(record)):
        baseline, strongest = (at(record, method, kind) for kind in ("baseline", "strongest"))
        there = [printed(f"{TARGETS}/{method}/{_IDS[kind]}") for kind in ("baseline", "strongest")]
        told.append(
            f"A network trained with {METHODS[method]} has an accuracy of {baseline:.1f} % under "
            f"the baseline attack, and of {strongest:.1f} % under the strongest attack (the paper "
            f"prints {there[0]} % and {there[1]} %)."
        )
    return " ".join([*told, f"Our numbers are for {title(record)}."])


def at(record: Record, method: str, attack: str) -> float:
    """Return the accuracy of a training method under an attack, as the mean over the seeds."""
    return mean(record, "accuracy", network=method, attack=attack)


def accuracies(records: Sequence[Record]) -> Figure:
    """Draw three accuracies of the network trained by each method: on clean images, under the
    baseline attack, and under the strongest attack.
    """
    shown = {
        heading(record): {
            METHODS[method]: {
                words: values(record, "accuracy", network=method, attack=attack)
                for attack, words in ATTACKS.items()
            }
            for method in there
        }
        for record, there in best(records)
    }
    return figures.strips(shown, LOOK, "accuracy (%)", own_rows=len(shown) > 1)


def of_one(record: Record) -> Figure:
    """Draw the accuracies for the stored results of a single run."""
    return accuracies([record])


def printed_beside(version: Version) -> Table:
    """Return the paper's table for MNIST. In every cell of the table, the number printed in the
    paper stands before our number.
    """
    record = version.record
    return table(
        f"{version.heading}: accuracy in per cent of {title(record)}, printed / **ours** (range "
        "over the seeds).",
        f"tab-survey-pairing-{version.tag}",
        ["Training", *(words.capitalize() for words in ATTACKS.values())],
        [
            [
                words,
                *(
                    beside(
                        values(record, "accuracy", network=method, attack=attack),
                        printed(f"{TARGETS}/{method}/{_IDS[attack]}"),
                    )
                    for attack in ATTACKS
                ),
            ]
            for method, words in METHODS.items()
        ],
    )


def attacks(version: Version) -> Table:
    """Return a table of accuracies, with one row for each method of training and one column for
    each of the strong attacks.
    """
    record = version.record
    kinds = [
        kind
        for kind in settings(record, "accuracy", "attack", network=methods(record)[0])
        if kind not in ATTACKS
    ]
    return table(
        f"{version.heading}: accuracy in per cent under each strong attack (range over the seeds). "
        "For PGD, the heading of the column states the loss that PGD increases (*entropy*: the "
        "cross entropy) and the step size.",
        f"tab-survey-pairing-attacks-{version.tag}",
        ["Training", *kinds, "worst of all"],
        [
            [
                METHODS[method],
                *(
                    spread_or(values(record, "accuracy", network=method, attack=kind), missing="-")
                    for kind in (*kinds, "strongest")
                ),
            ]
            for method in methods(record)
        ],
    )


def heat_map(record: Record) -> Figure:
    """Draw heat maps of the accuracy under PGD, one for each method of training. The rows are
    numbers of PGD steps, and the columns are step sizes.
    """
    shown = [m for m in methods(record) if values(record, "heat", network=m)]
    steps = settings(record, "heat", "steps")
    sizes = settings(record, "heat", "step size")
    panels = {}
    for method in shown:
        cells = [
            [mean(record, "heat", network=method, steps=n, **{"step size": size}) for size in sizes]
            for n in steps
        ]
        panels[METHODS[method]] = np.array(cells)
    return figures.heat(
        panels,
        [str(n) for n in steps],
        [f"{size:g}" for size in sizes],
        row_label="steps",
        column_label="size of a step",
        scale="accuracy (%)",
    )


def loss_surfaces(record: Record) -> Figure:
    """Draw the loss on a plane through the first test image, with one panel for each training
    method.
    """
    names = [m for m in ("plain", "clp", "lsq", "plain-alp", "at100") if m in methods(record)]
    shown = {METHODS[m]: np.array(array(record, f"surface/{m}")) for m in names}
    radius = 0.1 if record.profile == "quick" else 0.3
    return figures.surfaces(shown, radius, "along the gradient's sign", "along random signs")


def roughness(record: Record) -> str:
    """Return a sentence that states how rough the loss surface is after each method of training."""
    told = [
        f"{value:.3f} ({METHODS[m]})"
        for m in methods(record)
        for value in [fmean(values(record, "roughness", network=m))]
    ]
    return f"The mean roughness of the loss surfaces is {', '.join(told)}."


def starts(record: Record) -> Figure:
    """Draw the losses that the baseline attack reaches from many random starts. There is a panel
    for each method of training, with a row for each image.
    """
    shown = {
        METHODS[m]: {
            f"image {i + 1}": {START: losses}
            for i, losses in enumerate(array(record, f"starts/{m}"))
        }
        for m in methods(record)
        if f"starts/{m}" in record.arrays
    }
    return figures.strips(shown, {START: LOOKS["none"]}, "cross entropy that PGD reaches")


def certain(record: Record) -> str:
    """Return sentences that state, for each training method, how often the attack reaches a loss
    above ln 10 from a random start. A loss above ln 10 proves that the network misclassifies the
    image.
    """
    told = [
        f"{100 * mean(record, 'starts above ln 10', network=m):.0f} % ({METHODS[m]})"
        for m in methods(record)
        if values(record, "starts above ln 10", network=m)
    ]
    return (
        "If the loss is above $\\ln 10$, the image is misclassified. The share of random starts "
        f"from which the baseline attack reaches a loss above $\\ln 10$ is {', '.join(told)}."
    )


def ranking(records: Sequence[Record]) -> str:
    """Return sentences that rank the methods of training twice: by the accuracy under the baseline
    attack, and by the accuracy under the strongest attack.
    """
    record, there = max(best(records), key=lambda pair: len(pair[1]))
    orders = [
        sorted(there, key=lambda m: -at(record, m, kind)) for kind in ("baseline", "strongest")
    ]
    first, second = (", ".join(METHODS[m] for m in each) for each in orders)
    same = "is the same" if orders[0] == orders[1] else "differs"
    return (
        f"For {title(record)}, the order of the ways of training by accuracy under the baseline "
        f"attack is, from the best: {first}. "
        f"The order under the strongest attack {same}: {second}."
    )


def falls(version: Version) -> Table:
    """Return a table of how far the accuracy falls from the baseline attack to the strongest
    attack, in percentage points. There is one row for each training method.
    """
    record = version.record
    rows = []
    for method in methods(record):
        ours = values(record, "fall", network=method)
        there = [printed(f"{TARGETS}/{method}/{_IDS[kind]}") for kind in ("baseline", "strongest")]
        assert there[0] is not None and there[1] is not None
        rows.append([METHODS[method], beside(ours, round(there[0] - there[1], 1))])
    return table(
        f"{version.heading}: percentage points by which the accuracy on the same images falls from "
        "the baseline to the strongest attack, printed / **ours** (range over the seeds).",
        f"tab-survey-pairing-falls-{version.tag}",
        ["Training", "Fall"],
        rows,
    )
