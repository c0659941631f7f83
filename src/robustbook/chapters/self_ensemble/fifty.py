"""Compare predictions from 50 noise draws with predictions from one draw, for the overview. The
images are compared one by one where the record stores which of them are classified correctly.
"""

from collections.abc import Iterator, Sequence

from robustbook.chapters import pairs
from robustbook.chapters.published import records_of, rows_of, values
from robustbook.chapters.wording import from_to, listed, minus
from robustbook.ledger import Record
from robustbook.ledger.intervals import clearly_ordered

from . import figure3, names, table2

PLACES = {
    "rse paper 0.4": "the strongest noise on the image, as in the paper's text",
    "rse": "the placement of the released code",
}
MANY, ONE = "accuracy", "accuracy of one draw"
STRONG = 1.0
"""A value of c at which the paper's attack is strong."""


def gains(record: Record, network: str, defense: str) -> dict[float, list[float]]:
    """Return for each c the accuracy with 50 draws minus that with one draw, one value per seed."""
    found = {}
    for c in names.strengths(record, network, defense, ONE):
        of = {"network": network, "defense": defense, "c": c}
        both = zip(values(record, MANY, **of), values(record, ONE, **of), strict=True)
        found[c] = [many - one for many, one in both]
    return found


def ordered(record: Record, network: str, defense: str, c: float) -> bool | None:
    """Return whether 50 draws are more accurate than one draw, or None if the difference is not
    clear.

    If some seeds have outcomes, only these are compared, image by image.
    """
    of = {"network": network, "defense": defense, "c": c}
    many, one = (rows_of(record, name, **of) for name in (MANY, ONE))
    return pairs.ordered(*([r for r in rows if r.outcomes] or rows for rows in (many, one)))


def again(records: Sequence[Record], largest: float) -> tuple[int, int] | None:
    """Return at how many values of c up to ``largest`` 50 draws are clearly more accurate than one
    draw on the network of Table 2 as Figure 4 trained it again, and the number of these values; or
    None if there is no such network. ``records`` contains the stored results of Figure 4.
    """
    record = names.with_network(records, table2.NETWORK)
    if record is None:
        return None
    cs = [c for c in names.strengths(record, table2.NETWORK, "rse", ONE) if c <= largest]
    return [ordered(record, table2.NETWORK, "rse", c) for c in cs].count(True), len(cs)


def lowered(record: Record, network: str, defense: str) -> float:
    """Return by how many points the attack lowers the accuracy with 50 draws at most, over all c
    and seeds. If this is little, the gains are those on clean images.
    """
    clean, *under = (
        values(record, MANY, network=network, defense=defense, c=c)
        for c in (0.0, *names.strengths(record, network, defense, ONE))
    )
    return max(a - b for each in under for a, b in zip(clean, each, strict=True))


def answer() -> str:
    """Return sentences that count the values of c at which 50 draws are clearly more accurate than
    one draw under weak attacks, for each placement of the noise, and the networks on which they are
    clearly less accurate under a strong attack.
    """
    record = table2.placed()
    clear = {
        d: [ordered(record, table2.NETWORK, d, c) for c in cs]
        for d in PLACES
        if (cs := _cs(record, d))
    }
    told = [
        f"With {PLACES[d].partition(',')[0]}, 50 draws are clearly more accurate than one draw at "
        f"{of.count(True)} of {len(of)} values of $c$ up to {max(_cs(record, d)):g}."
        for d, of in clear.items()
    ]
    strong = [more for *_, more in under_strong()]
    trained_again = again(records_of("self_ensemble/figure-4"), max(_cs(record, "rse")))
    if trained_again:
        count, of_all = trained_again
        told.append(f"In other trainings, they are so at {count} of {of_all}.")
    return (
        f"{' '.join(told)} These are results on {names.in_text(record, table2.NETWORK)} "
        f"({names.size(record, table2.NETWORK)}). At $c = {STRONG:g}$, 50 draws are clearly less "
        f"accurate on {strong.count(False)} of {len(strong)} networks."
    )


def _cs(record: Record, defense: str) -> list[float]:
    return names.strengths(record, table2.NETWORK, defense, ONE)


