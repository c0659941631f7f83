"""Compute the content of the page on Table 1: accuracy, rho2 and accuracy under FGS for each
combination of network and method.
"""

from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.badges import of_page
from robustbook.chapters.published import (
    Version,
    compared,
    entries,
    images_of,
    mean,
    record_of,
    records_of,
    values,
)
from robustbook.chapters.wording import listed, minus, page_link, ranges, seeds_in_words, spread
from robustbook.figures import Table, table
from robustbook.ledger import Entry, Record, counts, difference_interval
from robustbook.studies.deep_defense.sizes import LOOKED

from . import figure2, figure3
from .names import IDS, METHODS, coloured, counted, each_network, networks, title, with_article

PRINTED = ("reference", "par-networks", "adv-training-i", "deep-defense")
"""The methods in the paper's table, as we remember it."""
DATA = {"quick": ("digits", "scenes"), "reduced": ("CIFAR-10", "CIFAR-10")}
"""For the profiles ``quick`` and ``reduced``, two data sets: one of gray images and one of colour
images. For the profile ``paper`` they are MNIST and CIFAR-10.
"""
RIVAL = "adv-training-ii"
SHARES = (0.2, 0.5, 1.0)
EPS_REF = r"$\epsilon_\mathrm{ref}$"
"""The symbol of the reference size."""
RIVAL_EPS = {"mlp": 25.5, "lenet": 25.5, "convnet": 2.0, "nin": 2.0}
"""The eps of adversarial training II, in the units of eps_ref."""
LOSS = 0.2
"""A decrease of the accuracy by at most this many percentage points does not count as a loss. The
list of the paper's numbers states the same limit.
"""
CHOICES = {
    "plain": "label, not clipped",
    "predicted": "prediction, not clipped",
    "clipped": "label, clipped",
}
"""For each variant of FGS, the class whose loss it differentiates, and whether the images are
clipped.
"""


LOOKS = {
    "other methods": figures.LOOKS["reference"],
    "Deep Defense": figures.LOOKS["deep-defense"],
}


def answer(record: Record) -> str:
    """Return a sentence that says by which factor Deep Defense increases rho2, and whether this is
    more than with adversarial training I and II. The verdicts follow.
    """
    shown = networks(record)
    leads = [[_leads(record, n, (each,)) for n in shown] for each in ("adv-training-i", RIVAL)]
    start = "Yes" if all(map(all, leads)) else "Partly" if any(map(any, leads)) else "No"
    first, second = (
        "more" if all(each) else "not always more" if any(each) else "less" for each in leads
    )
    ratios = " and ".join(
        f"{_rho(record, n, 'deep-defense') / _rho(record, n, 'reference'):.2f} ({title(record, n)})"
        for n in shown
    )
    link = "and" if first == second else "but"
    return (
        f"{start}, on MNIST: Deep Defense multiplies $\\rho_2$ by {ratios}, {first} than "
        f"adversarial training on stored DeepFool images, {link} {second} than that on new FGSM "
        f"images. {verdicts()}"
    )


def verdicts() -> str:
    """Return the verdicts on Table 1, which compare Deep Defense with the reference network, and on
    the claim about the adversarial training that the authors' post cites.
    """
    kinds = {
        "MNIST, ρ₂ above the reference network": "/table-1/mnist-.*/(reference|deep-defense)/rho2",
        "MNIST, accuracy": "/table-1/mnist-.*/deep-defense/accuracy",
        "CIFAR-10": "/table-1/cifar10-.*/((reference|deep-defense)/rho2|deep-defense/accuracy)",
        "": "",  # numbers and orders without a statement that we could read, and ImageNet
    }
    label = "against adversarial training with FGSM (authors' post)"
    rival = of_page("deep_defense/claims", {label: "/claim-7/check", "": ""})
    return f"{of_page('deep_defense/table-1', kinds)}; {rival}"


def all_counts() -> str:
    """Return sentences that count the verdicts on the orders of the page and its other numbers, say
    how many of these were not measured, and which orders are *not reproduced*.
    """
    lines = compared("deep_defense/table-1")
    orders = stated(lines)
    failed = sum(line.verdict == "not reproduced" for line in orders)
    rest = f"{failed} of them are" if failed else "No comparison of this page is"
    others = [line for line in lines if line not in orders]
    unrun = [line for line in others if line.verdict == "not run"]
    where = " (all on ImageNet)" if all("/imagenet-" in line.id for line in unrun) else ""
    return (
        f"This page judges {len(orders)} orders: {counts(orders)}. For the other {len(others)} "
        f"cells we know no statement of the paper. We did not measure {len(unrun)} of these "
        f"cells{where}. {rest} *not reproduced*. The verdict *not reproduced* at the top of the "
        f"page is on claim 7 of the authors' post ({page_link('claims')})."
    )


