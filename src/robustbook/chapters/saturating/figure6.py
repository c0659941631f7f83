"""Compute the tables, figures and sentences for the page of Figure 6.

The page asks whether a linear classifier with two prototypes is robust if its weights have a high
kurtosis.
"""

from collections.abc import Iterator
from statistics import fmean
from typing import Literal

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.badges import of_page
from robustbook.chapters.published import array, mean, of_target, printed, values
from robustbook.chapters.wording import listed, minus, spread
from robustbook.figures import Table, table
from robustbook.ledger import Record
from robustbook.pearson import exact_gains, expected_ratio, student_ratio

from .figure1 import heavy
from .names import COMPARED, MLPS

INTENSITIES: dict[Literal["mean", "median"], str] = {
    "mean": "over the mean of $|w_1|$ (as in the paper)",
    "median": "over the median of $|w_1|$",
}
LIMIT = 1e9
"""The excess kurtosis that represents infinity."""
ORTHOGONAL = 0.05
"""The cosine of two prototypes above which the page calls them not orthogonal."""
END, EXAMPLE = 100.0, 1.4
"""END is the excess kurtosis at which the figure ends. EXAMPLE is the ratio that the paper's
caption gives as an example.
"""
GAIN, OWN_GAIN = "saturating/text-8/pearson/gain", "saturating/text-8/own-weights/gain"
"""The ids of two target numbers (numbers printed in the paper). Both are increases of the scaled
ratio that Section 8 of the paper states.
"""


def answer(record: Record) -> str:
    """Return a sentence that states by how much a high kurtosis of the weights increases the scaled
    ratio, the paper's measure of robustness. It ends with the page's verdicts.
    """
    ours, theirs = fmean(of_target(record, GAIN)), printed(GAIN)
    assert theirs is not None
    badges = of_page(
        "saturating/figure-6",
        {
            "increases that the text states": "/gain$",
            "curve of the figure": "pearson/shape",
            "": "y-example|every-layer",
            "values of formulas": "l1-bounds|scaled-ratio|gamma-10|gain-",
        },
    )
    return (
        f"They make it {'more robust, but less than' if ours < theirs else 'as robust as'} the "
        "paper says: with random Pearson VII weights, its measure of robustness "
        f"increases by at most {ours:.0f} % (almost {theirs:g} % in the paper). {badges}"
    )


def increases(record: Record) -> str:
    """Return sentences that define the scaled ratio, which is the smallest successful perturbation
    divided by the input's intensity, and that state two increases of it. One increase is due to a
    high kurtosis of the weights, the other is due to weights drawn from saturated networks.
    """
    ours, own = of_target(record, GAIN), of_target(record, OWN_GAIN)
    return (
        "The paper's measure of robustness is the ratio $R$: the size of the smallest successful "
        "perturbation divided by the mean absolute component of the input. It is "
        f"{spread(ours)} % larger with Pearson VII weights of infinite kurtosis than with Gaussian "
        f"weights (the paper: almost {printed(GAIN):g} %). With weights drawn from the saturated "
        "instead of the vanilla networks, its largest increase over the layers is "
        f"{spread(own, 0)} % (the paper: as much as {printed(OWN_GAIN):g} %)."
    )


def heavier() -> str:
    """Return sentences on weights with heavier tails than the paper's family: Student's t with 3
    degrees of freedom. Their kurtosis is infinite too, so the kurtosis does not determine the gain.
    """
    gain = 100 * (student_ratio(3) / expected_ratio(0) - 1)
    return (
        "The limit belongs to this family, whose members are Student's t distributions with more "
        "than 4 degrees of freedom. With 3 degrees of freedom the kurtosis is infinite as well, "
        f"and the same formula gives an increase of {gain:.0f} %. So heavier tails than the "
        "paper's family would reach the increase that the paper states."
    )


def ratios(record: Record) -> Figure:
    """Draw the scaled ratio (smallest successful perturbation divided by the input's intensity)
    against the excess kurtosis of the weights. The figure shows measured ratios and the closed
    form.
    """
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
    """Return a table of the scaled ratio for some values of the excess kurtosis of the weights. The
    table also shows by how many per cent the scaled ratio is larger than for Gaussian weights.
    """
    return table(
        "The scaled ratio R for some values of the excess kurtosis. The intensity is the mean of "
        "|w1|, as in the paper, or the median. *R, mean* and *R, median*: the closed form. "
        "*Measured*: our measurements (range over the seeds). *Gain*: by how many per cent the "
        "closed form is larger than for Gaussian weights.",
        "tab-figure-6-gains",
        ["Excess kurtosis", "R, mean", "measured", "gain", "R, median", "measured", "gain"],
        list(_gain_rows(record)),
    )


def own_weights(record: Record) -> Table:
    """Return a table of the scaled ratio of linear classifiers whose prototypes are drawn from the
    weights of one layer of an MLP.
    """
    return table(
        "The scaled ratio of prototypes drawn from the weights of one layer. *Gain*: by how many "
        "per cent the ratio of the saturated layer is larger than that of the vanilla layer, with "
        "the mean of |w1|, as in the paper, and with the median. *Exact*: the gain with the mean "
        "and the exact smallest eps. *Cosine*: the mean absolute cosine of the two saturated "
        "prototypes. Mean over the seeds (range).",
        "tab-figure-6-own",
        ["Layer", "Vanilla", "Saturated", "Gain, mean", "Gain, median", "Exact", "Cosine"],
        list(_own_rows(record)),
    )


