"""Compute what the overview of Deep Defense shows: the paper's claims with our findings, and the
trained networks under several attacks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from robustbook import ledger
from robustbook.chapters.claims import COLUMNS, Finding, by_kind, claims_table
from robustbook.chapters.published import (
    benchmark,
    mean,
    printed,
    record_of,
    records_of,
    values,
)
from robustbook.chapters.wording import listed, minus, power, spread
from robustbook.figures import Table, table
from robustbook.ledger import Record
from robustbook.studies.deep_defense.sizes import STEPS

from . import deepfool, figure2, figure3, figure4, names, replication
from .claims import in_short
from .table1 import stated, verdicts
from .today import NEAREST, nearest_gain

RIVAL = "adv-training-ii"
METHODS = {
    "reference": "Reference",
    "adv-training-i": "Adv. I",
    "adv-training-ii": "Adv. II",
    "deep-defense": "Deep Defense",
    "combination": "both",
}


def answer(record: Record) -> str:
    """Return a sentence that states by which factor Deep Defense increases the median distance that
    DeepFool or DDN find, and whether adversarial training II increases it more. The verdicts on
    Table 1 follow.

    ``record`` contains the stored results of Table 1. The distances come from the stored results of
    stronger attacks on the same networks.
    """
    attacked, shown = _attacked(record)
    found = [nearest_gain(attacked, each) for each in shown]
    by_deepfool = [nearest_gain(attacked, each, attack="deepfool") for each in shown]
    more = all(
        nearest_gain(attacked, n, RIVAL) > ours for n, ours in zip(shown, found, strict=True)
    )
    least = listed(
        f"{gain:.2f} ({names.title(record, n)})" for n, gain in zip(shown, found, strict=True)
    )
    return (
        f"{'Yes' if min(*by_deepfool, *found) > 1 else 'Not always'}, on MNIST: the median "
        f"distance found by DeepFool or DDN becomes {least} times as large, "
        f"{'but' if more else 'and'} adversarial training with FGSM increases it "
        f"{'more' if more else 'not more'}. Table 1: {verdicts()}"
    )


def factors(record: Record) -> Table:
    """Return a table that states by which factors Deep Defense and adversarial training II increase
    several measures of the distance to adversarial images. ``record`` contains the stored results
    of Table 1.
    """
    attacked, shown = _attacked(record)
    rows = [
        [
            f"{names.title(record, network)}, {names.METHODS[method]}",
            f"{_times(record, network, method, 'reference'):.2f}",
            *(f"{nearest_gain(attacked, network, method, each):.2f}" for each in NEAREST),
        ]
        for network in shown
        for method in ("deep-defense", RIVAL)
    ]
    return table(
        "By which factor measures of the distance to adversarial images grow, compared with the "
        "reference network (means over the seeds). *ρ₂*: the mean relative size of DeepFool's "
        "perturbation, over all images. The other columns are median distances over the images "
        "that the networks of all methods classify correctly. *Free*: without clipping, as in ρ₂; "
        "the others are clipped to [0, 1]. *Smaller of both*: the smaller distance of DeepFool and "
        "DDN on each image.",
        "tab-dd-overview-factors",
        ["Network, method", "ρ₂", *NEAREST.values()],
        rows,
    )


def cost() -> str:
    """Return sentences that state how long a training step takes with Deep Defense and with
    adversarial training II, compared with a plain training step, and on which processors both were
    measured.
    """
    ours, theirs = benchmark("deep_defense"), benchmark("adversarial_training")
    steps = {row["step"]: row["times_plain"] for row in ours["rows"]}
    (goodfellow,) = (
        row["plain_steps"] * row["ratio"]
        for row in theirs["rows"]
        if (row["network"], row["objective"]) == ("lenet", "Goodfellow")
    )
    return (
        f"On LeNet, a training step of Deep Defense takes {steps['deep defense']:.1f} times as "
        f"long as a plain one ([benchmarks](../benchmarks.ipynb), {ours['processor']}). A step of "
        f"adversarial training II takes {goodfellow:.1f} times as long, but on another processor "
        f"({theirs['processor'].replace('(R)', '')})."
    )


def combined_on_digits(record: Record) -> str:
    """Return sentences that compare the combination of Deep Defense and adversarial training II
    with Deep Defense: by the clean accuracy, and by how much of the advantage of adversarial
    training II it keeps. ``record`` contains the stored results of Table 1.
    """
    attacked, shown = _attacked(record)
    accuracies, bounded, nearest = [], [], []
    for network in shown:
        name, eps = names.title(record, network), names.shown_size(attacked, network)
        both, ours = (
            mean(record, "accuracy", network=network, method=method)
            for method in ("combination", "deep-defense")
        )
        kept = _kept(attacked, network, "accuracy", attack="worst", eps=eps)
        accuracies.append(f"{both:.2f} instead of {ours:.2f} % ({name})")
        bounded.append(f"{kept:.0f} % ({name})")
        kept = _kept(attacked, network, "shared median", attack="ddn")
        nearest.append(f"{kept:.0f} % ({name})")
    size = names.size_text(shown[0], names.shown_size(attacked, shown[0]))
    return (
        "The clean accuracy of the combination is about that of Deep Defense: "
        f"{listed(accuracies)}. Under all attacks at eps {size}, the combination keeps "
        f"{listed(bounded)} of the advantage of adversarial training II over Deep Defense. By "
        f"DDN's median distance it keeps {listed(nearest)}."
    )


def _kept(record: Record, network: str, name: str, **of: Any) -> float:
    """Return the advantage of the combination over Deep Defense, in per cent of the advantage of
    adversarial training II over Deep Defense.
    """
    both, rival, ours = (
        mean(record, name, network=network, method=m, **of)
        for m in ("combination", RIVAL, "deep-defense")
    )
    return 100 * (both - ours) / (rival - ours)


def combined() -> str:
    """Return a sentence that states the accuracies of the combination of Deep Defense with
    adversarial training II on the narrow networks.
    """
    parts = [
        f"{spread(ours, 1)} % on {names.with_article(record, network)} (reference network: "
        f"{mean(record, 'accuracy', network=network, method='reference'):.1f} %)"
        for record, network in _each("table-1")
        if names.coloured(network)
        and (ours := values(record, "accuracy", network=network, method="combination"))
    ]
    return f"The combination has a clean accuracy of {' and of '.join(parts)}."


def _attacked(record: Record) -> tuple[Record, list[str]]:
    """Return the stored results of stronger attacks, and the networks of ``record`` that they
    attack.
    """
    attacked = record_of("deep_defense/today")
    there = names.networks(attacked)
    return attacked, [each for each in names.networks(record) if each in there]


def claims() -> Table:
    """Return a table with one row for each claim: the claim, the page that tests it, our finding,
    and the counts of its verdicts, such as "reproduced".
    """
    return claims_table(
        "deep_defense",
        "Claims of the paper and its authors, and our own questions (in italics): the page that "
        "tests them, what we find, and the verdicts on that page. A question of our own has no "
        "verdict; its row counts the verdicts on the numbers and claims that its page compares, if "
        "there are any. *Without a printed number*: numbers for which we know no statement "
        "of the paper.",
        "tab-dd-overview",
        CLAIMS,
        columns={**COLUMNS, "words": "Claim or question"},
        count=_counted,
    )


def _counted(lines: Sequence[ledger.Entry]) -> str:
    """Return as text how many claims and numbers have each verdict, for each kind of comparison.
    The text counts apart how many numbers have no statement of the paper. It also says how many
    comparisons are the same as in another row of the overview's table.
    """
    here = {line.id for line in lines}
    repeated = [line for line in lines if line.same_as and line.same_as not in here]
    also = [replace(line, same_as="") for line in repeated]
    pages = {c.links for c in CLAIMS if any(c.decides(line.same_as) for line in repeated)}
    there = f" (including {ledger.counts(also)} that {listed(pages)} has too)"
    own = [line for line in (*lines, *also) if not line.same_as]
    told = [by_kind(stated(own))]
    if other := [line for line in own if line not in stated(own)]:
        unrun = sum(line.verdict == "not run" for line in other)
        words = f" ({unrun} of them *not run*)" if unrun else ""
        told.append(f"without a printed number: {len(other)}{words}")
    return "; ".join(filter(None, told)) + (there if also else "")


def asked() -> Table:
    """Return a table that compares training methods. For each network of Table 1 there is one row
    per measurement, such as the accuracy under FGSM or the distance that DDN finds.
    """
    tables, todays = (
        {record.profile: record for record in records_of(f"deep_defense/{item}")}
        for item in ("table-1", "today")
    )
    seeds = ", ".join(
        f"{names.title(today, network)} {_seeds(today, network)}"
        for today, network in names.each_network(todays.values())
    )
    rows: list[list[str]] = []
    for profile, today in todays.items():
        for network in names.networks(today):
            rows += _asked(tables[profile], today, network)
    return table(
        "Each network under several attacks. Accuracies are in per cent, distances in the l2 norm, "
        "and sizes eps in the l-infinity norm. Medians are over the images that the networks of "
        "all methods classify correctly. *Both* is Deep Defense combined with adversarial training "
        f"II. All numbers are means over the seeds: {seeds}.",
        "tab-dd-overview-asked",
        ["Network, measure", *METHODS.values()],
        rows,
    )


def against_adversarial_training() -> Table:
    """Return a table that compares rho2 and accuracy of adversarial training II with those of Deep
    Defense, with one row for each network.
    """
    return table(
        "Adversarial training II compared with Deep Defense (means over the seeds of Table 1). "
        "*Ratio*: its ρ₂ divided by that of Deep Defense. *Difference*: its clean accuracy minus "
        "that of Deep Defense, in points. The last two columns are the ρ₂ of the two methods, with "
        "the range over the seeds.",
        "tab-dd-overview-rival",
        ["Network", "ρ₂, ratio", "accuracy, difference", "ρ₂, Adv. II", "ρ₂, Deep Defense"],
        [_against(record, network) for record, network in _each("table-1")],
    )


def _times(record: Record, network: str, method: str, other: str) -> float:
    """Return the mean rho2 of one method divided by the mean rho2 of another method."""
    ours, theirs = (mean(record, "rho2", network=network, method=m) for m in (method, other))
    return ours / theirs


def _each(item: str) -> list[tuple[Record, str]]:
    """Return all pairs of a record (the stored results of a run) and a network in this record, for
    one table or figure.
    """
    return names.each_network(records_of(f"deep_defense/{item}"))


def _exact() -> str:
    off = mean(record_of("deep_defense/claims"), "error", what="exactness")
    return f"the gradient agrees with finite differences to a relative error of {power(off)}"


def _compared() -> str:
    parts = []
    for record, network in _each("table-1"):
        ours, start = (
            [mean(record, name, network=network, method=m) for name in ("rho2", "accuracy")]
            for m in ("deep-defense", "reference")
        )
        times, points = ours[0] / start[0], ours[1] - start[1]
        parts.append(
            minus(f"{names.title(record, network)} {times:.2f} times and {points:+.2f} points")
        )
    return f"ρ₂ and accuracy compared with the reference network: {', '.join(parts)}"


def _early() -> str:
    """Return text that states how much of the final increase in rho2 by Deep Defense happens until
    the first evaluation, and after how many training steps this is.
    """
    parts = []
    for record, network in _each("figure-2"):
        share, first, last = figure2.early(record, network)
        name = names.title(record, network)
        steps = STEPS[network]
        parts.append(
            f"{name} {share:.0f} % after epoch {first} of {last} ({first * steps} of "
            f"{last * steps:,} steps)"
        )
    return ", ".join(parts)


def _masked() -> str:
    return figure4.masked(record_of("deep_defense/figure-4"))


def _anchored() -> str:
    record, parts = record_of("deep_defense/anchors"), []
    for network, name in (("mlp", "fc500-150-10-mnist"), ("lenet", "lenet-mnist")):
        ours = mean(record, "rho2", network=network, method="reference")
        there = float(printed(f"deep_defense/anchor-deepfool-table-1/{name}/rho2") or 0)
        parts.append(f"{names.TITLES[network]} {ours:.3f}, in the DeepFool paper {there:.2f}")
    return "ρ₂ of the reference networks: " + "; ".join(parts)


def _further() -> str:
    """Return text that states by which factor Deep Defense increases the median distance that
    DeepFool or DDN find, and on how many shared images if these are fewer than 100.
    """
    gains = []
    for record, n in _each("today"):
        images = mean(record, "shared images", network=n)
        few = f", {images:.0f} images" if images < 100 else ""
        gains.append(f"{nearest_gain(record, n):.2f} times ({names.title(record, n)}{few})")
    return f"median distance found by DeepFool or DDN: {', '.join(gains)}"


def _replicated() -> str:
    item, ours = "deep_defense/followup-brown-2019", "deep-defense-detached"
    record = record_of(item)
    times = mean(record, "rho2", method=ours) / mean(record, "rho2", method="vanilla")
    there = [float(printed(f"{item}/{name}/rho2") or 0) for name in (ours, "vanilla")]
    return (
        f"the numbers agree (ρ₂ is {times:.2f} times that of the vanilla network; in the "
        f"replication {there[0] / there[1]:.2f} times), but the regulariser there has no gradient: "
        f"larger batches alone give {replication.share_of_batches(record):.0f} % of the increase "
        "over plain fine-tuning"
    )


CLAIMS = (
    Finding(
        "The method: differentiate through DeepFool",
        ("figure1", "claims"),
        "code-networks/.*",
        _exact,
    ),
    Finding(
        "Deep Defense is more robust than the reference network, without observed loss of accuracy",
        ("table1",),
        "(table-1|supplement|text-results)/.*",
        _compared,
    ),
    Finding(
        "*How much of the increase in ρ₂ comes early in training?*",
        ("figure2",),
        "figure-convergence-.*",
        _early,
    ),
    Finding(
        "*How much do the parameters c, λ and d change ρ₂?*",
        ("figure3",),
        "figure-hyper-parameters/.*",
        figure3.spanned,
    ),
    Finding(
        "*Which layer gives the most robustness if the regulariser may change only this layer?*",
        ("figure4",),
        "figure-layer-masking/.*",
        _masked,
    ),
    Finding(
        "*Do our reference networks and our DeepFool give the numbers of the DeepFool paper?*",
        ("anchors",),
        "anchor-deepfool-.*",
        _anchored,
    ),
    Finding("*Does Deep Defense help against stronger attacks too?*", ("today",), "", _further),
    Finding(
        "*When can distances by two implementations of DeepFool be compared?*",
        ("deepfool",),
        "",
        lambda: deepfool.ranges_in_short(record_of("deep_defense/deepfool")),
    ),
    Finding(
        "A replication reports that Deep Defense makes networks more robust",
        ("replication",),
        "followup-brown-2019/.*",
        _replicated,
    ),
    Finding(
        "Claims of the authors' post",
        ("claims",),
        r"claim-\d+/.*",
        in_short,
    ),
)


def _ways(
    table_1: Record, today: Record, network: str
) -> Iterator[tuple[str, Record, str, dict[str, Any], int]]:
    """Yield for each row of the table its title, where its numbers are in the stored results, and
    the number of digits to show.
    """
    eps = names.shown_size(today, network)
    size, digits = names.size_text(network, eps), 3 if names.coloured(network) else 2
    yield "clean accuracy", table_1, "accuracy", {}, 2
    yield "ρ₂ by DeepFool, after the preprocessing", table_1, "rho2", {}, 3
    for name, attack in (("DeepFool", "deepfool"), ("DDN", "ddn")):
        words = f"median distance by {name}, clipped to [0, 1]"
        yield words, today, "shared median", {"attack": attack}, digits
    for words, attack in (("accuracy under FGSM", "fgsm"), ("under all attacks together", "worst")):
        yield f"{words}, eps {size}", today, "accuracy", {"attack": attack, "eps": eps}, 1


def _asked(table_1: Record, today: Record, network: str) -> Iterator[list[str]]:
    yield [f"**{names.title(today, network)}**", *[""] * len(METHODS)]
    for words, record, name, more, digits in _ways(table_1, today, network):
        found = [values(record, name, network=network, method=m, **more) for m in METHODS]
        if any(found):
            yield [words, *(f"{fmean(each):.{digits}f}" if each else "" for each in found)]


def _seeds(today: Record, network: str) -> int:
    return len(values(today, "median", network=network, method="reference", attack="ddn"))


def _against(record: Record, network: str) -> list[str]:
    rival, ours = (
        [mean(record, name, network=network, method=method) for name in ("rho2", "accuracy")]
        for method in (RIVAL, "deep-defense")
    )
    points = minus(f"{rival[1] - ours[1]:+.2f}")
    digits = 4 if names.coloured(network) else 3
    each = (
        spread(values(record, "rho2", network=network, method=method), digits)
        for method in (RIVAL, "deep-defense")
    )
    return [names.title(record, network), f"{rival[0] / ours[0]:.2f}", points, *each]
