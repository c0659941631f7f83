"""Compute the content of the page on Figure 6: accuracy and distortion against the attack's
constant c, and accuracies of different defenses at equal distortion.
"""

import math
from collections.abc import Iterator, Sequence
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters import pairs
from robustbook.chapters.published import (
    Version,
    printed,
    rows_of,
    settings,
    values,
    verdicts,
    without_quick,
)
from robustbook.chapters.wording import (
    badge,
    beside,
    bullets,
    listed,
    minus,
    ranges,
    spread_or,
)
from robustbook.figures import LOOKS, MISSING, Curve, Table
from robustbook.ledger import Record
from robustbook.ledger.intervals import clearly_ordered
from robustbook.studies.self_ensemble.curves import crossover
from robustbook.studies.self_ensemble.printed import points, shorter
from robustbook.studies.self_ensemble.sizes import EPOCHS
from robustbook.studies.shortened import REACHED

from . import names, sweeps
from .names import DEFENSES, NETWORKS

EQUAL = (0.1, 0.21, 0.3)
"""The distortions at which the networks are compared."""
AT = 0.1
"""The value of c at which the accuracies of RSE and of the network without a defense are
compared.
"""
CS = (0.0, 0.01, 0.1, 0.4, 1.0, 10.0, 100.0)
"""The values of c in the tables, if they were measured; the figure shows all values of c."""
THEIR_IMAGES = 1600
"""The number of images behind each of the authors' points."""
LARGE = 1.0
"""The largest c, except 100, at which all networks were attacked."""
FAILED = 15
"""A network failed to train if its accuracy is lower than the authors' by more points than this."""
FAR = 1.0
"""The largest distortion that the figure of accuracy against distortion shows."""


def answer(records: Sequence[Record]) -> str:
    """Return on how many networks RSE is mostly better than no defense, and on how many it is
    better at the same distortion, with its lead in percentage points. Further sentences say if RSE
    is worse at a value of c, and if some other defenses cannot be ranked.
    """
    best = names.best(records)
    better = [_mostly_better(*each) for each in best].count(True)
    equal = [at_equal_distance(*each) for each in best]
    orders = [order(*each, *found[1:]) for each, found in zip(best, equal, strict=True) if found]
    same = orders.count(BETTER)
    near = [
        _points(found[1] - found[2]) + ", not clear" * (word == OPEN)
        for found, word in zip(filter(None, equal), orders, strict=True)
    ]
    told = "; ".join(near)
    leads = listed(_points(rse - none) for rse, none in (at_equal_c(*each) for each in best))
    which = listed([names.title(*each) for each in best])
    text = (
        f"RSE is clearly more accurate than no defense on {better} of {len(best)} networks for "
        f"most $c$ ({which}: {leads} points at $c = {AT:g}$). At equal distortion it is so "
        f"{'only ' * (same < better)}on {same}{f' ({told})' if near else ''}."
    )
    worse = sum(_at(*each, c) == WORSE for each in best for c in names.strengths(*each, "rse"))
    if worse:
        text += f" Under attack it is clearly worse at {worse} $c$."
    if any(failed(*each) for each in best):
        text += " Some other defenses trained badly."
    return text


def _points(difference: float) -> str:
    return minus(f"{difference:+.1f}")


def comparisons(records: Sequence[Record]) -> str:
    """Return a list with one entry for each network. An entry compares RSE with no defense: at all
    values of c, by accuracies at c = 0.1, and by accuracies at the same distortion. The verdict
    follows the comparison at c = 0.1.
    """
    best = names.best(records)
    told = [_compared(*each) for each in best]
    ran = [network for _, network in best]
    told += [
        f"*{plain}* was not run.{_verdict(network)}"
        for network, plain in NETWORKS.items()
        if network not in ran
    ]
    return bullets(told)


