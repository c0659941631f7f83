"""Compute the tables, figures and sentences for the page of Figure 4, on straight paths between two
images.

The page shows how fast the class probabilities change along each path.
"""

from collections.abc import Iterator
from statistics import fmean, median

import numpy as np
from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.badges import of_page
from robustbook.chapters.published import array, mean, record_of, values
from robustbook.chapters.wording import from_to, spread
from robustbook.figures import Table, table
from robustbook.ledger import Record

from .dissimilarity import three_digits
from .names import COMPARED

MISSED = 0.05
"""A peak that is further from the largest jump than this share of the path has missed it."""
STILL = 0.3
"""A length element below which the class probabilities hardly change, whatever the peak is."""
FLAT, LARGE = 0.01, 0.5
"""The thresholds that decide the verdicts. FLAT is a share of the path's highest length element,
and LARGE a share of the largest singular value.
"""


def answer(record: Record) -> str:
    """Return a sentence that states on which share of a path the class probabilities of the
    saturated sigmoid network hardly change, and how many singular values of the Jacobian are large
    where they change fastest. It also states this number for the saturated ReLU network. All
    numbers are measured with points added at the jumps of the class probabilities. The sentence
    ends with the page's verdicts, which use evenly spaced points.

    The first word is "Yes" if exactly one singular value is large on every path of both networks,
    and "Mostly yes" if both patterns of the paper hold for the sigmoid network on average.
    """
    (still, flat), (several, single) = (
        numbers(record, "resolved") for numbers in (_flat, _large_of_both)
    )
    _, relu_single = _large_of_both(record_of("saturating/figure-4-relu"), "resolved")
    badges = of_page(
        "saturating/figure-4",
        {
            "nearly constant": "flat-share",
            "one large singular value, saturated (even grid)": "/singular-values-saturated",
            "several, vanilla": "/singular-values-vanilla",
            "": "grown-singular-values|length-follows",
        },
    )
    both = flat > still and single < min(several, 1.5)
    first = ("Yes" if single == relu_single == 1 else "Mostly yes") if both else "No"
    # No count is below 1, so a mean of 1 means that every count is 1.
    large = "one large singular value" if single == 1 else f"{single:.2f} large singular values"
    return (
        f"{first}: saturated sigmoid networks have nearly constant class probabilities on "
        f"{100 * flat:.0f} % of a path, and {large} at each peak; the ReLU network has "
        f"{relu_single:.2f} on average. {badges}"
    )


def singular_values(record: Record) -> str:
    """Return sentences that compare the saturated with the vanilla networks: on which share of a
    path the class probabilities hardly change, and how many singular values of the Jacobian are
    large where they change fastest. The numbers at evenly spaced points come first, then those
    with points added at the jumps of the class probabilities.
    """
    (vanilla, saturated), large = _flat(record), _large_of_both(record)
    (still, flat), (several, single) = (
        numbers(record, "resolved") for numbers in (_flat, _large_of_both)
    )
    return (
        "At evenly spaced points, the class probabilities are on average nearly constant on "
        f"{100 * saturated:.0f} % of a path in a saturated network, and on {100 * vanilla:.0f} % "
        f"in a vanilla network. Where they change fastest, {large[1]:.2f} singular values of the "
        f"Jacobian exceed half of the largest one in the saturated networks, and {large[0]:.2f} in "
        "the vanilla ones. The answer above uses the points added at the jumps. With these, the "
        f"shares are {100 * flat:.0f} and {100 * still:.0f} % (saturated and vanilla), and the "
        f"numbers of singular values {single:.2f} and {several:.2f}."
    )


def _flat(record: Record, grid: str = "even") -> list[float]:
    """Return the mean share of a path on which the class probabilities hardly change, for the
    vanilla and for the saturated networks.
    """
    of = {"grid": grid, "threshold": FLAT}
    return [fmean(values(record, "flat share", method=method, **of)) for method in COMPARED]


def _large_of_both(record: Record, grid: str = "even") -> list[float]:
    """Return the mean number of singular values that, at the peak of the length element, exceed
    half of the largest one, for the vanilla and for the saturated networks.
    """
    of = {"grid": grid, "threshold": LARGE}
    return [
        fmean(values(record, "large singular values", method=method, **of)) for method in COMPARED
    ]


