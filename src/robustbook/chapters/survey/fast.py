"""Compute what the page on training with one FGSM step shows (Wong et al. 2020, and N-FGSM)."""

from collections.abc import Mapping, Sequence
from math import ceil
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.badges import of_page
from robustbook.chapters.published import (
    Version,
    array,
    as_printed,
    benchmark,
    first,
    images_of,
    mean,
    printed,
    settings,
    values,
)
from robustbook.chapters.wording import (
    ON_OUR_IMAGES,
    beside,
    from_to,
    listed,
    ranges,
    seeds_in_words,
    spread_or,
    with_images,
)
from robustbook.figures import LOOKS, MISSING, Curve, Panel, Table
from robustbook.ledger import Record
from robustbook.ledger.intervals import clearly_differ, sampling_error
from robustbook.studies.survey.sizes import FOLLOWED, INNER, RESTARTS

METHODS: Mapping[str, tuple[str, str]] = {
    "fgsm": ("FGSM", "adv"),
    "fgsm-rs": ("FGSM with random start", "none"),
    "n-fgsm": ("N-FGSM", "rse"),
    "pgd": ("PGD", "distill"),
    "fgsm-rs-2": ("FGSM with random start, step 2 eps", "brelu"),
    "pgd-constant": ("PGD, constant radius", "test only"),
    "n-fgsm-rising": ("N-FGSM, rising radius", "train only"),
}
TESTED = {"fgsm": "under FGSM", "pgd": "under PGD, 10 steps"}
PRINTED: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("mnist", "fgsm-rs"): {
        "clean": "wong/mnist-fgsm-rs/accuracy",
        "pgd-50-10": "wong/mnist-fgsm-rs/pgd-50-10-accuracy",
        "autoattack": "wong/mnist-fgsm-rs/autoattack-accuracy",
    },
    ("cifar10", "fgsm-rs"): {
        "clean": "wong/cifar10-fgsm-rs/accuracy",
        "pgd-50-10": "wong/cifar10-fgsm-rs/pgd-50-10-accuracy",
        "autoattack": "wong/cifar10-fgsm-rs/autoattack-accuracy",
    },
    ("cifar10", "pgd"): {
        "clean": "wong/cifar10-pgd-7/accuracy",
        "pgd-50-10": "wong/cifar10-pgd-7/pgd-50-10-accuracy",
    },
    ("cifar10", "n-fgsm"): {"pgd-50-10": "n-fgsm/cifar10-eps-8/pgd-50-10-accuracy"},
}
"""The papers' accuracies, by data set and training method: for each attack, the end of the number's
id.
"""
ATTACKS = {
    "clean": "clean",
    "pgd-50": "PGD, 50 steps",
    "pgd-50-10": "PGD, 50 steps, restarts",
    "autoattack": "AutoAttack",
    "worst": "worst of all attacks",
}
MEASURED_BY = {"mnist": "the authors of AutoAttack", "cifar10": "RobustBench"}
"""Who measured the paper's network under AutoAttack, which is later than the paper."""
SOURCES = {
    "mnist": "All printed accuracies are from the authors of AutoAttack: on clean images and under "
    "AutoAttack they measured the released network, and under PGD they quote the paper.",
    "cifar10": "*What the papers leave open* names the sources of the printed accuracies.",
}
"""Where the printed accuracies of the page's tables come from, by data set."""
PRINTED_RESTARTS = 10
"""The number of restarts of PGD in the papers."""
FALL = 20.0
"""By how many percentage points the accuracy under PGD must fall from its highest value to count as
catastrophic overfitting. The binomial error of an accuracy on 200 images is at most 7 points.
"""
RESISTS = 50.0
"""The accuracy in per cent under FGSM above which a network counts as resisting FGSM, as in the
ledger's claim about FGSM without a random start.
"""


LOST = 1.0
"""The accuracy in per cent up to which a network counts as having lost its robustness, as in the
ledger's claims about catastrophic overfitting.
"""


def first_set(record: Record) -> str:
    """Return the name of the first data set for which a record (a file of stored results) contains
    results.
    """
    name: str = settings(record, "accuracy", "set")[0]
    return name