def stated(lines: Iterable[Entry]) -> list[Entry]:
    """Return the lines of the ledger for which we know a number or an order of the paper."""
    return [e for e in lines if e.target.kind != "none" or e.target.compare != "shape"]


def changes(record: Record) -> str:
    """Return sentences that state by how much the rho2 of Deep Defense exceeds that of adversarial
    training I, how it changes the accuracy, and on how many networks adversarial training II has a
    larger rho2.
    """
    shown = networks(record)
    margins = listed(
        f"{100 * (_rho(record, n, 'deep-defense') / _rho(record, n, 'adv-training-i') - 1):.0f} % "
        f"on {with_article(record, n)}"
        for n in shown
    )
    leads = counted([_leads(record, n, PRINTED) for n in shown], "networks on MNIST")
    rival = counted([not _leads(record, n, (RIVAL,)) for n in shown], "networks on MNIST")
    return (
        "Of the methods that we remember in the paper's table, Deep Defense has the largest "
        f"$\\rho_2$ on {leads}. It exceeds that of adversarial training I by {margins}. The "
        f"accuracy changes by {_costs(record, 2)}. But with the released "
        f"c = {figure3.USUAL['c']:g}, adversarial training II has a larger $\\rho_2$ than Deep "
        f"Defense on {rival} ({page_link('figure3')} varies c)."
    )


def rival_cost(record: Record) -> str:
    """Return a sentence that states how adversarial training II and Deep Defense change the clean
    accuracy of each network.
    """
    parts = "; ".join(
        f"on {with_article(record, n)} by {round(_gained(record, n, RIVAL), 2) + 0.0:+.2f} and "
        f"{_gained(record, n):+.2f} points"
        for n in networks(record)
    )
    return minus(
        f"Adversarial training II and Deep Defense change the clean accuracy {parts}, compared "
        "with the reference network."
    )


def rival_eps(records: Sequence[Record]) -> str:
    """Return sentences that state the eps of adversarial training II divided by eps_ref for each
    network. If the eps is above eps_ref, the largest eps of the table, the sentences say so, and
    how rho2 and the accuracy differ from those of Deep Defense.
    """
    found = [
        (record, n, RIVAL_EPS[n] / mean(record, "eps_ref", network=n, reading="eps"))
        for record, n in each_network(records)
    ]
    parts = listed(f"{ratio:.1f} ({title(record, n)})" for record, n, ratio in found)
    text = f"The eps of adversarial training II, divided by {EPS_REF}, is {parts}."
    large = [(record, n) for record, n, ratio in found if ratio > SHARES[-1]]
    if not large:
        return text
    where = listed(with_article(*each) for each in large)
    return (
        f"{text} The table tests no eps above {EPS_REF}. So on {where} this method was trained for "
        "larger perturbations than any that the table tests. With a smaller eps it may do better, "
        "but we tried no other. We compare it with Deep Defense there, with 95 % confidence "
        "intervals over the seeds in brackets. "
        f"Its $\\rho_2$ differs by {_ahead(large, 'rho2', '+.4f')}. "
        f"Its clean accuracy differs by {_ahead(large, 'accuracy', '+.2f', ' points')}."
    )


def _ahead(shown: Sequence[tuple[Record, str]], name: str, form: str, unit: str = "") -> str:
    """Return text that states for each network a number of adversarial training II minus that of
    Deep Defense, with the 95 % confidence interval over the seeds.
    """
    parts = []
    for record, network in shown:
        ours, rival = (
            values(record, name, network=network, method=m) for m in ("deep-defense", RIVAL)
        )
        low, high = difference_interval(rival, ours, paired=True)
        parts.append(
            f"{fmean(rival) - fmean(ours):{form}}{unit} on {with_article(record, network)} "
            f"({low:{form}} to {high:{form}})"
        )
    return minus(listed(parts))


