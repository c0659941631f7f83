"""Compute the tables, figures and sentences for the page on today's attacks.

The page evaluates the networks of Table 1 under many attacks, first with one perturbation size and
then with many sizes.
"""

from collections.abc import Iterator, Mapping
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.badges import of_page
from robustbook.chapters.published import (
    Version,
    array,
    as_printed,
    compared,
    mean,
    printed,
    values,
)
from robustbook.chapters.verdicts import reasons_of
from robustbook.chapters.wording import beside, from_to, listed, seeds_in_words, spread
from robustbook.counting import number_of
from robustbook.figures import Table, table
from robustbook.ledger import Record
from robustbook.ledger.verdicts import JUDGED

from .names import IN_SENTENCES, METHODS, MLPS, NETWORKS, fgsm_target

FREE = {
    "signs": "random signs (for comparison)",
    "float32": "FGSM, float32 (as for Table 1)",
    "float64": "FGSM, float64",
    "rescaled": "FGSM, logits rescaled",
    "margin": "FGSM, logit difference",
    "bypassed": "FGSM, last nonlinearity left out",
}
"""Attacks whose images are not clipped to [0, 1]: their names in the record, and their titles in
tables.
"""
CLIPPED = {
    "signs, clipped": "random signs (for comparison)",
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
    "pgd softened": "PGD, softened slopes",
    "pgd transfer": "PGD from vanilla",
    "square": "Square, no gradient",
    "worst": "all together, per image",
}
"""Attacks whose images are clipped to [0, 1]: their names in the record, and their titles in
tables.
"""
ALONE = {
    "plain": "PGD, float32",
    "margin": "PGD, logit difference",
    "float64": "PGD, logit difference, float64",
    "rescaled": "PGD, logits rescaled",
    "bypassed": "PGD, last nonlinearity left out",
    "softened 10": "PGD, softened slopes, s = 10",
    "softened 20": "PGD, softened slopes, s = 20",
    "softened 40": "PGD, softened slopes, s = 40",
    "transfer": "PGD from vanilla",
    "square": "Square, no gradient",
    "all": "all together, per image",
}
"""Attacks that look for the smallest perturbation: their names in the record, and their titles in
tables.
"""
SHORT = ("vanilla", "adv.", "sat.")  # short, so that nine columns fit
COLUMNS = [f"{name.split()[0]}, {method}" for name in NETWORKS.values() for method in SHORT]
ALL = [(network, method) for network in NETWORKS for method in METHODS]
FEW = 10.0
"""The accuracy in per cent up to which an attack counts as successful on nearly all images."""
DIFFER = 5.0
"""The difference in percentage points below which two accuracies count as equal."""


def answer(record: Record) -> str:
    """Return whether the saturated networks are robust to all attacks together, and for
    which MLPs float64 gradients are enough to make FGSM succeed on nearly all images. The
    verdicts on our own predictions and criteria follow.
    """
    single, wide, worst = (
        _of_saturated(record, attack) for attack in ("float32", "float64", "worst")
    )
    stands = all(least > one / 2 for least, one in zip(worst, single, strict=True))
    left = dict(zip(NETWORKS, wide, strict=True))
    repaired = [IN_SENTENCES[network] for network in MLPS if left[network] <= FEW]
    eps = record.parameters["eps"]
    badges = of_page(
        "saturating/critique",
        {
            "": "clipped-fgsm|zero-gradient",
            "our predictions against robustness": "-fgsm|-pgd|random-sign",
            "criterion added after the runs": "all-attacks",
        },
    )
    return (
        f"{'Yes' if stands else 'No'}: if all attacks are tried, the saturated networks classify "
        f"{_at_most(max(worst))} correctly at eps {eps:g}, and float64 gradients alone repair FGSM "
        f"only on {listed(f'the {each}' for each in repaired) or 'no MLP'}. {badges}"
    )