def main_radius(record: Record, data_set: str = "") -> float:
    """Return the main radius of a record: the eps of the first network that is also attacked by PGD
    with restarts. On CIFAR-10 it is in units of 1/255.
    """
    at = settings(record, "accuracy", "eps", set=data_set or first_set(record), attack="pgd-50-10")
    return float(at[0])


def data(record: Record, data_set: str = "") -> str:
    """Return a description of the images on which the networks of a record were trained."""
    if record.profile == "quick":
        return "the embedded digits"
    name = {"mnist": "MNIST", "cifar10": "CIFAR-10"}[data_set or first_set(record)]
    return f"10,000 images of {name}" if record.profile == "reduced" else f"all of {name}"


def unit(data_set: str) -> str:
    """Return the unit of the radii as text."""
    return "/255" if data_set == "cifar10" else ""


def answer(record: Record) -> str:
    """Return a sentence that states the accuracies under PGD after training on FGSM with and
    without a random start. The verdicts of the page follow.
    """
    name, eps = first_set(record), main_radius(record)
    random, plain = (
        values(record, "accuracy", set=name, eps=eps, method=method, attack="pgd-50-10")
        for method in ("fgsm-rs", "fgsm")
    )
    badges = of_page(
        "survey/fast",
        {
            "under PGD": "/mnist-.*/pgd-",
            "under AutoAttack": "/mnist-.*/autoattack-",
            "on clean images": "/mnist-",
            "CIFAR-10": "cifar10|/wong/claim/",
        },
    )
    return (
        f"After this training on {data(record)}, the accuracy under PGD with restarts is "
        f"{fmean(random):.1f} % ({_printed(name, 'pgd-50-10')} % in the paper, as quoted), and "
        f"{fmean(plain):.1f} % if the step starts at the image. {badges}"
    )


def _printed(name: str, attack: str) -> float | None:
    """Return the paper's accuracy after training on FGSM with a random start."""
    return printed(f"survey/{PRINTED[name, 'fgsm-rs'][attack]}")


def under_autoattack(record: Record) -> str:
    """Return sentences that state the accuracy under AutoAttack after training on FGSM with a
    random start, on how many images it was measured, and the accuracy of the paper's network.
    """
    name = first_set(record)
    of = {"set": name, "eps": main_radius(record), "method": "fgsm-rs", "attack": "autoattack"}
    there = _printed(name, "autoattack")
    return (
        "Under AutoAttack, the network trained with the random start has an accuracy of "
        f"{mean(record, 'accuracy', **of):.1f} %, on {images_of(record, 'accuracy', **of):,} "
        "images. "
        f"For the network that the paper's authors released, {MEASURED_BY[name]} report {there} %."
    )


def reference(records: Sequence[Record]) -> str:
    """Return sentences about the network trained with PGD, the reference of the comparison, from
    the first record that has one. They state its accuracies under PGD and under AutoAttack, and
    those after training on FGSM with a random start. If the network learned nothing, they say so.
    """
    found = [r for r in records if values(r, "accuracy", set=first_set(r), method="pgd")]
    if not found:
        return "No network was trained with PGD, so the comparison has no reference."
    record = found[0]
    of = {"set": first_set(record), "eps": main_radius(record)}
    clean = mean(record, "accuracy", method="pgd", attack="clean", **of)
    if clean < GUESSING:
        images = images_of(record, "accuracy", method="pgd", attack="clean", **of)
        return (
            f"The network trained with PGD learned nothing: it classifies {clean:.1f} % of "
            f"{images:,} clean images correctly. So the comparison has no working reference."
        )
    both = {
        method: [
            values(record, "accuracy", method=method, attack=attack, **of)
            for attack in ("pgd-50-10", "autoattack")
        ]
        for method in ("pgd", "fgsm-rs")
    }
    (pgd, auto), (weak, low) = ([fmean(each) for each in found] for found in both.values())
    runs, others = (seeds_in_words(len(found[0])) for found in both.values())
    images = images_of(record, "accuracy", method="pgd", attack="pgd-50-10", **of)
    return (
        f"As a reference, we trained a network with PGD on {data(record)} ({runs}). On the first "
        f"{images:,} test images, its accuracy is {pgd:.1f} % under PGD with restarts, and "
        f"{auto:.1f} % under AutoAttack. After training on FGSM with a random start ({others}), "
        f"the two accuracies are {weak:.1f} and {low:.1f} %. The paper's abstract calls this "
        f"training as effective as training with PGD. {_favoured(records)}"
    ).strip()


