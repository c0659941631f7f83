"""Compute the content of the page on Table 2: the accuracy of VGG16 with each defense. The attack
is run with five values of its constant c.
"""

from collections.abc import Sequence

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import Version, mean, printed, values
from robustbook.chapters.wording import beside
from robustbook.figures import LOOKS, Curve, Table, table
from robustbook.ledger import Record
from robustbook.studies.self_ensemble.printed import points

from . import figure6, names, sweeps
from .names import DEFENSES, PLACES

NETWORK = "vgg16"
CS = (0.01, 0.03, 0.06, 0.1, 0.2)
CLOSE = 5
"""By how many percentage points our clean accuracy may fall below the authors' if we infer from
accuracies under attack which variant of RSE they measured.
"""
AT = 0.03
"""The value of c at which the abstract states accuracies."""


def target(defense: str, c: float) -> str:
    """Return the name under which the book stores a number printed in the paper's Table 2."""
    return f"self-ensemble/table-2/{defense}/c-{c:g}"


def answer(record: Record) -> str:
    """Return sentences that state two accuracies at c = 0.03, with RSE and without a defense, and
    the distortions. The other defenses are not ranked if their networks failed to train.
    """
    rse, none = (_mean(record, d, AT) for d in ("rse", "none"))
    images = names.counted(record, NETWORK)
    order = "is higher with RSE" if names.clearly(rse, none, images) else "is not clearly higher"
    text = (
        f"The accuracy {order} than without defense: {rse:.1f} against {none:.1f} % at "
        f"$c = {AT:g}$ ({_there('rse')} and {_there('none')} in the paper). But at this $c$ the "
        f"attack changes images by {_distortion(record, 'rse', AT):.2f} with RSE, and by "
        f"{_distortion(record, 'none', AT):.2f} without defense (root mean square l2 distance). "
        "This is "
        f"{names.full_title(record, NETWORK)} ({names.size(record, NETWORK)})."
    )
    failed = figure6.failed(record, NETWORK)
    if failed:
        text += (
            f" At this size {names.listed([DEFENSES[d] for d in failed])} are far below the "
            "authors' accuracies on clean images or under the weakest attack, so we do not rank "
            "them."
        )
    return text


def ran(record: Record) -> str:
    """Return a sentence that states which network and images the shown results are from."""
    shown = names.defenses(record, NETWORK, list(DEFENSES))
    defenses = names.listed([DEFENSES[d] for d in shown])
    return f"{names.ran(record, NETWORK)} The defenses are {defenses}."


def baselines(record: Record) -> str:
    """Return sentences that state how far the other defenses are from the authors' accuracies."""
    return figure6.baselines([record])


def accuracies(records: Sequence[Record]) -> Figure:
    """Draw accuracy against c, with a curve per defense. If RSE was run with its strongest noise in
    several places, a second panel has a curve for each place.
    """
    record = _record(records)
    title = names.title(record, NETWORK)
    theirs = {
        words: Curve(CS, [[float(printed(target(d, c)) or 0) for c in CS]], LOOKS[d])
        for d, words in DEFENSES.items()
    }
    panels = [sweeps.panel(record, NETWORK, DEFENSES, title=title, theirs=theirs)]
    if len(names.defenses(record, NETWORK, list(PLACES))) > 1:
        shown = {d: f"noise {words}" for d, words in PLACES.items()}
        row = {"RSE": theirs["RSE"]}
        looks = names.PLACE_LOOKS
        place = f"{title}, RSE"
        panels.append(sweeps.panel(record, NETWORK, shown, title=place, theirs=row, looks=looks))
    return figures.lines(panels, columns=len(panels), height=3.4)


def of_one(record: Record) -> Figure:
    """Draw the figure from the stored results of one run."""
    return accuracies([record])


def printed_beside(version: Version) -> Table:
    """Return the paper's table. In every cell of the table, the number printed in the paper stands
    before our number.
    """
    record = version.record
    return table(
        f"{version.heading}: {names.full_title(record, NETWORK)}, "
        f"{names.images(record, NETWORK)}. Accuracy in per cent under the attack, printed / "
        "**ours** (range over the seeds). Table 2 prints no clean accuracies; those shown are the "
        "authors' data of Figure 6, from another run than Table 2.",
        f"tab-rse-table-2-{version.tag}",
        ["Defense", "clean", *(f"c = {c:g}" for c in CS)],
        [
            [
                words,
                beside(_ours(record, d, 0.0), round(points()[NETWORK, d][0.0][0], 2)),
                *(beside(_ours(record, d, c), printed(target(d, c))) for c in CS),
            ]
            for d, words in DEFENSES.items()
        ],
    )


