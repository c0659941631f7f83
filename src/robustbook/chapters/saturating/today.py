"""The page "Does it stand today?": many attacks on the networks of Table 1, at one size and at all
sizes."""

from collections.abc import Iterator, Mapping
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import Version, array, mean, printed, values
from robustbook.chapters.wording import spread
from robustbook.figures import Table, table
from robustbook.ledger import Record

from .names import METHODS, NETWORKS, fgsm_target

FREE = {
    "signs": "random signs (control)",
    "float32": "FGSM, float32 (the paper's)",
    "float64": "FGSM, float64",
    "rescaled": "FGSM, logits rescaled",
    "margin": "FGSM, logit difference",
    "bypassed": "FGSM, last nonlinearity left out",
}
"""Attacks whose images are not clipped."""
CLIPPED = {
    "signs, clipped": "random signs (control)",
    "float32, clipped": "FGSM, float32",
    "float64, clipped": "FGSM, float64",
    "rescaled, clipped": "FGSM, logits rescaled",
    "margin, clipped": "FGSM, logit difference",
    "bypassed, clipped": "FGSM, last nonlinearity left out",
    "transfer": "FGSM from vanilla",
    "pgd": "PGD, float32",
    "pgd float64": "PGD, float64",
    "pgd rescaled": "PGD, logits rescaled",
    "pgd margin": "PGD, logit difference",
    "pgd float64 margin": "PGD, logit difference, float64",
    "pgd bypassed": "PGD, last nonlinearity left out",
    "pgd softened": "PGD, softened slope",
    "pgd transfer": "PGD from vanilla",
    "square": "Square, no gradient",
    "worst": "all together, per image",
}
"""Attacks whose images are clipped to [0, 1]."""
ALONE = {
    "plain": "PGD, float32",
    "margin": "PGD, logit difference",
    "float64": "PGD, logit difference, float64",
    "rescaled": "PGD, logits rescaled",
    "bypassed": "PGD, last nonlinearity left out",
    "softened 10": "PGD, slope 10 times softer",
    "softened 20": "PGD, slope 20 times softer",
    "softened 40": "PGD, slope 40 times softer",
    "transfer": "PGD from vanilla",
    "square": "Square, no gradient",
    "all": "all together, per image",
}
"""Attacks of the curves."""
SHORT = ("vanilla", "adv.", "sat.")  # nine columns must fit
COLUMNS = [f"{name.split()[0]}, {method}" for name in NETWORKS.values() for method in SHORT]
ALL = [(network, method) for network in NETWORKS for method in METHODS]
DIFFER = 5.0
"""Percentage points by which two accuracies differ enough to say so."""


def answer(record: Record) -> str:
    """Whether the saturated networks are as robust as FGSM in float32 says."""
    single, search, worst = (
        [fmean(_left(record, network, "saturated", attack)) for network in NETWORKS]
        for attack in ("float32", "square", "worst")
    )
    stands = all(least > one / 2 for least, one in zip(worst, single, strict=True))
    return (
        ("**In part.** " if stands else "**No.** ")
        + "Of the images shown to the saturated networks (sigmoid, ReLU, CNN), the paper's attack, "
        f"one step of size {record.parameters['eps']:g} computed in float32, leaves "
        f"{_listed(single)} % correctly classified. A random search of the same size that asks for "
        f"no gradient leaves {_listed(search)} %; all attacks of this page together "
        f"{_listed(worst)} %. "
    )


def free_attacks(version: Version) -> Table:
    """What each attack leaves whose images are not clipped."""
    return table(
        f"{version.heading}, attacks whose images are not clipped: {_caption(version.record)}.",
        f"tab-critique-free-{version.origin}",
        ["Attack", *COLUMNS],
        list(_attack_rows(version.record, FREE)),
    )


def clipped_attacks(version: Version) -> Table:
    """What each attack leaves whose images are clipped to [0, 1], and all attacks together."""
    images = [row.value for row in version.record.rows if row.name == "images"]
    return table(
        f"{version.heading}, attacks whose images are clipped to [0, 1]: "
        f"{_caption(version.record)}. PGD takes 20 steps. The last row counts an image as lost "
        "where any attack of the curves below makes the network misclassify it. That row, and "
        f"those that the page of Table 1 does not have, rest on {min(images):g} images for the "
        f"CNN; all others on {max(images):g}.",
        f"tab-critique-boxed-{version.origin}",
        ["Attack", *COLUMNS],
        list(_attack_rows(version.record, CLIPPED)),
    )


def curves(record: Record) -> Figure:
    """Accuracy against the size of the attack, the worst case over all attacks per image."""
    sizes = [size for size in array(record, "eps") if size <= 0.3]
    lines: dict[str, dict[str, list[list[float]]]] = {network: {} for network in NETWORKS}
    single: dict[str, dict[str, list[float]]] = {network: {} for network in NETWORKS}
    there: dict[str, dict[str, list[float]]] = {network: {} for network in NETWORKS}
    for network, method in ALL:
        lines[network][method] = [c[: len(sizes)] for c in array(record, f"{network}/{method}")]
        single[network][method] = _left(record, network, method, "float32")
        number = printed(fgsm_target(network, method))
        there[network][method] = [] if number is None else [number]
    at = record.parameters["eps"]
    return figures.curves(sizes, lines, NETWORKS, at=at, single=single, printed=there)


def alone(version: Version) -> Table:
    """The size at which each attack alone has fooled a network on half of the images."""
    return table(
        f"{version.heading}: the size at which each attack alone makes a network misclassify half "
        "of the images, mean over the seeds (columns as above). PGD takes 20 steps, Square asks "
        "300 times per image and size (quick: 20).",
        f"tab-critique-alone-{version.origin}",
        ["Attack", *COLUMNS],
        list(_alone_rows(version.record)),
    )


