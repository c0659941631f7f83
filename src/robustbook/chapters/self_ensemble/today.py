"""Compute the content of the page on stronger attacks: Random Self-Ensemble under attacks that
average over the noise.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure
from scipy.special import ndtri

from robustbook import figures
from robustbook.chapters.published import Version, array, mean, records_of, settings, values
from robustbook.chapters.wording import bullets, listed, ranges, spread
from robustbook.counting import number_of
from robustbook.figures import MISSING, Table
from robustbook.ledger import Record
from robustbook.ledger.intervals import clearly_above

from . import names
from .names import (
    best,
    counted,
    full_title,
    in_text,
    networks,
    size,
    steps,
    strengths,
    title,
    with_network,
)

DEFENSES = {
    "none": "no defense",
    "rse": "RSE",
    "rse paper 0.4": "RSE with the strongest noise on the image",
}
ATTACKS = {
    "clean": "no attack",
    "paper": "Carlini-Wagner, the paper's",
    "large steps": "Carlini-Wagner, larger steps",
    "nearest": "Carlini-Wagner, nearest iterate",
    "search": "Carlini-Wagner, search over c",
    "pgd l2": "PGD, l2",
    "frozen": "PGD, l2, noise frozen",
    "off": "PGD, l2, noise off",
    "pgd linf": "PGD, l-infinity",
    "square": "Square, l-infinity",
}
GREEN = figures.BRIGHT["green"]
BOUNDS = {
    "none": {"all": ("no defense, all attacks", figures.Look(figures.BRIGHT["blue"], "", "-"))},
    "rse": {
        "paper": ("RSE, the paper's attack, c = {c:g}", figures.Look(GREEN, "", ":")),
        "all": ("RSE, all attacks", figures.Look(GREEN, "", "-")),
        "certified": ("RSE, certified", figures.Look(GREEN, "", "--")),
    },
    "rse paper 0.4": {
        "all": ("RSE on the image, all attacks", figures.Look(figures.BRIGHT["red"], "", "-")),
        "certified": ("RSE on the image, certified", figures.Look(figures.BRIGHT["red"], "", "--")),
    },
}
"""The curves that the figure shows for each defense: one colour for each network, solid for all
attacks, dotted for the paper's attack with one c, and dashed for certificates.
"""
FIXED_C: Mapping[str, Mapping[str, float]] = {
    "quick": {"vgg16": 0.1, "resnext": 0.1},
    "reduced": {"vgg16": 0.1, "resnext": 0.2},
    "paper": {"vgg16": 0.1, "resnext": 0.2, "model-a": 3.0},
}
"""The c of the Carlini-Wagner attacks without a search, for each profile and network. The record
does not contain it; a test compares it with the study.
"""
ALPHA = 0.001
"""For each image, the probability that its certified radius is too large."""
SMALL = (0.1, 0.2)
"""The l2 radii at which the table of bounds also shows the accuracies, because no larger radius
can be certified for the weakest noise.
"""


def answer(record: Record) -> str:
    """Return a sentence with RSE's accuracy on clean images, and its accuracy under all attacks
    together within the middle one of the tested l2 radii. The last number is for a network without
    a defense. RSE keeps a part of its accuracy if it is clearly above the last number.
    """
    network = networks(record)[0]
    r = middle(record, network)
    clean = accuracy(record, network, "clean", draws(record, network, "clean")[0])
    left, plain = (within(record, network, d, "all", r) for d in ("rse", "none"))
    images = counted(record, network)
    lead = "Partly" if clearly_above(left, plain, images) else "No"
    if not clearly_above(clean, left, images):
        lead = "This run cannot tell"
    return (
        f"{lead}: all attacks together, within the l2 radius {r:g}, lower the accuracy of RSE from "
        f"{clean:.1f} to {left:.1f} %, and leave {plain:.1f} % without a defense "
        f"({title(record, network)}; {size(record, network)}).{_averaging(record, network)}"
    )


def _averaging(record: Record, network: str) -> str:
    """Return a sentence that states under which attacks averaging each gradient over several draws
    clearly lowers the accuracy of RSE: under PGD, and under the paper's attack.
    """
    lower = []
    for attack, eps in (("pgd l2", middle(record, network)), ("paper", 0.0)):
        of = {"network": network, "defense": "rse", "attack": attack, "eps": eps}
        counts = sorted(map(int, settings(record, "accuracy", "averaged", **of)))
        one, many = (accuracy(record, network, attack, k, eps) for k in (counts[0], counts[-1]))
        lower.append(clearly_above(one, many, counted(record, network)))
    where = {
        (True, True): "under PGD with this radius and under the paper's attack",
        (True, False): "under PGD with this radius, but not under the paper's attack",
        (False, True): "under the paper's attack, but not under PGD with this radius",
        (False, False): "neither under PGD with this radius nor under the paper's attack",
    }[lower[0], lower[1]]
    return f" Averaging gradients over draws clearly lowers RSE's accuracy {where}."


def trained_again(records: Sequence[Record]) -> str:
    """Return a sentence on whether the networks are those of Table 2."""
    record, network = best(records)[0]
    clean = values(record, "accuracy", network=network, defense="none", attack="clean")
    return names.trained_again(record, clean[0])


@dataclass(frozen=True)
class Shares:
    """Accuracies under PGD within one l2 radius: without a defense, with RSE if its noise is
    switched off or frozen at one draw, and with RSE and its noise.
    """

    none: float
    off: float
    rse: float

    @property
    def remains(self) -> float:
        """Return which share of RSE's gain in accuracy remains if its noise is switched off or
        frozen, in percent.
        """
        return 100 * (self.off - self.none) / (self.rse - self.none)


def shares(record: Record, network: str, defense: str = "rse", noise: str = "off") -> Shares:
    """Return the accuracies that show which share of RSE's gain remains without new noise. If
    there is noise, PGD averages over as many draws of it as in any run.

    ``noise``: how the noise is removed, by switching it "off" or by keeping one draw ("frozen").
    """
    r = middle(record, network)
    of = {"network": network, "attack": "pgd l2", "eps": r}
    most = max(map(int, settings(record, "accuracy", "averaged", defense=defense, **of)))
    return Shares(
        mean(record, "accuracy", defense="none", **of),
        mean(record, "accuracy as seen", network=network, defense=defense, attack=noise),
        mean(record, "accuracy", defense=defense, averaged=most, **of),
    )


SIZES: Mapping[str, tuple[int, int, int, int]] = {
    "quick": (20, 2, 20, 100),
    "reduced": (40, 3, 100, 1000),
    "paper": (40, 3, 100, 1000),
}
"""By profile: the number of large steps, of values of c in a search, of queries of the Square
attack, and of votes for a certificate. The record does not contain these numbers; a test compares
them with the study.
"""


def queries(record: Record) -> int:
    """Return the number of queries of the Square attack."""
    return SIZES[record.profile][2]


def ran(records: Sequence[Record]) -> str:
    """Return a list of what was attacked for the shown results, one entry per network."""
    return bullets([_ran(*each) for each in best(records)])


def _ran(record: Record, network: str) -> str:
    shown = settings(record, "accuracy", "defense", network=network)
    words = {**DEFENSES, "none": "a network without a defense"}
    radii = settings(record, "accuracy within", "eps", network=network, defense="rse")
    large, searches, *_ = SIZES[record.profile]
    return (
        f"On {in_text(record, network)} ({size(record, network)}), we attack "
        f"{listed([words[d] for d in shown])}. "
        f"The paper's attack takes {steps(record)} steps, and the attack with large steps {large}. "
        f"Both use only $c = {fixed_c(record, network):g}$, and a search tries "
        f"{searches} values of $c$. We run attacks on RSE that average over "
        f"{listed([str(k) for k in draws(record, network, 'large steps')])} draws. The l2 "
        f"radii are {listed([f'{r:g}' for r in radii])}. The Square attack makes only "
        f"{queries(record)} queries, so it is weak."
    )


def curves(records: Sequence[Record]) -> Figure:
    """Draw two kinds of bounds on the accuracy against the l2 radius: upper bounds from attacks,
    and certified lower bounds. A curve of certificates ends at the largest radius that they can
    prove.
    """
    panels = []
    for record, network in best(records):
        radii, c = _radii(record, network), fixed_c(record, network)
        drawn = {}
        for of, keys in BOUNDS.items():
            for key, (name, look) in keys.items():
                if f"{network}/{of}/{key}" in record.arrays:
                    most = provable(record, network, of) if key == "certified" else radii[-1]
                    shown = [r for r in radii if r <= most]
                    lines = [line[: len(shown)] for line in _curve(record, network, of, key)]
                    drawn[name.format(c=c)] = figures.Curve(shown, lines, look)
        panels.append(
            figures.Panel(
                full_title(record, network), r"$\ell_2$ radius", "accuracy (%)", drawn, {}
            )
        )
    return figures.lines(panels, columns=min(2, len(panels)), height=3.2)


def networks_in_words(records: Sequence[Record]) -> str:
    """Return a list with an entry for each network. An entry states RSE's accuracy under attacks
    that average gradients over noise draws, take larger steps or search over c, and under all
    attacks together.
    """
    return bullets([_in_words(*each) for each in best(records)])


def noise_in_words(records: Sequence[Record]) -> str:
    """Return a list with an entry for each network. An entry states which share of RSE's gain under
    PGD remains without its noise.
    """
    return bullets([_noise_in_words(*each) for each in best(records)])


def larger_c(records: Sequence[Record]) -> str:
    """Return a list with an entry for each network that the page of Figure 6 attacks with several
    values of c: what the paper's attack leaves there, and how this compares with the attacks of
    this page at the same distortion. An entry starts with the conclusion if neither the search
    nor PGD is clearly stronger there. Return "" if there is no such network.
    """
    lead = (
        "One weakness may be its small $c$: at about equal distortion, the paper's attack does not "
        "leave clearly more accuracy than the search or PGD. "
    )
    entries = [_larger_c(*each) for each in best(records)]
    return bullets([lead * small + text for text, small in entries if text] or [""])


def mostly_small_c(record: Record) -> bool:
    """Return whether, on each network of the record that can be compared, neither the search nor
    PGD is clearly stronger than the paper's attack at about the same distortion.
    """
    entries = [_larger_c(*each) for each in best([record])]
    found = [small for text, small in entries if text]
    return bool(found) and all(found)


def certified_in_words(records: Sequence[Record]) -> str:
    """Return a list with an entry for each network. An entry states the largest radius that the
    votes can prove for each placement of the noise, and which share of the images is certified at
    two radii.
    """
    return bullets([_certified_in_words(*each) for each in best(records)])


def fixed_c(record: Record, network: str) -> float:
    """Return the c of the paper's attack, and of the other Carlini-Wagner attacks without a
    search.
    """
    return FIXED_C[record.profile][network]


def provable(record: Record, network: str, defense: str) -> float:
    """Return the largest l2 radius that votes can prove: the radius if all votes agree. It does not
    depend on the network.
    """
    votes = SIZES[record.profile][-1]
    sigma = mean(record, "deviation on the image", network=network, defense=defense)
    return sigma * float(ndtri(ALPHA ** (1 / votes)))


def attacks(version: Version) -> Table:
    """Return a table with one row for each attack. Among the columns are the accuracy under the
    attack, the spread of this accuracy over repeated evaluations with new noise, and the
    distortion.
    """
    return version.table(
        ". *Accuracy* in per cent: each attacked image is classified several times with new "
        f"noise; mean over these classifications and the seeds{ranges(version.record)}. The "
        f"Carlini-Wagner attacks without a search have {_c_in_words(version.record)}. *Draws*: "
        "over how many draws of the noise each attack step averages. *Spread*: the highest minus "
        "the lowest of the accuracies with new noise, for the seed with the largest difference. "
        "*Distortion*: root mean square of the l2 distance over all images, as in the released "
        "code. *As seen*: accuracy of the attacked network, with frozen noise or without noise. "
        f"The attacks are run on {listed(_images(version.record))}.",
        "rse-today-attacks",
        ["Network, attack", "Draws", "Radius", "Accuracy", "Spread", "Distortion", "As seen"],
        list(_attack_rows(version.record)),
        align="lrrrrrr",
    )


def bounds(version: Version) -> Table:
    """Return a table with one row for each l2 radius: the accuracy under the paper's attack with
    one c, the accuracy under all attacks, and the certified accuracy.
    """
    record = version.record
    of = [key.split("/")[:2] for key in record.arrays if key.endswith("/certified")]
    most = sorted({f"{provable(record, network, d):.3f}" for network, d in of})
    return version.table(
        ". Accuracy in per cent within an l2 radius. The paper's attack with "
        f"{_c_in_words(record)}, and all attacks in l2 "
        "together, give upper bounds. For all attacks together, the strongest attack on an image "
        "is chosen by other evaluations than the one that counts, so the accuracy can be slightly "
        "above that under a single attack. The certificate gives a lower bound for the classifier "
        "that predicts by majority vote; for each image, the certified radius is too large with "
        f"probability {ALPHA:g} at most. A dash: the radius is beyond the largest one that "
        f"{SIZES[record.profile][-1]:,} votes can prove for any network ({listed(most)}"
        f"{', depending on the noise on the image' * (len(most) > 1)}).",
        "rse-today-bounds",
        ["Network, radius", f"Paper's attack, {_c_in_words(record)}", "All attacks", "Certified"],
        list(_bound_rows(record)),
    )


def within(record: Record, network: str, defense: str, attack: str, radius: float) -> float:
    """Return a network's accuracy under an attack within an l2 radius, as the mean over the
    seeds.
    """
    return mean(
        record, "accuracy within", network=network, defense=defense, attack=attack, eps=radius
    )


def middle(record: Record, network: str) -> float:
    """Return the middle one of the l2 radii with which PGD attacks RSE."""
    radii = settings(record, "accuracy within", "eps", network=network, defense="rse")
    return float(radii[len(radii) // 2])


def accuracy(record: Record, network: str, attack: str, averaged: int, eps: float = 0.0) -> float:
    """Return RSE's mean accuracy under one attack."""
    of = {"network": network, "defense": "rse", "attack": attack}
    return mean(record, "accuracy", averaged=averaged, eps=round(eps, 5), **of)


