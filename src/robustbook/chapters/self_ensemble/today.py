"""Compute the content of the page on stronger attacks: Random Self-Ensemble under attacks that
average over the noise.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import Version, array, mean, settings, values
from robustbook.chapters.wording import bullets, listed, ranges, spread
from robustbook.counting import number_of
from robustbook.figures import Table
from robustbook.ledger import Record
from robustbook.ledger.intervals import clearly_above

from . import names
from .names import best, counted, full_title, in_text, networks, size, steps, title

DEFENSES = {"none": "no defense", "rse": "RSE", "rse paper 0.4": "RSE with noise on the image"}
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
BOUNDS = {
    "none": {"all": ("no defense, all attacks", figures.Look(figures.BRIGHT["blue"], "", "-"))},
    "rse": {
        "paper": ("RSE, the paper's attack", figures.Look(figures.BRIGHT["green"], "", ":")),
        "all": ("RSE, all attacks", figures.Look(figures.BRIGHT["green"], "", "-")),
        "certified": ("RSE, certified", figures.Look(figures.BRIGHT["green"], "", "--")),
    },
    "rse paper 0.4": {
        "all": ("RSE on the image, all attacks", figures.Look(figures.BRIGHT["red"], "", "-")),
        "certified": ("RSE on the image, certified", figures.Look(figures.BRIGHT["red"], "", "--")),
    },
}
"""The curves that the figure shows for each defense: one colour for each network, solid for all
attacks, dotted for the paper's attack, and dashed for certificates.
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
        f"({title(record, network)}; {size(record, network)})."
    )


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


SIZES: Mapping[str, tuple[int, int, int]] = {
    "quick": (20, 2, 20),
    "reduced": (40, 3, 100),
    "paper": (40, 3, 100),
}
"""By profile: the number of large steps, of values of c in a search, and of queries of the Square
attack. The record does not contain these numbers; a test compares them with the study.
"""


def ran(records: Sequence[Record]) -> str:
    """Return a list of what was attacked for the shown results, one entry per network."""
    return bullets([_ran(*each) for each in best(records)])


def _ran(record: Record, network: str) -> str:
    shown = settings(record, "accuracy", "defense", network=network)
    words = {**DEFENSES, "none": "a network without a defense"}
    radii = settings(record, "accuracy within", "eps", network=network, defense="rse")
    large, searches, queries = SIZES[record.profile]
    return (
        f"On {in_text(record, network)} ({size(record, network)}), we attack "
        f"{listed([words[d] for d in shown])}. "
        f"The paper's attack takes {steps(record)} steps, and the attack with large steps {large}. "
        f"A search tries {searches} values of $c$. We run attacks on RSE that average over "
        f"{listed([str(k) for k in draws(record, network, 'large steps')])} draws. The l2 "
        f"radii are {listed([f'{r:g}' for r in radii])}. The Square attack makes only {queries} "
        "queries, so it is weak."
    )


def curves(records: Sequence[Record]) -> Figure:
    """Draw two kinds of bounds on the accuracy against the l2 radius: upper bounds from attacks,
    and certified lower bounds.
    """
    panels = []
    for record, network in best(records):
        drawn = {
            name: figures.Curve(_radii(record, network), _curve(record, network, of, key), look)
            for of, keys in BOUNDS.items()
            for key, (name, look) in keys.items()
            if f"{network}/{of}/{key}" in record.arrays
        }
        panels.append(
            figures.Panel(
                full_title(record, network), r"$\ell_2$ radius", "accuracy (%)", drawn, {}
            )
        )
    return figures.lines(panels, columns=min(2, len(panels)), height=3.2)


def networks_in_words(records: Sequence[Record]) -> str:
    """Return a list with an entry for each network. An entry states RSE's accuracy under attacks
    that average gradients over noise draws, take larger steps or search over c, and under all
    attacks together. The last number of an entry is the largest certified radius.
    """
    return bullets([_in_words(*each) for each in best(records)])


