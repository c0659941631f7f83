"""The page of Table 1: accuracy, rho2 and accuracy under FGS of each network and method."""

from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import Version, mean, values
from robustbook.chapters.wording import spread
from robustbook.figures import Table, table
from robustbook.ledger import Record

from .names import METHODS, coloured, each_network, networks, title

DATA = {"quick": ("digits", "scenes"), "reduced": ("CIFAR-10", "CIFAR-10")}
"""What the gray and the coloured networks of a profile are trained on; else MNIST, CIFAR-10."""
SHARES = (0.2, 0.5, 1.0)
CHOICES = {
    "plain": "label, not clipped",
    "predicted": "answer, not clipped",
    "clipped": "label, clipped",
}
"""At which class the gradient of FGS is taken, and whether its images are clipped."""


def gains(versions: Sequence[Version]) -> str:
    """Deep Defense's rho2 over the reference's, network by network."""
    parts = (
        f"{_title(record, network)} "
        f"{_rho(record, network, 'deep-defense') / _rho(record, network, 'reference'):.2f}"
        for record, network in each_network(version.record for version in versions)
    )
    return (
        f"Deep Defense's $\\rho_2$ over the reference's, mean over the seeds: {'; '.join(parts)}."
    )


def methods_table(version: Version) -> Table:
    """The paper's columns for each network and method."""
    sizes = "; ".join(
        f"{_title(version.record, network)} "
        f"{spread(values(version.record, 'eps_ref', network=network, reading='eps'), 2)}"
        for network in networks(version.record)
    )
    return table(
        f"{version.heading}. Mean, and the range over the seeds. Accuracies in percent; the last "
        "three columns under FGS at shares of eps_ref, which is in the networks' numbers: "
        f"{sizes}.",
        f"tab-dd-table-1-{version.tag}",
        ["Network, method", "Acc.", "rho2", "0.2", "0.5", "1.0"],
        list(_method_rows(version.record)),
    )


def strips(records: Sequence[Record]) -> Figure:
    """rho2 of each network, a row per method and a dot per seed."""
    found = {
        _title(record, network): {
            name: {"rho2": values(record, "rho2", network=network, method=method)}
            for method, name in METHODS.items()
        }
        for record, network in each_network(records)
    }
    return figures.strips(found, {"rho2": figures.LOOKS["deep-defense"]}, r"$\rho_2$")


def choices(record: Record) -> Table:
    """Accuracy at eps_ref by how the step of FGS is taken, and DeepFool's steps and failures."""
    return table(
        "Accuracy in percent under FGS at eps_ref, by reading; DeepFool's mean number of steps, "
        "and how many images (percent) five of them did not fool.",
        "tab-dd-table-1-readings",
        ["Network, method", *CHOICES.values(), "steps", "not fooled"],
        list(_choice_rows(record)),
    )


def _title(record: Record, network: str) -> str:
    """The network and what it was trained on."""
    data = DATA.get(record.profile, ("MNIST", "CIFAR-10"))[coloured(network)]
    return f"{data} {title(record, network)}"


def _rho(record: Record, network: str, method: str) -> float:
    return mean(record, "rho2", network=network, method=method)


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
