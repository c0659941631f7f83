"""Compute the sentences for the page of Figure 3; the module `dissimilarity` computes its figures
and tables.
"""

from statistics import fmean

from robustbook.chapters.published import values
from robustbook.chapters.wording import whole_percent
from robustbook.ledger import Record

from .names import COMPARED, labelled

ITEM = "saturating/figure-3"
LAYERS = ("1", "2", "3")


def answer(record: Record) -> str:
    """Return sentences that state in which layers the dissimilarity between classes is larger in
    the saturated network than in the vanilla network. For the first layer, the sentences also state
    the dissimilarity within classes as a percentage of the dissimilarity between classes. The
    verdicts follow.
    """
    between = {
        m: [fmean(_found(record, "between", m, layer)) for layer in LAYERS] for m in COMPARED
    }
    vanilla, saturated = (between[method] for method in COMPARED)
    ahead = [
        layer
        for layer, ours, theirs in zip(LAYERS, saturated, vanilla, strict=True)
        if ours > theirs
    ]
    where = f"layer {' and '.join(ahead)}" if ahead else "no layer"
    rest = len(LAYERS) - len(ahead)
    ratio = max(fmean(_found(record, "within over between", m, LAYERS[0])) for m in COMPARED)
    near = "" if ratio <= float(record.parameters["near_zero"]) else "not "
    badges = labelled(
        {
            "larger between classes in the first layer": f"{ITEM}/layer-1/between-saturated",
            "close to zero within classes": f"{ITEM}/within-near-zero",
        }
    )
    return whole_percent(
        f"In {where}, images of different classes lie further apart in the saturated network than "
        f"in the vanilla network. In the other {rest} of {len(LAYERS)} layers they do not. In the "
        f"last hidden layer the mean dissimilarity between classes is {saturated[1]:.2f} in the "
        f"saturated and {vanilla[1]:.2f} in the vanilla network. In layer 1, images of one "
        f"class are {near}close "
        f"together: the dissimilarity within classes is up to {100 * ratio:.0f} % of the "
        f"dissimilarity between classes. {badges}"
    )


def longer(record: Record) -> str:
    """Return sentences that compare the dissimilarity between classes in the first layer of three
    networks: vanilla, vanilla with longer training, and saturated. All three were trained with the
    first seed, the only seed of the network with longer training.
    """
    vanilla, longest, saturated = (
        _found(record, "between", method, LAYERS[0])[0]
        for method in ("vanilla", "vanilla, longer", "saturated")
    )
    share = 100 * (longest - vanilla) / (saturated - vanilla)
    most = "most" if share > 50 else "a part"
    return whole_percent(
        "*The penalty need not be the cause in layer 1.* "
        f"With seed {record.seeds[0]} the dissimilarity between classes in layer 1 is "
        f"{vanilla:.3f} in the vanilla network and {saturated:.3f} in the saturated network. In a "
        f"vanilla network with longer training it is {longest:.3f}. So on this one seed longer "
        f"training alone explains {most} ({share:.0f} %) of the increase in the first layer."
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
