"""Compute what the page on Figure 2 shows: accuracy and rho2 after each epoch of fine-tuning."""

from collections.abc import Sequence
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.badges import of_page
from robustbook.chapters.published import images_of, mean, records_of, settings, values
from robustbook.chapters.wording import bullets, listed, page_link
from robustbook.ledger import Record
from robustbook.studies.deep_defense.sizes import LOOKED, STEPS

from . import names

EARLY = 800
"""Up to this number of training steps, shares of the increase in rho2 are compared."""
DRAWN = ("par-networks", "adv-training-i", "deep-defense")
QUANTITIES = (
    ("accuracy", "accuracy", "accuracy (%)"),
    ("rho2", r"$\rho_2$", r"$\rho_2$"),
)
"""For each quantity three texts: its name in the stored results, the title of its panel, and the
label of its axis.
"""


def answer(records: Sequence[Record]) -> str:
    """Return a sentence that states how much of the increase in rho2 by Deep Defense happens in the
    first epoch (for the first record, which is that of the largest experiment), and on which of its
    networks Deep Defense then has a larger rho2 than adversarial training I.
    """
    largest = records[0]
    shares = listed(
        f"{early(largest, each)[0]:.0f} % ({names.title(largest, each)})"
        for each in names.networks(largest)
    )
    fast = all(early(largest, each)[0] > 50 for each in names.networks(largest))
    badges = of_page("deep_defense/figure-2", {"curves of the paper's figure": ""})
    return (
        f"{'Fast' if fast else 'Slowly'} on MNIST: the first epoch gives {shares} of the increase "
        "in $\\rho_2$; Deep Defense is then ahead of adversarial training I "
        f"{_ahead(names.each_network([largest]), ['adv-training-i'])}. {badges}"
    )


def _ahead(shown: Sequence[tuple[Record, str]], others: Sequence[str] = DRAWN) -> str:
    """Return text that names the networks on which none of the methods in ``others`` has a larger
    rho2 than Deep Defense at the first evaluation.
    """
    leads = [_leads(*each, 0, others) for each in shown]
    ahead = listed(
        names.with_article(*each) for each, lead in zip(shown, leads, strict=True) if lead
    )
    return f"only on {ahead}" if ahead and not all(leads) else f"on {names.counted(leads)}"


def later(records: Sequence[Record]) -> str:
    """Return sentences that name the networks on which Deep Defense has the largest rho2 at the
    first evaluation, and at the last evaluation, of the fine-tuning. They also state how the
    accuracy changes, and with how many seeds it is lower at the end.
    """
    shown = names.each_network(records)
    last = names.counted([_leads(*each, -1) for each in shown])
    recovered = [each for each in shown if fmean(falls(*each, -1)) <= 0]
    lower = [each for each in shown if each not in recovered]
    return (
        f"Of the {len(DRAWN)} methods in the figure, Deep Defense has the largest $\\rho_2$ "
        f"{_ahead(shown)} at the first evaluation, and on {last} after the last epoch. Adversarial "
        "training II, which has a larger $\\rho_2$ on MNIST than Deep Defense in Table 1, was not "
        "measured after each epoch. In the first epoch of Deep Defense the accuracy falls by "
        f"{_falls(recovered, 0)}, but recovers later. At the end it is lower by "
        f"{_falls(lower, -1, seeds=True)}. {_in_table_1(lower)}"
    ).strip()


def _in_table_1(shown: Sequence[tuple[Record, str]]) -> str:
    """Return sentences with the losses of accuracy by Deep Defense in Table 1 and the reason why
    they differ from those of the figure: more test images. Return "" if there are no networks.
    """
    tables = {each.profile: each for each in records_of("deep_defense/table-1")}
    losses, sizes = [], set()
    for record, network in shown:
        table = tables[record.profile]
        start, end = (
            mean(table, "accuracy", network=network, method=method)
            for method in ("reference", "deep-defense")
        )
        losses.append(f"{start - end:.1f} points on {names.with_article(record, network)}")
        sizes.add((LOOKED[network], images_of(table, "accuracy", network=network)))
    if not losses:
        return ""
    ((here, there),) = sizes
    return (
        f"{page_link('table1')} states losses of {listed(losses)} for the same networks. Only the "
        f"test images differ: {there:,} there, and {here:,} of these here. There the confidence "
        "intervals of both losses contain 0."
    )


