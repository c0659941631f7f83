"""Compute the part of the page on Figure 6 that compares short and long trainings."""

from collections.abc import Sequence

from robustbook.chapters.published import (
    images_of,
    mean,
    rows_of,
    settings,
    values,
    version_of,
)
from robustbook.chapters.wording import beside, listed
from robustbook.figures import Table
from robustbook.ledger import Record
from robustbook.ledger.outcomes import paired_error
from robustbook.studies.self_ensemble.printed import points
from robustbook.studies.self_ensemble.sizes import EPOCHS

from . import names

WITH = {"none": "without a defense", "rse": "with RSE"}
"""The defenses with which networks were trained for several numbers of epochs."""


def lengths(record: Record) -> Table:
    """Return a table of accuracies on clean images, with one row for each network and defense, and
    one column for each number of training epochs.
    """
    epochs = sorted(settings(record, "accuracy", "epochs"))
    rows = []
    for network in names.networks(record):
        for defense in WITH:
            of = {"network": network, "defense": defense}
            found = [values(record, "accuracy", epochs=n, **of) for n in epochs]
            theirs = points()[network, defense][0.0][0]
            title = f"{names.full_title(record, network)}, {names.DEFENSES[defense]}"
            rows.append([title, *(beside(each, None) for each in found), f"{theirs:.1f}"])
    return version_of(record).table(
        f": accuracy in per cent on {images_of(record, 'accuracy'):,} clean test images, by the "
        "number of training epochs. The authors trained for "
        f"{names.THEIR_EPOCHS} epochs or more.",
        "rse-schedule",
        ["Network, defense", *(f"{n} epochs" for n in epochs), "the authors'"],
        rows,
    )


def longer(record: Record, network: str) -> str:
    """Return sentences that compare our training of a network with the longest one: the accuracies
    on clean images, and which of them a longer training clearly raises.

    A difference is clear if it exceeds the 95 % error for two accuracies on the same images.
    """
    own, most = EPOCHS[record.profile, network], max(settings(record, "accuracy", "epochs"))
    short, long = (
        {d: mean(record, "accuracy", network=network, defense=d, epochs=n) for d in WITH}
        for n in (own, most)
    )
    raised = [d for d in WITH if long[d] - short[d] > _error(record, network, d, (own, most))]
    told = listed(
        [f"{long[d]:.1f} instead of {short[d]:.1f} % {words}" for d, words in WITH.items()]
    )
    text = (
        f"With {most} instead of {own} epochs, the accuracy on "
        f"{images_of(record, 'accuracy'):,} clean images is {told}."
    )
    if not raised:
        return f"{text} Neither difference is clear, so our training is long enough."
    text += f" A longer training clearly raises the accuracy {listed([WITH[d] for d in raised])}."
    if long["none"] - short["none"] > long["rse"] - short["rse"]:
        text += " The gain without a defense is larger, so our short training may favour RSE."
    return text


def _error(record: Record, network: str, defense: str, epochs: Sequence[int]) -> float:
    """Return the 95 % error, in percentage points, of the difference between the accuracies after
    two trainings. It includes only the error from the choice of the test images.
    """
    first, second = (
        [
            row.each
            for row in rows_of(record, "accuracy", network=network, defense=defense, epochs=n)
        ]
        for n in epochs
    )
    return paired_error(first, second)
