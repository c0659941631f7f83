"""The page of Figure 6: a linear classifier of two prototypes, and the kurtosis of its weights."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import array, printed, values
from robustbook.chapters.wording import spread
from robustbook.figures import Table, table
from robustbook.ledger import Record

from .names import COMPARED, MLPS

INTENSITIES = {
    "mean": "over the mean of $|w_1|$ (as printed)",
    "median": "over the median of $|w_1|$",
}
LIMIT = 1e9
"""The excess kurtosis that stands for infinity."""
END, EXAMPLE = 100.0, 1.4
"""Where the figure ends, and the height that the caption of the paper explains."""


def ratios(record: Record) -> Figure:
    """The scaled ratio against the excess kurtosis, measured and in closed form."""
    measured: dict[str, dict[float, list[float]]] = {t: {} for t in INTENSITIES.values()}
    for row in record.rows:
        if row.name == "scaled ratio":
            of = measured[INTENSITIES[str(row.setting["intensity"])]]
            of.setdefault(float(row.setting["kurtosis"]), []).append(row.value)
    closed = {title: array(record, f"closed/{name}") for name, title in INTENSITIES.items()}
    return figures.kurtosis(
        measured, closed, array(record, "closed/kurtosis"), end=END, example=EXAMPLE
    )


def gains(record: Record) -> Table:
    """What some excess kurtoses gain over the Gaussian."""
    return table(
        "The scaled ratio at some excess kurtoses: closed form, measured (range over the seeds), "
        "and the gain of the closed form over the Gaussian, for the mean of the paper's definition "
        "and for the median.",
        "tab-figure-6-gains",
        ["Excess kurtosis", "Mean", "measured", "gain", "Median", "measured", "gain"],
        list(_gain_rows(record)),
    )


def own_weights(record: Record) -> Table:
    """The same with prototypes drawn from the networks' own weights."""
    return table(
        "The scaled ratio of prototypes drawn from a layer's own weights; the gain of the "
        "saturated over the vanilla layer in per cent, with the mean as printed and with the "
        "median; and the mean absolute cosine of the two saturated prototypes. Range over the "
        "seeds.",
        "tab-figure-6-own",
        ["Layer", "Vanilla", "Saturated", "Gain, mean", "Gain, median", "Cosine"],
        list(_own_rows(record)),
    )


def largest_gain(record: Record) -> str:
    """The largest gain over layers and networks, beside the printed one."""

    def best(intensity: str) -> str:
        found: dict[int | None, list[float]] = {}
        for row in record.rows:
            if row.name == "gain" and row.setting["intensity"] == intensity:
                found.setdefault(row.seed, []).append(row.value)
        return spread([max(each) for each in found.values()], 0)

    return (
        f"The largest gain over layers and networks is {best('mean')} % with the mean and "
        f"{best('median')} % with the median, where the paper says as much as "
        f"{printed('saturating/text-8/own-weights/gain'):.0f} %."
    )


def _gain_rows(record: Record) -> Iterator[list[str]]:
    from robustbook.measures import expected_ratio  # here, as it imports torch

    for kurtosis in (0.0, 1.0, 10.0, 100.0, LIMIT):
        cells = []
        for name in ("mean", "median"):
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
