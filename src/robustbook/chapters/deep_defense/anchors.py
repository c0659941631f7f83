"""Compare numbers printed in the DeepFool paper with our measurements, for a page of the book."""

from collections.abc import Iterator
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.badges import of_page
from robustbook.chapters.published import (
    Version,
    as_printed,
    entries,
    mean,
    printed,
    record_of,
    tolerance,
    values,
)
from robustbook.chapters.wording import beside, listed, page_link, ranges
from robustbook.figures import Table
from robustbook.ledger import Record

from .names import coloured, counted, networks, title, with_article
from .table1 import DATA

THERE = {
    "mlp": "FC500-150-10, MNIST",
    "lenet": "LeNet, MNIST",
    "convnet": "LeNet, CIFAR-10",
    "nin": "NIN, CIFAR-10",
}
"""For each of our networks, the name of the network in the DeepFool paper."""
METHODS = {
    "reference": "as trained",
    "clean": "tuned on clean images",
    "adv-training-i": "tuned on DeepFool's images",
    "fgs-set": "tuned on FGS images",
}


TARGETS = {
    "mlp": "fc500-150-10-mnist",
    "lenet": "lenet-mnist",
    "convnet": "lenet-cifar10",
    "nin": "nin-cifar10",
}
SETS = {
    "reference": "table-1/{}/test-error",
    "clean": "table-3/{}/clean-set",
    "adv-training-i": "table-3/{}/deepfool-set",
    "fgs-set": "table-3/{}/fgs-set",
}
"""For each method, the name under which the book stores the test error that the DeepFool paper
prints.
"""
SOURCE = "deep_defense/anchor-deepfool-"
"""The ids of all numbers of the DeepFool paper begin with this text."""
RHO, GAIN = "table-1/{}/rho2", "text/{}/rho2-gain"
AXIS = 0.28
"""The last label of the axis of Figure 6a in the DeepFool paper, which shows rho2 of LeNet."""


def answer(record: Record) -> str:
    """Return a sentence that says whether our reference networks have the rho2 that the DeepFool
    paper prints, states the largest difference, and says how many numbers after fine-tuning do not
    agree. It ends with the page's verdicts.
    """
    shown = networks(record)
    lines = {entry.id: entry for entry in entries("deep_defense")}
    agree = all(
        lines[f"deep_defense/anchor-deepfool-table-1/{TARGETS[n]}/{what}"].verdict == "reproduced"
        for n in shown
        for what in ("rho2", "test-error")
    )
    furthest = max(abs(_rho(record, n) - _number(RHO.format(TARGETS[n]))) for n in shown)
    tuned = [SETS[m] for m in METHODS if m != "reference"] + [GAIN]
    after = [lines[SOURCE + each.format(TARGETS[n])] for n in shown for each in tuned]
    others = [entry.verdict for entry in after if entry.verdict != "reproduced"]
    apart = (
        f"{len(others)} numbers differ by more than the tolerance ({listed(sorted(set(others)))})"
        if others
        else "all numbers agree"
    )
    badges = of_page(
        "deep_defense/anchors",
        {
            "networks as trained": "anchor-deepfool-table-1/",
            "errors after fine-tuning": "anchor-deepfool-table-3/",
            "increase of ρ₂ by fine-tuning": "anchor-deepfool-text/",
        },
    )
    return (
        f"{'Yes' if agree else 'Not all'}, on MNIST before fine-tuning: $\\rho_2$ differs from the "
        f"printed one by at most {furthest:.3f}; after fine-tuning, {apart}. {badges}"
    )


def references(record: Record) -> str:
    """Return a sentence that states rho2 of our reference networks beside the printed one."""
    parts = " and ".join(
        f"{_rho(record, n):.3f} for {with_article(record, n)} (DeepFool paper: {_printed_rho(n)})"
        for n in networks(record)
    )
    return f"The $\\rho_2$ of our reference networks is {parts}."


def _rho(record: Record, network: str) -> float:
    return mean(record, "rho2", network=network, method="reference")


