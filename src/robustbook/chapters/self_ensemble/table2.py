"""Compute the content of the page on Table 2: the accuracy of VGG16 with each defense. The attack
is run with five values of its constant c.
"""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters import pairs
from robustbook.chapters.published import (
    Version,
    as_printed,
    first,
    mean,
    printed,
    records_of,
    rows_of,
    values,
    without_quick,
)
from robustbook.chapters.wording import beside, from_to, listed, minus, ranges
from robustbook.figures import LOOKS, Curve, Table
from robustbook.ledger import Record
from robustbook.ledger.intervals import clearly_above
from robustbook.studies.self_ensemble.printed import points

from . import figure6, names, sweeps
from .names import DEFENSES, PLACES

NETWORK = "vgg16"
CS = (0.01, 0.03, 0.06, 0.1, 0.2)
CLOSE = 5
"""By how many percentage points our accuracy may be below the authors' and still count as near to
it.
"""
SHOWN = [*DEFENSES, *PLACES]
AT = 0.03
"""The value of c whose column of Table 2 has the accuracies of the abstract."""


def target(defense: str, c: float) -> str:
    """Return the name under which the book stores a number printed in the paper's Table 2."""
    return f"self-ensemble/table-2/{defense}/c-{c:g}"


def answer(record: Record) -> str:
    """Return sentences that state the accuracies with RSE and without a defense, at a c at which
    the attack changes the images almost equally far, or at c = 0.03 if there is none. The other
    defenses are not ranked if their accuracies are far below the authors'.
    """
    c = equally_far(record)
    at = AT if c is None else c
    rse, none = (_mean(record, d, at) for d in ("rse", "none"))
    sure = clearly_above(rse, none, names.counted(record, NETWORK))
    moved = "almost equally far"
    if c is None:
        far = [f"{_distortion(record, d, at):.2f}" for d in ("rse", "none")]
        moved = f"by {far[0]} (RSE) and {far[1]} (no defense)"
    text = (
        f"RSE is {'' if sure else 'not clearly '}more accurate than no defense: {rse:.1f} and "
        f"{none:.1f} % at $c = {at:g}$, where the attack changes the images {moved} "
        f"({names.full_title(record, NETWORK)}, {names.epochs(record, NETWORK)} instead of "
        f"{names.THEIR_EPOCHS} epochs; {names.size(record, NETWORK)})."
    )
    if figure6.failed(record, NETWORK):
        text += (
            " We do not rank the other defenses, because some of our networks with them are far "
            "less accurate than the authors'."
        )
    elif not set(names.BASELINES) & set(names.defenses(record, NETWORK, list(DEFENSES))):
        text += " We ran the other defenses only on narrow networks."
    return text


def beside_paper(record: Record) -> str:
    """Return sentences that state the printed accuracies at c = 0.03, how far the attack changes
    the images at this c, and how far our accuracies on clean images are below the authors'.
    """
    text = (
        f"At $c = {AT:g}$ the paper prints {_there('rse')} % with RSE and {_there('none')} % "
        f"without a defense. On {names.in_text(record, NETWORK)}, the root mean square l2 distance "
        f"of the attacked images at this $c$ is {_distortion(record, 'rse', AT):.2f} with RSE and "
        f"{_distortion(record, 'none', AT):.2f} without a defense."
    )
    failed = figure6.failed(record, NETWORK)
    if failed:
        text += (
            f" On clean images our accuracy is below the authors', by {_behind(record)['rse']:.1f} "
            f"points with RSE and by {_behind(record)['none']:.1f} points without a defense. Our "
            f"accuracies with {listed([DEFENSES[d] for d in failed])} are further below, on clean "
            "images or at the smallest $c$."
        )
    return text


def equally_far(record: Record) -> float | None:
    """Return the c at which the distortions with RSE and without a defense are closest to each
    other, or None if they differ by more than 5 %. Of equals, return the c of the abstract.
    """
    away = {c: abs(_distortion(record, "rse", c) / _distortion(record, "none", c) - 1) for c in CS}
    c = min(CS, key=lambda c: (away[c], c != AT))
    return c if away[c] <= 0.05 else None


def _behind(record: Record) -> dict[str, float]:
    """Return by how many points our networks are less accurate on clean images than the authors'
    networks.
    """
    return {
        d: points()[NETWORK, d][0.0][0] - _mean(record, d, 0.0)
        for d in names.defenses(record, NETWORK, list(DEFENSES))
    }


