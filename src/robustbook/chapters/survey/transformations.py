"""Compute what the page on random resizing and JPEG shows: accuracies under attacks that know the
transformation, and under attacks that do not.
"""

from collections.abc import Mapping
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters import pairs
from robustbook.chapters.badges import of_page
from robustbook.chapters.published import (
    Version,
    mean,
    rows_of,
    settings,
)
from robustbook.chapters.wording import listed, ranges, seeds_in_words, spread, spread_or
from robustbook.figures import LOOKS, MISSING, Look, Table
from robustbook.ledger import Record, Row
from robustbook.studies.survey.sizes import RADIUS

FRONTS: Mapping[str, str] = {
    "none": "no transformation",
    "8 bits": "rounding to 8 bits",
    "resize-pad": "random resizing",
    "jpeg": "JPEG",
}
SHOWN = ("none", "resize-pad", "jpeg")
"""The transformations that have a panel in the figure."""
UNAWARE: Mapping[str, str] = {
    "clean": "clean",
    "fgsm": "FGSM",
    "deepfool": "DeepFool",
    "pgd": "PGD",
}
AWARE = "pgd aware"
BROKEN = 10.0
"""The accuracy in percent below which a defense counts as broken. It is the accuracy of random
guessing. An attack that leaves at least twice this accuracy counts as too weak.
"""
MARKS: Mapping[str, Look] = {
    "no attack": LOOKS["clean"],
    "on the network alone": LOOKS["none"],
    "through the transformation": LOOKS["adv"],
}


def answer(record: Record) -> str:
    """Return a sentence that states the highest accuracy under PGD through a transformation, at the
    main radius and, if a transformation may protect the network there, at the smallest radius. The
    page's question names both radii. The verdicts of the page follow.
    """
    badges = of_page(
        "survey/transformations",
        {
            "adaptive PGD": "/(eot|bpda)-",
            "attacks on the network alone": "/oblivious-",
            "FGSM without a transformation": "/none/",
        },
    )
    one, other = adaptive(record)
    text = (
        f"{'Not' if _broken(record) else 'In part'} at the larger radius: under PGD through either "
        f"transformation, the accuracy is {'at most ' * (one != other)}{max(one, other):.1f} %"
    )
    shares = protected(record).get(min(_radii(record)))
    if shares:
        text += (
            f"; at the smaller one up to {max(shares.values()):.1f} %, but our attack may be too "
            "weak"
        )
    return f"{text}. {badges}"


def adaptive(record: Record) -> tuple[float, float]:
    """Return the accuracies under PGD through the transformation, with random resizing and JPEG."""
    return aware(record, "resize-pad", draws(record)[-1]), aware(record, "jpeg", 1)


def _broken(record: Record) -> bool:
    """Return whether PGD, through the transformations or on the network alone, breaks both."""
    alone = (accuracy(record, name, "pgd") for name in ("resize-pad", "jpeg"))
    return min(max(adaptive(record)), max(alone)) < BROKEN


def attackers(record: Record) -> Figure:
    """Draw the accuracy under each attack, with one panel for each transformation in front of the
    network.
    """
    drawn: dict[str, dict[str, dict[str, list[float]]]] = {}
    for name in SHOWN:
        rows = {}
        for attack, words in UNAWARE.items():
            mark = "no attack" if attack == "clean" else "on the network alone"
            rows[words] = {mark: found(record, name, attack)}
        k = draws(record)[-1] if name == "resize-pad" else 1
        rows["PGD, adaptive"] = {"through the transformation": found(record, name, AWARE, k)}
        drawn[FRONTS[name]] = rows
    figure = figures.strips(drawn, MARKS, "correctly classified (%)")
    for axis in figure.axes:  # the same scale for all panels
        axis.set_xlim(-3, 103)
    return figure