FAVOURS_PGD = "Only the radius of PGD rises, so this comparison favours PGD."
"""The sentence for our comparison on MNIST, where only the reference has a rising radius."""


def _favoured(records: Sequence[Record]) -> str:
    """Return a sentence that says that only PGD's radius rises, or "" if no record has the training
    with a constant radius.
    """
    record = first(records, "accuracy", set="mnist", method="pgd-constant", attack="pgd-50")
    return "" if record is None else FAVOURS_PGD


def cifar10(records: Sequence[Record]) -> str:
    """Return sentences that state the accuracies under PGD on CIFAR-10 after training with PGD, and
    the highest one after training with a single step, at the main radius and at the larger radius.
    Return "" if no record has this data set.
    """
    record = first(records, "accuracy", set="cifar10")
    if record is None:
        return ""
    of = {"set": "cifar10", "attack": "pgd-50"}
    eps = main_radius(record, "cifar10")
    large = max(map(float, settings(record, "accuracy", "eps", set="cifar10")))
    highest, at_large = (
        max(
            mean(record, "accuracy", eps=radius, method=method, **of)
            for method in METHODS
            if method != "pgd" and values(record, "accuracy", eps=radius, method=method, **of)
        )
        for radius in (eps, large)
    )
    pgd = values(record, "accuracy", eps=eps, method="pgd", **of)
    beside_ = f"{fmean(pgd):.1f} % after training with PGD, and " if pgd else ""
    narrow = "" if record.profile == "paper" else "narrow "
    return (
        f"We trained a {narrow}PreAct ResNet-18 on {data(record, 'cifar10')}. At radius {eps:g}/"
        f"255, its accuracy under PGD with 50 steps is {beside_}at most {highest:.1f} % after "
        f"training with a single step. At radius {large:g}/255, training with a single step leaves "
        f"{'at most ' * (at_large > 0)}{at_large:.1f} %."
    )


def restarts_run(records: Sequence[Record]) -> str:
    """Return a sentence that states how many restarts our runs on CIFAR-10 had, where the names of
    the target numbers state the paper's 10. Return "" if they had as many.
    """
    record = first(records, "accuracy", set="cifar10")
    own = RESTARTS[record.profile, "cifar10"] if record else PRINTED_RESTARTS
    if own == PRINTED_RESTARTS:
        return ""
    return (
        f"In the closed table, the rows on CIFAR-10 name the {PRINTED_RESTARTS} restarts of the "
        f"paper. Our runs on CIFAR-10 had {own}."
    )


def long_step(records: Sequence[Record]) -> str:
    """Return sentences that state the accuracies on CIFAR-10 after training on FGSM with a random
    start and steps of twice the radius, and whether they decide the claim that at most `LOST` per
    cent is left. Return "" if no record has this training.
    """
    of = {"set": "cifar10", "method": "fgsm-rs-2"}
    record = first(records, "accuracy", **of)
    if record is None:
        return ""
    eps = main_radius(record, "cifar10")
    left, one = (
        mean(record, "accuracy", eps=eps, attack=attack, **of) for attack in ("pgd-50-10", "pgd-50")
    )
    few, many = (
        images_of(record, "accuracy", eps=eps, attack=attack, **of)
        for attack in ("pgd-50-10", "pgd-50")
    )
    error = sampling_error(left, "percent", few)
    sure = abs(left - LOST) > error
    decided = "This decides" if sure else "So few images cannot decide"
    return (
        f"With steps of {2 * eps:g}/255 at radius {eps:g}/255, training on FGSM with a random "
        f"start leaves {left:.1f} % of {few:,} images under PGD with "
        f"{RESTARTS[record.profile, 'cifar10']} restarts. Under PGD with one start, it leaves "
        f"{one:.1f} % of {many:,} images. {decided} whether at most {LOST:g} % are left."
        f"{'' if sure else f' {ON_OUR_IMAGES}'}"
    )


