"""Compute what the page on Mosbach et al. (2018) shows: the accuracy of logit pairing under a
baseline attack and under stronger attacks.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from math import log
from statistics import fmean

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.badges import of_page
from robustbook.chapters.published import (
    Version,
    array,
    as_printed,
    images_of,
    mean,
    of_target,
    printed,
    rows_of,
    settings,
    tolerance,
    values,
    without_quick,
)
from robustbook.chapters.wording import (
    beside,
    from_to,
    listed,
    ranges,
    spread,
    spread_or,
    with_images,
)
from robustbook.figures import LOOKS, MISSING, Table
from robustbook.ledger import Record
from robustbook.ledger.intervals import clearly_differ, sampling_error
from robustbook.ledger.outcomes import paired_error
from robustbook.studies.survey.sizes import SURFACES

TARGETS = "survey/mosbach-mnist"
SHORT = "-short"
"""The end of the name of a network that is trained for 10 instead of 100 epochs, and with Adam's
epsilon 1e-8 instead of 1e-6.
"""
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
FALLEN: Mapping[str, str] = {"clp": "clean logit pairing", "lsq": "logit squeezing"}
"""The two methods of the page's answer, with their names in words."""
ADVERSARIAL = ("at100", "at100-alp", "at50", "at50-alp")
"""The methods that train on adversarial images."""
GUESSING = 10.0
"""The accuracy of random guessing among ten classes, in per cent."""
BUMPY = "survey/engstrom/claim/bumpy-landscape"
ROUGHER = 1.1
"""The ratio of roughness above which a loss surface counts as rougher."""
MASKED = ("clp", "lsq", "plain-alp")
"""The methods whose loss surfaces, according to the claim `BUMPY`, are rougher than after 100 % AT.
"""
EARLIER: Mapping[str, tuple[float, float]] = {"baseline": (15, 15), "strongest": (5, 5)}
"""The tolerances of the accuracies with CLP and LSQ, in percentage points, until after the runs."""
START = "one start"
BASELINE_STEPS = 40
"""The number of PGD steps of the baseline attack on MNIST."""


