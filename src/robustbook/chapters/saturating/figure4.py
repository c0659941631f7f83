"""The page of Figure 4: straight walks between digits, and how fast the answer changes on them."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import mean, values
from robustbook.chapters.wording import spread
from robustbook.figures import Table, table
from robustbook.ledger import Record

from .names import COMPARED


def walks(record: Record) -> Figure:
    """The panels of the paper: length element, probabilities and singular values per walk."""
    return figures.paths(record.arrays, record.parameters["pairs"])


def peaks(record: Record) -> Table:
    """How high and where the length element peaks, and how often the answer changes on the way."""
    columns = (
        ("peak", "even", 0),
        ("peak", "resolved", 0),
        ("crossings", "resolved", 2),
        ("apart", "resolved", 4),
        ("largest at peak", "resolved", 2),
    )
    return table(
        "The highest length element, on the even grid and with the cliffs resolved; the length of "
        "the path in units of pi, which is how often the answer changed completely; how far from "
        "the steepest change of the probabilities the peak lies, in paths; and the largest "
        "singular value there as a share of its largest on the path. Mean (range over the seeds).",
        "tab-figure-4-walks",
        ["Path", "Peak, grid", "Peak, resolved", "Length / pi", "Apart", "At the peak"],
        [
            [
                name,
                *(
                    spread(values(record, what, grid=grid, **of), digits)
                    for what, grid, digits in columns
                ),
            ]
            for name, of in _paths(record)
        ],
    )


def peaks_in_words(record: Record) -> str:
    """How much higher the saturated peaks are, and how much longer the paths."""
    saturated, vanilla = (
        {"grid": "resolved", "method": method} for method in ("saturated", "vanilla")
    )
    ratio = mean(record, "peak", **saturated) / mean(record, "peak", **vanilla)
    ours, theirs = (spread(values(record, "crossings", **of)) for of in (saturated, vanilla))
    return (
        f"Averaged over pairs and seeds the resolved peaks of the saturated networks are "
        f"{ratio:.0f} times as high as the vanilla ones. Their paths are longer as well: {ours} "
        f"against {theirs} complete changes of the answer. A saturated network does not only cross "
        "the border between two classes more abruptly, it often strays through other classes in "
        "between, some of them for a hair's breadth."
    )


def thresholds(record: Record) -> Table:
    """How flat a path is and how many singular values are large, at several thresholds."""
    return table(
        "Share of the path (%) whose length element is below 10, 1 and 0.1 % of its peak, on the "
        "even grid; singular values above a half and a tenth of the largest at the peak, on the "
        "even grid and resolved; and how many are there above twice their own median along the "
        "path.",
        "tab-figure-4-thresholds",
        ["Path", "< 10 %", "< 1 %", "< 0.1 %", "> 1/2", "> 1/10"]
        + ["> 1/2, resolved", "> 1/10, resolved", "doubled"],
        list(_threshold_rows(record)),
    )


def _paths(record: Record) -> Iterator[tuple[str, dict[str, object]]]:
    """Each pair of classes under each training, with the labels of its rows."""
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
        doubled = values(record, "inflated singular values", grid="resolved", **of)
        yield [
            name,
            *(spread([100 * x for x in shares], 0) for shares in flat),
            *map(spread, counts),
            spread(doubled),
        ]
