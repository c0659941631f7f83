"""Compute the content of the page on Table 1 and Figure 1: the settings, and the places of the
noise layers.
"""

from collections.abc import Iterator, Sequence
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import Version, mean, printed, records_of, rows_of, values
from robustbook.chapters.wording import listed
from robustbook.figures import Table
from robustbook.ledger import Record
from robustbook.studies.self_ensemble.printed import points
from robustbook.studies.self_ensemble.sizes import TRAINING_IMAGES

from . import names
from .names import NETWORKS

IMAGES, VALUES = (f"self-ensemble/setup/{name}" for name in ("test-images", "c-values"))
NOISE = "noise of a layer"
DRAWS = 50
"""The number of noise draws over which RSE averages."""


def answer(record: Record) -> str:
    """Return sentences that state where the noise is and how strong it is, and in front of which
    convolution of VGG16 it is strongest in the text and in the released code.
    """
    levels = sorted({sigma for network in NETWORKS for sigma in sigmas(record, network)})
    return (
        "RSE adds noise before every convolution, with a standard deviation of "
        f"{' or '.join(f'{sigma:g}' for sigma in levels)}. VGG16's strongest noise is on the image "
        "in the paper's text, but before convolution "
        f"{strongest(record, 'vgg16')} in the released code."
    )


def settings_in_words(record: Record) -> str:
    """Return sentences that state the noise of each network, how many of our settings are copied
    from the paper or its code, and which settings are smaller.
    """
    told = [
        (r.value, printed(r.target)) for r in record.rows if r.target and not _counted(r.target)
    ]
    there = [(ours, theirs) for ours, theirs in told if theirs is not None]
    same = sum(ours == theirs for ours, theirs in there)
    attacked = listed([f"{n:,}" for n in sorted({images for images, _ in runs().values()})])
    trained = listed([str(n) for n in sorted(set(epochs().values()))])
    count = f"{same} of {len(there)}" if same < len(there) else f"{same}"
    return (
        f"{_noise(record)} For Model A and ResNeXt, the released code and the text place the noise "
        "alike, but a training script for ResNeXt has other levels. "
        f"{count} settings of the paper or its code are ours too, because we copied them; this "
        f"reproduces no result. Others are smaller: we train for {trained} epochs "
        f"instead of {names.THEIR_EPOCHS}, and attack {attacked} images instead of "
        f"{printed(IMAGES):,.0f}.{_wide()}"
    )


def _wide() -> str:
    """Return a sentence on the training of VGG16 of the paper's width, or "" if it was not run."""
    found = [r for r in records_of("self_ensemble/table-2") if r.profile == "paper"]
    if not found:
        return ""
    return (
        " VGG16 of the paper's width, which only [Table 2](./table2.ipynb) has, is trained for "
        f"{names.epochs(found[0], 'vgg16')} epochs."
    )


def strongest(record: Record, network: str) -> int | None:
    """Return the number of the convolution with the strongest noise in front of it. Return None if
    the noise is the same in front of all convolutions.
    """
    noise = sigmas(record, network)
    return noise.index(max(noise)) + 1 if max(noise) > min(noise) else None


def _noise(record: Record) -> str:
    """Return a sentence that states the standard deviations of the noise in each network."""
    by_noise: dict[str, list[str]] = {}
    for network, plain in NETWORKS.items():
        noise, place = sigmas(record, network), strongest(record, network)
        where = (
            f"one convolution and {min(noise):g} before the others" if place else "all convolutions"
        )
        by_noise.setdefault(f"{max(noise):g} before {where}", []).append(plain)
    told = ", and ".join(f"{words} ({listed(of)})" for words, of in by_noise.items())
    return f"The standard deviation of the noise is {told}."


def epochs() -> dict[str, int]:
    """Return for how many epochs each network was trained for Figure 6."""
    best = names.best(records_of("self_ensemble/figure-6"))
    return {network: names.epochs(record, network) for record, network in best}