def dip(records: Sequence[Record]) -> str:
    """Return sentences that state how far the accuracy on the narrow ConvNet falls at the first
    evaluation of Deep Defense, on average and with the seed on which it falls most, and where it
    ends.
    """
    (record,) = (r for r, network in names.each_network(records) if network == "convnet")
    first, last = (_marks(record, "convnet")[i] for i in (0, -1))
    of = {"network": "convnet", "method": "deep-defense"}
    start = values(record, "accuracy", network="convnet", method="reference")
    then, end = (values(record, "accuracy", epoch=epoch, **of) for epoch in (first, last))
    worst = max(a - b for a, b in zip(start, then, strict=True))
    return (
        f"On {names.with_article(record, 'convnet')} the accuracy falls most: from "
        f"{fmean(start):.1f} to {fmean(then):.1f} % after epoch {first}, with one seed by "
        f"{worst:.1f} points. After epoch {last} it is {fmean(end):.1f} %, so it has not fully "
        "recovered."
    )


def apart(records: Sequence[Record]) -> str:
    """Return sentences that state by how much the accuracies after the last epoch differ from those
    of the same networks in Table 1, which are measured on more images.
    """
    tables = {each.profile: each for each in records_of("deep_defense/table-1")}
    parts = []
    for record, network in names.each_network(records):
        table, last = tables[record.profile], _marks(record, network)[-1]
        furthest = max(
            abs(
                mean(record, "accuracy", network=network, method=method, epoch=last)
                - mean(table, "accuracy", network=network, method=method)
            )
            for method in DRAWN
        )
        if furthest:
            parts.append(f"{furthest:.1f} points ({names.title(record, network)})")
    return (
        f"{page_link('table1')} uses more test images for some of these networks. There the "
        f"accuracies after the last epoch differ by up to {listed(parts)}. Methods that differ by "
        "less than this may rank differently there."
    )


def _falls(shown: Sequence[tuple[Record, str]], place: int, *, seeds: bool = False) -> str:
    """Return text that states for each network by how many points the accuracy of Deep Defense is
    lower at the first (0) or last (-1) evaluation than before fine-tuning. With ``seeds``, it also
    states with how many seeds the accuracy is lower.
    """
    return listed(
        f"{fmean(lost):.1f} points on {names.with_article(*each)}"
        + (f" (with {names.counted([f > 0 for f in lost], 'seeds')})" if seeds else "")
        for each in shown
        for lost in (falls(*each, place),)
    )


def tested(records: Sequence[Record]) -> str:
    """Return sentences that state for each network the number of test images and of seeds, and
    after which epochs it is tested.
    """
    parts = []
    for record, network in names.each_network(records):
        marks = _marks(record, network)
        step = "after each epoch" if marks[0] == 1 else f"after every {marks[0]} epochs"
        count = len(values(record, "rho2", network=network, method="reference"))
        parts.append(
            f"{names.title(record, network)}: {count} seeds, {LOOKED[network]:,} test images, "
            f"{step} ({marks[-1]} epochs)"
        )
    return f"The networks in the figure are evaluated as follows:\n\n{bullets(parts)}"


def rival(record: Record) -> str:
    """Return sentences that compare Deep Defense with adversarial training I on LeNet, after the
    first and after the last epoch.
    """
    parts = []
    for place in (0, -1):
        epoch = _marks(record, "lenet")[place]
        ours, theirs = (
            values(record, "rho2", network="lenet", method=method, epoch=epoch)
            for method in ("deep-defense", "adv-training-i")
        )
        ahead = fmean(ours) > fmean(theirs)
        larger = names.counted(
            [(a > b) == ahead for a, b in zip(ours, theirs, strict=True)], "seeds"
        )
        parts.append(
            f"{fmean(theirs):.3f} with adversarial training I and {fmean(ours):.3f} with Deep "
            f"Defense ({'Deep Defense' if ahead else 'adversarial training I'} is ahead with "
            f"{larger})"
        )
    first, last = parts
    return (
        f"After the first epoch, $\\rho_2$ of LeNet is {first}. After the last epoch it is {last}."
    )


