"""Compare nine implementations of DeepFool on the same networks and the same images.

The networks are the reference networks of Table 1, with their preprocessing. So DeepFool changes
pixels in [0, 1]; the constants in the implementations are meant for this range.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from robustbook.attacks import deepfool
from robustbook.attacks.deepfool import PRESETS
from robustbook.ledger import Record, Row
from robustbook.measures import predict
from robustbook.runs import Call, Context, Done, step
from robustbook.studies.parameters import STRICT

from . import settings
from .networks import pixels
from .settings import PAPER

ITEM = "deepfool"
QUICK_IMAGES = 20


@dataclass(frozen=True, config=STRICT)
class Parameters(settings.Parameters):
    """The parameters that a reader can set on the page on implementations of DeepFool."""

    images: Annotated[
        int, Field(ge=1, le=10_000, description="a number of test images, 1 to 10000")
    ] = 200  # with profile quick 20


@step(version=1)
def compare(network: Done, preset: str, images: int, *, context: Context) -> dict[str, object]:
    """Attack test images with the implementation ``preset`` of DeepFool; measure its perturbations,
    and count its steps and gradients.

    ``distance``: the mean l2 norm of the perturbations for pixels in [0, 1]; only correctly
        classified images on which the attack succeeds are counted.
    ``shown``: the mean l2 norm over all images, as the implementation itself reports it, including
        misclassified images and failed attacks.
    ``fooled``: the percentage of correctly classified images on which the attack succeeds.
    ``steps``: the mean number of steps on correctly classified images.
    ``backwards``: the number of gradients that the attack computes per image.
    """
    net, x, y = pixels(network, images, context.device)
    right = predict(net, x) == y
    result = deepfool(net, x, y, preset=preset)
    counted = right & result.found
    moved = (result.images - x).flatten(1).norm(dim=1)
    return {
        "distance": moved[counted].mean().item() if counted.any() else 0.0,
        "shown": moved.mean().item(),
        "fooled": 100 * (counted.sum() / right.sum().clamp(min=1)).item(),
        "steps": result.steps[right].double().mean().item() if right.any() else 0.0,
        "backwards": result.backwards / len(x),
    }


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the computations that the study runs, as a dict with one entry per triple (network,
    implementation of DeepFool, seed).
    """
    images = min(p.images, QUICK_IMAGES) if p.profile == "quick" else p.images
    return {
        (network, preset, seed): compare(setting.start(seed), preset, images)
        for network, setting, seed in p.runs()
        for preset in PRESETS
    }


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the quantities that `compare` measures, with one row per network, implementation of
    DeepFool and seed. The paper has no such numbers.
    """
    rows = tuple(
        row
        for (network, preset, seed), done in results.items()
        for row in _rows(network, preset, seed, done)
    )
    return p.record(PAPER, ITEM, rows)


def _rows(network: str, preset: str, seed: int, done: Done) -> Iterator[Row]:
    units = {"distance": "l2", "shown": "l2", "fooled": "percent"}
    for name, value in done.values.items():
        labels: dict[str, Any] = {"network": network, "preset": preset}
        yield Row(value, units.get(name, "count"), None, name, seed, setting=labels)
