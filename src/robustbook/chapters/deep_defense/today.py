"""Compute the content of the page on stronger attacks: Deep Defense under attacks that were not
used in its training.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import (
    Version,
    images_of,
    mean,
    record_of,
    records_of,
    values,
)
from robustbook.chapters.wording import (
    badge,
    bullets,
    listed,
    minus,
    page_link,
    seeds_in_words,
    spread,
    spread_or,
)
from robustbook.figures import Table, table
from robustbook.ledger import Record

from .names import (
    METHODS,
    TITLES,
    coloured,
    counted,
    each_network,
    networks,
    shown_size,
    size_text,
    sizes,
    title,
    with_article,
)

NEAREST = {
    "deepfool free": "DeepFool, free",
    "ddn free": "DDN, free",
    "deepfool": "DeepFool",
    "ddn": "DDN",
    "best": "smaller of both",
}
"""Attacks that look for the smallest l2 perturbation. If the name of an attack contains "free", the
attack does not clip images.
"""
_MISSED = {
    "deepfool free": "DeepFool without clipping",
    "ddn free": "DDN without clipping",
    "deepfool": "DeepFool with clipping",
    "ddn": "DDN with clipping",
    "best": "both with clipping on the same images",
}
"""The same attacks, as the table of their failures names them."""
BOUNDED = {"fgsm": "FGSM", "pgd": "PGD", "pgd margin": "PGD on the margin", "square": "Square"}
"""Attacks of a given l-infinity radius."""
DRAWN = {"DeepFool": "deepfool", "DDN": "ddn"}
RANKED = ("adv-training-i", "adv-training-ii", "deep-defense", "combination")
"""The defenses whose order by DeepFool is compared with their order by DDN."""
OURS, RIVAL = "deep-defense", "adv-training-ii"
_UNDECIDED = {
    "no": "Deep Defense does not help",
    "unclear": "it is unclear whether Deep Defense helps",
}
LOOKS = {"DeepFool": figures.LOOKS["reference"], "DDN": figures.LOOKS["adv-training-i"]}


def answer(record: Record) -> str:
    """Return a sentence that says on which networks Deep Defense, with every seed, increases the
    median distance that DDN finds, and by which factor on the networks in ``record``. If the seeds
    disagree, the sentence says that it is unclear. The first part holds for the networks of all
    stored results. DeepFool, the attack of the training, does not count.
    """
    others = [each for each in records_of("deep_defense/today") if each.profile != record.profile]
    found = {with_article(*e): _further(*e, "ddn") for e in each_network([record, *others])}
    answered = _by_answer(found)
    gains = listed(
        f"{nearest_gain(record, n, attack='ddn'):.2f} ({title(record, n)})"
        for n in networks(record)
    )
    return (
        f"{answered[0].upper()}{answered[1:]}: the median distance by DDN becomes {gains} times as "
        f"large. *Distances and accuracies*: {badge('no printed number')}"
    )


def over_all_images(records: Sequence[Record]) -> str:
    """Return sentences that list which fine-tuned networks for colour images would look less robust
    than the reference network if all test images counted and not only the shared ones.
    """
    found = ""
    for record, network in each_network(records):
        if not coloured(network):
            continue
        start, *tuned = (fmean(_medians(record, network, m, "best")) for m in METHODS)
        lower = [
            METHODS[method]
            for method, ours in zip(list(METHODS)[1:], tuned, strict=True)
            if ours < start
        ]
        fewer = "every method" if len(lower) == len(tuned) else listed(lower)
        if lower:
            found += (
                f" On {with_article(record, network)}, the median over all images is smaller with "
                f"{fewer} than for the reference network."
            )
    return (
        "We decided to count only the shared images after we had seen the numbers for CIFAR-10. "
        "Over all images, a misclassified image counts with distance 0, so a lower clean accuracy "
        f"lowers the median.{found} The column *smaller of both* of "
        "{numref}`tab-dd-today-nearest-reduced` shows these medians."
    )


def undecided(records: Sequence[Record]) -> str:
    """Return sentences that say on which networks Deep Defense does not help with every seed, by
    the distance that DeepFool or DDN find, on how many images, how rho2 of Table 1 changes there,
    and how accurate the narrow networks for CIFAR-10 are without any defense.
    """
    tables = {each.profile: each for each in records_of("deep_defense/table-1")}
    clean = {
        network: mean(tables[record.profile], "accuracy", network=network, method="reference")
        for record, network in each_network(records)
        if coloured(network)
    }
    without = listed(f"{each:.0f} % (narrow {TITLES[n]})" for n, each in clean.items())
    return " ".join(
        f"On {with_article(record, network)} {_UNDECIDED[_further(record, network)]}: the distance "
        f"that DeepFool or DDN finds is {spread(found, 2)} times as large. It is larger with "
        f"{counted([gain > 1 for gain in found], 'seeds')}. This says little, because on average "
        f"only {fmean(values(record, 'shared images', network=network)):.0f} images are shared. "
        f"In {page_link('table1')}, $\\rho_2$ of {with_article(record, network)} grows "
        f"{rho_gain(tables[record.profile], network):.2f} times. That is the growth of a mean over "
        "all test images, after the preprocessing and without clipping. We did not test which of "
        "these differences matters. Without any defense, the accuracy on clean images is "
        f"{without}. The page on {page_link('table1')} states their sizes."
        for record, network in each_network(records)
        if _further(record, network) != "yes"
        and (found := _gains(record, network, "deep-defense", "best"))
    )


def few_images(records: Sequence[Record]) -> str:
    """Return a sentence that states how many test images were attacked on the networks with fewer
    images than the network with most.
    """
    images = {
        with_article(record, network): images_of(record, "accuracy", network=network)
        for record, network in each_network(records)
    }
    most = max(images.values())
    fewer = listed(f"{count} on {name}" for name, count in images.items() if count < most)
    return f"Only few images were attacked: {fewer}."


def overstated(record: Record) -> str:
    """Return sentences that state by which factor Deep Defense increases the distance that DeepFool
    or DDN find, and whether the accuracy under FGSM overstates the robustness.
    """
    gains = [
        f"{fmean(found):.2f} times ({title(record, network)})"
        for network in networks(record)
        if (found := _gains(record, network, "deep-defense", "best"))
    ]
    network = networks(record)[0]
    single, together = _single_and_all(record, network)
    without, name = _all_attacks(record, network, "reference"), with_article(record, network)
    return (
        f"The median distance that DeepFool or DDN finds is {' and '.join(gains)} as large as "
        "without Deep Defense. "
        "Under all attacks with l\N{NON-BREAKING HYPHEN}infinity perturbations of eps "
        f"{size_text(network, shown_size(record, network))}, the accuracy of {name} is "
        f"{together:.1f} % with Deep Defense and {without:.1f} % without. FGSM alone gives "
        f"{single:.1f} % with Deep Defense, which is "
        f"{'too high an' if _flattered(record, network) else 'a fair'} estimate of the robustness."
    )


def growth(record: Record) -> str:
    """Return sentences that state by how many per cent Deep Defense increases the median distance:
    by DeepFool and DDN, both with and without clipping. The growth of rho2 follows. ``record``
    contains the stored results of the attacks.
    """
    table_1 = record_of("deep_defense/table-1")
    shown = networks(record)
    parts, by_rho = [], []
    for network in shown:
        by_rho.append(f"{100 * (rho_gain(table_1, network) - 1):.0f} %")
        free, free_ddn, deepfool, ddn = (
            f"{100 * (nearest_gain(record, network, attack=attack) - 1):.0f} %"
            for attack in list(NEAREST)[:4]
        )
        parts.append(
            f"On {with_article(record, network)}, it grows by {free} (DeepFool) and {free_ddn} "
            f"(DDN) without clipping, and by {deepfool} and {ddn} with clipping to [0, 1]."
        )
    return minus(
        "We compare how much Deep Defense increases the median distance on the shared images. "
        f"{' '.join(parts)} The mean $\\rho_2$ over all images, by DeepFool without clipping, "
        f"grows by {listed(by_rho)}."
    )


def nearer(record: Record, method: str, clip: bool) -> list[float]:
    """Return for each network by how many per cent DDN's median distance is smaller than
    DeepFool's, both with or both without clipping.
    """
    end, found = "" if clip else " free", []
    for network in networks(record):
        by_deepfool, by_ddn = (
            fmean(_medians(record, network, method, attack + end, "shared median"))
            for attack in ("deepfool", "ddn")
        )
        found.append(100 * (1 - by_ddn / by_deepfool))
    return found


def nearer_in_words(record: Record) -> str:
    """Return sentences that state by how much DDN's median distance is smaller than DeepFool's: for
    the reference networks and after Deep Defense, with and without clipping.
    """
    parts = []
    for words, method in (
        ("For the reference networks", "reference"),
        ("After Deep Defense", OURS),
    ):
        clipped, free = (
            listed(f"{each:.0f} %" for each in nearer(record, method, clip))
            for clip in (True, False)
        )
        parts.append(f"{words} they are nearer by {clipped} with clipping and by {free} without.")
    names_there = listed(title(record, network) for network in networks(record))
    return f"DDN finds nearer adversarial images than DeepFool ({names_there}). {' '.join(parts)}"


def rival_in_words(record: Record) -> str:
    """Return sentences that compare Deep Defense with adversarial training II under all bounded
    attacks, and by the median distance that DDN finds.
    """
    shown = networks(record)
    sizes_there = {size_text(n, shown_size(record, n)) for n in shown}
    rival, ours = (
        [_all_attacks(record, n, method) for n in shown] for method in (RIVAL, "deep-defense")
    )
    accuracies = listed(
        f"{a:.0f} instead of {b:.0f} % ({title(record, n)})"
        for n, a, b in zip(shown, rival, ours, strict=True)
    )
    by_ddn = [
        [fmean(_medians(record, n, method, "ddn", "shared median")) for n in shown]
        for method in (RIVAL, "deep-defense")
    ]
    further = listed(f"{100 * (a / b - 1):.0f} %" for a, b in zip(*by_ddn, strict=True))
    return minus(
        f"Under all attacks at eps {listed(sorted(sizes_there))}, adversarial training II "
        f"classifies more images correctly than Deep Defense: {accuracies}. By DDN, its "
        f"adversarial images lie {further} further away, although Deep Defense is trained to "
        "increase this $\\ell_2$ distance."
    )


def fgsm_in_words(record: Record) -> str:
    """Return a sentence that states two accuracies of Deep Defense on each network: under FGSM
    alone, and under all attacks.
    """
    shown = networks(record)
    found = [_single_and_all(record, n) for n in shown]
    single = listed(
        f"{a:.0f} % ({title(record, n)})" for n, (a, _) in zip(shown, found, strict=True)
    )
    together = listed(f"{b:.0f} %" for _, b in found)
    eps = size_text(shown[0], shown_size(record, shown[0]))
    return (
        f"At eps {eps}, the networks with Deep Defense have an accuracy of {single} under FGSM, "
        f"and of {together} under all attacks together."
    )


def orders_in_words(records: Sequence[Record]) -> str:
    """Return sentences that say on which networks DeepFool and DDN rank the defenses in the same
    order, what changes on the other networks, and whether this may be chance.
    """
    alike, others = [], []
    for record, network in each_network(records):
        by_deepfool, by_ddn = (_order(record, network, attack) for attack in DRAWN.values())
        if list(by_deepfool) == list(by_ddn):
            alike.append(title(record, network))
            continue
        best, digits = next(iter(by_deepfool)), 3 if coloured(network) else 2
        others.append(
            f"On {with_article(record, network)}, {METHODS[best]} is number 1 by DeepFool (median "
            f"distance {by_deepfool[best]:.{digits}f}) and number {list(by_ddn).index(best) + 1} "
            f"by DDN ({by_ddn[best]:.{digits}f})."
        )
        seeds = _medians(record, network, best, DRAWN["DeepFool"], "shared median")
        across, between = (max(each) - min(each) for each in (seeds, by_deepfool.values()))
        if across > between:
            others.append(
                "DeepFool's order may be chance: its median distances differ by up to "
                f"{across:.{digits}f} between seeds of {METHODS[best]}, but only by up to "
                f"{between:.{digits}f} between the means of the {len(RANKED)} defenses."
            )
    named = ", ".join(METHODS[each] for each in RANKED)
    same = (
        f"Ranked by distance, {len(RANKED)} defenses ({named}) have the same order by DeepFool and "
        f"by DDN on these networks: {', '.join(alike) or 'none'}."
    )
    return " ".join([same, *others])


def masked(records: Sequence[Record]) -> str:
    """Return sentences that list where the accuracy of a defense under the single step of FGSM is
    lower than under PGD, and count the rows of the table `weak`. Both are signs that PGD is too
    weak there. Differences of at most one point are counted separately, because they rest on few
    images.
    """
    found = []
    for record, network, method, eps in _defended(records):
        single, many = (
            fmean(_left(record, network, method, attack, eps)) for attack in ("fgsm", "pgd")
        )
        if single < many:
            found.append(
                f"{title(record, network)} with {METHODS[method]} at eps {size_text(network, eps)} "
                f"({single:.1f} and {many:.1f} % of the images, means over "
                f"{seeds_in_words(len(record.seeds))})"
            )
    text = (
        "The single step of FGSM leaves fewer images than PGD "
        f"{f'here: {listed(found)}' if found else 'in no case'}."
    )
    cases = _weak(records)
    if cases:
        few = sum(min(kinds) - together <= 1 for *_, kinds, together in cases)
        text += (
            " In the cases of {numref}`tab-dd-today-weak`, all attacks together leave less than "
            "half as many images as PGD with either loss. So PGD alone is not reliable there."
        )
        if few:
            text += (
                f" In {few} of these {len(cases)} cases the difference is at most one point, so it "
                "rests on few images."
            )
    return text


def weak(records: Sequence[Record]) -> Table | None:
    """Return a table of the cases in which the accuracy of a defense under all attacks together is
    less than half of the accuracy under each kind of PGD; None if there is no such case.
    """
    rows = [
        [
            f"{title(record, network)} with {METHODS[method]}",
            size_text(network, eps),
            *(f"{accuracy:.1f}" for accuracy in (*kinds, together)),
        ]
        for record, network, method, eps, kinds, together in _weak(records)
    ]
    caption = (
        "Where PGD alone is not reliable: accuracy in per cent under PGD, under PGD on the margin, "
        "and under all attacks together. Means over the seeds."
    )
    heads = ["Network and method", "eps", "PGD", "PGD on the margin", "all together"]
    return table(caption, "tab-dd-today-weak", heads, rows) if rows else None


def _defended(records: Sequence[Record]) -> Iterator[tuple[Record, str, str, float]]:
    """Yield each combination of a network, a defense and an eps that was attacked."""
    for record, network in each_network(records):
        for method, eps in product(RANKED, sizes(record, network)):
            yield record, network, method, eps


def _weak(
    records: Sequence[Record],
) -> list[tuple[Record, str, str, float, tuple[float, float], float]]:
    """Return the cases in which all attacks together leave less than half as many images as each
    kind of PGD: the network, the defense, eps, the accuracies under PGD and under PGD on the
    margin, and the accuracy under all attacks together.
    """
    cases = []
    for record, network, method, eps in _defended(records):
        many, margin, together = (
            fmean(_left(record, network, method, attack, eps))
            for attack in ("pgd", "pgd margin", "worst")
        )
        if min(many, margin) > 2 * together:
            cases.append((record, network, method, eps, (many, margin), together))
    return cases


def failures(records: Sequence[Record]) -> str:
    """Return sentences on the table `missed`: attacks without a limit on the size of the
    perturbation that fail on some test images. Such an attack should find an adversarial image for
    every image, so a failure is a sign of gradient masking.
    """
    if not _failing(records):
        return "DeepFool and DDN, whose perturbations may have any size, succeed on every image."
    return (
        "DeepFool and DDN may use perturbations of any size, so they should succeed on every "
        "image. DeepFool or DDN fails on some images of the networks in "
        "{numref}`tab-dd-today-missed`. On all other networks both succeed on every image. The "
        "failures are a sign of gradient masking, but the limited number of steps may also be the "
        "reason. DDN without clipping has only the cross entropy as its loss, whose gradient can "
        "round to 0."
    )


def missed(records: Sequence[Record]) -> Table | None:
    """Return a table with a row for each network and attack without a limit on the size of the
    perturbation, if the attack fails on some images; None if there is no such case.
    """
    caption = (
        "Networks on which DeepFool or DDN fails on some images: the percentage of test images on "
        "which the attack fails, mean over the seeds (range)."
    )
    rows = _failing(records)
    heads = ["Network and method", "Attack", "Fails (%)"]
    return table(caption, "tab-dd-today-missed", heads, rows, align="llr") if rows else None


def _failing(records: Sequence[Record]) -> list[list[str]]:
    """Return the rows of the table `missed`."""
    return [
        [f"{title(record, network)} with {name}", words, spread(found, 1)]
        for record, network in each_network(records)
        for method, name in METHODS.items()
        for attack, words in _MISSED.items()
        if max(found := _missed(record, network, method, attack), default=0) > 0
    ]


def attacked(records: Sequence[Record]) -> str:
    """Return a sentence that states three numbers for each network: the attacked test images, the
    shared images (which the networks of all methods classify correctly), and the seeds.
    """
    parts = [
        f"{words} ({len(_gains(record, network, 'reference', 'best'))} seeds)"
        for record in records
        for network, words in zip(networks(record), _images(record), strict=True)
    ]
    return f"Numbers of attacked and of shared test images:\n\n{bullets(parts)}"


def summary(records: Sequence[Record]) -> Table:
    """Return a table with a row for each network. It shows how Deep Defense changes the distance
    that attacks find, and accuracies under attacks: with Deep Defense, of the reference network,
    and with adversarial training II.
    """
    return table(
        "One row for each network; means over the seeds, and ranges in brackets. *DeepFool or "
        "DDN*: the median of the smaller distance of the two attacks with Deep Defense, divided by "
        "that of the reference network (shared images only). *Larger*: with how many seeds this "
        "ratio is above 1. *DeepFool*: the same ratio for DeepFool's distance. The other columns "
        "are accuracies at the given l-infinity radius eps, in per cent. *All*: under all attacks, "
        "for Deep Defense (*DD*), the reference network and adversarial training II. *FGSM*: under "
        "FGSM alone, for Deep Defense.",
        "tab-dd-today-summary",
        [
            "Network",
            "DeepFool or DDN (times)",
            "larger",
            "DeepFool (times)",
            "eps",
            "DD, all attacks",
            "reference, all",
            "Adv. II, all",
            "DD, FGSM",
        ],
        [_summary_row(*each) for each in each_network(records)],
    )


def distances(records: Sequence[Record]) -> Figure:
    """Draw the median size of the smallest perturbations that DeepFool and DDN find, after each
    training method.
    """
    found = {
        title(record, network): {
            name: {
                mark: _medians(record, network, method, attack, "shared median")
                for mark, attack in DRAWN.items()
            }
            for method, name in METHODS.items()
        }
        for record, network in each_network(records)
    }
    return figures.strips(found, LOOKS, r"median smallest $\ell_2$ perturbation found")


def nearest(version: Version) -> Table:
    """Return a table of the median size of the smallest perturbation that each attack finds. Only
    the attacks that were run have columns.
    """
    record = version.record
    shown = [a for a in NEAREST if values(record, "median", attack=a)]
    free = (
        "*Free*: images are not clipped; in the other columns they are clipped to [0, 1]. DDN runs "
        "with two losses, and *DDN, free* only with the cross entropy. "
        if len(shown) == len(NEAREST)
        else "Images are clipped to [0, 1]. DDN runs with two losses. "
    )
    return version.table(
        f". Median size of the smallest l2 perturbation found, mean over the seeds (range). {free}"
        "*Smaller of both*: the smaller of the two perturbations of DeepFool and DDN. For an image "
        "that is misclassified before any attack, the size is 0. *Fails*: the percentage of images "
        "on which an attack finds no adversarial image of any size, for the attack of these "
        "columns that fails most. *Gain*: the smaller of both divided by that "
        "of the reference network, only on the shared images, which the networks of all methods "
        "classify correctly. The other columns are over all test images, so their ratios can "
        f"differ from the gain. Test images: {'; '.join(_images(record))}.",
        "dd-today-nearest",
        ["Network, method", *(NEAREST[a] for a in shown), "fails", "gain"],
        list(_nearest_rows(record, shown)),
    )


def bounded(version: Version) -> Table:
    """Return a table of accuracies under attacks of a given l-infinity radius, for each attack
    alone and for all attacks together.
    """
    return version.table(
        ". Accuracy in per cent under several attacks. A row names the method and eps, the "
        "l-infinity radius of the attacks. The attacks clip images to [0, 1]. In the last column "
        "an image counts as correct only if all attacks fail on it.",
        "dd-today-bounded",
        ["Network, method, eps", *BOUNDED.values(), "all"],
        list(_bounded_rows(version.record)),
    )


def nearest_gain(
    record: Record, network: str, method: str = "deep-defense", attack: str = "best"
) -> float:
    """Return by which factor a training method increases the median distance that an attack finds,
    compared with the reference network. The factor is a mean over the seeds. By default, the
    distance is the smaller one of DeepFool and DDN.
    """
    return fmean(_gains(record, network, method, attack))


def _medians(
    record: Record, network: str, method: str, attack: str, name: str = "median"
) -> list[float]:
    return values(record, name, network=network, method=method, attack=attack)


def _missed(record: Record, network: str, method: str, attack: str) -> list[float]:
    """Return for each seed the percentage of images on which a minimal-norm attack fails."""
    return values(record, "missed", network=network, method=method, attack=attack)


def _order(record: Record, network: str, attack: str) -> dict[str, float]:
    """Return for each defense the median distance that an attack finds, averaged over the seeds.
    The defense with the largest distance comes first.
    """
    found = {m: fmean(_medians(record, network, m, attack, "shared median")) for m in RANKED}
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def _gains(record: Record, network: str, method: str, attack: str) -> list[float]:
    """Return for each seed by which factor a method increases the median distance that an attack
    finds, compared with the reference network on the same images.
    """
    ours, start = (
        _medians(record, network, each, attack, "shared median") for each in (method, "reference")
    )
    return [a / b for a, b in zip(ours, start, strict=True)]


def _left(record: Record, network: str, method: str, attack: str, eps: float) -> list[float]:
    """Return the accuracies of a network under an attack, one number per seed."""
    return values(record, "accuracy", network=network, method=method, attack=attack, eps=eps)


def _single_and_all(record: Record, network: str) -> tuple[float, float]:
    """Return two accuracies of Deep Defense: under FGSM alone, and under all attacks together. Both
    accuracies are for the eps that the page's text uses.
    """
    of = {"network": network, "method": "deep-defense", "eps": shown_size(record, network)}
    return mean(record, "accuracy", attack="fgsm", **of), mean(
        record, "accuracy", attack="worst", **of
    )


def _all_attacks(record: Record, network: str, method: str) -> float:
    """Return the accuracy under all attacks together, at the eps that the page's text uses."""
    return fmean(_left(record, network, method, "worst", shown_size(record, network)))