def under_fgs(records: Sequence[Record]) -> str:
    """Return sentences that compare accuracies under FGS. Deep Defense is compared with adversarial
    training II at every eps, and on the narrow networks with the reference network.
    """
    ahead = [
        f"{fmean(_over(record, n, RIVAL, 'deep-defense', SHARES[-1])):.0f} points on "
        f"{with_article(record, n)}"
        for record, n in each_network(records)
        if not coloured(n)
    ]
    smaller = " ".join(
        f"On {with_article(record, n)} it is "
        + listed(
            f"{fmean(_over(record, n, RIVAL, 'deep-defense', share)):+.1f} points at {_size(share)}"
            for share in SHARES[:-1]
        )
        + "."
        for record, n in each_network(records)
        if not coloured(n)
    )
    text = (
        f"At {EPS_REF}, the accuracy under FGS is higher with adversarial training II than with "
        f"Deep Defense, by {' and by '.join(ahead)}. With smaller steps the difference is smaller. "
        f"{smaller}"
    )
    narrow = [each for each in each_network(records) if coloured(each[1])]
    if not narrow:
        return minus(text)
    tried = [(record, n, share) for record, n in narrow for share in SHARES]
    clear = []
    for record, n, share in tried:
        found = _over(record, n, "deep-defense", "reference", share)
        low, high = difference_interval(found, [0.0] * len(found), paired=True)
        if low > 0 or high < 0:
            clear.append(
                f"{fmean(found):+.1f} points on {with_article(record, n)} at {_size(share)} "
                f"({low:+.1f} to {high:+.1f})"
            )
    text += (
        " On the narrow networks we compare Deep Defense with the reference network. "
        f"{len(tried) - len(clear)} of the {len(tried)} differences are within the variation "
        "between seeds: their 95 % confidence intervals contain 0."
    )
    return minus(text + (f" The rest: {'; '.join(clear)}." if clear else ""))


def parseval(record: Record) -> str:
    """Return sentences that compare Parseval training with clean fine-tuning under FGS: at half the
    reference size, and at the two other sizes.
    """
    gains = {
        (n, share): fmean(_over(record, n, "par-networks", "clean", share))
        for n in networks(record)
        for share in SHARES
    }
    half = " and ".join(
        f"by {gains[n, 0.5]:.1f} points on {with_article(record, n)}" for n in networks(record)
    )
    others = max(abs(gain) for (_, share), gain in gains.items() if share != 0.5)
    return (
        f"At half of {EPS_REF}, its networks are more accurate under FGS than after clean "
        f"fine-tuning, {half}. At {_size(0.2)} and at {EPS_REF} the accuracies differ by at most "
        f"{others:.1f} points. We do not know why."
    )


def _size(share: float) -> str:
    return EPS_REF if share == 1 else f"{share:g} {EPS_REF}"


def _over(record: Record, network: str, method: str, other: str, share: float) -> list[float]:
    """Return for each seed the accuracy of a method under FGS minus that of another, in points."""
    first, second = (
        values(record, "fgs", reading="plain", share=share, network=network, method=each)
        for each in (method, other)
    )
    return [a - b for a, b in zip(first, second, strict=True)]


def _costs(record: Record, digits: int) -> str:
    """Return text that states how Deep Defense changes the accuracy of each network."""
    parts = (
        f"{_gained(record, n):+.{digits}f} points on {with_article(record, n)}"
        for n in networks(record)
    )
    return minus(" and ".join(parts))


def accuracy_in_words(record: Record) -> str:
    """Return sentences that state how Deep Defense changes the clean accuracy of each network, with
    the 95 % confidence interval of the change.
    """
    parts = []
    for network in networks(record):
        change, low, high = accuracy_change(network)
        parts.append(
            f"{change:+.2f} points on {with_article(record, network)} ({low:+.2f} to {high:+.2f})"
        )
    return minus(
        "Deep Defense changes the clean accuracy (in brackets the 95 % confidence interval) by "
        f"{' and by '.join(parts)}. We accept the claim if the accuracy falls by at most "
        f"{LOSS:g} points."
    )


def accuracy_change(network: str) -> tuple[float, float, float]:
    """Return the clean accuracy of Deep Defense minus that of the reference network, in points, and
    the ends of the 95 % confidence interval. All three are those in the table of verdicts.
    """
    target = f"deep_defense/table-1/{IDS[network]}/deep-defense/accuracy"
    (line,) = (each for each in entries("deep_defense") if each.id == target)
    assert line.judgement.difference is not None
    return line.judgement.difference


def narrow_in_words(records: Sequence[Record]) -> str:
    """Return sentences that state how Deep Defense changes the clean accuracy of the narrow
    networks, with how many seeds it falls, whether the intervals contain 0, and why Figure 2 has
    other numbers.
    """
    shown = [each for each in each_network(records) if coloured(each[1])]
    parts, unclear = [], []
    for record, network in shown:
        change, low, high = accuracy_change(network)
        unclear.append(low <= 0 <= high)
        ours, start = (
            values(record, "accuracy", network=network, method=m)
            for m in ("deep-defense", "reference")
        )
        falls = counted([a < b for a, b in zip(ours, start, strict=True)], "seeds")
        parts.append(
            f"On {with_article(record, network)}, Deep Defense changes the mean clean accuracy by "
            f"{change:+.1f} points (95 % confidence interval {low:+.1f} to {high:+.1f}; lower with "
            f"{falls})."
        )
    end = (
        "The intervals contain 0, so neither a loss nor its absence is shown with so few seeds."
        if all(unclear)
        else "Not all intervals contain 0."
    )
    return minus(f"{' '.join(parts)} {end} {_in_figure_2(shown)}")