def draws(record: Record, network: str, attack: str) -> list[int]:
    """Return the numbers of noise draws over which attacks on RSE average, in ascending order."""
    of = {"network": network, "defense": "rse", "attack": attack}
    return sorted(int(k) for k in settings(record, "accuracy", "averaged", **of))


def _radii(record: Record, network: str) -> list[float]:
    return [float(r) for r in record.arrays[f"radii/{network}"]]


def _curve(record: Record, network: str, defense: str, key: str) -> list[list[float]]:
    return array(record, f"{network}/{defense}/{key}")


def _in_words(record: Record, network: str) -> str:
    single, *_, most = draws(record, network, "large steps")
    few, many = (accuracy(record, network, "large steps", k) for k in (single, most))
    small, paper = (
        accuracy(record, network, "paper", k) for k in draws(record, network, "paper")[::-1]
    )
    count = draws(record, network, "paper")[-1]
    lower = clearly_above(paper, small, counted(record, network))
    search = accuracy(record, network, "search", draws(record, network, "search")[-1])
    r = middle(record, network)
    one, every = (within(record, network, "rse", attack, r) for attack in ("paper", "all"))
    noise = max(values(record, "spread", network=network, defense="rse"))
    c = f"$c = {fixed_c(record, network):g}$"
    return (
        f"On {in_text(record, network)} within the l2 radius {r:g}, the accuracy of RSE is "
        f"{every:.1f} % under all attacks together, and {one:.1f} % under the paper's attack with "
        f"{c}. {_under_pgd(record, network)} Without a limit on the distortion, the accuracy under "
        f"the paper's attack is {paper:.1f} % with one draw in each step, and {small:.1f} % with "
        f"{count} draws. So averaging {'lowers' if lower else 'does not clearly change'} it. With "
        f"larger steps it is {few:.1f} % with one draw and {many:.1f} % with {most} draws. "
        f"{_nearest(record, network)} A search over $c$ lowers it to {search:.1f} %. New noise "
        f"alone changes an accuracy by up to {noise:.1f} points."
    )