def widest(records: Sequence[Record]) -> Record:
    """Return the record with the most defenses and placements of noise; of equals, the record of
    the largest run.
    """
    return max(records, key=lambda record: len(names.defenses(record, NETWORK, SHOWN)))


def placed() -> Record:
    """Return the stored record of Table 2 with the most defenses and placements of noise."""
    return widest(records_of("self_ensemble/table-2"))


def ran(records: Sequence[Record]) -> str:
    """Return a paragraph for each record. It states which network and images the results are from,
    and which defenses were run with one seed only.
    """
    return "\n\n".join(map(_ran, records))


def _ran(record: Record) -> str:
    shown = names.defenses(record, NETWORK, list(DEFENSES))
    text = f"{names.ran(record, NETWORK)} {names.comparison(shown)}"
    once = [
        DEFENSES[d]
        for d in shown
        if len(values(record, "accuracy", network=NETWORK, defense=d, c=0.0)) == 1
    ]
    if once and len(record.seeds) > 1:
        text += f" {listed(once)} {'was' if len(once) == 1 else 'were'} run with one seed only."
    return text


def baselines(record: Record) -> str:
    """Return sentences that state how far our accuracies on clean images are below the authors',
    and why the accuracy without a defense is above the printed one under a weak attack. The
    last sentence says which comparison is fair. Return an empty text if no other defense is far
    below the authors'.
    """
    failed = figure6.failed(record, NETWORK)
    if not failed:
        return ""
    narrow = "" if record.profile == "paper" else "are narrow and "
    text = (
        f"On clean images our {'' if record.profile == 'paper' else 'narrow '}networks are "
        f"{from_to(list(_behind(record).values()), '.1f')} points less accurate than the authors' "
        f"({{numref}}`tab-rse-table-2-{record.profile}`), probably because they {narrow}were "
        f"trained for {names.epochs(record, NETWORK)} epochs instead of {names.THEIR_EPOCHS} or "
        "more. A part of this page compares lengths of training. "
    )
    text += _weaker(record)
    rse = _mean(record, "rse", 0.0)
    for d, c in failed.items():
        if c and _mean(record, d, 0.0) > rse:
            text += (
                f"{DEFENSES[d]} has a higher accuracy than RSE on clean images, but only "
                f"{_mean(record, d, c):.1f} % at $c = {c:g}$ ({_printed(d, c):g} % in the paper). "
            )
    return (
        f"{text}The fair comparison is between RSE and the network without a defense: apart from "
        "the noise, both have the same layers and the same training."
    )


def _weaker(record: Record) -> str:
    """Return sentences that explain an accuracy without a defense above the printed one: the attack
    with the same c moves our images less. Return "" if our accuracy is not above it.
    """
    c = CS[0]
    ours, moved = _mean(record, "none", c), _distortion(record, "none", c)
    _, theirs = points()[NETWORK, "none"][c]
    if ours <= _printed("none", c) or moved >= theirs:
        return ""
    text = (
        f"At $c = {c:g}$ our network without a defense is nevertheless more accurate than the "
        f"authors': {ours:.1f} instead of {_printed('none', c):.1f} %. But the attack changes "
        f"our images by an l2 distance of only {moved:.3f}, and the authors' by {theirs:.3f} (root "
        "mean square over the images, called distortion). So the same $c$ is a weaker attack on "
        "our network, probably because its logits change less per unit of distance; we did not "
        "test this. "
    )
    figure = first(records_of("self_ensemble/figure-6"), "accuracy at distortion", network=NETWORK)
    if figure is not None:
        d = figure6.EQUAL[0]
        near = mean(figure, "accuracy at distortion", network=NETWORK, defense="none", distortion=d)
        there = printed(f"self-ensemble/figure-6/equal-distortion/{NETWORK}/none/d-{d:g}")
        text += (
            f"At an equal distortion of {d:g} the accuracies are {near:.1f} and {there:.1f} % "
            "([Figure 6](./figure6.ipynb)). "
        )
    return text


