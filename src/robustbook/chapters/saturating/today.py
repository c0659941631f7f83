"""The page "today": many attacks on the saturated networks of Table 1, at one size and at all."""

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
"""Attacks whose images are not clipped, as the record names them, with their titles."""
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
"""The same for attacks whose images are clipped to [0, 1]."""
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
"""The same for the attacks that look for the smallest perturbation."""
SHORT = ("vanilla", "adv.", "sat.")  # nine columns must fit
COLUMNS = [f"{name.split()[0]}, {method}" for name in NETWORKS.values() for method in SHORT]
ALL = [(network, method) for network in NETWORKS for method in METHODS]
DIFFER = 5.0
"""Percentage points: smaller differences of two accuracies are not counted as one."""


def answer(record: Record) -> str:
    """Return whether the saturated networks withstand stronger attacks than one FGSM step."""
    single, worst = (
        [fmean(_left(record, network, "saturated", attack)) for network in NETWORKS]
        for attack in ("float32", "worst")
    )
    stands = all(least > one / 2 for least, one in zip(worst, single, strict=True))
    times = [fmean(_times(record, network, "saturated")) for network in NETWORKS]
    return (
        f"**They are{'' if stands else ' not'} robust.** After one FGSM step of size "
        f"{record.parameters['eps']:g} in float32 the saturated networks (sigmoid, ReLU, CNN) "
        f"classify {_listed(single)} % of the images correctly, and after all attacks of this page "
        f"together {_listed(worst)} %. Half of the images are misclassified at "
        f"{_listed(times, 2)} times the size that suffices for the vanilla networks."
    )


def summary(version: Version) -> Table:
    """Return each network's accuracy after FGSM, printed and ours, and after stronger attacks."""
    record = version.record
    return table(
        f"{version.heading}: accuracy in per cent at size {record.parameters['eps']:g}. FGSM: "
        "printed / **ours** (range over the seeds), one step in float32, not clipped. Square and "
        "all attacks together: clipped to [0, 1]. *Half at*: the size at which half of the images "
        "are misclassified, and how many times the vanilla network's it is.",
        f"tab-critique-summary-{version.origin}",
        ["Network", "FGSM", "Square", "All together", "Half at", "Times vanilla"],
        list(_summary_rows(record)),
    )


def free_attacks(version: Version) -> Table:
    """Return the accuracy under each attack whose images are not clipped."""
    return table(
        f"{version.heading}, attacks whose images are not clipped: {_caption(version.record)}.",
        f"tab-critique-free-{version.origin}",
        ["Attack", *COLUMNS],
        list(_attack_rows(version.record, FREE)),
    )


def clipped_attacks(version: Version) -> Table:
    """Return the accuracy under each attack clipped to [0, 1], and under all together."""
    images = [row.value for row in version.record.rows if row.name == "images"]
    return table(
        f"{version.heading}, attacks whose images are clipped to [0, 1]: "
        f"{_caption(version.record)}. PGD takes 20 steps. In the last row an image counts as "
        "misclassified if any attack of the curves succeeds on it. That row, and those that the "
        f"page of Table 1 does not have, are from {min(images):g} images for the CNN; all others "
        f"from {max(images):g}.",
        f"tab-critique-boxed-{version.origin}",
        ["Attack", *COLUMNS],
        list(_attack_rows(version.record, CLIPPED)),
    )


def curves(record: Record) -> Figure:
    """Draw accuracy against the size of the attack, for each image the worst of all attacks."""
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
    """Return the size at which each attack alone succeeds on half of the images."""
    return table(
        f"{version.heading}: the size at which each attack alone makes a network misclassify half "
        "of the images, mean over the seeds (columns as above). PGD takes 20 steps, Square asks "
        "300 times per image and size (quick: 20).",
        f"tab-critique-alone-{version.origin}",
        ["Attack", *COLUMNS],
        list(_alone_rows(version.record)),
    )


def sizes(version: Version) -> Table:
    """Return sizes for half of the images, accuracy at size 0.5, and shares of zero gradients."""
    return table(
        f"{version.heading}: the size at which half of the images are misclassified (range over "
        "the seeds), and how many times the vanilla network's it is; the accuracy (%) at size "
        "0.5, and what it would be if every image were the same constant grey; and the "
        "share of images (%) whose FGSM gradient is exactly zero, in float32, in float64, and from "
        "probabilities clipped at 1e-7.",
        f"tab-critique-sizes-{version.origin}",
        ["Network", "Half at", "Times", "At 0.5", "Grey", "Zero, f32", "f64", "clipped p"],
        list(_size_rows(version.record)),
    )


def checks(record: Record) -> Table:
    """Return the answers to four questions about the evaluation, bad ones in bold."""
    return table(
        "Four questions to the evaluation, with images clipped to [0, 1]. Is accuracy at size 0.5 "
        "higher than on grey images? Is it higher after 20 plain PGD steps than after one (by 5 "
        "points)? Is it lower after Square than after plain PGD (by 5 points)? Is it after one "
        "step no lower than after random signs (within 5 points)? If yes, the cell is bold: an "
        "attack was too weak. Each cell has the two accuracies compared, in per cent.",
        "tab-critique-checks",
        ["Network", "Grey image", "PGD, FGSM", "Square, PGD", "FGSM, signs"],
        list(_check_rows(record)),
    )


def gains(record: Record) -> str:
    """Return the sizes at which half of the images fail, as multiples of the vanilla network's."""
    saturated, trained = (
        ", ".join(
            f"{title} {spread(_times(record, network, method), 2)}"
            for network, title in NETWORKS.items()
        )
        for method in ("saturated", "adversarial")
    )
    return (
        "Half of the images are misclassified at a size that we give in multiples of the vanilla "
        f"network's. Saturated networks: {saturated}. Networks trained on FGSM images: {trained}."
    )


def _listed(numbers: list[float], digits: int = 1) -> str:
    *most, last = (f"{each:.{digits}f}" for each in numbers)
    return f"{', '.join(most)} and {last}"


def _summary_rows(record: Record) -> Iterator[list[str]]:
    for network, method in ALL:
        ours, _, ends = spread(_left(record, network, method, "float32")).partition(" ")
        yield [
            f"{NETWORKS[network]}, {method}",
            f"{printed(fgsm_target(network, method)):g} / **{ours}** {ends}",
            spread(_left(record, network, method, "square")),
            spread(_left(record, network, method, "worst")),
            spread(_halves(record, network, method), 3),
            spread(_times(record, network, method), 2),
        ]


def _left(record: Record, network: str, method: str, attack: str) -> list[float]:
    """Return the accuracy after an attack, one per seed."""
    return values(record, "accuracy", network=network, method=method, reading=attack)


def _halves(record: Record, network: str, method: str, attack: str = "all") -> list[float]:
    """Return the size at which an attack succeeds on half of the images, one per seed."""
    return values(record, "median", network=network, method=method, attack=attack)


def _times(record: Record, network: str, method: str) -> list[float]:
    """Return that size as a multiple of the vanilla network's, one per seed."""
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