def shorter() -> str:
    """Return a list that states, for each network of Figure 6, the epochs of training and the
    accuracies on clean images, with the authors' numbers. A remark on other draws may follow.
    """
    told = []
    for record, network in names.best(records_of("self_ensemble/figure-6")):
        rse, none = (names.at(record, network, d, 0.0) or 0.0 for d in ("rse", "none"))
        there = [points()[network, d][0.0][0] for d in ("rse", "none")]
        told.append(
            f"- {names.first_title(record, network)}, {names.epochs(record, network)} epochs"
            f"{names.trained_on(record, network, ', ')} ({names.size(record, network)}): "
            f"{rse:.1f} % with RSE ({there[0]:.1f} %) and "
            f"{none:.1f} % without a defense ({there[1]:.1f} %)."
        )
    lead = "Our accuracies on clean images, with those of the authors' data in brackets:"
    return "\n".join([f"{lead}\n", *told, "", *_other_draws()])


def _other_draws() -> Iterator[str]:
    """Yield a sentence for each network whose clean accuracy with RSE differs between the records
    of Figure 5 and Figure 6. These classify the same images with other draws of the noise.
    """
    of = {network: record for record, network in names.best(records_of("self_ensemble/figure-5"))}
    for record, network in names.best(records_of("self_ensemble/figure-6")):
        if network not in of or record.profile != of[network].profile or record.profile != "paper":
            continue  # on other profiles, the networks of the two pages were trained anew
        here = names.at(record, network, "rse", 0.0) or 0.0
        there = fmean(values(of[network], "accuracy", network=network, defense="rse", draws=DRAWS))
        if abs(there - here) > 0.05:
            yield (
                f"The page on [Figure 5](./figure5.ipynb) states {there:.1f} % for RSE on "
                f"{names.in_text(record, network)}: network, images and number of draws are the "
                "same, but the draws of the noise are not."
            )


def _counted(target: str) -> bool:
    """Return whether a setting is the number of images or of values of c, in which our runs of
    Figure 6 may differ from the paper.
    """
    return target in (IMAGES, VALUES)


def runs() -> dict[str, tuple[int, int]]:
    """Return two numbers for each network that was attacked for Figure 6: the number of test
    images, and the number of values of c including 0.
    """
    best = names.best(records_of("self_ensemble/figure-6"))
    return {
        network: (
            names.counted(record, network),
            1 + len(names.strengths(record, network, "rse")),
        )
        for record, network in best
    }


def sigmas(record: Record, network: str) -> list[float]:
    """Return the standard deviation of the noise in front of each convolution, in the order of the
    convolutions.
    """
    rows = [r for r in record.rows if r.name == NOISE and r.setting["network"] == network]
    return [float(r.setting["sigma"]) for r in sorted(rows, key=lambda r: int(r.setting["place"]))]


def layers(record: Record) -> Figure:
    """Draw Figure 1 for Model A and for VGG16. VGG16 is drawn twice, because the paper's text and
    the released code place the noise differently.
    """
    released = sigmas(record, "vgg16")
    first = [max(released), *[min(released)] * (len(released) - 1)]
    return figures.noise_layers(
        {
            "VGG16, by the text: the initial noise is on the image": first,
            "VGG16, as released: it is in front of the second convolution": released,
            "Model A, by the text and as released": sigmas(record, "model-a"),
        }
    )