def relu(record: Record) -> str:
    """Return sentences that compare the saturated with the vanilla ReLU MLP in the two patterns of
    Figure 4, and that count the paths on which exactly one singular value is large. ``record`` has
    the results of the study of the ReLU MLP.
    """
    flat, large = _flat(record), _large_of_both(record)
    count = len(record.seeds)
    networks = f"{count} networks" if count > 1 else "one network"
    holds = "holds" if flat[1] > flat[0] else "does not hold"
    order = "Fewer" if large[1] < large[0] else "Not fewer"
    counts, resolved = (
        values(record, "large singular values", grid=grid, threshold=LARGE, method="saturated")
        for grid in ("even", "resolved")
    )
    one = set(counts) == {1}
    return (
        f"We measured the same four paths, with {networks} for each training method. On average "
        f"the class probabilities are nearly constant on {100 * flat[1]:.0f} % of a path in the "
        f"saturated ReLU MLP, and on {100 * flat[0]:.0f} % in the vanilla one. At the peak of the "
        f"length element, {large[1]:.2f} and {large[0]:.2f} singular values exceed half of the "
        f"largest one. So the first pattern {holds}. {order} singular values are large than in the "
        f"vanilla network, {'and' if one else 'but'} on {'' if one else 'only '}{counts.count(1)} "
        f"of {len(counts)} paths is exactly one value large, so the second pattern "
        f"{'holds' if one else 'does not hold'}. With added points "
        f"{'all' if resolved == counts else 'not all'} counts are the same. Besides, "
        "the vanilla network was trained for far fewer epochs."
    )


def relu_values() -> str:
    """Return a sentence on the number of large singular values in the ReLU networks."""
    vanilla, saturated = _large_of_both(record_of("saturating/figure-4-relu"))
    return (
        f"In one saturated ReLU network {saturated:.2f} values are large on average, instead of "
        f"one; in the vanilla one {vanilla:.2f}"
    )


def still(record: Record) -> str:
    """Return sentences that state on which share of the paths the length element is below one limit
    for both networks, with the first seed. The verdicts use a limit relative to each path's peak,
    which is higher in the saturated networks.
    """
    vanilla, saturated = (
        [100 * fmean(each < STILL for each in path) for path in array(record, f"{method}/length")]
        for method in COMPARED
    )
    return (
        "We call a point flat relative to the peak of its own path. Saturated networks have "
        "higher peaks, so more of their points count as flat. So we also tried one limit for "
        f"both networks, a length element below {STILL:g}. Then {from_to(saturated, '.0f')} % of "
        f"the points are flat on the paths of the saturated network, and {from_to(vanilla, '.0f')} "
        f"% on those of the vanilla network (seed {record.seeds[0]})."
    )


def walks(record: Record) -> Figure:
    """Draw three quantities along each path: the class probabilities, the speed at which they
    change (length element), and the two largest singular values of the Jacobian.
    """
    return figures.paths(record.arrays, record.parameters["pairs"])


def peaks(record: Record) -> Table:
    """Return a table with one row for each path. Among the columns are the highest length element
    (the fastest change of the class probabilities) and the length of the path.
    """
    return table(
        "*Peak*: the highest length element, at evenly spaced points (grid) and after points were "
        "added (resolved). *Length*: the length of the path divided by π, to which each complete "
        "change of the predicted class adds 1. *At the peak*: the largest singular value at the "
        "peak, as a share of its maximum on the path. Mean over the seeds (range).",
        "tab-figure-4-walks",
        ["Path", "Peak, grid", "Peak, resolved", "Length / π", "At the peak"],
        [
            [
                name,
                *(
                    three_digits(values(record, "peak", grid=grid, **of))
                    for grid in ("even", "resolved")
                ),
                *(
                    spread(values(record, what, grid="resolved", **of), digits)
                    for what, digits in (("crossings", 2), ("largest at peak", 2))
                ),
            ]
            for name, of in _paths(record)
        ],
    )


def peaks_in_words(record: Record) -> str:
    """Return sentences that compare the saturated with the vanilla networks. The sentences compare
    the fastest change of the class probabilities along a path, and how often the predicted class
    changes along it.
    """

    def times(grid: str) -> float:
        vanilla, saturated = (
            fmean(values(record, "peak", grid=grid, method=method)) for method in COMPARED
        )
        return saturated / vanilla

    theirs, ours = (
        spread(values(record, "crossings", grid="resolved", method=method)) for method in COMPARED
    )
    return (
        "At the evenly spaced points, which the verdicts use, the mean peak of the length element "
        f"is {times('even'):.0f} times as high in the saturated networks as in the vanilla ones. "
        f"With added points it is {times('resolved'):.0f} times as high. A complete change of the "
        "predicted class makes a path longer by π. The length of a path divided by π is "
        f"{ours} in the saturated networks, and {theirs} in the vanilla ones."
    )


def other_peaks(record: Record) -> str:
    """Return a sentence that compares the largest singular value at the peak of the length element
    with its maximum along the path, for the saturated networks.
    """
    paths = [of for _, of in _paths(record) if of["method"] == "saturated"]
    shares = [mean(record, "largest at peak", grid="resolved", **of) for of in paths]
    return (
        "In the saturated networks, the largest singular value at the peak of the length element "
        f"is only {min(shares):.2f} to {max(shares):.2f} times its maximum on the path. (These are "
        "means for each of the four paths, with added points.)"
    )


