"""Compute the content of the page on a replication of Deep Defense whose regulariser has zero
gradient.
"""

from collections.abc import Iterator
from itertools import pairwise, product
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.badges import of_page
from robustbook.chapters.published import (
    Version,
    array,
    as_printed,
    entries,
    mean,
    printed,
    record_of,
    tolerance,
    values,
)
from robustbook.chapters.verdicts import reasons_of
from robustbook.chapters.wording import beside, listed, ranges, spread
from robustbook.figures import Table
from robustbook.ledger import Record

from .names import counted
from .table1 import EPS_REF

ITEM = "deep_defense/followup-brown-2019"
METHODS = {
    "start": "Start",
    "vanilla": "Vanilla",
    "fine-tuned-deepfool-set": "Fine-tuned on DeepFool's set",
    "deep-defense-detached": "Replication's Deep Defense",
    "without-constant": "The same without the constant",
    "deepfool-set-100": "Fine-tuned, batches of 100",
    "deepfool-set-slower": "Fine-tuned, lower rate",
    "clean": "Fine-tuned on clean images",
    "clean-100": "Clean images, batches of 100",
    "deep-defense": "Deep Defense with its gradient",
}
LOOKS = {
    "vanilla": figures.LOOKS["reference"],
    "fine-tuned-deepfool-set": figures.LOOKS["adv-training-i"],
    "deep-defense-detached": figures.LOOKS["adv-training-ii"],
    "deepfool-set-100": figures.LOOKS["combination"],
    "deepfool-set-slower": figures.LOOKS["par-networks"],
    "clean": figures.LOOKS["clean"],
    "deep-defense": figures.LOOKS["deep-defense"],
}
DIAMONDS = figures.Look("black", r"$\diamondsuit$", " ")
PRINTED = ("vanilla", "fine-tuned-deepfool-set", "deep-defense-detached")
TUNED, THEIRS, LARGER, SLOWER = (
    "fine-tuned-deepfool-set",
    "deep-defense-detached",
    "deepfool-set-100",
    "deepfool-set-slower",
)
PANELS = {
    "on DeepFool's images": (TUNED, THEIRS, LARGER, SLOWER),
    "on the training set": ("vanilla", "clean", "deep-defense"),
}
EPS, SHARES = 0.028, (0.2, 0.5, 1.0)
"""EPS is the replication's eps_ref. SHARES are the shares of this eps_ref at which the accuracy
under FGS is shown.
"""


def answer(record: Record) -> str:
    """Return a sentence that says that the replication's regulariser has no effect, with the rho2
    of its Deep Defense and of its plain fine-tuning. It ends with the page's verdicts.
    """
    apart = max(values(record, "difference"))
    share = share_of_batches(record)
    badges = of_page(ITEM, {"numbers of the replication": ""})
    how = "almost entirely" if share > 90 else "mostly" if share > 50 else "partly"
    return (
        f"{'No' if apart == 0 else 'Partly'}: its regulariser has no gradient, and the trained "
        f"weights are the same without it; the higher $\\rho_2$ ({_rho(record, THEIRS):.3f} "
        f"instead of {_rho(record, TUNED):.3f}) comes {how} from larger batches. {badges}"
    )


def batches(record: Record) -> str:
    """Return a sentence that states how much of the difference in rho2 comes from the larger
    batches (100 images) alone.
    """
    return (
        "The replication's Deep Defense has a larger $\\rho_2$ than plain fine-tuning, but batches "
        f"of 100 instead of 64 images alone give {share_of_batches(record):.0f} % of this "
        "difference."
    )


def share_of_batches(record: Record) -> float:
    """Return how much larger batches alone increase rho2, in per cent of the increase by the
    replication's Deep Defense. Both increases are over plain fine-tuning on DeepFool's images.
    """
    return _explained(record, LARGER)


def agreement(record: Record) -> str:
    """Return sentences that state how the replication's numbers compare with the range of our
    seeds, how many of them lie above or below our means, and how wide the tolerances are.
    """
    measures = ("accuracy", "rho2", *(f"fgs-{share}" for share in SHARES))
    outside, verdicts = 0, {entry.id: entry.verdict for entry in entries("deep_defense")}
    above: dict[str, list[bool]] = {}
    for method, measure in product(PRINTED, measures):
        ours, number = _ours(record, method, measure), printed(f"{ITEM}/{method}/{measure}")
        assert number is not None
        outside += not min(ours) <= number <= max(ours)
        above.setdefault(method, []).append(number > fmean(ours))
    within = sum(
        verdicts[f"{ITEM}/{m}/{each}"] == "reproduced" for m in PRINTED for each in measures
    )
    low = counted([not each for each in above["vanilla"]], "numbers")
    high = counted(above[THEIRS][2:], "sizes")
    return (
        f"{'All' if within == (of := len(PRINTED) * len(measures)) else f'{within} of the'} {of} "
        f"numbers of the replication agree with ours within the tolerances, but {outside} of them "
        "lie outside the range of our "
        f"{len(record.seeds)} seeds. For its vanilla network, {low} are below our means; for its "
        f"Deep Defense, the accuracy under FGS is above our mean at {high}. {_wide_tolerances()}"
    )