def accuracies(version: Version) -> Table:
    """Return a table of accuracies, with one row for each attack and one column for each
    transformation in front of the network.
    """
    record = version.record
    rows = [
        [
            words if attack == "clean" else f"{words}, on the network alone",
            *(spread(found(record, name, attack)) for name in FRONTS),
        ]
        for attack, words in UNAWARE.items()
    ]
    for k in draws(record):
        told = "one draw" if k == 1 else f"{k} draws"
        cells = [spread_or(found(record, name, AWARE, k), missing=MISSING) for name in FRONTS]
        rows.append([f"PGD through the transformation, {told} a step", *cells])
    return version.table(
        f": {network(record)}, {images(record)}. Accuracy in per cent with each "
        f"transformation{ranges(record)}.",
        "survey-transformations",
        ["Attack", *(words[0].upper() + words[1:] for words in FRONTS.values())],
        rows,
    )


def radii(version: Version) -> Table:
    """Return a table of accuracies under FGSM and PGD, with one column for each radius. There is
    one row for each transformation, and for each attack on the network alone or through the
    transformation.
    """
    record = version.record
    at = _radii(record)
    attacks = {"fgsm": "FGSM, network alone", "pgd": "PGD, network alone", AWARE: "PGD through"}
    rows = []
    for name in SHOWN:
        for attack, words in attacks.items():
            k = draws(record)[-1] if (name, attack) == ("resize-pad", AWARE) else 1
            each = [found(record, name, attack, k, eps) for eps in at]
            if any(each):
                rows.append([f"{FRONTS[name]}: {words}", *(spread_or(cell) for cell in each)])
    return version.table(
        f": {network(record)}, {images(record)}. Accuracy in per cent at three "
        f"radii{ranges(record)}.",
        "survey-transformations-radii",
        ["Transformation: attack", *(f"eps {eps:g}/255" for eps in at)],
        rows,
    )


def radii_in_words(record: Record) -> str:
    """Return a sentence that states the accuracies under PGD on the network alone and through the
    transformation, for the transformations and radii of `clearly_stronger`.
    """
    told = [
        f"on {FRONTS[name]} at "
        + listed(f"{eps:g}/255 ({alone:.1f} against {through:.1f} %)" for eps, alone, through in at)
        for name, at in clearly_stronger(record).items()
    ]
    if not told:
        return "At no radius is PGD clearly stronger with knowledge of the transformation."
    return f"Knowledge of the transformation makes PGD clearly stronger {', and '.join(told)}."


def clearly_stronger(record: Record) -> dict[str, list[tuple[float, ...]]]:
    """Return the radii at which PGD through a transformation is clearly stronger than PGD on the
    network alone, on the same images. Each transformation with such a radius has a list of radii,
    in units of 1/255, with the two accuracies.
    """
    clear: dict[str, list[tuple[float, ...]]] = {}
    for name, k in _strongest(record):
        for eps in _radii(record):
            rows = _rows(record, name, "pgd", eps=eps), _rows(record, name, AWARE, k, eps)
            if pairs.ordered(*rows):
                alone, through = (fmean(float(row.value) for row in each) for each in rows)
                clear.setdefault(name, []).append((float(eps), alone, through))
    return clear


def protected(record: Record) -> dict[int, dict[str, float]]:
    """Return the radii below the main one, in units of 1/255, at which PGD through a transformation
    leaves clearly more images correct than PGD leaves without a transformation. Each radius has the
    accuracies of these transformations.
    """
    clear: dict[int, dict[str, float]] = {}
    for eps in _radii(record):
        bare = _rows(record, "none", "pgd", eps=eps)
        for name, k in _strongest(record):
            if eps < RADIUS and pairs.ordered(_rows(record, name, AWARE, k, eps), bare):
                clear.setdefault(eps, {})[name] = fmean(found(record, name, AWARE, k, eps))
    return clear


