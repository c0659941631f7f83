"""Compute the sentences for the page of Figure 7; the module `dissimilarity` computes its figures
and tables.
"""

from robustbook.chapters.badges import of_page
from robustbook.chapters.published import mean, values
from robustbook.chapters.wording import from_to, listed
from robustbook.ledger import Record

from .names import COMPARED

LAYERS = ("1", "2", "3")


def answer(record: Record) -> str:
    """Return a sentence that states how many times as large as in the vanilla network the
    dissimilarity within classes, divided by that between classes, is in the saturated network, and
    whether longer training alone enlarges it too. It ends with the page's verdicts.
    """
    times = [_ratio(record, "within over between", layer) for layer in LAYERS]
    relative = (
        f"{from_to([100 * (each - 1) for each in times], '.0f')} % further apart than"
        if min(times) > 1
        else f"{from_to(times, '.2g')} times as far apart as"
    )
    return (
        "Relative to the dissimilarity between classes, images of one class lie "
        f"{relative} in the vanilla network{_by_length(record)}. "
        f"{of_page('saturating/figure-7', {'dissimilarities': ''})}"
    )


def further(record: Record) -> str:
    """Return sentences that state how much larger the dissimilarity between classes is in the
    saturated network than in the vanilla network.
    """
    times = from_to([_ratio(record, "between", layer) for layer in LAYERS], ".2g")
    return (
        f"Depending on the layer, the dissimilarity between classes is {times} times as large in "
        "the saturated network as in the vanilla network. But the outputs of a ReLU network can "
        "have any scale."
    )


def controls(record: Record) -> str:
    """Return sentences that state the dissimilarity between classes in two comparison networks: a
    vanilla network trained longer, and a saturated network with a stronger penalty. The comparison
    networks separate the effect of the penalty from the effect of long training.
    """
    ours, longer, stronger = (
        _ratio(record, "between", LAYERS[-1], method)
        for method in ("saturated", "vanilla, longer", "saturated, stronger")
    )
    return (
        "In layer 3 the dissimilarity between classes of the saturated network is "
        f"{ours:.2g} times as large as that of the vanilla network. We also trained two more "
        f"networks with one seed. In a vanilla network with as many epochs as the saturated one "
        f"it is {longer:.2g} times as large. In a saturated network with a stronger penalty it is "
        f"{stronger:.2g} times as large."
    )


def _by_length(record: Record) -> str:
    """Return words that say, or "" if it is false, that without the penalty longer training
    enlarges the dissimilarity within classes, divided by that between classes, in every layer.
    """
    vanilla, longer, _ = _relative(record)
    larger = all(b > a for a, b in zip(vanilla, longer, strict=True))
    return ", but also after longer training alone (one seed)" if larger else ""


def equally_long(record: Record) -> str:
    """Return a sentence that states, for the first seed, the dissimilarity within classes divided
    by that between classes in each layer of three networks: vanilla, vanilla with as many epochs as
    the saturated one, and saturated.
    """
    vanilla, longer, saturated = (
        listed(f"{share:.2f}" for share in shares) for shares in _relative(record)
    )
    return (
        f"In layers {listed(LAYERS)} the dissimilarity within classes, divided by that between "
        f"classes, is {vanilla} in the vanilla network of seed {record.seeds[0]}. It is {longer} "
        f"in the vanilla network with longer training, and {saturated} in the saturated one."
    )


def _relative(record: Record) -> list[list[float]]:
    return [
        [values(record, "within over between", method=m, layer=layer)[0] for layer in LAYERS]
        for m in ("vanilla", "vanilla, longer", "saturated")
    ]


def _ratio(record: Record, name: str, layer: str, method: str = COMPARED[1]) -> float:
    """Return the mean over the seeds of a measurement in one network, divided by the mean in the
    vanilla network.
    """
    ours, vanilla = (mean(record, name, method=m, layer=layer) for m in (method, COMPARED[0]))
    return ours / vanilla