def _wide_tolerances() -> str:
    """Return a sentence that counts the differences between two networks of the replication that
    are at most as large as the tolerance. There the vanilla network would pass as another one.
    """
    measures = ("accuracy", "rho2", *(f"fgs-{share}" for share in SHARES))
    wide = []
    for (a, b), measure in product(pairwise(PRINTED), measures):
        first, second = (printed(f"{ITEM}/{method}/{measure}") for method in (a, b))
        assert first is not None and second is not None
        wide.append(abs(first - second) <= tolerance(f"{ITEM}/{a}/{measure}"))
    return (
        "Neighbouring rows of the replication's table often differ by no more than the tolerance "
        f"({sum(wide)} of {len(wide)} cases). So these verdicts do not show that its ranking is "
        "reproduced."
    )


def reasons() -> str:
    """Return how many numbers of the replication were reproduced, and our explanation of each that
    was not.
    """
    return reasons_of(ITEM, "Comparisons in the replication's setting")


def methods_table(version: Version) -> Table:
    """Return a table with one row for each network: its accuracy, its rho2, and its accuracies
    under FGS. Each cell shows first the number that the replication reports, and then our result.
    """
    numbers = "replication / **ours**" if version.record.profile == "paper" else "**ours**"
    return version.table(
        f". Accuracy in per cent, ρ₂, and accuracy under FGS: {numbers}{ranges(version.record)}. "
        f"The sizes of FGS are shares of the replication's reference size {EPS_REF}, {EPS}.",
        "dd-replication",
        ["Network", "accuracy", "ρ₂", *(f"FGS {share} {EPS_REF}" for share in SHARES)],
        list(_method_rows(version.record)),
    )


def constant(record: Record) -> str:
    """Return sentences that state how much the replication's regulariser, a constant without
    gradient, changes the weights. The sentences also state eps_ref, the eps at which the network
    classifies half of the images correctly under FGS.
    """
    apart = max(values(record, "difference"))
    return (
        "We compare the weights of *Replication's Deep Defense* with those of a network that is "
        "trained in the same way, but without the constant regulariser. The largest "
        f"difference, over all seeds, is {apart:g}. The eps of FGS at which *Replication's Deep "
        "Defense* classifies half of the images correctly is "
        f"{spread(values(record, 'eps_ref'), 3)} in our runs and {EPS} in the replication."
    )


def under_fgs(record: Record) -> Figure:
    """Draw accuracy against the step size of FGS, together with the step sizes and accuracies that
    the replication reports.
    """
    curves = {
        METHODS[method]: figures.Curve(
            array(record, "eps")[::2],
            [seed[::2] for seed in array(record, f"along/{method}")],
            look,
        )
        for method, look in LOOKS.items()
        if method not in (SLOWER, "clean")
    }
    if record.profile == "paper":
        points = list(product(SHARES, PRINTED))
        y = [float(printed(f"{ITEM}/{m}/fgs-{share}") or 0) for share, m in points]
        curves["numbers of the replication"] = figures.Curve(
            [share * EPS for share, _ in points], [y], DIAMONDS
        )
    panel = figures.Panel("", "size of FGS, eps", "correctly classified (%)", curves, {})
    figure = figures.lines([panel], columns=1, height=3.6)
    with figures.style():
        for share in SHARES:
            figure.axes[0].axvline(share * EPS, color="0.4", linestyle=":", linewidth=1.2)
    return figure


def over_epochs(record: Record) -> Figure:
    """Draw rho2 after each epoch of fine-tuning; all curves start from the same network."""
    x_label = (
        "measurements after the start" if record.profile == "quick" else "epochs after the start"
    )
    return figures.lines(
        [
            figures.Panel(
                title,
                x_label,
                r"$\rho_2$",
                {METHODS[method]: _epochs(record, method) for method in methods},
                {},
            )
            for title, methods in PANELS.items()
        ],
        share_y=True,
    )


def epochs_in_words(record: Record) -> str:
    """Return sentences that state rho2 at three times: before fine-tuning, after the first epoch,
    and after the last epoch. They also state how much of the difference in rho2 between the
    replication's two networks a lower learning rate alone produces.
    """
    ends = listed(
        f"{_rho(record, method):.3f} for *{METHODS[method]}*"
        for method in PANELS["on DeepFool's images"]
    )
    lower = _rho(record, TUNED) < _rho(record, "start")
    return (
        f"Fine-tuning on DeepFool's images starts at a $\\rho_2$ of {_rho(record, 'start'):.3f}. "
        f"After one epoch it is {_first(record, TUNED):.3f} with batches of 64 and "
        f"{_first(record, LARGER):.3f} with batches of 100. After the last epoch it is {ends}. "
        f"So *{METHODS[TUNED]}* ends {'below' if lower else 'above'} its start. A lower learning "
        f"rate alone (*{METHODS[SLOWER]}*: batches of 64, and 64/100 of the rate) gives "
        f"{_explained(record, SLOWER):.0f} % of the difference between the replication's two "
        "fine-tuned networks."
    )


