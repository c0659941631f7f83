"""Reproduce Table 2 of Nayebi & Ganguli 2017: the sizes of the CNN's layers, read from the network
itself.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic.dataclasses import dataclass

from robustbook.ledger import Record, Row
from robustbook.networks import CNN
from robustbook.runs import Call, Done
from robustbook.studies import parameters
from robustbook.studies.parameters import STRICT

PAPER, ITEM = "saturating", "table-2"


@dataclass(frozen=True, config=STRICT)
class Parameters(parameters.Parameters):
    """The parameters that a reader of the book can set for Table 2. Only the profile matters,
    because nothing in the table is random.
    """

    own_seeds: ClassVar = {"quick": (0,), "paper": (0,)}


def calls(p: Parameters) -> dict[Any, Call]:
    """Return no computations, because nothing has to be trained."""
    return {}


def condense(p: Parameters, results: Mapping[Any, Done]) -> Record:
    """Return the sizes of all layers, read from a newly built network."""
    net = CNN()
    same = sum(parameter.numel() for parameter in net.parameters())
    # Without padding the feature maps have sides of 24, 12, 8 and 4, which changes only the number
    # of inputs of the hidden layer.
    valid = same - (net.hidden.in_features - 64 * 4 * 4) * net.hidden.out_features
    pools = [size for size, after in zip(_sides(), _sides()[1:], strict=False)]
    first, second = pools[0] / _sides()[1], pools[1] / _sides()[2]
    counts: dict[str, float] = {
        "conv1-filters": net.conv1.out_channels,
        "conv1-kernel": net.conv1.kernel_size[0],
        "pool1": first,
        "conv2-filters": net.conv2.out_channels,
        "conv2-kernel": net.conv2.kernel_size[0],
        "pool2": second,
        "fc-units": net.hidden.out_features,
        "outputs": net.readout.out_features,
        "parameters-same-padding": same,
        "parameters-valid-padding": valid,
        "fc-inputs-same-padding": net.hidden.in_features,
    }
    rows = tuple(
        Row(value, "count", f"{PAPER}/{ITEM}/cnn/{name}") for name, value in counts.items()
    )
    return Record(PAPER, ITEM, p.profile, p.plain(), (), rows)


def _sides() -> list[int]:
    """Return the side lengths of the feature maps before the first and the second pooling and after
    the second.
    """
    net = CNN()
    h1, h2, *_ = net.preactivations(torch.zeros(1, 1, 28, 28))
    last = int((net.hidden.in_features / h2.shape[1]) ** 0.5)
    return [h1.shape[2], h2.shape[2], last]
