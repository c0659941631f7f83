"""Compute the content of the page on Table 3 and Figure 7: how far a targeted attack changes one
image.
"""

from collections.abc import Mapping
from statistics import fmean
from textwrap import fill

import numpy as np
from jaxtyping import Int, UInt8
from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import (
    Version,
    as_printed,
    mean,
    printed,
    settings,
    values,
    verdicts,
)
from robustbook.chapters.wording import badge, beside, listed, ranges, spread
from robustbook.figures import Map, Table
from robustbook.ledger import Record
from robustbook.ledger.intervals import mostly
from robustbook.studies.self_ensemble.sizes import TARGETED_STEPS

from . import names
from .names import DEFENSES

SQUARED = "squared distance"


def answer(record: Record) -> str:
    """Return whether the attack changes the image further with RSE than without a defense, with
    the mean distances and the number of target classes for which this holds. Badges follow for the
    paper's network.
    """
    network = main_network(record)
    rse, none = _means(record, network)
    hits = _hits(record)
    ahead, pairs = _ahead(record, network)
    lead = "Larger with RSE" if mostly(ahead, pairs) else "Not clearly larger"
    if hits[0] < hits[1]:
        lead = "RSE lets fewer attacks succeed"
    return (
        f"{lead}: the mean squared l2 distance is {rse:.2f} with RSE and {none:.2f} without a "
        f"defense. It is larger with RSE for {ahead} of {pairs} {_cases(record, pairs)} (one "
        f"image, {names.full_title(record, network)}).{_judged(record)}"
    )


def _ahead(record: Record, network: str) -> tuple[int, int]:
    """Return in how many comparisons the distance is larger with RSE than without a defense, and
    the number of comparisons: one for each combination of target class and seed.
    """
    pairs = [
        (a, b)
        for name in _classes(record)
        for a, b in zip(*(_distances(record, d, name, network) for d in _ENDS), strict=True)
    ]
    return sum(a > b for a, b in pairs), len(pairs)


def _cases(record: Record, pairs: int) -> str:
    """Return in words what ``pairs`` counts: the target classes, or with several seeds the
    combinations of target class and seed.
    """
    one = pairs == len(_classes(record))
    return "target classes" if one else "combinations of target class and seed"


def _means(record: Record, network: str) -> list[float]:
    """Return the mean squared distances with RSE and without a defense."""
    return [mean(record, f"mean {SQUARED}", network=network, defense=d) for d in _ENDS]


def _hits(record: Record) -> list[float]:
    """Return for how many target classes the attack succeeds, with RSE and without a defense."""
    network = main_network(record)
    return [mean(record, "targets reached", network=network, defense=d) for d in _ENDS]


def beside_paper(record: Record) -> str:
    """Return sentences that state the printed means, how often the attack succeeds, and which of
    the paper's networks and defenses were not run.
    """
    hits, of = _hits(record), len(_classes(record))
    text = (
        f"The attack succeeds for {hits[0]:g} of {of} target classes with RSE, and for {hits[1]:g} "
        f"of {of} without a defense."
    )
    if comparable(record):
        rse, none = (printed(f"self-ensemble/table-3/mean/{d}") or 0.0 for d in _ENDS)
        times = _means(record, main_network(record))[1] / none
        text = (
            f"The mean of the paper's numbers is {rse:g} with RSE and {none:g} without a defense; "
            f"our mean without a defense is {times:.1f} times theirs. {text}"
        )
    if min(hits) < of:
        text += " Both means include failed attacks."
    if record.profile != "paper":
        text += (
            " The ResNeXt of the authors' script was not run at its full width, so we do not judge "
            "whether the numbers agree."
        )
    return f"{text} {_not_run(record)}".rstrip()


def _judged(record: Record) -> str:
    """Return the verdicts on the two means and on RSE's count as badges, or "" if the network is
    not the paper's.
    """
    if record.profile != "paper":
        return ""
    found = verdicts("self_ensemble")
    ids = ("mean/rse", "mean/none", "rse-largest-count")
    each = dict.fromkeys(found[f"self-ensemble/table-3/{name}"] for name in ids)
    return "".join(f" {badge(verdict)}" for verdict in each)


def _not_run(record: Record) -> str:
    rest = [DEFENSES[d] for d in DEFENSES if d not in _defenses(record)]
    return f"{listed(rest)} were not run." if rest else ""


