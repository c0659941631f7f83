"""The page of the DeepFool paper's own numbers, beside ours."""

from collections.abc import Iterator

from robustbook.chapters.published import Version, values
from robustbook.chapters.wording import spread
from robustbook.figures import Table, table
from robustbook.ledger import Record

from .names import networks, title

THERE = {
    "mlp": "FC500-150-10, MNIST",
    "lenet": "LeNet, MNIST",
    "convnet": "LeNet, CIFAR-10",
    "nin": "NIN, CIFAR-10",
}
"""What the DeepFool paper calls the networks."""
METHODS = {
    "reference": "as trained",
    "clean": "tuned on clean images",
    "adv-training-i": "tuned on DeepFool's images",
    "fgs-set": "tuned on FGS images",
}


def errors(version: Version) -> Table:
    """Test error and rho2 of each network, as trained and tuned."""
    return table(
        f"{version.heading}. Test error in percent and rho2, mean over the seeds (range).",
        f"tab-dd-anchors-{version.tag}",
        ["Network there and here", "error", "rho2"],
        list(_rows(version.record)),
    )


def _rows(record: Record) -> Iterator[list[str]]:
    for network in networks(record):
        yield [f"**{THERE[network]}: {title(record, network)}**", "", ""]
        for method, name in METHODS.items():
            error, rho = (
                values(record, what, network=network, method=method) for what in ("error", "rho2")
            )
            yield [name, spread(error, 2), spread(rho, 3)]
