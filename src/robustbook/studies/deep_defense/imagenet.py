"""Reproduce the ImageNet rows of Deep Defense's Table 1: AlexNet and ResNet-18 before and after
fine-tuning.

The released code does not contain the ImageNet experiments, so we use its learning rate, batch
size, lambda and d for MNIST. We chose c so that the exponent c rho_2 in the regulariser lies
between 2 and 3 before fine-tuning, as on MNIST and CIFAR-10. Two numbers are from our memory of the
paper, and we could not check them: the number of epochs, and the ten classes that DeepFool
considers.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from robustbook.ledger import Record, Row
from robustbook.networks import Architecture
from robustbook.runs import Call, Done
from robustbook.studies import parameters
from robustbook.studies.parameters import AS_TUPLE, STRICT

from .photographs import Model, Tuning, fine_tune, read, scale, under_fgs
from .readings import SHARES

PAPER, ITEM = "deep_defense", "imagenet"
EPOCHS: Mapping[Architecture, int] = {"alexnet": 10, "resnet18": 1}


@dataclass(frozen=True, config=STRICT)
class Parameters(parameters.Parameters):
    """The parameters that a reader can set in the study of ImageNet."""

    own_seeds: ClassVar = {"paper": (0,)}
    profile: Annotated[
        Literal["published", "paper"],
        Field(description="published (show the record) or paper (ImageNet, on a GPU)"),
    ] = "published"
    root: Annotated[
        str | None,
        Field(
            description="the folder that holds train and val, each with a folder per class, or "
            "None for imagenet in the folder of the data files"
        ),
    ] = None
    architectures: Annotated[
        tuple[Architecture, ...],
        Field(min_length=1, description="a list of alexnet, resnet18"),
        AS_TUPLE,
    ] = ("alexnet", "resnet18")
    weights: Annotated[
        str, Field(description="IMAGENET1K_V1, the path of a state dict, or random")
    ] = "IMAGENET1K_V1"
    crop: Annotated[int, Field(ge=63, description="a side in pixels, 63 or more")] = 224
    epochs: Annotated[
        int | None,
        Field(ge=1, description="a whole number from 1, or None for 10 (AlexNet) and 1 (ResNet)"),
    ] = None
    batch_size: Annotated[int, Field(ge=1, description="a whole number from 1")] = 100
    lam: Annotated[float, Field(gt=0, description="a number above 0")] = 15.0
    c: Annotated[float, Field(gt=0, description="a number above 0")] = 1000.0
    d: Annotated[float, Field(gt=0, description="a number above 0")] = 5.0
    candidates: Annotated[int, Field(ge=1, description="a whole number from 1")] = 9
    images: Annotated[
        int | None,
        Field(ge=1, description="how many validation images, evenly spaced, or None for all"),
    ] = None


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the computations that the study runs, as a dict with one entry per key (architecture,
    method, seed, purpose).
    """
    found: dict[tuple[Any, ...], Call] = {}
    for architecture in p.architectures:
        model = Model(architecture, p.weights, p.root, p.crop)
        epochs = p.epochs or EPOCHS[architecture]
        tuning = Tuning(epochs, p.batch_size, p.lam, p.c, p.d, p.candidates)
        for seed in p.seeds:
            tuned = fine_tune(model, tuning, seed)
            eps = scale(model, tuned, p.images)
            found[architecture, "deep-defense", seed, "scale"] = eps
            for method, net in (("reference", None), ("deep-defense", tuned)):
                found[architecture, method, seed, "read"] = read(model, net, p.images, p.candidates)
                found[architecture, method, seed, "fgs"] = under_fgs(model, net, eps, p.images)
    return found


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return our values for Table 1, the factor by which Deep Defense increases rho_2, and the test
    of claim 1 of the authors' blog post.

    The claim says that the norm of an image is a thousand times the norm of its adversarial
    perturbation. We test the claim on the reference network with the smallest rho_2.
    """
    rows: list[Row] = []
    of = {key: done.values for key, done in results.items()}
    for architecture in p.architectures:
        name = f"imagenet-{architecture}"
        for seed in p.seeds:
            for method in ("reference", "deep-defense"):
                target = f"{PAPER}/table-1/{name}/{method}"
                seen = of[architecture, method, seed, "read"]
                n = seen["images"]
                rows.append(
                    Row(seen["accuracy"], "percent", f"{target}/accuracy", seed=seed, images=n)
                )
                rows.append(Row(seen["rho"], "ratio", f"{target}/rho2", seed=seed))
                fgs = of[architecture, method, seed, "fgs"]["plain"]
                for share, value in zip(SHARES, fgs, strict=True):
                    rows.append(Row(value, "percent", f"{target}/fgs-{share}", seed=seed, images=n))
                labels = {"network": architecture, "method": method}
                for what, unit in (("iterations", "count"), ("unfooled", "percent")):
                    rows.append(Row(seen[what], unit, None, what, seed, setting=dict(labels)))
            eps = of[architecture, "deep-defense", seed, "scale"]["eps"]
            rows.append(Row(eps, "linf", f"{PAPER}/table-1/{name}/eps-ref", seed=seed))
            before, after = (
                of[architecture, m, seed, "read"]["rho"] for m in ("reference", "deep-defense")
            )
            gain = f"{PAPER}/text-results/{name}/rho2-gain"
            rows.append(Row(after / before, "ratio", gain, seed=seed))
    smallest = min(of[a, "reference", p.seeds[0], "read"]["rho"] for a in p.architectures)
    rows.append(Row(1 / smallest, "ratio", f"{PAPER}/claim-1/check"))
    return p.record(PAPER, ITEM, rows)