def comparable(record: Record) -> bool:
    """Return whether the target classes, and so the image, are those of the paper's table."""
    return any(_there("rse", name) is not None for name in _classes(record))


def ran(record: Record) -> str:
    """Return sentences that name the networks, the image, the defenses and the number of attack
    steps of the shown results.
    """
    network = main_network(record)
    image = "a ship" if comparable(record) else "a digit on a photograph"
    seeds = max(len(record.seeds), 1)
    words = {d: f"with {title}" for d, title in DEFENSES.items()} | {"none": "without a defense"}
    rest = "".join(
        f" A {_plain(record, other)} is also attacked, "
        f"{listed([words[d] for d in _defenses(record, other)])}."
        for other in names.networks(record)
        if other != network
    )
    return (
        f"In the stored results, one image ({image}) is attacked on a {_plain(record, network)}"
        f"{names.trained_on(record, network, ', ')}{',' * bool(names.trained_on(record, network))} "
        f"in {TARGETED_STEPS[record.profile]:,} steps, with "
        f"{'one seed' if seeds == 1 else f'{seeds} seeds'}. "
        f"{names.comparison(_defenses(record))}{rest}"
    )


def _plain(record: Record, network: str) -> str:
    """Return the network's name without its data set."""
    return names.title(record, network).partition(",")[0]


_ENDS = ("rse", "none")


def main_network(record: Record) -> str:
    """Return the name of the network that the table shows: ResNeXt if the stored results contain
    it, otherwise their first network.
    """
    there = names.networks(record)
    return "resnext" if "resnext" in there else there[0]


def gallery(record: Record) -> Figure:
    """Draw Figure 7: one row for each defense, with the image and the perturbation for each target
    class.

    White means no change. The more the attack changes the red, green or blue value of a pixel, the
    smaller is this value in the picture. All pictures share one colour scale, which ends at the
    largest change.
    """
    network = main_network(record)
    added = {d: _added(record, network, d) for d in _defenses(record)}
    largest = max(int(np.abs(each).max()) for each in added.values())
    image = Map(_bytes(record.arrays[f"{network} image"])[0], "image")
    rows = []
    for d, each in added.items():
        shown = (255 - np.abs(each) * (255 / max(largest, 1))).round().astype(np.uint8)
        rows.append((fill(DEFENSES[d], 12), [image, *map(Map, shown, _classes(record))]))
    return figures.maps(rows)


def printed_beside(version: Version) -> Table:
    """Return the paper's Table 3, with one row for each target class. In every cell of the table,
    the number printed in the paper stands before our number. If our image is not the paper's, the
    table has only our numbers.
    """
    record = version.record
    network, paper = main_network(record), comparable(record)
    known = list(DEFENSES) if paper else _defenses(record)
    shown = sorted(known, key=lambda d: d not in _ENDS)  # RSE and no defense side by side

    def cell(ours: list[float], theirs: str | None) -> str:
        return beside(ours, theirs, 2) if paper else spread(ours, 2)

    rows = [
        [name, *(cell(_distances(record, d, name), _there(d, name)) for d in shown)]
        for name in _classes(record)
    ]
    means = [
        cell(values(record, f"mean {SQUARED}", network=network, defense=d), _there("mean", d))
        for d in shown
    ]
    words = f"printed / **ours**{ranges(record)}" if paper else "ours, on another image"
    return version.table(
        ": squared l2 distance of the attacked image for each target class "
        f"({names.full_title(record, network)}), {words}.",
        "rse-table-3",
        ["Target", *(DEFENSES[d] for d in shown)],
        [*rows, ["mean", *means]],
    )


def reached(version: Version) -> Table:
    """Return a table that states for how many of the target classes the attack succeeds. There is
    one row for each combination of network and defense.
    """
    record = version.record
    return version.table(
        f": number of target classes (of {len(_classes(record))}) for which the attack "
        f"succeeds{ranges(record)}. RSE predicts with 50 draws.",
        "rse-table-3-reached",
        ["Network, defense", "targets reached"],
        [
            [
                f"{names.full_title(record, network)}, {DEFENSES[d]}",
                spread(values(record, "targets reached", network=network, defense=d), 0),
            ]
            for network in names.networks(record)
            for d in _defenses(record, network)
        ],
    )