def with_gradient(record: Record) -> str:
    """Return sentences that state rho2 and the accuracy after two kinds of fine-tuning on clean
    images: Deep Defense with its true gradient, and training without the regulariser.
    """
    return (
        "*With its gradient the regulariser works, and costs accuracy.* The last row of the table "
        "shows Deep Defense, trained on the original images with batches of 100 and the "
        "replication's λ, c and d. Compared with the same training without the regulariser, its "
        f"$\\rho_2$ is {_rho(record, 'deep-defense'):.3f} instead of "
        f"{_rho(record, 'clean-100'):.4f}, which is "
        f"{_rho(record, 'deep-defense') / _rho(record, 'clean-100'):.2f} times as large. "
        f"{lost_accuracy(record)} We tried no other λ, c or d on this data set."
    )


def lost_accuracy(record: Record) -> str:
    """Return a sentence that states how Deep Defense changes the clean accuracy, compared with the
    same training without the regulariser.
    """
    ours, plain = (values(record, "accuracy", method=m) for m in ("deep-defense", "clean-100"))
    lower = counted([a < b for a, b in zip(ours, plain, strict=True)], "seeds")
    change = fmean(ours) - fmean(plain)
    return (
        f"Its clean accuracy is {abs(change):.1f} points {'lower' if change < 0 else 'higher'} "
        f"than after the same training without the regulariser: {spread(ours, 1)} instead of "
        f"{spread(plain, 1)} % (lower with {lower})."
    )


def why_accuracy_falls() -> str:
    """Return sentences that compare rho2 before fine-tuning with that of the MLP on MNIST, and say
    why the same c acts differently here.
    """
    record = record_of(ITEM)
    on_digits = mean(record_of("deep_defense/table-1"), "rho2", network="mlp", method="reference")
    return (
        f"Before fine-tuning, $\\rho_2$ is only {_rho(record, 'start'):.3f} here, and "
        f"{on_digits:.3f} for the MLP on MNIST. The two are measured with different preprocessing "
        "and different variants of DeepFool. If images lie nearer to the boundary, $e^{-c\\rho}$ "
        "is larger, so with the same c the regulariser weighs more. This may be the reason for "
        "the loss."
    )


def on_clothing() -> str:
    """Return a sentence that states for other pages how Deep Defense changes the clean accuracy on
    Fashion-MNIST.
    """
    record = record_of(ITEM)
    ours, plain = (mean(record, "accuracy", method=m) for m in ("deep-defense", "clean-100"))
    return (
        f"On Fashion-MNIST, the clean accuracy with Deep Defense is {abs(ours - plain):.1f} points "
        f"{'lower' if ours < plain else 'higher'} than after the same training without the "
        "regulariser ([replication](./replication.ipynb))."
    )


def _rho(record: Record, method: str) -> float:
    return mean(record, "rho2", method=method)


def _first(record: Record, method: str) -> float:
    """Return rho2 after the first epoch of fine-tuning, as the mean over the seeds."""
    seeds = array(record, f"rho/{method}")
    return float(sum(seed[0] for seed in seeds) / len(seeds))


def _explained(record: Record, method: str) -> float:
    """Return the increase in rho2 by a method, in per cent of the increase by the replication's
    Deep Defense. Both increases start from the rho2 after fine-tuning on DeepFool's images without
    a regulariser.
    """
    tuned = _rho(record, TUNED)
    return 100 * (_rho(record, method) - tuned) / (_rho(record, THEIRS) - tuned)


def _epochs(record: Record, method: str) -> figures.Curve:
    pairs = zip(array(record, "rho/start"), array(record, f"rho/{method}"), strict=True)
    seeds = [start + seed for start, seed in pairs]
    return figures.Curve(list(map(float, range(len(seeds[0])))), seeds, LOOKS[method])


def _method_rows(record: Record) -> Iterator[list[str]]:
    for method, name in METHODS.items():

        def cell(measure: str, ours: list[float], digits: int, method: str = method) -> str:
            there = method in PRINTED and record.profile == "paper"
            theirs = as_printed(f"{ITEM}/{method}/{measure}") if there else None
            return beside(ours, theirs, digits)

        yield [
            name,
            cell("accuracy", values(record, "accuracy", method=method), 1),
            cell("rho2", values(record, "rho2", method=method), 3),
            *(cell(f"fgs-{share}", _under(record, method, share), 1) for share in SHARES),
        ]


def _ours(record: Record, method: str, measure: str) -> list[float]:
    """Return for each seed our result for a measure that the replication reports."""
    if measure.startswith("fgs-"):
        return _under(record, method, float(measure.removeprefix("fgs-")))
    return values(record, measure, method=method)


def _under(record: Record, method: str, share: float) -> list[float]:
    """Return for each seed the accuracy under FGS with an eps of ``share`` times the replication's
    eps_ref.
    """
    return values(record, "fgs", method=method, share=share, reading="printed")