def plain_step(records: Sequence[Record]) -> str:
    """Return sentences that state the accuracies on CIFAR-10 after training on FGSM without a
    random start, under FGSM and under PGD, and whether they fulfil both parts of the claim. Return
    "" if no record has this training.
    """
    of = {"set": "cifar10", "method": "fgsm"}
    record = first(records, "accuracy", **of)
    if record is None:
        return ""
    eps = main_radius(record, "cifar10")
    key = f"cifar10/fgsm/{eps:g}/fgsm"
    if key not in record.arrays:
        return ""
    fgsm = array(record, key)[-1]
    left = mean(record, "accuracy", eps=eps, attack="pgd-50-10", **of)
    parts = [left <= LOST, fgsm > RESISTS]
    told = "both parts hold" if all(parts) else "the second part fails" if parts[0] else "it fails"
    return (
        f"If the step starts at the image, the accuracy at radius {eps:g}/255 is {left:.1f} % "
        f"under PGD with restarts, and {fgsm:.1f} % under FGSM on "
        f"{FOLLOWED[record.profile, 'cifar10']} images. The claim says at most {LOST:g} % under "
        f"PGD and above {RESISTS:g} % under FGSM, so {told}."
    )


def peaks(version: Version) -> Table:
    """Return a table with a row for each training method on CIFAR-10, at the main radius: the
    highest accuracy under PGD after any epoch, the lowest after a later epoch than the first, and
    that after the last epoch.
    """
    record = version.record
    eps = main_radius(record, "cifar10")
    rows = []
    for method, (words, _) in METHODS.items():
        key = f"cifar10/{method}/{eps:g}/pgd"
        if key in record.arrays:
            pgd = array(record, key)
            ends = max(pgd), min(pgd[1:])
            at = [
                f"{end:.1f} ({pgd.index(end, first_) + 1})"
                for end, first_ in zip(ends, (0, 1), strict=True)
            ]
            rows.append([words, *at, f"{pgd[-1]:.1f} ({len(pgd)})"])
    return version.table(
        f": accuracy in per cent under PGD with 10 steps at radius {eps:g}/255, on "
        f"{FOLLOWED[record.profile, 'cifar10']} test images of CIFAR-10, followed in brackets by "
        "the epoch. *Lowest*: the smallest accuracy from epoch 2 on. If several epochs have "
        "this accuracy, the table has the first of them.",
        "survey-fast-peaks",
        ["Training", "Highest", "Lowest", "Last"],
        rows,
    )


def overfits(records: Sequence[Record]) -> str:
    """Return sentences that name the training methods on CIFAR-10 that end in catastrophic
    overfitting (see `overfitted`), at the main radius. They also say for how many methods the
    accuracy under PGD is always below `FALL`, so that it cannot fall by as much. Return "" if no
    record has this data set.
    """
    record = first(records, "accuracy", set="cifar10")
    if record is None:
        return ""
    eps = main_radius(record, "cifar10")
    keys = {method: f"cifar10/{method}/{eps:g}/pgd" for method in METHODS}
    found = {m: max(array(record, key)) for m, key in keys.items() if key in record.arrays}
    seen = [METHODS[m][0] for m in found if eps in overfitted(record, "cifar10", m)]
    low = [highest for highest in found.values() if highest < FALL]
    told = (
        f"{f'Only with {listed(seen)}' if seen else 'With no method'} does the accuracy under PGD "
        f"fall by {FALL:.0f} points or more while that under FGSM rises."
    )
    if low:
        told += (
            f" With {len(low)} of the {len(found)} methods, it is at most {max(low):.1f} % after "
            "every epoch, so it cannot fall this far."
        )
    return told


def _with_epochs(record: Record, method: str, eps: float) -> str:
    """Return the name of a training method on CIFAR-10, with the number of its epochs if the record
    has it.
    """
    words, key = METHODS[method][0], f"cifar10/{method}/{eps:g}/pgd"
    return f"{words}, {len(array(record, key))} epochs" if key in record.arrays else words


