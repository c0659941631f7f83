"""Deep Defense on a GPU: its forms against the CPU's, and a recorded step against a plain one.

It needs neither IPython nor papermill nor dask.
"""

import copy
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustbook.arithmetic import arithmetic
from robustbook.data import as_float, load
from robustbook.defenses import deep_defense
from robustbook.networks import (
    GreyLevels,
    Prepared,
    convnet,
    fc500_150_10_bn,
    lenet,
    mean_image,
    nin,
)
from robustbook.randomness import generator
from robustbook.runs import Store, run
from robustbook.studies.deep_defense.methods import Method
from robustbook.studies.deep_defense.networks import Model, fine_tune, reference
from robustbook.studies.deep_defense.readings import read
from robustbook.training import Recipe, fit

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore:This instance was constructed with capturable=True"),
]

NETWORKS = {
    "batch-norm": (fc500_150_10_bn, (), "digits"),
    "lenet": (lenet, (), "digits"),
    "convnet": (convnet, (4,), "scenes"),
    "nin": (nin, (8,), "scenes"),
}
EACH = pytest.mark.parametrize("name", NETWORKS)


@cache
def trained(name: str) -> tuple[Prepared, Tensor, Tensor]:
    """Train some steps on a CPU; return the network and a batch."""
    make, args, data = NETWORKS[name]
    some = load(data, "train").subset(60)
    images, labels = as_float(some.images), some.labels
    net = make(GreyLevels(mean_image(some.images)), generator(0), *args).train()
    update = torch.optim.Adam(net.parameters(), 2e-3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(15):
            update.zero_grad()
            F.cross_entropy(net(images), labels).backward()
            update.step()
    return net, images[:40], labels[:40]


def network(name: str, device: str, dtype: torch.dtype = torch.float32) -> tuple[Any, ...]:
    net, images, labels = trained(name)
    return copy.deepcopy(net).to(device, dtype), images.to(device, dtype), labels.to(device)


def total(net: Prepared, terms: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return the terms and the gradient of their sum, each as one vector on the CPU."""
    values = torch.stack(list(terms.values()))
    gradient = torch.autograd.grad(values.sum(), list(net.parameters()))
    return values.detach().cpu(), torch.cat([g.flatten() for g in gradient]).cpu()


@EACH
@pytest.mark.parametrize(
    ("dtype", "size"), [(torch.float64, 1e-8), (torch.float32, 1e-4)], ids=["double", "single"]
)
def test_every_form_is_the_loss_of_the_cpu(name: str, dtype: torch.dtype, size: float) -> None:
    """Both use the same dropout masks, drawn by a generator of the CPU."""

    def found(device: str, form: Any) -> tuple[Tensor, Tensor]:
        net, images, labels = network(name, device, dtype)
        with arithmetic(device):
            terms = deep_defense(net, images, labels, c=5.0, form=form, generator=generator(5))
            return total(net, terms)

    values, gradient = found("cpu", "rows")
    for form in ("rows", "padded", "fixed"):
        there, slope = found("cuda", form)
        torch.testing.assert_close(there, values, rtol=size, atol=0)
        assert float((slope - gradient).norm() / gradient.norm()) < size


@EACH
def test_the_fixed_form_does_not_wait(name: str) -> None:
    """Neither the loss nor its gradient waits, with masks drawn on the GPU."""
    net, images, labels = network(name, "cuda")
    weights = list(net.parameters())
    for mode in ("default", "error"):  # the first calls make plans and may wait
        torch.cuda.set_sync_debug_mode(mode)
        try:
            terms = deep_defense(net, images, labels, form="fixed")
            gradient = torch.autograd.grad(torch.stack(list(terms.values())).sum(), weights)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert all(bool(g.isfinite().all()) for g in gradient)


@EACH
def test_a_recorded_step_is_the_plain_one(name: str) -> None:
    """`fit` records and replays the operations of the same form."""
    ends = []
    for static in (True, False):
        net, images, labels = network(name, "cuda")
        fitted = fit(
            net,
            images,
            labels,
            partial(_objective, "fixed"),
            Recipe(6, 20, 1e-4, "sgd"),
            seed=3,
            static=static,
            device="cuda",
        )
        terms = torch.stack(list(fitted.terms.values()))
        ends.append((terms, torch.cat([p.detach().flatten() for p in net.parameters()])))
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-4, atol=1e-5)


def _objective(
    form: Any, net: nn.Module, images: Tensor, labels: Tensor, _: Tensor
) -> Mapping[str, Tensor]:
    return deep_defense(net, images, labels, c=5.0, form=form)


def test_a_quick_study_is_that_of_the_cpu(tmp_path: Path) -> None:
    """A reference, its fine-tuning and its measurements agree up to the last digits."""
    recipes = (Recipe(100, 50, 2e-3, "sgd"), Recipe(27, 50, 5e-4, "sgd"))
    start = reference(Model("digits", "lenet"), recipes[0], 0)
    tuned = fine_tune(start, Method("deep-defense"), recipes[1], 0, 1)
    found = {}
    for device in ("cpu", "cuda"):
        store = Store(tmp_path / device)
        found[device] = run(
            [tuned, read(tuned, 100)], store=store, device=device, workers=0, progress=False
        )
    (weights, seen), (others, there) = found["cpu"], found["cuda"]
    for name, value in weights.tensors.items():
        torch.testing.assert_close(others.tensors[name], value, rtol=1e-2, atol=1e-3)
    assert there.values["rho"] == pytest.approx(seen.values["rho"], rel=1e-2)
    assert abs(there.values["accuracy"] - seen.values["accuracy"]) <= 1.0  # one image