def _in_figure_2(shown: Sequence[tuple[Record, str]]) -> str:
    """Return sentences with the changes of accuracy by Deep Defense in Figure 2, and the reason why
    they differ from those of Table 1: fewer test images, on the same networks.
    """
    curves = {record.profile: record for record in records_of("deep_defense/figure-2")}
    changed = listed(
        f"{-fmean(figure2.falls(curves[record.profile], n, -1)):+.1f} points on "
        f"{with_article(record, n)}"
        for record, n in shown
    )
    (here,) = {images_of(record, "accuracy", network=n) for record, n in shown}
    (there,) = {LOOKED[n] for _, n in shown}
    return (
        f"{page_link('figure2')} states {changed} for the same networks. Only the test images "
        f"differ: {here:,} here, and {there:,} of these there."
    )


def by_c() -> str:
    """Return sentences that compare adversarial training II on LeNet with Deep Defense for several
    values of c. One network does not decide if its rho2 differs from the mean of adversarial
    training II by less than the seeds of Deep Defense differ.
    """
    varied, table_1 = record_of("deep_defense/figure-3"), record_of("deep_defense/table-1")
    rival, seeds = (
        values(table_1, "rho2", network="lenet", method=m) for m in (RIVAL, "deep-defense")
    )
    lowest, *_ = cs = (5.0, 15.0, figure3.USUAL["c"])
    rho = {c: mean(varied, "rho2", **{**figure3.USUAL, "c": c}) for c in cs}
    ours = listed(f"{each:.3f} with c = {c:g}" for c, each in rho.items())
    noise = max(seeds) - min(seeds)
    ties = {c: abs(each - fmean(rival)) for c, each in rho.items()}
    ties = {c: gap for c, gap in ties.items() if gap < noise}
    accuracies = (
        mean(varied, "accuracy", **of)
        for of in ({**figure3.USUAL, "c": lowest}, {"method": "reference"})
    )
    with_lowest, start = (f"{accuracy:.2f} %" for accuracy in accuracies)
    tied = "".join(
        f"At c = {c:g} the order is open: one seed cannot decide a difference of {gap:.3f} from "
        f"the mean of adversarial training II. With c = {figure3.USUAL['c']:g} the seeds of Deep "
        f"Defense differ by up to {noise:.3f}. "
        for c, gap in ties.items()
    )
    return (
        "On LeNet, the order of the two methods seems to depend on c. With Deep Defense $\\rho_2$ "
        f"is {ours} ({page_link('figure3')}, one seed for each c, 2,000 images). With adversarial "
        f"training II it is {min(rival):.3f} to {max(rival):.3f} ({len(rival)} seeds, 10,000 "
        f"images). {tied}With c = {lowest:g} Deep Defense is ahead by far more than that, but its "
        f"accuracy on the 2,000 images is {with_lowest}, and that of the reference network {start}."
    )


def gains(versions: Sequence[Version]) -> str:
    """Return a sentence with the rho2 of Deep Defense divided by the rho2 of the reference network,
    for each network.
    """
    parts = listed(
        f"{_rho(record, network, 'deep-defense') / _rho(record, network, 'reference'):.2f} "
        f"({_title(record, network)})"
        for record, network in each_network(version.record for version in versions)
    )
    return (
        "We divide the mean $\\rho_2$ of Deep Defense by that of the reference network. The ratio "
        f"is {parts}."
    )


def methods_table(version: Version) -> Table:
    """Return a table with the columns that we remember in the paper's Table 1, and one row for each
    combination of network and method.
    """
    sizes = "; ".join(
        f"{_title(version.record, network)} "
        f"{spread(values(version.record, 'eps_ref', network=network, reading='eps'), 2)}"
        for network in networks(version.record)
    )
    grey = not any(map(coloured, networks(version.record)))
    greys = " (grey levels from 0 to 255)" if grey else ""
    means = f"{'Means' if len(version.record.seeds) > 1 else 'One seed'}{ranges(version.record)}"
    return version.table(
        f". {means}. Accuracies in per cent. The last three columns are accuracies under FGS at "
        f"0.2, 0.5 and 1.0 times {EPS_REF}. At 1.0, the accuracy of Deep Defense is 50 % by the "
        f"definition of {EPS_REF}. Each network with Deep Defense has its own {EPS_REF}, in units "
        f"of the preprocessed pixels{greys}: {sizes}.",
        "dd-table-1",
        ["Network, method", "Acc.", "ρ₂", *(f"FGS {share}" for share in SHARES)],
        list(_method_rows(version.record)),
    )