def rising(records: Sequence[Record]) -> str:
    """Return sentences that compare a constant with a rising radius, for training with PGD and with
    N-FGSM, from the first record that has both. Return "" if no record has.
    """
    record = first(records, "accuracy", set="mnist", method="pgd-constant")
    if record is None:
        return ""
    eps = main_radius(record)
    told = []
    for words, constant, risen in (
        ("PGD", "pgd-constant", "pgd"),
        ("N-FGSM", "n-fgsm", "n-fgsm-rising"),
    ):
        pairs = [
            [
                mean(record, "accuracy", set="mnist", eps=eps, method=method, attack=attack)
                for method in (constant, risen)
            ]
            for attack in ("clean", "pgd-50")
        ]
        told.append(
            f"With {words}, the accuracy on clean images is {pairs[0][0]:.1f} % with a constant "
            f"radius and {pairs[0][1]:.1f} % with a rising one; under PGD with 50 steps it is "
            f"{pairs[1][0]:.1f} and {pairs[1][1]:.1f} %."
        )
    images = images_of(record, "accuracy", set="mnist", eps=eps, attack="pgd-50")
    return (
        f"We compared a constant with a rising radius of {eps:g} on {data(record)} and "
        f"{images:,} test images. {' '.join(told)}"
    )


def epochs(record: Record, data_set: str = "") -> Figure:
    """Draw the accuracy after each epoch of training, by default on the record's first data set.

    For each radius, the left panel shows the accuracy under FGSM, and the right panel the accuracy
    under PGD. The first radius is that of `main_radius`; below it are the radii at which
    `overfitted` finds catastrophic overfitting.
    """
    name = data_set or first_set(record)
    eps = main_radius(record, name)
    drawn = [array(record, key) for key in record.arrays if key.startswith(f"{name}/")]
    top = 10 * ceil(max(map(max, drawn)) / 10)
    panels = []
    for radius in dict.fromkeys([eps, *overfitted(record, name)]):
        for attack, words in TESTED.items():
            curves = {}
            for method, (told, look) in METHODS.items():
                key = f"{name}/{method}/{radius:g}/{attack}"
                if key in record.arrays:
                    y = array(record, key)
                    x = [float(i + 1) for i in range(len(y))]
                    curves[told] = Curve(x, [y], LOOKS[look])
            images = FOLLOWED[record.profile, name]
            title = f"radius {radius:g}{unit(name)}, {words}"
            y_label = f"accuracy on {images} images (%)"
            panels.append(
                Panel(title, "epochs of training", y_label, curves, {}, limits=(-3.0, top + 3.0))
            )
    return figures.lines(panels, columns=2, height=2.8)


def radii(version: Version, data_set: str = "") -> Table:
    """Return a table of accuracies under PGD, with one row for each training method and one column
    for each radius; by default on the record's first data set. Each network is attacked with the
    radius with which it was trained.
    """
    record = version.record
    name = data_set or first_set(record)
    at = sorted(settings(record, "accuracy", "eps", set=name))
    images = images_of(record, "accuracy", set=name, attack="pgd-50")
    return version.table(
        f": accuracy in per cent on {images:,} test images under PGD with 50 "
        f"steps{ranges(record)}. Each network is trained and attacked with the radius of the "
        "column. Without a range, the number is from one network.",
        f"survey-fast-radii-{name}",
        ["Training", *(f"eps {eps:g}{unit(name)}" for eps in at)],
        [
            [
                words,
                *(
                    spread_or(
                        values(
                            record, "accuracy", set=name, method=method, eps=eps, attack="pgd-50"
                        ),
                        missing=MISSING,
                    )
                    for eps in at
                ),
            ]
            for method, (words, _) in METHODS.items()
            if values(record, "accuracy", set=name, method=method, attack="pgd-50")
        ],
    )


