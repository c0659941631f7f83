"""Test why the robustness rho_2 increases in a replication of Deep Defense by students, in which
the regulariser has no gradient.

The replication reports the clean accuracy, rho_2 and the accuracy under FGS for three MLPs on
Fashion-MNIST. The first is trained for 15 epochs. The second is trained for 10 epochs, and then
fine-tuned for five on DeepFool's adversarial images of the training set. The third is fine-tuned on
the same images, and was meant to use the loss of Deep Defense. But in the loss of the third, the
perturbations are constants, so the regulariser has no gradient and no effect. Its training also
differs from that of the second in three settings: batches have 100 images instead of 64, the order
of the images is fixed, and the losses of a batch are summed instead of averaged.

For comparison we train the third MLP without its constant regulariser, and variants of the second:
with batches of 100 images, with a lower learning rate, or on clean images. One more network is
trained with Deep Defense itself, whose regulariser has a gradient.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as checked

from robustbook.ledger import Record, Row
from robustbook.runs import Call, Done
from robustbook.studies import parameters
from robustbook.studies.parameters import STRICT

from .fashion import GRID, Tuning, eps_ref, fine_tune, read, under_fgs, vanilla
from .readings import SHARES
from .settings import PAPER

ITEM = "followup-brown-2019"
METHODS = ("vanilla", "fine-tuned-deepfool-set", "deep-defense-detached")
"""The names of the replication's three networks in the ids of the replication's numbers."""
THEIRS = "deep-defense-detached"


@checked(frozen=True, config=STRICT)
class Parameters(parameters.Parameters):
    """The parameters that a reader can set on the page on the replication."""

    own_seeds: ClassVar = {"quick": (0,), "paper": (0, 1, 2, 3, 4)}
    profile: Annotated[
        Literal["published", "quick", "paper"],
        Field(description="published (the record), quick (embedded data) or paper (Fashion-MNIST)"),
    ] = "published"


@dataclass(frozen=True)
class Setting:
    """The numbers of training epochs.

    ``first``: the number of epochs before fine-tuning.
    ``more``: the number of epochs of fine-tuning, or of further training for the undefended network
        "vanilla".
    ``marks``: the network is stored and measured after each epoch whose number is a multiple of
        ``marks``.
    """

    data: str
    first: int
    more: int
    marks: int

    def tunings(self) -> dict[str, Tuning]:
        """Return the settings of each fine-tuned network by name; the undefended network "vanilla"
        is not fine-tuned.
        """
        return {
            "fine-tuned-deepfool-set": Tuning("deepfool", 64, self.more),
            THEIRS: Tuning("deepfool", 100, self.more, "constant", shuffle=False),
            "without-constant": Tuning("deepfool", 100, self.more, "sum", shuffle=False),
            "deepfool-set-100": Tuning("deepfool", 100, self.more),
            "deepfool-set-slower": Tuning("deepfool", 64, self.more, lr=5e-4 * 64 / 100),
            "clean": Tuning("clean", 64, self.more),
            "clean-100": Tuning("clean", 100, self.more),
            "deep-defense": Tuning("clean", 100, self.more, "deep-defense"),
        }

    def networks(self, seed: int) -> dict[str, tuple[Call, tuple[int, ...]]]:
        """Return for each network, by name, the computation that trains it, and the epochs after
        which it is measured.
        """
        last = self.first + self.more
        start = vanilla(self.data, last, self.marks, seed)
        further = tuple(range(self.marks, self.more + 1, self.marks))
        tuned = {
            name: (fine_tune(start, self.first, tuning, self.marks, seed), further)
            for name, tuning in self.tunings().items()
        }
        on = tuple(self.first + epoch for epoch in further)
        return {"start": (start, (self.first,)), "vanilla": (start, on), **tuned}


SETTINGS = {
    "quick": Setting("digits", 20, 10, 2),
    "paper": Setting("fashion-mnist", 10, 5, 1),
}


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the computations that the study runs, as a dict with one entry per triple (method,
    seed, purpose). The purpose is "network" (training), "read" (measurement) or "fgs" (accuracy
    under FGS).
    """
    found: dict[tuple[Any, ...], Call] = {}
    for seed in p.seeds:
        networks = SETTINGS[p.profile].networks(seed)
        scale = read(*networks[THEIRS])
        for method, (network, epochs) in networks.items():
            found[method, seed, "network"] = network
            found[method, seed, "read"] = read(network, epochs)
            found[method, seed, "fgs"] = under_fgs(network, epochs[-1], scale)
    return found


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the results of the replication's three networks and of our additional networks, and
    the curves over the epochs.
    """
    methods = list(SETTINGS[p.profile].networks(0))
    rows: list[Row] = []
    arrays: dict[str, Any] = {"eps": list(GRID)}
    for method in methods:
        read = [results[method, seed, "read"].values for seed in p.seeds]
        arrays[f"along/{method}"] = [values["along"] for values in read]
        arrays[f"rho/{method}"] = [values["rho"] for values in read]
        arrays[f"steps/{method}"] = results[method, p.seeds[0], "network"].values["steps"]
        for seed in p.seeds:
            rows += _network(method, seed, results)
    for seed in p.seeds:
        theirs, without = (
            results[method, seed, "network"].tensors for method in (THEIRS, "without-constant")
        )
        most = max((theirs[name] - without[name]).abs().max().item() for name in theirs)
        rows.append(Row(most, "none", None, "difference", seed))
        eps = eps_ref(results[THEIRS, seed, "read"])
        rows.append(Row(eps, "linf", None, "eps_ref", seed))
    return p.record(PAPER, ITEM, rows, arrays)


def _network(method: str, seed: int, of: Mapping[tuple[Any, ...], Done]) -> Iterator[Row]:
    seen, own = of[method, seed, "read"].values, of[method, seed, "fgs"].values
    labels: dict[str, str | float | int | bool] = {"method": method}
    target = f"{PAPER}/{ITEM}/{method}" if method in METHODS else None

    def cell(what: str) -> str | None:
        return target and f"{target}/{what}"

    accuracy, rho, n = seen["accuracy"][-1], seen["rho"][-1], seen["images"]
    yield Row(accuracy, "percent", cell("accuracy"), "accuracy", seed, n, setting=labels)
    yield Row(rho, "ratio", cell("rho2"), "rho2", seed, setting=labels)
    yield Row(seen["unfooled"], "percent", None, "unfooled", seed, n, setting=labels)
    for reading, values in (("printed", seen["printed"]), ("own", own["own"])):
        for share, value in zip(SHARES, values, strict=True):
            setting = {**labels, "reading": reading, "share": share}
            judged = cell(f"fgs-{share}") if reading == "printed" else None
            yield Row(value, "percent", judged, "fgs", seed, n, setting=setting)