def under_strong_attacks(records: Sequence[Record]) -> str:
    """Return a list with one entry for each network: the accuracies with RSE and with the best
    other network at the c `LARGE`, in the authors' data and in our runs. It tests the caption of
    Figure 6, which says that RSE is the best defense under strong attacks.
    """
    told = []
    for record, network in names.best(records):
        theirs = {d: points()[network, d][LARGE][0] for d in DEFENSES}
        known = names.defenses(record, network, list(DEFENSES))
        ours = {d: names.at(record, network, d, LARGE) or 0.0 for d in known}
        (rse, other), (own, rival) = ((of.pop("rse"), max(of.values())) for of in (theirs, ours))
        told.append(
            f"*{NETWORKS[network]}*: {rse:.1f} and {other:.1f} % in the authors' data, {own:.1f} "
            f"and {rival:.1f} % in our runs{' (narrow)' * (record.profile != 'paper')}."
        )
    lead = f"At $c = {LARGE:g}$ the accuracies with RSE and with the best other network are:"
    return f"{lead}\n\n{bullets(told)}"


def best_until() -> str:
    """Return sentences that state up to which c RSE is the most accurate network in the authors'
    data, from c = 0.1 on, and the highest accuracy of any network at larger c.
    """
    until, beyond = [], {}
    for network, plain in NETWORKS.items():
        cs = sorted(c for c in points()[network, "rse"] if c >= AT)
        highest = {c: max(points()[network, d][c][0] for d in DEFENSES) for c in cs}
        first = next((c for c in cs if points()[network, "rse"][c][0] < highest[c]), math.inf)
        end = "the largest $c$" * (first == math.inf)
        until.append(f"{max(c for c in cs if c < first):g} on {plain}{f' ({end})' * bool(end)}")
        if first < math.inf:
            beyond[plain] = f"{max(highest[c] for c in cs if c >= first):.1f}"
    return (
        "In the authors' data, RSE is the most accurate of all networks from "
        f"$c = {AT:g}$ up to an end that depends on the network. This end is $c$ = "
        f"{listed(until)}. At larger $c$, no accuracy exceeds "
        f"{listed([f'{most} % on {plain}' for plain, most in beyond.items()])}."
    )


def _mostly_better(record: Record, network: str) -> bool:
    """Return whether RSE is clearly better than no defense at more than half of the values of c."""
    cs = names.strengths(record, network, "rse")
    return 2 * [_at(record, network, c) for c in cs].count(BETTER) > len(cs)


def _verdict(network: str) -> str:
    """Return the verdict on the claim that RSE is better than no defense at c = 0.1, as a badge."""
    found = verdicts("self_ensemble")[f"self-ensemble/figure-6/{network}/rse-above-none/c-{AT:g}"]
    return f" {badge(found)}"


def _compared(record: Record, network: str) -> str:
    images = names.counted(record, network)
    cs = names.strengths(record, network, "rse")
    better, worse = (
        [f"{c:g}" for c in cs if _at(record, network, c) == word] for word in (BETTER, WORSE)
    )
    rse, none = at_equal_c(record, network)
    text = (
        f"*{names.first_title(record, network)}* ({names.size(record, network)}): RSE is clearly "
        f"better at {len(better)} of {len(cs)} values of $c$, and clearly worse at "
        f"{listed(worse) or 'none'}. At $c = {AT:g}$ the accuracy is {rse:.1f} % with RSE "
        f"and {none:.1f} % without a defense.{_verdict(network)}{_their_lead(record, network)}"
    )
    found = at_equal_distance(record, network)
    if found is None:
        return text
    distance, rse, none = found
    return (
        f"{text} At the same distortion of {distance:g}, the accuracies are {rse:.1f} and "
        f"{none:.1f} %: {_order(rse, none, images)}."
    )


def _their_lead(record: Record, network: str) -> str:
    """Return sentences that compare RSE's lead at c = 0.1 with that in the authors' data, for a
    network of the paper's size; otherwise return "".
    """
    if record.profile != "paper":
        return ""
    ours = dict(zip(("rse", "none"), at_equal_c(record, network), strict=True))
    theirs = {d: points()[network, d][AT][0] for d in ours}
    lead, other = (of["rse"] - of["none"] for of in (ours, theirs))
    rse, none = (ours[d] - theirs[d] for d in ("rse", "none"))
    text = (
        f" RSE's lead is {_points(lead)} points, in the authors' data {_points(other)}. Our "
        f"accuracy minus theirs is {_points(none)} points without a defense, and {_points(rse)} "
        "with RSE."
    )
    if lead > 0 and -none > lead / 2 and -none > abs(rse):
        text += (
            " So most of our lead comes from our lower accuracy without a defense. We cannot tell "
            "whether our network is weaker, or whether these images are harder for it."
        )
    return text