def printed_beside(version: Version, data_set: str = "") -> Table:
    """Return a table of the accuracies of networks that were trained with the radius that
    `main_radius` returns, by default on the record's first data set. The papers print accuracies
    only for some of the methods.
    """
    record = version.record
    name = data_set or first_set(record)
    eps = main_radius(record, name)
    attacks = ATTACKS | {"pgd-50-10": f"PGD, 50 steps, {RESTARTS[record.profile, name]} restarts"}
    rows = []
    for method, (words, _) in METHODS.items():
        found = {
            attack: values(record, "accuracy", set=name, method=method, eps=eps, attack=attack)
            for attack in ATTACKS
        }
        if not any(found.values()):
            continue
        of = PRINTED.get((name, method), {})
        rows.append(
            [
                _with_epochs(record, method, eps) if name == "cifar10" else words,
                *(
                    beside(ours, as_printed(f"survey/{of[attack]}") if attack in of else None)
                    for attack, ours in found.items()
                ),
            ]
        )
    return version.table(
        f": accuracy in per cent, printed / **ours**{ranges(record)}, of networks trained and "
        f"attacked with radius {eps:g}{unit(name)}. A number alone is ours. A column with fewer "
        "images uses the first images of the test set. In the last column, an image counts as "
        "correct only if PGD with restarts, PGD on the margin, Square and AutoAttack all fail. "
        f"{SOURCES[name]}",
        f"survey-fast-{name}",
        [
            "Training",
            *(
                with_images(words, images_of(record, "accuracy", set=name, eps=eps, attack=attack))
                for attack, words in attacks.items()
            ),
        ],
        rows,
    )


def overfitted(record: Record, data_set: str = "", method: str = "fgsm") -> list[float]:
    """Return the radii at which a training method, by default FGSM without a random start, ends in
    catastrophic overfitting: the accuracy under PGD falls by `FALL` points or more after its
    highest value, and the accuracy under FGSM rises.
    """
    found = []
    for radius, fgsm, pgd in _followed(record, data_set or first_set(record), method):
        if max(pgd) - pgd[-1] >= FALL and fgsm[-1] > fgsm[pgd.index(max(pgd))]:
            found.append(radius)
    return found


def _followed(
    record: Record, name: str, method: str
) -> list[tuple[float, list[float], list[float]]]:
    """Return for each radius of a training method the accuracies after each epoch, under FGSM and
    under PGD; ``name`` is the data set.
    """
    radii_ = sorted(settings(record, "accuracy", "eps", set=name, method=method))
    keys = {radius: f"{name}/{method}/{radius:g}" for radius in radii_}
    return [
        (radius, array(record, f"{key}/fgsm"), array(record, f"{key}/pgd"))
        for radius, key in keys.items()
        if f"{key}/pgd" in record.arrays
    ]


def collapse(record: Record) -> str:
    """Return sentences that say at which radii catastrophic overfitting was seen in training on
    FGSM without a random start (see `overfitted`), on the record's first data set.
    """
    name = first_set(record)
    each = unit(name)
    seen, kept = [], []
    failed: dict[float, tuple[float, float]] = {}
    overfits = overfitted(record, name)
    for radius, fgsm, pgd in _followed(record, name, "fgsm"):
        best = pgd.index(max(pgd))
        if radius in overfits:
            seen.append(
                f"Yes, at radius {radius:g}{each}: from epoch {best + 1} to epoch {len(pgd)}, the "
                f"accuracy under PGD falls from {pgd[best]:.1f} % to {pgd[-1]:.1f} %, and that "
                f"under FGSM rises from {fgsm[best]:.1f} % to {fgsm[-1]:.1f} %."
            )
        elif max(pgd) < FALL:
            failed[radius] = max(pgd), fgsm[-1]
        else:
            small = max(pgd) - pgd[-1] < FALL
            why = (
                f"the fall is less than {FALL:.0f} points" if small else "the latter does not rise"
            )
            kept.append(
                f"At radius {radius:g}{each}, the accuracy under PGD falls from {pgd[best]:.1f} % "
                f"(epoch {best + 1}) to {pgd[-1]:.1f} %, and that under FGSM changes from "
                f"{fgsm[best]:.1f} to {fgsm[-1]:.1f} %. We do not count this as catastrophic "
                f"overfitting, because {why}."
                if pgd[-1] < max(pgd)
                else f"At radius {radius:g}{each}, the accuracy under PGD is highest after the "
                f"last epoch ({pgd[-1]:.1f} %)."
            )
    told = seen or ["No fall was seen."]
    if failed:
        highest = max(pgd for pgd, _ in failed.values())
        at = " and ".join(f"{radius:g}{each}" for radius in failed)
        under = " and ".join(
            f"{fgsm:.1f} % (radius {r:g}{each})" for r, (_, fgsm) in failed.items()
        )
        resists = min(fgsm for _, fgsm in failed.values()) > RESISTS
        told.append(
            f"At radius {at}, the accuracy under PGD is {'at most ' * (highest > 0)}{highest:.1f} "
            "% after every epoch, so we see no fall. After the last epoch, the accuracy under FGSM "
            f"is {under}{', so the result is the same' * resists}."
        )
    images = FOLLOWED[record.profile, name]
    chosen = (
        f" We chose the limit of {FALL:.0f} points after the first runs on MNIST." if kept else ""
    )
    return (
        f"{' '.join([*told, *kept])}{chosen} All of these accuracies are on {images} test images."
    )