def after_fgs(record: Record) -> str:
    """Return sentences that compare our test errors after fine-tuning on FGS images with those of
    the DeepFool paper, and state how this fine-tuning changes rho2.
    """
    parts, lower, changes, within, judged = [], [], [], [], set()
    verdicts = {entry.id: entry.verdict for entry in entries("deep_defense")}
    for network in networks(record):
        errors = values(record, "error", network=network, method="fgs-set")
        name, there = with_article(record, network), _printed_error(network, "fgs-set")
        below = counted([error < there for error in errors], "seeds")
        parts.append(f"{fmean(errors):.2f} % on {name} (paper: {there:.1f} %)")
        lower.append(f"on {name} with {below}")
        target = SOURCE + SETS["fgs-set"].format(TARGETS[network])
        allowed = tolerance(target)
        judged.add(verdicts[target])
        within.append(abs(fmean(errors) - there) <= allowed)
        start, tuned = (
            mean(record, "rho2", network=network, method=m) for m in ("reference", "fgs-set")
        )
        changes.append(f"from {start:.3f} to {tuned:.3f} on {name}")
    outside = "" if any(within) else " Both differ from the paper's by more than the tolerance of "
    outside = outside and (
        f"{outside}{allowed:g} points, but our intervals for one more run, widened by the "
        f"tolerance, contain the printed numbers. So the verdicts are *{' or '.join(judged)}*."
    )
    return (
        f"After fine-tuning on FGS images, our mean test errors are {' and '.join(parts)}. They "
        f"are lower than the paper's {' and '.join(lower)}.{outside} As in the DeepFool paper, "
        f"this fine-tuning lowers $\\rho_2$: {' and '.join(changes)}."
    )


def small_effect(record: Record) -> str:
    """Return sentences that compare the tolerance of the test errors with the effect of fine-tuning
    on DeepFool's images, both in the DeepFool paper and in our runs.
    """
    parts = []
    for network in networks(record):
        ours = [
            mean(record, "error", network=network, method=method)
            for method in ("reference", "adv-training-i")
        ]
        start, tuned = (_error_text(network, m) for m in ("reference", "adv-training-i"))
        rounded = "" if "." in start else " (rounded)"
        parts.append(
            f"On {with_article(record, network)} it lowers the error from {start}{rounded} to "
            f"{tuned} % in the paper, and from {ours[0]:.2f} to {ours[1]:.2f} % here."
        )
    allowed = tolerance(SOURCE + SETS["adv-training-i"].format(TARGETS["mlp"]))
    return (
        f"The tolerance of {allowed:g} points is larger than the effect of fine-tuning on "
        "DeepFool's images. So the verdicts on these errors do not show whether we reproduce the "
        f"effect. {' '.join(parts)}"
    )


def gain(record: Record) -> str:
    """Return sentences that compare the increase in rho2 by fine-tuning on DeepFool's images with
    the number in the text of the DeepFool paper.
    """
    gains = {
        network: [
            100 * (tuned / start - 1)
            for start, tuned in zip(
                *(
                    values(record, "rho2", network=network, method=method)
                    for method in ("reference", "adv-training-i")
                ),
                strict=True,
            )
        ]
        for network in networks(record)
    }
    parts = " and ".join(
        f"{fmean(each):.0f} % on {with_article(record, network)} ({len(each)} seeds)"
        for network, each in gains.items()
    )
    allowed = tolerance(SOURCE + GAIN.format(TARGETS["mlp"]))
    verdicts = {entry.id: entry.verdict for entry in entries("deep_defense")}
    there = _number(GAIN.format(TARGETS["mlp"]))
    judged = listed(
        f"*{verdicts[SOURCE + GAIN.format(TARGETS[network])]}* for {with_article(record, network)}"
        for network in gains
    )
    outside = [
        f"On {with_article(record, network)} the increase is below {there - allowed:g} % (the "
        "printed number minus the tolerance) with "
        f"{counted([gain < there - allowed for gain in each], 'seeds')}. Only the wide interval "
        f"for one more run, widened by {allowed:g} points on each side, contains the printed "
        "number."
        for network, each in gains.items()
        if fmean(each) < there - allowed
    ]
    return (
        "According to the DeepFool paper, fine-tuning on DeepFool's images increases $\\rho_2$ by "
        f"{there:g} %; the paper states only this one number for its networks on MNIST. In our "
        f"runs the increase is {parts}. With a tolerance of {allowed:g} points the verdict is "
        f"{judged}. {' '.join([*outside, _first_epoch(record), _axis()])}"
    )