def _at_most(accuracy: float) -> str:
    """Return the highest accuracy of several networks as text."""
    return f"at most {accuracy:.1f} % of images" if accuracy else "no attacked image"


def each_network(record: Record) -> str:
    """Return sentences that state the accuracy of each saturated network under FGSM and under all
    attacks together, with one bullet for each network.
    """
    single = [spread(_left(record, network, "saturated", "float32")) for network in NETWORKS]
    worst = _of_saturated(record, "worst")
    times = [fmean(_times(record, network, "saturated")) for network in NETWORKS]
    images = [mean(record, "images", network=each, method="saturated") for each in NETWORKS]
    bullets = "\n".join(
        f"- {title}: {one} % after one FGSM step, {least:.1f} % under all attacks"
        for title, one, least in zip(NETWORKS.values(), single, worst, strict=True)
    )
    return (
        f"Here are the accuracies of the saturated networks under attacks of size "
        f"{record.parameters['eps']:g}. The first is after one FGSM step in float32, whose images "
        "may leave [0, 1]. The second is under all attacks, whose images may not. For it, an image "
        "counts as correct only if all attacks fail on it. (All numbers are "
        "means over the seeds, the first of each row with the range. The accuracies of the sigmoid "
        "MLP under FGSM lie in two groups, see [Table 1](./table1.ipynb).)"
        f"\n\n{bullets}\n\n"
        "To make a saturated network misclassify half of the images, attacks need "
        f"{from_to(times, '.2f')} times the perturbation size that suffices for the vanilla "
        f"network. We run FGSM on {record.parameters['controls']:,} images; the other results for "
        f"the CNN rest on {images[-1]:.0f} images per seed."
    )


def transferred(record: Record) -> str:
    """Return a sentence that compares FGSM images of the vanilla network with two controls on the
    saturated sigmoid network, all clipped to [0, 1]: random signs, and FGSM on the network itself.
    """
    from_vanilla, signs, own = (
        fmean(_left(record, "sigmoid-mlp", "saturated", attack))
        for attack in ("transfer", "signs, clipped", "float32, clipped")
    )
    return (
        f"On the saturated sigmoid network, FGSM images of the vanilla network leave "
        f"{from_vanilla:.1f} % of the images correctly classified. Random signs of the same size "
        f"leave {signs:.1f} %, and FGSM on the network itself {own:.1f} % (all clipped to [0, 1])."
    )


def trained_on_fgsm(record: Record) -> str:
    """Return a sentence on the accuracy of the networks that were trained on FGSM images, under
    PGD.
    """
    most = max(fmean(_left(record, network, "adversarial", "pgd")) for network in NETWORKS)
    return (
        "The networks trained on FGSM images are not robust either: under PGD in float32, their "
        f"mean accuracy is at most {most:.1f} % (see [Table 1](./table1.ipynb))."
    )


def reasons() -> str:
    """Return how many of our own predictions and later criteria hold, and why verdicts on them are
    inconclusive or not reproduced. The first sentence says that a prediction speaks against the
    paper if it holds.
    """
    lead = f"A prediction of ours speaks against the paper if it holds. {held()}. All together"
    return reasons_of("saturating/critique", lead)


def held() -> str:
    """Return how many of our own predictions hold, and how many criteria that we added after the
    runs hold.
    """
    lines = [line for line in compared("saturating/critique") if line.verdict in JUDGED]
    added, ours = (
        [line.verdict for line in lines if line.id.endswith("all-attacks") == after]
        for after in (True, False)
    )
    unsure = ours.count("inconclusive")
    told = f" ({unsure} {'is' if unsure == 1 else 'are'} inconclusive)" * bool(unsure)
    return (
        f"{ours.count('reproduced')} of our {len(ours)} predictions hold{told}, and "
        f"{added.count('reproduced')} of {len(added)} criteria that we added after the runs"
    )


def _of_saturated(record: Record, attack: str) -> list[float]:
    """Return the mean accuracy of each saturated network under an attack."""
    return [fmean(_left(record, network, "saturated", attack)) for network in NETWORKS]