def rho_gain(table_1: Record, network: str) -> float:
    """Return by which factor Deep Defense increases the mean rho2 of Table 1."""
    ours, start = (
        mean(table_1, "rho2", network=network, method=m) for m in ("deep-defense", "reference")
    )
    return ours / start


def _further(record: Record, network: str, attack: str = "best") -> str:
    """Return "yes" if Deep Defense, with every seed, increases the median distance that an attack
    finds, "no" if it does so with no seed, and "unclear" if the seeds disagree or no image is
    shared. By default, the distance is the smaller one of DeepFool and DDN.
    """
    larger = {gain > 1 for gain in _gains(record, network, "deep-defense", attack)}
    return "unclear" if len(larger) != 1 else "yes" if larger.pop() else "no"


def _flattered(record: Record, network: str) -> bool:
    """Return whether Deep Defense's accuracy under all attacks is less than half of that under
    FGSM.
    """
    single, together = _single_and_all(record, network)
    return together < single / 2


def _by_answer(answers: Mapping[str, str]) -> str:
    """Return the answer if it is the same for all networks, and otherwise each answer with the
    networks for which it holds.
    """
    each = dict.fromkeys(answers.values())
    if len(each) == 1:
        return next(iter(each))
    return ", ".join(
        f"{words} on {listed(name for name, given in answers.items() if given == words)}"
        for words in each
    )