def noise_in_words(records: Sequence[Record]) -> str:
    """Return a list with an entry for each network. An entry states which share of RSE's gain under
    PGD remains without its noise.
    """
    return bullets([_noise_in_words(*each) for each in best(records)])


def attacks(version: Version) -> Table:
    """Return a table with one row for each attack. Among the columns are the accuracy under the
    attack, the spread of this accuracy over repeated evaluations with new noise, and the
    distortion.
    """
    return version.table(
        ". *Accuracy* in per cent: each attacked image is classified several times with new "
        f"noise; mean over these classifications and the seeds{ranges(version.record)}. *Draws*: "
        "over how many draws of the noise each attack step averages. *Spread*: the highest minus "
        "the lowest of the accuracies with new noise, for the seed with the largest difference. "
        "*Distortion*: root mean square of the l2 distance over all images, as in the paper. *As "
        "seen*: accuracy of the attacked network, with frozen noise or without noise. The attacks "
        f"are run on {listed(_images(version.record))}.",
        "rse-today-attacks",
        ["Network, attack", "Draws", "Radius", "Accuracy", "Spread", "Distortion", "As seen"],
        list(_attack_rows(version.record)),
        align="lrrrrrr",
    )


def bounds(version: Version) -> Table:
    """Return a table with one row for each l2 radius: the accuracy under the paper's attack, the
    accuracy under all attacks, and the certified accuracy.
    """
    return version.table(
        ". Accuracy in per cent within an l2 radius. The paper's attack, and all attacks in l2 "
        "together, give upper bounds. For all attacks together, the strongest attack on an image "
        "is chosen by other evaluations than the one that counts, so the accuracy can be slightly "
        "above that under a single attack. The certificate gives a lower bound for the classifier "
        "that predicts by majority vote; for each image, the certified radius is too large with "
        "probability 0.001 at most.",
        "rse-today-bounds",
        ["Network, radius", "Paper's attack", "All attacks", "Certified"],
        list(_bound_rows(version.record)),
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
    votes = mean(record, "accuracy of votes", network=network, defense="rse")
    sigma = mean(record, "deviation on the image", network=network, defense="rse")
    return (
        f"On {in_text(record, network)}, the accuracy of RSE under the paper's attack is "
        f"{paper:.1f} % with one draw in each step, and {small:.1f} % with {count} draws. So "
        f"averaging {'lowers' if lower else 'does not clearly change'} it. With larger steps it is "
        f"{few:.1f} % with one draw and {many:.1f} % with {most} draws. A search over $c$, with no "
        f"limit on the distortion, lowers it to {search:.1f} %. {_nearest(record, network)} Within "
        f"the l2 radius {r:g}, it is {one:.1f} % under the paper's attack and {every:.1f} % under "
        f"all attacks together. New noise alone changes an accuracy by up to {noise:.1f} points. "
        f"By majority vote RSE classifies {votes:.1f} % of the clean images correctly. Its noise "
        f"on the image has the standard deviation {sigma:g}. The last radius in the figure at "
        f"which an image is certified is {_reach(record, network):g}."
    )


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


def _reach(record: Record, network: str) -> float:
    """Return the largest radius in the figure at which at least one image is certified."""
    seeds = _curve(record, network, "rse", "certified")
    places = [i for i, r in enumerate(_radii(record, network)) if any(curve[i] for curve in seeds)]
    return _radii(record, network)[max(places, default=0)]


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
        f"{frozen.remains:.0f} % of the gain remains. With new noise, RSE classifies "
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
            for eps in settings(record, "accuracy within", "eps", network=network):
                of = {"network": network, "defense": defense, "eps": eps}
                cells = []
                for attack in ("paper", "all", "certified"):
                    found = values(record, "accuracy within", attack=attack, **of)
                    cells.append(spread(found) if found else "")
                yield [f"{eps:g}", *cells]