def largest_gain(record: Record) -> str:
    """Return sentences that state how much larger the scaled ratio is with weights of the saturated
    networks than with weights of the vanilla networks. The sentences state the largest increase of
    the scaled ratio among all layers of the MLPs.

    The increase of the scaled ratio is stated for two definitions of the input's intensity: the
    mean of |w1|, and the median of |w1|.
    """

    def best(intensity: str) -> str:
        found: dict[int | None, list[float]] = {}
        for row in record.rows:
            if row.name == "gain" and row.setting["intensity"] == intensity:
                found.setdefault(row.seed, []).append(row.value)
        return spread([max(each) for each in found.values()], 0)

    return (
        "*If the prototypes are drawn from the weights of trained networks, the ratio $R$ also "
        "rises by less than the paper says.* We take the layer in which it rises most from the "
        f"vanilla to the saturated network, for each seed. There the increase is {best('mean')} %, "
        f"and the paper says as much as {printed(OWN_GAIN):.0f} %. With the "
        f"median instead of the mean as the intensity, it is {best('median')} %. With the exact "
        "smallest eps, the ratio is smaller for the saturated network in "
        f"{listed(smaller(record)) or 'no layer'} with every seed. "
        f"Moreover, {heavy_without_gain(record)}."
    )


def heavy_without_gain(record: Record) -> str:
    """Return, of the layers in whose saturated network the weights have heavy tails, the one in
    which the scaled ratio grows least from the vanilla network, with its kurtosis and its gain.
    """
    found, exact = heavy(), _exact(record)
    network, layer = min(found, key=lambda each: fmean(exact[each]))
    return (
        f"in layer {layer} of the {MLPS[network]} the weights have heavy tails (excess kurtosis "
        f"{found[network, layer]:.1f}), but the ratio grows by only "
        f"{minus(f'{fmean(exact[network, layer]):.0f}')} %"
    )


def not_orthogonal(record: Record) -> str:
    """Return sentences that name the layers whose prototypes are far from orthogonal, so that
    equation (20) of the page overstates the smallest eps. They compare the gain of the scaled ratio
    by this formula with the gain by the exact smallest eps.
    """
    parts = []
    for (network, layer), exact in _exact(record).items():
        of = {"network": network, "layer": layer}
        cosine = mean(record, "own weights", method="saturated", measure="cosine", **of)
        if cosine > ORTHOGONAL:
            formula = mean(record, "gain", intensity="mean", **of)
            parts.append(
                f"In layer {layer} of the {MLPS[network]} the cosine is {cosine:.2f}. There the "
                f"gain is {minus(f'{fmean(exact):.0f}')} % instead of {formula:.0f} %."
            )
    return (
        "If the prototypes are not orthogonal, {eq}`eq-eps-min` overstates the smallest eps. "
        "For prototypes of equal length, the exact smallest eps is 1 minus the cosine times this "
        f"formula. {' '.join(parts)}"
    )


def smaller(record: Record) -> list[str]:
    """Return the layers in which, with every seed and the exact smallest eps, the scaled ratio is
    smaller for the saturated network than for the vanilla network.
    """
    return [
        f"layer {layer} of the {MLPS[network]}"
        for (network, layer), gains in _exact(record).items()
        if max(gains) < 0
    ]


def _exact(record: Record) -> dict[tuple[str, int], list[float]]:
    """Return for each layer the gain of the scaled ratio of the saturated over the vanilla network
    in per cent, with the exact smallest eps, one number per seed.
    """

    def each(network: str, method: str, layer: int, measure: str) -> list[float]:
        of = {"network": network, "method": method, "layer": layer}
        return values(record, "own weights", measure=measure, **of)

    found = {}
    for network in MLPS:
        for layer in (1, 2, 3):
            vanilla, saturated = (
                {name: each(network, method, layer, name) for name in ("mean", "cosine")}
                for method in COMPARED
            )
            found[network, layer] = exact_gains(vanilla, saturated)
    return found


def _gain_rows(record: Record) -> Iterator[list[str]]:
    for kurtosis in (0.0, 1.0, 10.0, 100.0, LIMIT):
        cells = []
        for name in INTENSITIES:
            measured = values(record, "scaled ratio", intensity=name, kurtosis=kurtosis)
            exact, gaussian = expected_ratio(kurtosis, name), expected_ratio(0.0, name)
            gain = 100 * (exact / gaussian - 1)
            cells += [f"{exact:.2f}", spread(measured, 2), f"{gain:+.1f} %"]
        yield ["infinite" if kurtosis == LIMIT else f"{kurtosis:g}", *cells]


def _own_rows(record: Record) -> Iterator[list[str]]:
    exact = _exact(record)
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
                minus(spread(exact[network, layer], 0)),
                spread(cosine, 2),
            ]