def methods(record: Record) -> list[str]:
    """Return the training methods for which a record (a file of stored results) contains results,
    in the order of the paper's table.
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
    """Return a sentence that names the penalties without an attack in training that stop only weak
    attacks, after training with noise on the images. It states the accuracy with clean logit
    pairing under the baseline attack and under the strongest attack, on the same images. The
    verdicts of the page follow.
    """
    record = first_with(records, ("clp",))
    weak = [m for m in FALLEN if m in methods(record) and only_looks_robust(record, m)]
    lead = f"{FALLEN['clp']} does not make our network robust"
    if is_robust(record, "clp"):
        lead = f"{FALLEN['clp']} makes our network more robust than guessing"
    elif "clp" in weak:
        lead = f"{listed(FALLEN[m] for m in weak)} stop{'s' * (len(weak) == 1)} only weak attacks"
    badges = of_page(
        "survey/pairing",
        {
            "CLP and LSQ": "/mosbach-mnist/(clp|lsq)/|/mosbach-mnist/claim/",
            "other methods": "/mosbach-mnist/|engstrom",
            "CIFAR-10": "cifar10",
        },
    )
    it = "it" if len(weak) < 2 else "pairing"
    return f"With noise in training, {lead}: {it} keeps {_both(record, 'clp')}. {badges}"


def others(records: Sequence[Record]) -> str:
    """Return sentences that state on which networks the page's answer is measured, and the
    accuracies with logit squeezing, after adversarial training, and with adversarial logit pairing.
    After adversarial training, both attacks are on the same images.
    """
    paired, record = first_with(records, ("clp",)), first_with(records, FALLEN)
    reference = first_with(records, ADVERSARIAL)
    images = images_of(paired, "accuracy", network="clp", attack="strongest")
    told = [
        f"The accuracies of the answer are for {title(paired)} ({_runs(paired)}), under both "
        f"attacks on the same {images:,} test images. We did not train with this noise alone, so "
        "we do not know what the penalties contribute."
    ]
    if "lsq" in methods(record):
        told.append(f"With {FALLEN['lsq']}, the accuracies are {_both(record, 'lsq')}.")
        if record is not paired:
            told.append(f"This is {title(record)} ({_runs(record)}).")
        told.append(_below_the_paper(record))
        if not looks_robust(record, "lsq"):
            told.append("This accuracy under PGD is not clearly better than guessing.")
    trained = [method for method in ADVERSARIAL if method in methods(reference)]
    if trained:
        before, after = (
            [end(reference, m) for m in trained] for end in (at_baseline, at_strongest)
        )
        falls = any(has_fallen(reference, method) for method in trained)
        kept = all(is_robust(reference, method) for method in trained)
        words = "falls too, but not to guessing" if kept else "falls too"
        if not falls:
            words = "hardly falls"
        own = f" Each of them is {title(reference)} ({_runs(reference)})."
        own *= reference is not paired
        told.append(
            f"After adversarial training, the accuracy {words}. It is {_span(before)} under PGD, "
            f"and {_span(after)} under the stronger attacks, on the same "
            f"{images_of(reference, 'accuracy', attack='strongest')} images ({len(trained)} "
            f"network{'s' if len(trained) > 1 else ''}).{own}"
        )
        if "plain-alp" in methods(reference):
            told.append(
                "Adversarial logit pairing uses an attack in its penalty. Added to plain training "
                f"of such a network, it has accuracies of {_both(reference, 'plain-alp')}."
            )
    if inconclusive(record, reference):
        told.append("So our networks do not decide whether only the penalties fail.")
    return " ".join(filter(None, told))


def _below_the_paper(record: Record) -> str:
    """Return a sentence that compares the accuracies of CLP and LSQ under the baseline attack with
    the paper's, on all images of this attack.
    """
    less = []
    for method in FALLEN:
        there = printed(f"{TARGETS}/{method}/{_IDS['baseline']}")
        assert there is not None
        less.append(there - at(record, method, "baseline"))
    images = images_of(record, "accuracy", attack="baseline")
    side = "below" if min(less) > 0 else "above" if max(less) < 0 else ""
    if not side:
        return ""
    return (
        f"Under PGD on {images:,} images, our accuracies are {from_to([*map(abs, less)], '.0f')} "
        f"percentage points {side} the paper's."
    )


def first_with(records: Sequence[Record], wanted: Collection[str]) -> Record:
    """Return the best record with all of the wanted training methods or, if there is none, the
    first record.
    """
    own = without_quick(records)
    return next((record for record in own if {*wanted} <= {*methods(record)}), records[0])


def _runs(record: Record) -> str:
    seeds = len(record.seeds)
    return "one training" if seeds == 1 else f"{seeds} trainings"


def inconclusive(record: Record, reference: Record) -> bool:
    """Return whether our networks leave open if only the penalties on logits fail. The question is
    decided if no network with a penalty alone is robust under the strongest attack, and all
    adversarially trained networks are.

    ``record``: the results with penalties. ``reference``: those after adversarial training.
    """
    trained = [method for method in ADVERSARIAL if method in methods(reference)]
    failed = not any(is_robust(record, m) for m in FALLEN if m in methods(record))
    return not (failed and trained and all(is_robust(reference, m) for m in trained))


def _both(record: Record, method: str) -> str:
    """Return the accuracies of a method under the baseline and under the strongest attack, on the
    same images, with the paper's numbers.
    """
    before, after = at_baseline(record, method), at_strongest(record, method)
    there = [printed(f"{TARGETS}/{method}/{_IDS[kind]}") for kind in ("baseline", "strongest")]
    return (
        f"{before:.1f} % under PGD and {after:.1f} % under stronger attacks "
        f"({there[0]} and {there[1]} % in the paper)"
    )


def at_strongest(record: Record, method: str) -> float:
    """Return the accuracy of a method under the strongest attack, as the mean over the seeds."""
    return at(record, method, "strongest")


def at_baseline(record: Record, method: str) -> float:
    """Return the accuracy of a method under the baseline attack, on the images of the strongest
    attack, as the mean over the seeds.
    """
    return at_strongest(record, method) + mean(record, "fall", network=method)


def looks_robust(record: Record, method: str) -> bool:
    """Return whether the accuracy of a method under the baseline attack is higher than that of
    guessing, by more than the binomial error.
    """
    return _above_guessing(record, method, at_baseline(record, method))


def is_robust(record: Record, method: str) -> bool:
    """Return whether the accuracy of a method under the strongest attack is higher than that of
    guessing, by more than the binomial error.
    """
    return _above_guessing(record, method, at_strongest(record, method))


def only_looks_robust(record: Record, method: str) -> bool:
    """Return whether a method is better than guessing under the baseline attack, but not under the
    strongest attack.
    """
    return looks_robust(record, method) and not is_robust(record, method)


def _above_guessing(record: Record, method: str, accuracy: float) -> bool:
    images = images_of(record, "accuracy", network=method, attack="strongest")
    # The accuracy of guessing is a constant, so only the other one has a binomial error.
    return accuracy - sampling_error(accuracy, "percent", images) > GUESSING


def has_fallen(record: Record, method: str) -> bool:
    """Return whether the accuracy of a method falls from the baseline to the strongest attack, by
    more than the binomial error.
    """
    images = images_of(record, "accuracy", network=method, attack="strongest")
    return clearly_differ(at_baseline(record, method), at_strongest(record, method), images)


def _span(percents: Sequence[float]) -> str:
    low, high = f"{min(percents):.0f}", f"{max(percents):.0f}"
    return f"{low} %" if low == high else f"{low} to {high} %"


def at(record: Record, method: str, attack: str) -> float:
    """Return the accuracy of a training method under an attack, as the mean over the seeds."""
    return mean(record, "accuracy", network=method, attack=attack)


def accuracies(records: Sequence[Record]) -> Figure:
    """Draw three accuracies of the network trained by each method: on clean images, under the
    baseline attack, and under the strongest attack. Both attacks are drawn for the same images. A
    short training is drawn only if a record lacks the whole one.
    """
    shown = {
        heading(record): {words: marks(record, name) for name, words in _drawn(record)}
        for record in without_quick(records)
    }
    return figures.strips(shown, LOOK, "accuracy (%)", own_rows=len(shown) > 1)


def _drawn(record: Record) -> Iterator[tuple[str, str]]:
    there = settings(record, "accuracy", "network")
    for name, words in METHODS.items():
        if name in there:
            yield name, words
        elif f"{name}{SHORT}" in there:
            yield f"{name}{SHORT}", f"{words}, short training"


def marks(record: Record, method: str) -> dict[str, list[float]]:
    """Return three accuracies of a method, one number per seed: on clean images, and under the
    baseline and the strongest attack on the same images.
    """
    clean, strongest = (
        values(record, "accuracy", network=method, attack=attack)
        for attack in ("clean", "strongest")
    )
    falls = values(record, "fall", network=method)
    baseline = [left + fall for left, fall in zip(strongest, falls, strict=True)]
    return dict(zip(ATTACKS.values(), (clean, baseline, strongest), strict=True))


def printed_beside(version: Version) -> Table:
    """Return the paper's table for MNIST. In every cell of the table, the number printed in the
    paper stands before our number.
    """
    record = version.record
    return version.table(
        f": accuracy in per cent of {title(record)}, printed / **ours**{ranges(record)}. The "
        "numbers of images are ours.",
        "survey-pairing",
        [
            "Training",
            *(
                with_images(words.capitalize(), images_of(record, "accuracy", attack=attack))
                for attack, words in ATTACKS.items()
            ),
        ],
        [
            [
                words,
                *(
                    beside(
                        values(record, "accuracy", network=method, attack=attack),
                        as_printed(f"{TARGETS}/{method}/{_IDS[attack]}"),
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
    kinds = _strong(record)
    return version.table(
        f": accuracy in per cent under each strong attack{ranges(record)}. For PGD, the heading "
        "of the column states the loss that PGD increases (*entropy*: the cross entropy) and the "
        "step size.",
        "survey-pairing-attacks",
        ["Training", *kinds, "worst of all"],
        [
            [
                METHODS[method],
                *(
                    spread_or(
                        values(record, "accuracy", network=method, attack=kind), missing=MISSING
                    )
                    for kind in (*kinds, "strongest")
                ),
            ]
            for method in methods(record)
        ],
    )


def _strong(record: Record) -> list[str]:
    """Return the names of the strong attacks that a record contains one by one."""
    kinds = settings(record, "accuracy", "attack", network=methods(record)[0])
    return [kind for kind in kinds if kind not in ATTACKS]


def heat_map(record: Record) -> Figure:
    """Draw heat maps of the accuracy under PGD, one for each method of training. The rows are
    numbers of PGD steps, and the columns are step sizes.
    """
    steps = settings(record, "heat", "steps")
    sizes = settings(record, "heat", "step size")
    return figures.heat(
        {METHODS[method]: cells for method, cells in _grids(record).items()},
        [str(n) for n in steps],
        [f"{size:g}" for size in sizes],
        row_label="steps",
        column_label="size of a step",
        scale="accuracy (%)",
    )


def _grids(record: Record) -> dict[str, Float[np.ndarray, "steps sizes"]]:
    """Return for each method the accuracy for every number of PGD steps and every step size."""
    steps = settings(record, "heat", "steps")
    sizes = settings(record, "heat", "step size")
    return {
        method: np.array(
            [
                [mean(record, "heat", network=method, steps=n, **{"step size": s}) for s in sizes]
                for n in steps
            ]
        )
        for method in methods(record)
        if values(record, "heat", network=method)
    }


def more_steps(record: Record) -> str:
    """Return sentences that compare, for each method, the accuracy under PGD with the smallest step
    size, 40 steps or the number that is nearest to 40, and the lowest accuracy over all numbers and
    sizes of steps.
    """
    steps, size = settings(record, "heat", "steps"), settings(record, "heat", "step size")[0]
    row = min(range(len(steps)), key=lambda i: abs(steps[i] - BASELINE_STEPS))
    grids = _grids(record)
    few = listed([f"{grid[row, 0]:.0f} % ({METHODS[m]})" for m, grid in grids.items()])
    most = listed([f"{grid.min():.0f}" for grid in grids.values()])
    return (
        f"With {steps[row]} steps of {size:g}, the accuracies are {few}. With the number and size "
        f"of steps that are worst for each network, they are {most} % ({title(record)}, "
        f"{images_of(record, 'heat')} images)."
    )


def larger_steps(record: Record) -> str:
    """Return sentences that state, for CLP and LSQ, the accuracy under PGD with the largest number
    of steps, for every step size.
    """
    steps, sizes = settings(record, "heat", "steps"), settings(record, "heat", "step size")
    told = [
        f"{listed(f'{value:.0f}' for value in grid[-1])} % ({METHODS[m]})"
        for m, grid in _grids(record).items()
        if m in FALLEN
    ]
    return (
        f"The size of the steps matters too. With {steps[-1]} steps of size "
        f"{listed(f'{size:g}' for size in sizes)}, the accuracies are {listed(told)}."
    )


def loss_surfaces(record: Record) -> Figure:
    """Draw the loss on a plane through the first test image, with one panel for each training
    method.
    """
    names = [m for m in ("plain", "clp", "lsq", "plain-alp", "at100") if m in methods(record)]
    shown = {METHODS[m]: np.array(array(record, f"surface/{m}")) for m in names}
    radius = 0.1 if record.profile == "quick" else 0.3
    return figures.surfaces(shown, radius, "along the gradient's sign", "along random signs")


def roughness(version: Version) -> Table:
    """Return a table of the mean roughness of the loss surfaces, with one row for each training
    method.
    """
    record = version.record
    return version.table(
        f": mean roughness of the loss surface{ranges(record)}.",
        "survey-pairing-roughness",
        ["Training", "Roughness"],
        [[METHODS[m], spread(values(record, "roughness", network=m), 3)] for m in methods(record)],
    )


def rougher(record: Record) -> str:
    """Return sentences that state the roughness with CLP and LSQ, divided by that with ordinary
    training. For profile ``paper``, they also state in what else the trainings differ, and the
    ratios after equally long trainings.
    """
    found = {
        m: fmean(values(record, "roughness", network=m))
        for m in settings(record, "roughness", "network")
    }
    penalised = [m for m in FALLEN if m in found]
    if not penalised or "plain" not in found:
        return "This run cannot compare the penalties with ordinary training."
    ratios = {m: value / found["plain"] for m, value in found.items()}
    told = (
        "Divided by the roughness of Plain, the roughness is "
        f"{listed(f'{ratios[m]:.2f} ({METHODS[m]})' for m in penalised)}, for {title(record)}. "
        f"Each roughness is a mean over {SURFACES[record.profile]} images without an interval, so "
        "we do not say which surface is rougher."
    )
    if record.profile != "paper":
        return told
    told += (
        " The penalties are not the only difference either. Plain was trained for 10 epochs, and "
        "CLP and LSQ for 100 epochs, with another epsilon of Adam and with noise on the images."
    )
    short = [m for m in penalised if f"{m}{SHORT}" in ratios]
    if short:
        told += (
            " If they are trained for 10 epochs like Plain, the ratios are "
            f"{listed(f'{ratios[m + SHORT]:.2f} ({METHODS[m]})' for m in short)}."
        )
    return f"{told} So our networks do not show how the penalties alone change the roughness."


def surface_claim(record: Record) -> str:
    """Return sentences that say what the verdict on the loss surfaces compares, and what it leaves
    out. The claim holds if the smallest of three ratios of roughness is above ROUGHER.
    """
    smallest = of_target(record, BUMPY)
    if not smallest:
        return "This run does not test the paper's claim, which needs a network with 100 % AT."
    found = {m: fmean(values(record, "roughness", network=m)) for m in methods(record)}
    named = listed(METHODS[m] for m in MASKED)
    to_trained, to_plain = (
        listed(f"{found[m] / found[other]:.2f}" for m in MASKED) for other in ("at100", "plain")
    )
    return (
        f"Divided by the roughness after 100 % AT, the roughness is {to_trained} ({named}), for "
        f"{title(record)}. The table of verdicts has a row on these three ratios. The claim in "
        f"this row holds if the smallest ratio is above {ROUGHER:g}, and ours is "
        f"{min(smallest):.3f}. We chose this margin, because each roughness is a mean over only "
        f"{SURFACES[record.profile]} images. Engstrom et al. show only ALP, and compare it with "
        f"a network without a defense. Divided by the roughness of Plain, it is {to_plain}."
    )


def longer(record: Record) -> str:
    """Return sentences that state the accuracy of CLP and LSQ after two trainings, which differ in
    the number of epochs and in Adam's epsilon; an empty text if the record does not have both for
    any of them.
    """
    there = settings(record, "accuracy", "network")
    both = [m for m in FALLEN if m in there and f"{m}{SHORT}" in there]
    found = " ".join(
        f"With {METHODS[m]}, the accuracy is then {at(record, m + SHORT, 'baseline'):.1f} instead "
        f"of {at(record, m, 'baseline'):.1f} % under the baseline attack, and "
        f"{at_strongest(record, m + SHORT):.1f} instead of {at_strongest(record, m):.1f} % under "
        "the strongest attack."
        for m in both
    )
    if not both:
        return ""
    return (
        f"The accuracy depends on the training. We also trained {listed(METHODS[m] for m in both)} "
        "for 10 instead of 100 epochs, and with Adam's epsilon 1e-8 instead of 1e-6. "
        f"{found} We changed both settings together, so we do not know how much each of them "
        "matters."
    )


def tolerances(record: Record) -> str:
    """Return sentences that state the tolerances of the accuracies of CLP and LSQ under attack
    before and after we lowered them, and which accuracies agree with the paper's within the earlier
    and within the new ones. Return an empty text if the record does not have both methods.
    """
    if not {*FALLEN} <= {*methods(record)}:
        return ""
    lowered: list[str] = []
    agree: tuple[list[str], list[str]] = [], []
    for attack, earlier in EARLIER.items():
        now = [tolerance(f"{TARGETS}/{method}/{_IDS[attack]}") for method in FALLEN]
        for method, before, after in zip(FALLEN, earlier, now, strict=True):
            lowered.append(f"from {before:g} to {after:g} ({METHODS[method]}, {ATTACKS[attack]})")
            there = printed(f"{TARGETS}/{method}/{_IDS[attack]}")
            assert there is not None
            for found, limit in zip(agree, (before, after), strict=True):
                if abs(at(record, method, attack) - there) <= limit:
                    found.append(f"{METHODS[method]}, {ATTACKS[attack]}")
    then, new = (f"{len(found)} ({'; '.join(found)})" if found else "none" for found in agree)
    seeds = len(record.seeds)
    return (
        f"After the runs, we lowered {len(lowered)} tolerances: {listed(lowered)}, in percentage "
        f"points. Of our {len(lowered)} accuracies, {then} would agree with the paper's with the "
        f"earlier tolerances, and {new} with the new ones."
        + " We have one seed, and do not know how much other seeds differ."
        * (seeds == 1)
    )


def halved(record: Record) -> str:
    """Return sentences that state for CLP and LSQ how far the accuracy falls from the baseline
    attack to all other attacks together. Both are compared image by image, so the record must say
    which images count; otherwise the text is empty.
    """
    told = [found for m in FALLEN if m in methods(record) if (found := _fall(record, m))]
    if not told:
        return ""
    return (
        "We compare the baseline attack with all other attacks together, on the same images. The "
        f"accuracy falls by {', and by '.join(told)}. The intervals are computed image by image. "
        "For the verdict *at least halve*, even the lower end of the interval of the fall must be "
        "at least half of the accuracy under the baseline attack."
    )


def _fall(record: Record, method: str) -> str:
    baseline = rows_of(record, "accuracy", network=method, attack="baseline")
    others = [rows_of(record, "accuracy", network=method, attack=kind) for kind in _strong(record)]
    if not all(row.outcomes for rows in (baseline, *others) for row in rows):
        return ""
    left = [np.all([row.each for row in rows], 0) for rows in zip(*others, strict=True)]
    images = len(left[0])
    before = [row.each[:images] for row in baseline]
    fall, error = 100 * (np.mean(before) - np.mean(left)), paired_error(before, left)
    return (
        f"{fall:.1f} percentage points with {METHODS[method]} (from {100 * np.mean(before):.1f} % "
        f"of {images} images; interval {fall - error:.1f} to {fall + error:.1f})"
    )


def starts(record: Record) -> Figure:
    """Draw the losses that the baseline attack reaches from many random starts. There is a panel
    for each method of training, with a row for each image. A dotted line shows
    the loss ln 10.
    """
    shown = {
        METHODS[m]: {
            f"image {i + 1}": {START: losses}
            for i, losses in enumerate(array(record, f"starts/{m}"))
        }
        for m in methods(record)
        if f"starts/{m}" in record.arrays
    }
    figure = figures.strips(shown, {START: LOOKS["none"]}, "cross entropy that PGD reaches")
    for axis in figure.axes[: len(shown)]:
        axis.axvline(log(10), color="0.4", linestyle=":", linewidth=1.2, zorder=0)
        axis.set_xlim(0, max(axis.get_xlim()[1], 1.2 * log(10)))
    return figure


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
        "If the loss is above $\\ln 10$, the image is misclassified. On these five images, the "
        f"baseline attack reaches such a loss from {listed(told)} of the random starts "
        f"({title(record)})."
    )


def most_methods(records: Sequence[Record]) -> Record:
    """Return the record with the most training methods; of several, the best one."""
    return max(without_quick(records), key=lambda record: len(methods(record)))