def _at(record: Record, network: str, c: float) -> str:
    """Return in words whether RSE is better or worse than no defense at one value of c."""
    rse, none = (
        rows_of(record, "accuracy", network=network, defense=d, c=c) for d in ("rse", "none")
    )
    return _WORDS[pairs.ordered(rse, none)] if rse and none else OPEN


BETTER, WORSE, OPEN = "RSE is better", "RSE is worse", "not distinguishable"
_WORDS = {True: BETTER, False: WORSE, None: OPEN}


def order(record: Record, network: str, rse: float, none: float) -> str:
    """Return whether RSE is clearly more or less accurate than a network without a defense."""
    return _order(rse, none, names.counted(record, network))


def _order(rse: float, none: float, images: int) -> str:
    """Return in words whether RSE is better or worse than no defense. The two accuracies must
    differ by more than two standard errors. They count as independent: no record says which images
    are classified correctly at equal distortion.
    """
    return _WORDS[clearly_ordered(rse, none, images)]


def _their_order(network: str, distance: float) -> str:
    """Return in words whether RSE or no defense is better at a distortion, according to the
    authors' own results.
    """
    rse, none = (_there(network, defense, distance) or 0.0 for defense in ("rse", "none"))
    return _order(rse, none, THEIR_IMAGES)


def ran(records: Sequence[Record]) -> str:
    """Return what was attacked for the shown results: the steps of the attack, and a list of the
    networks with their images and values of c. The defenses are named once if they are the same for
    all networks.
    """
    best = names.best(records)
    others = {_compared_with(*each) for each in best}
    told = [
        f"- *{names.first_title(record, network)}* ({names.size(record, network)}"
        f"{names.trained_on(record, network, '; ')}): {names.span_of_c(record, network)}."
        f"{_compared_with(record, network) * (len(others) > 1)}{_fewer(record, network)}"
        for record, network in best
    ]
    lead = f"In the stored results, the attack takes {names.steps(best[0][0])} steps."
    return "\n".join([f"{lead}{others.pop() if len(others) == 1 else ''}\n", *told])


def _compared_with(record: Record, network: str) -> str:
    """Return a sentence that names the defenses with which a network is compared."""
    return f" {names.comparison(names.defenses(record, network, list(DEFENSES)))}"


def _fewer(record: Record, network: str) -> str:
    """Return a sentence if the paper's other defenses are attacked on fewer images than RSE."""
    few = names.counted(record, network, baselines=True)
    if few == names.counted(record, network):
        return ""
    words = listed([DEFENSES[d] for d in DEFENSES if d in names.BASELINES])
    return (
        f" {words} are attacked on the first {few} of these images, so a comparison with them is "
        "of different images and not paired."
    )


def _few_images(record: Record) -> str:
    """Return a sentence for a caption that names the networks whose other defenses are attacked on
    fewer images.
    """
    told = [
        f"on {names.NETWORKS[network]}, the first {names.counted(record, network, baselines=True)} "
        f"of {names.counted(record, network)}"
        for network in names.networks(record)
        if _fewer(record, network)
    ]
    return f" The paper's other defenses have fewer images: {listed(told)}." if told else ""


def distortion_gaps(records: Sequence[Record]) -> str:
    """Return sentences that state how far our distortions are below the authors' on networks of the
    paper's size. Such a gap affects the comparison of accuracies at equal distortion.
    """
    parts = []
    for record, network in names.best(records):
        if record.profile != "paper":
            continue
        none, rse = (_gaps(record, network, defense) for defense in ("none", "rse"))
        parts.append(
            f"On {names.full_title(record, network)} at $c$ of {AT:g} and more, our distortions "
            f"are below the authors': by {min(none):.0f} to {max(none):.0f} % without a defense, "
            f"and by {min(rse):.0f} to {max(rse):.0f} % with RSE."
        )
        if min(none) > max(rse):
            parts.append(
                "So the curve without a defense moves further to the left than that of RSE, which "
                "favours RSE."
            )
    return " ".join(parts)