def placements(version: Version) -> Table:
    """Return a table of RSE's accuracies on clean images and under the attack, with one row for
    each placement of the strongest noise.
    """
    record = version.record
    shown = {d: words for d, words in names.places(record).items() if _ours(record, d, CS[0])}
    return table(
        f"{version.heading}: accuracy of RSE in per cent, by the standard deviation and the place "
        "of the initial noise (range over the seeds). The last row has the paper's numbers.",
        "tab-rse-placements",
        ["Initial noise", "clean", *(f"c = {c:g}" for c in CS)],
        [
            *sweeps.rows(record, NETWORK, shown, (0.0, *CS)),
            ["printed", "", *(f"{printed(target('rse', c)):g}" for c in CS)],
        ],
    )


def distortions(version: Version) -> Table:
    """Return a table of the distortion of the attacked images, with one row for each defense and
    one column for each c.
    """
    shown = {**DEFENSES, **{d: f"RSE, {w}" for d, w in PLACES.items() if d != "rse"}}
    return table(
        f"{version.heading}: distortion, the root of the mean squared l2 distance over all images "
        "(range over the seeds). Pixels are in [0, 1].",
        "tab-rse-table-2-distortion",
        ["Defense", *(f"c = {c:g}" for c in CS)],
        sweeps.rows(version.record, NETWORK, shown, CS, "distortion", 3),
    )


def nearest_placement(record: Record) -> str:
    """Return sentences that state, for each placement of the noise, how far our accuracies of RSE
    are from the printed accuracies. The absolute difference of two accuracies is averaged over the
    values of the attack's constant c.
    """
    off = {
        d: sum(abs(_mean(record, d, c) - float(printed(target("rse", c)) or 0)) for c in CS) / 5
        for d in PLACES
        if _ours(record, d, CS[0])
    }
    if len(off) < 2:
        return "Only one placement of the strongest noise has been run so far."
    clean = {d: names.at(record, NETWORK, d, 0.0) or 0.0 for d in off}
    theirs = points()[NETWORK, "rse"][0.0][0]
    told = ", ".join(f"{value:.1f} points ({PLACES[d]})" for d, value in off.items())
    text = f"The mean difference between our accuracies of RSE and the printed ones is {told}."
    far, near = (_distortion(record, d, CS[-1]) for d in list(off)[:2])
    text += (
        f" At $c = {CS[-1]:g}$ the attack changes images by {far:.2f} ({PLACES[list(off)[0]]}) and "
        f"{near:.2f} ({PLACES[list(off)[1]]})."
    )
    if max(clean.values()) < theirs - CLOSE:
        accuracy = names.listed([f"{value:.1f}" for value in clean.values()])
        return (
            f"{text} This does not decide the question: on clean images our networks classify only "
            f"{accuracy} % correctly, and the authors' network {theirs:.1f} %."
        )
    nearest = min(off, key=lambda d: off[d])
    return f"{text} The printed accuracies are nearest to ours with the noise {PLACES[nearest]}."


def caption_claim(record: Record) -> str:
    """Return a sentence that states the smallest c at which all networks except RSE have accuracies
    below 30 %. The sentence also states the accuracy of RSE at this c.
    """
    others = [d for d in names.defenses(record, NETWORK, list(DEFENSES)) if d != "rse"]
    low = [c for c in CS if all(_mean(record, d, c) < 30 for d in others)]
    if not low:
        return "At none of these c are the accuracies of all networks other than RSE below 30 %."
    kept = _mean(record, "rse", low[0])
    return (
        "The accuracies of all other networks that were run are below 30 % from "
        f"$c = {low[0]:g}$ on. At this $c$ the accuracy of RSE is {kept:.1f} %."
    )


def _record(records: Sequence[Record]) -> Record:
    found = names.with_network(records, NETWORK)
    assert found is not None  # a record of Table 2 has this network
    return found


def _ours(record: Record, defense: str, c: float) -> list[float]:
    return values(record, "accuracy", network=NETWORK, defense=defense, c=c)


def _mean(record: Record, defense: str, c: float) -> float:
    found = names.at(record, NETWORK, defense, c)
    assert found is not None
    return found


def _distortion(record: Record, defense: str, c: float) -> float:
    return mean(record, "distortion", network=NETWORK, defense=defense, c=c)


def _there(defense: str) -> str:
    return f"{printed(target(defense, AT)):g}"