def orders(record: Record) -> str:
    """Return for each network a sentence that counts the attacks in which the distance is larger
    with RSE than without a defense, and states the two mean distances. The network of the table is
    the first.
    """
    told = []
    first = main_network(record)
    for network in sorted(names.networks(record), key=lambda each: each != first):
        ahead, pairs = _ahead(record, network)
        rse, none = _means(record, network)
        told.append(
            f"On {names.in_text(record, network)}, the attack changes the image by a larger "
            f"distance with RSE than without a defense for {ahead} of {pairs} "
            f"{_cases(record, pairs)}. The mean squared distance is {rse:.2f} with RSE and "
            f"{none:.2f} without a defense."
        )
    return " ".join(told)


def largest(record: Record) -> str:
    """Return sentences that state for how many target classes RSE has the largest distance of the
    five networks, which defense has the largest mean, and where the attack fails; or "" if the
    table's network was not run with all five.
    """
    network = main_network(record)
    if set(DEFENSES) - set(_defenses(record)):
        return ""
    cells = [
        dict(zip(DEFENSES, of, strict=True))
        for name in _classes(record)
        for of in zip(*(_distances(record, d, name) for d in DEFENSES), strict=True)
    ]
    ahead = sum(max(of, key=of.__getitem__) == "rse" for of in cells)
    means = {d: fmean(of[d] for of in cells) for d in DEFENSES}
    first = max(means, key=means.__getitem__)
    theirs = printed("self-ensemble/table-3/rse-largest-count") if comparable(record) else None
    text = (
        f"Of the five networks, RSE has the largest distance in {ahead} of {len(cells)} attacks"
        + (f"; in the paper, in {theirs:g} of 9" if theirs is not None else "")
        + f". The largest mean is {means[first]:.2f}, with {DEFENSES[first]}."
    )
    missed = {
        d: len(cells) - sum(values(record, "targets reached", network=network, defense=d))
        for d in DEFENSES
    }
    failed = [f"{n:g} of {len(cells)} with {DEFENSES[d]}" for d, n in missed.items() if n]
    if failed:
        text += (
            f" Some attacks fail: {listed(failed)}. The distance of a failed attack is that of its "
            "last iterate, which is not an adversarial image for the target class. So the means of "
            "these defenses are not comparable with the others."
        )
    return text


def identical(record: Record) -> str:
    """Return sentences that name the target classes with the same perturbation, for each defense,
    and give a possible reason; or "" if there are none.
    """
    network, told = main_network(record), []
    for d in _defenses(record):
        groups: dict[bytes, list[str]] = {}
        for name, picture in zip(_classes(record), _added(record, network, d), strict=True):
            groups.setdefault(picture.tobytes(), []).append(name)
        told += [f"{listed(same)} ({DEFENSES[d]})" for same in groups.values() if len(same) > 1]
    if not told:
        return ""
    return (
        f"For some target classes, the pictures of the perturbation are identical: "
        f"{'; '.join(told)}. A possible reason is the loss: while $Z_t < 0$, the clamped "
        "logit $\\max(Z_t, 0)$ has no gradient. Then the attack only lowers the largest logit of "
        "the other classes, which is the same for these targets. We did not record the logits."
    )


def _defenses(record: Record, network: str | None = None) -> list[str]:
    there = settings(record, SQUARED, "defense", network=network or main_network(record))
    return [d for d in DEFENSES if d in there]


def _classes(record: Record) -> list[str]:
    found = settings(record, SQUARED, "class", network=main_network(record))
    return [str(name) for name in found]


def _distances(record: Record, defense: str, name: str, network: str | None = None) -> list[float]:
    network = network or main_network(record)
    of: Mapping[str, str] = {"network": network, "defense": defense, "class": name}
    return values(record, SQUARED, **of)


def _there(row: str, column: str) -> str | None:
    target = f"self-ensemble/table-3/{row}/{column}"
    try:
        return as_printed(target)
    except KeyError:  # target class of the digits, which the paper lacks
        return None


def _added(record: Record, network: str, defense: str) -> Int[np.ndarray, "k h w 3"]:
    return _bytes(record.arrays[f"{network} {defense}"]).astype(int) - 128


def _bytes(cells: list[str]) -> UInt8[np.ndarray, "k h w 3"]:
    """Return the pictures that a record stores as hexadecimal text, one colour channel after the
    other.
    """
    raw = np.frombuffer(bytes.fromhex("".join(cells)), np.uint8)
    side = round((raw.size / len(cells) / 3) ** 0.5)
    return raw.reshape(len(cells), 3, side, side).transpose(0, 2, 3, 1)