def summary(version: Version) -> Table:
    """Return a table of each network's accuracies: under FGSM in the paper, under FGSM in our runs,
    and under stronger attacks.
    """
    record = version.record
    return version.table(
        f": accuracy in per cent at size {record.parameters['eps']:g}. FGSM: paper / **ours** "
        f"(range over the seeds), one step in float32 on {_most_images(record):g} images, not "
        "clipped. Square attack and all attacks together: clipped to [0, 1]. *Half at*: the size "
        "at which half of the images are misclassified. *Times vanilla*: this size divided by "
        "that of the vanilla network. For the CNN, all columns except FGSM rest on "
        f"{_fewest_images(record):g} images per seed.",
        "critique-summary",
        ["Network", "FGSM", "Square", "All together", "Half at", "Times vanilla"],
        list(_summary_rows(record)),
    )


def _most_images(record: Record) -> int:
    """Return the number of test images for attacks on the MLPs. It is smaller for the CNN."""
    return int(max(row.value for row in record.rows if row.name == "images"))


def _fewest_images(record: Record) -> int:
    """Return the number of test images for those attacks on the CNN that are not on the page of
    Table 1.
    """
    return int(min(row.value for row in record.rows if row.name == "images"))


def free_attacks(version: Version) -> Table:
    """Return a table of each network's accuracy under each attack whose images are not clipped."""
    return version.table(
        f", attacks whose images are not clipped: {_caption(version.record)}.",
        "critique-free",
        ["Attack", *COLUMNS],
        list(_attack_rows(version.record, FREE)),
    )


def clipped_attacks(version: Version) -> Table:
    """Return a table of each network's accuracy under each attack that clips images to [0, 1]. The
    last row shows the share of images on which all attacks fail.
    """
    record = version.record
    return version.table(
        f", attacks whose images are clipped to [0, 1]: {_caption(record)}. PGD takes 20 steps. "
        "In the last row an image counts as misclassified if any attack in the figure of curves "
        "succeeds on it. For the CNN, the last row and the attacks that are not on the page of "
        f"Table 1 rest on {number_of('image', _fewest_images(record))}; all other numbers rest on "
        f"{number_of('image', _most_images(record))}.",
        "critique-boxed",
        ["Attack", *COLUMNS],
        list(_attack_rows(record, CLIPPED)),
    )


def curves(record: Record) -> Figure:
    """Draw the accuracy of each network against the perturbation size.

    An image counts as correctly classified only if all attacks fail on it. Markers show the
    accuracy after one step of FGSM, which clips images to [0, 1] as the attacks of the curves do.
    """
    sizes = [size for size in array(record, "eps") if size <= 0.3]
    lines: dict[str, dict[str, list[list[float]]]] = {network: {} for network in NETWORKS}
    single: dict[str, dict[str, list[float]]] = {network: {} for network in NETWORKS}
    there: dict[str, dict[str, list[float]]] = {network: {} for network in NETWORKS}
    for network, method in ALL:
        lines[network][method] = [c[: len(sizes)] for c in array(record, f"{network}/{method}")]
        single[network][method] = _left(record, network, method, "float32, clipped")
        number = printed(fgsm_target(network, method))
        there[network][method] = [] if number is None else [number]
    at = record.parameters["eps"]
    return figures.curves(sizes, lines, NETWORKS, at=at, single=single, printed=there)


def alone(version: Version) -> Table:
    """Return a table of the perturbation size at which an attack on its own succeeds on half of the
    images. There is one number for each combination of network and attack.
    """
    return version.table(
        ": the size at which a single attack makes a network misclassify half of the images, mean "
        "over the seeds (columns as above). PGD takes 20 steps; the Square attack takes 300 "
        "queries per image and size (20 in the profile `quick`).",
        "critique-alone",
        ["Attack", *COLUMNS],
        list(_alone_rows(version.record)),
    )