def _under_pgd(record: Record, network: str) -> str:
    """Return a sentence that states how averaging over the noise changes the accuracy under PGD,
    within the middle one of the l2 radii.
    """
    r = middle(record, network)
    of = {"network": network, "defense": "rse", "attack": "pgd l2", "eps": r}
    counts = sorted(map(int, settings(record, "accuracy", "averaged", **of)))
    one, many = (accuracy(record, network, "pgd l2", k, r) for k in (counts[0], counts[-1]))
    lower = clearly_above(one, many, counted(record, network))
    return (
        f"Under PGD within this radius, averaging over {counts[-1]} draws instead of one "
        f"{'clearly lowers' if lower else 'does not clearly lower'} the accuracy: from {one:.1f} "
        f"to {many:.1f} %."
    )


def _larger_c(record: Record, network: str) -> tuple[str, bool]:
    """Return the text of `larger_c` for one network without its conclusion, and whether neither the
    search nor PGD is clearly stronger.
    """
    other = with_network(records_of("self_ensemble/figure-6"), network)
    if other is None or other.profile != record.profile:
        return "", False
    of = {"network": network, "defense": "rse"}
    at = {
        c: (mean(other, "distortion", c=c, **of), mean(other, "accuracy", c=c, **of))
        for c in strengths(other, network, "rse")
    }
    search = accuracy(record, network, "search", draws(record, network, "search")[-1])
    far = mean(record, "distortion", attack="search", **of)
    shown = {c: pair for c, pair in at.items() if c >= fixed_c(record, network) and pair[0] <= far}
    if not shown:
        return "", False
    told = listed(
        [f"{left:.1f} % with $c = {c:g}$ (distortion {d:.2f})" for c, (d, left) in shown.items()]
    )
    least = min(left for _, left in shown.values())
    stronger = clearly_above(least, search, counted(record, network))
    clean = [mean(other, "accuracy", c=0, **of), accuracy(record, network, "clean", 1)]
    text = (
        f"For [Figure 6](./figure6.ipynb), {in_text(record, network)} was trained again with RSE "
        f"(clean accuracy {clean[0]:.1f} % there and {clean[1]:.1f} % here). On it the "
        f"paper's attack leaves {told}. The search over $c$ "
        f"leaves {search:.1f} % at the distortion {far:.2f}. So it is "
        f"{'' if stronger else 'not '}clearly stronger than the paper's attack with a larger $c$."
    )
    small = False
    r = middle(record, network)
    counts = settings(record, "accuracy", "averaged", attack="pgd l2", eps=r, **of)
    most = max(map(int, counts))
    moved = mean(record, "distortion", attack="pgd l2", eps=r, averaged=most, **of)
    pgd = accuracy(record, network, "pgd l2", most, r)
    distances, left = zip(*sorted(at.values()), strict=True)
    if distances[0] <= moved <= distances[-1]:
        paper = float(np.interp(moved, distances, left))
        text += (
            f" PGD with {most} draws leaves {pgd:.1f} % at the distortion {moved:.2f}. By linear "
            f"interpolation, the paper's attack leaves {paper:.1f} % at this distortion."
        )
        small = not stronger and not clearly_above(paper, pgd, counted(record, network))
    return text, small