def sizes(version: Version) -> Table:
    """Half-way sizes, what is left at size 0.5, and how often the FGSM gradient is zero."""
    return table(
        f"{version.heading}: the size at which half of the images are misclassified (range over "
        "the seeds), and how many times the vanilla network's it is; the share of images (%) that "
        "is left at size 0.5, and the share that the constant grey image would leave; and the "
        "share of images (%) whose FGSM gradient is exactly zero, in float32, in float64, and from "
        "probabilities clipped at 1e-7.",
        f"tab-critique-sizes-{version.origin}",
        ["Network", "Half at", "Times", "Left at 0.5", "Grey", "Zero, f32", "f64", "clipped p"],
        list(_size_rows(version.record)),
    )


def checks(record: Record) -> Table:
    """Four questions to the evaluation of each network, red answers in bold."""
    return table(
        "Four questions to the evaluation at one size, with images clipped to [0, 1], red answers "
        "in bold: is more left at size 0.5 than of a grey image? Do 20 plain PGD steps leave more "
        "than one? Does the search without gradients do more harm than plain PGD (by 5 points)? Is "
        "one step no better than random signs (within 5 points)? Each cell has the two numbers "
        "compared, in per cent.",
        "tab-critique-checks",
        ["Network", "Grey image", "PGD, FGSM", "Square, PGD", "FGSM, signs"],
        list(_check_rows(record)),
    )


def gains(record: Record) -> str:
    """What is left of the claim: half-way sizes as multiples of the vanilla network's."""
    saturated, trained = (
        ", ".join(
            f"{title} {spread(_times(record, network, method), 2)}"
            for network, title in NETWORKS.items()
        )
        for method in ("saturated", "adversarial")
    )
    return (
        "**In sizes instead of percentages.** Half of the images are misclassified at a size that "
        f"is, in multiples of the vanilla network's, for the saturated networks {saturated}; and "
        f"for those trained on FGSM images {trained}. Where such a factor is above 1, there is a "
        "gain: it is what is left of the claim, and it is far from what an accuracy of more than "
        "90 % at a size of 0.25 would mean. All sizes are upper bounds, for a better attack can "
        "only find smaller ones; and the saturated networks differ from the vanilla ones in more "
        "than the penalty, for they were trained for far longer."
    )


def _listed(percentages: list[float]) -> str:
    return ", ".join(f"{each:.1f}" for each in percentages)


def _left(record: Record, network: str, method: str, attack: str) -> list[float]:
    """The accuracy after an attack, per seed."""
    return values(record, "accuracy", network=network, method=method, reading=attack)


def _halves(record: Record, network: str, method: str, attack: str = "all") -> list[float]:
    """The size at which an attack, or all together, has fooled half of the images, per seed."""
    return values(record, "median", network=network, method=method, attack=attack)


def _times(record: Record, network: str, method: str) -> list[float]:
    """The half-way size as a multiple of the vanilla network's, per seed."""
    half, plain = (_halves(record, network, each) for each in (method, "vanilla"))
    return [a / b for a, b in zip(half, plain, strict=True)]


def _caption(record: Record) -> str:
    return (
        f"correctly classified images in per cent at size {record.parameters['eps']:g}, mean over "
        f"{len(record.seeds)} seed{'s' * (len(record.seeds) > 1)} (adv.: adversarially trained, "
        "sat.: saturated)"
    )


def _attack_rows(record: Record, attacks: Mapping[str, str]) -> Iterator[list[str]]:
    for attack, title in attacks.items():
        found = [_left(record, network, method, attack) for network, method in ALL]
        yield [title, *(f"{fmean(each):.1f}" if each else "" for each in found)]


def _alone_rows(record: Record) -> Iterator[list[str]]:
    top = array(record, "eps")[-1]
    for attack, title in ALONE.items():
        found = [_halves(record, network, method, attack) for network, method in ALL]
        means = [fmean(each) if each else None for each in found]
        yield [
            title,
            *("" if x is None else f"{x:.3f}" if x < top else f"over {top:g}" for x in means),
        ]


def _size_rows(record: Record) -> Iterator[list[str]]:
    for network, method in ALL:
        last = [curve[-1] for curve in array(record, f"{network}/{method}")]
        zero = [
            values(record, "unmoved", reading=reading, network=network, method=method)
            for reading in ("float32", "float64", "probabilities")
        ]
        yield [
            f"{NETWORKS[network]}, {method}",
            spread(_halves(record, network, method), 3),
            spread(_times(record, network, method), 2),
            spread(last),
            spread(values(record, "grey", network=network, method=method)),
            *map(spread, zero),
        ]


def _check_rows(record: Record) -> Iterator[list[str]]:
    for network, method in ALL:
        one, many, search, signs = (
            fmean(_left(record, network, method, attack))
            for attack in ("float32, clipped", "pgd", "square", "signs, clipped")
        )
        last = fmean([curve[-1] for curve in array(record, f"{network}/{method}")])
        grey = mean(record, "grey", network=network, method=method)
        answers = [
            (last > grey, last, grey),
            (many > one + DIFFER, many, one),
            (search < many - DIFFER, search, many),
            (one > signs - DIFFER, one, signs),
        ]
        cells = ((red, f"{a:.1f} against {b:.1f}") for red, a, b in answers)
        yield [
            f"{NETWORKS[network]}, {method}",
            *(f"**{text}**" if red else text for red, text in cells),
        ]