def jumps_apart(record: Record) -> list[float]:
    """Return for each path of the saturated network of the first seed how far the peak of the
    length element is from the largest jump of the class probabilities, as a share of the path.

    The jump is the largest Fisher distance between two neighbours of the evenly spaced points.
    """
    found = []
    for t, length, p in zip(
        *(array(record, f"saturated/{name}") for name in ("t", "length", "probabilities")),
        strict=True,
    ):
        roots = np.sqrt(np.array(p).clip(min=0))  # the Fisher distance rises with this chord
        jump = int(np.linalg.norm(np.diff(roots), axis=0).argmax())
        peak = t[int(np.argmax(length))]
        found.append(max(t[jump] - peak, peak - t[jump + 1], 0.0))
    return found


def missed_jumps(record: Record) -> str:
    """Return sentences that state how often the peak of the length element misses the largest jump
    of the class probabilities, and on how many paths the saturated networks have only one large
    singular value at the peak once points were added.
    """
    apart = jumps_apart(record)
    far = [each for each in apart if each > MISSED]
    where = f", {from_to(far, '.2f')} of the path away" if far else ""
    counts = values(
        record, "large singular values", grid="resolved", threshold=LARGE, method="saturated"
    )
    return (
        "*The computed peak can miss the largest jump.* In the saturated network of seed "
        f"{record.seeds[0]}, the highest computed length element lies elsewhere than the largest "
        f"jump on {len(far)} of {len(apart)} paths{where}. There the evenly spaced points miss the "
        "jump. The verdicts count large singular values at this computed peak. With added points "
        f"the count is one on {counts.count(1)} of {len(counts)} paths (all seeds)."
    )


def doubled_in_words(record: Record) -> str:
    """Return sentences that count the singular values of the Jacobian that are, where the class
    probabilities change fastest, larger than twice their own median along the path. They also say
    why these counts do not compare the two networks: many of the medians are nearly 0.
    """
    vanilla, saturated = (_grown(record, method) for method in COMPARED)
    empty = {method: _nearly_zero_medians(record, method) for method in COMPARED}
    return (
        f"On average {saturated:.1f} of the ten singular values do so in the saturated networks, "
        f"and {vanilla:.1f} in the vanilla ones. But in the saturated network of seed "
        f"{record.seeds[0]}, {empty['saturated']} medians are below a thousandth of the "
        "largest singular value of their path. Then nearly every value counts as grown. In the "
        f"vanilla network {empty['vanilla']} of the medians is. So these counts do not show how "
        "many directions matter at a change of class, and we do not count them against the paper."
    )


def _nearly_zero_medians(record: Record, method: str) -> str:
    """Return as text how many medians along the path are below a thousandth of the largest singular
    value of the path, among all singular values of all paths of the first seed.
    """
    paths = array(record, f"{method}/singular")
    near = [median(curve) < max(map(max, path)) / 1000 for path in paths for curve in path]
    return f"{sum(near)} of {len(near)}" if any(near) else "none"


def _grown(record: Record, method: str) -> float:
    """Return the mean number of singular values that, at the peak of the length element, exceed
    twice their own median along the path. As for the verdict, the points of the path are evenly
    spaced.
    """
    return fmean(values(record, "inflated singular values", grid="even", method=method))


def thresholds(record: Record) -> Table:
    """Return a table that states on which share of each path the class probabilities hardly change,
    and how many singular values are large. The shares and the numbers are stated for several
    thresholds.
    """
    return table(
        "The first three columns show the share of the path (%) whose length element is below 10, "
        "1 and 0.1 % of the peak, at evenly spaced points. The next four columns show how "
        "many singular values at the peak exceed a half or a tenth of the largest singular value, "
        "at evenly spaced points or with added points (resolved). *Doubled*: the number of "
        "singular values that exceed, at the peak, twice their own median along the path "
        "(evenly spaced points). Mean over the seeds (range).",
        "tab-figure-4-thresholds",
        ["Path", "< 10 %", "< 1 %", "< 0.1 %", "> 1/2", "> 1/10"]
        + ["> 1/2, resolved", "> 1/10, resolved", "doubled"],
        list(_threshold_rows(record)),
    )


def _paths(record: Record) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield the title of each path, and the labels that select the path's rows in the stored
    results. There is one path for each training method and each pair of classes.
    """
    for start, end in record.parameters["pairs"]:
        for method in COMPARED:
            of = {"start": start, "end": end, "method": method}
            yield f"{start} to {end}, {method}", of


def _threshold_rows(record: Record) -> Iterator[list[str]]:
    for name, of in _paths(record):
        flat = [
            values(record, "flat share", grid="even", threshold=h, **of) for h in (0.1, 0.01, 0.001)
        ]
        counts = [
            values(record, "large singular values", grid=grid, threshold=h, **of)
            for grid in ("even", "resolved")
            for h in (0.5, 0.1)
        ]
        doubled = values(record, "inflated singular values", grid="even", **of)
        yield [
            name,
            *(spread([100 * x for x in shares], 0) for shares in flat),
            *map(spread, counts),
            spread(doubled),
        ]