def _certified_in_words(record: Record, network: str) -> str:
    shown = {"rse": "RSE", "rse paper 0.4": "the variant with the strongest noise on the image"}
    proven = [d for d in shown if f"{network}/{d}/certified" in record.arrays]
    most = {d: provable(record, network, d) for d in proven}
    told = [
        f"{most[d]:.3f} for {shown[d]} (standard deviation "
        f"{mean(record, 'deviation on the image', network=network, defense=d):g} on the image)"
        for d in proven
    ]
    shares = {
        r: [f"{fmean(_at(record, network, d, 'certified', r)):.1f}" for d in proven]
        for r in SMALL
        if r <= min(most.values(), default=0.0)
    }
    told_shares = [f"{listed(each)} % within {r:g}" for r, each in shares.items()]
    return (
        f"On {in_text(record, network)}, we count {SIZES[record.profile][-1]:,} votes for each "
        f"image. They can prove a radius of at most {listed(told)}. The certified accuracies are "
        f"{listed(told_shares)}."
    )


def _c_in_words(record: Record) -> str:
    """Return as text the c of the paper's attack, for each network with its own c."""
    found = {network: fixed_c(record, network) for network in networks(record)}
    if len(set(found.values())) == 1:
        return f"c = {next(iter(found.values())):g}"
    return f"c = {listed([f'{c:g} ({title(record, network)})' for network, c in found.items()])}"