def early(record: Record, network: str) -> tuple[float, int, int]:
    """Return the percentage of the total increase in rho2 that Deep Defense reaches in the first
    epoch.

    Also return the numbers of the first and the last epoch for which rho2 is stored.
    """
    marks = _marks(record, network)
    return next(iter(shares_by_step(record, network).values())), marks[0], marks[-1]


def per_step(records: Sequence[Record]) -> str:
    """Return sentences that state after how many training steps Deep Defense reaches which share of
    its total increase in rho2, for all evaluations after at most `EARLY` steps but the last one.
    """
    shown = names.each_network(records)
    steps = listed(f"{STEPS[n]} on {names.with_article(r, n)}" for r, n in shown)
    parts = []
    for record, network in shown:
        share_at = shares_by_step(record, network)
        last = max(share_at)
        marks = listed(
            f"{share:.0f} % after {step}"
            for step, share in share_at.items()
            if step <= EARLY and step < last
        )
        parts.append(f"{names.title(record, network)}: {marks} of {last:,} steps")
    return (
        f"An epoch has a different number of training steps: {steps}. Shares of the increase by "
        f"training step:\n\n{bullets(parts)}\n\nEach share is of the increase after all steps of "
        "the same network, and these numbers of steps differ. So they cannot be compared closely."
    )


def shares_by_step(record: Record, network: str) -> dict[int, float]:
    """Return for each evaluation the number of training steps, and the percentage of the total
    increase in rho2 that Deep Defense has reached.
    """
    marks = _marks(record, network)
    start = mean(record, "rho2", network=network, method="reference")
    rho = [_rho(record, network, "deep-defense", mark) - start for mark in marks]
    return {
        mark * STEPS[network]: 100 * each / rho[-1] for mark, each in zip(marks, rho, strict=True)
    }


def epochs(records: Sequence[Record]) -> Figure:
    """Draw two panels per network: the accuracy against the epoch, and rho2 against the epoch. Each
    panel has a curve per method.
    """
    return figures.lines(
        [
            figures.Panel(
                f"{names.title(record, network)}: {title}",
                "epoch of fine-tuning",
                label,
                {names.METHODS[method]: curve(record, name, network, method) for method in DRAWN},
                {},
                ticks=(0.0, *map(float, _marks(record, network))),
            )
            for record, network in names.each_network(records)
            for name, title, label in QUANTITIES
        ]
    )


def curve(record: Record, name: str, network: str, method: str) -> figures.Curve:
    """Return one curve per seed: the values of a quantity, such as rho2, after each epoch of
    fine-tuning. The value at epoch 0 is that of the reference network.
    """
    of = {"network": network, "method": method}
    marks = sorted(settings(record, name, "epoch", **of))
    start = values(record, name, network=network, method="reference")
    each = [values(record, name, epoch=epoch, **of) for epoch in marks]
    return figures.Curve(
        [0.0, *map(float, marks)],
        [list(seed) for seed in zip(start, *each, strict=True)],
        figures.LOOKS[method],
    )


def _marks(record: Record, network: str) -> list[int]:
    return sorted(settings(record, "rho2", "epoch", network=network, method="deep-defense"))


def falls(record: Record, network: str, place: int) -> list[float]:
    """Return for each seed by how many points the accuracy of Deep Defense is lower at the first
    (0) or last (-1) evaluation than before fine-tuning.
    """
    start = values(record, "accuracy", network=network, method="reference")
    of = {"network": network, "method": "deep-defense", "epoch": _marks(record, network)[place]}
    return [a - b for a, b in zip(start, values(record, "accuracy", **of), strict=True)]


def _rho(record: Record, network: str, method: str, epoch: int) -> float:
    return mean(record, "rho2", network=network, method=method, epoch=epoch)


def _leads(record: Record, network: str, place: int, others: Sequence[str] = DRAWN) -> bool:
    """Return whether none of the methods in ``others`` has a larger rho2 than Deep Defense after
    the first (0) or last (-1) epoch.
    """
    epoch = _marks(record, network)[place]
    ours = _rho(record, network, "deep-defense", epoch)
    return all(_rho(record, network, each, epoch) <= ours for each in others)