def least_errors(records: Sequence[Record]) -> str:
    """Return sentences that state the sampling error of the distortions, as far as it is known
    without a distance per image, for no defense and BReLU on networks of the paper's size; or "" if
    the record has these errors.
    """
    told = []
    for record, network in names.best(records):
        rows = rows_of(record, "distortion", network=network)
        if record.profile != "paper" or any(row.error is not None for row in rows):
            continue
        least = []
        for defense in ("none", "brelu"):
            for row in rows_of(record, "accuracy", network=network, defense=defense, c=0):
                error = 100 * least_error(float(row.value) / 100, row.images or 0)
                least.append(f"{error:.1f} % ({DEFENSES[defense]})")
        told.append(
            f"For {names.full_title(record, network)}, the record has no distance per image, so "
            "the sampling error of a distortion is not known, and its verdicts ignore this error. "
            "Misclassified images count as 0, the others do not. This difference alone gives the "
            f"distortion a 95 % interval of at least plus or minus {listed(least)}."
        )
    return " ".join(told)


def least_error(share: float, images: int) -> float:
    """Return a lower bound of half the width of the 95 % interval of a distortion, as a fraction of
    the distortion, if only a share of the images is changed at all.

    The squared distances vary least if all changed images are changed equally far.
    """
    return 1.96 * math.sqrt((1 / share - 1) / images) / 2


def _gaps(record: Record, network: str, defense: str) -> list[float]:
    """Return by how many per cent our distortions are below the authors', for each c of at least
    0.1 that we ran.
    """
    return [
        100 * (1 - (names.at(record, network, defense, c, "distortion") or 0.0) / there)
        for c, (_, there) in points()[network, defense].items()
        if c >= AT and names.at(record, network, defense, c, "distortion") is not None
    ]


def undecided(records: Sequence[Record]) -> list[str]:
    """Return the networks on which the accuracies with RSE and without a defense are too close to
    be told apart at c = 0.1.
    """
    return [
        NETWORKS[network]
        for record, network in names.best(records)
        if _at(record, network, AT) == OPEN
    ]


def at_equal_c(record: Record, network: str) -> tuple[float, float]:
    """Return two accuracies under the attack with c = 0.1: with RSE, and without a defense."""
    rse, none = (names.at(record, network, d, AT) for d in ("rse", "none"))
    assert rse is not None and none is not None  # every profile has this c
    return rse, none


