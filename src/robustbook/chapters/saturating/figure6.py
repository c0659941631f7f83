"""The page of Figure 6: a linear classifier of two prototypes, and the kurtosis of its weights."""

from collections.abc import Iterator
from typing import Literal

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import array, of_target, printed, values
from robustbook.chapters.wording import spread
from robustbook.figures import Table, table
from robustbook.ledger import Record
from robustbook.pearson import expected_ratio

from .names import COMPARED, MLPS

INTENSITIES: dict[Literal["mean", "median"], str] = {
    "mean": "over the mean of $|w_1|$ (as printed)",
    "median": "over the median of $|w_1|$",
}
LIMIT = 1e9
"""The excess kurtosis that stands for infinity."""
END, EXAMPLE = 100.0, 1.4
"""The excess kurtosis at which the figure ends, and the ratio that the paper's caption explains."""
GAIN, OWN_GAIN = "saturating/text-8/pearson/gain", "saturating/text-8/own-weights/gain"
"""The targets of the two gains that Section 8 prints."""


def answer(record: Record) -> str:
    """Return how much kurtosis and the saturated networks' weights raise the scaled ratio."""
    return (
        "Infinite kurtosis raises the size of the smallest successful perturbation, in units of "
        f"the mean component of the input, by {spread(of_target(record, GAIN))} % over Gaussian "
        f"weights (printed: almost {printed(GAIN):g} %). Weights drawn from the saturated networks "
        f"raise it by at most {spread(of_target(record, OWN_GAIN), 0)} % over those of the vanilla "
        f"networks (printed: as much as {printed(OWN_GAIN):g} %)."
    )


def ratios(record: Record) -> Figure:
    """Draw the scaled ratio against the excess kurtosis, measured and in closed form."""
    titles = {str(name): title for name, title in INTENSITIES.items()}
    measured: dict[str, dict[float, list[float]]] = {t: {} for t in titles.values()}
    for row in record.rows:
        if row.name == "scaled ratio":
            of = measured[titles[str(row.setting["intensity"])]]
            of.setdefault(float(row.setting["kurtosis"]), []).append(row.value)
    closed = {title: array(record, f"closed/{name}") for name, title in INTENSITIES.items()}
    return figures.kurtosis(
        measured, closed, array(record, "closed/kurtosis"), end=END, example=EXAMPLE
    )


def gains(record: Record) -> Table:
    """Return the ratio at some excess kurtoses, and its gain over the Gaussian."""
    return table(
        "The scaled ratio at some excess kurtoses: closed form, measured (range over the seeds), "
        "and the gain of the closed form over the Gaussian. The intensity is the mean of |w1|, as "
        "the paper defines it, or the median.",
        "tab-figure-6-gains",
        ["Excess kurtosis", "Mean", "measured", "gain", "Median", "measured", "gain"],
        list(_gain_rows(record)),
    )


def own_weights(record: Record) -> Table:
    """Return the ratio of prototypes drawn from the weights of each layer of the MLPs."""
    return table(
        "The scaled ratio of prototypes drawn from the weights of one layer; the gain of the "
        "saturated over the vanilla layer in per cent, with the mean of |w1| as printed and with "
        "the median; and the mean absolute cosine of the two saturated prototypes; mean over the "
        "seeds (range).",
        "tab-figure-6-own",
        ["Layer", "Vanilla", "Saturated", "Gain, mean", "Gain, median", "Cosine"],
        list(_own_rows(record)),
    )


def largest_gain(record: Record) -> str:
    """Return the largest gain over layers and networks, with the mean and with the median."""

    def best(intensity: str) -> str:
        found: dict[int | None, list[float]] = {}
        for row in record.rows:
            if row.name == "gain" and row.setting["intensity"] == intensity:
                found.setdefault(row.seed, []).append(row.value)
        return spread([max(each) for each in found.values()], 0)

    return (
        f"The largest gain of a saturated over a vanilla layer is {best('mean')} % with the mean "
        f"and {best('median')} % with the median. The paper says as much as "
        f"{printed(OWN_GAIN):.0f} %."
    )


def _gain_rows(record: Record) -> Iterator[list[str]]:
    for kurtosis in (0.0, 1.0, 10.0, 100.0, LIMIT):
        cells = []
        for name in INTENSITIES:
            measured = values(record, "scaled ratio", intensity=name, kurtosis=kurtosis)
            exact, gaussian = expected_ratio(kurtosis, name), expected_ratio(0.0, name)
            gain = 100 * (exact / gaussian - 1)
            cells += [f"{exact:.4f}", spread(measured, 4), f"{gain:+.1f} %"]
        yield ["infinite" if kurtosis == LIMIT else f"{kurtosis:g}", *cells]


def _own_rows(record: Record) -> Iterator[list[str]]:
    for network, title in MLPS.items():
        for layer in (1, 2, 3):
            of = {"network": network, "layer": layer}
            ratios = [
                values(record, "own weights", method=method, measure="mean", **of)
                for method in COMPARED
            ]
            gained = [values(record, "gain", intensity=name, **of) for name in INTENSITIES]
            cosine = values(record, "own weights", method="saturated", measure="cosine", **of)
            yield [
                f"{title}, layer {layer}",
                *(spread(each, 2) for each in ratios),
                *(spread(each, 0) for each in gained),
                spread(cosine, 2),
            ]