def _first_epoch(record: Record) -> str:
    """Return sentences that state the increase in rho2 after one epoch of fine-tuning on DeepFool's
    images, because the DeepFool paper names no epoch.
    """
    curves = record_of("deep_defense/figure-2")
    parts = []
    for network in networks(record):
        start = mean(curves, "rho2", network=network, epoch=0)
        tuned = mean(curves, "rho2", network=network, method="adv-training-i", epoch=1)
        parts.append(f"{100 * (tuned / start - 1):.0f} % on {with_article(record, network)}")
    return (
        "The paper does not say after how many epochs $\\rho_2$ rises by this number; our verdicts "
        "use five. After one epoch our increase is "
        f"{' and '.join(parts)} ({page_link('figure2')}; on LeNet, on fewer test images)."
    )


def _axis() -> str:
    """Return a sentence on the curve of LeNet in the DeepFool paper, of which we read the axis."""
    most = 100 * (AXIS / _number(RHO.format(TARGETS["lenet"])) - 1)
    return (
        f"For LeNet, the axis of the paper's Figure 6a ends at {AXIS}, so its own increase is "
        f"probably at most {most:.0f} %; we could not read the curve."
    )


def strips(record: Record) -> Figure:
    """Draw the test errors of each network, before and after fine-tuning: the errors in the
    DeepFool paper and ours.
    """
    found = {
        THERE[network]: {
            name: {
                "ours": values(record, "error", network=network, method=method),
                "printed": [_printed_error(network, method)],
            }
            for method, name in METHODS.items()
        }
        for network in networks(record)
    }
    return figures.strips(found, figures.BESIDE, "test error (%)", hollow=figures.HOLLOW)


def errors(version: Version) -> Table:
    """Return a table of the test error and the rho2 of each network, both before and after
    fine-tuning.
    """
    return version.table(
        f". Test error in per cent and ρ₂: DeepFool paper / **ours**{ranges(version.record)}. The "
        "DeepFool paper prints ρ₂ only for networks before fine-tuning. Its Figure 6 shows ρ₂ "
        "after fine-tuning as curves.",
        "dd-anchors",
        ["Network in the paper / here", "error", "ρ₂"],
        list(_rows(version.record)),
    )


def _printed_rho(network: str) -> str:
    """Return rho2 with two significant digits, as the DeepFool paper prints it."""
    return f"{_number(RHO.format(TARGETS[network])):#.2g}"


def _printed_error(network: str, method: str) -> float:
    return _number(SETS[method].format(TARGETS[network]))


def _error_text(network: str, method: str) -> str:
    """Return the test error with the digits that the DeepFool paper prints."""
    return as_printed(SOURCE + SETS[method].format(TARGETS[network])) or ""


def _number(target: str) -> float:
    found = printed(SOURCE + target)
    assert found is not None
    return found


def _rows(record: Record) -> Iterator[list[str]]:
    for network in networks(record):
        data = DATA.get(record.profile, ("MNIST", "CIFAR-10"))[coloured(network)]
        yield [f"**{THERE[network]} / {title(record, network)}, {data}**", "", ""]
        for method, name in METHODS.items():
            error, rho = (
                values(record, what, network=network, method=method) for what in ("error", "rho2")
            )
            yield [
                name,
                beside(error, _error_text(network, method), 2),
                beside(rho, _printed_rho(network) if method == "reference" else None, 3),
            ]