def shown(records: Sequence[Record]) -> list[tuple[Record, str]]:
    """Return the networks of the ``records`` of Figure 4, and those that were attacked for Figure 6
    only.
    """
    best = names.best(records)
    known = [network for _, network in best]
    more = names.best(records_of("self_ensemble/figure-6"))
    return best + [each for each in more if each[1] not in known]


def under_strong() -> Iterator[tuple[Record, str, bool | None]]:
    """Yield each network that was attacked with c = 1, with its record and the result of
    `ordered`.
    """
    for record, network in shown(records_of("self_ensemble/figure-4")):
        if STRONG in names.strengths(record, network, "rse"):
            yield record, network, ordered(record, network, "rse", STRONG)


def claims() -> Iterator[tuple[str, bool | None]]:
    """Yield the parts of the paper's claim on 50 draws, each with True if it holds, False if it
    does not, and None if it is open.
    """
    record = table2.placed()
    for defense, where in PLACES.items():
        if cs := _cs(record, defense):
            found = {ordered(record, table2.NETWORK, defense, c) for c in cs}
            yield (
                f"With {where}, 50 draws are more accurate than one draw at every $c$ up to "
                f"{max(cs):g} ({names.full_title(record, table2.NETWORK)}; there the attack lowers "
                f"the accuracy of 50 draws by at most "
                f"{lowered(record, table2.NETWORK, defense):.1f} points).",
                found.pop() if len(found) == 1 else None,
            )
    for each, network, more in under_strong():
        clean, under = (names.at(each, network, "rse", c) or 0.0 for c in (0.0, STRONG))
        yield (
            f"50 draws are less accurate than one draw at $c = {STRONG:g}$ "
            f"({names.full_title(each, network)}; there the attack lowers the accuracy of 50 draws "
            f"by {clean - under:.1f} points).",
            None if more is None else not more,
        )


def cost(record: Record) -> str:
    """Return sentences that state how the strongest noise changes the accuracy under attack, and
    what noise costs on clean images, with the 50 draws of RSE. ``record`` contains the stored
    results of Figure 3.
    """
    network = names.networks(record)[0]
    low, high = figure3.ends(record, network)
    images = names.counted(record, network)
    told = []
    for c in (figure3.STRONG, STRONG):
        less, more = (names.at(record, network, d, c, MANY) or 0.0 for d in (low, high))
        order = clearly_ordered(more, less, images)
        change = {True: "raises", False: "lowers", None: "does not clearly change"}[order]
        told.append(f"{change} the accuracy at $c = {c:g}$ ({less:.1f} and {more:.1f} %)")
    clean = {
        d: names.at(record, network, d, 0.0, MANY) or 0.0
        for d in names.defenses(record, network, list(figure3.LEVELS))
    }
    none = clean.pop("none")
    lost = from_to([none - each for each in clean.values()], ".1f")
    return (
        f"More noise {listed(told)}. On clean images noise costs {lost} points "
        f"({names.title(record, network)}, 50 draws)."
    )


def more_noise(record: Record) -> tuple[str, bool | None]:
    """Return the claim on more noise under a strong attack, with 50 draws. It is open whatever the
    accuracies are, because c was chosen after the results. ``record`` contains the stored results
    of Figure 3.
    """
    network = names.networks(record)[0]
    low, high = figure3.ends(record, network)
    words = figure3.levels(record)
    less, more = (names.at(record, network, d, STRONG, MANY) or 0.0 for d in (low, high))
    first, second = (names.at(record, network, d, figure3.STRONG, MANY) for d in (low, high))
    assert first is not None and second is not None  # every profile has this c
    change = minus(f"{second - first:+.1f}")
    return (
        f"More noise raises the accuracy of RSE with 50 draws at $c = {STRONG:g}$ "
        f"({words[high]} instead of {words[low]}: {less:.1f} and {more:.1f} %; "
        f"{names.full_title(record, network)}). We chose this $c$ after we had seen the results; "
        f"at $c = {figure3.STRONG:g}$, which we had chosen before, the change is {change} points.",
        None,
    )