def under_pgd(record: Record) -> str:
    """Return sentences for other pages that state the accuracy under PGD of networks trained on
    FGSM images: at two radii, and with a random start.
    """
    at = {"set": "mnist", "attack": "pgd-50"}
    small, large, started = (
        mean(record, "accuracy", method=method, eps=eps, **at)
        for method, eps in (("fgsm", 0.1), ("fgsm", 0.3), ("fgsm-rs", 0.3))
    )
    return (
        "But not every training on FGSM images ends like this. The page [Fast "
        "training](../survey/fast.ipynb) trains another network on FGSM images of MNIST, and "
        f"attacks it by PGD with the same eps. Its accuracy is {small:.1f} % at eps 0.1, and "
        f"{large:.1f} % at eps 0.3. If FGSM starts at random points, it is {started:.1f} % at eps "
        "0.3."
    )


def start_matters(record: Record) -> str:
    """Return sentences that compare, for each radius, the accuracies under PGD after training on
    FGSM without and with a random start. A difference counts as clear if it exceeds its
    binomial error. The sentences also say where each accuracy is from one network.
    """
    name = first_set(record)
    images = images_of(record, "accuracy", set=name, attack="pgd-50")
    single: list[str] = []
    same: list[str] = []
    far: list[str] = []
    for eps in sorted(settings(record, "accuracy", "eps", set=name, attack="pgd-50")):
        found = [
            values(record, "accuracy", set=name, eps=eps, method=method, attack="pgd-50")
            for method in ("fgsm", "fgsm-rs")
        ]
        plain, random = map(fmean, found)
        if {*map(len, found)} == {1}:
            single.append(f"{eps:g}")
        each = f"{plain:.1f} % and {random:.1f} %"
        if clearly_differ(random, plain, images):
            far.append(f"{eps:g} ({each})")
        elif plain == random:
            same.append(f"At radius {eps:g}, both accuracies are {plain:.1f} %.")
        else:
            same.append(f"At radius {eps:g}, {each} are too close to be told apart.")
    clear = f"They differ clearly on these images at radius {listed(far)}."
    one = (
        f"At radius {listed(single)}, each accuracy is from one network, so we do not know how "
        "much other seeds differ."
    )
    told = " ".join([*([clear] if far else []), *same, *([one] if single else [])])
    return (
        "We compare the accuracies under PGD with 50 steps after training on FGSM, first without "
        f"and then with a random start, on {images:,} test images. {told}"
    )


GUESSING = 20.0
"""The accuracy on clean images, in per cent, below which a network counts as having learned
nothing. Random guessing has an accuracy of 10 %.
"""