def accuracies(records: Sequence[Record]) -> Figure:
    """Draw accuracy against c, with a panel per record and a curve per defense. Pale lines show the
    printed numbers, but not behind a record for profile ``quick``, which is from other images. If
    RSE was run with its strongest noise in several places, a last panel has a curve for each place.
    Table 2 is about VGG16; without results for it, the panel is empty and its title says so.
    """
    own = [r for r in without_quick(records) if NETWORK in names.networks(r)]
    if not own:
        title = f"{names.NETWORKS[NETWORK]}, not run"
        return figures.lines([sweeps.panel(None, NETWORK, DEFENSES, title=title)], height=3.4)
    panels = [
        sweeps.panel(r, NETWORK, DEFENSES, title=names.title(r, NETWORK), theirs=_theirs(r))
        for r in own
    ]
    most = widest(own)
    if len(names.defenses(most, NETWORK, list(PLACES))) > 1:
        shown = {d: "RSE" if d == "rse" else f"RSE, noise {_place(d)}" for d in PLACES}
        row = {words: curve for words, curve in _theirs(most).items() if words == "RSE"}
        looks = names.PLACE_LOOKS
        place = f"{names.title(most, NETWORK)}, RSE"
        panels.append(sweeps.panel(most, NETWORK, shown, title=place, theirs=row, looks=looks))
    panels = [replace(panel, limits=(-3.0, 100.0)) for panel in panels]
    return figures.lines(panels, columns=len(panels), height=3.4)


def _theirs(record: Record) -> dict[str, Curve]:
    """Return the curves of the printed accuracies, or none for a record of profile ``quick``."""
    if record.profile == "quick":
        return {}
    return {
        words: Curve(CS, [[_printed(d, c) for c in CS]], LOOKS[d]) for d, words in DEFENSES.items()
    }


def _place(defense: str) -> str:
    """Return the standard deviation and the place of the initial noise as words of a sentence."""
    return PLACES[defense].replace(",", "")


def printed_beside(version: Version) -> Table:
    """Return the paper's table. In every cell of the table, the number printed in the paper stands
    before our number. Further rows have our accuracies for other variants of RSE.
    """
    record = version.record
    variants = [d for d in PLACES if d != "rse" and _ours(record, d, CS[0])]
    return version.table(
        f": {names.full_title(record, NETWORK)}, {names.images(record, NETWORK)}. Accuracy in per "
        f"cent under the attack, printed / **ours**{ranges(record)}. Table 2 prints no "
        "accuracies on clean images. Those shown are the authors' data of Figure 6, for RSE from "
        "another run than Table 2. Therefore the authors' RSE is less accurate on clean images "
        "than at $c = 0.01$.",
        "rse-table-2",
        ["Defense", "clean", *(f"c = {c:g}" for c in CS)],
        [
            [
                words,
                beside(_ours(record, d, 0.0), round(points()[NETWORK, d][0.0][0], 2)),
                *(beside(_ours(record, d, c), as_printed(target(d, c))) for c in CS),
            ]
            for d, words in DEFENSES.items()
        ]
        + [
            [f"RSE, {PLACES[d]}", *(beside(_ours(record, d, c), None) for c in (0.0, *CS))]
            for d in variants
        ],
    )


def distortions(version: Version) -> Table:
    """Return a table of the distortion of the attacked images, with one row for each defense and
    one column for each c.
    """
    shown = {**DEFENSES, **{d: f"RSE, {w}" for d, w in PLACES.items() if d != "rse"}}
    return version.table(
        ": distortion, the root of the mean squared l2 distance over all "
        f"images{ranges(version.record)}. Pixels are in [0, 1].",
        "rse-table-2-distortion",
        ["Defense", *(f"c = {c:g}" for c in CS)],
        sweeps.rows(version.record, NETWORK, shown, CS, "distortion", 3),
    )


def nearest_placement(record: Record) -> str:
    """Return sentences that state, for each placement of the noise, how far our accuracies of RSE
    are from the printed accuracies. The absolute difference of two accuracies is averaged over the
    values of the attack's constant c.
    """
    off = {d: _off(record, d) for d in PLACES if _ours(record, d, CS[0])}
    if len(off) < 2:
        return "Only one placement of the strongest noise has been run so far."
    clean = {d: names.at(record, NETWORK, d, 0.0) or 0.0 for d in off}
    theirs = points()[NETWORK, "rse"][0.0][0]
    if max(clean.values()) < theirs - CLOSE:
        accuracy = listed([f"{value:.1f} % with noise {_place(d)}" for d, value in clean.items()])
        return (
            "Our narrow networks are too weak to decide. On clean images their accuracy is only "
            f"{accuracy}; that of the authors' network is {theirs:.1f} %. Averaged over $c$, the "
            "accuracies under attack differ from the printed ones by "
            f"{listed([f'{v:.1f} points with noise {_place(d)}' for d, v in off.items()])}."
        )
    told = listed([f"{value:.1f} points with noise {_place(d)}" for d, value in off.items()])
    nearest = min(off, key=lambda d: off[d])
    return (
        f"Probably the placement with noise {_place(nearest)}, because its accuracies are nearest "
        f"to the printed ones: averaged over $c$, the difference is {told}."
    )