def adaptive_in_words(record: Record) -> str:
    """Return a sentence without a full stop that states the accuracies under PGD through each
    transformation, at the main radius and at the smallest radius, in rounded per cent. At the
    smallest radius, it also states the accuracy under PGD without a transformation, and that the
    attack may be too weak if a transformation seems to protect there.
    """
    resized, jpeg = adaptive(record)
    text = (
        "Under adaptive PGD, random resizing and JPEG leave "
        f"{resized:.0f} and {jpeg:.0f} % at {RADIUS}/255"
    )
    eps = min(_radii(record))
    if eps == RADIUS:
        return text
    resized, jpeg = (fmean(found(record, name, AWARE, k, eps)) for name, k in _strongest(record))
    bare = fmean(found(record, "none", "pgd", eps=eps))
    text += f", and {resized:.0f} and {jpeg:.0f} % at {eps}/255 ({bare:.0f} % without them"
    return f"{text}; our attack may be too weak)" if eps in protected(record) else f"{text})"


def protected_in_words(record: Record) -> str:
    """Return sentences that compare the accuracy under PGD through a transformation with that under
    PGD without a transformation, for the radii of `protected`.
    """
    told = [
        f"At {eps}/255, PGD through the transformation leaves "
        + listed(f"{share:.1f} % with {FRONTS[name]}" for name, share in shares.items())
        + f", and PGD leaves {fmean(found(record, 'none', 'pgd', eps=eps)):.1f} % without a "
        "transformation."
        for eps, shares in protected(record).items()
    ]
    if not told:
        return (
            "At no radius does PGD through a transformation leave clearly more than PGD without a "
            "transformation."
        )
    return (
        f"{' '.join(told)} Either the transformations protect a little at these radii, or our "
        "adaptive PGD is too weak. A run with more steps and draws could show that PGD is too "
        "weak, but could not prove that the transformations protect."
    )


def rounding_in_words(record: Record) -> str:
    """Return sentences that state accuracies on adversarial images that DeepFool made for the
    network alone. The accuracies are stated without a transformation and with each transformation
    in front of the network. The last sentences say why a high accuracy does not show that a
    transformation protects.
    """
    clean, broken = (accuracy(record, "none", attack) for attack in ("clean", "deepfool"))
    cells = [
        f"{accuracy(record, name, 'deepfool'):.1f} % with {FRONTS[name]}"
        for name in FRONTS
        if name != "none"
    ]
    distance = mean(record, "median distance", attack="deepfool")
    weak = min(accuracy(record, name, "deepfool") for name in ("resize-pad", "jpeg"))
    rounded = accuracy(record, "8 bits", "deepfool")
    misled = (
        f" Rounding, which is no defense, already restores {rounded:.1f} %. So the accuracy after "
        "DeepFool does not show that random resizing or JPEG protect. "
        "We did not run an attack of this size through them."
    )
    misled *= weak >= 2 * BROKEN
    return (
        f"DeepFool lowers the accuracy of the network alone from {clean:.1f} % to {broken:.1f} %, "
        f"with a median $\\ell_2$ distance of {distance:.3f}. On its images, the accuracy is "
        f"{', '.join(cells[:-1])} and {cells[-1]}.{misled}"
    )


def pgd_in_words(record: Record) -> str:
    """Return sentences that state the accuracies with each transformation in front of the network,
    under two attacks: PGD on the network alone, and PGD through the transformation. The last
    sentence says whether PGD has to know the transformation.
    """
    alone = [accuracy(record, name, "pgd") for name in ("resize-pad", "jpeg")]
    through = " and ".join(
        f"{aware(record, 'resize-pad', k):.1f} % with {'one draw' if k == 1 else f'{k} draws'}"
        for k in draws(record)
    )
    last = (
        "So at this radius PGD defeats both transformations without knowing them."
        if max(alone) < BROKEN
        else "So at this radius the result depends on whether PGD knows the transformation."
    )
    return (
        f"We test {network(record)} with {images(record)} ({seeds_in_words(len(record.seeds))}). "
        f"Under PGD with radius {RADIUS}/255 on the network alone, the accuracy is "
        f"{alone[0]:.1f} % with random resizing and {alone[1]:.1f} % with JPEG. Under PGD through "
        f"random resizing, it is {through} in each step, and through JPEG "
        f"{aware(record, 'jpeg', 1):.1f} %. {last}"
    )