def others(record: Record) -> str:
    """Return sentences that state the accuracies after training with N-FGSM. They also name the
    radii at which the accuracy under PGD is below `FALL` per cent after every epoch.
    """
    name, eps = first_set(record), main_radius(record)
    noisy, clean = (
        mean(record, "accuracy", set=name, eps=eps, method="n-fgsm", attack=attack)
        for attack in ("pgd-50-10", "clean")
    )
    many, few = (
        images_of(record, "accuracy", set=name, eps=eps, attack=attack)
        for attack in ("clean", "pgd-50-10")
    )
    text = (
        f"At radius {eps:g}, the network classifies {clean:.1f} % of {many:,} clean images "
        f"correctly, and {noisy:.1f} % of {few:,} images under PGD with restarts. "
    )
    radii_ = sorted(settings(record, "accuracy", "eps", set=name, attack="pgd-50"))
    smaller = [radius for radius in radii_ if radius < eps]
    if smaller:
        there, random = (
            mean(record, "accuracy", set=name, eps=smaller[-1], method=method, attack="pgd-50")
            for method in ("n-fgsm", "fgsm-rs")
        )
        text += (
            f"At radius {smaller[-1]:g}, the accuracy under PGD with 50 steps is {there:.1f} %, "
            f"compared with {random:.1f} % after training on FGSM with a random start. "
        )
    curves = {radius: f"{name}/n-fgsm/{radius:g}/pgd" for radius in radii_}
    highest = {r: max(array(record, key)) for r, key in curves.items() if key in record.arrays}
    failed = {radius: value for radius, value in highest.items() if value < FALL}
    if failed:
        text += (
            f"At radius {' and '.join(f'{radius:g}' for radius in failed)}, training with N-FGSM "
            "and a constant radius fails from the first epoch: the accuracy under PGD with 10 "
            f"steps is at most {max(failed.values()):.1f} % after every epoch. De Jorge et al. "
            "report no such failure, but they used other data and radii."
        )
    return text.strip()


def time_ratio(records: Sequence[Record]) -> str:
    """Return sentences that state the time of an epoch of training with FGSM, divided by the time
    of an epoch of training with PGD, for the first record that has both. They also state the ratio
    that follows from the numbers of forward and backward passes, and that of training steps alone,
    if this was measured.
    """
    each = [(r, n) for n in ("mnist", "cifar10") for r in records]
    timed = ((r, n, values(r, "time ratio", set=n)) for r, n in each)
    record, name, found = next((one for one in timed if one[2]), (records[0], "mnist", []))
    if not found:
        return "The time of an epoch was not measured in this record."
    k = INNER[record.profile, name]
    return (
        f"On {data(record, name)}, an epoch of training on FGSM with a random start took "
        f"{fmean(found):.2f} times as long as one with PGD of {k} steps. The numbers of forward "
        f"and backward passes predict a factor of 2 / {k + 1} = {2 / (k + 1):.2f}.{_steps_alone(k)}"
        " The attacks after each epoch, which both trainings share, also bring the factor closer "
        "to 1."
    )


def _steps_alone(k: int) -> str:
    """Return sentences on the ratio of training steps alone, from the benchmark, and on a step with
    PGD; or "" if PGD with ``k`` steps was not timed.
    """
    times = step_times()
    pgd, fgsm = times.get(f"PGD-{k}", {}), times.get("FGSM-RS", {})
    ratios = [fgsm[network] / pgd[network] for network in pgd if network in fgsm]
    if not ratios:
        return ""
    return (
        " On the networks timed in the [overview](./overview.ipynb), the factor of training steps "
        f"alone is {from_to(ratios, '.2f')}. There, a step with {k} PGD steps takes only "
        f"{from_to([*pgd.values()], '.1f')} times as long as one on clean images."
    )


def step_times() -> dict[str, dict[str, float]]:
    """Return for each training objective and each network the time of a training step, divided by
    that of a training step on clean images.
    """
    found: dict[str, dict[str, float]] = {}
    for row in benchmark("adversarial_training")["rows"]:
        found.setdefault(row["objective"], {})[row["network"]] = row["plain_steps"] * row["ratio"]
    return found


def first_with(versions: Sequence[Version], data_set: str) -> Version:
    """Return the first version whose record has results for a data set."""
    return next(v for v in versions if data_set in settings(v.record, "accuracy", "set"))