def _off(record: Record, defense: str) -> float:
    """Return the mean over c of the absolute difference between our accuracy and the printed one of
    RSE.
    """
    return fmean(abs(_mean(record, defense, c) - _printed("rse", c)) for c in CS)


def at_full_width(records: Sequence[Record]) -> str:
    """Return sentences that state, for networks of the paper's width, how far the accuracies of RSE
    as released are from the printed ones, and how RSE changes the accuracy on clean images. Return
    "" if there is no such network.
    """
    wide = next((r for r in records if r.profile == "paper" and _ours(r, "rse", CS[0])), None)
    if wide is None:
        return ""
    theirs = points()[NETWORK, "rse"][0.0][0]
    return (
        f"At the paper's width, the accuracy of RSE as released is {_mean(wide, 'rse', 0.0):.1f} % "
        f"on clean images ({theirs:.1f} % in the authors' data). Under attack it differs from the "
        f"printed accuracies by {_off(wide, 'rse'):.1f} points, averaged over $c$ "
        f"({names.size(wide, NETWORK)}). We did not run the other placements at this width."
        f"{_clean_change(wide)}"
    )


def _clean_change(record: Record) -> str:
    """Return sentences that state how RSE changes the accuracy on clean images, which the paper
    calls slight, or "" if the network without a defense was not run.
    """
    rse, none = (
        rows_of(record, "accuracy", network=NETWORK, defense=d, c=0) for d in ("rse", "none")
    )
    if not none:
        return ""
    zero = "contains" if pairs.ordered(rse, none) is None else "excludes"
    theirs = {d: points()[NETWORK, d][0.0][0] for d in ("rse", "none")}
    changes = [
        minus(f"{of['rse'] - of['none']:+.1f} points")
        for of in ({d: _mean(record, d, 0.0) for d in theirs}, theirs)
    ]
    return (
        " Section 1 of the paper says that RSE only slightly affects the accuracy on clean images. "
        f"Compared with no defense, RSE changes it by {changes[0]} here, and by {changes[1]} in "
        "the authors' data. The 95 % interval of our change from the choice of the test images "
        f"{zero} 0."
    )


def flat_line(record: Record) -> str:
    """Return sentences that state the accuracies and distortions of RSE with its strongest noise
    added to the image. Return an empty text if this placement was not run.
    """
    image = "rse paper 0.4"
    if not _ours(record, image, CS[0]):
        return ""
    low, high = (pick(_mean(record, image, c) for c in CS) for pick in (min, max))
    same = f"stays at {low:.1f} %" if low == high else f"stays between {low:.1f} and {high:.1f} %"
    return (
        f"With the strongest noise on the image, the accuracy {same} at all five $c$. But the "
        f"attack hardly changes these images: at $c = {AT:g}$ the distortion is "
        f"{_distortion(record, image, AT):.3f}, compared with "
        f"{_distortion(record, 'rse', AT):.3f} for the released placement and "
        f"{_distortion(record, 'none', AT):.3f} without a defense."
    )


def caption_claim(record: Record) -> str:
    """Return a sentence that states the smallest c at which all networks except RSE have accuracies
    below 30 %. The sentence also states the accuracy of RSE at this c.
    """
    others = [d for d in names.defenses(record, NETWORK, list(DEFENSES)) if d != "rse"]
    low = [c for c in CS if all(_mean(record, d, c) < 30 for d in others)]
    if not low:
        return (
            f"On {names.in_text(record, NETWORK)}, at none of these $c$ are the accuracies of all "
            "networks except RSE below 30 %."
        )
    kept = _mean(record, "rse", low[0])
    return (
        f"On {names.in_text(record, NETWORK)}, the accuracies of all networks except RSE are below "
        "30 % from "
        f"$c = {low[0]:g}$ on; at this $c$ RSE has {kept:.1f} %."
    )


def _ours(record: Record, defense: str, c: float) -> list[float]:
    return values(record, "accuracy", network=NETWORK, defense=defense, c=c)


def _mean(record: Record, defense: str, c: float) -> float:
    found = names.at(record, NETWORK, defense, c)
    assert found is not None
    return found


def _distortion(record: Record, defense: str, c: float) -> float:
    return mean(record, "distortion", network=NETWORK, defense=defense, c=c)


def _there(defense: str) -> str:
    return f"{_printed(defense, AT):g}"


def _printed(defense: str, c: float) -> float:
    return float(printed(target(defense, c)) or 0.0)