def settings_table(version: Version) -> Table:
    """Return a table of settings of the three networks, and of counts such as numbers of layers. In
    a cell with two numbers, the number of the paper or its code stands before our number.
    """
    record = version.record
    best = names.best(records_of("self_ensemble/figure-6"))
    narrow = [NETWORKS[network] for own, network in best if own.profile != "paper"]
    where = f", with a narrow {listed(narrow)}" if narrow else ""
    shared = {"distillation: temperature": "table-1/distill/temperature"}
    rows = [
        ["RSE: initial noise", *_cells(record, "table-1/rse-{}/init-noise")],
        [
            "RSE: initial noise before convolution (the text / **ours, as released**)",
            *_places(record),
        ],
        ["RSE: noise inside", *_cells(record, "table-1/rse-{}/inner-noise")],
        ["RSE: draws per prediction", *_cells(record, "table-1/rse-{}/n")],
        *([words, *[_cell(record, name)] * 3] for words, name in shared.items()),
        ["parameters", *_cells(record, "setup/params-{}")],
        ["noise layers", *_counts(record, "noise layers")],
        ["Gaussian values drawn per image", *_counts(record, "normal numbers per pass")],
        ["steps of the attack", *_counts(record, "attack steps")],
        ["epochs of training", *_epochs()],
        ["training images", *_training_images()],
        ["test images attacked", *_run(0, IMAGES)],
        ["values of c, 0 included", *_run(1, VALUES)],
    ]
    return version.table(
        ": settings and counts: the paper or its code / **ours**. A cell without a slash has only "
        "our number. The networks are built at full width. The last four rows are those of our "
        f"stored results of Figure 6{where}.",
        "rse-table-1",
        ["", *NETWORKS.values()],
        rows,
    )


def _places(record: Record) -> list[str]:
    """Return table cells: the convolution with the initial noise, by the text / as released."""
    return [f"1 / **{strongest(record, network) or 1}**" for network in NETWORKS]


def _cells(record: Record, name: str) -> Sequence[str]:
    return [_cell(record, name.format(network)) for network in NETWORKS]


def _cell(record: Record, name: str) -> str:
    target = f"self-ensemble/{name}"
    (ours,) = (float(row.value) for row in record.rows if row.target == target)
    theirs = printed(target)
    return f"{'-' if theirs is None else _number(theirs)} / **{_number(ours)}**"


def _epochs() -> list[str]:
    found, there = epochs(), names.THEIR_EPOCHS
    return [f"{there} / **{found[n]}**" if n in found else f"{there} / -" for n in NETWORKS]


def _training_images() -> list[str]:
    """Return table cells: the number of training images of the data set / the number of ours."""
    best = names.best(records_of("self_ensemble/figure-6"))
    ours = {n: TRAINING_IMAGES.get((record.profile, n)) for record, n in best}
    return [
        f"{TRAINING_IMAGES['paper', n]:,} / {f'**{ours[n]:,}**' if ours.get(n) else '-'}"
        for n in NETWORKS
    ]


def _run(place: int, target: str) -> list[str]:
    there, found = _number(printed(target) or 0.0), runs()
    return [
        f"{there} / **{_number(float(found[n][place]))}**" if n in found else f"{there} / -"
        for n in NETWORKS
    ]


def _counts(record: Record, name: str) -> list[str]:
    return [f"**{_number(mean(record, name, network=network))}**" for network in NETWORKS]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:g}"


def largest_eps(record: Record) -> str:
    """Return a sentence that states the range of eps that FGSM uses in adversarial retraining."""
    (row,) = (row for row in record.rows if row.name == "largest eps")
    return (
        f"In adversarial retraining, the eps of FGSM is drawn for each batch between "
        f"{row.setting['smallest']:g} and {row.value:g}, as in the released code. We had no access "
        "to the range that the paper prints."
    )


def noise_table(version: Version) -> Table:
    """Return a table of the noise layers of VGG16. For each noise layer the table states the
    standard deviation, and how many random numbers are drawn per image.
    """
    rows = rows_of(version.record, NOISE, network="vgg16")
    total = sum(float(row.value) for row in rows)
    return version.table(
        f": the noise layers of {NETWORKS['vgg16']}, in their order.",
        "rse-noise-vgg16",
        ["Convolution", "Standard deviation", "Gaussian values"],
        [
            *(
                [f"`{row.setting['layer']}`", f"{row.setting['sigma']:g}", f"{row.value:,}"]
                for row in rows
            ),
            ["all", "", f"{total:,.0f}"],
        ],
    )
