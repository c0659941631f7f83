"""Compute the sentences for the page of Figure 3; the module `dissimilarity` computes its figures
and tables.
"""

from statistics import fmean

from robustbook.chapters.badges import of_page
from robustbook.chapters.published import values
from robustbook.chapters.wording import listed
from robustbook.ledger import Record

from .names import COMPARED

LAYERS = ("1", "2", "3")
PATTERNS = {
    "larger between classes, layer by layer": "between-saturated",
    "close to zero within classes": "within-near-zero",
    "grows with depth": "grows-with-depth",
}
"""What the verdicts judge, with parts of the ids of the judged statements."""


def answer(record: Record) -> str:
    """Return a sentence that states in how many hidden layers the dissimilarity between classes is
    larger in the saturated network than in the vanilla network, and whether images of one class lie
    close together in the first layer. It ends with the page's verdicts.

    The last layer is left out, because the comparison there depends on the function that is applied
    to the logits.
    """
    vanilla, saturated = (each[:-1] for each in _between(record))
    ahead = sum(ours > theirs for ours, theirs in zip(saturated, vanilla, strict=True))
    near = "" if max(_within(record)) <= float(record.parameters["near_zero"]) else "not "
    badges = of_page("saturating/figure-3", PATTERNS)
    return (
        f"Different classes lie further apart than in the vanilla network in {ahead} of "
        f"{len(vanilla)} hidden layers, and images of one class are {near}close together in the "
        f"first layer. {badges}"
    )


def hidden_layers(record: Record) -> str:
    """Return sentences that state the dissimilarity between classes in the last hidden layer, and
    the dissimilarity within classes in the first layer as a percentage of that between classes. All
    numbers are means over the seeds.
    """
    vanilla, saturated = _between(record)
    within = listed(
        f"{100 * share:.0f} % ({method})"
        for method, share in zip(COMPARED, _within(record), strict=True)
    )
    return (
        f"In the last hidden layer the mean dissimilarity between classes is {saturated[1]:.2f} in "
        f"the saturated and {vanilla[1]:.2f} in the vanilla network. In the first layer, the "
        f"dissimilarity within classes is on average {within} of the dissimilarity between classes."
    )


def _between(record: Record) -> list[list[float]]:
    """Return for the vanilla and for the saturated network, layer by layer, the mean dissimilarity
    between classes.
    """
    return [[fmean(_found(record, "between", m, layer)) for layer in LAYERS] for m in COMPARED]


def _within(record: Record) -> list[float]:
    """Return for the vanilla and for the saturated network the dissimilarity within classes divided
    by that between classes in the first layer, as the mean over the seeds.
    """
    return [fmean(_found(record, "within over between", m, LAYERS[0])) for m in COMPARED]


def longer(record: Record) -> str:
    """Return sentences that compare the dissimilarity between classes in the first layer, and in
    the last one with the softmax, of three networks: vanilla, vanilla with longer training, and
    saturated. All three were trained with the first seed, the only seed of the network with longer
    training.
    """
    (vanilla, longest, saturated), last = (
        [
            _found(record, "between", method, layer)[0]
            for method in ("vanilla", "vanilla, longer", "saturated")
        ]
        for layer in (LAYERS[0], "softmax")
    )
    return (
        "*The penalty need not be the cause.* "
        f"With seed {record.seeds[0]} the dissimilarity between classes in layer 1 is "
        f"{vanilla:.3f} in the vanilla network and {saturated:.3f} in the saturated network. In a "
        f"vanilla network with longer training, and no penalty, it is {longest:.3f}. With the "
        f"softmax in the last layer these three numbers are {last[0]:.3f}, {last[2]:.3f} and "
        f"{last[1]:.3f}."
    )


def with_softmax(record: Record) -> str:
    """Return sentences that state the dissimilarity between classes in the last layer after the
    softmax, which the network computes there, and with how many seeds it is larger in the saturated
    network.
    """
    vanilla, saturated = (_found(record, "between", method, "softmax") for method in COMPARED)
    ahead = sum(a > b for a, b in zip(saturated, vanilla, strict=True))
    change = 100 * (fmean(saturated) / fmean(vanilla) - 1)
    return (
        "So the verdict on the last layer depends on this choice. With the softmax, which the "
        f"network computes there, the dissimilarity between classes is {fmean(saturated):.3f} in "
        f"the saturated and {fmean(vanilla):.3f} in the vanilla network. This is {change:.0f} % "
        f"larger, and it is larger with {ahead} of {len(saturated)} seeds."
    )


def collapsed(record: Record) -> str:
    """Return a sentence that counts the saturated networks whose last sigmoid layer has the same
    outputs for all images.
    """
    apart = _found(record, "between", "saturated", LAYERS[-1])
    return (
        f"In {sum(value < 1e-6 for value in apart)} of {len(apart)} saturated networks, the "
        "sigmoids of the last layer give the same outputs for all images. Because "
        "of these networks, the row *saturated, layer 3* of {numref}`tab-figure-3-layers` has a "
        "wide range."
    )


def _found(record: Record, name: str, method: str, layer: str) -> list[float]:
    """Return a measurement of the dissimilarities in a layer, one number per seed."""
    return values(record, name, method=method, layer=layer)