def _summary_row(record: Record, network: str) -> list[str]:
    eps = shown_size(record, network)
    believed, found = (
        _gains(record, network, "deep-defense", attack) for attack in ("deepfool", "best")
    )
    gains = ["", "", ""]
    if found:  # at least one image is classified correctly by the networks of all methods
        larger = f"{sum(gain > 1 for gain in found)} of {len(found)}"
        gains = [spread(found, 2), larger, spread(believed, 2)]
    return [
        title(record, network),
        *gains,
        size_text(network, eps),
        *(
            spread(_left(record, network, method, attack, eps), 1)
            for method, attack in (
                ("deep-defense", "worst"),
                ("reference", "worst"),
                (RIVAL, "worst"),
                ("deep-defense", "fgsm"),
            )
        ),
    ]


def _images(record: Record) -> Iterator[str]:
    """Yield text with two numbers for each network: the number of test images that were attacked,
    and the number of images that the networks of all methods classify correctly.
    """
    images = {row.setting["network"]: row.images for row in record.rows if row.name == "accuracy"}
    for network, count in images.items():
        shared = spread(values(record, "shared images", network=network), 0)
        yield f"{title(record, str(network))}: {count:,} attacked, {shared} of them shared"


def _nearest_rows(record: Record, shown: Sequence[str]) -> Iterator[list[str]]:
    for network in networks(record):
        yield [f"**{title(record, network)}**", *[""] * (len(shown) + 2)]
        digits = 3 if coloured(network) else 2
        for method, name in METHODS.items():
            times = _gains(record, network, method, "best")
            yield [
                name,
                *(spread_or(_medians(record, network, method, a), digits) for a in shown),
                f"{max(fmean(_missed(record, network, method, a)) for a in shown):.1f}",
                f"{fmean(times):.2f}" if times else "",
            ]


def _bounded_rows(record: Record) -> Iterator[list[str]]:
    shown = ("reference", "adv-training-i", "adv-training-ii", "deep-defense", "combination")
    for network in networks(record):
        yield [f"**{title(record, network)}**", *[""] * (len(BOUNDED) + 1)]
        for method in shown:
            for eps in sizes(record, network):
                yield [
                    f"{METHODS[method]}, {size_text(network, eps)}",
                    *(
                        spread(_left(record, network, method, attack, eps), 1)
                        for attack in (*BOUNDED, "worst")
                    ),
                ]
