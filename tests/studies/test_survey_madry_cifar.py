"""Madry's CIFAR-10 tables: every target has a row, and networks are shared between the tables."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch

from robustbook import catalogue
from robustbook.ledger import read_targets
from robustbook.runs import Call, Done
from robustbook.studies.items import command
from robustbook.studies.parameters import check
from robustbook.studies.survey import madry_cifar


def answers(calls: Mapping[Any, Call]) -> dict[Any, Done]:
    """Made up: half of the images are classified correctly."""
    found = {}
    for key, call in calls.items():
        if call.function == "train":
            tensors = {"history/clean": torch.tensor([2.0, 1.0])}
        else:
            tensors = {"right": torch.arange(call.arguments["images"]) % 2 == 0}
        found[key] = Done(call, {}, tensors, 1.0, {})
    return found


def test_every_target_has_a_row() -> None:
    """Both networks together answer all targets of both tables and of Figure 6."""
    targets = read_targets(catalogue.BOOK / "targets")
    p = check(madry_cifar.Parameters, {"profile": "paper", "networks": ["simple", "wide"]})
    calls = madry_cifar.calls(p)
    record = madry_cifar.condense(p, answers(calls))
    wanted = {
        name
        for name, target in targets.items()
        if target.item in ("madry-table-2", "madry-table-5", "madry-figure-6")
    }
    assert {row.target for row in record.rows if row.target} == wanted
    assert all(row.unit == targets[row.target].unit for row in record.rows if row.target)
    nets = {c.arguments["network"].key for c in calls.values() if "network" in c.arguments}
    assert len(nets) == 6  # the copy is only a source


def test_training_attacks_use_batch_statistics() -> None:
    """As the released code does; the attacks on trained networks have no such choice."""
    p = check(madry_cifar.Parameters, {"profile": "paper"})
    nets = [call for call in madry_cifar.calls(p).values() if call.function == "train"]
    attacks = [net.arguments["defense"].attack for net in nets]
    found = [attack and (attack.steps, attack.statistics, attack.clip) for attack in attacks]
    assert found == [None, (1, "batch", True), (7, "batch", True)]


@pytest.mark.parametrize(
    ("target", "network"),
    [
        ("survey/madry-table-2/natural/accuracy", "wide"),
        ("survey/madry-table-5/wide-fgsm-trained/clean-accuracy", "wide"),
        ("survey/madry-figure-6/wide-pgd/train-loss", "wide"),
        ("survey/madry-figure-6/simple-pgd/train-loss", ""),
    ],
)
def test_the_ledger_names_the_network(target: str, network: str) -> None:
    """Otherwise the printed command would not measure the row."""
    line, needs = command(target, "survey", "paper")
    assert line.startswith("robustbook run survey/madry-cifar --profile paper")
    assert (network in line) == bool(network) or not network
    assert ("--set" in line) == bool(network) and needs == "needs a GPU"