def zero_gradients(record: Record) -> str:
    """Return how many images have a zero FGSM gradient in float32 on the saturated MLPs, and in
    float64 on any network.
    """

    def zero(network: str, method: str, reading: str) -> list[float]:
        return values(record, "unmoved", reading=reading, network=network, method=method)

    single = listed(
        f"{spread(zero(network, 'saturated', 'float32'))} % of the images of the saturated "
        f"{IN_SENTENCES[network]}"
        for network in MLPS
    )
    wide = max(max(zero(network, method, "float64")) for network, method in ALL)
    return (
        f"In float32 the FGSM gradient is exactly zero for {single}. In float64 it is zero for "
        f"{f'at most {wide:.1f} %' if wide else 'none'} of the images of any network."
    )


def checks(record: Record) -> Table:
    """Return a table that answers four questions about the evaluation of each network.

    Bold answers are signs that an attack was too weak.
    """
    return table(
        "Four questions about the evaluation, with images clipped to [0, 1]. Is the accuracy at "
        "size 0.5 higher than on uniform grey images? Is the accuracy after 20 plain PGD steps "
        "more than 5 points higher than after one FGSM step? Is the accuracy after the Square "
        "attack more than 5 points lower than after plain PGD? Is the accuracy after one FGSM "
        "step higher than after random signs, or less than 5 points lower? If the answer is yes, "
        "the cell is bold: an attack was too weak. Each cell shows the two accuracies that are "
        "compared, in per cent.",
        "tab-critique-checks",
        ["Network", "Grey image", "PGD, FGSM", "Square, PGD", "FGSM, signs"],
        list(_check_rows(record)),
    )


def gains(record: Record) -> str:
    """Return sentences that compare networks by the perturbation size at which half of the images
    are misclassified. The sentences divide the perturbation size for each network by the
    perturbation size for the vanilla network.
    """
    bullets = "\n".join(
        f"- {title}: {saturated} for the saturated network, {trained} for the network trained on "
        "FGSM images"
        for network, title in NETWORKS.items()
        for saturated, trained in [
            (spread(_times(record, network, method), 2) for method in ("saturated", "adversarial"))
        ]
    )
    return (
        "*The saturated networks are about as robust as the vanilla networks.* For each network we "
        "take the perturbation size at which it misclassifies half of the images, and divide it by "
        f"that of the vanilla network:\n\n{bullets}"
    )


def _summary_rows(record: Record) -> Iterator[list[str]]:
    for network, method in ALL:
        theirs = as_printed(fgsm_target(network, method))
        yield [
            f"{NETWORKS[network]}, {method}",
            beside(_left(record, network, method, "float32"), theirs),
            spread(_left(record, network, method, "square")),
            spread(_left(record, network, method, "worst")),
            spread(_halves(record, network, method), 3),
            spread(_times(record, network, method), 2),
        ]


def _left(record: Record, network: str, method: str, attack: str) -> list[float]:
    """Return the accuracy of a network under an attack, one number per seed."""
    return values(record, "accuracy", network=network, method=method, reading=attack)


def _halves(record: Record, network: str, method: str, attack: str = "all") -> list[float]:
    """Return, for each seed, the perturbation size at which an attack succeeds on half of the
    images.
    """
    return values(record, "median", network=network, method=method, attack=attack)


def _times(record: Record, network: str, method: str) -> list[float]:
    """Return for each seed the perturbation size at which a network misclassifies half of the
    images, divided by the perturbation size for the vanilla network.
    """
    half, plain = (_halves(record, network, each) for each in (method, "vanilla"))
    return [a / b for a, b in zip(half, plain, strict=True)]


def _caption(record: Record) -> str:
    return (
        f"correctly classified images in per cent at size {record.parameters['eps']:g}, mean over "
        f"{seeds_in_words(len(record.seeds))} (adv.: adversarially trained, "
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