def _nearest(record: Record, network: str) -> str:
    """Return a sentence that compares the nearest successful iterate with the last one, for
    attacks with the same number of draws per step.
    """
    k = draws(record, network, "nearest")[-1]
    near, last = (accuracy(record, network, name, k) for name in ("nearest", "large steps"))
    text = f"With the nearest successful iterate instead of the last one it is {near:.1f} %"
    if near > last:
        text += ", because an iterate that succeeds with the noise of one step can fail with new"
    return f"{text}{' noise' * (near > last)} (with the last one {last:.1f} %)."


def _at(record: Record, network: str, defense: str, key: str, radius: float) -> list[float]:
    """Return one accuracy per seed from a curve, at the point with this l2 radius."""
    radii = _radii(record, network)
    i = min(range(len(radii)), key=lambda j: abs(radii[j] - radius))
    return [seed[i] for seed in _curve(record, network, defense, key)]


def _noise_in_words(record: Record, network: str) -> str:
    """Return sentences that state which share of RSE's gain under PGD remains without its noise,
    for each place of the noise.
    """
    images = counted(record, network)
    found = {
        d: shares(record, network, d)
        for d in settings(record, "accuracy as seen", "defense", network=network)
    }
    rse = found.pop("rse")
    sure = clearly_above(rse.off, rse.none, images) and clearly_above(rse.rse, rse.off, images)
    text = (
        f"On {in_text(record, network)} under PGD within the l2 radius "
        f"{middle(record, network):g}, the accuracy is {rse.none:.1f} % without a defense, "
        f"{rse.off:.1f} % with RSE if the noise is switched off, and {rse.rse:.1f} % with RSE and "
        f"its noise. So {rse.remains:.0f} % of the gain remains without the noise. The noise at "
        f"test time adds about {rse.rse - rse.off:.0f} points under "
        f"these attacks. {'Both parts exceed' if sure else 'At least one part does not exceed'} "
        "two standard errors."
    )
    for defense, other in found.items():
        text += (
            f" For {DEFENSES[defense]} the three accuracies are {other.none:.1f}, {other.off:.1f} "
            f"and {other.rse:.1f} %, so {other.remains:.0f} % of the gain remains."
        )
    return text