def alone_in_words(record: Record) -> str:
    """Return a sentence that says at which radii a transformation clearly raises the accuracy under
    PGD on the network alone.
    """
    at = _radii(record)
    clear = {}
    for name in SHOWN:
        each = [_rows(record, name, "pgd", eps=eps) for eps in at]
        bare = [_rows(record, "none", "pgd", eps=eps) for eps in at]
        clear[name] = [e for e, *both in zip(at, each, bare, strict=True) if pairs.ordered(*both)]
    raised = ", and by ".join(
        f"{FRONTS[name]} at {listed(f'{eps:g}/255' for eps in clear[name])}"
        for name in SHOWN
        if clear[name]
    )
    text = "Under PGD on the network alone, the accuracy is clearly raised by "
    return f"{text}{raised or 'neither transformation'}."


def cost_in_words(record: Record) -> str:
    """Return sentences that say whether a transformation clearly lowers the accuracy on the same
    clean images. They state this accuracy without a transformation and with each transformation.
    """
    bare = _rows(record, "none", "clean")
    higher = [pairs.ordered(bare, _rows(record, n, "clean")) for n in ("resize-pad", "jpeg")]
    word = "Yes" if any(higher) else "Not clearly" if None in higher else "No"
    chance = " A difference this small may be due to chance." * (word == "Not clearly")
    told = " and ".join(
        f"{accuracy(record, name, 'clean'):.1f} % with {FRONTS[name]}"
        for name in ("resize-pad", "jpeg")
    )
    return (
        f"{word}: the accuracy on {images(record)} is {accuracy(record, 'none', 'clean'):.1f} % "
        f"without a transformation, compared with {told}.{chance}"
    )


def accuracy(record: Record, front: str, attack: str) -> float:
    """Return the accuracy with a transformation in front of the network, under an attack on the
    network alone. The accuracy is in per cent and a mean over the seeds.
    """
    return fmean(found(record, front, attack))


def aware(record: Record, front: str, averaged: int) -> float:
    """Return the mean accuracy over the seeds, in percent, under PGD through the transformation."""
    return fmean(found(record, front, AWARE, averaged))


def found(
    record: Record, front: str, attack: str, averaged: int = 1, eps: int = RADIUS
) -> list[float]:
    """Return the accuracies of all seeds with a transformation in front of the network. FGSM and
    PGD have the radius eps / 255.
    """
    return [float(row.value) for row in _rows(record, front, attack, averaged, eps)]


def _rows(
    record: Record, front: str, attack: str, averaged: int = 1, eps: int = RADIUS
) -> list[Row]:
    """Return the rows whose values `found` returns."""
    radius = {"eps": eps} if attack in ("fgsm", "pgd", AWARE) else {}
    return rows_of(record, "accuracy", front=front, attack=attack, averaged=averaged, **radius)


def _strongest(record: Record) -> list[tuple[str, int]]:
    """Return both transformations, each with the largest number of draws over which PGD averages a
    gradient.
    """
    return [("resize-pad", draws(record)[-1]), ("jpeg", 1)]


def _radii(record: Record) -> list[int]:
    """Return the radii of the attacks in units of 1/255, in ascending order."""
    return sorted(settings(record, "accuracy", "eps"))


def draws(record: Record) -> list[int]:
    """Return, in ascending order, the numbers of draws of the random transformation over which PGD
    averages a gradient.
    """
    return sorted(settings(record, "accuracy", "averaged", front="resize-pad", attack=AWARE))


def images(record: Record) -> str:
    """Return the number of test images as text."""
    return f"{min(row.images for row in record.rows if row.images):,} test images"


def network(record: Record) -> str:
    """Return the network and the data of a record (a file of stored results) as text, such as
    ResNet-18 on CIFAR-10.
    """
    return {
        "paper": "ResNet-18 on CIFAR-10",
        "reduced": "a narrow ResNet-18 on CIFAR-10",
        "quick": "a narrow ResNet-18 on digits on photographs",
    }[record.profile]