def strips(records: Sequence[Record]) -> Figure:
    """Draw the rho2 of each network, with a row per method and a mark per seed. The title of a
    panel states the number of seeds.
    """
    found = {
        _seeded(record, network): {
            name: {_drawn(method): values(record, "rho2", network=network, method=method)}
            for method, name in METHODS.items()
        }
        for record, network in each_network(records)
    }
    return figures.strips(found, LOOKS, r"$\rho_2$")


def _drawn(method: str) -> str:
    """Return the name of a method's marks in the legend. Only Deep Defense has its own name."""
    return METHODS[method] if method == "deep-defense" else "other methods"


def choices(record: Record) -> Table:
    """Return a table with a row for each combination of network and method. The columns are the
    accuracies under three variants of FGS, the mean number of DeepFool's steps, and the share of
    images on which DeepFool fails.
    """
    return table(
        f"Accuracy in per cent under three variants of FGS at {EPS_REF}. *Steps*: the mean number "
        "of steps of DeepFool. *Not fooled*: the share of images (%) on which five steps of "
        "DeepFool fail.",
        "tab-dd-table-1-readings",
        ["Network, method", *CHOICES.values(), "steps", "not fooled"],
        list(_choice_rows(record)),
    )


def choices_in_words(record: Record) -> str:
    """Return a sentence that states by how much the class and the clipping change the accuracies
    under FGS, at most.
    """
    shown = [each for each in networks(record) if not coloured(each)]
    plain, predicted, clipped = (
        [
            mean(record, "fgs", reading=variant, share=1.0, network=network, method=method)
            for network in shown
            for method in PRINTED
        ]
        for variant in CHOICES
    )
    by_class, by_clipping = (
        max(abs(a - b) for a, b in zip(each, plain, strict=True)) for each in (predicted, clipped)
    )
    return (
        f"The class changes these accuracies by at most {by_class:.1f} points, and clipping by at "
        f"most {by_clipping:.1f} points (means over the seeds)."
    )


def _title(record: Record, network: str) -> str:
    """Return the network's name with the name of its training set."""
    data = DATA.get(record.profile, ("MNIST", "CIFAR-10"))[coloured(network)]
    return f"{data} {title(record, network)}"


def _seeded(record: Record, network: str) -> str:
    """Return the title of a panel: the network's name and the number of seeds."""
    count = len(values(record, "rho2", network=network, method="reference"))
    return f"{_title(record, network)}, {seeds_in_words(count)}"


def _rho(record: Record, network: str, method: str) -> float:
    return mean(record, "rho2", network=network, method=method)


def _gained(record: Record, network: str, method: str = "deep-defense") -> float:
    """Return the clean accuracy of a method minus that of the reference network, in percentage
    points.
    """
    ours, start = (
        mean(record, "accuracy", network=network, method=m) for m in (method, "reference")
    )
    return ours - start


def _leads(record: Record, network: str, others: Sequence[str]) -> bool:
    """Return whether none of the methods in ``others`` has a larger mean rho2 than Deep Defense."""
    ours = _rho(record, network, "deep-defense")
    return all(_rho(record, network, each) <= ours for each in others)


def _method_rows(record: Record) -> Iterator[list[str]]:
    for network in networks(record):
        yield [f"**{_title(record, network)}**", *[""] * 5]
        for method, name in METHODS.items():
            of = {"network": network, "method": method}
            under = (values(record, "fgs", reading="plain", share=share, **of) for share in SHARES)
            yield [
                name,
                spread(values(record, "accuracy", **of), 2),
                spread(values(record, "rho2", **of), 4 if coloured(network) else 3),
                *(spread(each, 1) for each in under),
            ]


def _choice_rows(record: Record) -> Iterator[list[str]]:
    for network in (each for each in networks(record) if not coloured(each)):
        yield [f"**{_title(record, network)}**", *[""] * 5]
        for method in ("reference", "par-networks", "adv-training-i", "deep-defense"):
            of = {"network": network, "method": method}
            found = [values(record, "fgs", reading=each, share=1.0, **of) for each in CHOICES]
            if all(found):
                yield [
                    METHODS[method],
                    *(spread(each, 1) for each in found),
                    spread(values(record, "iterations", **of), 2),
                    spread(values(record, "unfooled", **of), 2),
                ]