def frozen_in_words(records: Sequence[Record]) -> str:
    """Return a list with an entry for each network. An entry states which share of RSE's gain under
    PGD remains if its noise is frozen, and RSE's accuracy with new noise on the images that PGD
    made with frozen noise and without noise.
    """
    return bullets([_frozen_in_words(*each) for each in best(records)])


def _frozen_in_words(record: Record, network: str) -> str:
    frozen = shares(record, network, noise="frozen")
    r = middle(record, network)
    moved = [accuracy(record, network, attack, 1, r) for attack in ("frozen", "off")]
    return (
        f"If the noise is frozen at one draw, the accuracy is {frozen.off:.1f} %, so only "
        f"{frozen.remains:.0f} % of the gain remains. This network predicts from a single draw, "
        "and RSE from 50. With new noise, RSE classifies "
        f"{moved[0]:.1f} % of the images correctly that PGD made against frozen noise, and "
        f"{moved[1]:.1f} % of those that it made without noise."
    )


def _images(record: Record) -> Iterator[str]:
    for network in networks(record):
        counts = {
            row.images
            for row in record.rows
            if row.name == "accuracy" and row.setting.get("network") == network
        }
        most = number_of("test image", max(filter(None, counts)))
        yield f"{most} ({title(record, network)})"


def _attack_rows(record: Record) -> Iterator[list[str]]:
    for network in networks(record):
        for defense in settings(record, "accuracy", "defense", network=network):
            yield [f"**{title(record, network)}, {DEFENSES[defense]}**", *[""] * 6]
            for attack, words in ATTACKS.items():
                of = {"network": network, "defense": defense, "attack": attack}
                for eps in settings(record, "accuracy", "eps", **of):
                    for k in settings(record, "accuracy", "averaged", eps=eps, **of):
                        one = {**of, "averaged": k, "eps": eps}
                        seen = values(record, "accuracy as seen", **one)
                        yield [
                            words,
                            "" if attack == "clean" or defense == "none" else str(k),
                            _radius(float(eps), attack),
                            spread(values(record, "accuracy", **one)),
                            f"{max(values(record, 'spread', **one)):.1f}",
                            f"{mean(record, 'distortion', **one):.3f}",
                            f"{fmean(seen):.1f}" if seen else "",
                        ]


def _radius(eps: float, attack: str) -> str:
    """Return the radius as text; an l-infinity radius is written as a fraction such as 8/255."""
    if not eps:
        return ""
    return f"{255 * eps:.0f}/255" if attack in ("pgd linf", "square") else f"{eps:g}"


def _bound_rows(record: Record) -> Iterator[list[str]]:
    for network in networks(record):
        for defense in settings(record, "accuracy within", "defense", network=network):
            yield [f"**{title(record, network)}, {DEFENSES[defense]}**", "", "", ""]
            proven = f"{network}/{defense}/certified" in record.arrays
            most = provable(record, network, defense) if proven else 0.0
            radii = settings(record, "accuracy within", "eps", network=network)
            for r in sorted({*SMALL, *map(float, radii)}):
                cells = [spread(_at(record, network, defense, key, r)) for key in ("paper", "all")]
                if proven:
                    near = r <= most
                    cells.append(
                        spread(_at(record, network, defense, "certified", r)) if near else MISSING
                    )
                yield [f"{r:g}", *cells, *([] if proven else [""])]