def at_equal_distance(record: Record, network: str) -> tuple[float, float, float] | None:
    """Return three numbers: a distortion that the attack reaches on both networks, the accuracy
    with RSE at this distortion, and the accuracy without a defense. Return None if the attack
    reaches none of the distortions in ``EQUAL`` on both networks.
    """
    both = [d for d in EQUAL if all(_equal(record, network, x, d) for x in ("rse", "none"))]
    if not both:
        return None
    distance = both[len(both) // 2]
    rse, none = (fmean(_equal(record, network, x, distance)) for x in ("rse", "none"))
    return distance, rse, none


def curves(records: Sequence[Record]) -> Figure:
    """Draw the paper's six panels. The upper row of panels shows accuracy, the lower row shows
    distortion, and each network has one column.

    Pale lines show the authors' own results for RSE and no defense; the other defenses have thin
    lines. The authors' results are also drawn for a network that we did not run. Records for
    profile ``quick`` are from other images than the authors', so only their own networks and curves
    are drawn.
    """
    panels = []
    quick = all(record.profile == "quick" for record in records)
    shown = {
        n: plain for n, plain in NETWORKS.items() if not quick or names.with_network(records, n)
    }
    for quantity, (name, label) in enumerate(
        (("accuracy", sweeps.ACCURACY), ("distortion", "distortion (l2)"))
    ):
        for network, plain in shown.items():
            record = names.with_network(records, network)
            panels.append(
                sweeps.panel(
                    record,
                    network,
                    DEFENSES,
                    title=f"{plain}, not run" if record is None else names.title(record, network),
                    name=name,
                    label=label,
                    theirs={} if quick else sweeps.printed_curves(network, quantity),
                    thin=names.BASELINES,
                )
            )
    return figures.lines(panels, columns=2 if len(shown) == 1 else len(shown), height=2.3)


def equal_distortion(records: Sequence[Record]) -> Figure:
    """Draw accuracy against distortion, with a panel per network. Pale lines show the authors' own
    results for RSE and no defense; the other defenses have thin lines.
    """
    panels = []
    for network, plain in NETWORKS.items():
        record = names.with_network(records, network)
        ours = {} if record is None else dict(_by_distance(record, network))
        theirs = {DEFENSES[d]: _their_distances(network, d) for d in sweeps.STRONG}
        title = f"{plain}, not run" if record is None else names.title(record, network)
        label = sweeps.ACCURACY
        panels.append(figures.Panel(title, "distortion (l2)", label, ours, {}, theirs))
    return figures.lines(panels, columns=3, height=2.8)


def _by_distance(record: Record, network: str) -> Iterator[tuple[str, Curve]]:
    for defense in names.defenses(record, network, list(DEFENSES)):
        moved = sweeps.curve(record, network, defense, LOOKS[defense], "distortion")
        right = sweeps.curve(record, network, defense, LOOKS[defense])
        clean = values(record, "accuracy", network=network, defense=defense, c=0)
        if moved is None or right is None or not clean:
            continue
        x = [0.0, *(fmean(each) for each in zip(*moved.y, strict=True))]
        y = [[start, *seed] for start, seed in zip(clean, right.y, strict=True)]
        kept = sorted((far, i) for i, far in enumerate(x) if far <= FAR)
        shown = [[seed[i] for _, i in kept] for seed in y]
        thin = defense in names.BASELINES
        yield DEFENSES[defense], Curve([far for far, _ in kept], shown, LOOKS[defense], thin=thin)


def _their_distances(network: str, defense: str) -> Curve:
    of = sorted((far, right) for right, far in points()[network, defense].values() if far <= FAR)
    return Curve([far for far, _ in of], [[right for _, right in of]], LOOKS[defense])


def accuracy_table(version: Version) -> Table:
    """Return a table of the accuracies of each network, with the authors' numbers beside ours."""
    return _table(version, "accuracy", 0, "Accuracy in per cent", 1)


def distortion_table(version: Version) -> Table:
    """Return a table of the distortions of each network, with the authors' numbers beside ours."""
    words = "Distortion: root of the mean squared l2 distance over all images"
    return _table(version, "distortion", 1, words, 3)


def _table(version: Version, name: str, quantity: int, words: str, digits: int) -> Table:
    record = version.record
    measured = settings(record, name, "c")
    cs = [c for c in CS if c in measured]
    rows: list[list[str]] = []
    for network in names.networks(record):
        rows.append([f"**{names.full_title(record, network)}**", *[""] * len(cs)])
        for defense, title in DEFENSES.items():
            there = points()[network, defense]
            of = {"network": network, "defense": defense}
            cells = [
                beside(values(record, name, c=c, **of), round(there[c][quantity], digits), digits)
                for c in cs
            ]
            rows.append([title, *cells])
    return version.table(
        f". {words}, the authors' data / **ours**{ranges(record)}.{_few_images(record)}",
        f"rse-figure-6-{name}",
        ["Network, defense", *("clean" if c == 0 else f"c = {c:g}" for c in cs)],
        rows,
    )


def equal_table(version: Version) -> Table:
    """Return a table of accuracies at equal distortion. In every cell of the table, the authors'
    number stands before our number.
    """
    record = version.record
    rows = [
        [
            f"{names.full_title(record, network)}, {DEFENSES[defense]}",
            *(
                beside(_equal(record, network, defense, d), _there(network, defense, d))
                for d in EQUAL
            ),
        ]
        for network in names.networks(record)
        for defense in names.defenses(record, network, list(DEFENSES))
    ]
    return version.table(
        ". Accuracy in per cent at equal distortion, interpolated linearly between the points of "
        f"a curve: the authors' points / **ours**{ranges(record)}.{_few_images(record)}",
        "rse-figure-6-equal",
        ["Network, defense", *(f"distortion {d:g}" for d in EQUAL)],
        rows,
    )


def crossings(records: Sequence[Record]) -> str:
    """Return sentences that compare RSE with no defense at equal distortion. For each network they
    count the distortions at which RSE is better, worse, or not clearly different. They give these
    counts for our runs and for the authors' results.
    """
    parts = []
    for record, network in names.best(records):
        reached = [d for d in EQUAL if all(_equal(record, network, x, d) for x in ("rse", "none"))]
        if not reached:
            continue
        images = names.counted(record, network)
        means = {
            x: [fmean(_equal(record, network, x, d)) for d in reached] for x in ("rse", "none")
        }
        ours = [
            _order(rse, none, images) for rse, none in zip(means["rse"], means["none"], strict=True)
        ]
        theirs = [_their_order(network, d) for d in reached]
        both = f"{_counts(ours)} in our runs; in the authors' data, {_counts(theirs)}"
        if ours == theirs:
            both = f"{_counts(ours)}, in our runs and in the authors' data"
        parts.append(
            f"On {names.in_text(record, network)} (distortion "
            f"{listed([f'{d:g}' for d in reached])}), {both}."
        )
    lead = "RSE is compared with the network without a defense at the same distortion."
    return " ".join([lead, *parts]) if parts else "No distortion was reached by both networks."


def crossing(records: Sequence[Record]) -> str:
    """Return sentences that state at which distortion our curves of RSE and of no defense cross, on
    a network of the paper's size, with the authors' distortion and the error of ours.
    """
    told = []
    for record, network in names.best(records):
        found = values(record, "crossing with RSE", network=network, defense="none")
        if record.profile != "paper" or not found:
            continue
        theirs = crossover(_their_curve(network, "none"), _their_curve(network, "rse"))
        beside_it = "" if theirs is None else f", the authors' at {theirs:.2f}"
        low, high = resampled(record, network)
        outside = ", but the authors' is not" * (theirs is not None and not low <= theirs <= high)
        told.append(
            f"On {names.full_title(record, network)} our two curves cross at a distortion of "
            f"{fmean(found):.2f}{beside_it}. "
            f"We simulate the choice of our {names.counted(record, network)} images from the "
            "accuracies alone, with fixed distortions and independent networks. Then 95 % of the "
            f"crossings are between {low:.2f} and {high:.2f}{outside}. So the choice of images "
            "moves the crossing far, and we compare the accuracies at one distortion instead."
        )
    return " ".join(told)


def _their_curve(network: str, defense: str) -> list[tuple[float, float]]:
    return sorted((far, right) for right, far in points()[network, defense].values())


def resampled(record: Record, network: str, times: int = 2000) -> tuple[float, float]:
    """Return the ends of a 95 % interval for the distortion at which the curves of no defense and
    of RSE cross, if only the choice of the test images is random (bootstrap).

    The record has only the share of images that are classified correctly at each c. So we assume
    that an image which is misclassified at one c is also misclassified at all larger c, that the
    distortions do not change, and that the two networks are independent.
    """
    generator = np.random.default_rng(0)
    drawn = []
    for defense in ("none", "rse"):
        of = {"network": network, "defense": defense}
        right = [values(record, "accuracy", c=0, **of)[0] / 100]
        far = [0.0]
        for c in names.strengths(record, network, defense):
            right.append(values(record, "accuracy", c=c, **of)[0] / 100)
            far.append(values(record, "distortion", c=c, **of)[0])
        kept = np.minimum.accumulate(right)
        lost = -np.diff(kept, prepend=1.0, append=0.0)
        images = names.counted(record, network)
        counts = generator.multinomial(images, lost, size=times)[:, :-1]
        share = 100 * (1 - counts.cumsum(axis=1) / images)
        drawn.append([sorted(zip(far, each, strict=True)) for each in share])
    end = min(curves[0][-1][0] for curves in drawn)
    found = [crossover(*two) for two in zip(*drawn, strict=True)]
    low, high = np.quantile([end if d is None else d for d in found], (0.025, 0.975))
    return float(low), float(high)


def _counts(orders: Sequence[str]) -> str:
    """Return in words at how many of several distortions RSE is better, worse, or neither."""
    words = {BETTER: "better", WORSE: "worse", OPEN: "not distinguishable from no defense"}
    if len(set(orders)) == 1:
        where = f" at {'any' if orders[0] == OPEN else 'each'} of them" * (len(orders) > 1)
        return f"RSE is {words[orders[0]]}{where}"
    found = {word: orders.count(word) for word in words if word in orders}
    (first, count), *others = found.items()
    told = [f"{words[first]} at {count} of these {len(orders)} distortions"]
    told += [f"{words[word]} at {count}" for word, count in others[:-1]]
    last, count = others[-1]
    told.append(f"{words[last]} at the other{f' {count}' * (count > 1)}")
    return f"RSE is {listed(told)}"


def counted_trainings(records: Sequence[Record]) -> str:
    """Return sentences that say which trainings at the paper's width count as the paper's."""
    told = []
    for record in records:
        if record.profile != "paper":
            continue
        for network in names.networks(record):
            clean = {d: names.at(record, network, d, 0.0) for d in DEFENSES}
            far = [
                f"{DEFENSES[d]} ({ours:.1f} %, theirs {points()[network, d][0.0][0]:.1f} %)"
                for d, ours in clean.items()
                if ours is not None and shorter(network, d, ours)
            ]
            told.append(
                f"Our trainings of {NETWORKS[network]} have {EPOCHS['paper', network]} epochs, the "
                f"authors' 200 or 300. We count a training as the paper's if {REACHED}. "
                + (f"This excludes {listed(far)}." if far else "This holds for all of them.")
            )
    return " ".join(told)


def baselines(records: Sequence[Record]) -> str:
    """Return a list of the other defenses with accuracies far below the authors', on clean images
    or under the weakest attack, with an entry for each network. Our accuracies stand next to the
    authors'. The last sentence gives a probable reason.
    """
    weak = [each for each in names.best(records) if failed(*each)]
    if not weak:
        return ""
    narrow = any(record.profile != "paper" for record, _ in weak)
    lead = (
        f"These accuracies are more than {FAILED} points below the authors' (ours / theirs in %, "
        "on clean images unless a $c$ is given; RSE for comparison):"
    )
    end = (
        "Probably our training is too short for these defenses"
        f"{', or the narrow networks are too small' * narrow}, so their ranks say little about "
        "them."
    )
    far = [names.in_text(*each) for each in weak if _rse_behind(*each) > FAILED]
    if far:
        end += f" On {listed(far)}, RSE is more than {FAILED} points below the authors' too."
    return "\n".join([lead, "", *(_trained(*each) for each in weak), "", end])


def _rse_behind(record: Record, network: str) -> float:
    return points()[network, "rse"][0.0][0] - (names.at(record, network, "rse", 0.0) or 0.0)


def failed(record: Record, network: str) -> dict[str, float]:
    """Return the other defenses whose networks failed to train, each with the c at which the low
    accuracy was found (0 for clean images). Such a network is far less accurate than the authors',
    on clean images or under the weakest attack.
    """
    found: dict[str, float] = {}
    for defense in names.defenses(record, network, list(DEFENSES)):
        for c in (0.0, CS[1]):
            ours, there = names.at(record, network, defense, c), points()[network, defense][c][0]
            if defense not in ("rse", "none") and ours is not None and ours < there - FAILED:
                found.setdefault(defense, c)
    return found


def _trained(record: Record, network: str) -> str:
    """Return the entry of a network in the list of the accuracies far below the authors'."""
    low = [
        f"{DEFENSES[defense]}{f' ($c = {c:g}$)' * bool(c)} {_beside(record, network, defense, c)}"
        for defense, c in failed(record, network).items()
    ]
    rse = _beside(record, network, "rse", 0.0)
    return f"- *{names.first_title(record, network)}*: {'; '.join(low)} (RSE {rse})."


def _beside(record: Record, network: str, defense: str, c: float) -> str:
    """Return our accuracy and the authors'."""
    ours = names.at(record, network, defense, c) or 0.0
    return f"{ours:.1f} / {points()[network, defense][c][0]:.1f}"


def costs(records: Sequence[Record]) -> list[tuple[Record, str, float]]:
    """Return by how many points RSE lowers the accuracy on clean images, for each network of each
    width once, from the first of the ``records`` with it.
    """
    found: dict[str, tuple[Record, str, float]] = {}
    for network in NETWORKS:
        for record in without_quick(records):
            if cost := _cost(record, network):
                title = names.full_title(record, network)
                found.setdefault(title, (record, network, fmean(cost)))
    return list(found.values())


def clean_costs(records: Sequence[Record]) -> str:
    """Return sentences that state by how many points RSE changes the accuracy on clean images of
    each network (`costs`), and for which networks the change is clear.
    """
    found: dict[bool, list[str]] = {True: [], False: []}
    for record, network, cost in costs(records):
        none, rse = (
            rows_of(record, "accuracy", network=network, defense=d, c=0) for d in ("none", "rse")
        )
        title = names.full_title(record, network)
        source = ", run of Table 2" * (record.item == "table-2")
        change = f"{minus(f'{0 - cost:+.1f}')} points ({title}{source})"
        found[pairs.ordered(none, rse) is not None].append(change)
    told = {
        True: "RSE clearly changes the accuracy on clean images by {}.",
        False: "It is not clear whether RSE changes the accuracy on clean images: we measure {}.",
    }
    return " ".join(told[clear].format(listed(each)) for clear, each in found.items() if each)


def brelu(records: Sequence[Record]) -> str:
    """Return sentences that count the values of c at which Robust Opt. + BReLU is clearly more or
    less accurate than no defense, in our runs and in the authors' data, for the two networks for
    which the paper compares them in words.
    """
    told = []
    for record, network in names.best(records):
        plain, bounded = (points()[network, d] for d in ("none", "brelu"))
        theirs = [clearly_ordered(bounded[c][0], plain[c][0], THEIR_IMAGES) for c in bounded if c]
        ours = _orders_of_brelu(record, network)
        if ours and network != "vgg16":
            weak = ", where this defense trained badly," * ("brelu" in failed(record, network))
            told.append(
                f"On {names.in_text(record, network)}{weak} it is {_tally(ours)}. In the authors' "
                f"data, it is {_tally(theirs)}."
            )
    return " ".join(told)


def _orders_of_brelu(record: Record, network: str) -> list[bool | None]:
    """Return for each c whether Robust Opt. + BReLU is clearly more (True) or less accurate than
    no defense.
    """
    each = (
        [rows_of(record, "accuracy", network=network, defense=d, c=c) for d in ("brelu", "none")]
        for c in names.strengths(record, network, "brelu")
    )
    return [pairs.ordered(*rows) for rows in each if all(rows)]


def _tally(orders: Sequence[bool | None]) -> str:
    more, less = orders.count(True), orders.count(False)
    return (
        f"clearly more accurate at {more or 'none'} of {len(orders)} values of $c$, and clearly "
        f"less accurate at {less or 'none'}"
    )


def _cost(record: Record, network: str) -> list[float]:
    none, rse = (
        values(record, "accuracy", network=network, defense=d, c=0) for d in ("none", "rse")
    )
    return [a - b for a, b in zip(none, rse, strict=False)]


def whole_curves(version: Version) -> Table:
    """Return a table of how far our accuracies are from the authors': the absolute difference,
    averaged over the values of c that were run.
    """
    record = version.record
    rows = [
        [
            f"{names.full_title(record, network)}, "
            f"{1 + len(names.strengths(record, network, 'rse'))} values of $c$",
            *(spread_or(_away(record, network, d), missing=MISSING) for d in DEFENSES),
        ]
        for network in names.networks(record)
    ]
    return version.table(
        ". Mean of the absolute difference between our accuracy and the accuracy in the authors' "
        "data, over the values of $c$ that were run (0 included), in percentage "
        f"points{ranges(record)}.",
        "rse-figure-6-whole",
        ["Network", *DEFENSES.values()],
        rows,
    )


def _away(record: Record, network: str, defense: str) -> list[float]:
    """Return for each seed the absolute difference between our accuracy and the authors', averaged
    over the values of c that were run.
    """
    away = [
        [abs(ours - there) for ours in found]
        for c, (there, _) in points()[network, defense].items()
        if (found := values(record, "accuracy", network=network, defense=defense, c=c))
    ]
    return [fmean(seed) for seed in zip(*away, strict=True)]


def _equal(record: Record, network: str, defense: str, d: float) -> list[float]:
    """Return the accuracy of a network at the distortion ``d`` of its attacked images, one number
    per seed.
    """
    of = {"network": network, "defense": defense, "distortion": d}
    return values(record, "accuracy at distortion", **of)


def _there(network: str, defense: str, d: float) -> float | None:
    target = f"self-ensemble/figure-6/equal-distortion/{network}/{defense}/d-{d:g}"
    return printed(target) if defense in ("none", "brelu", "rse") else None
