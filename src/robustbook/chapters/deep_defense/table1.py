"""Compute the content of the page on Table 1: accuracy, rho2 and accuracy under FGS for each pair
of a network and a method.
"""

from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import Version, mean, values
from robustbook.chapters.wording import minus, spread
from robustbook.figures import Table, table
from robustbook.ledger import Record

from .names import METHODS, coloured, each_network, networks, title

PRINTED = ("reference", "par-networks", "adv-training-i", "deep-defense")
"""The methods in the paper's table."""
DATA = {"quick": ("digits", "scenes"), "reduced": ("CIFAR-10", "CIFAR-10")}
"""For the profiles ``quick`` and ``reduced``, two data sets: one of gray images and one of colour
images. For the profile ``paper`` they are MNIST and CIFAR-10.
"""
SHARES = (0.2, 0.5, 1.0)
CHOICES = {
    "plain": "label, not clipped",
    "predicted": "prediction, not clipped",
    "clipped": "label, clipped",
}
"""For each variant of FGS, the class whose loss it differentiates, and whether the images are
clipped.
"""


def answer(record: Record) -> str:
    """Return sentences that state how Deep Defense changes rho2 and the accuracy on clean images.
    The sentences also state on how many networks another method has a larger rho2 than Deep
    Defense.
    """
    shown = networks(record)
    changes = [
        f"{_rho(record, n, 'reference'):{_digits(n)}} to "
        f"{_rho(record, n, 'deep-defense'):{_digits(n)}} ({_title(record, n)}, accuracy "
        f"{minus(f'{_gained(record, n):+.2f}')} points)"
        for n in shown
    ]
    printed = _how_many([_leads(record, n, PRINTED) for n in shown])
    rival = _how_many([not _leads(record, n, ("adv-training-ii",)) for n in shown])
    return (
        f"Deep Defense changes $\\rho_2$ from {' and from '.join(changes)}. Of the methods in the "
        f"paper's table, Deep Defense has the largest $\\rho_2$ on {printed} networks. Adversarial "
        "training II, which is not in the paper's table, has a larger $\\rho_2$ than Deep Defense "
        f"on {rival} networks."
    )


def gains(versions: Sequence[Version]) -> str:
    """Return a sentence with the rho2 of Deep Defense divided by the rho2 of the reference network,
    for each network.
    """
    parts = (
        f"{_title(record, network)} "
        f"{_rho(record, network, 'deep-defense') / _rho(record, network, 'reference'):.2f}"
        for record, network in each_network(version.record for version in versions)
    )
    return (
        "The $\\rho_2$ of Deep Defense divided by that of the reference network (means over the "
        f"seeds) is: {'; '.join(parts)}."
    )


def methods_table(version: Version) -> Table:
    """Return a table with the columns of the paper's Table 1, and one row for each pair of a
    network and a method.
    """
    sizes = "; ".join(
        f"{_title(version.record, network)} "
        f"{spread(values(version.record, 'eps_ref', network=network, reading='eps'), 2)}"
        for network in networks(version.record)
    )
    return table(
        f"{version.heading}. Means (range over the seeds). Accuracies in per cent. The last three "
        "columns are accuracies under FGS at 0.2, 0.5 and 1.0 times eps_ref; at eps_ref the "
        "paper's accuracy is 50 for Deep Defense. The eps_ref of our networks, after the "
        f"preprocessing, is {sizes}.",
        f"tab-dd-table-1-{version.tag}",
        ["Network, method", "Acc.", "rho2", "0.2", "0.5", "1.0"],
        list(_method_rows(version.record)),
    )


def strips(records: Sequence[Record]) -> Figure:
    """Draw the rho2 of each network, with a row per method and a dot per seed."""
    found = {
        _title(record, network): {
            name: {"rho2": values(record, "rho2", network=network, method=method)}
            for method, name in METHODS.items()
        }
        for record, network in each_network(records)
    }
    return figures.strips(found, {"rho2": figures.LOOKS["deep-defense"]}, r"$\rho_2$")


def choices(record: Record) -> Table:
    """Return a table with a row for each pair of a network and a method. The columns are the
    accuracies under three variants of FGS, the mean number of DeepFool's steps, and the share of
    images on which DeepFool fails.
    """
    return table(
        "Accuracy in per cent under three variants of FGS at eps_ref; the mean number of steps of "
        "DeepFool; and the share of images (%) on which five steps of DeepFool fail.",
        "tab-dd-table-1-readings",
        ["Network, method", *CHOICES.values(), "steps", "not fooled"],
        list(_choice_rows(record)),
    )


def _title(record: Record, network: str) -> str:
    """Return the network's name with the name of its training set."""
    data = DATA.get(record.profile, ("MNIST", "CIFAR-10"))[coloured(network)]
    return f"{data} {title(record, network)}"


def _rho(record: Record, network: str, method: str) -> float:
    return mean(record, "rho2", network=network, method=method)


def _digits(network: str) -> str:
    """Return the number format for the rho2 of a network."""
    return ".4f" if coloured(network) else ".3f"


def _gained(record: Record, network: str) -> float:
    """Return the clean accuracy of Deep Defense minus that of the reference network, in percentage
    points.
    """
    ours, start = (
        mean(record, "accuracy", network=network, method=m) for m in ("deep-defense", "reference")
    )
    return ours - start


def _leads(record: Record, network: str, others: Sequence[str]) -> bool:
    """Return whether none of the methods in ``others`` has a larger mean rho2 than Deep Defense."""
    ours = _rho(record, network, "deep-defense")
    return all(_rho(record, network, each) <= ours for each in others)


def _how_many(holds: Sequence[bool]) -> str:
    return f"{sum(holds)} of {len(holds)}"


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
