"""Compute the content of the page that compares nine implementations of DeepFool.

A preset of our function imitates each implementation. All presets attack the same networks and
images.
"""

from collections.abc import Iterator
from statistics import fmean
from textwrap import fill

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import Version, benchmark, values
from robustbook.chapters.wording import (
    badge,
    from_to,
    listed,
    power,
    seeds_in_words,
    spread,
)
from robustbook.figures import Table
from robustbook.ledger import Record

from .names import networks, title, with_article

PROGRAMS = {
    "authors": "Deep Defense's code",
    "matlab": "DeepFool, Matlab",
    "python": "DeepFool, Python",
    "foolbox": "foolbox",
    "art": "ART",
    "torchattacks": "torchattacks",
    "adversarial_library": "adversarial-library",
    "ours": "ours",
    "free": "ours, active pixels",
}
UNCLIPPED = ("authors", "matlab", "python")
"""The implementations that do not clip images to [0, 1]."""
FEW = 90
"""If an attack succeeds on a smaller percentage of the images, its mean distance is marked, and
left out of the ranges in sentences.
"""
LOOKS = {
    "no clipping": figures.LOOKS["reference"],
    "clipping": figures.LOOKS["adversarial"],
    f"clipping, success below {FEW} %": figures.LOOKS["adversarial"],
}
COLUMNS = {"distance": 3, "shown": 3, "fooled": 1, "steps": 2, "backwards": 1}
"""For each measured quantity, the number of digits that the table shows."""


def answer(record: Record) -> str:
    """Return a sentence that says when distances by two implementations of DeepFool can be
    compared. It states the largest mean distance without clipping and the smallest one with it.
    """
    network = networks(record)[0]
    free, clipped = (_means(record, network, unclipped) for unclipped in (True, False))
    return (
        f"Only if both clip images or neither does: on {with_article(record, network)}, mean "
        f"distances are at most {max(free):.3f} without clipping, and at least {min(clipped):.3f} "
        "with clipping if nearly all attacks succeed. "
        "*Distances of the implementations*: "
        f"{badge('no printed number')}"
    )


def ranges_in_short(record: Record) -> str:
    """Return a phrase with the ranges of the mean distances without and with clipping, on the first
    network.
    """
    network = networks(record)[0]
    return (
        "if both clip images to [0, 1] or neither does: the mean distance on "
        f"{with_article(record, network)} is {_range(record, network, True)} without clipping and "
        f"{_range(record, network, False)} with"
    )


def ranges(record: Record) -> str:
    """Return sentences that state the range of the mean distances without and with clipping, and on
    which images they were measured.
    """
    parts = " ".join(
        f"On {with_article(record, network)}, the mean distance is "
        f"{_range(record, network, True)} with the {len(_means(record, network, True))} "
        f"implementations that do not clip, and {_range(record, network, False)} with the "
        f"{len(_means(record, network, False))} that do."
        for network in networks(record)
    )
    return (
        f"{parts} This counts the implementations that succeed on at least {FEW} % of the images. "
        f"Each mean is over the images on which the attack succeeds "
        f"({seeds_in_words(len(record.seeds))}, {record.parameters['images']} images)."
    )


def attacked(record: Record) -> str:
    """Return a sentence that states the networks, seeds and images of the stored results."""
    shown = " and ".join(with_article(record, network) for network in networks(record))
    return (
        f"The stored results are for {shown}, with {seeds_in_words(len(record.seeds))} and "
        f"{record.parameters['images']} test images."
    )


def failures(record: Record) -> str:
    """Return a sentence for each network that names the implementation with the lowest success
    rate. The sentence states this rate and the second lowest one.
    """
    parts = []
    for network in networks(record):
        (least, name), (next_least, _), *_ = sorted(
            (fmean(values(record, "fooled", network=network, preset=preset)), program)
            for preset, program in PROGRAMS.items()
        )
        parts.append(
            f"On {with_article(record, network)} the preset {name} succeeds on only {least:.1f} % "
            f"of the images, and every other preset on at least {next_least:.1f} %."
        )
    return " ".join(parts)


def checked() -> str:
    """Return sentences that compare the preset with the lowest success rate with the original
    library, on the images of the benchmark.
    """
    rows = {row["library"]: row for row in benchmark("deepfool")["rows"]}
    original, preset = rows["torchattacks"], rows["robustbook as torchattacks"]
    return (
        f"We checked this preset against the library itself on {original['images']} images and "
        "another network ([benchmarks](../benchmarks.ipynb)). The pixels differ by at most "
        f"{power(preset['largest_difference'])}, but the library succeeds on "
        f"{original['fooled']:.0f} % of the images and the preset on {preset['fooled']:.0f} %. So "
        "many of these images end so near the class boundary that rounding decides."
    )


def strips(record: Record) -> Figure:
    """Draw the mean distance that each implementation finds, with a mark per seed. The colour of a
    mark says whether the implementation clips. A mark is hollow if few attacks succeed.
    """
    *_, few = LOOKS
    found = {
        title(record, network): {
            fill(name, 20): {
                _drawn(record, network, preset): values(
                    record, "distance", network=network, preset=preset
                )
            }
            for preset, name in PROGRAMS.items()
        }
        for network in networks(record)
    }
    label = r"mean $\ell_2$ perturbation (axis not from 0)"
    return figures.strips(found, LOOKS, label, from_zero=False, hollow=(few,))


def _drawn(record: Record, network: str, preset: str) -> str:
    """Return the name in the legend for the marks of an implementation."""
    without, clipped, few = LOOKS
    if preset in UNCLIPPED:
        return without
    success = values(record, "fooled", network=network, preset=preset)
    return few if fmean(success) < FEW else clipped


def programs(version: Version) -> Table:
    """Return a table with one row for each combination of implementation and network. The columns
    are two mean distances, the success rate, and the numbers of steps and gradients per image.
    """
    shown = networks(version.record)
    return version.table(
        f", on {listed(with_article(version.record, n) for n in shown)}. *Distance*: the mean "
        "distance over correctly classified images on which the attack succeeds. *Reported*: the "
        "mean distance that the implementation itself reports, which may include misclassified "
        "images and failures. *Fooled*: the share of images on which the attack succeeds (%). The "
        "numbers of steps and gradients are per image.",
        "dd-deepfool",
        ["Implementation", "distance", "reported", "fooled", "steps", "gradients"],
        list(_rows(version.record)),
    )


def _range(record: Record, network: str, unclipped: bool) -> str:
    return from_to(_means(record, network, unclipped), ".3f")


def _means(record: Record, network: str, unclipped: bool) -> list[float]:
    """Return the mean distances by the implementations that do not clip, or by those that do. An
    implementation that fails on many images is left out.
    """
    return [
        fmean(values(record, "distance", network=network, preset=preset))
        for preset in PROGRAMS
        if (preset in UNCLIPPED) == unclipped
        and fmean(values(record, "fooled", network=network, preset=preset)) >= FEW
    ]


def _rows(record: Record) -> Iterator[list[str]]:
    for network in (shown := networks(record)):
        for preset, name in PROGRAMS.items():
            cells = (
                spread(values(record, what, network=network, preset=preset), digits)
                for what, digits in COLUMNS.items()
            )
            yield [f"{title(record, network)}: {name}" if len(shown) > 1 else name, *cells]
