"""Compute the part of the page on Table 2 that compares short and long trainings."""

from collections.abc import Sequence
from statistics import fmean

from robustbook.chapters.published import (
    images_of,
    records_of,
    rows_of,
    settings,
    values,
    version_of,
)
from robustbook.chapters.wording import beside, from_to, listed, minus, seeds_in_words
from robustbook.figures import Table
from robustbook.ledger import Record
from robustbook.ledger.outcomes import paired_error
from robustbook.studies.self_ensemble.printed import points
from robustbook.studies.self_ensemble.sizes import EPOCHS
from robustbook.studies.shortened import REACHED

from . import names

WITH = {"none": "Without a defense", "rse": "With RSE"}
"""The defenses with which networks were trained for several numbers of epochs."""


def lengths(record: Record, network: str) -> Table:
    """Return a table of accuracies on clean images and under the attack, with one row for each
    defense and number of training epochs, and one column for each value of c.
    """
    rows = []
    cs = [c for c in _cs(record, network) if c]
    attacked = images_of(record, "accuracy", network=network, c=max(cs))
    for defense, n in [(d, n) for d in WITH for n in _epochs(record, network)]:
        of = {"network": network, "defense": defense, "epochs": n}
        accuracies = (values(record, "accuracy", c=c, **of) for c in cs)
        clean = [
            100 * float(row.each[:attacked].mean())
            for row in rows_of(record, "accuracy", c=0, **of)
        ]
        cells = [clean, *accuracies]
        rows.append([f"{names.DEFENSES[defense]}, {n}", *(beside(x, None) for x in cells)])
    for defense in WITH:
        theirs = [points()[network, defense][c][0] for c in (0.0, *cs)]
        rows.append([f"{names.DEFENSES[defense]}, the authors'", *(f"{x:.1f}" for x in theirs)])
    return version_of(record).table(
        f": {names.full_title(record, network)}, accuracy in per cent after trainings of different "
        f"lengths, on the same {attacked} images without and with the attack. The last rows are "
        f"the authors' data of Figure 6, from networks trained for {names.THEIR_EPOCHS} epochs or "
        "more.",
        "rse-schedule",
        ["Network, epochs", "clean", *(f"c = {c:g}" for c in cs)],
        rows,
    )


def longer(record: Record, network: str) -> str:
    """Return sentences that compare our training of a network with the longest one: by how many
    points the accuracies on clean and on attacked images change, and which changes are clear.

    A change is clear if it exceeds the 95 % error for two accuracies on the same images.
    """
    own, most = EPOCHS[record.profile, network], max(_epochs(record, network))
    text = (
        f"In the verdicts, a training counts as the paper's if {REACHED}. To see how "
        f"much the length of training matters, we trained a {names.title(record, network)} for "
        f"{most} instead of {own} epochs ({seeds_in_words(len(record.seeds))} per length)."
    )
    images = images_of(record, "accuracy", network=network, c=0.0)
    surely = False
    for defense, words in WITH.items():
        changes = {
            c: _change(record, (own, most), network=network, defense=defense, c=c)
            for c in _cs(record, network)
        }
        attacked = minus(from_to([value for c, (value, _) in changes.items() if c], "+.1f"))
        clear = [c for c, (value, error) in changes.items() if abs(value) > error]
        under = [f"{c:g}" for c in clear if c]
        where = ["on clean images"] * (0.0 in clear) + [f"at $c$ = {listed(under)}"] * bool(under)
        surely |= bool(under)
        text += (
            f" {words} the accuracy changes by {minus(f'{changes[0.0][0]:+.1f}')} "
            f"points on {images:,} clean images and by {attacked} points under the attack; "
            + (f"the change is clear {listed(where)}." if where else "no change is clear.")
        )
    text += _last_step(record, network)
    if surely:
        text += (
            " So accuracies under attack depend on the length of the training, and verdicts on "
            "networks with a short training may change after a longer one."
        )
    return f"{text}{_again(record, network)}"


def _last_step(record: Record, network: str) -> str:
    """Return sentences that state the changes under the attack from the second longest training to
    the longest one, and which of them are clear; "" if there are only two lengths.
    """
    if len(_epochs(record, network)) < 3:
        return ""
    before, most = _epochs(record, network)[-2:]
    told = []
    for defense, words in WITH.items():
        changes = {
            c: _change(record, (before, most), network=network, defense=defense, c=c)
            for c in _cs(record, network)
            if c
        }
        span = minus(from_to([value for value, _ in changes.values()], "+.1f"))
        clear = [f"{c:g}" for c, (value, error) in changes.items() if abs(value) > error]
        where = f"clear at $c$ = {listed(clear)}" if clear else "nowhere clear"
        told.append(f"{span} points {words[0].lower()}{words[1:]} ({where})")
    return f" From {before} to {most} epochs, the changes under the attack are {listed(told)}."


def _again(record: Record, network: str) -> str:
    """Return a sentence on how much a second training of the same length changes the accuracies
    under the attack: those of Table 2 are compared. Return "" if Table 2 has no such network.
    """
    own = EPOCHS[record.profile, network]
    away = [
        abs(here - there)
        for other in records_of("self_ensemble/table-2")
        if other.profile == record.profile
        for defense in WITH
        for c in _cs(record, network)
        if c
        for here, there in zip(
            values(record, "accuracy", network=network, defense=defense, c=c, epochs=own),
            values(other, "accuracy", network=network, defense=defense, c=c),
            strict=False,
        )
    ]
    if not away:
        return ""
    return (
        " These tests leave out the error from the training: under the attack, a second training "
        f"of {own} epochs (first seed of Table 2) differs by up to {max(away):.1f} points."
    )


def _change(record: Record, lengths: Sequence[int], **of: str | float) -> tuple[float, float]:
    """Return by how many points the accuracy changes from the first to the second number of
    epochs, and the 95 % error of this change. The error includes only the choice of the images.
    """
    short, long = (rows_of(record, "accuracy", epochs=n, **of) for n in lengths)
    change = fmean(float(row.value) for row in long) - fmean(float(row.value) for row in short)
    return change, paired_error([row.each for row in short], [row.each for row in long])


def _cs(record: Record, network: str) -> list[float]:
    """Return the values of c of a record; 0 stands for clean images."""
    return sorted(settings(record, "accuracy", "c", network=network))


def _epochs(record: Record, network: str) -> list[int]:
    return sorted(settings(record, "accuracy", "epochs", network=network))
